"""What a design by arms sees: by hand, as simulated studies have it, and which of those of the same cost is
named."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.analysis import allocation, leakage
from lib.analysis.allocation import BOTH, CHANGE, POLARITY, Contrast, Design
from lib.claims import mitigation
from lib.config.specs import ARMS

NEUTRAL, _, POOLED, _ = POLARITY
BY_ARM = {"negative": 4, "positive": 4, "neutral": 2, "placebo": 1, "none": 1}
GIVEN = Design(100, 1, dict.fromkeys(ARMS, 3), 2, {"neutral": 1, "negative": 1, "positive": 1})
DRAW, SHARED, STEM, GROUP = (2.0, 0.3, 0.15, 0.2)  # variance of draws, the share of it in common; of means


def study(
    rng, stems: int, groups: int, samples: dict[str, int], leak=(0.0, 0.0), effect: float = 0.0
) -> dict[str, np.ndarray]:
    """Valences by arm, of shape (stems, groups, draws), and of the charged arms under one mitigation as 'calm
    negative', …

    A mitigation adds `effect` to the leak of each polarity, with noise of its own that its arms share; stems
    and groups leak as they do without it.
    """
    shared, calm = rng.normal(0, np.sqrt(DRAW * SHARED), (2, stems, groups, max(samples.values())))
    found = {}
    for arm, count in samples.items():
        mean = rng.normal(0, np.sqrt(STEM), (stems, 1, 1)) + rng.normal(0, np.sqrt(GROUP), (stems, groups, 1))
        mean = mean + {"negative": -leak[0], "positive": leak[1]}.get(arm, 0.0)
        own = rng.normal(0, np.sqrt(DRAW * (1 - SHARED)), (stems, groups, count))
        found[arm] = mean + shared[..., :count] + own
        if arm in leakage.DIRECTIONS:
            own = rng.normal(0, np.sqrt(DRAW * (1 - SHARED)), (stems, groups, count))
            found[f"calm {arm}"] = mean + leakage.DIRECTIONS[arm] * effect + calm[..., :count] + own
    return found


def judgements(valences: dict[str, np.ndarray]) -> pd.DataFrame:
    parts = []
    for name, values in valences.items():
        stem, group, draw = np.indices(values.shape).reshape(3, -1)
        part = pd.DataFrame(
            {
                "stem_id": stem,
                "group_id": stem * 1000 + group,
                "sample_index": draw,
                "valence": values.ravel(),
            }
        )
        parts.append(part.assign(arm=name.split()[-1], mitigation="calm" if " " in name else "none"))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(model="m", slot="open", charged=table["valence"].abs() > 1)


@pytest.fixture(scope="module")
def measured() -> dict[str, Contrast]:
    rng = np.random.default_rng(3)
    return allocation.measure(judgements(study(rng, 1500, 2, dict.fromkeys(ARMS, 3))), "shift")


def test_the_variances_of_an_earlier_run_are_found(measured):
    covariance = measured[BOTH].draw
    np.testing.assert_allclose(np.diag(covariance), DRAW, rtol=0.08)
    np.testing.assert_allclose(covariance[np.triu_indices(5, 1)], DRAW * SHARED, rtol=0.15)
    assert measured[BOTH].stem == pytest.approx(2 * STEM / 4, abs=0.03)
    assert measured[BOTH].group == pytest.approx(2 * GROUP / 4, abs=0.03)
    assert measured[NEUTRAL].stem + measured[NEUTRAL].group == pytest.approx(6 * (STEM + GROUP), rel=0.1)
    # the neutrals' halves
    assert measured[POOLED].stem + measured[POOLED].group == pytest.approx(4 * (STEM + GROUP), rel=0.1)
    assert measured[CHANGE].stem + measured[CHANGE].group < 0.06  # a mitigation changes every stem alike


def test_the_error_of_a_design_by_hand():
    # draws of variance 4, equal ones of two arms with covariance 1
    covariance = np.full((5, 5), 1.0) + 3.0 * np.eye(5)
    contrast = Contrast(stem=2.0, group=1.0, draw=covariance)
    design = Design(25, 2, BY_ARM, 1, {"negative": 2, "positive": 2, "neutral": 0})
    # (positive − negative) / 2: draws add (4/4 + 4/4 − 2 · 1/4) / 4; √((2 + (1 + 0.375) / 2) / 25)
    assert allocation.standard_error(BOTH, contrast, design) == pytest.approx(np.sqrt((2 + 1.375 / 2) / 25))
    # 2 neutral − negative − positive: 4 · 4/2 + 4/4 + 4/4 + 2 · 1/4 − 2 · 2 · 2 · 2 / (2 · 4)
    drawn = 8 + 1 + 1 + 0.5 - 2 * (2 * 1 * 2 / 8) * 2
    assert allocation.standard_error(NEUTRAL, contrast, design) == pytest.approx(
        np.sqrt((2 + (1 + drawn) / 2) / 25)
    )
    # under the mitigation the draws add (4/2 + 4/2 − 2 · 1/2) / 4 to those without
    changed = allocation.standard_error(CHANGE, contrast, design)
    assert changed == pytest.approx(np.sqrt((2 + (1 + 0.375 + 0.75) / 2) / 25))
    assert np.isnan(allocation.standard_error(CHANGE, contrast, replace(design, mitigations=0)))
    assert design.completions == 25 * 2 * (12 + 4)


def test_the_pooled_reference_counts_every_draw_alike():
    by_arm = dict(zip(ARMS, allocation.weights(POOLED, BY_ARM), strict=True))
    assert by_arm == {
        "none": 0,
        "neutral": pytest.approx(4 / 3),
        "placebo": pytest.approx(2 / 3),
        "negative": -1,
        "positive": -1,
    }


def contrast_of(valences: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The contrast of each stem, from the means of its arms."""
    of_stem = {arm: values.mean(axis=2).mean(axis=1) for arm, values in valences.items()}
    if name == CHANGE:
        return (
            of_stem["calm positive"] - of_stem["calm negative"] - of_stem["positive"] + of_stem["negative"]
        ) / 2
    counts = {arm: values.shape[2] for arm, values in valences.items() if arm in ARMS}
    return sum(
        weight * of_stem[arm] for weight, arm in zip(allocation.weights(name, counts), ARMS, strict=True)
    )


