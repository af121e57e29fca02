"""Agreement measures are as their authors published them, and simulated raters of known quality are told
apart."""

import numpy as np
import pandas as pd
import pytest

from lib.agreement import charged_threshold, human_agreement
from lib.agreement.human_agreement import JUDGE, MEASURES, measures
from lib.annotation import labelling
from lib.claims import judge_claims
from lib.report import annotation_reports
from tests import simulated

_ = np.nan
# Krippendorff (2011, "Computing Krippendorff's alpha-reliability", p. 8): four observers, twelve units, with
# gaps
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
).T
STEPS = (1, 2, 3, 4, 5)
ALPHA = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}


def of(values, weights=None, level="nominal", categories=(-1, 0, 1)) -> dict:
    return dict(
        zip(MEASURES, measures(np.array(values, dtype=float), weights, level, categories), strict=True)
    )


@pytest.mark.parametrize("level", ALPHA)
def test_alpha_is_as_published_and_with_equal_weights_the_same(level):
    assert of(PUBLISHED, None, level, STEPS)["alpha"] == pytest.approx(ALPHA[level], abs=5e-4)
    assert of(PUBLISHED, np.full(12, 3.0), level, STEPS)["alpha"] == pytest.approx(ALPHA[level], abs=5e-4)


def test_ac1_kappa_and_alpha_are_as_published_for_two_raters():
    # the table cont3x3abstractors in the vignette of the R package irrCAC (Gwet): 100 women, 3 diagnoses, 2
    # abstractors
    counts = {(0, 0): 13, (1, 1): 20, (1, 2): 7, (2, 1): 4, (2, 2): 56}
    found = of(np.repeat(list(counts), list(counts.values()), axis=0), categories=(0, 1, 2))
    assert found["raw"] == pytest.approx(0.89)
    assert found["AC1"] == pytest.approx(0.8493305, abs=1e-7)
    assert found["kappa"] == pytest.approx(0.7964094, abs=1e-7)
    assert found["alpha"] == pytest.approx(0.7972585, abs=1e-7)


def test_measures_by_hand():
    # 10 texts, both "none" on 7, both negative on 1, apart on 2: raw 0.8
    values = [[0, 0]] * 7 + [[-1, -1], [-1, 0], [0, -1]]
    found = of(values)
    assert found["raw"] == pytest.approx(0.8)
    # shares 0.8 and 0.2: kappa (0.8 − 0.68)/(1 − 0.68); alpha: 1 − 0.2/(2 × 16 × 4/(20 × 19)); AC1 chance
    # (0.16 + 0.16)/2
    assert found["kappa"] == pytest.approx(0.12 / 0.32)
    assert found["alpha"] == pytest.approx(1 - 0.2 * 380 / 128)
    assert found["AC1"] == pytest.approx((0.8 - 0.16) / 0.84)


def test_a_weight_of_two_is_a_text_seen_twice():
    values, weights = np.array([[0, 0], [1, 1], [0, 1], [-1, 0]], dtype=float), np.array([2.0, 1, 1, 2])
    twice = np.repeat(values, weights.astype(int), axis=0)
    once, double = of(values, weights), of(twice)
    for measure in ("raw", "kappa", "AC1"):
        assert once[measure] == pytest.approx(double[measure])


def test_skew_parts_raw_agreement_from_alpha():
    rng = np.random.default_rng(1)
    seen = np.where(rng.random(5000) < 0.03, 1, 0)
    values = np.array([np.where(rng.random(5000) < 0.03, 1 - seen, seen) for _ in range(2)]).T
    found = of(values, categories=(0, 1))
    assert found["raw"] > 0.92
    assert found["AC1"] > 0.9
    assert found["alpha"] < 0.55


def test_undefined_is_undefined():
    equal = of([[0, 0]] * 5)
    assert np.isnan([equal["alpha"], equal["kappa"]]).all()
    assert (equal["raw"], equal["AC1"]) == (1, 1)
    assert np.isnan(list(of([[0, _], [1, _]]).values())).all(), "one annotator only"
    weighted = of([[0, 0]] * 5, np.ones(5))
    assert np.isnan(weighted["alpha"])


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(5)
    return simulated.study("good", 60, 200, {"careful": 0.97, "hasty": 0.8, "careless": 0.3}, rng)


def agreement(study, annotators, question="polarity", weighted=True, draws=50):
    judgements, key, labels = study
    labels = labels[labels["annotator"].isin([f"simulated-{name}" for name in annotators])]
    table = human_agreement.rated(key, labels, judgements, question)
    found = human_agreement.agreement(table, question, 0.95, draws, np.random.default_rng(1), weighted)
    return found.set_index(["who", "measure"])


