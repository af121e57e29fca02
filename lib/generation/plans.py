"""The plan of a run's throughput: how the work of a model is divided, and what it takes.

Nothing here changes a completion: the noise is keyed, so results are the same in any division.
"""

from dataclasses import dataclass

from lib.models.base import Division
from lib.runtime.cores import available_threads

LARGEST = 512  # completions decoded at the same time by a model that is not measured
TYPICAL_TOKENS = 12  # of a completion up to the end of its first sentence; assumed before any is seen
_LARGEST_PART = {"cpu": 96}  # rows of a worker; more are hardly faster and take memory
_LARGEST_PART_ELSEWHERE = 1024


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


def usual(model) -> Division:
    """The division that is best as a rule: on a processor, one thread in each of as many workers as cores.

    Threads of one worker wait for each other at every matrix product, which is slow beside other programs.
    """
    if model.weights.device.type == "cpu":
        return Division(workers=available_threads(), threads=1)
    return Division(threads=available_threads())


def largest_part(model) -> int:
    """Most rows that a worker decodes at the same time."""
    return _LARGEST_PART.get(model.weights.device.type, _LARGEST_PART_ELSEWHERE)
