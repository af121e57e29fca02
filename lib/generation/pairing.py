"""Which draws of two arms, or of two prompts, are set against each other where one may have more of them than
the other.

Equal draws (of equal sample_index) share their noise. Where both sides have the same draws, each is compared
with its equal; the mean of the differences is then the difference of the means. Where they have not, each
draw is compared with the mean over all draws of the other side that are scored: no draw is left out, none
counts more than another, and the mean of the differences is again the difference of the means.

With k draws against n of variance σ², and a correlation ρ of equal draws, a group's difference has the
variance σ² (1/k + 1/n − 2ρ / max(k, n)). Comparing with single draws counted round (0, 1, 0, 1, …) never has
less if k ≥ n, and of k < n only if ρ > ½, for it leaves n − k draws out. Where k < n, weighing the equal
draws by ρ and the mean of all by 1 − ρ would take another σ² ρ² (1/k − 1/n) off: at k = 1, n = 3 and ρ = 0.3
a twentieth of it (tests/generation/test_pairing.py). It is not done: charged arms are seldom drawn less often
than their reference, and what a mitigation changes is read off the means of cells (`lib.claims.mitigation`).
"""

import pandas as pd

from lib.config.specs import NO_MITIGATION


def references(judgements: pd.DataFrame, arm: str) -> pd.DataFrame:
    """The rows of the arm that others are compared with. Needs model, mitigation and arm.

    Under a mitigation of which a model was not asked with this arm they are its unmitigated rows, named after
    the mitigation: in the mean over both polarities, and in what a mitigation changes, they cancel.
    """
    base = judgements[judgements["arm"] == arm]
    bare, there = (
        base[base["mitigation"] == NO_MITIGATION],
        set(zip(base["model"], base["mitigation"], strict=True)),
    )
    asked = judgements[["model", "mitigation"]].drop_duplicates().itertuples(index=False, name=None)
    borrowed = [
        bare[bare["model"] == model].assign(mitigation=name)
        for model, name in asked
        if (model, name) not in there
    ]
    return pd.concat([base, *borrowed]) if borrowed else base


def with_partner(table: pd.DataFrame, base: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """`table` with the column partner: the sample_index of the one draw of `base` that stands beside a row
    where only one can.

    That is the equal one, and for a row that has no equal the draws of `base` are counted round. `key` names
    the group that both share; rows whose group has no draw in `base` are left out. A table that has the
    column keeps it.
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
    """The sample_index of the draw of each row of `table` if `draws` of the group, numbered by `turn`, are
    counted round."""
    turns = table[key].assign(turn=table["sample_index"] % table["count"])
    return turns.merge(draws.drop(columns="count"), on=[*key, "turn"], how="left")["sample_index"]


def beside(
    table: pd.DataFrame, base: pd.DataFrame, key: list[str], values: list[str], of: list[str]
) -> pd.DataFrame:
    """What each row of `table`, of `with_partner`, is compared with: `values` of its partner where both sides
    have the same draws of the group, else their mean over the draws of `base`, of which those that are NaN
    count for nothing.

    `of`, with `key`, names what the draws of `table` belong to.
    """
    single = beside_partner(table, base, key, values)
    counts = base.groupby(key, sort=False)["sample_index"].nunique().rename("count")
    count = table[key].merge(counts, left_on=key, right_index=True, how="left")["count"].to_numpy()
    equal = table.assign(equal=table["partner"] == table["sample_index"]).groupby([*key, *of], sort=False)
    same = equal["equal"].transform("all") & (equal["sample_index"].transform("nunique") == count)
    means = base.groupby(key, sort=False)[values].mean()
    return single.where(
        same, table[key].merge(means, left_on=key, right_index=True, how="left")[values].set_axis(table.index)
    )


def beside_partner(
    table: pd.DataFrame, base: pd.DataFrame, key: list[str], values: list[str]
) -> pd.DataFrame:
    """`values` of the partner of each row of `table`, missing where `base` has no such draw; indexed as
    `table`."""
    partners = base[[*key, "sample_index", *values]].rename(columns={"sample_index": "partner"})
    found = table[[*key, "partner"]].merge(partners, on=[*key, "partner"], how="left", validate="many_to_one")
    return found[values].set_axis(table.index)
