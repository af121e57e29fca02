"""Power of a design: how small an effect it can detect, given the variance components of an earlier run.

With the components of lib/analysis/variance_components.py, the mean over `stems`, each with `groups` groups
of `samples` samples, has the standard error

    √((V_stem + V_group / groups + V_sample / (groups · samples)) / stems + V_match / matches)

where at most as many matches count as there are groups. The mean is tested against 0 by a two-sided t test
with one degree of freedom fewer than there are stems, or matches where these are fewer. Matches of contexts
therefore set a `floor`: no number of stems and samples detects a smaller effect. Without a component for
matches, contexts count as fixed, and the statement is about other stems alone. With few stems the intervals
of lib/stats/inference.py are longer than those of t, so that designs of fewer than two dozen stems have less
power than stated. Under strong positive skew, designs of some dozens of stems have more power than stated
(`make simulate`).

Functions of a design take the variance `components`, `stems`, `groups` per stem, `samples` per group,
`matches` (None for as many as the components were estimated from), and the `power` and `level` of the test.
Functions of an earlier run take its `differences`, a table of `contrasts`.
"""

from functools import cache
from typing import TypeGuard

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
from lib.runtime.errors import DataError
from lib.stats import inference
from lib.storage import records

__all__ = ["Components", "components"]  # used for planning

# conventional values: a true effect is detected four times of five, a false positive occurs once in twenty
POWER, LEVEL = 0.8, 0.05
SAMPLES = (1, 2, 5, 10, 20)
EFFECTS = (3.0, 5.0, 10.0)  # points; a choice of this project
CONTRASTS = ("negative", "positive", "negative − positive")
MATCHES = (108, 216, 324)  # possible numbers of matches of contexts in a benchmark
_PARTS = {"match": "matches", "stem": "stems", "group": "groups", "sample": "samples"}
_MOST_STEMS = 10**7


def deviation(components: Components, groups: float, samples: float) -> float:
    """Standard deviation of the mean of a stem, in points; `samples` may be inf."""
    return float(
        np.sqrt(components.stem + components.group / groups + components.sample / (groups * samples))
    )


def standard_error(
    components: Components, stems: float, groups: float = 1, samples: float = 1, matches: float | None = None
) -> float:
    """Standard error of the mean over a design, in points."""
    stem_variance = deviation(components, groups, samples) ** 2 / stems
    return float(
        np.sqrt(
            stem_variance
            + (components.match / _met(components, stems, groups, matches) if components.match else 0.0)
        )
    )


def _met(components: Components, stems: float, groups: float, matches: float | None) -> float:
    """Number of matches that a design uses."""
    return min(components.n_matches if matches is None else matches, stems * groups)


def _clusters(components: Components, stems: float, groups: float, matches: float | None) -> float:
    return min(stems, _met(components, stems, groups, matches)) if components.match else stems


def minimum_detectable_effect(
    components: Components,
    stems: float,
    groups: float = 1,
    samples: float = 1,
    power: float = POWER,
    level: float = LEVEL,
    matches: float | None = None,
) -> float:
    """The smallest true mean, in points, that a design distinguishes from 0 with `power`.

    Raises:
        ValueError: If there are fewer than two stems or matches.
    """
    clusters = _clusters(components, stems, groups, matches)
    if clusters < 2:
        raise DataError(f"{'stems' if stems < 2 else 'matches'}: {clusters}: a t test needs at least 2")
    return _detectable(clusters, power, level) * standard_error(components, stems, groups, samples, matches)


def floor(
    components: Components, matches: float | None = None, power: float = POWER, level: float = LEVEL
) -> float:
    """The smallest true mean, in points, that any number of stems and samples distinguishes from 0.

    It is 0 if matches do not differ.
    """
    return (
        minimum_detectable_effect(components, np.inf, 1, 1, power, level, matches)
        if components.match
        else 0.0
    )


