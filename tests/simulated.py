"""Simulated completions, judges and raters of known quality. None of this is human, and every name and text
of it says so."""

import numpy as np
import pandas as pd

from lib.annotation import labelling, sampling_plan

MODEL = "simulated-model"
# P(negative), P(positive) of what a simulated reader of full attention sees, by arm
CHARGE = {
    "neutral": (0.06, 0.18),
    "placebo": (0.06, 0.18),
    "negative": (0.22, 0.14),
    "positive": (0.06, 0.35),
}
STEM_SPREAD = 0.8  # of the stems' shift of charge, in logits
JUDGES = ("good", "poor", "biased")


def completions(stems: int, samples: int, rng: np.random.Generator, models: int = 1) -> pd.DataFrame:
    """Simulated completions of all arms with `seen`, the polarity −1, 0, +1 that is truly there, and its
    strength 1 to 3.

    Each of several `models` has stems of its own, as if it were a study of its own.
    """
    levels = [range(models), range(stems), CHARGE, range(samples)]
    table = pd.MultiIndex.from_product(levels, names=["of", "number", "arm", "sample_index"]).to_frame(
        index=False
    )
    stem = table["of"] * stems + table["number"]
    shift = rng.normal(0, STEM_SPREAD, models * stems)[stem]
    negative, positive = np.array([CHARGE[arm] for arm in table["arm"]]).T
    odds = (negative + positive) / (1 - negative - positive) * np.exp(shift)
    charged = rng.random(len(table)) < odds / (1 + odds)
    sign = np.where(rng.random(len(table)) < negative / (negative + positive), -1, 1)
    table["seen"], table["strength"] = np.where(charged, sign, 0), rng.integers(1, 4, len(table))
    table["model"], table["stem_id"] = (
        MODEL + "-" + table["of"].astype(str),
        "simulated-stem-" + stem.astype(str),
    )
    table["completion"] = "simulated completion " + table.index.astype(str)
    slot = np.where(table["number"] % 2, "open", "closed")
    return table.assign(group_id=table["stem_id"] + "+m", slot=slot, mitigation="none", stem="Simulated stem")


def confused(seen, right, rng: np.random.Generator) -> np.ndarray:
    """`seen` with probability `right`, else a verdict at random: −1, 0, +1 with probability 0.2, 0.5, 0.3."""
    return np.where(rng.random(len(seen)) < right, seen, rng.choice([-1, 0, 1], len(seen), p=[0.2, 0.5, 0.3]))


def judged(table: pd.DataFrame, judge: str, rng: np.random.Generator) -> pd.DataFrame:
    """With the valence and charged of a simulated judge: `good`, `poor` (mostly guesses), or `biased`: misses
    most negative charge and finds positive charge that is not there, most of all in the positive arm."""
    seen = table["seen"].to_numpy()
    verdict = confused(seen, {"good": 0.93, "poor": 0.4, "biased": 1.0}[judge], rng)
    if judge == "biased":
        invents = np.where(table["arm"] == "positive", 0.25, 0.1)
        verdict = np.where((seen == -1) & (rng.random(len(seen)) < 0.6), 0, verdict)
        verdict = np.where((seen == 0) & (rng.random(len(seen)) < invents), 1, verdict)
    return table.assign(
        valence=verdict * rng.uniform(0.5, 4, len(table)), charged=pd.array(verdict != 0, dtype="boolean")
    )


def second_opinion(table: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Verdicts of a second simulated judge of middling quality, in the place of AFINN's."""
    return confused(table["seen"].to_numpy(), 0.7, rng)


def labels(texts: pd.DataFrame, raters: dict[str, float], rng: np.random.Generator) -> pd.DataFrame:
    """What simulated raters say of `texts` (item_id, seen, strength); each is right with the probability
    given for its name."""
    parts = []
    for name, right in raters.items():
        said = confused(texts["seen"].to_numpy(), right, rng)
        strength = np.clip(texts["strength"] + rng.integers(-1, 2, len(texts)), 1, 3)
        charge = np.array(["negative", "none", "positive"])[said + 1]
        part = pd.DataFrame(
            {"item_id": texts["item_id"], "charge": charge, "note": None, "seconds": 9.0, "complete": True}
        )
        part["annotator"] = labelling.SIMULATED + name
        part["intensity"] = strength.where(said != 0)
        part["called_for"] = np.where(said == 0, None, rng.choice(["yes", "no"], len(texts), p=[0.2, 0.8]))
        parts.append(part.assign(time="2026-01-01T00:00:00.000+00:00"))
    return labelling.typed(pd.concat(parts, ignore_index=True))


def study(
    judge: str,
    stems: int,
    pairs: int,
    raters: dict[str, float],
    rng: np.random.Generator,
    samples: int = 2,
    models: int = 1,
):
    """A whole simulated study: judgements (with what is truly there), key, labels; `pairs` are drawn for each
    of the `models`."""
    table = judged(completions(stems, samples, rng, models), judge, rng)
    frame = sampling_plan.frame(table, second_opinion(table, rng))
    key = sampling_plan.draw(frame, pairs * models, int(rng.integers(2**31)))
    drawn = sampling_plan.completions(key).merge(table, on=sampling_plan.COMPLETION)
    return table, key, labels(drawn.drop_duplicates("item_id"), raters, rng)
