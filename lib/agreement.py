"""People against judges: how well a judge agrees with the human ratings (`lib.human_ratings`), beside a human ceiling."""

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from lib import inference, judges
from lib.params import Judge

STATISTICS = ("pearson", "spearman", "kendall")
MEASURES = (*STATISTICS, "judge", "one rater", "judge − one rater", "split-half")


def correlations(judged, human) -> np.ndarray:
    """Pearson's r, Spearman's rho and Kendall's tau-b (STATISTICS) of two arrays."""
    return np.array([stats.pearsonr(judged, human)[0], stats.spearmanr(judged, human)[0], stats.kendalltau(judged, human)[0]])


def divide_raters(ratings: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """`ratings` with each text's raters divided at random: one against the rest, and in two halves.

    Adds rater (one rating), others (mean of the rest), first_half and second_half (means).
    """
    drawn = [int(rng.integers(len(given))) for given in ratings["ratings"]]
    rater = np.array([given[place] for given, place in zip(ratings["ratings"], drawn, strict=True)])
    halves = [np.array_split(rng.permutation(given), 2) for given in ratings["ratings"]]
    return ratings.assign(
        rater=rater,
        others=(ratings["mean"] * ratings["n_raters"] - rater) / (ratings["n_raters"] - 1),
        first_half=[first.mean() for first, _ in halves],
        second_half=[second.mean() for _, second in halves],
    )


def validity(ratings: pd.DataFrame, judge: Judge, confidence: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """Agreement of a judge with people by domain, long: domain, measure (one of MEASURES), estimate, low, high, n, n_documents.

    STATISTICS compare the judge with the human mean. `judge` and `one rater` are Pearson's r of each with the mean of the other
    raters; `split-half` is that of two halves of the raters. Intervals: percentile bootstrap over documents.
    """
    scored = divide_raters(ratings.assign(judged=judges.of_rated(judge, ratings)), rng)
    parts = scored.groupby("domain", sort=False)
    return pd.concat(
        [_of_domain(domain, part, confidence, draws, rng) for domain, part in tqdm(parts, desc="bootstrap", unit=" domain")],
        ignore_index=True,
    )


def _measures(part: pd.DataFrame) -> np.ndarray:
    judge, rater = (np.corrcoef(part[column], part["others"])[0, 1] for column in ("judged", "rater"))
    halves = np.corrcoef(part["first_half"], part["second_half"])[0, 1]
    return np.array([*correlations(part["judged"], part["mean"]), judge, rater, judge - rater, halves])


def _of_domain(domain: str, part: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    resampled = inference.cluster_bootstrap(part, _measures, "document", draws, rng)
    low, high = inference.percentile_interval(resampled, confidence)
    table = pd.DataFrame({"measure": MEASURES, "estimate": _measures(part), "low": low, "high": high})
    return table.assign(domain=domain, n=len(part), n_documents=part["document"].nunique())
