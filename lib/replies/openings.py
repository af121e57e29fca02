"""What a model writes before its answer and is taken off: the repeated prompt, and preambles such as "Here is
the sentence:".

A rule looks at the start of a text and returns how many characters it takes off there and whether that is
sure: False says that more text could change it. All rules on wording stand in the table below. The wording of
preambles is English: one in another language is judged as it stands. This file needs the standard library
alone.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

# part of every completion's key: change it with anything that changes what is taken off
VERSION = "openings-2"

_ORNAMENTS = r"[\s*_#>`\"“”„«»'‘’(\[\-–—]*"  # quotation marks and markdown around what is repeated
_ANSWER = (
    r"(?:sentence|completion|continuation|statement|phrase|answer|response|ending|version|paragraph|text"
    r"|prompt|thought)s?"
)
_FINISH = (
    r"(?:complet(?:e|es|ed|ing)|finish(?:es|ed|ing)?|continu(?:e|es|ed|ing)|fill(?:ed|ing)? "
    r"in|rewrit(?:e|ten|ing))"
)
_GLAD = r"(?:i'd be|i would be|i'm|i am)(?: very| more than)? (?:happy|glad) to"
_INTERJECTION = (
    r"(?:sure(?: thing)?|certainly|of course|absolutely|definitely|ok|okay|all "
    r"?right|yes|yep|(?:great|good|excellent) question"
    r"|great|got it|understood|no problem|gladly|with pleasure|well|thanks|thank you|i see|i "
    r"understand|hello|hi there|hi|hey"
    rf"|(?:{_GLAD}|happy to|i can|i'd love to) (?:help|assist)(?: you)?(?: with (?:that|this|it))?)"
)
_OPENED = rf"(?:{_INTERJECTION}(?:[,;]| [—–-])? )?"
_LEAD_IN = re.compile(  # what a colon or the end of the line follows
    rf"{_OPENED}(?:[^,]*, )?(?:here|below|following)\b.* "
    rf"(?:{_ANSWER}|options|ways?|possibilities|examples?|attempt|one)\b.*"
    rf"|{_OPENED}here (?:you go|it is|goes)"
    rf"|{_OPENED}(?:(?:the|my|your|a|one) "
    rf")?(?:(?:full|final|whole|correct|possible|complete|completed|finished|sentence) )?"
    rf"(?:{_ANSWER}|output|solution|result|option)(?: \d)?(?: (?:is|reads|would be|could be))?(?: as "
    rf"follows)?"
    rf"|{_OPENED}(?:(?:please|to|let me|let's) )?{_FINISH} (?:the|this|your|following|\s)+ "
    rf"(?:sentence|statement|phrase)s?"
    r"|assistant",
    re.IGNORECASE,
)
_UNMISTAKABLE = re.compile(  # no answer speaks so before a colon
    rf"\b(?:{_FINISH}|possible)\b.*\b(?:sentence|statement|phrase|completion|continuation)s?\b"
    rf"|\b(?:sentence|statement|phrase)\b.*\b{_FINISH}\b",
    re.IGNORECASE,
)
_ANNOUNCEMENT = re.compile(  # a whole sentence that says what will be done
    rf"{_OPENED}(?:here(?:'s| is)|let me|let's|allow me to|i'll|i will|i can|{_GLAD}|happy to)\b.* "
    rf"{_FINISH}\b.* "
    r"(?:sentence|statement|phrase|prompt|text)s?\b.*",
    re.IGNORECASE,
)
_DENIES = re.compile(  # a refusal is no preamble
    r"(?:unfortunately|sorry)\b|(?:.*\b)?(?:i|we)\b.*(?:n't|\b(?:not|cannot|unable|decline|sorry))\b",
    re.IGNORECASE,
)
_INTERJECTED = re.compile(
    rf"{_ORNAMENTS}{_INTERJECTION}(?=[\s,!.:;–—-])(?:[ \t]|[^\w\s\"“„«<#>(\[])*", re.IGNORECASE
)
_ASSENT = re.compile(
    rf"{_ORNAMENTS}(?:(?:sure(?: thing)?|certainly|of course|absolutely)![*_]*\s+)+", re.IGNORECASE
)
# The completed sentence is "…"
_BEFORE_QUOTE = re.compile(r".*\b(?:is|be|reads?|follows|this)", re.IGNORECASE)
# The sentence "…" can be completed with:
_QUOTES_PROMPT = re.compile(r".*\b(?:sentence|statement|phrase|prompt)", re.IGNORECASE)
_QUOTES = '"“„«'
# a stem that asks for what somebody wrote or said, or for a name: what looks like a preamble there may be the
# answer
_SAYS = re.compile(
    r"\b(?:says?|said|reads?|asks?(?: about)?|asked|states?|writes?|wrote|repl(?:y|ies|ied)|answers?|answered"
    r"|(?:line|heading|caption|sign|note|message|motto|slogan|subject|headline|greeting)\b.*\b(?:is|was))$",
    re.IGNORECASE,
)
_NAMES = re.compile(
    r"\b(?:titled|called|named|labell?ed|marked|(?:title|label)\b.*\b(?:is|was))$", re.IGNORECASE
)
_NO_NAME = re.compile(
    rf"{_OPENED}(?:here\b.* .*|(?:final|full|sentence) {_ANSWER}|option \d.*)", re.IGNORECASE
)

_CLAUSE = re.compile(r"([^:\"“”„«».!?…‽。！？｡؟۔।॥։።။\n\r\x0b\x0c\x85\u2028\u2029]*)")
_HEAD = re.compile(_ORNAMENTS + _CLAUSE.pattern)
_AFTER_LEAD_IN = re.compile(r"[:.!]+[*_`\"”’»]*|")
_TO_QUOTED = re.compile(r":?[*_`]*\s*[\"“„«]?")
_AFTER_ECHO = re.compile(r"(?:(?:\.\.+|…)(?=[*_`]*[\"”’»]))?[*_`\"”’»]*(?:\s*:)?[*_`]*")
_TO_ECHO = re.compile(rf"{_ORNAMENTS}(?:1[.)]\s+|\.\.+|…)?{_ORNAMENTS}")
_UNTOLD = re.compile(r"1[.)]?|\.*|…")  # the beginning of what _TO_ECHO passes over
_WORDS = re.compile(r"[^\W_]+")
_OWN_LINE = re.compile(r"[ \t]*[\n\r]")
_STRAIGHT = str.maketrans(dict.fromkeys("‘’ʼ′´＇", "'") | dict.fromkeys("“”„", '"'))


@dataclass(frozen=True)
class Asked:
    """What a reply may repeat (plain text, its words, what finds it); does the stem ask for somebody's words,
    or a name."""

    echoes: tuple[tuple[str, str, re.Pattern], ...]
    says: bool
    names: bool


@lru_cache(maxsize=4096)
def asked(context: str, stem: str, mitigation: tuple[str, ...]) -> Asked:
    """What there is to know of a prompt: its context (may be empty), stem, and the sentences of its
    mitigation."""
    texts = {" ".join(plain(text).split()) for text in (f"{context} {stem}", stem, *mitigation)} - {""}
    echoes = [
        (text, " ".join(_WORDS.findall(text)), _repeated(text)) for text in texts if _WORDS.search(text)
    ]
    asks = stem.strip().rstrip(":,\"“'")
    longest_first = tuple(sorted(echoes, key=lambda echo: -len(echo[0])))
    return Asked(longest_first, bool(_SAYS.search(asks)), bool(_NAMES.search(asks)))


def _repeated(text: str) -> re.Pattern:
    """What finds the words of `text`, whatever stands between them, and the marks at its end, if they are
    there."""
    *_, last = _WORDS.finditer(text)
    end = re.escape(text[last.end() :])
    return re.compile(r"[\W_]+".join(_WORDS.findall(text)) + rf"(?!\w)(?:{end})?")


def echo(text: str, prompt: Asked) -> tuple[int, bool]:
    """The prompt, its stem or a sentence of its mitigation, repeated at the start; case and what is between
    words ignored."""
    text = plain(text)
    start = _TO_ECHO.match(text).end()
    shown = text[start:].strip()
    begun = " ".join(_WORDS.findall(shown)) if shown[:1].isalnum() else None
    sure = not (
        _UNTOLD.fullmatch(shown) or (begun and any(words.startswith(begun) for _, words, _ in prompt.echoes))
    )
    found = next((found for *_, pattern in prompt.echoes if (found := pattern.match(text, start))), None)
    return (_AFTER_ECHO.match(text, found.end()).end() if found else 0), sure


def is_part_of_echo(text: str, prompt: Asked) -> bool:
    """Whether `text` is nothing but the beginning, three words or more, of what it may repeat."""
    shown = plain(text)[_TO_ECHO.match(text).end() :].split()
    return len(shown) >= 3 and any(told.startswith(" ".join(shown)) for told, *_ in prompt.echoes)


def preamble(text: str, prompt: Asked) -> tuple[int, bool]:
    """A lead-in ("Here is the sentence:"), an announcement ("Let me complete the sentence."), or an
    interjection ("Sure!") that one of them or the repeated prompt follows, or that has a line of its own, or
    assents ("Sure! Oak.").
    """
    length, sure = _lead_in(text, prompt)
    found = None if length else _INTERJECTED.match(text.translate(_STRAIGHT))
    if not found:
        return length, sure
    taken, settled = _interjection(text, found.end(), prompt)
    return taken, sure and settled


def _lead_in(text: str, prompt: Asked) -> tuple[int, bool]:
    """A lead-in or an announcement; and whatever stands before a colon that the repeated prompt follows."""
    head = _HEAD.match(text)
    if head.end() == len(text):
        return 0, False
    clause = _clause(head[1])
    end = _AFTER_LEAD_IN.match(text, head.end()).end()
    # a title, or a saying
    quoted = (prompt.says or prompt.names) and any(mark in text[: head.start(1)] for mark in _QUOTES)
    if not quoted and _leads_in(clause, text[head.end()], prompt):
        return end, True
    if text[head.end()] in _QUOTES and _QUOTES_PROMPT.fullmatch(clause):
        return _lead_in_with_prompt(text, head.end(), clause, prompt)
    if text[head.end()] != ":" or not clause:
        return 0, True
    length, sure = echo(text[end:], prompt)
    return (end if length else 0), sure


def _lead_in_with_prompt(text: str, start: int, clause: str, prompt: Asked) -> tuple[int, bool]:
    """A lead-in of which `clause` is the first part and which quotes the prompt from `start` on; the answer
    is quoted too."""
    length, sure = echo(text[start:], prompt)
    if not length:
        return 0, sure
    rest = _CLAUSE.match(text, start + length)
    if rest.end() == len(text):
        return 0, False
    if text[rest.end()] not in f":{_QUOTES}" or not _UNMISTAKABLE.search(f"{clause} {_clause(rest[1])}"):
        return 0, sure
    return _TO_QUOTED.match(text, rest.end()).end(), sure


def _clause(text: str) -> str:
    return " ".join(text.translate(_STRAIGHT).strip(" \t*_`'-–—[]()").split())


def _leads_in(clause: str, mark: str, prompt: Asked) -> bool:
    """Whether `clause`, which `mark` follows, speaks of the answer and is none."""
    clear = _UNMISTAKABLE.search(clause) is not None
    may_be_answer = prompt.says or (prompt.names and not _NO_NAME.fullmatch(clause))
    if not clause or (may_be_answer and not clear) or _DENIES.match(clause):
        return False
    if mark in ".!\n\r" and _ANNOUNCEMENT.fullmatch(clause):
        return True
    if mark in _QUOTES:
        return clear and _BEFORE_QUOTE.fullmatch(clause) is not None
    if mark == ":" and clear:
        return True
    # an answer goes on where the stem broke off, in lower case
    return mark in ":\n\r" and clause[0].isupper() and _LEAD_IN.fullmatch(clause) is not None


def _interjection(text: str, end: int, prompt: Asked) -> tuple[int, bool]:
    """An interjection up to `end`, taken off if something else that is taken off, after more of them, or a
    new line follows."""
    on_a_line = _OWN_LINE.match(text, end) and text[:end].rstrip(" \t*_")[-1:] in "!.:"
    assent = _ASSENT.match(text)
    alone = 0 if prompt.says or prompt.names else assent.end() if assent else end if on_a_line else 0
    rest, sure = text[end:], True
    for _ in range(5):
        if not rest.strip():
            return 0, False
        for length, settled in (echo(rest, prompt), _lead_in(rest, prompt)):
            sure = sure and settled
            if length:
                return end, sure
        following = _INTERJECTED.match(rest.translate(_STRAIGHT))
        if not following:
            break
        rest = rest[following.end() :]
    return alone, sure


def unclosed(taken: str) -> str:
    """The closing partners of quotation marks and markdown that `taken` opens: the answer after it may end in
    them."""
    pairs = {
        '"': taken.count('"') % 2,
        "”": taken.count("“") > taken.count("”") + taken.count("„"),
        "“”": taken.count("„") > taken.count("“") + taken.count("”"),
        "»": taken.count("«") > taken.count("»"),
        "*": re.sub(r"^\s*\*\s+", "", taken, flags=re.MULTILINE).replace("**", "*").count("*") % 2,
        "_": taken.replace("__", "_").count("_") % 2,
        "'’": len(re.findall(r"(?<!\w)['‘](?=\w)", taken)) > len(re.findall(r"(?<=[\w.])['’](?!\w)", taken)),
    }
    return "".join(marks for marks, is_open in pairs.items() if is_open)


def without_closing(answer: str, marks: str) -> str:
    """`answer` without those of `marks` that close it and stand nowhere before."""
    found = re.search(rf"[{re.escape(marks)}]+(?=[.!?…]*$)", answer) if marks else None
    if not found or any(mark in answer[: found.start()] for mark in found[0] if mark not in "'’"):
        return answer
    return answer[: found.start()] + answer[found.end() :]


def plain(text: str) -> str:
    """`text` in lower case and with straight quotation marks, character for character."""
    text = text.translate(_STRAIGHT)
    low = text.lower()
    return (
        low
        if len(low) == len(text)
        else "".join(mark.lower() if len(mark.lower()) == 1 else mark for mark in text)
    )
