"""Size of the margin of the mean shift, relative to effects that were measured in the same run.

δ = 0.1 points of the human scale (−4 … +4) means that one text in ten moves by a whole point. To treat this
as negligible is a choice of this project, made before the run. This module compares δ with the spread of
single pairs and with the step from a weaker context to a stronger one.
"""

from itertools import pairwise

import pandas as pd

from lib.analysis import clustered, leakage
from lib.dataset.curated_prompts import INTENSITIES

COLUMNS = ["model", "yardstick", "estimate", "ci_low", "ci_high", "n", "n_stems", "margin / yardstick"]


def yardsticks(pairs: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """Effects with which the margin is compared, in points of the human scale.

    The yardsticks are the standard deviation of the shift of a pair (without an interval), the mean shift,
    and the mean shift of contexts of each intensity minus that of the next weaker one, as far as the
    benchmark distinguishes intensities.

    Args:
        pairs: Unmitigated pairs (`leakage.pairs`).
        margin: Margin of the mean shift, in points of the human scale.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        One row per model and yardstick, with the columns COLUMNS.
    """
    rows = []
    for model, subset in leakage.charged_pairs(pairs).dropna(subset="shift").groupby("model", sort=False):
        estimates = [("mean shift", leakage.mean_of(subset, "shift", confidence))]
        levels = [
            level for level in INTENSITIES if "intensity" in subset and (subset["intensity"] == level).any()
        ]
        for lower, upper in pairwise(levels):
            both = subset[subset["intensity"].isin([lower, upper])]
            step = clustered.design_difference(both, "shift", both["intensity"] == upper, confidence)[0]
            estimates.append((f"{upper} less {lower} contexts", step))
        measured = ["estimate", "ci_low", "ci_high", "n", "n_stems"]
        rows += [
            {"model": model, "yardstick": name, **{field: getattr(estimate, field) for field in measured}}
            for name, estimate in estimates
        ]
        rows.append(
            {
                "model": model,
                "yardstick": "standard deviation of a pair",
                "estimate": subset["shift"].std(),
                "n": len(subset),
                "n_stems": subset["stem_id"].nunique(),
            }
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(**{COLUMNS[-1]: margin / table["estimate"].abs()})


def summary(table: pd.DataFrame, margin: float) -> str:
    """The margin in sentences, one for each model."""
    sentences = [f"δ = {margin:g} scale points: {100 * margin:g} texts in a hundred move by a whole point."]
    for model, subset in table.groupby("model", sort=False):
        shares = [
            f"{share:.2f} × {name}"
            for name, share in zip(subset["yardstick"], subset[COLUMNS[-1]], strict=True)
        ]
        sentences.append(f"For {model} that is, in absolute values, {', '.join(shares)}.")
    return " ".join(sentences)