def stems_needed(
    components: Components,
    effect: float,
    groups: float = 1,
    samples: float = 1,
    power: float = POWER,
    level: float = LEVEL,
    matches: float | None = None,
) -> int:
    """The smallest number of stems that distinguishes a true mean (`effect`, in points) from 0 with `power`.

    Raises:
        ValueError: If the matches do not allow it with any number of stems, or if it takes more than ten
            million stems.
    """
    least = floor(components, matches, power, level)
    if least >= effect:
        count = components.n_matches if matches is None else matches
        raise DataError(
            f"effect: {effect}: {count} matches show {least:.2g} points at the least; write more, or wish a "
            "larger one"
        )
    if minimum_detectable_effect(components, _MOST_STEMS, groups, samples, power, level, matches) > effect:
        raise DataError(f"effect: {effect}: needs more than {_MOST_STEMS:,} stems; wish a larger one")
    too_few, enough = 1, 2
    while minimum_detectable_effect(components, enough, groups, samples, power, level, matches) > effect:
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        suffices = (
            minimum_detectable_effect(components, middle, groups, samples, power, level, matches) <= effect
        )
        too_few, enough = (too_few, middle) if suffices else (middle, enough)
    return enough


def _power(shift: float, stems: float, level: float) -> float:
    """Power at a true mean of `shift` standard errors; rejections on the wrong side of 0 do not count."""
    return float(stats.nct.sf(stats.t.isf(level / 2, stems - 1), stems - 1, shift))


@cache
def _detectable(stems: float, power: float, level: float) -> float:
    """The true mean, in standard errors, that is distinguished from 0 with `power`."""
    # larger shifts are not needed, and the noncentral t is not reliable for them
    highest = 2 * stats.t.isf(level / 2, stems - 1) + 2
    return optimize.brentq(lambda shift: _power(shift, stems, level) - power, 0.0, highest)


def finished(set_name: str | None) -> TypeGuard[str]:
    """Whether a finished run of this set exists; an interrupted run is not analysed."""
    return set_name is not None and (records.run_folder(set_name) / "manifest.json").is_file()


def earlier(set_name: str | None) -> pd.DataFrame | None:
    """The `contrasts` of a finished run; None if there is no such run."""
    if not finished(set_name):
        return None
    names = [model.name for model in params.load(set_name).models]
    # judgements of any version suffice: only their variances are used, for planning
    judgements = records.read_models(set_name, "judgements", names, any_version=True, columns=leakage.USED)
    return contrasts(leakage.pairs(judgements[judgements["mitigation"] == NO_MITIGATION]))


def contrasts(pairs: pd.DataFrame) -> pd.DataFrame:
    """Net excess of unmitigated pairs, by contrast.

    Args:
        pairs: Unmitigated pairs (`leakage.pairs`).

    Returns:
        One row per sample: model, contrast (of CONTRASTS), stem_id, group_id, sample_index, difference.
    """
    charged = leakage.charged_pairs(pairs)
    by_arm = charged.rename(columns={"arm": "contrast", "net": "difference"})
    both = leakage.polarity_difference(charged).assign(contrast=CONTRASTS[-1])
    columns = ["model", "contrast", "stem_id", "group_id", "sample_index", "difference"]
    return pd.concat([by_arm[columns], both[columns]], ignore_index=True)


def spreads(differences: pd.DataFrame) -> pd.DataFrame:
    """Standard deviations of matches, stems, groups and samples, in points, with their numbers.

    As in `detectable` and `needed`, contrasts of fewer than two stems are left out, because they carry no
    information. Matches are 0 where they cannot be separated.

    Returns:
        One row per model and contrast.
    """
    rows = []
    for (model, contrast), subset in _parts(differences):
        estimates = components_by_match(subset)
        deviations = {f"SD of {name}": np.sqrt(getattr(estimates, one)) for one, name in _PARTS.items()}
        counts = {
            "matches": estimates.n_matches,
            "stems": estimates.n_stems,
            "groups": estimates.n_groups,
            "differences": estimates.n,
        }
        rows.append({"model": model, "contrast": contrast, **deviations, **counts})
    names = [*(f"SD of {name}" for name in _PARTS.values()), "matches", "stems", "groups", "differences"]
    return pd.DataFrame(rows, columns=["model", "contrast", *names])


