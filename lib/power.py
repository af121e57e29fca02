"""How small an effect a design can see: variance components of an earlier run, and what they say of more stems or samples.

A paired difference is taken as mean + stem + group within stem + sample within group, each part with a variance of its own. The
mean over `stems`, each with `groups` groups of `samples` samples, then has the standard error

    √((V_stem + V_group / groups + V_sample / (groups · samples)) / stems)

and is tested against 0 by a two-sided t test with stems − 1 degrees of freedom. Contexts count as given: the statement is about
other stems, not about other contexts. Where stems are few the intervals of lib/inference.py are longer than those of t, so that
fewer than two dozen have less power than stated; strong positive skew gives some dozens of stems more (`make simulate`).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy import optimize, stats

from lib import inference, leakage, params, records
from lib.specs import NO_MITIGATION

POWER, LEVEL = 0.8, 0.05  # the custom of the field: a real effect is seen four times of five, a false alarm once in twenty
SAMPLES = (1, 2, 5, 10, 20)
EFFECTS = (3.0, 5.0, 10.0)  # points; a choice of ours
CONTRASTS = ("negative", "positive", "negative − positive")
_MOST_STEMS = 10**7


@dataclass(frozen=True)
class Components:
    """Variances of a paired difference, in squared points, and what they were estimated from.

    What cannot be told apart is counted where it costs most: groups as stems if every stem has one group, samples as groups if
    every group has one sample.
    """

    stem: float
    group: float
    sample: float
    n_stems: int
    n_groups: int
    n: int


def components(differences: pd.DataFrame, value: str = "difference") -> Components:
    """Variance components of the column `value`, one row a sample, by nested analysis of variance; unequal numbers allowed.

    Needs stem_id and group_id; NaN values are left out. Henderson's method 1 (Searle, Casella & McCulloch 1992, ch. 5): sums of
    squares are set equal to their expectations; an estimate below 0 counts as 0. ValueError for fewer than two stems.
    """
    groups = _sums(differences, value)
    if groups["stem"].nunique() < 2:
        raise ValueError("variance components need at least two stems with values")
    return _estimate(groups)


def _sums(differences: pd.DataFrame, value: str) -> pd.DataFrame:
    """What the analysis needs of each group, ordered by stem: stem (a number), count, total, and square within the group."""
    table = differences[["stem_id", "group_id", value]].dropna()
    table = table.assign(stem=pd.factorize(table["stem_id"])[0])
    groups = table.groupby(["stem", "group_id"])[value].agg(["size", "sum", "var"]).reset_index()
    square = groups["var"].fillna(0) * (groups["size"] - 1)
    return pd.DataFrame({"stem": groups["stem"], "count": groups["size"], "total": groups["sum"], "square": square})


def _estimate(groups: pd.DataFrame) -> Components:
    stem, count, total = (groups[name].to_numpy() for name in ("stem", "count", "total"))
    of_stem = np.bincount(stem, count)
    stem_mean = np.bincount(stem, total) / of_stem
    n, n_groups, n_stems = int(count.sum()), len(count), len(of_stem)
    between_groups = np.sum(count * (total / count - stem_mean[stem]) ** 2)
    between_stems = np.sum(of_stem * (stem_mean - total.sum() / n) ** 2)

    shared = np.sum(count**2 / of_stem[stem])  # how far a group's own deviation counts in its stem's mean
    v_sample = groups["square"].sum() / (n - n_groups) if n > n_groups else 0.0
    v_group = 0.0
    if n_groups > n_stems:
        v_group = max(0.0, (between_groups - v_sample * (n_groups - n_stems)) / (n - shared))
    expected = v_sample * (n_stems - 1) + v_group * (shared - np.sum(count**2) / n)
    v_stem = max(0.0, (between_stems - expected) / (n - np.sum(of_stem**2) / n))
    return Components(v_stem, v_group, float(v_sample), n_stems, n_groups, n)


def deviation(found: Components, groups: int, samples: float) -> float:
    """Standard deviation of a stem's mean over `groups` groups of `samples` samples (may be inf), in points."""
    return float(np.sqrt(found.stem + found.group / groups + found.sample / (groups * samples)))


