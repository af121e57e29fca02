"""The decision rules of the claims board: estimates in, a verdict with its reason out.

Nothing else decides. δ is the claim's margin; p is Holm-corrected over the models of a claim; intervals are
two-sided at the run's confidence.

C0, C2, C4:

- Supported: the interval lies on the claimed side of 0 and p < level. The reason adds "at least δ" or "less
  than δ" where a bound shows it.
- Contradicted: the interval lies on the other side and p < level; or the sign is open and two one-sided tests
  place the estimate inside ±δ ("negligible").
- For C4 this must hold under every reference arm, and p is the largest.

C1:

- Supported: the lower bound lies above −δ in every domain (non-inferiority).
- Contradicted: the upper bound lies below −δ in a domain (Holm over the domains).

C3, for each prompt:

- Supported: the model leaks, and at least 1 − δ of the leak is kept (one-sided) against none and against the
  controls.
- Contradicted: the simultaneous interval (max-t over the prompts) lies below no change against none and
  against the controls ("lowers"). The reason adds "by at least δ" where it lies below −δ.

C5:

- Supported: for sign and rank, both benchmarks lie on one side of 0; for size, two one-sided tests place the
  difference inside ±δ.
- Contradicted: for sign and rank, they lie on opposite sides; for size, the difference lies beyond ±δ.

Otherwise a row is inconclusive. The minimum detectable effect is shown and never decides. C3 without a
control is inconclusive.

For one model, a claim of several rows (C1, C3, C5) holds if every row is supported; this needs no correction
(intersection–union, Berger 1982). The claim fails if one row is contradicted. For this reason the intervals
of C3 are simultaneous; the three rows of C5 and the two of C1 are not corrected for each other. Where a
prompt certainly lowers the leak, but by less than δ, the sign decides, as in C0.

HISTORY lists what each version changed. The rules were fixed after looking at runs on the same stems and
seed, so a board is exploratory. The exception is the board of a confirmatory run (`lib.cli.confirm`), on
stems, contexts and a seed that no rule has seen.
"""

from typing import NamedTuple

import numpy as np

from lib.claims import benchmark
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
SUPPORTED, CONTRADICTED, INCONCLUSIVE, INVALID = "supported", "contradicted", "inconclusive", "invalid"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE, INVALID)
CI_INCLUDES_ZERO, NO_INTERVAL = "interval holds 0", "no interval"


class Verdict(NamedTuple):
    """One of VERDICTS, and why."""

    verdict: str
    reason: str


def board_kind(set_name: str) -> str:
    """Return the kind of the board of a set (`kind`); exploratory if there is no such set."""
    if set_name not in set_names():
        return EXPLORATORY
    parameters = params.load(set_name)
    return kind(parameters.confirms.rules if parameters.confirms else None, benchmark.of_set(parameters))


def kind(frozen: str | None, sentences: str = benchmark.NAME) -> str:
    """Return the kind of a board, in words, with the versions under which it was made.

    Args:
        frozen: The version of the rules under which the board was to confirm, or None if it was to confirm
            nothing. The board is confirmatory if that is the present version.
        sentences: The benchmark (`lib.claims.benchmark.of_set`).
    """
    versions = f"{sentences}, {RULES_VERSION}"
    if frozen is None:
        return f"exploratory, {versions}: the rules were fixed after looks at runs on the same stems and seed"
    if frozen == RULES_VERSION:
        return (
            f"confirmatory, {versions}: rules and margins were fixed before; stems, contexts and seed are new"
        )
    return f"exploratory, {versions}: it was to confirm under {frozen}, and the rules have changed since"


EXPLORATORY = kind(None)


def largest_p(p_values) -> float:
    """Return the p of tests that must all hold (Berger 1982); NaN if one is not known, or there is none."""
    return float(np.max(p_values)) if len(p_values) else np.nan


def common_side(estimates: list[Estimate]) -> int:
    """Return +1 or −1 if every interval lies above or below 0, else 0."""
    sides = {inference.side_of_zero(estimate) for estimate in estimates}
    return sides.pop() if len(sides) == 1 else 0


def without_interval(estimates: list[Estimate]) -> bool:
    """Return whether there is nothing to decide by: no estimate, or one without an interval."""
    return not estimates or any(np.isnan(estimate.ci_low) for estimate in estimates)


