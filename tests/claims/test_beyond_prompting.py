"""C3b: an intervention has to leave less than every prompt, and what belongs has to survive."""

import numpy as np
import pandas as pd
import pytest

from lib.claims import beyond_prompting
from lib.claims.board import COLUMNS, CONTRADICTED, INCONCLUSIVE, SUPPORTED
from lib.config.specs import NO_MITIGATION
from tests.simulations.simulate_mitigation import study

PROMPTS = {"calm": 0.9, "focus": 0.7}


def decided(
    left: dict[str, float], survives: dict[str, float], leaks=True, stems=80, noise=0.15, faults=None
):
    """C3b of one simulated model under interventions that leave and let survive such shares."""
    rng = np.random.default_rng(3)
    pairs = study({**PROMPTS, **left}, stems, rng, noise=noise)
    controls = study({**dict.fromkeys(PROMPTS, 1.0), **survives}, stems, rng, noise=noise)
    compared = beyond_prompting.compare(pairs, controls, list(PROMPTS), list(left), 0.8, 0.95)
    board = beyond_prompting.claim({"m": compared}, 0.25, 0.8, 0.95, faults or {"m": ""}, {"m": leaks})
    return compared.set_index("mitigation"), board.iloc[0]


@pytest.mark.parametrize(
    ("left", "survives", "verdict"),
    [
        ({"steer": 0.2}, {"steer": 1.0}, SUPPORTED),
        ({"steer": 0.2, "mute": 0.0}, {"steer": 1.0, "mute": 0.0}, SUPPORTED),
        ({"mute": 0.0}, {"mute": 0.0}, CONTRADICTED),  # nothing leaks, and nothing survives
        ({"worse": 1.3}, {"worse": 1.0}, CONTRADICTED),
        ({"worse": 1.3, "mute": 0.0}, {"worse": 1.0, "mute": 0.1}, CONTRADICTED),
        ({"same": 0.7}, {"same": 1.0}, INCONCLUSIVE),  # as the best prompt
        ({"edge": 0.2}, {"edge": 0.8}, INCONCLUSIVE),  # survival not surely above what must survive
        ({"steer": 0.8}, {"steer": 1.0}, None),  # below one prompt, above the other: never supported
    ],
)
def test_the_verdict_takes_both(left, survives, verdict):
    _, row = decided(left, survives)
    assert list(row.index) == COLUMNS
    if verdict is None:
        assert row["verdict"] != SUPPORTED
    else:
        assert row["verdict"] == verdict, row["reason"]


def test_the_best_prompt_is_the_one_that_leaves_least_and_the_estimate_is_a_share_of_the_leak():
    compared, row = decided({"steer": 0.2}, {"steer": 1.0})
    assert compared.loc["steer", "best_prompt"] == "focus"
    assert row["estimate"] == pytest.approx(0.2 - 0.7, abs=0.08)
    assert row["ci_low"] < row["estimate"] < row["ci_high"] < 0
    assert "steer less focus" in row["measured"]


def test_where_nothing_leaks_nothing_can_be_mitigated():
    _, row = decided({"steer": 0.2}, {"steer": 1.0}, leaks=False)
    assert row["verdict"] == INCONCLUSIVE and "nothing surely leaks" in row["reason"]


def test_by_hand():
    """Two columns with one cluster a cell: the p are those of Student's t on the differences."""
    from scipy import stats

    rng = np.random.default_rng(5)
    cells = 40
    values = {NO_MITIGATION: rng.normal(1.0, 0.3, cells), "calm": rng.normal(0.8, 0.3, cells)}
    values["steer"] = rng.normal(0.5, 0.3, cells)
    belongs = {NO_MITIGATION: rng.normal(1.5, 0.3, cells), "steer": rng.normal(1.4, 0.3, cells)}

    def pairs(columns):
        rows = [
            {"model": "m", "stem_id": f"s{cell}", "group_id": f"s{cell}", "arm": "negative", "direction": -1}
            | {"mitigation": name, "shift": value, "sample_index": 0}
            for name, column in columns.items()
            for cell, value in enumerate(column)
        ]
        return pd.DataFrame(rows)

    table = beyond_prompting.compare(pairs(values), pairs(belongs), ["calm"], ["steer"], 0.8, 0.95).iloc[0]
    below = stats.ttest_rel(values["calm"], values["steer"], alternative="greater").pvalue
    survives = stats.ttest_1samp(
        belongs["steer"] - 0.8 * belongs[NO_MITIGATION], 0, alternative="greater"
    ).pvalue
    assert table["p_below"] == pytest.approx(below, rel=1e-6)
    assert table["p_survives"] == pytest.approx(survives, rel=1e-6)
    assert table["p"] == max(table["p_below"], table["p_survives"])
    assert table["p_above"] == pytest.approx(1 - below) and table["p_dies"] == pytest.approx(1 - survives)
    assert table["n"] == cells


def test_holm_counts_every_intervention_of_every_model_that_leaks():
    rng = np.random.default_rng(1)
    tables = {}
    for model, left in (("a", {"x": 0.62, "y": 0.9}), ("b", {"x": 0.65, "y": 0.9}), ("c", {"x": 0.1})):
        pairs, controls = (
            study({"calm": 0.7, **share}, 30, rng, noise=0.2) for share in (left, dict.fromkeys(left, 1.0))
        )
        tables[model] = beyond_prompting.compare(pairs, controls, ["calm"], list(left), 0.8, 0.95)
    leaking = {"a": True, "b": True, "c": False}
    board = beyond_prompting.claim(tables, 0.25, 0.8, 0.95, dict.fromkeys(tables, ""), leaking).set_index(
        "model"
    )
    p = np.sort(np.concatenate([tables[name]["p"] for name in ("a", "b")]))
    smallest = board.loc[["a", "b"], "p"].min()
    assert smallest == p[0] and board.loc[board["p"] == p[0], "p_holm"].iloc[0] == pytest.approx(
        min(1, 4 * p[0])
    )
    assert np.isnan(board.loc["c", "p_holm"]) and board.loc["c", "verdict"] == INCONCLUSIVE


def test_an_intervention_without_values_is_left_out_and_a_model_without_any_says_so():
    rng = np.random.default_rng(1)
    pairs = study({"calm": 0.7}, 20, rng)
    compared = beyond_prompting.compare(pairs, pairs, ["calm"], ["steer"], 0.8, 0.95)
    assert compared.empty
    board = beyond_prompting.claim({"m": compared}, 0.25, 0.8, 0.95, {"m": ""}, {"m": True})
    assert board.loc[0, "verdict"] == INCONCLUSIVE and "no intervention" in board.loc[0, "reason"]
