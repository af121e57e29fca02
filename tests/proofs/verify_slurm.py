"""Shown, not assumed: a parameter set that runs through Slurm ends with the tables of a run on this machine,
also where jobs are cancelled and requeued, and the node is drained or fails meanwhile (make verify-slurm).

The mock set, its first model in three parts, runs in a copy of the project with the shipped profile: here,
through Slurm undisturbed, and through Slurm with faults. `slurm_node` says what that needs. Each fault hits a
job whose own program has started.
"""

import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from lib.config.specs import ROOT
from tests.proofs import slurm_node

SET, PARTS = "smoke", 3
MAX_DRAINED = 180.0  # seconds


@dataclass
class Fault:
    """Something that happens to the cluster once a job's program has written its log.

    Attributes:
        job: How the comment of the Slurm job ends: the values of its rule's wildcards.
        log: The log of its program, in outputs/<set>/logs.
        act: Called with the number of the job.
    """

    name: str
    rule: str
    job: str
    log: str
    act: Callable[[str], None]


def faults(model: str, host: str) -> list[Fault]:
    """What happens in the disturbed run, in this order."""

    def cancel(job: str) -> None:
        slurm("scancel", job)

    def requeue(job: str) -> None:
        slurm("scontrol", "requeue", job)

    def drain(job: str) -> None:
        slurm("scontrol", "update", f"nodename={host}", "state=drain", "reason=proof")
        end, waiting = time.monotonic() + MAX_DRAINED, 0
        while not waiting and time.monotonic() < end:  # what runs goes on, what is submitted now is held
            time.sleep(1)
            waiting = len(slurm("squeue", "--states=PENDING", "--noheader").splitlines())
        print(f"  meanwhile: node {slurm_node.state(host)}, {waiting} jobs wait", flush=True)
        slurm("scontrol", "update", f"nodename={host}", "state=resume")

    def fail(job: str) -> None:
        # what runs there is lost, and Slurm queues it again; the node still answers, and returns to work
        slurm("scontrol", "update", f"nodename={host}", "state=down", "reason=proof")

    part = f"02_generation.{model}.{{}}-of-{PARTS}.log"
    return [
        Fault("part cancelled", "_shard", f"_{model}_1_{PARTS}", part.format(1), cancel),
        Fault("part requeued", "_shard", f"_{model}_2_{PARTS}", part.format(2), requeue),
        Fault("notebook requeued", "_generation", f"_{model}", f"02_generation.{model}.log", requeue),
        Fault("node drained", "_judging", f"_{model}", f"03_judging.{model}.log", drain),
        Fault("node failed", "_leakage", f"_{model}", f"03b_leakage.{model}.log", fail),
        Fault("notebook cancelled", "_scaling", f"_{SET}", "05_scaling_analysis.log", cancel),
    ]


def slurm(*command: str) -> str:
    """The output of one of Slurm's programs; CalledProcessError if it fails."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def in_queue(folder: Path, states: str = "all") -> list[list[str]]:
    """Number, state and comment of each job in one of the states that was submitted from a folder."""
    lines = slurm("squeue", f"--states={states}", "--noheader", "--format=%i|%T|%k|%Z").splitlines()
    rows = [line.split("|") for line in lines]
    return [row[:3] for row in rows if row[3] == str(folder)]


def project(folder: Path, n_models: int) -> list[str]:
    """Copy the project, with the smoke set's first models; return their names."""
    for name in ("lib", "notebooks", "params"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "outputs" / "embedded").mkdir(parents=True)
    shutil.copy(ROOT / "outputs" / "embedded" / "card.json", folder / "outputs" / "embedded")
    path = folder / "params" / f"{SET}.yaml"
    values = yaml.safe_load(path.read_text())
    values["models"] = values["models"][:n_models]
    values["models"][0]["shards"] = PARTS
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    _edit_profile(folder / "params" / "profiles" / "slurm" / "config.yaml")
    return [model["name"] for model in values["models"]]


def _edit_profile(path: Path) -> None:
    """What a user edits, for a node as small as this one and without accounting."""
    profile = yaml.safe_load(path.read_text())
    small = {"mem_mb": 2000, "runtime": 60}
    profile["default-resources"] |= small | {"slurm_partition": slurm_node.CPU}
    for rule in profile["set-resources"].values():
        rule |= small | {"slurm_partition": slurm_node.GPU}
    profile["set-threads"] = dict.fromkeys(profile["set-threads"], 1)
    profile |= {
        "slurm-status-command": "squeue",
        "seconds-between-status-checks": 3,
        "slurm-init-seconds-before-status-checks": 3,
    }
    path.write_text(yaml.safe_dump(profile))


