"""A server that answers each prompt in another bad way, from the prompt to the verdict: nothing is lost,
nothing counts as 0."""

import pandas as pd
import pytest

from lib.analysis import leakage, usability
from lib.config.specs import VaderJudge
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.judging import judges
from lib.models import registry
from lib.replies import outcomes
from lib.report import reports
from tests.stand_in import generation

FILTERED = (400, {"error": {"code": "content_filter", "message": "stopped"}})


def answer(content, finish="stop", **message) -> tuple[int, dict]:
    told = {"role": "assistant", "content": content, **message}
    return 200, {
        "choices": [{"index": 0, "finish_reason": finish, "message": told}],
        "usage": {"completion_tokens": 5},
    }


# what the server sends, the outcome, the completion
ANSWERS = [
    (answer("Sure! Here is the sentence: oak. It"), "answered", "oak."),
    (answer(None, refusal="I can't help with that."), "refused", None),
    (answer("", "content_filter"), "filtered", None),
    (FILTERED, "filtered", None),
    (answer("", "length", reasoning_content="hm"), "thought_unfinished", None),
    (answer("<think>hm", "length"), "thought_unfinished", None),
    (answer("half a \ud83d pair. It"), "answered", "half a \ufffd pair."),
    (answer("..."), "empty", None),
    (answer("I can't complete the sentence. She is angry."), "refused", None),
    (answer("a deep", "length"), "truncated", "a deep"),
    (answer("<think>hm</think> It was fine."), "answered", "It was fine."),
    (answer(None, tool_calls=[{"id": "1"}]), "failed", None),
    ((200, {"choices": []}), "failed", None),
]


@pytest.fixture
def run(stand_in, tmp_path):
    """Completions of a server that answers with each of some answers in turn, and their judgements."""

    def run(answers: list) -> tuple[pd.DataFrame, pd.DataFrame]:
        stand_in.answer = lambda path, body: answers[(len(stand_in.seen) - 1) % len(answers)]
        benchmark, parameters = (
            curated_prompts.build(seed=1, stems=4, contexts_per_stem=1),
            generation(stand_in, "chat", retries=0, concurrency=1),
        )
        model = registry.load(parameters.model)
        requested = runner.requests(benchmark, parameters, model)
        paid = runner.generate(requested, parameters, model, tmp_path / "j.jsonl")
        table = runner.completions_table(paid, parameters, model)
        again = runner.generate(requested, parameters, model, tmp_path / "j.jsonl")
        pd.testing.assert_frame_equal(again, paid)
        table.to_parquet(tmp_path / "table.parquet")
        table = pd.read_parquet(tmp_path / "table.parquet")
        return table, judges.judgements(table, benchmark, VaderJudge(name="vader"), 0.05)

    return run


def test_each_bad_answer_has_an_outcome_and_the_missing_have_no_valence(run, stand_in):
    table, judged = run([sent for sent, *_ in ANSWERS])
    assert len(stand_in.seen) == len(table) == 40
    expected = {(outcome, completion) for _, outcome, completion in ANSWERS}
    assert {
        (row.outcome, None if pd.isna(row.completion) else row.completion) for row in table.itertuples()
    } == expected
    missing = usability.is_missing(judged)
    assert judged.loc[missing, ["valence", "charged", "repeats"]].isna().all(axis=None)
    assert judged.loc[~missing, ["valence", "charged", "repeats"]].notna().all(axis=None)
    assert (table.loc[missing, "note"].str.strip() != "").all()
    assert usability.reasons(table, 100)["completions"].sum() == missing.sum()
    pairs = leakage.pairs(judged)
    lost = (
        usability.is_missing(judged)
        .groupby([judged["group_id"], judged["sample_index"], judged["arm"]])
        .any()
        .unstack("arm")
    )
    charged = leakage.charged_pairs(pairs).set_index(["group_id", "sample_index", "arm"])["net"]
    for (group, draw, arm), net in charged.items():
        assert pd.isna(net) == bool(lost.loc[(group, draw), arm] or lost.loc[(group, draw), "neutral"])
    assert "unusable" in usability.faults(judged, pairs, 0.95, 0.1)["m"]


def test_where_every_prompt_is_filtered_the_run_says_so(run):
    table, judged = run([FILTERED])
    assert (table["outcome"] == outcomes.FILTERED).all()
    pairs = leakage.pairs(judged)
    assert usability.faults(judged, pairs, 0.95, 0.1) == {"m": "100 % of completions are unusable (arm none)"}
    checked = usability.check(table, 0.95)
    assert "At most 100.0 [" in reports.usability_summary(checked, usability.fault(checked))
    bounds = leakage.unscored_bounds(judged, ["model"], 0.95).set_index(["quantity", "unscored"])["estimate"]
    assert bounds["net"].isna().tolist() == [True, False, False]
    assert bounds["net"].tolist()[1:] == [-100, 100]
    assert runner.identical_rate(table).isna().all()
