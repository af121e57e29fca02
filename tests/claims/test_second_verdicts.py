"""The second judge: the board says where its verdict differs, the numbers are those of the same functions,
and none is none."""

import numpy as np
import pandas as pd
import pytest

from lib.agreement import rated_agreement, rated_threshold
from lib.analysis import leakage, polarity, usability
from lib.claims import board, claims, second_judge, second_verdicts
from lib.claims.board import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from lib.config import params
from lib.config.specs import LearnedJudge, VaderJudge
from lib.corpora import human_ratings
from lib.nlp import vader
from lib.report import claims_text, forest, reports
from lib.storage import caching, records
from tests.agreement.test_rated_agreement import rated
from tests.report.test_claims_text import _judgements
from tests.report.test_forest import TABLE, row

LEARNED, VADER = LearnedJudge(name="learned"), VaderJudge(name="vader")
SECOND = pd.DataFrame(
    [
        row("C0", "a", 9.0, 4.0, 14.0, SUPPORTED),
        row("C0", "b", -4.0, -9.0, 1.0, INCONCLUSIVE),
        row("C1", "judge vader", -0.2, -0.3, -0.1, CONTRADICTED, 0.05, "of r"),
        row("C2", "f", np.nan, np.nan, np.nan, INCONCLUSIVE),
    ]
)[board.COLUMNS]
BOTH = second_verdicts.with_second(TABLE, SECOND)


def test_the_board_tells_where_the_second_judge_comes_to_another_verdict():
    assert (
        BOTH["estimate_vader"].tolist()[:2] == [9, -4]
        and BOTH["verdict"].tolist() == TABLE["verdict"].tolist()
    )
    assert second_verdicts.differs(BOTH).tolist() == [False, True, True, False]
    said = reports.claims_board(BOTH)["by VADER"].tolist()
    assert said[0] == "same, +9.0 [+4.0, +14.0]"
    assert said[1] == "**differs**: inconclusive, −4.0 [−9.0, +1.0]"
    assert said[2] == "**differs**: contradicted, −0.20 [−0.30, −0.10]"
    assert said[3] == "not estimated"
    other = second_verdicts.with_second(TABLE, SECOND.assign(measured="change by another prompt"))
    assert reports.claims_board(other)["by VADER"][0] == "same, +9.0 [+4.0, +14.0] (change by another prompt)"
    assert second_verdicts.summary(BOTH) == (
        "By VADER, as second judge, 1 of 3 rows get the same verdict (1 more are estimated by neither); it "
        "differs in "
        "C0 b (contradicted; by VADER inconclusive: r); C1 judge (inconclusive; by VADER contradicted: r)."
    )
    lines = claims_text.rows_of(BOTH)
    assert any(line.startswith("  b: contradicted: r (by VADER inconclusive)") for line in lines)
    assert lines[0] == "  a: supported: r"
    assert "1 of 3 rows" in forest.markdown(BOTH, "picture.svg")


def test_where_vader_is_the_judge_there_is_no_second():
    alone = second_verdicts.with_second(TABLE, None)
    assert alone[second_verdicts.COLUMNS].isna().all(axis=None)
    assert "by VADER" not in reports.claims_board(alone) and "by VADER" not in reports.claims_board(TABLE)
    assert "judge of this run itself" in second_verdicts.summary(alone)
    assert claims_text.rows_of(alone) == claims_text.rows_of(TABLE)
    mixed = pd.concat([BOTH, alone], ignore_index=True)
    assert reports.claims_board(mixed)["by VADER"].tolist()[4:] == ["–"] * 4
    assert "4 rows rest on VADER itself" in second_verdicts.summary(mixed)


def test_boards_of_other_rows_are_not_put_side_by_side():
    with pytest.raises(ValueError, match="other rows"):
        second_verdicts.with_second(TABLE, SECOND.iloc[:3])
    with pytest.raises(ValueError, match="other rows"):
        second_verdicts.with_second(TABLE, SECOND.assign(model=["z", "b", "judge", "f"]))


