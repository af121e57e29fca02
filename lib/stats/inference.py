"""Statistics: estimates with clustered intervals, paired differences, equivalence, trends over model size.

The clusters of a mean over pairs, stems, matches or both, are chosen in lib/analysis/clustered.py.

The interval is Student's t on the CR2 sandwich with the degrees of freedom of Bell & McCaffrey (2002), as
Imbens & Kolesár (2016) and Pustejovsky & Tipton (2018) advise for few or unequal clusters. It is lengthened
on the side where Hall's (1992) removal of skewness reaches further. It is never shortened, but it is cut at
the smallest and largest possible value, where these are given. Shares have Wilson's interval
(`clustered_share`), which never leaves 0 … 100 %.

Leakage is skewed: a few stems leak a lot. A run that by chance holds few of them has both a low mean and a
small error. So t alone misses the truth above the interval too often, while Hall's interval alone is too
short where nothing is skewed. The choice is this project's. It was made among the methods of
tests/simulations/interval_candidates.py by `make simulate`, which reports how often each interval holds the
truth. Coverage is too low with two dozen stems that nearly all leak always or never: a run may hold too few
of those that always leak.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import TypeVar

import numpy as np
import pandas as pd
from scipy import special


@dataclass(frozen=True)
class Estimate:
    """A mean or slope with an interval from a clustered standard error; NaN is unknown."""

    estimate: float
    ci_low: float
    ci_high: float
    n: int  # values
    n_stems: int  # clusters
    se: float  # clustered standard error; 0 where all clusters agree
    naive_se_ratio: float  # ratio of naive to clustered standard error; below 1 where clustering matters
    p: float  # two-sided, against 0
    df: float = np.nan  # degrees of freedom
    skew: float = np.nan  # skewness of the estimate's distribution


AnyEstimate = TypeVar("AnyEstimate", bound=Estimate)


def clustered_mean(
    values, clusters, confidence: float = 0.95, limits: tuple[float, float] | None = None
) -> Estimate:
    """Estimate the mean of `values` with an interval clustered by `clusters`.

    NaN values are left out. Fewer than 2 clusters give no interval. Clusters that all have the same mean show
    no variation to estimate an error from: then there is no interval or, with `limits`, an exact one
    (`_agreeing`).

    Args:
        values: One number per row.
        clusters: The cluster of each row.
        confidence: Level of the interval, between 0 and 1.
        limits: The smallest and the largest possible value, at which the interval is cut.
    """
    codes, values = known(clusters, values)
    if codes.max(initial=0) == 0:
        return without_interval(values.mean() if len(values) else np.nan, codes)
    return least_squares(values, np.ones((len(values), 1)), [codes], confidence, limits)


def clustered_share(values, clusters, confidence: float = 0.95, whole: float = 100.0) -> Estimate:
    """Estimate the mean of `values` from 0 to `whole` with Wilson's interval for clustered data.

    The values are yes or no, or shares. The interval is Wilson's (1927) for as many independent values as
    would have the clustered error: the effective sample size p(1 − p) / error² (Kish 1965). Student's
    quantile replaces the normal one. Dean & Pagano (2015) and Franco, Little, Louis & Slud (2019) advise this
    for shares of clustered samples, near 0 and 1 above all. Where all clusters agree, as at 0 and `whole`,
    the interval is Clopper & Pearson's of clusters (`_agreeing`). One cluster gives no interval.
    """
    return wilson(clustered_mean(values, clusters, confidence, (0.0, whole)), confidence, whole)


def wilson(estimate: AnyEstimate, confidence: float, whole: float = 100.0) -> AnyEstimate:
    """Return `estimate`, a mean of values from 0 to `whole`, with the interval of `clustered_share`.

    An estimate without a standard error above 0 is returned unchanged.
    """
    if not estimate.se > 0:
        return estimate
    p, critical = estimate.estimate / whole, special.stdtrit(estimate.df, (1 + confidence) / 2)
    n_effective = p * (1 - p) / (estimate.se / whole) ** 2
    center = p + critical**2 / (2 * n_effective)
    half_width = critical * np.sqrt((p * (1 - p) + critical**2 / (4 * n_effective)) / n_effective)
    ci_low, ci_high = ((center + side * half_width) / (1 + critical**2 / n_effective) for side in (-1, 1))
    return replace(estimate, ci_low=float(whole * max(ci_low, 0.0)), ci_high=float(whole * min(ci_high, 1.0)))


def clustered_slope(values, regressor, clusters, confidence: float = 0.95) -> Estimate:
    """Estimate the slope of `values` on `regressor` (with an intercept) by least squares.

    The interval is clustered as in `clustered_mean`. Fewer than 2 clusters, or fewer than 2 distinct values
    of the regressor, give no estimate.
    """
    codes, values, regressor = known(clusters, values, regressor)
    if codes.max(initial=0) == 0 or np.ptp(regressor) == 0:
        return without_interval(np.nan, codes)
    design = np.column_stack([np.ones(len(values)), regressor - regressor.mean()])
    return least_squares(values, design, [codes], confidence)


def known(clusters, *columns) -> tuple[np.ndarray, ...]:
    """Return the clusters as numbers from 0, and the columns, of the rows in which nothing is missing."""
    codes = pd.factorize(np.asarray(clusters))[0]
    numbers = [np.asarray(column, dtype=float) for column in columns]
    known = (codes >= 0) & ~np.isnan(numbers).any(axis=0)
    return pd.factorize(codes[known])[0], *(column[known] for column in numbers)


def without_interval(estimate: float, codes: np.ndarray) -> Estimate:
    """An estimate without an interval, a standard error or a p; `codes` are the clusters of its values."""
    return Estimate(estimate, np.nan, np.nan, len(codes), len(np.unique(codes)), np.nan, np.nan, np.nan)


def least_squares(
    values: np.ndarray,
    design: np.ndarray,
    clusterings: list[np.ndarray],
    confidence: float,
    limits: tuple[float, float] | None = None,
) -> Estimate:
    """Fit least squares on the orthogonal columns of `design`; the estimate is the last coefficient.

    Args:
        values: One number per row, shape (rows,).
        design: Orthogonal columns, shape (rows, columns).
        clusterings: The clusters of the rows as numbers from 0, of one kind or of two that cross
            (`Sandwich`).
        confidence: Level of the interval, between 0 and 1.
        limits: As in `clustered_mean`.
    """
    return Sandwich(design, clusterings).fit(values, confidence, limits)


class Sandwich:
    """Least squares on a design with clusters; what does not depend on the values is computed once.

    For two kinds of clusters the variance follows Cameron, Gelbach & Miller (2011): the sum of both minus
    that of their intersections, each CR2. The third moment is computed likewise. The result may be too small,
    or negative. So it is never less than the larger variance of the two kinds alone, as in MacKinnon, Nielsen
    & Webb (2024, arXiv 2406.08880) and Davezies, D'Haultfœuille & Guyonvarch (2025). The degrees of freedom
    are the fewer of the two, and so are the clusters, as for their t of min(G, H) − 1.

    Args:
        design: As in `least_squares`.
        clusterings: As in `least_squares`.
    """

    def __init__(self, design: np.ndarray, clusterings: list[np.ndarray]):
        self._design, self._squares = design, (design**2).sum(axis=0)
        basis = design / np.sqrt(self._squares)
        self._clusterings = list(clusterings)
        if len(clusterings) > 1:
            cells = pd.factorize(clusterings[0] * (clusterings[1].max() + 1) + clusterings[1])[0]
            self._clusterings.append(cells)
        self._weights, dfs = zip(*(_cr2(basis, codes) for codes in self._clusterings), strict=True)
        self._df = np.fmin.reduce(dfs[: len(clusterings)])
        self._n_clusters = min(len(weights) for weights in self._weights[: len(clusterings)])

    def fit(
        self, values: np.ndarray, confidence: float, limits: tuple[float, float] | None = None
    ) -> Estimate:
        """Estimate the last coefficient for these `values`; see `least_squares`."""
        n, columns = self._design.shape
        coefficients = self._design.T @ values / self._squares
        residuals = values - self._design @ coefficients
        variance, third = self._moments(residuals)
        se, scale = np.sqrt(variance), np.sqrt(self._squares[-1])
        if np.isclose(se / scale, 0, atol=1e-9):
            return _agreeing(float(np.round(coefficients[-1], 9)), n, self._n_clusters, confidence, limits)
        # not residuals @ residuals, whose last digits hang on the number of cores
        naive = np.sqrt((residuals**2).sum() / (n - columns))
        result = _estimate(
            coefficients[-1], se / scale, self._df, third / se**3, confidence, n, self._n_clusters, naive / se
        )
        return (
            result
            if limits is None
            else replace(result, ci_low=max(result.ci_low, limits[0]), ci_high=min(result.ci_high, limits[1]))
        )

    def _moments(self, residuals: np.ndarray) -> tuple[float, float]:
        """Return variance and third central moment of the last coefficient of the basis."""
        roots = np.sqrt(self._squares)
        scored = [self._design[:, i] / roots[i] * residuals for i in range(len(roots))]
        moments = []
        for codes, weights in zip(self._clusterings, self._weights, strict=True):
            scores = np.column_stack([np.bincount(codes, column) for column in scored])
            contributions = (weights * scores).sum(axis=1)
            moments.append([(contributions**2).sum(), (contributions**3).sum()])
        kinds = np.array(moments[:2])
        if len(moments) > 2:
            kinds = np.vstack([kinds, kinds.sum(axis=0) - moments[2]])
        variance, third = kinds[kinds[:, 0].argmax()]
        return variance, third


def _estimate(
    estimate, error, freedom, skew, confidence: float, n: int, n_clusters: int, ratio: float = np.nan
) -> Estimate:
    """Return the interval and p that follow from standard error, degrees of freedom and skewness."""
    critical = special.stdtrit(freedom, (1 + confidence) / 2)
    ci_low = estimate - error * max(critical, _untransformed(critical, skew))
    ci_high = estimate + error * max(critical, _untransformed(critical, -skew))
    t = estimate / error
    p = min(1.0, 2 * min(_tail(t, freedom, skew), _tail(-t, freedom, -skew)))
    return Estimate(
        float(estimate),
        float(ci_low),
        float(ci_high),
        n,
        n_clusters,
        float(error),
        float(ratio),
        float(p),
        float(freedom),
        float(skew),
    )


def _tail(t: float, freedom: float, skew: float) -> float:
    """Return the one-sided p of a mean that lies `t` standard errors above the tested value.

    It is Student's, or that of Hall's transform if larger.
    """
    transformed = t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6  # Hall (1992)
    return float(special.stdtr(freedom, -min(t, transformed)))


def _untransformed(transformed: float, skew: float) -> float:
    """Return the mean, in standard errors, that the transform in `_tail` maps to `transformed`."""
    if abs(skew) < 1e-6:
        return transformed
    return 3 / skew * (np.cbrt(1 + skew * (transformed - skew / 6)) - 1)


def _cr2(basis: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the weight of each cluster's scores in the last coefficient, and the degrees of freedom.

    `basis` is orthonormal. By Bell & McCaffrey (2002), each cluster's residuals are multiplied by the inverse
    root of I − its block of the hat matrix. This makes the sum of squares an unbiased variance if values are
    independent. The degrees of freedom are Satterthwaite's under the same assumption. In terms of the
    clusters' own cross-products P of the basis, I − P has the same inverse root in few dimensions. Its null
    space, where a cluster alone decides a coefficient, is left out.
    """
    columns = basis.shape[1]
    products = np.zeros((int(codes.max()) + 1, columns, columns))
    for i in range(columns):
        for j in range(i + 1):
            products[:, i, j] = products[:, j, i] = np.bincount(codes, basis[:, i] * basis[:, j])
    eigenvalues, vectors = np.linalg.eigh(np.eye(columns) - products)
    root = np.where(eigenvalues > 1e-10, eigenvalues, np.inf) ** -0.5
    weights = np.einsum("gj,gj,gkj->gk", vectors[:, -1], root, vectors)
    reached = np.einsum("gij,gj->gi", products, weights)
    own, shared = (weights * reached).sum(axis=1), (reached**2).sum(axis=1)
    # the covariance of the clusters' contributions is diag(own) − reached reached'
    squared = (own**2).sum() - 2 * (own * shared).sum() + ((reached.T @ reached) ** 2).sum()
    return weights, (own.sum() - shared.sum()) ** 2 / squared if squared > 0 else np.nan