def achieved(found: Components, effect: float, stems: int, groups: int = 1, samples: float = 1, level: float = LEVEL) -> float:
    """The power, 0 … 1, with which a true mean of `effect` points is told from 0."""
    spread = deviation(found, groups, samples) / np.sqrt(stems)
    return _power(abs(effect) / spread, stems, level) if spread else float(effect != 0)


def minimum_detectable_effect(
    found: Components, stems: int, groups: int = 1, samples: float = 1, power: float = POWER, level: float = LEVEL
) -> float:
    """The smallest true mean, in points, that is told from 0 with `power`; ValueError for fewer than two stems."""
    if stems < 2:
        raise ValueError(f"stems: {stems}: a t test needs at least 2")
    return _detectable(stems, power, level) * deviation(found, groups, samples) / np.sqrt(stems)


def stems_needed(
    found: Components, effect: float, groups: int = 1, samples: float = 1, power: float = POWER, level: float = LEVEL
) -> int:
    """The fewest stems with which a true mean of `effect` points is told from 0 with `power`; ValueError above ten million."""
    if minimum_detectable_effect(found, _MOST_STEMS, groups, samples, power, level) > effect:
        raise ValueError(f"effect: {effect}: needs more than {_MOST_STEMS:,} stems; wish a larger one")
    low, high = 1, 2  # too few, enough
    while minimum_detectable_effect(found, high, groups, samples, power, level) > effect:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = minimum_detectable_effect(found, middle, groups, samples, power, level) <= effect
        low, high = (low, middle) if enough else (middle, high)
    return high


def _power(shift: float, stems: float, level: float) -> float:
    """Power at a true mean of `shift` standard errors; rejections on the wrong side of 0 do not count."""
    return float(stats.nct.sf(stats.t.isf(level / 2, stems - 1), stems - 1, shift))


@cache
def _detectable(stems: float, power: float, level: float) -> float:
    """The true mean, in standard errors, that is told from 0 with `power`."""
    highest = 2 * stats.t.isf(level / 2, stems - 1) + 2  # beyond this the noncentral t is not needed, and not reliable
    return optimize.brentq(lambda shift: _power(shift, stems, level) - power, 0.0, highest)


def finished(set_name: str | None) -> bool:
    """Whether there is a finished run of this set to learn from; an interrupted one is not analysed."""
    return set_name is not None and (records.run_folder(set_name) / "manifest.json").is_file()


def earlier(set_name: str | None) -> pd.DataFrame | None:
    """`contrasts` of a finished run; None if there is none to learn from."""
    if not finished(set_name):
        return None
    names = [model.name for model in params.load(set_name).models]
    judgements = records.read_models(set_name, "judgements", names, any_version=True)  # variances will do for a plan
    return contrasts(leakage.pairs(judgements[judgements["mitigation"] == NO_MITIGATION]))


def contrasts(pairs: pd.DataFrame) -> pd.DataFrame:
    """Net excess of unmitigated pairs, a row a sample: model, contrast, stem_id, group_id, sample_index, difference."""
    charged = leakage.charged_pairs(pairs)
    by_arm = charged.rename(columns={"arm": "contrast", "net": "difference"})
    both = leakage.polarity_difference(charged).assign(contrast=CONTRASTS[-1])
    columns = ["model", "contrast", "stem_id", "group_id", "sample_index", "difference"]
    return pd.concat([by_arm[columns], both[columns]], ignore_index=True)


def spreads(differences: pd.DataFrame) -> pd.DataFrame:
    """Standard deviation of stems, groups and samples, in points, and the numbers behind them: a row a model and contrast.

    As in `detectable` and `needed`, contrasts of fewer than two stems are left out: nothing can be learnt from them.
    """
    rows = []
    for (model, contrast), part in _parts(differences):
        found = components(part)
        deviations = {f"SD of {name}s": np.sqrt(getattr(found, name)) for name in ("stem", "group", "sample")}
        counts = {"stems": found.n_stems, "groups": found.n_groups, "differences": found.n}
        rows.append({"model": model, "contrast": contrast, **deviations, **counts})
    names = ["SD of stems", "SD of groups", "SD of samples", "stems", "groups", "differences"]
    return pd.DataFrame(rows, columns=["model", "contrast", *names])


