"""The placebo rule: a second neutral context must not move the valence, as shown by an equivalence test.

The rule compares the mean valence after the placebo context with that after the neutral context, over equal
draws. It is *kept* if the difference lies inside ± margin (two one-sided tests, Schuirmann 1987). It is
*broken* if the whole interval lies beyond. Otherwise it is *not shown*: an interval around 0 shows nothing by
itself, because a small run has a wide one. The net excess is reported as well and decides nothing.
"""

import pandas as pd

from lib.analysis import leakage
from lib.stats import inference

KEPT, BROKEN, NOT_SHOWN = "kept", "broken", "not shown"
_MEASURED = ["estimate", "ci_low", "ci_high", "n", "n_stems", "n_matches", "cluster_unit", "naive_se_ratio"]
COLUMNS = ["quantity", "margin", *_MEASURED, "p_equivalence", "rule"]


def check(pairs: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """Test the placebo rule for one model.

    Args:
        pairs: Pairs of one model (`leakage.pairs`).
        margin: Equivalence margin, in points of the human scale.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        Two rows with the columns COLUMNS: the shift, in points of the human scale, which decides `rule`; and
        the net excess. Without a pair to test it on, the rule is broken.
    """
    placebo = pairs[(pairs["arm"] == "placebo") & (pairs["direction"] == leakage.DIRECTIONS["positive"])]
    rows = []
    for quantity in ("shift", "net"):
        estimate = leakage.mean_of(placebo, quantity, confidence)
        measured = {field: getattr(estimate, field) for field in _MEASURED}
        rows.append(
            {"quantity": quantity, "margin": None, **measured, "p_equivalence": None, "rule": "shown alone"}
        )
    shift = leakage.mean_of(placebo, "shift", confidence)
    rows[0] |= {
        "margin": margin,
        "p_equivalence": inference.equivalence_p(shift, margin),
        "rule": _rule(shift, margin, confidence),
    }
    return pd.DataFrame(rows, columns=COLUMNS).astype({"margin": float, "p_equivalence": float})


def _rule(shift: inference.Estimate, margin: float, confidence: float) -> str:
    if shift.n == 0 or shift.ci_low > margin or shift.ci_high < -margin:
        return BROKEN
    # an interval inside also counts where all stems agree, so that no test has a standard error
    inside = -margin < shift.ci_low and shift.ci_high < margin
    return KEPT if inside or inference.equivalence_p(shift, margin) < 1 - confidence else NOT_SHOWN


def rule(checked: pd.DataFrame) -> str:
    """KEPT, BROKEN or NOT_SHOWN, from a table of `check`."""
    return checked["rule"].iloc[0]


def rules_by_model(pairs: pd.DataFrame, margin: float, confidence: float) -> dict[str, str]:
    """The `rule` of each model, from unmitigated `pairs`."""
    return {
        model: rule(check(subset, margin, confidence)) for model, subset in pairs.groupby("model", sort=False)
    }
