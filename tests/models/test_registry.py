"""The bundled model for real: found in its package, asked in both modes, the same in any batch; and what
cannot be found."""

import pytest
import torch

from lib.config import params, sections, specs
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.models import huggingface, registry


def generation(mode: str, **changes) -> sections.Generation:
    """The embedded set's generation parameters in one mode, small."""
    values = params.cell_values(params.load("embedded"), "embedded", "02_generation", f"smollm2-135m-{mode}")
    small = {"samples": 1, "mitigation_samples": 0, "mitigations": {}, "max_new_tokens": 10}
    return params.from_cell("02_generation", values | small | changes)


@pytest.fixture(scope="module")
def bundled() -> dict[str, huggingface.HuggingFaceModel]:
    """The model in both modes, with one copy of the weights."""
    found = {mode: registry.load(generation(mode).model) for mode in ("completion", "chat")}
    found["chat"].__dict__["weights"] = found["completion"].weights
    return found


@pytest.fixture(scope="module")
def benchmark():
    return curated_prompts.build(seed=1, stems=2, contexts_per_stem=1)


def test_its_size_is_read_from_the_model(bundled):
    # SmolLM2-135M: 30 layers, hidden 576, 9 query and 3 key-value heads of 64, feed-forward 1536, no biases,
    # two norms a layer
    layer = 2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536 + 2 * 576
    assert bundled["completion"].parameters == 30 * layer + 576


def test_chat_prompts_hold_the_template_and_begin_the_answer(bundled):
    shown = bundled["chat"].render("He is glad.", "His street is", "Be brief.")
    assert "<|im_start|>user\nBe brief. Complete the sentence: He is glad. His street is<|im_end|>" in shown
    assert shown.endswith("<|im_start|>assistant\nHe is glad. His street is")
    assert (
        bundled["completion"].render("He is glad.", "His street is", "Be brief.")
        == "Be brief. He is glad. His street is"
    )


@pytest.mark.parametrize("mode", ["completion", "chat"])
def test_batch_1_and_batch_8_give_the_same_sampled_completions(bundled, benchmark, tmp_path, mode):
    tables = []
    for batch_size in (1, 8):
        parameters = generation(mode, batch_size=batch_size, temperature=1.0)
        requested = runner.requests(benchmark, parameters, bundled[mode])
        tables.append(runner.generate(requested, parameters, bundled[mode], tmp_path / f"{batch_size}.jsonl"))
    assert tables[0]["completion"].tolist() == tables[1]["completion"].tolist()
    assert tables[0]["completion"].nunique() > 3


def test_greedy_decoding_is_that_of_transformers(bundled, benchmark):
    model = bundled["completion"]
    parameters = generation("completion", temperature=0.0)
    requested = runner.requests(benchmark, parameters, model)
    replies = model.reply(requested, 0.0, 10, seed=1)
    for prompt, reply in zip(requested["rendered"], replies, strict=True):
        encoded = model.tokenizer(prompt, return_tensors="pt")
        plain = model.weights.generate(**encoded, do_sample=False, max_new_tokens=10)[
            0, encoded.input_ids.shape[1] :
        ]
        assert model.tokenizer.decode(plain, skip_special_tokens=True).startswith(reply.text)


def test_weights_are_float32_and_not_quantised(bundled):
    assert {weight.dtype for weight in bundled["completion"].weights.parameters()} == {torch.float32}


def test_a_model_that_cannot_be_found_is_named_before_any_weights_load(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    spec = generation("completion").model.model_copy(update={"id": "nobody/no-such-model"})
    with pytest.raises(specs.ParameterError) as caught:
        registry.load(spec)
    message = str(caught.value)
    assert "nobody/no-such-model" in message
    assert "check the spelling and the network" in message
    assert len(message.splitlines()) <= 3


def test_chat_mode_needs_a_chat_template(bundled, tmp_path):
    bundled["completion"].tokenizer.save_pretrained(tmp_path)
    bundled["completion"].config.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    spec = generation("chat").model.model_copy(update={"id": str(tmp_path)})
    with pytest.raises(specs.ParameterError, match=r"has no chat template; set mode to 'completion'"):
        registry.load(spec)