def detectable(
    differences: pd.DataFrame,
    stems: int,
    groups: float,
    rng: np.random.Generator,
    draws: int = 200,
    matches: int | None = None,
) -> pd.DataFrame:
    """Minimum detectable effect of a design, in points.

    Args:
        differences: Table of `contrasts` of an earlier run.
        stems: Number of stems of the design.
        groups: Groups per stem of the design.
        rng: Random generator of the resampling.
        draws: Number of resamples.
        matches: Number of matches of the design.

    Returns:
        One row per model, contrast and number of samples: model, contrast, samples, estimate, ci_low,
        ci_high. The 95 % interval resamples the stems of the earlier run, or its matches
        (`variance_components.redrawn`): it shows how precisely the run estimates the variances.
    """
    rows = []
    for (model, contrast), subset in _parts(differences):
        table = sums(subset, "difference")
        estimates = [estimate(table), *(estimate(redrawn(table, rng)) for _ in range(draws))]
        # a run whose matches seem not to differ has none; its resamples count their own
        n_matches = (estimates[0].n_matches or None) if matches is None else matches
        for samples in SAMPLES:
            effects = [
                minimum_detectable_effect(each, stems, groups, samples, matches=n_matches)
                for each in estimates
            ]
            ci_low, ci_high = inference.percentile_interval(np.array(effects[1:])[:, None], 0.95)[:, 0]
            labels = {"model": model, "contrast": contrast, "samples": samples}
            rows.append({**labels, "estimate": effects[0], "ci_low": ci_low, "ci_high": ci_high})
    return pd.DataFrame(rows, columns=["model", "contrast", "samples", "estimate", "ci_low", "ci_high"])


def needed(
    differences: pd.DataFrame, groups: float, effects: tuple[float, ...] = EFFECTS, matches: int | None = None
) -> pd.DataFrame:
    """Number of stems that each of `effects` (in points) requires.

    Returns:
        One row per model, contrast and effect, with a column for each of SAMPLES. Missing where no number of
        stems suffices with so many matches; the column `floor, points`, the smallest effect that the matches
        allow, is then at least as large as the effect.
    """
    rows = []
    for (model, contrast), subset in _parts(differences):
        variance_parts = components_by_match(subset)
        smallest = floor(variance_parts, matches)
        for effect in effects:
            stems = [
                stems_needed(variance_parts, effect, groups, each, matches=matches)
                if smallest < effect
                else pd.NA
                for each in SAMPLES
            ]
            rows.append([model, contrast, effect, *stems, smallest])
    counts = {f"{samples} a prompt": "Int64" for samples in SAMPLES}
    return pd.DataFrame(
        rows, columns=["model", "contrast", "effect, points", *counts, "floor, points"]
    ).astype(counts)


def floors(differences: pd.DataFrame, matches: tuple[int, ...] = MATCHES) -> pd.DataFrame:
    """The `floor` of each contrast, in points, for several numbers of matches.

    Returns:
        One row per model and contrast, with a column for each number of matches; 0 where matches do not
        differ or cannot be separated.
    """
    rows = []
    for (model, contrast), subset in _parts(differences):
        variance_parts = components_by_match(subset)
        rows.append([model, contrast, *(floor(variance_parts, count) for count in matches)])
    return pd.DataFrame(rows, columns=["model", "contrast", *(f"{count} matches" for count in matches)])


