"""Means of a column of pairs, clustered by stem and by match, with the strata of the design.

The statements hold for other stems and other contexts. Stems are a sample, and so are matches, the sets of
contexts with which stems are combined. The strata are fixed by the design. The clusters are

- matches, where every stem has one match, as with one group per stem: stems are then nested in matches;
- stems, where every match has one stem, where there is one match, or where matches are unknown: contexts then
  count as fixed;
- both, where they cross: the two-way standard error of `inference.least_squares`. Neither statsmodels
  (`cov_type="cluster"` with two groups has no CR2 and no remedy for a negative variance) nor R's clubSandwich
  (no two-way clusters) provides it.

In mined sets each stem is used once and a match up to `mining.max_stems_per_match` times, so that these sets
are clustered by match.

The strata are centred indicators in a regression with the mean as its intercept. Centred at the means of the
sample, they leave the mean as it is and remove from its standard error the differences between strata with
shares fixed by the design (Lin 2013; poststratification, Holt & Smith 1979): the statement is about stems and
matches in these shares. Strata are used in the order of STRATA, as many as leave CLUSTERS_EACH clusters for
each coefficient. CR2 and the degrees of freedom are those of the whole regression.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd

from lib.dataset import curated_prompts
from lib.stats import inference
from lib.stats.inference import Estimate

STRATA = (("intensity",), ("slot",), ("form",), ("form", "intensity"), ("emotion",), ("domain",))
OF_GROUP = (
    "slot",
    "form",
    "intensity",
    "domain",
)  # the columns of STRATA that are the same in both polarities of a group
# per coefficient of the strata; `make simulate` shows how often intervals then cover the true value
CLUSTERS_EACH = 10
# the columns of a table that an estimate takes beside its values
USED = ("stem_id", "group_id", "match_id", *dict.fromkeys(name for names in STRATA for name in names))
KEPT_ROWS = 100_000  # of a table whose design is kept for other values of the same rows
BY_STEM, BY_MATCH, BY_BOTH = "stems", "matches", "stems and matches"


@dataclass(frozen=True)
class DesignEstimate(Estimate):
    """An estimate for other stems and matches; `n_stems` counts stems, whatever the clusters are."""

    n_matches: int = 0  # 0 where matches are unknown
    cluster_unit: str = BY_STEM  # or BY_MATCH or BY_BOTH


def design_mean(
    table: pd.DataFrame, value: str, confidence: float = 0.95, limits: tuple[float, float] | None = None
) -> DesignEstimate:
    """Mean of a column of pairs, with an interval for other stems and matches.

    Args:
        table: One row per pair, with stem_id, match_id or else group_id (`curated_prompts.with_match`), and
            those columns of STRATA that exist.
        value: Column to average; NaN values are left out.
        confidence: Level of the interval, between 0 and 1.
        limits: Least and greatest possible value, as in `inference.clustered_mean`.

    Returns:
        The mean; without an interval in the same cases as in `inference.clustered_mean`.
    """
    rows = curated_prompts.with_match(table.dropna(subset=[value, "stem_id"]))
    design = _kept_design(_rows_of(rows)) if len(rows) <= KEPT_ROWS else _Design(rows)
    return design.mean(rows[value].to_numpy(dtype=float), confidence, limits)


class _Design:
    """What a `design_mean` takes from its rows, whatever their values are: clusters and strata."""

    def __init__(self, rows: pd.DataFrame):
        self._rows = rows
        self._unit, self._clusterings, self._counts = clusters_of(rows)

    @cached_property
    def _basis(self) -> np.ndarray:
        return _strata(self._rows, min(codes.max() + 1 for codes in self._clusterings))

    @cached_property
    def _sandwich(self) -> inference.Sandwich:
        return inference.Sandwich(self._basis, self._clusterings)

    def mean(
        self, values: np.ndarray, confidence: float, limits: tuple[float, float] | None
    ) -> DesignEstimate:
        """The mean of one value per row, none of them NaN."""
        if len(values) == 0 or self._clusterings[0].max() == 0:
            estimate = values.mean() if len(values) else np.nan
            without = inference.without_interval(estimate, self._clusterings[0])
            return _of_design(without, self._counts, self._unit)
        result = self._sandwich.fit(values, confidence, limits)
        if result.se == 0:  # strata that explain everything do not generalise to other stems
            constant = self._basis[:, -1:]
            result = inference.least_squares(values, constant, self._clusterings, confidence, limits)
        return _of_design(result, self._counts, self._unit)


@dataclass(frozen=True)
class _Rows:
    """Rows of a design, equal to others whose columns that a design takes are the same."""

    digest: tuple[str | bytes, ...]
    table: pd.DataFrame = field(compare=False)


def _rows_of(rows: pd.DataFrame) -> _Rows:
    table = rows[[name for name in USED if name in rows]]
    hashes = pd.util.hash_pandas_object(table, index=False).to_numpy()
    return _Rows((*table.columns, hashlib.sha256(hashes.tobytes()).digest()), table)


@lru_cache(maxsize=16)  # as many sets of rows are met in turns, at each threshold or for each quantity
def _kept_design(rows: _Rows) -> _Design:
    return _Design(rows.table)


def compact(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its columns of text as categories, which are selected, grouped and merged as numbers."""
    texts = table.select_dtypes("str").columns
    return table.astype(dict.fromkeys(texts, "category"))


