"""How small an effect a design can see: variance components of an earlier run, and what they say of more
stems or samples.

The mean over `stems`, each with `groups` groups of `samples` samples, has by the components of
lib/analysis/variance_components.py the standard error

    √((V_stem + V_group / groups + V_sample / (groups · samples)) / stems + V_match / matches)

where no more matches count than there are groups. It is tested against 0 by a two-sided t test with one
degree of freedom less than there are stems, or matches where these are fewer. So matches of contexts set a
`floor`: stems and samples without end do not show a smaller effect. Without a part for matches contexts count
as given, and the statement is about other stems alone. Where stems are few the intervals of
lib/stats/inference.py are longer than those of t, so that fewer than two dozen have less power than stated;
strong positive skew gives some dozens of stems more (`make simulate`).
"""

from functools import cache

import numpy as np
import pandas as pd
from scipy import optimize, stats

from lib.analysis import leakage
from lib.analysis.variance_components import (
    Components,
    components,
    components_by_match,
    estimate,
    redrawn,
    sums,
)
from lib.config import params
from lib.config.specs import NO_MITIGATION
from lib.stats import inference
from lib.storage import records

__all__ = ["Components", "components"]  # what plans are made of

POWER, LEVEL = (
    0.8,
    0.05,
)  # the custom of the field: a real effect is seen four times of five, a false alarm once in twenty
SAMPLES = (1, 2, 5, 10, 20)
EFFECTS = (3.0, 5.0, 10.0)  # points; a choice of ours
CONTRASTS = ("negative", "positive", "negative − positive")
MATCHES = (108, 216, 324)  # how many matches of contexts a benchmark could have
_PARTS = {"match": "matches", "stem": "stems", "group": "groups", "sample": "samples"}
_MOST_STEMS = 10**7


def deviation(found: Components, groups: int, samples: float) -> float:
    """Standard deviation of a stem's mean over `groups` groups of `samples` samples (may be inf), in
    points."""
    return float(np.sqrt(found.stem + found.group / groups + found.sample / (groups * samples)))


def standard_error(
    found: Components, stems: float, groups: int = 1, samples: float = 1, matches: float | None = None
) -> float:
    """Standard error, in points, of the mean over a design of `matches`, as many as `found` is of where it is
    None."""
    of_stems = deviation(found, groups, samples) ** 2 / stems
    return float(
        np.sqrt(of_stems + (found.match / _met(found, stems, groups, matches) if found.match else 0.0))
    )


def _met(found: Components, stems: float, groups: float, matches: float | None) -> float:
    """How many of the matches a design meets."""
    return min(found.n_matches if matches is None else matches, stems * groups)


def _clusters(found: Components, stems: float, groups: float, matches: float | None) -> float:
    return min(stems, _met(found, stems, groups, matches)) if found.match else stems


def achieved(
    found: Components,
    effect: float,
    stems: int,
    groups: int = 1,
    samples: float = 1,
    level: float = LEVEL,
    matches=None,
) -> float:
    """The power, 0 … 1, with which a true mean of `effect` points is told from 0."""
    spread = standard_error(found, stems, groups, samples, matches)
    return (
        _power(abs(effect) / spread, _clusters(found, stems, groups, matches), level)
        if spread
        else float(effect != 0)
    )


def minimum_detectable_effect(
    found: Components,
    stems: float,
    groups: int = 1,
    samples: float = 1,
    power: float = POWER,
    level: float = LEVEL,
    matches: float | None = None,
) -> float:
    """The smallest true mean, in points, that is told from 0 with `power`; ValueError for fewer than two
    stems or matches."""
    clusters = _clusters(found, stems, groups, matches)
    if clusters < 2:
        raise ValueError(f"{'stems' if stems < 2 else 'matches'}: {clusters}: a t test needs at least 2")
    return _detectable(clusters, power, level) * standard_error(found, stems, groups, samples, matches)


def floor(
    found: Components, matches: float | None = None, power: float = POWER, level: float = LEVEL
) -> float:
    """The smallest true mean, in points, that any number of stems and samples tells from 0; 0 if matches do
    not differ."""
    return minimum_detectable_effect(found, np.inf, 1, 1, power, level, matches) if found.match else 0.0


def stems_needed(
    found: Components,
    effect: float,
    groups: int = 1,
    samples: float = 1,
    power: float = POWER,
    level: float = LEVEL,
    matches: float | None = None,
) -> int:
    """The fewest stems with which a true mean of `effect` points is told from 0 with `power`.

    ValueError where the matches do not allow it, whatever the stems, or above ten million.
    """
    least = floor(found, matches, power, level)
    if least >= effect:
        held = found.n_matches if matches is None else matches
        raise ValueError(
            f"effect: {effect}: {held} matches show {least:.2g} points at the least; write more, or wish a "
            "larger one"
        )
    if minimum_detectable_effect(found, _MOST_STEMS, groups, samples, power, level, matches) > effect:
        raise ValueError(f"effect: {effect}: needs more than {_MOST_STEMS:,} stems; wish a larger one")
    low, high = 1, 2  # too few, enough
    while minimum_detectable_effect(found, high, groups, samples, power, level, matches) > effect:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = minimum_detectable_effect(found, middle, groups, samples, power, level, matches) <= effect
        low, high = (low, middle) if enough else (middle, high)
    return high


