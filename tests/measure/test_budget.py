"""The design that tells most in the time at hand."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import power
from lib.config.specs import ParameterError
from lib.measure import budget

KNOWN = power.Components(stem=200.0, group=0.0, sample=1000.0, n_stems=324, n_groups=324, n=972)
STEMS, GROUPS, MARGIN = 324, 972, 5.0


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("2M", 120)]
)
def test_a_budget_is_a_time(text, seconds):
    assert budget.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10", "-5m", "0s", "5x", "1..5m"])
def test_what_is_no_time_is_no_budget(text):
    with pytest.raises(ParameterError, match="no such time; give for example"):
        budget.seconds(text)


def lacks(at_hand: int = 0):
    """What each group of a full design lacks of which the first groups are at hand, one sample a prompt,
    without mitigations."""

    def of(samples: int, mitigated: bool) -> np.ndarray:
        needed = np.full(GROUPS, budget.per_group(samples, mitigated, 4))
        needed[:at_hand] -= budget.per_group(1, 0, 4)
        return needed

    return of


def chosen(seconds: float, pace: float = 1.0, **given) -> budget.Design:
    return budget.choose(KNOWN, pace, seconds, STEMS, given.pop("lacks", lacks()), 4, MARGIN, **given)


def test_more_time_never_tells_less_and_is_not_overdrawn():
    times = (5, 30, 60, 300, 600, 3600)
    designs = [chosen(seconds, 0.05) for seconds in times]
    assert [design.mde for design in designs[:3]] == sorted(
        (design.mde for design in designs[:3]), reverse=True
    )
    for design, seconds in zip(designs, times, strict=True):
        assert design.completions * 0.05 <= seconds
    assert not designs[0].mitigation_samples and designs[-1].mitigation_samples
    assert all(design.mde <= MARGIN for design in designs if design.mitigation_samples)
    assert designs[-1].groups == GROUPS


def test_the_effect_that_a_design_tells_is_that_of_the_power_code():
    design = chosen(500)
    assert (design.groups, design.samples, design.completions) == (100, 1, 500)
    assert design.mde == pytest.approx(power.minimum_detectable_effect(KNOWN, 100, 1, 1))
    said = budget.summary(design, 500)
    assert said.startswith(
        "500 completions (100 groups, 1 a prompt, no mitigations), about 8 minutes, will tell a net excess "
        "of "
    )
    assert f" {design.mde:.1f} points from 0 four times of five." in said


def test_what_is_at_hand_costs_nothing_and_no_design_is_smaller_than_the_one_before():
    fresh = chosen(500)
    longer = chosen(500, lacks=lacks(100), earlier=fresh)
    assert (longer.groups, longer.samples) == (200, 1)
    assert chosen(0, lacks=lacks(100), earlier=fresh) == fresh
    assert chosen(-5, lacks=lambda *_: np.full(GROUPS, 7), earlier=fresh) == fresh


def test_a_budget_too_small_for_two_groups_says_what_they_take():
    with pytest.raises(
        ParameterError, match="two groups of 5 completions take about 20 s on this machine; give a larger one"
    ):
        chosen(19, 2.0)


def test_variances_are_those_of_both_polarities_together():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"stem_id": np.repeat(range(400), 6), "sample_index": np.tile(np.repeat([0, 1, 2], 2), 400)}
    )
    rows = rows.assign(
        model="m", group_id=rows["stem_id"].astype(str), contrast=np.tile(power.CONTRASTS[:2], 1200)
    )
    rows["difference"] = np.repeat(rng.normal(0, 10, 400), 6) + rng.normal(0, 20, len(rows))
    found = power.variances(rows)
    # half of a polarity's 400
    assert found.stem == pytest.approx(100, rel=0.3) and found.sample == pytest.approx(200, rel=0.15)
    assert (found.n_stems, found.n) == (400, 1200)