def test_the_contrasts_are_those_that_the_pairs_give():
    valences = study(np.random.default_rng(1), 6, 2, BY_ARM, (0.4, 0.2), 0.1)
    pairs = leakage.pairs(judgements(valences))
    bare = leakage.charged_pairs(pairs[pairs["mitigation"] == "none"])
    assert contrast_of(valences, BOTH).mean() == pytest.approx(bare["shift"].mean())
    assert contrast_of(valences, NEUTRAL).mean() == pytest.approx(
        leakage.polarity_difference(bare, "shift")["difference"].mean()
    )
    changes = mitigation.effects(pairs, {"calm": []}, 0.25, 0.95)
    assert contrast_of(valences, CHANGE).mean() == pytest.approx(changes["estimate"][0])


@pytest.mark.parametrize(
    ("stems", "groups", "samples"),
    [
        (60, 1, BY_ARM),
        (60, 3, dict.fromkeys(ARMS, 1)),
        (40, 1, dict.fromkeys(ARMS, 3)),
        (40, 2, {"negative": 2, "positive": 2, "neutral": 4, "placebo": 1, "none": 3}),
    ],
)
@pytest.mark.parametrize("name", [BOTH, NEUTRAL, POOLED, CHANGE])
def test_simulated_studies_reach_the_stated_power(measured, stems, groups, samples, name):
    charged = {arm: samples[arm] for arm in leakage.DIRECTIONS}
    design = Design(stems, groups, samples, 1, charged)
    effect = allocation.detectable(measured, design)[name]
    rng, studies = np.random.default_rng([stems, groups, len(name)]), 2000
    given = {BOTH: {"leak": (effect, effect)}, CHANGE: {"effect": effect}}.get(name, {"leak": (effect, 0.0)})
    every = study(rng, studies * stems, groups, samples, **given)
    values = contrast_of(every, name).reshape(studies, stems)
    found = stats.ttest_1samp(values, 0, axis=1)
    assert 100 * np.mean((found.pvalue < 0.05) & (found.statistic > 0)) == pytest.approx(80, abs=3)


def test_three_groups_of_one_draw_see_more_than_one_group_of_three(measured):
    one, three = (Design(50, groups, dict.fromkeys(ARMS, 3 // groups), 0, {}) for groups in (1, 3))
    assert one.completions == three.completions
    of_one, of_three = (allocation.detectable(measured, design) for design in (one, three))
    assert all(of_three[name] < of_one[name] for name in (BOTH, *POLARITY))
    # where the earlier run leaves stems and their contexts together, further groups are worth further draws
    # and no more
    together = {name: Contrast(each.stem + each.group, 0.0, each.draw) for name, each in measured.items()}
    assert allocation.detectable(together, three)[BOTH] == pytest.approx(
        allocation.detectable(together, one)[BOTH]
    )
    # where stems differ in their contexts alone, further groups are worth more than that
    apart = {name: Contrast(0.0, each.stem + each.group, each.draw) for name, each in measured.items()}
    assert allocation.detectable(apart, three)[BOTH] < of_three[BOTH]


def test_the_best_designs_cost_no_more_and_see_more(measured):
    table = allocation.alternatives([measured], GIVEN, shown=4)
    assert table["design"].tolist() == ["1", "2", "3", "4", "given"]
    best, given = table.iloc[0], table.iloc[-1]
    assert given["relative"] == 1 and table["relative"].is_monotonic_increasing and best["relative"] < 0.97
    assert (table["completions"] <= given["completions"]).all() and given[
        "completions"
    ] == GIVEN.completions == 100 * (15 + 6)
    assert given[BOTH] == pytest.approx(allocation.detectable(measured, GIVEN)[BOTH])
    assert allocation.summary(table, "before").startswith(
        "With the variances of `before`, most is seen for the 2,100 completions that this set asks of a "
        "model with "
    )
    assert "named in `variance_source`" in allocation.summary(None, None)


def test_what_an_earlier_run_cannot_tell_is_left_out():
    rng = np.random.default_rng(1)
    bare = {
        arm: values
        for arm, values in study(rng, 5, 1, dict.fromkeys(ARMS, 2)).items()
        if " " not in arm and arm != "none"
    }
    found = allocation.measure(judgements(bare), "net")
    assert set(found) == {BOTH, *POLARITY} - {"… against none"}  # no mitigation, no bare stem
    assert allocation.measure(judgements({arm: values[:1] for arm, values in bare.items()}), "shift") == {}
    table = allocation.alternatives([found], replace(GIVEN, mitigations=0), shown=1)
    assert table["mitigated"].eq(0).all() and table["relative"].notna().all()


def test_the_design_of_a_set_is_that_of_the_model_asked_for_most():
    design = allocation.of_set("smoke", 10, 1)
    assert design.samples == dict.fromkeys(ARMS, 2) and design.mitigations > 0
    assert design.mitigated == {"none": 0, "neutral": 1, "placebo": 0, "negative": 1, "positive": 1}
