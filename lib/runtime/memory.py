"""The most memory that a stretch of work takes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

_EVERY = 0.01  # seconds between two looks at the process
MB = 2**20


class Peak:
    """The most memory seen so far, in MB; see `peak`."""

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
        yield seen
        seen.mb = torch.cuda.max_memory_allocated(device) / MB
        return
    process, done = psutil.Process(), threading.Event()

    def look():
        seen.mb = max(seen.mb, process.memory_info().rss / MB)

    def watch():
        while not done.wait(_EVERY):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    look()
    watcher.start()
    try:
        yield seen
    finally:
        look()
        done.set()
        watcher.join()
