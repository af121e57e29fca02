"""The placebo rule: a second neutral context must move the valence by nothing, shown by an equivalence test.

The mean valence after the placebo context less that after the neutral one, of equal draws, lies inside ±
margin (two one-sided tests, Schuirmann 1987): *kept*. The whole interval lies beyond: *broken*. Else *not
shown*: an interval around 0 shows nothing by itself, as a small run has a wide one. The net excess stands
beside it and decides nothing.
"""

import pandas as pd

from lib.analysis import leakage
from lib.stats import inference

KEPT, BROKEN, NOT_SHOWN = "kept", "broken", "not shown"
_MEASURED = ["estimate", "ci_low", "ci_high", "n", "n_stems", "n_matches", "cluster_unit", "naive_se_ratio"]
COLUMNS = ["quantity", "margin", *_MEASURED, "p_equivalence", "rule"]


def check(pairs: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """A row for the shift, in points of the human scale, which decides `rule`, and one for the net excess;
    columns COLUMNS.

    `pairs` of one model, of `leakage.pairs`. Without a pair to try it on the rule is broken.
    """
    placebo = pairs[(pairs["arm"] == "placebo") & (pairs["direction"] == leakage.DIRECTIONS["positive"])]
    rows = []
    for quantity in ("shift", "net"):
        found = leakage.mean_of(placebo, quantity, confidence)
        measured = {field: getattr(found, field) for field in _MEASURED}
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
    # also where all stems agree, so that no test has an error
    inside = -margin < shift.ci_low and shift.ci_high < margin
    return KEPT if inside or inference.equivalence_p(shift, margin) < 1 - confidence else NOT_SHOWN


def rule(checked: pd.DataFrame) -> str:
    """KEPT, BROKEN or NOT_SHOWN, from a table of `check`."""
    return checked["rule"].iloc[0]


def rules_by_model(pairs: pd.DataFrame, margin: float, confidence: float) -> dict[str, str]:
    """Each model's `rule`, from unmitigated `pairs`."""
    return {
        model: rule(check(part, margin, confidence)) for model, part in pairs.groupby("model", sort=False)
    }
