"""The words of the boards and the notebooks in plain English: a page of them, and links to that page."""

import csv
import functools
import html
import re
from collections.abc import Iterable

from lib.config.specs import ROOT

PAGE = "guide/words"  # where they stand on the site
_TABLE = ROOT / "lib" / "site" / "words.csv"  # heading, term, the spellings that are linked, meaning


@functools.cache
def _rows() -> tuple[dict[str, str], ...]:
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def page() -> str:
    """The page of the words; every term has an address on it."""
    parts, heading = ["# Words", "What the words of the boards and the notebooks mean here."], ""
    for row in _rows():
        if row["heading"] != heading:
            heading = row["heading"]
            parts.append(f"## {heading}")
        parts.append(f"<span id='{_anchor(row)}'></span>**{row['term']}**: {row['meaning']}")
    return "\n\n".join(parts) + "\n"


def known() -> dict[str, tuple[str, str]]:
    """Every spelling that is linked → the address of its term on the page, and what the term means."""
    return {
        spelling: (_anchor(row), row["meaning"])
        for row in _rows()
        for spelling in row["linked"].split(";")
        if spelling
    }


def _anchor(row: dict[str, str]) -> str:
    return "word-" + re.sub(r"\W+", "-", row["term"].lower())


def pattern(spellings: Iterable[str]) -> re.Pattern:
    """A pattern of these spellings as whole words, the longest that fits."""
    longest = sorted(spellings, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])")


def linked(text: str, to_root: str) -> str:
    """Return a line of plain text as HTML in which every term leads to the page of the words.

    Args:
        text: The line.
        to_root: The way from its page to the first page of the site, such as "../../".
    """
    words = known()

    def link(match: re.Match) -> str:
        address, meaning = words[match[0]]
        title = html.escape(meaning)
        return f'<a class="word" href="{to_root}{PAGE}.html#{address}" title="{title}">{match[0]}</a>'

    return pattern(words).sub(link, html.escape(text))
