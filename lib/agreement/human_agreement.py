"""Agreement on leakage itself: of annotators with each other, and of the judge with annotators.

Leakage is skewed: most completions carry no charge. So raw agreement, Krippendorff's alpha, Cohen's kappa and
Gwet's AC1 are reported together. Raw agreement and AC1 are high where nearly all is "none". Alpha and kappa
measure how much better than chance the rest is. Intervals resample whole stems. Weighted rows represent all
completions that could be drawn, unweighted ones those that are labelled.
"""

from itertools import combinations
from typing import Literal

import krippendorff
import numpy as np
import pandas as pd
from statsmodels.stats.inter_rater import cohens_kappa

from lib.agreement import prediction_powered
from lib.analysis import leakage
from lib.annotation import sampling_plan
from lib.annotation.sampling_plan import COMPLETION
from lib.runtime.errors import DataError
from lib.stats import inference, resamples

MEASURES = ("raw", "alpha", "kappa", "AC1")
JUDGE = "judge"
Level = Literal["nominal", "ordinal", "interval"]  # of measurement
_STEPS = (-3, -2, -1, 0, 1, 2, 3)
# question -> level of measurement, values; strength is signed, and "called for" is asked only of charged
# completions
QUESTIONS: dict[str, tuple[Level, tuple[int, ...]]] = {
    "polarity": ("nominal", (-1, 0, 1)),
    "strength, as ranks": ("ordinal", _STEPS),
    "strength, as numbers": ("interval", _STEPS),
    "called for": ("nominal", (0, 1)),
}
_KAPPA_WEIGHTS = {"nominal": None, "ordinal": "linear", "interval": "quadratic"}


def answers(labels: pd.DataFrame, question: str) -> pd.DataFrame:
    """Return the answers to a question, one row per item and one column per annotator.

    Answers are numbers as in QUESTIONS, missing where there is no answer.
    """
    labelled = prediction_powered.valences(labels)
    if question == "called for":
        value = labelled["called_for"].map({"yes": 1.0, "no": 0.0}).astype(float)
    elif question == "polarity":
        value = labelled["polarity"]
    else:
        value = labelled["polarity"] * labelled["intensity"].astype("Float64").astype(float).fillna(0)
    return labelled.assign(value=value).pivot(index="item_id", columns="annotator", values="value")


def judged(judgements: pd.DataFrame, question: str) -> pd.Series:
    """Return the judge's answer for each row.

    Its strength is 3/4 |valence|, rounded, from 1 to 3. It cannot answer whether charge is called for.
    """
    if question == "called for":
        return pd.Series(np.nan, judgements.index)
    verdict = sampling_plan.verdicts(judgements)
    return (
        verdict
        if question == "polarity"
        else verdict * (0.75 * judgements["valence"].abs()).round().clip(1, 3)
    )


def rated(
    key: pd.DataFrame, labels: pd.DataFrame, judgements: pd.DataFrame, question: str = "polarity"
) -> pd.DataFrame:
    """Return the answers of annotators and judge for each labelled text.

    Args:
        key: The annotation key.
        labels: The labels of the annotators.
        judgements: The judgements of the completions.
        question: One of QUESTIONS.

    Returns:
        One row per text that somebody labelled: item_id, stem_id, weight, JUDGE, and a column for each
        annotator. weight is the sum of 1 / probability over the completions drawn that have this text.
    """
    current = leakage.unmitigated(judgements)
    verdict = current[COMPLETION].assign(**{JUDGE: judged(current, question)})
    sampled = sampling_plan.completions(key).merge(verdict, on=COMPLETION, how="left")
    texts = (
        sampled.assign(weight=1 / sampled["probability"])
        .groupby("item_id")
        .agg(stem_id=("stem_id", "first"), weight=("weight", "sum"), judge=(JUDGE, "first"))
    )
    return texts.join(answers(labels, question).dropna(how="all"), how="inner").reset_index()


