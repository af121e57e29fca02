"""Formatted tables and sentences on choices of analysis, for notebooks 03 and 06.

The tables are those of `lib.analysis.polarity`, `lib.analysis.specificity` and `lib.claims.multiverse`.
"""

import numpy as np
import pandas as pd

from lib.analysis import leakage, polarity, specificity
from lib.claims import multiverse
from lib.report.reports import interval

_DIGITS = {"shift": 2, "net": 1, "valence": 2, "verdicts": 1}
_BALANCES = {"verdicts": "% positive − % negative", "valence": "mean valence"}
_LEAST, _GREATEST = polarity.RATIOS[[0, -1]]
_SIGNS = {1: "negative leaks more", -1: "positive leaks more", 0: "none"}
_MAIN = {multiverse.NO_INTERVAL: "which has no interval", "open": "whose interval includes 0"}


def by_reference(
    differences: pd.DataFrame, balance: pd.DataFrame, tipping: pd.DataFrame, banner: str = ""
) -> pd.DataFrame:
    """Format `polarity.by_reference`, `balance` and `tipping` of a model in one table.

    Returns:
        One row per charged arm and per reference. "sign turns at" is the ratio of sensitivities at which the
        sign would turn, and the range of ratios in which the interval includes 0.
    """
    rows = pd.Index([*leakage.DIRECTIONS, *dict.fromkeys(differences["reference"])], name="arm or reference")
    shown = pd.DataFrame(index=rows)
    for quantity, name in _BALANCES.items():
        shown[name] = _cells(balance, quantity, "arm", _estimate).reindex(rows)
    shown["completions"] = (
        balance.drop_duplicates("arm").set_index("arm")["n"].reindex(rows).astype("Int64").astype(object)
    )
    for quantity in polarity.QUANTITIES:
        shown[f"{quantity}: negative − positive"] = _cells(
            differences, quantity, "reference", _estimate
        ).reindex(rows)
        shown[f"{quantity}: sign turns at"] = _cells(tipping, quantity, "reference", _ratio).reindex(rows)
    counts = (
        differences[differences["quantity"] == "shift"].set_index("reference")[["n", "n_stems"]].reindex(rows)
    )
    shown[["differences", "stems"]] = counts.astype("Int64").astype(object)
    return shown.fillna("–").reset_index().rename_axis(columns=f"⚠ {banner}" if banner else None)


def _cells(table: pd.DataFrame, quantity: str, key: str, cell) -> pd.Series:
    return pd.Series(
        {getattr(row, key): cell(row) for row in table[table["quantity"] == quantity].itertuples()},
        dtype=object,
    )


def _estimate(row) -> str:
    return interval(row, _DIGITS[row.quantity])


def _ratio(row) -> str:
    if np.isnan(row.open_from):
        return (
            f"no ratio from {_LEAST:g} to {_GREATEST:g}"
            if np.isnan(row.tips)
            else f"{row.tips:.2f} (no interval)"
        )
    tips = f"beyond {_LEAST:g} to {_GREATEST:g}" if np.isnan(row.tips) else f"{row.tips:.2f}"
    ends = [
        f"{'below' if end < 0 else 'above'} {bound:g}" if np.isinf(end) else f"{end:.2f}"
        for end, bound in ((row.open_from, _LEAST), (row.open_to, _GREATEST))
    ]
    return f"{tips} (open from {ends[0]} to {ends[1]})"


def decided_summary(differences: pd.DataFrame, balance: pd.DataFrame, tipping: pd.DataFrame) -> str:
    """Say whether all references give negative − positive of one model the same sign.

    The text also says how the references lean and what would turn the sign.
    """
    sentences = []
    for row in polarity.decided(differences).itertuples():
        p = "" if np.isnan(row.p) else f" (p = {row.p:.3f}, the largest of all references)"
        sentences.append(
            f"By {leakage.QUANTITIES[row.quantity].split(',')[0]}, {row.reason}{p}; sign: {_SIGNS[row.sign]}."
        )
    references = balance[(balance["quantity"] == "verdicts") & ~balance["arm"].isin(leakage.DIRECTIONS)]
    leaning = "; ".join(f"{interval(row)} after {row.arm} (n = {row.n:,})" for row in references.itertuples())
    sentences.append(f"How the references themselves lean, % positive − % negative verdicts: {leaning}.")
    main = tipping[(tipping["reference"] == polarity.POOLED) & (tipping["quantity"] == "shift")].iloc[0]
    sentences.append(
        f"Against {polarity.POOLED}, the sign of the shift turns where the judge's sensitivity to negative "
        "charge, as a multiple "
        f"of that to positive, is: {_ratio(main)}."
    )
    return " ".join(sentences)


