"""Removal of what a model writes before its answer: the repeated prompt and preambles.

A preamble is, for example, "Here is the sentence:". A rule looks at the start of a text and returns two
values: how many characters it removes there, and whether that is final (False: more text could change it).
All rules on wording are in the table below. The wording of preambles is English; a preamble in another
language is judged as part of the answer. This file needs the standard library only.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

# part of every completion's key: change it with anything that changes what is removed
VERSION = "openings-2"

_ORNAMENTS = r"[\s*_#>`\"“”„«»'‘’(\[\-–—]*"  # quotation marks and markdown around a repetition
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
_LEAD_IN = re.compile(  # followed by a colon or the end of the line
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
_UNMISTAKABLE = re.compile(  # no answer has this wording before a colon
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
# the stem asks for what somebody wrote or said, or for a name: what looks like a preamble may be the answer
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
_UNTOLD = re.compile(r"1[.)]?|\.*|…")  # the beginning of what _TO_ECHO skips
_WORDS = re.compile(r"[^\W_]+")
_OWN_LINE = re.compile(r"[ \t]*[\n\r]")
_STRAIGHT = str.maketrans(dict.fromkeys("‘’ʼ′´＇", "'") | dict.fromkeys("“”„", '"'))


@dataclass(frozen=True)
class Asked:
    """What a reply may repeat from its prompt, and what kind of answer the stem asks for.

    Attributes:
        echoes: Texts that may be repeated, the longest first; each as (plain text, its words, pattern that
            matches it).
        says: Whether the stem asks for somebody's words.
        names: Whether the stem asks for a name.
    """

    echoes: tuple[tuple[str, str, re.Pattern], ...]
    says: bool
    names: bool


@lru_cache(maxsize=4096)
def asked(context: str, stem: str, mitigation: tuple[str, ...]) -> Asked:
    """Collect what the rules need to know about a prompt.

    Args:
        context: The context; may be empty.
        stem: The stem.
        mitigation: The sentences of the mitigation.
    """
    texts = {" ".join(plain(text).split()) for text in (f"{context} {stem}", stem, *mitigation)} - {""}
    echoes = [
        (text, " ".join(_WORDS.findall(text)), _repeated(text)) for text in texts if _WORDS.search(text)
    ]
    asks = stem.strip().rstrip(":,\"“'")
    longest_first = tuple(sorted(echoes, key=lambda echo: -len(echo[0])))
    return Asked(longest_first, bool(_SAYS.search(asks)), bool(_NAMES.search(asks)))


def _repeated(text: str) -> re.Pattern:
    """Pattern for the words of `text`, with anything between them, and the marks at its end if present."""
    *_, last = _WORDS.finditer(text)
    end = re.escape(text[last.end() :])
    return re.compile(r"[\W_]+".join(_WORDS.findall(text)) + rf"(?!\w)(?:{end})?")


def _match(pattern: re.Pattern, text: str, start: int = 0) -> re.Match:
    """The match at `start` of a pattern that also matches the empty text, so that there is always one."""
    match = pattern.match(text, start)
    assert match is not None
    return match


def echo(text: str, prompt: Asked) -> tuple[int, bool]:
    """Measure a repetition of the prompt, its stem or a sentence of its mitigation at the start of `text`.

    Case and the characters between words are ignored.

    Returns:
        The number of characters to remove, and whether this is final.
    """
    text = plain(text)
    start = _match(_TO_ECHO, text).end()
    rest = text[start:].strip()
    prefix = " ".join(_WORDS.findall(rest)) if rest[:1].isalnum() else None
    sure = not (
        _UNTOLD.fullmatch(rest) or (prefix and any(words.startswith(prefix) for _, words, _ in prompt.echoes))
    )
    match = next((match for *_, pattern in prompt.echoes if (match := pattern.match(text, start))), None)
    return (_match(_AFTER_ECHO, text, match.end()).end() if match else 0), sure


def is_part_of_echo(text: str, prompt: Asked) -> bool:
    """Whether `text` is only the beginning, of three words or more, of a text that it may repeat."""
    start = plain(text)[_match(_TO_ECHO, text).end() :].split()
    return len(start) >= 3 and any(repeated.startswith(" ".join(start)) for repeated, *_ in prompt.echoes)


def preamble(text: str, prompt: Asked) -> tuple[int, bool]:
    """Measure a preamble at the start of `text`.

    A preamble is a lead-in ("Here is the sentence:"), an announcement ("Let me complete the sentence.") or an
    interjection ("Sure!"). An interjection counts only if one of the other two or the repeated prompt
    follows, if it has a line of its own, or if it assents ("Sure! Oak.").

    Returns:
        The number of characters to remove, and whether this is final.
    """
    length, sure = _lead_in(text, prompt)
    match = None if length else _INTERJECTED.match(text.translate(_STRAIGHT))
    if not match:
        return length, sure
    removed, is_final = _interjection(text, match.end(), prompt)
    return removed, sure and is_final


def _lead_in(text: str, prompt: Asked) -> tuple[int, bool]:
    """Measure a lead-in, an announcement, or any text before a colon that the repeated prompt follows."""
    head = _match(_HEAD, text)
    if head.end() == len(text):
        return 0, False
    clause = _clause(head[1])
    end = _match(_AFTER_LEAD_IN, text, head.end()).end()
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
    """Measure a lead-in that begins with `clause` and quotes the prompt from `start` on.

    The answer is then quoted too.
    """
    length, sure = echo(text[start:], prompt)
    if not length:
        return 0, sure
    rest = _match(_CLAUSE, text, start + length)
    if rest.end() == len(text):
        return 0, False
    if text[rest.end()] not in f":{_QUOTES}" or not _UNMISTAKABLE.search(f"{clause} {_clause(rest[1])}"):
        return 0, sure
    return _match(_TO_QUOTED, text, rest.end()).end(), sure


def _clause(text: str) -> str:
    return " ".join(text.translate(_STRAIGHT).strip(" \t*_`'-–—[]()").split())


def _leads_in(clause: str, mark: str, prompt: Asked) -> bool:
    """Whether `clause`, followed by `mark`, speaks of the answer and is not the answer itself."""
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
    # an answer continues the stem in lower case
    return mark in ":\n\r" and clause[0].isupper() and _LEAD_IN.fullmatch(clause) is not None


def _interjection(text: str, end: int, prompt: Asked) -> tuple[int, bool]:
    """Measure an interjection that ends at `end`.

    It is removed if another removable part follows (directly or after more interjections), if a new line
    follows, or if it assents.
    """
    on_a_line = _OWN_LINE.match(text, end) and text[:end].rstrip(" \t*_")[-1:] in "!.:"
    assent = _ASSENT.match(text)
    standalone = 0 if prompt.says or prompt.names else assent.end() if assent else end if on_a_line else 0
    rest, sure = text[end:], True
    for _ in range(5):
        if not rest.strip():
            return 0, False
        for length, is_final in (echo(rest, prompt), _lead_in(rest, prompt)):
            sure = sure and is_final
            if length:
                return end, sure
        following = _INTERJECTED.match(rest.translate(_STRAIGHT))
        if not following:
            break
        rest = rest[following.end() :]
    return standalone, sure


def unclosed(taken: str) -> str:
    """The closing partners of quotation marks and markdown that `taken` opens; the answer may end in them."""
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
    """Remove `marks` at the end of `answer`, unless one of them (not an apostrophe) occurs earlier."""
    match = re.search(rf"[{re.escape(marks)}]+(?=[.!?…]*$)", answer) if marks else None
    if not match or any(mark in answer[: match.start()] for mark in match[0] if mark not in "'’"):
        return answer
    return answer[: match.start()] + answer[match.end() :]


def plain(text: str) -> str:
    """Convert `text` to lower case with straight quotation marks, character for character."""
    text = text.translate(_STRAIGHT)
    lowered = text.lower()
    return (
        lowered
        if len(lowered) == len(text)
        else "".join(mark.lower() if len(mark.lower()) == 1 else mark for mark in text)
    )
