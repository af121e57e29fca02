"""Which design tells most in the time at hand: how many groups, samples, and whether the mitigations are
measured too."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lib.analysis import power
from lib.config.specs import ARMS, CHARGED_ARMS, ParameterError
from lib.runtime import command_line

SAMPLES = (1, 2, 3, 5)  # a prompt
_UNITS = {"s": 1, "m": 60, "h": 3600}
Lacks = Callable[[int, bool], np.ndarray]


@dataclass(frozen=True)
class Design:
    """A part of the full design: its first groups, samples of each prompt, and of each prompt under each
    mitigation."""

    groups: int
    samples: int
    mitigation_samples: int
    mitigations: int  # how many there are
    mde: float = float("nan")  # net excess, points, that it tells from 0 four times of five

    @property
    def completions(self) -> int:
        """How many are asked for."""
        return self.groups * per_group(self.samples, self.mitigation_samples, self.mitigations)


def seconds(text: str) -> float:
    """'90s', '10m', '1.5h' or '1h30m' in seconds; ParameterError for anything else."""
    parts = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?", text.strip().lower())
    try:
        total = sum(
            float(part) * unit
            for part, unit in zip(parts.groups()[::-1], _UNITS.values(), strict=True)
            if part
        )
    except (AttributeError, ValueError):
        total = 0.0
    if total <= 0:
        raise ParameterError(f"BUDGET={text}: no such time; give for example 90s, 10m or 1h30m")
    return total


def per_group(samples: int, mitigation_samples: int, mitigations: int) -> int:
    """Completions of one group: `samples` in every arm, under a mitigation those of the charged arms."""
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
    """The design with the narrowest interval of the net excess that `available` seconds allow at `pace`
    seconds a completion.

    `known`: variances of one pair's net excess. `lacks(samples, mitigated)`: completions that each group of
    the full design, in order, would still need. Mitigations are measured if the net excess is still told
    `margin` points from 0 beside them. No design is smaller than the `earlier` one, which it goes on with.
    ParameterError if there is no time for two groups.
    """
    made = [
        _largest(known, pace, max(available, 0.0), stems, lacks, samples, kept, mitigations)
        for kept in (0, 1)
        for samples in SAMPLES
    ]
    possible = [design for design in made if design and (earlier is None or _covers(design, earlier))]
    if earlier and not possible:
        return sized(earlier, known, stems)
    if not possible:
        least = 2 * per_group(1, 0, mitigations) * pace
        raise ParameterError(
            f"BUDGET: it leaves {max(available, 0):.0f} s for answers, but two groups of {len(ARMS)} "
            "completions take about "
            f"{least:.0f} s on this machine; give a larger one"
        )
    sharp = [design for design in possible if design.mitigation_samples and design.mde <= margin]
    bare = [design for design in possible if not design.mitigation_samples]
    return min(sharp or bare or possible, key=lambda design: (design.mde, design.completions))


def _covers(design: Design, earlier: Design) -> bool:
    pairs = (
        (getattr(each, name) for each in (design, earlier))
        for name in ("groups", "samples", "mitigation_samples")
    )
    return all(new >= old for new, old in pairs)


def _largest(known, pace, available, stems, lacks, samples, mitigation_samples, mitigations) -> Design | None:
    """The design with so many samples that fits into the time; None if it has not even two groups."""
    needed = lacks(samples, bool(mitigation_samples)).cumsum()
    groups = int(np.searchsorted(needed * pace, available, side="right"))
    return (
        sized(Design(groups, samples, mitigation_samples, mitigations), known, stems) if groups > 1 else None
    )


def sized(design: Design, known: power.Components, stems: int) -> Design:
    """The design with its minimum detectable effect."""
    met = min(design.groups, stems)
    mde = power.minimum_detectable_effect(known, met, design.groups / met, design.samples)
    return replace(design, mde=mde)


def summary(design: Design, seconds_needed: float) -> str:
    """The design in a sentence: what is asked, how long that takes, what it will see."""
    time = f"about {command_line.format_duration(seconds_needed)}" if seconds_needed else "all at hand"
    beside = (
        f", {design.mitigations} mitigations measured too"
        if design.mitigation_samples
        else ", no mitigations"
    )
    return (
        f"{design.completions:,} completions ({design.groups:,} groups, {design.samples} a "
        f"prompt{beside}), {time}, will tell "
        f"a net excess of {design.mde:.1f} points from 0 four times of five."
    )
