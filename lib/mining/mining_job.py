"""The step of mining that reads every page, as a datatrove job: WET files in, a table of candidates out.

The job runs in its own process (`python -m lib.mining.mining_job <folder>`), locks its folder while it runs,
and keeps a marker for each finished task. When it is started again, it does the remaining tasks. A local job
shares its tasks among worker processes. If a worker is killed, the job ends with an error; if the job ends,
for any reason, the workers end too. The name of its folder is a hash of everything that its result depends
on. The folder holds job.json, candidates/<task>.parquet, datatrove's logs, stats and completions, and
log.txt.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from lib.config.sections import Mining
from lib.corpora import wet
from lib.mining import extract, standalone
from lib.runtime import progress
from lib.runtime.cores import available_cores, end_with, end_with_parent
from lib.runtime.errors import DataError, JobError
from lib.storage import caching, records

COLUMNS = {
    "role": str,
    "sentence": str,
    "stem": str,
    "reference": str,
    "valence": float,
    "line": int,
    "place": int,
    "url": str,
    "date": str,
    "record_id": str,
    "refers_to": str,
    "crawl": str,
    "wet_path": str,
    "offset": int,
}
_MEMORY = "perhaps for want of memory: lower dataset.mining.workers"
_ARROW = {str: pa.string(), float: pa.float64(), int: pa.int64()}


def prepare(parent: Path, files: list[Path], config: Mining) -> Path:
    """Write the job.json of a job and return the job's folder, the same for the same files and rules.

    Args:
        parent: Folder in which the job's folder lies.
        files: The WET files to read.
        config: The mining section of a parameter set.

    Returns:
        The job's folder.
    """
    job = {
        "rules": [extract.VERSION, wet.VERSION, caching.sha256(standalone.WORDS)],
        "files": [[str(path.resolve()), caching.sha256(path) if path.exists() else None] for path in files],
        "tasks": config.tasks or len(files),
        "charge": config.min_abs_vader,
    }
    key = hashlib.sha256(json.dumps(job).encode()).hexdigest()[:12]
    cores = available_cores() if config.executor == "local" else -1  # -1: no limit but that of Slurm
    execution = {"executor": config.executor, "workers": config.workers or cores, "slurm": config.slurm}
    folder = parent / key
    records.write_text(folder / "job.json", json.dumps(job | execution, indent=1))
    return folder


def run(folder: Path) -> None:
    """Do the remaining tasks of a job and show the progress.

    Raises:
        RuntimeError: If the job fails, or if tasks are left to Slurm.
    """
    job = _job(folder)
    with records.only_run(folder) as lock:
        done = finished(folder)
        if done == job["tasks"]:
            return
        with (folder / "log.txt").open("a") as log:
            command = [sys.executable, "-m", "lib.mining.mining_job", str(folder), str(os.getpid())]
            process = subprocess.Popen(command, stdout=log, stderr=log, pass_fds=[lock])
        try:
            with progress.bar(job["tasks"], "mining", "tasks", done) as bar:
                while process.poll() is None:
                    time.sleep(0.2)
                    bar.update(finished(folder) - bar.done)
                bar.update(finished(folder) - bar.done)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    done = finished(folder)
    if process.returncode:
        raise JobError(
            f"mining: {done} of {job['tasks']} tasks are finished, then: "
            f"{_reason(folder, process.returncode)}\n"
            f"see {folder / 'log.txt'}; run again and only what is left is done"
        )
    if done < job["tasks"]:
        raise JobError(
            f"mining: {done} of {job['tasks']} tasks are finished, the others are with {job['executor']}; "
            "run again when they are done"
        )


def _job(folder: Path) -> dict:
    return json.loads((folder / "job.json").read_text())


def _reason(folder: Path, code: int) -> str:
    """Why the job's process ended: the signal that killed it, or the last line that it wrote."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was killed by {name}" + (f", {_MEMORY}" if name == "SIGKILL" else "")
    return " ".join((folder / "log.txt").read_text(errors="replace").strip().splitlines()[-1:])


