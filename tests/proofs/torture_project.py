"""A small mock set in a copy of the project: run undisturbed, put back to what it was at any moment, and run
to its end after a fault."""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from lib.cli import jobs
from lib.corpora import human_ratings
from lib.nlp import similarity
from lib.storage import caching, packages
from tests.conftest import ROOT

SET = "torture"
MAX_CALLS = 5  # of the ordinary command after a fault
MAX_SECONDS = 900.0  # of one call
FATE = re.compile(r"error: .*|.*is dropped and made again.*|.*are ignored, and made again.*|.*set aside.*")
DELETE = re.compile(
    r"(\S*/\S+): [^\n]*\bdelete (?:it|the file)\b[^\n]*run again"
)  # what an error tells to do
_PROCESSES = {"kernel": "ipykernel_launcher", "papermill": "batch notebook", "snakemake": "-m snakemake"}
_OUTPUTS = {  # of the notebooks, as in the Snakefile; the first three are read by all that follow
    "01": ["prompts.parquet"],
    "02": ["completions/*", "next_token/*"],
    "03": ["judgements/*"],
    "03b": ["quantities/*", "comparisons/*"],
    "03c": ["methods/*", "robustness/*"],
    "04": ["validity.parquet", "claims/agreement.parquet"],
    "04c": ["calibration.parquet"],
    "05": ["claims/scaling.parquet"],
    "05b": ["size_shapes.parquet"],
    "06": ["mitigation.parquet", "claims/mitigation.parquet"],
}
# what a verdict of a judge, a time or a threshold was kept in; a run makes them again
_MADE_BY_RUNS = ("verdicts-*", "times-*", "rated-threshold-*", "*.lock", "vaderSentiment*")


@dataclass
class Call:
    """One call of the ordinary command.

    Attributes:
        code: Its exit code; below 0 if a signal ended it.
        said: What it printed.
    """

    code: int
    said: str

    @property
    def is_clear(self) -> bool:
        """Whether it ended well, by a signal, or with an error for a person: no traceback, no bug."""
        if self.code <= 0 or self.code == 130:
            return True
        return "error: " in self.said and not re.search("Traceback|this is a bug", self.said)

    @property
    def fate(self) -> str:
        """The first line about what went wrong."""
        found = FATE.search(self.said)
        return found[0].strip() if found else f"exit code {self.code}"


@dataclass
class Project:
    """A copy of the project with the set, its cache and a finished reference run.

    Attributes:
        folder: The copy.
        cache: Its cache of packages and verdicts.
        finished: The outputs, Snakemake's notes and the cache of the undisturbed run.
        begun: Unix time at which each page of it began, and how many seconds it took.
        hashes: SHA-256 of its tables, boards and pages.
    """

    folder: Path
    cache: Path
    finished: Path
    begun: dict[str, tuple[float, float]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def run_folder(self) -> Path:
        return self.folder / "outputs" / SET

    def start(self) -> subprocess.Popen:
        """Start the ordinary command, in a process group of its own, as a terminal does."""
        command = [sys.executable, "-m", "lib.cli.batch", "run", SET, "--cores", "2"]
        given = {"PYTHONPATH": str(self.folder), "EXPRESSION_LEAKAGE_CACHE": str(self.cache)}
        given["PYTHONDONTWRITEBYTECODE"] = ""  # the copy is compiled once, not in each of its processes
        with (self.folder / "printed.txt").open("w") as file:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **given, **self.environment},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # a job that a shell put into the background is told to ignore it
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def ended(self, process: subprocess.Popen) -> Call:
        """Wait for a call to end."""
        try:
            code = process.wait(MAX_SECONDS)
        except subprocess.TimeoutExpired:
            for each in self.processes():
                each.kill()
            code = process.wait()
        return Call(code, (self.folder / "printed.txt").read_text(errors="replace"))

    def call(self) -> Call:
        """The ordinary command, to its end."""
        return self.ended(self.start())

    def processes(self, kind: str = "") -> list[psutil.Process]:
        """The processes that work in the copy, or those of one kind."""
        found = []
        for process in psutil.process_iter():
            try:
                inside = Path(process.cwd()).is_relative_to(self.folder)
                if inside and _PROCESSES.get(kind, "") in " ".join(process.cmdline()):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def left_over(self, patience: float = 60.0) -> int:
        """How many processes of a run that has ended are there after a while; they are killed."""
        end = time.monotonic() + patience
        while (found := self.processes()) and time.monotonic() < end:
            time.sleep(0.5)
        for process in found:
            process.kill()
        return len(found)

    def pages(self) -> set[str]:
        """The pages that the run has begun since it was started."""
        folder = self.run_folder / "logs" / "progress"
        names = {path.stem.removeprefix(f"{SET}.") for path in folder.glob(f"{SET}.*.jsonl")}
        return names & self.begun.keys()

    def restore_any(self, rng: random.Random) -> None:
        """Put the run back to what it was without a random page; the more follow it, the less often."""
        pages = sorted(self.begun, key=lambda name: self.begun[name][0])
        (page,) = rng.choices(pages, [1 / (len(pages) - number) for number in range(len(pages))])
        self.restore(page)

    def restore(self, page: str) -> None:
        """Put the undisturbed run back without what a page makes: it runs again, and what follows from it."""
        self.clear()
        for name in (f"outputs/{SET}", ".snakemake"):
            shutil.copytree(self.finished / name, self.folder / name, dirs_exist_ok=True)
        (self.run_folder / "manifest.json").unlink()
        names, number = list(_OUTPUTS), list(_OUTPUTS).index(page.partition("_")[0])
        following = names[number:] if number < 3 else [names[number]]
        following += ["04c"] if names[number] == "04" else []
        for pattern in (pattern for name in following for pattern in _OUTPUTS[name]):
            for path in self.run_folder.glob(pattern):
                path.unlink()

    def clear(self) -> None:
        """No outputs, and nothing in the cache that a run makes."""
        for path in (self.run_folder, self.folder / ".snakemake"):
            shutil.rmtree(path, ignore_errors=True)
        self.environment = {}
        for path in self.cache.iterdir():
            if not path.is_symlink():
                path.unlink() if path.is_file() else shutil.rmtree(path)
        shutil.copy2(packages.fetch(human_ratings.PACKAGE), self.cache)

    def is_finished(self) -> bool:
        """Whether there is a finished run."""
        return (self.run_folder / "manifest.json").exists() or not self.run_folder.exists()

    def differences(self) -> list[str]:
        """The tables, boards and pages that are not, byte for byte, those of the undisturbed run."""
        here = digests(self.run_folder)
        return sorted(name for name in self.hashes | here if self.hashes.get(name) != here.get(name))


