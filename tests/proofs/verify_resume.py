"""Shown, not assumed: a run that is killed twenty times ends with the table of an undisturbed one (make
verify-resume).

Each run is a process of its own that generates with the bundled model; it is sent SIGKILL at a random moment,
from the start of its imports to the midst of a batch, and started again. The journal is read after every
kill.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from lib.config import params, sections
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.models import registry
from lib.storage import records

BATCH = 24


def generation() -> sections.Generation:
    """The embedded set's completion mode, small."""
    values = params.cell_values(
        params.load("embedded"), "embedded", "02_generation", "smollm2-135m-completion"
    )
    small = {"samples": 4, "mitigations": {}, "mitigation_samples": 0, "batch_size": BATCH, "workers": 2}
    return params.from_cell("02_generation", values | small)


def work(folder: Path) -> None:
    """One run to its end: pay for what the journal lacks, write the table."""
    parameters = generation()
    model = registry.load(parameters.model)
    reply = model.reply

    def counted(requests, *arguments):
        with (folder / "asked").open("a") as file:
            file.write(f"{len(requests)}\n")
        return reply(requests, *arguments)

    model.reply = counted
    requested = runner.requests(
        curated_prompts.build(seed=1, stems=32, contexts_per_stem=1), parameters, model
    )
    paid = runner.generate(requested, parameters, model, folder / "journal.jsonl")
    records.write_text(
        folder / "table.csv", runner.completions_table(paid, parameters, model).to_csv(index=False)
    )


def killed_run(folder: Path, kills: int, seed: int) -> list[dict]:
    """Start, kill at a random moment, start again; one row a kill: seconds it lived, records before and
    after."""
    rng, rows = random.Random(seed), []
    while len(rows) < kills:
        before = keys(folder)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.verify_resume", "--work", str(folder)],
            stderr=subprocess.DEVNULL,
        )
        moment = rng.uniform(1, 16)
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        after = keys(folder)
        if not before <= after:
            raise SystemExit("a record that was there before the kill is gone")
        lost = asked(folder) - len(after) - sum(row["lost"] for row in rows)
        lived = {"lived, s": round(moment, 1), "killed": process.returncode < 0}
        rows.append(lived | {"records before": len(before), "after": len(after), "lost": lost})
        print(rows[-1], flush=True)
        if process.returncode >= 0:
            break
    return rows


def asked(folder: Path) -> int:
    """How many completions the model was asked for in all."""
    return sum(map(int, (folder / "asked").read_text().split())) if (folder / "asked").exists() else 0


def keys(folder: Path) -> set[str]:
    """Keys in the journal; SystemExit if one is there twice."""
    path = folder / "journal.jsonl"
    whole = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    found = [json.loads(line)["key"] for line in whole]
    if len(found) != len(set(found)):
        raise SystemExit("a completion was written twice")
    return set(found)


def main() -> int:
    """Print one line a kill; exit code 1 if the tables differ or more than a batch was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--work", type=Path, help="generate into this folder (what is killed)")
    given = parser.parse_args()
    if given.work:
        work(given.work)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        undisturbed, killed = Path(scratch) / "undisturbed", Path(scratch) / "killed"
        for folder in (undisturbed, killed):
            folder.mkdir()
        started = time.monotonic()
        work(undisturbed)
        print(
            f"undisturbed: {len(keys(undisturbed))} completions in {time.monotonic() - started:.0f} s",
            flush=True,
        )
        rows = pd.DataFrame(killed_run(killed, given.kills, given.seed))
        work(killed)
        same = (undisturbed / "table.csv").read_bytes() == (killed / "table.csv").read_bytes()
        whole = keys(killed) == keys(undisturbed)
        asked_in_all = asked(killed)
    print(
        f"{rows['killed'].sum()} kills, each lost at most {rows['lost'].max()} completions of a batch of "
        f"up to {BATCH}; "
        f"{asked_in_all} asked in all; same keys: {whole}; same table, byte for byte: {same}"
    )
    return int(not (same and whole and rows["lost"].max() <= BATCH))


if __name__ == "__main__":
    sys.exit(main())
