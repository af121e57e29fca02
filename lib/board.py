"""A row of the claims board: its pre-registered test, what was found, and when the evidence is too thin for a verdict.

A verdict is read from the interval, and then held back: *invalid* where the placebo rule is broken; *inconclusive* where too many
completions are unusable (`lib.usability`), where the
run could not have seen an effect of the margin's size (its minimum detectable effect, at 80 % power and the run's own level,
exceeds the margin), or where p does not survive Holm's correction over the rows of the claim. So an interval on one side of 0
settles nothing in a study too small for its margin: the few effects that such a study finds significant are overestimated.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lib import inference, power
from lib.inference import Estimate
from lib.usability import PLACEBO_BROKEN

SUPPORTED, CONTRADICTED, INCONCLUSIVE, INVALID = "supported", "contradicted", "inconclusive", "invalid"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE, INVALID)
HOLDS_ZERO = "interval holds 0"
COLUMNS = ["claim", "statement", "model", "measured", "test", "unit", "margin", "detectable", "estimate", "low", "high", "n",
           "clusters", "cluster_unit", "p", "p_holm", "verdict", "reason", "fault"]  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """What is fixed before any run."""

    name: str  # C0 … C5
    statement: str
    test: str  # what must hold of the estimate
    margin: str  # the parameter that holds the margin
    unit: str  # of estimate, margin and minimum detectable effect


def row(
    claim: Claim,
    model: str,
    measured: str,
    found: Estimate | None,
    verdict: tuple[str, str],
    margin: float,
    confidence: float,
    fault: str = "",
    **other,
) -> dict:
    """COLUMNS of a row before `settled`; `fault` says why the completions allow no verdict, "" if they may (`usability.faults`).

    `found` is None where nothing is estimated. `other` replaces what follows from `claim` and `found`: detectable, p, p_holm,
    unit, cluster_unit.
    """
    numbers = {**dict.fromkeys(("estimate", "low", "high", "detectable", "p", "p_holm"), np.nan), "n": 0, "clusters": 0}
    if found is not None:
        numbers |= {"estimate": found.estimate, "low": found.low, "high": found.high, "n": found.n, "clusters": found.n_stems,
                    "p": found.p, "detectable": power.detectable_effect(found, confidence)}  # fmt: skip
    named = {"claim": claim.name, "statement": claim.statement, "model": model, "measured": measured, "test": claim.test}
    told = {"unit": claim.unit, "margin": margin, "cluster_unit": "stems", "verdict": verdict[0], "reason": verdict[1]}
    return {**named, **told, **numbers, "fault": fault, **other}


def settled(rows: list[dict], confidence: float) -> pd.DataFrame:
    """The rows of one claim as a table of COLUMNS, verdicts held back.

    p is Holm-corrected over the rows, but for a row that was given a p_holm of its own.
    """
    table = pd.DataFrame(rows)
    table["p_holm"] = table["p_holm"].fillna(pd.Series(inference.holm(table["p"]), table.index))
    held = [_held_back(row, confidence) for row in table.itertuples()]
    return table.assign(verdict=[verdict for verdict, _ in held], reason=[reason for _, reason in held])[COLUMNS]


def _held_back(row, confidence: float) -> tuple[str, str]:
    if row.fault and PLACEBO_BROKEN not in row.fault:
        return INCONCLUSIVE, row.fault
    if np.isnan(row.estimate):
        return row.verdict, row.reason
    if row.fault:
        return INVALID, PLACEBO_BROKEN
    if row.detectable > row.margin:
        seen, margin = (f"{value:.{digits(row.unit)}f}" for value in (row.detectable, row.margin))
        return INCONCLUSIVE, f"could only have seen {seen} {row.unit}, the margin is {margin}"
    if row.verdict in (SUPPORTED, CONTRADICTED) and not row.p_holm < 1 - confidence:
        return INCONCLUSIVE, f"not after Holm's correction (p = {row.p_holm:.3f})"
    if row.reason == HOLDS_ZERO and max(abs(row.low), abs(row.high)) < row.margin:
        return INCONCLUSIVE, f"{HOLDS_ZERO}, all of it within the margin"
    return row.verdict, row.reason


def digits(unit: str) -> int:
    """Digits behind the point with which estimates of this unit are shown."""
    return 1 if unit.startswith("points") else 2


def from_interval(estimate: float, low: float, high: float, n: int, clusters: int, confidence: float) -> Estimate:
    """An estimate with a bootstrap interval: its error is half of that in quantiles of t, clusters − 1 degrees of freedom."""
    freedom = clusters - 1
    if np.isnan(low) or freedom < 1:
        return Estimate(estimate, low, high, n, clusters, np.nan, np.nan, np.nan)
    error = (high - low) / 2 / stats.t.ppf((1 + confidence) / 2, freedom)
    p = 2 * stats.t.sf(abs(estimate) / error, freedom) if error > 0 else float(estimate == 0)
    return Estimate(estimate, low, high, n, clusters, error, np.nan, p)
