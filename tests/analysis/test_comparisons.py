"""Comparisons within and between models: by hand, under swaps and repetitions, with what is missing, against
known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.analysis import comparisons, leakage
from lib.report import comparison_reports
from lib.stats import inference

MARGIN, CONFIDENCE = 5.0, 0.95
LABELS = {
    "slot": "unknown",
    "emotion": "unknown",
    "intensity": "unknown",
    "form": "mined",
    "pronoun": "unknown",
}


def pairs(rows: list[dict]) -> pd.DataFrame:
    """A table as of `leakage.pairs`: one group a stem and a net excess of 0 unless a row says otherwise;
    towards = net."""
    table = pd.DataFrame(
        [
            {
                "model": "m",
                "mitigation": "none",
                "stem_id": "s",
                "arm": "negative",
                "sample_index": 0,
                "net": 0.0,
                **LABELS,
                **row,
            }
            for row in rows
        ]
    )
    if "group_id" not in table:
        table["group_id"] = table["stem_id"]
    return table.assign(
        direction=table["arm"].map(leakage.DIRECTIONS), towards=table["net"], shift=table["net"] / 50
    )


def by_contrast(table: pd.DataFrame) -> pd.DataFrame:
    return comparisons.factors(table, MARGIN, CONFIDENCE).set_index("contrast")


def random_pairs(seed: int, stems: int = 24, per_step: float = 0.0) -> pd.DataFrame:
    """Every stem meets two matches of random labels, three samples an arm; net excess grows by `per_step`
    with intensity."""
    rng = np.random.default_rng(seed)
    rows = []
    for stem in range(stems):
        of_stem = {
            "stem_id": f"s{stem}",
            "slot": ("closed", "open")[stem % 2],
            "pronoun": comparisons.PRONOUNS[stem // 2 % 4],
        }
        for match in range(2):
            step, form, effect = (
                rng.integers(3),
                comparisons.FACTORS["form"][1][rng.integers(2)],
                rng.normal(10, 20),
            )
            for arm, levels in comparisons.EMOTIONS.items():
                of_prompt = {
                    "group_id": f"s{stem}+m{stem}-{match}",
                    "arm": arm,
                    "emotion": levels[rng.integers(4)],
                    "form": form,
                    "intensity": comparisons.INTENSITIES[step],
                }
                rows += [
                    {
                        **of_stem,
                        **of_prompt,
                        "sample_index": index,
                        "net": effect + per_step * step + rng.normal(0, 50),
                    }
                    for index in range(3)
                ]
    return pairs(rows)


def test_slots_by_hand():
    nets = {"a": 0, "b": 10, "c": 20, "d": 40}
    slots = dict(zip("abcd", ["closed", "closed", "open", "open"], strict=True))
    found = by_contrast(
        pairs([{"stem_id": stem, "net": net, "slot": slots[stem]} for stem, net in nets.items()])
    )
    row = found.loc["slot: closed − open"]
    # means 5 and 30; errors sqrt(50/2) = 5 and sqrt(200/2) = 10, together sqrt(125); pooled SD sqrt((50 +
    # 200)/2), d -sqrt(5)
    assert (row.estimate, row.se, row.effect) == pytest.approx((-25, np.sqrt(125), -np.sqrt(5)))
    assert (row.n, row.n_stems, row.way, len(found)) == (4, 4, "between clusters", 1)
    welch = stats.ttest_ind([0, 10], [20, 40], equal_var=False)
    assert (row.p, row.p_holm) == pytest.approx((welch.pvalue, welch.pvalue)), (
        "a family of one needs no correction"
    )
    assert (row.ci_low, row.ci_high) == pytest.approx(welch.confidence_interval())
    assert row.naive_se_ratio == pytest.approx(1), "one value a stem"
    assert row.p_equivalence == pytest.approx(stats.t.cdf(20 / np.sqrt(125), welch.df)), (
        "(-25 + 5) / error, from below"
    )


def test_polarity_is_paired_by_group_and_has_d_z():
    nets = {"a": (10, 0), "b": (25, 5), "c": (20, -10), "d": (0, 0)}
    table = pairs(
        [
            {"stem_id": stem, "arm": arm, "net": net}
            for stem, both in nets.items()
            for arm, net in zip(("negative", "positive"), both, strict=True)
        ]
    )
    row = by_contrast(table).loc["polarity: negative − positive"]
    differences = [
        10,
        20,
        30,
        0,
    ]  # mean 15, SD sqrt(500/3) = 12.910, error 6.455, t = 2.3238 at 3 degrees of freedom, d_z 1.1619
    assert (row.estimate, row.se, row.effect) == pytest.approx((15, 6.455, 1.1619), abs=1e-3)
    assert (row.p, row.n, row.way) == (pytest.approx(stats.ttest_1samp(differences, 0).pvalue), 4, "paired")
    noncentral = stats.nct.cdf(2.3238, 3, np.sqrt(4) * np.array([row.effect_low, row.effect_high]))
    assert noncentral == pytest.approx([0.975, 0.025], abs=1e-4)


def test_each_of_several_levels_is_compared_with_the_others_of_its_polarity():
    emotions = {"joy": (0, 10), "love": (20, 30), "pride": (40, 60)}
    table = pairs(
        [
            {"stem_id": f"{emotion}{number}", "arm": "positive", "emotion": emotion, "net": net}
            for emotion, nets in emotions.items()
            for number, net in enumerate(nets)
        ]
    )
    found = by_contrast(table)
    # joy 5 − (20 + 30 + 40 + 60)/4; love 25 − (0 + 10 + 40 + 60)/4; pride 50 − (0 + 10 + 20 + 30)/4
    assert found["estimate"].to_dict() == {
        "positive emotion: joy − others": pytest.approx(-32.5),
        "positive emotion: love − others": pytest.approx(-2.5),
        "positive emotion: pride − others": pytest.approx(35),
    }
    assert comparisons.constant_factors(table) == ["slot", "form", "negative emotion", "subject", "intensity"]


def test_dose_response_by_hand():
    rows = [
        {"stem_id": stem, "group_id": f"{stem}{step}", "intensity": step, "net": net}
        for stem, nets in (("a", (0, 4, 20)), ("b", (10, 22, 30)), ("c", (50, 50, 80)))
        for step, net in zip(comparisons.INTENSITIES, nets, strict=True)
    ]
    found = comparisons.dose_response(pairs(rows), MARGIN, CONFIDENCE).set_index(["contrast", "quantity"])
    net = found.xs("net", level="quantity")["estimate"]
    assert net.to_dict() == {
        "intensity: per step": pytest.approx(35 / 3),
        "intensity: plain − mild": pytest.approx(16 / 3),
        "intensity: strong − plain": pytest.approx(18),
    }
    assert len(found) == 9, "one family of slopes and steps of three quantities"
    assert found.loc[("intensity: per step", "shift"), "estimate"] == pytest.approx(35 / 3 / 50)
    assert found.xs("shift", level="quantity")["p_equivalence"].isna().all(), "the margin is one of points"
    assert (found["way"] == "across clusters").all()


@pytest.mark.parametrize("per_step", [0.0, 10.0])
def test_a_known_dose_response_is_recovered(per_step):
    found = comparisons.dose_response(random_pairs(3, stems=300, per_step=per_step), MARGIN, CONFIDENCE)
    slope = found[(found["contrast"] == "intensity: per step") & (found["quantity"] == "net")].iloc[0]
    assert slope.ci_low < per_step < slope.ci_high
    assert slope.ci_high - slope.ci_low < 10
    steps = found[(found["contrast"] != "intensity: per step") & (found["quantity"] == "net")]
    assert ((steps["ci_low"] < per_step) & (per_step < steps["ci_high"])).all()
    assert (slope.p_holm < 0.05) == (per_step > 0)


def of_two_models() -> pd.DataFrame:
    nets = {"first": {"a": 10, "b": 20, "c": 60, "d": 99}, "second": {"a": 0, "b": 0, "c": 30}}
    return pairs(
        [
            {"model": model, "stem_id": stem, "net": net}
            for model, of in nets.items()
            for stem, net in of.items()
        ]
    )


def test_models_are_compared_on_shared_groups_and_the_others_are_counted():
    row = comparisons.models(of_two_models(), MARGIN, CONFIDENCE).iloc[0]
    # differences 10, 20, 30 of the three shared groups: mean 20, SD 10, error 10/sqrt(3), d_z 2
    assert (row.estimate, row.se, row.effect) == pytest.approx((20, 10 / np.sqrt(3), 2))
    assert (row.n, row.n_stems, row.left_out_first, row.left_out_second) == (3, 3, 1, 0)
    told = comparison_reports.models_summary(pd.DataFrame([row]), MARGIN, CONFIDENCE)
    assert "on the 3 charged prompts that both have: 1 of first and 0 of second are left out." in told


def test_models_without_any_difference_are_said_to_be_so():
    table = of_two_models()
    second = table[table["model"] == "first"].assign(model="second")
    found = comparisons.models(pd.concat([table[table["model"] == "first"], second]), MARGIN, CONFIDENCE)
    told = comparison_reports.models_summary(found, MARGIN, CONFIDENCE)
    assert "without any difference, 0 in every stem: 1 (first − second); neither: 0." in told
    assert "without any difference" not in comparison_reports.models_summary(
        comparisons.models(of_two_models(), MARGIN, CONFIDENCE), MARGIN, CONFIDENCE
    )


def test_a_prompt_without_verdict_is_left_out_and_an_arm_is_not_mixed_with_another():
    table = of_two_models()
    table.loc[(table["model"] == "second") & (table["stem_id"] == "a"), "net"] = np.nan
    table.loc[(table["model"] == "second") & (table["stem_id"] == "b"), "arm"] = "positive"
    row = comparisons.models(table, MARGIN, CONFIDENCE).iloc[0]
    assert (row.estimate, row.n, row.left_out_first, row.left_out_second) == (30, 1, 3, 1)


def test_what_sets_models_apart_is_told():
    table = of_two_models().assign(
        family="f", tuning="base", parameters=pd.array([1, 1, 1, 1, 9, 9, 9], "Int64")
    )
    table["mode"] = ["chat"] * 4 + ["completion"] * 3
    assert comparisons.models(table, MARGIN, CONFIDENCE)["differ_in"].tolist() == ["mode, parameters"]
    alike = table.assign(mode="chat", parameters=pd.array([pd.NA] * 7, "Int64"))
    assert comparisons.models(alike, MARGIN, CONFIDENCE)["differ_in"].tolist() == [""]


def test_models_without_a_shared_group_are_a_row_without_estimate():
    table = of_two_models()
    table["group_id"] = table["model"] + table["group_id"]
    row = comparisons.models(table, MARGIN, CONFIDENCE).iloc[0]
    assert np.isnan([row.estimate, row.p, row.p_holm, row.effect]).all()
    assert (row.n, row.left_out_first, row.left_out_second) == (0, 4, 3)


def test_every_two_models_are_one_family():
    table = pd.concat([random_pairs(seed).assign(model=f"m{seed}") for seed in range(4)])
    found = comparisons.models(table, MARGIN, CONFIDENCE)
    assert len(found) == 6
    assert found["p_holm"].min() == pytest.approx(min(1, 6 * found["p"].min()))


def test_one_model_is_said_to_be_one():
    alone = comparisons.models(random_pairs(1), MARGIN, CONFIDENCE)
    assert alone.empty
    assert comparison_reports.family(alone).empty
    assert (
        comparison_reports.models_summary(alone, MARGIN, CONFIDENCE)
        == "There is one model, so no pair to compare."
    )


SWAPS = {
    "polarity: negative − positive": ("arm", "negative", "positive"),
    "slot: closed − open": ("slot", "closed", "open"),
    "form: idiomatic − explicit": ("form", "idiomatic", "explicit"),
}


@pytest.mark.parametrize("contrast", SWAPS)
def test_swapping_the_sides_flips_the_sign(contrast):
    column, first, second = SWAPS[contrast]
    table = random_pairs(7)
    swapped = table.assign(**{column: table[column].replace({first: second, second: first})})
    one, other = (by_contrast(each).loc[contrast] for each in (table, swapped))
    assert (one.estimate, one.ci_low, one.effect, one.effect_low) == pytest.approx(
        (-other.estimate, -other.ci_high, -other.effect, -other.effect_high)
    )
    assert (one.p, one.p_equivalence) == pytest.approx((other.p, other.p_equivalence))


def test_swapping_models_flips_the_sign():
    table = pd.concat([random_pairs(seed).assign(model=f"m{seed}") for seed in (1, 2)])
    one, other = (comparisons.models(each, MARGIN, CONFIDENCE).iloc[0] for each in (table, table.iloc[::-1]))
    assert (one["first"], one.estimate, one.ci_low) == (
        other.second,
        pytest.approx(-other.estimate),
        pytest.approx(-other.ci_high),
    )


def test_repeating_rows_inside_a_stem_narrows_nothing():
    table = random_pairs(5)
    often = pd.concat([table.assign(sample_index=table["sample_index"] + 3 * again) for again in range(5)])
    once, again = by_contrast(table), by_contrast(often)
    assert (again["n"] == 5 * once["n"]).all()
    numbers = ["estimate", "ci_low", "ci_high", "se", "p_equivalence", "effect", "effect_low", "effect_high"]
    pd.testing.assert_frame_equal(once[numbers], again[numbers])
    models = pd.concat([table, random_pairs(6).assign(model="other")])
    both = pd.concat([models, models.assign(sample_index=models["sample_index"] + 3)])
    pd.testing.assert_frame_equal(*(comparisons.models(each, MARGIN, CONFIDENCE) for each in (models, both)))


def test_the_effect_size_says_what_p_says():
    found = comparisons.factors(random_pairs(11, stems=40), MARGIN, CONFIDENCE)
    excludes = (found["effect_low"] > 0) | (found["effect_high"] < 0)
    assert excludes[found["p"] < 0.05].all()
    assert (found.loc[excludes, "p"] < 0.06).all()
    assert found["effect"].between(found["effect_low"], found["effect_high"]).all()


@pytest.mark.parametrize("error", [0.0, 1e-13, np.nan])
def test_stems_that_agree_but_for_rounding_have_no_effect_size(error):
    found = inference.Estimate(10.0, 10.0, 10.0, 9, 3, error, np.nan, 0.0, 2.0)
    assert np.isnan(comparisons.effect_size(found, 5.0, CONFIDENCE)).all()


def test_holm_counts_the_tests_of_the_table():
    found = comparisons.factors(random_pairs(11), MARGIN, CONFIDENCE)
    assert len(found) == 15  # polarity, slot, form, 2 x 4 emotions, 4 subjects
    assert found["p_holm"].min() == pytest.approx(min(1, 15 * found["p"].min()))
    assert "one family of 15 tests" in comparison_reports.factors_summary(found, [], MARGIN, CONFIDENCE)


def test_labels_that_are_missing_are_left_out_and_said():
    bare = (
        random_pairs(2)
        .assign(slot="unknown", emotion=np.nan, intensity="", form="mined")
        .drop(columns="pronoun")
    )
    found = comparisons.factors(bare, MARGIN, CONFIDENCE)
    assert found["contrast"].tolist() == ["polarity: negative − positive"]
    told = comparison_reports.factors_summary(found, comparisons.constant_factors(bare), MARGIN, CONFIDENCE)
    assert "one family of 1 test." in told
    assert told.endswith("apart: slot, form, negative emotion, positive emotion, subject, intensity.")
    dose_response = comparisons.dose_response(bare, MARGIN, CONFIDENCE)
    assert dose_response.empty
    assert "no dose–response" in comparison_reports.dose_response_summary(dose_response, MARGIN, CONFIDENCE)


def test_one_stem_has_estimates_and_no_interval():
    table = random_pairs(2)
    found = comparisons.factors(table[table["stem_id"] == "s0"], MARGIN, CONFIDENCE)
    assert len(found)
    assert found["estimate"].notna().any()
    assert found[["ci_low", "ci_high", "p", "p_holm", "p_equivalence", "effect"]].isna().all(axis=None)
    told = comparison_reports.factors_summary(found, [], MARGIN, CONFIDENCE)
    assert told.startswith("This table is one family of 0 tests.")


def test_no_charged_pairs_at_all():
    nothing = random_pairs(2).assign(arm="concept")
    assert comparisons.factors(nothing, MARGIN, CONFIDENCE).empty
    assert comparisons.dose_response(nothing, MARGIN, CONFIDENCE).empty
    assert comparisons.models(nothing, MARGIN, CONFIDENCE).empty
    assert comparisons.constant_factors(nothing) == [*comparisons.FACTORS, "intensity"]


def test_what_people_read():
    found = comparisons.factors(random_pairs(11), MARGIN, CONFIDENCE)
    shown = comparison_reports.family(found, "TOY")
    assert shown.columns.name == "⚠ TOY"
    assert {
        "contrast",
        "estimate [interval]",
        "effect size [interval]",
        "n",
        "stems",
        "matches",
        "clustered by",
        "naive_se_ratio",
        "p",
        "p (Holm)",
        "p (equivalence)",
        "way",
    } == set(shown.columns)


def test_what_is_said_of_verdicts_by_arm_names_a_share_that_is_not_known():
    rows = [("neutral", "negative", 4.0), ("positive", "positive", 30.0), ("neutral", "positive", 5.0)]
    shares = pd.DataFrame(rows, columns=["arm", "verdict", "estimate"]).assign(n=1000)
    said = comparison_reports.verdict_shares_summary(shares)
    assert said.startswith(
        "After a negative context a share that is not known (no completion was scored) of completions"
    )
    assert (
        "after a positive context 30.0 % (n = 1,000) are judged positive, after a neutral one 5.0 %" in said
        and "nan" not in said
    )
