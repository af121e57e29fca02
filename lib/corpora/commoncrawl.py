"""Which WET files are read: those of a path or glob, or a seeded sample of a crawl, downloaded whole and kept
in the cache.

Politely: an honest User-Agent, one connection, a second between requests, the pause that the server names in
Retry-After or growing ones with jitter. A 403 means "too fast" there: five minutes' rest and one more try,
then an error. A file that breaks off is continued by Range; a complete one has its SHA-256 beside it, by
which it is checked before each use.
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
from lib.storage import packages

HOST = "https://data.commoncrawl.org"
AGENT = "expression-leakage/0.1 (research software; reads a few WET files of a crawl, one at a time)"
TRIES = 8  # of a file in one call; each goes on where the last broke off
REFUSED_PAUSE = 300.0  # seconds after a 403
PAUSE = 1.0  # seconds between requests, and the first after a failure
PATIENCE = (10, 60)  # seconds to connect, and for the next bytes to come


class _MayPass(OSError):
    """A failure that may pass, and the seconds that the server wants to be left alone."""

    def __init__(self, reason: str, pause: float = 0.0):
        super().__init__(reason)
        self.pause = pause


@dataclass
class _Download:
    session: requests.Session
    url: str
    path: Path
    until: float  # on time.monotonic's clock
    refused: bool = False  # a 403 was met

    @property
    def partial(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")


def fetch(crawl: str, files: int, seed: int, deadline: float, host: str = HOST) -> list[Path]:
    """`files` WET files of a crawl (CC-MAIN-2024-22), drawn by `seed`, within `deadline` seconds.

    ValueError for what is no crawl, or more files than it has; OSError when a file cannot be had, with the
    reason. What is there, whole or in part, is kept for the next call.
    """
    if not re.fullmatch(r"CC-MAIN-\d{4}-\d{2}(-\d{2})?", crawl):
        raise ValueError(f"crawl: {crawl!r} is not a crawl's name; give one such as 'CC-MAIN-2024-22'")
    until = time.monotonic() + deadline
    with requests.Session() as session:
        # the bytes as they are stored
        session.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})
        listed = _have(session, host, f"crawl-data/{crawl}/wet.paths.gz", until)
        names = sample(_paths(listed), files, seed)
        return [_have(session, host, name, until) for name in progress.track(names, crawl, "files")]


def local_files(patterns: list[str]) -> list[Path]:
    """The WET files that paths and globs name, sorted, each once. FileNotFoundError if none of them is
    there."""
    # a path that is there is meant, whatever signs of a glob its name has
    literal = [Path(pattern).exists() or not has_magic(pattern) for pattern in patterns]
    found = [
        [pattern] if exact else glob(pattern, recursive=True)
        for pattern, exact in zip(patterns, literal, strict=True)
    ]
    files = sorted({Path(name) for names in found for name in names if not Path(name).is_dir()})
    if not any(path.exists() for path in files):
        raise FileNotFoundError(
            f"{', '.join(patterns)}: no such file; give paths or globs of WET files (*.warc.wet.gz)"
        )
    return files


def sample(paths: list[str], files: int, seed: int) -> list[str]:
    """`files` of a crawl's paths, spread over its segments; a larger sample of the same seed begins with the
    smaller one."""
    if not 0 < files <= len(paths):
        raise ValueError(
            f"files: {files} wished, but the crawl has {len(paths)} WET files; give a number from 1 to "
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
        raise OSError(
            f"{listed.name}: not a list of WET files ({', '.join(wrong[:1]) or 'empty'}); it was deleted: "
            "run again"
        )
    return names


def _have(session: requests.Session, host: str, name: str, until: float) -> Path:
    """The file in the cache, whole: fetched, unless it is there and as it was when it came."""
    path = packages.cache_folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = path.with_name(f"{path.name}.sha256")
    with FileLock(f"{path}.lock"):
        if path.exists() and digest.exists() and packages.sha256(path) == digest.read_text():
            return path
        _download(_Download(session, f"{host}/{name}", path, until))
        digest.write_text(packages.sha256(path))
    return path


def _download(wanted: _Download) -> None:
    backoff = tenacity.wait_exponential_jitter(multiplier=PAUSE, max=60, jitter=PAUSE)
    deadline = tenacity.stop_before_delay(wanted.until - time.monotonic())
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_MayPass),
        wait=lambda state: max(state.outcome.exception().pause, backoff(state)),
        stop=tenacity.stop_any(tenacity.stop_after_attempt(TRIES), deadline),
        before_sleep=_tell,
        reraise=True,
    )
    try:
        retrying(_try, wanted)
    except _MayPass as error:
        remedy = "run again later and it goes on where it was, or give WET files that you have"
        raise OSError(f"{error}\ntoo many tries, or the deadline is too near: {remedy}") from error
    wanted.partial.rename(wanted.path)


def _tell(state: tenacity.RetryCallState) -> None:
    progress.message(f"{state.outcome.exception()}; next try in {state.upcoming_sleep:.0f} s", sys.stderr)


def _try(wanted: _Download) -> None:
    """One request for what is missing of a file; _MayPass if some of it is missing still."""
    have = wanted.partial.stat().st_size if wanted.partial.exists() else 0
    span = {"Range": f"bytes={have}-"} if have else {}
    time.sleep(PAUSE)
    try:
        with wanted.session.get(wanted.url, headers=span, stream=True, timeout=PATIENCE) as answer:
            _check(answer, wanted)
            resumed = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            with wanted.partial.open("ab" if resumed else "wb") as file:
                # what has come, so that nothing is lost and no drip outlasts the deadline
                while chunk := answer.raw.read1(1 << 20):
                    file.write(chunk)
                    if time.monotonic() > wanted.until:
                        raise _MayPass(f"{wanted.url}: broken off at the deadline")
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _MayPass(f"{wanted.url}: {type(error).__name__}: {error}") from error


def _check(answer: requests.Response, wanted: _Download) -> None:
    """Raises for every status but 200 and 206, by what it means there."""
    status = answer.status_code
    told = f"{wanted.url}: {status} {answer.reason}"
    if status in (200, 206):
        return
    if status == 416:  # more is here than there: what is here is of another file
        wanted.partial.unlink(missing_ok=True)
        raise _MayPass(f"{told}; begun anew")
    if status == 403 and not wanted.refused:
        wanted.refused = True
        raise _MayPass(f"{told}: asked too fast", REFUSED_PAUSE)
    if status == 403:
        raise PermissionError(
            f"{told}, also after {REFUSED_PAUSE:.0f} s: you are asked to slow down; run again in an hour"
        )
    if status == 404:
        raise FileNotFoundError(
            f"{told}: no such crawl or file; the crawls are listed at https://commoncrawl.org/overview"
        )
    if status == 429 or status >= 500:
        wished = answer.headers.get("Retry-After")  # seconds or a date
        raise _MayPass(told, urllib3.Retry().parse_retry_after(wished) if wished else 0)
    raise OSError(f"{told}; cannot be fetched")
