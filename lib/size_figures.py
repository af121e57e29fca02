"""Figures of leakage against model size, in the look of `lib.figures`: size on a log scale, intervals wherever there are any."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib import figures


def by_model(table: pd.DataFrame, title: str, stamp: str = "") -> np.ndarray:
    """Estimates with intervals against the number of parameters, a panel for each family, tuning and mode; negative and positive.

    Models of unknown size cannot be placed and are left out.
    """
    table = _with_lines(table)
    return _panels(table.assign(panel=table["line"], series=table["arm"]), figures.POLARITY_COLOURS, title, stamp)


def panels(table: pd.DataFrame, title: str, stamp: str = "") -> np.ndarray:
    """Small multiples of a table of `scaling.by_size`: a panel for each arm and slot, a line for each family, tuning and mode."""
    table = _with_lines(table)
    lines = list(dict.fromkeys(table["line"]))
    colours = dict(zip(lines, sns.color_palette("colorblind", len(lines)), strict=True))
    panel = table["arm"] + ", " + table["slot"] + " slots"
    return _panels(table.assign(panel=panel, series=table["line"]), colours, title, stamp)


def _with_lines(table: pd.DataFrame) -> pd.DataFrame:
    known = table.dropna(subset="parameters").astype({"parameters": float}).sort_values("parameters", kind="stable")
    return known.assign(line=known["family"] + " (" + known["tuning"] + ", " + known["mode"] + ")")


def _panels(table: pd.DataFrame, colours: dict, title: str, stamp: str) -> np.ndarray:
    """Net excess against size: a panel for each level of `panel`, two beside each other; a marked line for each of `series`."""
    if table.empty:
        return np.array([figures.blank(f"{title}: no model whose size is known", stamp)])
    names = sorted(set(table["panel"]))
    rows, columns = -(-len(names) // 2), min(2, len(names))
    figure, grid = plt.subplots(rows, columns, figsize=(figures.WIDTH, 1.1 + 2.2 * rows), sharex=True, sharey=True, squeeze=False)
    series = [name for name in colours if name in set(table["series"])]
    for axes, name in zip(grid.flat, names, strict=False):
        for place, one in enumerate(series):
            part = table[(table["panel"] == name) & (table["series"] == one)]
            beside = 1 + 0.06 * (place - (len(series) - 1) / 2)  # intervals at one size must not hide each other
            look = {"marker": figures.marker(place), "color": colours[one], "linestyle": ":", "label": one, "capsize": 3}
            axes.errorbar(part["parameters"] * beside, part["estimate"], yerr=figures.reach(part), **look)
        axes.axhline(0, color="black", linewidth=1, linestyle="--")
        axes.set_title(name, loc="left", fontsize=10)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    _size_axis(grid[0, 0], table["parameters"].unique())
    for axes in grid[:, 0]:
        axes.set_ylabel("net excess, points", fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("parameters outside embeddings", fontsize=10)
    figures.legend(figure, grid[0, 0])
    figures.finish(grid[0, 0], title, stamp, figures.told(table, ["series", "panel", "model"], "net excess, points"))
    if len(names) == 1:
        grid[0, 0].set_title(f"{title}: {names[0]}", loc="left", fontsize=11)
    return grid


def _size_axis(axes: plt.Axes, sizes: np.ndarray) -> None:
    """A log scale with a tick at each size, as 135M, but for those too near the one before."""
    marked: list[float] = []
    for size in sorted(sizes):
        if not marked or size > 1.5 * marked[-1]:
            marked.append(size)
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.6, max(sizes) * 1.6)
    axes.set_xticks(marked, [_short(size) for size in marked])
    axes.xaxis.set_minor_locator(plt.NullLocator())


def _short(size: float) -> str:
    """1.3B, 135M, 0.4M, 1K."""
    unit, name = (1e9, "B") if size >= 1e9 else (1e6, "M") if size >= 1e5 else (1e3, "K")
    return f"{size / unit:.3g}{name}"


def published(table: pd.DataFrame, title: str) -> np.ndarray:
    """Published leak rates of semantic leakage (`scaling.published`) against size, a panel for each measure; no intervals."""
    table = table.assign(series=table["family"] + " " + table["tuning"] + ", " + table["prompts"])
    measures, series = (list(dict.fromkeys(table[name])) for name in ("measure", "series"))
    colours = dict(zip(series, sns.color_palette("colorblind", len(series)), strict=True))
    figure, grid = plt.subplots(1, len(measures), figsize=(figures.WIDTH, 4), sharex=True, sharey=True, squeeze=False)
    for axes, measure in zip(grid.flat, measures, strict=True):
        for place, one in enumerate(series):
            part = table[(table["measure"] == measure) & (table["series"] == one)].sort_values("billions")
            look = {"marker": figures.marker(place), "color": colours[one], "linestyle": ":", "label": one}
            axes.plot(part["billions"], part["leak_rate"], **look)
        axes.axhline(50, color="black", linewidth=1, linestyle="--")
        axes.set_title(measure, loc="left", fontsize=10)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 3, 10, 70], ["0.5", "3", "10", "70"])
    axes.xaxis.set_minor_locator(plt.NullLocator())
    grid[0, len(measures) // 2].set_xlabel("nominal parameters, billions", fontsize=10.5)
    grid[0, 0].set_ylabel("semantic leak rate, %\n(50 = none)", fontsize=10.5)
    figures.legend(figure, grid[0, 0])
    span = f"from {table['leak_rate'].min():.1f} to {table['leak_rate'].max():.1f} %"
    said = f"{len(table)} published rates, {span}, in {len(series)} series by size, without intervals. Dashed: 50 %, no leakage."
    figures.finish(grid[0, 0], title, "", said)
    return grid
