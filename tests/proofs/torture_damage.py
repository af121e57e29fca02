"""Files that are damaged between two runs, cut downloads, and a mining job that loses its workers."""

import http.server
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock

from lib.config.sections import Mining
from lib.corpora import human_ratings
from lib.mining import mining_job
from lib.storage import packages
from tests.mining.test_extract import mined, wet_files
from tests.proofs.torture_faults import KILL, Fault
from tests.proofs.torture_project import Call, Project

TASKS = 12
_MINE = """
import sys
from pathlib import Path
from lib.mining import mining_job
from lib.runtime import command_line

def work():
    mining_job.run(Path(sys.argv[1]))
    mining_job.candidates(Path(sys.argv[1]))

if __name__ == "__main__":
    sys.exit(command_line.exit_code(work))
"""


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _ending_in_zeros(data: bytes, rng: random.Random) -> bytes:
    """As after a power cut on some file systems."""
    kept = rng.randrange(len(data))
    return data[:kept] + bytes(len(data) - kept)


def _garbled(data: bytes, rng: random.Random) -> bytes:
    """A header of noise."""
    return rng.randbytes(100) + data[100:]


def _torn(data: bytes, rng: random.Random) -> bytes:
    """Its last record is cut short."""
    start = data[:-1].rfind(b"\n") + 1
    return data[: rng.randrange(start + 1, len(data) - 1)]


def _with_a_damaged_record(data: bytes, rng: random.Random) -> bytes:
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
        call = project.ended(project.start())
        return f"before {page}", f"{path.name}, {len(data):,} bytes; {call.fate}", [call]

    return happen


def download_cut(whole_after: int) -> Callable:
    """The package index breaks the connection in the midst of a file, so many times."""

    def happen(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
        page = next(name for name in project.begun if name.startswith("06"))
        project.restore(page)
        package = packages.fetch(human_ratings.PACKAGE)
        (project.cache / package.name).unlink()
        for path in project.cache.glob("verdicts-*"):
            path.unlink()
        sent = rng.randrange(1000, package.stat().st_size - 1000)
        with _index(package, sent, whole_after) as url:
            project.environment = {
                "PIP_INDEX_URL": url,
                "PIP_FIND_LINKS": "",
                "PIP_RETRIES": "0",
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_RESUME_RETRIES": "0",
            }
            calls = [project.ended(project.start()) for _ in range(whole_after + 1)]
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


def package_damaged(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
    """A file of the cache is cut short."""
    return damaged("03_", packages.fetch(human_ratings.PACKAGE).name, _cut)(project, rng)


def mining(kind: str) -> Callable:
    """A mining job loses a worker, itself or its caller."""

    def happen(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
        folder = _mining_folder(project)
        process = _mine(project, folder)
        while not mining_job.finished(folder) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1))
        (job,) = psutil.Process(process.pid).children()
        workers = [child for child in job.children() if "spawn_main" in " ".join(child.cmdline())]
        victim = {"worker": workers[0], "job": job, "caller": psutil.Process(process.pid)}[kind]
        victim.send_signal(signal.SIGINT if kind == "caller" else KILL)
        call, done = project.ended(process), mining_job.finished(folder)
        return "mining", f"after {done} of {TASKS} tasks; {call.fate}", [call]

    return happen


def mined_table_cut(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
    """The candidates of one finished task of a mining job are cut short."""
    folder = _mining_folder(project)
    whole = project.ended(_mine(project, folder))
    path = rng.choice(sorted((folder / "candidates").iterdir()))
    path.write_bytes(_cut(path.read_bytes(), rng))
    call = project.ended(_mine(project, folder))
    return "mining, finished", f"{path.name}; {call.fate}", [whole, call]


def _mining_folder(project: Project) -> Path:
    """A fresh job on the same files as the undisturbed one."""
    files = project.folder.parent / "wet"
    with FileLock(f"{files}.lock"):
        if not files.exists():
            files.mkdir()
            wet_files(files, TASKS)
            undisturbed = mining_job.prepare(
                project.folder.parent / "mined", sorted(files.iterdir()), Mining(workers=2)
            )
            mining_job.run(undisturbed)
    shutil.rmtree(project.folder / "mining", ignore_errors=True)
    return mining_job.prepare(project.folder / "mining", sorted(files.iterdir()), Mining(workers=2))


def mine_again(project: Project) -> Call:
    """Call the mining job again."""
    (folder,) = filter(Path.is_dir, (project.folder / "mining").iterdir())
    return project.ended(_mine(project, folder))


def _mine(project: Project, folder: Path) -> subprocess.Popen:
    with (project.folder / "printed.txt").open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-c", _MINE, str(folder)],
            cwd=project.folder,
            env={**os.environ, "PYTHONPATH": str(project.folder)},
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def mined_differences(project: Project) -> list[str]:
    """Whether the candidates and counts of the disturbed job differ from those of the undisturbed one."""
    parents = project.folder / "mining", project.folder.parent / "mined"
    (here,), (undisturbed,) = (filter(Path.is_dir, parent.iterdir()) for parent in parents)
    (table, counts), (whole, counted) = mined(here), mined(undisturbed)
    return [] if table.equals(whole) and counts == counted else ["candidates"]


JOURNAL = "completions/*.jsonl"
VERDICTS = "verdicts-*.sqlite"
DAMAGE = [
    Fault("table cut short", damaged("02_", "prompts.parquet", _cut)),
    Fault("table cut short", damaged("03_", "completions/*.parquet", _cut)),
    Fault("table cut short", damaged("03b_", "judgements/*.parquet", _cut)),
    Fault("table ends in zeros", damaged("04c_", "validity.parquet", _ending_in_zeros)),
    *[Fault("journal torn", damaged("02_", JOURNAL, _torn, True))] * 2,
    *[Fault("journal damaged", damaged("02_", JOURNAL, _with_a_damaged_record, True))] * 2,
    Fault("verdicts cut short", damaged("03_", VERDICTS, _cut, True)),
    Fault("verdicts garbled", damaged("03_", VERDICTS, _garbled, True)),
    Fault("times cut short", damaged("02_", "times-*.json", _cut, True)),
    Fault("values cut short", damaged("02_", "values/02_generation/*.yaml", _cut)),
    Fault("package cut short", package_damaged),
    Fault("download cut", download_cut(1)),
    Fault("mining: worker killed", mining("worker")),
    Fault("mining: job killed", mining("job")),
    Fault("mining: Ctrl-C", mining("caller")),
    Fault("mining: table cut short", mined_table_cut),
]
