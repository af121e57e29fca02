"""The claims board as a forest plot, as characters for the terminal and as alternative text.

Claims have different units, so every row is drawn in multiples of its own margin. What lies between −1 and 1
counts as no effect.
"""

import io
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib.claims import second_verdicts
from lib.claims.board import (
    CONTRADICTED,
    INCONCLUSIVE,
    INVALID,
    ON_PEOPLE,
    SUPPORTED,
    digits,
    in_words,
    labels,
)
from lib.claims.rules import EXPLORATORY
from lib.report import figures, reports

REACH = 4.0  # margins to each side; what lies further out is cut and marked
VERDICT_STYLE = {  # colour, marker, filled: distinct in grey and with limited colour vision
    SUPPORTED: ("#0072b2", "o", True),
    CONTRADICTED: ("#d55e00", "D", True),
    INCONCLUSIVE: ("#595959", "o", False),
    INVALID: ("#000000", "X", True),
}
RULER = "−4     −1 0 1       4"  # axis above a strip
ROW, HEADER, LINE = 0.44, 0.52, 0.2  # inches: of a row, of a claim's two lines, of each line of a fault
_LETTERS = 72  # that fit in a line of a fault


def in_margins(board: pd.DataFrame) -> pd.DataFrame:
    """Express estimate, ci_low and ci_high of a board in multiples of each row's margin."""
    numbers = board[["estimate", "ci_low", "ci_high"]].div(board["margin"], axis=0)
    return board.assign(**numbers)


def strip(row) -> str:
    """Draw an interval as characters from −REACH to REACH margins.

    `●` is the estimate, `─` the interval, `│` or `┼` 0 and `┊` ±1. `◂` or `▸` marks an interval that goes on
    beyond the ends.

    Args:
        row: Anything with estimate, ci_low and ci_high in margins.

    Returns:
        The characters; "" without an estimate.
    """
    if pd.isna(row.estimate):
        return ""
    ci_low, ci_high = (row.estimate if pd.isna(bound) else bound for bound in (row.ci_low, row.ci_high))
    ci_low, estimate, ci_high, left, right, zero = map(_cell, (ci_low, row.estimate, ci_high, -1, 1, 0))
    cells, end = [" "] * len(RULER), len(RULER) - 1
    cells[left] = cells[right] = "┊"
    cells[max(ci_low, 0) : ci_high + 1] = "─" * (min(ci_high, end) - max(ci_low, 0) + 1)
    cells[zero] = "┼" if ci_low <= zero <= ci_high else "│"
    cells[min(max(estimate, 0), end)] = "●"
    if ci_low < 0:
        cells[0] = "◂"
    if ci_high > end:
        cells[end] = "▸"
    return "".join(cells)


def _cell(margins: float) -> int:
    """The index in a strip of a value in margins; one beyond the ends for values further out."""
    middle = len(RULER) // 2
    return int(np.clip(middle + np.round(margins / REACH * middle), -1, len(RULER)))


def title_of(kind: str) -> str:
    """The title of a whole board, with the kind of board (`rules.kind`)."""
    return f"What became of the claims ({kind.split(':')[0]})"


def board(table: pd.DataFrame, title: str = title_of(EXPLORATORY), banner: str = "") -> plt.Axes:
    """Draw a forest plot of a claims board (columns of `lib.claims.board`).

    Each claim is a block, with a line for each model.
    """
    blocks = list(in_margins(table).groupby(["claim", "statement", "unit"], sort=False))
    height = HEADER * len(blocks) + ROW * len(table) + LINE * table["fault"].map(_lines).map(len).sum()
    figure, axes = figures.subplots(figsize=(figures.WIDTH, height + 1.3))
    axes.axvspan(-1, 1, color="#e3e3e3", linewidth=0)
    axes.axvline(0, color="black", linewidth=1, linestyle="--")
    y = 0.0  # inches from the top
    for (claim, statement, unit), block in blocks:
        y += HEADER
        margins = " and ".join(dict.fromkeys(f"{margin:.{digits(unit)}f}" for margin in block["margin"]))
        axes.text(-REACH, y - LINE, f"{claim} {statement}", fontsize=10.5, fontweight="bold")
        axes.text(-REACH, y, f"margin {margins} {unit}", fontsize=9.5)
        names = pd.Series(labels(table), table.index)[block.index]
        for (_, row), estimate, name in zip(
            block.iterrows(), reports.estimates(table.loc[block.index]), names, strict=True
        ):
            y += ROW + LINE * len(_lines(row["fault"]))
            _draw(axes, row, name, estimate, y)
    axes.set(xlim=(-REACH - 0.1, REACH + 0.1), ylim=(y + 0.2, 0), yticks=[])
    judged = f"; as judged, but for {ON_PEOPLE}" if table["as_judged"].any() else ""
    axes.set_xlabel(f"margins; what lies in the grey counts as nothing{judged}", fontsize=10.5)
    axes.grid(visible=False)
    for verdict in [verdict for verdict in VERDICT_STYLE if verdict in set(table["verdict"])]:
        axes.plot([], [], linestyle="", label=verdict, **_marker(verdict))
    figures.legend(figure, axes)
    return figures.finish(axes, title, banner, alt(table))