def design_slope(table: pd.DataFrame, value: str, regressor: str, confidence: float = 0.95) -> DesignEstimate:
    """Least-squares slope of one column of pairs on another, clustered as in `design_mean`, without strata.

    Args:
        table: One row per pair, as in `design_mean`.
        value: Dependent column.
        regressor: Independent column.
        confidence: Level of the interval, between 0 and 1.

    Returns:
        The slope; no estimate in the same cases as in `inference.clustered_slope`.
    """
    rows = curated_prompts.with_match(table.dropna(subset=[value, regressor, "stem_id"]))
    unit, clusterings, counts = clusters_of(rows)
    x = rows[regressor].to_numpy(dtype=float)
    if clusterings[0].max(initial=0) == 0 or np.ptp(x) == 0:
        return _of_design(inference.without_interval(np.nan, clusterings[0]), counts, unit)
    design = np.column_stack([np.ones(len(x)), x - x.mean()])
    return _of_design(
        inference.least_squares(rows[value].to_numpy(dtype=float), design, clusterings, confidence),
        counts,
        unit,
    )


def design_difference(
    table: pd.DataFrame, value: str, first: pd.Series, confidence: float = 0.95
) -> tuple[DesignEstimate, bool]:
    """Difference of the means of two sets of rows, without strata.

    Args:
        table: One row per pair, as in `design_mean`.
        value: Column to average; NaN values are left out.
        first: Whether each row is on the first side. The difference is the mean of these rows minus that of
            the others.
        confidence: Level of the interval, between 0 and 1.

    Returns:
        The difference, and whether no cluster has rows on both sides. If so, the difference is Welch's, of
        two `design_mean`s; otherwise it is the `design_slope` on `first`.
    """
    known = table[value].notna()
    names = [name for name in ("stem_id", "group_id", "match_id") if name in table]
    rows = curated_prompts.with_match(table.loc[known, [*names, value]]).assign(
        first=first[known].astype(float)
    )
    unit, clusterings, _ = clusters_of(rows)
    if any(
        pd.Series(codes).groupby(rows["first"].to_numpy()).nunique().sum() > codes.max(initial=-1) + 1
        for codes in clusterings
    ):
        return design_slope(rows, value, "first", confidence), False
    one, other = (design_mean(rows[rows["first"] == side], value, confidence) for side in (1.0, 0.0))
    result = inference.difference(one, other, confidence)
    naive = np.hypot(one.se * one.naive_se_ratio, other.se * other.naive_se_ratio)
    result = replace(result, naive_se_ratio=naive / result.se if result.se > 0 else np.nan)
    return _of_design(result, (result.n_stems, one.n_matches + other.n_matches), unit), True


def design_share(
    table: pd.DataFrame, value: str, confidence: float = 0.95, whole: float = 100.0
) -> DesignEstimate:
    """Mean of a column of values from 0 to `whole` with Wilson's interval.

    As `design_mean`; the interval is that of `inference.clustered_share`.
    """
    return inference.wilson(design_mean(table, value, confidence, (0.0, whole)), confidence, whole)


