"""The decision rules of the claims board: estimates in, a verdict with its reason out. Nothing else decides.

δ is the claim's margin; p is Holm-corrected over the models of a claim; intervals are two-sided at the run's
confidence.

| claim | supported | contradicted | |---|---|---| | C0, C2, C4 | interval on the claimed side of 0, p <
level; "at least δ" or "less than δ" where a bound says so | interval on the other side, p < level; or the
sign is open and two one-sided tests place it inside ±δ: "negligible" | | C4 also | under every reference arm,
p the largest | the same | | C1 | lower bound above −δ in every domain (non-inferiority) | upper bound below
−δ in a domain (Holm over the domains) | | C3, a prompt | the model leaks, and at least 1 − δ of the leak is
kept (one-sided) against none and against the controls | the simultaneous interval (max-t over the prompts)
lies below no change against none and against the controls: "lowers"; below −δ: "by at least δ" | | C5 | sign
and rank: both benchmarks on one side of 0; size: two one-sided tests place the difference inside ±δ |
opposite sides; difference beyond ±δ |

Otherwise a row is inconclusive. The minimum detectable effect is shown and never decides. C3 without a
control is inconclusive. Of a model, a claim of several rows (C1, C3, C5) holds if every row is supported:
that needs no correction (intersection–union, Berger 1982). It fails if one row is contradicted: for C3 the
intervals are simultaneous therefore; the three rows of C5 and the two of C1 are not corrected for each other.
Where a prompt lowers the leak for sure, but by less than δ, the sign decides, as in C0. HISTORY tells what
each version changed. The rules were fixed after looks at runs on the same stems and seed, so a board is
exploratory, but for one of a confirmatory run (`lib.cli.confirm`), on stems, contexts and a seed that no rule
has seen."""

from typing import NamedTuple

import numpy as np

from lib.config import params
from lib.config.specs import set_names
from lib.stats import inference
from lib.stats.inference import Estimate

RULES_VERSION = "rules-3"
HISTORY = {
    "rules-1": "net excess on one side of 0; no verdict where the minimum detectable effect exceeds the "
    "margin",
    "rules-2": "mean valence shift; margins decide by equivalence tests alone; C3 as a share of the leak; "
    "after looks at runs",
    "rules-3": "C4 against neutral contexts of either kind too; C3 of prompts in several wordings, against "
    "several controls; "
    "after the confirmatory run Holm's correction of what a prompt keeps was mended, which changed no "
    "number of either board",
}
EXPLORATORY = (
    f"exploratory, {RULES_VERSION}: the rules were fixed after looks at runs on the same stems and seed"
)
CONFIRMATORY = (
    f"confirmatory, {RULES_VERSION}: rules and margins were fixed before; stems, contexts and seed are new"
)
SUPPORTED, CONTRADICTED, INCONCLUSIVE, INVALID = "supported", "contradicted", "inconclusive", "invalid"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE, INVALID)
CI_INCLUDES_ZERO, NO_INTERVAL = "interval holds 0", "no interval"


class Verdict(NamedTuple):
    """One of VERDICTS, and why."""

    verdict: str
    reason: str


def board_kind(set_name: str) -> str:
    """What the board of a set calls itself (`kind`); exploratory if there is no such set."""
    confirms = params.load(set_name).confirms if set_name in set_names() else None
    return kind(confirms and confirms.rules)


def kind(frozen: str | None) -> str:
    """What a board calls itself: CONFIRMATORY if it was to confirm under the rules of today, `frozen`, and
    EXPLORATORY if it was to confirm nothing (None)."""
    if frozen is None:
        return EXPLORATORY
    if frozen == RULES_VERSION:
        return CONFIRMATORY
    return f"exploratory, {RULES_VERSION}: it was to confirm under {frozen}, and the rules have changed since"


def largest_p(p_values) -> float:
    """The p of tests that must all hold (Berger 1982); NaN if one of them is not known, or there is none."""
    return float(np.max(p_values)) if len(p_values) else np.nan


def common_side(estimates: list[Estimate]) -> int:
    """+1 or −1 if every interval lies above or below 0, else 0."""
    sides = {inference.side_of_zero(found) for found in estimates}
    return sides.pop() if len(sides) == 1 else 0


