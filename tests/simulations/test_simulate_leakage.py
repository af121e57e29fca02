"""The simulations of `make simulate` in short: coverage, placebo rule, power; and that they are of what the
project computes."""

import numpy as np
import pytest

from lib.analysis import leakage
from tests import simulated_studies
from tests.simulations import simulate_leakage


@pytest.mark.parametrize("leak", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("matched", [True, False])
def test_the_sums_of_a_simulation_give_the_estimates_of_its_judgements(leak, matched):
    valence = simulated_studies.draw(leak, 0.3, 4, 24, np.random.default_rng(3))
    pairs = leakage.pairs(simulated_studies.judgements(valence), matched=matched)
    found = leakage.summarise(leakage.charged_pairs(pairs), ["model"], 0.95)
    for quantity in leakage.QUANTITIES:
        every = quantity == "leak" and not matched
        summed = (simulated_studies.all_against_all if every else simulated_studies.sums)(valence)
        of_table = found[found["quantity"] == quantity]
        low, high = simulate_leakage.CHOSEN(summed[quantity], summed["n"])
        np.testing.assert_allclose(of_table[["ci_low", "ci_high"]].to_numpy().T, [low, high], rtol=1e-10)
        np.testing.assert_array_equal(of_table["n"], summed["n"].sum(axis=1))


@pytest.mark.parametrize("arms", [("negative",), ("positive",), ("negative", "positive")])
def test_the_truth_is_the_mean_of_very_many_stems(arms):
    valence = simulated_studies.draw(0.3, 0.3, 1, 40_000, np.random.default_rng(1))
    summed, true = simulated_studies.sums(valence, arms), simulated_studies.truth(0.3, arms)
    for quantity in leakage.QUANTITIES:
        mean, error = (
            summed[quantity].sum() / summed["n"].sum(),
            np.std(summed[quantity] / np.maximum(summed["n"], 1)) / 200,
        )
        assert mean == pytest.approx(true[quantity], abs=4 * error)


def test_every_neutral_completion_of_a_group_is_matched_by_hand():
    valence = {"neutral": np.array([[[[0.0, 2.0]]]]), "negative": np.array([[[[-1.0, np.nan]]]])}
    found = simulated_studies.all_against_all(valence, ("negative",))
    # against 0: leak 100, towards 100, shift 1; against 2: leak 100, towards 100, away -100, shift 3
    assert {name: values.item() for name, values in found.items()} == {
        "leak": 100,
        "towards": 100,
        "away": -50,
        "net": 150,
        "shift": 2,
        "n": 1,
    }


def test_intervals_hold_the_truth_as_often_as_they_say():
    found = simulate_leakage.coverage(400, simulate_leakage.SPREAD, (simulate_leakage.CHOSEN,), (24, 60))
    own = 3 * simulate_leakage.error(95, 400)
    assert found[simulate_leakage.CHOSEN.__name__].between(93 - own, 97 + own).all()
    assert found["other matching"].between(93 - own, 97 + own).all()


def test_where_matches_leak_too_intervals_by_stem_fall_short_and_those_of_the_design_do_not():
    found = simulate_leakage.design_coverage(150, (36,), (1, 3))
    own = 3 * simulate_leakage.error(95, 150)
    assert found["design"].between(93 - own, 97 + own).all()
    assert set(found["clusters"]) == {"matches", "stems and matches"}
    assert (found["match adds"] > 3).all()
    assert (
        found.loc[found["groups a stem"] == 3, "by stem"] < found.loc[found["groups a stem"] == 3, "design"]
    ).all()


def test_the_truth_of_a_design_is_the_mean_of_very_many_studies():
    rng = np.random.default_rng(2)
    groups = simulated_studies.design(36, 3, rng)
    valence, leak = simulated_studies.of_design(groups, *simulate_leakage.LEAK_OF_BOTH, 400, 1, rng)
    for arm in leakage.DIRECTIONS:
        net = simulated_studies.of_groups(valence, arm)["net"].mean(axis=1)
        assert simulated_studies.truth(leak, (arm,))["net"] == pytest.approx(
            net.mean(), abs=4 * net.std() / 20
        )


def test_the_placebo_rule_spares_sound_runs_and_catches_a_judge_of_lengths():
    assert (simulate_leakage.false_alarms(1000, (24, 60))["false alarms, %"] <= 5).all()
    biased = simulate_leakage.caught(10, (24,), (simulate_leakage.LONGER,))
    assert biased["caught"].item() == biased["runs"].item() == 10


def test_planned_designs_reach_their_power():
    found = simulate_leakage.planned_power(2000, ((1, 5),), (5.0,))
    assert set(found["values"]) == {"skewed verdicts", "normal values"}
    assert (found["stems"] >= 60).all()
    assert ((found["power, %"] - 80).abs() <= 3).all()
