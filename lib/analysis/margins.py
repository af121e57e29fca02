"""What the margin of the mean shift is worth: δ beside effects that a reader can picture, measured in the
same run.

δ = 0.1 points of the human scale (−4 … +4) means that one text in ten moves by a whole point. That this
counts as nothing is a choice of this project, made before the run; here stands what it is against the spread
of single pairs and the step from a weaker context to a stronger.
"""

from itertools import pairwise

import pandas as pd

from lib.analysis import clustered, leakage
from lib.dataset.curated_prompts import INTENSITIES

COLUMNS = ["model", "yardstick", "estimate", "ci_low", "ci_high", "n", "n_stems", "margin / yardstick"]


def yardsticks(pairs: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """A row for each model and yardstick, scale points; columns COLUMNS. `pairs` are unmitigated.

    The standard deviation of a pair's shift (without interval), the mean shift, and the mean shift of each
    intensity of contexts less that of the next weaker, as far as the benchmark tells intensities apart.
    """
    rows = []
    for model, part in leakage.charged_pairs(pairs).dropna(subset="shift").groupby("model", sort=False):
        found = [("mean shift", leakage.mean_of(part, "shift", confidence))]
        levels = [
            level for level in INTENSITIES if "intensity" in part and (part["intensity"] == level).any()
        ]
        for lower, upper in pairwise(levels):
            both = part[part["intensity"].isin([lower, upper])]
            step = clustered.design_difference(both, "shift", both["intensity"] == upper, confidence)[0]
            found.append((f"{upper} less {lower} contexts", step))
        measured = ["estimate", "ci_low", "ci_high", "n", "n_stems"]
        rows += [
            {"model": model, "yardstick": name, **{field: getattr(one, field) for field in measured}}
            for name, one in found
        ]
        rows.append(
            {
                "model": model,
                "yardstick": "standard deviation of a pair",
                "estimate": part["shift"].std(),
                "n": len(part),
                "n_stems": part["stem_id"].nunique(),
            }
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(**{COLUMNS[-1]: margin / table["estimate"].abs()})


def reading(table: pd.DataFrame, margin: float) -> str:
    """The margin in sentences, one for each model."""
    said = [f"δ = {margin:g} scale points: {100 * margin:g} texts in a hundred move by a whole point."]
    for model, part in table.groupby("model", sort=False):
        shares = [
            f"{share:.2f} × {name}" for name, share in zip(part["yardstick"], part[COLUMNS[-1]], strict=True)
        ]
        said.append(f"For {model} that is, in absolute values, {', '.join(shares)}.")
    return " ".join(said)
