"""Long table in, axes out: every figure draws its intervals and carries the stamp of its run."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib import vader

ARM_COLOURS = {"none": "#999999", "neutral": "#555555", "placebo": "#bbbbbb", "negative": "#0072b2", "positive": "#d55e00",
               "concept": "#009e73"}  # fmt: skip

POLARITY_COLOURS = {polarity: ARM_COLOURS[polarity] for polarity in ("negative", "positive")}


def style() -> None:
    """One look for all notebooks: seaborn's white grid with a colour-blind safe palette (Okabe & Ito)."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", rc={"figure.dpi": 96, "savefig.bbox": "tight"})


def _finish(axes: plt.Axes, title: str, stamp: str) -> plt.Axes:
    axes.set_title(title, loc="left", fontsize=11)
    if stamp:
        axes.text(0.5, 0.5, stamp.split(":")[0], transform=axes.transAxes, ha="center", va="center", fontsize=40,
                  color="firebrick", alpha=0.25, rotation=20)  # fmt: skip
    sns.despine(ax=axes, left=True)
    return axes


def intervals(
    table: pd.DataFrame,
    y: str,
    hue: str | None,
    nothing: float,
    label: str,
    title: str,
    stamp: str = "",
    palette: dict | None = None,
    margin: float | None = None,
) -> plt.Axes:
    """A forest plot: a row for each level of `y`, estimates side by side for each level of `hue`, a line at `nothing`.

    `margin` shades the range around `nothing` that counts as nothing.
    """
    rows = list(dict.fromkeys(table[y]))
    hues = list(dict.fromkeys(table[hue])) if hue else [None]
    colours = palette or dict(zip(hues, sns.color_palette("colorblind", len(hues)), strict=True))
    _, axes = plt.subplots(figsize=(8, 1.3 + 0.3 * len(rows) * len(hues)))
    for number, level in enumerate(hues):
        part = table[table[hue] == level] if hue else table
        place = np.array([rows.index(row) for row in part[y]]) + (number - (len(hues) - 1) / 2) * 0.6 / len(hues)
        reach = np.abs(part[["low", "high"]].to_numpy().T - part["estimate"].to_numpy())
        axes.errorbar(part["estimate"], place, xerr=reach, fmt="o", capsize=3, label=level, color=colours[level])
    if margin:
        axes.axvspan(nothing - margin, nothing + margin, color="grey", alpha=0.15)
    axes.axvline(nothing, color="black", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.grid(axis="y", visible=False)
    if hue:
        axes.legend(title=hue, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return _finish(axes, title, stamp)


def net_excess(table: pd.DataFrame, y: str, title: str, stamp: str = "") -> plt.Axes:
    """The net excess in a table of `leakage.summarise`, a row for each level of `y`, negative and positive side by side."""
    net = table[table["quantity"] == "net"]
    return intervals(net, y, "arm", 0, "net excess over the neutral arm, points", title, stamp, POLARITY_COLOURS)


def lengths(prompts: pd.DataFrame, title: str, stamp: str = "") -> plt.Axes:
    """Words of the context sentence by arm."""
    shown = prompts[prompts["arm"] != "none"].assign(words=prompts["context"].str.split().str.len())
    _, axes = plt.subplots(figsize=(8, 3))
    sns.histplot(shown, x="words", hue="arm", multiple="dodge", discrete=True, shrink=0.8, palette=ARM_COLOURS, ax=axes)
    axes.set_xlabel("words in the context sentence")
    axes.set_ylabel("prompts")
    return _finish(axes, title, stamp)


def _nothing(title: str, stamp: str) -> plt.Axes:
    """Empty axes with a title that says why."""
    _, axes = plt.subplots(figsize=(5, 1))
    axes.set_axis_off()
    return _finish(axes, title, stamp)


def sizes(table: pd.DataFrame, title: str, stamp: str = "") -> np.ndarray:
    """Estimates with intervals against the number of parameters (log scale), a panel for each family, tuning and mode.

    Models of unknown size cannot be placed and are left out.
    """
    table = table.dropna(subset="parameters").astype({"parameters": float})
    if table.empty:
        return np.array([_nothing(f"{title}: no model whose size is known", stamp)])
    panels = list(table.sort_values("parameters").groupby(["family", "tuning", "mode"], sort=False))
    _, row = plt.subplots(1, len(panels), figsize=(max(5, 4 * len(panels)), 3.5), sharey=True, squeeze=False)
    for axes, (name, panel) in zip(row[0], panels, strict=True):
        for side, (arm, part) in zip((0.97, 1.03), panel.groupby("arm"), strict=False):
            reach = np.abs(part[["low", "high"]].to_numpy().T - part["estimate"].to_numpy())
            axes.errorbar(part["parameters"] * side, part["estimate"], yerr=reach, marker="o", capsize=3, linestyle=":",
                          label=arm, color=ARM_COLOURS[arm])  # fmt: skip
        axes.axhline(0, color="black", linewidth=1, linestyle="--")
        axes.set_xscale("log")
        axes.set_xlim(panel["parameters"].min() / 2, panel["parameters"].max() * 2)
        axes.set_xlabel("parameters outside the embeddings")
        _finish(axes, f"{title}\n{name[0]} ({name[1]}, {name[2]})", stamp)
    row[0, 0].set_ylabel("net excess, points")
    row[0, -1].legend(title="arm", loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    return row[0]


def size_panels(table: pd.DataFrame, title: str, stamp: str = "") -> np.ndarray:
    """Small multiples of a table of `scaling.by_size`: net excess against size, a row for each slot, a column for each arm."""
    if table.empty:
        return np.array([_nothing(f"{title}: no model whose size is known", stamp)])
    table = table.astype({"parameters": float}).sort_values("parameters")
    table["line"] = table["family"] + " (" + table["tuning"] + ", " + table["mode"] + ")"
    arms = [arm for arm in POLARITY_COLOURS if arm in set(table["arm"])]
    grid = sns.FacetGrid(table, row="slot", col="arm", col_order=arms, hue="line", sharex=True, sharey=True,
                         height=2.6, aspect=1.5, margin_titles=True, palette="colorblind")  # fmt: skip
    grid.map_dataframe(_with_intervals)
    grid.refline(y=0, color="black", linewidth=1)
    grid.set(xscale="log").set_titles(col_template="{col_name}", row_template="{row_name} slots")
    grid.set_axis_labels("parameters outside the embeddings", "net excess, points")
    if table["line"].nunique() > 1:
        grid.add_legend(title="")
    grid.figure.suptitle(title, x=0.02, ha="left", fontsize=11, y=1.03)
    for axes in grid.axes.flat:
        _finish(axes, axes.get_title(), stamp)
    return grid.axes


def _with_intervals(data: pd.DataFrame, color, **_) -> None:
    reach = np.abs(data[["low", "high"]].to_numpy().T - data["estimate"].to_numpy())
    plt.errorbar(data["parameters"], data["estimate"], yerr=reach, marker="o", capsize=3, linestyle=":", color=color)


def published_sizes(table: pd.DataFrame, title: str) -> np.ndarray:
    """Published leak rates of semantic leakage (`scaling.published`) against size, a panel for each measure; no intervals."""
    table = table.assign(series=table["family"] + " " + table["tuning"] + ", " + table["prompts"])
    grid = sns.FacetGrid(table, col="measure", hue="series", sharey=True, height=2.9, aspect=0.9, palette="colorblind")
    grid.map_dataframe(sns.lineplot, x="billions", y="leak_rate", marker="o", linestyle=":")
    grid.refline(y=50, color="black", linewidth=1)
    grid.set(xscale="log").set_titles(col_template="{col_name}")
    grid.set_axis_labels("nominal parameters, billions", "semantic leak rate, %\n(50 = none)").add_legend(title="", fontsize=8)
    grid.figure.suptitle(title, x=0.02, ha="left", fontsize=11, y=1.05)
    return grid.axes


def calibration(tables: dict[str, pd.DataFrame], title: str, stamp: str = "") -> plt.Axes:
    """The human mean by what each judge said (`rated_threshold.calibration`), beside the diagonal on which both are equal."""
    _, axes = plt.subplots(figsize=(5, 4.5))
    axes.plot([-4, 4], [-4, 4], color="black", linewidth=1, linestyle="--")
    for (name, table), colour in zip(tables.items(), sns.color_palette("colorblind", len(tables)), strict=True):
        reach = np.abs(table[["low", "high"]].to_numpy().T - table["estimate"].to_numpy())
        axes.errorbar(table["valence"], table["estimate"], yerr=reach, marker="o", capsize=3, label=name, color=colour)
    axes.set_xlabel("valence by the judge, points")
    axes.set_ylabel("mean human rating, points")
    axes.legend(frameon=False)
    return _finish(axes, title, stamp)


def context_valence(prompts: pd.DataFrame, title: str, stamp: str = "") -> plt.Axes:
    """VADER valence of the context sentences, by arm."""
    shown = prompts[prompts["arm"] != "none"]
    shown = shown.assign(valence=vader.valences(shown["context"].tolist()))
    _, axes = plt.subplots(figsize=(8, 3))
    edges = np.arange(-4.25, 4.5, 0.5)
    sns.histplot(shown, x="valence", hue="arm", multiple="dodge", bins=edges, shrink=0.9, palette=ARM_COLOURS, ax=axes)
    axes.set_xlabel("valence, points of the human scale")
    axes.set_ylabel("prompts")
    return _finish(axes, title, stamp)
