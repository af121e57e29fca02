"""Statistics: estimates with intervals clustered by stem, paired differences, equivalence, trends over model size.

The interval is Student's t on the CR2 sandwich with the degrees of freedom of Bell & McCaffrey (2002), as Imbens & Kolesár (2016)
and Pustejovsky & Tipton (2018) advise for few or unequal clusters; where all clusters have as many values it is the t interval of
their means. `make simulate` compares it with seven other ways (tests/interval_candidates.py).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd
from scipy import special, stats
from statsmodels.stats.multitest import multipletests


@dataclass(frozen=True)
class Estimate:
    """A mean or slope with a t interval whose standard error is clustered; NaN is what cannot be told."""

    estimate: float
    low: float
    high: float
    n: int  # values
    n_stems: int  # clusters
    error: float  # clustered standard error; 0 where all clusters agree
    error_ratio: float  # naive to clustered standard error; below 1 where clustering matters
    p: float  # two-sided, against 0
    freedom: float = np.nan  # degrees of freedom


def clustered_mean(values, clusters, confidence: float = 0.95, limits: tuple[float, float] | None = None) -> Estimate:
    """Mean of `values` with an interval clustered by `clusters`; NaN values are left out, fewer than 2 clusters give no interval.

    Clusters that all have the same mean show no spread to judge by: there is no interval then, or, with `limits`, the least and
    the greatest value possible, an exact one (`_agreeing`).
    """
    codes, values = _known(clusters, values)
    if codes.max(initial=0) == 0:
        return _without_interval(values.mean() if len(values) else np.nan, codes)
    return _fit(values, np.ones((len(values), 1)), codes, confidence, limits)


def clustered_slope(values, regressor, clusters, confidence: float = 0.95) -> Estimate:
    """Slope of `values` on `regressor` (with an intercept) by least squares; interval clustered as in `clustered_mean`.

    Fewer than 2 clusters, or 2 distinct values of the regressor, give no estimate.
    """
    codes, values, regressor = _known(clusters, values, regressor)
    if codes.max(initial=0) == 0 or np.ptp(regressor) == 0:
        return _without_interval(np.nan, codes)
    return _fit(values, np.column_stack([np.ones(len(values)), regressor - regressor.mean()]), codes, confidence)


def _known(clusters, *columns) -> tuple[np.ndarray, ...]:
    """The clusters as numbers from 0, and the columns, of the rows in which nothing is missing."""
    codes = pd.factorize(np.asarray(clusters))[0]
    columns = [np.asarray(column, dtype=float) for column in columns]
    known = (codes >= 0) & ~np.isnan(columns).any(axis=0)
    return pd.factorize(codes[known])[0], *(column[known] for column in columns)


def _without_interval(estimate: float, codes: np.ndarray) -> Estimate:
    return Estimate(estimate, np.nan, np.nan, len(codes), len(np.unique(codes)), np.nan, np.nan, np.nan)


def _fit(values: np.ndarray, design: np.ndarray, codes: np.ndarray, confidence: float, limits=None) -> Estimate:
    """Least squares on the orthogonal columns of `design`; the estimate is the coefficient of the last one."""
    n, columns = design.shape
    squares = (design**2).sum(axis=0)
    coefficients = design.T @ values / squares
    residuals = values - design @ coefficients
    error, freedom = _cr2(design / np.sqrt(squares), residuals, codes)
    error, estimate, n_clusters = error / np.sqrt(squares[-1]), coefficients[-1], int(codes.max()) + 1
    if np.isclose(error, 0, atol=1e-9):
        return _agreeing(float(np.round(estimate, 9)), n, n_clusters, confidence, limits)
    naive = np.sqrt(residuals @ residuals / (n - columns) / squares[-1])
    reach = special.stdtrit(freedom, (1 + confidence) / 2) * error
    p = 2 * special.stdtr(freedom, -abs(estimate) / error)
    return Estimate(*(float(x) for x in (estimate, estimate - reach, estimate + reach)), n, n_clusters,
                    *(float(x) for x in (error, naive / error, p, freedom)))  # fmt: skip


def _cr2(basis: np.ndarray, residuals: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """Clustered error of the last coefficient on an orthonormal `basis`, and its degrees of freedom.

    Bell & McCaffrey (2002): each cluster's residuals times the inverse root of I − its block of the hat matrix, which makes the
    variance unbiased if values are independent; Satterthwaite's degrees of freedom under the same. In terms of the clusters' own
    cross-products P of the basis, I − P has the same inverse root in few dimensions; its null space, where a cluster alone
    decides a coefficient, is left out.
    """
    sizes = (int(codes.max()) + 1, basis.shape[1])
    scores, products = np.zeros(sizes), np.zeros((*sizes, sizes[1]))
    for i in range(sizes[1]):
        scores[:, i] = np.bincount(codes, basis[:, i] * residuals)
        for j in range(sizes[1]):
            products[:, i, j] = np.bincount(codes, basis[:, i] * basis[:, j])
    left, vectors = np.linalg.eigh(np.eye(sizes[1]) - products)
    root = np.where(left > 1e-10, left, np.inf) ** -0.5
    weights = np.einsum("gj,gj,gkj->gk", vectors[:, -1], root, vectors)
    reached = np.einsum("gij,gj->gi", products, weights)
    own, shared = (weights * reached).sum(axis=1), (reached**2).sum(axis=1)
    # the covariance of the clusters' contributions is diag(own) − reached reached'
    squared = (own**2).sum() - 2 * (own * shared).sum() + ((reached.T @ reached) ** 2).sum()
    error = np.sqrt((((weights * scores).sum(axis=1)) ** 2).sum())
    return error, (own.sum() - shared.sum()) ** 2 / squared if squared > 0 else np.nan


def _agreeing(estimate: float, n: int, n_clusters: int, confidence: float, limits: tuple[float, float] | None) -> Estimate:
    """A mean of clusters that all agree: error 0, and the exact interval that `limits` of the values allow.

    If no cluster of `n_clusters` departs, a share of more than 1 − (α/2)^(1/`n_clusters`) of all clusters does so with a
    confidence of less than α/2 (Clopper & Pearson 1934; the "rule of three"); they can do no more than lie at a limit.
    """
    if limits is None:
        return Estimate(estimate, np.nan, np.nan, n, n_clusters, 0.0, np.nan, np.nan)
    share = 1 - ((1 - confidence) / 2) ** (1 / n_clusters)
    low, high = (estimate + share * (limit - estimate) for limit in limits)
    beyond = limits[0] if estimate > 0 else limits[1]
    p = 1.0 if estimate == 0 else min(1.0, 2 * max(0.0, beyond / (beyond - estimate)) ** n_clusters)
    return Estimate(estimate, low, high, n, n_clusters, 0.0, np.nan, p)


def clustered_means(
    table: pd.DataFrame, value: str, by: list[str], confidence: float, cluster: str = "stem_id", limits=None
) -> pd.DataFrame:
    """`clustered_mean` of a column within each combination of `by`: one row each, with the fields of Estimate as columns."""
    codes, values = pd.factorize(table[cluster])[0], table[value].to_numpy(dtype=float)
    codes = np.where(codes < 0, np.nan, codes)
    places = table[by].assign(place=np.arange(len(table))).groupby(by, sort=False, observed=True, dropna=False)["place"]
    rows = [
        {**dict(zip(by, levels, strict=True)), **asdict(clustered_mean(values[at], codes[at], confidence, limits))}
        for levels, at in places
    ]
    return pd.DataFrame(rows, columns=[*by, *(field.name for field in fields(Estimate))])


def difference(first: Estimate, second: Estimate, confidence: float = 0.95) -> Estimate:
    """`first` − `second` of two estimates from different stems (Welch's t, from the degrees of freedom of both).

    No interval where one of them shows no spread.
    """
    error = np.hypot(first.error, second.error)
    n, clusters = first.n + second.n, first.n_stems + second.n_stems
    estimate = first.estimate - second.estimate
    if not min(first.error, second.error) > 0:
        return Estimate(estimate, np.nan, np.nan, n, clusters, np.nan, np.nan, np.nan)
    freedom = error**4 / (first.error**4 / first.freedom + second.error**4 / second.freedom)
    reach = stats.t.ppf((1 + confidence) / 2, freedom) * error
    p = 2 * stats.t.sf(abs(estimate) / error, freedom)
    return Estimate(estimate, estimate - reach, estimate + reach, n, clusters, error, np.nan, p, freedom)


def side_of_zero(found: Estimate) -> int:
    """+1 or −1 if the whole interval lies above or below 0, else 0."""
    return int(found.low > 0) - int(found.high < 0)


def equivalence_p(estimate: Estimate, margin: float) -> float:
    """p of the two one-sided tests (Schuirmann 1987) that the mean lies inside ±`margin`; NaN where there is no spread to judge by."""
    if not estimate.error > 0:
        return np.nan
    below = stats.t.sf((estimate.estimate + margin) / estimate.error, estimate.freedom)
    above = stats.t.cdf((estimate.estimate - margin) / estimate.error, estimate.freedom)
    return float(max(below, above))


def holm(p_values) -> np.ndarray:
    """p-values corrected for their family by Holm's method; NaN stays NaN and does not count."""
    p = np.asarray(p_values, dtype=float)
    corrected = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    if known.any():
        corrected[known] = multipletests(p[known], method="holm")[1]
    return corrected


def cluster_bootstrap(
    frame: pd.DataFrame,
    statistic: Callable[[pd.DataFrame], np.ndarray],
    cluster: str,
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """`statistic` (an array) of `draws` resamples of whole clusters, with replacement; shape (draws, statistics)."""
    codes = pd.factorize(frame[cluster])[0]
    rows_of = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    resamples = (np.concatenate([rows_of[c] for c in rng.integers(len(rows_of), size=len(rows_of))]) for _ in range(draws))
    return np.array([statistic(frame.iloc[rows]) for rows in resamples])


def percentile_interval(draws: np.ndarray, confidence: float) -> np.ndarray:
    """Lower and upper percentile bound of each column of `draws`; shape (2, statistics)."""
    tail = (1 - confidence) / 2
    return np.nanquantile(draws, [tail, 1 - tail], axis=0)
