"""The claims board as a forest plot: a picture for pages, characters for the terminal, words for who sees
neither.

Claims have different units, so every row is drawn in multiples of its own margin: what lies between −1 and 1
counts as nothing.
"""

import io

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

REACH = 4.0  # margins to each side; what lies further is cut and marked
VERDICT_STYLE = {  # colour, marker, filled: told apart in grey and by those who see few colours
    SUPPORTED: ("#0072b2", "o", True),
    CONTRADICTED: ("#d55e00", "D", True),
    INCONCLUSIVE: ("#595959", "o", False),
    INVALID: ("#000000", "X", True),
}
RULER = "−4     −1 0 1       4"  # over a strip
ROW, HEADER, FAULT = 0.44, 0.36, 0.2  # inches


def in_margins(board: pd.DataFrame) -> pd.DataFrame:
    """The board with estimate, low and high as multiples of each row's margin."""
    numbers = board[["estimate", "ci_low", "ci_high"]].div(board["margin"], axis=0)
    return board.assign(**numbers)


def strip(row) -> str:
    """An interval as characters from −REACH to REACH margins: `●` the estimate, `─` the interval, `│` or `┼`
    0, `┊` ±1.

    `row` has estimate, low and high in margins; where the interval goes on beyond the ends stands `◂` or `▸`.
    """
    if pd.isna(row.estimate):
        return ""
    low, high = (row.estimate if pd.isna(bound) else bound for bound in (row.ci_low, row.ci_high))
    low, estimate, high, left, right, nothing = map(_cell, (low, row.estimate, high, -1, 1, 0))
    cells, end = [" "] * len(RULER), len(RULER) - 1
    cells[left] = cells[right] = "┊"
    cells[max(low, 0) : high + 1] = "─" * (min(high, end) - max(low, 0) + 1)
    cells[nothing] = "┼" if low <= nothing <= high else "│"
    cells[min(max(estimate, 0), end)] = "●"
    if low < 0:
        cells[0] = "◂"
    if high > end:
        cells[end] = "▸"
    return "".join(cells)


def _cell(margins: float) -> int:
    """The place of so many margins in a strip; one beyond the ends for what lies further out."""
    middle = len(RULER) // 2
    return int(np.clip(middle + np.round(margins / REACH * middle), -1, len(RULER)))


def title_of(kind: str) -> str:
    """The title of a whole board, which says what kind of board it is (`rules.kind`)."""
    return f"What became of the claims ({kind.split(':')[0]})"


def board(table: pd.DataFrame, title: str = title_of(EXPLORATORY), stamp: str = "") -> plt.Axes:
    """A forest plot of a claims board (columns of `lib.claims.board`): a block for each claim, in it a line
    for each model."""
    blocks = list(in_margins(table).groupby(["claim", "statement", "unit"], sort=False))
    height = HEADER * len(blocks) + ROW * len(table) + FAULT * (table["fault"] != "").sum()
    figure, axes = plt.subplots(figsize=(figures.WIDTH, height + 1.3))
    axes.axvspan(-1, 1, color="#e3e3e3", linewidth=0)
    axes.axvline(0, color="black", linewidth=1, linestyle="--")
    place = 0.0  # inches from the top
    for (claim, statement, unit), part in blocks:
        place += HEADER
        margins = " and ".join(dict.fromkeys(f"{margin:.{digits(unit)}f}" for margin in part["margin"]))
        axes.text(-REACH, place, f"{claim} {statement}", fontsize=10.5, fontweight="bold")
        axes.text(REACH, place, f"margin {margins} {unit}", fontsize=9.5, ha="right")
        names = pd.Series(labels(table), table.index)[part.index]
        for (_, row), shown, name in zip(
            part.iterrows(), reports.estimates(table.loc[part.index]), names, strict=True
        ):
            place += ROW + FAULT * (row["fault"] != "")
            _draw(axes, row, name, shown, place)
    axes.set(xlim=(-REACH - 0.1, REACH + 0.1), ylim=(place + 0.2, 0), yticks=[])
    judged = f"; as judged, but for {ON_PEOPLE}" if table["as_judged"].any() else ""
    axes.set_xlabel(f"margins; what lies in the grey counts as nothing{judged}", fontsize=10.5)
    axes.grid(visible=False)
    for verdict in [verdict for verdict in VERDICT_STYLE if verdict in set(table["verdict"])]:
        axes.plot([], [], linestyle="", label=verdict, **_marker(verdict))
    figures.legend(figure, axes)
    return figures.finish(axes, title, stamp, alt(table))


