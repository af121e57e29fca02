"""How fast completions are made, compared with other ways to make them (make bench).

All ways continue the same prompts of the bundled model, as often, to at most as many tokens, on all cores and
(where not said otherwise) in float32, and are cut by the same rule. Each is given what makes it fastest.
Rates are compared within a repeat, since machines are noisy. The slow ways are timed on a part of the
completions: they ask batch by batch, so their rate does not depend on how many there are.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from lib.config import params, sections
from lib.dataset import curated_prompts
from lib.generation import calibration, runner
from lib.models import first_words, huggingface, registry, sampling
from lib.models.base import Division
from lib.replies import outcomes
from lib.replies.reply import Reply
from lib.runtime import cores
from tests.benches import peers

OURS = "this project"
# how many completions the slow ways are timed on
PARTS = {
    "one prompt at a time": 12,
    "transformers' batched generate": 2 * peers.BATCH,
    "lm-evaluation-harness, hf": 2 * peers.BATCH,
    "transformers' continuous batching": peers.BATCH,
    "llama.cpp's server, float32": 4 * peers.SLOTS,
    "llama.cpp's server, 4 bits": 4 * peers.SLOTS,
}


def parameters_of(mode: str, samples: int) -> sections.Generation:
    """The embedded set's completion or chat mode, without mitigations."""
    values = params.cell_values(params.load("embedded"), "embedded", "02_generation", f"smollm2-135m-{mode}")
    return params.from_cell(
        "02_generation", values | {"samples": samples, "mitigations": {}, "mitigation_samples": 0}
    )


def ours(model, requested: pd.DataFrame, parameters) -> list[str]:
    """generation.generate, journal and all."""
    with tempfile.TemporaryDirectory() as folder:
        replies = runner.generate(requested, parameters, model, Path(folder) / "journal.jsonl")
    return replies["completion"].fillna("").tolist()


WAYS = {
    "one prompt at a time": peers.one_at_a_time,
    "transformers' batched generate": peers.plain_batches,
    "lm-evaluation-harness, hf": peers.lm_evaluation_harness,
    "transformers' continuous batching": peers.continuous_batching,
    "CTranslate2, float32": peers.ctranslate2_float32,
}


class KeyedNoise(LogitsProcessor):
    """The project's noise for one completion, for transformers' own greedy generate."""

    def __init__(self, key, temperature: float, read: int, model, require_word: bool):
        self.key, self.temperature, self.read, self.tokenizer = key, temperature, read, model.tokenizer
        ends = {model.tokenizer.eos_token_id}
        self.first_word = first_words.Allowed(model.tokenizer, model.config.vocab_size, ends)
        self.require_word = require_word

    def __call__(self, input_ids, scores):
        written = input_ids[0, self.read :]
        if self.require_word:
            scores = self.first_word.restrict(scores, [self.tokenizer.decode(written)])
        noise = sampling.gumbel_noise(*self.key, len(written), scores.shape[-1])
        return scores / self.temperature + torch.from_numpy(noise)


def equal_to_the_plain_path(model, requested: pd.DataFrame, parameters) -> int:
    """How many completions are those of transformers' generate, one prompt at a time, with the same noise."""
    found, equal = ours(model, requested, parameters), 0
    for row, completion in zip(requested.itertuples(), found, strict=True):
        asked = {"input_ids": torch.tensor(model.token_ids([row.rendered]))}
        read = asked["input_ids"].shape[1]
        key = (parameters.seed, row.group_id, row.sample_index)
        noise = KeyedNoise(key, parameters.temperature, read, model, parameters.model.require_word)
        written = model.weights.generate(
            **asked,
            do_sample=False,
            logits_processor=LogitsProcessorList([noise]),
            max_new_tokens=parameters.max_new_tokens,
        )
        text = model.tokenizer.decode(written[0, read:], skip_special_tokens=True)
        equal += (_completion(text, row) or "") == completion
    return equal


def _completion(text: str, row) -> str | None:
    return outcomes.settle(Reply(text, 0, True), row.context, row.stem).completion