def _power(shift: float, stems: float, level: float) -> float:
    """Power at a true mean of `shift` standard errors; rejections on the wrong side of 0 do not count."""
    return float(stats.nct.sf(stats.t.isf(level / 2, stems - 1), stems - 1, shift))


@cache
def _detectable(stems: float, power: float, level: float) -> float:
    """The true mean, in standard errors, that is told from 0 with `power`."""
    # beyond this the noncentral t is not needed, and not reliable
    highest = 2 * stats.t.isf(level / 2, stems - 1) + 2
    return optimize.brentq(lambda shift: _power(shift, stems, level) - power, 0.0, highest)


def finished(set_name: str | None) -> bool:
    """Whether there is a finished run of this set to learn from; an interrupted one is not analysed."""
    return set_name is not None and (records.run_folder(set_name) / "manifest.json").is_file()


def earlier(set_name: str | None) -> pd.DataFrame | None:
    """`contrasts` of a finished run; None if there is none to learn from."""
    if not finished(set_name):
        return None
    names = [model.name for model in params.load(set_name).models]
    # variances will do for a plan
    judgements = records.read_models(set_name, "judgements", names, any_version=True)
    return contrasts(leakage.pairs(judgements[judgements["mitigation"] == NO_MITIGATION]))


def contrasts(pairs: pd.DataFrame) -> pd.DataFrame:
    """Net excess of unmitigated pairs, a row a sample: model, contrast, stem_id, group_id, sample_index,
    difference."""
    charged = leakage.charged_pairs(pairs)
    by_arm = charged.rename(columns={"arm": "contrast", "net": "difference"})
    both = leakage.polarity_difference(charged).assign(contrast=CONTRASTS[-1])
    columns = ["model", "contrast", "stem_id", "group_id", "sample_index", "difference"]
    return pd.concat([by_arm[columns], both[columns]], ignore_index=True)


def spreads(differences: pd.DataFrame) -> pd.DataFrame:
    """Standard deviation of matches, stems, groups and samples, points, and the numbers behind them: a row a
    model and contrast.

    As in `detectable` and `needed`, contrasts of fewer than two stems are left out: nothing can be learnt
    from them. Matches are 0 where they cannot be told apart.
    """
    rows = []
    for (model, contrast), part in _parts(differences):
        found = components_by_match(part)
        deviations = {f"SD of {name}": np.sqrt(getattr(found, one)) for one, name in _PARTS.items()}
        counts = {
            "matches": found.n_matches,
            "stems": found.n_stems,
            "groups": found.n_groups,
            "differences": found.n,
        }
        rows.append({"model": model, "contrast": contrast, **deviations, **counts})
    names = [*(f"SD of {name}" for name in _PARTS.values()), "matches", "stems", "groups", "differences"]
    return pd.DataFrame(rows, columns=["model", "contrast", *names])


def detectable(
    differences: pd.DataFrame,
    stems: int,
    groups: int,
    rng: np.random.Generator,
    draws: int = 200,
    matches: int | None = None,
) -> pd.DataFrame:
    """The minimum detectable effect of a design, points, one row a model, contrast and number of samples:
    estimate, low, high.

    `matches` of the design, None for as many as the earlier run has. The interval (95 %) redraws that run's
    stems, or its matches (`variance_components.redrawn`): it tells how well the run knows the variances.
    """
    rows = []
    for (model, contrast), part in _parts(differences):
        table = sums(part, "difference")
        known = [estimate(table), *(estimate(redrawn(table, rng)) for _ in range(draws))]
        held = known[0].n_matches if matches is None else matches
        for samples in SAMPLES:
            effects = [
                minimum_detectable_effect(found, stems, groups, samples, matches=held) for found in known
            ]
            low, high = inference.percentile_interval(np.array(effects[1:])[:, None], 0.95)[:, 0]
            named = {"model": model, "contrast": contrast, "samples": samples}
            rows.append({**named, "estimate": effects[0], "ci_low": low, "ci_high": high})
    return pd.DataFrame(rows, columns=["model", "contrast", "samples", "estimate", "ci_low", "ci_high"])


