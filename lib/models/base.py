"""What a backend of a model is: text in, text out. `lib.models.registry` tells which one a model of a
parameter set needs."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from lib.config.specs import Model
from lib.replies.reply import Reply

INSTRUCTION = "Complete the sentence:"  # Gonen et al. (2025) ask chat models so


def no_progress(count: int) -> None:
    """Progress that nobody wants to see."""


class Backend:
    """A model that can be asked. Making one reads no weights; they load at the first reply.

    spec: the model of the parameter set. fingerprint: everything that its answers depend on beside the
    request. parameters: the number of its weights outside the embedding tables, None if nobody can tell.
    tokenizer: None if prompts cannot be seen token by token. is_local: its weights run in this process, so
    that its pace can be measured and its probabilities seen.
    """

    spec: Model
    fingerprint: str
    parameters: int | None
    tokenizer: Any = None
    is_local = False

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """The prompt as it is sent."""
        raise NotImplementedError(f"{type(self).__name__} renders no prompts")

    def question(self, text: str) -> str:
        """A free question as it is sent."""
        raise NotImplementedError(f"{type(self).__name__} is asked no free questions")

    def opens_thought(self, rendered: str) -> bool:
        """Whether a prompt ends within a thought that it has opened, so that the reply goes on with it."""
        return False

    def check(self, requested: pd.DataFrame) -> None:
        """ParameterError if the model cannot answer these requests (columns as for `reply`), told before any
        is asked."""

    def reply(
        self,
        requests: pd.DataFrame,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        progress: Callable[[int], None] = no_progress,
    ) -> list[Reply]:
        """One Reply for each row of `requests`: rendered, prompt_id, mitigation, mitigation_text, context,
        stem, group_id, sample_index. It calls progress(count) as replies are finished. The reply to a free
        question, whose row has neither context nor stem (None), is not cut after its first sentence."""
        raise NotImplementedError(f"{type(self).__name__} gives no replies")
