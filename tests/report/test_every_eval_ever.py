"""Records of Every Eval Ever: they hold to the schema and to each other, and say what the card says."""

import hashlib
import json
import re

import jsonschema
import pandas as pd
import pytest

from lib.analysis import leakage
from lib.config import params, specs
from lib.report import completions_dataset, eee_models
from tests import published
from tests.eee_schema import AGGREGATE, MODEL, SAMPLE, UUID
from tests.published import files, model


@pytest.fixture
def judgements() -> pd.DataFrame:
    return published.judgements()


def test_records_hold_to_the_schema_and_to_each_other(judgements):
    made = files(model(), judgements)
    (path, aggregate), (samples_path, samples) = made.items()
    assert re.fullmatch(rf"data/expression_leakage/org/some-model/{UUID}\.json", path)
    assert samples_path == path.replace(".json", "_samples.jsonl")
    aggregate, lines = json.loads(aggregate), [json.loads(line) for line in samples.splitlines()]
    jsonschema.validate(aggregate, AGGREGATE)
    for line in lines:
        jsonschema.validate(line, SAMPLE)
    details = aggregate["detailed_evaluation_results"]
    assert (details["file_path"], details["total_rows"]) == (samples_path, len(lines) == 8 and 8)
    assert details["checksum"] == hashlib.sha256(samples.encode()).hexdigest()
    assert {line["evaluation_id"] for line in lines} == {aggregate["evaluation_id"]}
    assert {line["model_id"] for line in lines} == {aggregate["model_info"]["id"]}


def test_scores_are_those_of_the_card_and_of_the_judge(judgements):
    aggregate, samples = files(model(), judgements).values()
    by_id = {each["evaluation_result_id"]: each for each in json.loads(aggregate)["evaluation_results"]}
    quantities = {
        f"{quantity}_{arm}" for quantity in leakage.QUANTITIES for arm in ("both", "negative", "positive")
    }
    assert set(by_id) == quantities | {f"valence_{arm}" for arm in judgements["arm"].unique()}
    assert by_id["leak_both"]["score_details"]["score"] == 1.5
    assert by_id["leak_both"]["score_details"]["uncertainty"]["confidence_interval"]["upper"] == 70.0
    assert by_id["leak_both"]["score_details"]["details"]["verdict_C0"] == "supported"
    lines = [json.loads(line) for line in samples.splitlines()]
    missing = [line for line in lines if "evaluation_result_id" not in line]
    assert [line["error"] for line in missing] == ["refused: no"] and not missing[0]["evaluation"][
        "is_correct"
    ]
    scored = pd.DataFrame(
        [(line["evaluation_result_id"], line["evaluation"]["score"]) for line in lines if line not in missing]
    )
    means = scored.groupby(0)[1].mean()
    for name, mean in means.items():
        assert by_id[name]["score_details"]["score"] == pytest.approx(mean)
    assert lines[0]["output"]["raw"] == ["Zoë’s street 0 🙂."]


def test_the_same_run_has_the_same_names_and_another_has_others(judgements):
    first, again = files(model(), judgements), files(model(), judgements)
    assert first == again
    assert set(files(model(mode="chat"), judgements)) & set(first) == set()
    assert set(files(model(), judgements.iloc[:-1])) & set(first) == set()


def test_without_samples_no_text_is_published(judgements):
    made = files(model(), judgements, with_samples=False)
    assert len(made) == 1 and "street" not in "".join(made.values())


def test_a_language_model_as_judge_is_named_with_its_question(judgements):
    judge = specs.LLMJudge(name="j", kind="llm", model=model("judge", mode="chat"))
    aggregate = json.loads(next(iter(files(model(), judgements, judge=judge).values())))
    scoring = aggregate["evaluation_results"][0]["metric_config"]["llm_scoring"]
    jsonschema.validate(scoring["judges"][0]["model_info"], MODEL)
    assert scoring["input_prompt"].strip() and scoring["judges"][0]["temperature"] == 0.0


@pytest.mark.parametrize(
    ("given", "name", "availability"),
    [
        ({}, "org/some-model", "open_weights"),
        ({"id": "bundled:SmolLM2-135M-Instruct"}, "HuggingFaceTB/SmolLM2-135M-Instruct", "open_weights"),
        ({"id": "mock:leak-10"}, "expression-leakage/mock_leak-10", "unknown"),
        ({"id": "answers", "table": {"path": "answers.csv"}}, "unknown/answers", "unknown"),
        ({"id": "gpt:x", "server": {"url": "http://h/v1"}}, "unknown/gpt_x", "unknown"),
    ],
)
def test_models_have_an_owner_and_a_name(given, name, availability):
    info = eee_models.info(model(**given))
    jsonschema.validate(info, MODEL)
    assert info["id"] == name and info["additional_details"]["model_availability"] == availability


def test_a_folder_of_weights_is_named_without_its_path(tmp_path, judgements):
    folder = tmp_path / "private place"
    folder.mkdir()
    spec = model(id=str(folder))
    assert eee_models.info(spec)["id"] == "unknown/private place"
    assert str(tmp_path) not in "".join(files(spec, judgements).values())
    assert set(completions_dataset.table(spec, params.load("quick"), judgements)["model_id"]) == {folder.name}


def test_the_temperature_of_a_table_is_not_claimed(judgements):
    made = next(iter(files(model(id="x", table={"path": "x.csv"}), judgements).values()))
    assert json.loads(made)["evaluation_results"][0]["generation_config"]["generation_args"] == {}
