"""How well a layer predicts what is written."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import layers


def study(stems: int, noise: float, rng) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Projections of two layers, of which the second knows how far the valence moves; pairs of two draws."""
    rows, pairs = [], []
    for stem in range(stems):
        for arm, sign in (("negative", -1), ("positive", 1)):
            change = sign * rng.gamma(1.0, 1.0)
            key = {"prompt_id": f"s{stem}/{arm}", "group_id": f"s{stem}", "stem_id": f"s{stem}", "arm": arm}
            rows.append(key | {"layer": 0, "projection": rng.normal()})
            rows.append(key | {"layer": 1, "projection": change + noise * rng.normal()})
            for draw, wobble in enumerate((0.2, -0.2)):
                shift = sign * (change + wobble)
                pairs.append(key | {"model": "m", "direction": sign, "shift": shift, "sample_index": draw})
    return pd.DataFrame(rows), pd.DataFrame(pairs).assign(mitigation="none", partner=0)


def test_r_is_pearsons_of_projection_and_mean_signed_change():
    rng = np.random.default_rng(1)
    projections, pairs = study(60, 0.5, rng)
    table = layers.prediction(projections, pairs, 0.95, seed=1).set_index("layer")
    signed = pairs.assign(change=pairs["shift"] * pairs["direction"]).groupby("prompt_id")["change"].mean()
    last = projections[projections["layer"] == 1].set_index("prompt_id")["projection"]
    by_hand = np.corrcoef(last, signed[last.index])[0, 1]
    assert table.loc[1, "estimate"] == pytest.approx(by_hand)
    assert table.loc[1, "ci_low"] > 0.5 and table.loc[1, "ci_high"] < 1
    assert table.loc[0, "ci_low"] < 0 < table.loc[0, "ci_high"]
    assert table["n"].tolist() == [120, 120] and table["n_stems"].tolist() == [60, 60]


def test_prompts_without_a_judged_completion_are_left_out_and_counted_so():
    projections, pairs = study(20, 0.1, np.random.default_rng(2))
    pairs.loc[pairs["prompt_id"] == "s3/negative", "shift"] = np.nan
    table = layers.prediction(projections, pairs, 0.95, seed=1)
    assert table["n"].tolist() == [39, 39]


def test_the_same_seed_gives_the_same_interval():
    projections, pairs = study(20, 0.3, np.random.default_rng(3))
    first, second = (layers.prediction(projections, pairs, 0.95, seed=7) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
