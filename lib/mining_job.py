"""The part of mining that reads every page, as a datatrove job: WET files in, a table of candidates out, task by task.

The job runs in a process of its own (`python -m lib.mining_job <folder>`), holds a lock on its folder while it lives, and keeps
a marker for each finished task; started again, it does what is left. Its folder, named after all that its result depends on,
holds job.json, candidates/<task>.parquet, datatrove's logs, stats and completions, and log.txt.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
from datatrove.utils.stats import MetricStats
from tqdm import tqdm

from lib import mining, packages, records, wet
from lib.sections import Mining

COLUMNS = {"role": str, "sentence": str, "stem": str, "reference": str, "valence": float, "line": int, "place": int, "url": str,
           "date": str, "record_id": str, "refers_to": str, "crawl": str, "wet_path": str, "offset": int}  # fmt: skip
_ARROW = {str: pa.string(), float: pa.float64(), int: pa.int64()}


def prepare(parent: Path, files: list[Path], told: Mining) -> Path:
    """The folder of the job, with its job.json: the same for the same files and rules."""
    job = {
        "code": [packages.sha256(path) for path in (*(Path(module.__file__) for module in (mining, wet)), mining.WORDS)],
        "files": [[str(path.resolve()), packages.sha256(path) if path.exists() else None] for path in files],
        "tasks": told.tasks or len(files),
        "charge": told.charge_mined,
    }
    key = hashlib.sha256(json.dumps(job).encode()).hexdigest()[:12]
    cores = len(os.sched_getaffinity(0)) if told.executor == "local" else -1  # -1: as many as Slurm allows
    how = {"executor": told.executor, "workers": told.workers or cores, "slurm": told.slurm}
    folder = parent / key
    records.write_text(folder / "job.json", json.dumps(job | how, indent=1))
    return folder


def run(folder: Path) -> None:
    """Do what is left of a job, showing how far it is. RuntimeError if it fails, or is left to Slurm."""
    job = json.loads((folder / "job.json").read_text())
    with records.only_run(folder) as lock:
        done = finished(folder)
        if done == job["tasks"]:
            return
        with (folder / "log.txt").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "lib.mining_job", str(folder)], stdout=log, stderr=log, pass_fds=[lock]
            )
        try:
            with tqdm(total=job["tasks"], initial=done, desc="mining", unit=" task") as bar:
                while process.poll() is None:
                    time.sleep(0.2)
                    bar.update(finished(folder) - bar.n)
                bar.update(finished(folder) - bar.n)
        except BaseException:
            process.terminate()
            raise
    done = finished(folder)
    if process.returncode:
        last = (folder / "log.txt").read_text().strip().splitlines()[-1:]
        raise RuntimeError(f"mining: {done} of {job['tasks']} tasks are finished, then: {' '.join(last)}\n"
                           f"see {folder / 'log.txt'}; run again and only what is left is done")  # fmt: skip
    if done < job["tasks"]:
        raise RuntimeError(f"mining: {done} of {job['tasks']} tasks are finished, the others are with {job['executor']}; "
                           "run again when they are done")  # fmt: skip


def finished(folder: Path) -> int:
    """How many tasks of a job are finished."""
    return len(list((folder / "completions").glob("*")))


def executor(folder: Path):
    """The datatrove executor of the job in `folder`."""
    import importlib.metadata  # noqa: F401  datatrove uses it without importing it

    from datatrove.executor import LocalPipelineExecutor, SlurmPipelineExecutor
    from datatrove.pipeline.writers import ParquetWriter

    job = json.loads((folder / "job.json").read_text())
    schema = pa.schema([(name, _ARROW[kind]) for name, kind in COLUMNS.items()])
    pipeline = [  # without what datatrove writes for hubs
        wet.WetReader([Path(path) for path, _ in job["files"]]),
        mining.Miner(job["charge"]),
        ParquetWriter(str(folder / "candidates"), compression="zstd", adapter=_row, schema=schema,
                      use_content_defined_chunking=False, write_page_index=False),
    ]  # fmt: skip
    given = {"tasks": job["tasks"], "workers": job["workers"], "logging_dir": str(folder)}
    if job["executor"] == "slurm":  # one task a job: more would add up the counts of several tasks
        return SlurmPipelineExecutor(
            pipeline, **given, job_name="mining", slurm_logs_folder=str(folder / "slurm"), **job["slurm"]
        )
    return LocalPipelineExecutor(pipeline, **given)


def _row(_, document) -> dict:
    return {name: document.metadata.get(name) for name in COLUMNS}


def candidates(folder: Path) -> pd.DataFrame:
    """The candidates of a finished job, with the columns COLUMNS, in no order that means anything."""
    parts = sorted((folder / "candidates").glob("*.parquet"))
    if not parts:
        raise ValueError(
            f"mining found no candidate at all in {json.loads((folder / 'job.json').read_text())['files']}; give more text"
        )
    return pyarrow.dataset.dataset(parts).to_table().to_pandas()


def counted(folder: Path) -> Counter:
    """What became of every line and sentence of the pages that were mined."""
    counts = Counter()
    for path in (folder / "stats").glob("*.json"):
        step = next(step for step in json.loads(path.read_text()) if step["name"].endswith(f": {mining.Miner.name}"))
        counts.update({reason: int(MetricStats.from_dict(value).total) for reason, value in step["stats"].items()})
    return counts


if __name__ == "__main__":
    executor(Path(sys.argv[1])).run()