def _agreeing(
    estimate: float, n: int, n_clusters: int, confidence: float, limits: tuple[float, float] | None
) -> Estimate:
    """Return the mean of clusters that all agree: error 0, and the exact interval that `limits` allow.

    If none of `n_clusters` clusters departs from the mean, the confidence that more than a share of 1 −
    (α/2)^(1/`n_clusters`) of all clusters depart is less than α/2 (Clopper & Pearson 1934; the "rule of
    three"). A cluster that departs can at most lie at a limit.
    """
    if limits is None:
        return Estimate(estimate, np.nan, np.nan, n, n_clusters, 0.0, np.nan, np.nan)
    share = 1 - ((1 - confidence) / 2) ** (1 / n_clusters)
    ci_low, ci_high = (estimate + share * (limit - estimate) for limit in limits)
    far_limit = limits[0] if estimate > 0 else limits[1]
    p = 1.0 if estimate == 0 else min(1.0, 2 * max(0.0, far_limit / (far_limit - estimate)) ** n_clusters)
    return Estimate(estimate, ci_low, ci_high, n, n_clusters, 0.0, np.nan, p)


def clustered_means(
    table: pd.DataFrame, value: str, by: list[str], confidence: float, cluster: str = "stem_id", limits=None
) -> pd.DataFrame:
    """Estimate `clustered_mean` of a column within each combination of `by`.

    Returns:
        One row per combination, with the fields of Estimate as columns.
    """
    return _by_level(
        table, value, by, cluster, lambda values, codes: clustered_mean(values, codes, confidence, limits)
    )


