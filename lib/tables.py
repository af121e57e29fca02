"""A table that somebody else wrote, read as text: each row under the number by which people find it in the file."""

import csv
import json
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd

SHOWN = 3  # rows that an error names


def some(words, count: int) -> str:
    """The first of `words`, and how many of `count` are not named."""
    return ", ".join(str(word) for word in words[:SHOWN]) + f" and {count - SHOWN:,} more" * (count > SHOWN)


def text(value) -> str | None:
    """A cell as text, 7.0 as "7"; None where there is none."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # half a character, as JSON may hold, cannot be written to a file
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if isinstance(value, bytes) or not pd.api.types.is_scalar(value) or pd.isna(value) else str(value)


def _parquet(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path).astype(object)
    return table.set_axis(np.arange(1, len(table) + 1), axis=0)


def _csv(path: Path, delimiter: str = ",") -> pd.DataFrame:
    """By the csv module, for pandas cannot tell on which line a row begins."""
    held = "comma" if delimiter == "," else "tab"
    rows, header, begins = {}, None, 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        for cells in reader:
            header = header or cells
            if cells and len(cells) != len(header):
                raise ValueError(
                    f"line {begins} has {len(cells)} cells, the header {len(header)}; quote cells that hold a {held}"
                )
            if cells:
                rows[begins] = cells
            begins = reader.line_num + 1
    return _headed(rows)


def _xlsx(path: Path) -> pd.DataFrame:
    """The first sheet; a formula, an error and a blank cell are no text, an empty text is."""
    rows = {}
    with closing(openpyxl.load_workbook(path, read_only=True)) as book:
        for number, cells in enumerate(book.worksheets[0].iter_rows(), start=1):
            values = ["" if cell.value is None and cell.data_type != "n" else cell.value for cell in cells]
            if any(value is not None for value in values):
                rows[number] = [None if cell.data_type in "fe" else value for cell, value in zip(cells, values, strict=True)]
    return _headed(rows)


def _headed(rows: dict[int, list]) -> pd.DataFrame:
    """`rows` by number as a table, the first of them its header."""
    if not rows:
        return pd.DataFrame()
    (_, header), *others = rows.items()
    padded = [[*cells, *[None] * len(header)][: len(header)] for _, cells in others]
    return pd.DataFrame(padded, [number for number, _ in others], header, dtype=object)


def _jsonl(path: Path) -> pd.DataFrame:
    records, broken = {}, []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:  # numbers stay as they are written
                records[number] = json.loads(line, parse_int=str, parse_float=str, parse_constant=lambda _: None)
            except json.JSONDecodeError:
                records[number] = None
            if not isinstance(records[number], dict):
                broken.append(number)
    if broken:
        raise ValueError(f"{len(broken):,} lines are not JSON objects: line {some(broken, len(broken))}")
    return pd.DataFrame(list(records.values()), list(records), dtype=object)


# suffix -> what its rows are counted in (the header is 1, but for parquet, which has none), reader
READERS = {".parquet": ("row", _parquet), ".csv": ("line", _csv), ".tsv": ("line", partial(_csv, delimiter="\t")),
           ".jsonl": ("line", _jsonl), ".xlsx": ("row", _xlsx)}  # fmt: skip