def test_simulated_raters_of_known_quality_are_told_apart(study):
    good, poor = agreement(study, ["careful", "hasty"]), agreement(study, ["careful", "careless"])
    for measure in MEASURES:
        assert good.loc[("annotators", measure), "ci_low"] > poor.loc[("annotators", measure), "ci_high"]
    # the simulated judge is right in 93 % of cases, better than the hasty rater
    assert good.loc[("judge − annotators", "kappa"), "estimate"] > 0
    assert poor.loc[("judge − annotators", "kappa"), "estimate"] > 0


def test_weights_give_the_agreement_of_all_completions(study):
    everything = simulated.study("good", 3000, 200, {"careful": 0.97}, np.random.default_rng(6))[0]
    rng = np.random.default_rng(7)
    said = simulated.confused(everything["seen"].to_numpy(), 0.97, rng)
    true = (said == human_agreement.judged(everything, "polarity")).mean()
    found = [
        agreement(study, ["careful"], weighted=weighted).loc[("judge and annotator", "raw")]
        for weighted in (True, False)
    ]
    assert found[0]["ci_low"] <= true <= found[0]["ci_high"]
    assert abs(found[0]["estimate"] - true) < abs(found[1]["estimate"] - true) + 0.02


def test_two_raters_agree_the_same_in_either_order_and_one_alone_with_the_judge_only(study):
    pair = agreement(study, ["careful", "hasty"], draws=50)
    assert pair.loc["annotators", "estimate"].tolist() == pytest.approx(
        pair.loc["two annotators", "estimate"].tolist()
    )
    alone = agreement(study, ["careful"], draws=50)
    assert alone.loc["annotators", "estimate"].isna().all()
    assert alone.loc["judge − annotators", "estimate"].isna().all()
    assert alone.loc["judge and annotator", "ci_low"].notna().all()


def test_called_for_and_strength_are_asked_of_what_is_charged(study):
    judgements, key, labels = study
    called = human_agreement.rated(key, labels, judgements, "called for")
    charged = human_agreement.rated(key, labels, judgements)
    names = [name for name in charged if name.startswith("simulated-")]
    assert called[JUDGE].isna().all()
    both = charged.merge(called, on="item_id", suffixes=("", "_called"), how="left")
    for name in names:
        assert (both[name].ne(0) == both[f"{name}_called"].notna()).all()
    strength = human_agreement.rated(key, labels, judgements, "strength, as ranks")
    assert set(strength[JUDGE].dropna()) <= {-3, -2, -1, 0, 1, 2, 3}
    assert (np.sign(strength[JUDGE]) == charged[JUDGE]).all()


def test_nobody_having_answered_is_an_error_that_says_so(study):
    judgements, key, labels = study
    with pytest.raises(ValueError, match="nobody has answered the question of polarity yet"):
        empty = human_agreement.rated(key, labels.head(0), judgements)
        human_agreement.agreement(empty, "polarity", 0.95, 50, np.random.default_rng(1))


@pytest.fixture(scope="module")
def misfit():
    """A simulated judge whose verdicts are right at a threshold of 1.0, and a run that has 0.2."""
    rng = np.random.default_rng(8)
    judgements, key, labels = simulated.study("good", 60, 200, {"careful": 0.97, "hasty": 0.9}, rng)
    faint = rng.uniform(-0.95, 0.95, len(judgements))
    valence = np.where(
        judgements["charged"], np.sign(judgements["valence"]) * (1 + judgements["valence"].abs() * 0.7), faint
    )
    charged = pd.array(np.abs(valence) > 0.2, dtype="boolean")
    return judgements.assign(valence=valence, charged=charged), key, labels


def test_the_threshold_is_found_again_by_labels_of_other_stems(misfit):
    judgements, key, labels = misfit
    rows = charged_threshold.table(key, labels, judgements)
    thresholds = charged_threshold.cross_fit(rows, judgements["stem_id"], np.random.default_rng(1))
    assert thresholds.between(0.8, 1.35).all()
    assert set(thresholds.index) == set(judgements["stem_id"])
    worth = charged_threshold.worth(rows, thresholds, 0.95, 60, np.random.default_rng(2)).set_index("judge")
    assert worth.loc["difference", "ci_low"] > 0.2
    refitted = charged_threshold.refit(judgements, thresholds)
    assert refitted["charged"].mean() < judgements["charged"].mean() / 2