def digests(run_folder: Path) -> dict[str, str]:
    """SHA-256 of every table, board and page of a run."""
    names = ("**/*.parquet", "headline.*", "claims.svg", "card.*", "executed/*.ipynb")
    paths = [path for name in names for path in run_folder.glob(name)]
    return {
        str(path.relative_to(run_folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    }


def make(scratch: Path) -> Project:
    """Copy the project with the set into a scratch folder, and make the undisturbed run, unless it is there.

    Raises:
        SystemExit: If that run fails.
    """
    project = Project(scratch / "a project", scratch / "cache", scratch / "finished")
    if project.finished.exists():
        _describe(project)
        return project
    for name in ("lib", "notebooks", "params"):
        ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, project.folder / name, ignore=ignored)
    shutil.copy(ROOT / "Snakefile", project.folder)
    card = Path("outputs") / "embedded" / "card.json"
    (project.folder / card).parent.mkdir(parents=True)
    shutil.copy(ROOT / card, project.folder / card)
    _write_set(project.folder / "params")
    similarity.folder()
    project.cache.mkdir()
    for path in caching.cache_folder().iterdir():
        if not any(path.match(name) for name in _MADE_BY_RUNS):
            (project.cache / path.name).symlink_to(path)
    project.clear()
    call = project.call()
    if call.code:
        raise SystemExit(f"the undisturbed run failed\n{call.said}")
    _keep(project)
    return project


def _write_set(params: Path) -> None:
    """The smoke set, smaller: one model, few stems, one mitigation beside the control."""
    values = yaml.safe_load((params / "smoke.yaml").read_text())
    values["models"] = values["models"][:1]
    values["mitigations"] = {name: values["mitigations"][name] for name in ("neutral-tone", "control")}
    values["dataset"]["stems"] = 16
    values["agreement"]["annotation_pairs"] = 20
    (params / f"{SET}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def _keep(project: Project) -> None:
    """Keep what the undisturbed run left."""
    for name in (f"outputs/{SET}", ".snakemake"):
        shutil.copytree(project.folder / name, project.finished / name)
    shutil.copytree(project.cache, project.finished / "cache", symlinks=True)
    _describe(project)


def _describe(project: Project) -> None:
    """The hashes of the undisturbed run, and when each of its pages began."""
    run_folder = project.finished / "outputs" / SET
    project.hashes = digests(run_folder)
    found = jobs.Jobs(run_folder / "logs" / "progress")
    found.update_from_records()
    pages = {job.page: (job.begun, job.ended - job.begun) for job in found.values() if job.ended}
    project.begun = {page: times for page, times in pages.items() if page != jobs.PREPARATION}
