"""What is missing is counted, never 0, and too much of it allows no verdict: by hand."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import clustered, leakage, usability
from lib.config.specs import VaderJudge
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.judging import judges
from lib.replies import outcomes
from lib.report import reports
from tests.simulations import simulate_usability
from tests.simulations.simulate_usability import ARMS
from tests.simulations.simulate_usability import completions as made


def test_outcomes_are_counted_by_mitigation_and_arm_and_reason():
    table = pd.concat([made({"negative": [0, 1, 2, 3, 4]}), made({}, mitigation="calm")])
    shares = usability.outcome_shares(table)
    assert list(shares) == ["completions", "answered", "refused", "missing"]
    assert shares.loc[("none", "negative")].tolist() == [20, 75, 25, 25]
    assert (shares["missing"].drop(("none", "negative")) == 0).all()
    assert usability.reasons(table).iloc[0].tolist() == ["m", "refused", "No.", 5, 1]


@pytest.mark.parametrize(
    ("missing", "fault"),
    [
        ({}, ""),
        ({arm: [3, 7] for arm in ARMS}, ""),  # 2 of 20 of every arm: not more than a tenth, and alike
        ({arm: [3, 7, 8] for arm in ARMS}, "15 % of completions are unusable (arm none)"),
        ({"placebo": [1, 2, 3]}, "15 % of completions are unusable (arm placebo)"),
        ({"negative": [1]}, ""),  # 5 %, and one stem proves no difference
    ],
)
def test_the_usability_rule_by_hand(missing, fault):
    checked = usability.check(made(missing), 0.95)
    assert list(checked) == usability.CHECKED
    assert len(checked) == 5 + 5
    assert usability.fault(checked) == fault


def test_arms_that_differ_beyond_chance_break_the_rule_though_little_is_missing():
    few = [stem for stem in range(200) if stem % 12 == 0]  # 17 of 200 stems, 8.5 %
    checked = usability.check(made({"positive": few}, stems=200), 0.95)
    assert usability.fault(checked).startswith(
        "arms differ in unusable completions (positive − neutral: +8.5 points ["
    )
    alike = usability.check(
        made({"positive": few, "neutral": few, "negative": few, "placebo": few, "none": few}, stems=200), 0.95
    )
    assert usability.fault(alike) == ""


def test_repeating_draws_of_a_stem_proves_no_more():
    one, ten = (
        usability.check(made({"positive": [0, 1]}, samples=samples), 0.95).set_index("test")
        for samples in (1, 10)
    )
    for test in ("missing, positive", "missing, positive − neutral"):
        assert ten.loc[test, ["ci_low", "ci_high"]].tolist() == pytest.approx(
            one.loc[test, ["ci_low", "ci_high"]].tolist()
        )
        assert ten.loc[test, "n"] == 10 * one.loc[test, "n"]


def test_arms_with_unequally_many_draws_are_compared_over_all_of_them():
    table = made({"negative": [0, 1]}, samples=3)
    found = usability.check(
        table[(table["arm"] != "neutral") | (table["sample_index"] == 0)], 0.95
    ).set_index("test")
    assert found.loc["missing, negative − neutral", ["estimate", "n"]].tolist() == [10, 60]
    assert found.loc["missing, negative − positive", ["estimate", "n"]].tolist() == [10, 60]


def test_a_sound_run_breaks_the_rule_no_more_often_than_it_may():
    # of 60 at 5 %: 9 or more come of a sound test once in 300 times
    assert simulate_usability.broken(60) <= 8


def test_a_missing_completion_has_no_valence_and_leaves_every_rate():
    benchmark = curated_prompts.build(seed=1, stems=4, contexts_per_stem=1)
    texts = {
        "neutral": "plain oak.",
        "placebo": "plain oak.",
        "negative": None,
        "positive": "pure joy.",
        "none": "oak.",
    }
    table = benchmark[["prompt_id", "group_id", "stem_id", "arm"]].assign(
        model="m", mitigation="none", sample_index=0, note="", completion=benchmark["arm"].map(texts)
    )
    table["outcome"] = np.where(table["completion"].isna(), outcomes.EMPTY, outcomes.ANSWERED)
    table["completion"] = table["completion"].astype(object).where(table["completion"].notna(), None)
    judged = judges.judgements(table, benchmark, VaderJudge(name="vader"), 0.2)
    lost = judged["arm"] == "negative"
    assert judged.loc[lost, ["valence", "charged", "repeats"]].isna().all(axis=None)
    assert judged.loc[~lost, ["valence", "charged", "repeats"]].notna().all(axis=None)
    pairs = leakage.pairs(judged)
    net = leakage.summarise(leakage.charged_pairs(pairs), ["arm"], 0.95).set_index(["arm", "quantity"])
    assert net.loc[("negative", "net"), "n"] == 0 and np.isnan(net.loc[("negative", "net"), "estimate"])
    assert net.loc[("positive", "net"), ["n", "estimate"]].tolist() == [4, 100]
    bounds = leakage.unscored_bounds(judged, ["arm"], 0.95)
    bounds = bounds[(bounds["arm"] == "negative") & (bounds["quantity"] == "net")].set_index("unscored")[
        "estimate"
    ]
    assert bounds[["none leaked", "all leaked"]].tolist() == [0, 100]
    assert leakage.repetition_share(judged, 0.95)["n"].sum() == 4
    assert usability.faults(judged, pairs, 0.95, 0.1) == {
        "m": "100 % of completions are unusable (arm negative)"
    }


def test_the_bounds_are_told_by_model():
    rows = [("neutral", 0.0), ("negative", np.nan), ("positive", 2.0)]
    table = pd.DataFrame(rows, columns=["arm", "valence"]).assign(
        model="m", mitigation="none", group_id="g", stem_id="s", sample_index=0
    )
    table["charged"] = (table["valence"].abs() > 0.2).astype("boolean").mask(table["valence"].isna())
    bounds = leakage.unscored_bounds(table, ["model"], 0.95)
    assert reports.bounds_summary(bounds, table) == (
        "m: 1 completions without a valence, net excess +100.0 points as shown, +50.0 had none of them "
        "leaked, +100.0 had all."
    )
    whole = table.dropna(subset="valence")
    assert (
        reports.bounds_summary(leakage.unscored_bounds(whole, ["model"], 0.95), whole)
        == "m: 0 completions without a valence."
    )


@pytest.mark.parametrize(
    ("missing", "placebo", "fault"),
    [
        (
            ARMS,
            0.0,
            "100 % of completions are unusable (arm none)",
        ),  # every prompt was filtered: nothing to try the placebo rule on
        (("placebo",), 0.0, "100 % of completions are unusable (arm placebo)"),
        ((), 3.0, usability.PLACEBO_BROKEN),
        (("none",), 3.0, usability.PLACEBO_BROKEN),
        ((), 0.0, usability.PLACEBO_OPEN),
    ],
)
def test_what_is_missing_is_not_taken_for_a_placebo_that_leaks(missing, placebo, fault):
    judged = made({arm: list(range(20)) for arm in missing})
    valence = np.where(judged["arm"] == "placebo", placebo, 0.0)
    judged["valence"] = np.where(judged["outcome"] == "answered", valence, np.nan)
    judged["charged"] = (judged["valence"].abs() > 1).astype("boolean").mask(judged["valence"].isna())
    assert usability.faults(judged, leakage.pairs(judged), 0.95, 0.1) == {"m": fault}


def test_a_run_without_a_placebo_arm_breaks_the_placebo_rule():
    judged = made({}).query("arm != 'placebo'").assign(valence=0.0, charged=pd.array([False] * 80, "boolean"))
    assert usability.faults(judged, leakage.pairs(judged), 0.95, 0.1) == {"m": usability.PLACEBO_BROKEN}


def test_what_is_missing_equals_nothing():
    table = made({"neutral": [0], "placebo": [0, 1]}).assign(completion="oak.")
    table.loc[table["outcome"] == "refused", "completion"] = None
    same = runner.identical_rate(table)
    assert same["placebo"] == 100.0 and same["negative"] == 100.0


def test_a_stamp_names_each_model_and_its_fault():
    class Run:
        set_name, is_mock = "smoke", False

    faults = {"a": "", "b": "38 % of completions are unusable (arm negative)", "c": usability.PLACEBO_BROKEN}
    assert (
        reports.banner(Run, faults)
        == f"{reports.INVALID} INCONCLUSIVE: b: 38 % of completions are unusable (arm negative)."
    )
    assert reports.banner(Run) == ""
    Run.is_mock = True
    assert reports.banner(Run, {"b": faults["b"]}) == f"{reports.TOY} INCONCLUSIVE: b: {faults['b']}."


def test_texts_of_completions_are_not_looked_at():
    table = made({"positive": [0, 1, 2], "none": [4]}).assign(completion="a text")
    used = ["model", "mitigation", "arm", "outcome", "sample_index", *clustered.USED]
    bare = table[[name for name in used if name in table]]
    assert "completion" in table and "completion" not in bare
    pd.testing.assert_frame_equal(usability.check(bare, 0.95), usability.check(table, 0.95))
