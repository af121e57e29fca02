"""Agreement on leakage itself: annotators with each other, and the judge with annotators beside them.

Leakage is skewed, most completions carry no charge, so raw agreement, Krippendorff's alpha, Cohen's kappa and
Gwet's AC1 stand side by side: raw agreement and AC1 are high where nearly all is "none", alpha and kappa ask
how much better than chance the rest is. Intervals redraw whole stems. Weighted rows stand for all completions
that could be drawn, unweighted ones for those labelled.
"""

from itertools import combinations

import krippendorff
import numpy as np
import pandas as pd
from statsmodels.stats.inter_rater import cohens_kappa

from lib.agreement import prediction_powered
from lib.analysis import leakage
from lib.annotation import sampling_plan
from lib.annotation.sampling_plan import COMPLETION
from lib.stats import inference

MEASURES = ("raw", "alpha", "kappa", "AC1")
JUDGE = "judge"
_STEPS = (-3, -2, -1, 0, 1, 2, 3)
# question -> level of measurement, values; strength is signed, "called for" is asked only of what is charged
QUESTIONS = {
    "polarity": ("nominal", (-1, 0, 1)),
    "strength, as ranks": ("ordinal", _STEPS),
    "strength, as numbers": ("interval", _STEPS),
    "called for": ("nominal", (0, 1)),
}
_KAPPA_WEIGHTS = {"nominal": None, "ordinal": "linear", "interval": "quadratic"}


def answers(labels: pd.DataFrame, question: str) -> pd.DataFrame:
    """A row for each item, a column for each annotator, numbers as in QUESTIONS; missing where there is no
    answer."""
    said = prediction_powered.valences(labels)
    if question == "called for":
        value = said["called_for"].map({"yes": 1.0, "no": 0.0}).astype(float)
    elif question == "polarity":
        value = said["polarity"]
    else:
        value = said["polarity"] * said["intensity"].astype("Float64").astype(float).fillna(0)
    return said.assign(value=value).pivot(index="item_id", columns="annotator", values="value")


def judged(judgements: pd.DataFrame, question: str) -> pd.Series:
    """The judge's answer for each row: its strength is 3/4 |valence|, rounded, 1 to 3; what is called for it
    cannot say."""
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
    """A row for each text labelled by somebody: item_id, stem_id, weight, JUDGE, and a column for each
    annotator.

    weight is the sum of 1 / probability over the completions drawn that have this text.
    """
    now = leakage.unmitigated(judgements)
    verdict = now[COMPLETION].assign(**{JUDGE: judged(now, question)})
    drawn = sampling_plan.completions(key).merge(verdict, on=COMPLETION, how="left")
    texts = (
        drawn.assign(weight=1 / drawn["probability"])
        .groupby("item_id")
        .agg(stem_id=("stem_id", "first"), weight=("weight", "sum"), judge=(JUDGE, "first"))
    )
    return texts.join(answers(labels, question).dropna(how="all"), how="inner").reset_index()


def measures(values: np.ndarray, weights: np.ndarray | None, level: str, categories: tuple) -> np.ndarray:
    """MEASURES of ratings, shape (units, raters), NaN where missing; NaN where a measure is undefined.

    alpha: Krippendorff (2011), by the package krippendorff where unweighted; kappa: the mean of Cohen's over
    pairs of raters, with linear weights where ordinal, quadratic where interval (Light 1971); AC1: Gwet
    (2008, eq. 10 for many raters). A unit with one rating counts in AC1's chance alone. Alpha and kappa are
    undefined where all ratings are equal.
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


def _alpha(values: np.ndarray, level: str) -> float:
    if len(np.unique(values[~np.isnan(values)])) < 2:  # the package raises there
        return np.nan
    return float(krippendorff.alpha(reliability_data=values.T, level_of_measurement=level))


def weighted_alpha(counts: np.ndarray, weights: np.ndarray, level: str, categories: tuple) -> float:
    """Krippendorff's alpha with a weight for each unit; `counts` (units, categories) are how many raters gave
    which value.

    The coincidence matrix of Krippendorff (2011), each unit's share times its weight; weights are scaled to
    mean 1, and with equal weights this is the usual alpha. NaN where all ratings are equal.
    """
    weights, raters = weights / weights.mean(), counts.sum(axis=1)
    scaled = counts * (weights / (raters - 1))[:, None]
    coincidences = scaled.T @ counts - np.diag(scaled.sum(axis=0))
    return float(alpha_of_coincidences(coincidences[None], level, categories)[0])


def alpha_of_coincidences(coincidences: np.ndarray, level: str, categories: tuple) -> np.ndarray:
    """Krippendorff's alpha of matrices of coincidences, shape (matrices, categories, categories); NaN where
    all are equal."""
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
    """MEASURES of two raters from their cross tables, shape (tables, categories, categories), the level being
    nominal.

    The same as `measures` of the single ratings, for very many tables at once; NaN where a measure is
    undefined.
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


