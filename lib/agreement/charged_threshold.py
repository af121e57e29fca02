"""The judge's threshold, fitted to people's labels of completions.

Each stem is judged by a threshold that its own labels did not shape.
"""

import numpy as np
import pandas as pd
from statsmodels.stats.inter_rater import cohens_kappa

from lib.agreement import prediction_powered
from lib.analysis import leakage
from lib.annotation import sampling_plan
from lib.annotation.sampling_plan import COMPLETION
from lib.runtime.errors import DataError
from lib.stats import inference, resamples

FOLDS = 5
CANDIDATES = 40


def table(key: pd.DataFrame, labels: pd.DataFrame, judgements: pd.DataFrame) -> pd.DataFrame:
    """Combine the labels of each text with the judge's verdict.

    Returns:
        One row per text and annotator: item_id, annotator, polarity (the annotator's), stem_id, weight,
        valence and charged (the judge's).
    """
    current = leakage.unmitigated(judgements)[[*COMPLETION, "valence", "charged"]]
    sampled = sampling_plan.completions(key).merge(current, on=COMPLETION).dropna(subset="valence")
    texts = (
        sampled.assign(weight=1 / sampled["probability"])
        .groupby("item_id")
        .agg({"stem_id": "first", "weight": "sum", "valence": "first", "charged": "first"})
    )
    labelled = prediction_powered.valences(labels).dropna(subset="polarity")[
        ["item_id", "annotator", "polarity"]
    ]
    return labelled.merge(texts, on="item_id")


def kappa(rows: pd.DataFrame, charged) -> float:
    """Return Cohen's kappa, weighted by `weight`, of the judge's polarity with that of people.

    The judge's polarity is that of the verdicts `charged`. NaN if all are equal.
    """
    verdict = (np.sign(rows["valence"]) * np.asarray(charged, dtype=float)).to_numpy()
    labelled = rows["polarity"].to_numpy()
    if len(np.unique([verdict, labelled])) < 2:
        return np.nan
    counts = np.zeros((3, 3))
    np.add.at(counts, (verdict.astype(int) + 1, labelled.astype(int) + 1), rows["weight"].to_numpy())
    return float(cohens_kappa(counts, return_results=False))


def fit(rows: pd.DataFrame) -> float:
    """Return the threshold of |valence| with the highest `kappa`; of equally good ones, the middle one.

    NaN where people give all texts the same polarity: then no threshold is better than another.
    """
    if rows["polarity"].nunique() < 2:
        return np.nan
    strength = rows["valence"].abs()
    candidates = np.unique(np.quantile(strength, np.linspace(0, 1, CANDIDATES), method="higher"))
    candidates = np.unique([0, *(candidates[1:] + candidates[:-1]) / 2])
    kappas = np.array([kappa(rows, strength > threshold) for threshold in candidates])
    best = candidates[kappas >= kappas.max() - 1e-12]
    return float(best[len(best) // 2])


def cross_fit(rows: pd.DataFrame, stem_ids, rng: np.random.Generator) -> pd.Series:
    """Fit a threshold for each of `stem_ids` to the rows of the stems in the other folds.

    There are FOLDS folds, or fewer if there are fewer stems.

    Args:
        rows: A table of `table`.
        stem_ids: The stems; one may occur several times.
        rng: Source of the division into folds.

    Returns:
        The thresholds, indexed by stem.

    Raises:
        ValueError: If the labels of some folds are all equal, or there are none, so that nothing can be
            fitted.
    """
    stems = pd.Index(pd.unique(np.asarray(stem_ids)))
    fold = pd.Series(rng.permutation(len(stems)) % min(FOLDS, len(stems)), stems)
    thresholds = {number: fit(rows[rows["stem_id"].map(fold) != number]) for number in fold.unique()}
    if np.isnan(list(thresholds.values())).any():
        raise DataError(
            "the threshold cannot be fitted: people call all texts of a fold the same, or none; label more"
        )
    return fold.map(thresholds)


def refit(judgements: pd.DataFrame, thresholds: pd.Series) -> pd.DataFrame:
    """Return `judgements` with `charged` according to these thresholds, by stem."""
    above = judgements["valence"].abs() > judgements["stem_id"].map(thresholds)
    return judgements.assign(charged=above.astype("boolean").mask(judgements["valence"].isna()))


def worth(
    rows: pd.DataFrame, thresholds: pd.Series, confidence: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Compare the kappa of the judge as it was with that of the judge re-fitted (out of fold).

    Args:
        rows: A table of `table`.
        thresholds: The result of `cross_fit`.
        confidence: Level of the intervals, between 0 and 1.
        draws: Number of bootstrap resamples.
        rng: Source of the resamples.

    Returns:
        Three rows, "as it was", "re-fitted" and "difference": judge, estimate, ci_low, ci_high (percentile
        intervals over stems), n (texts), n_stems.
    """
    rows = rows.assign(refitted=rows["valence"].abs() > rows["stem_id"].map(thresholds))

    def both(part: pd.DataFrame) -> np.ndarray:
        before, after = kappa(part, part["charged"]), kappa(part, part["refitted"])
        return np.array([before, after, after - before])

    ci_low, ci_high = inference.percentile_interval(
        resamples.cluster_bootstrap(rows, both, "stem_id", draws, rng), confidence
    )
    result = pd.DataFrame(
        {
            "judge": ["as it was", "re-fitted", "difference"],
            "estimate": both(rows),
            "ci_low": ci_low,
            "ci_high": ci_high,
        }
    )
    return result.assign(n=rows["item_id"].nunique(), n_stems=rows["stem_id"].nunique())
