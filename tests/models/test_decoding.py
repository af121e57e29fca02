"""Logits that are not finite stop a run: told with the model, its number format, the prompt and the
remedy."""

import pytest
import torch

from lib.config import specs
from lib.dataset import curated_prompts
from lib.generation import next_token, runner
from lib.models import prefill, registry
from tests.conftest import generation

INFINITE, NOT_A_NUMBER = float("inf"), float("nan")


@pytest.fixture(scope="module")
def benchmark():
    return curated_prompts.build(seed=1, stems=2, contexts_per_stem=1)


def asked(benchmark, tiny, **changes):
    parameters = generation(model={"id": str(tiny)} | changes)
    model = registry.load(parameters.model)
    return model, runner.requests(benchmark, parameters, model), parameters


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [
        ("float16", "set dtype to 'bfloat16' or 'float32'"),
        ("bfloat16", "set dtype to 'float32'"),
        ("float32", "fetch them again"),
    ],
)
def test_an_overflow_names_model_format_prompt_and_remedy(benchmark, tiny, temperature, dtype, remedy):
    model, requested, _ = asked(benchmark, tiny, dtype=dtype)
    model.weights.model.norm.weight.data.fill_(3e38 if dtype == "float32" else 6e4)
    model.weights.lm_head.weight.data.fill_(3e38 if dtype != "float16" else 6e4)
    with pytest.raises(
        specs.ParameterError, match=r"model smollm2-135m-completion: its logits after the"
    ) as caught:
        model.reply(requested, temperature, 6, seed=1)
    beginning = str(caught.value).split("prompt '")[1].split("'")[0]
    assert any(rendered.startswith(beginning) for rendered in requested["rendered"])
    assert f"in {dtype}; " in str(caught.value) and str(caught.value).endswith(remedy)


def spoilt(model, value, at_step):
    """Make one logit of the second prompt or row `value` at one forward pass."""
    passes = []

    def spoil(module, arguments, output):
        passes.append(1)
        logits = output.logits.flatten(0, 1)  # prompts lie in one row, tokens in one each
        if len(passes) > at_step and len(logits) > 1:
            logits[1, 7] = value

    model.weights.register_forward_hook(spoil)


@pytest.mark.parametrize("value", [INFINITE, NOT_A_NUMBER])
@pytest.mark.parametrize("at_step", [0, 3])
def test_one_bad_logit_at_any_step_stops_the_run(benchmark, tiny, value, at_step):
    model, requested, _ = asked(benchmark, tiny)
    spoilt(model, value, at_step)
    with pytest.raises(specs.ParameterError, match=r"are not finite \((inf|nan)\) in float32"):
        model.reply(requested, 0.7, 6, seed=1)


def test_a_forbidden_token_is_no_fault(benchmark, tiny):
    model, requested, _ = asked(benchmark, tiny)
    spoilt(model, -INFINITE, 0)
    assert len(model.reply(requested, 0.7, 3, seed=1)) == len(requested)


def test_a_row_without_any_token_is_a_fault(tiny):
    model = registry.load(generation(model={"id": str(tiny)}).model)
    logits = torch.zeros(2, 5)
    prefill.demand_finite(logits, model.weights, model.tokenizer, [[5], [6]])
    logits[1] = -INFINITE
    with pytest.raises(prefill.NotFinite, match=r"are not finite \(-inf\)"):
        prefill.demand_finite(logits, model.weights, model.tokenizer, [[5], [6]])


def test_the_next_token_is_not_measured_on_bad_logits(benchmark, tiny, tmp_path):
    model, *_ = asked(benchmark, tiny)
    spoilt(model, NOT_A_NUMBER, 0)
    with pytest.raises(specs.ParameterError, match=r"model smollm2-135m-completion: .*not finite \(nan\)"):
        next_token.measure(benchmark, model, tmp_path / "j.jsonl")
