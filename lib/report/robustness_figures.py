"""Figures of how results depend on choices of analysis: curves by threshold and specification curves.

They have the look of `lib.report.figures`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib.analysis import specificity
from lib.claims import multiverse
from lib.report import figures

SIDES = {"above": ("^", "#0072b2"), "open": ("o", "#777777"), "below": ("v", "#d55e00")}
LABELS = {"above": "interval above 0", "open": "interval includes 0", "below": "interval below 0"}
MAIN = "main analysis"
UNITS = {"shift": "valence shift,\nscale points", "net": "net excess,\npoints", "leak": "leak rate,\npoints"}
SERIES = {"net": "both polarities", "difference": "negative − positive"}
CHANGE = "change,\n% of the leak"
_CURVE, _ROW, _HEADING = (
    2.0,
    0.145,
    0.6,
)  # inches of a curve, of a row of dots below it, and of a heading above it
_ABREAST = 3  # panels of prompts side by side
_DIMENSIONS = ["judge", "threshold", "reference", "temperature"]
_NARROWEST = 7  # analyses; no panel is drawn narrower than for this many


def by_threshold(table: pd.DataFrame, title: str, banner: str = "") -> plt.Axes:
    """Draw net excess, and D, of a table of `specificity.by_threshold` against the threshold.

    Vertical lines mark the threshold of the run and the one of fixed specificity.
    """
    figure, axes = figures.subplots(figsize=(figures.WIDTH, 3.4))
    curve = table[table["rule"] == specificity.CURVE]
    for number, (quantity, label) in enumerate(SERIES.items()):
        estimates = curve[curve["quantity"] == quantity]
        axes.errorbar(
            estimates["positive"] + 0.02 * number,
            estimates["estimate"],
            yerr=figures.reach(estimates),
            marker=figures.marker(number),
            capsize=3,
            label=label,
        )
    named = table[table["rule"].isin([specificity.OWN, specificity.FIXED])].drop_duplicates("rule")
    for number, row in enumerate(named.itertuples()):
        axes.axvline(row.positive, color="black", linewidth=1, linestyle=("--", ":")[number], label=row.rule)
    axes.axhline(0, color="black", linewidth=1)
    axes.set_xlabel("charged is a valence beyond, points of the human scale")
    axes.set_ylabel("net excess, points")
    figures.legend(figure, axes)
    words = [
        figures.alt_text(curve[curve["quantity"] == name], ["positive"], f"net excess by threshold, {label}")
        for name, label in SERIES.items()
    ]
    lines = ", ".join(f"{row.rule} {row.positive:.2f}" for row in named.itertuples())
    return figures.finish(axes, title, banner, f"{' '.join(words)} Vertical lines: {lines}.")


def specification_curve(table: pd.DataFrame, title: str, banner: str = "") -> np.ndarray:
    """Draw every analysis of a table of `lib.claims.multiverse`, sorted by its estimate, above its choices.

    The main analysis is marked. Each claim has two rows of panels, with a panel for each quantity. C3, whose
    analyses are all changes in % of the leak, has two rows for each model, with a panel for each prompt. The
    heading of such a panel says how many analyses there are and where their intervals lie.
    """
    if table.empty:
        return np.array([figures.blank(f"{title}: no analyses", banner)])
    blocks = [block for claim, rows in table.groupby("claim", sort=False) for block in _blocks(claim, rows)]
    heights = [block.height for block in blocks]
    figure = plt.figure(FigureClass=figures.DescribedFigure, figsize=(figures.WIDTH, sum(heights) + 0.8))
    grid = figure.add_gridspec(len(blocks), 1, height_ratios=heights)
    panels = [_draw(figure, grid[number], block) for number, block in enumerate(blocks)]
    figures.legend(figure, panels[0])
    words = [_words(panel.name, panel.table) for block in blocks for panel in block.told]
    figures.finish(panels[0], title, banner, " ".join(words))
    return np.array(figure.axes)


@dataclass(frozen=True)
class _Panel:
    name: str  # what it shows
    heading: str
    table: pd.DataFrame


@dataclass(frozen=True)
class _Block:
    """Panels side by side that share their rows of dots."""

    panels: list[_Panel]
    labels: list[str]  # of the vertical axis of each panel; "" where it shares that of the first
    choices: list[tuple[str, str]]  # rows of dots: a dimension with several levels, and its level
    told: list[_Panel]  # panels that the alternative text describes

    @property
    def height(self) -> float:
        """Height in inches."""
        return _CURVE + _ROW * len(self.choices) + _HEADING * bool(self.panels[0].heading)


def _blocks(claim: str, table: pd.DataFrame) -> Iterator[_Block]:
    if claim != "C3":
        panels = [_Panel(name, "", rows) for name, rows in table.groupby("quantity", sort=False)]
        labels = [f"{claim}: {UNITS[panels[0].name]}", *(UNITS[panel.name] for panel in panels[1:])]
        yield _Block(
            panels, labels, _choices(table, ["model", "mitigation", *_DIMENSIONS]), [_Panel(claim, "", table)]
        )
        return
    for model, rows in table.groupby("model", sort=False):
        panels = [
            _Panel(f"{claim}, {model}, {name}", _heading(name, subset), subset)
            for name, subset in rows.groupby("mitigation", sort=False)
        ]
        for start in range(0, len(panels), _ABREAST):
            row = panels[start : start + _ABREAST]
            labels = [f"{model}:\n{CHANGE}", *[""] * (len(row) - 1)]
            yield _Block(row, labels, _choices(rows, ["quantity", *_DIMENSIONS]), row)


def _choices(table: pd.DataFrame, dimensions: list[str]) -> list[tuple[str, str]]:
    """Dimensions with several levels, and each level, in order of first appearance."""
    levels = {
        name: [level for level in dict.fromkeys(table[name]) if level != multiverse.ANY]
        for name in dimensions
    }
    return [(name, level) for name, known in levels.items() if len(known) > 1 for level in known]


def _heading(name: str, table: pd.DataFrame) -> str:
    below, includes, above, missing = (
        (table["side"] == side).sum() for side in ("below", "open", "above", multiverse.NO_INTERVAL)
    )
    without = f" ({missing} {multiverse.NO_INTERVAL})" if missing else ""
    return f"{name}\n{len(table)} analyses{without}:\n{below} below, {includes} open, {above} above 0"


def _draw(figure: plt.Figure, place, block: _Block) -> plt.Axes:
    shared = bool(block.panels[0].heading)  # same unit and width
    widths = [1 if shared else max(_NARROWEST, len(panel.table)) for panel in block.panels]
    heights = [_CURVE, _ROW * len(block.choices) + 0.2]
    grid = place.subgridspec(2, len(block.panels), width_ratios=widths, height_ratios=heights)
    first = None
    for column, (panel, label) in enumerate(zip(block.panels, block.labels, strict=True)):
        ranked = panel.table.sort_values("estimate", kind="stable", ignore_index=True)
        estimates = figure.add_subplot(grid[0, column], sharey=first if shared else None)
        dots = figure.add_subplot(grid[1, column], sharex=estimates)
        _estimates(estimates, ranked, label)
        estimates.set_title(panel.heading, fontsize=7.5, loc="left")
        estimates.tick_params(labelleft=not shared or not column)
        _dots(dots, ranked, block.choices, labelled=not column)
        first = first or estimates
    assert first is not None
    return first


def _estimates(axes: plt.Axes, table: pd.DataFrame, label: str) -> None:
    for side, (shape, colour) in SIDES.items():
        rows = table[table["side"] == side]
        axes.errorbar(
            rows.index,
            rows["estimate"],
            yerr=figures.reach(rows),
            fmt=shape,
            color=colour,
            markersize=3.5,
            linewidth=0.8,
            label=LABELS[side],
        )
    axes.axhline(0, color="black", linewidth=1, linestyle="--")
    _shade(axes, table)
    axes.set_ylabel(label, fontsize=8)
    axes.tick_params(labelsize=8, labelbottom=False)
    axes.grid(axis="x", visible=False)


def _dots(axes: plt.Axes, table: pd.DataFrame, choices: list[tuple[str, str]], labelled: bool) -> None:
    for row, (name, level) in enumerate(choices):
        chosen = table.index[table[name] == level]
        axes.plot(chosen, np.full(len(chosen), row), "s", color="black", markersize=2)
    _shade(axes, table)
    labels = [f"{name}: {level}" for name, level in choices] if labelled else [""] * len(choices)
    axes.set_yticks(range(len(choices)), labels, fontsize=6.5)
    axes.set_ylim(len(choices) - 0.5, -0.5)
    axes.set_xticks([])


def _shade(axes: plt.Axes, table: pd.DataFrame) -> None:
    for number, position in enumerate(table.index[table["main"]]):
        axes.axvspan(position - 0.5, position + 0.5, color="gold", alpha=0.4, label="_" * bool(number) + MAIN)


def _words(name: str, table: pd.DataFrame) -> str:
    sides = {"above": "above 0", "open": "including 0", "below": "below 0"}
    counts = ", ".join(f"{(table['side'] == side).sum()} {words}" for side, words in sides.items())
    ends = table["estimate"].min(), table["estimate"].max()
    missing = table["estimate"].isna().sum()
    span = f"estimates from {ends[0]:.2f} to {ends[1]:.2f}".replace("-", "−")
    return (
        f"{name}: {len(table)} analyses, intervals {counts}, {missing} without an estimate; {span} in "
        "the quantities' units."
    )
