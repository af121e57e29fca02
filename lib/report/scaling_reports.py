"""Formatted tables and sentences on leakage against model size (`lib.analysis.scaling`), for notebook 05."""

import numpy as np
import pandas as pd

from lib.analysis import leakage
from lib.analysis.scaling import LINE, MIN_DESCRIBED
from lib.report import reports
from lib.stats import inference

_DIGITS = {"shift": 2}
_SHORT = {"shift": "valence shift", "net": "net excess", "leak": "leak rate"}


def slopes(table: pd.DataFrame, banner: str = "") -> pd.DataFrame:
    """Format a table of `scaling.meta_regression`.

    Estimate and interval share a column. tau² is shown as the standard deviation between models.
    """
    table = table.reset_index(drop=True)
    shown = table[[*LINE, "quantity", "sizes", "models"]].assign(
        quantity=table["quantity"].map(leakage.QUANTITIES)
    )
    shown["per tenfold size [interval]"] = [_cell(row) for row in table.itertuples()]
    tau = np.sqrt(table["tau2"].astype(float))
    shown["SD between models"] = [
        _number(value, row.quantity) for value, row in zip(tau, table.itertuples(), strict=True)
    ]
    counts = {
        "n": table["n"],
        "stems": table["n_stems"],
        "size unknown": table["left_out"],
        "remark": table["message"],
    }
    return shown.assign(p=table["p"].astype(float).round(3), **counts).rename_axis(
        columns=f"⚠ {banner}" if banner else None
    )


def slopes_summary(slopes: pd.DataFrame, families: pd.DataFrame) -> str:
    """Describe the slope of each line, and the mean slope over families.

    Args:
        slopes: Tables of `scaling.meta_regression`, concatenated.
        families: A table of `scaling.families`.
    """
    sentences = []
    for _, rows in slopes.groupby(LINE, sort=False):
        if rows["estimate"].isna().all():
            sentences.append(f"{_name(rows.iloc[0])}: {rows['message'].iloc[0]}.")
            continue
        cells = [f"{_SHORT[row['quantity']]} {_slope(row)}" for _, row in rows.iterrows()]
        sentences.append(
            f"{_name(rows.iloc[0])}, per tenfold size over {rows['sizes'].iloc[0]} sizes: {'; '.join(cells)}."
        )
    for row in families.itertuples():
        sentences.append(
            f"Mean slope of the {_SHORT[row.quantity]} in {row.families} families ({row.tuning}, "
            f"{row.mode}): "
            f"{_cell(row)}, standard deviation between them {_number(row.between, row.quantity)}."
        )
    if families.empty:
        sentences.append(
            "No two families of one tuning and mode have enough sizes: there is no slope over families."
        )
    return " ".join(sentences)


def constant_factors_summary(slopes: pd.DataFrame, min_sizes: int) -> str:
    """Say which lines of a table of `scaling.meta_regression` have too few sizes for a verdict."""
    too_few = slopes[slopes["sizes"] < min_sizes].drop_duplicates(LINE)
    if too_few.empty:
        return f"Every family has the {min_sizes} sizes that a verdict takes."
    size_unknown = too_few["left_out"].map(lambda models: f" (size unknown: {models})" if models else "")
    counts = too_few["sizes"].map(lambda sizes: f"{sizes} size{'s' * (sizes != 1)}") + size_unknown
    cells = [f"{_name(row)}, of {count}" for (_, row), count in zip(too_few.iterrows(), counts, strict=True)]
    return (
        f"What cannot be told: whether leakage changes with size in {'; '.join(cells)}. A verdict takes "
        f"{min_sizes} sizes "
        f"of a family; a slope, shown from {MIN_DESCRIBED} on, describes the models it is of. More stems "
        "do not help: the "
        "models are the sample."
    )


def pairs_summary(pairs: pd.DataFrame) -> str:
    """Describe the differences of `scaling.pair_differences`."""
    if pairs.empty:
        return "No family has just two sizes."
    cells = [
        f"{row.larger} − {row.smaller}: {_SHORT[row.quantity]} {_cell(row)} (n = {row.n:,} in "
        f"{row.n_stems:,} stems)"
        for row in pairs.itertuples()
    ]
    return f"Two sizes give a difference, of these two models alone: {'; '.join(cells)}."


def parts_summary(parts: pd.DataFrame) -> str:
    """Describe the slope by polarity and kind of slot, from `scaling.meta_regression` by arm and slot."""
    cells = [
        f"{_name(row)}, {row['arm']}, {row['slot']} slots: {_SHORT[row['quantity']]} {_slope(row)}"
        for _, row in parts.dropna(subset="estimate").iterrows()
    ]
    if not cells:
        return "No family has sizes enough for a slope in any polarity and kind of slot."
    return "Per tenfold size: " + "; ".join(cells) + "."


def shape_summary(table: pd.DataFrame, confidence: float) -> str:
    """Describe each line of `scaling.monotonicity`: tau, and whether leakage falls all the way or bends.

    The statements hold for these models only.
    """
    sentences = []
    for _, row in table.iterrows():
        if row.message:
            sentences.append(f"{_name(row)}: {row.message}.")
            continue
        falling = "does not fall all the way" if row.p_falling < 1 - confidence else "may fall all the way"
        bends = "it bends" if row.p_monotone < 1 - confidence else "no bend is shown"
        tau = reports.interval(
            pd.Series({"estimate": row.tau, "ci_low": row.ci_low, "ci_high": row.ci_high}), 2
        )
        sentences.append(
            f"{_name(row)}: Kendall's tau {tau} over these {row.sizes} sizes; leakage {falling} "
            f"(p = {row.p_falling:.3f}), {bends} (p = {row.p_monotone:.3f})."
        )
    return " ".join(sentences) or "No model's size is known."


def published_summary(table: pd.DataFrame) -> str:
    """Count the published series that rise, fall or bend with size."""
    kinds = []
    for _, series in table.sort_values("billions").groupby(
        ["source", "prompts", "family", "tuning", "measure"]
    ):
        if len(series) >= MIN_DESCRIBED:
            steps = np.sign(series["leak_rate"].diff().dropna())
            kinds.append("rise" if (steps > 0).all() else "fall" if (steps < 0).all() else "bend")
    counts = {kind: kinds.count(kind) for kind in ("rise", "fall", "bend")}
    return (
        f"Of {len(kinds)} published series with at least {MIN_DESCRIBED} sizes, {counts['rise']} rise from "
        "each size to the "
        f"next, {counts['fall']} fall, {counts['bend']} bend. They are semantic leak rates by similarity, "
        "published without "
        "intervals: another quantity than ours, to be compared in direction at most."
    )


def _name(row) -> str:
    return "{family} ({tuning}, {mode})".format_map(row)  # as a Series' attribute, mode would be a method


def _cell(row) -> str:
    return reports.interval(row, _DIGITS.get(row.quantity, 1))


def _number(value: float, quantity: str) -> str:
    return "–" if pd.isna(value) else f"{value:.{_DIGITS.get(quantity, 1)}f}"


def _slope(row: pd.Series) -> str:
    """A slope in words: '−0.20 [−0.31, −0.09], falling with size'."""
    if pd.isna(row["estimate"]):
        return f"no slope ({row['message']})"
    sides = {-1: "falling with size", 0: "not surely changing", 1: "rising with size"}
    return f"{_cell(row)}, {sides[inference.side_of_zero(row)]}"