def detectable(differences: pd.DataFrame, stems: int, groups: int, rng: np.random.Generator, draws: int = 200) -> pd.DataFrame:
    """The minimum detectable effect of a design, points, one row a model, contrast and number of samples: estimate, low, high.

    The interval (95 %) redraws the stems of the earlier run: it tells how well that run knows the variances.
    """
    rows = []
    for (model, contrast), part in _parts(differences):
        sums = _sums(part, "difference")
        redrawn = [_estimate(_redrawn(sums, rng)) for _ in range(draws)]
        for samples in SAMPLES:
            effects = [minimum_detectable_effect(found, stems, groups, samples) for found in (_estimate(sums), *redrawn)]
            low, high = inference.percentile_interval(np.array(effects[1:])[:, None], 0.95)[:, 0]
            named = {"model": model, "contrast": contrast, "samples": samples}
            rows.append({**named, "estimate": effects[0], "low": low, "high": high})
    return pd.DataFrame(rows, columns=["model", "contrast", "samples", "estimate", "low", "high"])


def needed(differences: pd.DataFrame, groups: int, effects: tuple[float, ...] = EFFECTS) -> pd.DataFrame:
    """Stems needed to see each of `effects` (points): a row for each model, contrast and effect, a column for each of SAMPLES."""
    rows = []
    for (model, contrast), part in _parts(differences):
        found = components(part)
        for effect in effects:
            stems = {f"{samples} a prompt": stems_needed(found, effect, groups, samples) for samples in SAMPLES}
            rows.append({"model": model, "contrast": contrast, "effect, points": effect, **stems})
    return pd.DataFrame(rows, columns=["model", "contrast", "effect, points", *(f"{samples} a prompt" for samples in SAMPLES)])


def reading(found: pd.DataFrame | None, set_name: str | None) -> str:
    """What `detectable` says, in a sentence for each model; without it, why nothing can be said."""
    if found is None and set_name is None:
        return "No earlier run is named in `power_from`, so nothing can be said about the effects that this set can see."
    if found is None:
        return (
            f"There is no finished run of `{set_name}` here, so nothing can be said about the effects that this set can see; "
            f"`make reproduce SET={set_name}` makes one."
        )
    if found.empty:
        return (
            f"The run of `{set_name}` has fewer than two stems, so nothing can be said about the effects that this set can see."
        )
    at = found.set_index(["model", "contrast", "samples"])["estimate"]
    said = []
    for model, part in found.groupby("model", sort=False):
        names = part["contrast"].unique()
        spans = [f"{at[model, name, SAMPLES[0]]:.1f} to {at[model, name, SAMPLES[-1]]:.1f} ({name})" for name in names]
        said.append(f"{model}: {', '.join(spans)}")
    return (
        f"With the variances of `{set_name}`, the smallest net excess, in points, that this set tells from 0 with {SAMPLES[0]} "
        f"to {SAMPLES[-1]} samples a prompt: {'; '.join(said)}. Negative − positive is a difference of two net excesses."
    )


def _parts(differences: pd.DataFrame):
    known = differences.dropna(subset="difference")
    stems = known.groupby(["model", "contrast"])["stem_id"].transform("nunique")
    return known[stems > 1].groupby(["model", "contrast"], sort=False)


def _redrawn(groups: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """As many stems as there are, drawn with replacement, with all their groups; a stem drawn twice counts as two."""
    sizes = np.bincount(groups["stem"])
    drawn = rng.integers(len(sizes), size=len(sizes))
    starts = np.cumsum(sizes) - sizes
    rows = np.concatenate([np.arange(starts[stem], starts[stem] + sizes[stem]) for stem in drawn])
    return groups.iloc[rows].assign(stem=np.repeat(np.arange(len(drawn)), sizes[drawn]))


def detectable_effect(found: inference.Estimate, confidence: float = 1 - LEVEL, power: float = POWER) -> float:
    """The smallest true effect, in the unit of `found`, that its test would have told from 0 with `power`; of its own error.

    Two-sided t test at level 1 − `confidence` with the degrees of freedom of `found`, clusters − 1 where it has none. NaN where
    there is no error.
    """
    if np.isnan(found.error) or found.n_stems < 2:
        return np.nan
    freedom = found.n_stems - 1 if np.isnan(found.freedom) else found.freedom
    return _detectable(float(freedom) + 1, power, round(1 - confidence, 9)) * float(found.error)
