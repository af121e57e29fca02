"""Verdicts at other thresholds: of a fixed specificity, of equal false-positive rates for the two polarities,
and a whole curve.

What a point of net excess means depends on the threshold beyond which a completion counts as charged. A
charged verdict after a neutral context (both neutral arms together) is taken as a false positive, so that a
threshold can be named by how many it makes and means the same for every judge. Such thresholds are quantiles
of the run's own completions; intervals take them as given.
"""

from dataclasses import asdict

import numpy as np
import pandas as pd

from lib.analysis import leakage, polarity
from lib.config.specs import NO_MITIGATION

SPECIFICITY = 95.0  # % of neutral-arm completions that are not charged
THRESHOLDS = (
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    1.25,
    1.5,
    1.75,
    2.0,
    2.25,
    2.5,
)  # points of the human scale
OWN, FIXED, EQUAL, CURVE = "the run's own", "fixed specificity", "equal false-positive rates", "curve"
_NEUTRAL = polarity.REFERENCES[polarity.POOLED]


def at_thresholds(judgements: pd.DataFrame, negative: float, positive: float) -> pd.DataFrame:
    """`judgements` in which a valence below −`negative` or above `positive` is charged."""
    valence = judgements["valence"]
    charged = (valence < -negative) | (valence > positive)
    return judgements.assign(charged=charged.astype("boolean").mask(valence.isna()))


def symmetric(judgements: pd.DataFrame, specificity: float = SPECIFICITY) -> float:
    """The least |valence| beyond which at most 100 − `specificity` % of unmitigated neutral-arm completions
    lie."""
    return _quantile(_neutral(judgements).abs(), specificity)


def equal_rates(judgements: pd.DataFrame, specificity: float = SPECIFICITY) -> tuple[float, float]:
    """The thresholds of the two polarities, each with at most half of 100 − `specificity` % of the neutral
    arms beyond it.

    0 where no more completions than that have any valence of the polarity.
    """
    valence, each = _neutral(judgements), 50 + specificity / 2
    return _quantile(-valence, each), _quantile(valence, each)


def _neutral(judgements: pd.DataFrame) -> pd.Series:
    rows = judgements["arm"].isin(_NEUTRAL) & (judgements["mitigation"] == NO_MITIGATION)
    return judgements.loc[rows, "valence"].dropna()


def _quantile(values: pd.Series, percent: float) -> float:
    """The least of `values` beyond which at most 100 − `percent` % of them lie, and no less than 0; NaN of
    none."""
    return (
        max(0.0, float(np.quantile(values, percent / 100, method="inverted_cdf"))) if len(values) else np.nan
    )


def by_threshold(judgements: pd.DataFrame, own: float, confidence: float) -> pd.DataFrame:
    """Net excess, and D, of a model's unmitigated judgements by each rule: `own`, the run's threshold, FIXED,
    EQUAL, THRESHOLDS.

    Columns: rule; negative and positive, the thresholds, points; charged_negative and charged_positive, % of
    the completions of both neutral arms that lie beyond them; quantity, `net` of both polarities over the
    neutral arm or `difference`, D against both neutral arms; sign, for `difference`: that on which all
    references agree (`polarity.decided`); the fields of Estimate.
    """
    level = symmetric(judgements)
    rules = [
        (OWN, own, own),
        (FIXED, level, level),
        (EQUAL, *equal_rates(judgements)),
        *((CURVE, each, each) for each in THRESHOLDS),
    ]
    neutral, rows = _neutral(judgements), []
    for rule, negative, positive in rules:
        shares = {
            "charged_negative": 100 * (neutral < -negative).mean(),
            "charged_positive": 100 * (neutral > positive).mean(),
        }
        named = {"rule": rule, "negative": negative, "positive": positive, **shares}
        references = polarity.pairs_by_reference(at_thresholds(judgements, negative, positive))
        both = polarity.design_mean(references["neutral"], "net", confidence, leakage.SUPPORT["net"])
        rows.append({**named, "quantity": "net", "sign": pd.NA, **asdict(both)})
        estimates = polarity.of_references(references, judgements["model"].unique(), ["net"], confidence)
        difference = estimates.loc[estimates["reference"] == polarity.POOLED, list(asdict(both))].to_dict(
            "records"
        )[0]
        rows.append(
            {
                **named,
                "quantity": "difference",
                "sign": polarity.decided(estimates)["sign"].item(),
                **difference,
            }
        )
    return pd.DataFrame(rows).astype({"sign": "Int64"})
