"""What a backend gives back: the text that a model wrote after one prompt, and what only the backend can know
of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reply:
    """What a model wrote after one prompt, in how many tokens, and whether it stopped or its first sentence
    ended.

    `outcome`, with the reason in `note`, is given where the backend knows that there is no answer:
    `filtered`, `thought_unfinished`, `failed` (see lib.replies.outcomes); what the text itself shows is told
    from the text.
    """

    text: str
    tokens: int
    ended: bool
    outcome: str | None = None
    note: str = ""
