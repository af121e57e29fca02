"""Whether negative sentiment leaks more than positive (C4), for every admissible reference.

Let b be the balance of an arm: its mean valence, or its % of positive minus its % of negative verdicts. The
negative arm then leaks b(reference) − b(negative), and the positive arm b(positive) − b(reference). The
difference of the two is

    D = 2 b(reference) − b(negative) − b(positive).

The reference cancels in the sum of the two and counts twice in D: a reference that leans to one side decides
D by itself. No reference is the right one, so D has a sign only where all references agree on it
(intersection–union test, Berger 1982).
"""

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pandas as pd
from scipy import optimize

from lib.analysis import leakage
from lib.analysis.clustered import compact, design_mean
from lib.dataset import curated_prompts
from lib.nlp.vader import SCALE

POOLED = "neutral and placebo"
REFERENCES = {
    POOLED: ("neutral", "placebo"),
    "neutral": ("neutral",),
    "placebo": ("placebo",),
    "none": ("none",),
}
QUANTITIES = ("shift", "net")
BALANCES = {"verdicts": (-100.0, 100.0), "valence": (-SCALE, SCALE)}  # least and greatest value
RATIOS = np.geomspace(1 / 4, 4, 33)  # ratios of sensitivities that `tipping` tries
_COLUMNS = [
    "model",
    "mitigation",
    "stem_id",
    "group_id",
    "sample_index",
    "arm",
    "valence",
    "charged",
    "repeats",
    "match_id",
    "slot",
    "domain",
    "form",
    "intensity",
    "emotion",
]
_PAIR = "_completion"  # number of the charged completion of a pair, while references are averaged


