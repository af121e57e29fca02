"""Figures of leakage against model size, on a log scale, with intervals wherever there are any.

They have the look of `lib.report.figures`.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib.analysis import leakage
from lib.report import figures


def regression(
    points: pd.DataFrame, line: pd.DataFrame, quantity: str, title: str, banner: str = ""
) -> np.ndarray:
    """Draw each model's estimate, and the meta-regression with its band.

    Each family, tuning and mode has a panel. Models of unknown size are left out. A panel without a line has
    too few sizes. The vertical range is that of the models' intervals, which a band from few models exceeds.

    Args:
        points: A table of `scaling.by_size` with an empty `by`.
        line: A table of `scaling.fitted`.
        quantity: One of `leakage.QUANTITIES`.
        title: Title of the figure.
        banner: Text of `reports.banner`; "" for none.

    Returns:
        The axes, as an array.
    """
    points, line = _with_lines(points), _with_lines(line)
    if points.empty:
        return np.array([figures.blank(f"{title}: no model whose size is known", banner)])
    grid, names = _grid(points["line"], quantity)
    colour = sns.color_palette("colorblind")[0]
    for axes, name in zip(grid.flat, names, strict=False):
        subset = points[points["line"] == name]
        axes.errorbar(
            subset["parameters"],
            subset["estimate"],
            yerr=figures.reach(subset),
            fmt="o",
            color=colour,
            capsize=3,
        )
    limits = grid[0, 0].get_ylim()
    for axes, name in zip(grid.flat, names, strict=False):
        band = line[line["line"] == name]
        if len(band):
            axes.plot(band["parameters"], band["estimate"], color="black")
            axes.fill_between(band["parameters"], band["ci_low"], band["ci_high"], color="grey", alpha=0.2)
    grid[0, 0].set_ylim(limits)
    fitted = list(dict.fromkeys(line["line"]))
    alt = (
        f"{figures.alt_text(points, ['model'], leakage.QUANTITIES[quantity], 2)} Meta-regression: "
        f"{', '.join(fitted) or 'none'}."
    )
    return _finished(grid, names, points, quantity, title, banner, alt)


def panels(table: pd.DataFrame, quantity: str, title: str, banner: str = "") -> np.ndarray:
    """Draw a table of `scaling.by_size` as small multiples.

    Each arm and slot has a panel, and each family, tuning and mode has a line.
    """
    table = _with_lines(table)
    if table.empty:
        return np.array([figures.blank(f"{title}: no model whose size is known", banner)])
    series = list(dict.fromkeys(table["line"]))
    colours = sns.color_palette("colorblind", len(series))
    table = table.assign(panel=table["arm"] + ", " + table["slot"] + " slots")
    grid, names = _grid(table["panel"], quantity)
    for axes, name in zip(grid.flat, names, strict=False):
        for number, label in enumerate(series):
            subset = table[(table["panel"] == name) & (table["line"] == label)]
            # intervals at the same size must not hide each other
            offset = 1 + 0.06 * (number - (len(series) - 1) / 2)
            format_options = {
                "marker": figures.marker(number),
                "color": colours[number],
                "linestyle": ":",
                "label": label,
                "capsize": 3,
            }
            axes.errorbar(
                subset["parameters"] * offset,
                subset["estimate"],
                yerr=figures.reach(subset),
                **format_options,
            )
    figures.legend(grid[0, 0].figure, grid[0, 0])
    alt = figures.alt_text(table, ["line", "panel", "model"], leakage.QUANTITIES[quantity], 2)
    return _finished(grid, names, table, quantity, title, banner, alt)


def _with_lines(table: pd.DataFrame) -> pd.DataFrame:
    known = (
        table.dropna(subset="parameters")
        .astype({"parameters": float})
        .sort_values("parameters", kind="stable")
    )
    return known.assign(line=known["family"] + " (" + known["tuning"] + ", " + known["mode"] + ")")


def _grid(panel: pd.Series, quantity: str) -> tuple[np.ndarray, list[str]]:
    """Axes for each level of `panel`, two per row, with a line at no leakage, and the levels in order."""
    names = sorted(set(panel))
    rows, columns = -(-len(names) // 2), min(2, len(names))
    size = (figures.WIDTH, 1.1 + 2.2 * rows)
    _, grid = figures.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[: len(names)]:
        axes.axhline(leakage.NULL_VALUE[quantity], color="black", linewidth=1, linestyle="--")
    return grid, names


def _finished(
    grid: np.ndarray, names: list[str], table: pd.DataFrame, quantity: str, title: str, banner: str, alt: str
) -> np.ndarray:
    """Set titles, axes and alternative text of a grid of panels."""
    for axes, name in zip(grid.flat, names, strict=False):
        axes.set_title(name, loc="left", fontsize=10)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    _size_axis(grid[0, 0], table["parameters"].unique())
    for axes in grid[:, 0]:
        axes.set_ylabel(leakage.QUANTITIES[quantity].replace(", ", ",\n"), fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("parameters outside embeddings", fontsize=10)
    figures.finish(grid[0, 0], title, banner, alt)
    if len(names) == 1:
        grid[0, 0].set_title(f"{title}: {names[0]}", loc="left", fontsize=11)
    return grid


def _size_axis(axes: plt.Axes, sizes: np.ndarray) -> None:
    """Set a log scale with a tick at each size, such as 135M, except those too near the previous one."""
    ticks: list[float] = []
    min_ratio = max(1.5, (max(sizes) / min(sizes)) ** 0.2)  # a fifth of the axis holds a label
    for size in sorted(sizes):
        if not ticks or size > min_ratio * ticks[-1]:
            ticks.append(size)
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.6, max(sizes) * 1.6)
    axes.set_xticks(ticks, [_short(size) for size in ticks])
    axes.xaxis.set_minor_locator(plt.NullLocator())


def _short(size: float) -> str:
    """A size in short form: 1.3B, 135M, 0.4M, 1K."""
    unit, name = (1e9, "B") if size >= 1e9 else (1e6, "M") if size >= 1e5 else (1e3, "K")
    return f"{size / unit:.3g}{name}"


def published(table: pd.DataFrame, title: str) -> np.ndarray:
    """Draw published leak rates of semantic leakage (`scaling.published`) against size, without intervals.

    Each measure has a panel.
    """
    table = table.assign(series=table["family"] + " " + table["tuning"] + ", " + table["prompts"])
    measures, series = (list(dict.fromkeys(table[name])) for name in ("measure", "series"))
    colours = dict(zip(series, sns.color_palette("colorblind", len(series)), strict=True))
    figure, grid = figures.subplots(
        1, len(measures), figsize=(figures.WIDTH, 4), sharex=True, sharey=True, squeeze=False
    )
    for axes, measure in zip(grid.flat, measures, strict=True):
        for number, label in enumerate(series):
            subset = table[(table["measure"] == measure) & (table["series"] == label)].sort_values("billions")
            format_options = {
                "marker": figures.marker(number),
                "color": colours[label],
                "linestyle": ":",
                "label": label,
            }
            axes.plot(subset["billions"], subset["leak_rate"], **format_options)
        axes.axhline(50, color="black", linewidth=1, linestyle="--")
        axes.set_title(measure, loc="left", fontsize=10)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 3, 10, 70], ["0.5", "3", "10", "70"])
    axes.xaxis.set_minor_locator(plt.NullLocator())
    grid[0, len(measures) // 2].set_xlabel("nominal parameters, billions", fontsize=10.5)
    grid[0, 0].set_ylabel("semantic leak rate, %\n(50 = none)", fontsize=10.5)
    figures.legend(figure, grid[0, 0])
    span = f"from {table['leak_rate'].min():.1f} to {table['leak_rate'].max():.1f} %"
    described = (
        f"{len(table)} published rates, {span}, in {len(series)} series by size, without intervals. "
        "Dashed: 50 %, no leakage."
    )
    figures.finish(grid[0, 0], title, "", described)
    return grid