def measures(values: np.ndarray, weights: np.ndarray | None, level: Level, categories: tuple) -> np.ndarray:
    """Compute the MEASURES of ratings.

    alpha is that of Krippendorff (2011), by the package krippendorff where unweighted. kappa is the mean of
    Cohen's over pairs of raters, with linear weights where ordinal, quadratic where interval (Light 1971).
    AC1 is that of Gwet (2008, eq. 10 for many raters). A unit with one rating counts only in the chance
    agreement of AC1. Alpha and kappa are undefined where all ratings are equal.

    Args:
        values: Ratings, shape (units, raters), NaN where missing.
        weights: The weight of each unit; None for unweighted measures.
        level: Level of measurement: nominal, ordinal or interval.
        categories: The possible values.

    Returns:
        The MEASURES, NaN where a measure is undefined.
    """
    counts = (values[:, :, None] == np.array(categories)).sum(axis=1)
    raters, weight = counts.sum(axis=1), np.ones(len(values)) if weights is None else weights
    twice, once = raters >= 2, raters >= 1
    if not twice.any():
        return np.full(len(MEASURES), np.nan)
    share = np.average(counts[once] / raters[once, None], axis=0, weights=weight[once])
    chance = (share * (1 - share)).sum() / (len(categories) - 1)
    values, counts, raters, weight = values[twice], counts[twice], raters[twice], weight[twice]
    raw = np.average((counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1)), weights=weight)
    alpha = _alpha(values, level) if weights is None else weighted_alpha(counts, weight, level, categories)
    return np.array([raw, alpha, _kappa(values, weight, level, categories), (raw - chance) / (1 - chance)])


def _alpha(values: np.ndarray, level: Level) -> float:
    if len(np.unique(values[~np.isnan(values)])) < 2:  # the package raises there
        return np.nan
    return float(krippendorff.alpha(reliability_data=values.T, level_of_measurement=level))


def weighted_alpha(counts: np.ndarray, weights: np.ndarray, level: Level, categories: tuple) -> float:
    """Return Krippendorff's alpha with a weight for each unit.

    The coincidence matrix is that of Krippendorff (2011), each unit's share multiplied by its weight. Weights
    are scaled to mean 1, so that equal weights give the usual alpha. NaN where all ratings are equal.

    Args:
        counts: How many raters gave each value, shape (units, categories).
        weights: The weight of each unit.
        level: Level of measurement: nominal, ordinal or interval.
        categories: The possible values.
    """
    weights, raters = weights / weights.mean(), counts.sum(axis=1)
    scaled = counts * (weights / (raters - 1))[:, None]
    coincidences = scaled.T @ counts - np.diag(scaled.sum(axis=0))
    return float(alpha_of_coincidences(coincidences[None], level, categories)[0])


def alpha_of_coincidences(coincidences: np.ndarray, level: Level, categories: tuple) -> np.ndarray:
    """Return Krippendorff's alpha of coincidence matrices, shape (matrices, categories, categories).

    NaN where all ratings are equal.
    """
    totals = coincidences.sum(axis=1)
    if level == "nominal":
        distance = 1 - np.eye(len(categories))
    elif level == "ordinal":
        upto = np.cumsum(totals, axis=1) - totals / 2
        distance = (upto[:, :, None] - upto[:, None, :]) ** 2
    else:
        distance = np.subtract.outer(np.array(categories, float), np.array(categories, float)) ** 2
    expected = (totals[:, :, None] * totals[:, None, :] * distance).sum(axis=(1, 2)) / (
        totals.sum(axis=1) - 1
    )
    observed = (coincidences * distance).sum(axis=(1, 2))
    return 1 - np.divide(observed, expected, out=np.full(len(totals), np.nan), where=expected > 0)


def measures_of_tables(tables: np.ndarray) -> dict[str, np.ndarray]:
    """Return the MEASURES of two raters from cross tables, shape (tables, categories, categories).

    The level is nominal. The results are those of `measures` of the single ratings, for very many tables at
    once. NaN where a measure is undefined.
    """
    size, total = tables.shape[1], tables.sum(axis=(1, 2))
    first, second = tables.sum(axis=2) / total[:, None], tables.sum(axis=1) / total[:, None]
    share = (first + second) / 2
    raw, by_chance = np.trace(tables, axis1=1, axis2=2) / total, (first * second).sum(axis=1)
    chance = (share * (1 - share)).sum(axis=1) / (size - 1)
    varied = by_chance < 1 - 1e-12
    kappa = np.divide(raw - by_chance, 1 - by_chance, out=np.full(len(tables), np.nan), where=varied)
    alpha = alpha_of_coincidences(tables + tables.swapaxes(1, 2), "nominal", tuple(range(size)))
    return dict(zip(MEASURES, (raw, alpha, kappa, (raw - chance) / (1 - chance)), strict=True))


