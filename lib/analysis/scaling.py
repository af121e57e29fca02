"""Leakage against model size: a meta-regression of each family's models, whether they fall all the way,
published numbers.

A *line* is a family in one tuning, asked in one way: base and instruct models are never joined, nor two ways
of asking. Size is log10 of the parameters outside the embeddings, as read from the model; a model of unknown
size takes no part and is named. The models are the sample: a statement about size must hold of other models
than these, so that more stems alone never settle it.
"""

from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.isotonic import isotonic_regression
from statsmodels.stats.meta_analysis import combine_effects

from lib.analysis import leakage
from lib.config.specs import ROOT
from lib.stats import inference, meta_analysis
from lib.stats.inference import Estimate
from lib.stats.meta_analysis import MetaRegression

LINE = ["family", "tuning", "mode"]
QUANTITIES = ("shift", "net", "leak")  # the first decides
# sizes for a slope with an interval; a verdict takes more (`scaling.min_sizes`)
MIN_DESCRIBED = meta_analysis.MIN_ESTIMATES
DRAWS = 1000  # of the bootstrap by stem
PUBLISHED = ROOT / "lib" / "data" / "published_leakage.csv"
_ESTIMATE = [field.name for field in fields(Estimate)]


def sized(pairs: pd.DataFrame) -> pd.DataFrame:
    """The charged pairs of models whose size is known, with log_size."""
    known = leakage.charged_pairs(pairs).dropna(subset="parameters")
    return known.assign(log_size=np.log10(known["parameters"].astype(float)))


def by_size(
    pairs: pd.DataFrame, confidence: float, quantity: str = "shift", by=("arm", "slot")
) -> pd.DataFrame:
    """`quantity` of each model of each line, within each combination of `by`: LINE, by, model, parameters,
    fields of Estimate."""
    named = [*LINE, *by, "model", "parameters"]
    return inference.clustered_means(
        sized(pairs), quantity, named, confidence, limits=leakage.SUPPORT[quantity]
    )


