"""Formatted tables and sentences on comparisons, for notebooks 03 and 05.

The tables are those of `lib.analysis.comparisons` and `lib.analysis.model_based`.
"""

import pandas as pd

from lib.analysis.leakage import QUANTITIES
from lib.analysis.model_based import METHODS, MODELS, disagreements
from lib.report import reports

_DIGITS = {"shift": 2}
_NAMES = {
    "p_holm": "p (Holm)",
    "p_equivalence": "p (equivalence)",
    "n_stems": "stems",
    "n_matches": "matches",
    "cluster_unit": "clustered by",
    "differ_in": "differ in",
    "left_out_first": "left out of first",
    "left_out_second": "left out of second",
}


def verdict_shares_summary(shares: pd.DataFrame) -> str:
    """Compare the verdict shares of the charged arms with those of the neutral arm and of no context.

    Args:
        shares: A table of `leakage.verdict_shares` with one row per arm and verdict.

    Returns:
        A sentence with the shares of the charged and neutral arms and of no context, each with its n.
    """
    cells = shares.set_index(["arm", "verdict"])

    def share(arm: str, verdict: str) -> str:
        if (arm, verdict) not in cells.index:
            return "a share that is not known (no completion was scored)"
        row = cells.loc[(arm, verdict)]
        return f"{row['estimate']:.1f} % (n = {row['n']:,.0f})"

    negative, positive = share("negative", "negative"), share("positive", "positive")
    return (
        f"After a negative context {negative} of completions are judged negative, after a neutral one "
        f"{share('neutral', 'negative')}; after a positive context {positive} are judged positive, after a "
        "neutral one "
        f"{share('neutral', 'positive')}, and without any context {share('none', 'positive')}."
    )


def family(table: pd.DataFrame, banner: str = "") -> pd.DataFrame:
    """Format a table of `lib.analysis.comparisons`.

    Returns:
        The rows of the table: estimate and effect size, each with its interval, n, and every kind of p.
    """
    effects = table[["effect", "effect_low", "effect_high"]].set_axis(
        ["estimate", "ci_low", "ci_high"], axis=1
    )
    shown = table.drop(
        columns=[
            "estimate",
            "ci_low",
            "ci_high",
            "se",
            *effects.columns,
            "effect",
            "effect_low",
            "effect_high",
        ],
        errors="ignore",
    )
    index = table.columns.get_loc("estimate")
    shown.insert(index, "estimate [interval]", [_cell(row) for row in table.itertuples()])
    shown.insert(
        index + 1, "effect size [interval]", [reports.interval(row, 2) for row in effects.itertuples()]
    )
    numbers = [name for name in ("naive_se_ratio", "p", "p_holm", "p_equivalence") if name in shown]
    shown[numbers] = shown[numbers].astype(float).round(3)
    return shown.rename(columns=_NAMES).rename_axis(columns=f"⚠ {banner}" if banner else None)


def _cell(row) -> str:
    return reports.interval(row, _DIGITS.get(getattr(row, "quantity", "net"), 1))


def factors_summary(table: pd.DataFrame, untold: list[str], margin: float, confidence: float) -> str:
    """Say which contrasts survive Holm's correction, which are equivalent to 0 and which cannot be compared.

    Args:
        table: A table of `comparisons.factors`.
        untold: Factors with fewer than two known levels (`comparisons.constant_factors`).
        margin: Margin of equivalence, in points.
        confidence: 1 minus the level of the tests.
    """
    not_compared = (
        f" Not compared, for the benchmark tells no two levels apart: {', '.join(untold)}." if untold else ""
    )
    if table.empty:
        return "There is nothing to compare." + not_compared
    return _verdicts(table, table["contrast"], margin, confidence) + not_compared


def dose_response_summary(table: pd.DataFrame, margin: float, confidence: float) -> str:
    """Say whether leakage grows with the intensity of the context, from `comparisons.dose_response`."""
    if table.empty:
        return "Fewer than two intensities are known: there is no dose–response."
    slopes = table[table["contrast"] == "intensity: per step"]
    per_step = ", ".join(
        f"{QUANTITIES[row.quantity].replace(', ', ' ')} {_cell(row)}" for row in slopes.itertuples()
    )
    names = table["contrast"] + " (" + table["quantity"] + ")"
    return f"Per step of intensity: {per_step}. {_verdicts(table, names, margin, confidence)}"


