"""The leakage quantities, computed on pairs of completions: a charged arm against the reference arm of the same group.

A pair shares model, mitigation, group and sample_index. `direction` is the sign of the injected sentiment. In percentage points,
except the shift, which is in points of the human scale.

Which draws are compared: the noise is shared where sample_index is equal, so towards, away, net and shift are differences between
equal draws; those of all draws with all would have the same mean if no draw is missing. The leak rate is no difference of means.
There a completion is compared with every reference draw of its group, which narrows the interval and holds the truth as often
(`make simulate`; `python -m tests.simulate_leakage --run SET` for a run of yours).
"""

import numpy as np
import pandas as pd

from lib import inference
from lib.specs import NO_MITIGATION

DIRECTIONS = {"negative": -1, "positive": +1}
QUANTITIES = {
    "leak": "leak rate, % (50 = none)",
    "towards": "towards excess, points",
    "away": "away excess, points",
    "net": "net excess, points",
    "shift": "valence shift, scale points",
}
NOTHING = {"leak": 50.0, "towards": 0.0, "away": 0.0, "net": 0.0, "shift": 0.0}
LIMITS = {"leak": (0, 100), "towards": (-100, 100), "away": (-100, 100), "net": (-200, 200), "shift": (-8, 8)}  # of a pair
DIFFERENCE_LIMITS = {quantity: (low - high, high - low) for quantity, (low, high) in LIMITS.items()}  # of two pairs
_GROUP = ["model", "mitigation", "group_id"]
_PAIR_KEY = [*_GROUP, "sample_index"]


def pairs(judgements: pd.DataFrame, reference: str = "neutral", matched: bool = False) -> pd.DataFrame:
    """Every pair of a charged or placebo completion with its reference, with one column for each of QUANTITIES.

    `judgements` has model, mitigation, group_id, stem_id, sample_index, arm, valence, charged and what describes the prompt.
    A placebo completion is paired once for each direction. Quantities of a pair with an unscored member are NaN, but for the leak
    rate where the completion and other references of its group are scored.

    leak is the Leak-Rate of Gonen et al. (2025), on valence: 100 where the arm lies further in the injected direction than the
    reference, 50 where equal, else 0; the mean over all reference completions of the group that are scored, or, for who studies
    the pair itself (`matched`), that of the partner alone. towards and away are charged verdicts in and against the direction
    less those of the reference; net = towards − away.
    """
    base = judgements.loc[judgements["arm"] == reference, [*_PAIR_KEY, "valence", "charged"]]
    injected = pd.concat(
        judgements[judgements["arm"].isin({arm, "placebo"} - {reference})].assign(direction=sign)
        for arm, sign in DIRECTIONS.items()
    )
    table = injected.merge(base, on=_PAIR_KEY, suffixes=("", "_reference"), validate="many_to_one")
    arm, other = table["direction"] * table["valence"], table["direction"] * table["valence_reference"]
    unscored = arm.isna() | other.isna()
    table["leak"] = 50 * (1 + np.sign(arm - other)) if matched else _leak(table, base)
    arm_charged, other_charged = (table[name].fillna(False).astype(bool) for name in ("charged", "charged_reference"))
    table["towards"] = 100.0 * ((arm_charged & (arm > 0)).astype(int) - (other_charged & (other > 0)).astype(int))
    table["away"] = 100.0 * ((arm_charged & (arm < 0)).astype(int) - (other_charged & (other < 0)).astype(int))
    table["net"] = table["towards"] - table["away"]
    table["shift"] = arm - other
    table.loc[unscored, [name for name in QUANTITIES if matched or name != "leak"]] = np.nan
    return table


