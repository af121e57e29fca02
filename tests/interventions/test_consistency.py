"""Consistency training: what it is trained on, that it learns and stops, and that the model is itself again
afterwards."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.special import log_softmax, rel_entr
from transformers import AutoConfig, AutoModelForCausalLM

from lib.config.specs import ParameterError
from lib.interventions import adapters, consistency, consistency_data, consistency_loss
from lib.interventions.consistency import Recipe
from lib.models import registry
from tests.conftest import generation

FAST = Recipe(steps=12, batch=2, rate=0.001, every=4, seed=3)
STEMS = ("Her coat is", "The road is", "A cup holds", "The bus stops", "His dog eats")
PLAIN = ["The harbour lies in the north.", "It was a lovely film.", "Ducks swim.", "What an awful meal!"] * 2
PROMPTS = ["She wept. Her coat is", "The road is"]
SHAPE = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
SHAPE |= {"num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
KINDS = {
    "gemma3_text": SHAPE | {"head_dim": 8, "sliding_window": 6},
    "lfm2": SHAPE | {"layer_types": ["conv", "full_attention"] * 2},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 1, "eos_token_id": 2},
}


def load(folder, **changes):
    """The tiny model; its own output table is so flat that no context would matter, so it is scaled."""
    model = registry.load(generation(model={"id": str(folder)} | changes).model)
    with torch.no_grad():
        model.weights.get_output_embeddings().weight.mul_(60)
    return model


@pytest.fixture
def model(tiny):
    return load(tiny)


@pytest.fixture(scope="module")
def groups() -> pd.DataFrame:
    """Two charged arms for each stem."""
    rows = [
        (f"g{number}", f"s{number}", f"{context} {stem}", f"It is noon. {stem}", "a blue one.")
        for number, stem in enumerate(STEMS)
        for context in ("She wept.", "He won the cup!")
    ]
    return pd.DataFrame(rows, columns=consistency_data.COLUMNS)


def losses(table: pd.DataFrame, part: str) -> list[float]:
    return table.loc[table["part"] == part, "loss"].tolist()


def without_loading(tiny, monkeypatch):
    """The tiny model, whose weights may not be loaded."""
    fresh = registry.load(generation(model={"id": str(tiny)}).model)
    monkeypatch.setattr(fresh.files, "weights", lambda *_, **__: pytest.fail("weights were loaded"))
    return fresh


def another(tiny, folder, name="model.safetensors", change=lambda data: data[:-1] + bytes([data[-1] ^ 1])):
    """A copy of the tiny model with one file changed."""
    shutil.copytree(tiny, folder)
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    return folder


def test_both_sides_end_in_the_tokens_of_the_continuation(model, groups):
    data = consistency_data.read(model, groups, PLAIN, 0.2, seed=1)
    assert (len(data.train), len(data.held_out), data.left_out) == (4, 1, [])
    for group in data.train + data.held_out:
        # " a", " blue", " one", "." and, before them, the end of the prompt
        assert len(group.charged) == 2 and group.positions == 5
        texts = [model.tokenizer.decode(ids) for ids in (group.neutral, *group.charged)]
        (stem,) = {text.split(maxsplit=3)[-1] for text in texts[:1]}
        assert stem in {f"{words} a blue one." for words in STEMS}
        assert texts == [f"{context} {stem}" for context in ("It is noon.", "She wept.", "He won the cup!")]
        assert {tuple(ids[-4:]) for ids in (group.neutral, *group.charged)} == {tuple(group.neutral[-4:])}


def test_an_empty_continuation_leaves_the_next_token_only(model, groups):
    data = consistency_data.read(model, groups.assign(continuation=""), [], 0.2, seed=1)
    assert {group.positions for group in data.train} == {1} and data.plain == data.plain_held_out == []


def test_a_group_whose_continuation_has_other_tokens_is_left_out_and_named(model, groups, capsys, tmp_path):
    odd = groups.assign(charged=groups["charged"].where(groups["group_id"] != "g2", groups["charged"] + "\n"))
    neutral = groups["neutral"].where(groups["group_id"] != "g2", groups["neutral"] + " ")
    odd = odd.assign(neutral=neutral)  # "is\n" + "a" has three tokens, "is " + "a" joins the last two
    data = consistency_data.read(model, odd, [], 0.2, seed=1)
    assert data.left_out == ["g2"] and len(data.train) + len(data.held_out) == 4
    consistency.train(model, odd, [], dataclasses.replace(FAST, steps=1), tmp_path / "a")
    assert "1 of 5 groups are left out" in capsys.readouterr().err
    assert adapters.facts(tmp_path / "a")["left_out_groups"] == ["g2"]


def test_held_out_stems_are_the_same_for_the_same_seed_and_never_trained_on(model, groups):
    held_out = consistency_data.held_out_stems(groups, 0.4, seed=1)
    assert len(held_out) == 2 and held_out == consistency_data.held_out_stems(groups[::-1], 0.4, seed=1)
    data = consistency_data.read(model, groups, PLAIN, 0.4, seed=1)
    assert {group.stem_id for group in data.held_out} == held_out
    assert not {group.stem_id for group in data.train} & held_out
    with pytest.raises(ParameterError, match="1 stems, 1 of them held out, leave none to train on"):
        consistency_data.held_out_stems(groups[:2], 0.2, seed=1)


def test_every_group_comes_once_before_any_comes_again(model, groups):
    data = consistency_data.read(model, groups, PLAIN, 0.2, seed=1)
    steps = consistency_data.batches(data, steps=4, size=2, seed=1)
    first, second = ([group.stem_id for step in half for group in step[0]] for half in (steps[:2], steps[2:]))
    assert sorted(first) == sorted(second) == sorted({group.stem_id for group in data.train})
    assert [len(plain) for _, plain in steps] == [2] * 4
    assert steps == consistency_data.batches(data, steps=4, size=2, seed=1)


def test_rows_read_together_are_as_each_alone(model):
    rows = model.token_ids(["She wept. Her coat is", "The road"])
    together = consistency_loss.log_probabilities(model, rows, [3, 2])
    assert [len(part) for part in together] == [3, 2]
    for row, part in zip(rows, together, strict=True):
        (alone,) = consistency_loss.log_probabilities(model, [row], [len(row)])
        torch.testing.assert_close(part, alone[-len(part) :], atol=1e-5, rtol=1e-4)


def test_before_training_the_loss_is_the_divergence_of_the_two_prompts(model, groups, tmp_path):
    recipe = dataclasses.replace(FAST, steps=1, rate=0.0)
    table = consistency.train(model, groups.assign(continuation=""), PLAIN, recipe, tmp_path / "a")
    (stem,) = consistency_data.held_out_stems(groups, FAST.held_out, FAST.seed)
    rows = groups[groups["stem_id"] == stem]
    logits = model.next_logits([*rows["charged"], rows["neutral"].iloc[0]]).double().numpy()
    charged, neutral = log_softmax(logits[:2], axis=1), log_softmax(logits[2], axis=0)
    expected = rel_entr(np.exp(neutral), np.exp(charged)).sum(axis=1).mean()
    assert expected > 0.01
    assert losses(table, "held_out")[0] == pytest.approx(expected, rel=1e-4)
    assert losses(table, "held_out_retain")[0] == pytest.approx(0, abs=1e-6)


def test_the_loss_falls_on_stems_that_no_step_sees(model, groups, tmp_path):
    table = consistency.train(model, groups, PLAIN, FAST, tmp_path / "a")
    held_out, trained = losses(table, "held_out"), losses(table, "train")
    assert len(held_out) == 4 and len(trained) == len(losses(table, "retain")) == FAST.steps
    assert min(held_out) < 0.75 * held_out[0] and min(trained) < 0.5 * trained[0]
    assert adapters.facts(tmp_path / "a")["best_step"] > 0


def test_a_larger_weight_of_retention_keeps_other_text_nearer(model, groups, tmp_path):
    ends = [
        losses(
            consistency.train(
                model, groups, PLAIN, dataclasses.replace(FAST, retain=weight), tmp_path / str(weight)
            ),
            "held_out_retain",
        )[-1]
        for weight in (0.0, 10.0)
    ]
    assert ends[1] < 0.7 * ends[0]


def test_two_trainings_are_equal_and_end_as_this_version_does(model, groups, tmp_path):
    """If it fails: is the new result meant? Then raise `consistency.VERSION`, and put the new value here."""
    one, other = (consistency.train(model, groups, PLAIN, FAST, tmp_path / name) for name in "ab")
    assert one["loss"].tolist() == other["loss"].tolist()
    first, second = (load_file(tmp_path / name / adapters.WEIGHTS) for name in "ab")
    assert all(torch.equal(weight, second[name]) for name, weight in first.items())
    held_out = losses(one, "held_out")
    assert consistency.VERSION == "consistency-1"
    assert (held_out[0], held_out[-1]) == pytest.approx((0.13451, 0.07940), rel=5e-3)


def test_it_stops_when_the_held_out_loss_no_longer_falls(model, groups, tmp_path):
    recipe = dataclasses.replace(FAST, rate=0.0, every=2, patience=2)
    table = consistency.train(model, groups, PLAIN, recipe, tmp_path / "a")
    assert table["step"].max() == 4 and len(losses(table, "held_out")) == 3
    assert adapters.facts(tmp_path / "a")["best_step"] == 0


def test_what_is_trained_is_read_and_not_trained_again(tiny, model, groups, tmp_path, monkeypatch):
    recipe = dataclasses.replace(FAST, steps=2)
    table = consistency.train(model, groups, PLAIN, recipe, tmp_path / "a")
    assert list(table) == ["step", "part", "loss", "seconds"]
    again = consistency.train(without_loading(tiny, monkeypatch), groups, PLAIN, recipe, tmp_path / "a")
    pd.testing.assert_frame_equal(table, again, check_exact=True)


@pytest.mark.parametrize("change", ["recipe", "groups", "plain", "version"])
def test_another_training_replaces_the_adapter(model, groups, tmp_path, monkeypatch, change):
    recipe = dataclasses.replace(FAST, steps=1)
    consistency.train(model, groups, PLAIN, recipe, tmp_path / "a")
    before = adapters.facts(tmp_path / "a")
    if change == "version":
        monkeypatch.setattr(consistency, "VERSION", "another")
    consistency.train(
        model,
        groups.assign(continuation="x") if change == "groups" else groups,
        PLAIN[:3] if change == "plain" else PLAIN,
        dataclasses.replace(recipe, rate=0.01) if change == "recipe" else recipe,
        tmp_path / "a",
    )
    assert adapters.facts(tmp_path / "a") != before


def test_a_folder_of_something_else_is_left_alone(model, groups, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("mine")
    with pytest.raises(ParameterError, match=r"holds something else \(consistency.json is missing\)"):
        consistency.train(model, groups, PLAIN, FAST, tmp_path / "a")
    assert (tmp_path / "a" / "notes.txt").read_text() == "mine"


def test_a_loss_that_is_not_finite_stops_and_leaves_the_model_as_it_was(model, groups, tmp_path):
    before = model.next_logits(PROMPTS)
    recipe = dataclasses.replace(FAST, rate=1e30)
    with pytest.raises(ParameterError, match=r"not finite \(nan\) at step \d+, rate 1e\+30; lower `rate`"):
        consistency.train(model, groups, PLAIN, recipe, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert torch.equal(model.next_logits(PROMPTS), before)


def test_layers_that_cannot_be_adapted_are_told_before_loading(tiny, groups, tmp_path, monkeypatch):
    fresh = without_loading(tiny, monkeypatch)
    recipe = dataclasses.replace(FAST, targets="no_such_layer")
    with pytest.raises(ParameterError, match=r"targets 'no_such_layer'.*name linear layers that it has"):
        consistency.train(fresh, groups, PLAIN, recipe, tmp_path / "a")


@pytest.fixture
def trained(model, groups, tmp_path):
    """The folder of a trained adapter."""
    consistency.train(model, groups, PLAIN, FAST, tmp_path / "trained")
    return tmp_path / "trained"


def test_inside_it_answers_otherwise_and_afterwards_bit_by_bit_as_before(model, trained, tiny):
    untouched = load(tiny)
    before, kind, fingerprint = model.next_logits(PROMPTS), type(model.weights), model.fingerprint
    modules = [type(module) for module in model.weights.modules()]
    assert torch.equal(before, untouched.next_logits(PROMPTS)), "training leaves the model as it was"
    with consistency.adapted(model, trained) as inside:
        assert inside is model and type(model.weights) is kind
        assert not torch.allclose(model.next_logits(PROMPTS), before, atol=1e-3)
        assert model.fingerprint != fingerprint
    assert torch.equal(model.next_logits(PROMPTS), before)
    assert model.fingerprint == fingerprint
    assert [type(module) for module in model.weights.modules()] == modules
    assert all(weight.requires_grad for weight in model.weights.parameters())
    assert not hasattr(model.weights, "peft_config")


@pytest.mark.parametrize(("kind", "values"), KINDS.items(), ids=KINDS.keys())
def test_models_with_windows_and_states_learn_too(tiny, groups, tmp_path, kind, values):
    shutil.copytree(tiny, tmp_path / "m", ignore=shutil.ignore_patterns("*.safetensors"))
    torch.manual_seed(0)
    size = json.loads((tiny / "config.json").read_text())["vocab_size"]
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, vocab_size=size, **values))
    for weight in made.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.15)  # as it is made, no context matters
    made.save_pretrained(tmp_path / "m")
    model = registry.load(generation(model={"id": str(tmp_path / "m")}).model)
    before = model.next_logits(PROMPTS)
    table = consistency.train(model, groups, PLAIN, FAST, tmp_path / "a")
    assert losses(table, "held_out_retain")[0] == pytest.approx(0, abs=1e-6)
    assert min(losses(table, "held_out")) < 0.9 * losses(table, "held_out")[0]
    assert torch.equal(model.next_logits(PROMPTS), before)


def test_the_model_is_itself_again_after_an_error(model, trained):
    before = model.next_logits(PROMPTS)
    with pytest.raises(RuntimeError, match="meant"), consistency.adapted(model, trained):
        raise RuntimeError("meant")
    assert torch.equal(model.next_logits(PROMPTS), before)


def test_the_adapter_in_the_folder_is_that_of_the_best_evaluation(model, groups, trained):
    table = pd.read_csv(trained / consistency.LOSS)
    data = consistency_data.read(model, groups, PLAIN, FAST.held_out, FAST.seed)
    config = adapters.check(model, trained)
    with adapters.injected(model.weights, config) as student, torch.no_grad():
        adapters.load(student, trained)
        found, _ = consistency_loss.divergences(model, student, data.held_out, [])
    best = adapters.facts(trained)["best_step"]
    of_best = table[(table["step"] == best) & (table["part"] == "held_out")]["loss"].item()
    assert found.mean().item() == pytest.approx(of_best, rel=1e-4)


def test_an_adapter_of_other_weights_is_refused_before_loading(trained, tiny, tmp_path, monkeypatch):
    other = without_loading(another(tiny, tmp_path / "other"), monkeypatch)
    message = f"trained on '{tiny}', whose weights are not those of model .*'{tmp_path / 'other'}'"
    with pytest.raises(ParameterError, match=message), consistency.adapted(other, trained):
        pass


@pytest.fixture
def own(trained, tmp_path):
    """An adapter as a user has it: without our key, of a model that it names."""
    folder = shutil.copytree(trained, tmp_path / "own", ignore=shutil.ignore_patterns(adapters.KEY))
    values = json.loads((folder / adapters.CONFIG).read_text())
    (folder / adapters.CONFIG).write_text(json.dumps(values | {"base_model_name_or_path": "someone/llama"}))
    return folder


def test_a_users_own_adapter_is_used_and_its_model_named(model, trained, own, capsys):
    with consistency.adapted(model, trained):
        expected = model.next_logits(PROMPTS)
    with consistency.adapted(model, own):
        assert torch.equal(model.next_logits(PROMPTS), expected)
    assert "it names 'someone/llama' as its model; its shapes fit" in capsys.readouterr().out


def test_an_adapter_of_other_shapes_is_refused_before_loading(own, tiny, tmp_path, monkeypatch):
    wider = another(
        tiny, tmp_path / "wider", "config.json", lambda text: text.replace(b'size": 32', b'size": 64')
    )
    other = without_loading(wider, monkeypatch)
    message = r"\(of 'someone/llama'\) does not fit model .*wider'\): .*size mismatch.*name an adapter"
    with pytest.raises(ParameterError, match=message), consistency.adapted(other, own):
        pass


def test_an_adapter_that_lacks_a_matrix_is_refused_before_loading(own, tiny, monkeypatch):
    weights = load_file(own / adapters.WEIGHTS)
    removed = sorted(weights)[0]
    save_file({name: weight for name, weight in weights.items() if name != removed}, own / adapters.WEIGHTS)
    fresh = without_loading(tiny, monkeypatch)
    message = "1 weights are missing and 0 unexpected"
    with pytest.raises(ParameterError, match=message), consistency.adapted(fresh, own):
        pass


CONFIGS = {
    "IA3": ({"peft_type": "IA3"}, "peft_type 'IA3' is not supported"),
    "biases": ({"bias": "all"}, "bias 'all' changes weights of the model itself"),
    "whole modules": ({"modules_to_save": ["lm_head"]}, r"modules_to_save \['lm_head'\] changes weights"),
    "first weights": ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa' changes weights"),
    "other layers": ({"target_modules": ["c_attn"]}, "does not fit model"),
    "no type": ({"peft_type": None}, "peft_type None is not supported"),
}


@pytest.mark.parametrize(("change", "message"), CONFIGS.values(), ids=CONFIGS.keys())
def test_an_adapter_that_cannot_be_taken_out_again_is_refused(own, tiny, monkeypatch, change, message):
    values = json.loads((own / adapters.CONFIG).read_text())
    (own / adapters.CONFIG).write_text(json.dumps(values | change))
    fresh = without_loading(tiny, monkeypatch)
    with pytest.raises(ParameterError, match=message), consistency.adapted(fresh, own):
        pass


def test_pickled_weights_and_missing_files_are_refused(own, model):
    (own / adapters.WEIGHTS).rename(own / "adapter_model.bin")
    message = "holds adapter_model.bin, which can run code"
    with pytest.raises(ParameterError, match=message), consistency.adapted(model, own):
        pass
    shutil.rmtree(own)
    message = "adapter_config.json is missing; name a folder"
    with pytest.raises(ParameterError, match=message), consistency.adapted(model, own):
        pass


def test_a_damaged_configuration_or_weights_file_is_told(own, model):
    config = (own / adapters.CONFIG).read_text()
    (own / adapters.CONFIG).write_text(config[:-9])
    with (
        pytest.raises(ParameterError, match=r"adapter_config.json cannot be read"),
        consistency.adapted(model, own),
    ):
        pass
    (own / adapters.CONFIG).write_text(config)
    (own / adapters.WEIGHTS).write_bytes(b"0" * 99)
    with pytest.raises(ParameterError, match="does not fit model"), consistency.adapted(model, own):
        pass
