"""How many cores this process may use, and worker processes that do not outlive the one that started them."""

import multiprocessing
import os
import threading
from collections.abc import Callable

import psutil


def available_cores() -> int:
    """How many cores this process may use, on systems that tell; else how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_threads() -> int:
    """How many threads may compute at once, a core each; OMP_NUM_THREADS lowers it by its first number, if it
    has one."""
    wished = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(available_cores(), int(wished)) if wished.isdecimal() and int(wished) else available_cores()


def end_with_parent() -> None:
    """Called in a worker process: end it when its parent is gone, however that went."""
    _end_after(multiprocessing.parent_process().join)


def end_with(process: int) -> None:
    """End this process when the one with the id `process` is gone."""
    try:
        _end_after(psutil.Process(process).wait)
    except psutil.NoSuchProcess:
        os._exit(1)


def _end_after(wait: Callable) -> None:
    def end() -> None:
        wait()
        os._exit(1)  # at once: what is half done is done again

    threading.Thread(target=end, daemon=True).start()
