"""Files that are damaged between two runs, and downloads that are cut."""

import http.server
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lib.corpora import human_ratings
from lib.storage import packages
from tests.proofs.torture_faults import Fault
from tests.proofs.torture_project import Call, Project


def cut_short(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def ending_in_zeros(data: bytes, rng: random.Random) -> bytes:
    """As after a power cut on some file systems."""
    kept = rng.randrange(len(data))
    return data[:kept] + bytes(len(data) - kept)


def garbled(data: bytes, rng: random.Random) -> bytes:
    """A header of noise."""
    return rng.randbytes(100) + data[100:]


def torn(data: bytes, rng: random.Random) -> bytes:
    """Its last record is cut short."""
    start = data[:-1].rfind(b"\n") + 1
    return data[: rng.randrange(start + 1, len(data) - 1)]


def with_a_damaged_record(data: bytes, rng: random.Random) -> bytes:
    """One record holds zeros in place of its second half."""
    lines = data.splitlines(keepends=True)
    number = rng.randrange(len(lines))
    half = len(lines[number]) // 2
    lines[number] = lines[number][:half] + bytes(len(lines[number]) - half - 1) + b"\n"
    return b"".join(lines)


def damaged(page: str, pattern: str, damage: Callable, of_reference: bool = False) -> Callable:
    """A file that a page reads is damaged before it begins.

    Args:
        page: How the page's name begins.
        pattern: The file, in the run's folder or in its cache.
        damage: Given its bytes and a random generator; returns other bytes.
        of_reference: Whether the file is first taken over from the undisturbed run.
    """

    def happen(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
        project.restore(next(name for name in project.begun if name.startswith(page)))
        if of_reference:
            for source, target in (
                (project.finished / "outputs" / project.run_folder.name, project.run_folder),
                (project.finished / "cache", project.cache),
            ):
                for path in source.glob(pattern):
                    (target / path.relative_to(source)).parent.mkdir(exist_ok=True)
                    shutil.copy2(path, target / path.relative_to(source))
        (path, *_) = [*project.run_folder.glob(pattern), *project.cache.glob(pattern)]
        data, times = path.read_bytes(), path.stat()
        path.write_bytes(damage(data, rng))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        call = project.call()
        return f"before {page}", f"{path.name}, {len(data):,} bytes; {call.fate}", [call]

    return happen


def download_cut(whole_after: int) -> Callable:
    """The package index breaks the connection in the midst of a file, so many times."""

    def happen(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
        page = next(name for name in project.begun if name.startswith("04c_"))
        project.restore(page)
        package = packages.fetch(human_ratings.PACKAGE)
        (project.cache / package.name).unlink()
        sent = rng.randrange(1000, package.stat().st_size - 1000)
        with _index(package, sent, whole_after) as url:
            project.environment = {
                "PIP_INDEX_URL": url,
                "PIP_FIND_LINKS": "",
                "PIP_RETRIES": "0",
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_RESUME_RETRIES": "0",
            }
            calls = [project.call() for _ in range(whole_after + 1)]
            if not calls[0].code:
                raise RuntimeError("the download was not cut")
        project.environment = {}
        return "preparation", f"cut after {sent:,} bytes; {calls[0].fate}", calls

    return happen


@contextmanager
def _index(package: Path, sent: int, whole_after: int) -> Iterator[str]:
    """A package index with one file, which it breaks off after so many bytes the first times."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_file = self.path.endswith(package.name)
            page = f'<a href="/files/{package.name}">{package.name}</a>'.encode()
            data = package.read_bytes() if is_file else page
            self.send_response(200)
            self.send_header("Content-Type", "application/gzip" if is_file else "text/html")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            asked.extend([self.path] * is_file)
            self.wfile.write(data[:sent] if is_file and len(asked) <= whole_after else data)

        def log_message(self, *_) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple"
    finally:
        server.shutdown()


_JOURNAL, _VALUES = "completions/*.jsonl", "values/04c_calibration.yaml"
DAMAGE = [
    Fault("table cut short", damaged("02_", "prompts.parquet", cut_short), is_alone=True),
    Fault("table cut short", damaged("03_", "completions/*.parquet", cut_short), is_alone=True),
    Fault("table cut short", damaged("03b_", "judgements/*.parquet", cut_short), is_alone=True),
    Fault("table ends in zeros", damaged("04c_", "validity.parquet", ending_in_zeros), is_alone=True),
    *[Fault("journal torn", damaged("02_", _JOURNAL, torn, True), is_alone=True)] * 2,
    *[Fault("journal damaged", damaged("02_", _JOURNAL, with_a_damaged_record, True), is_alone=True)] * 2,
    Fault("times cut short", damaged("06_", "times-*.json", cut_short, True), is_alone=True),
    Fault("values cut short", damaged("04c_", _VALUES, cut_short), is_alone=True),
    Fault("package cut short", damaged("04c_", "vaderSentiment-*.tar.gz", cut_short), is_alone=True),
    Fault("download cut", download_cut(1), is_alone=True),
]
