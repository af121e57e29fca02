"""Allocation of completions to arms: which design detects the smallest effects at the same cost.

A design may give the arms unequal numbers of draws. A contrast is a weighted sum of the means of arms. The
leak over both polarities is (positive − negative) / 2 of verdicts or valences, in which the reference
cancels; negative − positive is 2 reference − negative − positive. With weights w of the arms, n draws of each
arm, and C the covariance of the arms' draws within a prompt, the mean of a contrast over stems has the
variance

    (V_stem + (V_group + Σ_ab w_a w_b C_ab · min(n_a, n_b) / (n_a n_b)) / groups) / stems

because equal draws (of equal sample_index) of two arms share their noise, and other draws are independent
given the group. V_stem and V_group come from the nested analysis of the contrast itself
(lib/analysis/power.py). Where each stem has one group, all of this variance counts as V_stem: further groups
are then assumed to be worth no more than further draws.

The change by a mitigation is the leak under it minus the leak without it. For this change the draws count as
independent, and the draws under the mitigation are assumed to be as noisy as those without.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from lib.analysis import power
from lib.config import draws, params
from lib.config.specs import ARMS, NO_MITIGATION
from lib.storage import records

BOTH, CHANGE = "both polarities", "change by a mitigation"
POLARITY = {  # negative − positive: contrast, and the arms of its reference
    "negative − positive": ("neutral",),
    "… against placebo": ("placebo",),
    "… against both": ("neutral", "placebo"),
    "… against none": ("none",),
}
_CHARGED, _OTHERS, _GROUPS = (
    range(1, 9),
    range(1, 5),
    range(1, 4),
)  # candidates: draws of a charged arm, draws of another arm, groups per stem


@dataclass(frozen=True)
class Design:
    """Size of a design.

    Attributes:
        stems: Number of stems.
        groups: Groups per stem.
        samples: Draws per prompt, by arm.
        mitigations: Number of mitigations.
        mitigated: Draws per prompt under each mitigation, by arm.
    """

    stems: int
    groups: int
    samples: dict[str, int]
    mitigations: int
    mitigated: dict[str, int]

    @property
    def completions(self) -> int:
        """Number of completions that the design requires of one model."""
        of_group = sum(self.samples.values()) + self.mitigations * sum(self.mitigated.values())
        return self.stems * self.groups * of_group


@dataclass(frozen=True)
class Contrast:
    """Variance components of a contrast.

    Attributes:
        stem: Variance over stems, in squared points.
        group: Variance over the groups of a stem, in squared points.
        draw: Covariance of draws within a prompt, ARMS × ARMS.
    """

    stem: float
    group: float
    draw: np.ndarray


def weights(contrast: str, samples: dict[str, int]) -> np.ndarray:
    """Weight of each arm's mean in a contrast.

    Args:
        contrast: BOTH, CHANGE or one of POLARITY.
        samples: Draws per prompt, by arm. Every draw of a reference has the same weight.

    Returns:
        One weight for each of ARMS.
    """
    if contrast in (BOTH, CHANGE):
        weight_by_arm = {"negative": -0.5, "positive": 0.5}
    else:
        total = sum(samples[arm] for arm in POLARITY[contrast])
        weight_by_arm = {"negative": -1.0, "positive": -1.0} | {
            arm: 2.0 * samples[arm] / total for arm in POLARITY[contrast]
        }
    return np.array([weight_by_arm.get(arm, 0.0) for arm in ARMS])


def measure(judgements: pd.DataFrame, quantity: str) -> dict[str, Contrast]:
    """Contrasts of one model.

    Args:
        judgements: Judgements of one model; only scored completions count.
        quantity: `shift`, in points of the human scale, or `net`, in percentage points.

    Returns:
        Contrasts by name: BOTH, CHANGE and each of POLARITY. Contrasts with fewer than two stems are left
        out.
    """
    scored = judgements.assign(
        score=judgements["valence"] if quantity == "shift" else 100.0 * _verdicts(judgements)
    )
    keys = ["mitigation", "stem_id", "group_id", "sample_index"]
    wide = scored.pivot(index=keys, columns="arm", values="score").reindex(columns=ARMS)
    bare = wide[wide.index.get_level_values("mitigation") == NO_MITIGATION]
    covariance = draw_covariance(bare)
    by_contrast = {name: _values(bare, name) for name in (BOTH, *POLARITY)} | {CHANGE: _changes(wide)}
    return {
        name: _components(name, values, covariance)
        for name, values in by_contrast.items()
        if values["stem_id"].nunique() > 1
    }


def _verdicts(judgements: pd.DataFrame) -> pd.Series:
    """Verdict as −1 (charged negatively), 0 (not charged) or +1 (charged positively); NaN where unscored."""
    return np.sign(judgements["valence"]) * judgements["charged"].astype("Float64").astype(float)


def draw_covariance(bare: pd.DataFrame) -> np.ndarray:
    """Covariance of equal draws of two arms within a prompt, pooled over groups.

    Args:
        bare: One row per draw, indexed by group_id among others, with a column for each of ARMS; NaN where
            there is no score.

    Returns:
        Array of shape ARMS × ARMS; 0 where no group has two draws.
    """
    covariance = np.zeros((len(ARMS), len(ARMS)))
    for (row, one), (column, other) in product(enumerate(ARMS), repeat=2):
        pair = pd.DataFrame({"one": bare[one], "other": bare[other]}).dropna()
        of_group = pair.groupby("group_id")
        within, df = pair - of_group.transform("mean"), len(pair) - of_group.ngroups
        covariance[row, column] = (within["one"] * within["other"]).sum() / df if df else 0.0
    return covariance


def _values(bare: pd.DataFrame, contrast: str) -> pd.DataFrame:
    """Contrast of each draw that is scored in every arm of the contrast: stem_id, group_id, difference."""
    arm_weights = weights(contrast, dict.fromkeys(ARMS, 1))
    values = bare.loc[:, arm_weights != 0] @ arm_weights[arm_weights != 0]
    return values.rename("difference").dropna().reset_index()


def _changes(wide: pd.DataFrame) -> pd.DataFrame:
    """Mean leak under a mitigation minus that without, by mitigation and group; noisy: 1/n + 1/n_bare."""
    leak = (
        _values(wide, BOTH)
        .groupby(["mitigation", "stem_id", "group_id"])["difference"]
        .agg(["mean", "size"])
        .reset_index()
    )
    bare = leak["mitigation"] == NO_MITIGATION
    both = leak[~bare].merge(leak[bare], on=["stem_id", "group_id"], suffixes=("", "_bare"))
    return both.assign(
        difference=both["mean"] - both["mean_bare"], noisy=1 / both["size"] + 1 / both["size_bare"]
    )


def _components(name: str, values: pd.DataFrame, covariance: np.ndarray) -> Contrast:
    if name != CHANGE:
        estimate = power.components(values)
        return Contrast(estimate.stem, estimate.group, covariance)
    arm_weights = weights(BOTH, {})
    draw_variance = (arm_weights @ covariance @ arm_weights) * values["noisy"].mean()
    by_mitigation = [
        power.components(part) for _, part in values.groupby("mitigation") if part["stem_id"].nunique() > 1
    ]
    stem, group = (
        float(np.mean([getattr(estimate, part) for estimate in by_mitigation])) for part in ("stem", "group")
    )
    if all(estimate.n_groups == estimate.n_stems for estimate in by_mitigation):
        return Contrast(max(0.0, stem - draw_variance), 0.0, covariance)
    return Contrast(stem, max(0.0, group - draw_variance), covariance)


def noise(contrast: Contrast, weighed: np.ndarray, samples: dict[str, int]) -> float:
    """Variance that draws add to the contrast of a group.

    Args:
        contrast: Components of the contrast.
        weighed: Weight of each of ARMS.
        samples: Draws per prompt, by arm.
    """
    nonzero = np.flatnonzero(weighed)
    count = np.array([samples.get(ARMS[index], 0) for index in nonzero], dtype=float)
    shared = np.minimum.outer(count, count) / np.outer(count, count)
    return float(weighed[nonzero] @ (contrast.draw[np.ix_(nonzero, nonzero)] * shared) @ weighed[nonzero])


def standard_error(name: str, contrast: Contrast, design: Design) -> float:
    """Standard error of the mean of a contrast in a design, in the unit of its quantity.

    NaN for CHANGE if the design has no mitigated draws.
    """
    arm_weights = weights(name, design.samples)
    draw_variance = noise(contrast, arm_weights, design.samples)
    if name == CHANGE:
        if not (design.mitigations and design.mitigated.get("negative")):
            return np.nan
        draw_variance += noise(contrast, arm_weights, design.mitigated)
    return float(np.sqrt((contrast.stem + (contrast.group + draw_variance) / design.groups) / design.stems))


def detectable(contrasts: dict[str, Contrast], design: Design) -> dict[str, float]:
    """Minimum detectable effect of each contrast in a design.

    As in `power.minimum_detectable_effect`: power 0.8, level 0.05, t with stems − 1 degrees of freedom.
    """
    return {
        name: _effect(standard_error(name, contrast, design), design.stems)
        for name, contrast in contrasts.items()
    }


def _effect(error: float, stems: int) -> float:
    one_level = power.Components(error**2 * stems, 0.0, 0.0, stems, stems, stems)
    return power.minimum_detectable_effect(one_level, stems)


def alternatives(measured: list[dict[str, Contrast]], given: Design, shown: int = 3) -> pd.DataFrame:
    """The best designs that cost no more than a given design, and the given design itself.

    The designs have the stems and mitigations of `given`.

    Args:
        measured: Contrasts of each model.
        given: Design to compare with.
        shown: Number of best designs.

    Returns:
        One row per design, with `given` last. Columns: design (rank, or `given`), groups, draws of each of
        ARMS, mitigated (draws of a charged prompt under each mitigation), completions (of one model), the
        minimum detectable effect of each contrast (mean over models), and relative. relative is the factor by
        which the effects of `given` are multiplied: a geometric mean over models and three contrasts, namely
        BOTH, CHANGE, and negative − positive against the reference with the largest detectable effect,
        because that claim has to hold against every reference. Every question therefore counts alike,
        whatever its unit.
    """
    base = [_judged(contrasts, given) for contrasts in measured]
    rows = []
    for design in (given, *_affordable(given)):
        ratios = np.array([_judged(contrasts, design) for contrasts in measured]) / np.array(base)
        rows.append((float(np.exp(np.nanmean(np.log(ratios)))), design.completions, design))
    best = sorted(rows[1:], key=lambda row: row[:2])[:shown]
    labelled = [*((str(rank), row) for rank, row in enumerate(best, 1)), ("given", rows[0])]
    return pd.DataFrame(
        [{"design": name, **_described(measured, row[2]), "relative": row[0]} for name, row in labelled]
    )


def _judged(contrasts: dict[str, Contrast], design: Design) -> list[float]:
    effects = detectable(contrasts, design)
    worst = max((effects[name] for name in POLARITY if name in effects), default=np.nan)
    return [effects.get(BOTH, np.nan), effects.get(CHANGE, np.nan), worst]


def _described(measured: list[dict[str, Contrast]], design: Design) -> dict:
    effects = pd.DataFrame([detectable(contrasts, design) for contrasts in measured]).mean()
    mitigated = design.mitigated.get("negative", 0) if design.mitigations else 0
    return {
        "groups": design.groups,
        **{arm: design.samples[arm] for arm in ARMS},
        "mitigated": mitigated,
        "completions": design.completions,
        **effects,
    }


def _affordable(base: Design) -> Iterator[Design]:
    """Designs of the same stems that cost no more; mitigations apply to the charged arms alone."""
    mitigated = _CHARGED if base.mitigations and any(base.mitigated.values()) else (0,)
    for groups, charged, neutral, placebo, none, per_mitigation in product(
        _GROUPS, _CHARGED, _OTHERS, _OTHERS, _OTHERS, mitigated
    ):
        samples = {
            "negative": charged,
            "positive": charged,
            "neutral": neutral,
            "placebo": placebo,
            "none": none,
        }
        design = Design(
            base.stems,
            groups,
            samples,
            base.mitigations,
            {"negative": per_mitigation, "positive": per_mitigation},
        )
        if per_mitigation <= charged and design.completions <= base.completions:
            yield design


def of_set(set_name: str, stems: int, groups: int) -> Design:
    """The design of a parameter set, for its model with the most mitigations.

    Args:
        set_name: Name of the parameter set.
        stems: Number of stems in its benchmark.
        groups: Groups per stem in its benchmark.
    """
    parameters = params.load(set_name)
    configs = [
        params.cell_values(parameters, set_name, "02_generation", model.name) for model in parameters.models
    ]
    config = max(configs, key=lambda cell: len(cell["mitigations"]))
    arms = pd.Series(ARMS, ARMS)
    samples, mitigated = (
        draws.requested(arms, config["samples"]),
        draws.requested(arms, config["mitigation_samples"], "any"),
    )
    return Design(stems, groups, samples.to_dict(), len(config["mitigations"]), mitigated.to_dict())


def of_earlier(
    set_name: str, source: str | None, stems: int, groups: int, quantity: str = "shift"
) -> pd.DataFrame | None:
    """Alternatives to the design of a parameter set, from the variances of a finished run.

    Args:
        set_name: Parameter set of the design.
        source: Parameter set of the finished run.
        stems: Number of stems in the benchmark of the design.
        groups: Groups per stem in the benchmark of the design.
        quantity: `shift` or `net`, as in `measure`.

    Returns:
        The table of `alternatives`; None if there is no such run, or if it has no two stems to compare.
    """
    if not power.finished(source):
        return None
    names = [model.name for model in params.load(source).models]
    # judgements of any version suffice: only their variances are used, for planning
    judgements = records.read_models(source, "judgements", names, any_version=True)
    measured = [measure(subset, quantity) for _, subset in judgements.groupby("model", sort=False)]
    measured = [contrasts for contrasts in measured if BOTH in contrasts]
    return alternatives(measured, of_set(set_name, stems, groups)) if measured else None


def summary(table: pd.DataFrame | None, source: str | None) -> str:
    """Summary of `alternatives` in one sentence; without a table, the reason why there is none."""
    if table is None:
        return (
            "Without a finished run named in `variance_source`, nothing can be said about how to spread "
            "completions over arms."
        )
    best, given = table.iloc[0], table.iloc[-1]
    draws_by_arm = ", ".join(f"{best[arm]} {arm}" for arm in ARMS[::-1])
    mitigated = (
        f", and {best['mitigated']} of each charged prompt under a mitigation" if best["mitigated"] else ""
    )
    return (
        f"With the variances of `{source}`, most is seen for the {given['completions']:,} completions that "
        "this set asks of a "
        f"model with {best['groups']} groups a stem and, of a prompt, {draws_by_arm}{mitigated}: "
        f"{best['completions']:,} completions, "
        f"and smallest effects {best['relative']:.2f} times those of this set."
    )
