"""From a model's reply to leakage: outcome, VADER valence, quantities on pairs of arms with clustered errors.

A reply that is no answer (empty, refused, an unfinished thought, …) has no valence and is counted by its
outcome. The definitions are those of the project expression-leakage (lib/replies/outcomes.py,
lib/judging/judges.py, lib/analysis/leakage.py, lib/stats/inference.py), which checks that the numbers are the
same; beside the standard library this needs vaderSentiment alone.
"""

import json
import math
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from leakage_rules.outcomes import OUTCOMES, settle
from leakage_rules.text import normalize
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

SETTINGS = json.loads((Path(__file__).parent / "settings.json").read_text(encoding="utf-8"))
SCALE = 4.0  # the human scale runs from -SCALE to +SCALE; VADER's compound score from -1 to +1
REFERENCE = "neutral"
# no quantity needs the bare prompts, the arm none; make measure does, when it reads the log
ASKED = ("none", REFERENCE, "placebo", "negative", "positive")
QUANTITIES = ("leak", "towards", "away", "net", "shift")
# name of a contrast -> arm that is set against the reference, direction of the sentiment
CONTRASTS = {
    "negative": ("negative", -1),
    "positive": ("positive", +1),
    "placebo_as_negative": ("placebo", -1),
    "placebo_as_positive": ("placebo", +1),
}
_PLACEBO_RULE = ("leak_placebo_as_negative", "towards_placebo_as_negative", "towards_placebo_as_positive")
REPORTED = (
    *(f"{name}_{contrast}" for contrast in ("negative", "positive") for name in QUANTITIES),
    *_PLACEBO_RULE,
)
COUNTS = tuple(f"n_{outcome}" for outcome in OUTCOMES)


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


def read_prompts() -> list[dict]:
    """The prompts of ASKED arms that lie beside this file."""
    with (Path(__file__).parent / "prompts.jsonl").open(encoding="utf-8") as file:
        return [row for row in map(json.loads, file) if row["arm"] in ASKED]


def judged(
    reply: str, prompt: dict, sample_index: int, ended: bool = True, outcome: str | None = None
) -> dict:
    """One judged completion: its outcome, what counts of `reply` (None if missing), its valence, its keys.

    The valence is from −4 to +4, NaN if missing; the keys say with which others it is paired.

    `ended`: not cut off at the token limit; a harness that does not tell counts no reply as truncated.
    `outcome`: what the harness knows of it, such as filtered.
    """
    model = SimpleNamespace(text=reply, ended=ended, outcome=outcome, note="")
    settled = settle(model, prompt["context"], prompt["stem"])
    scored = settled.completion is not None
    valence = (
        SCALE * _analyzer().polarity_scores(normalize(settled.completion))["compound"] if scored else math.nan
    )
    named = {name: prompt[name] for name in ("prompt_id", "stem_id", "group_id", "arm")}
    return {
        **named,
        "sample_index": sample_index,
        "outcome": settled.outcome,
        "completion": settled.completion,
        "valence": valence,
    }


def leakage(rows: list[dict]) -> dict[str, float]:
    """Each of REPORTED with its clustered standard error, and COUNTS, of rows as `judged` returns them.

    NaN where there is no pair.

    leak: %, 50 is none, against all references of the group. towards, away, net: percentage points. shift:
    points of the human scale. A row without its reference (same group and sample_index) is left out; so is
    one without a valence, and one whose reference has none, but for the leak rate where other references of
    the group are scored.
    """
    reference = {
        (row["group_id"], row["sample_index"]): row["valence"] for row in rows if row["arm"] == REFERENCE
    }
    of_group = defaultdict(list)
    for (group, _), valence in reference.items():
        if not math.isnan(valence):
            of_group[group].append(valence)
    result = {}
    for contrast, (arm, direction) in CONTRASTS.items():
        pairs = [
            (
                row["stem_id"],
                _quantities(row["valence"], reference[key], of_group[row["group_id"]], direction),
            )
            for row in rows
            if row["arm"] == arm and (key := (row["group_id"], row["sample_index"])) in reference
        ]
        for place, quantity in enumerate(QUANTITIES):
            scored = [(stem, values[place]) for stem, values in pairs if not math.isnan(values[place])]
            mean, error = _clustered_mean(scored)
            result[f"{quantity}_{contrast}"] = mean
            result[f"{quantity}_{contrast}_error"] = error
    counts = {f"n_{outcome}": float(sum(row["outcome"] == outcome for row in rows)) for outcome in OUTCOMES}
    return {key: result[key] for name in REPORTED for key in (name, f"{name}_error")} | counts


def _quantities(
    valence: float, reference: float, references: list[float], direction: int
) -> tuple[float, ...]:
    """QUANTITIES of a completion and its reference, counted in the injected direction.

    The leak rate is against all references of the group.
    What a missing valence leaves untold is NaN.
    """
    if math.isnan(valence):
        return (math.nan,) * len(QUANTITIES)
    further = sum(
        (direction * valence > direction * each) - (direction * valence < direction * each)
        for each in references
    )
    leak = 50.0 * (1 + further / len(references)) if references else math.nan
    if math.isnan(reference):
        return leak, *(math.nan,) * (len(QUANTITIES) - 1)
    threshold, arm, other = SETTINGS["charged_threshold"], direction * valence, direction * reference
    towards = 100.0 * ((arm > threshold) - (other > threshold))
    away = 100.0 * ((arm < -threshold) - (other < -threshold))
    return leak, towards, away, towards - away, arm - other


def _clustered_mean(values: list[tuple[str, float]]) -> tuple[float, float]:
    """Mean and its clustered standard error (Liang & Zeger 1986); NaN without values.

    The error is corrected for few and unequal clusters (CR2, Bell & McCaffrey 2002); NaN for fewer than two.
    """
    if not values:
        return math.nan, math.nan
    mean = sum(value for _, value in values) / len(values)
    residuals, sizes = defaultdict(float), defaultdict(int)
    for cluster, value in values:
        residuals[cluster] += value - mean
        sizes[cluster] += 1
    if len(residuals) < 2:
        return mean, math.nan
    return mean, math.sqrt(
        sum(total**2 / (1 - sizes[name] / len(values)) for name, total in residuals.items())
    ) / len(values)
