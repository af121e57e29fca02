"""Verdicts at other thresholds: fixed specificity, equal false-positive rates, and a whole curve.

What a point of net excess means depends on the threshold beyond which a completion counts as charged. A
charged verdict after a neutral context (both neutral arms together) is taken as a false positive. A threshold
can then be defined by its false-positive rate and has the same meaning for every judge. Such thresholds are
quantiles of the run's own completions; intervals take them as given.
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
    """The judgements with a valence below −`negative` or above `positive` taken as charged."""
    valence = judgements["valence"]
    charged = (valence < -negative) | (valence > positive)
    return judgements.assign(charged=charged.astype("boolean").mask(valence.isna()))


def symmetric(judgements: pd.DataFrame, specificity: float = SPECIFICITY) -> float:
    """The symmetric threshold of a given specificity.

    Args:
        judgements: Judgements of one model.
        specificity: % of unmitigated completions of the neutral arms that are not charged.

    Returns:
        The least |valence| beyond which at most 100 − `specificity` % of these completions lie.
    """
    return _quantile(_neutral(judgements).abs(), specificity)


def equal_rates(judgements: pd.DataFrame, specificity: float = SPECIFICITY) -> tuple[float, float]:
    """The thresholds of the two polarities that give equal false-positive rates.

    Args:
        judgements: Judgements of one model.
        specificity: % of unmitigated completions of the neutral arms that are not charged.

    Returns:
        The negative and the positive threshold, each with at most half of 100 − `specificity` % of these
        completions beyond it. A threshold is 0 where no more completions than that have any valence of the
        polarity.
    """
    valence, each = _neutral(judgements), 50 + specificity / 2
    return _quantile(-valence, each), _quantile(valence, each)


def _neutral(judgements: pd.DataFrame) -> pd.Series:
    rows = judgements["arm"].isin(_NEUTRAL) & (judgements["mitigation"] == NO_MITIGATION)
    return judgements.loc[rows, "valence"].dropna()


def _quantile(values: pd.Series, percent: float) -> float:
    """The least of `values`, at least 0, with at most 100 − `percent` % of them beyond; NaN of none."""
    return (
        max(0.0, float(np.quantile(values, percent / 100, method="inverted_cdf"))) if len(values) else np.nan
    )


def by_threshold(judgements: pd.DataFrame, own: float, confidence: float) -> pd.DataFrame:
    """Net excess and D of the unmitigated judgements of a model, by each rule for the threshold.

    Args:
        judgements: Unmitigated judgements of one model.
        own: Threshold of the run, in points of the human scale.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        Two rows for each rule (OWN, FIXED, EQUAL, and CURVE at each of THRESHOLDS). Columns: rule; negative
        and positive, the thresholds in points; charged_negative and charged_positive, % of the completions of
        both neutral arms beyond them; quantity, `net` of both polarities against the neutral arm or
        `difference`, D against both neutral arms; sign, for `difference`: the sign on which all references
        agree (`polarity.decided`); the fields of DesignEstimate.
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
        labels = {"rule": rule, "negative": negative, "positive": positive, **shares}
        references = polarity.pairs_by_reference(at_thresholds(judgements, negative, positive))
        both = polarity.design_mean(references["neutral"], "net", confidence, leakage.SUPPORT["net"])
        rows.append({**labels, "quantity": "net", "sign": pd.NA, **asdict(both)})
        estimates = polarity.of_references(references, judgements["model"].unique(), ["net"], confidence)
        difference = estimates.loc[estimates["reference"] == polarity.POOLED, list(asdict(both))].to_dict(
            "records"
        )[0]
        rows.append(
            {
                **labels,
                "quantity": "difference",
                "sign": polarity.decided(estimates)["sign"].item(),
                **difference,
            }
        )
    return pd.DataFrame(rows).astype({"sign": "Int64"})
