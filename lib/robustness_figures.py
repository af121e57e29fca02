"""Figures of how much hangs on a choice of analysis, in the look of `lib.figures`: curves by threshold, specification curves."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from lib import figures, multiverse, specificity

SIDES = {"above": ("^", "#0072b2"), "open": ("o", "#777777"), "below": ("v", "#d55e00")}
LABELS = {"above": "interval above 0", "open": "interval includes 0", "below": "interval below 0"}
UNITS = {"shift": "valence shift,\nscale points", "net": "net excess,\npoints", "leak": "leak rate,\npoints"}
SERIES = {"net": "both polarities", "difference": "negative − positive"}
CHANGE = "change,\n% of the leak"
_CURVE, _ROW = 2.0, 0.145  # inches of a curve, and of a row of dots below it
_NARROWEST = 7  # analyses, to which no panel is drawn narrower


def by_threshold(table: pd.DataFrame, title: str, stamp: str = "") -> plt.Axes:
    """Net excess, and D, of a table of `specificity.by_threshold` against the threshold; dashed are the run's own and the one
    of fixed specificity."""
    figure, axes = plt.subplots(figsize=(figures.WIDTH, 3.4))
    curve = table[table["rule"] == specificity.CURVE]
    for number, (quantity, label) in enumerate(SERIES.items()):
        estimates = curve[curve["quantity"] == quantity]
        look = {"marker": figures.marker(number), "capsize": 3, "label": label}
        axes.errorbar(estimates["positive"] + 0.02 * number, estimates["estimate"], yerr=figures.reach(estimates), **look)
    named = table[table["rule"].isin([specificity.OWN, specificity.FIXED])].drop_duplicates("rule")
    for number, row in enumerate(named.itertuples()):
        axes.axvline(row.positive, color="black", linewidth=1, linestyle=("--", ":")[number], label=row.rule)
    axes.axhline(0, color="black", linewidth=1)
    axes.set_xlabel("charged is a valence beyond, points of the human scale")
    axes.set_ylabel("net excess, points")
    figures.legend(figure, axes)
    words = [figures.told(curve[curve["quantity"] == name], ["positive"], f"net excess by threshold, {label}")
             for name, label in SERIES.items()]  # fmt: skip
    lines = ", ".join(f"{row.rule} {row.positive:.2f}" for row in named.itertuples())
    return figures.finish(axes, title, stamp, f"{' '.join(words)} Vertical lines: {lines}.")


def specification_curve(table: pd.DataFrame, title: str, stamp: str = "") -> np.ndarray:
    """Every analysis of a table of `lib.multiverse`, sorted by its estimate, above the choices that make it; the main one shaded.

    Two rows of panels for each claim; a panel for each quantity, unless all are changes in % of the leak (C3).
    """
    if table.empty:
        return np.array([figures.blank(f"{title}: no analyses", stamp)])
    blocks = [(claim, rows, _choices(rows)) for claim, rows in table.groupby("claim", sort=False)]
    heights = [_CURVE + _ROW * len(choices) for *_, choices in blocks]
    figure = plt.figure(figsize=(figures.WIDTH, sum(heights) + 0.8))
    grid = figure.add_gridspec(len(blocks), 1, height_ratios=heights)
    panels = [_block(figure, place, *block) for place, block in zip(grid, blocks, strict=True)]
    figures.legend(figure, panels[0])
    figures.finish(panels[0], title, stamp, " ".join(_words(*block[:2]) for block in blocks))
    return np.array(figure.axes)


def _choices(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Rows of dots: each dimension with several levels, and its level, in the order in which they are first met."""
    dimensions = ["model", "mitigation", "judge", "threshold", "reference", "temperature"]
    if not _in_panels(table):
        dimensions.append("quantity")
    levels = {name: [level for level in dict.fromkeys(table[name]) if level != multiverse.ANY] for name in dimensions}
    return [(name, level) for name, known in levels.items() if len(known) > 1 for level in known]


def _in_panels(table: pd.DataFrame) -> bool:
    """Whether each quantity, being in a unit of its own, has its own panel."""
    return table["claim"].iloc[0] != "C3"


def _block(figure: plt.Figure, place, claim: str, table: pd.DataFrame, choices: list[tuple[str, str]]) -> plt.Axes:
    by_quantity = [(UNITS[name], rows) for name, rows in table.groupby("quantity", sort=False)]
    quantities = by_quantity if _in_panels(table) else [(CHANGE, table)]
    widths = [max(_NARROWEST, len(rows)) for _, rows in quantities]
    grid = place.subgridspec(2, len(quantities), width_ratios=widths, height_ratios=[_CURVE, _ROW * len(choices) + 0.2])
    first = None
    for column, (unit, rows) in enumerate(quantities):
        ranked = rows.sort_values("estimate", kind="stable", ignore_index=True)
        estimates = figure.add_subplot(grid[0, column])
        dots = figure.add_subplot(grid[1, column], sharex=estimates)
        _estimates(estimates, ranked, f"{claim}: {unit}" if not column else unit)
        _dots(dots, ranked, choices, labelled=not column)
        first = first or estimates
    return first


def _estimates(axes: plt.Axes, table: pd.DataFrame, label: str) -> None:
    for side, (shape, colour) in SIDES.items():
        rows = table[table["side"] == side]
        look = {"fmt": shape, "color": colour, "markersize": 3.5, "linewidth": 0.8, "label": LABELS[side]}
        axes.errorbar(rows.index, rows["estimate"], yerr=figures.reach(rows), **look)
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
    for place in table.index[table["main"]]:
        axes.axvspan(place - 0.5, place + 0.5, color="gold", alpha=0.4)


def _words(claim: str, table: pd.DataFrame) -> str:
    sides = {"above": "above 0", "open": "including 0", "below": "below 0"}
    counts = ", ".join(f"{(table['side'] == side).sum()} {words}" for side, words in sides.items())
    ends = table["estimate"].min(), table["estimate"].max()
    missing = table["estimate"].isna().sum()
    span = f"estimates from {ends[0]:.2f} to {ends[1]:.2f}".replace("-", "−")
    return f"{claim}: {len(table)} analyses, intervals {counts}, {missing} without an estimate; {span} in the quantities' units."