def models_summary(table: pd.DataFrame, margin: float, confidence: float) -> str:
    """Say which models differ in net excess, from a table of `comparisons.models`.

    The text also says how many prompts were left out because only one of two models has them.
    """
    if table.empty:
        return "There is one model, so no pair to compare."
    partial = table[(table["left_out_first"] > 0) | (table["left_out_second"] > 0)]
    left_out = "".join(
        f" {row.first} and {row.second} are compared on the {row.n:,} charged prompts that both have: "
        f"{row.left_out_first:,} of "
        f"{row.first} and {row.left_out_second:,} of {row.second} are left out."
        for row in partial.itertuples()
    )
    names = table["first"] + " − " + table["second"]
    return _verdicts(table, names, margin, confidence) + (left_out or " Every prompt has a partner.")


def _verdicts(table: pd.DataFrame, names: pd.Series, margin: float, confidence: float) -> str:
    """Count the tests of a family: different after Holm's correction, equivalent, equal, and neither."""
    differs, same = table["p_holm"] < 1 - confidence, table["p_equivalence"] < 1 - confidence
    # 0 in every stem: without variation there is no test
    equal = (table["estimate"] == 0) & (table["se"] == 0)
    tests = int(table["p"].notna().sum())
    significant = [
        f"{name} {_cell(row)}" for name, row in zip(names[differs], table[differs].itertuples(), strict=True)
    ]
    equal_text = f"without any difference, 0 in every stem: {equal.sum()}{_listed(names[equal])}; "
    return (
        f"This table is one family of {tests} {'test' if tests == 1 else 'tests'}. Differing from 0 after "
        "Holm's correction: "
        f"{differs.sum()}{_listed(significant)}; equivalent to 0 within ±{margin:g} points: "
        f"{same.sum()}{_listed(names[same])}; "
        f"{equal_text if equal.any() else ''}neither: {(~differs & ~same & ~equal).sum()}."
    )


def _listed(words) -> str:
    return f" ({'; '.join(words)})" if len(words) else ""


def estimates_by_method(table: pd.DataFrame, banner: str = "") -> pd.DataFrame:
    """Format a table of `model_based.estimates`: the methods side by side, and where they disagree.

    Returns:
        One row per quantity, arm and slot: a column for each of METHODS, pairs, stems and disagreement.
    """
    key = ["quantity", "arm", "slot"]
    cells = table.assign(
        cell=[_cell(row) if row.estimate == row.estimate else row.said for row in table.itertuples()]
    )
    wide = cells.pivot(index=key, columns="method", values="cell").reindex(columns=METHODS)
    counts = cells[cells["method"] == "mean"].set_index(key)[["n", "n_stems"]]
    contradictions = disagreements(table)
    remarks = (
        (contradictions["method"] + ": " + contradictions["disagreement"])
        .groupby([contradictions[name] for name in key])
        .agg("; ".join)
    )
    shown = counts.join(wide).join(remarks.rename("disagreement")).reset_index()
    shown["model"] = [f"{MODELS[row.quantity]}: {row.model}" for row in shown.itertuples()]
    shown["quantity"] = shown["quantity"].map(QUANTITIES)
    shown = shown[[*key, *METHODS, "n", "n_stems", "disagreement"]].fillna({"disagreement": "none"})
    return shown.rename(columns={"n": "pairs", "n_stems": "stems"}).rename_axis(
        columns=f"⚠ {banner}" if banner else None
    )


def estimates_summary(table: pd.DataFrame) -> str:
    """Say in how many rows the bootstrap or the model contradicts the mean or has no answer, and how.

    The count is out of the rows whose mean has an interval.
    """
    rows = int(table.loc[table["method"] == "mean", "ci_low"].notna().sum())
    if not rows:
        return "No mean has an interval: nothing can be compared."
    contradictions = disagreements(table)
    contradicted = len(contradictions.drop_duplicates(["quantity", "arm", "slot"]))
    listed = [
        f"{QUANTITIES[row.quantity]}, {row.arm}, {row.slot}: {row.disagreement} ({_method(row)})"
        for row in contradictions.itertuples()
    ]
    agreeing = (
        f"In {rows - contradicted} of {rows} rows neither the bootstrap nor the model contradicts the mean."
    )
    return agreeing + f" Elsewhere: {'; '.join(listed)}." * bool(listed)


def _method(row) -> str:
    return MODELS[row.quantity] if row.method == "model" else row.method