def _kappa(values: np.ndarray, weights: np.ndarray, level: Level, categories: tuple) -> float:
    kappas = []
    for first, second in combinations(values.T, 2):
        both = ~np.isnan(first) & ~np.isnan(second)
        if len(np.unique([first[both], second[both]])) < 2:
            continue
        rows, columns = (np.searchsorted(categories, ratings[both]) for ratings in (first, second))
        table = np.zeros((len(categories), len(categories)))
        np.add.at(table, (rows, columns), weights[both])
        kappas.append(cohens_kappa(table, wt=_KAPPA_WEIGHTS[level], return_results=False))
    return float(np.mean(kappas)) if kappas else np.nan


def compared(table: pd.DataFrame, annotators: list[str], question: str, weighted: bool) -> np.ndarray:
    """Return the MEASURES of each comparison in WHO, shape (4 × measures,).

    The comparisons are: annotators with each other, the judge with each annotator (mean), two annotators
    (mean over pairs), and the second of these minus the third.
    """
    level, categories = QUESTIONS[question]
    weights = table["weight"].to_numpy() if weighted else None
    columns = table[[*annotators, JUDGE]].to_numpy(dtype=float)

    def mean_over(pairs) -> np.ndarray:
        results = [measures(columns[:, list(pair)], weights, level, categories) for pair in pairs]
        return np.mean(results, axis=0) if results else np.full(len(MEASURES), np.nan)

    people = range(len(annotators))
    among = measures(columns[:, :-1], weights, level, categories)
    judge, pairs = (
        mean_over([(person, len(annotators)) for person in people]),
        mean_over(combinations(people, 2)),
    )
    return np.concatenate([among, judge, pairs, judge - pairs])


WHO = ("annotators", "judge and annotator", "two annotators", "judge − annotators")


def agreement(
    table: pd.DataFrame,
    question: str,
    confidence: float,
    draws: int,
    rng: np.random.Generator,
    weighted: bool = True,
) -> pd.DataFrame:
    """Estimate `compared` with percentile intervals over stems.

    Rows about pairs of annotators are NaN with one annotator, and so are those about the judge for questions
    that it does not answer.

    Args:
        table: A table of `rated`.
        question: The question of `table`, one of QUESTIONS.
        confidence: Level of the intervals, between 0 and 1.
        draws: Number of bootstrap resamples.
        rng: Source of the resamples.
        weighted: Whether to weight rows, so that they represent all completions that could be drawn.

    Returns:
        A long table: question, weighted, who, measure, estimate, ci_low, ci_high, n (texts with two ratings
        among `who`), n_stems, defined (share of the bootstrap resamples in which the measure is defined).

    Raises:
        ValueError: If `table` has no rows.
    """
    annotators = [name for name in table if name not in {"item_id", "stem_id", "weight", JUDGE}]
    if table.empty:
        raise DataError(f"nobody has answered the question of {question} yet; label some items first")

    def statistic(part: pd.DataFrame) -> np.ndarray:
        return compared(part, annotators, question, weighted)

    estimates, resampled = (
        statistic(table),
        resamples.cluster_bootstrap(table, statistic, "stem_id", draws, rng),
    )
    defined = (~np.isnan(resampled)).mean(axis=0)
    ci_low, ci_high = np.full(len(estimates), np.nan), np.full(len(estimates), np.nan)
    some = (defined > 0) & ~np.isnan(estimates)
    if some.any():
        ci_low[some], ci_high[some] = inference.percentile_interval(resampled[:, some], confidence)
    people = table[annotators].notna().sum(axis=1)
    with_judge = int((table[JUDGE].notna() & (people >= 1)).sum())
    counts = np.repeat(
        [int((people >= 2).sum()), with_judge, int((people >= 2).sum()), with_judge], len(MEASURES)
    )
    result = pd.DataFrame({"who": np.repeat(WHO, len(MEASURES)), "measure": np.tile(MEASURES, len(WHO))})
    return result.assign(
        question=question,
        weighted=weighted,
        estimate=estimates,
        ci_low=ci_low,
        ci_high=ci_high,
        n=counts,
        n_stems=table["stem_id"].nunique(),
        defined=defined,
    )
