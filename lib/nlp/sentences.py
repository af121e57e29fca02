"""First sentence of a continuation: where it ends.

The cut follows Gonen et al. (2025, arXiv 2408.06518), who cut after the first period. The rest is a choice of
this project: a question or exclamation mark, the full stop of another script and a line break also end a
sentence; an abbreviation, a decimal point, a list marker and anything before the first word do not. A
sentence end inside quotation marks counts as well.

The library sentencex, made for documents, cuts 95 % of the cases correctly, and 94 % of the held-out ones
(`python -m tests.benches.bench_replies`). It splits "red.Blue", "approx. 3" and "Apt. 4", leaves closing
marks ("red.)", "**Red.**") behind, and continues after "no." and across a line break. The decisive reason
against it is that it needs the whole text: it cannot decide, while a model generates, whether an end is
final. This module needs only the standard library.
"""

import re

VERSION = "first-sentence-4"  # part of every completion's key: change it with any change that alters a cut

_BREAKS = "\n\r\x0b\x0c\x85\u2028\u2029"
_WIDE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # scripts without a space after a full stop
_END = re.compile(  # group mark: an end marker of a chat template
    rf"""(?P<stop>[.!?…‽]+)(?P<close>(?:["'“”’)\]*_`~]|[ \u00a0\u202f]?[»›])*)(?=\s|$|(?<=[!?…])[{_WIDE}])
    |[。！？｡؟۔।॥።։។။]+["'”’」』）】》)\]*_]*
    |[{_BREAKS}]
    |(?P<mark><\|(?:im_end|endoftext|eot_id|eom_id|end_of_text|end|user)\|>|</s>|<end_of_turn>|<eos>)""",
    re.VERBOSE,
)
_ELLIPSIS = re.compile(r"\.\.|…")
_CLOSED_QUOTE = re.compile(r"[\"'“”’»›]")
_MONTHS = r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
# text before a period that belongs to an abbreviation: whatever follows …
_ALWAYS = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|Rev|Gen|Capt|Lt|Sgt|Gov|Hon|Mt|Ft|Ste|vs|approx|e\.g|i\.e|cf|viz)$"
)
# … if a number follows …
_BEFORE_NUMBER = re.compile(rf"\b(?:No|Nos|Nr|Vol|Figs?|Sec|Ch|Apt|Rm|Bldg|[Ee]xt|pp?|ca?|[Ee]st|{_MONTHS})$")
# … if the sentence continues in lower case …
_BEFORE_LOWER = re.compile(
    rf"\b(?:Inc|Corp|Ltd|Co|Bros|Jr|Sr|etc|al|Ave|Blvd|Rd|St|Ln|Hwy|Dept|Univ|est|incl|max|min|{_MONTHS}|(?:[A-Za-z]{{1,2}}\.)+[A-Za-z]{{1,2}})$"
    r"|\d\s?(?:(?:sq|cu|fl)\.?\s)?(?:in|ft|lbs?|oz|sec|hrs?|yds?|mi|[cm]?m|k?g|sq|cu|fl|tbsp|tsp)$"
    r"|^\W*(?:\d{1,3}|[aAiI])$"  # the marker of a list
)
# … or if it continues with a capitalised word that begins no sentence: St. Mary (not Elm St.), U.S. Navy,
# George W. Bush (not room C.)
_BEFORE_NAME = re.compile(
    r"(?:^|[\"“'(]|\b[a-z]+\s|\d\s)St$|\b(?:[A-Za-z]{1,2}\.)+[A-Za-z]{1,2}$|(?:^\W*|\b[A-Z]\w*\.?\s|\b(?:by|of|and|to)\s)[A-Z]$"
)
_HOUR = re.compile(r"\b[ap]\.m$", re.IGNORECASE)
# names that end in an exclamation mark: a Yahoo! employee
_WITH_MARK = re.compile(r"\b(?:Yahoo|Jeopardy|Kahoot|Yum)$")
_FIRST_MARKER = re.compile(r"^\W*1$")
_SECOND_MARKER = re.compile(r"\W*2[.)]")
_NEAR = 60  # characters before a full stop that are examined
_WORD = re.compile(r"[^\W\d_]+")
_AFTER_HOUR = frozenset(
    {
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "Mon",
        "Tue",
        "Wed",
        "Thu",
        "Fri",
        "Sat",
        "Sun",
        "EST",
        "EDT",
        "CST",
        "CDT",
        "MST",
        "MDT",
        "PST",
        "PDT",
        "GMT",
        "UTC",
        "ET",
        "CT",
        "MT",
        "PT",
    }
)
_STARTERS = frozenset(
    {  # capitalised words that are more likely to begin a sentence than to continue a name
        "A",
        "An",
        "The",
        "He",
        "She",
        "It",
        "They",
        "We",
        "I",
        "You",
        "His",
        "Her",
        "Its",
        "Their",
        "My",
        "Our",
        "Your",
        "This",
        "That",
        "These",
        "Those",
        "There",
        "Here",
        "In",
        "On",
        "At",
        "And",
        "But",
        "Or",
        "So",
        "If",
        "When",
        "While",
        "After",
        "Before",
        "Then",
        "Now",
        "As",
        "For",
        "From",
        "With",
        "By",
        "To",
        "What",
        "Who",
        "How",
        "Why",
        "Where",
        "No",
        "Not",
        "Yes",
        "Both",
        "Each",
        "All",
        "Some",
        "Many",
        "Most",
        "Another",
        "One",
        "Once",
        "Since",
        "Although",
        "However",
        "Also",
        "Today",
        "Later",
    }
)


