"""Measuring the throughput of a model of the transformers library, in a few seconds."""

import time

import pandas as pd
import torch

from lib.config.sections import Generation
from lib.generation import memory, plans
from lib.generation.plans import ThroughputPlan
from lib.models import architectures, huggingface, prefill, rows
from lib.models.base import Division
from lib.models.huggingface import HuggingFaceModel
from lib.runtime.cores import available_threads

# another division than the usual one must be so many times as fast: threads that wait for each other lose
# most where other programs run, and those come and go
_MUCH_FASTER = 1.3
_SECONDS = 15  # another division is tried only if it will probably finish within this time
_OVERHEAD = 0.1  # share of time that may go to the fixed cost of a step
_SIZES = (8, 64)  # rows of the two timed steps
_PROMPTS = 16  # prompts in the timed prefill


def measure(model: HuggingFaceModel, missing: pd.DataFrame, parameters: Generation) -> ThroughputPlan:
    """Return the usual division, or another one that is much faster, with a batch size that memory allows."""
    cores, started = available_threads(), time.monotonic()
    prompts = pd.Series(missing["rendered"].unique()).sample(_PROMPTS, replace=True, random_state=0).tolist()
    work = (
        prompt_tokens(model, missing, plans.LARGEST),
        len(missing),
        plans.TYPICAL_TOKENS,
        parameters.most_tokens,
    )
    workers = parameters.workers or plans.usual(model).workers
    best = _time(model, prompts, parameters, workers, max(1, cores // workers))
    others = {1, 2, cores // 2} - {0, workers} if workers == cores and not parameters.workers else set()
    for number in sorted(others):
        if 3 * (time.monotonic() - started) > _SECONDS:
            break
        # threads that wait for each other beside another program would take minutes to measure
        if _passes(model, prompts, number, max(1, cores // number)) < _passes(
            model, prompts, best.workers, best.threads or 1
        ):
            continue
        other = _time(model, prompts, parameters, number, max(1, cores // number))
        again = _time(model, prompts, parameters, best.workers, best.threads or 1)  # just after it: paired
        if again.seconds(*work) > _MUCH_FASTER * other.seconds(*work):
            best = other
        else:
            best = min(best, again, key=lambda plan: plan.seconds(*work))
    huggingface.give_back_memory()
    return best


def _passes(model, prompts: list[str], workers: int, threads: int) -> float:
    """Forward passes of a prompt a second, with `workers` doing the same work at the same time."""
    ids = alike_prompts(model, prompts[:1])
    model.weights  # noqa: B018  load before the threads start

    def read(_) -> None:
        with torch.inference_mode(), model.named():
            prefill.last_logits(model.weights, model.tokenizer, ids)

    started = time.perf_counter()
    huggingface.map_threads(read, list(range(workers)), Division(None, workers, threads))
    return workers / (time.perf_counter() - started)


def _time(model, prompts: list[str], parameters: Generation, workers: int, threads: int) -> ThroughputPlan:
    """Measure prefill and decoding with `workers` doing the same work at the same time."""
    ids = alike_prompts(model, prompts)
    model.weights  # noqa: B018  load before the threads start
    measured = huggingface.map_threads(
        lambda _: _time_one(model, ids), list(range(workers)), Division(None, workers, threads)
    )
    seconds = pd.DataFrame(measured).mean().to_dict()
    few, many = _SIZES
    per_row = max((seconds["many"] - seconds["few"]) / (many - few), 1e-9)
    per_step, per_token = max(seconds["few"] - few * per_row, 0.0), per_row / workers
    # of one worker; on a busy machine a step may seem to cost nothing
    suitable = max(per_step / (_OVERHEAD * per_row), _SIZES[1])
    part = min(suitable, plans.largest_part(model))
    fitting = memory.rows_that_fit(model, max(map(len, ids)) + parameters.most_tokens, workers, parameters)
    batch = parameters.batch_size or int(max(1, min(part * workers, fitting)))
    return ThroughputPlan(batch, workers, threads, seconds["read"] / workers, per_step, per_token)


def _time_one(model, ids: list[list[int]]) -> dict[str, float]:
    """Measure seconds: `read` per token of a prompt, and one step for a `few` and for `many` rows."""
    few, many = _SIZES
    with torch.inference_mode(), model.named():
        prefill.last_logits(model.weights, model.tokenizer, ids[:1])  # the very first pass is slower
        started = time.perf_counter()
        reader = prefill.Reader(model.weights, model.tokenizer, ids, 8)
        batch = rows.of(reader, many)
        _, logits = batch.admit([row * len(ids) // many for row in range(many)])
        logits.argmax(dim=-1).tolist()  # waits for the accelerator
        seconds = {"read": (time.perf_counter() - started) / prefill.tokens_read(model.weights, ids, 8)}
        tokens = torch.zeros(many, dtype=torch.long, device=logits.device)
        for name, count in (("many", many), ("few", few)):
            batch.keep(list(range(count)))
            times = []
            for _ in range(3):
                started = time.perf_counter()
                batch.write(tokens[:count]).argmax(dim=-1).tolist()
                times.append(time.perf_counter() - started)
            seconds[name] = min(times)
    return seconds


def alike_prompts(model, prompts: list[str]) -> list[list[int]]:
    """Return the tokens of as many prompts, all of a kind that the model reads in one batch."""
    ids = model.token_ids(prompts)
    largest = max(architectures.alike(model.config, ids), key=len)
    return [ids[largest[index % len(largest)]] for index in range(len(ids))]


def prompt_tokens(model, missing: pd.DataFrame, batch_size: int) -> int:
    """Return how many prompt tokens are read if `missing` is processed in batches of `batch_size`.

    Each distinct prompt of a batch is read once, and so is what several of them share at their beginning.
    """
    total = 0
    for start in range(0, len(missing), batch_size):
        ids = model.token_ids(missing["rendered"].iloc[start : start + batch_size].unique().tolist())
        for group in architectures.alike(model.config, ids):
            total += prefill.tokens_read(model.weights, [ids[index] for index in group])
    return total
