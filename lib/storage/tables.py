"""A table that somebody else wrote, read as text: each row under the number by which people find it in the
file."""

import json
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet

from lib.config import specs
from lib.config.specs import ParameterError, nearest
from lib.storage import delimited, sheets
from lib.storage.headers import SHOWN, Needed, some

__all__ = ["READERS", "SHOWN", "Needed", "is_no_text", "read", "some", "text"]


def text(value) -> str | None:
    """A cell as text, 7.0 as "7", half a character (as JSON may hold) as U+FFFD; None where there is no
    text."""
    if isinstance(value, str):
        # joins two halves that belong together
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return (
        None
        if isinstance(value, bytes) or not pd.api.types.is_scalar(value) or pd.isna(value)
        else str(value)
    )


def is_no_text(value) -> bool:
    """Whether something stands in a cell that is no text: a formula, an error, a date, bytes, a list."""
    return text(value) is None and not (pd.api.types.is_scalar(value) and pd.isna(value))


def _parquet(path: Path, needed: Needed = ()) -> pd.DataFrame:
    # columns that pandas wrote as its index count too
    table = (
        pyarrow.parquet.ParquetFile(path)
        .read()
        .to_pandas(ignore_metadata=True, integer_object_nulls=True)
        .astype(object)
    )
    return table.set_axis(np.arange(1, len(table) + 1), axis=0)


def _jsonl(path: Path, needed: Needed = ()) -> pd.DataFrame:
    """A JSON object a line; ValueError says which lines are none, and where the whole file is one list, or is
    cut short."""
    records, broken = {}, []
    content = delimited.decoded(path)
    for number, line in enumerate(StringIO(content, newline=None), start=1):
        if not line.strip():
            continue
        try:  # numbers stay as they are written
            records[number] = json.loads(
                line,
                parse_int=str,
                parse_float=str,
                parse_constant=lambda _: None,
                object_pairs_hook=partial(_object, number),
            )
        except json.JSONDecodeError:
            records[number] = None
        if not isinstance(records[number], dict):
            broken.append(number)
    if broken:
        raise ValueError(_not_lines(content, broken, max(records)))
    return pd.DataFrame(list(records.values()), list(records), dtype=object)


def _object(line: int, pairs: list[tuple]) -> dict:
    """An object of line `line`; ValueError if it names something twice, for json would keep the last
    alone."""
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(name for name, _ in pairs if [other for other, _ in pairs].count(name) > 1)
        raise ValueError(f"line {line} names {twice!r} twice; leave one of them")
    return made


def _not_lines(content: str, broken: list[int], last: int) -> str:
    """What is wrong with a file whose `broken` lines are no JSON objects."""
    if content.lstrip().startswith("["):
        try:
            if isinstance(json.loads(content), list):
                return (
                    "is one JSON list, not a JSON object a line; write each of its objects on a line (jq "
                    "-c '.[]' does)"
                )
        except json.JSONDecodeError:
            pass
    if broken == [last] and not content.endswith("\n"):
        return (
            f"its last line, {last}, is cut short: the file was not written or copied to its end; make "
            "or copy it again"
        )
    lines = "line is no JSON object" if len(broken) == 1 else "lines are not JSON objects"
    return (
        f"{len(broken):,} {lines}: line {some(broken, len(broken))}; write one object a line, without "
        "breaks inside"
    )


# suffix -> what its rows are counted in (the header is 1, but for parquet, which has none), reader(path,
# needed columns)
READERS = {
    ".parquet": ("row", _parquet),
    ".csv": ("line", delimited.read),
    ".tsv": ("line", partial(delimited.read, usual="\t")),
    ".jsonl": ("line", _jsonl),
    ".xlsx": ("row", sheets.read),
}


def read(path: str, needed: Needed, place: str) -> tuple[pd.DataFrame, str]:
    """A file as it is, indexed by line or row as people count them, and which of the two that is.

    `path` is relative to the project's folder, or absolute. ParameterError, headed by `place`, if there is no
    such file, or if it cannot be read.
    """
    found = specs.ROOT / path
    suffix = found.suffix.lower()
    if not found.is_file():
        raise ParameterError(f"{place}: no such file: {found.resolve()}")
    if suffix not in READERS:
        raise ParameterError(
            f"{place}: unknown suffix {suffix!r}{nearest(suffix, READERS)}; give {', '.join(READERS)}"
        )
    unit, reader = READERS[suffix]
    try:
        file = reader(found, needed)
    except Exception as error:  # every reader has its own
        raise ParameterError(f"{place}: cannot be read: {' '.join(str(error).split())[:600]}") from None
    return file.set_axis([str(name) for name in file.columns], axis=1), unit
