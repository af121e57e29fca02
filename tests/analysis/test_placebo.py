"""The placebo rule is an equivalence test: kept, broken and not shown, by simulated and constant pairs."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import placebo
from lib.analysis.placebo import BROKEN, KEPT, NOT_SHOWN


def pairs(shifts) -> pd.DataFrame:
    """A placebo pair for each stem and direction, with the shift towards the positive; the net excess is a
    hundred of it."""
    rows = [
        ("m", "placebo", sign, f"s{stem}", sign * shift)
        for stem, shift in enumerate(shifts)
        for sign in (-1, 1)
    ]
    table = pd.DataFrame(rows, columns=["model", "arm", "direction", "stem_id", "shift"])
    return table.assign(net=100 * table["shift"])


NOISE = np.random.default_rng(1).normal(0, 0.5, 400)
NOISE -= NOISE.mean()


@pytest.mark.parametrize(
    ("shifts", "rule"),
    [
        (NOISE, KEPT),
        (NOISE + 0.05, KEPT),
        (NOISE + 0.09, NOT_SHOWN),
        (NOISE + 0.12, NOT_SHOWN),
        (NOISE + 0.2, BROKEN),
        (NOISE - 0.2, BROKEN),
        (NOISE[:20], NOT_SHOWN),  # an interval around 0, but far too wide
        (np.zeros(400), KEPT),  # all ties: at most 1 % of stems may differ, by 8 points at most
        (np.zeros(24), NOT_SHOWN),
        (np.full(24, 2.0), BROKEN),
        ([0.0], NOT_SHOWN),  # one stem
        ([], BROKEN),  # no placebo arm
        ([np.nan, np.nan], BROKEN),
    ],
)
def test_the_rule_decides_each_way(shifts, rule):
    checked = placebo.check(pairs(shifts), 0.1, 0.95)
    assert list(checked) == placebo.COLUMNS and checked["quantity"].tolist() == ["shift", "net"]
    assert placebo.rule(checked) == rule
    assert placebo.rules_by_model(pairs(shifts), 0.1, 0.95) == ({"m": rule} if len(shifts) else {})


def test_the_estimate_is_that_of_the_placebo_less_the_neutral_arm():
    checked = placebo.check(pairs([0.1, 0.3]), 0.1, 0.95).set_index("quantity")
    assert (
        checked["estimate"].to_dict() == pytest.approx({"shift": 0.2, "net": 20})
        and (checked["n"] == 2).all()
    )
    assert np.isnan(checked.loc["net", "p_equivalence"])
