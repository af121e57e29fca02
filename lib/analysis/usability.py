"""Can a model's completions be judged at all? What is missing (see lib.replies.outcomes), by arm and
mitigation, and the usability rule.

The rule, like the placebo rule, is about the whole of a model's row: it is inconclusive where more than
MOST_MISSING per cent of the completions of any arm are missing, or where arms differ in what they lack beyond
chance, for what is left is then no fair sample of what was asked. Threshold and tests are ours.
"""

import pandas as pd

from lib.analysis import clustered, placebo
from lib.config.specs import NO_MITIGATION
from lib.generation import pairing
from lib.replies import outcomes
from lib.stats import inference

MOST_MISSING = 10.0  # % of an arm's completions
COMPARED = (
    ("none", "neutral"),
    ("placebo", "neutral"),
    ("negative", "neutral"),
    ("positive", "neutral"),
    ("negative", "positive"),
)
PLACEBO_BROKEN = "placebo rule broken"
PLACEBO_OPEN = "placebo rule not shown"  # neither kept nor broken for sure
CHECKED = [
    "model",
    "mitigation",
    "test",
    "estimate",
    "ci_low",
    "ci_high",
    "n",
    "n_stems",
    "naive_se_ratio",
    "fault",
]
_CELL = ["model", "mitigation", "arm"]


def outcome_shares(completions: pd.DataFrame) -> pd.DataFrame:
    """A row for each mitigation and arm: completions, then % of each outcome that occurs, then `missing`, %
    of all."""
    cell = [completions["mitigation"], completions["arm"]]
    counts = completions.groupby(["mitigation", "arm"], sort=False).size().rename("completions")
    occurs = [outcome for outcome in outcomes.OUTCOMES if (completions["outcome"] == outcome).any()]
    shares = pd.DataFrame({outcome: _share(completions["outcome"] == outcome, cell) for outcome in occurs})
    return pd.concat(
        [counts, shares.loc[counts.index], _share(is_missing(completions), cell).rename("missing")], axis=1
    )


def _share(chosen: pd.Series, cell: list[pd.Series]) -> pd.Series:
    return 100.0 * chosen.groupby(cell, sort=False).mean()


def is_missing(completions: pd.DataFrame) -> pd.Series:
    """Whether there is nothing to judge: every outcome but `answered` and `truncated`."""
    return ~completions["outcome"].isin(outcomes.USABLE)


def reasons(completions: pd.DataFrame, shown: int = 10) -> pd.DataFrame:
    """What stands in place of the missing completions, the `shown` most common: model, outcome, note,
    completions, arms."""
    lost = completions[is_missing(completions)]
    table = lost.groupby(["model", "outcome", "note"], sort=False).agg(
        completions=("arm", "size"), arms=("arm", "nunique")
    )
    return table.sort_values("completions", ascending=False, kind="stable").head(shown).reset_index()


