"""The interface of a backend (text in, text out); `lib.models.registry` selects the backend of a model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lib.config.specs import Model
from lib.replies.reply import Reply

INSTRUCTION = "Complete the sentence:"  # the wording of Gonen et al. (2025) for chat models


def no_progress(count: int) -> None:
    """Ignore the progress."""


@dataclass(frozen=True)
class Division:
    """How the work of a model in this process is divided. No reply depends on it.

    Attributes:
        rows: Most rows that are decoded at the same time, of all workers together; None for all of a call.
        workers: Parts that are decoded in parallel.
        threads: Cores of each part; None keeps torch's own number.
    """

    rows: int | None = None
    workers: int = 1
    threads: int | None = None


UNDIVIDED = Division()


class Backend:
    """A model that can be asked for completions.

    Creating an instance reads no weights; they load at the first reply.

    Attributes:
        spec: The model of the parameter set.
        fingerprint: Everything that the answers depend on, apart from the request.
        parameters: Number of weights outside the embedding tables; None if it cannot be known.
        tokenizer: The tokenizer; None if prompts cannot be inspected token by token.
        is_local: Whether the weights run in this process, so that the throughput can be measured and the
            probabilities are visible.
    """

    spec: Model
    fingerprint: str
    parameters: int | None
    tokenizer: Any = None
    is_local = False

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """Render the prompt as it is sent."""
        raise NotImplementedError(f"{type(self).__name__} renders no prompts")

    def question(self, text: str) -> str:
        """Render a free question as it is sent."""
        raise NotImplementedError(f"{type(self).__name__} is asked no free questions")

    def opens_thought(self, rendered: str) -> bool:
        """Whether a prompt ends within a thought that it has opened, so that the reply continues it."""
        return False

    def check(self, requested: pd.DataFrame) -> None:
        """Check that the model can answer these requests, before any is sent.

        Args:
            requested: One row per request, with the columns that `reply` needs.

        Raises:
            ParameterError: If the model cannot answer one of them.
        """

    def reply(
        self,
        requests: pd.DataFrame,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        progress: Callable[[int], None] = no_progress,
    ) -> list[Reply]:
        """Answer each of the requests.

        The reply to a free question, a row with neither context nor stem (None), is not cut after its first
        sentence.

        Args:
            requests: One row per request: rendered, prompt_id, mitigation, mitigation_text, context, stem,
                group_id, sample_index.
            temperature: Sampling temperature.
            max_new_tokens: Most tokens that an answer may take.
            seed: Seed of the draws.
            progress: Called with the number of replies that have finished since the last call.

        Returns:
            One Reply for each row of `requests`, in their order.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no replies")