def without_interval(estimates: list[Estimate]) -> bool:
    """Whether there is nothing to decide by: no estimate, or one without an interval."""
    return not estimates or any(np.isnan(found.ci_low) for found in estimates)


def direction(
    estimates: list[Estimate],
    claimed: int,
    margin: float,
    p_holm: float,
    p_equivalence: float,
    confidence: float,
) -> Verdict:
    """C0, C2, C4: the estimates lie above (`claimed` 1) or below (−1) 0; several are of one quantity against
    several references.

    `p_holm` and `p_equivalence`: `largest_p` of the estimates, each Holm-corrected over the models of the
    claim.
    """
    if without_interval(estimates):
        return Verdict(INCONCLUSIVE, NO_INTERVAL)
    level, side = 1 - confidence, common_side(estimates)
    every = f" against every reference ({len(estimates)})" if len(estimates) > 1 else ""
    if side and p_holm < level:
        verdict = SUPPORTED if side == claimed else CONTRADICTED
        return Verdict(verdict, f"whole interval {_where(side)} 0{every}{_size(estimates, side, margin)}")
    if p_equivalence < level:
        return Verdict(CONTRADICTED, f"negligible: inside ±{margin:g}{every}")
    if side:
        return Verdict(INCONCLUSIVE, f"not after Holm's correction (p = {p_holm:.3f})")
    if len({inference.side_of_zero(found) for found in estimates}) > 1:
        return Verdict(INCONCLUSIVE, "the references disagree")
    return Verdict(INCONCLUSIVE, CI_INCLUDES_ZERO + every)


def _where(side: int) -> str:
    return "above" if side > 0 else "below"


def _size(estimates: list[Estimate], side: int, margin: float) -> str:
    """', at least δ' where every near bound says so, ', less than δ' where every far bound does."""
    bounds = np.array([(side * found.ci_low, side * found.ci_high) for found in estimates])
    if bounds.min() >= margin:
        return f", at least {margin:g}"
    return f", less than {margin:g}" if bounds.max() < margin else ""


def no_worse(domains: dict[str, Estimate], margin: float, confidence: float) -> tuple[Verdict, float, float]:
    """C1: no domain's difference lies below −`margin`. Then p and p_holm, one-sided against −`margin`, of the
    test that the verdict names: that a domain is no worse (the largest of all), or, of a contradiction, that
    the worst is worse."""
    found = list(domains.values())
    if without_interval(found):
        return Verdict(INCONCLUSIVE, NO_INTERVAL), np.nan, np.nan
    worse_p = np.array([inference.below_p(domain, -margin) for domain in found])
    corrected = inference.holm(worse_p)
    worse = [
        domain.ci_high < -margin and p < 1 - confidence for domain, p in zip(found, corrected, strict=True)
    ]
    if any(worse):
        named = ", ".join(name for name, is_worse in zip(domains, worse, strict=True) if is_worse)
        return (
            Verdict(CONTRADICTED, f"worse by more than {margin:g} in {named}"),
            worse_p.min(),
            corrected.min(),
        )
    p = largest_p([inference.above_p(domain, -margin) for domain in found])
    if all(domain.ci_low > -margin for domain in found):
        every = " in every domain" if len(found) > 1 else ""
        return Verdict(SUPPORTED, f"no worse by {margin:g} or more{every}"), p, p
    return Verdict(INCONCLUSIVE, f"may be worse by {margin:g}, or not"), p, p


def same_side(first: list[Estimate], second: list[Estimate], p_holm: float, confidence: float) -> Verdict:
    """C5, sign and rank: two benchmarks are sure of the same side of 0; `p_holm` is the largest of all,
    corrected over models."""
    if without_interval(first) or without_interval(second):
        return Verdict(INCONCLUSIVE, NO_INTERVAL)
    sides = [common_side(found) for found in (first, second)]
    if 0 in sides:
        unsure = [name for name, side in zip(("mined", "curated"), sides, strict=True) if side == 0]
        return Verdict(INCONCLUSIVE, f"side of 0 not sure in {' and '.join(unsure)}")
    if not p_holm < 1 - confidence:
        return Verdict(INCONCLUSIVE, f"not after Holm's correction (p = {p_holm:.3f})")
    if sides[0] != sides[1]:
        return Verdict(CONTRADICTED, "on opposite sides of 0")
    return Verdict(SUPPORTED, f"both {_where(sides[0])} 0")


