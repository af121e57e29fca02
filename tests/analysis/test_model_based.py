"""Leakage by a model beside the mean: they agree where they must, and disagreement and failure are shown."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import leakage, model_based
from lib.report import comparison_reports

RNG = 5


def judged(seed: int, stems: int, groups: int = 1, samples: int = 3, leak: float = 0.3) -> pd.DataFrame:
    """Judgements of a synthetic model: charged completions are somewhat stem's own, and `leak` of them follow
    the context."""
    rng = np.random.default_rng(seed)
    levels = [range(stems), range(groups), ["neutral", "negative", "positive"], range(samples)]
    table = pd.MultiIndex.from_product(levels, names=["stem_id", "group", "arm", "sample_index"]).to_frame(
        index=False
    )
    own = rng.beta(2, 6, stems)[table["stem_id"]]
    side = np.where(rng.random(len(table)) < own, rng.choice([-1, 1], len(table)), 0)
    follows = (rng.random(len(table)) < leak) & (table["arm"] != "neutral")
    side = np.where(follows, table["arm"].map({"negative": -1, "neutral": 0, "positive": 1}), side)
    table["valence"] = side * rng.uniform(1, 3, len(table)) + rng.normal(0, 0.05, len(table))
    table["slot"] = np.where(table["stem_id"] % 2, "open", "closed")
    table["group_id"] = table["stem_id"].astype(str) + "+" + table["group"].astype(str)
    charged = (table["valence"].abs() > 0.5).astype("boolean")
    return table.assign(stem_id=table["stem_id"].astype(str), charged=charged, model="m", mitigation="none")


def answers(judgements: pd.DataFrame, draws: int = 200) -> pd.DataFrame:
    found = model_based.estimates(leakage.pairs(judgements), 0.95, draws, np.random.default_rng(RNG))
    return found.set_index(["quantity", "arm", "slot", "method"]).sort_index()


def test_the_marginal_effect_of_a_balanced_table_is_the_difference_of_proportions():
    # 4 stems of one group and two samples: hits of the negative arm 2, 1, 1, 0 of 2; of the neutral one 1, 0,
    # 0, 0 of 2
    charged, neutral = [-1, -1, -1, 0, -1, 0, 0, 0], [-1, 0, 0, 0, 0, 0, 0, 0]
    rows = [
        {
            "stem_id": f"s{place // 2}",
            "group_id": f"g{place // 2}",
            "sample_index": place % 2,
            "arm": arm,
            "valence": value,
            "charged": value != 0,
            "slot": "open",
        }
        for arm, values in (("negative", charged), ("neutral", neutral))
        for place, value in enumerate(values)
    ]
    found = answers(pd.DataFrame(rows).astype({"charged": "boolean"}).assign(model="m", mitigation="none"))
    assert found.loc[("towards", "negative", "all", "model"), "estimate"] == pytest.approx(
        100 * (4 / 8 - 1 / 8)
    )
    assert found.loc[("towards", "negative", "all", "mean"), "estimate"] == pytest.approx(37.5)
    assert found.loc[("shift", "negative", "all", "model"), "estimate"] == pytest.approx(3 / 8)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_methods_agree_on_sound_data(groups):
    judgements = judged(1, stems=60, groups=groups)
    found = answers(judgements)
    assert len(found) == 2 * 2 * 4 * 3  # quantities, arms, slots and their difference, methods
    estimates = found["estimate"].unstack("method")
    assert np.allclose(estimates["mean"], estimates["model"], atol=0.01)
    assert np.allclose(estimates["mean"], estimates["bootstrap"])
    errors = found["se"].unstack("method")
    assert errors.div(errors["mean"], axis=0).stack().between(0.75, 1.33).all()
    assert model_based.disagreements(found.reset_index()).empty
    assert "In 16 of 16 rows neither" in comparison_reports.estimates_summary(found.reset_index())


def test_slots_differ_by_the_difference_of_their_estimates():
    found = answers(judged(2, stems=40))["estimate"].unstack("slot")
    assert np.allclose(found["closed"] - found["open"], found["closed − open"], atol=1e-4)


def test_a_known_leak_is_recovered_by_every_method():
    found = answers(judged(3, stems=150, leak=0.3)).loc[("towards", "negative", "all")]
    # of a stem's completions, charged in either direction; 30 % of all others become charged so
    own = 2 / 8 / 2
    truth = 100 * 0.3 * (1 - own)
    assert ((found["ci_low"] < truth) & (truth < found["ci_high"])).all()


def test_repeating_samples_inside_a_stem_narrows_nothing():
    once = judged(4, stems=30)
    often = pd.concat([once.assign(sample_index=once["sample_index"] + 3 * again) for again in range(4)])
    one, other = answers(once), answers(often)
    assert (other["n"] == 4 * one["n"]).all()
    assert np.allclose(
        one[["estimate", "ci_low", "ci_high"]], other[["estimate", "ci_low", "ci_high"]], rtol=0.02, atol=0.02
    )


def test_a_model_that_fails_is_a_row_that_says_so(monkeypatch):
    monkeypatch.setattr(model_based, "_converged", lambda fit: None)
    found = answers(judged(5, stems=20)).reset_index()
    failed = found[found["method"] == "model"]
    assert (failed["said"] == "did not converge").all()
    assert failed[["estimate", "ci_low", "ci_high"]].isna().all(axis=None)
    told = model_based.disagreements(found)
    assert (told.loc[told["method"] == "model", "disagreement"] == "did not converge").sum() == len(failed)
    assert comparison_reports.estimates_by_method(found)["model"].str.endswith("did not converge").all()


def test_a_fit_that_does_not_converge_or_breaks_is_no_fit():
    class Fit:
        converged = False

    assert model_based._converged(Fit) is None
    Fit.converged = True
    assert isinstance(model_based._converged(Fit), Fit)
    assert model_based._converged(lambda: np.linalg.inv(np.zeros((2, 2)))) is None


def test_nothing_charged_has_no_odds():
    judgements = judged(6, stems=20).assign(charged=pd.array([False] * 180, "boolean"))
    found = answers(judgements)
    model = found.loc[("towards", "negative", "all", "model")]
    assert model["said"].startswith("no odds")
    assert found.loc[("towards", "negative", "all", "mean"), "estimate"] == 0


def test_one_stem_has_a_mean_and_no_interval():
    found = answers(judged(7, stems=1)).reset_index()
    assert (found["slot"] == "all").all()
    assert found[["ci_low", "ci_high"]].isna().all(axis=None)
    assert found.loc[found["method"] == "mean", "estimate"].notna().all()
    assert model_based.disagreements(found).empty
    assert comparison_reports.estimates_summary(found) == "No mean has an interval: nothing can be compared."


def test_slots_that_are_not_told_apart():
    found = answers(judged(8, stems=20).assign(slot="unknown")).reset_index()
    assert set(found["slot"]) == {"all"}
    assert set(found["method"]) == set(model_based.METHODS)


def test_no_charged_pairs():
    judgements = judged(9, stems=4)
    found = answers(judgements[judgements["arm"] == "neutral"]).reset_index()
    assert found.empty
    assert comparison_reports.estimates_by_method(found).empty


def method(name: str, estimate: float, low: float, high: float, said: str = "") -> dict:
    named = {"quantity": "towards", "arm": "negative", "slot": "all", "method": name, "n": 9, "n_stems": 3}
    return {
        **named,
        "estimate": estimate,
        "ci_low": low,
        "ci_high": high,
        "se": (high - low) / 4,
        "said": said,
    }


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (method("model", 4.0, 0.5, 7.5), ""),
        (method("model", 4.0, -0.5, 8.5), "only one interval excludes 0"),
        (method("model", 6.5, 2.5, 10.5), "2.5 away, the standard error being 1.5"),
        (
            method("model", 2.0, -1.0, 5.0),
            "only one interval excludes 0, 2 away, the standard error being 1.5",
        ),
        (method("model", np.nan, np.nan, np.nan, "did not converge"), "did not converge"),
    ],
)
def test_what_counts_as_disagreement(other, told):
    table = pd.DataFrame([method("mean", 4.0, 1.0, 7.0), method("bootstrap", 4.0, 1.1, 7.2), other])
    found = model_based.disagreements(table)
    assert found["disagreement"].tolist() == ([told] if told else [])
    shown = comparison_reports.estimates_by_method(table)
    assert shown["disagreement"].tolist() == ([f"model: {told}"] if told else ["none"])
    assert (f"{told} (GEE)" in comparison_reports.estimates_summary(table)) == bool(told)
