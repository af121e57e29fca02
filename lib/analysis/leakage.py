"""The leakage quantities, computed on pairs of completions: a charged arm against the reference arm of the
same group.

A pair shares model, mitigation and group. `direction` is the sign of the injected sentiment. In percentage
points, except the shift, which is in points of the human scale.

Intervals are for other stems and other matches of contexts: see `lib.analysis.clustered`.

Which draws are compared: towards, away, net and shift are differences between equal draws, which share their
noise, or, where the arms have unequally many, between a draw and the mean of the reference's
(`lib.generation.pairing`). The leak rate is no difference of means. There a completion is compared with every
reference draw of its group, which narrows the interval and holds the truth as often (`make simulate`; `python
-m tests.simulations.simulate_leakage --run SET` for a run of yours).
"""

import numpy as np
import pandas as pd

from lib.analysis import clustered
from lib.analysis.clustered import DesignEstimate
from lib.config.specs import NO_MITIGATION
from lib.generation import pairing

DIRECTIONS = {"negative": -1, "positive": +1}
QUANTITIES = {
    "leak": "leak rate, % (50 = none)",
    "towards": "towards excess, points",
    "away": "away excess, points",
    "net": "net excess, points",
    "shift": "valence shift, scale points",
}
NULL_VALUE = {"leak": 50.0, "towards": 0.0, "away": 0.0, "net": 0.0, "shift": 0.0}
# the quantity by which claims are decided; the net excess depends on the threshold of a judge
PRIMARY = "shift"
SUPPORT = {
    "leak": (0, 100),
    "towards": (-100, 100),
    "away": (-100, 100),
    "net": (-200, 200),
    "shift": (-8, 8),
}  # of a pair
# of two pairs
DIFFERENCE_SUPPORT = {quantity: (low - high, high - low) for quantity, (low, high) in SUPPORT.items()}
_GROUP = ["model", "mitigation", "group_id"]


def pairs(judgements: pd.DataFrame, reference: str = "neutral", matched: bool = False) -> pd.DataFrame:
    """Every pair of a charged or placebo completion with its reference, with one column for each of
    QUANTITIES.

    `judgements` has model, mitigation, group_id, stem_id, sample_index, arm, valence, charged and what
    describes the prompt. A placebo completion is paired once for each direction. Its references are the draws
    of its group and mitigation, or the unmitigated ones where its model was not asked for any
    (`pairing.references`); partner is the sample_index of the one that stands beside it
    (`pairing.with_partner`). Quantities of a pair with an unscored member are NaN; but where other references
    of the group are scored there is a leak rate, and of arms with unequally many draws every quantity.

    leak is the Leak-Rate of Gonen et al. (2025), on valence: 100 where the arm lies further in the injected
    direction than the reference, 50 where equal, else 0; the mean over all reference completions of the group
    that are scored. towards and away are charged verdicts in and against the direction less those of the
    reference; net = towards − away. For who studies the pair itself (`matched`), every quantity is of the
    partner alone. valence_reference and towards_reference (0 … 1, charged in the direction) are what the
    reference has.
    """
    base = pairing.references(judgements, reference)
    base = base.assign(**{name: _charged(base, sign) for name, sign in DIRECTIONS.items()})
    injected = pd.concat(
        judgements[judgements["arm"].isin({arm, "placebo"} - {reference})].assign(direction=sign)
        for arm, sign in DIRECTIONS.items()
    )
    table = pairing.with_partner(injected, base, _GROUP)
    compared = ["valence", *DIRECTIONS]
    other = (
        pairing.beside_partner(table, base, _GROUP, compared)
        if matched
        else pairing.beside(table, base, _GROUP, compared, ["arm"])
    )
    sign = table["direction"]
    arm, reference_valence = sign * table["valence"], sign * other["valence"]
    table["valence_reference"] = other["valence"]
    table["towards_reference"] = other["positive"].where(sign > 0, other["negative"])
    table["leak"] = 50 * (1 + np.sign(arm - reference_valence)) if matched else _leak(table, base)
    own = {name: _charged(table, each) for name, each in DIRECTIONS.items()}
    positive, negative = (100.0 * (own[name] - other[name]) for name in ("positive", "negative"))
    table["towards"], table["away"] = positive.where(sign > 0, negative), negative.where(sign > 0, positive)
    table["net"] = table["towards"] - table["away"]
    table["shift"] = arm - reference_valence
    unscored = [name for name in QUANTITIES if matched or name != "leak"]
    table.loc[arm.isna() | reference_valence.isna(), unscored] = np.nan
    return table


