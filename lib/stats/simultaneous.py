"""Intervals of several means at once, of ratios of means, and the joint covariance both need: pure functions
on arrays.

Means of several columns over the same rows have one cluster-robust covariance: the products of what each
cluster adds to the means, each made larger by (1 − its share of the rows)^(−1/2) as in CR2 (Bell & McCaffrey
2002), whose degrees of freedom they share. From it:

- *simultaneous intervals* of several contrasts: estimate ± c × standard error, where c is the quantile of the
  greatest |t| of them (max-t; Hothorn, Bretz & Westfall 2008), by simulation of the multivariate t
  distribution;
- *Fieller's interval* (1954) of a ratio of two means, which may be unbounded where the denominator is not
  surely other than 0.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

DRAWS = 100_000  # of the multivariate t distribution: the error of the quantile of 95 % is 0.01


@dataclass(frozen=True)
class Means:
    """Means of several columns over the same rows, with their joint covariance."""

    estimates: np.ndarray  # (columns,)
    covariance: np.ndarray  # (columns, columns); NaN for fewer than 2 clusters
    df: float
    n: int  # rows
    n_clusters: int

    def contrasts(self, weights: np.ndarray) -> "Means":
        """Linear combinations of the means; `weights` has shape (combinations, columns)."""
        return Means(
            weights @ self.estimates, weights @ self.covariance @ weights.T, self.df, self.n, self.n_clusters
        )

    @property
    def errors(self) -> np.ndarray:
        """Standard errors; what is 0 but for rounding is 0."""
        variances = np.diag(self.covariance)
        return np.sqrt(np.where(variances < 1e-18, 0.0, variances))


def means(values: np.ndarray, *clusterings) -> Means:
    """Means of the columns of `values`, shape (rows, columns) without missing values, clustered by one or two
    `clusterings`, each with a cluster a row.

    Of two that cross, the covariances are added less that of their cells, and negative eigenvalues count as 0
    (Cameron, Gelbach & Miller 2011); degrees of freedom are the fewer.
    """
    codes = [np.unique(np.asarray(clusters), return_inverse=True)[1] for clusters in clusterings]
    found = [_clustered(values, of) for of in codes]
    if len(found) == 1:
        return found[0]
    cells = _clustered(values, np.unique(np.column_stack(codes), axis=0, return_inverse=True)[1].ravel())
    covariance = sum(one.covariance for one in found) - cells.covariance
    if not np.isnan(covariance).any():
        variances, axes = np.linalg.eigh(covariance)
        covariance = axes * np.maximum(variances, 0.0) @ axes.T
    least = min(found, key=lambda one: one.n_clusters)
    return Means(least.estimates, covariance, min(one.df for one in found), least.n, least.n_clusters)


def _clustered(values: np.ndarray, codes: np.ndarray) -> Means:
    n, columns = values.shape
    share = np.bincount(codes) / n
    estimates = values.mean(axis=0)
    if len(share) < 2:
        return Means(estimates, np.full((columns, columns), np.nan), np.nan, n, len(share))
    added = np.column_stack([np.bincount(codes, column) for column in (values - estimates).T]) / n
    added /= np.sqrt(1 - share)[:, None]
    reached = share / np.sqrt(1 - share)  # as in `inference`, of a single column of ones
    squared = (
        (share**2 / (1 - share) ** 2).sum()
        - 2 * (share**3 / (1 - share) ** 2).sum()
        + (reached @ reached) ** 2
    )
    return Means(estimates, added.T @ added, 1 / squared, n, len(share))


def _root(correlation: np.ndarray) -> np.ndarray:
    """A matrix whose rows, multiplied with each other, give the correlation, or one near it where clusterings
    of two kinds have left one that no variables can have: negative eigenvalues count as 0, and each variance
    is 1 again (Higham 2002)."""
    try:
        return np.linalg.cholesky(correlation + 1e-9 * np.eye(len(correlation)))  # contrasts may be the same
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(correlation)
        root = vectors * np.sqrt(np.clip(values, 0, None))
        return root / np.linalg.norm(root, axis=1, keepdims=True)


def greatest(contrasts: Means, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Draws of the greatest |t| of the contrasts if all are 0; contrasts without an error have no part in
    it."""
    errors = contrasts.errors
    known = errors > 0
    if not known.any():
        return np.full(draws, np.nan)
    correlation = contrasts.covariance[np.ix_(known, known)] / np.outer(errors[known], errors[known])
    root = _root(correlation)
    normal = rng.standard_normal((draws, known.sum())) @ root.T
    return np.abs(normal).max(axis=1) / np.sqrt(rng.chisquare(contrasts.df, draws) / contrasts.df)


def intervals(
    contrasts: Means, maxima: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower and upper simultaneous bounds and adjusted two-sided p of each contrast; NaN where there is no
    error."""
    errors = np.where(contrasts.errors > 0, contrasts.errors, np.nan)
    half_width = np.quantile(maxima, confidence) * errors
    beyond = (maxima[:, None] >= np.abs(contrasts.estimates / errors)).sum(axis=0)
    p = np.where(np.isnan(errors), np.nan, (beyond + 1) / (len(maxima) + 1))
    return contrasts.estimates - half_width, contrasts.estimates + half_width, p


def fieller(both: Means, critical: float) -> tuple[float, float]:
    """Bounds of the ratio of the first mean to the second (Fieller 1954), at `critical` standard errors.

    The ratios ρ for which first − ρ × second lies within `critical` standard errors of 0. Unbounded, −∞ to ∞,
    where that is no finite interval: the second mean then lies within `critical` standard errors of 0.
    """
    (first, second), ((v11, v12), (_, v22)) = both.estimates, both.covariance * critical**2
    if np.isnan(v11):
        return np.nan, np.nan
    square, half, constant = second**2 - v22, first * second - v12, first**2 - v11
    root = half**2 - square * constant
    if square <= 0:
        return -np.inf, np.inf
    spread = np.sqrt(max(root, 0.0))
    return float((half - spread) / square), float((half + spread) / square)


def above_zero_p(contrasts: Means) -> np.ndarray:
    """One-sided p that each contrast lies above 0, by Student's t; NaN where there is no error."""
    errors = np.where(contrasts.errors > 0, contrasts.errors, np.nan)
    return special.stdtr(contrasts.df, -contrasts.estimates / errors)