def matrix_product_limit(model, requested: pd.DataFrame, tokens: int) -> tuple[float, float]:
    """GFLOP of matrix products that one completion needs, each distinct prompt read once, and the GFLOP/s of
    all cores at them.

    Attention's own products are left out; the prompts are short.
    """
    config = model.weights.config
    read = sum(map(len, model.token_ids(requested["rendered"].unique().tolist())))
    scored = requested["rendered"].nunique() + tokens
    needed = 2 * (model.parameters * (read + tokens) + config.vocab_size * config.hidden_size * scored)

    def multiply(_) -> float:
        rows, weight = (
            torch.randn(256, config.hidden_size),
            torch.randn(config.intermediate_size, config.hidden_size),
        )
        started, times = time.perf_counter(), 200
        for _ in range(times):
            torch.nn.functional.linear(rows, weight)
        return 2e-9 * times * rows.numel() * config.intermediate_size / (time.perf_counter() - started)

    division = Division(workers=cores.available_threads(), threads=1)
    rates = huggingface.map_threads(multiply, list(range(division.workers)), division)
    return needed / len(requested) / 1e9, sum(rates)


def main() -> int:
    """Print the rates, the ratios and the limit; exit code 1 if a completion differs from the plain
    path's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--mode", choices=["completion", "chat"], default="completion")
    parser.add_argument("--stems", type=int, default=24, help="five prompts each")
    parser.add_argument("--samples", type=int, default=5, help="completions a prompt")
    given = parser.parse_args()
    parameters = parameters_of(given.mode, given.samples)
    model = registry.load(parameters.model)
    requested = runner.requests(
        curated_prompts.build(seed=1, stems=given.stems, contexts_per_stem=1), parameters, model
    )
    some = requested.sample(24, random_state=1)
    print(
        f"{len(requested)} completions of {requested['rendered'].nunique()} prompts, "
        f"{cores.available_threads()} cores, {given.mode} mode; "
        f"of them, drawn at random, for {PARTS}",
        flush=True,
    )
    started = time.perf_counter()
    pace = calibration.measure(model, requested, parameters)
    print(f"calibration: {time.perf_counter() - started:.1f} s: {pace}", flush=True)
    parameters = parameters.model_copy(update={"batch_size": pace.batch_size, "workers": pace.workers})
    room = max(map(len, model.token_ids(requested["rendered"].tolist()))) + parameters.max_new_tokens
    with tempfile.TemporaryDirectory() as folder:
        servers = peers.llama_servers(Path(folder), room)
        try:
            ways = WAYS | servers | {OURS: ours}
            rates = pd.DataFrame(
                [_repeat(number, ways, model, requested, parameters) for number in range(given.repeats)]
            )
        finally:
            for server in servers.values():
                server.close()
    _report(rates, model, requested, parameters)
    equal = equal_to_the_plain_path(model, some, parameters)
    print(
        f"{equal} of {len(some)} completions equal those of transformers' generate, one at a time, with "
        "the same noise"
    )
    return int(equal < len(some))


def _repeat(number: int, ways: dict, model, requested: pd.DataFrame, parameters) -> dict[str, float]:
    rates = {}
    for name, way in ways.items():
        asked = (
            requested.sample(min(PARTS[name], len(requested)), random_state=number)
            if name in PARTS
            else requested
        )
        torch.set_num_threads(cores.available_threads())
        started = time.perf_counter()
        texts = way(model, asked, parameters)
        cut = [_completion(text, row) or "" for text, row in zip(texts, asked.itertuples(), strict=True)]
        rates[name] = len(asked) / (time.perf_counter() - started)
        print(
            f"repeat {number + 1}, {name}: {rates[name]:.2f} completions/s, {_length(cut):.0f} characters "
            "on average",
            flush=True,
        )
    return rates


def _length(texts: list[str]) -> float:
    return sum(map(len, texts)) / len(texts)


def _report(rates: pd.DataFrame, model, requested: pd.DataFrame, parameters) -> None:
    of = ["median", "min", "max"]
    print(f"\ncompletions/s, {len(rates)} repeats\n{rates.agg(of).T.round(2).to_string()}")
    ratios = rates.drop(columns=OURS).rdiv(rates[OURS], axis=0)
    print(f"\n{OURS}, times as fast as\n{ratios.agg(of).T.round(2).to_string()}")
    with tempfile.TemporaryDirectory() as folder:
        tokens = int(
            runner.generate(requested, parameters, model, Path(folder) / "journal.jsonl")["tokens"].sum()
        )
    needed, rate = matrix_product_limit(model, requested, tokens)
    best = rates[OURS].median()
    print(
        f"\nmatrix products: {needed:.2f} GFLOP a completion at {rate:.0f} GFLOP/s on all cores allow "
        f"{rate / needed:.1f} "
        f"completions/s; {OURS} reaches {100 * best * needed / rate:.0f} % of that"
    )


if __name__ == "__main__":
    sys.exit(main())
