"""What part of a model's text counts as its completion: repeated prompt removed, cut after the first sentence.

The cut follows Gonen et al. (2025, arXiv 2408.06518), who cut after the first period; that a question or exclamation mark
or a line break ends a sentence too, and that an abbreviation or a decimal point does not, are choices of ours.
"""

import re

_ABBREVIATIONS = "Mr|Mrs|Ms|Dr|Prof|St|Ave|Blvd|Rd|No|Nr|Vol|Jr|Sr|Mt|Ft|vs|etc|approx|e\\.g|i\\.e|a\\.m|p\\.m|[A-Z]"
_CLOSERS = "\"'”’)\\]*_"
_END = re.compile(rf"(?P<stop>[.!?…]+)[{_CLOSERS}]*(?=\s|$)|\n")
_ABBREVIATED = re.compile(rf"(?:^|[\s(\"“'])(?:{_ABBREVIATIONS})$")


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
    for match in _END.finditer(text):
        if match["stop"] is None or not _is_abbreviation(text[: match.start()], match["stop"]):
            return text[: match.end()].strip()
    return text.strip()


def completion_of(text: str, context: str, stem: str) -> str:
    """What counts of a model's whole reply to a prompt made of `context` (may be empty) and `stem`."""
    return first_sentence(without_echo(text, context, stem))


def is_complete(text: str, context: str, stem: str) -> bool:
    """Whether decoding can stop: the first sentence of the completion has ended, as far as `text` can tell."""
    begun = text.strip().casefold()
    if any(echo.casefold().startswith(begun) for echo in (f"{context} {stem}".strip(), stem)):
        return False
    rest = without_echo(text, context, stem).lstrip()
    sentence = first_sentence(rest)
    if re.search(r"\d\.$", rest):  # the point of a decimal number, perhaps
        return False
    return len(sentence) < len(rest.rstrip(" ")) or _ends(sentence)


def _is_abbreviation(before: str, stop: str) -> bool:
    return stop == "." and _ABBREVIATED.search(before) is not None


def _ends(sentence: str) -> bool:
    match = re.search(rf"([.!?…]+)[{_CLOSERS}]*$", sentence)
    return bool(match) and not _is_abbreviation(sentence[: match.start()], match[1])