def meta_regression(pairs: pd.DataFrame, quantity: str, confidence: float, by=()) -> pd.DataFrame:
    """Change of `quantity` per tenfold size of each line, within each combination of `by`, by
    `meta_analysis.fit` over its sizes.

    Models of one size are one point, their mean: a temperature or a quantisation more is no further
    checkpoint. Errors that models share: `error_covariance`. Columns: LINE, by, quantity, sizes, models,
    left_out (models of unknown size), the fields of Estimate (of the slope, in the unit of the quantity; n
    pairs, freedom = sizes − 2), tau2 (variance between models, that unit squared), message (why there is no
    slope, else empty).
    """
    rows = []
    for levels, line in _lines(pairs, quantity, confidence, by):
        slope, tau2 = Estimate(np.nan, np.nan, np.nan, line.n, line.n_stems, np.nan, np.nan, np.nan), np.nan
        if line.fit is not None:
            low, high = line.fit.interval(confidence)
            slope = Estimate(
                line.fit.slope,
                low,
                high,
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
    """The line of each `meta_regression` at `points` sizes, with its band: LINE, parameters, estimate, low,
    high."""
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
    """What is known of the models of a line."""

    sizes: int
    models: int
    left_out: str
    n: int
    n_stems: int
    message: str
    log_range: tuple[float, float] = (np.nan, np.nan)
    fit: MetaRegression | None = None


def _lines(pairs: pd.DataFrame, quantity: str, confidence: float, by) -> Iterator[tuple[dict, _Line]]:
    for levels, part in leakage.charged_pairs(pairs).groupby([*LINE, *by], sort=False):
        yield dict(zip([*LINE, *by], levels, strict=True)), _line(part, quantity, confidence)


def _line(part: pd.DataFrame, quantity: str, confidence: float) -> _Line:
    """The models of one line, and the meta-regression where they allow one."""
    left_out = ", ".join(part.loc[part["parameters"].isna(), "model"].unique())
    models = by_size(part, confidence, quantity, by=())
    sizes = models["parameters"].nunique()
    known = sized(part).dropna(subset=quantity)
    counts = sizes, len(models), left_out, len(known), known["stem_id"].nunique()
    unsure = models.loc[~(models["se"] > 0), "model"]
    if sizes < MIN_DESCRIBED:
        return _Line(*counts, f"a slope needs at least {MIN_DESCRIBED} sizes of a family, has {sizes}")
    if len(unsure):
        return _Line(
            *counts,
            f"no standard error of {', '.join(unsure)}: no scored pair, one stem, or stems that all agree",
        )
    log_sizes, point = np.unique(np.log10(models["parameters"].astype(float)), return_inverse=True)
    # of each model in the mean of its size
    weights = (point == np.arange(sizes)[:, None]) / np.bincount(point)[:, None]
    covariance = weights @ _covariance(known, quantity, models) @ weights.T
    fit = meta_analysis.fit(weights @ models["estimate"].to_numpy(float), covariance, log_sizes)
    return _Line(*counts, "", (log_sizes[0], log_sizes[-1]), fit)


def _covariance(known: pd.DataFrame, quantity: str, models: pd.DataFrame) -> np.ndarray:
    """`error_covariance` of `models`, a table of `by_size`; stems that a model does not have add nothing to
    its mean."""
    cells = known.pivot_table(
        index="stem_id", columns="model", values=quantity, aggfunc=["sum", "count"], fill_value=0
    )
    sums, counts = (cells[name][models["model"]].to_numpy(float) for name in ("sum", "count"))
    added = (sums - counts * (sums.sum(axis=0) / counts.sum(axis=0))) / counts.sum(axis=0)
    return error_covariance(added, models["se"].to_numpy(float))


def error_covariance(added: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Covariance of models' sampling errors, shape (models, models), from their clustered standard `errors`.

    Models that were given the same stems err together. What all share cancels in a slope, but stems on which
    leakage itself changes with size do not, and to take errors as independent would hide them. So
    correlations are those of what each stem adds to each model's mean, `added` (stems, models), shrunk
    towards none by models / stems, for few stems leave them too unsure.
    """
    scale = np.sqrt((added**2).sum(axis=0))
    shrunk = min(1.0, added.shape[1] / len(added))
    correlation = (1 - shrunk) * (added.T @ added) / np.outer(scale, scale) + shrunk * np.eye(len(scale))
    return correlation * np.outer(errors, errors)


def pair_differences(pairs: pd.DataFrame, quantity: str, confidence: float) -> pd.DataFrame:
    """The larger size less the smaller of each line that has just two, on the groups and arms that both have
    scored.

    A group and arm are one value at each size, the mean of its draws; intervals are clustered by stem, and so
    hold of these models alone. Columns: LINE, quantity, smaller, larger (models), fields of Estimate.
    """
    rows, limit = [], np.ptp(leakage.SUPPORT[quantity])
    for levels, part in sized(pairs).groupby(LINE, sort=False):
        names = part.groupby("parameters")["model"].agg(lambda models: ", ".join(models.unique()))
        if len(names) == 2:
            values = (
                part.groupby(["stem_id", "group_id", "arm", "parameters"])[quantity]
                .mean()
                .unstack("parameters")
            )
            difference = values[names.index[1]] - values[names.index[0]]
            stems = difference.index.get_level_values("stem_id")
            found = inference.clustered_mean(difference, stems, confidence, (-limit, limit))
            rows.append((*levels, quantity, *names, *asdict(found).values()))
    return pd.DataFrame(rows, columns=[*LINE, "quantity", "smaller", "larger", *_ESTIMATE])


def families(slopes: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Mean slope over the families of each tuning and mode that has 2 or more with a slope in a table of
    `meta_regression`.

    Random effects of the family, with the variance between them of Paule & Mandel (1982); t with families − 1
    degrees of freedom, so that two families give a wide interval. Columns: tuning, mode, quantity, families,
    estimate, low, high, between (SD of slopes).
    """
    rows, by = [], ["tuning", "mode", "quantity"]
    for levels, part in slopes.dropna(subset="se").groupby(by, sort=False):
        if len(part) < 2:
            continue
        found = combine_effects(
            part["estimate"].to_numpy(float),
            part["se"].to_numpy(float) ** 2,
            method_re="iterated",
            use_t=True,
            alpha=1 - confidence,
        )
        low, high = found.conf_int(alpha=1 - confidence)[1]  # of the random effects
        rows.append((*levels, len(part), found.mean_effect_re, low, high, np.sqrt(found.tau2)))
    return pd.DataFrame(rows, columns=[*by, "families", "estimate", "ci_low", "ci_high", "between"])


def monotonicity(
    pairs: pd.DataFrame, quantity: str, confidence: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Whether `quantity` falls all the way from the smallest to the largest size of each line, whatever its
    shape.

    Of these models, not of others: stems are the sample. tau: Kendall's tau-b of the quantity with size, with
    the percentile interval of a bootstrap by stem; few sizes give it few values. p_falling: of the hypothesis
    that it never rises from one size to the next, small if it rises somewhere: the share of bootstrap draws
    around equal means, the least favourable case of the hypothesis (Robertson et al. 1988), that lie as far
    from their isotonic fit, in weighted squares, as the means do. p_monotone: the larger of it and its mirror
    image (intersection–union), small if there is a bend.
    Columns: LINE, sizes, tau, low, high, p_falling, p_monotone, n_stems, message.
    """
    rows = []
    for levels, part in sized(pairs).dropna(subset=quantity).groupby(LINE, sort=False):
        sizes, stems = part["parameters"].nunique(), part["stem_id"].nunique()
        shape, message = [np.nan] * 5, ""
        if stems < 2:
            message = "needs 2 stems, has 1"
        elif sizes < MIN_DESCRIBED:
            message = f"needs at least {MIN_DESCRIBED} sizes of a family, has {sizes}"
        else:
            shape = _shape(part, quantity, confidence, rng)
        rows.append((*levels, sizes, *shape, stems, message))
    return pd.DataFrame(
        rows,
        columns=[*LINE, "sizes", "tau", "ci_low", "ci_high", "p_falling", "p_monotone", "n_stems", "message"],
    )


def _shape(part: pd.DataFrame, quantity: str, confidence: float, rng: np.random.Generator) -> list[float]:
    """tau, its interval, p_falling, p_monotone of one line."""
    cells = part.pivot_table(
        index="stem_id", columns="parameters", values=quantity, aggfunc=["sum", "count"], fill_value=0
    )
    sums, counts = cells["sum"].to_numpy(float), cells["count"].to_numpy(float)
    weight, means = counts.sum(axis=0), sums.sum(axis=0) / counts.sum(axis=0)
    # how often each draw takes each stem
    times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=DRAWS)
    drawn = (times @ sums) / np.maximum(times @ counts, 1)
    low, high = inference.percentile_interval(np.array([[_tau(draw)] for draw in drawn]), confidence)[:, 0]
    p_falling, p_rising = (_p(means, drawn, weight, rising) for rising in (False, True))
    return [_tau(means), low, high, p_falling, max(p_falling, p_rising)]


def _tau(means: np.ndarray) -> float:
    """Kendall's tau-b with the order of the sizes; 0 where all are equal."""
    return (
        0.0 if np.ptp(means) < 1e-9 else float(stats.kendalltau(range(len(means)), means.round(9)).statistic)
    )


def _p(means: np.ndarray, drawn: np.ndarray, weight: np.ndarray, rising: bool) -> float:
    """p of the hypothesis that the means fall, or rise, from each size to the next."""
    under = np.array([_distance(draw - means, weight, rising) for draw in drawn])
    return float((1 + np.sum(under >= _distance(means, weight, rising) - 1e-9)) / (1 + len(under)))


def _distance(means: np.ndarray, weight: np.ndarray, rising: bool) -> float:
    """Weighted squared distance of `means` from their isotonic fit."""
    return float(weight @ (means - isotonic_regression(means, sample_weight=weight, increasing=rising)) ** 2)


def published() -> pd.DataFrame:
    """Leak rates of *semantic* leakage in the literature: source, prompts, family, tuning, billions, measure,
    leak_rate.

    Sizes are those of the models' names. Another quantity than ours: similarity to a concept in the prompt,
    50 % where there is none, and published without intervals.
    """
    return pd.read_csv(PUBLISHED)
