"""Logs of other tools: every reply comes back as it was written; what a file lacks is counted or refused."""

import json

import pandas as pd
import pytest

from lib.config.specs import ParameterError
from lib.measure import answers, identify, sets, tables
from lib.models import evaluation_logs, registry
from lib.runtime.errors import DataError
from lib.storage import archives
from tests import tool_logs
from tests.measured import CANNED, asked

KEY = ["prompt_id", "sample_index"]


@pytest.fixture(scope="module")
def prompts() -> pd.DataFrame:
    """The prompts of two groups that a measurement asks first."""
    table, ordered = answers.benchmark(sets.values(CANNED, "vader"))
    return table[table["group_id"].isin(ordered[:2])].reset_index(drop=True)


def read_back(log: evaluation_logs.Log) -> dict:
    return log.table.set_index(KEY)["completion"].to_dict()


def test_samples_of_the_harness_come_back_whole(tmp_path, prompts):
    written = tool_logs.replies(prompts, 2)
    path = tool_logs.harness(tmp_path, prompts, written, 2)
    assert evaluation_logs.is_log(path)
    log = evaluation_logs.read(path)
    assert read_back(log) == written
    first = log.table.iloc[0]
    assert (first.model, first.temperature, first.tool) == ("org/model", 0.7, "lm-eval 0.4.13")
    assert (first.finish_reason, first.task_outcome, first.mitigation) == ("", "answered", "none")
    asked_texts = log.table.drop_duplicates("prompt_id").set_index("prompt_id")["sent"]
    assert asked_texts.to_dict() == prompts.set_index("prompt_id")["text"].to_dict()
    assert log.notes == ["no finish reason is logged by lm-evaluation-harness"]


def test_what_samples_of_the_harness_lack_is_counted(tmp_path, prompts):
    path = tool_logs.harness(tmp_path, prompts, tool_logs.replies(prompts, 1), 1)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    lines[0]["arguments"]["gen_args_0"]["arg_1"].pop("temperature")
    tool_logs.write_lines(path, [*lines[:-3], lines[0], {**lines[0], "filter": "other"}])
    log = evaluation_logs.read(path)
    assert len(log.table) == len(lines) - 3
    assert f"3 of {len(lines)} samples are missing; the run was stopped, or limited" in log.notes
    assert "samples of 2 filters hold the same replies; those of 'every_sample' count" in log.notes
    assert "2 replies have no temperature stated" in log.notes
    assert "1 samples are there twice and alike; each counts once" in log.notes
    (tmp_path / f"results_{tool_logs.TIME}.json").unlink()
    assert any("the model is not known" in note for note in evaluation_logs.read(path).notes)


@pytest.mark.parametrize("way", ["deflated", "zstandard", "json"])
def test_logs_of_inspect_come_back_whole(tmp_path, prompts, way):
    written = tool_logs.replies(prompts, 4)
    made = tool_logs.inspect_log(prompts, written, samples=2, epochs=2)
    path = tmp_path / f"log.{'json' if way == 'json' else 'eval'}"
    if way == "json":
        path.write_text(json.dumps(made))
    else:
        getattr(tool_logs, f"write_{way}")(path, tool_logs.members(made))
    log = evaluation_logs.read(path)
    assert read_back(log) == written
    assert log.notes == []
    first = log.table.iloc[0]
    assert (first.model, first.temperature, first.tool) == ("openai/model", 0.7, "inspect_ai 0.3.285")
    assert (first.finish_reason, first.task_outcome) == ("stop", "answered")


