"""A reply that must begin with a word: what may be drawn before it stands, and that nothing else is
changed."""

import pytest
import torch

from lib.dataset import curated_prompts
from lib.generation import runner
from lib.models import first_words, registry
from lib.replies import outcomes
from tests.conftest import generation

ENDS = {2, 0}


@pytest.fixture(scope="module")
def tokenizer(tiny):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


def allowed_after(tokenizer, text: str) -> set[str]:
    size = len(tokenizer)
    logits = first_words.Allowed(tokenizer, size, ENDS).restrict(torch.zeros(1, size), [text])
    return {tokenizer.decode([token]) for token in torch.nonzero(logits[0] == 0).flatten().tolist()}


def test_before_a_word_stand_words_spaces_and_one_opening_mark(tokenizer):
    first, opened, begun = (allowed_after(tokenizer, text) for text in ("", ' "', " oak"))
    for text in (" oak", "7", " the", "é"):
        assert text in first and text in opened
    for text in (" ", ' "', " (", "$"):
        assert text in first
    for text in (".", "...", ",", "\n", " -", "!", "<|im_end|>", "<|endoftext|>"):
        assert text not in first and text not in opened, text
    assert " (" not in opened and '"' not in opened, "an opening mark stands once"
    assert {".", '"', "\n", "<|im_end|>"} <= begun, "after a word all is as it was"


def test_rows_that_have_their_word_are_untouched(tokenizer):
    size = len(tokenizer)
    logits = torch.randn(3, size, generator=torch.Generator().manual_seed(0))
    restricted = first_words.Allowed(tokenizer, size, ENDS).restrict(logits, ["", "14", " oak."])
    assert torch.equal(restricted[1:], logits[1:])
    kept = restricted[0] > -torch.inf
    assert torch.equal(restricted[0][kept], logits[0][kept]) and 0 < kept.sum() < size


@pytest.mark.parametrize("temperature", [0.0, 0.7, 5.0])
def test_no_reply_of_a_model_that_must_write_a_word_is_empty(tiny, tmp_path, temperature):
    benchmark = curated_prompts.build(seed=1, stems=6, contexts_per_stem=1)
    model = {"id": str(tiny), "require_word": True}
    parameters = generation(model=model, temperature=temperature, max_new_tokens=12)
    requested = runner.requests(benchmark, parameters, registry.load(parameters.model))
    paid = runner.generate(requested, parameters, registry.load(parameters.model), tmp_path / "j.jsonl")
    assert set(paid["outcome"]) <= set(outcomes.USABLE)
    other = generation(model={"id": str(tiny)}, temperature=temperature, max_new_tokens=12)
    assert not set(runner.requests(benchmark, other, registry.load(other.model))["key"]) & set(
        requested["key"]
    )
