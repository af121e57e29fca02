"""Where completions count: what a design sees that gives the arms unequally many draws, and which sees most
at the same cost.

A contrast weighs the means of arms. The leak over both polarities is (positive − negative) / 2 of verdicts or
valences, in which the reference cancels; negative − positive is 2 reference − negative − positive. With
weights w of the arms, n draws of each, and C the covariance of their draws within a prompt, the variance of
its mean over stems is

    (V_stem + (V_group + Σ_ab w_a w_b C_ab · min(n_a, n_b) / (n_a n_b)) / groups) / stems

for equal draws of two arms share their noise, and others are independent given the group. V_stem and V_group
are those of the contrast's own nested analysis (lib/analysis/power.py); where each stem has one group, all
counts as V_stem, so that further groups are held to be worth no more than further draws. What a mitigation
changes is the leak under it less that without; there the draws count as independent, and those under the
mitigation as noisy as those without.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from lib.analysis import power
from lib.config import draws, params
from lib.config.specs import ARMS, NO_MITIGATION
from lib.storage import records

BOTH, CHANGE = "both polarities", "change by a mitigation"
POLARITY = {  # negative − positive, and the arms of its reference
    "negative − positive": ("neutral",),
    "… against placebo": ("placebo",),
    "… against both": ("neutral", "placebo"),
    "… against none": ("none",),
}
_CHARGED, _OTHERS, _GROUPS = (
    range(1, 9),
    range(1, 5),
    range(1, 4),
)  # draws, and groups of a stem, that are tried


@dataclass(frozen=True)
class Design:
    """Stems, groups of each, draws of a prompt by arm; mitigations, and draws by arm under each."""

    stems: int
    groups: int
    samples: dict[str, int]
    mitigations: int
    mitigated: dict[str, int]

    @property
    def completions(self) -> int:
        """What the design costs of one model."""
        of_group = sum(self.samples.values()) + self.mitigations * sum(self.mitigated.values())
        return self.stems * self.groups * of_group


@dataclass(frozen=True)
class Contrast:
    """Variances over stems and over groups of a stem, in squared points, and the covariance of draws, ARMS ×
    ARMS."""

    stem: float
    group: float
    draw: np.ndarray


def weights(contrast: str, samples: dict[str, int]) -> np.ndarray:
    """The weight of the mean of each of ARMS in BOTH, CHANGE or one of POLARITY, where every draw of a
    reference counts alike."""
    if contrast in (BOTH, CHANGE):
        weighed = {"negative": -0.5, "positive": 0.5}
    else:
        total = sum(samples[arm] for arm in POLARITY[contrast])
        weighed = {"negative": -1.0, "positive": -1.0} | {
            arm: 2.0 * samples[arm] / total for arm in POLARITY[contrast]
        }
    return np.array([weighed.get(arm, 0.0) for arm in ARMS])


def measure(judgements: pd.DataFrame, quantity: str) -> dict[str, Contrast]:
    """The contrasts of one model by name, BOTH, CHANGE and each of POLARITY; those that it has no two stems
    for are left out.

    `quantity`: `shift`, points of the human scale, or `net`, percentage points. Only scored completions
    count.
    """
    scored = judgements.assign(
        score=judgements["valence"] if quantity == "shift" else 100.0 * _verdicts(judgements)
    )
    keys = ["mitigation", "stem_id", "group_id", "sample_index"]
    wide = scored.pivot(index=keys, columns="arm", values="score").reindex(columns=ARMS)
    bare = wide[wide.index.get_level_values("mitigation") == NO_MITIGATION]
    covariance = draw_covariance(bare)
    found = {name: _values(bare, name) for name in (BOTH, *POLARITY)} | {CHANGE: _changes(wide)}
    return {
        name: _components(name, values, covariance)
        for name, values in found.items()
        if values["stem_id"].nunique() > 1
    }


def _verdicts(judgements: pd.DataFrame) -> pd.Series:
    """−1, 0 or +1: charged negatively, not charged, charged positively; missing where unscored."""
    return np.sign(judgements["valence"]) * judgements["charged"].astype("Float64").astype(float)


def draw_covariance(bare: pd.DataFrame) -> np.ndarray:
    """Covariance of equal draws of two arms within a prompt, pooled over groups, ARMS × ARMS; 0 where no
    group has two draws.

    `bare` has a row for each draw, indexed by group_id among others, and a column for each of ARMS; NaN where
    there is no score.
    """
    found = np.zeros((len(ARMS), len(ARMS)))
    for (row, one), (column, other) in product(enumerate(ARMS), repeat=2):
        pair = pd.DataFrame({"one": bare[one], "other": bare[other]}).dropna()
        of_group = pair.groupby("group_id")
        within, freedom = pair - of_group.transform("mean"), len(pair) - of_group.ngroups
        found[row, column] = (within["one"] * within["other"]).sum() / freedom if freedom else 0.0
    return found


def _values(bare: pd.DataFrame, contrast: str) -> pd.DataFrame:
    """The contrast of every draw: stem_id, group_id, difference, without those that an arm has no score
    for."""
    weighed = weights(contrast, dict.fromkeys(ARMS, 1))
    values = bare.loc[:, weighed != 0] @ weighed[weighed != 0]
    return values.rename("difference").dropna().reset_index()


def _changes(wide: pd.DataFrame) -> pd.DataFrame:
    """By mitigation and group the mean leak under it less that without; n and n_bare, the draws behind
    them."""
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
        found = power.components(values)
        return Contrast(found.stem, found.group, covariance)
    weighed = weights(BOTH, {})
    drawn = (weighed @ covariance @ weighed) * values["noisy"].mean()
    of_each = [
        power.components(part) for _, part in values.groupby("mitigation") if part["stem_id"].nunique() > 1
    ]
    stem, group = (float(np.mean([getattr(found, part) for found in of_each])) for part in ("stem", "group"))
    if all(found.n_groups == found.n_stems for found in of_each):
        return Contrast(max(0.0, stem - drawn), 0.0, covariance)
    return Contrast(stem, max(0.0, group - drawn), covariance)


def of_contexts(contrast: Contrast) -> Contrast:
    """The same if stems differed by nothing but their contexts: the other bound where one group a stem leaves
    them together."""
    return replace(contrast, stem=0.0, group=contrast.stem + contrast.group)


def noise(contrast: Contrast, weighed: np.ndarray, samples: dict[str, int]) -> float:
    """The variance that draws add to a group's contrast."""
    there = np.flatnonzero(weighed)
    count = np.array([samples.get(ARMS[place], 0) for place in there], dtype=float)
    shared = np.minimum.outer(count, count) / np.outer(count, count)
    return float(weighed[there] @ (contrast.draw[np.ix_(there, there)] * shared) @ weighed[there])


