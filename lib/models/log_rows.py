"""The rows of a log: the columns that every tool's replies are brought into."""

from dataclasses import dataclass, field

import pandas as pd

from lib.config.specs import NO_MITIGATION
from lib.models.base import INSTRUCTION
from lib.runtime.errors import DataError
from lib.storage.headers import some

TASK = "expression_leakage"  # and its variants, as expression_leakage_chat
KEY = ["prompt_id", "mitigation", "sample_index"]
PROMPT = ("prompt_id", "arm", "context", "stem")  # of the prompt, as the exported tasks carry them
COLUMNS = [
    *KEY,
    "completion",  # the reply as the tool logged it
    "outcome",  # one of lib.replies.outcomes.OUTCOMES that only the tool can know; else empty
    "note",  # the reason for `outcome`
    "finish_reason",  # as the tool names it; empty where it logs none
    "task_outcome",  # the outcome by the scoring of the task; empty where it did not score the reply
    "arm",
    "context",
    "stem",
    "sent",  # the text that was sent, with what a chat template adds where the tool logs that
    "model",
    "temperature",  # NaN where the log does not state it
    "tool",  # its name and version
]


@dataclass(frozen=True)
class Log:
    """The replies of a log.

    Attributes:
        table: One row per reply, with COLUMNS, indexed by the number of its sample in the file, from 1 on.
        notes: What the log lacks or holds twice, with counts.
    """

    table: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def table(rows: list[dict], numbers: list[int]) -> pd.DataFrame:
    """A table with COLUMNS; rows may lack the mitigation, the outcome and what their tool never logs."""
    defaults = {
        "mitigation": NO_MITIGATION,
        "outcome": "",
        "note": "",
        "finish_reason": "",
        "task_outcome": "",
    }
    return pd.DataFrame([defaults | row for row in rows], numbers, columns=COLUMNS)


def refuse_other_task(prompts: list, what: str) -> None:
    """Check that each sample carries a prompt of our task.

    Args:
        prompts: The document or metadata of each sample.
        what: What these are called in the message, as 'doc'.

    Raises:
        DataError: If one lacks a field of PROMPT.
    """
    foreign = [
        number
        for number, prompt in enumerate(prompts, start=1)
        if not isinstance(prompt, dict) or not all(isinstance(prompt.get(name), str) for name in PROMPT)
    ]
    if foreign:
        raise DataError(
            f"{len(foreign):,} of {len(prompts):,} samples carry no {', '.join(PROMPT)} in their {what} "
            f"(samples {some(foreign, len(foreign))}): they are of another task; give the log of "
            f"{TASK}, which make export writes"
        )


def instruction_note(rows: list[dict]) -> list[str]:
    """A note if something else than our instruction was sent before the sentence; it stays in `sent`."""
    others = {
        before
        for row in rows
        if row["sent"].endswith(row["stem"])
        and (before := row["sent"].removesuffix(f"{row['context']} {row['stem']}".strip()).strip())
        not in ("", INSTRUCTION)
    }
    return [f"asked with another instruction than {INSTRUCTION!r}: {min(others)!r}"] if others else []


def missing_note(missing: int, expected: int, examples: list[str]) -> list[str]:
    """A note on samples that the run was to have and the log has not; no note if there are none."""
    if missing <= 0:
        return []
    named = f": {some(examples, missing)}" if examples else ""
    return [f"{missing:,} of {expected:,} samples are missing{named}; the run was stopped, or limited"]