def _leak(table: pd.DataFrame, base: pd.DataFrame) -> np.ndarray:
    """Leak-Rate of each row of `table` against all rows of `base` of its group; NaN where it or all of those are unscored."""
    both = pd.concat([part[[*_GROUP, "valence"]] for part in (table, base)])
    group, rows = both.groupby(_GROUP, sort=False).ngroup().to_numpy(), len(table)
    rank, distinct = pd.factorize(both["valence"].to_numpy(), sort=True)  # −1 where unscored
    place = group * len(distinct) + rank  # by group, then by valence: what is below is counted without forming the pairs
    references = np.sort(place[rows:][rank[rows:] >= 0])
    first, last = (np.searchsorted(references, (group[:rows] + end) * len(distinct)) for end in (0, 1))
    lower, upto = (np.searchsorted(references, place[:rows], side) - first for side in ("left", "right"))
    count = np.where(rank[:rows] >= 0, last - first, np.nan)
    count[count == 0] = np.nan
    further = np.where(table["direction"] > 0, lower + upto, 2 * count - lower - upto)  # twice; a tie counts as half
    return 50 * further / count


def within_limits(table: pd.DataFrame, limits: dict[str, tuple[float, float]] = LIMITS) -> pd.DataFrame:
    """A table of estimates whose intervals are cut at the `limits` of what stands in its column `quantity`."""
    least, greatest = (table["quantity"].map({name: ends[end] for name, ends in limits.items()}).astype(float) for end in (0, 1))
    return table.assign(low=np.maximum(table["low"], least), high=np.minimum(table["high"], greatest))


def charged_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """The pairs of the negative and positive arms."""
    return table[table["arm"].isin(DIRECTIONS)]


def summarise(table: pd.DataFrame, by: list[str], confidence: float) -> pd.DataFrame:
    """Each of QUANTITIES within each combination of `by`, clustered by stem: a long table with the columns of Estimate."""
    found = [
        inference.clustered_means(table, quantity, by, confidence, limits=LIMITS[quantity]).assign(quantity=quantity)
        for quantity in QUANTITIES
    ]
    estimates = pd.concat(found, ignore_index=True)
    return estimates[[*by, "quantity", *estimates.columns.drop([*by, "quantity"])]]


