"""Reading prompts as trees, and rows in slots: the same logits as of each prompt alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.models import architectures, prefill, registry, rows
from tests.conftest import generation

PROMPTS = st.lists(st.lists(st.integers(3, 6), min_size=1, max_size=8), min_size=1, max_size=12)
# of several lengths, some the beginning of another, one twice
MIXED = [[5, 6, 7, 8], [5, 6], [5, 6, 9, 10, 11, 12], [5, 6, 7, 8], [13, 14, 15], [5], [13, 14, 16, 17, 18]]


@pytest.fixture(scope="module")
def model(tiny):
    loaded = registry.load(generation(model={"id": str(tiny)}).model)
    torch.manual_seed(0)
    for weight in loaded.weights.parameters():
        if weight.dim() > 1:  # as it is made, the next token hardly depends on the prompt
            torch.nn.init.normal_(weight, std=0.15)
    return loaded


@torch.inference_mode()
def alone(model, ids: list[int]) -> torch.Tensor:
    return model.weights(torch.tensor([ids])).logits[0, -1]


@given(PROMPTS, st.integers(1, 30))
@settings(max_examples=200, deadline=None)
def test_a_tree_holds_each_prompt_and_each_beginning_once(prompts, most):
    parts = list(prefill.trees(prompts, most))
    spelt = [[tree.tokens[node] for node in path] for tree in parts for path in tree.paths]
    assert spelt == prompts
    start = 0
    for tree in parts:
        own = prompts[start : start + len(tree.paths)]
        beginnings = {tuple(ids[:length]) for ids in own for length in range(1, len(ids) + 1)}
        assert len(tree.tokens) == len(beginnings)
        for path in tree.paths:
            assert [tree.depths[node] for node in path] == list(range(len(path)))
            assert sorted(tree.sees[path[-1]].nonzero()[0]) == path
        start += len(own)
    assert all(len(tree.tokens) >= most for tree in parts[:-1])


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_logits_are_those_of_each_prompt_alone(model, monkeypatch, most):
    monkeypatch.setattr(prefill, "most_tokens", lambda device: most)
    assert architectures.reads_trees(model.weights, 10)
    with torch.inference_mode():
        logits = prefill.last_logits(model.weights, model.tokenizer, MIXED)
    expected = torch.stack([alone(model, ids) for ids in MIXED])
    assert expected.std(dim=0).mean() > 0.5, "the prompts hardly matter"
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_tokens_that_are_read_are_counted(model):
    reader = prefill.Reader(model.weights, model.tokenizer, MIXED)
    passes = []
    handle = model.weights.register_forward_hook(
        lambda module, _, named, output: passes.append(named["input_ids"].numel()), with_kwargs=True
    )
    with torch.inference_mode():
        list(reader.read(list(range(len(MIXED)))))
    handle.remove()
    assert sum(passes) == prefill.tokens_read(model.weights, MIXED) == 14  # distinct beginnings


@pytest.mark.parametrize("kind", [rows.Slots, rows.GrowingRows])
def test_a_row_gets_what_it_gets_alone_while_others_come_and_go(model, kind):
    """A row that leaves is replaced; slots are used again by shorter and longer prompts."""
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        reader = prefill.Reader(model.weights, model.tokenizer, MIXED, steps=6)
        reader.packs = kind is rows.Slots
        batch = kind(reader, 4)
        texts, waiting, largest = [], list(range(len(MIXED))), 0
        logits = torch.empty(0)
        while waiting or texts:
            while waiting and batch.wanted:
                new, waiting = waiting[: batch.wanted], waiting[batch.wanted :]
                _, after = batch.admit(new)
                logits = torch.cat([logits, after]) if texts else after
                texts += [list(MIXED[prompt]) for prompt in new]
            for ids, found in zip(texts, logits, strict=True):
                torch.testing.assert_close(found, alone(model, ids), atol=1e-4, rtol=0)
            largest = max(largest, len(texts))
            tokens = torch.randint(5, 40, (len(texts),), generator=generator)
            for ids, token in zip(texts, tokens.tolist(), strict=True):
                ids.append(token)
            staying = [
                slot for slot, ids in enumerate(texts) if len(ids) % 4 and len(ids) < reader.longest - 1
            ]
            order = batch.keep(staying)
            assert sorted(order) == staying
            texts = [texts[slot] for slot in order]
            if texts:
                logits = batch.write(tokens[order])
    assert largest == 4


@pytest.mark.parametrize(
    ("kind", "changes", "tokens", "reads"),
    [
        ("llama", {}, 100, True),
        ("qwen3", {}, 100, True),
        ("gemma3_text", {"sliding_window": 64}, 63, True),
        ("gemma3_text", {"sliding_window": 64}, 64, False),  # a column may leave the window
        ("gpt2", {}, 100, True),
        ("falcon", {"alibi": True}, 100, False),  # positions are counted from the mask
        ("bloom", {}, 100, False),
        ("mpt", {}, 100, False),
        ("mamba", {}, 100, False),
        ("lfm2", {"layer_types": ["conv", "full_attention"]}, 100, False),
    ],
)
def test_which_architectures_read_trees(kind, changes, tokens, reads):
    from transformers import AutoConfig, AutoModelForCausalLM

    small = {"num_hidden_layers": 2} | changes
    config = AutoConfig.for_model(kind, **small)
    with torch.device("meta"):
        weights = AutoModelForCausalLM.from_config(config)
    assert architectures.reads_trees(weights, tokens) is reads
