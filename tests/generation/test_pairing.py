"""Draws are compared with their equals or with the mean of all: by hand, without bias, no more noisily than
single draws."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import leakage
from lib.claims import mitigation
from tests import simulated_studies

KEY = ["model", "mitigation", "group_id"]


def draws(arm: str, valences: list[float], group: str = "g", mitigation: str = "none") -> pd.DataFrame:
    table = pd.DataFrame({"valence": valences, "sample_index": range(len(valences))})
    charged = (table["valence"].abs() > 0.2).astype("boolean").mask(table["valence"].isna())
    place = {
        "model": "m",
        "mitigation": mitigation,
        "group_id": group,
        "stem_id": group,
        "arm": arm,
        "slot": "open",
    }
    return table.assign(**place, charged=charged, repeats=False)


def shifts(*parts: pd.DataFrame, **given) -> list[float]:
    return leakage.pairs(pd.concat(parts, ignore_index=True), **given)["shift"].tolist()


@pytest.mark.parametrize(
    ("charged", "reference", "expected", "single"),
    [  # shift of each positive draw: as compared, and with its partner alone
        ([1, 2], [0, 1], [1, 1], [1, 1]),  # equal draws
        ([1, 2], [0, np.nan], [1, np.nan], [1, np.nan]),  # equal draws, one of them unscored
        ([1, 2, 3, 4], [0, 1], [0.5, 1.5, 2.5, 3.5], [1, 1, 3, 3]),  # less the mean 0.5; less 0, 1, 0, 1
        ([1, 2, 3], [0, 1], [0.5, 1.5, 2.5], [1, 1, 3]),
        ([1], [0, 1, 2], [0], [1]),  # less the mean 1; less the equal 0
        (
            [1, 2, 3, 4],
            [0, np.nan],
            [1, 2, 3, 4],
            [1, np.nan, 3, np.nan],
        ),  # an unscored reference takes no draw along
        ([1, np.nan, 3], [0, 1], [0.5, np.nan, 2.5], [1, np.nan, 3]),
        ([1, 2, 3], [np.nan], [np.nan] * 3, [np.nan] * 3),
        ([1, 2], [], [], []),  # no reference, no pair
    ],
)
def test_a_draw_is_compared_with_its_equal_or_with_the_mean_of_all(charged, reference, expected, single):
    parts = draws("positive", charged), draws("neutral", reference)
    np.testing.assert_array_equal(shifts(*parts), expected)
    np.testing.assert_array_equal(shifts(*parts, matched=True), single)


def test_the_partner_is_the_equal_draw_or_the_draws_counted_round():
    table = leakage.pairs(
        pd.concat([draws("positive", [0.0] * 5), draws("negative", [0.0]), draws("neutral", [0.0] * 2)])
    )
    assert table.loc[table["arm"] == "positive", "partner"].tolist() == [0, 1, 0, 1, 0]
    assert table.loc[table["arm"] == "negative", "partner"].tolist() == [0]


def test_verdicts_against_a_mean_by_hand():
    parts = draws("negative", [-1.0, 1.0, 0.0]), draws("neutral", [-1.0, 0.0])
    table = leakage.pairs(pd.concat(parts))
    # half of the references are charged negatively, none positively
    assert table["towards"].tolist() == [50, -50, -50] and table["away"].tolist() == [0, 100, 0]
    assert (
        table["towards_reference"].tolist() == [0.5] * 3 and table["valence_reference"].tolist() == [-0.5] * 3
    )
    assert table["leak"].tolist() == [75, 0, 25]


def test_equal_draws_give_bit_for_bit_what_a_merge_on_the_sample_index_gives():
    judgements = simulated_studies.judgements(
        simulated_studies.draw(0.1, 0.5, 2, 20, np.random.default_rng(1))
    )
    key = [*KEY, "sample_index"]
    base = judgements.loc[judgements["arm"] == "neutral", [*key, "valence", "charged"]]
    for arm, sign in leakage.DIRECTIONS.items():
        merged = judgements[judgements["arm"] == arm].merge(base, on=key, suffixes=("", "_other"))
        own, other = sign * merged["valence"], sign * merged["valence_other"]
        charged, other_charged = (
            merged[name].fillna(False).astype(bool) for name in ("charged", "charged_other")
        )
        towards = 100.0 * ((charged & (own > 0)).astype(int) - (other_charged & (other > 0)).astype(int))
        towards[own.isna() | other.isna()] = np.nan
        found = leakage.pairs(judgements).query("arm == @arm")
        assert found["towards"].to_numpy().tobytes() == towards.to_numpy().tobytes()
        assert found["shift"].to_numpy().tobytes() == (own - other).to_numpy().tobytes()


def test_a_mitigation_that_the_reference_was_not_asked_under_has_the_unmitigated_reference():
    bare = [draws("positive", [2.0, 4.0]), draws("neutral", [1.0, 3.0])]
    asked = draws("positive", [1.0], mitigation="calm")
    table = leakage.pairs(pd.concat([*bare, asked], ignore_index=True)).set_index("mitigation")
    assert table.loc["calm", "shift"] == 1 - 2  # less the mean of the unmitigated references
    own = draws("neutral", [0.0], mitigation="calm")
    assert leakage.pairs(pd.concat([*bare, asked, own])).set_index("mitigation").loc["calm", "shift"] == 1


@pytest.mark.parametrize("neutral", [[], [0.5], [5.0]])
def test_what_a_mitigation_changes_over_both_polarities_does_not_hang_on_the_reference(neutral):
    bare = [
        draws("positive", [2.0, 4.0, 3.0]),
        draws("negative", [-1.0, 0.0, 1.0]),
        draws("neutral", [1.0, 3.0, 2.0]),
    ]
    calm = [
        draws("positive", [1.0], mitigation="calm"),
        draws("negative", [-1.0], mitigation="calm"),
        draws("neutral", neutral, mitigation="calm"),
    ]
    found = mitigation.effects(
        leakage.pairs(pd.concat([*bare, *calm], ignore_index=True)), {"calm": []}, 0.25, 0.95
    ).iloc[0]
    # all three unmitigated draws count: half the distance of the polarities falls from (3 - 0) / 2 to (1 + 1)
    # / 2
    assert found["n"] == 2 and found["baseline"] == 1.5 and found["estimate"] == pytest.approx(1 - 1.5)


def simulated(k: int, n: int, rho: float, groups: int, rng: np.random.Generator) -> pd.DataFrame:
    """Groups of k charged and n neutral draws of variance 1, of which equal draws have the correlation `rho`;
    no leak."""
    shared = rng.normal(size=(groups, max(k, n)))
    arms = {}
    for arm, count in (("positive", k), ("neutral", n)):
        arms[arm] = np.sqrt(rho) * shared[:, :count] + np.sqrt(1 - rho) * rng.normal(size=(groups, count))
    rows = [
        pd.DataFrame(
            {
                "group_id": np.repeat([f"g{group}" for group in range(groups)], values.shape[1]),
                "arm": arm,
                "sample_index": np.tile(range(values.shape[1]), groups),
                "valence": values.ravel(),
            }
        )
        for arm, values in arms.items()
    ]
    return pd.concat(rows, ignore_index=True).assign(model="m", mitigation="none", charged=False)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.7])
@pytest.mark.parametrize(("k", "n"), [(4, 2), (3, 2), (1, 3), (2, 4), (3, 3)])
def test_the_variance_of_a_group_is_as_stated_and_no_greater_than_with_single_draws(k, n, rho):
    table = simulated(k, n, rho, 3000, np.random.default_rng([k, n, round(10 * rho)]))
    mean, single = (
        leakage.pairs(table, matched=matched).groupby("group_id")["shift"].mean() for matched in (False, True)
    )
    stated = 1 / k + 1 / n - 2 * rho / max(k, n)
    assert mean.var() == pytest.approx(stated, rel=0.1)
    assert abs(mean.mean()) < 4 * np.sqrt(stated / 3000)
    if k >= n or rho < 0.5:
        assert mean.var() < 1.03 * single.var()
    else:
        assert single.var() < mean.var()


def test_weighing_equal_draws_more_saves_what_is_stated():
    k, n, rho = 1, 3, 0.3
    # the charged draw, three references
    correlation = np.array([[1, rho, 0, 0], [rho, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    on_equal = np.linspace(0, 1, 1001)
    weights = np.column_stack([np.ones_like(on_equal), -on_equal, -(1 - on_equal) / 2, -(1 - on_equal) / 2])
    best = np.einsum("wi,ij,wj->w", weights, correlation, weights).min()
    plain = 1 / k + 1 / n - 2 * rho / n
    assert plain - best == pytest.approx(rho**2 * (1 / k - 1 / n), abs=1e-4)
    assert (plain - best) / plain == pytest.approx(0.05, abs=0.005)
