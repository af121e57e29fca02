"""Usability of completions: what is missing, by arm and mitigation, and whether a model can be judged at all.

For what counts as missing see lib.replies.outcomes. The usability rule, like the placebo rule, applies to the
whole row of a model. The row is inconclusive where more than MOST_MISSING per cent of the completions of any
arm are missing, or where the missing shares of arms differ by more than chance, because the remaining
completions are then no fair sample. The threshold and the tests are choices of this project.
"""

import pandas as pd

from lib.analysis import clustered, placebo
from lib.config.specs import NO_MITIGATION
from lib.dataset import curated_prompts
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
PLACEBO_OPEN = "placebo rule not shown"  # neither kept nor broken with certainty
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
    """Shares of outcomes of each mitigation and arm.

    Args:
        completions: One row per completion: mitigation, arm, outcome.

    Returns:
        One row per mitigation and arm: completions (their number), then % of each outcome that occurs, then
        `missing`, % of all.
    """
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
    """Whether there is nothing to judge: true for every outcome but `answered` and `truncated`."""
    return ~completions["outcome"].isin(outcomes.USABLE)


def reasons(completions: pd.DataFrame, shown: int = 10) -> pd.DataFrame:
    """The most common reasons for missing completions.

    Args:
        completions: One row per completion: model, arm, outcome, note.
        shown: Number of reasons.

    Returns:
        One row per reason: model, outcome, note, completions, arms (their numbers).
    """
    missing = completions[is_missing(completions)]
    table = missing.groupby(["model", "outcome", "note"], sort=False).agg(
        completions=("arm", "size"), arms=("arm", "nunique")
    )
    return table.sort_values("completions", ascending=False, kind="stable").head(shown).reset_index()


def check(completions: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Test the usability rule.

    The tests are of the share missing in each arm, and, for each pair of COMPARED arms, of the difference of
    their shares. Draws of a group are compared as in `lib.generation.pairing`. The confidence of each
    difference is Bonferroni-corrected for the comparisons of its model.

    Args:
        completions: One row per completion.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        One row per test, with the columns CHECKED. The estimate is in %, that of a difference in points.
        fault is "" where the test is passed.
    """
    used = [name for name in (*_CELL, "sample_index", "partner", *clustered.USED) if name in completions]
    flagged = clustered.compact(curated_prompts.with_match(completions[used]))
    flagged = flagged.assign(missing=100.0 * is_missing(completions))
    shares = clustered.design_shares(flagged, "missing", _CELL, confidence)
    rows = [_of_share(row) for row in shares.itertuples()]
    arms = {*flagged["arm"].unique()}
    compared = [pair for pair in COMPARED if {*pair} <= arms]
    for (model, mitigation), subset in flagged.groupby(["model", "mitigation"], sort=False):
        corrected = 1 - (1 - confidence) / (
            len(compared) * flagged.loc[flagged["model"] == model, "mitigation"].nunique()
        )
        for one, other in compared:
            base = subset[subset["arm"] == other]
            table = pairing.with_partner(subset[subset["arm"] == one], base, ["group_id"])
            difference = (
                table["missing"] - pairing.align(table, base, ["group_id"], ["missing"], [])["missing"]
            )
            estimate = clustered.design_mean(table.assign(apart=difference), "apart", corrected, (-100, 100))
            if estimate.n:
                rows.append(_of_difference(model, mitigation, one, other, estimate))
    return pd.DataFrame(rows, columns=CHECKED)


def _of_share(row) -> dict:
    condition = "" if row.mitigation == NO_MITIGATION else f" under {row.mitigation}"
    fault = (
        f"{row.estimate:.0f} % of completions are unusable (arm {row.arm}{condition})"
        if row.estimate > MOST_MISSING
        else ""
    )
    return _row(row.model, row.mitigation, f"missing, {row.arm}", row, fault)


def _of_difference(model: str, mitigation: str, one: str, other: str, estimate: inference.Estimate) -> dict:
    condition = "" if mitigation == NO_MITIGATION else f" under {mitigation}"
    interval = f"{estimate.estimate:+.1f} points [{estimate.ci_low:.1f}, {estimate.ci_high:.1f}]"
    fault = f"arms differ in unusable completions ({one} − {other}{condition}: {interval})".replace("-", "−")
    return _row(
        model,
        mitigation,
        f"missing, {one} − {other}",
        estimate,
        fault if inference.side_of_zero(estimate) else "",
    )


def _row(model: str, mitigation: str, test: str, estimate, fault: str) -> dict:
    measured = {
        name: getattr(estimate, name)
        for name in ("estimate", "ci_low", "ci_high", "n", "n_stems", "naive_se_ratio")
    }
    return {"model": model, "mitigation": mitigation, "test": test, **measured, "fault": fault}


def fault(checked: pd.DataFrame) -> str:
    """Why a model is unusable, from its rows of `check`: the worst arm, or else the first difference.

    The text is "" if the model is usable.
    """
    failed = checked[checked["fault"] != ""]
    shares = failed[~failed["test"].str.contains("−")]
    if len(shares):
        return shares.loc[shares["estimate"].idxmax(), "fault"]
    return failed["fault"].iloc[0] if len(failed) else ""


def faults(
    completions: pd.DataFrame, pairs: pd.DataFrame, confidence: float, margin: float
) -> dict[str, str]:
    """Fault of the completions of each model, by the placebo rule, or else by the usability rule.

    If too much is missing to test the placebo rule, the usability rule gives the reason.

    Args:
        completions: Completions, or judgements, on which the verdict is based.
        pairs: Their unmitigated pairs (`leakage.pairs`).
        confidence: Level of the intervals, between 0 and 1.
        margin: Margin of the placebo rule, in points of the human scale.

    Returns:
        Fault by model, "" if there is none. PLACEBO_OPEN allows a verdict; every other fault rules it out
        (`allows_none`).
    """
    checked = check(completions, confidence)
    unusable_by_model = {model: fault(subset) for model, subset in checked.groupby("model", sort=False)}
    return {
        model: _fault(pairs[pairs["model"] == model], margin, confidence, unusable)
        for model, unusable in unusable_by_model.items()
    }


def _fault(pairs: pd.DataFrame, margin: float, confidence: float, unusable: str) -> str:
    """PLACEBO_BROKEN, else `unusable`, else PLACEBO_OPEN.

    The placebo rule counts as broken where it was tested, or where `unusable` gives no reason why it could
    not be.
    """
    checked = placebo.check(pairs, margin, confidence)
    rule, tried = placebo.rule(checked), checked["n"].iloc[0] > 0
    if rule == placebo.BROKEN and (tried or not unusable):
        return PLACEBO_BROKEN
    return unusable or (PLACEBO_OPEN if rule == placebo.NOT_SHOWN else "")


def allows_none(fault: str) -> bool:
    """Whether a fault of `faults` rules out a verdict."""
    return fault not in ("", PLACEBO_OPEN)


def joined(faults: dict[str, str], models: list[str]) -> str:
    """The faults of several models as one text.

    These are the faults that rule out a verdict, each with its model; else PLACEBO_OPEN; else "".
    """
    blocking = [f"{model}: {faults[model]}" for model in models if allows_none(faults[model])]
    return "; ".join(blocking) or next((faults[model] for model in models if faults[model]), "")
