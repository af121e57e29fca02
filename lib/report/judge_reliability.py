"""The reliability of a judge that is a language model (`lib.judging.llm_reliability`), for notebook 03."""

from pathlib import Path

import pandas as pd

from lib.config.specs import Judge, LLMJudge
from lib.judging import llm_judge, llm_reliability
from lib.judging.llm_reliability import POSITION
from lib.report import reports


def summary(
    judge: Judge, completions: pd.DataFrame, replies: Path, confidence: float, draws: int, rng
) -> str:
    """Summarise the replies of a judge as Markdown; a judge that is no language model gives a sentence.

    Raises:
        ValueError: If too many replies hold no verdict.
    """
    if judge.kind != "llm":
        return (
            f"Does not apply: {judge.name} is no language model that is asked; it gives a text the same "
            "verdict in any place."
        )
    return _of_asked(judge, completions, replies, confidence, draws, rng)


def _of_asked(
    judge: LLMJudge, completions: pd.DataFrame, replies: Path, confidence: float, draws: int, rng
) -> str:
    """`llm_reliability.reliability` as Markdown; ValueError if too many replies hold no verdict."""
    requests = llm_judge.asked_of(judge, completions, replies)
    llm_reliability.demand_scored(requests, judge.name, replies)
    estimates = llm_reliability.reliability(requests, confidence, draws, rng)
    lines = [
        f"- **{row.quantity}**: {reports.interval(row, 2, sign=row.quantity == POSITION)}, n {row.n} in "
        f"{row.n_stems} stems"
        for row in estimates.itertuples()
    ]
    unscored = int(requests["unscored"].notna().sum())
    summary = (
        f"{len(requests):,} replies of {judge.name}, {unscored} unscored "
        f"({unscored / max(len(requests), 1):.1%})"
    )
    return "\n".join([f"{summary}{f': {llm_reliability.reasons(requests)}' if unscored else ''}.\n", *lines])