def direction(
    estimates: list[Estimate],
    claimed: int,
    margin: float,
    p_holm: float,
    p_equivalence: float,
    confidence: float,
) -> Verdict:
    """Decide C0, C2 or C4: the estimates lie above (`claimed` 1) or below (`claimed` −1) 0.

    Args:
        estimates: One estimate, or several of one quantity against several references.
        claimed: The claimed side of 0, 1 or −1.
        margin: The margin of the claim, in the unit of the estimates.
        p_holm: `largest_p` of the estimates, Holm-corrected over the models of the claim.
        p_equivalence: `largest_p` of their equivalence tests, corrected likewise.
        confidence: Level of the intervals, between 0 and 1.
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
    if len({inference.side_of_zero(estimate) for estimate in estimates}) > 1:
        return Verdict(INCONCLUSIVE, "the references disagree")
    return Verdict(INCONCLUSIVE, CI_INCLUDES_ZERO + every)


def _where(side: int) -> str:
    return "above" if side > 0 else "below"


def _size(estimates: list[Estimate], side: int, margin: float) -> str:
    """Return ', at least δ' if every near bound shows it, ', less than δ' if every far bound does or ''."""
    bounds = np.array([(side * estimate.ci_low, side * estimate.ci_high) for estimate in estimates])
    if bounds.min() >= margin:
        return f", at least {margin:g}"
    return f", less than {margin:g}" if bounds.max() < margin else ""


def no_worse(domains: dict[str, Estimate], margin: float, confidence: float) -> tuple[Verdict, float, float]:
    """Decide C1: no domain's difference lies below −`margin`.

    Args:
        domains: The estimate of each domain.
        margin: The margin of the claim, in the unit of the estimates.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        The verdict, p and p_holm. Both p are one-sided against −`margin`, of the test that the verdict names:
        that a domain is no worse (the largest p of all), or, for a contradiction, that the worst domain is
        worse.
    """
    estimates = list(domains.values())
    if without_interval(estimates):
        return Verdict(INCONCLUSIVE, NO_INTERVAL), np.nan, np.nan
    worse_p = np.array([inference.below_p(estimate, -margin) for estimate in estimates])
    corrected = inference.holm(worse_p)
    worse = [
        estimate.ci_high < -margin and p < 1 - confidence
        for estimate, p in zip(estimates, corrected, strict=True)
    ]
    if any(worse):
        worse_names = ", ".join(name for name, is_worse in zip(domains, worse, strict=True) if is_worse)
        return (
            Verdict(CONTRADICTED, f"worse by more than {margin:g} in {worse_names}"),
            worse_p.min(),
            corrected.min(),
        )
    p = largest_p([inference.above_p(estimate, -margin) for estimate in estimates])
    if all(estimate.ci_low > -margin for estimate in estimates):
        every = " in every domain" if len(estimates) > 1 else ""
        return Verdict(SUPPORTED, f"no worse by {margin:g} or more{every}"), p, p
    return Verdict(INCONCLUSIVE, f"may be worse by {margin:g}, or not"), p, p


def same_side(first: list[Estimate], second: list[Estimate], p_holm: float, confidence: float) -> Verdict:
    """Decide C5, sign and rank: two benchmarks certainly lie on the same side of 0.

    `p_holm` is the largest p of all estimates, corrected over models.
    """
    if without_interval(first) or without_interval(second):
        return Verdict(INCONCLUSIVE, NO_INTERVAL)
    sides = [common_side(estimates) for estimates in (first, second)]
    if 0 in sides:
        unsure = [name for name, side in zip(("mined", "curated"), sides, strict=True) if side == 0]
        return Verdict(INCONCLUSIVE, f"side of 0 not sure in {' and '.join(unsure)}")
    if not p_holm < 1 - confidence:
        return Verdict(INCONCLUSIVE, f"not after Holm's correction (p = {p_holm:.3f})")
    if sides[0] != sides[1]:
        return Verdict(CONTRADICTED, "on opposite sides of 0")
    return Verdict(SUPPORTED, f"both {_where(sides[0])} 0")


def within(
    estimate: Estimate, margin: float, p_equivalence: float, p_beyond: float, confidence: float
) -> Verdict:
    """Decide C5, size: the difference lies inside ±`margin`.

    Both p are Holm-corrected over models (see `beyond_p`).
    """
    if without_interval([estimate]):
        return Verdict(INCONCLUSIVE, NO_INTERVAL)
    if p_equivalence < 1 - confidence:
        return Verdict(SUPPORTED, f"difference inside ±{margin:g}")
    if (estimate.ci_low > margin or estimate.ci_high < -margin) and p_beyond < 1 - confidence:
        return Verdict(CONTRADICTED, f"difference beyond ±{margin:g}")
    return Verdict(INCONCLUSIVE, f"difference neither inside nor beyond ±{margin:g}")


def beyond_p(estimate: Estimate, margin: float) -> float:
    """Return the two-sided p that the mean lies beyond ±`margin`."""
    return min(1.0, 2 * np.min([inference.above_p(estimate, margin), inference.below_p(estimate, -margin)]))


class Retention(NamedTuple):
    """What C3 needs to know of a prompt against none, or against the controls."""

    ci_high: float  # upper simultaneous bound of the share of the leak retained; NaN where it is unknown
    p_lowers: float  # of the simultaneous intervals, Holm-corrected over models
    p_keeps: float  # one-sided, that more than 1 − margin is retained, Holm-corrected over models
    # one-sided lower bound of the share retained, of this prompt and model alone; −∞ or NaN: none
    kept: float = np.nan


def retention(against: dict[str, Retention], leaks: bool, margin: float, confidence: float) -> Verdict:
    """Decide C3 for a prompt.

    Args:
        against: The results against "none" and, where a control was asked, against "controls".
        leaks: Whether the model leaks without a mitigation.
        margin: The margin of the claim, a share of the leak.
        confidence: Level of the intervals, between 0 and 1.
    """
    if not leaks:
        return Verdict(INCONCLUSIVE, "nothing surely leaks without it")
    if "controls" not in against:
        return Verdict(INCONCLUSIVE, "no control was asked, so what any added sentence does is not known")
    level, kept_share = 1 - confidence, f"{100 * (1 - margin):g} % of the leak"
    keeps = all(result.p_keeps < level for result in against.values())
    if all(result.ci_high < 1 and result.p_lowers < level for result in against.values()):
        if all(result.ci_high < 1 - margin for result in against.values()):
            return Verdict(CONTRADICTED, f"lowers the leak, by at least {100 * margin:g} %")
        addition = f", but keeps at least {kept_share}{_lower_bound(against, confidence)}" if keeps else ""
        return Verdict(CONTRADICTED, f"lowers the leak{addition}")
    if keeps:
        return Verdict(SUPPORTED, f"keeps at least {kept_share}{_lower_bound(against, confidence)}")
    if against["none"].ci_high < 1 <= against["controls"].ci_high:
        return Verdict(INCONCLUSIVE, "lower than without it, but not surely lower than under the controls")
    return Verdict(INCONCLUSIVE, f"neither surely lower nor sure to keep {kept_share}")


def _lower_bound(against: dict[str, Retention], confidence: float) -> str:
    """Return the bound on which keeping rests, in brackets and rounded down.

    The interval that the board shows is another one: it is two-sided and simultaneous over all prompts.
    """
    lowest = np.min([result.kept for result in against.values()])
    if not np.isfinite(lowest):
        return ""
    bound = f"{np.floor(100 * lowest):g}".replace("-", "−")
    return (
        f" (one-sided {100 * confidence:g} % bound of this prompt and model alone: {bound} %, against "
        "none and the controls)"
    )


def of_parts(verdicts: list[str]) -> str:
    """Return the verdict on a claim of several rows for one model.

    All rows must be supported; one contradicted or invalid row decides.
    """
    for verdict in (INVALID, CONTRADICTED):
        if verdict in verdicts:
            return verdict
    return SUPPORTED if set(verdicts) == {SUPPORTED} else INCONCLUSIVE


def over_models(verdicts: list[str]) -> str:
    """Return the verdict on a claim over its models: the one that all have, or "mixed" where they differ."""
    return verdicts[0] if len(set(verdicts)) == 1 else "mixed"
