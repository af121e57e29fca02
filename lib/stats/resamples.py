"""The bootstrap: statistics of resamples of whole clusters, one resample at a time or many at once.

`cluster_bootstrap` takes any statistic of a table. Everything else computes many resamples at once. A
resample is then an array of weights: how often it contains each row. A statistic takes `weights` of shape
(resamples, rows) and returns an array of shape (resamples,): its value if each row were repeated that often,
NaN where it is undefined.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy import sparse, stats

BLOCK = 50  # resamples at a time: 10 MB of weights for the 24,000 rated texts

Statistic = Callable[[pd.DataFrame, np.ndarray], dict[str, np.ndarray]]


def rows_by_cluster(clusters) -> list[np.ndarray]:
    """The positions of the rows of each cluster, in the order in which the clusters first occur."""
    codes = pd.factorize(clusters)[0]
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])


def draw(rows_of: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Draw as many clusters as there are from those of `rows_by_cluster`, with replacement."""
    return [rows_of[cluster] for cluster in rng.integers(len(rows_of), size=len(rows_of))]


def cluster_bootstrap(
    frame: pd.DataFrame,
    statistic: Callable[[pd.DataFrame], np.ndarray],
    cluster: str,
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Compute `statistic` (an array) of `draws` resamples of whole clusters, with replacement.

    Returns:
        An array of shape (draws, statistics).
    """
    rows_of = rows_by_cluster(frame[cluster])
    return np.array([statistic(frame.iloc[np.concatenate(draw(rows_of, rng))]) for _ in range(draws)])


def drawn(clusters, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the weights of `draws` resamples of whole clusters, with replacement.

    Each array holds at most BLOCK resamples; its shape is (resamples, rows).
    """
    codes = pd.factorize(np.asarray(clusters))[0]
    count = codes.max() + 1
    for start in range(0, draws, BLOCK):
        size = min(BLOCK, draws - start)
        chosen = rng.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        yield np.bincount(chosen.ravel(), minlength=size * count).reshape(size, count)[:, codes].astype(float)


def table(
    part: pd.DataFrame,
    statistic: Statistic,
    cluster: str,
    confidence: float,
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Estimate named statistics of `part` with percentile intervals over clusters.

    Bounds are order statistics, so one of them may be infinite. Resamples in which a statistic is undefined
    do not count.

    Args:
        part: One row per observation.
        statistic: A function of `part` and weights that returns values by name.
        cluster: The column of `part` that holds the clusters.
        confidence: Level of the intervals, between 0 and 1.
        draws: Number of resamples.
        rng: Source of the resamples.

    Returns:
        One row per statistic: measure (its name), estimate, ci_low, ci_high.
    """
    estimates = {name: values[0] for name, values in statistic(part, np.ones((1, len(part)))).items()}
    blocks = [statistic(part, weights) for weights in drawn(part[cluster], draws, rng)]
    bounds = [_bounds(np.concatenate([block[name] for block in blocks]), confidence) for name in estimates]
    result = pd.DataFrame({"measure": list(estimates), "estimate": list(estimates.values())})
    result[["ci_low", "ci_high"]] = np.array(bounds)
    result.loc[result["estimate"].isna(), ["ci_low", "ci_high"]] = np.nan
    return result


def _bounds(spread: np.ndarray, confidence: float) -> tuple[float, float]:
    spread = np.sort(spread[~np.isnan(spread)])
    if not len(spread):
        return np.nan, np.nan
    tail = (1 - confidence) / 2 * (len(spread) - 1)
    return spread[int(tail)], spread[-1 - int(tail)]


def mean(values, weights: np.ndarray) -> np.ndarray:
    """Return the mean of `values` in each resample.

    `values` has the shape (rows,), or (resamples, rows) where it differs between resamples.
    """
    values = np.asarray(values, dtype=float)
    total = weights @ values if values.ndim == 1 else np.einsum("dn,dn->d", weights, values)
    with np.errstate(invalid="ignore"):
        return total / weights.sum(axis=1)


def covariance(first, second, weights: np.ndarray) -> np.ndarray:
    """Return the (population) covariance of two series of values as in `mean`."""
    first, second = (np.asarray(values, dtype=float) for values in (first, second))
    first, second = first - first.mean(), second - second.mean()  # a shift changes only the rounding
    return mean(first * second, weights) - mean(first, weights) * mean(second, weights)


def variance(values, weights: np.ndarray) -> np.ndarray:
    """Return the (population) variance of values as in `mean`; NaN where all are equal."""
    values = np.asarray(values, dtype=float)
    values = values - values.mean()
    variances, mean_square = covariance(values, values, weights), mean(values**2, weights)
    return np.where(variances > 1e-12 * mean_square, variances, np.nan)


def pearson(first, second, weights: np.ndarray) -> np.ndarray:
    """Return Pearson's r of two series of values as in `mean`; NaN where one does not vary."""
    return covariance(first, second, weights) / np.sqrt(variance(first, weights) * variance(second, weights))


def ranks(values, weights: np.ndarray) -> np.ndarray:
    """Return the rank of each row among all rows of a resample, shape (resamples, rows).

    Ties have their middle rank.
    """
    codes = np.unique(np.asarray(values), return_inverse=True)[1]
    counts = _sums_by(codes, weights)
    return (np.cumsum(counts, axis=1) - (counts - 1) / 2)[:, codes]


def spearman(first, second, weights: np.ndarray) -> np.ndarray:
    """Return Spearman's rho: Pearson's r of the ranks within each resample."""
    return pearson(ranks(first, weights), ranks(second, weights), weights)


def kendall(first, second, weights: np.ndarray) -> np.ndarray:
    """Return Kendall's tau-b, by scipy, one resample after the other."""
    first, second = np.asarray(first), np.asarray(second)
    rows = [np.repeat(np.arange(len(first)), weight.astype(int)) for weight in weights]
    return np.array([stats.kendalltau(first[chosen], second[chosen])[0] for chosen in rows])


def cross_table(first, second, categories, weights: np.ndarray) -> np.ndarray:
    """Count how often each pair of values from `categories` occurs in two series.

    Returns:
        An array of shape (resamples, categories, categories).
    """
    size = len(categories)
    rows, columns = (np.searchsorted(categories, np.asarray(values)) for values in (first, second))
    counts = _sums_by(rows * size + columns, weights, size * size)
    return counts.reshape(-1, size, size)


def _sums_by(places: np.ndarray, weights: np.ndarray, count: int | None = None) -> np.ndarray:
    """Return the sum of the weights at each place, shape (resamples, places)."""
    shape = (count or places.max() + 1, len(places))
    return (
        sparse.csr_array((np.ones(len(places)), (places, np.arange(len(places)))), shape=shape) @ weights.T
    ).T
