"""Comparisons within and between models; each function returns one Holm-corrected family of tests.

Columns of each table, in this order where present: what is compared; the fields of
`clustered.DesignEstimate`, with an unadjusted interval; p_holm, over the rows that have a p; p_equivalence,
of two one-sided tests against ±margin (points; not corrected, none for the shift); effect, effect_low,
effect_high (see `effect_size`); way:

- *paired*: both sides of a difference share their group, which is then one value;
- *between clusters*: no cluster (stem or match of contexts) is on both sides (Welch);
- *across clusters*: some clusters are on both sides; a line through the values of all, clustered
  (`lib.analysis.clustered`).

Which comparisons are made is a choice of this project.
"""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from scipy import special

from lib.analysis import clustered, leakage
from lib.dataset.curated_prompts import EMOTIONS, INTENSITIES, PRONOUNS
from lib.stats import inference
from lib.stats.inference import Estimate

PAIRED, BETWEEN, ACROSS = "paired", "between clusters", "across clusters"
FACTORS = {  # factor: column, levels in the order of comparison, arms
    "slot": ("slot", ("closed", "open"), ("negative", "positive")),
    "form": ("form", ("idiomatic", "explicit"), ("negative", "positive")),
    "negative emotion": ("emotion", EMOTIONS["negative"], ("negative",)),
    "positive emotion": ("emotion", EMOTIONS["positive"], ("positive",)),
    "subject": ("pronoun", PRONOUNS, ("negative", "positive")),
}
DOSED = ("towards", "net", "shift")
_TESTED = [
    "estimate",
    "ci_low",
    "ci_high",
    "n",
    "n_stems",
    "n_matches",
    "cluster_unit",
    "se",
    "naive_se_ratio",
    "p",
    "p_holm",
    "p_equivalence",
    "effect",
    "effect_low",
    "effect_high",
    "way",
]
_DESCRIBING = ["family", "tuning", "mode", "parameters"]  # properties of a model


