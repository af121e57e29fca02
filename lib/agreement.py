"""People against judges: how well a judge agrees with the human ratings (`lib.human_ratings`), beside a human ceiling."""

import krippendorff
import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from lib import inference, judges
from lib.params import Judge

STATISTICS = ("pearson", "spearman", "kendall")
MEASURES = (*STATISTICS, "error", "bias", "alpha, ordinal", "alpha, interval",
            "judge", "one rater", "judge − one rater", "split-half", "worth")  # fmt: skip
LENGTHS = [0, 5, 12, 25, 1000]  # words
LENGTH_NAMES = ["1–5 words", "6–12 words", "13–25 words", "more words"]


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
    """Agreement of a judge with people by domain and by length of the text, with intervals (percentile bootstrap over documents).

    Long: judge, by (domain, words), level, measure (one of MEASURES), estimate, low, high, n, n_documents. STATISTICS, `error`
    (mean absolute) and `bias`, both in points, compare the judge with the human mean; `alpha` is Krippendorff's of the two as
    raters, both rounded to half points. `judge` and `one rater` are Pearson's r of each with the mean of the other
    raters; `split-half` is that of two halves of the raters; `worth` is how many raters the judge is worth, see the function.
    """
    words = pd.cut(ratings["text"].str.split().str.len(), LENGTHS, labels=LENGTH_NAMES)
    scored = divide_raters(ratings.assign(judged=judges.of_rated(judge, ratings), words=words), rng).dropna(subset="judged")
    levels = {by: scored.groupby(by, sort=by == "words", observed=True) for by in ("domain", "words")}
    parts = [(by, level, part) for by, found in levels.items() for level, part in found]
    bar = tqdm(parts, desc=f"bootstrap, {judge.name}", unit=" parts")
    return pd.concat([_of_part(*part, confidence, draws, rng).assign(judge=judge.name) for part in bar], ignore_index=True)


def worth(of_judge: float, of_rater: float, halves: float, raters: float) -> float:
    """How many raters' mean agrees with the truth as well as the judge does (Spearman & Brown), inf beyond any number of them.

    From r(judge, others), r(one rater, others) and r of two halves of `raters` each. One rater's reliability is
    ρ = halves / (raters − (raters − 1) · halves); r(judge, truth)² = q² ρ with q = of_judge / of_rater, for both
    miss the truth in the others' mean alike; the mean of k raters has kρ / (1 + (k − 1)ρ), so k = q² (1 − ρ) / (1 − q² ρ).
    """
    reliability = halves / (raters - (raters - 1) * halves)
    square = max(of_judge / of_rater, 0) ** 2
    return square * (1 - reliability) / (1 - square * reliability) if square * reliability < 1 else np.inf


def _measures(part: pd.DataFrame) -> np.ndarray:
    judge, rater = (np.corrcoef(part[column], part["others"])[0, 1] for column in ("judged", "rater"))
    halves = np.corrcoef(part["first_half"], part["second_half"])[0, 1]
    error = part["judged"] - part["mean"]
    alphas = alpha_of_values(part["judged"], part["mean"])
    worthy = worth(judge, rater, halves, part["n_raters"].median() / 2)
    return np.array([*correlations(part["judged"], part["mean"]), error.abs().mean(), error.mean(), *alphas,
                     judge, rater, judge - rater, halves, worthy])  # fmt: skip


def alpha_of_values(judged, human) -> list[float]:
    """Krippendorff's alpha, ordinal and interval, of two series of valences rounded to half points; NaN where all are equal."""
    both = np.round(2 * np.vstack([judged, human]).astype(float))
    values, places = np.unique(both, return_inverse=True)
    if len(values) < 2:
        return [np.nan, np.nan]
    counts = np.zeros((both.shape[1], len(values)), dtype=int)
    for rater in places.reshape(both.shape):
        counts[np.arange(len(rater)), rater] += 1
    levels = ("ordinal", "interval")
    return [krippendorff.alpha(value_counts=counts, value_domain=values, level_of_measurement=level) for level in levels]


def beside_ceiling(validity: pd.DataFrame) -> pd.DataFrame:
    """Of a table of `validity`, r of each judge with the other raters, and the human ceiling: `who` is whose it is."""
    judged = validity[validity["measure"] == "judge"].assign(who=lambda table: table["judge"])
    first = validity[validity["judge"] == validity["judge"].iloc[0]]
    ceiling = first[first["measure"].isin(["one rater", "split-half"])].assign(who=lambda table: table["measure"])
    return pd.concat([judged, ceiling], ignore_index=True)


def no_better_than_chance(validity: pd.DataFrame) -> list[str]:
    """Judge and level of every correlation with the human mean whose interval is not above 0."""
    found = validity[(validity["measure"] == "pearson") & ~(validity["low"] > 0)]
    return [f"{row.judge}, {row.level}" for row in found.itertuples()]


def _of_part(by: str, level: str, part: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    resampled = inference.cluster_bootstrap(part, _measures, "document", draws, rng)
    low, high = inference.percentile_interval(resampled, confidence)
    table = pd.DataFrame({"by": by, "level": level, "measure": MEASURES, "estimate": _measures(part), "low": low, "high": high})
    return table.assign(n=len(part), n_documents=part["document"].nunique())