@pytest.fixture(scope="module")
def judgements(tmp_path_factory) -> pd.DataFrame:
    """Those of a mock model, by VADER."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "ROOT", tmp_path_factory.mktemp("run"))
        return _judgements(params.load("smoke"))


@pytest.fixture
def half(monkeypatch):
    """A threshold of 0.5 for VADER, without the rated texts."""
    monkeypatch.setattr(second_judge, "threshold", lambda: 0.5)


def test_the_same_completions_are_judged_again_and_what_is_missing_stays_missing(judgements, half):
    assert second_judge.judged_again(judgements) is None, "VADER judged them"
    deaf = judgements.assign(judge="deaf", valence=0.0, charged=False)
    deaf.loc[0, ["completion", "valence", "outcome"]] = [None, np.nan, "empty"]
    again = second_judge.judged_again(deaf)
    expected = vader.valences(judgements["completion"][1:].tolist())
    np.testing.assert_allclose(again["valence"][1:], expected)
    assert np.isnan(again["valence"][0]) and pd.isna(again["charged"][0])
    assert again["charged"][1:].tolist() == (np.abs(expected) > 0.5).tolist()
    assert set(again["judge"]) == {vader.VERSION} and deaf["valence"][1] == 0


def test_the_rows_are_those_that_the_claims_would_have_if_vader_were_the_judge(judgements, half):
    deaf = judgements.assign(
        judge="deaf", valence=0.0, charged=pd.array([False] * len(judgements), "boolean")
    )
    by_vader = second_judge.judged_again(deaf)
    pairs = leakage.pairs(by_vader)
    faults = usability.faults(by_vader, pairs, 0.95, 0.1)
    found = second_judge.scaling(deaf, deaf.iloc[:0], 3, 0.1, 0.95)
    assert found["claim"].tolist() == ["C0", "C2", "C4", "C5"]
    by_polarity = claims.polarity(polarity.by_reference(by_vader, 0.95), 0.1, 0.95, faults)
    for number, single in ((0, claims.existence(pairs, 0.1, 0.95, faults)), (2, by_polarity)):
        pd.testing.assert_series_equal(found.iloc[number], single.iloc[0], check_names=False)
    assert found["estimate"][0] > 0.2, "the mock model leaks, though the first judge is deaf to it"
    c3 = second_judge.mitigation(deaf, ["mock-50"], {"calm": ["control"]}, 0.25, 0.95, 0.1)
    assert (c3["claim"].tolist(), c3["verdict"].tolist()) == (["C3"], [INCONCLUSIVE])
    assert second_judge.scaling(judgements, judgements.iloc[:0], 3, 0.1, 0.95) is None
    assert second_judge.mitigation(judgements, ["mock-50"], {"calm": ["control"]}, 0.25, 0.95, 0.1) is None


def test_c1_by_vader_is_vaders_own_agreement_with_the_numbers_of_its_validity():
    table = pd.concat([rated("vader"), rated("other")], ignore_index=True)
    whole = rated_agreement.validity(table, VADER, 0.95, 100, np.random.default_rng(4))
    whole = whole[(whole["by"] == "domain") & (whole["measure"] == rated_agreement.DIFFERENCE)]
    cheap = rated_agreement.against_one_rater(table, VADER, 0.95, 100, np.random.default_rng(4))
    assert cheap["domain"].tolist() == whole["level"].tolist()
    np.testing.assert_allclose(
        cheap[["estimate", "ci_low", "ci_high"]], whole[["estimate", "ci_low", "ci_high"]]
    )
    nobody = pd.DataFrame(), pd.DataFrame(), pd.DataFrame()
    found = second_judge.agreement_with_people(LEARNED, [table], nobody, 0.05, 0.95, 100, 4)
    assert found["claim"].tolist() == ["C1", "C1"] and found["verdict"][0] == CONTRADICTED
    assert found["reason"][1] == "nobody has labelled completions yet"
    assert second_judge.agreement_with_people(VADER, [table], nobody, 0.05, 0.95, 100, 4) is None


def test_its_threshold_is_fitted_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(caching, "cache_folder", lambda: tmp_path)
    asked = []
    monkeypatch.setattr(rated_threshold, "threshold", lambda judge: asked.append(judge.kind) or 0.617)
    assert [second_judge.threshold(), second_judge.threshold()] == [0.617, 0.617] and asked == ["vader"]
    monkeypatch.setattr(human_ratings, "PACKAGE", "other==1")
    assert second_judge.threshold() == 0.617 and len(asked) == 2, "other ratings, another threshold"
