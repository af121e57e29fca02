"""Architectures that keep something else than keys and values of each token: the same completion in any
company, or refused."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from lib.config import specs
from lib.dataset import curated_prompts
from lib.generation import calibration, memory, next_token, runner
from lib.models import architectures, prefill, registry
from lib.replies import outcomes
from tests.conftest import generation

COMMON = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
ATTENTION = {"intermediate_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
DELTA = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
STATEFUL = {
    "qwen3_5_text": ATTENTION | DELTA,
    "qwen3_next": ATTENTION
    | DELTA
    | {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    },
    "lfm2": {
        "intermediate_size": 32,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "layer_types": ["conv", "full_attention"] * 2,
    },
    "granitemoehybrid": {
        "intermediate_size": 32,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_d_state": 16,
        "layer_types": ["mamba", "attention"] * 2,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "shared_intermediate_size": 16,
    },
    "bamba": {
        "intermediate_size": 32,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_d_state": 16,
        "attn_layer_indices": [1, 3],
    },
    "falcon_h1": ATTENTION | {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_ssm": 64, "mamba_d_state": 16},
    "mamba": {"state_size": 8},
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 16, "n_groups": 1},
}
WINDOWED = {  # of 6 tokens, so that every prompt outgrows it
    "gemma3_text": ATTENTION | {"sliding_window": 6},
    "mistral": ATTENTION | {"sliding_window": 6},
    "llama4_text": ATTENTION
    | {"attention_chunk_size": 6, "num_local_experts": 2, "intermediate_size_mlp": 32},
    "gpt_neo": {
        "num_layers": 4,
        "num_heads": 4,
        "window_size": 6,
        "attention_types": [[["global", "local"], 2]],
    },
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 4, "max_seq_len": 512},
}
REFUSED = {
    "rwkv": "keeps no cache that rows can be taken out of",
    "recurrent_gemma": "answers otherwise with its cache than without",
    "xlstm": "keeps a cache of its own",
    "minimax": "keeps a cache of its own",
    "bert": "is an encoder",
    "roberta": "is an encoder",
    "t5": "is an encoder-decoder model",
    "bart": "is an encoder-decoder model",
    "whisper": "is an encoder-decoder model",
    "trocr": "cannot be told where a padded prompt begins",
    "clip": "does not continue a text",
}


@pytest.fixture(scope="module")
def benchmark():
    return curated_prompts.build(seed=1, stems=3, contexts_per_stem=1)


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    """Folders with a model of random weights and the bundled tokenizer, by architecture."""
    folders = {}

    def make(kind: str):
        if kind not in folders:
            folder = tmp_path_factory.mktemp(kind)
            tokenizer = AutoTokenizer.from_pretrained(tiny)
            tokenizer.save_pretrained(folder)
            values = (STATEFUL | WINDOWED)[kind]
            common = {
                name: value
                for name, value in COMMON.items()
                if name != "hidden_size" or "d_model" not in values
            }
            if {"num_layers", "n_layers"} & set(values):
                del common["num_hidden_layers"]
            torch.manual_seed(0)
            config = AutoConfig.for_model(kind, **common | {"vocab_size": len(tokenizer)} | values)
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
            for weight in model.parameters():
                if weight.dim() > 1:
                    # as it is made, the next token is that of any prompt
                    torch.nn.init.normal_(weight, std=0.15)
            model.save_pretrained(folder)
            folders[kind] = folder
        return folders[kind]

    return make


def asked(benchmark, folder, **changes):
    parameters = generation(model={"id": str(folder)}, samples=2, **changes)
    model = registry.load(parameters.model)
    requested = runner.requests(benchmark, parameters, model)
    # common to all prompts, so that it is shared where the model allows it
    begun = "The words stand as they are. "
    return model, requested.assign(rendered=begun + requested["rendered"]), parameters


@pytest.mark.parametrize("kind", [*STATEFUL, *WINDOWED])
@pytest.mark.parametrize("temperature", [0.7, 0.0])
def test_a_completion_is_the_same_in_any_company_and_order(benchmark, made, monkeypatch, kind, temperature):
    def whenever(text, *_, **__):  # rows leave the batch at different steps
        return len(text) % 3 == 0

    monkeypatch.setattr(outcomes, "is_complete", whenever)
    model, requested, _ = asked(benchmark, made(kind))
    assert len(set(map(len, model.token_ids(requested["rendered"].tolist())))) > 1, (
        "all prompts are of one length"
    )
    requested = requested.iloc[:: len(requested) // 10]
    together = [reply.text for reply in model.reply(requested, temperature, 8, seed=1)]
    order = np.random.default_rng(0).permutation(len(requested))
    shuffled = model.reply(requested.iloc[order], temperature, 8, seed=1)
    assert [together[row] for row in order] == [reply.text for reply in shuffled]
    some = range(0, len(requested), 3)
    alone = [model.reply(requested.iloc[[row]], temperature, 8, seed=1)[0].text for row in some]
    assert [together[row] for row in some] == alone
    assert temperature == 0 or len(set(together)) > 3


@pytest.mark.parametrize("kind", [*STATEFUL, *WINDOWED])
def test_the_most_probable_completion_is_that_of_transformers(benchmark, made, monkeypatch, kind):
    monkeypatch.setattr(outcomes, "is_complete", lambda *_, **__: False)
    model, requested, _ = asked(benchmark, made(kind))
    distinct = requested.drop_duplicates("rendered").iloc[:9]
    replies = model.reply(distinct, 0.0, 6, seed=1)
    for row, reply in list(zip(distinct.itertuples(), replies, strict=True))[::4]:
        ids = torch.tensor(model.token_ids([row.rendered]))
        written = model.weights.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=6
        )
        assert reply.text == model.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("kind", ["qwen3_5_text", "mamba2", "gemma3_text"])
def test_pace_size_and_next_token_do_not_ask_for_attention(benchmark, made, tmp_path, kind):
    model, requested, parameters = asked(benchmark, made(kind))
    assert calibration.measure(model, requested, parameters).prefill_seconds_per_token > 0
    assert calibration.prompt_tokens(model, requested, 512) > 0
    assert model.parameters > 0
    table = next_token.measure(benchmark, model, tmp_path / "j.jsonl")
    alone = pd.concat(
        next_token.measure(benchmark.iloc[[row]], model, tmp_path / f"{row}.jsonl") for row in (0, 3)
    )
    np.testing.assert_allclose(table.iloc[[0, 3]]["expected_valence"], alone["expected_valence"], atol=1e-5)


def test_prompts_of_several_lengths_are_never_padded_for_a_model_with_a_state(made):
    model = registry.load(generation(model={"id": str(made("mamba2"))}).model)
    with pytest.raises(ValueError, match=r"mamba2: prompts of .2, 3. tokens cannot be read side by side"):
        prefill.Reader(model.weights, model.tokenizer, [[5, 6], [5, 6, 7]])


def test_a_window_that_no_row_outgrows_changes_nothing(made):
    config = AutoConfig.from_pretrained(made("mistral"))
    assert prefill._shared(config, [[5, 6, 7, 8], [5, 6, 9]], longest=6) == 2
    assert prefill._shared(config, [[5, 6, 7, 8], [5, 6, 9]], longest=7) == 0
    assert architectures.window(AutoConfig.for_model("llama")) is None


@pytest.mark.parametrize(("kind", "reason"), REFUSED.items())
def test_what_cannot_be_asked_is_named_before_weights_load(tiny, tmp_path, kind, reason):
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path)
    config = {"model_type": kind, "architectures": [f"{kind.title()}Model"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        specs.ParameterError, match=f"model smollm2-135m-completion: .*architecture '{kind}', {reason}"
    ) as caught:
        registry.load(generation(model={"id": str(tmp_path)}).model)
    assert "name a causal language model, or set `server`" in str(caught.value)


@pytest.mark.parametrize("kind", ["deepseek_v3", "mixtral", "gpt2", "mpt", "mamba", "gemma3n_text"])
def test_memory_of_a_row_is_estimated_whatever_the_configuration_says(kind):
    class Model:
        config = AutoConfig.for_model(kind)
        spec = generation().model
        tokenizer = range(100)

    assert memory.row_bytes(Model, 10) > 0
