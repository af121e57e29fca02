"""One row of the claims board: the prespecified test, the result and the verdict of `lib.claims.rules`.

A verdict is overruled where the completions do not allow one. It becomes *invalid* where the placebo rule is
broken, and *inconclusive* where too many completions are unusable (`lib.analysis.usability`). Where it is not
certain whether the placebo rule is kept or broken, the reason says so. Each row shows the minimum detectable
effect (MDE, at 80 % power and the run's own level), which decides nothing.
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
ON_PEOPLE = "C1"  # the claim about the judge: its verdict does not rest on the judge


@dataclass(frozen=True)
class Claim:
    """A claim as it is fixed before a run."""

    name: str  # C0 … C5
    statement: str
    test: str  # what must hold for the estimate
    margin: str  # the parameter that holds the margin
    unit: str  # of the estimate, the margin and the minimum detectable effect


def row(
    claim: Claim,
    model: str,
    measured: str,
    estimate: Estimate | None,
    verdict: Verdict,
    margin: float,
    confidence: float,
    fault: str = "",
    net: Estimate | None = None,
    **other,
) -> dict:
    """Return one row of the board, with the COLUMNS, before `table` overrules verdicts.

    Args:
        claim: The claim.
        model: Name of the model, or of what stands in its place.
        measured: What is measured, in words.
        estimate: The estimate, or None where nothing is estimated.
        verdict: The verdict before it is overruled.
        margin: The margin of the claim, in the unit of the estimate.
        confidence: Level of the interval, between 0 and 1.
        fault: What is wrong with the completions (`usability.faults`), or "" if nothing is.
        net: The same estimate for the net excess, in points; it decides nothing.
        **other: Values that replace those derived from `claim` and `estimate`: detectable, p, p_holm,
            p_equivalence, unit, cluster_unit, test.
    """
    numbers: dict[str, float | str] = dict.fromkeys(
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
    if estimate is not None:
        numbers |= {
            "estimate": estimate.estimate,
            "ci_low": estimate.ci_low,
            "ci_high": estimate.ci_high,
            "n": estimate.n,
            **clusters_of(estimate),
            "p": estimate.p,
            "p_holm": estimate.p,
            "detectable": power.detectable_effect(estimate, confidence),
        }
    if net is not None:
        numbers |= {"net": net.estimate, "net_low": net.ci_low, "net_high": net.ci_high}
    identity = {
        "claim": claim.name,
        "statement": claim.statement,
        "model": model,
        "measured": measured,
        "test": claim.test,
    }
    decision = {"unit": claim.unit, "margin": margin, "verdict": verdict.verdict, "reason": verdict.reason}
    return {**identity, **decision, **numbers, "fault": fault, "as_judged": False, **other}


def clusters_of(estimate: Estimate) -> dict:
    """Return `clusters` and `cluster_unit` of an estimate.

    Clusters are matches or stems. Where they are both, the smaller of the two numbers is returned.
    """
    counts = {clustered.BY_STEM: estimate.n_stems, clustered.BY_MATCH: getattr(estimate, "n_matches", 0)}
    unit = getattr(estimate, "cluster_unit", clustered.BY_STEM)
    return {"clusters": counts.get(unit, min(counts.values())), "cluster_unit": unit}


def table(rows: list[dict]) -> pd.DataFrame:
    """Return the rows of a claim with COLUMNS, verdicts overruled where the completions are faulty."""
    board = pd.DataFrame(rows)
    decisions = [_overruled(row) for row in board.itertuples()]
    return board.assign(
        verdict=[decision.verdict for decision in decisions],
        reason=[decision.reason for decision in decisions],
    )[COLUMNS]


def _overruled(row) -> Verdict:
    if usability.allows_none(row.fault) and usability.PLACEBO_BROKEN not in row.fault:
        return Verdict(INCONCLUSIVE, row.fault)
    if np.isnan(row.estimate):
        return Verdict(row.verdict, row.reason)
    if usability.PLACEBO_BROKEN in row.fault:
        return Verdict(INVALID, usability.PLACEBO_BROKEN)
    return Verdict(row.verdict, f"{row.reason}; {row.fault}" if row.fault else row.reason)


def as_judged(board: pd.DataFrame, labelled: bool) -> pd.DataFrame:
    """Return the board with its verdicts marked as resting on the judge alone.

    They rest on the judge alone as long as people have labelled no completions (`labelled`). C1, the claim
    about the judge, is never marked.
    """
    return board.assign(as_judged=not labelled and board["claim"] != ON_PEOPLE)


def in_words(row) -> str:
    """Return the verdict of a row, or of a row of `by_claim`, in words.

    A claim reads 'supported, as judged' or 'contradicted, as judged' until people have labelled completions.
    """
    return (
        f"{row.verdict}, as judged"
        if row.as_judged and row.verdict in (SUPPORTED, CONTRADICTED)
        else row.verdict
    )


def by_claim(board: pd.DataFrame) -> pd.DataFrame:
    """Return the verdict on each claim over its models.

    The verdict of one model is that of `rules.of_parts`, the verdict over models that of `rules.over_models`.
    C1 has judges in the place of models.

    Returns:
        One row per claim: claim, statement, verdict, models (how many), counts (of each verdict, in words),
        as_judged.
    """
    rows = []
    for (claim, statement), subset in board.groupby(["claim", "statement"], sort=True):
        model_verdicts = subset.groupby("model", sort=False)["verdict"].agg(
            lambda verdicts: rules.of_parts(list(verdicts))
        )
        counts = model_verdicts.value_counts().reindex(VERDICTS).dropna().astype(int)
        rows.append(
            {
                "claim": claim,
                "statement": statement,
                "verdict": rules.over_models(model_verdicts.tolist()),
                "models": len(model_verdicts),
                "counts": ", ".join(f"{count} {verdict}" for verdict, count in counts.items()),
                "as_judged": bool(subset["as_judged"].any()),
            }
        )
    return pd.DataFrame(rows, columns=["claim", "statement", "verdict", "models", "counts", "as_judged"])


def labels(board: pd.DataFrame) -> list[str]:
    """Return a label for each row: its model.

    Where a claim has several rows of a model, the first words of what is measured (up to the colon) follow.
    """
    several = board.duplicated(["claim", "model"], keep=False)
    return [
        f"{row.model}, {row.measured.partition(':')[0]}" if more else row.model
        for row, more in zip(board.itertuples(), several, strict=True)
    ]


def digits(unit: str) -> int:
    """Return the number of decimals with which estimates of this unit are shown."""
    return 1 if unit.startswith("points") else 2


def from_interval(
    estimate: float, low: float, high: float, n: int, clusters: int, confidence: float
) -> Estimate:
    """Return an `Estimate` from a bootstrap interval.

    The standard error is half the width of the interval, divided by the quantile of Student's t with
    `clusters` − 1 degrees of freedom. Without an interval, or with fewer than 2 clusters, error and p are
    NaN.
    """
    df = clusters - 1
    if np.isnan(low) or df < 1:
        return Estimate(estimate, low, high, n, clusters, np.nan, np.nan, np.nan)
    se = (high - low) / 2 / stats.t.ppf((1 + confidence) / 2, df)
    p = 2 * stats.t.sf(abs(estimate) / se, df) if se > 0 else float(estimate == 0)
    return Estimate(estimate, low, high, n, clusters, se, np.nan, p, df, 0.0)
