"""The ladder in small: two sizes, a few steps, for real; what is trained again, and what never."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lib import ladder, packages, params

TEXTS = [f"The {size} {thing} is {colour}. She likes the {thing}."
         for size in ("small", "large", "old") for thing in ("house", "tree", "boat", "dog", "street") for colour in
         ("red", "green", "blue", "grey")]  # fmt: skip
TOY = ladder.Recipe(sizes={"small": (32, 1), "large": (64, 2)}, vocabulary=300, block=16, batch=4, epochs=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The two-size ladder, trained in two processes."""
    return ladder.made(TEXTS, TOY, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def one_thread():
    """As many threads as a process that trains has: other numbers of them add up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _another(blocks: int, recipe) -> list:
    return []


def weights(folder, size: str) -> str:
    return packages.sha256(folder / size / "model.safetensors")


def test_the_models_of_the_parameter_sets_are_those_of_the_recipe():
    sizes = list(ladder.Recipe().sizes)
    assert [name for name in params.BUNDLED_MODELS if name.startswith("ladder:")] == [f"ladder:{size}" for size in sizes]
    rates = [ladder.Recipe().learning_rate(size) for size in sizes]
    assert rates[-1] == pytest.approx(rates[0] / 2)  # four times as wide


def test_each_size_learns_from_as_many_tokens_and_is_as_large_as_its_layers(made):
    small, large = ladder.told(made).to_dict("index").values()
    assert small["tokens"] == large["tokens"] == np.load(made / "blocks.npz")["train"].size * 3
    # a layer: 4 · 32² of attention, 3 · 32 · 80 of the gated part, two norms of 32; one more norm after the last layer
    assert small["parameters"] == 4 * 32**2 + 3 * 32 * 80 + 2 * 32 + 32
    assert large["parameters"] == 2 * (4 * 64**2 + 3 * 64 * 176 + 2 * 64) + 64
    for found in (small, large):
        assert found["untrained_loss"] == pytest.approx(np.log(300), abs=0.1)  # as good as guessing among 300 tokens
        assert found["held_out_loss"] < found["untrained_loss"] - 1


def test_no_document_is_both_learnt_and_held_out(made):
    blocks, tokenizer = np.load(made / "blocks.npz"), AutoTokenizer.from_pretrained(made / "tokenizer")
    learnt, unseen = (set("".join(tokenizer.batch_decode(blocks[part])).split(ladder.END)) for part in ("train", "held_out"))
    whole = {f"{ladder.BEGIN}{text}" for text in TEXTS}
    assert len(learnt & whole) > 40 and len(unseen & whole) >= 5
    assert not learnt & unseen & whole


def test_the_same_seed_gives_the_same_weights(made, tmp_path, one_thread):
    ladder._prepare(TEXTS, TOY, tmp_path)
    ladder.train(tmp_path, "small", TOY)
    assert weights(tmp_path, "small") == weights(made, "small")
    shutil.rmtree(tmp_path / "small")
    ladder.train(tmp_path, "small", replace(TOY, seed=2))
    assert weights(tmp_path, "small") != weights(made, "small")


def test_every_size_meets_every_block_once_an_epoch_in_an_order_that_the_size_has_no_part_in():
    steps = ladder.order(10, TOY)
    assert [len(step) for step in steps] == [4, 4, 2] * 3
    assert np.bincount(np.concatenate(steps)).tolist() == [3] * 10
    assert not np.array_equal(np.concatenate(steps[:3]), np.concatenate(steps[3:6]))
    other = ladder.order(10, replace(TOY, sizes={"another": (128, 3)}))
    assert all(map(np.array_equal, steps, other))


def test_after_a_kill_only_what_is_missing_is_trained(made, monkeypatch):
    trained = []
    monkeypatch.setattr(ladder, "_train_all", lambda folder, missing, recipe: trained.extend(missing))
    assert ladder.made(TEXTS, TOY, made.parent) == made
    assert trained == []
    (made / "large").rename(made / ".large.making")  # as a kill before the last step leaves it
    try:
        ladder.made(TEXTS, TOY, made.parent)
    finally:
        (made / ".large.making").rename(made / "large")
    assert trained == ["large"]


def test_the_key_changes_with_text_recipe_and_the_code_that_trains(monkeypatch):
    key = ladder.key(TEXTS, TOY)
    assert key == ladder.key(list(TEXTS), replace(TOY))
    assert key != ladder.key([*TEXTS, "One more."], TOY)
    assert key != ladder.key(TEXTS, replace(TOY, rate=0.02))
    monkeypatch.setattr(ladder, "order", _another)
    assert key != ladder.key(TEXTS, TOY)


def test_a_text_begins_as_in_training_and_comes_back_unchanged(made):
    tokenizer = AutoTokenizer.from_pretrained(made / "small")
    ids = tokenizer("She likes café №5.").input_ids
    assert ids[0] == tokenizer.bos_token_id and tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "She likes café №5."
    assert AutoModelForCausalLM.from_pretrained(made / "small").generation_config.eos_token_id == tokenizer.eos_token_id