def _kappa(values: np.ndarray, weights: np.ndarray, level: str, categories: tuple) -> float:
    found = []
    for first, second in combinations(values.T, 2):
        both = ~np.isnan(first) & ~np.isnan(second)
        if len(np.unique([first[both], second[both]])) < 2:
            continue
        rows, columns = (np.searchsorted(categories, given[both]) for given in (first, second))
        table = np.zeros((len(categories), len(categories)))
        np.add.at(table, (rows, columns), weights[both])
        found.append(cohens_kappa(table, wt=_KAPPA_WEIGHTS[level], return_results=False))
    return float(np.mean(found)) if found else np.nan


def compared(table: pd.DataFrame, annotators: list[str], question: str, weighted: bool) -> np.ndarray:
    """MEASURES among annotators, of the judge with each annotator (mean), of two annotators (mean over
    pairs), and the difference of the last two; shape (4 × measures,)."""
    level, categories = QUESTIONS[question]
    weights = table["weight"].to_numpy() if weighted else None
    columns = table[[*annotators, JUDGE]].to_numpy(dtype=float)

    def mean_over(pairs) -> np.ndarray:
        found = [measures(columns[:, list(pair)], weights, level, categories) for pair in pairs]
        return np.mean(found, axis=0) if found else np.full(len(MEASURES), np.nan)

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
    """`compared` with percentile intervals over stems, from a table of `rated`; long: question, weighted,
    who, measure, estimate, low, high, n (texts with two ratings among WHO), n_stems, defined (share of the
    bootstrap draws in which it is defined).

    Rows about pairs of annotators are NaN with one annotator, and those about the judge for questions that it
    does not answer.
    """
    annotators = [name for name in table if name not in {"item_id", "stem_id", "weight", JUDGE}]
    if table.empty:
        raise ValueError(f"nobody has answered the question of {question} yet; label some items first")

    def statistic(part: pd.DataFrame) -> np.ndarray:
        return compared(part, annotators, question, weighted)

    found, spread = statistic(table), inference.cluster_bootstrap(table, statistic, "stem_id", draws, rng)
    defined = (~np.isnan(spread)).mean(axis=0)
    low, high = np.full(len(found), np.nan), np.full(len(found), np.nan)
    some = (defined > 0) & ~np.isnan(found)
    if some.any():
        low[some], high[some] = inference.percentile_interval(spread[:, some], confidence)
    people = table[annotators].notna().sum(axis=1)
    with_judge = int((table[JUDGE].notna() & (people >= 1)).sum())
    counts = np.repeat(
        [int((people >= 2).sum()), with_judge, int((people >= 2).sum()), with_judge], len(MEASURES)
    )
    named = pd.DataFrame({"who": np.repeat(WHO, len(MEASURES)), "measure": np.tile(MEASURES, len(WHO))})
    return named.assign(
        question=question,
        weighted=weighted,
        estimate=found,
        ci_low=low,
        ci_high=high,
        n=counts,
        n_stems=table["stem_id"].nunique(),
        defined=defined,
    )
