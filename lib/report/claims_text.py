"""The claims board for a terminal: each verdict in words with its numbers below it.

Lines have at most WIDTH columns.
"""

import textwrap

import pandas as pd

from lib.analysis import leakage, usability
from lib.claims import claims, rules, second_verdicts
from lib.claims.board import by_claim, digits, in_words, labels
from lib.config import params
from lib.report import forest, reports
from lib.runtime.command_line import WIDTH
from lib.storage import records

CAPTION = (
    "This board is {kind}. "
    "Under each verdict: estimate [interval]; n; the minimum detectable effect (MDE, at 80 % power; it "
    "decides nothing) beside "
    "the margin δ. "
    "Strips show the interval from −4 to 4 margins: │ is 0, and what lies between the two ┊ counts as "
    "nothing."
)
_STRIP = 4 + len(forest.RULER) + 2  # columns before the numbers


def board(set_name: str) -> str:
    """Format the claims of a finished run, claim by claim, headed by the banner of its set."""
    banner, table = reports.banner(params.load(set_name)), reports.board(set_name)
    lines = [*textwrap.wrap(banner, WIDTH), ""] if banner else []
    for claim in by_claim(table).itertuples():
        lines += textwrap.wrap(f"{claim.claim} {claim.statement}: {in_words(claim)} ({claim.counts})", WIDTH)
        lines += rows_of(table[table["claim"] == claim.claim])
    second = textwrap.wrap(second_verdicts.summary(table), WIDTH)
    return "\n".join(
        [*lines, "", *second, "", *textwrap.wrap(CAPTION.format(kind=rules.board_kind(set_name)), WIDTH)]
    )


def rows_of(table: pd.DataFrame) -> list[str]:
    """Format the rows of a board (columns of `lib.claims.board`).

    Each row starts a new line with its verdict and reason. The numbers follow on a line of their own if the
    row has an estimate.
    """
    lines = []
    for (_, row), scaled, estimate, name in zip(
        table.iterrows(),
        forest.in_margins(table).itertuples(),
        reports.estimates(table),
        labels(table),
        strict=True,
    ):
        mark = second_verdicts.mark(row)
        words = f"{name}: {in_words(row)}: {row['reason']}" + (f" ({mark})" if mark else "")
        lines += textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent="    ")
        if pd.notna(row["estimate"]):
            strip = f"    {forest.strip(scaled):{len(forest.RULER)}}  "
            lines += textwrap.wrap(
                _numbers(row, estimate), WIDTH, initial_indent=strip, subsequent_indent=" " * _STRIP
            )
    return lines


def _numbers(row: pd.Series, result: str) -> str:
    form = f".{digits(row['unit'])}f"
    mde = "–" if pd.isna(row["detectable"]) else f"{row['detectable']:{form}}"
    return (
        f"{result} {row['unit']}; n {row['n']:,} in {row['clusters']:,} {row['cluster_unit']}; "
        f"MDE {mde}, δ {row['margin']:{form}}"
    )


def of_model(set_name: str, model: str) -> str:
    """Format C0 of one model as soon as it is judged, with the stamps that each of its results must carry."""
    parameters = params.load(set_name)
    scaling = params.cell_values(parameters, set_name, "05_scaling_analysis")
    used = (*leakage.USED, "outcome")
    judgements = leakage.unmitigated(records.read_table(set_name, f"judgements/{model}", columns=used))
    pairs = leakage.pairs(judgements)
    faults = usability.faults(judgements, pairs, scaling["confidence"], scaling["margin"])
    table = claims.existence(pairs, scaling["margin"], scaling["confidence"], faults)
    table = reports.as_judged(table, set_name)
    claim, banner = table.iloc[0], reports.banner(parameters, faults)
    uncorrected = " (before correction for several models)" if len(parameters.models) > 1 else ""
    return "\n".join(
        [
            f"{claim['claim']} {claim['statement']}{uncorrected}",
            *rows_of(table),
            *textwrap.wrap(
                f"⚠ {banner}" if banner else "", WIDTH, initial_indent="  ", subsequent_indent="    "
            ),
        ]
    )
