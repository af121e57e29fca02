"""What people find charged, the threshold that goes with it, and what a judge's verdicts are worth: by hand
where it can be."""

import numpy as np
import pandas as pd
import pytest

from lib.agreement import charged_threshold, human_agreement, rated_threshold
from lib.config.specs import VaderJudge
from lib.corpora import human_ratings
from lib.judging import judges

VADER = VaderJudge(name="vader")


def test_charged_is_what_more_than_half_of_the_raters_find_so():
    given = [[1, 1, 0], [1, 0], [-1, -2, 3], [0, 0, 4], [-4, 4], [2]]
    # 2 of 3 find it positive; half is not most; 2 of 3 negative; 1 of 3; half each way; 1 of 1
    expected = [1, 0, -1, 0, 0, 1]
    frame = pd.DataFrame({"ratings": [np.array(ratings, dtype=float) for ratings in given]})
    assert rated_threshold.felt(frame).tolist() == expected


def rated(polarity, domain="d") -> pd.DataFrame:
    """Rated texts, three raters each of whom gives ±2 or 0; a document for two texts."""
    polarity = np.asarray(polarity)
    frame = pd.DataFrame(
        {"ratings": [np.full(3, 2.0 * sign) for sign in polarity], "mean": 2.0 * polarity, "n_raters": 3}
    )
    return frame.assign(
        domain=domain,
        text="some words",
        document=np.arange(len(polarity)) // 2,
        text_id=np.arange(len(polarity)),
    )


def with_judge(monkeypatch, valences) -> None:
    monkeypatch.setattr(judges, "of_rated", lambda judge, ratings: np.asarray(valences, dtype=float))


def test_classes_of_a_domain_and_domains_weigh_the_same_and_unscored_texts_nothing(monkeypatch):
    with_judge(monkeypatch, [1, 1, 1, 1, 1, np.nan])
    rows = rated_threshold.rows(VADER, rated([1, 1, 0, 0, 1, 0], ["a", "a", "a", "b", "b", "b"]))
    # two positive texts of a with 1/2 each, three texts alone in their class with 1 each; the mean of the
    # five is 4/5
    assert rows["weight"].tolist() == pytest.approx([5 / 8, 5 / 8, 5 / 4, 5 / 4, 5 / 4])


def test_the_threshold_does_not_depend_on_how_common_charge_is(monkeypatch):
    rng = np.random.default_rng(5)
    none, positive = rng.normal(0.5, 0.3, 400), rng.normal(1.5, 0.3, 400)

    def fitted(charged: int) -> float:
        valences = np.concatenate([none, *[positive] * charged])
        with_judge(monkeypatch, valences)
        polarity = np.repeat([0, 1], [400, 400 * charged])
        return charged_threshold.fit(rated_threshold.rows(VADER, rated(polarity)))

    assert fitted(1) == pytest.approx(1, abs=0.15)
    assert fitted(9) == pytest.approx(fitted(1), abs=0.15)


