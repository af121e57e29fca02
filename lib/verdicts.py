"""Verdicts that were given before: a text is judged once by a judge of one version, whatever run asks and however often killed.

Kept in the user's cache, by the hash of the text, one SQLite file for each version.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lib import packages

BLOCK = 2048  # texts that are judged before they are kept: all that a killed run loses


def path(version: str) -> Path:
    """The file that keeps the verdicts of one version."""
    return packages.cache_folder() / f"verdicts-{hashlib.sha256(version.encode()).hexdigest()[:16]}.sqlite"


def kept(version: str, texts: list[str], give: Callable[[list[str]], np.ndarray]) -> np.ndarray:
    """Valence of each text, shape (texts,): as kept, or as `give` says of those never judged, shortest first, and then kept."""
    keys = [hashlib.sha256(text.encode()).digest() for text in texts]
    with contextlib.closing(sqlite3.connect(path(version), timeout=600)) as file:
        file.execute("CREATE TABLE IF NOT EXISTS verdicts (text BLOB PRIMARY KEY, valence REAL) WITHOUT ROWID")
        known = dict(_found(file, keys))
        owed = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        order = sorted(owed, key=lambda key: len(owed[key]))
        with tqdm(total=len(order), desc=version, unit=" texts", disable=len(order) <= BLOCK) as bar:
            for start in range(0, len(order), BLOCK):
                block = order[start : start + BLOCK]
                given = [float(valence) for valence in give([owed[key] for key in block])]
                with file:  # one transaction: the whole block or nothing
                    file.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", zip(block, given, strict=True))
                known.update(zip(block, given, strict=True))
                bar.update(len(block))
    return np.array([known[key] for key in keys], dtype=float)


def _found(file: sqlite3.Connection, keys: list[bytes]) -> Iterator[tuple[bytes, float]]:
    size = 30_000  # below SQLite's limit on the values of one question
    for start in range(0, len(keys), size):
        part = keys[start : start + size]
        found = file.execute(f"SELECT text, valence FROM verdicts WHERE text IN ({','.join('?' * len(part))})", part)
        yield from ((key, np.nan if valence is None else valence) for key, valence in found)
