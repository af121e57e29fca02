"""Throughput of a model, measured in a few seconds, to choose batch size and division of cores.

Nothing here changes a completion: the noise is keyed, so results are the same in any batch.
"""

import math
import time
from dataclasses import dataclass

import pandas as pd

from lib.config.sections import Generation
from lib.models.base import Backend
from lib.runtime.cores import available_threads

MIN_TO_CALIBRATE = 300  # missing completions below which a calibration costs more than it saves
SECONDS = 15  # another division of the cores is tried only if it will probably finish within this time
# completions per batch; larger tensors are returned to the system and allocated again at every step
LARGEST = 512
MAX_UNSAVED_SECONDS = 60  # seconds of work that is not yet saved: what a kill may cost
TYPICAL_TOKENS = 12  # of a completion up to the end of its first sentence; assumed before any is seen
_OVERHEAD = 0.1  # share of time that may go to the fixed cost of a step
_SIZES = (8, 64)  # rows of the two timed steps
_PROMPTS = 16  # prompts in the timed prefill


@dataclass(frozen=True)
class ThroughputPlan:
    """How to run a model, and the measured cost. Results do not depend on it.

    A batch is decoded in `workers` parts in parallel, on `threads` cores each. Costs are in seconds, for all
    workers together: prefill_seconds_per_token for one token of a prompt, per_step for one step regardless of
    its rows, decode_seconds_per_token for one generated token.
    """

    batch_size: int
    workers: int
    threads: int | None
    prefill_seconds_per_token: float = 0.0
    per_step: float = 0.0
    decode_seconds_per_token: float = 0.0

    def seconds(self, read: int, completions: int, tokens: float, max_new_tokens: int) -> float:
        """Return the seconds to prefill `read` prompt tokens and to generate the completions.

        Args:
            read: Number of prompt tokens.
            completions: Number of completions.
            tokens: Mean tokens of a completion.
            max_new_tokens: Most tokens of a completion: the steps of a batch.
        """
        steps = math.ceil(completions / self.batch_size) * max_new_tokens
        return (
            read * self.prefill_seconds_per_token
            + steps * self.per_step
            + completions * tokens * self.decode_seconds_per_token
        )


