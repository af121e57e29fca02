"""Leakage quantities of pairs of completions: a charged arm against the reference arm of its group.

The two completions of a pair share model, mitigation and group. `direction` is the sign of the injected
sentiment. Quantities are in percentage points, except the shift, which is in points of the human scale.
Intervals hold for other stems and other matches of contexts (`lib.analysis.clustered`).

The quantities towards, away, net and shift are differences between equal draws, which share their noise;
where the arms have unequal numbers of draws, they are differences between a draw and the mean of the
reference's draws (`lib.generation.pairing`). The leak rate is not a difference of means: for it, a completion
is compared with every reference draw of its group. This narrows the interval and leaves its coverage
unchanged (`make simulate`; `python -m tests.simulations.simulate_leakage --run SET` for your own run).
"""

from collections.abc import Mapping

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
}  # least and greatest value of a pair
# least and greatest difference between two pairs
DIFFERENCE_SUPPORT = {quantity: (low - high, high - low) for quantity, (low, high) in SUPPORT.items()}
_GROUP = ["model", "mitigation", "group_id"]
_NUMBER = ["_group"]  # stands for the columns of _GROUP while pairs are made, as numbers are found faster
# the columns of judgements that quantities and their intervals take
USED = (*_GROUP, "sample_index", "partner", "arm", "valence", "charged", *clustered.USED)


