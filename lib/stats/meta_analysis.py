"""Meta-regression of estimates on a covariate; estimates vary beyond their sampling errors by tau².

The mixed-effects model is y ~ N(Xb, V + tau² I) of Berkey et al. (1995). V is the covariance of the
estimates' sampling errors, which need not be independent. tau² is the variance between the units (here
models), by restricted maximum likelihood. Intervals are those of Knapp & Hartung (2003), Student's t with k −
2 degrees of freedom for k estimates, but never shorter than V + tau² allows. Their factor is the residual
scatter divided by the expected scatter (the `scale` of statsmodels' GLS). It counts as at least 1 (Röver,
Knapp & Friede 2015), because few estimates may lie on a line by chance.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

MIN_ESTIMATES = 3  # fewer leave no degrees of freedom


@dataclass(frozen=True)
class MetaRegression:
    """A fitted line y = b0 + b1 x."""

    coefficients: np.ndarray  # b0, b1
    covariance: np.ndarray  # of b0 and b1, shape (2, 2)
    tau2: float  # variance between the units, in squared units of y
    df: int  # degrees of freedom

    @property
    def slope(self) -> float:
        """The slope, in units of y per unit of x."""
        return float(self.coefficients[1])

    @property
    def se(self) -> float:
        """The standard error of the slope."""
        return float(np.sqrt(self.covariance[1, 1]))

    @property
    def p(self) -> float:
        """The two-sided p of the slope against 0."""
        return float(2 * stats.t.sf(abs(self.slope) / self.se, self.df))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the confidence interval of the slope."""
        half_width = stats.t.ppf((1 + confidence) / 2, self.df) * self.se
        return self.slope - half_width, self.slope + half_width

    def band(self, x: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the line at each of `x`, and both bounds of its pointwise confidence interval."""
        design = _with_constant(np.asarray(x, dtype=float))
        mean = design @ self.coefficients
        se = np.sqrt(np.einsum("ij,jk,ik->i", design, self.covariance, design))
        half_width = stats.t.ppf((1 + confidence) / 2, self.df) * se
        return mean, mean - half_width, mean + half_width


def fit(y, covariance, x) -> MetaRegression:
    """Fit the meta-regression of `y` on `x`.

    Args:
        y: The estimates, shape (k,).
        covariance: The covariance of their sampling errors, shape (k, k).
        x: The covariate, shape (k,).

    Raises:
        ValueError: If there are fewer than 3 estimates, fewer than 2 values of `x`, or an estimate without a
            sampling variance.
    """
    y, covariance, x = (np.asarray(values, dtype=float) for values in (y, covariance, x))
    if len(y) < MIN_ESTIMATES or len(np.unique(x)) < 2:
        raise ValueError(
            f"{len(y)} estimates at {len(np.unique(x))} values of x: a line with an error takes 3 at 2 or "
            "more"
        )
    if not (np.isfinite(y).all() and (np.diag(covariance) > 0).all()):
        raise ValueError(
            "an estimate has no value or no sampling variance: leave it out, or say why nothing is fitted"
        )
    from statsmodels.regression.linear_model import GLS  # its import takes as long as many a fit

    design = _with_constant(x)
    tau2 = _reml(y, covariance, design)
    line = GLS(y, design, sigma=_total(covariance, tau2)).fit()
    return MetaRegression(line.params, line.normalized_cov_params * max(1.0, line.scale), tau2, len(y) - 2)


def _with_constant(x: np.ndarray) -> np.ndarray:
    """Return the design of a line, shape (k, 2): a column of ones, and x."""
    return np.column_stack([np.ones(len(x)), x])


def _reml(y: np.ndarray, covariance: np.ndarray, design: np.ndarray) -> float:
    """Return the tau² with the largest restricted likelihood (Viechtbauer 2005).

    It is the best of a grid of tau, then of finer grids around the best.
    """
    residuals = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    lower, upper = 0.0, 3 * np.sqrt(residuals @ residuals / (len(y) - design.shape[1])) + 1e-9
    for _ in range(4):
        grid = np.linspace(lower, upper, 61)
        best = int(np.argmin(_restricted(grid, y, covariance, design)))
        lower, upper = grid[max(best - 1, 0)], grid[min(best + 1, 60)]
    return float(grid[best] ** 2)


def _restricted(tau: np.ndarray, y: np.ndarray, covariance: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Return −2 × the restricted log-likelihood at each tau, up to a constant."""
    total = _total(covariance, tau[:, None, None] ** 2)
    weighted = np.linalg.solve(total, np.broadcast_to(np.column_stack([design, y]), (len(tau), len(y), 3)))
    # X'X, X'y, y'y in the metric of the total covariance
    products = np.column_stack([design, y]).T @ weighted
    information, moments, square = products[:, :2, :2], products[:, :2, 2:], products[:, 2, 2]
    fitted = (moments * np.linalg.solve(information, moments)).sum(axis=(1, 2))
    return np.linalg.slogdet(total)[1] + np.linalg.slogdet(information)[1] + square - fitted


def _total(covariance: np.ndarray, tau2: float | np.ndarray) -> np.ndarray:
    """Return V + tau² I, which is invertible even where correlated errors leave V singular."""
    return covariance + (tau2 + 1e-9 * np.diag(covariance).mean()) * np.eye(len(covariance))