def test_a_stems_threshold_does_not_know_its_own_labels(misfit):
    judgements, key, labels = misfit
    rows = charged_threshold.table(key, labels, judgements)
    stem = rows["stem_id"].iloc[0]
    changed = rows.assign(polarity=rows["polarity"].where(rows["stem_id"] != stem, -rows["polarity"]))
    one, other = (
        charged_threshold.cross_fit(table, judgements["stem_id"], np.random.default_rng(1))
        for table in (rows, changed)
    )
    assert one[stem] == other[stem]


@pytest.mark.parametrize("charge", ["none", "unclear"])
def test_labels_that_are_all_equal_leave_the_threshold_as_it_is(misfit, charge):
    judgements, key, labels = misfit
    equal = labelling.typed(labels.assign(charge=charge, intensity=pd.NA, called_for=pd.NA))
    rows = charged_threshold.table(key, equal, judgements)
    with pytest.raises(ValueError, match="call all texts of a fold the same, or none; label more"):
        charged_threshold.cross_fit(rows, judgements["stem_id"], np.random.default_rng(1))
    kept, said = annotation_reports.refitted(key, equal, judgements, 0.95, 50, np.random.default_rng(1))
    assert kept is judgements
    assert "stays as it is" in said.data


def test_what_the_page_says_of_labels_that_tell_too_little(study):
    judgements, key, labels = study
    rng = np.random.default_rng(1)
    unclear = labelling.typed(labels.assign(charge="unclear", intensity=pd.NA, called_for=pd.NA))
    nothing = annotation_reports.format_agreement(
        annotation_reports.agreement(key, unclear, judgements, 0.95, 5, rng)
    )
    assert "nobody has said of completions of this run whether they are charged" in nothing.data
    one_text = labels[labels["item_id"] == labels["item_id"].iloc[0]].reset_index(drop=True)
    quantities = annotation_reports.format_quantities(
        annotation_reports.quantities(judgements, key, one_text, 0.95)
    )
    assert "nobody has labelled both completions of a pair" in quantities.data
    one_person = labels[labels["annotator"] == labels["annotator"].iloc[0]].reset_index(drop=True)
    shown = annotation_reports.format_agreement(
        annotation_reports.agreement(key, one_person, judgements, 0.95, 5, rng)
    )
    people = shown[shown["who"] == "annotators"]
    assert (
        len(people)
        and (people["n"] == 0).all()
        and (people[["raw", "alpha", "kappa", "AC1"]] == "undefined").all(axis=None)
    )
    assert (shown.loc[shown["who"] == "judge and annotator", "n"] > 0).all()


def test_without_people_the_page_says_so_and_simulated_raters_do_not_count(study):
    judgements, key, labels = study
    people = annotation_reports.people(labels)
    assert people.empty
    assert set(annotation_reports.progress(labels, key)["counts"]) == {"no: simulated"}
    rng = np.random.default_rng(1)
    table = annotation_reports.agreement(key, people, judgements, 0.95, 50, rng)
    shown = [
        annotation_reports.progress(people, key),
        annotation_reports.format_agreement(table),
        annotation_reports.refitted(key, people, judgements, 0.95, 50, rng)[1],
        annotation_reports.format_quantities(annotation_reports.quantities(judgements, key, people, 0.95)),
    ]
    assert all(annotation_reports.NOT_MEASURED in page.data for page in shown)
    assert "04b_annotation.ipynb" in annotation_reports.how_to(key, "embedded").data
    row = judge_claims.judge_agreement_on_leakage("vader", table, 0.05, 0.95).iloc[0]
    assert (row.verdict, row.reason) == ("inconclusive", "nobody has labelled completions yet")


def test_claim_c1_on_completions_follows_the_interval():
    def verdict(estimate, low, high):
        row = {
            "question": "polarity",
            "weighted": True,
            "who": "judge − annotators",
            "measure": "kappa",
            "n": 90,
            "n_stems": 30,
        }
        table = pd.DataFrame([{**row, "estimate": estimate, "ci_low": low, "ci_high": high}])
        return judge_claims.judge_agreement_on_leakage("j", table, 0.2, 0.95)

    cases = ((0.1, 0.01, 0.19), (-0.4, -0.5, -0.3), (-0.1, -0.3, 0.1), (_, _, _))
    said = [verdict(*numbers)["verdict"].item() for numbers in cases]
    assert said == ["supported", "contradicted", "inconclusive", "inconclusive"]
