"""What became of each completion: an answer, or the reason why there is none to judge.

Reply (lib.replies.reply) in, Settled out. A backend says what only it can know (filtered, failed, a thought
that never ended); the text says the rest: thoughts are set aside, then the repeated prompt and preambles,
what is left is cut after its first sentence.

An answer that stands before a thought is the answer: decoding stops there. A closing marker without an
opening one sets aside what is before it, wherever it stands, for some servers send the end of a thought
alone. That is the one thing which can come after `is_complete`; where text is decoded here, `thinking` says
beforehand that a thought has begun.
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
    """The completion that is judged, None where it is missing; its outcome, one of OUTCOMES; and a note: what
    stands there instead, or why there is nothing."""

    completion: str | None
    outcome: str
    note: str = ""


class Reading(NamedTuple):
    """A text as it is read: what is taken off (names of rules), the answer (None within a thought), its first
    sentence's end."""

    rules: tuple[str, ...]
    answer: str | None
    end: int | None  # None: no sentence ends, or it is not sure where
    closing: str  # quotation marks and markdown that were opened before the answer
    sure: bool  # whatever follows, the answer begins there

    @property
    def completion(self) -> str:
        """The first sentence of the answer."""
        return openings.without_closing(self.answer[: self.end].strip(), self.closing)


def settle(
    reply: Reply,
    context: str | None,
    stem: str | None,
    mitigation: str = "",
    markers=THOUGHT_MARKERS,
    thinking: bool = False,
) -> Settled:
    """What counts of a model's whole reply to a prompt made of `mitigation`, `context` and `stem`.

    `thinking`: the prompt itself has opened the thought, so the reply begins within it. Without a stem (a
    free question) only thoughts are set aside; the answer is not cut. ValueError if the backend names an
    outcome that there is none of.
    """
    if reply.outcome:
        if reply.outcome not in OUTCOMES or reply.outcome in USABLE:
            raise ValueError(
                f"outcome {reply.outcome!r}: not one that a backend gives; give one of "
                f"{', '.join(OUTCOMES[2:])}"
            )
        return Settled(None, reply.outcome, reply.note)
    found = read(reply.text, context, stem, mitigation, tuple(markers), thinking)
    if found.answer is None:
        return Settled(None, THOUGHT_UNFINISHED, UNFINISHED_NOTE)
    if not any(map(str.isalnum, found.completion)):
        return Settled(
            None, EMPTY, _shown(reply.text if found.end is None else found.completion) or "no text"
        )
    if stem is not None and (refusal := _refusal(found, _asked(context or "", stem, mitigation))):
        return Settled(None, REFUSED, _shown(refusal))
    return Settled(found.completion, ANSWERED if reply.ended or found.end is not None else TRUNCATED)


def is_complete(
    text: str,
    context: str | None,
    stem: str | None,
    mitigation: str = "",
    markers=THOUGHT_MARKERS,
    thinking: bool = False,
) -> bool:
    """Whether decoding can stop: whatever comes after `text`, `settle` makes the same of it (but see the top
    of this file).

    Without a stem nothing is completed: the answer to a free question ends where the model ends it.
    """
    if stem is None or not sentences.begun(text):
        return False
    found = read(text, context, stem, mitigation, tuple(markers), thinking, growing=True)
    if not found.sure or found.answer is None or found.end is None:
        return False
    return _refusal(found, _asked(context or "", stem, mitigation), growing=True) is not None


def read(
    text: str,
    context: str | None,
    stem: str | None,
    mitigation: str,
    markers: tuple[str, str],
    thinking: bool,
    growing: bool = False,
) -> Reading:
    """`text` read as a reply; if it is `growing`, more may follow, and what that could still change is not
    sure."""
    opening, closing = _markers(*markers)
    start, rules = _after_begun_thought(text, opening, closing, thinking)
    if start is None:
        return Reading(rules, None, None, "", True)
    prompt = None if stem is None else _asked(context or "", stem, mitigation)
    taken, sure = start, True
    while True:
        name, length, settled = _first_rule(text[start:], prompt, opening, closing, markers[0])
        sure = sure and settled
        if length is None:
            return Reading((*rules, name), None, None, "", True)
        if not length:
            break
        start, rules = start + length, (*rules, name)
        taken = start if name == "thought" else taken
    answer, marks = text[start:], openings.unclosed(text[taken:start])
    if prompt is None:
        return Reading(rules, answer.strip(), None, "", sure)
    if not growing and openings.is_part_of_echo(answer, prompt):
        return Reading((*rules, "echo"), "", None, "", sure)
    return _cut(answer, rules, marks, sure, opening, closing, growing)


def _cut(
    answer: str, rules: tuple, marks: str, sure: bool, opening: re.Pattern, closing: re.Pattern, growing: bool
) -> Reading:
    """`answer`, which may have a thought after it, and the end of its first sentence."""
    lines = _MARKUP_LINES.match(answer)
    answer = answer[lines.end() if lines else 0 :].lstrip()
    if lines and "preamble" in rules and (bullet := _BULLET.match(answer)):
        answer = answer[bullet.end() :]
    later = opening.search(answer)
    if later is None:
        return Reading(rules, answer, sentences.first_end(answer, growing), marks, sure)
    before = answer[: later.start()]
    # the marker ends a line; half of it must have told the same
    end = sentences.first_end(answer[: later.start() + 1] + "\n")
    return Reading(rules, before, len(before) if end is None else min(end, len(before)), marks, sure)


def _first_rule(
    text: str, prompt, opening: re.Pattern, closing: re.Pattern, marker: str
) -> tuple[str, int | None, bool]:
    """Which rule takes off the start of `text`, how much (None: a thought without an end), and whether that
    is sure."""
    length, sure = _thought(text, opening, closing, marker)
    if length != 0 or prompt is None:
        return "thought", length, sure
    for name, rule in (("echo", openings.echo), ("preamble", openings.preamble)):
        length, settled = rule(text, prompt)
        sure = sure and settled
        if length:
            return name, length, sure
    return "", 0, sure


def _thought(text: str, opening: re.Pattern, closing: re.Pattern, marker: str) -> tuple[int | None, bool]:
    """The thought that `text` begins with: its length, None if it has no end; and whether that is sure."""
    found = opening.search(text)
    if not found or not _MARKUP.fullmatch(text, 0, found.start()):
        begun = text.strip().lower()
        return 0, not marker.strip().lower().startswith(begun)
    end = closing.search(text, found.end())
    return (end.end(), True) if end else (None, True)


def _after_begun_thought(
    text: str, opening: re.Pattern, closing: re.Pattern, thinking: bool
) -> tuple[int | None, tuple]:
    """Where the text begins after a thought that was opened before it; None if that has no end."""
    end = closing.search(text)
    if thinking:
        return (end.end(), ("thought",)) if end else (None, ("thought",))
    if end and not opening.search(text, 0, end.start()):
        return end.end(), ("thought",)
    return 0, ()


def _refusal(found: Reading, prompt: openings.Asked, growing: bool = False) -> str | None:
    """The sentence that refuses to answer, empty if none does; None if the one after an apology must tell and
    has not ended."""
    if refusals.is_refusal(found.completion, prompt.says, prompt.names):
        return found.completion
    if not refusals.is_apology(found.completion) or found.end is None:
        return ""
    rest = found.answer[found.end :].lstrip()
    end = sentences.first_end(rest, growing)
    if growing and end is None:
        return None
    return (
        f"{found.completion} {rest[:end].strip()}"
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
    return tuple(
        re.compile(r"\s+".join(map(re.escape, marker.split())), re.IGNORECASE)
        for marker in (opening, closing)
    )


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
