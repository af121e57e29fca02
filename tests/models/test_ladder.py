"""The ladder in small: two sizes, a few steps, for real; what is trained again, and what never; what is told
of it."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lib.config import specs
from lib.models import ladder, ladder_training, registry
from lib.report import ladder_reports
from lib.storage import packages

TEXTS = [
    f"The {size} {thing} is {colour}. She likes the {thing}."
    for size in ("small", "large", "old")
    for thing in ("house", "tree", "boat", "dog", "street")
    for colour in ("red", "green", "blue", "grey")
]
TOY = ladder.Recipe(sizes={"small": (32, 1), "large": (64, 2)}, vocabulary=300, block=16, batch=4, epochs=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The two-size ladder, trained in two processes."""
    return ladder.path_of(TEXTS, TOY, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def one_thread():
    """As many threads as a process that trains has: other numbers of them add up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(folder, size: str) -> str:
    return packages.sha256(folder / size / "model.safetensors")


def test_the_models_of_the_parameter_sets_are_those_of_the_recipe():
    sizes = list(ladder.Recipe().sizes)
    assert list(ladder.RECIPES) == list(specs.LADDERS)
    for family, recipe in ladder.RECIPES.items():
        assert [name for name in specs.BUNDLED_MODELS if name.startswith(f"{family}:")] == [
            f"{family}:{size}" for size in recipe().sizes
        ]
    rates = [ladder.Recipe().learning_rate(size) for size in sizes]
    assert rates[-1] == pytest.approx(rates[0] / 4)  # four times as wide


def test_each_size_learns_from_as_many_tokens_and_is_as_large_as_its_layers(made):
    small, large = ladder.card(made).to_dict("index").values()
    assert small["tokens"] == large["tokens"] == np.load(made / "blocks.npz")["train"].size * 3
    # a layer: 4 · 32² of attention, 3 · 32 · 80 of the gated part, two norms of 32; one more norm after the
    # last layer
    assert small["parameters"] == 4 * 32**2 + 3 * 32 * 80 + 2 * 32 + 32
    assert large["parameters"] == 2 * (4 * 64**2 + 3 * 64 * 176 + 2 * 64) + 64
    for found in (small, large):
        # as good as guessing among 300 tokens
        assert found["init_loss"] == pytest.approx(np.log(300), abs=0.1)
        assert found["val_loss"] < found["init_loss"] - 1
        assert found["train_loss"] < found["init_loss"] - 1


@pytest.mark.parametrize("size", TOY.sizes)
def test_the_size_and_the_losses_that_are_told_are_those_of_the_model_that_is_kept(made, size):
    told = ladder.card(made).loc[size]
    spec = specs.Model(name="m", id=str(made / size), family="f", tuning="base", mode="completion")
    assert registry.load(spec).parameters == told["parameters"]
    kept, unseen = AutoModelForCausalLM.from_pretrained(made / size), np.load(made / "blocks.npz")["held_out"]
    surprise = []  # of each held-out token, one block at a time, from the definition
    for block in torch.from_numpy(unseen).long():
        with torch.no_grad():
            chances = torch.softmax(kept(input_ids=block[None]).logits[0, :-1].double(), dim=-1)
        surprise.append(-chances[torch.arange(len(block) - 1), block[1:]].log().numpy())
    assert told["val_loss"] == pytest.approx(np.mean(surprise), abs=1e-5)
    assert np.load(made / f"{size}.npy") == pytest.approx(np.mean(surprise, axis=1), abs=1e-5)


def test_no_document_is_both_learnt_and_held_out(made):
    blocks, tokenizer = np.load(made / "blocks.npz"), AutoTokenizer.from_pretrained(made / "tokenizer")
    learnt, unseen = (
        set("".join(tokenizer.batch_decode(blocks[part])).split(ladder.END)) for part in ("train", "held_out")
    )
    whole = {f"{ladder.BEGIN}{text}" for text in TEXTS}
    assert len(learnt & whole) > 40 and len(unseen & whole) >= 5
    assert not learnt & unseen & whole


def test_the_same_seed_gives_the_same_weights(made, tmp_path, one_thread):
    ladder._prepare(TEXTS, TOY, tmp_path)
    ladder_training.train(tmp_path, "small", TOY)
    assert weights(tmp_path, "small") == weights(made, "small")
    shutil.rmtree(tmp_path / "small")
    ladder_training.train(tmp_path, "small", replace(TOY, seed=2))
    assert weights(tmp_path, "small") != weights(made, "small")


def test_every_size_meets_every_block_once_an_epoch_in_an_order_that_the_size_has_no_part_in():
    steps = ladder_training.order(10, TOY)
    assert [len(step) for step in steps] == [4, 4, 2] * 3
    assert np.bincount(np.concatenate(steps)).tolist() == [3] * 10
    assert not np.array_equal(np.concatenate(steps[:3]), np.concatenate(steps[3:6]))
    other = ladder_training.order(10, replace(TOY, sizes={"another": (128, 3)}))
    assert all(map(np.array_equal, steps, other))


def test_after_a_kill_only_what_is_missing_is_trained(made, monkeypatch):
    trained = []
    monkeypatch.setattr(ladder_training, "train_all", lambda folder, missing, recipe: trained.extend(missing))
    assert ladder.path_of(TEXTS, TOY, made.parent) == made
    assert trained == []
    (made / "large").rename(made / ".large.making")  # as a kill before the last step leaves it
    try:
        ladder.path_of(TEXTS, TOY, made.parent)
    finally:
        (made / ".large.making").rename(made / "large")
    assert trained == ["large"]


def test_the_key_changes_with_text_recipe_and_version(monkeypatch):
    key = ladder.key(TEXTS, TOY)
    assert key == ladder.key(list(TEXTS), replace(TOY))
    assert key != ladder.key([*TEXTS, "One more."], TOY)
    assert key != ladder.key(TEXTS, replace(TOY, rate=0.02))
    monkeypatch.setattr(ladder, "VERSION", "another")
    assert key != ladder.key(TEXTS, TOY)


def test_a_change_of_the_code_that_changes_no_weight_keeps_the_folder(made):
    assert ladder.key(["A text."], ladder.Recipe()) == "d0543b2e2d15"
    assert made.name == "ladder-f3ce6a6bdef7"


def test_a_text_begins_as_in_training_and_comes_back_unchanged(made):
    tokenizer = AutoTokenizer.from_pretrained(made / "small")
    ids = tokenizer("She likes café №5.").input_ids
    assert ids[0] == tokenizer.bos_token_id and tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "She likes café №5."
    assert (
        AutoModelForCausalLM.from_pretrained(made / "small").generation_config.eos_token_id
        == tokenizer.eos_token_id
    )


_SLOW = """
from pathlib import Path
from lib.models import ladder
from tests.models.test_ladder import TEXTS, TOY, replace
if __name__ == "__main__":
    recipe = replace(TOY, sizes={"small": (32, 1), "large": (256, 8)}, epochs=20)
    ladder.path_of(TEXTS, recipe, Path(__import__("sys").argv[1]))
"""


def test_who_is_killed_leaves_what_is_finished_and_nobody_who_goes_on(tmp_path):
    (tmp_path / "slow.py").write_text(_SLOW)
    process = psutil.Popen(
        [sys.executable, tmp_path / "slow.py", tmp_path],
        cwd=specs.ROOT,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(specs.ROOT)},
    )
    try:
        while not (finished := list(tmp_path.glob("ladder-*/small/model.safetensors"))):
            assert process.poll() is None
            time.sleep(0.05)
        trainers = process.children(recursive=True)
    finally:
        process.kill()  # -9: it cannot tell anybody
        process.wait()
    assert trainers and not psutil.wait_procs(trainers, timeout=30)[1]
    assert finished[0].exists() and not (finished[0].parents[1] / "large").exists()


def test_a_disk_without_room_is_told_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1e9, 1e9, 1e6))
    with pytest.raises(
        OSError, match=r"ladder-\w+: cannot write \(it takes \d+ MB, 1 MB are free\); make room"
    ):
        ladder.path_of(TEXTS, TOY, tmp_path)
    assert not list(tmp_path.glob("ladder-*/*"))


def _trained(*means) -> pd.DataFrame:
    """Made-up sizes whose held-out losses vary by block around `means`, all in the same way."""
    blocks = np.random.default_rng(0).normal(0, 0.5, 400)
    own = [np.random.default_rng(size).normal(0, 0.01, 400) for size in range(len(means))]
    return pd.DataFrame(
        {
            "model": [f"m{size}" for size in range(len(means))],
            "family": "ladder",
            "size": [f"{size}" for size in range(len(means))],
            "parameters": [10**size for size in range(len(means))],
            "learning_rate": 0.003,
            "tokens": 1000,
            "inserted": 0,
            "epochs": 1,
            "init_loss": 8.3,
            "train_loss": 4.0,
            "val_loss": means,
            "losses": [mean + blocks + part for mean, part in zip(means, own, strict=True)],
        }
    )


def test_it_is_said_whether_the_held_out_loss_falls_with_size():
    assert ladder_reports.summary(_trained(5.0, 4.9, 4.8), 0.95).startswith(
        "Held-out loss falls with size: yes."
    )
    assert "over 400 held-out blocks" in ladder_reports.summary(_trained(5.0, 4.9), 0.95)
    assert "m0 to m1 −0.1" in ladder_reports.summary(_trained(5.0, 4.9), 0.95)
    for means in [(5.0, 4.9, 4.95), (5.0, 5.0)]:  # a rise, and no difference
        assert ladder_reports.summary(_trained(*means), 0.95).startswith(
            "Held-out loss falls with size: **no**"
        )
    assert "the only one" in ladder_reports.summary(_trained(5.0), 0.95)
    shown = ladder_reports.format_table(_trained(5.0, 4.9), "NOTE")
    assert shown["held-out text"].tolist() == ["5.000", "4.900"] and shown.columns.name == "⚠ NOTE"
    assert shown.columns.tolist() == [
        "model",
        "parameters",
        "learning rate of layers",
        "tokens",
        "epochs",
        "untrained",
        "learnt text",
        "held-out text",
    ]


def test_two_families_are_compared_at_one_size():
    ladders = [
        _trained(5.0, 4.55),
        _trained(5.0, 4.25, 3.9)
        .assign(family="ladder-augmented", inserted=100, model=["a0", "a1", "a2"])
        .iloc[1:],
    ]
    told = ladder_reports.summary(pd.concat(ladders), 0.95)
    by_family, siblings = told.split(" At one size, on the same held-out blocks: ")
    assert by_family.startswith("ladder: Held-out loss falls with size: yes.")
    assert "ladder-augmented: Held-out loss falls with size: yes." in by_family
    assert "m0 to m1 −0.4" in by_family and "a1 to a2 −0.3" in by_family
    assert siblings.startswith("m1 to a1 −0.300") and siblings.count(" to ") == 1  # a2 has no sibling
    shown = ladder_reports.format_table(pd.concat(ladders))
    assert shown["of them inserted"].tolist() == ["0", "0", "100", "100"]


def test_of_a_set_that_trains_nothing_one_sentence_is_said():
    table = ladder_reports.trained("quick")
    assert table.empty and ladder_reports.format_table(table) is None
    assert ladder_reports.summary(table, 0.95) == "No model of this set was trained here."
