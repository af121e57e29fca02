"""The outcome of each completion: an answer, or the reason why there is none to judge.

Input: a Reply (lib.replies.reply). Output: a Settled. A backend reports what only it can know (filtered,
failed, a thought that never ended). Everything else is decided from the text: thoughts are removed, then the
repeated prompt and preambles, and the rest is cut after its first sentence.

An answer that precedes a thought is the answer: decoding stops there. A closing marker without an opening one
removes everything before it, wherever it occurs, because some servers send only the end of a thought. This is
the only thing that can still change the result after `is_complete`. Where text is decoded by this project,
`thinking` says in advance that a thought has begun.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from lib.nlp import sentences
from lib.replies import openings, refusals

if TYPE_CHECKING:
    from lib.replies.reply import Reply

# part of every completion's key: change it with any change here
VERSION = f"outcomes-2 {openings.VERSION} {refusals.VERSION}"

ANSWERED, TRUNCATED = "answered", "truncated"
EMPTY, REFUSED, FILTERED, THOUGHT_UNFINISHED, FAILED = (
    "empty",
    "refused",
    "filtered",
    "thought_unfinished",
    "failed",
)
USABLE = (ANSWERED, TRUNCATED)
OUTCOMES = (*USABLE, EMPTY, REFUSED, FILTERED, THOUGHT_UNFINISHED, FAILED)
THOUGHT_MARKERS = ("<think>", "</think>")
UNFINISHED_NOTE = "the thought has no end; switch it off in chat_template_kwargs, or raise thinking_tokens"
_SHOWN = 200  # characters of a reply in a note
_MARKUP_LINES = re.compile(r"(?:[^\w.!?。！？؟।]|_|\.\.+)*[\n\r]")
_BULLET = re.compile(r"\s*[-*•–·]\s+")
_MARKUP = re.compile(r"(?:[^\w.!?。！？؟।]|_|\.\.+)*")


@dataclass(frozen=True)
class Settled:
    """The completion that is judged, and its outcome.

    Attributes:
        completion: The text to judge; None where it is missing.
        outcome: One of OUTCOMES.
        note: The text that stands in place of an answer, or the reason why there is none.
    """

    completion: str | None
    outcome: str
    note: str = ""


class Reading(NamedTuple):
    """A reply after its parts have been identified.

    Attributes:
        rules: Names of the rules that removed something.
        answer: The rest of the text; None within a thought.
        end: Where the first sentence of the answer ends.
        closing: Marks that may close the answer.
        sure: Whether the start of the answer is final.
    """

    rules: tuple[str, ...]
    answer: str | None
    end: int | None  # None: no sentence ends, or its end is not final
    closing: str  # quotation marks and markdown that were opened before the answer
    sure: bool  # the answer begins there, whatever follows

    @property
    def completion(self) -> str:
        """The first sentence of the answer, which there must be."""
        assert self.answer is not None
        return openings.without_closing(self.answer[: self.end].strip(), self.closing)


def settle(
    reply: Reply,
    context: str | None,
    stem: str | None,
    mitigation: str = "",
    markers=THOUGHT_MARKERS,
    thinking: bool = False,
) -> Settled:
    """Decide the completion and the outcome of a model's whole reply.

    Args:
        reply: The reply of the backend.
        context: The context of the prompt.
        stem: The stem of the prompt. None for a free question: only thoughts are removed, the answer is not
            cut.
        mitigation: The text of the mitigation in the prompt.
        markers: The two strings that enclose a thought.
        thinking: Whether the prompt itself has opened the thought, so that the reply begins within it.

    Raises:
        ValueError: If the backend names an outcome that does not exist or that only the text can decide.
    """
    if reply.outcome:
        if reply.outcome not in OUTCOMES or reply.outcome in USABLE:
            raise ValueError(
                f"outcome {reply.outcome!r}: not one that a backend gives; give one of "
                f"{', '.join(OUTCOMES[2:])}"
            )
        return Settled(None, reply.outcome, reply.note)
    reading = read(reply.text, context, stem, mitigation, tuple(markers), thinking)
    if reading.answer is None:
        return Settled(None, THOUGHT_UNFINISHED, UNFINISHED_NOTE)
    if not any(map(str.isalnum, reading.completion)):
        return Settled(
            None, EMPTY, _shown(reply.text if reading.end is None else reading.completion) or "no text"
        )
    if stem is not None and (refusal := _refusal(reading, _asked(context or "", stem, mitigation))):
        return Settled(None, REFUSED, _shown(refusal))
    return Settled(reading.completion, ANSWERED if reply.ended or reading.end is not None else TRUNCATED)


def is_complete(
    text: str,
    context: str | None,
    stem: str | None,
    mitigation: str = "",
    markers=THOUGHT_MARKERS,
    thinking: bool = False,
) -> bool:
    """Whether decoding can stop, because `settle` gives the same result whatever follows `text`.

    The module docstring names the one exception. Without a stem the result is False: the answer to a free
    question ends where the model ends it. The arguments are those of `settle`.
    """
    if stem is None or not sentences.begun(text):
        return False
    reading = read(text, context, stem, mitigation, tuple(markers), thinking, growing=True)
    if not reading.sure or reading.answer is None or reading.end is None:
        return False
    return _refusal(reading, _asked(context or "", stem, mitigation), growing=True) is not None


def read(
    text: str,
    context: str | None,
    stem: str | None,
    mitigation: str,
    markers: tuple[str, str],
    thinking: bool,
    growing: bool = False,
) -> Reading:
    """Split `text` into the parts of a reply.

    Args:
        text: The reply, or its beginning.
        context: The context of the prompt.
        stem: The stem of the prompt; None for a free question.
        mitigation: The text of the mitigation in the prompt.
        markers: The two strings that enclose a thought.
        thinking: Whether the reply begins within a thought.
        growing: Whether more text may follow; what that text could change is then not sure.
    """
    opening, closing = _markers(*markers)
    start, rules = _after_begun_thought(text, opening, closing, thinking)
    if start is None:
        return Reading(rules, None, None, "", True)
    prompt = None if stem is None else _asked(context or "", stem, mitigation)
    after_thought, sure = start, True
    while True:
        name, length, is_final = _first_rule(text[start:], prompt, opening, closing, markers[0])
        sure = sure and is_final
        if length is None:
            return Reading((*rules, name), None, None, "", True)
        if not length:
            break
        start, rules = start + length, (*rules, name)
        after_thought = start if name == "thought" else after_thought
    answer, marks = text[start:], openings.unclosed(text[after_thought:start])
    if prompt is None:
        return Reading(rules, answer.strip(), None, "", sure)
    if not growing and openings.is_part_of_echo(answer, prompt):
        return Reading((*rules, "echo"), "", None, "", sure)
    return _cut(answer, rules, marks, sure, opening, closing, growing)


def _cut(
    answer: str, rules: tuple, marks: str, sure: bool, opening: re.Pattern, closing: re.Pattern, growing: bool
) -> Reading:
    """Find the end of the first sentence of `answer`, which a thought may follow."""
    lines = _MARKUP_LINES.match(answer)
    answer = answer[lines.end() if lines else 0 :].lstrip()
    if lines and "preamble" in rules and (bullet := _BULLET.match(answer)):
        answer = answer[bullet.end() :]
    next_thought = opening.search(answer)
    if next_thought is None:
        return Reading(rules, answer, sentences.first_end(answer, growing), marks, sure)
    before = answer[: next_thought.start()]
    # the marker ends a line; half of it must give the same result
    end = sentences.first_end(answer[: next_thought.start() + 1] + "\n")
    return Reading(rules, before, len(before) if end is None else min(end, len(before)), marks, sure)


def _first_rule(
    text: str, prompt, opening: re.Pattern, closing: re.Pattern, marker: str
) -> tuple[str, int | None, bool]:
    """The rule that removes the start of `text`, how much it removes, and whether that is final.

    The length is None for a thought without an end.
    """
    length, sure = _thought(text, opening, closing, marker)
    if length != 0 or prompt is None:
        return "thought", length, sure
    for name, rule in (("echo", openings.echo), ("preamble", openings.preamble)):
        length, is_final = rule(text, prompt)
        sure = sure and is_final
        if length:
            return name, length, sure
    return "", 0, sure


def _thought(text: str, opening: re.Pattern, closing: re.Pattern, marker: str) -> tuple[int | None, bool]:
    """Length of the thought at the start of `text` (None if it has no end), and whether that is final."""
    match = opening.search(text)
    if not match or not _MARKUP.fullmatch(text, 0, match.start()):
        prefix = text.strip().lower()
        return 0, not marker.strip().lower().startswith(prefix)
    end = closing.search(text, match.end())
    return (end.end(), True) if end else (None, True)


def _after_begun_thought(
    text: str, opening: re.Pattern, closing: re.Pattern, thinking: bool
) -> tuple[int | None, tuple]:
    """Where the text begins after a thought that was opened before it; None if the thought has no end."""
    end = closing.search(text)
    if thinking:
        return (end.end(), ("thought",)) if end else (None, ("thought",))
    if end and not opening.search(text, 0, end.start()):
        return end.end(), ("thought",)
    return 0, ()


def _refusal(reading: Reading, prompt: openings.Asked, growing: bool = False) -> str | None:
    """The sentence that refuses to answer; empty if there is none.

    None if the sentence after an apology decides it and has not ended yet.
    """
    if refusals.is_refusal(reading.completion, prompt.says, prompt.names):
        return reading.completion
    if not refusals.is_apology(reading.completion) or reading.end is None:
        return ""
    assert reading.answer is not None
    rest = reading.answer[reading.end :].lstrip()
    end = sentences.first_end(rest, growing)
    if growing and end is None:
        return None
    return (
        f"{reading.completion} {rest[:end].strip()}"
        if refusals.is_refusal(rest[:end], prompt.says, prompt.names)
        else ""
    )


@lru_cache(maxsize=64)
def _markers(opening: str, closing: str) -> tuple[re.Pattern, re.Pattern]:
    if not opening.strip() or not closing.strip():
        raise ValueError(
            f"thought_markers {[opening, closing]}: an empty marker; give the two strings that enclose a "
            "thought"
        )
    return _marker(opening), _marker(closing)


def _marker(text: str) -> re.Pattern:
    return re.compile(r"\s+".join(map(re.escape, text.split())), re.IGNORECASE)


@lru_cache(maxsize=4096)
def _asked(context: str, stem: str, mitigation: str) -> openings.Asked:
    parts, rest = [], mitigation.strip()
    while rest:
        parts.append(sentences.first_sentence(rest))
        rest = rest[len(parts[-1]) :].strip()
    return openings.asked(context, stem, tuple(parts))


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
