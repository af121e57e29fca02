"""Instructions that published prompts begin with ("Complete the sentence:"), told from the prompts themselves
and taken off.

An instruction is no context: it stands in front of test and control, and a model in mode `chat` is asked with
one anyway. Taken for one is a beginning that asks for a sentence or text to be completed, wherever it stands,
up to its full stop, colon, dash or the next capital letter, and a beginning with a colon that all tests have
in common. Neither may hold the concept as a word. Case and white space are ignored.
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
    """The pairs with prompt and control bare, and for each instruction taken off, of tests and of controls,
    the rows.

    `pairs` has the columns row, prompt, control, concept, all of them filled.
    """
    taken: dict[str, dict] = {}
    pairs = pairs.copy()
    while True:  # an instruction may stand there twice
        shared = _shared(pairs)
        found = {
            name: [
                _beginning(text, concept, shared)
                for text, concept in zip(pairs[name], pairs["concept"], strict=True)
            ]
            for name in ("prompt", "control")
        }
        # test and control are treated alike
        stays = [None in both for both in zip(*found.values(), strict=True)]
        found = {
            name: ["" if kept else text for kept, text in zip(stays, texts, strict=True)]
            for name, texts in found.items()
        }
        if not any(map(any, found.values())):
            return pairs, {name: list(rows) for name, rows in taken.items()}
        for name, arm in (("prompt", "test"), ("control", "control")):
            for row, beginning in zip(pairs["row"], found[name], strict=True):
                if beginning:
                    taken.setdefault(_named(arm, beginning, taken), {})[row] = None
            pairs[name] = [
                text[len(beginning) :].strip()
                for text, beginning in zip(pairs[name], found[name], strict=True)
            ]


def _named(arm: str, beginning: str, before: dict) -> str:
    """What the report calls it: as it was first written, for case does not count."""
    name = f"instruction taken off the {arm}: {beginning.strip()!r}"
    return next((known for known in before if known.casefold() == name.casefold()), name)


def _beginning(text: str, concept: str, shared: str | None) -> str | None:
    """The instruction with which `text` begins; "" where there is none, None where it holds the concept or is
    the whole text."""
    asks = _ASKS.match(text)
    colon = _COLON.match(text)
    beginning = asks[0] if asks else colon[0] if colon and colon[0].casefold() == shared else ""
    return (
        None
        if beginning and (mentions(beginning, concept) or not text[len(beginning) :].strip())
        else beginning
    )


def _shared(pairs: pd.DataFrame) -> str | None:
    """The beginning with a colon, in lower case, that all tests have in common, no concept in it; None where
    there is none."""
    found = [_COLON.match(text) for text in pairs["prompt"]]
    beginnings = {match and match[0].casefold() for match in found}
    if len(beginnings) != 1 or None in beginnings or pairs["prompt"].str.casefold().nunique() < 2:
        return None
    (shared,) = beginnings
    return None if any(mentions(shared, concept) for concept in pairs["concept"]) else shared


def compared(text: str) -> str:
    """A prompt as it is compared with others: without instructions that ask for its completion, case and
    typography ignored."""
    while asks := _ASKS.match(text):
        text = text[asks.end() :].strip()
    return normalize(text).casefold()


def mentions(text: str, concept: str) -> bool:
    """Whether a text holds a concept as a word, or words; case and typography are ignored."""
    return (
        re.search(rf"(?<!\w){re.escape(normalize(concept).casefold())}(?!\w)", normalize(text).casefold())
        is not None
    )
