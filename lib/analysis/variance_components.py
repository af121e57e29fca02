"""Variance components of paired differences: stems, matches of contexts, groups and samples.

A difference is modelled as mean + stem + match + group + sample within group, each part with a variance of
its own; a group is one stem with one match. The estimates are by Henderson's method 1 (Searle, Casella &
McCulloch 1992, ch. 5): sums of squares are set equal to their expectations, for any numbers in the cells. A
part with an estimate below 0 is removed, and the others are estimated again.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.dataset import curated_prompts
from lib.runtime.errors import DataError
from lib.stats import resamples


@dataclass(frozen=True)
class Components:
    """Variances of a paired difference, in squared points, and the counts behind them.

    Parts that cannot be separated are counted where they cost most: groups as stems if every stem has one
    group, samples as groups if every group has one sample.
    """

    stem: float
    group: float
    sample: float
    n_stems: int
    n_groups: int
    n: int
    match: float = 0.0
    # 0 where matches are unknown, or cannot be separated from stems or groups: contexts then count as fixed
    n_matches: int = 0


def components(differences: pd.DataFrame, value: str = "difference") -> Components:
    """Variance components with contexts as fixed: matches count as groups, or as stems.

    Args:
        differences: One row per sample, with stem_id and group_id.
        value: Column to analyse; NaN values are left out.

    Raises:
        ValueError: If there are fewer than two stems.
    """
    return estimate(sums(differences, value).assign(match=-1))


def components_by_match(differences: pd.DataFrame, value: str = "difference") -> Components:
    """Variance components with a part for matches, which cross with stems or contain them.

    As `components`, with the matches of `curated_prompts.with_match`. The part for matches is omitted where
    matches are unknown, where there is only one, or where every match has one stem.

    Args:
        differences: One row per sample, with stem_id and group_id.
        value: Column to analyse; NaN values are left out.

    Raises:
        ValueError: If there are fewer than two stems.
    """
    return estimate(sums(differences, value))


def sums(differences: pd.DataFrame, value: str) -> pd.DataFrame:
    """Sums that the analysis needs of each group.

    Args:
        differences: One row per sample, with stem_id and group_id.
        value: Column to analyse; NaN values are left out.

    Returns:
        One row per group: stem and match (numbers; match is −1 if any is unknown), count, total, square (sum
        of squares within the group).

    Raises:
        ValueError: If there are fewer than two stems with values.
    """
    table = curated_prompts.with_match(differences.dropna(subset=[value]))
    if table["stem_id"].nunique() < 2:
        raise DataError("variance components need at least two stems with values")
    labelled = "match_id" in table and table["match_id"].notna().all()
    table = table.assign(
        stem=pd.factorize(table["stem_id"])[0], match=pd.factorize(table["match_id"])[0] if labelled else -1
    )
    groups = table.groupby(["stem", "group_id"])
    result = (
        groups[value].agg(count="size", total="sum", square="var").join(groups["match"].first()).reset_index()
    )
    return result.assign(square=result["square"].fillna(0) * (result["count"] - 1)).drop(columns="group_id")


def estimate(groups: pd.DataFrame) -> Components:
    """The components of a table of `sums`."""
    parts = {
        "match": _codes(groups["match"]),
        "stem": _codes(groups["stem"]),
        "group": np.arange(len(groups)),
    }
    levels = {name: int(codes.max()) + 1 for name, codes in parts.items()}
    n, n_met = int(groups["count"].sum()), len(groups[["stem", "match"]].drop_duplicates())
    separable = {
        "match": 1 < levels["match"] < n_met,
        "stem": True,
        "group": levels["group"] > levels["stem"],
        "sample": n > levels["group"],
    }
    included = [name for name, is_separable in separable.items() if is_separable]
    result = _solved(groups, parts, included)
    while min(result.values()) < 0:
        included.remove(min(result, key=result.__getitem__))
        result = _solved(groups, parts, included)
    variances = {name: float(result.get(name, 0.0)) for name in separable}
    return Components(
        **variances,
        n_stems=levels["stem"],
        n_groups=levels["group"],
        n=n,
        n_matches=levels["match"] if separable["match"] else 0,
    )


def _codes(column: pd.Series) -> np.ndarray:
    return pd.factorize(column)[0] if (column >= 0).all() else np.zeros(len(column), dtype=int)


def _solved(groups: pd.DataFrame, parts: dict[str, np.ndarray], kept: list[str]) -> dict[str, float]:
    """Variances of the `kept` parts that equate sums of squares between levels with their expectations."""
    if not kept:
        return {"sample": 0.0}
    count, total = groups["count"].to_numpy(float), groups["total"].to_numpy(float)
    n, square = count.sum(), groups["square"].sum() + (total**2 / count).sum()

    def shared(rows: np.ndarray, columns: np.ndarray) -> float:
        """Σ n_rc² / n_r: overlap of the levels of one part with those of another."""
        both, first = np.unique(rows * (columns.max() + 1) + columns, return_index=True, return_inverse=True)[
            1:
        ][::-1]
        return (np.bincount(both, count) ** 2 / np.bincount(rows, count)[rows[first]]).sum()

    whole = np.zeros(len(count), dtype=int)
    matrix, between = np.zeros((len(kept), len(kept))), np.zeros(len(kept))
    for i, row in enumerate(kept):
        of_levels = (
            square
            if row == "sample"
            else (np.bincount(parts[row], total) ** 2 / np.bincount(parts[row], count)).sum()
        )
        between[i] = of_levels - total.sum() ** 2 / n
        for j, column in enumerate(kept):
            if column == "sample":
                matrix[i, j] = (n if row == "sample" else parts[row].max() + 1) - 1
            else:
                within = n if row == "sample" else shared(parts[row], parts[column])
                matrix[i, j] = within - shared(whole, parts[column])
    return dict(zip(kept, np.linalg.solve(matrix, between), strict=True))


def redrawn(groups: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A bootstrap resample of a table of `sums`.

    Stems are drawn with replacement, as many as there are; where stems are nested in matches, matches are
    drawn instead. Each drawn unit comes with all its groups. A unit that is drawn twice counts as two, and so
    do the stems of a match.
    """
    nested = (groups["match"] >= 0).all() and 1 < groups["match"].nunique() < len(groups) == groups[
        "stem"
    ].nunique()
    unit = "match" if nested else "stem"
    chosen = resamples.draw(resamples.rows_by_cluster(groups[unit]), rng)
    resample = groups.iloc[np.concatenate(chosen)]
    number = np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen])
    return (
        resample.assign(match=number, stem=np.arange(len(resample)))
        if nested
        else resample.assign(stem=number)
    )