def design_means(
    table: pd.DataFrame,
    value: str,
    by: list[str],
    confidence: float = 0.95,
    limits: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """The `design_mean` of each combination of the columns `by`.

    Args:
        table: One row per pair, as in `design_mean`.
        value: Column to average.
        by: Columns to group by.
        confidence: Level of the interval, between 0 and 1.
        limits: Least and greatest possible value.

    Returns:
        One row per combination: the columns `by` and the fields of DesignEstimate.
    """
    return design_means_of(table, {value: limits}, by, confidence)[value]


def design_means_of(
    table: pd.DataFrame,
    limits: Mapping[str, tuple[float, float] | None],
    by: list[str],
    confidence: float = 0.95,
) -> dict[str, pd.DataFrame]:
    """The `design_means` of several columns; those that are known for the same rows share their design.

    Args:
        table: One row per pair, as in `design_mean`.
        limits: Least and greatest possible value of each column to average.
        by: Columns to group by.
        confidence: Level of the interval, between 0 and 1.

    Returns:
        The table of `design_means` of each column.
    """
    rows: dict[str, list[dict]] = {value: [] for value in limits}
    for levels, subset in _levels(table, by):
        named = dict(zip(by, levels, strict=True))
        known = {value: subset[[value, "stem_id"]].notna().all(axis=1).to_numpy() for value in limits}
        for mask in {same.tobytes(): same for same in known.values()}.values():
            design = _Design(subset[mask])
            for value in (name for name, own in known.items() if np.array_equal(own, mask)):
                values = subset[value].to_numpy(dtype=float)[mask]
                rows[value].append(named | asdict(design.mean(values, confidence, limits[value])))
    return {value: _estimates(rows[value], by) for value in limits}


def design_shares(
    table: pd.DataFrame, value: str, by: list[str], confidence: float = 0.95, whole: float = 100.0
) -> pd.DataFrame:
    """The `design_share` of each combination of the columns `by`, in the form of `design_means`."""
    return _by_level(table, by, lambda subset: design_share(subset, value, confidence, whole))


def _levels(table: pd.DataFrame, by: list[str]) -> Iterable[tuple[tuple, pd.DataFrame]]:
    return curated_prompts.with_match(table).groupby(by, sort=False, observed=True, dropna=False)


def _by_level(
    table: pd.DataFrame, by: list[str], estimated: Callable[[pd.DataFrame], DesignEstimate]
) -> pd.DataFrame:
    rows = [
        {**dict(zip(by, levels, strict=True)), **asdict(estimated(subset))}
        for levels, subset in _levels(table, by)
    ]
    return _estimates(rows, by)


def _estimates(rows: list[dict], by: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*by, *(field.name for field in fields(DesignEstimate))])


def _of_design(estimate: Estimate, counts: tuple[int, int], unit: str) -> DesignEstimate:
    return DesignEstimate(
        **{**asdict(estimate), "n_stems": counts[0], "n_matches": counts[1]}, cluster_unit=unit
    )


def clusters_of(rows: pd.DataFrame) -> tuple[str, list[np.ndarray], tuple[int, int]]:
    """The unit by which rows are clustered, and the clusters.

    Matches, or stems, are nested if there are as many of them as pairs of a stem with a match.

    Args:
        rows: Rows with stem_id and, if known, match_id.

    Returns:
        The unit (BY_STEM, BY_MATCH or BY_BOTH); the clusters as numbers, one array or two that cross; the
        numbers of stems and of matches.
    """
    stems = pd.factorize(rows["stem_id"])[0]
    n_stems = len(np.unique(stems))
    if "match_id" not in rows or rows["match_id"].isna().any():
        return BY_STEM, [stems], (n_stems, 0)
    matches = pd.factorize(rows["match_id"])[0]
    n_matches = len(np.unique(matches))
    n_met = len(rows[["stem_id", "match_id"]].drop_duplicates())
    if n_matches in (1, n_met):
        return BY_STEM, [stems], (n_stems, n_matches)
    if n_stems == n_met:
        return BY_MATCH, [matches], (n_stems, n_matches)
    return BY_BOTH, [stems, matches], (n_stems, n_matches)


def _strata(rows: pd.DataFrame, n_clusters: int) -> np.ndarray:
    """Orthogonal centred columns of strata that `n_clusters` allow, then a column of ones for the mean."""
    basis = np.full((len(rows), 1), len(rows) ** -0.5)
    for names in STRATA:
        allowed = n_clusters // CLUSTERS_EACH - (basis.shape[1] - 1)
        if allowed < 1 or not {*names} <= {*rows.columns}:
            continue
        levels = rows.groupby(list(names), observed=True, dropna=False).ngroup().to_numpy()
        if levels.max() == 0 or levels.max() > n_clusters:
            continue
        indicators = np.eye(levels.max() + 1)[levels]
        remainder = indicators - basis @ (basis.T @ indicators)
        eigenvalues, eigenvectors = np.linalg.eigh(remainder.T @ remainder)
        nonzero = eigenvalues > 1e-8 * len(rows)  # directions that earlier strata do not already span
        new = remainder @ eigenvectors[:, nonzero] / np.sqrt(eigenvalues[nonzero])
        if new.shape[1] <= allowed:
            basis = np.hstack([new, basis])
    basis[:, -1] = 1
    return basis
