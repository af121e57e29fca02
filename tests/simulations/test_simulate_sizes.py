"""The simulation of families of `make simulate` in short: few false alarms of C2; and that it is of what the
project computes."""

import numpy as np
import pytest

from lib.analysis import scaling
from tests.simulations import simulate_sizes


def test_a_simulated_study_is_tested_as_its_pairs_are():
    sizes = simulate_sizes.FAMILIES[5]
    means = simulate_sizes.study(sizes, 3.0, -5.0, simulate_sizes.ALONG, np.random.default_rng(1))
    row = scaling.meta_regression(simulate_sizes.pairs(means, sizes), "net", 0.95).iloc[0]
    found = simulate_sizes.tested(means, sizes)
    assert (row["estimate"], row["se"]) == (pytest.approx(found.slope), pytest.approx(found.se, rel=1e-3))
    assert (row["p"], row["tau2"]) == (pytest.approx(found.p, rel=1e-3), pytest.approx(found.tau2, rel=1e-3))


def test_models_that_differ_are_rarely_taken_for_a_change_with_size():
    table = simulate_sizes.shares(200, between=(0.0, 3.0))
    assert simulate_sizes.too_many(table).empty, table
    alarms = table[table["between"] == 3]["stems alone, %"]
    assert (alarms > 20).any(), "a line that takes the models for all there are finds changes where none is"