def standard_error(name: str, contrast: Contrast, design: Design) -> float:
    """Standard error of a contrast's mean in a design, in the unit of its quantity; NaN if it asks for no
    mitigated draws."""
    weighed = weights(name, design.samples)
    drawn = noise(contrast, weighed, design.samples)
    if name == CHANGE:
        if not (design.mitigations and design.mitigated.get("negative")):
            return np.nan
        drawn += noise(contrast, weighed, design.mitigated)
    return float(np.sqrt((contrast.stem + (contrast.group + drawn) / design.groups) / design.stems))


def detectable(contrasts: dict[str, Contrast], design: Design) -> dict[str, float]:
    """Minimum detectable effect of each contrast (`power.minimum_detectable_effect`: 0.8, level 0.05, t of
    stems − 1)."""
    return {
        name: _effect(standard_error(name, contrast, design), design.stems)
        for name, contrast in contrasts.items()
    }


def _effect(error: float, stems: int) -> float:
    one_level = power.Components(error**2 * stems, 0.0, 0.0, stems, stems, stems)
    return power.minimum_detectable_effect(one_level, stems)


def alternatives(measured: list[dict[str, Contrast]], given: Design, shown: int = 3) -> pd.DataFrame:
    """The `shown` best designs with the stems and mitigations of `given` that cost no more, and `given` last:
    a row each.

    `measured`: contrasts of each model. Columns: design (rank, or `given`), groups, draws of each of ARMS,
    mitigated (draws of a charged prompt under each mitigation), completions of a model, the minimum
    detectable effect of each contrast (mean over models), and relative: by what the effects are multiplied,
    as a geometric mean over models and three contrasts, BOTH, CHANGE, and negative − positive against the
    reference that sees least, as that claim has to hold against all of them. So every question counts alike,
    whatever its unit.
    """
    base = [_judged(contrasts, given) for contrasts in measured]
    rows = []
    for design in (given, *_affordable(given)):
        ratios = np.array([_judged(contrasts, design) for contrasts in measured]) / np.array(base)
        rows.append((float(np.exp(np.nanmean(np.log(ratios)))), design.completions, design))
    best = sorted(rows[1:], key=lambda row: row[:2])[:shown]
    named = [*((str(place), row) for place, row in enumerate(best, 1)), ("given", rows[0])]
    return pd.DataFrame(
        [{"design": name, **_described(measured, row[2]), "relative": row[0]} for name, row in named]
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


def _affordable(given: Design) -> Iterator[Design]:
    """Designs of the same stems that cost no more; under a mitigation they ask the charged arms alone."""
    mitigated = _CHARGED if given.mitigations and any(given.mitigated.values()) else (0,)
    for groups, charged, neutral, placebo, none, under in product(
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
            given.stems, groups, samples, given.mitigations, {"negative": under, "positive": under}
        )
        if under <= charged and design.completions <= given.completions:
            yield design


def of_set(set_name: str, stems: int, groups: int) -> Design:
    """The design of a parameter set whose benchmark has so many stems and groups of each; of the model asked
    for most."""
    parameters = params.load(set_name)
    values = [
        params.cell_values(parameters, set_name, "02_generation", model.name) for model in parameters.models
    ]
    told = max(values, key=lambda each: len(each["mitigations"]))
    arms = pd.Series(ARMS, ARMS)
    samples, mitigated = (
        draws.asked(arms, told["samples"]),
        draws.asked(arms, told["mitigation_samples"], "any"),
    )
    return Design(stems, groups, samples.to_dict(), len(told["mitigations"]), mitigated.to_dict())


def of_earlier(
    set_name: str, source: str | None, stems: int, groups: int, quantity: str = "shift"
) -> pd.DataFrame | None:
    """`alternatives` to the design of a set, by the variances of the finished run `source`; None if there is
    no such run, or it tells no two stems apart."""
    if not power.finished(source):
        return None
    names = [model.name for model in params.load(source).models]
    # variances will do for a plan
    judgements = records.read_models(source, "judgements", names, any_version=True)
    measured = [measure(part, quantity) for _, part in judgements.groupby("model", sort=False)]
    measured = [contrasts for contrasts in measured if BOTH in contrasts]
    return alternatives(measured, of_set(set_name, stems, groups)) if measured else None


def reading(table: pd.DataFrame | None, source: str | None) -> str:
    """What `alternatives` says, in a sentence; without it, why nothing can be said."""
    if table is None:
        return (
            "Without a finished run named in `variance_source`, nothing can be said about how to spread "
            "completions over arms."
        )
    best, given = table.iloc[0], table.iloc[-1]
    drawn = ", ".join(f"{best[arm]} {arm}" for arm in ARMS[::-1])
    mitigated = (
        f", and {best['mitigated']} of each charged prompt under a mitigation" if best["mitigated"] else ""
    )
    return (
        f"With the variances of `{source}`, most is seen for the {given['completions']:,} completions that "
        "this set asks of a "
        f"model with {best['groups']} groups a stem and, of a prompt, {drawn}{mitigated}: "
        f"{best['completions']:,} completions, "
        f"and smallest effects {best['relative']:.2f} times those of this set."
    )