def test_what_inspect_knows_of_a_reply_is_kept(tmp_path, prompts):
    made = tool_logs.inspect_log(prompts, tool_logs.replies(prompts, 1), 1)
    filtered, cut, failed, scored, apart = made["samples"][:5]
    filtered["output"]["choices"][0]["stop_reason"] = "content_filter"
    filtered["output"]["error"] = "flagged"
    cut["output"]["choices"][0]["stop_reason"] = "max_tokens"
    failed["output"], failed["error"] = {"choices": [], "completion": ""}, {"message": "connection lost"}
    scored["error"] = {"message": "the scorer failed"}
    scored["scores"] = None
    long = "a very long reply " * 20
    apart["output"]["completion"], apart["attachments"] = "attachment://abc", {"abc": long}
    made["samples"][5]["scores"]["valence"]["explanation"] = "refused"
    made["status"], last = "error", made["samples"].pop()
    path = tmp_path / "log.eval"
    tool_logs.write_zstandard(path, tool_logs.members(made))
    log = evaluation_logs.read(path)
    outcomes = log.table[["outcome", "note"]].head(5).agg(": ".join, axis=1).tolist()
    assert outcomes == ["filtered: flagged", "truncated: ", "failed: connection lost", ": ", ": "]
    assert log.table["completion"].iloc[4] == long
    assert log.notes == [
        "the run did not end: its status is 'error'",
        f"1 of {len(prompts)} samples are missing: {last['id']} of epoch 1; the run was stopped, or limited",
        "2 samples ended with an error; 1 of them came after the reply, which is kept",
        f"by the tool, of {len(prompts) - 1} replies: 1 truncated, 1 filtered, 1 failed",
        f"by the task's scoring, of {len(prompts) - 1} replies: 1 refused",
    ]


def test_a_log_that_has_no_end_is_read_as_far_as_it_goes(tmp_path, prompts):
    made = tool_logs.inspect_log(prompts, tool_logs.replies(prompts, 1), 1)
    content = tool_logs.members(made)
    del content["header.json"], content["summaries.json"]
    path = tmp_path / "log.eval"
    tool_logs.write_deflated(path, content)
    log = evaluation_logs.read(path)
    assert len(log.table) == len(prompts) and log.notes == ["the run did not end: its status is 'started'"]


def test_another_instruction_is_named(tmp_path, prompts):
    made = tool_logs.inspect_log(prompts, tool_logs.replies(prompts, 1), 1)
    made["samples"][0]["input"] = "Go on: " + made["samples"][0]["metadata"]["text"]
    path = tmp_path / "log.json"
    path.write_text(json.dumps(made))
    notes = evaluation_logs.read(path).notes
    assert notes == ["asked with another instruction than 'Complete the sentence:': 'Go on:'"]


def refusal(path) -> str:
    with pytest.raises(DataError) as caught:
        evaluation_logs.read(path)
    return str(caught.value)


def test_damaged_and_foreign_logs_are_refused_by_what_is_wrong(tmp_path, prompts):
    made = tool_logs.inspect_log(prompts, tool_logs.replies(prompts, 1), 1)
    path, content = tmp_path / "log.eval", tool_logs.members(made)
    tool_logs.write_zstandard(path, content)
    path.write_bytes(path.read_bytes()[:-100])
    assert "it is no whole zip archive" in refusal(path)
    tool_logs.write_zstandard(path, {"other.json": b"{}"})
    assert "neither header.json nor _journal/start.json" in refusal(path)
    tool_logs.write_deflated(path, {**content, "header.json": b'{"eval": '})
    assert "its member header.json is no JSON" in refusal(path)
    made["eval"]["task"] = "inspect_evals/gsm8k"
    tool_logs.write_deflated(path, tool_logs.members(made))
    assert "it is a log of the task 'inspect_evals/gsm8k'; give one of expression_leakage" in refusal(path)
    other = tmp_path / "log.json"
    other.write_text('{"a": 1}')
    assert "it names no eval.task" in refusal(other)
    other.write_text(json.dumps(made)[:-20])
    assert "cut short" in refusal(other)
    samples = tool_logs.harness(tmp_path, prompts, tool_logs.replies(prompts, 1), 1)
    samples.write_bytes(samples.read_bytes()[:-20])
    assert "is cut short" in refusal(samples)
    tool_logs.write_lines(samples, [{"doc": {"question": "?"}, "arguments": {}, "resps": [["4"]]}])
    assert "1 of 1 samples carry no prompt_id" in refusal(samples) and "another task" in refusal(samples)


