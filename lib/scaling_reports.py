"""What notebook 05 says of leakage against size: the tables of `lib.scaling` as people read them, and a sentence under each."""

import numpy as np
import pandas as pd

from lib import reports
from lib.scaling import LINE

_METHODS = {  # method: what its slope is, the value where size changes nothing, digits, sign shown
    "least squares": ("least squares: net excess, points", 0.0, 1, True),
    "GEE": ("GEE: odds ratio of the leak rate (1 = no change)", 1.0, 2, False),
}


def slopes(table: pd.DataFrame, stamped: str = "") -> pd.DataFrame:
    """A table of `scaling.slopes`, estimate and interval in one column."""
    shown = table.drop(columns=["estimate", "low", "high"])
    shown["method"] = [_METHODS[method][0] for method in table["method"]]
    cells = [reports.interval(row, *_METHODS[row.method][2:]) for row in table.itertuples()]
    shown.insert(shown.columns.get_loc("sizes") + 1, "per tenfold size [interval]", cells)
    return shown.assign(p=table["p"].astype(float).round(3)).rename_axis(columns=f"⚠ {stamped}" if stamped else None)


def slopes_reading(slopes: pd.DataFrame, families: pd.DataFrame) -> str:
    """Whether the two methods of `scaling.slopes` say the same of each line; the mean slope over families."""
    said = []
    for _, part in slopes.groupby(LINE, sort=False):
        if part["low"].isna().any():
            said.append(f"{_line(part.iloc[0])}: {part['said'].iloc[0] or 'no interval'}.")
            continue
        sides = [_side(row) for _, row in part.iterrows()]
        agree = "the two methods agree" if len(set(sides)) == 1 else "the two methods disagree"
        said.append(f"{_line(part.iloc[0])}: {agree} (net excess {sides[0]}, odds of the leak rate {sides[1]}).")
    for row in families.itertuples():
        said.append(f"Mean slope of {row.families} families ({row.tuning}, {row.mode}): {reports.interval(row)} points per "
                    f"tenfold size, standard deviation between them {row.between:.1f}.")  # fmt: skip
    if families.empty:
        said.append("No two families of one tuning and mode have enough sizes: there is no slope over families.")
    return " ".join(said)


def parts_reading(parts: pd.DataFrame) -> str:
    """The slope of net excess in each polarity and kind of slot, from `scaling.slopes` by arm and slot."""
    lines = parts[parts["method"] == "least squares"].dropna(subset="low")
    told = [f"{_line(row)}, {row.arm}, {row.slot} slots: {reports.interval(row)}, {_side(row)}" for _, row in lines.iterrows()]
    if not told:
        return "No family has sizes enough for a slope in any polarity and kind of slot."
    return "Points per tenfold size: " + "; ".join(told) + "."


def shape_reading(table: pd.DataFrame, confidence: float) -> str:
    """Of each line of `scaling.monotonicity`: tau, and whether net excess falls all the way, or bends."""
    said = []
    for _, row in table.iterrows():
        if row.said:
            said.append(f"{_line(row)}: {row.said}.")
            continue
        falling = "does not fall all the way" if row.p_falling < 1 - confidence else "may fall all the way"
        bends = "it bends" if row.p_monotone < 1 - confidence else "no bend is shown"
        tau = reports.interval(pd.Series({"estimate": row.tau, "low": row.low, "high": row.high}), 2)
        said.append(f"{_line(row)}: Kendall's tau {tau} over {row.sizes} sizes; net excess {falling} (p = {row.p_falling:.3f}), "
                    f"{bends} (p = {row.p_monotone:.3f}).")  # fmt: skip
    return " ".join(said) or "No model's size is known."


def published_reading(table: pd.DataFrame, minimum_sizes: int) -> str:
    """How many published series rise, fall or bend with size."""
    kinds = []
    for _, part in table.sort_values("billions").groupby(["source", "prompts", "family", "tuning", "measure"]):
        if len(part) >= minimum_sizes:
            steps = np.sign(part["leak_rate"].diff().dropna())
            kinds.append("rise" if (steps > 0).all() else "fall" if (steps < 0).all() else "bend")
    counts = {kind: kinds.count(kind) for kind in ("rise", "fall", "bend")}
    return (f"Of {len(kinds)} published series with at least {minimum_sizes} sizes, {counts['rise']} rise from each size to the "
            f"next, {counts['fall']} fall, {counts['bend']} bend. They are semantic leak rates by similarity, published without "
            "intervals: another quantity than net excess, to be compared in direction at most.")  # fmt: skip


def _line(row: dict) -> str:
    return "{family} ({tuning}, {mode})".format_map(row)  # as a Series' attribute, mode would be a method


def _side(row: pd.Series) -> str:
    nothing = _METHODS[row["method"]][1]
    if row["high"] < nothing:
        return "falling with size"
    return "rising with size" if row["low"] > nothing else "not surely changing"
