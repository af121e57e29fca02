"""Journals of parts: work that is divided over processes or machines, each with a journal of its own.

The journal of part k of n of `smollm2.jsonl` is `smollm2.k-of-n.jsonl`. `gather` copies what they hold into
the one journal. A record is found by its key, so neither the number of parts nor their order matters.
"""

import re
from pathlib import Path

from lib.storage.records import Columns, Journal

_PART = re.compile(r"\.(\d+)-of-(\d+)$")


def journal_of(path: Path, number: int, count: int) -> Path:
    """The journal of one of `count` parts, counted from 1."""
    return path.with_name(f"{path.stem}.{number}-of-{count}{path.suffix}")


def parts(path: Path) -> list[Path]:
    """The journals of parts that lie beside a journal, of whatever division."""
    found = path.parent.glob(f"{path.stem}.*{path.suffix}")
    return sorted(part for part in found if _PART.sub("", part.stem) == path.stem and _PART.search(part.stem))


def gather(journal: Journal, columns: Columns) -> int:
    """Append to an open journal what the journals of its parts hold and it lacks.

    Args:
        journal: The journal.
        columns: Columns that a record needs to count as there.

    Returns:
        Number of records that were appended.
    """
    added = 0
    for path in parts(journal.path):
        with Journal(path) as part:
            known = journal.keys(columns)
            new = [record for record in part.records(columns) if record["key"] not in known]
        if new:
            journal.append(new)
        added += len(new)
    return added
