"""The judge's threshold fitted to people's labels of completions; each stem is judged by one its own labels
did not shape."""

import numpy as np
import pandas as pd
from statsmodels.stats.inter_rater import cohens_kappa

from lib.agreement import prediction_powered
from lib.analysis import leakage
from lib.annotation import sampling_plan
from lib.annotation.sampling_plan import COMPLETION
from lib.stats import inference

FOLDS = 5
CANDIDATES = 40


def table(key: pd.DataFrame, labels: pd.DataFrame, judgements: pd.DataFrame) -> pd.DataFrame:
    """A row for each text and annotator: stem_id, weight, valence, charged (the judge's), polarity (the
    person's)."""
    now = leakage.unmitigated(judgements)[[*COMPLETION, "valence", "charged"]]
    drawn = sampling_plan.completions(key).merge(now, on=COMPLETION).dropna(subset="valence")
    texts = (
        drawn.assign(weight=1 / drawn["probability"])
        .groupby("item_id")
        .agg({"stem_id": "first", "weight": "sum", "valence": "first", "charged": "first"})
    )
    said = prediction_powered.valences(labels).dropna(subset="polarity")[["item_id", "annotator", "polarity"]]
    return said.merge(texts, on="item_id")


def kappa(rows: pd.DataFrame, charged) -> float:
    """Cohen's kappa, weighted, of the judge's polarity under the verdicts `charged` with that of people; NaN
    if all are equal."""
    verdict = (np.sign(rows["valence"]) * np.asarray(charged, dtype=float)).to_numpy()
    said = rows["polarity"].to_numpy()
    if len(np.unique([verdict, said])) < 2:
        return np.nan
    counts = np.zeros((3, 3))
    np.add.at(counts, (verdict.astype(int) + 1, said.astype(int) + 1), rows["weight"].to_numpy())
    return float(cohens_kappa(counts, return_results=False))


def fit(rows: pd.DataFrame) -> float:
    """The threshold of |valence| with the highest `kappa`, the middle one of equally good ones; NaN where
    people call all texts the same: then no threshold is better than another."""
    if rows["polarity"].nunique() < 2:
        return np.nan
    strength = rows["valence"].abs()
    tried = np.unique(np.quantile(strength, np.linspace(0, 1, CANDIDATES), method="higher"))
    tried = np.unique([0, *(tried[1:] + tried[:-1]) / 2])
    found = np.array([kappa(rows, strength > threshold) for threshold in tried])
    best = tried[found >= found.max() - 1e-12]
    return float(best[len(best) // 2])


def cross_fit(rows: pd.DataFrame, stem_ids, rng: np.random.Generator) -> pd.Series:
    """A threshold for each of `stem_ids`, fitted to the rows of the stems in the other folds. FOLDS folds,
    fewer if stems are few.

    ValueError where the labels of some folds are all equal, or there are none, so that nothing can be fitted.
    """
    stems = pd.Index(pd.unique(np.asarray(stem_ids)))
    fold = pd.Series(rng.permutation(len(stems)) % min(FOLDS, len(stems)), stems)
    thresholds = {number: fit(rows[rows["stem_id"].map(fold) != number]) for number in fold.unique()}
    if np.isnan(list(thresholds.values())).any():
        raise ValueError(
            "the threshold cannot be fitted: people call all texts of a fold the same, or none; label more"
        )
    return fold.map(thresholds)


def refit(judgements: pd.DataFrame, thresholds: pd.Series) -> pd.DataFrame:
    """`judgements` with `charged` as these thresholds, by stem, have it."""
    above = judgements["valence"].abs() > judgements["stem_id"].map(thresholds)
    return judgements.assign(charged=above.astype("boolean").mask(judgements["valence"].isna()))


def worth(
    rows: pd.DataFrame, thresholds: pd.Series, confidence: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Kappa of the judge as it was and as re-fitted (out of fold), and the difference, with percentile
    intervals over stems."""
    rows = rows.assign(refitted=rows["valence"].abs() > rows["stem_id"].map(thresholds))

    def both(part: pd.DataFrame) -> np.ndarray:
        before, after = kappa(part, part["charged"]), kappa(part, part["refitted"])
        return np.array([before, after, after - before])

    low, high = inference.percentile_interval(
        inference.cluster_bootstrap(rows, both, "stem_id", draws, rng), confidence
    )
    named = pd.DataFrame(
        {
            "judge": ["as it was", "re-fitted", "difference"],
            "estimate": both(rows),
            "ci_low": low,
            "ci_high": high,
        }
    )
    return named.assign(n=rows["item_id"].nunique(), n_stems=rows["stem_id"].nunique())
