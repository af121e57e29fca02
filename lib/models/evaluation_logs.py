"""Logs of evaluation tools, read as completions: lm-evaluation-harness and Inspect, with our exported tasks.

- `samples_*.jsonl` of lm-evaluation-harness, written with --log_samples (lib.models.harness_samples)
- `.eval` and `.json` logs of Inspect (lib.models.inspect_samples)

A log becomes a table with COLUMNS, one row per reply, whose columns prompt_id to note are those of
lib.models.precomputed; the reply is kept as it was written. What a log lacks or holds twice is counted in
its notes.
"""

import json
from collections import Counter
from pathlib import Path

import pandas as pd

from lib.models import harness_samples, inspect_samples
from lib.models.log_rows import COLUMNS, KEY, Log
from lib.replies import outcomes
from lib.runtime.errors import DataError
from lib.storage import tables

__all__ = ["COLUMNS", "Log", "is_log", "read", "refuse_other_sentences"]
_SHOWN = 3  # examples in a message


def is_log(path: Path) -> bool:
    """Whether a file is to be read as a log: by its suffix and, if it is text, by its first line."""
    suffix = path.suffix.lower()
    if suffix not in (".json", ".jsonl"):
        return suffix == ".eval"
    with path.open(encoding="utf-8", errors="replace") as file:
        line = next((line for line in file if line.strip()), "")
    if suffix == ".json":
        return line.lstrip().startswith("{")
    try:
        first = json.loads(line)
    except ValueError:
        return False
    return isinstance(first, dict) and first.keys() >= harness_samples.FIELDS


def read(path: Path) -> Log:
    """Read a log.

    Returns:
        Its replies, ordered by prompt as in the file, and notes on what it lacks.

    Raises:
        DataError: If it cannot be read, is of another task, or holds two different replies for one sample.
    """
    reader = harness_samples if path.suffix.lower() == ".jsonl" else inspect_samples
    log = reader.read(path)
    if log.table.empty:
        raise DataError("it holds no samples; run the task without stopping it, and log samples")
    table, repeated = _each_once(log.table)
    notes = [
        *log.notes,
        *([f"{repeated:,} samples are there twice and alike; each counts once"] * bool(repeated)),
    ]
    return Log(table, [*notes, *_outcome_notes(table)])


def joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The tables of several logs of one model as one.

    Raises:
        DataError: If they are of several models, or hold two different replies for one sample.
    """
    models = {str(part["model"].iloc[0]) for part in parts}
    if len(models) > 1:
        raise DataError(
            f"the logs are of {len(models)} models: {', '.join(sorted(models))}; import those of one "
            "model at a time"
        )
    return _each_once(pd.concat(parts))[0]


def _each_once(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """`table` without rows that repeat a sample with the same reply, and how many those are.

    Raises:
        DataError: If a sample has two different replies.
    """
    once = table.drop_duplicates([*KEY, "completion", "outcome"])
    twice = once[once.duplicated(KEY)]
    if len(twice):
        examples = tables.some(
            [f"{row.prompt_id} sample_index {row.sample_index}" for row in twice.head(_SHOWN).itertuples()],
            len(twice),
        )
        raise DataError(
            f"there are two different replies for {len(twice):,} samples: {examples}; give the log of a "
            "single run"
        )
    return once, len(table) - len(once)


def _outcome_notes(table: pd.DataFrame) -> list[str]:
    """Notes on replies that are known to be no answer, by the tool or by the scoring of the task."""
    known = Counter(outcome for outcome in table["outcome"] if outcome)
    scored = Counter(outcome for outcome in table["task_outcome"] if outcome not in ("", outcomes.ANSWERED))
    notes = []
    for counts, source in ((known, "the tool"), (scored, "the task's scoring")):
        if counts:
            words = ", ".join(f"{counts[name]:,} {name}" for name in outcomes.OUTCOMES if counts[name])
            notes.append(f"by {source}, of {len(table):,} replies: {words}")
    return notes


def refuse_other_sentences(table: pd.DataFrame, benchmark: pd.DataFrame) -> None:
    """Check that a log asked the sentences of a benchmark, prompt by prompt.

    Args:
        table: The table of a log.
        benchmark: Prompts: prompt_id, context, stem.

    Raises:
        DataError: If a prompt has other sentences than the benchmark under its prompt_id.
    """
    prompts = table.drop_duplicates("prompt_id")
    columns = ["prompt_id", "context", "stem"]
    both = prompts[columns].merge(
        benchmark[columns].drop_duplicates("prompt_id"), on="prompt_id", suffixes=("", "_here")
    )
    other = both[(both["context"] != both["context_here"]) | (both["stem"] != both["stem_here"])]
    if len(other):
        first = other.iloc[0]
        then, now = (
            f"{first[context]} {first[stem]}".strip()
            for context, stem in (("context", "stem"), ("context_here", "stem_here"))
        )
        raise DataError(
            f"{len(other):,} of {len(prompts):,} prompts have other sentences here: {first.prompt_id} was "
            f"{then!r} and is {now!r}; the log is of another version of the benchmark: export the tasks "
            "again (make export) and run them"
        )
