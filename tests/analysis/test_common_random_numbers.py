"""What shared noise buys: found where it is there, nothing where it is not."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import common_random_numbers, leakage


def judgements(shared: float, stems: int = 80, samples: int = 5, seed: int = 0) -> pd.DataFrame:
    """Valences of three arms: noise of which the share `shared` of the variance is common to the arms of a
    draw."""
    rng = np.random.default_rng(seed)
    rows = []
    for stem in range(stems):
        for draw in range(samples):
            common = rng.normal()
            for arm, sign in {"neutral": 0, "negative": -1, "positive": 1}.items():
                noise = np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.normal()
                rows.append(
                    {
                        "model": "m",
                        "mitigation": "none",
                        "group_id": f"g{stem}",
                        "stem_id": f"s{stem}",
                        "arm": arm,
                        "sample_index": draw,
                        "valence": 0.5 * sign + noise,
                    }
                )
    table = pd.DataFrame(rows)
    return table.assign(charged=table["valence"].abs() > 1)


def variance_reduction(table: pd.DataFrame) -> pd.DataFrame:
    return common_random_numbers.variance_reduction(table, 0.95, 200, np.random.default_rng(1)).set_index(
        "quantity"
    )


def test_independent_draws_gain_nothing():
    found = variance_reduction(judgements(0.0))
    assert ((found["ci_low"] < 0) & (found["ci_high"] > 0)).all()


def test_shared_noise_narrows_the_shift_by_what_theory_says():
    found = variance_reduction(judgements(0.75)).loc["shift"]
    # towards − towards of the two polarities: neutral cancels, and the variance of the rest falls by the
    # share in common
    assert found["narrower"] == pytest.approx(100 * (1 - np.sqrt(0.25)), abs=6)
    assert found["ci_low"] > 30


def test_estimates_of_differences_do_not_depend_on_the_matching():
    found = variance_reduction(judgements(0.5))
    for quantity in set(leakage.QUANTITIES) - {"leak"}:
        assert found.loc[quantity, "shared"] == pytest.approx(found.loc[quantity, "independent"])


def test_unscored_and_further_draws_leave_stems_and_draws_out_and_not_everything():
    table = judgements(0.75).astype({"charged": "boolean"})
    table.loc[(table["stem_id"] == "s0") & (table["sample_index"] == 1), ["valence", "charged"]] = (
        np.nan,
        pd.NA,
    )
    fewer = table[(table["arm"] != "neutral") | (table["sample_index"] < 3)]
    found = variance_reduction(fewer).loc["shift"]
    assert (found["n_stems"], found["samples"]) == (79, 3)
    assert found["narrower"] == pytest.approx(50, abs=8)


@pytest.mark.parametrize("samples", [1, 2])
def test_too_few_draws_are_not_matched_anew(samples):
    assert variance_reduction(judgements(0.5, samples=samples))["narrower"].isna().all()