def pace(model, missing: pd.DataFrame, parameters: Generation) -> ThroughputPlan:
    """Return the plan for generating the `missing` completions.

    What `parameters` leave open is measured, or guessed if few completions are missing. Only a model of the
    transformers library is measured; others get batches of a fixed size.
    """
    if not model.is_local:
        in_hand = 16 * model.spec.server.concurrency if model.spec.server else LARGEST
        return ThroughputPlan(parameters.batch_size or in_hand, 1, None)
    cores = available_threads()
    on_cpu = _device(model) == "cpu"
    guess = parameters.workers or (cores if on_cpu and len(missing) >= cores * _SIZES[1] else 1)
    if len(missing) < MIN_TO_CALIBRATE or (parameters.batch_size and parameters.workers):
        return ThroughputPlan(parameters.batch_size or 2 * _SIZES[1], guess, max(1, cores // guess))
    return measure(model, missing, parameters)


def measure(model: Backend, missing: pd.DataFrame, parameters: Generation) -> ThroughputPlan:
    """Return the fastest of a few divisions of the cores, with a suitable batch size that memory allows."""
    cores, started = available_threads(), time.monotonic()
    wide = _device(model) == "cpu" and not parameters.workers
    divisions = sorted({1, 2, cores // 2, cores} - {0}) if wide else [parameters.workers or 1]
    prompts = pd.Series(missing["rendered"].unique()).sample(_PROMPTS, replace=True, random_state=0).tolist()
    plans: list[ThroughputPlan] = []
    for workers in (number for number in divisions if number <= cores):
        if plans and time.monotonic() - started > SECONDS * len(plans) / (len(plans) + 1):
            break
        plans.append(_time(model, prompts, parameters, workers, max(1, cores // workers)))
    work = (prompt_tokens(model, missing, LARGEST), len(missing), TYPICAL_TOKENS, parameters.most_tokens)
    return min(plans, key=lambda plan: plan.seconds(*work))


def _time(model, prompts: list[str], parameters: Generation, workers: int, threads: int) -> ThroughputPlan:
    """Measure prefill and decoding with `workers` doing the same work at the same time."""
    from lib.models import huggingface

    model.workers, model.threads = workers, threads
    ids = alike_prompts(model, prompts)
    seconds = (
        pd.DataFrame(huggingface.map_threads(model, lambda _: _time_one(model, ids), list(range(workers))))
        .mean()
        .to_dict()
    )
    few, many = _SIZES
    per_row = max((seconds["many"] - seconds["few"]) / (many - few), 1e-9)
    per_step, per_token = max(seconds["few"] - few * per_row, 0.0), per_row / workers
    suitable = (
        per_step
        * parameters.max_new_tokens
        / (_OVERHEAD * per_token * min(TYPICAL_TOKENS, parameters.max_new_tokens))
    )
    suitable = max(suitable, _SIZES[1])  # on a busy machine a step may seem to cost nothing
    fitting = working_bytes(parameters) / row_bytes(model, max(map(len, ids)) + parameters.most_tokens)
    affordable = max(MAX_UNSAVED_SECONDS / (per_token * TYPICAL_TOKENS), workers)
    batch = parameters.batch_size or int(max(1, min(suitable, affordable, fitting, LARGEST)))
    return ThroughputPlan(batch, workers, threads, seconds["read"] / workers, per_step, per_token)


def expected(pace: ThroughputPlan, model, batch: pd.DataFrame, parameters: Generation) -> float:
    """Return the seconds that a batch takes under a measured plan; 0 if the plan was not measured."""
    if not pace.decode_seconds_per_token:
        return 0.0
    tokens = min(TYPICAL_TOKENS, parameters.max_new_tokens)
    return pace.seconds(
        prompt_tokens(model, batch, len(batch)), len(batch), tokens, parameters.max_new_tokens
    )


def alike_prompts(model, prompts: list[str]) -> list[list[int]]:
    """Return the tokens of as many prompts, all of a kind that the model reads in one batch."""
    from lib.models import decoding

    ids = model.token_ids(prompts)
    largest = max(decoding.alike(model.config, ids), key=len)
    return [ids[largest[index % len(largest)]] for index in range(len(ids))]


def _time_one(model, ids: list[list[int]]) -> dict[str, float]:
    """Measure seconds: `read` per token of a prompt, and one step for a `few` and for `many` rows."""
    import torch

    from lib.models import decoding

    with torch.inference_mode(), model.named():
        decoding.read(model.weights, model.tokenizer, ids[:1])  # the very first pass is slower
        started = time.perf_counter()
        logits, mask, cache = decoding.read(model.weights, model.tokenizer, ids)
        tokens = logits.argmax(dim=-1)
        seconds = {"read": (time.perf_counter() - started) / mask.numel()}
        for name, rows in zip(("many", "few"), reversed(_SIZES), strict=True):
            rows_kept = torch.arange(rows, device=tokens.device) % len(tokens)
            cache.reorder_cache(rows_kept)  # type: ignore[arg-type]  # transformers names a legacy type
            mask, tokens, times = mask[rows_kept], tokens[rows_kept], []
            for _ in range(3):
                started = time.perf_counter()
                logits, mask = decoding.write(model.weights, tokens, mask, cache)
                logits.argmax(dim=-1).tolist()  # waits for the accelerator
                times.append(time.perf_counter() - started)
            seconds[name] = min(times)
    return seconds


def prompt_tokens(model, missing: pd.DataFrame, batch_size: int) -> int:
    """Return how many prompt tokens are read if `missing` is processed in batches of `batch_size`.

    Each distinct prompt of a batch is read once, and so is the prefix that all prompts of a batch share.
    """
    from lib.models import architectures, decoding

    total = 0
    for start in range(0, len(missing), batch_size):
        ids = model.token_ids(missing["rendered"].iloc[start : start + batch_size].unique().tolist())
        if architectures.needs_equal_lengths(model.config):
            total += sum(map(len, ids))
            continue
        shared = decoding.common_prefix(ids)
        total += shared + len(ids) * (max(map(len, ids)) - shared)
    return total


def row_bytes(model, tokens: int) -> int:
    """Return the memory of one row of a batch, in bytes.

    It is the cache of keys and values (twice while rows are dropped), the activations of one layer for its
    prompt, and its scores. An architecture without attention is estimated as if it had attention: its state
    is smaller than the cache of a typical prompt.

    Args:
        model: The backend.
        tokens: Tokens of the row, prompt and completion.
    """
    config = model.config.get_text_config()
    hidden, layers = _value(config, "hidden_size", or_=1024), _value(config, "num_hidden_layers", or_=24)
    queries = _value(config, "num_attention_heads", or_=1)
    heads = _value(config, "num_key_value_heads", or_=queries)
    # DeepSeek's attention
    latent = _value(config, "qk_nope_head_dim", or_=0) + _value(config, "qk_rope_head_dim", or_=0)
    size = max(_value(config, "head_dim", or_=hidden // queries), latent, _value(config, "v_head_dim", or_=0))
    width = 4 if model.spec.dtype == "float32" else 2
    inner = _value(config, "intermediate_size", or_=4 * hidden)
    cache = 2 * layers * heads * size * tokens * width
    layer = (8 * hidden + 3 * inner) * tokens * width
    return 2 * cache + layer + 4 * 4 * _value(config, "vocab_size", or_=len(model.tokenizer))


def _value(config, name: str, or_: int) -> int:
    """Return a number of the configuration, the greatest if set per layer; `or_` where it is missing."""
    value = getattr(config, name, None)
    numbers = [number for number in (value if isinstance(value, list | tuple) else [value]) if number]
    return int(max(numbers, default=or_))


def working_bytes(parameters: Generation) -> float:
    """Return the memory that decoding may use in addition to the weights, in bytes."""
    from lib.models import huggingface

    return (
        parameters.max_working_memory_gb * 1e9
        if parameters.max_working_memory_gb
        else 0.7 * huggingface.free_bytes()
    )


def _device(model) -> str:
    return model.weights.device.type
