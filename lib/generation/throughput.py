"""The plan of a run's throughput: how the work of a model is divided, and what it will take.

Nothing here changes a completion: the noise is keyed, so results are the same in any division.
`lib.generation.calibration` measures; it is imported where it is needed, as torch takes seconds to load.
"""

from dataclasses import dataclass

import pandas as pd

from lib.config.sections import Generation
from lib.models.base import Division
from lib.runtime.cores import available_threads

MIN_TO_CALIBRATE = 300  # missing completions below which a calibration costs more than it saves
AGAIN = 240  # seconds after which a run measures again: other programs come and go
LARGEST = 512  # completions decoded at the same time by a model that is not measured
MAX_UNSAVED_SECONDS = 60  # seconds of work that is not yet saved: what a kill may cost
TYPICAL_TOKENS = 12  # of a completion up to the end of its first sentence; assumed before any is seen
_LARGEST_PART = {"cpu": 96}  # rows of a worker; more are hardly faster and take memory
_LARGEST_PART_ELSEWHERE = 1024
_SMALL_PART = 64  # completions that are not worth a worker of their own


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
        if not parameters.workers and len(missing) < available_threads() * _SMALL_PART:
            workers = 1
        size = parameters.batch_size or workers * largest_part(model)
        return ThroughputPlan(size, workers, max(1, available_threads() // workers))
    from lib.generation import calibration

    return calibration.measure(model, missing, parameters)


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


def again(plan: ThroughputPlan, model, missing: pd.DataFrame, parameters: Generation) -> ThroughputPlan:
    """Return the plan as it is measured now, for a run that has measured before."""
    if not plan.decode_seconds_per_token or is_settled(missing, parameters):
        return plan
    from lib.generation import calibration

    return calibration.measure(model, missing, parameters)


def expected(pace: ThroughputPlan, model, batch: pd.DataFrame, parameters: Generation) -> float:
    """Return the seconds that a batch takes under a measured plan; 0 if the plan was not measured."""
    if not pace.decode_seconds_per_token:
        return 0.0
    from lib.generation import calibration

    tokens = min(TYPICAL_TOKENS, parameters.max_new_tokens)
    return pace.seconds(
        calibration.prompt_tokens(model, batch, len(batch)), len(batch), tokens, parameters.max_new_tokens
    )


def largest_part(model) -> int:
    """Most rows that a worker decodes at the same time."""
    return _LARGEST_PART.get(model.weights.device.type, _LARGEST_PART_ELSEWHERE)
