"""Intervals clustered by stem, equivalence, families of tests, and the bootstrap."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from lib.inference import (
    Estimate,
    cluster_bootstrap,
    clustered_mean,
    clustered_means,
    clustered_slope,
    equivalence_p,
    holm,
    percentile_interval,
)


def test_clustered_mean_by_hand():
    found = clustered_mean([1, 3, 5, 7], list("aabb"))
    # mean 4; residuals -3 -1 1 3, summed by cluster -4 and 4; variance 2/(2 - 1) * (16 + 16) / 4² = 4, so the error is 2
    # naive: s² = 20/3, error sqrt(20/3/4) = 1.291, ratio 0.6455; t(0.975; 1) = 12.706; p = 1 - 2 atan(4/2)/pi = 0.2952
    assert (found.estimate, found.n, found.n_stems) == (4, 4, 2)
    assert found.error == pytest.approx(2)
    assert found.error_ratio == pytest.approx(0.6455, abs=1e-4)
    assert (found.low, found.high) == pytest.approx((4 - 25.412, 4 + 25.412), abs=1e-3)
    assert found.p == pytest.approx(0.2952, abs=1e-4)


def test_clustered_mean_is_the_sandwich_with_few_cluster_correction():
    rng = np.random.default_rng(1)
    clusters = rng.integers(0, 9, 60)
    values = rng.normal(3, 1, 60) + clusters
    residual_sums = np.bincount(clusters, values - values.mean())
    error = np.sqrt(9 / 8 * (residual_sums**2).sum()) / 60
    half = stats.t.ppf(0.95, 8) * error
    found = clustered_mean(values, clusters, confidence=0.9)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_missing_values_are_left_out():
    found = clustered_mean([1, 3, np.nan, 5, 7, np.nan], list("aaabbc"))
    assert found == clustered_mean([1, 3, 5, 7], list("aabb"))


VALUES = st.lists(st.tuples(st.integers(0, 4), st.integers(-100, 100)), min_size=4, max_size=25)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=VALUES, times=st.integers(2, 6))
def test_repeating_rows_inside_their_cluster_does_not_narrow_the_interval(rows, times):
    clusters, values = np.array(rows).T
    assume(len(set(clusters)) > 1)
    once = clustered_mean(values, clusters)
    repeated = clustered_mean(np.repeat(values, times), np.repeat(clusters, times))
    assert repeated.n == times * once.n
    assert (repeated.estimate, repeated.low, repeated.high) == pytest.approx((once.estimate, once.low, once.high), abs=1e-6)


def test_repeating_rows_narrows_a_slope_by_the_small_sample_factor_only():
    rng = np.random.default_rng(2)
    size, clusters = rng.normal(8, 1, 30), np.repeat(np.arange(6), 5)
    values = rng.normal(size=30)
    once = clustered_slope(values, size, clusters)
    often = clustered_slope(np.repeat(values, 9), np.repeat(size, 9), np.repeat(clusters, 9))
    factor = (29 / 28) / (269 / 268)  # (n - 1)/(n - 2) with 30 and with 270 rows
    assert often.error * np.sqrt(factor) == pytest.approx(once.error)


def test_one_cluster_gives_a_mean_and_no_interval():
    found = clustered_mean([1, 2, 6], list("aaa"))
    assert (found.estimate, found.n, found.n_stems) == (3, 3, 1)
    assert np.isnan([found.low, found.high, found.error, found.p]).all()
    nothing = clustered_mean([np.nan], ["a"])
    assert np.isnan(nothing.estimate)
    assert nothing.n == 0


@pytest.mark.parametrize("value", [0.0, 50.0, 100 / 3])
def test_constant_values_give_a_zero_width_interval_there(value):
    found = clustered_mean([value] * 7, list("aabbbcd"))
    assert found.low == found.estimate == found.high == pytest.approx(value)
    assert found.error == 0


def test_a_known_slope_is_recovered_and_the_intercept_ignored():
    size, clusters = np.tile([1.0, 2.0, 3.0], 40), np.repeat(np.arange(40), 3)
    noise = np.random.default_rng(3).normal(0, 0.5, 120)
    found = clustered_slope(100 - 4 * size + noise, size, clusters)
    assert found.low < -4 < found.high
    assert found.high - found.low < 0.5
    assert found.estimate == pytest.approx(np.polyfit(size, 100 - 4 * size + noise, 1)[0])


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(300):
        stem_effect = rng.exponential(1, 30)  # skewed, mean 1
        found = clustered_mean(np.repeat(stem_effect, 4) + rng.normal(size=120), np.repeat(np.arange(30), 4))
        held += found.low <= 1 <= found.high
    assert 0.90 <= held / 300 <= 0.98


def test_clustered_means_has_one_row_for_each_combination():
    table = pd.DataFrame({"model": list("xxxxyy"), "stem_id": list("aabbab"), "net": [1, 3, 5, 7, 2, 2]})
    found = clustered_means(table, "net", ["model"], 0.95).set_index("model")
    assert found.loc["x", ["estimate", "error", "n"]].tolist() == pytest.approx([4, 2, 4])
    assert found.loc["y", ["estimate", "low", "high", "n"]].tolist() == [2, 2, 2, 2]


def test_holm_by_hand_with_a_missing_p():
    # sorted 0.01 0.03 0.04, times 3 2 1: 0.03 0.06 0.04, and never falling: 0.03 0.06 0.06
    np.testing.assert_allclose(holm([0.01, 0.04, np.nan, 0.03]), [0.03, 0.06, np.nan, 0.06])
    np.testing.assert_allclose(holm([0.7, 0.9]), [1, 1])
    assert np.isnan(holm([np.nan, np.nan])).all()


@pytest.mark.parametrize("shift", [0.0, 0.6, -1.5])
def test_equivalence_is_statsmodels_on_the_stem_means_of_balanced_data(shift):
    values = np.random.default_rng(5).normal(shift, 2, (12, 5))
    found = clustered_mean(values.ravel(), np.repeat(np.arange(12), 5))
    expected = DescrStatsW(values.mean(axis=1)).ttost_mean(-1, 1)[0]
    assert equivalence_p(found, 1) == pytest.approx(expected, rel=1e-6)


def test_equivalence_without_spread_or_without_interval():
    assert equivalence_p(clustered_mean([2.0, 2.0], ["a", "b"]), 3) == 0
    assert equivalence_p(clustered_mean([3.0, 3.0], ["a", "b"]), 3) == 1  # at the margin is not inside it
    assert np.isnan(equivalence_p(Estimate(0.0, np.nan, np.nan, 5, 1, np.nan, np.nan, np.nan), 3))


def test_the_bootstrap_keeps_clusters_whole_and_redraws_their_number():
    frame = pd.DataFrame({"document": list("bcacbc")})  # a once, b twice, c three times, in no order

    def rows_by_document(part):
        return part["document"].value_counts().reindex(list("abc"), fill_value=0).to_numpy()

    drawn = cluster_bootstrap(frame, rows_by_document, "document", 300, np.random.default_rng(6))
    assert drawn.shape == (300, 3)
    times = drawn / [1, 2, 3]
    assert (times == times.astype(int)).all()
    assert (times.sum(axis=1) == 3).all()
    np.testing.assert_allclose(times.mean(axis=0), 1, atol=0.2)  # standard error sqrt(2/3/300) = 0.047
    again = cluster_bootstrap(frame, rows_by_document, "document", 300, np.random.default_rng(6))
    np.testing.assert_array_equal(drawn, again)


def test_percentile_interval():
    draws = np.column_stack([np.arange(101.0), np.arange(101.0)[::-1] - 50])
    np.testing.assert_allclose(percentile_interval(draws, 0.9), [[5, -45], [95, 45]])
    draws[7:9, 0] = np.nan  # a statistic that could not be had in some draws
    assert np.isfinite(percentile_interval(draws, 0.9)).all()