def _marker(verdict: str) -> dict:
    colour, marker, filled = VERDICT_STYLE[verdict]
    return {
        "color": colour,
        "marker": marker,
        "markerfacecolor": colour if filled else "white",
        "markersize": 7,
    }


def _draw(axes: plt.Axes, row: pd.Series, name: str, shown: str, place: float) -> None:
    """A row: model, estimate and verdict in words, under them the interval, cut at the ends and marked where
    it goes on.

    Between them stands what is wrong, where the completions allow no verdict.
    """
    words = place - 0.13 - FAULT * (row["fault"] != "")
    axes.text(-REACH, words, name, fontsize=9.5)
    axes.text(REACH, words, f"{shown} · {row['verdict']}", fontsize=9.5, ha="right")
    axes.text(REACH, place - 0.13, row["fault"], fontsize=9.5, ha="right", color="firebrick")
    if pd.isna(row["estimate"]):
        return
    low, high = (np.clip(row[name], -REACH, REACH) for name in ("ci_low", "ci_high"))
    # beside the mark that it lies further out
    estimate = np.clip(row["estimate"], 0.25 - REACH, REACH - 0.25)
    look = _marker(row["verdict"])
    axes.plot([low, high], [place, place], color=look["color"], linewidth=1.8, solid_capstyle="butt")
    for end, bound in ((low, row["ci_low"]), (high, row["ci_high"])):
        arrow = "<" if bound < 0 else ">"
        axes.plot(end, place, color=look["color"], marker="|" if abs(bound) <= REACH else arrow, markersize=7)
    axes.plot(estimate, place, linestyle="", **look)


def _verdict(row: pd.Series) -> str:
    """The verdict, with what is wrong where the completions allow none."""
    return f"{in_words(row)}: {row['fault']}" if row["fault"] else in_words(row)


def alt(table: pd.DataFrame) -> str:
    """The board in words, for who cannot see it."""
    said = [
        f"{row['claim']} {row['statement']}, {name}: {shown}, {_verdict(row)}"
        for (_, row), shown, name in zip(
            table.iterrows(), reports.estimates(table), labels(table), strict=True
        )
    ]
    return (
        "Forest plot in units of each claim's margin. "
        + "; ".join(said).replace("[", "(").replace("]", ")")
        + "."
    )


def markdown(table: pd.DataFrame, picture: str, kind: str = EXPLORATORY) -> str:
    """What kind of board it is (`rules.kind`), the verdict on each claim as a Markdown table, then the rows
    of the board, what a second judge says, and the forest plot in the file `picture`, with the words as
    alternative text."""
    first, rows = (
        shown.to_markdown(index=False) for shown in (reports.claims_table(table), reports.headline(table))
    )
    title, second = f"The claims board ({kind}).", second_verdicts.summary(table)
    return f"{title}\n\n{first}\n\n{rows}\n\n{second}\n\n{picture_of(table, picture)}"


def picture_of(table: pd.DataFrame, picture: str) -> str:
    """The forest plot in the file `picture` as a Markdown image, with the board in words as alternative
    text."""
    return f"![{alt(table)}]({picture})"


def svg(table: pd.DataFrame, stamp: str = "", kind: str = EXPLORATORY) -> str:
    """`board` as the text of an SVG file, the same to the byte for the same table; letters are outlines, as
    fonts differ."""
    figures.style()
    file = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "expression-leakage", "svg.fonttype": "path"}):
        axes = board(table, title_of(kind), stamp)
        axes.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(axes.figure)
    return file.getvalue()
