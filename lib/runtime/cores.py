"""How many cores this process may use, and worker processes that end with the process that started them."""

import multiprocessing
import os
import threading
from collections.abc import Callable

import psutil


def available_cores() -> int:
    """Number of cores that this process may use or, where the system does not report it, of all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_threads() -> int:
    """Number of threads that may compute at once, one per core.

    The first number of OMP_NUM_THREADS, if it has one, lowers it.
    """
    requested = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return (
        min(available_cores(), int(requested))
        if requested.isdecimal() and int(requested)
        else available_cores()
    )


def end_with_parent() -> None:
    """In a worker process: end it as soon as its parent has ended, for whatever reason."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    _end_after(parent.join)


def end_with(process: int) -> None:
    """End this process as soon as the one with the id `process` has ended."""
    try:
        _end_after(psutil.Process(process).wait)
    except psutil.NoSuchProcess:
        os._exit(1)


def _end_after(wait: Callable) -> None:
    def end() -> None:
        wait()
        os._exit(1)  # at once: unfinished work is done again

    threading.Thread(target=end, daemon=True).start()
