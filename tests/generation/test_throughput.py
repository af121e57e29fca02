"""The pace: what is measured, what is left alone, and that it changes no completion."""

import pytest

from lib.cli import planning
from lib.config import params
from lib.dataset import curated_prompts
from lib.generation import calibration, memory, plans, runner, throughput
from lib.models import registry
from lib.runtime import cores
from tests.conftest import generation


@pytest.fixture(scope="module")
def benchmark():
    return curated_prompts.build(seed=1, stems=24, contexts_per_stem=1)


def asked(benchmark, **changes):
    parameters = generation(**changes)
    model = registry.load(parameters.model)
    return model, runner.missing(runner.requests(benchmark, parameters, model), set()), parameters


def test_a_measured_pace_uses_the_cores_there_are(benchmark, tiny):
    model, missing, parameters = asked(benchmark, samples=4, model={"id": str(tiny)})
    pace = throughput.pace(model, missing, parameters)
    assert len(missing) > throughput.MIN_TO_CALIBRATE
    assert 1 <= pace.workers * pace.threads <= cores.available_threads()
    assert 1 <= pace.batch_size <= plans.LARGEST
    assert pace.prefill_seconds_per_token > 0 and pace.decode_seconds_per_token > 0


def test_what_the_parameters_say_is_not_measured(benchmark, tiny, monkeypatch):
    monkeypatch.setattr(calibration, "measure", lambda *_: pytest.fail("measured"))
    model, missing, parameters = asked(benchmark, samples=4, model={"id": str(tiny)}, batch_size=7, workers=1)
    pace = throughput.pace(model, missing, parameters)
    assert (pace.batch_size, pace.workers) == (7, 1)


def test_little_work_is_not_measured(benchmark, tiny, monkeypatch):
    monkeypatch.setattr(calibration, "measure", lambda *_: pytest.fail("measured"))
    throughput.pace(*asked(benchmark, model={"id": str(tiny)}))


def test_memory_caps_the_batch(benchmark, tiny):
    model, missing, parameters = asked(benchmark, samples=4, model={"id": str(tiny)})
    tokens = max(map(len, model.token_ids(missing["rendered"].tolist()))) + parameters.max_new_tokens
    workers = plans.usual(model).workers
    five = memory.decoding_bytes(model, tokens, 5, workers)
    cap = (five + 0.5 * memory.row_bytes(model, tokens)) / 1e9
    capped = parameters.model_copy(update={"max_working_memory_gb": cap, "workers": workers})
    assert calibration.measure(model, missing, capped).batch_size == 5


@pytest.mark.parametrize(("token", "saved"), [(0.25, 40), (0.5, 20), (100.0, 1)])
def test_what_a_kill_costs_is_limited_however_slow_the_model(benchmark, tiny, token, saved):
    model, missing, parameters = asked(benchmark, samples=4, model={"id": str(tiny)})
    plan = plans.ThroughputPlan(192, 2, 1, 0.0, 0.0, token)  # six tokens a completion
    assert throughput.saved_together(plan, model, missing, parameters) == saved
    slow_prompts = plans.ThroughputPlan(192, 2, 1, 1.0, 0.0, token)  # a second a token that is read
    assert throughput.saved_together(slow_prompts, model, missing, parameters) < max(saved, 2)


def test_tokens_read_are_those_of_distinct_prompts_and_shared_beginnings_once(tiny):
    import pandas as pd

    model, _, _ = asked(curated_prompts.build(seed=1, stems=2, contexts_per_stem=1), model={"id": str(tiny)})
    texts = ["The cat sat on", "The cat ran to", "The cat sat on"]
    long, short = (len(ids) for ids in model.token_ids(["The cat sat on", "The cat"]))
    assert long == 4 and short == 2
    assert calibration.prompt_tokens(model, pd.DataFrame({"rendered": texts}), 3) == short + 2 * (
        long - short
    )
    # all but the last are shared
    assert calibration.prompt_tokens(model, pd.DataFrame({"rendered": texts}), 1) == 3 * long


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_change_no_completion(benchmark, tiny, tmp_path, workers):
    found = []
    for count in (1, workers):
        model, _, parameters = asked(benchmark, model={"id": str(tiny)}, batch_size=16, workers=count)
        requested = runner.requests(benchmark, parameters, model)
        found.append(runner.generate(requested, parameters, model, tmp_path / f"{count}{len(found)}.jsonl"))
    assert found[0]["completion"].tolist() == found[1]["completion"].tolist()


def test_a_plan_of_the_smoke_set_needs_no_measurement():
    table = planning.plan("smoke")
    assert table["completions"].gt(0).all()
    assert (table["model"] == [model.name for model in params.load("smoke").models]).all()
