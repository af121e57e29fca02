"""Comparisons within a model and between models: each function gives a table that is one family of tests,
Holm-corrected.

Columns of each table, in this order where it has them: what is compared; fields of
`clustered.DesignEstimate`, its interval unadjusted; p_holm, over the rows that have a p; p_equivalence, of
two one-sided tests against ±margin (points; not corrected, none for the shift); effect, effect_low,
effect_high (see `effect_size`); way:

- *paired*: both sides of a difference share their group, which is then one value;
- *between clusters*: no stem, or match of contexts if these are the clusters, is on both sides (Welch);
- *across clusters*: some are on both sides; a line through the values of all, clustered
  (`lib.analysis.clustered`).

What is compared with what is a choice of this project.
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
_DESCRIBING = ["family", "tuning", "mode", "parameters"]  # of a model


def factors(pairs: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """Differences of net excess within one model: contrast, then the columns of a family.

    Polarity is paired by group. Of a factor with more than two levels each level is compared with the others
    together: fewer tests than all pairs of levels (4 rather than 6 of four), and the question is which level
    stands out. A factor of which `pairs` do not tell two levels apart gives no row (`untold`).
    """
    charged = leakage.charged_pairs(pairs).dropna(subset="net")
    rows = list(_polarity(charged, margin, confidence))
    for factor in FACTORS:
        for contrast, part, first in _contrasts(charged, factor):
            rows.append({"contrast": contrast, **_unpaired(part, "net", first, margin, confidence)})
    return _family(rows, ["contrast"])


def untold(pairs: pd.DataFrame) -> list[str]:
    """The factors, intensity among them, of which `pairs` hold fewer than two known levels."""
    charged = leakage.charged_pairs(pairs).dropna(subset="net")
    return [factor for factor in FACTORS if not any(_contrasts(charged, factor))] + ["intensity"] * (
        len(_doses(charged)) < 2
    )


def dose_response(pairs: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """Dose–response within one model: for each quantity of DOSED its slope per step of intensity, and each
    step by itself.

    Columns: contrast, quantity, then those of a family. Steps are held to be equally wide. No rows if there
    is one intensity.
    """
    charged = leakage.charged_pairs(pairs)
    levels, rows = _doses(charged), []
    for quantity in DOSED if len(levels) > 1 else ():
        allowed = margin if quantity != "shift" else np.nan
        told = charged[charged["intensity"].isin(levels)].dropna(subset=quantity)
        told = told.assign(step=told["intensity"].map(INTENSITIES.index))
        slope = clustered.design_slope(told, quantity, "step", confidence)
        tested = _tested(
            slope, _spread(told[quantity], told["step"], told["stem_id"]), allowed, confidence, ACROSS
        )
        rows.append({"contrast": "intensity: per step", "quantity": quantity, **tested})
        for lower, upper in pairwise(levels):
            part = told[told["intensity"].isin([lower, upper])]
            tested = _unpaired(part, quantity, part["intensity"] == upper, allowed, confidence)
            rows.append({"contrast": f"intensity: {upper} − {lower}", "quantity": quantity, **tested})
    return _family(rows, ["contrast", "quantity"])


def models(pairs: pd.DataFrame, margin: float, confidence: float, quantity: str = "net") -> pd.DataFrame:
    """Difference of a quantity of every two models on the groups and arms that both have, a group and arm
    being one value.

    Columns: quantity, first, second, differ_in (of _DESCRIBING, what sets them apart; a template, system
    prompt or temperature may too), left_out_first, left_out_second (charged prompts that only one of them has
    scored completions of), then those of a family.
    """
    charged = leakage.charged_pairs(pairs).dropna(subset=quantity)
    means = (
        charged.groupby(["model", "stem_id", "group_id", "arm"], sort=False)[quantity]
        .mean()
        .reset_index("stem_id")
    )
    about = charged.groupby("model", sort=False)[[name for name in _DESCRIBING if name in charged]].first()
    rows = []
    for first, second in combinations(about.index, 2):
        other = means.loc[second][quantity].rename("second")
        both = means.loc[first].merge(other, left_index=True, right_index=True)
        both = both.assign(difference=both[quantity] - both["second"]).reset_index()
        apart = [name for name in about if str(about.loc[first, name]) != str(about.loc[second, name])]
        rows.append(
            {
                "quantity": quantity,
                "first": first,
                "second": second,
                "differ_in": ", ".join(apart),
                "left_out_first": len(means.loc[first]) - len(both),
                "left_out_second": len(means.loc[second]) - len(both),
                **_paired(both, margin, confidence),
            }
        )
    return _family(rows, ["quantity", "first", "second", "differ_in", "left_out_first", "left_out_second"])


def effect_size(found: Estimate, spread: float, confidence: float) -> tuple[float, float, float]:
    """The estimate in units of `spread`, a standard deviation of stems' means, with an interval by the
    noncentral t.

    Cohen's d of means of stems where stems differ, d_z where `spread` is that of stems' own differences. The
    interval is that of the noncentrality of estimate / clustered error (Steiger & Fouladi 1997), in the same
    units: where stems are equally large, the usual one of d. It agrees with p but for what p allows for
    skewness. NaN without an interval or a spread, or where stems agree but for rounding.
    """
    if not (spread > 0 and found.se > 1e-4 * abs(found.estimate)):  # below it, scipy may search for ever
        return np.nan, np.nan, np.nan
    tail = (1 - confidence) / 2
    bounds = special.nctdtrinc(found.df, [1 - tail, tail], found.estimate / found.se)
    low, high = bounds * found.se / spread
    return found.estimate / spread, low, high


def _spread(values: pd.Series, levels: pd.Series, stems: pd.Series) -> float:
    """Standard deviation of stems' means within a level, pooled over levels."""
    means = values.groupby([levels.to_numpy(), stems.to_numpy()]).mean()
    within = means.groupby(level=0)
    freedom = (within.size() - 1).sum()
    return np.sqrt(within.var().mul(within.size() - 1).sum() / freedom) if freedom else np.nan


