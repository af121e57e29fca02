"""The reply of a backend: the text after one prompt, and what only the backend can know about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reply:
    """What a model wrote after one prompt.

    `outcome`, with the reason in `note`, is set where the backend knows that there is no answer: `filtered`,
    `thought_unfinished`, `failed` (see lib.replies.outcomes). Everything else is decided from the text.

    Attributes:
        text: The text as the model wrote it.
        tokens: Number of tokens of the reply.
        ended: Whether the model stopped or its first sentence ended.
        outcome: One of lib.replies.outcomes.OUTCOMES if the backend knows that there is no answer, else None.
        note: The reason for `outcome`.
    """

    text: str
    tokens: int
    ended: bool
    outcome: str | None = None
    note: str = ""