def needed(
    differences: pd.DataFrame, groups: int, effects: tuple[float, ...] = EFFECTS, matches: int | None = None
) -> pd.DataFrame:
    """Stems needed to see each of `effects` (points): a row for each model, contrast and effect, a column for
    each of SAMPLES.

    Missing where no number of stems suffices with so many `matches` (None: as many as the run has); then
    `floor, points`, what matches show at the least, is larger than the effect.
    """
    rows = []
    for (model, contrast), part in _parts(differences):
        found = components_by_match(part)
        least = floor(found, matches)
        for effect in effects:
            stems = [
                stems_needed(found, effect, groups, each, matches=matches) if least < effect else pd.NA
                for each in SAMPLES
            ]
            rows.append([model, contrast, effect, *stems, least])
    counts = {f"{samples} a prompt": "Int64" for samples in SAMPLES}
    return pd.DataFrame(
        rows, columns=["model", "contrast", "effect, points", *counts, "floor, points"]
    ).astype(counts)


def floors(differences: pd.DataFrame, matches: tuple[int, ...] = MATCHES) -> pd.DataFrame:
    """`floor` in points: a row for each model and contrast, a column for each number of `matches`; see
    `spreads` for 0."""
    rows = []
    for (model, contrast), part in _parts(differences):
        found = components_by_match(part)
        rows.append([model, contrast, *(floor(found, count) for count in matches)])
    return pd.DataFrame(rows, columns=["model", "contrast", *(f"{count} matches" for count in matches)])


def floors_reading(found: pd.DataFrame) -> str:
    """What `floors` says: the smallest and the largest floor at each number of matches."""
    told = found.drop(columns=["model", "contrast"])
    told = told[(told > 0).any(axis=1)]
    if told.empty:
        return (
            "How far matches of contexts differ cannot be told here, so that contexts count as given: no "
            "floor is known."
        )
    spans = [f"{column.min():.1f} to {column.max():.1f} points with {name}" for name, column in told.items()]
    others = (
        f"; in {len(found) - len(told)} others matches are not seen to differ"
        if len(told) < len(found)
        else ""
    )
    return (
        f"However many stems and samples there are, an effect must be larger than {'; '.join(spans)} to be "
        "told from 0 four "
        f"times of five (the span of {len(told)} contrasts{others}). Only more contexts lower that."
    )


def reading(found: pd.DataFrame | None, set_name: str | None) -> str:
    """What `detectable` says, in a sentence for each model; without it, why nothing can be said."""
    if found is None and set_name is None:
        return (
            "No earlier run is named in `variance_source`, so nothing can be said about the effects that "
            "this "
            "set can see."
        )
    if found is None:
        return (
            f"There is no finished run of `{set_name}` here, so nothing can be said about the effects that "
            "this set can see; "
            f"`make reproduce SET={set_name}` makes one."
        )
    if found.empty:
        return (
            f"The run of `{set_name}` has fewer than two stems, so nothing can be said about the "
            "effects that this set can see."
        )
    at = found.set_index(["model", "contrast", "samples"])["estimate"]
    said = []
    for model, part in found.groupby("model", sort=False):
        names = part["contrast"].unique()
        spans = [
            f"{at[model, name, SAMPLES[0]]:.1f} to {at[model, name, SAMPLES[-1]]:.1f} ({name})"
            for name in names
        ]
        said.append(f"{model}: {', '.join(spans)}")
    return (
        f"With the variances of `{set_name}`, the smallest net excess, in points, that this set tells from "
        f"0 with {SAMPLES[0]} "
        f"to {SAMPLES[-1]} samples a prompt: {'; '.join(said)}. Negative − positive is a difference of two "
        "net excesses."
    )


def _parts(differences: pd.DataFrame):
    known = differences.dropna(subset="difference")
    stems = known.groupby(["model", "contrast"])["stem_id"].transform("nunique")
    return known[stems > 1].groupby(["model", "contrast"], sort=False)


def detectable_effect(
    found: inference.Estimate, confidence: float = 1 - LEVEL, power: float = POWER
) -> float:
    """The smallest true effect, in the unit of `found`, that its test would have told from 0 with `power`; of
    its own error.

    Two-sided t test at level 1 − `confidence` with the degrees of freedom of `found`, clusters − 1 where it
    has none. NaN where there is no error.
    """
    if np.isnan(found.se) or found.n_stems < 2:
        return np.nan
    freedom = found.n_stems - 1 if np.isnan(found.df) else found.df
    return _detectable(float(freedom) + 1, power, round(1 - confidence, 9)) * float(found.se)


def variances(differences) -> Components:
    """Components of one pair's net excess over both polarities, from `contrasts`; of several models the mean
    variances."""
    both = differences[differences["contrast"].isin(CONTRASTS[:2])]
    key = ["model", "stem_id", "group_id", "sample_index"]
    means = both.groupby(key, sort=False)["difference"].mean().reset_index()
    found = [components_by_match(part) for _, part in means.groupby("model", sort=False)]
    variances = {
        part: float(np.mean([getattr(each, part) for each in found]))
        for part in ("stem", "group", "sample", "match")
    }
    counts = {name: sum(getattr(each, name) for each in found) for name in ("n_stems", "n_groups", "n")}
    return Components(**variances, **counts, n_matches=max(each.n_matches for each in found))
