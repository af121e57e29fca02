"""Simultaneous and Fieller's intervals: against other implementations, by hand, and how often they hold the
truth."""

import numpy as np
import pytest
from scipy import stats

from lib.stats import inference, simultaneous
from lib.stats.simultaneous import Means

RNG = np.random.default_rng(3)
VALUES, CLUSTERS = (
    RNG.normal(size=(90, 3)) + RNG.normal(size=30).repeat(3)[:, None],
    np.repeat(np.arange(30), [1, 5] * 15),
)


def test_means_have_the_errors_and_degrees_of_freedom_of_a_clustered_mean():
    found = simultaneous.means(VALUES, CLUSTERS)
    for place in range(3):
        alone = inference.clustered_mean(VALUES[:, place], CLUSTERS)
        assert found.estimates[place] == pytest.approx(alone.estimate)
        assert found.errors[place] == pytest.approx(alone.se)
        assert found.df == pytest.approx(alone.df)
    change = found.contrasts(np.array([[1.0, -1.0, 0.0]]))
    paired = inference.clustered_mean(VALUES[:, 0] - VALUES[:, 1], CLUSTERS)
    assert change.errors[0] == pytest.approx(paired.se) and (change.n, change.n_clusters) == (90, 30)


def test_the_quantile_of_the_greatest_t_is_that_of_the_multivariate_t_distribution():
    correlation = np.array([[1, 0.5, 0.2], [0.5, 1, 0.7], [0.2, 0.7, 1]])
    maxima = simultaneous.greatest(Means(np.zeros(3), correlation, 25.0, 90, 30), np.random.default_rng(1))
    critical = np.quantile(maxima, 0.95)
    inside = stats.multivariate_t.cdf(
        [critical] * 3, shape=correlation, df=25, lower_limit=[-critical] * 3, random_state=1
    )
    assert inside == pytest.approx(0.95, abs=0.003)
    alone = simultaneous.greatest(Means(np.zeros(1), np.eye(1), 25.0, 90, 30), np.random.default_rng(1))
    assert np.quantile(alone, 0.95) == pytest.approx(stats.t.ppf(0.975, 25), abs=0.02)
    same = simultaneous.greatest(Means(np.zeros(2), np.ones((2, 2)), 25.0, 90, 30), np.random.default_rng(1))
    assert np.quantile(same, 0.95) == pytest.approx(stats.t.ppf(0.975, 25), abs=0.02), (
        "two that are one cost nothing"
    )


def test_contrasts_that_never_vary_have_no_interval_and_cost_nothing():
    still = Means(np.array([0.0, 1.0]), np.diag([0.0, 0.04]), 25.0, 90, 30)
    maxima = simultaneous.greatest(still, np.random.default_rng(1))
    low, high, p = simultaneous.intervals(still, maxima, 0.95)
    assert np.isnan([low[0], high[0], p[0]]).all()
    assert (low[1], high[1]) == pytest.approx((1 - 0.2 * 2.06, 1 + 0.2 * 2.06), abs=0.01) and p[1] < 0.001
    none = Means(np.zeros(1), np.zeros((1, 1)), 25.0, 90, 30)
    assert np.isnan(simultaneous.greatest(none, np.random.default_rng(1))).all()
    one = simultaneous.means(VALUES, np.zeros(90))
    assert one.n_clusters == 1 and np.isnan(one.errors).all()


@pytest.mark.parametrize(
    ("first", "second", "covariance", "bounds"),
    [
        (2.0, 4.0, np.zeros((2, 2)), (0.5, 0.5)),
        (
            2.0,
            4.0,
            np.diag([1.0, 0.0]),
            (0.0, 1.0),
        ),  # the second is known: the interval of the first, divided by 4
        (2.0, 1.0, np.diag([0.1, 1.0]), (-np.inf, np.inf)),  # the second is not surely other than 0
    ],
)
def test_fieller_by_hand(first, second, covariance, bounds):
    assert simultaneous.fieller(
        Means(np.array([first, second]), covariance, 50.0, 9, 9), 2.0
    ) == pytest.approx(bounds)


def test_the_bounds_of_a_ratio_lie_where_its_contrast_is_critical_standard_errors_from_zero():
    both = Means(np.array([0.3, 0.5]), np.array([[0.01, 0.004], [0.004, 0.008]]), 50.0, 9, 9)
    for bound in simultaneous.fieller(both, 2.0):
        contrast = both.contrasts(np.array([[1.0, -bound]]))
        assert abs(contrast.estimates[0]) / contrast.errors[0] == pytest.approx(2.0)


def test_one_sided_p_is_students():
    found = Means(np.array([0.3, -0.3]), np.diag([0.01, 0.01]), 20.0, 9, 9)
    assert simultaneous.above_zero_p(found) == pytest.approx([stats.t.sf(3, 20), stats.t.cdf(3, 20)])


def test_correlations_that_no_variables_can_have_are_taken_as_near_ones_that_some_can():
    """−0.9 between each two of three has an eigenvalue of −0.8; the nearest that is possible is −0.5."""
    impossible = np.full((3, 3), -0.9) + 1.9 * np.eye(3)
    root = simultaneous._root(impossible)
    np.testing.assert_allclose(root @ root.T, np.full((3, 3), -0.5) + 1.5 * np.eye(3), atol=1e-12)
    maxima = simultaneous.greatest(Means(np.zeros(3), impossible, 25.0, 90, 30), np.random.default_rng(1))
    assert np.isfinite(maxima).all() and 2.06 < np.quantile(maxima, 0.95) < 2.7, (
        "between one contrast and Bonferroni's"
    )