def clustered_shares(
    table: pd.DataFrame,
    value: str,
    by: list[str],
    confidence: float,
    cluster: str = "stem_id",
    whole: float = 100.0,
) -> pd.DataFrame:
    """Estimate `clustered_share` of a column within each combination of `by`, as `clustered_means`."""
    return _by_level(
        table, value, by, cluster, lambda values, codes: clustered_share(values, codes, confidence, whole)
    )


def _by_level(
    table: pd.DataFrame, value: str, by: list[str], cluster: str, estimated: Callable[..., Estimate]
) -> pd.DataFrame:
    codes, values = pd.factorize(table[cluster])[0], table[value].to_numpy(dtype=float)
    codes = np.where(codes < 0, np.nan, codes)
    groups = (
        table[by]
        .assign(place=np.arange(len(table)))
        .groupby(by, sort=False, observed=True, dropna=False)["place"]
    )
    rows = [
        {**dict(zip(by, levels, strict=True)), **asdict(estimated(values[index], codes[index]))}
        for levels, index in groups
    ]
    return pd.DataFrame(rows, columns=[*by, *(field.name for field in fields(Estimate))])


def difference(first: Estimate, second: Estimate, confidence: float = 0.95) -> Estimate:
    """Estimate `first` − `second` of two estimates from different stems, with Welch's degrees of freedom.

    There is no interval if one of them has no standard error above 0.
    """
    n, clusters = first.n + second.n, first.n_stems + second.n_stems
    estimate, se = first.estimate - second.estimate, np.hypot(first.se, second.se)
    if not min(first.se, second.se) > 0:
        return Estimate(estimate, np.nan, np.nan, n, clusters, np.nan, np.nan, np.nan)
    df = se**4 / (first.se**4 / first.df + second.se**4 / second.df)
    skew = (first.skew * first.se**3 - second.skew * second.se**3) / se**3
    return _estimate(estimate, se, df, skew, confidence, n, clusters)


