"""Simultaneous intervals of several means, intervals of their ratios, and the joint covariance of both.

All functions are pure functions on arrays. Means of several columns over the same rows have one
cluster-robust covariance. It is made of the products of what each cluster contributes to the means, each
contribution multiplied by (1 − the cluster's share of the rows)^(−1/2) as in CR2 (Bell & McCaffrey 2002). The
degrees of freedom are those of CR2 too. From the covariance follow:

- *simultaneous intervals* of several contrasts: estimate ± c × standard error, where c is the quantile of
  their largest |t| (max-t; Hothorn, Bretz & Westfall 2008), by simulation of the multivariate t distribution;
- *Fieller's interval* (1954) of a ratio of two means, which may be unbounded where the denominator is
  not certainly different from 0.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

DRAWS = 100_000  # of the multivariate t distribution; the 95 % quantile has an error of 0.01


@dataclass(frozen=True)
class Means:
    """Means of several columns over the same rows, with their joint covariance."""

    estimates: np.ndarray  # (columns,)
    covariance: np.ndarray  # (columns, columns); NaN for fewer than 2 clusters
    df: float
    n: int  # rows
    n_clusters: int

    def contrasts(self, weights: np.ndarray) -> "Means":
        """Return linear combinations of the means; `weights` has shape (combinations, columns)."""
        return Means(
            weights @ self.estimates, weights @ self.covariance @ weights.T, self.df, self.n, self.n_clusters
        )

    @property
    def errors(self) -> np.ndarray:
        """Standard errors; one that is 0 up to rounding is 0."""
        variances = np.diag(self.covariance)
        return np.sqrt(np.where(variances < 1e-18, 0.0, variances))


def means(values: np.ndarray, *clusterings) -> Means:
    """Estimate the means of the columns of `values` with their joint covariance.

    For two clusterings that cross, the covariances are added, that of their cells is subtracted, and negative
    eigenvalues count as 0 (Cameron, Gelbach & Miller 2011). The degrees of freedom are the fewer.

    Args:
        values: Shape (rows, columns), without missing values.
        *clusterings: One or two; each holds the cluster of each row.
    """
    codes = [np.unique(np.asarray(clusters), return_inverse=True)[1] for clusters in clusterings]
    results = [_clustered(values, labels) for labels in codes]
    if len(results) == 1:
        return results[0]
    cells = _clustered(values, np.unique(np.column_stack(codes), axis=0, return_inverse=True)[1].ravel())
    covariance = sum(result.covariance for result in results) - cells.covariance
    if not np.isnan(covariance).any():
        variances, axes = np.linalg.eigh(covariance)
        covariance = axes * np.maximum(variances, 0.0) @ axes.T
    fewest = min(results, key=lambda result: result.n_clusters)
    return Means(
        fewest.estimates, covariance, min(result.df for result in results), fewest.n, fewest.n_clusters
    )


def _clustered(values: np.ndarray, codes: np.ndarray) -> Means:
    n, columns = values.shape
    share = np.bincount(codes) / n
    estimates = values.mean(axis=0)
    if len(share) < 2:
        return Means(estimates, np.full((columns, columns), np.nan), np.nan, n, len(share))
    contributions = np.column_stack([np.bincount(codes, column) for column in (values - estimates).T]) / n
    contributions /= np.sqrt(1 - share)[:, None]
    reached = share / np.sqrt(1 - share)  # as in `inference`, for a single column of ones
    squared = (
        (share**2 / (1 - share) ** 2).sum()
        - 2 * (share**3 / (1 - share) ** 2).sum()
        + (reached @ reached) ** 2
    )
    return Means(estimates, contributions.T @ contributions, 1 / squared, n, len(share))


def _root(correlation: np.ndarray) -> np.ndarray:
    """Return a matrix R with R R' = the correlation.

    Two kinds of clusterings may leave a matrix that is not a possible correlation. Then R R' is one near it:
    negative eigenvalues count as 0, and each variance is 1 again (Higham 2002).
    """
    try:
        return np.linalg.cholesky(correlation + 1e-9 * np.eye(len(correlation)))  # contrasts may be identical
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(correlation)
        root = vectors * np.sqrt(np.clip(values, 0, None))
        return root / np.linalg.norm(root, axis=1, keepdims=True)


def greatest(contrasts: Means, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Draw the largest |t| of the contrasts if all are 0, shape (draws,).

    Contrasts without an error are ignored; all draws are NaN where no contrast has one.
    """
    se = contrasts.errors
    known = se > 0
    if not known.any():
        return np.full(draws, np.nan)
    correlation = contrasts.covariance[np.ix_(known, known)] / np.outer(se[known], se[known])
    root = _root(correlation)
    normal = rng.standard_normal((draws, known.sum())) @ root.T
    return np.abs(normal).max(axis=1) / np.sqrt(rng.chisquare(contrasts.df, draws) / contrasts.df)


def intervals(
    contrasts: Means, maxima: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return simultaneous bounds and adjusted two-sided p of each contrast; NaN where there is no error.

    Args:
        contrasts: The contrasts.
        maxima: The draws of `greatest` for these contrasts.
        confidence: Level of the intervals together, between 0 and 1.

    Returns:
        Lower bounds, upper bounds and p, each of shape (contrasts,).
    """
    se = np.where(contrasts.errors > 0, contrasts.errors, np.nan)
    half_width = np.quantile(maxima, confidence) * se
    beyond = (maxima[:, None] >= np.abs(contrasts.estimates / se)).sum(axis=0)
    p = np.where(np.isnan(se), np.nan, (beyond + 1) / (len(maxima) + 1))
    return contrasts.estimates - half_width, contrasts.estimates + half_width, p


def fieller(both: Means, critical: float) -> tuple[float, float]:
    """Return bounds of the ratio of the first mean to the second (Fieller 1954).

    They enclose the ratios ρ for which first − ρ × second lies within `critical` standard errors of 0. They
    are −∞ and ∞ where these ratios form no finite interval: the second mean then lies within `critical`
    standard errors of 0.
    """
    (first, second), ((v11, v12), (_, v22)) = both.estimates, both.covariance * critical**2
    if np.isnan(v11):
        return np.nan, np.nan
    square, half, constant = second**2 - v22, first * second - v12, first**2 - v11
    discriminant = half**2 - square * constant
    if square <= 0:
        return -np.inf, np.inf
    root = np.sqrt(max(discriminant, 0.0))
    return float((half - root) / square), float((half + root) / square)


def above_zero_p(contrasts: Means) -> np.ndarray:
    """Return the one-sided p that each contrast lies above 0, by Student's t; NaN without an error."""
    se = np.where(contrasts.errors > 0, contrasts.errors, np.nan)
    return special.stdtr(contrasts.df, -contrasts.estimates / se)
