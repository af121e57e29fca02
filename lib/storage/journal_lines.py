"""Read a journal of any size: its lines in blocks, and the keys of a block's records at once.

A block is parsed by Arrow's JSON reader, several times faster than line by line. Where it finds anything but
whole records, `keys_of` says so and the lines are read one by one.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import json as arrow_json

BLOCK = 2**22  # bytes read together
_SCHEMA = pa.schema([("key", pa.string())])
_OPTIONS = arrow_json.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="ignore")


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


def keys_of(block: bytes, columns: list[str] | tuple = ()) -> list[str] | None:
    """The key of each line of a block of records, all of which have these columns.

    Returns:
        The keys; None if a line may be no record, or may lack a column.
    """
    count = block.count(b"\n")
    # as `Journal.append` writes it; inside a text, quotation marks have a backslash before them
    if any(block.count(f'"{name}": '.encode()) != count for name in columns) or not _is_utf8(block):
        return None
    try:
        options = arrow_json.ReadOptions(use_threads=False, block_size=2 * len(block))
        table = arrow_json.read_json(io.BytesIO(block), options, _OPTIONS)
    except pa.ArrowInvalid:
        return None
    keys = table["key"]
    return keys.to_pylist() if len(keys) == count and not keys.null_count else None


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True
