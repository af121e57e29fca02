"""The meta-regression: published numbers, a case by hand, and what it does with errors that move together."""

import numpy as np
import pytest

from lib.stats import meta_analysis

# Thirteen trials of the BCG vaccine (Colditz et al. 1994): with tuberculosis and without, vaccinated; the
# same, not vaccinated; degrees of latitude from the equator
BCG = np.array(
    [
        (4, 119, 11, 128, 44),
        (6, 300, 29, 274, 55),
        (3, 228, 11, 209, 42),
        (62, 13536, 248, 12619, 52),
        (33, 5036, 47, 5761, 13),
        (180, 1361, 372, 1079, 44),
        (8, 2537, 10, 619, 19),
        (505, 87886, 499, 87892, 13),
        (29, 7470, 45, 7232, 27),
        (17, 1699, 65, 1600, 42),
        (186, 50448, 141, 27197, 18),
        (5, 2493, 3, 2338, 33),
        (27, 16886, 29, 17825, 33),
    ]
)


def test_the_bcg_trials_give_the_published_regression_on_latitude():
    ill, well, ill_control, well_control, latitude = BCG.T
    log_ratio = np.log(ill / (ill + well)) - np.log(ill_control / (ill_control + well_control))
    variance = 1 / ill - 1 / (ill + well) + 1 / ill_control - 1 / (ill_control + well_control)
    found = meta_analysis.fit(log_ratio, np.diag(variance), latitude)
    # metafor (Viechtbauer 2010), rma(yi, vi, mods = ~ ablat, test = "knha"), as its README prints it
    assert found.tau2 == pytest.approx(0.0764, abs=1e-4)
    np.testing.assert_allclose(found.coefficients, [0.2515, -0.0291], atol=5e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), [0.2839, 0.0082], atol=5e-5)
    assert found.slope / found.se == pytest.approx(-3.5483, abs=2e-4)
    assert (found.df, round(found.p, 4)) == (11, 0.0046)
    np.testing.assert_allclose(found.interval(0.95), [-0.0472, -0.0111], atol=5e-5)
    mean, low, high = found.band(np.array([0.0]), 0.95)
    np.testing.assert_allclose([*mean, *low, *high], [0.2515, -0.3735, 0.8764], atol=1e-4)


def test_with_equal_errors_it_is_least_squares_with_t_of_k_minus_2():
    # y = 0, 3, 0, 3 at x = 0 … 3: slope 3/5, residual sum of squares 9 − 5 · (3/5)² = 7.2, variance 3.6 = 1 +
    # tau²
    found = meta_analysis.fit([0, 3, 0, 3], np.eye(4), [0, 1, 2, 3])
    assert found.slope == pytest.approx(0.6)
    assert found.tau2 == pytest.approx(2.6, rel=1e-4)
    assert found.se == pytest.approx(np.sqrt(3.6 / 5), rel=1e-4)
    assert np.diff(found.interval(0.95)) / 2 / found.se == pytest.approx(4.3027, abs=1e-4)  # t(0.975; 2)


def test_estimates_that_happen_to_lie_on_a_line_are_no_surer_than_their_errors():
    found = meta_analysis.fit([0, -1, -2, -3, -4], np.eye(5), range(5))
    assert (found.slope, found.tau2) == (pytest.approx(-1), 0)
    assert found.se == pytest.approx(np.sqrt(1 / 10), rel=1e-6)


@pytest.mark.parametrize("shared", [0.5, 1.0, 100.0])
def test_an_error_that_all_share_cancels_in_the_slope_and_one_along_the_size_does_not(shared):
    x = np.arange(5.0)
    alone = meta_analysis.fit([0, -1, -2, -3, -4], np.eye(5), x)
    level = meta_analysis.fit([0, -1, -2, -3, -4], np.eye(5) + shared, x)
    assert level.se == pytest.approx(alone.se, rel=1e-4)
    along = meta_analysis.fit([0, -1, -2, -3, -4], np.eye(5) + shared * np.outer(x - 2, x - 2), x)
    assert along.se == pytest.approx(np.sqrt(1 / 10 + shared), rel=1e-4)


def test_errors_that_move_as_one_leave_the_differences_to_the_variance_between_models():
    found = meta_analysis.fit([0, 3, 0, 3], np.ones((4, 4)), [0, 1, 2, 3])
    assert found.tau2 == pytest.approx(3.6, rel=1e-3)


@pytest.mark.parametrize(
    ("y", "variance", "x", "message"),
    [
        ([1, 2], [1, 1], [0, 1], "2 estimates"),
        ([1, 2, 3], [1, 1, 1], [2, 2, 2], "1 values of x"),
        ([1, 2, 3], [1, 0, 1], [0, 1, 2], "sampling variance"),
        ([1, np.nan, 3], [1, 1, 1], [0, 1, 2], "sampling variance"),
    ],
)
def test_what_allows_no_line_is_refused(y, variance, x, message):
    with pytest.raises(ValueError, match=message):
        meta_analysis.fit(y, np.diag(variance), x)
