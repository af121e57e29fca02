"""Progress of a piece of work: a bar of tqdm by hand, or records in a file when the batch runs it.

A job of the batch finds the path of its file in the environment variable FILE. A record is a line of JSON
with `time` (seconds, Unix) and one of: `jobs` (what will run), `facts` (what estimates of the run depend on),
`begin`, `end` (seconds that the job took), `error`, `message`; or, for a bar, `phase`, `done`, `total`,
`initial`, `unit` and `left` (seconds, None while nothing is measured). A process that is killed just stops
writing.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

FILE = "EXPRESSION_LEAKAGE_PROGRESS"
EVERY = 1.0  # seconds between two records of a bar
_SELDOM = 30.0  # seconds between two lines where there is no terminal
_OVERDUE = 0.1  # share of a step that is assumed to be left when it takes longer than expected


def begin(name: str) -> None:
    """Make this process and its children the job `name` of the batch, if the batch runs this process."""
    if FILE in os.environ:
        os.environ[FILE] = str(Path(os.environ[FILE]).with_name(f"{name}.jsonl"))
        tell(begin=name)


def tell(**record) -> bool:
    """Add a record to the job's file.

    A failed write is ignored here: a full disk stops the work elsewhere.

    Returns:
        Whether this process has such a file.
    """
    path = os.environ.get(FILE)
    if path:
        line = json.dumps({"time": time.time(), **record}, ensure_ascii=False) + "\n"
        with suppress(OSError):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)
    return bool(path)


def is_told() -> bool:
    """Whether this process is part of a batch, which shows its records."""
    return FILE in os.environ


def message(text: str, file=None) -> None:
    """Print a message for the user: in the batch above its bar, else on `file` (standard output)."""
    if not tell(message=text):
        print(printable(text), file=file or sys.stdout, flush=True)


def printable(text: str) -> str:
    """`text` without control characters, with which a file or a server could command the terminal."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else " " for letter in text)


class Bar:
    """The progress of work, shown by tqdm or recorded for the batch.

    Without costs, the time left follows from the rate. With costs, it follows from the steps done: call
    `step` after each of them, and `update` for what is done within one.

    Args:
        total: Units of work.
        phase: Name of the work.
        unit: Name of the units.
        initial: Units that were done before.
        costs: Costs of the steps in which the rest is done, relative or in seconds.
        in_seconds: Whether the costs are in seconds.
    """

    def __init__(
        self, total: int, phase: str, unit: str, initial: int, costs: Sequence[float] | None, in_seconds: bool
    ):
        self.total, self.phase, self.unit, self.done = total, phase, unit, initial
        self._costs, self._in_seconds, self._steps = list(costs or ()), in_seconds, 0
        self._initial, self._settled, self._told = initial, initial, 0.0
        self._first: tuple[float, int] | None = None
        self._begun = self._step_begun = time.monotonic()
        self._lock, self._tqdm = threading.Lock(), None

    def __enter__(self) -> "Bar":
        if FILE not in os.environ and _has_a_place():
            from tqdm.auto import tqdm

            options = {} if sys.stderr.isatty() or "ipykernel" in sys.modules else {"mininterval": _SELDOM}
            self._tqdm = tqdm(
                total=self.total, initial=self.done, desc=self.phase, unit=f" {self.unit}", **options
            )
        self._show(now=True)
        return self

    def __exit__(self, *exception) -> None:
        if self._tqdm:
            self._tqdm.close()
        elif exception[0] is None:
            self._show(now=True)

    def update(self, count: int = 1) -> None:
        """Count so many more units as done; callable from any thread."""
        with self._lock:
            self.done += count
            self._show()

    def step(self, count: int) -> None:
        """Finish a step of `count` units, whatever `update` has counted of it."""
        with self._lock:
            self._settled += count
            self.done, self._steps, self._step_begun = self._settled, self._steps + 1, time.monotonic()
            self._show(now=self._steps == 1)

    def _show(self, now: bool = False) -> None:
        if self._tqdm:
            self._tqdm.update(self.done - self._tqdm.n)
        if FILE not in os.environ:
            return
        moment = time.monotonic()
        if self._first is None and self.done > self._initial:
            self._first = moment, self.done
        if now or moment - self._told >= EVERY:
            self._told = moment
            left = (
                seconds_left(
                    self._costs,
                    self._in_seconds,
                    self._steps,
                    self._step_begun - self._begun,
                    moment - self._step_begun,
                )
                if self._costs
                else self._by_rate(moment)
            )
            tell(
                phase=self.phase,
                done=self.done,
                total=self.total,
                initial=self._initial,
                unit=self.unit,
                left=left,
            )

    def _by_rate(self, moment: float) -> float | None:
        """Seconds left at the rate since the first unit; the time before it was preparation."""
        if self.done >= self.total:
            return 0.0
        if self._first is None or self.done == self._first[1] or moment - self._first[0] < EVERY:
            return None
        return (self.total - self.done) * (moment - self._first[0]) / (self.done - self._first[1])


def _has_a_place() -> bool:
    """Whether there is a place to draw a bar."""
    # in a notebook, a thread other than the main one, such as that of a widget, belongs to no cell
    return "ipykernel" not in sys.modules or threading.current_thread() is threading.main_thread()


def seconds_left(
    costs: list[float], in_seconds: bool, steps: int, earlier: float, within: float
) -> float | None:
    """Seconds left of work in steps whose costs are known.

    Args:
        costs: Cost of each step, relative or in seconds.
        in_seconds: Whether the costs are in seconds.
        steps: Number of steps that are finished.
        earlier: Seconds that these steps took.
        within: Seconds that the next step has taken so far.

    Returns:
        Seconds. None before the first step is finished, unless the costs are in seconds; also if all costs
        that remain are 0.
    """
    if steps >= len(costs):
        return 0.0
    completed, current, remaining = sum(costs[:steps]), costs[steps], sum(costs[steps + 1 :])
    if not (completed or in_seconds) or not current + remaining:
        return None
    scale = earlier / completed if completed else max(1.0, within / current)
    return scale * (max(current - within / scale, _OVERDUE * current) + remaining)


def bar(
    total: int,
    phase: str,
    unit: str,
    initial: int = 0,
    costs: Sequence[float] | None = None,
    in_seconds=False,
) -> Bar:
    """A Bar, to be used in `with`."""
    return Bar(total, phase, unit, initial, costs, in_seconds)


def track(
    items: Iterable, phase: str, unit: str, costs: Sequence[float] | None = None, initial: int = 0
) -> Iterator:
    """Yield `items` one by one, with a progress bar.

    Args:
        items: The items.
        phase: Name of the work.
        unit: Name of the items.
        costs: The cost of each item, as for a Bar.
        initial: Items that were done before, beside these.
    """
    items = list(items)
    with bar(initial + len(items), phase, unit, initial, costs) as progress_bar:
        for item in items:
            yield item
            progress_bar.step(1)
