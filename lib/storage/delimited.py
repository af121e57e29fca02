"""Text files of others: in which encoding, and with what between the cells, comma, semicolon or tab, as the
header shows.

csv.Sniffer gives up where the cells hold commas and semicolons, and pandas' sep=None cannot tell on which
line a row begins; a header whose columns are known needs no guess.
"""

import csv
import io
import re
import sys
from itertools import islice
from pathlib import Path

import pandas as pd

from lib.storage.headers import SOUGHT, Needed, below, fits, headed

_BEGINNINGS = (  # of a file that says its encoding; the longer first
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
_SAID = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)  # Excel's own first line


def decoded(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 if it begins so; ValueError naming the first byte
    that is neither."""
    data = path.read_bytes()
    if data.startswith((b"\x1f\x8b", b"PK\3\4")):
        raise ValueError(
            "is compressed (gzip, or zip as xlsx is), no text; unpack it, or give it the suffix that it "
            "should have"
        )
    encoding = next((name for begins, name in _BEGINNINGS if data.startswith(begins)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = data[error.start : error.start + 1]
        line, meant = data.count(b"\n", 0, error.start) + 1, wrong.decode("cp1252", errors="replace")
        raise ValueError(
            f"line {line} has the byte 0x{wrong.hex()}, which is no {encoding.removesuffix('-sig').upper()} "
            f"(in Windows-1252 it is {meant!r}); save the file as UTF-8, in Excel as 'CSV UTF-8'"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(
            f"line {line} has a character NUL: UTF-16 that does not say so, or no text; save the file as "
            "UTF-8"
        )
    return text


def read(path: Path, needed: Needed = (), usual: str = ",") -> pd.DataFrame:
    """A table whose lines are cells with `usual`, or another of _DELIMITERS, between them.

    By the csv module, for pandas cannot tell on which line a row begins. ValueError names the line and what
    is wrong there.
    """
    text = decoded(path)
    csv.field_size_limit(sys.maxsize)  # a thought may be longer than 131,072 characters
    said = _SAID.match(text)
    if said:
        delimiter, text, skipped = said[1], text[said.end() :], 1
    else:
        delimiter, skipped = _delimiter(text, needed, usual), 0
    rows = {number + skipped: cells for number, cells in _rows(text, delimiter, skipped)}
    if rows and not below(rows, needed):
        _refuse_uneven(rows, _DELIMITERS.get(delimiter, repr(delimiter)))
    return headed(rows, needed, "line")


def _delimiter(text: str, needed: Needed, usual: str) -> str:
    """What stands between the cells: the delimiter by which the header, or else a line below, has all columns
    that are needed; `usual` where none has and it parts the first line, or else what parts that into most."""
    tried = [usual, *(each for each in _DELIMITERS if each != usual)]
    first = {}
    for delimiter in tried:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        first[delimiter] = dict(enumerate(islice(filter(None, reader), SOUGHT))) or {0: []}
    fitting = [delimiter for delimiter in tried if needed and fits(first[delimiter][0], needed)]
    fitting += [delimiter for delimiter in tried if below(first[delimiter], needed)]
    if fitting or len(first[usual][0]) > 1:
        return fitting[0] if fitting else usual
    return max(tried, key=lambda delimiter: len(first[delimiter][0]))


def _rows(text: str, delimiter: str, skipped: int):
    """(line, cells) of each row that has any: a line of delimiters or blanks alone, as spreadsheets leave it,
    has none."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        reason = (
            "a quotation mark that is opened there is never closed"
            if "end of data" in str(error)
            else str(error)
        )
        raise ValueError(
            f"line {begins + skipped}: {reason}; double each quotation mark inside a quoted cell, or write "
            "the file "
            "anew with a CSV library"
        ) from None


def _refuse_uneven(rows: dict[int, list], held: str) -> None:
    (_, header), *others = rows.items()
    for number, cells in others:
        if len(cells) != len(header):
            raise ValueError(
                f"line {number} has {len(cells)} cells, the header {len(header)}; quote cells that hold a "
                f"{held}"
            )
