"""Slopes, bends and their absence, planted in made-up pairs of completions, are found again; too few sizes are said to be so."""

import numpy as np
import pandas as pd
import pytest

from lib import scaling, scaling_reports, size_figures

SIZES = (1e6, 1e7, 1e8, 1e9)


def line(means, stems=60, spread=0.0, family="f", tuning="base", sizes=SIZES, seed=0) -> pd.DataFrame:
    """Pairs of a family whose net excess is `means` at `sizes`, shifted by each stem's own normal deviate times `spread`."""
    rng = np.random.default_rng(seed)
    rows = [
        {"stem_id": f"s{stem}", "arm": arm, "slot": ("open", "closed")[stem % 2], "parameters": size,
         "model": f"{family}-{size:g}", "net": mean + spread * rng.normal(), "leak": 100.0 * (rng.random() < 0.5 + mean / 200)}
        for stem in range(stems) for arm in ("negative", "positive") for size, mean in zip(sizes, means, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(family=family, tuning=tuning, mode="completion")


def test_a_planted_slope_is_found_whatever_placebo_pairs_say():
    pairs = line([40, 30, 20, 10], stems=200, spread=10)
    placebo = pairs.assign(arm="placebo", net=999.0)
    unknown = pairs.assign(parameters=pd.NA, net=999.0)
    found = scaling.slopes(pd.concat([pairs, placebo, unknown]), 3, 0.95).set_index("method")
    assert found.loc["least squares", "sizes"] == 4
    assert found.loc["least squares", "low"] < -10 < found.loc["least squares", "high"] < -8
    # leak rates planted at 70, 65, 60, 55 %: log odds 0.847, 0.619, 0.405, 0.201, a slope of -0.2154, odds ratio 0.806
    assert found.loc["GEE", "low"] < 0.806 < found.loc["GEE", "high"] < 1
    assert found["n"].tolist() == [1600, 1600] and found["n_stems"].tolist() == [200, 200]


def test_by_slot_and_arm_every_part_has_a_slope_of_its_own():
    pairs = line([40, 30, 20, 10])
    pairs.loc[pairs["slot"] == "open", "net"] *= 2
    found = scaling.slopes(pairs, 3, 0.95, by=("arm", "slot")).query("method == 'least squares'").set_index(["arm", "slot"])
    for arm in ("negative", "positive"):
        assert found.loc[(arm, "closed"), "estimate"] == pytest.approx(-10)
        assert found.loc[(arm, "open"), "estimate"] == pytest.approx(-20)


def test_nothing_is_fitted_to_two_sizes_nor_across_tunings():
    two = pd.concat([line([40, 30], sizes=SIZES[:2]), line([20, 10], sizes=SIZES[2:], tuning="instruct")])
    for table in (scaling.slopes(two, 3, 0.95), scaling.monotonicity(two, 3, 0.95, np.random.default_rng(0))):
        assert set(table["said"]) == {"needs at least 3 sizes of a family, has 2"}
        assert table.filter(["estimate", "tau", "low", "p_falling"]).isna().all(axis=None)
    assert scaling_reports.shape_reading(table, 0.95).count("has 2") == 2


@pytest.mark.parametrize(
    ("means", "tau", "falls", "monotone"),
    [
        ([40, 30, 20, 10], -1, True, True),
        ([10, 20, 30, 40], 1, False, True),
        ([40, 10, 10, 40], 0, False, False),  # the line through these is flat: only the shape tells
        ([20, 20, 20, 20], 0, True, True),
    ],
)
def test_a_planted_bend_is_told_from_a_fall_and_from_a_rise(means, tau, falls, monotone):
    rows = [scaling.monotonicity(line(means, spread=10, seed=seed), 3, 0.95, np.random.default_rng(1)).iloc[0] for seed in (1, 2)]
    for row in rows:
        assert (row["p_falling"] > 0.05) == falls
        assert (row["p_monotone"] > 0.05) == monotone
        assert row["low"] <= tau <= row["high"]
    if abs(tau) == 1:
        assert [row["tau"] for row in rows] == [tau, tau]


def test_a_family_without_leakage_is_rarely_said_to_bend(monkeypatch):
    monkeypatch.setattr(scaling, "DRAWS", 100)
    flat = [line([0, 0, 0, 0], stems=20, spread=10, seed=seed) for seed in range(40)]
    refuted = [scaling.monotonicity(pairs, 3, 0.95, np.random.default_rng(0))["p_monotone"].iloc[0] < 0.05 for pairs in flat]
    assert sum(refuted) <= 5  # of 40 at 5 %: six or more come of a sound test once in 70 times


def test_families_are_joined_within_a_tuning_only_and_two_that_differ_give_a_wide_interval():
    agree = pd.concat([line([40, 30, 20, 10], spread=10, family=name, seed=place) for place, name in enumerate("abcd")])
    alone = line([0, 0, 0, 0], spread=10, tuning="instruct")
    found = scaling.families(scaling.slopes(pd.concat([agree, alone]), 3, 0.95), 0.95)
    assert found[["tuning", "families"]].values.tolist() == [["base", 4]]
    assert found.iloc[0]["low"] < -10 < found.iloc[0]["high"] < -8
    # slopes of -10 and +10, hardly any error: mean 0, SD of slopes sqrt(200) = 14.1, error 10, t(0.975; 1) = 12.7
    differ = pd.concat([line([40, 30, 20, 10], spread=0.1, family="a"), line([10, 20, 30, 40], spread=0.1, family="b")])
    row = scaling.families(scaling.slopes(differ, 3, 0.95), 0.95).iloc[0]
    assert row["estimate"] == pytest.approx(0, abs=0.1) and row["between"] == pytest.approx(14.14, abs=0.1)
    assert row["high"] == pytest.approx(127, abs=2)


def test_published_numbers_are_rates_with_a_source_and_their_shapes_are_counted():
    table = scaling.published()
    assert table.notna().all(axis=None) and table["leak_rate"].between(50, 100).all()
    assert not table.duplicated(["source", "prompts", "family", "tuning", "billions", "measure"]).any()
    told = pd.DataFrame({"source": "x", "prompts": "y", "family": list("aaabbbcccdd"), "tuning": "base", "measure": "m",
                         "billions": [1, 2, 3] * 3 + [1, 2],
                         "leak_rate": [60, 70, 80, 80, 70, 60, 60, 80, 70, 60, 70]})  # fmt: skip
    assert scaling_reports.published_reading(told, 3).startswith(
        "Of 3 published series with at least 3 sizes, 1 rise from each size to the next, 1 fall, 1 bend."
    )


def test_the_sentences_name_what_the_tables_hold():
    slopes = scaling.slopes(line([40, 30, 20, 10], stems=200, spread=0.01), 3, 0.95)
    said = scaling_reports.slopes_reading(slopes, scaling.families(slopes, 0.95))
    assert "f (base, completion): the two methods agree (net excess falling with size, odds of the leak rate falling" in said
    assert "no slope over families" in said
    shown = scaling_reports.slopes(slopes, "WARNING")
    assert shown["per tenfold size [interval]"].iloc[0] == "−10.0 [−10.0, −10.0]" and shown.columns.name == "⚠ WARNING"
    parts = scaling.slopes(line([10, 20, 30, 40], spread=0.01), 3, 0.95, by=["arm", "slot"])
    assert scaling_reports.parts_reading(parts).count("+10.0 [+10.0, +10.0], rising with size") == 4


def test_small_multiples_have_a_panel_for_each_slot_and_arm():
    table = scaling.by_size(line([40, 30, 20, 10], spread=10), 0.95)
    assert len(table) == 4 * 2 * 2
    axes = size_figures.panels(table, "Net excess")
    assert axes.shape == (2, 2)
    assert size_figures.panels(table.iloc[:0], "Net excess")[0].get_title(loc="left").endswith("no model whose size is known")
