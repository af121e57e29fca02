"""Intervals clustered by stem, equivalence, families of tests, and the bootstrap."""

import gc

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from lib.stats import inference, resamples
from lib.stats.inference import clustered_mean, clustered_slope, equivalence_p, holm, percentile_interval


def test_clustered_mean_by_hand():
    found = clustered_mean([1, 3, np.nan, 5, 7], list("aaabb"))
    # mean 4; residuals -3 -1 1 3, summed by cluster -4 and 4; variance 2/(2 - 1) * (16 + 16) / 4² = 4, so the
    # error is 2 naive: s² = 20/3, error sqrt(20/3/4) = 1.291, ratio 0.6455; t(0.975; 1) = 12.706; p = 1 - 2
    # atan(4/2)/pi = 0.2952
    assert (found.estimate, found.n, found.n_stems) == (4, 4, 2)
    assert (found.se, found.naive_se_ratio, found.p) == pytest.approx((2, 0.6455, 0.2952), abs=1e-4)
    assert (found.ci_low, found.ci_high) == pytest.approx((4 - 25.412, 4 + 25.412), abs=1e-3)


def dense_cr2(values, design, clusters) -> tuple[np.ndarray, float]:
    """What the clusters add to the last coefficient, and degrees of freedom, from matrices as large as the
    data."""
    inverse = np.linalg.inv(design.T @ design)
    hat = design @ inverse @ design.T
    rest = np.eye(len(values)) - hat
    rows = []
    for cluster in np.unique(clusters):
        at = clusters == cluster
        size, vectors = np.linalg.eigh(rest[np.ix_(at, at)])
        root = vectors @ np.diag(np.where(size > 1e-10, size, np.inf) ** -0.5) @ vectors.T
        rows.append((inverse @ design[at].T @ root @ rest[at])[-1])
    contributions = np.array(rows)
    covariance = contributions @ contributions.T
    return contributions @ values, np.trace(covariance) ** 2 / (covariance**2).sum()


@pytest.mark.parametrize("sloped", [False, True])
def test_error_interval_and_p_are_those_of_cr2_with_bell_mccaffrey_freedom(sloped):
    rng = np.random.default_rng(1)
    clusters, size = np.minimum(rng.integers(0, 20, 60), rng.integers(0, 20, 60)), rng.normal(8, 1, 60)
    values = rng.normal(3, 1, 60) + clusters - 2 * size
    design = np.column_stack([np.ones(60), size] if sloped else [np.ones(60)])
    found = clustered_slope(values, size, clusters, 0.9) if sloped else clustered_mean(values, clusters, 0.9)
    contributions, freedom = dense_cr2(values, design, clusters)
    error, skew = (
        np.sqrt((contributions**2).sum()),
        (contributions**3).sum() / (contributions**2).sum() ** 1.5,
    )
    assert found.df < found.n_stems - 1
    assert (found.se, found.df, found.skew) == pytest.approx((error, freedom, skew), rel=1e-10)
    half = stats.t.ppf(0.95, freedom) * error
    student, hall = (found.estimate - half, found.estimate + half), hall_interval(found, 0.9)
    assert (found.ci_low, found.ci_high) == pytest.approx(
        (min(student[0], hall[0]), max(student[1], hall[1]))
    )


def hall_interval(found, confidence) -> tuple[float, float]:
    """The means whose transformed studentised distance from the estimate is at the quantiles of t, found by
    search."""
    tail = (1 - confidence) / 2

    def beyond(mean, quantile):
        t, a = (found.estimate - mean) / found.se, found.skew
        return t + a * t**2 / 3 + a**2 * t**3 / 27 + a / 6 - stats.t.ppf(quantile, found.df)

    far = 99 * found.se
    return tuple(
        optimize.brentq(beyond, found.estimate - far, found.estimate + far, args=(q,))
        for q in (1 - tail, tail)
    )


SKEWED = [0, 0, 0, 1, 0, 2, 0, 9, 1, 0, 30, 2]


def test_a_skewed_mean_has_a_longer_interval_on_the_side_of_its_tail_only():
    found, mirrored = clustered_mean(SKEWED, range(12)), clustered_mean(np.negative(SKEWED), range(12))
    student = DescrStatsW(SKEWED).tconfint_mean()
    assert found.ci_low == pytest.approx(student[0])
    assert found.ci_high > student[1] + 5
    assert (mirrored.ci_low, mirrored.ci_high, mirrored.p) == pytest.approx(
        (-found.ci_high, -found.ci_low, found.p)
    )


