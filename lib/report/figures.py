"""Figures from long tables: each draws its intervals, carries the banner of its run and has alternative text.

All notebooks share one look. A page is read in print, on dark screens, on phones, and by people with limited
or no colour vision or with no sight. Therefore the ground is white on every background, figures are narrow,
and series that differ in colour also differ in marker. In a notebook, each figure shows itself with its
description as the alternative text of the image.
"""

import base64
import io
import re
import textwrap
from html import escape

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython import get_ipython
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats

ARM_COLOURS = {
    "none": "#999999",
    "neutral": "#555555",
    "placebo": "#bbbbbb",
    "negative": "#0072b2",
    "positive": "#d55e00",
    "concept": "#009e73",
}

POLARITY_COLOURS = {polarity: ARM_COLOURS[polarity] for polarity in ("negative", "positive")}
WIDTH = 6.4  # inches
DPI = 144  # dots per inch of the image: sharp in print
CSS_DPI = 96  # dots per inch at which a browser shows it
_LETTERS = 76  # letters that fit in a line of the legend
_NAME = re.compile(r"(?:^|(?<=\. ))([^:.]+):")  # the name that opens each sentence of a banner
_REASON = re.compile(r"INCONCLUSIVE: (.+?)\.(?=\s|$)")


class DescribedFigure(Figure):
    """A figure that a notebook shows as an image with the figure's label as its alternative text.

    No notebook viewer takes alternative text from a bare image, so the image is shown as HTML.
    """

    def _repr_html_(self) -> str:
        self.draw_without_rendering()  # the layout is set when the figure is drawn
        box = self.get_tightbbox().padded(plt.rcParams["savefig.pad_inches"])
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=DPI, bbox_inches=box, metadata={"Software": None})
        source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        alt, width = escape(str(self.get_label())), round(CSS_DPI * box.width)
        return f'<img alt="{alt}" width="{width}" style="max-width: 100%" src="{source}">'

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(self.get_label())


def style() -> None:
    """Set seaborn's white grid with a colour-blind safe palette (Okabe & Ito).

    In a notebook, a `DescribedFigure` shows itself, and matplotlib adds no image of its own.
    """
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font_scale=0.95)
    plt.rcParams.update(
        {"figure.dpi": CSS_DPI, "savefig.bbox": "tight", "figure.constrained_layout.use": True}
    )
    if shell := get_ipython():
        shell.enable_matplotlib("inline")  # first, because it resets how figures are shown
        set_matplotlib_formats()


def subplots(rows: int = 1, columns: int = 1, **options):
    """Like `plt.subplots`, with a `DescribedFigure`."""
    return plt.subplots(rows, columns, FigureClass=DescribedFigure, **options)


def finish(axes: plt.Axes, title: str, banner: str, alt: str) -> plt.Axes:
    """Finish a figure with a title, its banner across it and a description.

    Args:
        axes: The axes that carry the title, or any axes of a figure with several.
        title: Title of the figure.
        banner: Text of `reports.banner`; "" for none.
        alt: Description in words, the alternative text of the image.

    Returns:
        `axes`.
    """
    figure = axes.figure.get_figure(root=True)
    names, reasons = _NAME.findall(banner), _REASON.findall(banner)
    lines = [title, *(f"inconclusive: {reason}" for reason in reasons)]
    heading = "\n".join(part for line in lines for part in textwrap.wrap(line, _LETTERS))
    if len(figure.axes) == 1:
        axes.set_title(heading, loc="left", fontsize=11)
    else:
        figure.suptitle(heading, x=0.01, ha="left", fontsize=11)
    if names:
        figure.text(
            0.55,
            0.5,
            " ".join(names),
            ha="center",
            va="center",
            fontsize=34 if len(names) == 1 else 26,
            color="firebrick",
            alpha=0.25,
            rotation=min(20, 6 * figure.get_figheight()),
        )
    for panel in figure.axes:
        sns.despine(ax=panel, left=True)
    inconclusive = "".join(f"Inconclusive: {reason}. " for reason in reasons)
    figure.set_label(" ".join(f"{' '.join(names)} {title}. {inconclusive}{alt}".split()))
    return axes


