"""Leakage against model size: meta-regression within families, monotonicity, and published numbers.

A *line* is a family in one tuning and one mode of prompting: base and instruct models are never joined, nor
are two modes. Size is log10 of the parameters outside the embeddings, as read from the model. A model of
unknown size is excluded and named. The models are the sample: a statement about size must hold for other
models than these, so that more stems alone never settle it.
"""

from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.stats.meta_analysis import combine_effects

from lib.analysis import leakage
from lib.config.specs import ROOT
from lib.stats import inference, meta_analysis
from lib.stats.inference import Estimate
from lib.stats.meta_analysis import MetaRegression

LINE = ["family", "tuning", "mode"]
QUANTITIES = ("shift", "net", "leak")  # the first decides
# sizes required for a slope with an interval; a verdict requires more (`scaling.min_sizes`)
MIN_DESCRIBED = meta_analysis.MIN_ESTIMATES
DRAWS = 1000  # resamples of the bootstrap by stem
PUBLISHED = ROOT / "lib" / "data" / "published_leakage.csv"
_ESTIMATE = [field.name for field in fields(Estimate)]


def sized(pairs: pd.DataFrame) -> pd.DataFrame:
    """The charged pairs of models with a known size, with log_size."""
    known = leakage.charged_pairs(pairs).dropna(subset="parameters")
    return known.assign(log_size=np.log10(known["parameters"].astype(float)))


def by_size(
    pairs: pd.DataFrame, confidence: float, quantity: str = "shift", by=("arm", "slot")
) -> pd.DataFrame:
    """Mean of a quantity for each model of each line.

    Args:
        pairs: Table of `leakage.pairs`, with LINE and parameters.
        confidence: Level of the intervals, between 0 and 1.
        quantity: One of QUANTITIES.
        by: Columns to group by within a model.

    Returns:
        One row per model and combination of `by`: LINE, by, model, parameters, the fields of Estimate.
    """
    named = [*LINE, *by, "model", "parameters"]
    return inference.clustered_means(
        sized(pairs), quantity, named, confidence, limits=leakage.SUPPORT[quantity]
    )


def meta_regression(pairs: pd.DataFrame, quantity: str, confidence: float, by=()) -> pd.DataFrame:
    """Change of a quantity per tenfold size of each line, by `meta_analysis.fit` over its sizes.

    Models of one size are one point, their mean: a further temperature or quantisation is not a further
    checkpoint. The sampling errors that models share are those of `error_covariance`.

    Args:
        pairs: Table of `leakage.pairs`, with LINE and parameters.
        quantity: One of QUANTITIES.
        confidence: Level of the intervals, between 0 and 1.
        by: Columns to group by within a line.

    Returns:
        One row per line and combination of `by`: LINE, by, quantity, sizes, models, left_out (models of
        unknown size), the fields of Estimate (of the slope, in the unit of the quantity; n pairs, df = sizes
        − 2), tau2 (variance between models, in that unit squared), message (why there is no slope, else
        empty).
    """
    rows = []
    for levels, line in _lines(pairs, quantity, confidence, by):
        slope, tau2 = Estimate(np.nan, np.nan, np.nan, line.n, line.n_stems, np.nan, np.nan, np.nan), np.nan
        if line.fit is not None:
            ci_low, ci_high = line.fit.interval(confidence)
            slope = Estimate(
                line.fit.slope,
                ci_low,
                ci_high,
                line.n,
                line.n_stems,
                line.fit.se,
                np.nan,
                line.fit.p,
                line.fit.df,
                0.0,
            )
            tau2 = line.fit.tau2
        counts = {"sizes": line.sizes, "models": line.models, "left_out": line.left_out}
        rows.append(
            {**levels, "quantity": quantity, **counts, **asdict(slope), "tau2": tau2, "message": line.message}
        )
    return pd.DataFrame(
        rows, columns=[*LINE, *by, "quantity", "sizes", "models", "left_out", *_ESTIMATE, "tau2", "message"]
    )