@pytest.mark.parametrize("bound", ["ci_low", "ci_high"])
def test_p_is_that_of_the_interval_which_ends_at_zero(bound):
    found = clustered_mean(SKEWED, range(12), confidence=0.9)
    moved = clustered_mean(np.array(SKEWED) - getattr(found, bound), range(12), confidence=0.9)
    assert moved.p == pytest.approx(0.1)


def test_equivalence_is_what_the_interval_of_twice_the_level_says():
    found = clustered_mean(SKEWED, range(12), confidence=0.9)
    assert equivalence_p(found, found.ci_high) == pytest.approx(0.05)
    assert equivalence_p(found, found.ci_high - 1) > 0.05 > equivalence_p(found, found.ci_high + 1)


def test_without_clustering_it_is_statsmodels_hc2_and_with_equal_clusters_its_cluster_error():
    rng = np.random.default_rng(2)
    size, values = rng.normal(8, 1, 60), rng.normal(0, 1, 60)
    plain = sm.OLS(values, sm.add_constant(size)).fit()
    found = clustered_slope(values, size, range(60))
    expected = (plain.params[1], plain.get_robustcov_results("HC2").bse[1])
    assert (found.estimate, found.se) == pytest.approx(expected, rel=1e-12)
    assert found.naive_se_ratio == pytest.approx(plain.bse[1] / found.se, rel=1e-12)
    values, fifths = np.append(values[:30], -values[:30]), np.arange(60) // 5  # not skewed
    fit = sm.OLS(values, np.ones(60)).fit(cov_type="cluster", cov_kwds={"groups": fifths}, use_t=True)
    found = clustered_mean(values, fifths)
    expected = (fit.params[0], fit.bse[0], *fit.conf_int()[0], fit.pvalues[0], 11)
    assert (found.estimate, found.se, found.ci_low, found.ci_high, found.p, found.df) == pytest.approx(
        expected, rel=1e-12
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-100, 100)), min_size=4, max_size=25), st.integers(2, 6)
)
def test_repeating_rows_inside_their_cluster_does_not_narrow_the_interval(rows, times):
    clusters, values = np.array(rows).T
    assume(len(set(clusters)) > 1)
    once, often = (clustered_mean(np.repeat(values, k), np.repeat(clusters, k)) for k in (1, times))
    assert often.n == times * once.n
    expected = (once.estimate, once.ci_low, once.ci_high)
    assert (often.estimate, often.ci_low, often.ci_high) == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_repeating_rows_does_not_narrow_a_slope():
    size, values = np.random.default_rng(2).normal(size=(2, 30))
    once, often = (
        clustered_slope(*(np.repeat(x, k) for x in (values, size, np.arange(30) // 5))) for k in (1, 9)
    )
    assert (often.se, often.df) == pytest.approx((once.se, once.df))


def test_one_cluster_gives_a_mean_and_no_interval():
    found = clustered_mean([1, 2, 6], list("aaa"))
    assert (found.estimate, found.n, found.n_stems) == (3, 3, 1)
    assert np.isnan([found.ci_low, found.ci_high, found.se, found.p]).all()


@pytest.mark.parametrize("value", [0.0, 50.0, 100 / 3])
def test_clusters_that_all_agree_give_no_interval_unless_the_limits_of_the_values_are_known(value):
    found = clustered_mean([value] * 7, list("aabbbcd"))
    assert (found.estimate, found.se) == (pytest.approx(value), 0)
    assert np.isnan([found.ci_low, found.ci_high, found.naive_se_ratio]).all()
    found = clustered_mean([value] * 7, list("aabbbcd"), limits=(-100, 100))
    # were 60.2 % of all stems at a limit, four others would be drawn in 2.5 % of cases: (1 - 0.602)^4 = 0.025
    assert (found.ci_low, found.ci_high) == pytest.approx(
        (value - 0.6024 * (100 + value), value + 0.6024 * (100 - value)), abs=0.02
    )
    # the mean is 0 with a share of v/(100 + v) at -100, and none of four is of them with (100/(100 + v))^4
    assert found.p == pytest.approx(min(1, 2 * (100 / (100 + value)) ** 4))


def test_the_exact_interval_of_agreeing_clusters_is_clopper_and_pearsons():
    found = clustered_mean([0.0] * 24, range(24), limits=(0, 1))
    assert (found.ci_low, found.ci_high) == pytest.approx(
        stats.binomtest(0, 24).proportion_ci(0.95, method="exact")
    )


def test_the_interval_of_a_share_is_wilsons_where_clusters_are_single_values():
    values = np.repeat([100.0, 0.0], [3, 37])
    found = inference.clustered_share(values, range(40), 0.9)
    # single values: error² = p(1 − p) / 39, so 39 effective values, and t of 39 degrees of freedom
    low, high = proportion_confint(0.075 * 39, 39, 2 * stats.norm.sf(stats.t.ppf(0.95, 39)), "wilson")
    assert (found.estimate, found.n, found.n_stems) == (7.5, 40, 40)
    assert (found.ci_low, found.ci_high) == pytest.approx((100 * low, 100 * high))


def test_a_share_of_repeated_values_counts_them_once_and_keeps_the_rest_of_the_mean():
    values, clusters = np.repeat([1.0, 0, 0, 1, 0, 0, 0, 1], 5), np.repeat(np.arange(8), 5)
    found, once = (
        inference.clustered_share(values, clusters, whole=1.0),
        inference.clustered_share(values[::5], range(8), whole=1.0),
    )
    assert (found.ci_low, found.ci_high) == pytest.approx((once.ci_low, once.ci_high))
    mean = clustered_mean(values, clusters)
    assert (found.estimate, found.se, found.p, found.n) == (mean.estimate, mean.se, mean.p, 40)


@pytest.mark.parametrize("yes", [0, 1, 2, 39, 40])
@pytest.mark.parametrize("size", [1, 4])
def test_the_interval_of_a_share_lies_inside_the_scale_and_is_mirrored(yes, size):
    values, clusters = np.repeat([100.0, 0.0], [yes, 40 - yes]), np.arange(40) // size
    found, other = (inference.clustered_share(each, clusters) for each in (values, 100 - values))
    assert 0 <= found.ci_low <= found.estimate <= found.ci_high <= 100 and found.ci_low < found.ci_high
    assert (found.ci_low, found.ci_high) == pytest.approx((100 - other.ci_high, 100 - other.ci_low))
    if yes in (1, 2) and size == 1:
        assert clustered_mean(values, clusters).ci_low < 0 < found.ci_low


@pytest.mark.parametrize("all_of", [0.0, 100.0])
def test_none_or_all_of_n_has_clopper_and_pearsons_interval_of_clusters(all_of):
    found = inference.clustered_share([all_of] * 24, np.arange(24) // 2)
    low, high = stats.binomtest(int(all_of / 100 * 12), 12).proportion_ci(0.95, method="exact")
    assert (found.ci_low, found.ci_high) == pytest.approx((100 * low, 100 * high))


def test_a_share_in_one_cluster_or_of_nothing_has_no_interval():
    one, none = inference.clustered_share([0, 100, 100, 0], list("aaaa")), inference.clustered_share([], [])
    assert (one.estimate, one.n) == (50, 4) and np.isnan(
        [one.ci_low, one.ci_high, none.estimate, none.ci_low, none.ci_high]
    ).all()


def test_the_share_of_a_rare_thing_in_clusters_is_held_as_often_as_promised():
    rng, held = np.random.default_rng(11), 0
    for _ in range(400):
        rates = rng.beta(0.02 * 10, 0.98 * 10, 100)  # 2 % on average, alike within a cluster
        found = inference.clustered_share(
            100.0 * (rng.random((100, 3)) < rates[:, None]).ravel(), np.repeat(np.arange(100), 3)
        )
        held += found.ci_low <= 2 <= found.ci_high
    assert held / 400 > 0.93  # 0.95 but for chance


def test_an_interval_is_cut_at_the_limits_of_its_values():
    values = [-4.0, -4, -4, 0, -1]
    free, cut = clustered_mean(values, range(5)), clustered_mean(values, range(5), limits=(-4, 4))
    assert free.ci_low < -4 and (cut.ci_low, cut.ci_high) == (-4, pytest.approx(free.ci_high))
    assert (cut.estimate, cut.se, cut.p) == (free.estimate, free.se, free.p)


def test_shares_of_each_level_are_those_of_its_rows():
    table = pd.DataFrame({"arm": list("aabbb"), "stem_id": [0, 1, 0, 1, 2], "lost": [0, 100, 0, 0, 100]})
    found = inference.clustered_shares(table, "lost", ["arm"], 0.9).set_index("arm")
    alone = inference.clustered_share([0, 0, 100], [0, 1, 2], 0.9)
    assert (found.loc["b", "ci_low"], found.loc["b", "ci_high"], found.loc["b", "n"]) == (
        alone.ci_low,
        alone.ci_high,
        3,
    )


def test_a_known_slope_is_recovered_and_the_intercept_ignored():
    size, clusters = np.tile([1.0, 2.0, 3.0], 40), np.repeat(np.arange(40), 3)
    values = 100 - 4 * size + np.random.default_rng(3).normal(0, 0.5, 120)
    found = clustered_slope(values, size, clusters)
    assert found.ci_low < -4 < found.ci_high < found.ci_low + 0.5
    assert found.estimate == pytest.approx(np.polyfit(size, values, 1)[0])


def test_holm_by_hand_with_a_missing_p():
    # sorted 0.01 0.03 0.04, times 3 2 1: 0.03 0.06 0.04, and never falling: 0.03 0.06 0.06
    np.testing.assert_allclose(holm([0.01, 0.04, np.nan, 0.03]), [0.03, 0.06, np.nan, 0.06])
    np.testing.assert_allclose(holm([0.7, 0.9]), [1, 1])
    assert np.isnan(holm([np.nan, np.nan])).all() and holm([]).size == 0


def test_holm_is_that_of_statsmodels(monkeypatch):
    monkeypatch.setattr(gc, "collect", lambda *_: 0)  # statsmodels calls it for each family
    p = np.random.default_rng(1).random((200, 7)).round(1)  # with ties
    assert all((holm(family) == multipletests(family, method="holm")[1]).all() for family in p)


@pytest.mark.parametrize("shift", [0.0, 0.6, -1.5])
def test_equivalence_is_statsmodels_on_the_stem_means_of_balanced_data(shift):
    values = np.random.default_rng(5).normal(0, 2, (6, 5))
    values = np.concatenate([shift + values, shift - values])  # not skewed
    expected = DescrStatsW(values.mean(axis=1)).ttost_mean(-1, 1)[0]
    assert equivalence_p(clustered_mean(values.ravel(), np.arange(60) // 5), 1) == pytest.approx(
        expected, rel=1e-6
    )


def test_equivalence_without_spread_or_without_interval():
    for values, clusters in (([2, 2], "ab"), ([1, 2], "aa")):
        assert np.isnan(equivalence_p(clustered_mean(values, list(clusters)), 3))


def test_the_bootstrap_keeps_clusters_whole_and_redraws_their_number():
    frame = pd.DataFrame({"document": list("bcacbc")})  # a once, b twice, c three times, in no order

    def rows_by_document(part):
        return part["document"].value_counts().reindex(list("abc"), fill_value=0).to_numpy()

    drawn, again = (
        resamples.cluster_bootstrap(frame, rows_by_document, "document", 300, np.random.default_rng(6))
        for _ in range(2)
    )
    np.testing.assert_array_equal(drawn, again)
    times = drawn / [1, 2, 3]
    assert (times == times.astype(int)).all()
    assert (times.sum(axis=1) == 3).all()
    np.testing.assert_allclose(times.mean(axis=0), 1, atol=0.2)  # standard error sqrt(2/3/300) = 0.047


def test_percentile_interval_by_hand_and_with_missing_draws():
    draws = np.column_stack([np.arange(101.0), np.arange(101.0)[::-1] - 50])
    np.testing.assert_allclose(percentile_interval(draws, 0.9), [[5, -45], [95, 45]])
    draws[50, 0] = np.nan
    assert np.isfinite(percentile_interval(draws, 0.9)).all()


def test_a_difference_from_something_without_spread_has_no_interval():
    found = inference.difference(clustered_mean([1, 2, 3], list("abc")), clustered_mean([1, 1], list("de")))
    assert (found.estimate, found.n_stems) == (1, 5)
    assert np.isnan([found.ci_low, found.ci_high, found.p]).all()


def test_a_difference_of_two_benchmarks_is_welchs():
    first, second = np.array([-2, -1, -1, 0, 1, 1, 2]) + 1.0, np.array([-9, -3, -2, 2, 3, 9])  # not skewed
    found = inference.difference(
        *(inference.clustered_mean(values, range(len(values))) for values in (first, second))
    )
    welch = stats.ttest_ind(first, second, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue)
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(welch.confidence_interval()))
    assert (found.n, found.n_stems) == (13, 13)


@pytest.mark.parametrize(
    ("values", "side"), [([1, 2, 3, 2], 1), ([-1, -2, -3, -2], -1), ([-1, 0, 1], 0), ([5], 0)]
)
def test_an_estimate_lies_on_one_side_of_zero_only_with_its_whole_interval(values, side):
    assert inference.side_of_zero(inference.clustered_mean(values, range(len(values)))) == side
