"""A row of the claims board: its prespecified test, what was found, and the verdict that `lib.claims.rules`
gives.

A verdict is overruled where the completions allow none: *invalid* where the placebo rule is broken,
*inconclusive* where too many completions are unusable (`lib.analysis.usability`). Where the placebo rule is
neither kept nor broken for sure, the reason says so. The minimum detectable effect (MDE, at 80 % power and
the run's own level) stands in each row and decides nothing.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lib.analysis import clustered, power, usability
from lib.claims import rules
from lib.claims.rules import CONTRADICTED, INCONCLUSIVE, INVALID, SUPPORTED, VERDICTS, Verdict
from lib.stats.inference import Estimate

__all__ = ["CONTRADICTED", "INCONCLUSIVE", "INVALID", "SUPPORTED", "VERDICTS"]
COLUMNS = [
    "claim",
    "statement",
    "model",
    "measured",
    "test",
    "unit",
    "margin",
    "detectable",
    "estimate",
    "ci_low",
    "ci_high",
    "n",
    "clusters",
    "cluster_unit",
    "p",
    "p_holm",
    "p_equivalence",
    "net",
    "net_low",
    "net_high",
    "verdict",
    "reason",
    "fault",
    "as_judged",
]
ON_PEOPLE = "C1"  # the claim about the judge: its verdicts do not rest on the judge


@dataclass(frozen=True)
class Claim:
    """What is fixed before a run."""

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
    verdict: Verdict,
    margin: float,
    confidence: float,
    fault: str = "",
    net: Estimate | None = None,
    **other,
) -> dict:
    """COLUMNS of a row before `table`; `fault` says what is wrong with the completions, "" if nothing is
    (`usability.faults`).

    `found` is None where nothing is estimated. `net`: the same of the net excess, points, which decides
    nothing. `other` replaces what follows from `claim` and `found`: detectable, p, p_holm, p_equivalence,
    unit, cluster_unit, test.
    """
    numbers = dict.fromkeys(
        ("estimate", "ci_low", "ci_high", "detectable", "p", "p_holm", "p_equivalence"), np.nan
    )
    numbers |= {
        "n": 0,
        "clusters": 0,
        "cluster_unit": "stems",
        "net": np.nan,
        "net_low": np.nan,
        "net_high": np.nan,
    }
    if found is not None:
        numbers |= {
            "estimate": found.estimate,
            "ci_low": found.ci_low,
            "ci_high": found.ci_high,
            "n": found.n,
            **clusters_of(found),
            "p": found.p,
            "p_holm": found.p,
            "detectable": power.detectable_effect(found, confidence),
        }
    if net is not None:
        numbers |= {"net": net.estimate, "net_low": net.ci_low, "net_high": net.ci_high}
    named = {
        "claim": claim.name,
        "statement": claim.statement,
        "model": model,
        "measured": measured,
        "test": claim.test,
    }
    decided = {"unit": claim.unit, "margin": margin, "verdict": verdict.verdict, "reason": verdict.reason}
    return {**named, **decided, **numbers, "fault": fault, "as_judged": False, **other}


def clusters_of(found: Estimate) -> dict:
    """`clusters` and `cluster_unit` of an estimate: matches, stems, or of both that of which there are
    fewer."""
    counts = {clustered.BY_STEM: found.n_stems, clustered.BY_MATCH: getattr(found, "n_matches", 0)}
    unit = getattr(found, "cluster_unit", clustered.BY_STEM)
    return {"clusters": counts.get(unit, min(counts.values())), "cluster_unit": unit}


def table(rows: list[dict]) -> pd.DataFrame:
    """The rows of a claim as a table of COLUMNS, with verdicts overruled by what is wrong with the
    completions."""
    board = pd.DataFrame(rows)
    final = [_overruled(row) for row in board.itertuples()]
    return board.assign(verdict=[one.verdict for one in final], reason=[one.reason for one in final])[COLUMNS]


def _overruled(row) -> Verdict:
    if usability.allows_none(row.fault) and usability.PLACEBO_BROKEN not in row.fault:
        return Verdict(INCONCLUSIVE, row.fault)
    if np.isnan(row.estimate):
        return Verdict(row.verdict, row.reason)
    if usability.PLACEBO_BROKEN in row.fault:
        return Verdict(INVALID, usability.PLACEBO_BROKEN)
    return Verdict(row.verdict, f"{row.reason}; {row.fault}" if row.fault else row.reason)


def as_judged(board: pd.DataFrame, labelled: bool) -> pd.DataFrame:
    """The board, its verdicts marked as resting on the judge alone while people have labelled no completions
    (`labelled`)."""
    return board.assign(as_judged=not labelled and board["claim"] != ON_PEOPLE)


def in_words(row) -> str:
    """The verdict of a row, or of one of `by_claim`: 'supported, as judged' until people have labelled
    completions."""
    return (
        f"{row.verdict}, as judged"
        if row.as_judged and row.verdict in (SUPPORTED, CONTRADICTED)
        else row.verdict
    )


def by_claim(board: pd.DataFrame) -> pd.DataFrame:
    """The verdict on each claim over its models, one row each: claim, statement, verdict, models, counts (in
    words), as_judged.

    Of a model by `rules.of_parts`, over models by `rules.over_models`. C1 has judges in the place of models.
    """
    rows = []
    for (claim, statement), part in board.groupby(["claim", "statement"], sort=True):
        of_model = part.groupby("model", sort=False)["verdict"].agg(
            lambda verdicts: rules.of_parts(list(verdicts))
        )
        counts = of_model.value_counts().reindex(VERDICTS).dropna().astype(int)
        rows.append(
            {
                "claim": claim,
                "statement": statement,
                "verdict": rules.over_models(of_model.tolist()),
                "models": len(of_model),
                "counts": ", ".join(f"{count} {verdict}" for verdict, count in counts.items()),
                "as_judged": bool(part["as_judged"].any()),
            }
        )
    return pd.DataFrame(rows, columns=["claim", "statement", "verdict", "models", "counts", "as_judged"])


def labels(board: pd.DataFrame) -> list[str]:
    """What each row is of: its model, with the first words of what is measured where a claim has several rows
    of the model."""
    several = board.duplicated(["claim", "model"], keep=False)
    return [
        f"{row.model}, {row.measured.partition(':')[0]}" if more else row.model
        for row, more in zip(board.itertuples(), several, strict=True)
    ]


def digits(unit: str) -> int:
    """Digits behind the point with which estimates of this unit are shown."""
    return 1 if unit.startswith("points") else 2


def from_interval(
    estimate: float, low: float, high: float, n: int, clusters: int, confidence: float
) -> Estimate:
    """An estimate with a bootstrap interval: its error is half of that in quantiles of t, clusters − 1
    degrees of freedom."""
    freedom = clusters - 1
    if np.isnan(low) or freedom < 1:
        return Estimate(estimate, low, high, n, clusters, np.nan, np.nan, np.nan)
    error = (high - low) / 2 / stats.t.ppf((1 + confidence) / 2, freedom)
    p = 2 * stats.t.sf(abs(estimate) / error, freedom) if error > 0 else float(estimate == 0)
    return Estimate(estimate, low, high, n, clusters, error, np.nan, p, freedom, 0.0)
