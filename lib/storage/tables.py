"""Read a table of others as text.

Each row keeps the number under which a person finds it in the file.
"""

import json
from collections.abc import Callable
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet

from lib.config import specs
from lib.config.specs import ParameterError, nearest
from lib.runtime.errors import DataError
from lib.storage import delimited, sheets
from lib.storage.headers import SHOWN, Needed, some

__all__ = ["READERS", "SHOWN", "Needed", "is_no_text", "read", "some", "text"]


def text(value) -> str | None:
    """A cell as text; None if it holds no text.

    7.0 becomes "7"; half a character, which JSON may hold, becomes U+FFFD.
    """
    if isinstance(value, str):
        # joins two halves of one character
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return (
        None
        if isinstance(value, bytes) or not pd.api.types.is_scalar(value) or pd.isna(value)
        else str(value)
    )


def is_no_text(value) -> bool:
    """Whether a cell holds something that is no text: a formula, an error, a date, bytes or a list."""
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
    """Read a JSON object per line; ValueError if some are none, or if the file is one list or cut short."""
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
        raise DataError(_not_lines(content, broken, max(records)))
    return pd.DataFrame(list(records.values()), list(records), dtype=object)


def _object(line: int, pairs: list[tuple]) -> dict:
    """An object of line `line`; ValueError if it has a key twice, because json would keep only the last."""
    result = dict(pairs)
    if len(result) < len(pairs):
        repeated = next(name for name, _ in pairs if [other for other, _ in pairs].count(name) > 1)
        raise DataError(f"line {line} names {repeated!r} twice; leave one of them")
    return result


def _not_lines(content: str, broken: list[int], last: int) -> str:
    """What is wrong with a file if its lines `broken` are no JSON objects."""
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


# suffix -> (what its rows are counted in, reader(path, needed columns)); the header is number 1, except in
# parquet, which has none
READERS: dict[str, tuple[str, Callable[[Path, Needed], pd.DataFrame]]] = {
    ".parquet": ("row", _parquet),
    ".csv": ("line", delimited.read),
    ".tsv": ("line", partial(delimited.read, usual="\t")),
    ".jsonl": ("line", _jsonl),
    ".xlsx": ("row", sheets.read),
}


def read(path: str, needed: Needed, place: str) -> tuple[pd.DataFrame, str]:
    """Read a file as it is.

    Args:
        path: Relative to the project's folder, or absolute.
        needed: The columns that the header must have.
        place: What an error message begins with.

    Returns:
        The table, indexed by line or row as people count them, and which of the two that is.

    Raises:
        ParameterError: If there is no such file, or if it cannot be read.
    """
    full_path = specs.ROOT / path
    suffix = full_path.suffix.lower()
    if not full_path.is_file():
        raise ParameterError(f"{place}: no such file: {full_path.resolve()}")
    if suffix not in READERS:
        raise ParameterError(
            f"{place}: unknown suffix {suffix!r}{nearest(suffix, READERS)}; give {', '.join(READERS)}"
        )
    unit, reader = READERS[suffix]
    try:
        file = reader(full_path, needed)
    except Exception as error:  # each reader raises its own exceptions
        reason = " ".join(str(error).split())[:600] or type(error).__name__
        raise ParameterError(f"{place}: cannot be read: {reason}") from None
    return file.set_axis([str(name) for name in file.columns], axis=1), unit
