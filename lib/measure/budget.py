"""Choose the most informative design for a time budget.

The design says how many groups and samples are asked, and whether the mitigations are measured too.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lib.analysis import power
from lib.config.specs import ARMS, CHARGED_ARMS, ParameterError
from lib.runtime import command_line

SAMPLES = (1, 2, 3, 5)  # per prompt
_UNITS = {"s": 1, "m": 60, "h": 3600}
Lacks = Callable[[int, bool], np.ndarray]


@dataclass(frozen=True)
class Design:
    """A subset of the full design: its first groups, and the samples of each prompt.

    `mitigation_samples` counts the samples of each prompt under each mitigation.
    """

    groups: int
    samples: int
    mitigation_samples: int
    mitigations: int  # how many the set has
    mde: float = float("nan")  # minimum detectable net excess, in points, at a power of 80 %

    @property
    def completions(self) -> int:
        """Number of completions that are requested."""
        return self.groups * per_group(self.samples, self.mitigation_samples, self.mitigations)


def seconds(text: str) -> float:
    """Convert '90s', '10m', '1.5h' or '1h30m' to seconds.

    Raises:
        ParameterError: If `text` has another form.
    """
    matched = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?", text.strip().lower())
    numbers = matched.groups()[::-1] if matched else ()
    try:
        total = sum(
            (float(number) * unit for number, unit in zip(numbers, _UNITS.values(), strict=False) if number),
            0.0,
        )
    except ValueError:
        total = 0.0
    if total <= 0:
        raise ParameterError(f"BUDGET={text}: no such time; give for example 90s, 10m or 1h30m")
    return total


def per_group(samples: int, mitigation_samples: int, mitigations: int) -> int:
    """Return the number of completions of one group.

    Each arm has `samples`; under each mitigation, each charged arm has `mitigation_samples`.
    """
    return len(ARMS) * samples + len(CHARGED_ARMS) * mitigation_samples * mitigations


def choose(
    known: power.Components,
    pace: float,
    available: float,
    stems: int,
    lacks: Lacks,
    mitigations: int,
    margin: float,
    earlier: Design | None = None,
) -> Design:
    """Choose the design with the narrowest interval of the net excess that the time allows.

    Mitigations are measured if, with them, a net excess of `margin` points can still be detected.

    Args:
        known: Variances of one pair's net excess.
        pace: Seconds per completion.
        available: Seconds for answers.
        stems: Number of stems of the full design.
        lacks: `lacks(samples, mitigated)` returns the completions that each group of the full design, in
            order, would still need.
        mitigations: Number of mitigations.
        margin: Net excess in points that must stay detectable if mitigations are measured.
        earlier: Design that is continued; no smaller design is chosen.

    Raises:
        ParameterError: If there is no time for two groups.
    """
    candidates = [
        _largest(known, pace, max(available, 0.0), stems, lacks, samples, mitigation_samples, mitigations)
        for mitigation_samples in (0, 1)
        for samples in SAMPLES
    ]
    possible = [design for design in candidates if design and (earlier is None or _covers(design, earlier))]
    if earlier and not possible:
        return sized(earlier, known, stems)
    if not possible:
        min_seconds = 2 * per_group(1, 0, mitigations) * pace
        raise ParameterError(
            f"BUDGET: it leaves {max(available, 0):.0f} s for answers, but two groups of {len(ARMS)} "
            "completions take about "
            f"{min_seconds:.0f} s on this machine; give a larger one"
        )
    precise = [design for design in possible if design.mitigation_samples and design.mde <= margin]
    unmitigated = [design for design in possible if not design.mitigation_samples]
    return min(precise or unmitigated or possible, key=lambda design: (design.mde, design.completions))


def _covers(design: Design, earlier: Design) -> bool:
    pairs = (
        (getattr(each, name) for each in (design, earlier))
        for name in ("groups", "samples", "mitigation_samples")
    )
    return all(new >= old for new, old in pairs)


def _largest(known, pace, available, stems, lacks, samples, mitigation_samples, mitigations) -> Design | None:
    """Return the largest design with these samples that fits the time; None if two groups do not fit."""
    required = lacks(samples, bool(mitigation_samples)).cumsum()
    groups = int(np.searchsorted(required * pace, available, side="right"))
    return (
        sized(Design(groups, samples, mitigation_samples, mitigations), known, stems) if groups > 1 else None
    )


def sized(design: Design, known: power.Components, stems: int) -> Design:
    """Return the design with its minimum detectable effect."""
    n_stems = min(design.groups, stems)
    mde = power.minimum_detectable_effect(known, n_stems, design.groups / n_stems, design.samples)
    return replace(design, mde=mde)


def summary(design: Design, seconds_needed: float) -> str:
    """Describe the design in a sentence: what is asked, how long that takes, and what it can detect."""
    duration = f"about {command_line.format_duration(seconds_needed)}" if seconds_needed else "all at hand"
    mitigations_text = (
        f", {design.mitigations} mitigations measured too"
        if design.mitigation_samples
        else ", no mitigations"
    )
    return (
        f"{design.completions:,} completions ({design.groups:,} groups, {design.samples} a "
        f"prompt{mitigations_text}), {duration}, will tell "
        f"a net excess of {design.mde:.1f} points from 0 four times of five."
    )
