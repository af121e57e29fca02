"""People against judges: how well a judge agrees with the human ratings (`lib.corpora.human_ratings`), beside
a human ceiling."""

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
ALPHAS = {"alpha, ordinal": "ordinal", "alpha, interval": "interval"}  # measure -> level of measurement
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
MEASURES = (*OF_MEANS, *OF_RATERS)
LEVELS = ("domain", "words", "all")
HALF_POINTS = np.arange(-8, 9)  # the human scale in half points, for alpha
LENGTHS = [0, 5, 12, 25, np.inf]  # words
LENGTH_NAMES = ["1–5 words", "6–12 words", "13–25 words", "more words"]


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


def levels(ratings: pd.DataFrame) -> pd.DataFrame:
    """`ratings` with `words`, the class of the text's length (LENGTH_NAMES), and `all`, which is the same for
    every text.

    Both are missing for texts of the user's own (`own`, see lib/corpora/own_ratings.py), which are part of no
    level but their domain.
    """
    words = pd.cut(ratings["text"].str.split().str.len(), LENGTHS, labels=LENGTH_NAMES)
    pooled = ~is_own(ratings)
    return ratings.assign(words=words.where(pooled), all=pd.Series("all texts", ratings.index).where(pooled))


def is_own(ratings: pd.DataFrame) -> pd.Series:
    """Whether each text is one of the user's own ratings."""
    return ratings["own"].astype(bool) if "own" in ratings else pd.Series(False, ratings.index)


