"""Where a result comes from: the code and its revision, the locked packages, the machine, hashes of files."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from lib.config.specs import ROOT
from lib.storage.caching import sha256

LOCK = "requirements.txt"
PUBLISHED = "published"  # folder of a run that `make publish` writes
_CODE_FOLDERS = ("lib", "notebooks")
_CODE_SUFFIXES = (".py", ".ipynb", ".csv", ".yaml", ".safetensors", "")
_NO_CODE = "outputs"  # a run changes what lies there, so it does not make a tree dirty


def revision(root: Path = ROOT) -> dict:
    """The git commit of a project folder, and whether its tree differs from it.

    Args:
        root: The project folder.

    Returns:
        git (40 hex digits) and dirty (whether any file outside outputs/ is changed or new); both None without
        git, or where the folder is not the top of a checkout.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return {"git": None, "dirty": None}
    changed = _git(root, "status", "--porcelain", "--", ".", f":(exclude){_NO_CODE}")
    return {"git": _git(root, "rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None if there is no git, no checkout, or no answer within half a minute."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def code_hash(root: Path = ROOT) -> str:
    """SHA-256 over the modules, notebooks and shipped data of a project folder, with or without git."""
    digest = hashlib.sha256()
    for path in _code_files(root):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


def _code_files(root: Path) -> list[Path]:
    found = [path for name in _CODE_FOLDERS for path in (root / name).rglob("*")]
    paths = [*found, root / "Snakefile"]
    return sorted(
        path
        for path in paths
        if path.is_file() and path.suffix in _CODE_SUFFIXES and ".ipynb_checkpoints" not in path.parts
    )


def lock_hash(root: Path = ROOT) -> str | None:
    """SHA-256 of the file that locks the packages; None where there is none."""
    return sha256(root / LOCK) if (root / LOCK).is_file() else None


def tables(folder: Path) -> list[Path]:
    """The tables of a run; those that `make publish` makes of a finished run are not among them."""
    return sorted(path for path in folder.rglob("*.parquet") if folder / PUBLISHED not in path.parents)


def hashes(paths: Iterable[Path], folder: Path) -> dict[str, str]:
    """SHA-256 of each file by its path relative to `folder`, in the order of the paths."""
    return {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(paths)}


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """The version of each package that is installed, and of Python."""
    installed = {}
    for name in names:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed[name] = "not installed"
    return installed | {"python": platform.python_version()}


def execution(folder: Path) -> dict:
    """On which machine and when a run was made: the only part in which equal runs differ.

    Args:
        folder: The run folder.

    Returns:
        begun (when the first values of a notebook were written; None if there are none), ended (now), both
        in UTC, cpu, cores and platform.
    """
    written = [path.stat().st_mtime for path in (folder / "values").rglob("*.yaml")]
    return {
        "begun": _utc(min(written)) if written else None,
        "ended": _utc(datetime.now(UTC).timestamp()),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
    }


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _cpu() -> str:
    """The model of the processor, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
