"""The cache folder, where fetched and converted files are kept: who may write, whether there is room, how a
folder gets there."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from lib.runtime import progress


def cache_folder() -> Path:
    """Where fetched and converted files are kept between runs and between clones."""
    given = os.environ.get("EXPRESSION_LEAKAGE_CACHE")
    folder = Path(given) if given else Path(platformdirs.user_cache_dir("expression-leakage"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fresh(made: Path) -> Path:
    """An empty folder beside `made`, to be renamed to it when it is whole."""
    making = made.with_name(f".{made.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    return making


@contextmanager
def locked(path: Path, work: str) -> Iterator[None]:
    """One process at a time; whoever has to wait for another that does `work` says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        progress.message(f"another process {work}: waiting for it", sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def check_room(what: str, folder: Path, needed: int) -> None:
    """OSError, with both sizes and what to do, if the disk of `folder` has no room for `needed` bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{what}: needs {needed / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free in {folder}\n"
            "make room there, or set EXPRESSION_LEAKAGE_CACHE to a folder on a larger disk"
        )
