"""Verdicts that were given before: a text is judged once by a judge of one version, whatever run asks and
however often killed.

Kept in the user's cache, by the hash of the text, one SQLite file for each version. Of a million texts only
the answers and a number each are held, never all their hashes.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from lib.runtime import progress
from lib.storage import packages

BLOCK = 2048  # texts that are looked up, judged and kept together: all that a killed run loses


def path(version: str) -> Path:
    """The file that keeps the verdicts of one version."""
    return packages.cache_folder() / f"verdicts-{hashlib.sha256(version.encode()).hexdigest()[:16]}.sqlite"


def kept(version: str, texts: list[str], give: Callable[[list[str]], np.ndarray]) -> np.ndarray:
    """Valence of each text, shape (texts,): as kept, or as `give` says of those never judged, and then kept.

    Shortest first, so that the texts of a block are alike in length. What another process has judged
    meanwhile is taken over.
    """
    places, distinct = pd.factorize(np.array(texts, dtype=object))
    order = np.argsort([len(text) for text in distinct], kind="stable")
    valences = np.empty(len(distinct))
    with contextlib.closing(sqlite3.connect(path(version), timeout=600)) as file:
        file.execute(
            "CREATE TABLE IF NOT EXISTS verdicts (text BLOB PRIMARY KEY, valence REAL) WITHOUT ROWID"
        )
        blocks = [order[start : start + BLOCK] for start in range(0, len(order), BLOCK)]
        costs = [sum(map(len, distinct[block])) for block in blocks]
        with progress.bar(len(order), version, "texts", costs=costs) as bar:
            for block in blocks:
                valences[block] = _of_block(file, distinct[block], give)
                bar.step(len(block))
    return valences[places]


def _of_block(
    file: sqlite3.Connection, texts: np.ndarray, give: Callable[[list[str]], np.ndarray]
) -> list[float]:
    """Valence of each of BLOCK distinct texts at most; those judged now are kept all or not at all."""
    keys = [hashlib.sha256(text.encode(errors="surrogatepass")).digest() for text in texts]
    found = dict(
        file.execute(f"SELECT text, valence FROM verdicts WHERE text IN ({','.join('?' * len(keys))})", keys)
    )
    requested = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
    if requested:
        given = dict(
            zip(requested, (float(valence) for valence in give(list(requested.values()))), strict=True)
        )
        with file:  # one transaction
            # NaN is kept as NULL
            file.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", given.items())
        found |= given
    return [np.nan if found[key] is None else found[key] for key in keys]
