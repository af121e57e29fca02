"""Figures on interventions: layers, strengths, losses, and effect against survival."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from lib.report import figures


def layers(table: pd.DataFrame, title: str, banner: str = "") -> plt.Axes:
    """Draw r by layer with its intervals; `table` is one of `lib.analysis.layers.prediction`."""
    _, axes = figures.subplots(figsize=(figures.WIDTH, 3.2))
    axes.errorbar(table["layer"], table["estimate"], yerr=figures.reach(table), fmt="o-", capsize=3)
    axes.axhline(0, color="black", linewidth=1, linestyle="--")
    axes.set(xlabel="layer (0: embeddings)", ylabel="r with the valence written")
    alt = figures.alt_text(table, ["layer"], "Pearson's r of projection and change of valence", 2)
    return figures.finish(axes, title, banner, alt)


def heads(table: pd.DataFrame, title: str, banner: str = "") -> plt.Axes:
    """Draw what each head carries as a map of layers and heads; `table` is one of `states.carried`."""
    wide = 100 * table.pivot(index="head", columns="layer", values="carried")
    _, axes = figures.subplots(figsize=(figures.WIDTH, 1.4 + 0.16 * len(wide)))
    most = float(np.nanmax(np.abs(wide.to_numpy())))
    sns.heatmap(
        wide, center=0, vmin=-most, vmax=most, cmap="PuOr_r", ax=axes, cbar_kws={"label": "carried, %"}
    )
    axes.set(xlabel="layer", ylabel="head")
    strongest = table.iloc[0]
    alt = (
        f"{len(table)} heads; the strongest, head {strongest['head']:.0f} of layer {strongest['layer']:.0f}, "
        f"carries {100 * strongest['carried']:.1f} % of the length of its layer's direction."
    )
    return figures.finish(axes, title, banner, alt)


def sweep(table: pd.DataFrame, title: str, banner: str = "") -> plt.Axes:
    """Draw what is left of the next token's shift by layer and strength; `table` is `Found.sweep`."""
    if table.empty:
        return figures.blank(f"{title}: none was tried", banner)
    _, axes = figures.subplots(figsize=(figures.WIDTH, 3.4))
    for number, (strength, rows) in enumerate(table.groupby("strength", sort=True)):
        axes.plot(
            rows["layer"],
            100 * rows["retained"],
            marker=figures.marker(number),
            label=f"strength {strength:g}",
        )
    axes.axhline(100, color="black", linewidth=1, linestyle="--")
    axes.set(xlabel="layer of the ablation", ylabel="shift of the next token, % left")
    axes.legend(frameon=False)
    alt = (
        f"{len(table)} ablations at one layer each; between {100 * table['retained'].min():.0f} % and "
        f"{100 * table['retained'].max():.0f} % of the next token's shift is left."
    )
    return figures.finish(axes, title, banner, alt)


def losses(table: pd.DataFrame, title: str, banner: str = "") -> plt.Axes:
    """Draw the losses of consistency training; `table` is the log of `consistency.train` with a name."""
    if table.empty:
        return figures.blank(f"{title}: none was trained", banner)
    series = table.groupby(["intervention", "part"], sort=False)
    figure, axes = figures.subplots(figsize=(figures.WIDTH, 3.2 + 0.2 * len(series)))
    for number, ((name, part), rows) in enumerate(series):
        is_held = part.startswith("held_out")
        axes.plot(
            rows["step"],
            rows["loss"],
            marker=figures.marker(number) if is_held else None,
            linewidth=2 if is_held else 0.7,
            label=f"{name}, {part.replace('_', ' ')}",
        )
    axes.set(xlabel="step", ylabel="divergence, nats a token", ylim=(0, None))
    figures.legend(figure, axes)
    alt = f"{len(table)} losses of {table['intervention'].nunique()} adapters by training step."
    return figures.finish(axes, title, banner, alt)


def effect_and_survival(table: pd.DataFrame, least: float, title: str, banner: str = "") -> np.ndarray:
    """Draw the share of the leak that is left against the share of what belongs that survives.

    Args:
        table: A table of `intervention_reports.compared`.
        least: Survival that a strategy should leave; the area below is shaded.
        title: Title of the figure.
        banner: Text of `reports.banner`; "" for none.

    Returns:
        The axes, one per model.
    """
    models = list(dict.fromkeys(table["model"]))
    figure, grid = figures.subplots(
        len(models), 1, squeeze=False, sharex=True, figsize=(figures.WIDTH, 0.8 + 3.4 * len(models))
    )
    kinds = list(dict.fromkeys(table["kind"]))
    colours = dict(zip(kinds, sns.color_palette("colorblind", len(kinds)), strict=True))
    for axes, model in zip(grid.flat, models, strict=True):
        for number, kind in enumerate(kinds):
            rows = table[(table["model"] == model) & (table["kind"] == kind)].dropna(
                subset=["leak", "survival"]
            )
            axes.errorbar(
                100 * rows["leak"],
                100 * rows["survival"],
                xerr=_reach(rows, "leak"),
                yerr=_reach(rows, "survival"),
                fmt=figures.marker(number),
                color=colours[kind],
                label=kind,
                elinewidth=0.8,
                alpha=0.85,
            )
        axes.axhspan(-100, 100 * least, color="grey", alpha=0.12)
        axes.axvline(100, color="black", linewidth=1, linestyle="--")
        axes.axhline(100, color="black", linewidth=1, linestyle="--")
        shown = table[table["model"] == model]
        axes.set(ylabel="survives of what belongs, %", ylim=_range(shown["survival"]))
        axes.set_title(model, loc="right", fontsize=10)
        axes.set_xlim(_range(table["leak"]))
    grid[-1, 0].set_xlabel("left of the leak, %")
    figures.legend(figure, grid[0, 0])
    alt = (
        f"{len(table)} strategies on {len(models)} models. Left of the leak: "
        f"{100 * table['leak'].min():.0f} to {100 * table['leak'].max():.0f} %. Surviving of what belongs: "
        f"{100 * table['survival'].min():.0f} to {100 * table['survival'].max():.0f} %."
    )
    if len(models) == 1:  # its name would stand in one line with the title
        grid[0, 0].set_title("", loc="right")
        title = f"{models[0]}: {title[0].lower()}{title[1:]}"
    figures.finish(grid[0, 0], title, banner, alt)
    return grid


def _range(values: pd.Series) -> tuple[float, float]:
    """Limits of an axis that show all estimates, in %; intervals may reach beyond."""
    values = 100 * values[np.isfinite(values)]
    return min(-10.0, values.min() - 15), max(130.0, values.max() + 15)


def _reach(rows: pd.DataFrame, name: str) -> np.ndarray:
    """Distances to both bounds in %, 0 where a bound is missing or infinite."""
    low = 100 * (rows[name] - rows[f"{name}_low"]).to_numpy(float)
    high = 100 * (rows[f"{name}_high"] - rows[name]).to_numpy(float)
    return np.where(np.isfinite([low, high]), [low, high], 0.0)