def _charged(table: pd.DataFrame, sign: int) -> pd.Series:
    """Whether each completion is charged with this sign, 1 or 0; missing where it is unscored."""
    charged = table["charged"].fillna(False).astype(bool) & (sign * table["valence"] > 0)
    return charged.astype(float).where(table["valence"].notna())


def _leak(table: pd.DataFrame, base: pd.DataFrame) -> np.ndarray:
    """Leak-Rate of each row of `table` against all rows of `base` of its group; NaN where it or all of those
    are unscored."""
    both = pd.concat([part[[*_GROUP, "valence"]] for part in (table, base)])
    group, rows = both.groupby(_GROUP, sort=False).ngroup().to_numpy(), len(table)
    rank, distinct = pd.factorize(both["valence"].to_numpy(), sort=True)  # −1 where unscored
    # by group, then by valence: what is below is counted without forming the pairs
    place = group * len(distinct) + rank
    references = np.sort(place[rows:][rank[rows:] >= 0])
    first, last = (np.searchsorted(references, (group[:rows] + end) * len(distinct)) for end in (0, 1))
    lower, upto = (np.searchsorted(references, place[:rows], side) - first for side in ("left", "right"))
    count = np.where(rank[:rows] >= 0, last - first, np.nan)
    count[count == 0] = np.nan
    # twice; a tie counts as half
    further = np.where(table["direction"] > 0, lower + upto, 2 * count - lower - upto)
    return 50 * further / count


def within_limits(table: pd.DataFrame, limits: dict[str, tuple[float, float]] = SUPPORT) -> pd.DataFrame:
    """A table of estimates whose intervals are cut at the `limits` of what stands in its column
    `quantity`."""
    least, greatest = (
        table["quantity"].map({name: ends[end] for name, ends in limits.items()}).astype(float)
        for end in (0, 1)
    )
    return table.assign(
        ci_low=np.maximum(table["ci_low"], least), ci_high=np.minimum(table["ci_high"], greatest)
    )


def charged_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """The pairs of the negative and positive arms."""
    return table[table["arm"].isin(DIRECTIONS)]


def mean_of(table: pd.DataFrame, quantity: str, confidence: float) -> DesignEstimate:
    """The mean of a quantity over `table`, a row a pair: the estimate by which claims are decided."""
    return clustered.design_mean(table, quantity, confidence, SUPPORT[quantity])


def summarise(table: pd.DataFrame, by: list[str], confidence: float) -> pd.DataFrame:
    """Each of QUANTITIES within each combination of `by`: a long table with the columns of
    `clustered.DesignEstimate`."""
    found = [
        clustered.design_means(table, quantity, by, confidence, SUPPORT[quantity]).assign(quantity=quantity)
        for quantity in QUANTITIES
    ]
    estimates = pd.concat(found, ignore_index=True)
    return estimates[[*by, "quantity", *estimates.columns.drop([*by, "quantity"])]]


