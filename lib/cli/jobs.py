"""The jobs of a batch, as read from their records: which will run, which are running, how far they are.

`lib.runtime.progress` writes the records.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
PREPARATION = "preparation"  # the job before the notebooks
BENCHMARK = "01_dataset"  # the notebook that all others need


@dataclass
class Phase:
    """A bar within a job.

    Attributes:
        left: Seconds left at the Unix time `at`; None while nothing is measured.
    """

    name: str
    begun: float
    done: int = 0
    total: int = 0
    initial: int = 0
    unit: str = ""
    left: float | None = None
    at: float = 0.0

    def seconds_left(self, now: float) -> float | None:
        """The seconds left as last reported, less what has passed since."""
        return None if self.left is None else max(self.left - (now - self.at), 0.0)

    @property
    def took(self) -> float:
        """Seconds from the first record to the last."""
        return self.at - self.begun


@dataclass
class Job:
    """One run of a notebook, or the preparation."""

    name: str  # <set>.<page>; its file of records has the same name
    notebook: str
    set_name: str = ""
    model: str = ""
    state: str = WAITING
    begun: float = 0.0
    ended: float = 0.0
    phases: dict[str, Phase] = field(default_factory=dict)

    @property
    def page(self) -> str:
        """Its page, without folder and suffix; its log has the same name."""
        return self.name.partition(".")[2] or self.name

    @property
    def label(self) -> str:
        """Its notebook and model, for display."""
        return f"{self.notebook} {self.model}".strip()

    @property
    def phase(self) -> Phase | None:
        """The bar that is shown now."""
        return list(self.phases.values())[-1] if self.phases else None

    def elapsed(self, now: float) -> float:
        """Seconds that it has run."""
        return (self.ended or now) - self.begun if self.begun else 0.0


@dataclass(frozen=True)
class Event:
    """A report of a job that the user may want to see: begin, end, error or message."""

    time: float
    kind: str
    job: Job
    text: str = ""


def name_of(executed: Path) -> str:
    """The name of the job that writes the page outputs/<set>/executed/<page>.ipynb."""
    return f"{executed.absolute().parent.parent.name}.{executed.stem}"


def planned(notebook: str, executed: str, model: str) -> dict:
    """A job that is going to run, as it stands in the record `jobs`."""
    name = name_of(Path(executed))
    return {"name": name, "notebook": notebook, "set_name": name.split(".")[0], "model": model}


class Jobs(dict[str, Job]):
    """Jobs by name, kept up to date from the records in a folder."""

    def __init__(self, folder: Path):
        super().__init__()
        self._folder = folder
        self._read: dict[Path, int] = {}
        self.facts: dict = {}

    def update_from_records(self) -> list[Event]:
        """Read what was written since the last call.

        Returns:
            The new events, in order of time.
        """
        events = []
        for path in sorted(self._folder.glob("*.jsonl")):
            for record in self._new(path):
                events += self._take(path.stem, record)
        return sorted(events, key=lambda event: event.time)

    def without_results(self) -> tuple[list[str], list[str]]:
        """After a run that failed: the models that lack results, and the notebooks that wait for them.

        Both are empty if the benchmark itself is missing, which every model needs.
        """
        if any(job.state != DONE for job in self.values() if job.notebook == BENCHMARK):
            return [], []
        models = dict.fromkeys(job.model for job in self.values() if job.model and job.state != DONE)
        waiting = [job.notebook for job in self.values() if not job.model and job.state == WAITING]
        return list(models), sorted(waiting)

    def _new(self, path: Path) -> list[dict]:
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            data = file.read()
        complete = data[: data.rfind(b"\n") + 1]
        self._read[path] = self._read.get(path, 0) + len(complete)
        records = []
        for line in complete.splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:  # cut short when the process was killed
                continue
        return [record for record in records if isinstance(record, dict) and "time" in record]

    def _take(self, name: str, record: dict) -> list[Event]:
        moment = record["time"]
        for planned in record.get("jobs", []):
            self.setdefault(planned["name"], Job(**planned))
        if "facts" in record:
            self.facts |= record["facts"]
        if not {"begin", "end", "error", "message", "phase"} & record.keys():
            return []
        job = self.setdefault(name, Job(name, name.partition(".")[2] or name))
        if "phase" in record:
            phase = job.phases.pop(record["phase"], None) or Phase(record["phase"], moment)
            job.phases[phase.name] = phase  # the last one is that of now
            for name in ("done", "total", "initial", "unit", "left"):
                setattr(phase, name, record[name])
            phase.at = moment
            return []
        if "begin" in record:
            job.state, job.begun, job.ended, job.phases = RUNNING, moment, 0.0, {}
        elif "message" not in record:
            job.state, job.ended = (DONE if "end" in record else FAILED), moment
        kind = next(kind for kind in ("begin", "end", "error", "message") if kind in record)
        return [Event(moment, kind, job, str(record[kind]))]