def pairs_by_reference(judgements: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Charged pairs against each admissible reference.

    The references are those of REFERENCES and, where `judgements` have a column `kind` (of the context),
    neutral contexts of each kind, in the neutral or the placebo arm. Where several completions are the
    reference, a quantity is its mean over those for which it is known.

    Args:
        judgements: One row per completion, as in `leakage.pairs`.

    Returns:
        Tables of `leakage.pairs` by reference; a reference that `judgements` lack has a table without rows.
    """
    used = [name for name in (*_COLUMNS, "kind") if name in judgements]
    judgements = compact(curated_prompts.with_match(judgements[used]))
    columns = [name for name in _COLUMNS if name in judgements]
    numbered = judgements[columns].assign(**{_PAIR: np.arange(len(judgements))})
    against = [
        leakage.charged_pairs(leakage.pairs(numbered, arm)).assign(reference=arm)
        for arm in ("neutral", "placebo", "none")
    ]
    table = pd.concat(against, ignore_index=True)
    references = {name: table[table["reference"].isin(arms)] for name, arms in REFERENCES.items()}
    if "kind" in judgements:
        labelled = judgements.loc[judgements["kind"].ne(""), ["group_id", "arm", "kind"]].drop_duplicates(
            ["group_id", "arm"]
        )
        kinds = labelled.rename(columns={"arm": "reference"})
        of_kind = references[POOLED].merge(kinds, on=["group_id", "reference"]).groupby("kind", sort=True)
        references |= {_of_kind(kind): rows.drop(columns="kind") for kind, rows in of_kind}
    return {name: _averaged(rows).drop(columns=_PAIR) for name, rows in references.items()}


def _of_kind(kind):
    """Name of neutral contexts of a kind as a reference; accepts one name or a column of names."""
    return "neutral, " + kind


def _averaged(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each charged completion, with quantities averaged over its references."""
    if table["reference"].nunique() < 2:
        return table
    quantities = list(leakage.QUANTITIES)
    means = table.groupby(_PAIR, sort=False, as_index=False)[quantities].mean()
    return table.drop_duplicates(_PAIR).drop(columns=quantities).merge(means, on=_PAIR, validate="one_to_one")


def by_reference(judgements: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """D of unmitigated judgements against each reference.

    Args:
        judgements: One row per completion, as in `leakage.pairs`.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        One row per reference, quantity and model: model, reference, quantity (of QUANTITIES), the fields of
        DesignEstimate. Estimates are in points of the human scale (shift) and percentage points (net); there
        is none where a model lacks the reference.
    """
    return of_references(pairs_by_reference(judgements), judgements["model"].unique(), QUANTITIES, confidence)


def of_references(references: dict[str, pd.DataFrame], models, quantities, confidence: float) -> pd.DataFrame:
    """As `by_reference`, for some models and quantities in the tables of `pairs_by_reference`."""
    rows = []
    for reference, pairs in references.items():
        for quantity in quantities:
            table, limits = leakage.polarity_difference(pairs, quantity), leakage.DIFFERENCE_SUPPORT[quantity]
            for model in models:
                estimate = design_mean(table[table["model"] == model], "difference", confidence, limits)
                rows.append(
                    {"model": model, "reference": reference, "quantity": quantity, **asdict(estimate)}
                )
    return pd.DataFrame(rows)


def decided(table: pd.DataFrame) -> pd.DataFrame:
    """The sign on which all references agree.

    Args:
        table: Table of `by_reference`.

    Returns:
        One row per model and quantity: model, quantity, sign, p, reason. sign is +1 or −1 where every
        interval lies above or below 0, else 0. p is that of the intersection–union test: the largest p of the
        references where all estimates lie on one side, without a correction, as none is needed; NaN where a
        reference has no p.
    """
    rows = []
    for (model, quantity), estimates in table.groupby(["model", "quantity"], sort=False):
        sign, reason = _agreed(estimates)
        rows.append(
            {
                "model": model,
                "quantity": quantity,
                "sign": sign,
                "p": _intersection_union(estimates),
                "reason": reason,
            }
        )
    return pd.DataFrame(rows, columns=["model", "quantity", "sign", "p", "reason"])


def _agreed(estimates: pd.DataFrame) -> tuple[int, str]:
    sides = (estimates["ci_low"] > 0).astype(int) - (estimates["ci_high"] < 0).astype(int)
    references = {
        "no interval": estimates["ci_low"].isna(),
        "above 0": sides > 0,
        "below 0": sides < 0,
        "interval includes 0": (sides == 0) & estimates["ci_low"].notna(),
    }
    if sides.abs().all() and sides.nunique() == 1:
        return int(
            sides.iloc[0]
        ), f"whole interval {'above' if sides.iloc[0] > 0 else 'below'} 0 against every reference"
    reasons = [
        f"{reason} against {', '.join(estimates.loc[rows, 'reference'])}"
        for reason, rows in references.items()
        if rows.any()
    ]
    return 0, "; ".join(reasons)


def _intersection_union(estimates: pd.DataFrame) -> float:
    """Two-sided p of the union of the hypotheses of all references.

    It is twice the smaller of two values: the largest one-sided p of either side.
    """
    p, above = estimates["p"].to_numpy(float), estimates["estimate"].to_numpy(float) > 0
    if np.isnan(p).any():
        return np.nan
    upper = np.where(above, p / 2, 1 - p / 2)
    return float(min(1.0, 2 * min(upper.max(), (1 - upper).max())))


def balance(judgements: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The balance b of each arm of unmitigated judgements.

    Args:
        judgements: One row per completion, as in `leakage.pairs`.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        One row per model, arm and quantity: model, arm, quantity, the fields of DesignEstimate. The arms
        include POOLED and neutral contexts of each kind (as references, see `pairs_by_reference`). quantity
        is `verdicts`, % positive minus % negative of the scored completions, or `valence`, their mean in
        points of the scale.
    """
    scored = judgements.dropna(subset="valence")
    verdict = np.sign(scored["valence"]) * scored["charged"].astype(float)
    scored = scored.assign(verdicts=100.0 * verdict)
    pooled = scored[scored["arm"].isin(REFERENCES[POOLED])].assign(arm=POOLED)
    of_kind = pooled[pooled["kind"].ne("")] if "kind" in pooled else pooled.iloc[:0]
    of_kind = of_kind.assign(arm=_of_kind(of_kind["kind"])) if len(of_kind) else of_kind
    arms = dict(list(pd.concat([scored, pooled, of_kind]).groupby(["model", "arm"])))
    names = (*leakage.DIRECTIONS, *REFERENCES, *sorted(of_kind["arm"].unique()))
    rows = [
        {
            "model": model,
            "arm": arm,
            "quantity": quantity,
            **asdict(design_mean(arms[model, arm], quantity, confidence, limits)),
        }
        for model in judgements["model"].unique()
        for arm in names
        if (model, arm) in arms
        for quantity, limits in BALANCES.items()
    ]
    return pd.DataFrame(rows)


def tipping(judgements: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """How unequally sensitive to the two polarities the judge must be to explain the sign of D.

    If the judge is r times as sensitive to negative charge as to positive, an equally sensitive judge would
    have given r times the positive verdicts, or positive valence. Then D(r) = N + r P, where N is D of
    negative charge alone, P is D of positive charge alone, and D(1) is D as measured.

    Args:
        judgements: One row per completion, as in `leakage.pairs`.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        One row per reference, quantity and model: model, reference, quantity; `tips`, the r at which D(r) =
        0; `open_from` and `open_to`, between which the interval of D(r) includes 0; n, n_stems. Only r within
        RATIOS are considered: NaN means that there is none, −inf and inf that the range extends beyond
        RATIOS.
    """
    sides = [
        pairs_by_reference(judgements.assign(valence=judgements["valence"].clip(**side)))
        for side in ({"upper": 0}, {"lower": 0})
    ]
    rows = []
    for reference in sides[0]:
        for quantity in QUANTITIES:
            negative, positive = (leakage.polarity_difference(pairs[reference], quantity) for pairs in sides)
            table = negative.assign(positive=positive["difference"]).dropna(subset=["difference", "positive"])
            for model in judgements["model"].unique():
                range_of_ratios = _tipping(
                    table[table["model"] == model], leakage.DIFFERENCE_SUPPORT[quantity], confidence
                )
                rows.append({"model": model, "reference": reference, "quantity": quantity, **range_of_ratios})
    return pd.DataFrame(rows)


def _tipping(table: pd.DataFrame, limits: tuple[float, float], confidence: float) -> dict:
    table = curated_prompts.with_match(table)  # once for all ratios
    counts = {"n": len(table), "n_stems": table["stem_id"].nunique()}
    negative, positive = table["difference"].mean(), table["positive"].mean()
    tips = -negative / positive if positive else np.nan
    tips = tips if RATIOS[0] <= tips <= RATIOS[-1] else np.nan

    def bounds(ratio: float) -> tuple[float, float]:
        scaled = table.assign(difference=table["difference"] + ratio * table["positive"])
        least, greatest = (max(1, ratio) * limit for limit in limits)
        estimate = design_mean(scaled, "difference", confidence, (least, greatest))
        return estimate.ci_low, estimate.ci_high

    ratios = np.union1d(RATIOS, tips) if tips > 0 else RATIOS
    open_from, open_to = _open_range(ratios, bounds)
    return {"tips": tips, "open_from": open_from, "open_to": open_to, **counts}


def _open_range(ratios: np.ndarray, bounds: Callable[[float], tuple[float, float]]) -> tuple[float, float]:
    """Least and greatest ratio at which an interval includes 0, located where its bound is 0."""
    lows, highs = np.array([bounds(ratio) for ratio in ratios]).T
    includes = np.flatnonzero((lows <= 0) & (highs >= 0))
    if not len(includes):
        return np.nan, np.nan

    def edge(outside: int, inside: int) -> float:
        side = 0 if lows[outside] > 0 else 1
        return float(
            optimize.brentq(
                lambda ratio: bounds(ratio)[side], *sorted((ratios[outside], ratios[inside])), xtol=1e-3
            )
        )

    first, last = includes[0], includes[-1]
    return (edge(first - 1, first) if first else -np.inf), (
        edge(last + 1, last) if last + 1 < len(ratios) else np.inf
    )
