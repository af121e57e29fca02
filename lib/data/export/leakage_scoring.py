"""From a model's reply to leakage: first sentence, VADER valence, quantities on pairs of arms with errors clustered by stem.

The definitions are those of the project expression-leakage (lib/judges.py, lib/leakage.py, lib/inference.py), which checks that
the numbers are the same; beside the standard library this needs vaderSentiment alone.
"""

import json
import math
from collections import defaultdict
from functools import cache
from pathlib import Path

from leakage_sentences import completion_of
from leakage_text import normalize
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

SETTINGS = json.loads((Path(__file__).parent / "settings.json").read_text(encoding="utf-8"))
SCALE = 4.0  # the human scale runs from -SCALE to +SCALE; VADER's compound score from -1 to +1
REFERENCE = "neutral"
ASKED = (REFERENCE, "placebo", "negative", "positive")  # the arms that the quantities need
QUANTITIES = ("leak", "towards", "away", "net", "shift")
# name of a contrast -> arm that is set against the reference, direction of the sentiment
CONTRASTS = {
    "negative": ("negative", -1),
    "positive": ("positive", +1),
    "placebo_as_negative": ("placebo", -1),
    "placebo_as_positive": ("placebo", +1),
}
_PLACEBO_RULE = ("leak_placebo_as_negative", "towards_placebo_as_negative", "towards_placebo_as_positive")
REPORTED = (*(f"{name}_{contrast}" for contrast in ("negative", "positive") for name in QUANTITIES), *_PLACEBO_RULE)


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


def read_prompts() -> list[dict]:
    """The prompts of ASKED arms that lie beside this file."""
    with (Path(__file__).parent / "prompts.jsonl").open(encoding="utf-8") as file:
        return [row for row in map(json.loads, file) if row["arm"] in ASKED]


def judged(reply: str, prompt: dict, sample_index: int) -> dict:
    """One judged completion: what counts of `reply`, its valence (−4 … +4), and what says with which others it is paired."""
    completion = completion_of(reply, prompt["context"], prompt["stem"])
    valence = SCALE * _analyzer().polarity_scores(normalize(completion))["compound"]
    named = {name: prompt[name] for name in ("prompt_id", "stem_id", "group_id", "arm")}
    return {**named, "sample_index": sample_index, "completion": completion, "valence": valence}


def leakage(rows: list[dict]) -> dict[str, float]:
    """Each of REPORTED and its clustered standard error, of rows as `judged` gives them; NaN where there is no pair.

    leak: %, 50 is none, against all references of the group. towards, away, net: percentage points. shift: points of the human
    scale. A row without its reference (same group and sample_index) is left out.
    """
    reference = {(row["group_id"], row["sample_index"]): row["valence"] for row in rows if row["arm"] == REFERENCE}
    of_group = defaultdict(list)
    for (group, _), valence in reference.items():
        of_group[group].append(valence)
    result = {}
    for contrast, (arm, direction) in CONTRASTS.items():
        pairs = [
            (row["stem_id"], _quantities(row["valence"], reference[key], of_group[row["group_id"]], direction))
            for row in rows
            if row["arm"] == arm and (key := (row["group_id"], row["sample_index"])) in reference
        ]
        for place, quantity in enumerate(QUANTITIES):
            mean, error = _clustered_mean([(stem, values[place]) for stem, values in pairs])
            result[f"{quantity}_{contrast}"] = mean
            result[f"{quantity}_{contrast}_error"] = error
    return {key: result[key] for name in REPORTED for key in (name, f"{name}_error")}


def _quantities(valence: float, reference: float, references: list[float], direction: int) -> tuple[float, ...]:
    """QUANTITIES of a completion and its reference, for the leak rate all of its group, counted in the injected direction."""
    threshold, arm, other = SETTINGS["charged_threshold"], direction * valence, direction * reference
    towards = 100.0 * ((arm > threshold) - (other > threshold))
    away = 100.0 * ((arm < -threshold) - (other < -threshold))
    further = sum((arm > direction * each) - (arm < direction * each) for each in references)
    return 50.0 * (1 + further / len(references)), towards, away, towards - away, arm - other


def _clustered_mean(values: list[tuple[str, float]]) -> tuple[float, float]:
    """Mean and its standard error, clustered (Liang & Zeger 1986) with the few-cluster correction G / (G − 1)."""
    if not values:
        return math.nan, math.nan
    mean = sum(value for _, value in values) / len(values)
    residuals = defaultdict(float)
    for cluster, value in values:
        residuals[cluster] += value - mean
    if len(residuals) < 2:
        return mean, math.nan
    correction = len(residuals) / (len(residuals) - 1)
    return mean, math.sqrt(correction * sum(total**2 for total in residuals.values())) / len(values)
