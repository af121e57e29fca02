"""Variance components of paired differences: how far stems, matches of contexts, groups and samples each make
them differ.

A difference is taken as mean + stem + match + group + sample within group, each part with a variance of its
own; a group is one stem with one match. Henderson's method 1 (Searle, Casella & McCulloch 1992, ch. 5): sums
of squares are set equal to their expectations, whatever the numbers in the cells; a part whose estimate is
below 0 is taken out and the others are estimated anew.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.dataset import curated_prompts


@dataclass(frozen=True)
class Components:
    """Variances of a paired difference, in squared points, and what they were estimated from.

    What cannot be told apart is counted where it costs most: groups as stems if every stem has one group,
    samples as groups if every group has one sample.
    """

    stem: float
    group: float
    sample: float
    n_stems: int
    n_groups: int
    n: int
    match: float = 0.0
    # 0 where matches are not told, or not apart from stems or groups: contexts then count as given
    n_matches: int = 0


def components(differences: pd.DataFrame, value: str = "difference") -> Components:
    """Variance components of the column `value`, one row a sample, contexts as given: matches count as
    groups, or as stems.

    Needs stem_id and group_id; NaN values are left out. ValueError for fewer than two stems.
    """
    return estimate(sums(differences, value).assign(match=-1))


def components_by_match(differences: pd.DataFrame, value: str = "difference") -> Components:
    """As `components`, with a part for matches (`curated_prompts.with_match`), crossed with stems or stems
    nested in them.

    Without that part where matches are not told, where there is one, or where every match is met by one stem.
    """
    return estimate(sums(differences, value))


def sums(differences: pd.DataFrame, value: str) -> pd.DataFrame:
    """What the analysis needs of each group: stem, match (numbers; −1 if one is not told), count, total,
    square within the group.

    ValueError for fewer than two stems with values.
    """
    table = curated_prompts.with_match(differences.dropna(subset=[value]))
    if table["stem_id"].nunique() < 2:
        raise ValueError("variance components need at least two stems with values")
    told = "match_id" in table and table["match_id"].notna().all()
    table = table.assign(
        stem=pd.factorize(table["stem_id"])[0], match=pd.factorize(table["match_id"])[0] if told else -1
    )
    groups = table.groupby(["stem", "group_id"])
    found = (
        groups[value].agg(count="size", total="sum", square="var").join(groups["match"].first()).reset_index()
    )
    return found.assign(square=found["square"].fillna(0) * (found["count"] - 1)).drop(columns="group_id")


def estimate(groups: pd.DataFrame) -> Components:
    """The components of a table of `sums`."""
    parts = {
        "match": _codes(groups["match"]),
        "stem": _codes(groups["stem"]),
        "group": np.arange(len(groups)),
    }
    levels = {name: int(codes.max()) + 1 for name, codes in parts.items()}
    n, met = int(groups["count"].sum()), len(groups[["stem", "match"]].drop_duplicates())
    apart = {
        "match": 1 < levels["match"] < met,
        "stem": True,
        "group": levels["group"] > levels["stem"],
        "sample": n > levels["group"],
    }
    kept = [name for name, is_apart in apart.items() if is_apart]
    found = _solved(groups, parts, kept)
    while min(found.values()) < 0:
        kept.remove(min(found, key=found.get))
        found = _solved(groups, parts, kept)
    counts = {"n_stems": levels["stem"], "n_groups": levels["group"], "n": n}
    variances = {name: float(found.get(name, 0.0)) for name in apart}
    return Components(**variances, **counts, n_matches=levels["match"] if apart["match"] else 0)


def _codes(column: pd.Series) -> np.ndarray:
    return pd.factorize(column)[0] if (column >= 0).all() else np.zeros(len(column), dtype=int)


def _solved(groups: pd.DataFrame, parts: dict[str, np.ndarray], kept: list[str]) -> dict[str, float]:
    """The variances of the `kept` parts that make the sums of squares between their levels what is
    expected."""
    if not kept:
        return {"sample": 0.0}
    count, total = groups["count"].to_numpy(float), groups["total"].to_numpy(float)
    n, square = count.sum(), groups["square"].sum() + (total**2 / count).sum()

    def shared(rows: np.ndarray, columns: np.ndarray) -> float:
        """Σ n_rc² / n_r: how far the levels of one part carry those of another."""
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
    """`sums` of as many stems as there are, or of as many matches where stems are nested in them, drawn with
    replacement.

    What is drawn comes with all its groups; drawn twice it counts as two, and so do the stems of a match.
    """
    nested = (groups["match"] >= 0).all() and 1 < groups["match"].nunique() < len(groups) == groups[
        "stem"
    ].nunique()
    unit = "match" if nested else "stem"
    codes = pd.factorize(groups[unit])[0]
    rows_of = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    chosen = [rows_of[code] for code in rng.integers(len(rows_of), size=len(rows_of))]
    drawn = groups.iloc[np.concatenate(chosen)]
    number = np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen])
    return drawn.assign(match=number, stem=np.arange(len(drawn))) if nested else drawn.assign(stem=number)
