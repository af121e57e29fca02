"""What goes wrong while a run works: killed processes, no memory, a full or read-only disk, a moved clock, a
second run."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.proofs.torture_project import Call, Project

DAY = 86_400
_CGROUPS = Path("/sys/fs/cgroup/memory")
_LEAST_MB, _MOST_MB = 1, 24  # what is granted beyond what is used


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        kind: What it is.
        happen: Starts a run, lets it happen at a random moment, and returns when it was, what happened, and
            the calls that have ended; the caller goes on from there.
        again: Calls the command again, after which the run is compared.
        differences: What differs from the undisturbed run.
        is_alone: Whether it puts the run into a state of its own; others may follow one another in one run.
    """

    kind: str
    happen: Callable[[Project, random.Random], tuple[str, str, list[Call]]]
    again: Callable[[Project], Call] = Project.call
    differences: Callable[[Project], list[str]] = Project.differences
    is_alone: bool = False


@contextmanager
def disturbed(project: Project, rng: random.Random) -> Iterator[tuple]:
    """Start a run, and give the block a random moment of a page that it begins.

    Yields:
        The process of the run and the moment in words.

    Raises:
        RuntimeError: If no page begins.
    """
    shutil.rmtree(project.run_folder / "logs" / "progress", ignore_errors=True)  # of an earlier call
    process = project.start()
    while not (pages := project.pages()):
        if process.poll() is not None:
            raise RuntimeError(f"the run ended before a page began: {project.ended(process).said}")
        time.sleep(0.05)
    page = rng.choice(sorted(pages))
    seconds = rng.uniform(0, project.begun[page][1])
    time.sleep(seconds)
    yield process, f"{page} + {seconds:.1f} s"


