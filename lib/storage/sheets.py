"""Read workbooks of others (xlsx): find the one sheet that has the table, and what its cells show.

Hidden sheets, rows and columns count like others. The size that a sheet declares is ignored.
"""

import re
import zipfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import openpyxl
import pandas as pd
from openpyxl.utils.cell import range_boundaries

from lib.runtime.errors import DataError
from lib.storage.headers import Needed, below, described, fits, headed, some

_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")  # such as _x000D_; openpyxl does not decode it while reading
_MERGED = re.compile(rb"""<(?:\w+:)?mergeCell\s[^>]*?ref=["']([A-Z]+\d+:[A-Z]+\d+)["']""")
_PLAIN = re.compile(r"General|@|#|(#,##)?0(\.0+)?")  # formats in which a number shows its digits
# the namespace of a form of xlsx in which openpyxl finds nothing
_STRICT = b"http://purl.oclc.org/ooxml/spreadsheetml/main"
_KINDS = {"f": "a formula", "e": "an error", "d": "a date"}


@dataclass(frozen=True)
class NoText:
    """A cell that holds no text or plain number.

    Attributes:
        kind: What it holds instead (a formula, an error, a date, …).
        shown: Its value.
    """

    kind: str
    shown: str

    def __str__(self) -> str:
        return f"{self.kind} ({self.shown})"


def read(path: Path, needed: Needed = ()) -> pd.DataFrame:
    """Read the sheet that has the needed columns.

    Returns:
        The rows of the sheet. A blank cell is None, an empty text stays one, and what is no text or plain
        number is NoText.

    Raises:
        ValueError: If the file is no xlsx workbook, if no sheet has the columns or several have them, or if
            cells of the table are merged.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(
            "is no xlsx workbook: perhaps an old .xls, locked with a password, or cut short; save it anew "
            "as xlsx"
        )
    with zipfile.ZipFile(path) as parts:
        workbook = parts.read("xl/workbook.xml") if "xl/workbook.xml" in parts.namelist() else None
    if workbook is None or _STRICT in workbook:
        kind = (
            "a zip file of another kind, as .ods and .xlsb are"
            if workbook is None
            else "a Strict Open XML workbook"
        )
        raise DataError(f"is {kind}; save it anew as 'Excel workbook (xlsx)'")
    with closing(openpyxl.load_workbook(path, read_only=True)) as book:
        tables = {sheet.title: _rows(sheet) for sheet in book.worksheets}
        title = _chosen({title: rows for title, rows in tables.items() if rows}, needed)
        if title is None:
            return pd.DataFrame()
        sheet = next(sheet for sheet in book.worksheets if sheet.title == title)
        _refuse_merged(_source(book, sheet), tables[title])
    return headed(tables[title], needed, f"sheet {title!r}, row" if len(tables) > 1 else "row")


def _source(book, sheet) -> bytes:
    """The XML of a sheet in read-only mode, which does not show which cells are merged.

    openpyxl has no public way to it; a test fails if this one goes.
    """
    return book._archive.read(sheet._worksheet_path)


def _rows(sheet) -> dict[int, list]:
    """The cells of every row that is not blank, by the row's number."""
    sheet.reset_dimensions()
    rows = {}
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        values = [_value(cell) for cell in cells]
        if any(value is not None for value in values):
            rows[number] = values
    return rows


def _value(cell):
    if cell.data_type in _KINDS:
        # an array formula is an object
        return NoText(_KINDS[cell.data_type], str(getattr(cell.value, "text", cell.value)))
    if cell.value is None:
        return None if cell.data_type == "n" else ""
    if isinstance(cell.value, bool):
        return str(cell.value).upper()
    if cell.data_type == "n" and not _PLAIN.fullmatch(
        cell.number_format
    ):  # 50%, $5 or 007, which the file holds as 0.5, 5 and 7
        return NoText("a number in a format of its own", f"{cell.value} as {cell.number_format}")
    return (
        _ESCAPED.sub(lambda match: chr(int(match[1], 16)), cell.value)
        if isinstance(cell.value, str)
        else cell.value
    )


def _chosen(tables: dict[str, dict[int, list]], needed: Needed) -> str | None:
    """The title of the sheet that is meant; None if all are blank."""
    matches = [title for title, rows in tables.items() if fits(next(iter(rows.values())), needed)]
    if len(matches) > 1:
        raise DataError(
            f"{len(matches)} sheets have the columns {described(needed)}: {some(matches, len(matches))}; "
            "leave one of them in the file (hidden ones count)"
        )
    if matches or len(tables) < 2:
        return next(iter(matches or tables), None)
    misplaced = [title for title, rows in tables.items() if below(rows, needed)]
    if misplaced:
        return misplaced[0]
    first = {title: [cell for cell in next(iter(rows.values())) if cell] for title, rows in tables.items()}
    shown = [f"{title!r} ({some(cells, len(cells))})" for title, cells in first.items()]
    raise DataError(
        f"no sheet has the columns {described(needed)}; the sheets and what they begin with: "
        f"{some(shown, len(shown))}; name the columns in the sheet's first row"
    )


def _refuse_merged(source: bytes, rows: dict[int, list]) -> None:
    """ValueError if cells of the table are merged: all but the first would appear blank."""
    (top, header), last = next(iter(rows.items())), max(rows)
    merged = []
    for match in _MERGED.finditer(source):
        left, first, _, bottom = range_boundaries(match[1].decode())
        in_table = left <= len(header) and first <= last and bottom >= top
        merged += [match[1].decode()] * in_table
    if merged:
        raise DataError(f"cells are merged: {some(merged, len(merged))}; unmerge them and fill in each cell")