def parts(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """The parts of a table with the columns of `levels` that are reported apart: by (one of LEVELS), level,
    rows."""
    for by in LEVELS:
        for level, part in table.groupby(by, sort=by == "words", observed=True):
            yield by, level, part


def validity(
    ratings: pd.DataFrame, judge: Judge, confidence: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Agreement of a judge with people by domain and by length of the text, with intervals (percentile
    bootstrap over documents).

    Long: judge, by (domain, words, all), level, question ("valence"), measure (one of MEASURES), estimate,
    low, high, n, n_documents. STATISTICS, `error` (mean absolute) and `bias`, both in points, compare the
    judge with the human mean; `alpha` is Krippendorff's of the two as raters, both rounded to half points.
    OF_RATERS are there where single ratings are known: `judge` and `one rater` are Pearson's r of each with
    the mean of the other raters; `split-half` is that of two halves of the raters; `worth` is how many raters
    the judge is worth, see the function; `reliability` and `ceiling of r` are of the human mean, see
    `reliability`. Texts without a verdict are left out.
    """
    found, divided = [], list(parts(levels(scored(ratings, judge, rng))))
    sizes = [len(part) for *_, part in divided]
    for by, level, part in progress.track(divided, f"bootstrap, {judge.name}", "parts", sizes):
        table = resamples.table(part, _measures, "document", confidence, draws, rng)
        for measure, scale in ALPHAS.items():
            table.loc[table["measure"] == measure, "estimate"] = alpha_of_values(
                part["judged"], part["mean"], scale
            )
        counts = {"n": len(part), "n_documents": part["document"].nunique()}
        found.append(table.assign(judge=judge.name, by=by, level=level, question="valence", **counts))
    return pd.concat(found, ignore_index=True)


def scored(ratings: pd.DataFrame, judge: Judge, rng: np.random.Generator) -> pd.DataFrame:
    """`ratings` with `judged`, the judge's valence out of document, and, where single ratings are known,
    `rater_variance` and the columns of `divide_raters`; without the texts that have no verdict."""
    table = ratings.assign(judged=judges.of_rated(judge, ratings))
    if ratings["ratings"].notna().all():
        table = divide_raters(
            table.assign(rater_variance=[np.var(given, ddof=1) for given in ratings["ratings"]]), rng
        )
    return table.dropna(subset="judged")


def against_one_rater(
    ratings: pd.DataFrame, judge: Judge, confidence: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """The rows of `validity` of the measure DIFFERENCE by domain, the same numbers, at a fraction of the
    cost."""
    found = []
    table = scored(ratings, judge, rng)
    for domain, part in table.groupby("domain", sort=False) if "rater" in table else ():
        named = resamples.table(part, beside_rater, "document", confidence, draws, rng)
        counts = {"n": len(part), "n_documents": part["document"].nunique()}
        found.append(named[named["measure"] == DIFFERENCE].assign(judge=judge.name, domain=domain, **counts))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def beside_rater(part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Pearson's r of the judge, and of one rater, with the mean of the other raters, and their difference."""
    judge, rater = (resamples.pearson(part[given], part["others"], weights) for given in ("judged", "rater"))
    return {"judge": judge, "one rater": rater, DIFFERENCE: judge - rater}


def _measures(part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    judged, human = (part[column].to_numpy() for column in ("judged", "mean"))
    table = resamples.cross_table(*_half_points(judged, human), HALF_POINTS, weights)
    alphas = [
        human_agreement.alpha_of_coincidences(table + table.swapaxes(1, 2), scale, tuple(HALF_POINTS))
        for scale in ALPHAS.values()
    ]
    found = [
        *(
            statistic(judged, human, weights)
            for statistic in (resamples.pearson, resamples.spearman, resamples.kendall)
        ),
        resamples.mean(np.abs(judged - human), weights),
        resamples.mean(judged - human, weights),
        *alphas,
    ]
    return dict(zip(OF_MEANS, found, strict=True)) | (_of_raters(part, weights) if "rater" in part else {})


def _of_raters(part: pd.DataFrame, weights: np.ndarray) -> dict[str, np.ndarray]:
    halves = resamples.pearson(part["first_half"], part["second_half"], weights)
    reliable = reliability(part, weights)
    ceiling = np.sqrt(np.where(reliable >= 0, reliable, np.nan))
    return beside_rater(part, weights) | {
        "split-half": halves,
        "worth": worth(part, weights),
        "reliability": reliable,
        "ceiling of r": ceiling,
    }


def _components(part: pd.DataFrame, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """σ² of one rater's slips and τ² of the truth, by one-way analysis of variance; see `worth`."""
    error_variance, slip_of_mean = (
        resamples.mean(part["rater_variance"] / count, weights) for count in (1, part["n_raters"])
    )
    return error_variance, resamples.variance(part["mean"], weights) - slip_of_mean


def reliability(part: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Share of the truth in the variance of the human mean: ICC(1,k) of Shrout & Fleiss (1979), with each
    text's own k.

    1 − mean(rater_variance / n_raters) / var(mean), below 0 where raters differ as if at random. Its root is
    r(mean, truth), the highest r that a judge can be expected to have with the mean, however good it is:
    attenuation (Spearman 1904).
    """
    return _components(part, weights)[1] / resamples.variance(part["mean"], weights)


def worth(part: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """How many raters' mean goes with the truth as the judge does; inf beyond any number of them, 0 if it
    does not at all.

    A rating is the truth, what everybody would give the text on average, and a rater's slip. The slips'
    variance is σ² = mean(rater_variance), the truth's τ² = var(mean) − mean(rater_variance / n_raters):
    one-way analysis of variance, so σ² holds what raters differ in by habit. One rater's reliability is ρ =
    τ² / (τ² + σ²), and the mean of k raters has r(mean, truth)² = kρ / (1 + (k − 1)ρ) (Spearman 1910, Brown
    1910). The judge has r² = cov(judge, mean)² / (var(judge) τ²), because slips go with no judge: freed of
    attenuation. Equal where k = r² / (1 − r²) · σ² / τ².
    """
    error_variance, truth = _components(part, weights)
    together = resamples.covariance(part["judged"], part["mean"], weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        square = np.where(together > 0, together, 0) ** 2 / (
            resamples.variance(part["judged"], weights) * truth
        )
        found = np.where(square < 1, square / (1 - square) * error_variance / truth, np.inf)
    return np.where(np.isnan(square) | (truth <= 0), np.nan, found)


def _half_points(judged, human) -> np.ndarray:
    return np.round(2 * np.vstack([judged, human]).astype(float)).clip(HALF_POINTS[0], HALF_POINTS[-1])


def alpha_of_values(judged, human, scale: str) -> float:
    """Krippendorff's alpha of two series of valences rounded to half points, as `scale`; NaN where all are
    equal."""
    both = _half_points(judged, human)
    values = np.unique(both)
    if len(values) < 2:
        return np.nan
    counts = (both[:, :, None] == values).sum(axis=0)
    return float(krippendorff.alpha(value_counts=counts, value_domain=values, level_of_measurement=scale))


def beside_ceiling(validity: pd.DataFrame) -> pd.DataFrame:
    """Of a table of `validity`, r of each judge with the other raters, and the human ceiling: `who` is whose
    it is.

    Where single ratings are not known it is r with the mean of all raters, which stands in the level's name.
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