def check(completions: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The usability rule, a row for each test, with the columns of CHECKED; estimate in %, of a difference in
    points.

    The share missing in each arm; and for each pair of COMPARED arms the difference of their shares, the
    draws of a group compared as `lib.generation.pairing` says, each at a confidence that is
    Bonferroni-corrected for the comparisons of its model. fault: "" where the test is passed.
    """
    lost = completions.assign(missing=100.0 * is_missing(completions))
    shares = clustered.design_shares(lost, "missing", _CELL, confidence)
    rows = [_of_share(row) for row in shares.itertuples()]
    compared = [pair for pair in COMPARED if {*pair} <= {*lost["arm"]}]
    for (model, mitigation), part in lost.groupby(["model", "mitigation"], sort=False):
        corrected = 1 - (1 - confidence) / (
            len(compared) * lost.loc[lost["model"] == model, "mitigation"].nunique()
        )
        for one, other in compared:
            base = part[part["arm"] == other]
            table = pairing.with_partner(part[part["arm"] == one], base, ["group_id"])
            apart = table["missing"] - pairing.beside(table, base, ["group_id"], ["missing"], [])["missing"]
            found = clustered.design_mean(table.assign(apart=apart), "apart", corrected, (-100, 100))
            if found.n:
                rows.append(_of_difference(model, mitigation, one, other, found))
    return pd.DataFrame(rows, columns=CHECKED)


def _of_share(row) -> dict:
    asked = "" if row.mitigation == NO_MITIGATION else f" under {row.mitigation}"
    fault = (
        f"{row.estimate:.0f} % of completions are unusable (arm {row.arm}{asked})"
        if row.estimate > MOST_MISSING
        else ""
    )
    return _row(row.model, row.mitigation, f"missing, {row.arm}", row, fault)


def _of_difference(model: str, mitigation: str, one: str, other: str, found: inference.Estimate) -> dict:
    asked = "" if mitigation == NO_MITIGATION else f" under {mitigation}"
    between = f"{found.estimate:+.1f} points [{found.ci_low:.1f}, {found.ci_high:.1f}]"
    fault = f"arms differ in unusable completions ({one} − {other}{asked}: {between})".replace("-", "−")
    return _row(
        model, mitigation, f"missing, {one} − {other}", found, fault if inference.side_of_zero(found) else ""
    )


def _row(model: str, mitigation: str, test: str, found, fault: str) -> dict:
    measured = {
        name: getattr(found, name)
        for name in ("estimate", "ci_low", "ci_high", "n", "n_stems", "naive_se_ratio")
    }
    return {"model": model, "mitigation": mitigation, "test": test, **measured, "fault": fault}


def fault(checked: pd.DataFrame) -> str:
    """Why a model is unusable, by its rows of `check`: the worst arm, or the first difference; "" if it is
    not."""
    broken = checked[checked["fault"] != ""]
    shares = broken[~broken["test"].str.contains("−")]
    if len(shares):
        return shares.loc[shares["estimate"].idxmax(), "fault"]
    return broken["fault"].iloc[0] if len(broken) else ""


def faults(
    completions: pd.DataFrame, pairs: pd.DataFrame, confidence: float, margin: float
) -> dict[str, str]:
    """What is wrong with each model's completions, "" if nothing is: the placebo rule, or else the usability
    rule. What is missing may leave nothing to try the placebo rule on; then the usability rule says why.

    `completions`, or judgements, are those that the verdict rests on, and `pairs` the unmitigated ones of
    `leakage.pairs`; `margin` of the placebo rule, in points of the human scale. PLACEBO_OPEN allows a
    verdict, everything else none (`allows_none`).
    """
    checked = check(completions, confidence)
    of_model = {model: fault(part) for model, part in checked.groupby("model", sort=False)}
    return {
        model: _fault(pairs[pairs["model"] == model], margin, confidence, unusable)
        for model, unusable in of_model.items()
    }


def _fault(pairs: pd.DataFrame, margin: float, confidence: float, unusable: str) -> str:
    """PLACEBO_BROKEN where it is so for sure, or nothing tells why it could not be tried; else `unusable`,
    else PLACEBO_OPEN."""
    checked = placebo.check(pairs, margin, confidence)
    rule, tried = placebo.rule(checked), checked["n"].iloc[0] > 0
    if rule == placebo.BROKEN and (tried or not unusable):
        return PLACEBO_BROKEN
    return unusable or (PLACEBO_OPEN if rule == placebo.NOT_SHOWN else "")


def allows_none(fault: str) -> bool:
    """Whether a fault of `faults` leaves no verdict."""
    return fault not in ("", PLACEBO_OPEN)


def joined(faults: dict[str, str], models: list[str]) -> str:
    """The faults of several models in one row: those that allow no verdict, each with its model, else
    PLACEBO_OPEN, else ""."""
    grave = [f"{model}: {faults[model]}" for model in models if allows_none(faults[model])]
    return "; ".join(grave) or next((faults[model] for model in models if faults[model]), "")
