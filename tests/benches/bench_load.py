"""The rate of generation beside other busy programs, as part of that on the quiet machine (make bench-load).

A busy program is a process that multiplies matrices of 512 x 512 on one core without pause. Each repeat
measures all loads in an order of its own, plan included, as a run would. Exit code 1 if the median rate
beside one busy program is below half of that beside none.
"""

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from lib.dataset import curated_prompts
from lib.generation import runner
from lib.models import registry
from tests.benches.bench_generation import parameters_of

LOADS = (0, 1, 2)
LEAST = 0.5
BUSY = """
import os
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np
matrix = np.random.default_rng(0).random((512, 512), dtype=np.float32)
while True:
    matrix @ matrix
"""


@contextlib.contextmanager
def busy(programs: int):
    """Run so many busy programs meanwhile."""
    running = [
        subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) for _ in range(programs)
    ]
    try:
        time.sleep(2 * bool(programs))
        yield
    finally:
        for program in running:
            program.kill()
            program.wait()


def rate(model, requested: pd.DataFrame, parameters) -> float:
    """Completions a second of `generation.generate`, its calibration included."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        runner.generate(requested, parameters, model, Path(folder) / "journal.jsonl")
        return len(requested) / (time.perf_counter() - started)


def main() -> int:
    """Print the rates and their ratios to the quiet rate of the same repeat."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--mode", choices=["completion", "chat"], default="completion")
    parser.add_argument("--stems", type=int, default=24, help="five prompts each")
    given = parser.parse_args()
    parameters = parameters_of(given.mode, samples=5)
    model = registry.load(parameters.model)
    requested = runner.requests(
        curated_prompts.build(seed=1, stems=given.stems, contexts_per_stem=1), parameters, model
    )
    rate(model, requested.head(40), parameters)  # loads the weights
    rows = []
    for repeat in range(given.repeats):
        for programs in random.Random(repeat).sample(LOADS, len(LOADS)):
            with busy(programs):
                rows.append((repeat, programs, rate(model, requested, parameters)))
            print(f"repeat {repeat + 1}, beside {programs}: {rows[-1][2]:.2f} completions/s", flush=True)
    rates = pd.DataFrame(rows, columns=["repeat", "programs", "rate"]).pivot(
        index="repeat", columns="programs", values="rate"
    )
    shares = rates.div(rates[0], axis=0)
    of = ["median", "min", "max"]
    print(f"\n{len(requested)} completions, {given.mode} mode; completions/s\n{rates.agg(of).T.round(2)}")
    print(f"\nas part of the quiet rate of the same repeat\n{shares.agg(of).T.round(2)}")
    return int(shares[1].median() < LEAST)


if __name__ == "__main__":
    sys.exit(main())
