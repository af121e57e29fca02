"""What became of each completion: an answer, or the reason why there is none to judge.

Reply (lib.models) in, Settled out. A backend says what only it can know (filtered, failed, a thought that never ended); the
text says the rest.
"""

from dataclasses import dataclass

from lib import sentences
from lib.models import Reply

VERSION = "outcomes-1"  # part of every completion's key: change it with anything that changes an outcome or a completion

ANSWERED, TRUNCATED = "answered", "truncated"
EMPTY, REFUSED, FILTERED, THOUGHT_UNFINISHED, FAILED = "empty", "refused", "filtered", "thought_unfinished", "failed"
USABLE = (ANSWERED, TRUNCATED)
OUTCOMES = (*USABLE, EMPTY, REFUSED, FILTERED, THOUGHT_UNFINISHED, FAILED)
THOUGHT_MARKERS = ("<think>", "</think>")


@dataclass(frozen=True)
class Settled:
    """The completion that is judged, None where it is missing; its outcome, one of OUTCOMES; and a note: what stands there
    instead, or why there is nothing."""

    completion: str | None
    outcome: str
    note: str = ""


def settle(reply: Reply, context: str | None, stem: str | None, mitigation: str = "", markers=THOUGHT_MARKERS,
           thinking: bool = False) -> Settled:  # fmt: skip
    """What counts of a model's whole reply to a prompt made of `mitigation`, `context` and `stem`.

    `thinking`: the prompt itself has opened the thought, so the reply begins within it. Without a stem (a free question) only
    thoughts are set aside; the answer is neither cut nor looked at.
    """
    if reply.outcome:
        return Settled(None, reply.outcome, reply.note)
    completion = sentences.completion_of(reply.text, context, stem)
    if not any(map(str.isalnum, completion)):
        return Settled(None, EMPTY, completion)
    return Settled(completion, ANSWERED if reply.ended else TRUNCATED)


def is_complete(text: str, context: str | None, stem: str | None, mitigation: str = "", markers=THOUGHT_MARKERS,
                thinking: bool = False) -> bool:  # fmt: skip
    """Whether decoding can stop: whatever comes after `text`, `settle` makes the same of it."""
    return sentences.is_complete(text, context, stem)
