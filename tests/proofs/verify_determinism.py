"""Shown, not assumed: completions are equal, however they are batched, ordered, divided or interrupted (make
verify-determinism).

The bundled model is asked for one completion of each of many prompts at every temperature, in batches of 64,
and each other way of asking is compared with that. In float32 every difference is a failure. In bfloat16 and
float16 rounding depends on the batch, so there the share that stays equal is measured and printed.
"""

import argparse
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch

from lib.config import params, sections
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.models import registry
from lib.models.base import UNDIVIDED, Division
from lib.replies import outcomes

TEMPERATURES = (0.0, 0.5, 1.0, 1.5)


def generation(temperature: float, batch_size: int, dtype: str = "float32") -> sections.Generation:
    """The embedded set's completion mode, one sample a prompt, no mitigations."""
    values = params.cell_values(
        params.load("embedded"), "embedded", "02_generation", "smollm2-135m-completion"
    )
    values |= {
        "samples": 1,
        "mitigations": {},
        "mitigation_samples": 0,
        "temperature": temperature,
        "batch_size": batch_size,
    }
    return params.from_cell("02_generation", values | {"model": values["model"] | {"dtype": dtype}})


def ask(
    model, requested: pd.DataFrame, parameters: sections.Generation, division: Division = UNDIVIDED
) -> dict[str, str]:
    """The completion of each prompt, asked in the order of `requested`, `batch_size` at a time."""
    replies = []
    for start in range(0, len(requested), parameters.batch_size):
        batch = requested.iloc[start : start + parameters.batch_size]
        replies += model.reply(
            batch, parameters.temperature, parameters.max_new_tokens, parameters.seed, division=division
        )
    rows = zip(requested.itertuples(), replies, strict=True)
    return {row.prompt_id: outcomes.settle(reply, row.context, row.stem).completion for row, reply in rows}


def ask_in_a_worker(requested: pd.DataFrame, parameters: sections.Generation) -> dict[str, str]:
    """`ask` in a process of its own, which loads the model anew."""
    return ask(registry.load(parameters.model), requested, parameters)


def ask_in_two_threads(model, requested: pd.DataFrame, parameters: sections.Generation) -> dict[str, str]:
    """Each batch in two parts side by side."""
    return ask(model, requested, parameters, Division(workers=2, threads=1))


def ask_in_two_processes(requested: pd.DataFrame, parameters: sections.Generation) -> dict[str, str]:
    """Every other prompt to each of two processes."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        first, second = pool.map(
            ask_in_a_worker, [requested.iloc[::2], requested.iloc[1::2]], [parameters] * 2
        )
    return first | second


def ask_interrupted(model, requested: pd.DataFrame, parameters: sections.Generation) -> dict[str, str]:
    """A run that stopped after a third and went on from its journal."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.jsonl"
        runner.generate(requested.iloc[: len(requested) // 3], parameters, model, journal)
        paid = runner.generate(requested, parameters, model, journal)
    return dict(zip(paid["prompt_id"], paid["completion"], strict=True))


def compare(requested: pd.DataFrame, temperature: float) -> list[dict]:
    """One row for each way of asking in float32: how many completions equal those of batches of 64."""
    torch.set_num_threads(1)
    model = registry.load(generation(temperature, 64).model)
    base = ask(model, requested, generation(temperature, 64))
    ways = {
        "batches of 1": lambda: ask(model, requested, generation(temperature, 1)),
        "batches of 5": lambda: ask(model, requested, generation(temperature, 5)),
        "batches of 16": lambda: ask(model, requested, generation(temperature, 16)),
        "shuffled, batches of 16": lambda: ask(
            model, requested.sample(frac=1, random_state=7), generation(temperature, 16)
        ),
        "two threads": lambda: ask_in_two_threads(model, requested, generation(temperature, 64)),
        "two processes": lambda: ask_in_two_processes(requested, generation(temperature, 64)),
        "refilled, 24 rows": lambda: ask(model, requested, generation(temperature, 64), Division(rows=24)),
        "refilled, 5 rows": lambda: ask(model, requested, generation(temperature, 1000), Division(rows=5)),
        "interrupted": lambda: ask_interrupted(model, requested, generation(temperature, 64)),
    }
    return [_row("float32", temperature, way, found(), base) for way, found in ways.items()]


def drift(requested: pd.DataFrame, dtype: str) -> dict:
    """How many completions stay equal between batches of 64 and of 5 in a shorter number format."""
    model = registry.load(generation(1.0, 64, dtype).model)
    return _row(
        dtype,
        1.0,
        "batches of 5",
        ask(model, requested, generation(1.0, 5)),
        ask(model, requested, generation(1.0, 64)),
    )


def _row(dtype: str, temperature: float, way: str, found: dict[str, str], base: dict[str, str]) -> dict:
    equal = sum(found[prompt] == base[prompt] for prompt in base)
    row = {
        "dtype": dtype,
        "temperature": temperature,
        "beside batches of 64": way,
        "equal": equal,
        "of": len(base),
    }
    print(*row.values(), sep="  ", flush=True)
    return row


def main() -> int:
    """Print one line a comparison; exit code 1 if anything differs in float32."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stems", type=int, default=40, help="five prompts each")
    benchmark = curated_prompts.build(seed=1, stems=parser.parse_args().stems, contexts_per_stem=1)
    requested = runner.requests(benchmark, generation(0.0, 64), registry.load(generation(0.0, 64).model))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        rows = [
            row for found in pool.map(compare, [requested] * len(TEMPERATURES), TEMPERATURES) for row in found
        ]
    rows += [drift(requested, dtype) for dtype in ("bfloat16", "float16")]
    table = pd.DataFrame(rows)
    exact = table[table["dtype"] == "float32"]
    print(
        f"{table.to_string(index=False)}\nfloat32: {exact['equal'].sum()} of {exact['of'].sum()} "
        "completions equal"
    )
    return int((exact["equal"] < exact["of"]).any())


if __name__ == "__main__":
    sys.exit(main())