def verdict_shares(judgements: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Share of negative and of positive verdicts, % of the scored completions of a model and arm."""
    scored = judgements.dropna(subset="valence")
    charged = scored["charged"].astype(bool)
    of_verdict = [
        scored.assign(verdict=verdict, share=100.0 * (charged & (sign * scored["valence"] > 0)))
        for verdict, sign in DIRECTIONS.items()
    ]
    by = ["model", "arm", "verdict"]
    return clustered.design_shares(pd.concat(of_verdict), "share", by, confidence)


def repetition_share(judgements: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Share of completions of the charged arms that repeat a charged word of their context, %, without the
    missing ones."""
    charged = judgements[judgements["arm"].isin(DIRECTIONS) & judgements["repeats"].notna()]
    charged = charged.assign(share=100.0 * charged["repeats"].astype(bool))
    return clustered.design_shares(charged, "share", ["model", "mitigation", "arm"], confidence)


def unscored_bounds(
    judgements: pd.DataFrame, by: list[str], confidence: float, reference: str = "neutral"
) -> pd.DataFrame:
    """Towards and net excess with completions that have no valence left out, if none of them leaked, and if
    all did: see `_if_unscored`. They are missing (`lib.replies.outcomes`), or the judge has left them open.

    A row for each combination of `by`, quantity and `unscored`, with the columns of DesignEstimate. Whatever
    a judge would have said, short of charge against the injected direction, the excess lies between the last
    two (bounds of Manski 2003).
    """
    found = []
    for case, leaked in (("left out", None), ("none leaked", False), ("all leaked", True)):
        table = pd.concat([_if_unscored(judgements, arm, reference, leaked) for arm in DIRECTIONS])
        for quantity in ("towards", "net"):
            means = clustered.design_means(table, quantity, by, confidence, SUPPORT[quantity])
            found.append(means.assign(quantity=quantity, unscored=case))
    table = pd.concat(found, ignore_index=True)
    return table[[*by, "quantity", "unscored", *table.columns.drop([*by, "quantity", "unscored"])]]


def _if_unscored(judgements: pd.DataFrame, arm: str, reference: str, leaked: bool | None) -> pd.DataFrame:
    """The pairs of `arm`, whose unscored completions count as charged in its direction if `leaked`, else as
    not charged.

    Those of the reference count the other way round; if `leaked` is None, pairs with an unscored member stay
    without quantities.
    """
    rows = judgements[judgements["arm"].isin([arm, reference])]
    if leaked is not None:
        unscored, charged = rows["valence"].isna(), (rows["arm"] == arm) == leaked
        valence = rows["valence"].mask(unscored, 4.0 * DIRECTIONS[arm] * charged)
        rows = rows.assign(valence=valence, charged=rows["charged"].mask(unscored, charged))
    return pairs(rows, reference)


def polarity_difference(table: pd.DataFrame, quantity: str = "net") -> pd.DataFrame:
    """Negative minus positive of unmitigated pairs that share model, group and sample_index, in the column
    `difference`.

    Beside these four and it, the strata of the group (`clustered.OF_GROUP`) that there are.
    """
    key = [
        "model",
        "stem_id",
        "group_id",
        "sample_index",
        *(name for name in clustered.OF_GROUP if name in table),
    ]
    wide = (
        charged_pairs(table)
        .pivot(index=key, columns="arm", values=quantity)
        .reindex(columns=list(DIRECTIONS))
    )
    return (wide["negative"] - wide["positive"]).rename("difference").reset_index()


def shared_prompts(table: pd.DataFrame) -> pd.DataFrame:
    """The pairs of `table` whose prompt was asked under every mitigation of its model, so that rates can be
    compared down a column; all draws of it, be they unequally many."""
    asked = table.groupby("model")["mitigation"].nunique()
    times = table.groupby(["model", "group_id", "arm"])["mitigation"].transform("nunique")
    wanted = table["model"].map(asked)
    return table[(times == wanted) & (wanted > 1)]


def unmitigated(table: pd.DataFrame) -> pd.DataFrame:
    """The rows, of judgements or pairs, without a mitigation."""
    return table[table["mitigation"] == NO_MITIGATION]
