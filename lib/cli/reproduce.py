"""Run a whole parameter set: prepare it, pass its notebooks to Snakemake and show their progress.

At the end, the claims are printed.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from lib.cli import jobs, profiles, terminal
from lib.config import params, specs
from lib.runtime import command_line, progress
from lib.runtime.errors import UserError
from lib.storage import records

_SNAKEMAKE = (
    "--rerun-incomplete",
    "--keep-going",
    "--nocolor",
    "--rerun-triggers",
    "mtime",
    "params",
    "input",
)
_QUIET = ("--quiet", "host", "progress", "reason", "rules")  # all but errors
_REFUSAL = re.compile(  # of Snakemake, in its log
    r"^\w+(?:Error|Exception)\b.*:\n(?!At least one job)(.+)", re.MULTILINE
)


def run(set_name: str, cores: int, profile: str = "") -> None:
    """Run every notebook of a parameter set that is not up to date.

    Then print the claims board and where the pages are.

    Args:
        set_name: The parameter set.
        cores: Cores of this machine that the run uses.
        profile: A folder of `params/profiles`, which says where jobs are executed; "" for this machine.
    """
    from lib.corpora import own_ratings
    from lib.dataset import own_sentences

    places = profiles.options(profile) if profile else _here(cores)
    parameters = params.load(set_name)
    own_sentences.check(params.dataset(set_name))
    if parameters.confirms:
        from lib.cli import confirmatory

        confirmatory.check_frozen(set_name)
    if ratings := params.agreement(set_name).ratings:
        own_ratings.check(ratings)
    folder = records.run_folder(set_name)
    records.check_writable(folder)
    print(f"{set_name}: {parameters.title}.", flush=True)
    print("Interrupt it at any time: called again, it goes on where it was.", flush=True)
    started = time.monotonic()
    with records.only_run(folder) as lock:
        _date_back(folder)
        # a stale lock of a killed run: `only_run` has made sure that no other run is alive
        shutil.rmtree(records.ROOT / ".snakemake" / "locks", ignore_errors=True)
        snakemake = [sys.executable, "-m", "snakemake", set_name, *places, *_SNAKEMAKE]
        if not _is_up_to_date(folder, snakemake):
            _run(set_name, parameters, cores, snakemake, lock)
    from lib.report import claims_text

    minutes = command_line.format_duration(time.monotonic() - started)
    print(
        f"\n{claims_text.board(set_name)}\n\nDone in {minutes}; pages to read: {folder / 'executed'}",
        flush=True,
    )


def _date_back(folder: Path) -> None:
    """Date files of the future back, in their order: Snakemake refuses what is older than its input."""
    now = time.time_ns()
    dates = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    future = {path: date for path, date in dates.items() if date > now}
    ahead = max(future.values(), default=now) - now
    for path, date in future.items():
        os.utime(path, ns=(date - ahead, date - ahead))
    if future:
        print(f"{len(future)} files were dated in the future, by a wrong clock; they are dated back.")


def _here(cores: int) -> list[str]:
    """Options of Snakemake that run jobs on this machine, one model at a time if it has an accelerator."""
    return ["--cores", str(cores), *(["--resources", "gpu=1"] if shutil.which("nvidia-smi") else [])]


def _is_up_to_date(folder: Path, snakemake: list[str]) -> bool:
    """Whether the run is finished, and Snakemake finds nothing to do."""
    if not (folder / "manifest.json").exists():
        return False
    done = subprocess.run([*snakemake, "--dry-run"], cwd=records.ROOT, capture_output=True, text=True)
    return done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr


def _run(set_name: str, parameters: params.ParameterSet, cores: int, snakemake: list[str], lock: int) -> None:
    """Prepare the run and pass its notebooks to Snakemake, showing their progress."""
    from lib.cli import eta

    folder = records.run_folder(set_name)
    logs = folder / "logs"
    progress_folder = logs / "progress"
    shutil.rmtree(progress_folder, ignore_errors=True)
    progress_folder.mkdir(parents=True)
    with terminal.View(progress_folder, cores, lambda: eta.completions(set_name, parameters)) as view:
        _follow(
            [sys.executable, "-m", "lib.cli.batch", "prepare", set_name],
            view,
            progress_folder,
            logs / "preparation.log",
            lock,
        )
        (folder / "manifest.json").unlink(missing_ok=True)  # from here on the run counts as unfinished
        _follow([*snakemake, *_QUIET], view, progress_folder, logs / "snakemake.log", lock)


def _follow(command: list[str], view: terminal.View, progress_folder: Path, log: Path, lock: int) -> None:
    """Run a command whose jobs record their progress in `progress_folder`; UserError if it fails."""
    environment = os.environ | {progress.FILE: str(progress_folder / "run.jsonl")}
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=records.ROOT, stdout=file, stderr=file, pass_fds=[lock], env=environment
        )
        try:
            view.follow(process)
        except BaseException:  # Ctrl-C, or a file that cannot be shown: nothing goes on unseen
            # let it end its notebooks and release what it holds; what is started in a shell's background does
            # not hear SIGINT, and ends its running notebooks first
            ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            process.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
            process.wait()
            raise
    if process.returncode and view.refusal:
        raise UserError(view.refusal)
    if process.returncode:
        _say_why(view, progress_folder.parent, log)
        raise UserError(
            f"{progress_folder.parents[1].name}: not finished; fix what is reported above and run again. "
            f"Log: {log}"
        )


def _say_why(view: terminal.View, logs: Path, log: Path) -> None:
    """Say why a run failed, as far as its notebooks have not, and what waits for it."""
    for job in view.unfinished():
        view.say(f"error: {job.label}: {_last_words(logs / f'{job.page}.log')}")
    models, waiting = view.jobs.without_results()
    if models and waiting:
        named = ", ".join(models)
        view.say(
            f"no results of {named}; {', '.join(waiting)} wait for them: mend what is reported, or take "
            f"{named} out of params/{logs.parent.name}.yaml, and run again"
        )
    if not view.has_failures():
        view.say(f"error: {_last_words(log)}")


def _last_words(log: Path) -> str:
    """Why a process ended without a report: the error in its log, or else that it was killed."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    if "Traceback (most recent call last)" in text:
        return f"{text.strip().splitlines()[-1]}; see {log}"
    if refusal := _REFUSAL.search(text):
        return f"{refusal[1].strip()}; see {log}"
    if not os.access(log.parent, os.W_OK):
        return f"{log.parent} cannot be written; make it writable, then run again: what is finished is kept"
    return f"its process was killed, perhaps for want of memory; see {log}"


def prepare(set_name: str) -> None:
    """Fetch what ships in packages and find every model and judge, before the first notebook starts.

    No weights are loaded.
    """
    progress.begin(jobs.PREPARATION)
    started = time.monotonic()
    from lib.cli import eta
    from lib.corpora import human_ratings
    from lib.judging import judges
    from lib.models import registry
    from lib.nlp import similarity
    from lib.storage import packages

    parameters = params.load(set_name)
    packages.fetch(human_ratings.PACKAGE)
    loaded = {spec.name: registry.load(spec) for spec in parameters.models}
    for spec in parameters.intervened:
        from lib.interventions import registry as interventions  # it imports torch

        interventions.check(parameters.interventions_of(spec), loaded[spec.name])
    similarity.folder()  # notebook 03 compares sentences, whichever judge is used
    for section in (parameters.judging, parameters.agreement):
        for judge in (section["judge"], *section.get("comparison_judges", [])):
            judges.prepare(specs.JUDGE_SCHEMA.validate_python(judge))
    progress.tell(facts=eta.facts(parameters, loaded))
    progress.tell(end=time.monotonic() - started)
