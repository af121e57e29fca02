"""Leakage against model size: the slope of each family, whether it falls all the way, all families together, published numbers.

A *line* is a family in one tuning, asked in one way: base and instruct models are never joined, nor two ways of asking. Size
is log10 of the parameters outside the embeddings, as read from the model; a model of unknown size takes no part. Nothing is
fitted to fewer than `minimum_sizes` sizes, which a row then says in the column `said`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats
from sklearn.isotonic import isotonic_regression
from statsmodels.stats.meta_analysis import combine_effects

from lib import inference, leakage

LINE = ["family", "tuning", "mode"]
DRAWS = 1000  # of the bootstrap by stem
PUBLISHED = Path(__file__).parent / "data" / "published_leakage.csv"
_NUMBERS = ["estimate", "low", "high", "n", "n_stems", "p"]


def sized(pairs: pd.DataFrame) -> pd.DataFrame:
    """The charged pairs of models whose size is known, with log_size."""
    known = leakage.charged_pairs(pairs).dropna(subset="parameters")
    return known.assign(log_size=np.log10(known["parameters"].astype(float)))


def by_size(pairs: pd.DataFrame, confidence: float, by=("arm", "slot")) -> pd.DataFrame:
    """Net excess at each size of each line, within each combination of `by`: LINE, by, model, parameters, fields of Estimate."""
    named = [*LINE, *by, "model", "parameters"]
    return inference.clustered_means(sized(pairs), "net", named, confidence, limits=leakage.LIMITS["net"])


def slopes(pairs: pd.DataFrame, minimum_sizes: int, confidence: float, by=()) -> pd.DataFrame:
    """Change per tenfold size of each line, within each combination of `by`, by two methods; intervals clustered by stem.

    *least squares*: net excess, points. *GEE*: odds of the leak rate (binomial, exchangeable within a stem), as the odds ratio, 1
    where size changes nothing. Columns: LINE, by, method, sizes, estimate, low, high, n, n_stems, p, said.
    """
    rows = []
    for levels, part in sized(pairs).groupby([*LINE, *by], sort=False):
        named, sizes = dict(zip([*LINE, *by], levels, strict=True)), part["parameters"].nunique()
        for method, fit in (("least squares", _line), ("GEE", _gee)):
            said = "" if sizes >= minimum_sizes else f"needs at least {minimum_sizes} sizes of a family, has {sizes}"
            found = dict.fromkeys(_NUMBERS, np.nan) if said else fit(part, confidence)
            rows.append({**named, "method": method, "sizes": sizes, **found, "said": said})
    return pd.DataFrame(rows, columns=[*LINE, *by, "method", "sizes", *_NUMBERS, "said"])


def _line(part: pd.DataFrame, confidence: float) -> dict:
    found = inference.clustered_slope(part["net"], part["log_size"], part["stem_id"], confidence)
    return {name: getattr(found, name) for name in _NUMBERS}


def _gee(part: pd.DataFrame, confidence: float) -> dict:
    """Liang & Zeger (1986) with a t of clusters − 1 degrees of freedom. A pair that is a tie counts as half a leak.

    A leak rate of 0 or 100 % at every size has no odds, one stem no interval.
    """
    part = part.dropna(subset="leak")
    stems = part["stem_id"].nunique()
    counts = {"n": len(part), "n_stems": stems}
    if stems < 2 or part["leak"].nunique() < 2:
        return {**dict.fromkeys(_NUMBERS, np.nan), **counts}
    part = part.sort_values("stem_id", kind="stable")
    centred = part["log_size"] - part["log_size"].mean()
    model = sm.GEE(part["leak"] / 100, sm.add_constant(centred.to_numpy()), groups=part["stem_id"],
                   family=sm.families.Binomial(), cov_struct=sm.cov_struct.Exchangeable())  # fmt: skip
    fit = model.fit()
    slope, error = fit.params.iloc[1], fit.bse.iloc[1]
    reach = stats.t.ppf((1 + confidence) / 2, stems - 1) * error
    bounds = np.exp([slope, slope - reach, slope + reach])
    return {**dict(zip(_NUMBERS, bounds, strict=False)), **counts, "p": 2 * stats.t.sf(abs(slope) / error, stems - 1)}


def families(slopes: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Slopes of net excess that vary at random between families: their mean within each tuning and mode of 2 families or more.

    A mixed model in two stages: the slopes of `slopes`, with their errors clustered by stem, are combined under the variance
    between families of Paule & Mandel (1982); t with families − 1 degrees of freedom, so that two families give a wide interval.
    In one stage statsmodels would have to hold families and stems as crossed random effects, a dense matrix of all pairs.
    Columns: tuning, mode, families, estimate, low, high, between (SD of slopes, points).
    """
    lines, rows = slopes[slopes["method"] == "least squares"].dropna(subset=["estimate", "low"]), []
    for (tuning, mode), part in lines.groupby(["tuning", "mode"], sort=False):
        if len(part) < 2:
            continue
        reach = stats.t.ppf((1 + confidence) / 2, part["n_stems"].astype(float) - 1)
        variance = ((part["high"] - part["low"]) / (2 * reach)).astype(float) ** 2
        found = combine_effects(part["estimate"].to_numpy(float), variance.to_numpy(), method_re="iterated", use_t=True,
                                alpha=1 - confidence)  # fmt: skip
        low, high = found.conf_int(alpha=1 - confidence)[1]  # of the random effects
        rows.append((tuning, mode, len(part), found.mean_effect_re, low, high, np.sqrt(found.tau2)))
    return pd.DataFrame(rows, columns=["tuning", "mode", "families", "estimate", "low", "high", "between"])


