"""WET files of Common Crawl: those of a path or glob, or a seeded sample of a crawl, downloaded to the cache.

The downloads are polite: an honest User-Agent, one connection, one second between requests, and after a
failure the pause that the server states in Retry-After, or growing pauses with jitter. This server answers
403 to requests that come too fast: five minutes of rest and one more try follow, then an error.

A download that breaks off is continued by Range. The SHA-256 of a complete file is stored next to it and
checked before each use.
"""

import gzip
import re
import sys
import time
import zlib
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

import numpy as np
import pandas as pd
import requests
import tenacity
import urllib3
from filelock import FileLock

from lib.runtime import progress
from lib.runtime.errors import DataError, ResourceError
from lib.storage import caching

HOST = "https://data.commoncrawl.org"
AGENT = "expression-leakage/0.1 (research software; reads a few WET files of a crawl, one at a time)"
TRIES = 8  # per file and call; each continues where the last one broke off
REFUSED_PAUSE = 300.0  # seconds after a 403
PAUSE = 1.0  # seconds between requests, and the first after a failure
PATIENCE = (10, 60)  # seconds to connect, and to wait for the next bytes


class _MayPass(OSError):
    """A temporary failure, and the pause in seconds that the server asks for."""

    def __init__(self, reason: str, pause: float = 0.0):
        super().__init__(reason)
        self.pause = pause


@dataclass
class _Download:
    session: requests.Session
    url: str
    path: Path
    until: float  # on time.monotonic's clock
    refused: bool = False  # a 403 was received

    @property
    def partial(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")


def fetch(crawl: str, files: int, seed: int, deadline: float, host: str = HOST) -> list[Path]:
    """Download a sample of WET files of a crawl.

    Files that are there, whole or in part, are kept for the next call.

    Args:
        crawl: Name of the crawl, such as CC-MAIN-2024-22.
        files: Number of files.
        seed: Seed of the sample.
        deadline: Seconds within which the files must be downloaded.
        host: URL of the server.

    Raises:
        ValueError: If `crawl` is not the name of a crawl, or has fewer files.
        OSError: If a file cannot be downloaded, with the reason.
    """
    if not re.fullmatch(r"CC-MAIN-\d{4}-\d{2}(-\d{2})?", crawl):
        raise DataError(f"crawl: {crawl!r} is not a crawl's name; give one such as 'CC-MAIN-2024-22'")
    until = time.monotonic() + deadline
    with requests.Session() as session:
        # the bytes as they are stored on the server
        session.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})
        listed = _have(session, host, f"crawl-data/{crawl}/wet.paths.gz", until)
        names = sample(_paths(listed), files, seed)
        return [_have(session, host, name, until) for name in progress.track(names, crawl, "files")]


def local_files(patterns: list[str]) -> list[Path]:
    """Return the WET files that paths and globs name, sorted and without duplicates.

    Raises:
        FileNotFoundError: If none of them exists.
    """
    # an existing path is taken literally, even if its name contains glob characters
    literal = [Path(pattern).exists() or not has_magic(pattern) for pattern in patterns]
    matches = [
        [pattern] if exact else glob(pattern, recursive=True)
        for pattern, exact in zip(patterns, literal, strict=True)
    ]
    files = sorted({Path(name) for names in matches for name in names if not Path(name).is_dir()})
    if not any(path.exists() for path in files):
        raise FileNotFoundError(
            f"{', '.join(patterns)}: no such file; give paths or globs of WET files (*.warc.wet.gz)"
        )
    return files


def sample(paths: list[str], files: int, seed: int) -> list[str]:
    """Sample `files` of a crawl's paths, spread over its segments.

    A larger sample with the same seed begins with the smaller one.

    Raises:
        ValueError: If there are fewer paths, or `files` is below 1.
    """
    if not 0 < files <= len(paths):
        raise DataError(
            f"files: {files} requested, but the crawl has {len(paths)} WET files; give a number from 1 to "
            f"{len(paths)}"
        )
    table = pd.DataFrame({"path": np.random.default_rng(seed).permutation(sorted(paths))})
    # a path ends in …/<segment>/wet/<file>
    turn = table.groupby(table["path"].str.rsplit("/", n=2).str[0]).cumcount()
    return table["path"].loc[turn.sort_values(kind="stable").index].tolist()[:files]