def floors_summary(table: pd.DataFrame) -> str:
    """Summary of `floors`: the smallest and the largest floor at each number of matches."""
    known = table.drop(columns=["model", "contrast"])
    known = known[(known > 0).any(axis=1)]
    if known.empty:
        return (
            "How far matches of contexts differ cannot be told here, so that contexts count as given: no "
            "floor is known."
        )
    spans = [f"{column.min():.1f} to {column.max():.1f} points with {name}" for name, column in known.items()]
    others = (
        f"; in {len(table) - len(known)} others matches are not seen to differ"
        if len(known) < len(table)
        else ""
    )
    return (
        f"However many stems and samples there are, an effect must be larger than {'; '.join(spans)} to be "
        "distinguished from 0 four "
        f"times of five (the span of {len(known)} contrasts{others}). Only more contexts lower that."
    )


def summary(table: pd.DataFrame | None, set_name: str | None) -> str:
    """Summary of `detectable`, one clause for each model; without a table, the reason why there is none."""
    if table is None and set_name is None:
        return (
            "No earlier run is named in `variance_source`, so nothing can be said about the effects that "
            "this "
            "set can see."
        )
    if table is None:
        return (
            f"There is no finished run of `{set_name}` here, so nothing can be said about the effects that "
            "this set can see; "
            f"`make reproduce SET={set_name}` makes one."
        )
    if table.empty:
        return (
            f"The run of `{set_name}` has fewer than two stems, so nothing can be said about the "
            "effects that this set can see."
        )
    at = table.set_index(["model", "contrast", "samples"])["estimate"]
    texts = []
    for model, subset in table.groupby("model", sort=False):
        names = subset["contrast"].unique()
        spans = [
            f"{at[model, name, SAMPLES[0]]:.1f} to {at[model, name, SAMPLES[-1]]:.1f} ({name})"
            for name in names
        ]
        texts.append(f"{model}: {', '.join(spans)}")
    return (
        f"With the variances of `{set_name}`, the smallest net excess, in points, that this set tells from "
        f"0 with {SAMPLES[0]} "
        f"to {SAMPLES[-1]} samples a prompt: {'; '.join(texts)}. Negative − positive is a difference of two "
        "net excesses."
    )


def _parts(differences: pd.DataFrame):
    known = differences.dropna(subset="difference")
    stems = known.groupby(["model", "contrast"])["stem_id"].transform("nunique")
    return known[stems > 1].groupby(["model", "contrast"], sort=False)


def detectable_effect(
    estimate: inference.Estimate, confidence: float = 1 - LEVEL, power: float = POWER
) -> float:
    """The smallest true effect that a test would have distinguished from 0, given its own standard error.

    The test is a two-sided t test at level 1 − `confidence`, with the degrees of freedom of `estimate`, or
    clusters − 1 where it has none.

    Args:
        estimate: Estimate that was tested.
        confidence: Confidence of its interval, between 0 and 1.
        power: Power of the test.

    Returns:
        The effect, in the unit of `estimate`; NaN without a standard error or with fewer than two clusters.
    """
    if np.isnan(estimate.se) or estimate.n_stems < 2:
        return np.nan
    df = estimate.n_stems - 1 if np.isnan(estimate.df) else estimate.df
    return _detectable(float(df) + 1, power, round(1 - confidence, 9)) * float(estimate.se)


def variances(differences) -> Components:
    """Variance components of the net excess of one pair, over both polarities.

    Returns:
        The components; of several models, the mean variances.
    """
    both = differences[differences["contrast"].isin(CONTRASTS[:2])]
    key = ["model", "stem_id", "group_id", "sample_index"]
    means = both.groupby(key, sort=False)["difference"].mean().reset_index()
    by_model = [components_by_match(part) for _, part in means.groupby("model", sort=False)]
    variances = {
        part: float(np.mean([getattr(each, part) for each in by_model]))
        for part in ("stem", "group", "sample", "match")
    }
    return Components(
        **variances,
        n_stems=sum(each.n_stems for each in by_model),
        n_groups=sum(each.n_groups for each in by_model),
        n=sum(each.n for each in by_model),
        n_matches=max(each.n_matches for each in by_model),
    )
