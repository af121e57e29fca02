"""Read a journal of any size: its lines in blocks, and the keys of a block's records at once.

A block is parsed by Arrow's JSON reader, several times faster than line by line. Where it finds anything but
whole records, `keys_of` says so and the lines are read one by one.
"""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import json as arrow_json

BLOCK = 2**22  # bytes read together
_TYPES = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}


def end_of_records(file: int) -> int:
    """The size of an open journal without what follows its last line break; only its end is read."""
    size = os.fstat(file).st_size
    for start in range(max(0, size - BLOCK), -BLOCK, -BLOCK):
        first = max(0, start)
        block = os.pread(file, min(BLOCK, size), first)
        if (end := block.rfind(b"\n")) >= 0:
            return first + end + 1
    return 0


def blocks(path: Path) -> Iterator[bytes]:
    """The lines of a file in blocks of about BLOCK bytes, each cut after a line."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block + file.readline()


def keys_of(block: bytes, columns: Sequence[str] | Mapping[str, tuple[type, ...]] = ()) -> list[str] | None:
    """The key of each line of a block of records, all of which have these columns.

    Args:
        block: Whole lines.
        columns: Names, or names with the types that the values may have, of str, int, bool and NoneType.

    Returns:
        The keys; None if a line may be no record, may lack a column, or may have a value of another type.
    """
    types = {"key": (str,)} | (dict(columns) if isinstance(columns, Mapping) else {})
    count = block.count(b"\n")
    # as `Journal.append` writes it; inside a text, quotation marks have a backslash before them
    fields = [f'"{name}": '.encode() for name in columns]
    if any(block.count(field) != count for field in fields) or not _is_utf8(block):
        return None
    if not all(field in line for line in block.splitlines() for field in fields):
        return None
    try:
        options = arrow_json.ReadOptions(use_threads=False, block_size=2 * len(block))
        table = arrow_json.read_json(io.BytesIO(block), options, _parsed_as(types))
    except pa.ArrowInvalid:
        return None
    has_nulls = any(table[name].null_count for name, allowed in types.items() if type(None) not in allowed)
    return table["key"].to_pylist() if len(table) == count and not has_nulls else None


def _parsed_as(types: Mapping[str, tuple[type, ...]]) -> arrow_json.ParseOptions:
    """Options that take these fields alone, each with the first of its types."""
    schema = pa.schema([(name, _TYPES[allowed[0]]) for name, allowed in types.items()])
    return arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True