def noisy(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Polarities, and a simulated judge's valences: near 0.5 where there is no charge, near ±1.5 where there
    is."""
    rng = np.random.default_rng(seed)
    polarity = rng.choice([-1, 0, 1], size)
    sign = np.where(polarity == 0, rng.choice([-1, 1], size), polarity)
    return polarity, sign * np.where(polarity == 0, rng.uniform(0, 1, size), rng.uniform(1, 2, size))


def test_the_threshold_parts_what_can_be_parted(monkeypatch):
    polarity, valences = noisy(400, 1)
    with_judge(monkeypatch, valences)
    monkeypatch.setattr(human_ratings, "read", lambda: rated(polarity))
    judge = VaderJudge(name="parts")
    assert rated_threshold.threshold(judge) == pytest.approx(1, abs=0.05)
    table = rated_threshold.verdicts(rated_threshold.rows(judge, rated(polarity)))
    assert table["threshold"].between(0.9, 1.1).all()
    assert (table.groupby("document")["threshold"].nunique() == 1).all(), "a document is in one fold"
    assert (table["verdict"] == polarity).mean() > 0.97


def test_a_text_does_not_shape_its_own_threshold(monkeypatch):
    polarity, valences = noisy(60, 2)
    with_judge(monkeypatch, valences)
    table = rated_threshold.verdicts(rated_threshold.rows(VADER, rated(polarity)))
    other = polarity.copy()
    other[:2] = -1 - np.abs(other[:2])  # the two texts of the first document
    changed = rated_threshold.verdicts(rated_threshold.rows(VADER, rated(np.sign(other))))
    assert changed["threshold"][:2].tolist() == table["threshold"][:2].tolist()


def test_a_judge_that_calls_all_the_same_gets_no_threshold(monkeypatch):
    with_judge(monkeypatch, np.zeros(20))
    monkeypatch.setattr(human_ratings, "read", lambda: rated(np.zeros(20, dtype=int)))
    with pytest.raises(
        ValueError, match=r"judge 'constant': no threshold can be fitted.*judging.charged_threshold"
    ):
        rated_threshold.threshold(VaderJudge(name="constant"))


def judged(verdict, polarity) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"verdict": verdict, "polarity": polarity, "document": np.arange(len(verdict)), "domain": "d"}
    )
    return frame.assign(words="1–5 words", all="all texts")


def test_recall_and_precision_by_hand():
    # people: negative 4, none 3, positive 1; the judge finds 3 of the negative, and calls one "none"
    # negative: 3 of 4
    table = judged([-1, -1, -1, 0, -1, 0, 0, 0], [-1, -1, -1, -1, 0, 0, 0, 1])
    found = rated_threshold.found(table, 0.95)
    found = found[found["by"] == "domain"].set_index(["question", "measure"])
    assert found.loc[("negative", "recall, %"), ["estimate", "n"]].tolist() == [75, 4]
    assert found.loc[("negative", "precision, %"), ["estimate", "n"]].tolist() == [75, 4]
    assert found.loc[("none", "recall, %"), "estimate"] == pytest.approx(200 / 3)
    assert found.loc[("none", "precision, %"), ["estimate", "n"]].tolist() == [50, 4]
    assert found.loc[("positive", "recall, %"), ["estimate", "n"]].tolist() == [0, 1]
    assert ("positive", "precision, %") not in found.index, "the judge found no text positive"


def test_agreement_is_that_of_the_single_ratings_and_resamples_agree_with_it():
    rng = np.random.default_rng(4)
    polarity = rng.choice([-1, 0, 1], 300, p=[0.2, 0.6, 0.2])
    verdict = np.where(rng.random(300) < 0.7, polarity, rng.choice([-1, 0, 1], 300))
    found = rated_threshold.agreed(judged(verdict, polarity), 0.95, 100, rng)
    found = found[found["by"] == "domain"].set_index(["question", "measure"])
    values = np.array([verdict, polarity], dtype=float).T
    for question, said, categories in (
        (rated_threshold.THREE, values, (-1, 0, 1)),
        (rated_threshold.TWO, np.abs(values), (0, 1)),
    ):
        single = human_agreement.measures(said, None, "nominal", categories)
        assert found.loc[question, "estimate"].tolist() == pytest.approx(single.tolist())
        crossed = np.zeros((1, len(categories), len(categories)))
        np.add.at(crossed[0], tuple(np.searchsorted(categories, said).T), 1)
        map_threads = human_agreement.measures_of_tables(crossed)
        assert [map_threads[name][0] for name in human_agreement.MEASURES] == pytest.approx(single.tolist())
    assert (found["ci_low"] < found["estimate"]).all() and (found["estimate"] < found["ci_high"]).all()
    assert set(found["n"]) == {300}


def test_where_all_are_equal_alpha_and_kappa_are_undefined():
    found = rated_threshold.agreed(judged(np.zeros(20), np.zeros(20)), 0.95, 50, np.random.default_rng(1))
    found = found[found["by"] == "domain"].set_index(["question", "measure"])
    for question in (rated_threshold.THREE, rated_threshold.TWO):
        assert found.loc[(question, "raw"), ["estimate", "ci_low", "ci_high"]].tolist() == [1, 1, 1]
        assert (
            found.loc[[(question, "alpha"), (question, "kappa")], ["estimate", "ci_low", "ci_high"]]
            .isna()
            .all(axis=None)
        )


def test_calibration_by_hand():
    table = pd.DataFrame(
        {"valence": [0.9, 1.3, -0.2, 0.2], "mean": [2.0, 4.0, 0.0, 1.0], "document": range(4)}
    )
    curve = rated_threshold.calibration(table, 0.95).set_index("bin")
    assert curve.loc[1, ["valence", "estimate", "n"]].tolist() == pytest.approx([1.1, 3, 2])
    assert curve.loc[0, ["valence", "estimate", "n"]].tolist() == pytest.approx([0, 0.5, 2])


def test_calibration_stays_on_the_scale():
    table = pd.DataFrame(
        {"valence": [-3.0, -3.1, 2.0, 2.1], "mean": [-3.9, 0.5, 1.0, 3.9], "document": list("abcd")}
    )
    curve = rated_threshold.calibration(table, 0.95)
    assert (
        (curve["ci_low"] >= -4).all()
        and (curve["ci_high"] <= 4).all()
        and (curve["ci_high"] - curve["ci_low"] > 6).all()
    )