def blank(title: str, banner: str) -> plt.Axes:
    """Draw empty axes with a title that says why."""
    _, axes = subplots(figsize=(WIDTH, 1))
    axes.set_axis_off()
    return finish(axes, title, banner, "Nothing is drawn.")


def legend(figure: Figure, axes: plt.Axes) -> None:
    """Draw one legend under the whole figure, with as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(len(str(label)) for label in labels) + 6
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=max(1, min(len(labels), _LETTERS // longest)),
        frameon=False,
        fontsize=10,
    )


def alt_text(table: pd.DataFrame, names: list[str], label: str, digits: int = 1) -> str:
    """Describe a table of estimates in words: how many, and the lowest and highest with their intervals.

    Args:
        table: Columns estimate, ci_low, ci_high, `names` and, if known, n.
        names: Columns that identify a row.
        label: What is estimated.
        digits: Number of decimals.

    Returns:
        A sentence, with the smallest and largest n if the table has a column n.
    """
    known = table.dropna(subset="estimate")
    if known.empty:
        return f"No estimate of {label}."
    extremes = dict.fromkeys(
        (known["estimate"].to_numpy(float).argmin(), known["estimate"].to_numpy(float).argmax())
    )
    described = " to ".join(_in_words(known.iloc[extreme], names, digits) for extreme in extremes)
    counts = (
        " to ".join(f"{count:,}" for count in dict.fromkeys((known["n"].min(), known["n"].max())))
        if "n" in known
        else ""
    )
    how_many = "1 estimate," if len(known) == 1 else f"{len(known)} estimates, from"
    return f"{label[0].upper()}{label[1:]}: {how_many} {described}.{counts and f' n = {counts} each.'}"


def _in_words(row: pd.Series, names: list[str], digits: int) -> str:
    estimate, ci_low, ci_high = (
        f"{row[name] + 0:.{digits}f}".replace("-", "−") for name in ("estimate", "ci_low", "ci_high")
    )
    bounds = "no interval" if pd.isna(row["ci_low"]) else f"interval {ci_low} to {ci_high}"
    return f"{estimate} ({bounds})" + (f" for {', '.join(str(row[name]) for name in names)}" if names else "")


def marker(number: int) -> str:
    """The marker of the series of this number, so that series differ in more than colour."""
    return "osD^vPX*"[number % 8]


def reach(part: pd.DataFrame) -> np.ndarray:
    """Distances of ci_low and ci_high from the estimate, shape (2, rows), as error bars need them."""
    return np.abs(part[["ci_low", "ci_high"]].to_numpy(float).T - part["estimate"].to_numpy(float))


def intervals(
    table: pd.DataFrame,
    y: str,
    hue: str | None,
    nothing: float,
    label: str,
    title: str,
    banner: str = "",
    palette: dict | None = None,
    margin: float | None = None,
) -> plt.Axes:
    """Draw a forest plot with one row for each level of `y`.

    Args:
        table: Columns `y`, `hue`, estimate, ci_low, ci_high and, if known, n.
        y: Column with the levels that become rows.
        hue: Column with the levels that stand side by side in a row; None for a single series.
        nothing: The value that means no effect, marked by a line.
        label: Label of the horizontal axis.
        title: Title of the figure.
        banner: Text of `reports.banner`; "" for none.
        palette: Colour of each level of `hue`; None for the default colours.
        margin: Half-width of the shaded range around `nothing` that counts as no effect; None for no shading.

    Returns:
        The axes.
    """
    if table.empty:
        return blank(f"{title}: no estimates", banner)
    rows = list(dict.fromkeys(table[y]))
    hues = list(dict.fromkeys(table[hue])) if hue else [None]
    colours = palette or dict(zip(hues, sns.color_palette("colorblind", len(hues)), strict=True))
    of_label = max(1 + str(row).count("\n") for row in rows)
    height = len(rows) * (0.1 + 0.24 * max(len(hues), of_label))
    figure, axes = subplots(figsize=(WIDTH, 1.3 + height))
    for number, level in enumerate(hues):
        subset = table[table[hue] == level] if hue else table
        positions = np.array([rows.index(row) for row in subset[y]]) + (
            number - (len(hues) - 1) / 2
        ) * 0.66 / len(hues)
        axes.errorbar(
            subset["estimate"],
            positions,
            xerr=reach(subset),
            fmt=marker(number),
            capsize=3,
            label=level,
            color=colours[level],
        )
    if margin:
        axes.axvspan(nothing - margin, nothing + margin, color="grey", alpha=0.15)
    axes.axvline(nothing, color="black", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(label)
    axes.grid(axis="y", visible=False)
    if hue:
        legend(figure, axes)
    digits = 1 if table["estimate"].abs().max() >= 2 else 2
    shading = f" Shaded: within {margin:g} of {nothing:g}." if margin else ""
    return finish(axes, title, banner, alt_text(table, [y, hue] if hue else [y], label, digits) + shading)


def net_excess(table: pd.DataFrame, y: str, title: str, banner: str = "") -> plt.Axes:
    """Draw the net excess of a table of `leakage.summarise`, with a row for each level of `y`.

    The negative and the positive arm stand side by side.
    """
    net = table[table["quantity"] == "net"]
    return intervals(
        net, y, "arm", 0, "net excess over the neutral arm, points", title, banner, POLARITY_COLOURS
    )


def lengths(scored: pd.DataFrame, title: str, banner: str = "") -> np.ndarray:
    """Draw the column words of a table of `curated_prompts.scored`, with a panel for each arm."""
    words = scored.loc[scored["arm"] != "none", "words"]
    edges = np.arange(words.min() - 0.5, words.max() + 1)
    return _histograms(scored, "words", edges, "words in the context sentence", title, banner)


def context_valence(scored: pd.DataFrame, title: str, banner: str = "") -> np.ndarray:
    """Draw the column context_valence of a table of `curated_prompts.scored`, with a panel for each arm."""
    label = "valence of the context, points of the human scale"
    return _histograms(scored, "context_valence", np.arange(-4.25, 4.5, 0.5), label, title, banner)


def _histograms(
    scored: pd.DataFrame, column: str, edges: np.ndarray, label: str, title: str, banner: str
) -> np.ndarray:
    shown = scored[scored["arm"] != "none"]
    arms = [arm for arm in ARM_COLOURS if arm in set(shown["arm"])]
    figure, panels = subplots(
        len(arms), 1, figsize=(WIDTH, 0.9 + 0.85 * len(arms)), sharex=True, sharey=True, squeeze=False
    )
    for axes, arm in zip(panels[:, 0], arms, strict=True):
        sns.histplot(
            shown.loc[shown["arm"] == arm, column],
            bins=edges,
            color=ARM_COLOURS[arm],
            alpha=1,
            shrink=0.9,
            ax=axes,
        )
        axes.set_ylabel("")
        axes.set_title(arm, loc="right", fontsize=10, y=0.72)
    panels[-1, 0].set_xlabel(label)
    figure.supylabel("prompts", fontsize=10.5)
    means = ", ".join(f"{shown.loc[shown['arm'] == arm, column].mean():.2f} {arm}" for arm in arms).replace(
        "-", "−"
    )
    counts = f"{len(shown):,} prompts in {len(arms)} panels, one an arm"
    finish(panels[0, 0], title, banner, f"Histograms of {label}: {counts}; mean {means}.")
    return panels[:, 0]


def calibration(tables: dict[str, pd.DataFrame], title: str, banner: str = "") -> plt.Axes:
    """Draw the mean human rating against the valence by each judge, with the diagonal where both are equal.

    `tables` holds a table of `rated_threshold.calibration` under the name of each judge.
    """
    figure, axes = subplots(figsize=(5, 4.8))
    axes.plot([-4, 4], [-4, 4], color="black", linewidth=1, linestyle="--", label="equal")
    for number, (name, table) in enumerate(tables.items()):
        format_options = {
            "marker": marker(number),
            "color": sns.color_palette("colorblind")[number],
            "label": name,
            "capsize": 3,
        }
        axes.errorbar(table["valence"], table["estimate"], yerr=reach(table), **format_options)
    axes.set_xlabel("valence by the judge, points")
    axes.set_ylabel("mean human rating, points")
    legend(figure, axes)
    alt = " ".join(
        alt_text(table, [], f"mean human rating by valence of {name}") for name, table in tables.items()
    )
    return finish(axes, title, banner, f"{alt} Dashed: where both are equal.")
