"""What part of a model's text counts as its completion: repeated prompt removed, cut after the first sentence.

The cut follows Gonen et al. (2025, arXiv 2408.06518), who cut after the first period; that a question or exclamation mark
or a line break ends a sentence too, and that an abbreviation or a decimal point does not, are choices of ours.
"""

import re

VERSION = "first-sentence-2"  # part of every completion's key: change it with anything that changes a cut

_END = re.compile(r"""(?P<stop>[.!?…]+)["'”’)\]*_]*(?=\s|$)|\n""")
_ABBREVIATIONS = (  # what stands before the period, what must follow for the sentence to go on
    (re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|Mt|Ft|vs|approx|e\.g|i\.e)$"), re.compile(r"")),
    (re.compile(r"\b(?:No|Nr|Vol)$"), re.compile(r"\d")),
    (re.compile(r"\b[ap]\.m$"), re.compile(r"[a-z]")),
    (re.compile(r"(?:^|[\"“'(]|\b[a-z]+\s)St$"), re.compile(r"[A-Z]")),  # St. Mary, but not Elm St.
    (re.compile(r"(?:^|\b[A-Z]\w*\.?\s|\b(?:by|of|and|to)\s)[A-Z]$"), re.compile(r"[A-Z]")),  # George W. Bush, not room C.
)


def without_echo(text: str, context: str, stem: str) -> str:
    """`text` without the prompt, or the stem, that a model may repeat before it goes on (case and outer space ignored)."""
    text = text.lstrip()
    for echo in (f"{context} {stem}".strip(), stem):
        if text.casefold().startswith(echo.casefold()):
            return text[len(echo) :]
    return text


def first_sentence(text: str) -> str:
    """`text` up to and including its first sentence end, stripped; all of it where no sentence ends."""
    text = text.lstrip()
    return text[: _first_end(text)].strip()


def completion_of(text: str, context: str | None, stem: str | None) -> str:
    """What counts of a model's whole reply to a prompt made of `context` (may be empty) and `stem`; all of it without a stem."""
    return text if stem is None else first_sentence(without_echo(text, context, stem))


def is_complete(text: str, context: str | None, stem: str | None) -> bool:
    """Whether decoding can stop: what follows in `text` shows that its first sentence has ended, whatever comes next.

    Without a stem nothing is completed: the answer to a free question ends where the model ends it.
    """
    if stem is None:
        return False
    begun = text.strip().casefold()
    if any(echo.casefold().startswith(begun) for echo in (f"{context} {stem}".strip(), stem)):
        return False
    rest = without_echo(text, context, stem).lstrip()
    end = _first_end(rest)
    return end is not None and ("\n" in rest[end:] or rest[end:].strip() != "")


def _first_end(text: str) -> int | None:
    """Where the first sentence of `text` ends; None where none does."""
    for match in _END.finditer(text):
        if match["stop"] != "." or not _goes_on(text[: match.start()], text[match.end() :].lstrip()):
            return match.start() if match["stop"] is None else match.end()
    return None


def _goes_on(before: str, after: str) -> bool:
    """Whether the period between `before` and `after` belongs to an abbreviation."""
    return any(head.search(before) and tail.match(after) for head, tail in _ABBREVIATIONS)
