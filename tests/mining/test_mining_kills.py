"""A mining job whose processes are killed for real: an error and no waiting, no process left over, and the
next run goes on."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest

from lib.config.sections import Mining
from lib.mining import mining_job
from tests.mining.test_extract import mined, wet_files

TASKS = 24
CALL = (
    "import signal, sys; from pathlib import Path; from lib.mining import mining_job\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is told to ignore "
    "it\n"
    "mining_job.run(Path(sys.argv[1]))"
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    files = wet_files(tmp_path_factory.mktemp("wet"), TASKS)
    folder = mining_job.prepare(tmp_path_factory.mktemp("whole"), files, Mining(workers=2))
    mining_job.run(folder)
    return files, *mined(folder)


def wait_for(what: Callable, seconds: float = 60):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.005)
    return found


def started(caller: subprocess.Popen, folder: Path) -> tuple[psutil.Process, list[psutil.Process]]:
    """The job's process and its two workers, once a first task is finished."""
    wait_for(lambda: mining_job.finished(folder))
    (job,) = psutil.Process(caller.pid).children()
    return job, [child for child in job.children() if "spawn_main" in " ".join(child.cmdline())]


KILLS = {
    "a worker": (
        lambda caller, job, workers: workers[0],
        signal.SIGKILL,
        "a worker process was killed, perhaps for want of memory",
    ),
    "the job": (
        lambda caller, job, workers: job,
        signal.SIGKILL,
        "its process was killed by SIGKILL, perhaps for want of memory",
    ),
    "the job, asked": (
        lambda caller, job, workers: job,
        signal.SIGTERM,
        "its process was killed by SIGTERM$",
    ),
    "its caller": (lambda caller, job, workers: caller, signal.SIGKILL, None),
    "its caller, asked": (lambda caller, job, workers: caller, signal.SIGTERM, None),
    "its caller, interrupted": (lambda caller, job, workers: caller, signal.SIGINT, None),
}


@pytest.mark.parametrize("killed", KILLS)
def test_a_kill_ends_the_job_and_the_next_run_goes_on(undisturbed, tmp_path, killed):
    choose, how, message = KILLS[killed]
    files, table, counts = undisturbed
    folder = mining_job.prepare(tmp_path, files, Mining(workers=2))
    caller = subprocess.Popen([sys.executable, "-c", CALL, folder], stderr=subprocess.PIPE, text=True)
    job, workers = started(caller, folder)
    assert len(workers) == 2
    everyone = [job, *job.children(recursive=True)]
    os.kill(choose(caller, job, workers).pid, how)
    said = caller.communicate(timeout=60)[1]
    assert caller.returncode
    wait_for(lambda: not any(process.is_running() for process in everyone))
    if message:
        assert re.search(rf"\d+ of {TASKS} tasks are finished, then: .*{message}", said, re.MULTILINE), said
        assert "run again and only what is left is done" in said
    assert 0 < mining_job.finished(folder) < TASKS
    if killed == "a worker":  # what the others leave behind is no different
        _goes_on(folder, table, counts)


def _goes_on(folder: Path, table: pd.DataFrame, counts) -> None:
    times = {path: path.stat().st_mtime_ns for path in (folder / "completions").iterdir()}
    mining_job.run(folder)
    assert all(path.stat().st_mtime_ns == changed for path, changed in times.items())
    again, counted = mined(folder)
    pd.testing.assert_frame_equal(again, table)
    assert counted == counts