def _paths(listed: Path) -> list[str]:
    try:
        names = gzip.decompress(listed.read_bytes()).decode().split()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        names = [str(error)]
    wrong = [name for name in names if not re.fullmatch(r"crawl-data(/[\w-][\w.-]*)+\.gz", name)]
    if wrong or not names:
        listed.unlink()
        raise ResourceError(
            f"{listed.name}: not a list of WET files ({', '.join(wrong[:1]) or 'empty'}); it was deleted: "
            "run again"
        )
    return names


def _have(session: requests.Session, host: str, name: str, until: float) -> Path:
    """Return the complete file in the cache; download it unless it is there with its stored SHA-256."""
    path = caching.cache_folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = path.with_name(f"{path.name}.sha256")
    with FileLock(f"{path}.lock"):
        if path.exists() and digest.exists() and caching.sha256(path) == digest.read_text():
            return path
        _download(_Download(session, f"{host}/{name}", path, until))
        digest.write_text(caching.sha256(path))
    return path


def _download(wanted: _Download) -> None:
    backoff = tenacity.wait_exponential_jitter(multiplier=PAUSE, max=60, jitter=PAUSE)
    deadline = tenacity.stop_before_delay(wanted.until - time.monotonic())
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_MayPass),
        wait=lambda state: max(_failure(state).pause, backoff(state)),
        stop=tenacity.stop_any(tenacity.stop_after_attempt(TRIES), deadline),
        before_sleep=_tell,
        reraise=True,
    )
    try:
        retrying(_try, wanted)
    except _MayPass as error:
        remedy = "run again later and it goes on where it was, or give WET files that you have"
        raise ResourceError(f"{error}\ntoo many tries, or the deadline is too near: {remedy}") from error
    wanted.partial.rename(wanted.path)


def _failure(state: tenacity.RetryCallState) -> _MayPass:
    """Return the error of a request that is tried again."""
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _MayPass)
    return error


def _tell(state: tenacity.RetryCallState) -> None:
    progress.message(f"{_failure(state)}; next try in {state.upcoming_sleep:.0f} s", sys.stderr)


def _try(wanted: _Download) -> None:
    """Request the missing rest of a file once.

    Raises:
        _MayPass: If some of it is still missing.
    """
    received = wanted.partial.stat().st_size if wanted.partial.exists() else 0
    span = {"Range": f"bytes={received}-"} if received else {}
    time.sleep(PAUSE)
    try:
        with wanted.session.get(wanted.url, headers=span, stream=True, timeout=PATIENCE) as answer:
            _check(answer, wanted)
            resumed = answer.headers.get("Content-Range", "").startswith(f"bytes {received}-")
            with wanted.partial.open("ab" if resumed else "wb") as file:
                # write what has arrived, so that nothing is lost and a slow stream meets the deadline
                while chunk := answer.raw.read1(1 << 20):
                    file.write(chunk)
                    if time.monotonic() > wanted.until:
                        raise _MayPass(f"{wanted.url}: broken off at the deadline")
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _MayPass(f"{wanted.url}: {type(error).__name__}: {error}") from error


def _check(answer: requests.Response, wanted: _Download) -> None:
    """Raise the error that a status other than 200 and 206 means on this server."""
    status = answer.status_code
    message = f"{wanted.url}: {status} {answer.reason}"
    if status in (200, 206):
        return
    if status == 416:  # the local part is longer than the file, so it belongs to another file
        wanted.partial.unlink(missing_ok=True)
        raise _MayPass(f"{message}; begun anew")
    if status == 403 and not wanted.refused:
        wanted.refused = True
        raise _MayPass(f"{message}: asked too fast", REFUSED_PAUSE)
    if status == 403:
        raise PermissionError(
            f"{message}, also after {REFUSED_PAUSE:.0f} s: you are asked to slow down; run again in an hour"
        )
    if status == 404:
        raise FileNotFoundError(
            f"{message}: no such crawl or file; the crawls are listed at https://commoncrawl.org/overview"
        )
    if status == 429 or status >= 500:
        retry_after = answer.headers.get("Retry-After")  # seconds or a date
        raise _MayPass(message, urllib3.Retry().parse_retry_after(retry_after) if retry_after else 0)
    raise ResourceError(f"{message}; cannot be fetched")
