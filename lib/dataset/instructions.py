"""Instructions at the beginning of published prompts ("Complete the sentence:"), detected and removed.

An instruction is no context: it precedes test and control alike, and in mode `chat` the model receives an
instruction anyway. Two kinds of beginning count as an instruction:

- a request to complete a sentence or text, in any prompt, up to its full stop, colon, dash or the next
  capital letter;
- a beginning that ends in a colon and is shared by all tests.

Neither may contain the concept as a word. Case and white space are ignored.
"""

import re

import pandas as pd

from lib.nlp.text import normalize

_NOUN = r"""\b(?:sentence|text|story|phrase|passage|paragraph|prompt|prefix|blank|gap|continuation|completion
            |following|statement)s?\b"""
_CLOSED = r"""["”'*_)\]]*(?=\s|$|["“])"""
_ASKS = re.compile(
    rf"""[\W\d_]{{0,4}}(?:(?:please|now|kindly|(?:can|could|would|will)\s+you|your\s+task\s+is\s+to),?\s+)*
        (?:complete|finish|continue|extend|fill\s+in|write|give|provide|generate|respond\s+to|answer)\b
        [^.:!?\n"“]{{0,80}}?{_NOUN}(?!\s+{_NOUN})
        (?:[^.:!?;：\n"“]{{0,60}}?\s*[:：]+{_CLOSED}
          |\s+[–—-]+(?=\s)
          |(?=\s+(?-i:[A-Z"“]))
          |[^.:!?;\n"“]{{0,60}}?\s*[.:!?;]+{_CLOSED})""",
    re.IGNORECASE | re.VERBOSE,
)
_COLON = re.compile(r"""[^.!?:：]{1,120}(?::["”'*_)\]]*(?=\s)|：)""")


def without(pairs: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, list]]:
    """Remove the instructions from prompts and controls.

    Args:
        pairs: Columns row, prompt, control and concept, all of them filled.

    Returns:
        The pairs without instructions, and the rows in which each instruction stood. Instructions of tests
        and of controls are listed separately.
    """
    removed: dict[str, dict] = {}
    pairs = pairs.copy()
    while True:  # a prompt may begin with several instructions
        shared = _shared(pairs)
        matches = {
            name: [
                _beginning(text, concept, shared)
                for text, concept in zip(pairs[name], pairs["concept"], strict=True)
            ]
            for name in ("prompt", "control")
        }
        # test and control are treated alike
        unchanged = [None in both for both in zip(*matches.values(), strict=True)]
        beginnings = {
            name: [text if text and not keep else "" for keep, text in zip(unchanged, texts, strict=True)]
            for name, texts in matches.items()
        }
        if not any(map(any, beginnings.values())):
            return pairs, {name: list(rows) for name, rows in removed.items()}
        for name, arm in (("prompt", "test"), ("control", "control")):
            for row, beginning in zip(pairs["row"], beginnings[name], strict=True):
                if beginning:
                    removed.setdefault(_named(arm, beginning, removed), {})[row] = None
            pairs[name] = [
                text[len(beginning) :].strip()
                for text, beginning in zip(pairs[name], beginnings[name], strict=True)
            ]


def _named(arm: str, beginning: str, before: dict) -> str:
    """The label of an instruction in the report, in its first spelling: case does not count."""
    name = f"instruction taken off the {arm}: {beginning.strip()!r}"
    return next((known for known in before if known.casefold() == name.casefold()), name)


def _beginning(text: str, concept: str, shared: str | None) -> str | None:
    """The instruction at the start of `text`: "" if none, None if it has the concept or is the whole text."""
    asks = _ASKS.match(text)
    colon = _COLON.match(text)
    beginning = asks[0] if asks else colon[0] if colon and colon[0].casefold() == shared else ""
    return (
        None
        if beginning and (mentions(beginning, concept) or not text[len(beginning) :].strip())
        else beginning
    )


def _shared(pairs: pd.DataFrame) -> str | None:
    """The beginning with a colon that all tests share, in lower case; None if none or with a concept."""
    matches = [_COLON.match(text) for text in pairs["prompt"]]
    beginnings = {match[0].casefold() for match in matches if match}
    if len(beginnings) != 1 or None in matches or pairs["prompt"].str.casefold().nunique() < 2:
        return None
    (shared,) = beginnings
    return None if any(mentions(shared, concept) for concept in pairs["concept"]) else shared


def compared(text: str) -> str:
    """A prompt as compared with others: no instruction to complete it; case and typography are ignored."""
    while asks := _ASKS.match(text):
        text = text[asks.end() :].strip()
    return normalize(text).casefold()


def mentions(text: str, concept: str) -> bool:
    """Whether a text contains a concept as a word or words; case and typography are ignored."""
    return (
        re.search(rf"(?<!\w){re.escape(normalize(concept).casefold())}(?!\w)", normalize(text).casefold())
        is not None
    )