def first_sentence(text: str) -> str:
    """Return `text` up to and including its first sentence end, stripped; all of it where there is none."""
    text = text.lstrip()
    return text[: first_end(text)].strip()


def first_end(text: str, growing: bool = False) -> int | None:
    """Return the index at which the first sentence of `text` ends.

    Args:
        text: The text.
        growing: Whether more text may follow.

    Returns:
        The index; None where no sentence ends or, if `growing`, where more text could still move the end.
    """
    for match in _END.finditer(text):
        before, after = text[: match.start()], text[match.end() :]
        if match["mark"]:
            return match.start()
        if not any(map(str.isalnum, before)) and (match[0] in _BREAKS or _ELLIPSIS.search(match[0])):
            # these may precede the first word; a bare full stop ends a sentence without words
            continue
        if match[0] in _BREAKS:
            return match.start()
        goes_on = match["stop"] is not None and _goes_on(
            before, match["stop"], match["close"], after, growing
        )
        if goes_on is None or (growing and not after):
            return None
        if not goes_on:
            return match.end() if not growing or after.strip() or _first_line(after) != after else None
    return None


def begun(text: str) -> bool:
    """Return whether `text` contains anything that could end a sentence; a quick check."""
    return _END.search(text) is not None


def _goes_on(before: str, stop: str, close: str, after: str, growing: bool) -> bool | None:
    """Return whether the sentence continues after `stop`; None if more text is needed to decide."""
    before = before if len(before) <= _NEAR else f"a {before[-_NEAR:]}"
    line = _first_line(after)
    rest = line.lstrip()
    if not rest:
        if line != after:
            return False
        return None if growing else stop == "." and not close and bool(_ALWAYS.search(before))
    lower = rest[0].islower()
    if stop != ".":
        in_name = stop == "!" and not close and _WITH_MARK.search(before)
        return lower and bool(in_name or _ELLIPSIS.search(stop) or _CLOSED_QUOTE.search(close))
    if _FIRST_MARKER.search(before) and not lower:
        return _is_list(after, growing)
    if close or not any(map(str.isalnum, before)):
        return lower
    return _is_abbreviation(before, rest, growing)


def _is_abbreviation(before: str, rest: str, growing: bool) -> bool | None:
    """Return whether the period between `before` and `rest` (not empty) belongs to an abbreviation.

    None means that more text is needed to decide.
    """
    if _ALWAYS.search(before):
        return True
    if rest[0].isdigit():
        return bool(_BEFORE_NUMBER.search(before))
    if rest[0].islower() or rest[0] in "(&-–—/":
        return bool(_BEFORE_LOWER.search(before))
    word = _WORD.match(rest)
    if not word or not rest[0].isupper():
        return False
    whole = not growing or word.end() < len(rest)
    if _HOUR.search(before):
        return _among(word[0], whole, _AFTER_HOUR)
    if not _BEFORE_NAME.search(before):
        return False
    if len(word[0]) == 1 and rest[1:2] == ".":
        return True  # one more initial
    starts = _among(word[0], whole, _STARTERS)
    return None if starts is None else not starts


def _among(word: str, whole: bool, words: frozenset[str]) -> bool | None:
    """Return whether `word` is one of `words`; None if it is not `whole` and could become one."""
    if whole:
        return word in words
    return None if any(other.startswith(word) for other in words) else False


def _is_list(after: str, growing: bool) -> bool | None:
    """Return whether a "1." at the start, followed by `after`, begins a list.

    It does if a second item follows, or if its line holds no sentence. None means that more text is needed to
    decide.
    """
    line = _first_line(after)
    item = line.lstrip()
    end = first_end(item, growing=growing and line == after)
    if line == after:  # the line has not ended yet
        return end is None if not growing else (None if end is None else False)
    if end is None:
        return True
    if item[end:].strip():
        return False
    tail = after[len(line) :].lstrip()
    if growing and len(tail.lstrip("*_(#>- ")) < 2:
        return None
    return _SECOND_MARKER.match(tail) is not None


def _first_line(text: str) -> str:
    return re.split(f"[{_BREAKS}]", text, maxsplit=1)[0]