def by_threshold(table: pd.DataFrame, banner: str = "") -> pd.DataFrame:
    """Format a table of `specificity.by_threshold`: a row for each rule and threshold."""
    key = ["rule", "negative", "positive", "charged_negative", "charged_positive"]
    net, difference = (
        table[table["quantity"] == quantity].reset_index(drop=True) for quantity in ("net", "difference")
    )
    shown = (
        net[key]
        .round(2)
        .rename(
            columns={
                "negative": "negative below −",
                "positive": "positive above",
                "charged_negative": "neutral arms called negative, %",
                "charged_positive": "neutral arms called positive, %",
            }
        )
    )
    shown["net excess [interval]"] = [interval(row) for row in net.itertuples()]
    shown["in standard errors"] = _in_errors(net).round(1)
    shown["negative − positive [interval]"] = [interval(row) for row in difference.itertuples()]
    shown["sign by all references"] = difference["sign"].map(_SIGNS)
    shown[["pairs", "stems"]] = net[["n", "n_stems"]]
    return shown.rename_axis(columns=f"⚠ {banner}" if banner else None)


def _in_errors(table: pd.DataFrame) -> pd.Series:
    return table["estimate"] / table["se"].where(table["se"] > 0)


def threshold_summary(table: pd.DataFrame) -> str:
    """Say how net excess changes with the threshold, also in standard errors from 0.

    The text also covers the two rules that fix the threshold.
    """
    rows = {(row.rule, row.quantity): row for row in table.itertuples()}
    curve = table[(table["rule"] == specificity.CURVE) & (table["quantity"] == "net")]
    ends = [f"{interval(row)} beyond {row.positive:g}" for row in curve.iloc[[0, -1]].itertuples()]
    errors = _in_errors(curve)
    span = f"{errors.min():.1f} to {errors.max():.1f}".replace("-", "−")
    distance = "" if errors.isna().all() else f", {span} standard errors from 0"
    fixed, equal = rows[specificity.FIXED, "net"], rows[specificity.EQUAL, "difference"]
    return (
        f"Net excess goes from {ends[0]} to {ends[1]} points{distance} (n of {curve['n'].min():,} pairs in "
        f"{curve['n_stems'].min():,} stems). At a specificity of {specificity.SPECIFICITY:g} %, beyond "
        f"±{fixed.positive:.2f}, it "
        f"is {interval(fixed)}. At thresholds that call {equal.charged_negative:.1f} % of the neutral arms "
        "negative and "
        f"{equal.charged_positive:.1f} % positive, negative − positive is {interval(equal)}; sign by all "
        "references: "
        f"{_SIGNS[equal.sign]}."
    )


def multiverse_summary(table: pd.DataFrame) -> str:
    """Say how many analyses of a table of `lib.claims.multiverse` agree with the main one.

    An analysis agrees if its interval lies on the same side. Each claim and model has a sentence, and for C3
    each mitigation.
    """
    if table.empty:
        return "There is no analysis of it: no model was asked so."
    sentences = []
    for row in multiverse.agreement(table).itertuples():
        name = f"{row.claim}, {row.model}" + ("" if row.claim != "C3" else f", {row.mitigation}")
        sides = {
            "above 0": row.above,
            "open": row.open,
            "below 0": row.below,
            multiverse.NO_INTERVAL: row.no_interval,
        }
        counts = "; ".join(f"{count} {side}" for side, count in sides.items())
        main = _MAIN.get(row.side, f"{row.side} 0")
        sentences.append(
            f"**{name}**: {row.agree} of {row.analyses} analyses ({row.share:.0f} %) agree with the main "
            f"one, {main} ({counts})."
        )
    return " ".join(sentences)