def side_of_zero(estimate: Estimate) -> int:
    """Return +1 or −1 if the whole interval lies above or below 0, else 0."""
    return int(estimate.ci_low > 0) - int(estimate.ci_high < 0)


def equivalence_p(estimate: Estimate, margin: float) -> float:
    """Return the p of the two one-sided tests (Schuirmann 1987) that the mean lies inside ±`margin`.

    NaN without a standard error above 0.
    """
    return float(np.max([above_p(estimate, -margin), below_p(estimate, margin)]))


def above_p(estimate: Estimate, bound: float) -> float:
    """Return the one-sided p that the mean lies above `bound`; NaN without a standard error above 0."""
    if not estimate.se > 0:
        return np.nan
    return _tail((estimate.estimate - bound) / estimate.se, estimate.df, estimate.skew)


def below_p(estimate: Estimate, bound: float) -> float:
    """Return the one-sided p that the mean lies below `bound`; NaN without a standard error above 0."""
    if not estimate.se > 0:
        return np.nan
    return _tail((bound - estimate.estimate) / estimate.se, estimate.df, -estimate.skew)


def holm(p_values) -> np.ndarray:
    """Return p-values corrected for their family by Holm's method; NaN stays NaN and does not count.

    `statsmodels.stats.multitest.multipletests` gives the same, but collects garbage at every call: a tenth of
    a second.
    """
    p = np.asarray(p_values, dtype=float)
    ascending = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN is last
    corrected = np.full(p.shape, np.nan)
    steps = p[ascending] * np.arange(len(ascending), 0, -1)
    corrected[ascending] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def percentile_interval(draws: np.ndarray, confidence: float) -> np.ndarray:
    """Return lower and upper percentile bound of each column of `draws`; shape (2, statistics)."""
    tail = (1 - confidence) / 2
    return np.nanquantile(draws, [tail, 1 - tail], axis=0)