def factors(pairs: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """Differences of net excess within one model.

    Polarity is paired by group. Of a factor with more than two levels, each level is compared with all others
    together: this takes fewer tests than all pairs of levels (4 rather than 6 for four levels), and the
    question is which level stands out. A factor with fewer than two known levels in `pairs` gives no row (see
    `untold`).

    Args:
        pairs: Pairs of one model (`leakage.pairs`).
        margin: Equivalence margin, in percentage points.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        One row per contrast: contrast, then the columns of a family.
    """
    charged = leakage.charged_pairs(pairs).dropna(subset="net")
    rows = list(_polarity(charged, margin, confidence))
    for factor in FACTORS:
        for contrast, subset, first in _contrasts(charged, factor):
            rows.append({"contrast": contrast, **_unpaired(subset, "net", first, margin, confidence)})
    return _family(rows, ["contrast"])


def constant_factors(pairs: pd.DataFrame) -> list[str]:
    """Factors, including intensity, of which `pairs` hold fewer than two known levels."""
    charged = leakage.charged_pairs(pairs).dropna(subset="net")
    return [factor for factor in FACTORS if not any(_contrasts(charged, factor))] + ["intensity"] * (
        len(_doses(charged)) < 2
    )


def dose_response(pairs: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """Dose–response within one model: slope per step of intensity, and each step by itself.

    Steps are assumed to be equally wide.

    Args:
        pairs: Pairs of one model (`leakage.pairs`).
        margin: Equivalence margin, in percentage points; not used for the shift.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        Rows for each quantity of DOSED: contrast, quantity, then the columns of a family. No rows if there is
        only one intensity.
    """
    charged = leakage.charged_pairs(pairs)
    levels, rows = _doses(charged), []
    for quantity in DOSED if len(levels) > 1 else ():
        allowed = margin if quantity != "shift" else np.nan
        labelled = charged[charged["intensity"].isin(levels)].dropna(subset=quantity)
        labelled = labelled.assign(step=labelled["intensity"].map(INTENSITIES.index))
        slope = clustered.design_slope(labelled, quantity, "step", confidence)
        tested = _tested(
            slope,
            _spread(labelled[quantity], labelled["step"], labelled["stem_id"]),
            allowed,
            confidence,
            ACROSS,
        )
        rows.append({"contrast": "intensity: per step", "quantity": quantity, **tested})
        for lower, upper in pairwise(levels):
            subset = labelled[labelled["intensity"].isin([lower, upper])]
            tested = _unpaired(subset, quantity, subset["intensity"] == upper, allowed, confidence)
            rows.append({"contrast": f"intensity: {upper} − {lower}", "quantity": quantity, **tested})
    return _family(rows, ["contrast", "quantity"])


def models(pairs: pd.DataFrame, margin: float, confidence: float, quantity: str = "net") -> pd.DataFrame:
    """Difference of a quantity between every two models, on the groups and arms that both have.

    A group and arm are one value, the mean of their draws.

    Args:
        pairs: Pairs of several models (`leakage.pairs`).
        margin: Equivalence margin, in the unit of the quantity.
        confidence: Level of the intervals, between 0 and 1.
        quantity: One of leakage.QUANTITIES.

    Returns:
        One row per pair of models: quantity, first, second, differ_in (those of _DESCRIBING in which they
        differ; a template, system prompt or temperature may differ too), left_out_first and left_out_second
        (charged prompts for which only that model has scored completions), then the columns of a family.
    """
    charged = leakage.charged_pairs(pairs).dropna(subset=quantity)
    means = (
        charged.groupby(["model", "stem_id", "group_id", "arm"], sort=False)[quantity]
        .mean()
        .reset_index("stem_id")
    )
    descriptions = charged.groupby("model", sort=False)[
        [name for name in _DESCRIBING if name in charged]
    ].first()
    rows = []
    for first, second in combinations(descriptions.index, 2):
        other = means.loc[second][quantity].rename("second")
        both = means.loc[first].merge(other, left_index=True, right_index=True)
        both = both.assign(difference=both[quantity] - both["second"]).reset_index()
        differing = [
            name
            for name in descriptions
            if str(descriptions.loc[first, name]) != str(descriptions.loc[second, name])
        ]
        rows.append(
            {
                "quantity": quantity,
                "first": first,
                "second": second,
                "differ_in": ", ".join(differing),
                "left_out_first": len(means.loc[first]) - len(both),
                "left_out_second": len(means.loc[second]) - len(both),
                **_paired(both, margin, confidence),
            }
        )
    return _family(rows, ["quantity", "first", "second", "differ_in", "left_out_first", "left_out_second"])


def effect_size(estimate: Estimate, spread: float, confidence: float) -> tuple[float, float, float]:
    """The estimate in units of a standard deviation of stem means, with an interval from the noncentral t.

    Cohen's d of the means of stems where the two sides have different stems; d_z where `spread` is the
    standard deviation of each stem's own differences. The interval is that of the noncentrality of estimate /
    clustered standard error (Steiger & Fouladi 1997), in the same units; where stems are equally large, it is
    the usual interval of d. It agrees with p except for the allowance that p makes for skewness.

    Args:
        estimate: The estimate.
        spread: Standard deviation of the means of stems.
        confidence: Level of the interval, between 0 and 1.

    Returns:
        Effect, lower bound, upper bound. NaN without an interval or a spread, or where stems agree up to
        rounding.
    """
    if not (
        spread > 0 and estimate.se > 1e-4 * abs(estimate.estimate)
    ):  # below this, scipy may not terminate
        return np.nan, np.nan, np.nan
    tail = (1 - confidence) / 2
    bounds = special.nctdtrinc(estimate.df, [1 - tail, tail], estimate.estimate / estimate.se)
    effect_low, effect_high = bounds * estimate.se / spread
    return estimate.estimate / spread, effect_low, effect_high


def _spread(values: pd.Series, levels: pd.Series, stems: pd.Series) -> float:
    """Standard deviation of the means of stems within a level, pooled over levels."""
    means = values.groupby([levels.to_numpy(), stems.to_numpy()]).mean()
    within = means.groupby(level=0)
    df = (within.size() - 1).sum()
    return np.sqrt(within.var().mul(within.size() - 1).sum() / df) if df else np.nan


def _polarity(charged: pd.DataFrame, margin: float, confidence: float) -> Iterator[dict]:
    if charged["arm"].nunique() == 2:
        differences = leakage.polarity_difference(charged).dropna(subset="difference")
        if len(differences):
            tested = _paired(differences, margin, confidence)
            yield {"contrast": "polarity: negative − positive", **tested}


def _contrasts(charged: pd.DataFrame, factor: str) -> Iterator[tuple[str, pd.DataFrame, pd.Series]]:
    """Name, rows, and the mask of rows on the first side, of each contrast of a factor."""
    column, levels, arms = FACTORS[factor]
    if column not in charged:
        return
    subset = charged[charged["arm"].isin(arms) & charged[column].isin(levels)]
    present = [level for level in levels if (subset[column] == level).any()]
    if len(present) == 2:
        yield f"{factor}: {present[0]} − {present[1]}", subset, subset[column] == present[0]
    elif len(present) > 2:
        yield from ((f"{factor}: {level} − others", subset, subset[column] == level) for level in present)


def _doses(charged: pd.DataFrame) -> list[str]:
    present = set(charged["intensity"]) if "intensity" in charged else set()
    return [level for level in INTENSITIES if level in present]


def _paired(table: pd.DataFrame, margin: float, confidence: float) -> dict:
    result = clustered.design_mean(table, "difference", confidence)
    sd = table.groupby("stem_id")["difference"].mean().std()
    return _tested(result, sd, margin, confidence, PAIRED)


def _unpaired(part: pd.DataFrame, quantity: str, first: pd.Series, margin: float, confidence: float) -> dict:
    result, separate = clustered.design_difference(part, quantity, first, confidence)
    sd = _spread(part[quantity], first, part["stem_id"])
    return _tested(result, sd, margin, confidence, BETWEEN if separate else ACROSS)


def _tested(estimate: Estimate, spread: float, margin: float, confidence: float, way: str) -> dict:
    effect = dict(
        zip(["effect", "effect_low", "effect_high"], effect_size(estimate, spread, confidence), strict=True)
    )
    p_equivalence = np.nan if np.isnan(margin) else inference.equivalence_p(estimate, margin)
    return {**asdict(estimate), "p_equivalence": p_equivalence, **effect, "way": way}


def _family(rows: list[dict], named: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[*named, *_TESTED])
    table = table.astype(
        {name: float for name in _TESTED if name not in ("n", "n_stems", "n_matches", "cluster_unit", "way")}
    )
    clipped = leakage.within_limits(
        table.assign(quantity=table.get("quantity", "net")), leakage.DIFFERENCE_SUPPORT
    )
    return clipped.assign(p_holm=inference.holm(table["p"]))[table.columns]
