"""Show a run of the batch on the terminal: a line for each notebook and one bar for the whole run.

Messages stay above them. If the output is not a terminal, plain lines are printed: one at the beginning and
end of each notebook, and at most one every 30 seconds.
"""

import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lib.cli.eta import Estimate, Estimator
from lib.cli.jobs import BENCHMARK, DONE, FAILED, PREPARATION, RUNNING, WAITING, Event, Job, Jobs
from lib.runtime import progress
from lib.runtime.command_line import format_duration

PLAIN_EVERY = 30.0  # seconds
MOVED = 0.25  # relative change of the estimated total after which it is printed again
_POLL = 0.5


class View(AbstractContextManager):
    """Shows the progress of the jobs that write their records to `folder`.

    Args:
        folder: Folder of the records.
        cores: Cores that the run uses.
        facts: Called once the prompts are written; its facts are added to those of the jobs.
        console: Where to print; by default the terminal.
    """

    def __init__(self, folder: Path, cores: int, facts: Callable[[], dict], console: Console | None = None):
        self.jobs, self._estimator, self._facts = Jobs(folder), Estimator(cores), facts
        self._console = console or Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._is_live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._live = (
            Live(console=self._console, auto_refresh=False, transient=True) if self._is_live else None
        )
        self._begun, self._told_at = time.time(), 0.0
        self._told: float | None = None  # the estimated total that was printed last
        self._now = self._plain_at = self._begun
        self.refusal = ""  # why the preparation ended with an error

    def __enter__(self) -> "View":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception) -> None:
        if self._live:
            self._live.stop()

    def follow(self, process: subprocess.Popen) -> None:
        """Show the progress of the jobs until `process` ends."""
        while process.poll() is None:
            self.refresh(time.time())
            time.sleep(_POLL)
        self.refresh(time.time())

    def refresh(self, now: float) -> None:
        """Read the new records, print what is new and redraw the rest."""
        self._now = now
        for event in self.jobs.update_from_records():
            self._say(event)
        if self._are_prompts_there():
            self.jobs.facts |= self._facts()
        self._estimator.keep(self.jobs)
        estimate = self._estimator.estimate(self.jobs, now)
        self._announce(estimate, now)
        running = [job for job in self.jobs.values() if job.state == RUNNING]
        if self._live:
            self._live.update(self._picture(estimate, now) if self.jobs else Text(), refresh=True)
        elif running and now - self._plain_at >= PLAIN_EVERY:
            self.say(
                f"{self._clock(estimate, now)}: "
                f"{'; '.join(f'{job.label}: {status(job, now)}' for job in running)}"
            )

    def unfinished(self) -> list[Job]:
        """Jobs that began and reported neither an end nor an error, because they were killed."""
        return [job for job in self.jobs.values() if job.state == RUNNING]

    def has_failures(self) -> bool:
        """Whether a job reported an error, or began and reported no end."""
        return any(job.state in (FAILED, RUNNING) for job in self.jobs.values())

    def _are_prompts_there(self) -> bool:
        """Whether the prompts of this run are written and their facts are still missing."""
        planned = [job for job in self.jobs.values() if job.notebook != PREPARATION]
        is_built = all(job.state == DONE for job in planned if job.notebook == BENCHMARK)
        return bool(planned) and is_built and "completions" not in self.jobs.facts

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(progress.printable(text))
        self._plain_at = self._now

    def _say(self, event: Event) -> None:
        job = event.job
        if job.notebook == PREPARATION and event.kind != "message":
            self.refusal = event.text if event.kind == "error" else ""
            return
        if event.kind == "begin" and not self._live:
            self.say(f"{job.label} …")
        elif event.kind == "end":
            self.say(f"{job.label} done in {job.elapsed(event.time):.0f} s")
        elif event.kind == "error":
            self.say(f"error: {event.text}")
        elif event.kind == "message":
            self.say(event.text)

    def _announce(self, estimate: Estimate, now: float) -> None:
        """Print once how long the whole run takes, and again when that has changed."""
        if not estimate.measured or not estimate.left:
            return
        total = now - self._begun + estimate.left
        bound = "more than" if estimate.unknown else "about"
        if self._told is None:
            rest = f"; not measured yet: {', '.join(estimate.unknown)}" if estimate.unknown else ""
            self.say(f"This takes {bound} {format_duration(total)} on this machine{rest}.")
        elif self._has_moved(self._told, total, now):
            self.say(f"Corrected: {bound} {format_duration(total)} in all on this machine.")
        else:
            return
        self._told, self._told_at = total, now

    def _has_moved(self, shown: float, total: float, now: float) -> bool:
        """Whether the estimated total has changed enough to be printed again."""
        is_other = abs(total / shown - 1) > MOVED and format_duration(total) != format_duration(shown)
        return is_other and now - self._told_at >= PLAIN_EVERY

    def _clock(self, estimate: Estimate, now: float) -> str:
        passed = f"{int(now - self._begun) // 60}:{int(now - self._begun) % 60:02d}"
        if self.jobs and not any(job.state in (RUNNING, WAITING) for job in self.jobs.values()):
            return f"{passed}, finishing …" if len(self.jobs) > 1 else f"{passed}, starting …"
        if not estimate.measured:
            return f"{passed}, measuring …"
        return (
            f"{passed}, {'more than' if estimate.unknown else 'about'} {format_duration(estimate.left)} left"
        )

    def _picture(self, estimate: Estimate, now: float) -> Group:
        visible = [job for job in self.jobs.values() if job.state in (RUNNING, WAITING)]
        max_rows = max(self._console.height - 4, 1)
        hidden = max(len(visible) - max_rows, 0)
        visible = sorted(visible, key=lambda job: job.state != RUNNING)[: len(visible) - hidden]
        rows = Table.grid(padding=(0, 2, 0, 0))
        rows.add_column(no_wrap=True, overflow="ellipsis")
        rows.add_column(no_wrap=True, overflow="ellipsis")
        for job in visible:
            rows.add_row(Text(job.label), Text(status(job, now), style="" if job.state == RUNNING else "dim"))
        if hidden:
            rows.add_row(Text(f"and {hidden} more"), Text("waiting", style="dim"))
        total = now - self._begun + estimate.left
        share = (now - self._begun) / total if estimate.measured and total else 0.0
        bar = Table.grid(padding=(0, 2, 0, 0))
        bar.add_row(
            ProgressBar(total=1.0, completed=share, width=30), Text(self._clock(estimate, now), no_wrap=True)
        )
        return Group(rows, bar)


def status(job: Job, now: float) -> str:
    """The progress of a job, in a few words."""
    if job.state != RUNNING:
        return job.state
    phase = job.phase
    if phase is None:
        return f"{job.elapsed(now):.0f} s"
    prefix = "" if phase.name == job.model else f"{phase.name}, "
    message = f"{prefix}{phase.done:,} of {phase.total:,} {phase.unit}"
    # for other jobs, the bar of the whole run shows the time left
    left = phase.seconds_left(now) if job.notebook == PREPARATION else None
    return message if left is None else f"{message}, about {format_duration(left)} left"
