"""Agreement of a judge with the human ratings (`lib.corpora.human_ratings`), next to a human ceiling."""

from collections.abc import Iterator

import krippendorff
import numpy as np
import pandas as pd

from lib.agreement import human_agreement
from lib.config.specs import Judge
from lib.judging import judges
from lib.runtime import progress
from lib.stats import resamples

STATISTICS = ("pearson", "spearman", "kendall")
# measure -> level of measurement
ALPHAS: dict[str, human_agreement.Level] = {"alpha, ordinal": "ordinal", "alpha, interval": "interval"}
OF_MEANS = (*STATISTICS, "error", "bias", *ALPHAS)  # measures for which the human mean is enough
DIFFERENCE = "judge − one rater"
OF_RATERS = (
    "judge",
    "one rater",
    DIFFERENCE,
    "split-half",
    "worth",
    "reliability",
    "ceiling of r",
)  # need single ratings
LEVELS = ("domain", "words", "all")
HALF_POINTS = np.arange(-8, 9)  # the human scale in half points, for alpha
LENGTHS = [0, 5, 12, 25, np.inf]  # words
LENGTH_NAMES = ["1–5 words", "6–12 words", "13–25 words", "more words"]


def divide_raters(ratings: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Divide each text's raters at random: one against the rest, and into two halves.

    Returns:
        `ratings` with rater (one rating), others (mean of the rest), first_half and second_half (means).
    """
    chosen = [int(rng.integers(len(values))) for values in ratings["ratings"]]
    rater = np.array([values[index] for values, index in zip(ratings["ratings"], chosen, strict=True)])
    halves = [np.array_split(rng.permutation(values), 2) for values in ratings["ratings"]]
    return ratings.assign(
        rater=rater,
        others=(ratings["mean"] * ratings["n_raters"] - rater) / (ratings["n_raters"] - 1),
        first_half=[first.mean() for first, _ in halves],
        second_half=[second.mean() for _, second in halves],
    )


def levels(ratings: pd.DataFrame) -> pd.DataFrame:
    """Return `ratings` with `words`, the class of the text's length, and `all`, the same for every text.

    The classes of length are LENGTH_NAMES. Both columns are missing for texts of the user's own (`own`, see
    lib/corpora/own_ratings.py), which belong to no level but their domain.
    """
    words = pd.cut(ratings["text"].str.split().str.len(), LENGTHS, labels=LENGTH_NAMES)
    pooled = ~is_own(ratings)
    return ratings.assign(words=words.where(pooled), all=pd.Series("all texts", ratings.index).where(pooled))


def is_own(ratings: pd.DataFrame) -> pd.Series:
    """Return whether each text is one of the user's own ratings."""
    return ratings["own"].astype(bool) if "own" in ratings else pd.Series(False, ratings.index)


