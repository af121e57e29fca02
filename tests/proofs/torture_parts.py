"""Faults of what the mock set has not: a mining job, and verdicts that are kept for all runs.

Each is a command of its own, with an undisturbed counterpart that is made once.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from lib.config.sections import Mining
from lib.mining import mining_job
from tests.mining.test_extract import mined, wet_files
from tests.proofs.torture_damage import cut_short, garbled
from tests.proofs.torture_faults import KILL, Fault
from tests.proofs.torture_project import Call, Project

TASKS = 12
_COMMAND = """
import sys
from pathlib import Path
import numpy as np
from lib.judging import verdicts
from lib.mining import mining_job
from lib.runtime import command_line

def mine(folder):
    mining_job.run(folder)
    mining_job.candidates(folder)

def judge(path):
    texts = [f"text number {number}" for number in range(5000)]
    np.savetxt(path, verdicts.cached("torture", texts, lambda asked: np.array([len(each) for each in asked])))

if __name__ == "__main__":
    work = {"mine": mine, "judge": judge}[sys.argv[1]]
    sys.exit(command_line.exit_code(lambda: work(Path(sys.argv[2]))))
"""


def _start(project: Project, *arguments: str) -> subprocess.Popen:
    given = {"PYTHONPATH": str(project.folder), "EXPRESSION_LEAKAGE_CACHE": str(project.cache)}
    with (project.folder / "printed.txt").open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-c", _COMMAND, *arguments],
            cwd=project.folder,
            env={**os.environ, **given},
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def mining(kind: str) -> Callable:
    """A mining job loses a worker, itself or its caller."""

    def happen(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
        folder = _mining_folder(project)
        process = _start(project, "mine", str(folder))
        while not mining_job.finished(folder) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        try:
            (job,) = psutil.Process(process.pid).children()
            workers = [child for child in job.children() if "spawn_main" in " ".join(child.cmdline())]
            victim = {"worker": workers[0], "job": job, "caller": psutil.Process(process.pid)}[kind]
            victim.send_signal(signal.SIGINT if kind == "caller" else KILL)
        except (ValueError, IndexError, psutil.Error):
            process.wait()
            raise RuntimeError("the job had ended") from None
        call, done = project.ended(process), mining_job.finished(folder)
        return "mining", f"after {done} of {TASKS} tasks; {call.fate}", [call]

    return happen


def mined_table_cut(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
    """The candidates of one finished task of a mining job are cut short."""
    folder = _mining_folder(project)
    whole = project.ended(_start(project, "mine", str(folder)))
    path = rng.choice(sorted((folder / "candidates").iterdir()))
    path.write_bytes(cut_short(path.read_bytes(), rng))
    call = project.ended(_start(project, "mine", str(folder)))
    return "mining, finished", f"{path.name}; {call.fate}", [whole, call]


def _mining_folder(project: Project) -> Path:
    """A fresh job on the same files as the undisturbed one, which is made first."""
    files = project.folder.parent / "wet"
    if not files.exists():
        files.mkdir()
        wet_files(files, TASKS)
        parent = project.folder.parent / "mined"
        mining_job.run(mining_job.prepare(parent, sorted(files.iterdir()), Mining(workers=2)))
    shutil.rmtree(project.folder / "mining", ignore_errors=True)
    return mining_job.prepare(project.folder / "mining", sorted(files.iterdir()), Mining(workers=2))


def _mine_again(project: Project) -> Call:
    (folder,) = filter(Path.is_dir, (project.folder / "mining").iterdir())
    return project.ended(_start(project, "mine", str(folder)))


def _mined_differences(project: Project) -> list[str]:
    parents = project.folder / "mining", project.folder.parent / "mined"
    (here,), (undisturbed,) = (filter(Path.is_dir, parent.iterdir()) for parent in parents)
    (table, counts), (whole, counted) = mined(here), mined(undisturbed)
    return [] if table.equals(whole) and counts == counted else ["candidates"]


def verdicts_damaged(damage: Callable) -> Callable:
    """The file of a judge's verdicts is damaged after a first run."""

    def happen(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
        project.clear()
        first = _judge_again(project)
        (project.folder / "verdicts.txt").rename(project.folder / "undisturbed.txt")
        (path,) = project.cache.glob("verdicts-*.sqlite")
        path.write_bytes(damage(path.read_bytes(), rng))
        call = _judge_again(project)
        return "judging", f"{path.name}; {call.fate}", [first, call]

    return happen


def _judge_again(project: Project) -> Call:
    return project.ended(_start(project, "judge", str(project.folder / "verdicts.txt")))


def _judged_differences(project: Project) -> list[str]:
    made, whole = (project.folder / name for name in ("verdicts.txt", "undisturbed.txt"))
    return [] if made.exists() and made.read_bytes() == whole.read_bytes() else ["verdicts"]


_MINING = {"again": _mine_again, "differences": _mined_differences, "is_alone": True}
_VERDICTS = {"again": _judge_again, "differences": _judged_differences, "is_alone": True}
PARTS = [
    Fault("mining: worker killed", mining("worker"), **_MINING),
    Fault("mining: job killed", mining("job"), **_MINING),
    Fault("mining: Ctrl-C", mining("caller"), **_MINING),
    Fault("mining: table cut short", mined_table_cut, **_MINING),
    Fault("verdicts cut short", verdicts_damaged(cut_short), **_VERDICTS),
    Fault("verdicts garbled", verdicts_damaged(garbled), **_VERDICTS),
]
