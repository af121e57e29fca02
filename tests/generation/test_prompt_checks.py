"""The template doctor, on the bundled model's tokenizer: what is shown, and each fault it must stop on."""

import pytest

from lib.config import params, specs
from lib.dataset import curated_prompts
from lib.generation import prompt_checks, runner
from lib.models import registry


@pytest.fixture(scope="module")
def benchmark():
    return curated_prompts.build(seed=1, stems=2, contexts_per_stem=1)


def asked(benchmark, mode="chat", **changes):
    """Parameters, model and owed completions of the embedded set in one mode, with changes to its model."""
    values = params.cell_values(params.load("embedded"), "embedded", "02_generation", f"smollm2-135m-{mode}")
    parameters = params.from_cell("02_generation", values | {"model": values["model"] | changes})
    model = registry.load(parameters.model)
    return parameters, model, lambda: runner.requests(benchmark, parameters, model)


def fault(benchmark, mode="chat", template=None, **changes) -> str:
    parameters, model, requested = asked(benchmark, mode, **changes)
    if template is not None:
        model.tokenizer.chat_template = template(model.tokenizer.chat_template)
    with pytest.raises(specs.ParameterError) as caught:
        prompt_checks.check(requested(), model, parameters.max_new_tokens)
    assert str(caught.value).startswith(f"model smollm2-135m-{mode}: ")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("mode", ["completion", "chat"])
def test_the_embedded_set_is_sound(benchmark, mode):
    parameters, model, requested = asked(benchmark, mode)
    prompt_checks.check(requested(), model, parameters.max_new_tokens)


def test_prompts_are_shown_token_by_token(benchmark):
    _, model, requested = asked(benchmark)
    shown = prompt_checks.first_of_each(requested(), model)
    assert len(shown) == 5 + 2 * 6, "five arms bare, the charged arms under each of six mitigations"
    assert shown["tokens"][0].startswith("<|im_start|>|system|⏎|You| are| a| helpful")
    for row in shown.itertuples():
        assert row.tokens.replace("|", "").replace("⏎", "\n") == row.rendered.replace("|", "")


def test_a_system_text_that_the_template_adds_must_be_accepted(benchmark):
    said = fault(benchmark, keep_template_system=False)
    assert "'You are a helpful AI assistant named SmolLM, trained by Hugging Face'" in said
    assert "keep_template_system: true" in said


def test_a_system_prompt_of_ones_own_is_no_fault(benchmark):
    parameters, model, requested = asked(benchmark, keep_template_system=False, system_prompt="Be brief.")
    prompt_checks.check(requested(), model, parameters.max_new_tokens)
    assert requested()["rendered"].str.startswith("<|im_start|>system\nBe brief.<|im_end|>").all()


def test_a_base_model_in_chat_mode(benchmark):
    assert "set mode to 'completion'" in fault(benchmark, tuning="base")


def test_a_template_that_opens_no_answer(benchmark):
    assert "opens no answer" in fault(
        benchmark, template=lambda text: text[: text.index("{% if add_generation_prompt")]
    )


def test_a_doubled_start_token(benchmark):
    assert "'<|im_start|>' is doubled" in fault(benchmark, template=lambda text: "<|im_start|>" + text)


def test_a_missing_start_token(benchmark, monkeypatch):
    monkeypatch.setattr(prompt_checks, "_puts_start", lambda tokenizer: True)  # as the tokenizers of Llama do
    assert "is missing" in fault(benchmark, template=lambda text: "x" + text)


def test_a_prompt_longer_than_the_model_can_read(benchmark):
    parameters, model, requested = asked(benchmark)
    model.config.max_position_embeddings = 90
    with pytest.raises(
        specs.ParameterError, match=r"max_new_tokens 32 exceed the 90 that it can read; shorten"
    ):
        prompt_checks.check(requested(), model, parameters.max_new_tokens)


def test_rendering_does_not_depend_on_the_day(benchmark):
    _, model, requested = asked(benchmark)
    model.tokenizer.chat_template = "{{ date_string }} {{ messages[-1].content }}"
    assert requested()["rendered"].str.startswith("26 Jul 2024").all()