def parts(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield the subsets of a table that are reported separately: by (one of LEVELS), level, rows.

    The table has the columns of `levels`.
    """
    for by in LEVELS:
        for level, subset in table.groupby(by, sort=by == "words", observed=True):
            yield by, level, subset


def validity(
    ratings: pd.DataFrame, judge: Judge, confidence: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Estimate a judge's agreement with people by domain and by length of the text.

    STATISTICS, `error` (mean absolute) and `bias`, both in points, compare the judge with the human mean.
    `alpha` is Krippendorff's of the two as raters, both rounded to half points. OF_RATERS are included where
    single ratings are known: `judge` and `one rater` are Pearson's r of each with the mean of the other
    raters; `split-half` is that of two halves of the raters; `worth` is how many raters the judge is worth
    (`worth`); `reliability` and `ceiling of r` are of the human mean (`reliability`). Texts without a verdict
    are left out.

    Args:
        ratings: Rated texts, as `human_ratings.read()` returns them.
        judge: The judge.
        confidence: Level of the intervals, between 0 and 1.
        draws: Number of bootstrap resamples.
        rng: Source of the resamples and of the division of raters.

    Returns:
        A long table: judge, by (domain, words, all), level, question ("valence"), measure (of OF_MEANS or
        OF_RATERS), estimate, ci_low, ci_high (percentile bootstrap over documents), n, n_documents.
    """
    tables, subsets = [], list(parts(levels(scored(ratings, judge, rng))))
    sizes = [len(subset) for *_, subset in subsets]
    for by, level, subset in progress.track(subsets, f"bootstrap, {judge.name}", "parts", sizes):
        table = resamples.table(subset, _measures, "document", confidence, draws, rng)
        for measure, scale in ALPHAS.items():
            table.loc[table["measure"] == measure, "estimate"] = alpha_of_values(
                subset["judged"], subset["mean"], scale
            )
        counts = {"n": len(subset), "n_documents": subset["document"].nunique()}
        tables.append(table.assign(judge=judge.name, by=by, level=level, question="valence", **counts))
    return pd.concat(tables, ignore_index=True)


def scored(ratings: pd.DataFrame, judge: Judge, rng: np.random.Generator) -> pd.DataFrame:
    """Return `ratings` with `judged`, the judge's valence out of document.

    Where single ratings are known, `rater_variance` and the columns of `divide_raters` are added. Texts
    without a verdict are left out.
    """
    table = ratings.assign(judged=judges.of_rated(judge, ratings))
    if ratings["ratings"].notna().all():
        table = divide_raters(
            table.assign(rater_variance=[np.var(values, ddof=1) for values in ratings["ratings"]]), rng
        )
    return table.dropna(subset="judged")


def against_one_rater(
    ratings: pd.DataFrame, judge: Judge, confidence: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Estimate the measure DIFFERENCE of `validity` by domain, at a fraction of the cost.

    The numbers are the same as those of `validity`.
    """
    tables = []
    table = scored(ratings, judge, rng)
    for domain, subset in table.groupby("domain", sort=False) if "rater" in table else ():
        estimates = resamples.table(subset, against_rater, "document", confidence, draws, rng)
        counts = {"n": len(subset), "n_documents": subset["document"].nunique()}
        tables.append(
            estimates[estimates["measure"] == DIFFERENCE].assign(judge=judge.name, domain=domain, **counts)
        )
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def against_rater(part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return Pearson's r of judge and of one rater with the other raters' mean, and their difference."""
    judge, rater = (
        resamples.pearson(part[column], part["others"], weights) for column in ("judged", "rater")
    )
    return {"judge": judge, "one rater": rater, DIFFERENCE: judge - rater}


def _measures(part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    judged, human = (part[column].to_numpy() for column in ("judged", "mean"))
    first, second = _half_points(judged, human)
    table = resamples.cross_table(first, second, HALF_POINTS, weights)
    alphas = [
        human_agreement.alpha_of_coincidences(table + table.swapaxes(1, 2), scale, tuple(HALF_POINTS))
        for scale in ALPHAS.values()
    ]
    values = [
        *(
            statistic(judged, human, weights)
            for statistic in (resamples.pearson, resamples.spearman, resamples.kendall)
        ),
        resamples.mean(np.abs(judged - human), weights),
        resamples.mean(judged - human, weights),
        *alphas,
    ]
    return dict(zip(OF_MEANS, values, strict=True)) | (_of_raters(part, weights) if "rater" in part else {})


def _of_raters(part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    halves = resamples.pearson(part["first_half"], part["second_half"], weights)
    reliable = reliability(part, weights)
    ceiling = np.sqrt(np.where(reliable >= 0, reliable, np.nan))
    return against_rater(part, weights) | {
        "split-half": halves,
        "worth": worth(part, weights),
        "reliability": reliable,
        "ceiling of r": ceiling,
    }


def _components(part: pd.DataFrame, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return σ² of one rater's error and τ² of the truth, by one-way analysis of variance; see `worth`."""
    error_variance, slip_of_mean = (
        resamples.mean(part["rater_variance"] / count, weights) for count in (1, part["n_raters"])
    )
    return error_variance, resamples.variance(part["mean"], weights) - slip_of_mean


def reliability(part: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Return the share of the truth in the variance of the human mean, with each text's own k.

    This is ICC(1,k) of Shrout & Fleiss (1979): 1 − mean(rater_variance / n_raters) / var(mean). It is below 0
    where raters differ as if at random. Its root is r(mean, truth), the highest r with the mean that a judge
    can be expected to have, however good it is: attenuation (Spearman 1904).
    """
    return _components(part, weights)[1] / resamples.variance(part["mean"], weights)


def worth(part: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Return how many raters' mean agrees with the truth as well as the judge does.

    It is inf where the judge is better than any number of raters, and 0 where it does not agree at all.

    A rating is the truth, the average that everybody would give the text, plus a rater's error. The errors'
    variance is σ² = mean(rater_variance), the truth's is τ² = var(mean) − mean(rater_variance / n_raters).
    This is one-way analysis of variance, so σ² includes habitual differences between raters. One rater's
    reliability is ρ = τ² / (τ² + σ²), and the mean of k raters has r(mean, truth)² = kρ / (1 + (k − 1)ρ)
    (Spearman 1910, Brown 1910). The judge has r² = cov(judge, mean)² / (var(judge) τ²), free of attenuation,
    because raters' errors are independent of any judge. Both are equal where k = r² / (1 − r²) · σ² / τ².
    """
    error_variance, truth = _components(part, weights)
    covariance = resamples.covariance(part["judged"], part["mean"], weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        r_squared = np.where(covariance > 0, covariance, 0) ** 2 / (
            resamples.variance(part["judged"], weights) * truth
        )
        raters = np.where(r_squared < 1, r_squared / (1 - r_squared) * error_variance / truth, np.inf)
    return np.where(np.isnan(r_squared) | (truth <= 0), np.nan, raters)


def _half_points(judged, human) -> np.ndarray:
    return np.round(2 * np.vstack([judged, human]).astype(float)).clip(HALF_POINTS[0], HALF_POINTS[-1])


def alpha_of_values(judged, human, scale: human_agreement.Level) -> float:
    """Return Krippendorff's alpha of two series of valences rounded to half points, at the level `scale`.

    NaN where all are equal.
    """
    both = _half_points(judged, human)
    values = np.unique(both)
    if len(values) < 2:
        return np.nan
    counts = (both[:, :, None] == values).sum(axis=0)
    return float(krippendorff.alpha(value_counts=counts, value_domain=values, level_of_measurement=scale))


def with_ceiling(validity: pd.DataFrame) -> pd.DataFrame:
    """Return r of each judge with the other raters, and the human ceiling, from a table of `validity`.

    The column `who` names the judge or the ceiling. Where single ratings are not known, r is with the mean of
    all raters, and the level's name says so.
    """
    known = validity["level"].isin(validity.loc[validity["measure"] == "judge", "level"])
    judged = validity[(validity["measure"] == "judge") | (~known & (validity["measure"] == "pearson"))]
    judged = judged.assign(
        who=judged["judge"],
        level=judged["level"].astype(str) + np.where(known[judged.index], "", " (all raters)"),
    )
    first = validity[validity["judge"] == validity["judge"].iloc[0]]
    ceiling = first[first["measure"].isin(["one rater", "split-half"])].assign(
        who=lambda table: table["measure"]
    )
    return pd.concat([judged, ceiling], ignore_index=True)
