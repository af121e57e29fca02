"""Generation of one model in parts (`shards` of a model): on several workers, nodes or accelerators.

A group of prompts belongs to one part, by a hash of its id, so its arms share their noise and their
beginnings there. Each part has journals of its own (`lib.storage.shards`); notebook 02 gathers them and
generates what a part has left. Completions are those of a run without parts, whatever the division.
"""

import hashlib

import pandas as pd

from lib.config.sections import Generation
from lib.config.specs import ParameterError
from lib.generation import next_token, prompt_checks, runner
from lib.models import registry
from lib.storage import records
from lib.storage.shards import journal_of


def of(requested: pd.DataFrame, number: int, count: int) -> pd.DataFrame:
    """The requests of one part.

    Args:
        requested: The requests, with a column group_id.
        number: The part, from 1.
        count: Number of parts.

    Raises:
        ParameterError: If there is no such part.
    """
    if not 1 <= number <= count:
        raise ParameterError(f"shard {number} of {count}: there is none; give a number from 1 to {count}")
    groups = requested["group_id"].drop_duplicates()
    turns = {
        group: int.from_bytes(hashlib.sha256(str(group).encode()).digest()[:8]) % count for group in groups
    }
    return requested[requested["group_id"].map(turns) == number - 1]


def generate(run: Generation, number: int, count: int) -> int:
    """Generate the completions of one part, with the next-token measures of the prompts that it reads.

    Args:
        run: The parameters of notebook 02.
        number: The part, from 1.
        count: Number of parts.

    Returns:
        Number of completions of the part.
    """
    prompts = records.read_table(run.set_name, "prompts")
    model = registry.load(run.model)
    requested = runner.requests(prompts, run, model)
    prompt_checks.check(requested, model, run.max_new_tokens)
    part = of(requested, number, count)
    completions, measures = (
        journal_of(records.run_folder(run.set_name) / kind / f"{run.model.name}.jsonl", number, count)
        for kind in ("completions", "next_token")
    )
    runner.generate(part, run, model, completions, next_token.recorder(prompts, model, measures))
    return len(part)