def pairs(judgements: pd.DataFrame, reference: str = "neutral", matched: bool = False) -> pd.DataFrame:
    """Every pair of a charged or placebo completion with its reference.

    A placebo completion is paired once for each direction. Its references are the draws of its group and
    mitigation, or the unmitigated draws where the model has none under this mitigation
    (`pairing.references`). partner is the sample_index of the reference completion that is paired with it
    (`pairing.with_partner`).

    leak is the Leak-Rate of Gonen et al. (2025), applied to valence: 100 where the arm lies further in the
    injected direction than the reference, 50 where they are equal, else 0; it is the mean over all scored
    reference completions of the group. towards and away are the charged verdicts in and against the
    direction, minus those of the reference; net = towards − away; shift is the valence in the direction,
    minus that of the reference. valence_reference and towards_reference (0 … 1, charged in the direction) are
    the values of the reference.

    Quantities of a pair with an unscored member are NaN. There are two exceptions where other references of
    the group are scored: the leak rate, and, for arms with unequal numbers of draws, every quantity.

    Args:
        judgements: One row per completion: model, mitigation, group_id, stem_id, sample_index, arm, valence,
            charged, and columns that describe the prompt.
        reference: Arm of the reference completions.
        matched: Whether every quantity is of the partner alone, for studies of the pair itself.

    Returns:
        One row per pair: the columns of `judgements`, direction, partner, valence_reference,
        towards_reference and each of QUANTITIES.
    """
    base = pairing.references(judgements, reference)
    base = base.assign(**{name: _charged(base, sign) for name, sign in DIRECTIONS.items()})
    injected = pd.concat(
        judgements[judgements["arm"].isin({arm, "placebo"} - {reference})].assign(direction=sign)
        for arm, sign in DIRECTIONS.items()
    )
    injected, base = _numbered(injected, base)
    table = pairing.with_partner(injected, base, _NUMBER)
    compared = ["valence", *DIRECTIONS]
    other = (
        pairing.align_partner(table, base, _NUMBER, compared)
        if matched
        else pairing.align(table, base, _NUMBER, compared, ["arm"])
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
    return table.drop(columns=_NUMBER)


def _numbered(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    """The tables with the column of _NUMBER, equal where their columns of _GROUP are equal."""
    numbers = pd.concat([table[_GROUP] for table in tables]).groupby(_GROUP, sort=False).ngroup().to_numpy()
    ends = np.cumsum([len(table) for table in tables])[:-1]
    return [
        table.assign(**dict.fromkeys(_NUMBER, of_table))
        for table, of_table in zip(tables, np.split(numbers, ends), strict=True)
    ]


def _charged(table: pd.DataFrame, sign: int) -> pd.Series:
    """Whether each completion is charged with this sign, 1 or 0; NaN where it is unscored."""
    charged = table["charged"].fillna(False).astype(bool) & (sign * table["valence"] > 0)
    return charged.astype(float).where(table["valence"].notna())


def _leak(table: pd.DataFrame, base: pd.DataFrame) -> np.ndarray:
    """Leak-Rate of each row of `table` against all rows of `base` in its group; NaN without scored ones."""
    both = pd.concat([frame[[*_NUMBER, "valence"]] for frame in (table, base)])
    group, rows = both[_NUMBER[0]].to_numpy(), len(table)
    rank, distinct = pd.factorize(both["valence"].to_numpy(), sort=True)  # −1 where unscored
    # ordered by group, then by valence: lower references are counted without forming the pairs
    code = group * len(distinct) + rank
    references = np.sort(code[rows:][rank[rows:] >= 0])
    first, last = (np.searchsorted(references, (group[:rows] + end) * len(distinct)) for end in (0, 1))
    lower, up_to = (np.searchsorted(references, code[:rows], side) - first for side in ("left", "right"))
    count = np.where(rank[:rows] >= 0, last - first, np.nan)
    count[count == 0] = np.nan
    # twice the number of references that are exceeded; a tie counts as half
    further = np.where(table["direction"] > 0, lower + up_to, 2 * count - lower - up_to)
    return 50 * further / count


def within_limits(table: pd.DataFrame, limits: Mapping[str, tuple[float, float]] = SUPPORT) -> pd.DataFrame:
    """Cut the intervals of a table of estimates at the least and greatest possible values.

    Args:
        table: Table with the columns quantity, ci_low and ci_high.
        limits: Least and greatest value of each quantity.
    """
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
    """Mean of a quantity over `table`, one row per pair: the estimate by which claims are decided."""
    return clustered.design_mean(table, quantity, confidence, SUPPORT[quantity])


def summarise(table: pd.DataFrame, by: list[str], confidence: float) -> pd.DataFrame:
    """Mean of each of QUANTITIES within each combination of the columns `by`.

    Returns:
        One row per combination and quantity: the columns `by`, quantity, and the fields of
        `clustered.DesignEstimate`.
    """
    used = list(dict.fromkeys(name for name in (*by, *clustered.USED, *QUANTITIES) if name in table))
    means = clustered.design_means_of(table[used], SUPPORT, by, confidence)
    tables = [means[quantity].assign(quantity=quantity) for quantity in QUANTITIES]
    estimates = pd.concat(tables, ignore_index=True)
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
    """Share of completions of the charged arms that repeat a charged word of their context, in %.

    Missing completions are left out.
    """
    charged = judgements[judgements["arm"].isin(DIRECTIONS) & judgements["repeats"].notna()]
    charged = charged.assign(share=100.0 * charged["repeats"].astype(bool))
    return clustered.design_shares(charged, "share", ["model", "mitigation", "arm"], confidence)


def unscored_bounds(
    judgements: pd.DataFrame, by: list[str], confidence: float, reference: str = "neutral"
) -> pd.DataFrame:
    """Towards and net excess under three assumptions about completions without a valence.

    Unscored completions are left out, or none of them leaked, or all of them did (see `_if_unscored`). They
    are missing (`lib.replies.outcomes`), or the judge gave no verdict. Whatever a judge would have said,
    except charge against the injected direction, the excess lies between the last two (bounds of Manski
    2003).

    Args:
        judgements: One row per completion, as in `pairs`.
        by: Columns to group by.
        confidence: Level of the intervals, between 0 and 1.
        reference: Arm of the reference completions.

    Returns:
        One row per combination of `by`, quantity and `unscored` (the assumption), with the fields of
        DesignEstimate.
    """
    used = dict.fromkeys((*USED, *by))
    judgements, tables = judgements[[name for name in used if name in judgements]], []
    for case, leaked in (("left out", None), ("none leaked", False), ("all leaked", True)):
        table = pd.concat([_if_unscored(judgements, arm, reference, leaked) for arm in DIRECTIONS])
        for quantity in ("towards", "net"):
            means = clustered.design_means(table, quantity, by, confidence, SUPPORT[quantity])
            tables.append(means.assign(quantity=quantity, unscored=case))
    table = pd.concat(tables, ignore_index=True)
    return table[[*by, "quantity", "unscored", *table.columns.drop([*by, "quantity", "unscored"])]]


def _if_unscored(judgements: pd.DataFrame, arm: str, reference: str, leaked: bool | None) -> pd.DataFrame:
    """The pairs of `arm`, with unscored completions charged in its direction if `leaked`, else not charged.

    Unscored completions of the reference count the other way round. If `leaked` is None, pairs with an
    unscored member have no quantities.
    """
    rows = judgements[judgements["arm"].isin([arm, reference])]
    if leaked is not None:
        unscored, charged = rows["valence"].isna(), (rows["arm"] == arm) == leaked
        valence = rows["valence"].mask(unscored, 4.0 * DIRECTIONS[arm] * charged)
        rows = rows.assign(valence=valence, charged=rows["charged"].mask(unscored, charged))
    return pairs(rows, reference)


def polarity_difference(table: pd.DataFrame, quantity: str = "net") -> pd.DataFrame:
    """Negative minus positive of unmitigated pairs that share model, group and sample_index.

    Args:
        table: Unmitigated pairs (`pairs`).
        quantity: Column to compare.

    Returns:
        One row per pair of pairs: model, stem_id, group_id, sample_index, those strata of the group
        (`clustered.OF_GROUP`) that exist, and difference.
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
    """The pairs with a prompt that was used under every mitigation of its model.

    Rates can then be compared between mitigations. All draws of such a prompt are kept, even if their numbers
    differ.
    """
    n_of_model = table.groupby("model")["mitigation"].nunique()
    n_of_prompt = table.groupby(["model", "group_id", "arm"])["mitigation"].transform("nunique")
    n_expected = table["model"].map(n_of_model)
    return table[(n_of_prompt == n_expected) & (n_expected > 1)]


def unmitigated(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of judgements or pairs without a mitigation."""
    return table[table["mitigation"] == NO_MITIGATION]
