"""How well a layer's state at the end of a prompt predicts the valence of what is then written."""

import numpy as np
import pandas as pd

from lib.analysis import leakage
from lib.stats import resamples

RESAMPLES = 1000
COLUMNS = ["layer", "estimate", "ci_low", "ci_high", "n", "n_stems"]


def prediction(projections: pd.DataFrame, pairs: pd.DataFrame, confidence: float, seed: int) -> pd.DataFrame:
    """Correlate the projection of charged prompts with the valence of their completions, layer by layer.

    Both are differences from the neutral prompt of the group: what the stem itself brings cancels. The
    valence is the mean over the prompt's draws.

    Args:
        projections: A table of `lib.interventions.states.projections`.
        pairs: Unmitigated pairs of `leakage.pairs` of the same model.
        confidence: Level of the intervals, between 0 and 1.
        seed: Seed of the RESAMPLES resamples of stems.

    Returns:
        One row per layer, with COLUMNS: Pearson's r, its percentile interval over stems, and how many
        prompts and stems it rests on.
    """
    charged = leakage.charged_pairs(pairs).dropna(subset="shift")
    # the shift has the sign of the context; the direction runs from negative to positive
    signed = charged.assign(change=charged["shift"] * charged["direction"])
    change = signed.groupby("prompt_id")["change"].mean().rename("change")
    both = projections.join(change, on="prompt_id", how="inner")
    rows, rng = [], np.random.default_rng(seed)
    for layer, part in both.groupby("layer", sort=True):
        estimate = resamples.table(part, _r, "stem_id", confidence, RESAMPLES, rng).iloc[0]
        counts = {"n": len(part), "n_stems": part["stem_id"].nunique()}
        rows.append({"layer": layer, **estimate[["estimate", "ci_low", "ci_high"]], **counts})
    return pd.DataFrame(rows, columns=COLUMNS)


def _r(part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    return {"r": resamples.pearson(part["projection"], part["change"], weights)}
