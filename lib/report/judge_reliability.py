"""What notebook 03 says of a judge's own steadiness (`lib.judging.llm_reliability`)."""

from pathlib import Path

import pandas as pd

from lib.config.specs import Judge
from lib.judging import llm_judge, llm_reliability
from lib.judging.llm_reliability import POSITION
from lib.report import reports


def reading(
    judge: Judge, completions: pd.DataFrame, replies: Path, confidence: float, draws: int, rng
) -> str:
    """What the replies of a judge that was asked tell of it, as Markdown; ValueError if too many of them hold
    no verdict."""
    if judge.kind != "llm":
        return (
            f"Does not apply: {judge.name} is no language model that is asked; it gives a text the same "
            "verdict in any place."
        )
    return _of_asked(judge, completions, replies, confidence, draws, rng)


def _of_asked(
    judge: Judge, completions: pd.DataFrame, replies: Path, confidence: float, draws: int, rng
) -> str:
    """`reliability` as Markdown; ValueError of `demand_scored` where too many replies hold no verdict."""
    asked = llm_judge.asked_of(judge, completions, replies)
    llm_reliability.demand_scored(asked, judge.name, replies)
    found = llm_reliability.reliability(asked, confidence, draws, rng)
    shown = [
        f"- **{row.quantity}**: {reports.interval(row, 2, sign=row.quantity == POSITION)}, n {row.n} in "
        f"{row.n_stems} stems"
        for row in found.itertuples()
    ]
    unscored = int(asked["unscored"].notna().sum())
    told = (
        f"{len(asked):,} replies of {judge.name}, {unscored} unscored ({unscored / max(len(asked), 1):.1%})"
    )
    return "\n".join([f"{told}{f': {llm_reliability.reasons(asked)}' if unscored else ''}.\n", *shown])
