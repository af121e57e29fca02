"""Completions made elsewhere: write an empty table of prompts, and read the design of a filled one."""

import pandas as pd

from lib.config.specs import CHARGED_ARMS, NO_MITIGATION, ParameterError
from lib.dataset import curated_prompts
from lib.measure.budget import Design
from lib.models.base import INSTRUCTION
from lib.storage import records, tables

BLANK = "answers"  # outputs/answers.csv and .jsonl
COLUMNS = ["prompt_id", "prompt", "sample_index", "completion", "outcome"]


def write_blank(table: pd.DataFrame, ordered: list[str], groups: int, samples: int, mode: str) -> list:
    """Write the table of the first `groups` groups to fill in, as CSV and JSONL.

    The column prompt is the text to send. The column completion is left empty, and so is outcome, which only
    missing answers need (`lib.replies.outcomes`; the JSONL file leaves it out).

    Args:
        table: Prompts (`answers.benchmark`).
        ordered: The group_ids, in the order in which they are asked.
        groups: Number of groups.
        samples: Rows per prompt.
        mode: 'chat' puts the instruction before the sentence.

    Returns:
        The paths of the two files.

    Raises:
        FileExistsError: If one of the files exists.
    """
    rows = table[table["group_id"].isin(ordered[:groups])]
    position = rows["group_id"].map({group: position for position, group in enumerate(ordered)})
    rows = (
        rows.assign(place=position)
        .sort_values(["place", "prompt_id"])
        .merge(pd.DataFrame({"sample_index": range(samples)}), how="cross")
    )
    instruction = f"{INSTRUCTION} " if mode == "chat" else ""
    blank = rows.assign(prompt=instruction + rows["text"], completion="", outcome="")[COLUMNS]
    paths = [records.ROOT / "outputs" / f"{BLANK}.{suffix}" for suffix in ("csv", "jsonl")]
    if existing := [path for path in paths if path.exists()]:
        raise FileExistsError(
            f"outputs/{existing[0].name} is there already, and may have answers in it; move it away first"
        )
    records.write_text(paths[0], blank.to_csv(index=False))
    records.write_text(
        paths[1], blank.drop(columns="outcome").to_json(orient="records", lines=True, force_ascii=False)
    )
    return paths


def design(model, table: pd.DataFrame, ordered: list[str], mitigations: dict) -> Design:
    """Return what a filled table measures: its groups, counted from the first, and samples of each prompt.

    Args:
        model: Backend of the table (`lib.models.precomputed.Precomputed`).
        table: Prompts (`answers.benchmark`).
        ordered: The group_ids, in the order in which they are asked.
        mitigations: Mitigations of the parameter set, by name.

    Raises:
        ParameterError: If prompts are unknown, answers are not filled in, or groups lack an arm; the message
            names the rows.
    """
    location, rows = f"TABLE={model.spec.table.path}", model.rows
    group_of_prompt = table.set_index("prompt_id")["group_id"]
    _refuse_unusable(location, model, group_of_prompt)
    model.check_sentences(table)
    _refuse_unfilled(location, model)
    unmitigated = rows[rows["mitigation"] == NO_MITIGATION]
    if unmitigated.empty:
        raise ParameterError(
            f"{location}: every answer has a mitigation; add the answers to the bare prompts "
            "(mitigation: none)"
        )
    count = max(map(ordered.index, set(group_of_prompt.loc[rows["prompt"]]))) + 1
    if count < 2:
        raise ParameterError(
            f"{location}: holds one group; at least two are needed: fill in more of what `make measure "
            "TABLE=` writes"
        )
    samples = int(unmitigated.groupby("prompt").size().max())
    mitigated = [name for name in rows["mitigation"].unique() if name != NO_MITIGATION]
    if missing := set(mitigations) - set(mitigated) if mitigated else None:
        raise ParameterError(
            f"{location}: answers under {', '.join(mitigated)}, but none under "
            f"{', '.join(sorted(missing))}; add them, or take all mitigated answers out"
        )
    _refuse_gaps(location, rows, table[table["group_id"].isin(ordered[:count])], samples, mitigated)
    return Design(count, samples, int(bool(mitigated)), len(mitigations), float("nan"))


def _refuse_unusable(location: str, model, group_of_prompt: pd.Series) -> None:
    """Refuse a table without prompt_id or answers, or with prompts that do not exist."""
    rows = model.rows
    if model.by != "prompt_id":
        raise ParameterError(
            f"{location}: has no column prompt_id; `make measure TABLE=` writes a table of the prompts that "
            "has it"
        )
    if rows.empty:
        raise ParameterError(f"{location}: holds no answers; fill in what `make measure TABLE=` writes")
    unknown = rows[~rows["prompt"].isin(group_of_prompt.index)]
    if len(unknown):
        raise ParameterError(
            f"{location}: {len(unknown):,} rows ask an unknown prompt_id, such as "
            f"{unknown['prompt'].iloc[0]!r} ({model.unit} {unknown.index[0]}); take them out; "
            "`make measure TABLE=` writes those there are"
        )


def _refuse_unfilled(location: str, model) -> None:
    """Refuse answers that are neither a text nor an outcome."""
    rows = model.rows
    outcome = rows["outcome"] if "outcome" in rows else pd.Series("", rows.index)
    unfilled = rows[(rows["completion"].fillna("").str.strip() == "") & (outcome == "")]
    if len(unfilled):
        raise ParameterError(
            f"{location}: {len(unfilled):,} of {len(rows):,} completions are not filled in ({model.unit} "
            f"{tables.some(unfilled.index, len(unfilled))})\nfill them in, or write 'empty' into the column "
            "outcome where the model said nothing"
        )


def _refuse_gaps(
    place: str, rows: pd.DataFrame, requested: pd.DataFrame, samples: int, mitigations: list[str]
) -> None:
    """Raise ParameterError if a prompt lacks one of `samples` (from 0), or the first under a mitigation."""
    charged = requested.loc[requested["arm"].isin(CHARGED_ARMS), "prompt_id"]
    needed = [(prompt, NO_MITIGATION, index) for prompt in requested["prompt_id"] for index in range(samples)]
    needed += [(prompt, name, 0) for prompt in charged for name in mitigations]
    present = set(zip(rows["prompt"], rows["mitigation"], rows["sample_index"], strict=True))
    missing = [key for key in needed if key not in present]
    if missing:
        groups = {prompt.split("/")[0] for prompt, _, _ in missing}
        details = [f"{prompt} {index}" for prompt, _, index in missing]
        raise ParameterError(
            f"{place}: lacks {len(missing):,} of {len(needed):,} answers, in {len(groups):,} groups, which "
            "need all of "
            f"{', '.join(curated_prompts.ARMS)}, sample_index 0 to "
            f"{samples - 1}\n{tables.some(details, len(details))}: add them, or take "
            "these groups and all after them out"
        )