def killed(kind: str, number: signal.Signals) -> Callable:
    """A process of a kind gets a signal; "run" is the command itself, "all" everything that works for it."""

    def happen(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
        with disturbed(project, rng) as (process, when):
            hit = 0
            while not hit and process.poll() is None:
                victims = _victims(project, kind, process)
                for victim in victims:
                    with suppress(psutil.NoSuchProcess):
                        victim.send_signal(number)
                        hit += 1
                time.sleep(0.02)
        if not hit:
            raise RuntimeError(f"{when}: no {kind} was there to kill")
        call = project.ended(process)
        return when, f"{number.name} to {hit} processes; {call.fate}", [call]

    return happen


def _victims(project: Project, kind: str, process: subprocess.Popen) -> list[psutil.Process]:
    if kind == "run":
        return [psutil.Process(process.pid)]
    if kind == "all":
        return project.processes()
    return project.processes(kind)[:1]


def interrupted(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
    """Ctrl-C: the terminal interrupts every process of its group."""
    with disturbed(project, rng) as (process, when):
        os.killpg(process.pid, signal.SIGINT)
    call = project.ended(process)
    return when, f"Ctrl-C; {call.fate}", [call]


def refused_memory(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
    """RLIMIT_AS: the kernel of a notebook is refused memory beyond a few MB more than it has."""
    with disturbed(project, rng) as (process, when):
        victim, granted = _kernel(project, process), rng.randint(_LEAST_MB, _MOST_MB)
        limit = victim.memory_info().vms + (granted << 20)
        victim.rlimit(psutil.RLIMIT_AS, (limit, limit))
    call = project.ended(process)
    return when, f"RLIMIT_AS, {granted} MB more; {call.fate}", [call]


def out_of_memory(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
    """The system kills the kernel of a notebook in a memory cgroup that is full."""
    group = _CGROUPS / f"torture-{os.getpid()}"
    group.mkdir()
    try:
        with disturbed(project, rng) as (process, when):
            granted = rng.randint(_LEAST_MB, _MOST_MB)
            (group / "memory.limit_in_bytes").write_text(str(granted << 20))
            (group / "cgroup.procs").write_text(str(_kernel(project, process).pid))
        call = project.ended(process)
        kills = int((group / "memory.oom_control").read_text().rpartition("oom_kill ")[2] or 0)
        if not kills:
            raise RuntimeError(f"{when}: {granted} MB more were enough")
        return when, f"cgroup, {granted} MB more, {kills} killed; {call.fate}", [call]
    finally:
        project.left_over(10)
        group.rmdir()


def _kernel(project: Project, process: subprocess.Popen) -> psutil.Process:
    while process.poll() is None:
        if found := project.processes("kernel"):
            return found[0]
        time.sleep(0.02)
    raise RuntimeError("the run ended before a kernel was there")


def full_disk(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
    """The outputs lie on a file system of their own, which has a few kB left from a random moment on."""
    outputs, kept = project.run_folder, project.folder / "kept"
    outputs.rename(kept)
    outputs.mkdir()
    try:
        with _mounted("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(outputs)):
            _move_all(kept, outputs)
            with disturbed(project, rng) as (process, when):
                state = os.statvfs(outputs)
                used, left = (state.f_blocks - state.f_bfree) * state.f_frsize, rng.randint(4, 64)
                _mount("-o", f"remount,size={used + (left << 10)}", str(outputs))
            calls = [project.ended(process), project.call()]
            _mount("-o", "remount,size=64m", str(outputs))
            if calls[-1].code:
                calls.append(project.call())
            project.left_over()
            _move_all(outputs, kept)
    finally:
        outputs.rmdir()
        kept.rename(outputs)
    if not calls[0].code:
        raise RuntimeError(f"{when}: the disk did not fill")
    return when, f"{left} kB left; {calls[0].fate}", calls


def _move_all(source: Path, target: Path) -> None:
    """Move what a folder holds to another file system, with all times."""
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)
    for path in source.iterdir():
        path.unlink() if path.is_file() else shutil.rmtree(path)


def read_only(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
    """The outputs cannot be written from a random moment on; files that are open still can."""
    outputs = str(project.run_folder.parent)
    with disturbed(project, rng) as (process, when), _mounted("--bind", outputs, outputs):
        _mount("-o", "remount,bind,ro", outputs)
        calls = [project.ended(process), project.call()]
    return when, f"read-only; {calls[0].fate}", calls


@contextmanager
def _mounted(*options: str) -> Iterator[None]:
    _mount(*options)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", options[-1]], check=True)


def _mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True, capture_output=True)


def clock_moved(days: int, of: float) -> Callable:
    """The run is killed, and a part of what it has written bears the times of a wrong clock."""

    def happen(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
        with disturbed(project, rng) as (process, when):
            for victim in project.processes():
                with suppress(psutil.NoSuchProcess):
                    victim.kill()
        call = project.ended(process)
        written = [path for path in project.run_folder.rglob("*") if path.is_file()]
        for path in (moved := [path for path in written if rng.random() < of]):
            changed = path.stat().st_mtime + days * DAY
            os.utime(path, (changed, changed))
        return when, f"killed; {len(moved)} of {len(written)} files are of {days:+d} days", [call]

    return happen


def second_run(project: Project, rng: random.Random) -> tuple[str, str, list[Call]]:
    """The same command is called again while it runs."""
    with disturbed(project, rng) as (process, when):
        printed = project.folder / "printed.txt"
        printed.rename(project.folder / "first.txt")
        second = project.start()
    code = process.wait()
    first = Call(code, (project.folder / "first.txt").read_text())
    last = project.ended(second)
    waited = "an earlier run" in last.said
    return when, f"the second {'waited' if waited else 'did not wait'}", [first, last]


KILL, TERM = signal.SIGKILL, signal.SIGTERM
FAULTS = [
    *[Fault("kernel killed", killed("kernel", KILL))] * 4,
    *[Fault("papermill killed", killed("papermill", KILL))] * 3,
    *[Fault("snakemake killed", killed("snakemake", KILL))] * 3,
    *[Fault("command killed", killed("run", KILL))] * 2,
    *[Fault("everything killed", killed("all", KILL))] * 2,
    Fault("snakemake asked to end", killed("snakemake", TERM)),
    Fault("command asked to end", killed("run", TERM)),
    *[Fault("Ctrl-C", interrupted)] * 3,
    *[Fault("memory refused", refused_memory)] * 2,
    *[Fault("out of memory", out_of_memory)] * 2,
    *[Fault("disk full", full_disk)] * 3,
    *[Fault("outputs read-only", read_only)] * 2,
    Fault("clock a day ahead", clock_moved(1, 1.0)),
    Fault("clock jumped ahead", clock_moved(1, 0.5)),
    Fault("clock jumped back", clock_moved(-400, 0.5)),
    *[Fault("two runs at once", second_run)] * 2,
]
