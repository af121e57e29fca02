"""The cache of fetched and converted files: its folder, its locks and its free space.

Whatever is written, here or into a run, gets its final name only when it is complete (`whole`).
"""

import hashlib
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from lib.runtime import progress
from lib.runtime.errors import DataError, ResourceError

DELETE = "delete it and run again"  # what to do with a damaged file that a run makes anew
_DAMAGED = (ValueError, KeyError, EOFError, OverflowError, zipfile.BadZipFile)


def cache_folder() -> Path:
    """The folder where fetched and converted files are kept between runs and between clones.

    It is EXPRESSION_LEAKAGE_CACHE, if that is set, or else in the user's cache, and is created if missing.
    """
    configured = os.environ.get("EXPRESSION_LEAKAGE_CACHE")
    folder = Path(configured) if configured else Path(platformdirs.user_cache_dir("expression-leakage"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def whole(path: Path, mark: str = "making") -> Iterator[Path]:
    """Let the block write a file or folder under a temporary name, and rename it to `path` at the end.

    After an error there is neither. What a killed process left is replaced.

    Args:
        path: The final path; its suffix is also that of the temporary one.
        mark: Part of the temporary name; processes that may write at once, without a lock, differ in it.
    """
    tmp_path = path.with_name(f".{path.stem}.{mark}{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(tmp_path)
    try:
        yield tmp_path
        if tmp_path.is_file():
            with tmp_path.open("rb") as file:
                os.fsync(file.fileno())
        tmp_path.replace(path)
    finally:
        _remove(tmp_path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def undamaged(path: Path | str, remedy: str = DELETE) -> Iterator[None]:
    """Let the block read a file, and turn an error about its content into one that names it.

    Args:
        path: The file, as the message shall name it.
        remedy: What to do about it.

    Raises:
        DataError: If the content is damaged.
        ResourceError: If it asks for more memory than there is, as a damaged or hostile file may.
    """
    try:
        yield
    except MemoryError as error:
        raise ResourceError(
            f"{path}: needs more memory than there is ({_in_short(error)}); free memory and run again, "
            f"or, if the file is damaged, {remedy}"
        ) from None
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # that of the system, not of a reader
            raise
        raise DataError(f"{path}: is damaged ({_in_short(error)}); {remedy}") from None


def _in_short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def locked(path: Path, work: str) -> Iterator[None]:
    """Let one process at a time run the block.

    A process that has to wait prints that another one does `work`.
    """
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
    """Check that the disk of `folder` has room for `needed` bytes.

    Raises:
        OSError: If it has not; the message names both sizes and what to do.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ResourceError(
            f"{what}: needs {needed / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free in {folder}\n"
            "make room there, or set EXPRESSION_LEAKAGE_CACHE to a folder on a larger disk"
        )
