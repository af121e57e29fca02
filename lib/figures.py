"""Long table in, axes out: every figure draws its intervals and carries the stamp of its run."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib.judges import judge

ARM_COLOURS = {"none": "#999999", "neutral": "#555555", "placebo": "#bbbbbb", "negative": "#0072b2", "positive": "#d55e00"}

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


def lengths(prompts: pd.DataFrame, title: str, stamp: str = "") -> plt.Axes:
    """Words of the context sentence by arm."""
    shown = prompts[prompts["arm"] != "none"].assign(words=prompts["context"].str.split().str.len())
    _, axes = plt.subplots(figsize=(8, 3))
    sns.histplot(shown, x="words", hue="arm", multiple="dodge", discrete=True, shrink=0.8, palette=ARM_COLOURS, ax=axes)
    axes.set_xlabel("words in the context sentence")
    axes.set_ylabel("prompts")
    return _finish(axes, title, stamp)


def sizes(table: pd.DataFrame, title: str, stamp: str = "") -> plt.Axes:
    """Estimates with intervals against the number of parameters (log scale), one line for each level of `arm`."""
    _, axes = plt.subplots(figsize=(8, 4))
    for arm, part in table.sort_values("parameters").groupby("arm"):
        reach = np.abs(part[["low", "high"]].to_numpy().T - part["estimate"].to_numpy())
        axes.errorbar(part["parameters"], part["estimate"], yerr=reach, marker="o", capsize=3, linestyle=":", label=arm,
                      color=ARM_COLOURS[arm])  # fmt: skip
    axes.axhline(0, color="black", linewidth=1, linestyle="--")
    axes.set_xscale("log")
    axes.set_xlabel("parameters outside the embeddings")
    axes.set_ylabel("net excess, points")
    axes.legend(title="arm", frameon=False)
    return _finish(axes, title, stamp)


def context_valence(prompts: pd.DataFrame, title: str, stamp: str = "") -> plt.Axes:
    """VADER valence of every context sentence, by arm."""
    shown = prompts[prompts["arm"] != "none"]
    shown = shown.assign(valence=judge("vader", shown["context"].tolist()))
    _, axes = plt.subplots(figsize=(8, 3))
    sns.stripplot(shown, x="valence", y="arm", hue="arm", palette=ARM_COLOURS, alpha=0.5, jitter=0.3, legend=False, ax=axes)
    axes.set_xlabel("valence, points of the human scale")
    axes.set_ylabel("")
    return _finish(axes, title, stamp)