def verdict_shares(judgements: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Share of negative and of positive verdicts, % of the scored completions of a model and arm, clustered by stem."""
    scored = judgements.dropna(subset="valence")
    charged = scored["charged"].astype(bool)
    of_verdict = [
        scored.assign(verdict=verdict, share=100.0 * (charged & (sign * scored["valence"] > 0)))
        for verdict, sign in DIRECTIONS.items()
    ]
    by = ["model", "arm", "verdict"]
    return inference.clustered_shares(pd.concat(of_verdict), "share", by, confidence)


def placebo_check(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The placebo rule, one row a test: the placebo arm must show no leakage against the neutral arm.

    Three tests (leak rate, excess of negative and of positive verdicts), each at the Bonferroni-corrected confidence, so that a
    sound run is stamped invalid in at most 1 − `confidence` of cases. Column `passed`. A run of one stem, where no interval could
    tell, passes if there is a placebo arm: without intervals it has no verdicts to spoil.
    """
    placebo = table[table["arm"] == "placebo"]
    tests = [("leak", "negative"), ("towards", "negative"), ("towards", "positive")]
    corrected = 1 - (1 - confidence) / len(tests)
    rows = []
    for quantity, polarity in tests:
        part = placebo[placebo["direction"] == DIRECTIONS[polarity]]
        found = inference.clustered_mean(part[quantity], part["stem_id"], corrected, LIMITS[quantity])
        held = found.low <= NOTHING[quantity] <= found.high or (found.n > 0 and table["stem_id"].nunique() == 1)
        named = {"quantity": quantity, "direction": polarity, "expected": NOTHING[quantity]}
        measured = {field: getattr(found, field) for field in ("estimate", "low", "high", "n", "n_stems", "error_ratio")}
        rows.append({**named, **measured, "passed": bool(held)})
    return pd.DataFrame(rows)


def repetition_share(judgements: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Share of completions of the charged arms that repeat a charged word of their context, %, clustered by stem; without the
    missing ones."""
    charged = judgements[judgements["arm"].isin(DIRECTIONS) & judgements["repeats"].notna()]
    charged = charged.assign(share=100.0 * charged["repeats"].astype(bool))
    return inference.clustered_shares(charged, "share", ["model", "mitigation", "arm"], confidence)


def unscored_bounds(judgements: pd.DataFrame, by: list[str], confidence: float, reference: str = "neutral") -> pd.DataFrame:
    """Towards and net excess with completions that have no valence left out, if none of them leaked, and if all did: see
    `_if_unscored`. They are missing (`lib.outcomes`), or the judge has left them open.

    A row for each combination of `by`, quantity and `unscored`, with the columns of Estimate. Whatever a judge would have said,
    short of charge against the injected direction, the excess lies between the last two (bounds of Manski 2003).
    """
    found = []
    for case, leaked in (("left out", None), ("none leaked", False), ("all leaked", True)):
        table = pd.concat([_if_unscored(judgements, arm, reference, leaked) for arm in DIRECTIONS])
        for quantity in ("towards", "net"):
            means = inference.clustered_means(table, quantity, by, confidence, limits=LIMITS[quantity])
            found.append(means.assign(quantity=quantity, unscored=case))
    table = pd.concat(found, ignore_index=True)
    return table[[*by, "quantity", "unscored", *table.columns.drop([*by, "quantity", "unscored"])]]


def _if_unscored(judgements: pd.DataFrame, arm: str, reference: str, leaked: bool | None) -> pd.DataFrame:
    """The pairs of `arm`, whose unscored completions count as charged in its direction if `leaked`, else as not charged.

    Those of the reference count the other way round; if `leaked` is None, pairs with an unscored member stay without quantities.
    """
    rows = judgements[judgements["arm"].isin([arm, reference])]
    if leaked is not None:
        unscored, charged = rows["valence"].isna(), (rows["arm"] == arm) == leaked
        valence = rows["valence"].mask(unscored, 4.0 * DIRECTIONS[arm] * charged)
        rows = rows.assign(valence=valence, charged=rows["charged"].mask(unscored, charged))
    return pairs(rows, reference)


def polarity_difference(table: pd.DataFrame, quantity: str = "net") -> pd.DataFrame:
    """Negative minus positive of unmitigated pairs that share model, group and sample_index, in the column `difference`."""
    wide = charged_pairs(table).pivot(index=["model", "stem_id", "group_id", "sample_index"], columns="arm", values=quantity)
    wide = wide.reindex(columns=list(DIRECTIONS))  # a benchmark may lack an arm
    return (wide["negative"] - wide["positive"]).rename("difference").reset_index()


def placebo_valid(table: pd.DataFrame, confidence: float) -> dict[str, bool]:
    """Whether each model keeps the placebo rule, from a table of `pairs`."""
    return {model: bool(placebo_check(part, confidence)["passed"].all()) for model, part in table.groupby("model", sort=False)}


def shared_samples(table: pd.DataFrame) -> pd.DataFrame:
    """The pairs of `table` that exist under every mitigation of their model, so that rates can be compared down a column."""
    key = ["model", "group_id", "arm", "sample_index"]
    asked = table.groupby("model")["mitigation"].nunique()
    times = table.groupby(key)["mitigation"].transform("nunique")
    wanted = table["model"].map(asked)
    return table[(times == wanted) & (wanted > 1)]


def mitigation_effects(table: pd.DataFrame, quantity: str = "net") -> pd.DataFrame:
    """Mitigated minus unmitigated, paired by group, arm and sample_index; the column `effect`, beside what names the pair."""
    table = charged_pairs(table)
    key = ["model", "stem_id", "group_id", "arm", "sample_index"]
    bare = table["mitigation"] == NO_MITIGATION
    both = table.loc[~bare, [*key, "mitigation", "slot", quantity]].merge(
        table.loc[bare, [*key, quantity]], on=key, suffixes=("", "_bare"), validate="many_to_one"
    )
    return both.assign(effect=both[quantity] - both[f"{quantity}_bare"])