def _polarity(charged: pd.DataFrame, margin: float, confidence: float) -> Iterator[dict]:
    if charged["arm"].nunique() == 2:
        told = leakage.polarity_difference(charged).dropna(subset="difference")
        if len(told):
            tested = _paired(told, margin, confidence)
            yield {"contrast": "polarity: negative − positive", **tested}


def _contrasts(charged: pd.DataFrame, factor: str) -> Iterator[tuple[str, pd.DataFrame, pd.Series]]:
    """Name, rows, and which of the rows are the first side, of each contrast of a factor."""
    column, levels, arms = FACTORS[factor]
    if column not in charged:
        return
    part = charged[charged["arm"].isin(arms) & charged[column].isin(levels)]
    found = [level for level in levels if (part[column] == level).any()]
    if len(found) == 2:
        yield f"{factor}: {found[0]} − {found[1]}", part, part[column] == found[0]
    elif len(found) > 2:
        yield from ((f"{factor}: {level} − others", part, part[column] == level) for level in found)


def _doses(charged: pd.DataFrame) -> list[str]:
    found = set(charged["intensity"]) if "intensity" in charged else set()
    return [level for level in INTENSITIES if level in found]


def _paired(table: pd.DataFrame, margin: float, confidence: float) -> dict:
    found = clustered.design_mean(table, "difference", confidence)
    spread = table.groupby("stem_id")["difference"].mean().std()
    return _tested(found, spread, margin, confidence, PAIRED)


def _unpaired(part: pd.DataFrame, quantity: str, first: pd.Series, margin: float, confidence: float) -> dict:
    found, apart = clustered.design_difference(part, quantity, first, confidence)
    spread = _spread(part[quantity], first, part["stem_id"])
    return _tested(found, spread, margin, confidence, BETWEEN if apart else ACROSS)


def _tested(found: Estimate, spread: float, margin: float, confidence: float, way: str) -> dict:
    effect = dict(
        zip(["effect", "effect_low", "effect_high"], effect_size(found, spread, confidence), strict=True)
    )
    p_equivalence = np.nan if np.isnan(margin) else inference.equivalence_p(found, margin)
    return {**asdict(found), "p_equivalence": p_equivalence, **effect, "way": way}


def _family(rows: list[dict], named: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[*named, *_TESTED])
    table = table.astype(
        {name: float for name in _TESTED if name not in ("n", "n_stems", "n_matches", "cluster_unit", "way")}
    )
    cut = leakage.within_limits(
        table.assign(quantity=table.get("quantity", "net")), leakage.DIFFERENCE_SUPPORT
    )
    return cut.assign(p_holm=inference.holm(table["p"]))[table.columns]
