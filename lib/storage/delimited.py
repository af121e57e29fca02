"""Read delimited text files of others: find their encoding and their delimiter.

The delimiter (comma, semicolon or tab) follows from the header. csv.Sniffer fails where the cells hold commas
and semicolons, and pandas' sep=None cannot tell on which line a row begins; a header with known columns needs
no guess.
"""

import csv
import io
import re
import sys
from itertools import islice
from pathlib import Path

import pandas as pd

from lib.runtime.errors import DataError
from lib.storage.headers import SOUGHT, Needed, below, fits, headed

_BEGINNINGS = (  # of a file that declares its encoding; the longer ones first
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
_SAID = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)  # Excel's own first line


def decoded(path: Path) -> str:
    """Decode a file as UTF-8, or as UTF-16 or UTF-32 if its first bytes say so.

    Raises:
        ValueError: If the file is compressed, holds a NUL, or has a byte that does not fit its encoding; the
            message names the line and the first such byte.
    """
    data = path.read_bytes()
    if data.startswith((b"\x1f\x8b", b"PK\3\4")):
        raise DataError(
            "is compressed (gzip, or zip as xlsx is), no text; unpack it, or give it the suffix that it "
            "should have"
        )
    encoding = next((name for prefix, name in _BEGINNINGS if data.startswith(prefix)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = data[error.start : error.start + 1]
        line, as_cp1252 = data.count(b"\n", 0, error.start) + 1, wrong.decode("cp1252", errors="replace")
        raise DataError(
            f"line {line} has the byte 0x{wrong.hex()}, which is no {encoding.removesuffix('-sig').upper()} "
            f"(in Windows-1252 it is {as_cp1252!r}); save the file as UTF-8, in Excel as 'CSV UTF-8'"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"line {line} has a character NUL: UTF-16 that does not say so, or no text; save the file as "
            "UTF-8"
        )
    return text


def read(path: Path, needed: Needed = (), usual: str = ",") -> pd.DataFrame:
    """Read a table whose cells are separated by `usual` or by another of _DELIMITERS.

    It is parsed by the csv module, because pandas cannot tell on which line a row begins.

    Args:
        path: The file.
        needed: The columns that the header must have.
        usual: The usual delimiter of such a file.

    Returns:
        The cells as text, indexed by line.

    Raises:
        ValueError: If the file is no such table; the message names the line and what is wrong there.
    """
    text = decoded(path)
    csv.field_size_limit(sys.maxsize)  # a thought may be longer than 131,072 characters
    declared = _SAID.match(text)
    if declared:
        delimiter, text, skipped = declared[1], text[declared.end() :], 1
    else:
        delimiter, skipped = _delimiter(text, needed, usual), 0
    rows = {number + skipped: cells for number, cells in _rows(text, delimiter, skipped)}
    if rows and not below(rows, needed):
        _refuse_uneven(rows, _DELIMITERS.get(delimiter, repr(delimiter)))
    return headed(rows, needed, "line")


def _delimiter(text: str, needed: Needed, usual: str) -> str:
    """Find the delimiter by which the file has all needed columns, or else the most plausible one."""
    candidates = [usual, *(other for other in _DELIMITERS if other != usual)]
    first_rows = {}
    for delimiter in candidates:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        first_rows[delimiter] = dict(enumerate(islice(filter(None, reader), SOUGHT))) or {0: []}
    # the header has all needed columns, or else a line below it has
    matches = [delimiter for delimiter in candidates if needed and fits(first_rows[delimiter][0], needed)]
    matches += [delimiter for delimiter in candidates if below(first_rows[delimiter], needed)]
    # else `usual` if it separates the first line, or else what separates that into most cells
    if matches or len(first_rows[usual][0]) > 1:
        return matches[0] if matches else usual
    return max(candidates, key=lambda delimiter: len(first_rows[delimiter][0]))


def _rows(text: str, delimiter: str, skipped: int):
    """Yield (line, cells) of each row that has any text."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            # spreadsheets write lines that hold only delimiters or blanks; these are skipped
            if any(map(str.strip, cells)):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        reason = (
            "a quotation mark that is opened there is never closed"
            if "end of data" in str(error)
            else str(error)
        )
        raise DataError(
            f"line {line + skipped}: {reason}; double each quotation mark inside a quoted cell, or write "
            "the file "
            "anew with a CSV library"
        ) from None


def _refuse_uneven(rows: dict[int, list], held: str) -> None:
    (_, header), *others = rows.items()
    for number, cells in others:
        if len(cells) != len(header):
            raise DataError(
                f"line {number} has {len(cells)} cells, the header {len(header)}; quote cells that hold a "
                f"{held}"
            )
