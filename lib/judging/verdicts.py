"""Stored verdicts: a judge of one version judges each text once, across runs and even if a run is killed.

Verdicts are kept in the user's cache by the hash of the text, in one SQLite file per version. For a million
texts only the verdicts and one number each are held in memory, never all their hashes.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lib.nlp import batches
from lib.runtime import progress
from lib.runtime.errors import DataError, ResourceError
from lib.storage import caching

BLOCK = 2048  # texts that are looked up, judged and stored together: the most that a killed run loses


def path(version: str) -> Path:
    """Return the file that stores the verdicts of one version."""
    return caching.cache_folder() / f"verdicts-{hashlib.sha256(version.encode()).hexdigest()[:16]}.sqlite"


def cached(version: str, texts: list[str], give: Callable[[list[str]], np.ndarray]) -> np.ndarray:
    """Return the valence of each text, shape (texts,), from the store where it holds one.

    Texts are processed shortest first, so that those of a block have similar lengths. Verdicts that another
    process stored in the meantime are reused.

    Args:
        version: Version of the judge.
        texts: The texts.
        give: Judges texts that have no stored verdict; its verdicts are stored.

    Raises:
        DataError: If the store is damaged.
        ResourceError: If it cannot be written.
    """
    codes, distinct = pd.factorize(np.array(texts, dtype=object))
    valences = np.empty(len(distinct))
    with _explained(path(version)), contextlib.closing(sqlite3.connect(path(version), timeout=600)) as file:
        file.execute(
            "CREATE TABLE IF NOT EXISTS verdicts (text BLOB PRIMARY KEY, valence REAL) WITHOUT ROWID"
        )
        blocks = batches.by_length([len(text) for text in distinct], BLOCK)
        costs = [sum(map(len, distinct[block])) for block in blocks]
        with progress.bar(len(distinct), version, "texts", costs=costs) as bar:
            for block in blocks:
                valences[block] = _of_block(file, distinct[block], give)
                bar.step(len(block))
    return valences[codes]


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Turn an error of SQLite into one that names the file and says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ResourceError(
            f"{file}: cannot be used ({error}); make room or make the folder writable, then run again: "
            "what is judged is kept"
        ) from None
    except sqlite3.DatabaseError as error:
        raise DataError(
            f"{file}: is damaged ({error}); {caching.DELETE}: its verdicts are given anew"
        ) from None


def _of_block(
    file: sqlite3.Connection, texts: np.ndarray, give: Callable[[list[str]], np.ndarray]
) -> list[float]:
    """Return the valence of each of at most BLOCK distinct texts.

    New verdicts are stored all or not at all.
    """
    keys = [hashlib.sha256(text.encode(errors="surrogatepass")).digest() for text in texts]
    places = ",".join("?" * len(keys))
    query = f"SELECT text, valence FROM verdicts WHERE typeof(valence) != 'blob' AND text IN ({places})"
    stored = dict(file.execute(query, keys))
    requested = {key: text for key, text in zip(keys, texts, strict=True) if key not in stored}
    if requested:
        judged = dict(
            zip(requested, (float(valence) for valence in give(list(requested.values()))), strict=True)
        )
        with file:  # one transaction
            # NaN is stored as NULL
            file.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", judged.items())
        stored |= judged
    return [np.nan if stored[key] is None else stored[key] for key in keys]