def run(folder: Path, kept: Path, *options: str, disturbances: list[Fault] | None = None) -> float:
    """Run the set, causing the faults meanwhile, and move what it wrote to `kept`; return its seconds."""
    for path in (folder / ".snakemake", folder / "outputs" / SET):
        shutil.rmtree(path, ignore_errors=True)
    command = [sys.executable, "-m", "lib.cli.batch", "run", SET, *options]
    started, left = time.monotonic(), list(disturbances or [])
    printed = kept.with_suffix(".txt")
    with printed.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                left = [fault for fault in left if not _happens(fault, folder)]
                time.sleep(0.2)
        finally:  # no run is left behind by a proof that fails
            process.terminate()
            process.wait()
    seconds = time.monotonic() - started
    if process.returncode:
        log = folder / "outputs" / SET / "logs" / "snakemake.log"
        raise SystemExit(f"{' '.join(command)}\n{printed.read_text()}\n{log.read_text()[-6000:]}")
    if left:
        raise SystemExit(f"did not happen: {', '.join(fault.name for fault in left)}")
    (folder / "outputs" / SET).rename(kept)
    return seconds


def _happens(fault: Fault, folder: Path) -> bool:
    """Cause a fault if its job runs and its program has started."""
    if not (folder / "outputs" / SET / "logs" / fault.log).exists():
        return False
    for number, _, comment in in_queue(folder, "RUNNING"):
        if f"rule_{fault.rule}_" in comment and comment.endswith(fault.job):
            fault.act(number)
            print(f"  {fault.name}: job {number}, {comment}", flush=True)
            return True
    return False


def differences(one: Path, other: Path) -> list[str]:
    """The tables of two runs that are not equal, or are in one of them only."""
    names = {str(path.relative_to(folder)) for folder in (one, other) for path in folder.rglob("*.parquet")}
    return sorted(name for name in names if not _equal(one / name, other / name))


def _equal(one: Path, other: Path) -> bool:
    if not (one.exists() and other.exists()):
        return False
    try:
        pd.testing.assert_frame_equal(pd.read_parquet(one), pd.read_parquet(other), check_exact=True)
    except AssertionError:
        return False
    return True


def report(name: str, seconds: float, folder: Path, kept: Path, reference: Path, seen: set[str]) -> list[str]:
    """Print what was seen in a run through Slurm; return the tables that differ from those made here.

    Args:
        name: The run.
        seconds: How long it took.
        folder: The project.
        kept: The folder of the run.
        reference: The folder of the run on this machine.
        seen: Numbers of the jobs of earlier runs; those of this run are added.
    """
    rows = [row for row in in_queue(folder) if row[0] not in seen]
    seen |= {row[0] for row in rows}
    states = collections.Counter(state for _, state, _ in rows)
    details = [slurm("scontrol", "show", "job", number) for number, _, _ in rows]
    restarts = sum(int(text.partition("Restarts=")[2].split()[0]) for text in details)
    on_gpu = sum(bool(re.search("TresPerJob=gres.gpu:1", text)) for text in details)
    wrong = differences(kept, reference)
    same_bytes = sum(
        path.read_bytes() == (reference / path.relative_to(kept)).read_bytes()
        for path in kept.rglob("*.parquet")
        if (reference / path.relative_to(kept)).exists()
    )
    count = len(list(reference.rglob("*.parquet")))
    board = (kept / "headline.csv").read_bytes() == (reference / "headline.csv").read_bytes()
    print(
        f"{name}: {seconds:.0f} s; {len(rows)} jobs ({', '.join(f'{n} {s}' for s, n in states.items())}), "
        f"{on_gpu} with an accelerator, {restarts} started again by Slurm; {count - len(wrong)} of {count} "
        f"tables equal, {same_bytes} byte for byte; same board: {board}",
        flush=True,
    )
    return wrong + ([] if board else ["headline.csv"])


def main() -> int:
    """Print a line for each run and fault; exit code 1 if a table differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=1, help="how many of the smoke set's three")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, daemons = Path(scratch) / "a project", Path(scratch) / "slurm"
        for path in (folder, daemons):
            path.mkdir()
        names = project(folder, given.models)
        with slurm_node.node(daemons) as host:
            here, plain, disturbed = (Path(scratch) / name for name in ("here", "plain", "disturbed"))
            seconds = run(folder, here, "--cores", "2")
            count = len(list(here.rglob("*.parquet")))
            print(f"here, 2 cores: {seconds:.0f} s, {count} tables; models: {', '.join(names)}", flush=True)
            seen: set[str] = set()
            seconds = run(folder, plain, "--profile", "slurm")
            wrong = report("through Slurm", seconds, folder, plain, here, seen)
            seconds = run(folder, disturbed, "--profile", "slurm", disturbances=faults(names[0], host))
            wrong += report("with faults", seconds, folder, disturbed, here, seen)
    if wrong:
        print(f"not equal: {', '.join(wrong)}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
