"""What is missing is counted, never 0, and too much of it allows no verdict: by hand, and seen on the pages
of a run."""

import json

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from lib.analysis import leakage, usability
from lib.config.specs import VaderJudge
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.judging import judges
from lib.replies import outcomes
from lib.report import reports
from tests.conftest import call

ARMS = ("none", "neutral", "placebo", "negative", "positive")


def made(
    missing: dict[str, list[int]], stems: int = 20, samples: int = 1, mitigation: str = "none"
) -> pd.DataFrame:
    """Completions of one group a stem; of each arm in `missing` those of the stems listed there are
    refused."""
    rows = [
        {
            "model": "m",
            "mitigation": mitigation,
            "stem_id": f"s{stem}",
            "group_id": f"g{stem}",
            "arm": arm,
            "sample_index": draw,
            "outcome": "refused" if stem in missing.get(arm, []) else "answered",
            "note": "No." * (stem in missing.get(arm, [])),
        }
        for stem in range(stems)
        for arm in ARMS
        for draw in range(samples)
    ]
    return pd.DataFrame(rows)


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
    rng, broken = np.random.default_rng(0), 0
    for _ in range(200):
        lost = {arm: np.flatnonzero(rng.random(60) < 0.05).tolist() for arm in ARMS}
        checked = usability.check(made(lost, stems=60), 0.95)
        broken += (checked["fault"].str.startswith("arms differ")).any()
    assert broken <= 18  # of 200 at 5 %: 19 or more come of a sound test once in 400 times


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
    assert reports.bounds_reading(bounds, table) == (
        "m: 1 completions without a valence, net excess +100.0 points as shown, +50.0 had none of them "
        "leaked, +100.0 had all."
    )
    whole = table.dropna(subset="valence")
    assert (
        reports.bounds_reading(leakage.unscored_bounds(whole, ["model"], 0.95), whole)
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


@pytest.fixture(scope="module")
def unusable(smoke, copy, tmp_path_factory):
    """The run folder of a small run whose one model, a table, left out two fifths of its completions."""
    given = yaml.safe_load((copy / "params" / "smoke.yaml").read_text())
    rng, benchmark = (
        np.random.default_rng(0),
        curated_prompts.build(seed=given["dataset"]["seed"], stems=8, contexts_per_stem=1),
    )
    texts = tmp_path_factory.mktemp("table") / "answers.jsonl"
    said = {"negative": "a sad and gloomy thing.", "positive": "a wonderful, happy thing."}
    lines = []
    for row in benchmark.itertuples():
        texts_of_arm = ["..." if rng.random() < 0.4 else said.get(row.arm, "oak.") for _ in range(2)]
        lines += [
            {"prompt_id": row.prompt_id, "sample_index": draw, "completion": text}
            for draw, text in enumerate(texts_of_arm)
        ]
    texts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    model = {
        "name": "mute",
        "id": "mute-1",
        "family": "mute",
        "tuning": "instruct",
        "mode": "completion",
        "table": {"path": str(texts)},
    }
    given |= {"title": "a model that mostly says nothing", "models": [model], "mitigations": {}}
    given["dataset"]["stems"], given["mitigation"]["controls"], given["agreement"]["annotation_pairs"] = (
        8,
        [],
        10,
    )
    (copy / "params" / "mute.yaml").write_text(yaml.safe_dump(given))
    done = call(copy, "run", "mute")
    assert done.returncode == 0, done.stdout
    return copy / "outputs" / "mute"


def test_the_stamp_is_seen_on_board_pages_and_figures(unusable):
    board = pd.read_csv(unusable / "headline.csv").set_index("claim")
    for claim in ("C0", "C4"):
        assert board.loc[claim, "verdict"] == "inconclusive"
        assert "% of completions are unusable (arm " in board.loc[claim, "reason"]
    assert "inconclusive: " in (unusable / "headline.md").read_text()
    assert "% of completions are unusable" in (unusable / "headline.md").read_text()
    for page in ("03_judging.mute", "05_scaling_analysis", "06_prompting_mitigation_ablation"):
        book = nbformat.read(unusable / "executed" / f"{page}.ipynb", as_version=4)
        shown = [str(output) for cell in book.cells for output in cell.get("outputs", [])]
        assert any("% of completions are unusable" in text for text in shown), page
        drawn = [text for text in shown if "<img alt=" in text and "Published" not in text]
        assert all(
            "TOY INCONCLUSIVE " in text and " % of completions are unusable (arm " in text for text in drawn
        ), page
    book = nbformat.read(unusable / "executed" / "02_generation.mute.ipynb", as_version=4)
    shown = str([cell.get("outputs") for cell in book.cells])
    assert "empty, %" in shown and "The usability rule is **broken" in shown


def test_a_stamp_names_each_model_and_its_fault(smoke):
    class Run:
        set_name, is_mock = "smoke", False

    faults = {"a": "", "b": "38 % of completions are unusable (arm negative)", "c": usability.PLACEBO_BROKEN}
    assert (
        reports.stamp(Run, faults)
        == f"{reports.INVALID} INCONCLUSIVE: b: 38 % of completions are unusable (arm negative)."
    )
    assert reports.stamp(Run) == ""
