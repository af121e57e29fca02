"""Pairing: which draws of two arms, or of two prompts, are compared where their numbers differ.

Equal draws (of equal sample_index) share their noise. Where both sides have the same draws, each draw is
compared with its equal, and the mean of the differences is the difference of the means. Where they differ,
each draw is compared with the mean over all scored draws of the other side: no draw is left out, none counts
more than another, and the mean of the differences is again the difference of the means.

With k draws against n of variance σ², and a correlation ρ of equal draws, a group's difference has the
variance σ² (1/k + 1/n − 2ρ / max(k, n)). The alternative, comparing with single draws in rotation (0, 1, 0,
1, …), never has a smaller variance if k ≥ n, and if k < n only for ρ > ½, because it leaves n − k draws out.
Where k < n, weighting the equal draws by ρ and the mean of all by 1 − ρ would reduce the variance by another
σ² ρ² (1/k − 1/n): by a twentieth at k = 1, n = 3 and ρ = 0.3 (tests/generation/test_pairing.py). This is not
done: charged arms seldom have fewer draws than their reference, and the effect of a mitigation is computed
from the means of cells (`lib.claims.mitigation`).
"""

import pandas as pd

from lib.config.specs import NO_MITIGATION


def references(judgements: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Return the rows of the arm that other arms are compared with.

    If a model has no rows of this arm under a mitigation, its unmitigated rows are used, labelled with the
    mitigation. They cancel in the mean over both polarities and in the effect of a mitigation.

    Args:
        judgements: A table with columns model, mitigation and arm.
        arm: The reference arm.
    """
    base = judgements[judgements["arm"] == arm]
    bare = base[base["mitigation"] == NO_MITIGATION]
    available, requests = (
        table[["model", "mitigation"]].drop_duplicates().itertuples(index=False, name=None)
        for table in (base, judgements)
    )
    own = set(available)
    borrowed = [
        bare[bare["model"] == model].assign(mitigation=name)
        for model, name in requests
        if (model, name) not in own
    ]
    return pd.concat([base, *borrowed]) if borrowed else base


def with_partner(table: pd.DataFrame, base: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return `table` with the column partner: the sample_index of the paired draw of `base`.

    It is the draw with the same sample_index. For a row without one, the draws of `base` are used in
    rotation. A table that already has the column keeps it.

    Args:
        table: Rows with the columns of `key` and sample_index; rows whose group has no draw in `base` are
            left out.
        base: The reference draws, with the same columns.
        key: The columns of the group that both share.
    """
    draws = base[[*key, "sample_index"]].drop_duplicates().sort_values([*key, "sample_index"])
    of_group = draws.groupby(key, sort=False)["sample_index"]
    draws = draws.assign(turn=of_group.cumcount(), count=of_group.transform("size"))
    counts = draws.drop_duplicates(key)[[*key, "count"]]
    table = table.merge(counts, on=key, validate="many_to_one")
    if "partner" not in table:
        equal = (
            table[[*key, "sample_index"]].merge(draws, on=[*key, "sample_index"], how="left")["turn"].notna()
        )
        table["partner"] = (
            table["sample_index"]
            if equal.all()
            else table["sample_index"].where(equal, _round(table, draws, key))
        )
    return table.drop(columns="count")


def _round(table: pd.DataFrame, draws: pd.DataFrame, key: list[str]) -> pd.Series:
    """Return the sample_index that each row of `table` gets in rotation over the `draws` of its group."""
    turns = table[key].assign(turn=table["sample_index"] % table["count"])
    return turns.merge(draws.drop(columns="count"), on=[*key, "turn"], how="left")["sample_index"]


def align(
    table: pd.DataFrame, base: pd.DataFrame, key: list[str], values: list[str], of: list[str]
) -> pd.DataFrame:
    """Return the reference values that each row of `table` is compared with.

    Where both sides have the same draws of a group, these are the values of the row's partner. Elsewhere they
    are the mean over the group's draws of `base`, ignoring NaN.

    Args:
        table: The table of `with_partner`.
        base: The reference draws, with the columns of `key`, sample_index and `values`.
        key: The columns of the group that both share.
        values: The columns to return.
        of: The columns that, with `key`, identify the unit that the draws of `table` belong to.

    Returns:
        The columns `values`, indexed as `table`.
    """
    single = align_partner(table, base, key, values)
    counts = base.groupby(key, sort=False)["sample_index"].nunique().rename("count")
    count = table[key].merge(counts, left_on=key, right_index=True, how="left")["count"].to_numpy()
    equal = table.assign(equal=table["partner"] == table["sample_index"]).groupby([*key, *of], sort=False)
    same = equal["equal"].transform("all") & (equal["sample_index"].transform("nunique") == count)
    means = base.groupby(key, sort=False)[values].mean()
    return single.where(
        same, table[key].merge(means, left_on=key, right_index=True, how="left")[values].set_axis(table.index)
    )


def align_partner(table: pd.DataFrame, base: pd.DataFrame, key: list[str], values: list[str]) -> pd.DataFrame:
    """Return `values` of the partner of each row of `table`, missing where `base` has no such draw.

    The result is indexed as `table`.
    """
    partners = base[[*key, "sample_index", *values]].rename(columns={"sample_index": "partner"})
    matches = table[[*key, "partner"]].merge(
        partners, on=[*key, "partner"], how="left", validate="many_to_one"
    )
    return matches[values].set_axis(table.index)