def monotonicity(pairs: pd.DataFrame, minimum_sizes: int, confidence: float, rng: np.random.Generator) -> pd.DataFrame:
    """Whether net excess falls all the way from the smallest to the largest size of each line, whatever its shape.

    tau: Kendall's tau-b of net excess with size, with the percentile interval of a bootstrap by stem; few sizes give it few
    values. p_falling: of the hypothesis that net excess never rises from one size to the next, small if it rises somewhere: the
    share of bootstrap draws around equal means, the least favourable case of the hypothesis (Robertson et al. 1988), that lie as
    far from their isotonic fit, in weighted squares, as the means do. p_monotone: the larger of it and its mirror image
    (intersection–union), small if there is a bend.
    Columns: LINE, sizes, tau, low, high, p_falling, p_monotone, n_stems, said.
    """
    rows = []
    for levels, part in sized(pairs).dropna(subset="net").groupby(LINE, sort=False):
        sizes, stems = part["parameters"].nunique(), part["stem_id"].nunique()
        found, said = [np.nan] * 5, ""
        if sizes < minimum_sizes or stems < 2:
            said = f"needs at least {minimum_sizes} sizes of a family, has {sizes}" if stems > 1 else "needs 2 stems, has 1"
        else:
            found = _shape(part, confidence, rng)
        rows.append((*levels, sizes, *found, stems, said))
    return pd.DataFrame(rows, columns=[*LINE, "sizes", "tau", "low", "high", "p_falling", "p_monotone", "n_stems", "said"])


def _shape(part: pd.DataFrame, confidence: float, rng: np.random.Generator) -> list[float]:
    """tau, its interval, p_falling, p_monotone of one line."""
    cells = part.pivot_table(index="stem_id", columns="parameters", values="net", aggfunc=["sum", "count"], fill_value=0)
    sums, counts = cells["sum"].to_numpy(float), cells["count"].to_numpy(float)
    weight, means = counts.sum(axis=0), sums.sum(axis=0) / counts.sum(axis=0)
    times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=DRAWS)  # how often each draw takes each stem
    drawn = (times @ sums) / np.maximum(times @ counts, 1)
    low, high = inference.percentile_interval(np.array([[_tau(draw)] for draw in drawn]), confidence)[:, 0]
    p_falling, p_rising = (_p(means, drawn, weight, rising) for rising in (False, True))
    return [_tau(means), low, high, p_falling, max(p_falling, p_rising)]


def _tau(means: np.ndarray) -> float:
    """Kendall's tau-b with the order of the sizes; 0 where all are equal."""
    return 0.0 if np.ptp(means) < 1e-9 else float(stats.kendalltau(range(len(means)), means.round(9)).statistic)


def _p(means: np.ndarray, drawn: np.ndarray, weight: np.ndarray, rising: bool) -> float:
    """p of the hypothesis that the means fall, or rise, from each size to the next."""
    under = np.array([_distance(draw - means, weight, rising) for draw in drawn])
    return float((1 + np.sum(under >= _distance(means, weight, rising) - 1e-9)) / (1 + len(under)))


def _distance(means: np.ndarray, weight: np.ndarray, rising: bool) -> float:
    """Weighted squared distance of `means` from their isotonic fit."""
    return float(weight @ (means - isotonic_regression(means, sample_weight=weight, increasing=rising)) ** 2)


def published() -> pd.DataFrame:
    """Leak rates of *semantic* leakage in the literature: source, prompts, family, tuning, billions, measure, leak_rate.

    Sizes are those of the models' names. Another quantity than ours: similarity to a concept in the prompt, 50 % where there is
    none, and published without intervals.
    """
    return pd.read_csv(PUBLISHED)