def _marker(verdict: str) -> dict:
    colour, marker, filled = VERDICT_STYLE[verdict]
    return {
        "color": colour,
        "marker": marker,
        "markerfacecolor": colour if filled else "white",
        "markersize": 7,
    }


def _draw(axes: plt.Axes, row: pd.Series, name: str, shown: str, place: float) -> None:
    """Draw a row: name, estimate and verdict, then the fault if any, then the interval cut at the ends."""
    lines = _lines(row["fault"])
    text_y = place - 0.13 - LINE * len(lines)
    axes.text(-REACH, text_y, name, fontsize=9.5)
    axes.text(REACH, text_y, f"{shown} · {row['verdict']}", fontsize=9.5, ha="right")
    for number, line in enumerate(reversed(lines)):
        axes.text(-REACH, place - 0.13 - LINE * number, line, fontsize=9.5, color="firebrick")
    if pd.isna(row["estimate"]):
        return
    ci_low, ci_high = (np.clip(row[name], -REACH, REACH) for name in ("ci_low", "ci_high"))
    # leaves room for the arrow of an interval that goes on beyond the end
    estimate = np.clip(row["estimate"], 0.25 - REACH, REACH - 0.25)
    style = _marker(row["verdict"])
    axes.plot([ci_low, ci_high], [place, place], color=style["color"], linewidth=1.8, solid_capstyle="butt")
    for end, bound in ((ci_low, row["ci_low"]), (ci_high, row["ci_high"])):
        arrow = "<" if bound < 0 else ">"
        axes.plot(
            end, place, color=style["color"], marker="|" if abs(bound) <= REACH else arrow, markersize=7
        )
    axes.plot(estimate, place, linestyle="", **style)


def _lines(fault: str) -> list[str]:
    """The lines of a fault; none where there is none."""
    return textwrap.wrap(fault, _LETTERS)


def _verdict(row: pd.Series) -> str:
    """The verdict, with the fault where the completions allow none."""
    return f"{in_words(row)}: {row['fault']}" if row["fault"] else in_words(row)


def alt(table: pd.DataFrame) -> str:
    """Describe the board in words, as alternative text."""
    described = [
        f"{row['claim']} {row['statement']}, {name}: {estimate}, {_verdict(row)}"
        for (_, row), estimate, name in zip(
            table.iterrows(), reports.estimates(table), labels(table), strict=True
        )
    ]
    return (
        "Forest plot in units of each claim's margin. "
        + "; ".join(described).replace("[", "(").replace("]", ")")
        + "."
    )


def markdown(table: pd.DataFrame, picture: str, kind: str = EXPLORATORY) -> str:
    """Format a board as Markdown.

    Args:
        table: A claims board (columns of `lib.claims.board`).
        picture: File name of the forest plot.
        kind: The kind of board (`rules.kind`).

    Returns:
        The kind of board, the verdict on each claim as a table, the rows of the board, the result of the
        second judge, and the forest plot with its alternative text.
    """
    first, rows = (
        formatted.to_markdown(index=False)
        for formatted in (reports.claims_table(table), reports.claims_board(table))
    )
    title, second = f"The claims board ({kind}).", second_verdicts.summary(table)
    return f"{title}\n\n{first}\n\n{rows}\n\n{second}\n\n{picture_of(table, picture)}"


def picture_of(table: pd.DataFrame, picture: str) -> str:
    """Format the forest plot in the file `picture` as a Markdown image with alternative text."""
    return f"![{alt(table)}]({picture})"


def svg(table: pd.DataFrame, banner: str = "", kind: str = EXPLORATORY) -> str:
    """Draw `board` as the text of an SVG file, byte-identical for the same table.

    Letters are drawn as outlines, because fonts differ between machines.
    """
    figures.style()
    file = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "expression-leakage", "svg.fonttype": "path"}):
        figure = board(table, title_of(kind), banner).figure.get_figure(root=True)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return file.getvalue()
