"""What a Transformer needs, told before any weights load; what its completions depend on; other ways to hold
its weights."""

import json
import shutil

import pytest
import torch

from lib.config import params, specs
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.models import bundled, huggingface, registry, sampling
from lib.models.base import Division
from lib.nlp import sentences
from tests.conftest import generation


@pytest.fixture(scope="module")
def benchmark():
    return curated_prompts.build(seed=1, stems=2, contexts_per_stem=1)


def keys(benchmark, parameters) -> set[str]:
    return set(runner.requests(benchmark, parameters, registry.load(parameters.model))["key"])


def edited(folder, copied, name, change):
    """A copy of a model's folder with one file changed."""
    shutil.copytree(folder, copied)
    path = copied / name
    path.write_bytes(change(path.read_bytes()))
    return str(copied)


CHANGES = {
    "temperature": {"temperature": 1.0},
    "seed": {"seed": 2},
    "max_new_tokens": {"max_new_tokens": 7},
    "dtype": {"model": {"dtype": "bfloat16"}},
    "mode and template": {"model": {"mode": "chat", "keep_template_system": True}},
    "begun answer": {"model": {"mode": "chat", "keep_template_system": True, "assistant_prefill": True}},
    "begins with a word": {"model": {"require_word": True}},
    "system prompt": {"model": {"mode": "chat", "system_prompt": "You are terse."}},
}
FILES = {
    "weights": ("model.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    "tokenizer": ("tokenizer.json", lambda data: data + b"\n"),
    "architecture": (
        "config.json",
        lambda data: data.replace(b'"rms_norm_eps": 1e-06', b'"rms_norm_eps": 1e-05'),
    ),
    "end tokens": (
        "generation_config.json",
        lambda data: data.replace(b'"eos_token_id": 2', b'"eos_token_id": 3'),
    ),
}


def test_the_key_is_the_same_for_the_same(benchmark, tiny):
    of_tiny = {"id": str(tiny)}
    assert keys(benchmark, generation(model=of_tiny)) == keys(benchmark, generation(model=of_tiny))
    unimportant = {"batch_size": 3, "workers": 2, "max_working_memory_gb": 1.0}
    assert keys(benchmark, generation(model=of_tiny)) == keys(
        benchmark, generation(model=of_tiny, **unimportant)
    )


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_no_key_survives_a_change_of_how_it_is_asked(benchmark, tiny, change):
    base = keys(benchmark, generation(model={"id": str(tiny)}))
    assert not base & keys(
        benchmark, generation(**change | {"model": {"id": str(tiny)} | change.get("model", {})})
    )


@pytest.mark.parametrize("change", FILES.values(), ids=FILES.keys())
def test_no_key_survives_a_change_of_the_model(benchmark, tiny, tmp_path, change):
    base = keys(benchmark, generation(model={"id": str(tiny)}))
    other = edited(tiny, tmp_path / "other", *change)
    assert not base & keys(benchmark, generation(model={"id": other}))


@pytest.mark.parametrize("column", ["context", "stem", "group_id"])
def test_no_key_survives_a_change_of_the_prompt(benchmark, tiny, column):
    parameters = generation(model={"id": str(tiny)})
    other = benchmark.assign(**{column: benchmark[column] + "x"})
    assert not keys(benchmark, parameters) & keys(other, parameters)


@pytest.mark.parametrize("module", [sampling, sentences])
def test_no_key_survives_a_new_version(benchmark, tiny, monkeypatch, module):
    parameters = generation(model={"id": str(tiny)})
    base = keys(benchmark, parameters)
    monkeypatch.setattr(module, "VERSION", "another")
    assert not base & keys(benchmark, parameters)


def test_no_key_survives_a_quantization(benchmark, tiny, monkeypatch):
    monkeypatch.setattr(huggingface, "find_spec", lambda _: True)
    base = keys(benchmark, generation(model={"id": str(tiny)}))
    assert not base & keys(benchmark, generation(model={"id": str(tiny), "quantization": "8bit"}))


def test_a_finished_run_loads_no_weights(benchmark, tiny, tmp_path, monkeypatch):
    parameters = generation(model={"id": str(tiny)})
    model = registry.load(parameters.model)
    first = runner.generate(
        runner.requests(benchmark, parameters, model), parameters, model, tmp_path / "j.jsonl"
    )
    again = registry.load(parameters.model)
    monkeypatch.setattr(again.files, "weights", lambda *_, **__: pytest.fail("weights were loaded"))
    second = runner.generate(
        runner.requests(benchmark, parameters, again), parameters, again, tmp_path / "j.jsonl"
    )
    assert first["completion"].tolist() == second["completion"].tolist()


def test_too_little_memory_is_told_with_the_estimate_before_loading(tiny, monkeypatch):
    model = registry.load(generation(model={"id": str(tiny), "dtype": "bfloat16"}).model)
    monkeypatch.setattr(huggingface, "free_bytes", lambda: 1000)
    monkeypatch.setattr(model.files, "weights", lambda *_, **__: pytest.fail("weights were loaded"))
    with pytest.raises(
        specs.ParameterError, match=r"its weights need about 0\.0 GB as bfloat16, 0\.0 GB are free; choose"
    ):
        _ = model.weights


@pytest.mark.parametrize(("quantization", "megabytes"), [(None, 538), ("8bit", 219), ("4bit", 166)])
def test_the_estimate_is_what_the_weights_take(quantization, megabytes, monkeypatch):
    monkeypatch.setattr(huggingface, "find_spec", lambda _: True)
    assert (
        registry.load(generation(model={"quantization": quantization}).model).weight_bytes // 10**6
        == megabytes
    )


def test_quantization_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(huggingface, "find_spec", lambda _: None)
    with pytest.raises(
        specs.ParameterError, match="quantization '8bit' needs the package bitsandbytes; pip install"
    ):
        registry.load(generation(model={"quantization": "8bit"}).model)


def test_a_misspelt_hub_id_names_the_nearest_known(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    known = next(model.id for model in params.load("qwen2.5").models)
    with pytest.raises(specs.ParameterError, match=f"did you mean '{known}'"):
        registry.load(generation(model={"id": known.replace("Qwen2.5", "Qwen2,5")}).model)


def test_a_gguf_file_answers_like_its_converted_copy(benchmark, tmp_path):
    bundled.gguf(tmp_path)
    texts = []
    for spec in ({}, {"id": str(tmp_path), "gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}):
        parameters = generation(model=spec)
        model = registry.load(parameters.model)
        requested = runner.requests(benchmark, parameters, model)
        texts.append([reply.text for reply in model.reply(requested, 0.7, 6, seed=1)])
    assert texts[0] == texts[1]


def test_a_folder_given_by_path_is_the_bundled_model(benchmark):
    assert keys(benchmark, generation()) == keys(benchmark, generation(model={"id": str(bundled.folder())}))


def test_every_reply_is_counted_once_as_progress(benchmark, tiny):
    parameters = generation(model={"id": str(tiny)})
    model = registry.load(parameters.model)
    seen = []
    requested = runner.requests(benchmark, parameters, model)
    model.reply(requested, 1.0, 6, seed=1, progress=seen.append, division=Division(5, workers=2))
    assert sum(seen) == len(requested)
    assert min(seen) >= 1


def test_rows_that_do_not_fit_are_halved(benchmark, tiny, monkeypatch):
    from lib.models import decoding

    parameters = generation(model={"id": str(tiny)})
    model = registry.load(parameters.model)
    requested = runner.requests(benchmark, parameters, model)
    expected = [reply.text for reply in model.reply(requested, 1.0, 6, seed=1)]
    whole, sizes = decoding.decode, []

    def small_memory(*arguments, size, **named):
        sizes.append(size)
        if size is None or size > 3:
            raise torch.OutOfMemoryError
        return whole(*arguments, size=size, **named)

    monkeypatch.setattr(decoding, "decode", small_memory)
    assert [reply.text for reply in model.reply(requested, 1.0, 6, seed=1)] == expected
    halves = [len(requested) // 2**power for power in range(1, 10)]
    assert sizes == [None, *halves[: len(sizes) - 1]] and sizes[-1] <= 3 < sizes[-2]


def test_one_row_that_does_not_fit_stops_the_run(benchmark, tiny, monkeypatch):
    from lib.models import decoding

    def no_memory(*_, **__):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(decoding, "decode", no_memory)
    parameters = generation(model={"id": str(tiny)})
    model = registry.load(parameters.model)
    with pytest.raises(torch.OutOfMemoryError):
        model.reply(runner.requests(benchmark, parameters, model), 1.0, 6, seed=1)


def test_the_fingerprint_holds_no_path(tiny):
    assert str(tiny) not in json.dumps(registry.load(generation(model={"id": str(tiny)}).model).fingerprint)


def test_memory_is_given_back_after_a_reply_and_where_nothing_can_do_that_nothing_fails(
    benchmark, tiny, monkeypatch
):
    given = []
    monkeypatch.setattr(huggingface, "give_back_memory", lambda: given.append(1))
    parameters = generation(model={"id": str(tiny)})
    model = registry.load(parameters.model)
    model.reply(runner.requests(benchmark, parameters, model), 0.7, 2, 1)
    assert given == [1]
    monkeypatch.undo()
    monkeypatch.setattr(huggingface.ctypes, "CDLL", lambda _: object())
    huggingface.give_back_memory()


def test_weights_do_not_load_in_inference_mode_where_they_could_not_be_trained(tiny, monkeypatch):
    model, modes = registry.load(generation(model={"id": str(tiny)}).model), []
    load = model.files.weights
    monkeypatch.setattr(
        model.files,
        "weights",
        lambda *values, **options: (
            modes.append(torch.is_inference_mode_enabled()) or load(*values, **options)
        ),
    )
    model.next_logits(["He is sad. His coat is"])
    assert modes == [False]