def finished(folder: Path) -> int:
    """The number of finished tasks of a job."""
    return len(list((folder / "completions").glob("*")))


def executor(folder: Path):
    """The datatrove executor of the job in `folder`."""
    import importlib.metadata  # noqa: F401  datatrove uses it without importing it

    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.writers import ParquetWriter

    from lib.mining.slurm import Slurm

    job = _job(folder)
    schema = pa.schema([(name, _ARROW[kind]) for name, kind in COLUMNS.items()])
    pipeline = [  # without the options of datatrove that serve model hubs
        wet.WetReader([Path(path) for path, _ in job["files"]]),
        extract.Miner(job["charge"]),
        ParquetWriter(
            str(folder / "candidates"),
            compression="zstd",
            adapter=_row,
            schema=schema,
            use_content_defined_chunking=False,
            write_page_index=False,
        ),
    ]
    options = {"tasks": job["tasks"], "workers": job["workers"], "logging_dir": str(folder)}
    # one task per Slurm job: with more, the counts of several tasks would be added up
    if job["executor"] == "slurm":
        return Slurm(
            pipeline, **options, job_name="mining", slurm_logs_folder=str(folder / "slurm"), **job["slurm"]
        )
    return LocalPipelineExecutor(pipeline, **options)


def _row(_, document) -> dict:
    return {name: document.metadata.get(name) for name in COLUMNS}


def candidates(folder: Path) -> pd.DataFrame:
    """The candidates of a finished job, with the columns of COLUMNS, in no particular order.

    Raises:
        DataError: If there is no table of candidates, or if some are damaged, which are removed.
    """
    paths = sorted((folder / "candidates").glob("*.parquet"))
    if not paths:
        raise DataError(
            "mining found no candidate at all in "
            f"{json.loads((folder / 'job.json').read_text())['files']}; give more text"
        )
    tables = {path: _whole_table(path) for path in paths}
    damaged = [path for path, table in tables.items() if table is None]
    for path in damaged:  # its task is done again
        (folder / "completions" / path.stem.rpartition("_")[2]).unlink(missing_ok=True)
        path.unlink()
    if damaged:
        names = ", ".join(path.name for path in damaged)
        raise DataError(
            f"mining: in {folder / 'candidates'}, {names}: damaged, and removed; "
            "run again and what is missing is mined again"
        )
    return pa.concat_tables(tables.values()).to_pandas()


def _whole_table(path: Path) -> pa.Table | None:
    """A table; None if it is damaged."""
    try:
        return pyarrow.parquet.read_table(path)
    except (pa.ArrowException, OSError):
        return None


def _run_local(folder: Path) -> None:
    """Do the remaining tasks of a local job; datatrove would wait for ever for a worker that was killed."""
    job = executor(folder)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(job.workers, context, initializer=end_with_parent) as pool:
        tasks = [pool.submit(_run_task, folder, rank) for rank in job.get_incomplete_ranks()]
        try:
            for task in as_completed(tasks):
                task.result()
        except BrokenProcessPool:
            raise JobError(f"a worker process was killed, {_MEMORY}") from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_task(folder: Path, rank: int) -> None:
    """Do one task. datatrove has no public way to do one task alone; a test fails if this one goes."""
    # a new executor for each task, because the steps of an executor accumulate the counts of its tasks
    executor(folder)._run_for_rank(rank, local_rank=rank)


def main(folder: Path, parent: int | None = None) -> None:
    """Do the remaining tasks of a job, or hand them to Slurm; end when the process `parent` ends."""
    if parent is not None:
        end_with(parent)
    if _job(folder)["executor"] == "slurm":
        executor(folder).run()
    else:
        _run_local(folder)


if __name__ == "__main__":
    from lib.mining import mining_job  # objects pickled for other processes are found under this module name

    mining_job.main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