def test_a_changed_byte_is_found(tmp_path, prompts):
    made = tool_logs.inspect_log(prompts, tool_logs.replies(prompts, 1), 1)
    path, content = tmp_path / "log.eval", tool_logs.members(made)
    tool_logs.write_zstandard(path, content)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"\x28\xb5\x2f\xfd") + 20] ^= 0xFF
    path.write_bytes(data)
    assert "is damaged" in refusal(path)


@pytest.mark.parametrize("write", [tool_logs.write_deflated, tool_logs.write_zstandard])
def test_a_member_beyond_the_limit_is_refused(tmp_path, prompts, monkeypatch, write):
    made = tool_logs.inspect_log(prompts, tool_logs.replies(prompts, 1), 1)
    path = tmp_path / "log.eval"
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 2**20)
    write(path, {**tool_logs.members(made), "samples/bomb_epoch_1.json": b"[" + b" " * 2**21 + b"]"})
    assert "its member samples/bomb_epoch_1.json holds more than 1 MiB" in refusal(path)
    monkeypatch.setattr(archives, "ARCHIVE_LIMIT", 2**10)
    write(path, tool_logs.members(made))
    assert "holds more than" in refusal(path)


def test_a_stated_size_is_not_trusted(tmp_path, monkeypatch):
    path = tmp_path / "log.eval"
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 2**20)
    tool_logs.write_zstandard(path, {"header.json": b"[" + b" " * 2**21 + b"]"}, stated_size=10)
    assert "holds more than 1 MiB" in refusal(path)


def test_two_replies_for_one_sample_are_refused(tmp_path, prompts):
    path = tool_logs.harness(tmp_path, prompts, tool_logs.replies(prompts, 1), 1)
    lines = path.read_text(encoding="utf-8").split("\n")
    first = json.loads(lines[0])
    first["resps"] = [["another reply."]]
    path.write_text("\n".join([*lines[:-1], json.dumps(first), ""]), encoding="utf-8")
    assert "two different replies for 1 samples" in refusal(path)


def test_a_log_is_measured_in_the_place_of_a_table(project, prompts):
    table, ordered = answers.benchmark(sets.values(CANNED, "vader"))
    written = {key: f" answer {place}." for place, key in enumerate(tool_logs.replies(prompts, 2))}
    made = tool_logs.inspect_log(prompts, written, 2)
    path = project / "log.eval"
    tool_logs.write_zstandard(path, tool_logs.members(made))
    model = registry.load(asked(table="log.eval"))
    design = tables.design(model, table, ordered, {})
    assert (design.groups, design.samples) == (2, 2)
    requested = prompts.assign(mitigation="none", sample_index=1)
    texts = [reply.text for reply in model.reply(requested, 0.7, 32, 1)]
    assert texts == [written[prompt, 1] for prompt in prompts["prompt_id"]]
    named, notes = identify.identify(identify.Request(table="log.eval"))
    assert (named.id, notes) == (
        made["eval"]["model"],
        [f"completions of {named.id}, made elsewhere, as its log says"],
    )
    assert identify.identify(identify.Request(table="log.eval", name="mine"))[0].id == "mine"
    for sample in made["samples"]:
        sample["metadata"]["stem"] = sample["metadata"]["stem"].replace("the", "a")
    tool_logs.write_deflated(path, tool_logs.members(made))
    with pytest.raises(ParameterError, match=r"prompts have other sentences here: .*make export"):
        tables.design(registry.load(asked(table="log.eval")), table, ordered, {})


def test_the_same_log_without_bare_prompts_says_what_lacks(project, prompts):
    table, ordered = answers.benchmark(sets.values(CANNED, "vader"))
    some = prompts[prompts["arm"] != "none"]
    tool_logs.harness(project, some, dict.fromkeys(tool_logs.replies(some, 1), "yes."), 1)
    model = registry.load(asked(table=f"samples_expression_leakage_{tool_logs.TIME}.jsonl"))
    with pytest.raises(ParameterError, match="lacks 2 of 10 answers, in 2 groups"):
        tables.design(model, table, ordered, {})