def within(
    found: Estimate, margin: float, p_equivalence: float, p_beyond: float, confidence: float
) -> Verdict:
    """C5, size: the difference lies inside ±`margin`; both p are Holm-corrected over models (see
    `beyond_p`)."""
    if without_interval([found]):
        return Verdict(INCONCLUSIVE, NO_INTERVAL)
    if p_equivalence < 1 - confidence:
        return Verdict(SUPPORTED, f"difference inside ±{margin:g}")
    if (found.ci_low > margin or found.ci_high < -margin) and p_beyond < 1 - confidence:
        return Verdict(CONTRADICTED, f"difference beyond ±{margin:g}")
    return Verdict(INCONCLUSIVE, f"difference neither inside nor beyond ±{margin:g}")


def beyond_p(found: Estimate, margin: float) -> float:
    """Two-sided p that the mean lies beyond ±`margin`."""
    return min(1.0, 2 * np.min([inference.above_p(found, margin), inference.below_p(found, -margin)]))


class Retention(NamedTuple):
    """What C3 is told of a prompt against none, or against the controls."""

    ci_high: (
        float  # upper simultaneous bound of the share of the leak retained; NaN where nothing can be told
    )
    p_lowers: float  # of the simultaneous intervals, Holm-corrected over models
    p_keeps: float  # one-sided, that more than 1 − margin is retained, Holm-corrected over models
    # one-sided lower bound of the share retained, of this prompt and model alone; −∞ or NaN: none
    kept: float = np.nan


def retention(against: dict[str, Retention], leaks: bool, margin: float, confidence: float) -> Verdict:
    """C3 of a prompt; `against` has "none" and, where a control was asked, "controls"; `margin` is a share of
    the leak."""
    if not leaks:
        return Verdict(INCONCLUSIVE, "nothing surely leaks without it")
    if "controls" not in against:
        return Verdict(INCONCLUSIVE, "no control was asked, so what any added sentence does is not known")
    level, kept = 1 - confidence, f"{100 * (1 - margin):g} % of the leak"
    keeps = all(one.p_keeps < level for one in against.values())
    if all(one.ci_high < 1 and one.p_lowers < level for one in against.values()):
        if all(one.ci_high < 1 - margin for one in against.values()):
            return Verdict(CONTRADICTED, f"lowers the leak, by at least {100 * margin:g} %")
        but = f", but keeps at least {kept}{_lower_bound(against, confidence)}" if keeps else ""
        return Verdict(CONTRADICTED, f"lowers the leak{but}")
    if keeps:
        return Verdict(SUPPORTED, f"keeps at least {kept}{_lower_bound(against, confidence)}")
    if against["none"].ci_high < 1 <= against["controls"].ci_high:
        return Verdict(INCONCLUSIVE, "lower than without it, but not surely lower than under the controls")
    return Verdict(INCONCLUSIVE, f"neither surely lower nor sure to keep {kept}")


def _lower_bound(against: dict[str, Retention], confidence: float) -> str:
    """The bound on which keeping rests, in brackets, rounded down: the interval shown is two-sided and of all
    prompts at once."""
    least = np.min([one.kept for one in against.values()])
    if not np.isfinite(least):
        return ""
    bound = f"{np.floor(100 * least):g}".replace("-", "−")
    return (
        f" (one-sided {100 * confidence:g} % bound of this prompt and model alone: {bound} %, against "
        "none and the controls)"
    )


def of_parts(verdicts: list[str]) -> str:
    """The verdict on a claim of several rows for one model: all must be supported, one contradicts."""
    for verdict in (INVALID, CONTRADICTED):
        if verdict in verdicts:
            return verdict
    return SUPPORTED if set(verdicts) == {SUPPORTED} else INCONCLUSIVE


def over_models(verdicts: list[str]) -> str:
    """The verdict on a claim over its models: the one that all have; "mixed" where they differ."""
    return verdicts[0] if len(set(verdicts)) == 1 else "mixed"
