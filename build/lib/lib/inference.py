"""Statistics: estimates with intervals clustered by stem, paired differences, equivalence, trends over model size."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests


@dataclass(frozen=True)
class Estimate:
    """A mean with a t interval whose standard error is clustered (few-cluster correction, clusters − 1 degrees of freedom)."""

    estimate: float
    low: float
    high: float
    n: int  # values
    n_stems: int  # clusters
    error: float  # clustered standard error
    error_ratio: float  # naive to clustered standard error; below 1 where clustering matters
    p: float  # two-sided, against 0


def clustered_mean(values, clusters, confidence: float = 0.95) -> Estimate:
    """Mean of `values` with an interval clustered by `clusters`; NaN values are left out, fewer than 2 clusters give no interval.

    Liang & Zeger (1986) sandwich with the finite-cluster correction of statsmodels.
    """
    frame = pd.DataFrame({"value": np.asarray(values, dtype=float), "cluster": np.asarray(clusters)}).dropna()
    n, n_clusters = len(frame), frame["cluster"].nunique()
    if n_clusters < 2:
        mean = frame["value"].mean() if n else np.nan
        return Estimate(mean, np.nan, np.nan, n, n_clusters, np.nan, np.nan, np.nan)
    return _fit(frame["value"], np.ones((n, 1)), frame["cluster"], 0, confidence)


def clustered_slope(values, regressor, clusters, confidence: float = 0.95) -> Estimate:
    """Slope of `values` on `regressor` (with an intercept) by least squares; interval clustered as in `clustered_mean`.

    Fewer than 2 clusters, or 2 distinct values of the regressor, give no estimate.
    """
    frame = pd.DataFrame({"value": np.asarray(values, dtype=float), "regressor": np.asarray(regressor, dtype=float),
                          "cluster": np.asarray(clusters)}).dropna()  # fmt: skip
    if frame["cluster"].nunique() < 2 or frame["regressor"].nunique() < 2:
        return Estimate(np.nan, np.nan, np.nan, len(frame), frame["cluster"].nunique(), np.nan, np.nan, np.nan)
    return _fit(frame["value"], sm.add_constant(frame[["regressor"]].to_numpy()), frame["cluster"], 1, confidence)


def _fit(values: pd.Series, design: np.ndarray, clusters: pd.Series, column: int, confidence: float) -> Estimate:
    codes = pd.factorize(clusters)[0]
    model = sm.OLS(values.to_numpy(), design)
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    estimate, error, naive = fit.params[column], fit.bse[column], model.fit().bse[column]
    if np.isclose(error, 0, atol=1e-9):  # every cluster agrees: no spread to judge by
        estimate = float(np.round(estimate, 9))
        return Estimate(estimate, estimate, estimate, len(values), codes.max() + 1, 0.0, np.nan, float(estimate == 0))
    low, high = fit.conf_int(1 - confidence)[column]
    return Estimate(estimate, low, high, len(values), codes.max() + 1, error, naive / error, fit.pvalues[column])


def clustered_means(table: pd.DataFrame, value: str, by: list[str], confidence: float, cluster: str = "stem_id") -> pd.DataFrame:
    """`clustered_mean` of a column within each combination of `by`: one row each, with the fields of Estimate as columns."""
    rows = [
        {**dict(zip(by, levels, strict=True)), **asdict(clustered_mean(part[value], part[cluster], confidence))}
        for levels, part in table.groupby(by, sort=False, observed=True, dropna=False)
    ]
    return pd.DataFrame(rows, columns=[*by, *(field.name for field in fields(Estimate))])


def difference(first: Estimate, second: Estimate, confidence: float = 0.95) -> Estimate:
    """`first` − `second` of two estimates from different stems (Welch's t, each with clusters − 1 degrees of freedom)."""
    error = np.hypot(first.error, second.error)
    n, clusters = first.n + second.n, first.n_stems + second.n_stems
    estimate = first.estimate - second.estimate
    if not error > 0:
        return Estimate(estimate, np.nan, np.nan, n, clusters, np.nan, np.nan, np.nan)
    freedom = error**4 / (first.error**4 / (first.n_stems - 1) + second.error**4 / (second.n_stems - 1))
    reach = stats.t.ppf((1 + confidence) / 2, freedom) * error
    p = 2 * stats.t.sf(abs(estimate) / error, freedom)
    return Estimate(estimate, estimate - reach, estimate + reach, n, clusters, error, np.nan, p)


def side_of_zero(found: Estimate) -> int:
    """+1 or −1 if the whole interval lies above or below 0, else 0."""
    return int(found.low > 0) - int(found.high < 0)


def equivalence_p(estimate: Estimate, margin: float) -> float:
    """p of the two one-sided tests (Schuirmann 1987) that the mean lies inside ±`margin`; clusters − 1 degrees of freedom."""
    freedom = estimate.n_stems - 1
    if estimate.error == 0:
        return 0.0 if abs(estimate.estimate) < margin else 1.0
    below = stats.t.sf((estimate.estimate + margin) / estimate.error, freedom)
    above = stats.t.cdf((estimate.estimate - margin) / estimate.error, freedom)
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
