"""Throughput of a model, measured in a few seconds, to choose how its work is divided.

Nothing here changes a completion: the noise is keyed, so results are the same in any division.
"""

import time
from dataclasses import dataclass

import pandas as pd

from lib.config.sections import Generation
from lib.generation import memory
from lib.models import architectures, huggingface, prefill, rows
from lib.models.base import Backend, Division
from lib.runtime.cores import available_threads

MIN_TO_CALIBRATE = 300  # missing completions below which a calibration costs more than it saves
AGAIN = 240  # seconds after which a run measures again: other programs come and go
LARGEST = 512  # completions decoded at the same time by a model that is not measured
MAX_UNSAVED_SECONDS = 60  # seconds of work that is not yet saved: what a kill may cost
TYPICAL_TOKENS = 12  # of a completion up to the end of its first sentence; assumed before any is seen
# another division than the usual one must be so many times as fast: threads that wait for each other lose
# most where other programs run, and those come and go
_MUCH_FASTER = 1.3
_SECONDS = 15  # another division is tried only if it will probably finish within this time
_OVERHEAD = 0.1  # share of time that may go to the fixed cost of a step
_LARGEST_PART = {"cpu": 96}  # rows of a worker; more are hardly faster and take memory
_LARGEST_PART_ELSEWHERE = 1024
_SIZES = (8, 64)  # rows of the two timed steps
_PROMPTS = 16  # prompts in the timed prefill


@dataclass(frozen=True)
class ThroughputPlan:
    """How to run a model, and the measured cost. Results do not depend on it.

    Attributes:
        batch_size: Completions decoded at the same time, by all workers together.
        workers: Parts that are decoded in parallel.
        threads: Cores of each part; None keeps torch's own number.
        prefill_seconds_per_token: Seconds for one token of a prompt, of all workers together.
        per_step: Seconds of one step, regardless of its rows.
        decode_seconds_per_token: Seconds for one generated token.
    """

    batch_size: int
    workers: int
    threads: int | None
    prefill_seconds_per_token: float = 0.0
    per_step: float = 0.0
    decode_seconds_per_token: float = 0.0

    @property
    def division(self) -> Division:
        """What the backend needs to know of it."""
        return Division(self.batch_size, self.workers, self.threads)

    @property
    def saved_together(self) -> int:
        """Number of completions that are generated and saved in one call of the model."""
        if not self.decode_seconds_per_token:
            return self.batch_size
        per_completion = TYPICAL_TOKENS * (self.decode_seconds_per_token + self.per_step / self.batch_size)
        return max(self.batch_size, int(MAX_UNSAVED_SECONDS / per_completion))

    def seconds(self, read: int, completions: int, tokens: float, max_new_tokens: int) -> float:
        """Return the seconds to prefill `read` prompt tokens and to generate the completions.

        Rows that leave are replaced, so a batch is full until the last completions.

        Args:
            read: Number of prompt tokens.
            completions: Number of completions.
            tokens: Mean tokens of a completion.
            max_new_tokens: Most tokens of a completion.
        """
        steps = completions * tokens / self.batch_size + max_new_tokens
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
    if is_settled(missing, parameters):
        workers = parameters.workers or usual(model).workers
        if not parameters.workers and len(missing) < available_threads() * _SIZES[1]:
            workers = 1
        size = parameters.batch_size or workers * _largest_part(model)
        return ThroughputPlan(size, workers, max(1, available_threads() // workers))
    return measure(model, missing, parameters)


def is_settled(missing: pd.DataFrame, parameters: Generation) -> bool:
    """Whether nothing has to be measured: the parameters say all, or few completions are missing."""
    return len(missing) < MIN_TO_CALIBRATE or bool(parameters.batch_size and parameters.workers)


def usual(model) -> Division:
    """The division that is best as a rule: on a processor, one thread in each of as many workers as cores.

    Threads of one worker wait for each other at every matrix product, which is slow beside other programs.
    """
    if model.weights.device.type == "cpu":
        return Division(workers=available_threads(), threads=1)
    return Division(threads=available_threads())


def measure(model: Backend, missing: pd.DataFrame, parameters: Generation) -> ThroughputPlan:
    """Return the usual division, or another one that is much faster, with a batch size that memory allows."""
    cores, started = available_threads(), time.monotonic()
    prompts = pd.Series(missing["rendered"].unique()).sample(_PROMPTS, replace=True, random_state=0).tolist()
    work = (prompt_tokens(model, missing, LARGEST), len(missing), TYPICAL_TOKENS, parameters.most_tokens)
    workers = parameters.workers or usual(model).workers
    best = _time(model, prompts, parameters, workers, max(1, cores // workers))
    others = {1, 2, cores // 2} - {0, workers} if workers == cores and not parameters.workers else set()
    for number in sorted(others):
        if 3 * (time.monotonic() - started) > _SECONDS:
            break
        other = _time(model, prompts, parameters, number, max(1, cores // number))
        again = _time(model, prompts, parameters, best.workers, best.threads or 1)  # just after it: paired
        if again.seconds(*work) > _MUCH_FASTER * other.seconds(*work):
            best = other
        else:
            best = min(best, again, key=lambda plan: plan.seconds(*work))
    return best


def again(plan: ThroughputPlan, model, missing: pd.DataFrame, parameters: Generation) -> ThroughputPlan:
    """Return the plan as it is measured now, for a run that has measured before."""
    if not plan.decode_seconds_per_token or is_settled(missing, parameters):
        return plan
    return measure(model, missing, parameters)


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
    part = min(suitable, _largest_part(model))
    fitting = memory.rows_that_fit(model, max(map(len, ids)) + parameters.most_tokens, workers, parameters)
    batch = parameters.batch_size or int(max(1, min(part * workers, fitting)))
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
    ids = model.token_ids(prompts)
    largest = max(architectures.alike(model.config, ids), key=len)
    return [ids[largest[index % len(largest)]] for index in range(len(ids))]


def _time_one(model, ids: list[list[int]]) -> dict[str, float]:
    """Measure seconds: `read` per token of a prompt, and one step for a `few` and for `many` rows."""
    import torch

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


def _largest_part(model) -> int:
    return _LARGEST_PART.get(model.weights.device.type, _LARGEST_PART_ELSEWHERE)