def fitted(pairs: pd.DataFrame, quantity: str, confidence: float, points: int = 50) -> pd.DataFrame:
    """The fitted line of each `meta_regression`, with its confidence band.

    Args:
        pairs: Table of `leakage.pairs`, with LINE and parameters.
        quantity: One of QUANTITIES.
        confidence: Level of the band, between 0 and 1.
        points: Number of sizes at which the line is evaluated.

    Returns:
        One row per line and size: LINE, parameters, estimate, ci_low, ci_high.
    """
    rows = []
    for levels, line in _lines(pairs, quantity, confidence, ()):
        if line.fit is not None:
            log_size = np.linspace(*line.log_range, points)
            bounds = dict(
                zip(("estimate", "ci_low", "ci_high"), line.fit.band(log_size, confidence), strict=True)
            )
            rows.append(pd.DataFrame({**levels, "parameters": 10**log_size, **bounds}))
    return (
        pd.concat(rows, ignore_index=True)
        if rows
        else pd.DataFrame(columns=[*LINE, "parameters", "estimate", "ci_low", "ci_high"])
    )


class _Line(NamedTuple):
    """Counts and fit of the models of a line."""

    sizes: int
    models: int
    left_out: str
    n: int
    n_stems: int
    message: str
    log_range: tuple[float, float] = (np.nan, np.nan)
    fit: MetaRegression | None = None


def _lines(pairs: pd.DataFrame, quantity: str, confidence: float, by) -> Iterator[tuple[dict, _Line]]:
    for levels, subset in leakage.charged_pairs(pairs).groupby([*LINE, *by], sort=False):
        yield dict(zip([*LINE, *by], levels, strict=True)), _line(subset, quantity, confidence)


def _line(part: pd.DataFrame, quantity: str, confidence: float) -> _Line:
    """The models of one line, with the meta-regression where it is possible."""
    left_out = ", ".join(part.loc[part["parameters"].isna(), "model"].unique())
    models = by_size(part, confidence, quantity, by=())
    sizes = models["parameters"].nunique()
    known = sized(part).dropna(subset=quantity)
    counts = {
        "sizes": sizes,
        "models": len(models),
        "left_out": left_out,
        "n": len(known),
        "n_stems": known["stem_id"].nunique(),
    }
    no_se = models.loc[~(models["se"] > 0), "model"]
    if sizes < MIN_DESCRIBED:
        return _Line(
            **counts, message=f"a slope needs at least {MIN_DESCRIBED} sizes of a family, has {sizes}"
        )
    if len(no_se):
        return _Line(
            **counts,
            message=f"no standard error of {', '.join(no_se)}: no scored pair, one stem, or stems that all "
            "agree",
        )
    log_sizes, point = np.unique(np.log10(models["parameters"].astype(float)), return_inverse=True)
    # weight of each model in the mean of its size
    weights = (point == np.arange(sizes)[:, None]) / np.bincount(point)[:, None]
    covariance = weights @ _covariance(known, quantity, models) @ weights.T
    fit = meta_analysis.fit(weights @ models["estimate"].to_numpy(float), covariance, log_sizes)
    return _Line(**counts, message="", log_range=(log_sizes[0], log_sizes[-1]), fit=fit)


def _covariance(known: pd.DataFrame, quantity: str, models: pd.DataFrame) -> np.ndarray:
    """The `error_covariance` of `models`, a table of `by_size`.

    Stems that a model does not have add nothing to its mean.
    """
    cells = known.pivot_table(
        index="stem_id", columns="model", values=quantity, aggfunc=["sum", "count"], fill_value=0
    )
    sums, counts = (cells[name][models["model"]].to_numpy(float) for name in ("sum", "count"))
    added = (sums - counts * (sums.sum(axis=0) / counts.sum(axis=0))) / counts.sum(axis=0)
    return error_covariance(added, models["se"].to_numpy(float))


