"""The most memory that a stretch of work takes."""

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

_EVERY = 0.01  # seconds between two looks at the process
MB = 2**20


class Peak:
    """The most memory seen so far, in MB above that at the start; see `peak`."""

    def __init__(self):
        self.mb = 0.0


@contextmanager
def peak(device: torch.device) -> Iterator[Peak]:
    """Watch the memory of this process, or of the accelerator that it computes on.

    Args:
        device: Where the model is. On CUDA what tensors take is counted exactly; elsewhere the resident
            memory of the whole process is looked at a hundred times a second, with what Python and the
            libraries keep.

    Yields:
        A `Peak`, whose mb is final when the block ends.
    """
    seen = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        start = torch.cuda.memory_allocated(device)
        yield seen
        seen.mb = (torch.cuda.max_memory_allocated(device) - start) / MB
        return
    process, done = psutil.Process(), threading.Event()
    _give_back()
    start = process.memory_info().rss

    def look():
        seen.mb = max(seen.mb, (process.memory_info().rss - start) / MB)

    def watch():
        while not done.wait(_EVERY):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        look()
        done.set()
        watcher.join()


def _give_back() -> None:
    """Give what is free back to the system, or it would serve again and not be seen; only glibc can."""
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
