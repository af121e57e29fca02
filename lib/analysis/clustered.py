"""The mean of a column of pairs for other stems and other contexts: clustered by stem and by match, with the
design's strata.

Stems are a sample, and so are the matches, the sets of contexts that they meet; what a design fixes are its
strata. Clusters are

- matches, where every stem meets one match, as with one group a stem: stems are then nested in matches;
- stems, where every match is met by one stem, or where there is one match, or matches are not told: contexts
  count as given;
- both, where they cross: the two-way error of `inference.least_squares`. Neither statsmodels
  (`cov_type="cluster"` with two groups has no CR2 and no way out of a negative variance) nor R's clubSandwich
  (no two-way clusters) has it.

In mined sets each stem serves once and a match up to `mining.max_stems_per_match` times, so that they are
clustered by match.

The strata are centred indicators in a regression whose intercept is the mean. Centred at the sample's own
means they leave the mean as it is, and take out of its error what differs between strata whose shares the
design fixes (Lin 2013; poststratification, Holt & Smith 1979): the statement is about stems and matches in
these shares. As many strata are used, in the order of STRATA, as leave CLUSTERS_EACH clusters for each
coefficient. CR2 and degrees of freedom are those of the whole regression.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace

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
)  # the columns among them that are the same in both polarities of a group
# for each coefficient of the strata; `make simulate` tells how often intervals then hold the truth
CLUSTERS_EACH = 10
BY_STEM, BY_MATCH, BY_BOTH = "stems", "matches", "stems and matches"


@dataclass(frozen=True)
class DesignEstimate(Estimate):
    """An estimate for other stems and matches; `n_stems` counts stems, whatever the clusters are."""

    n_matches: int = 0  # 0 where matches are not told
    cluster_unit: str = BY_STEM  # or BY_MATCH or BY_BOTH


def design_mean(
    table: pd.DataFrame, value: str, confidence: float = 0.95, limits: tuple[float, float] | None = None
) -> DesignEstimate:
    """Mean of the column `value` of a table of pairs, with an interval for other stems and matches; NaN
    values are left out.

    Needs stem_id; uses match_id or, without it, group_id (`curated_prompts.with_match`), and those columns of
    STRATA that there are. `limits` and what has no interval: as in `inference.clustered_mean`.
    """
    rows = curated_prompts.with_match(table.dropna(subset=[value, "stem_id"]))
    values = rows[value].to_numpy(dtype=float)
    unit, clusterings, counts = clusters_of(rows)
    if len(values) == 0 or clusterings[0].max() == 0:
        estimate = values.mean() if len(values) else np.nan
        return _of_design(inference.without_interval(estimate, clusterings[0]), counts, unit)
    basis = _strata(rows, min(codes.max() + 1 for codes in clusterings))
    found = inference.least_squares(values, basis, clusterings, confidence, limits)
    if found.se == 0:  # strata that explain everything say nothing of other stems
        found = inference.least_squares(values, basis[:, -1:], clusterings, confidence, limits)
    return _of_design(found, counts, unit)


def design_slope(table: pd.DataFrame, value: str, regressor: str, confidence: float = 0.95) -> DesignEstimate:
    """Slope of the column `value` on the column `regressor` by least squares, clustered as `design_mean`,
    without strata.

    What gives no estimate: as in `inference.clustered_slope`.
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
    """Mean of the column `value` where `first` is true less its mean elsewhere, and whether no cluster has
    rows on both sides.

    If so, Welch's of two `design_mean`s, else `design_slope` on `first`; either without strata. NaN values
    are left out.
    """
    known = table[value].notna()
    names = [name for name in ("stem_id", "group_id", "match_id") if name in table]
    rows = curated_prompts.with_match(table.loc[known, [*names, value]]).assign(
        first=first[known].astype(float)
    )
    unit, clusterings, _ = clusters_of(rows)
    one, other = (rows[rows["first"] == side] for side in (1.0, 0.0))
    if any(
        pd.Series(codes).groupby(rows["first"].to_numpy()).nunique().sum() > codes.max(initial=-1) + 1
        for codes in clusterings
    ):
        return design_slope(rows, value, "first", confidence), False
    sides = [design_mean(side, value, confidence) for side in (one, other)]
    found = inference.difference(*sides, confidence)
    naive = np.hypot(*(side.se * side.naive_se_ratio for side in sides))
    found = replace(found, naive_se_ratio=naive / found.se if found.se > 0 else np.nan)
    return _of_design(found, (found.n_stems, sides[0].n_matches + sides[1].n_matches), unit), True


def design_share(
    table: pd.DataFrame, value: str, confidence: float = 0.95, whole: float = 100.0
) -> DesignEstimate:
    """`design_mean` of a column of values from 0 to `whole`, with Wilson's interval as in
    `inference.clustered_share`."""
    return inference.wilson(design_mean(table, value, confidence, (0.0, whole)), confidence, whole)


def design_means(
    table: pd.DataFrame,
    value: str,
    by: list[str],
    confidence: float = 0.95,
    limits: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """`design_mean` within each combination of `by`: one row each, with the fields of DesignEstimate as
    columns."""
    return _by_level(table, by, lambda part: design_mean(part, value, confidence, limits))


def design_shares(
    table: pd.DataFrame, value: str, by: list[str], confidence: float = 0.95, whole: float = 100.0
) -> pd.DataFrame:
    """`design_share` within each combination of `by`, as `design_means`."""
    return _by_level(table, by, lambda part: design_share(part, value, confidence, whole))


def _by_level(
    table: pd.DataFrame, by: list[str], estimated: Callable[[pd.DataFrame], DesignEstimate]
) -> pd.DataFrame:
    parts = curated_prompts.with_match(table).groupby(by, sort=False, observed=True, dropna=False)
    rows = [{**dict(zip(by, levels, strict=True)), **asdict(estimated(part))} for levels, part in parts]
    return pd.DataFrame(rows, columns=[*by, *(field.name for field in fields(DesignEstimate))])


def _of_design(found: Estimate, counts: tuple[int, int], unit: str) -> DesignEstimate:
    return DesignEstimate(
        **{**asdict(found), "n_stems": counts[0], "n_matches": counts[1]}, cluster_unit=unit
    )


def clusters_of(rows: pd.DataFrame) -> tuple[str, list[np.ndarray], tuple[int, int]]:
    """What the rows (stem_id, match_id if it is told) cluster by: the unit, the clusters as numbers, one
    array or two that cross.

    And how many stems and matches there are. Nested are those of which there are as many as pairs of a stem
    with a match.
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
    """Orthogonal columns for the strata that `n_clusters` allow, centred, and last one of ones, whose
    coefficient is the mean."""
    basis = np.full((len(rows), 1), len(rows) ** -0.5)
    for names in STRATA:
        room = n_clusters // CLUSTERS_EACH - (basis.shape[1] - 1)
        if room < 1 or not {*names} <= {*rows.columns}:
            continue
        levels = rows.groupby(list(names), observed=True, dropna=False).ngroup().to_numpy()
        if levels.max() == 0 or levels.max() > n_clusters:
            continue
        indicators = np.eye(levels.max() + 1)[levels]
        rest = indicators - basis @ (basis.T @ indicators)
        sizes, vectors = np.linalg.eigh(rest.T @ rest)
        apart = sizes > 1e-8 * len(rows)  # what earlier strata do not tell already
        new = rest @ vectors[:, apart] / np.sqrt(sizes[apart])
        if new.shape[1] <= room:
            basis = np.hstack([new, basis])
    basis[:, -1] = 1
    return basis