def error_covariance(added: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Covariance of the sampling errors of models.

    Models that were tested on the same stems have correlated errors. Errors that all models share cancel in a
    slope, but stems on which leakage itself changes with size do not cancel, and independent errors would
    hide them. The correlations are therefore those of the contributions of stems to the means. They are
    shrunk towards 0 by models / stems, because few stems estimate them too imprecisely.

    Args:
        added: Contribution of each stem to the mean of each model, shape (stems, models).
        errors: Clustered standard error of each model.

    Returns:
        Covariance, shape (models, models).
    """
    scale = np.sqrt((added**2).sum(axis=0))
    shrunk = min(1.0, added.shape[1] / len(added))
    correlation = (1 - shrunk) * (added.T @ added) / np.outer(scale, scale) + shrunk * np.eye(len(scale))
    return correlation * np.outer(errors, errors)


def pair_differences(pairs: pd.DataFrame, quantity: str, confidence: float) -> pd.DataFrame:
    """The larger size minus the smaller of each line that has exactly two sizes.

    The comparison uses the groups and arms that are scored at both sizes. A group and arm are one value at
    each size, the mean of its draws. Intervals are clustered by stem, and therefore hold for these models
    alone.

    Args:
        pairs: Table of `leakage.pairs`, with LINE and parameters.
        quantity: One of QUANTITIES.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        One row per line: LINE, quantity, smaller, larger (models), the fields of Estimate.
    """
    rows, limit = [], np.ptp(leakage.SUPPORT[quantity])
    for levels, subset in sized(pairs).groupby(LINE, sort=False):
        names = subset.groupby("parameters")["model"].agg(lambda models: ", ".join(models.unique()))
        if len(names) == 2:
            values = (
                subset.groupby(["stem_id", "group_id", "arm", "parameters"])[quantity]
                .mean()
                .unstack("parameters")
            )
            difference = values[names.index[1]] - values[names.index[0]]
            stems = difference.index.get_level_values("stem_id")
            result = inference.clustered_mean(difference, stems, confidence, (-limit, limit))
            rows.append((*levels, quantity, *names, *asdict(result).values()))
    return pd.DataFrame(rows, columns=[*LINE, "quantity", "smaller", "larger", *_ESTIMATE])


def families(slopes: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Mean slope over the families of each tuning and mode with at least 2 slopes.

    The model has random effects of the family, with the between-family variance of Paule & Mandel (1982), and
    t with families − 1 degrees of freedom, so that two families give a wide interval.

    Args:
        slopes: Table of `meta_regression`.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        One row per tuning, mode and quantity: tuning, mode, quantity, families, estimate, ci_low, ci_high,
        between (SD of slopes).
    """
    rows, by = [], ["tuning", "mode", "quantity"]
    for levels, subset in slopes.dropna(subset="se").groupby(by, sort=False):
        if len(subset) < 2:
            continue
        result = combine_effects(
            subset["estimate"].to_numpy(float),
            subset["se"].to_numpy(float) ** 2,
            method_re="iterated",
            use_t=True,
            alpha=1 - confidence,
        )
        ci_low, ci_high = result.conf_int(alpha=1 - confidence)[1]  # of the random effects
        rows.append((*levels, len(subset), result.mean_effect_re, ci_low, ci_high, np.sqrt(result.tau2)))
    return pd.DataFrame(rows, columns=[*by, "families", "estimate", "ci_low", "ci_high", "between"])


def monotonicity(
    pairs: pd.DataFrame, quantity: str, confidence: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Whether a quantity falls all the way from the smallest to the largest size of each line, in any shape.

    The statement is about these models, not about others: stems are the sample.

    Args:
        pairs: Table of `leakage.pairs`, with LINE and parameters.
        quantity: One of QUANTITIES.
        confidence: Level of the intervals, between 0 and 1.
        rng: Random generator of the bootstrap.

    Returns:
        One row per line: LINE, sizes, tau, ci_low, ci_high, p_falling, p_monotone, n_stems, message. tau is
        Kendall's tau-b of the quantity with size, with the percentile interval of a bootstrap by stem; few
        sizes give it few values. p_falling tests the hypothesis that the quantity never rises from one size
        to the next, and is small if it rises somewhere. It is the share of bootstrap resamples around equal
        means, the least favourable case of the hypothesis (Robertson et al. 1988), that lie as far from their
        isotonic fit, in weighted squares, as the means do. p_monotone is the larger of p_falling and its
        mirror image (intersection–union), and is small if there is a bend.
    """
    rows = []
    for levels, subset in sized(pairs).dropna(subset=quantity).groupby(LINE, sort=False):
        sizes, stems = subset["parameters"].nunique(), subset["stem_id"].nunique()
        shape, message = [np.nan] * 5, ""
        if stems < 2:
            message = "needs 2 stems, has 1"
        elif sizes < MIN_DESCRIBED:
            message = f"needs at least {MIN_DESCRIBED} sizes of a family, has {sizes}"
        else:
            shape = _shape(subset, quantity, confidence, rng)
        rows.append((*levels, sizes, *shape, stems, message))
    return pd.DataFrame(
        rows,
        columns=[*LINE, "sizes", "tau", "ci_low", "ci_high", "p_falling", "p_monotone", "n_stems", "message"],
    )


def _shape(part: pd.DataFrame, quantity: str, confidence: float, rng: np.random.Generator) -> list[float]:
    """Values of tau, its interval, p_falling and p_monotone of one line."""
    cells = part.pivot_table(
        index="stem_id", columns="parameters", values=quantity, aggfunc=["sum", "count"], fill_value=0
    )
    sums, counts = cells["sum"].to_numpy(float), cells["count"].to_numpy(float)
    weight, means = counts.sum(axis=0), sums.sum(axis=0) / counts.sum(axis=0)
    # how often each resample contains each stem
    times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=DRAWS)
    replicates = (times @ sums) / np.maximum(times @ counts, 1)
    ci_low, ci_high = inference.percentile_interval(_taus(replicates)[:, None], confidence)[:, 0]
    p_falling, p_rising = (_p(means, replicates, weight, rising) for rising in (False, True))
    return [float(_taus(means[None])[0]), ci_low, ci_high, p_falling, max(p_falling, p_rising)]


def _taus(means: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of each row with the order of the sizes; 0 where all of a row are equal."""
    first, second = np.triu_indices(means.shape[1], k=1)
    signs = np.sign(means[:, second].round(9) - means[:, first].round(9))
    untied = np.count_nonzero(signs, axis=1)
    taus = signs.sum(axis=1) / np.sqrt(len(first)) / np.sqrt(np.maximum(untied, 1))
    return np.where(np.ptp(means, axis=1) < 1e-9, 0.0, taus.clip(-1, 1))


def _p(means: np.ndarray, drawn: np.ndarray, weight: np.ndarray, rising: bool) -> float:
    """P value of the hypothesis that the means fall, or rise, from each size to the next."""
    under_null, observed = (_distances(rows, weight, rising) for rows in (drawn - means, means[None]))
    return float((1 + np.sum(under_null >= observed - 1e-9)) / (1 + len(under_null)))


def _distances(means: np.ndarray, weight: np.ndarray, rising: bool) -> np.ndarray:
    """Weighted squared distance of each row from its isotonic fit.

    The fit of a value is the largest, over where a block that holds it begins, of the smallest, over where
    the block ends, of the block's weighted mean (Robertson et al. 1988, theorem 1.4.4).
    """
    values = means if rising else -means
    sums = np.pad((weight * values).cumsum(axis=1), ((0, 0), (1, 0)))
    sizes = np.pad(weight.cumsum(), (1, 0))
    fitted = np.empty_like(values)
    for place in range(len(weight)):
        begin, end = np.arange(place + 1)[:, None], np.arange(place, len(weight)) + 1
        blocks = (sums[:, end][:, None] - sums[:, begin]) / (sizes[end] - sizes[begin])
        fitted[:, place] = blocks.min(axis=2).max(axis=1)
    return (values - fitted) ** 2 @ weight


def published() -> pd.DataFrame:
    """Leak rates of *semantic* leakage in the literature.

    This is a different quantity from those of this project: similarity to a concept in the prompt, 50 % where
    there is no leakage. It was published without intervals. Sizes are those of the model names.

    Returns:
        Columns: source, prompts, family, tuning, billions, measure, leak_rate.
    """
    return pd.read_csv(PUBLISHED)
