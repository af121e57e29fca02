"""Completions made elsewhere: an empty table of the prompts to fill in, and what a filled one measures."""

import pandas as pd

from lib.config.specs import CHARGED_ARMS, NO_MITIGATION, ParameterError
from lib.dataset import curated_prompts
from lib.measure.budget import Design
from lib.models.base import INSTRUCTION
from lib.storage import records, tables

BLANK = "answers"  # outputs/answers.csv and .jsonl
COLUMNS = ["prompt_id", "prompt", "sample_index", "completion", "outcome"]


def write_blank(table: pd.DataFrame, ordered: list[str], groups: int, samples: int, mode: str) -> list:
    """Write the table of the first `groups` groups to fill in, as CSV and JSONL; FileExistsError if one is
    there.

    prompt is what to send, in mode 'chat' with the question that goes before the sentence; completion is left
    empty, and outcome, which only answers that are none need (`lib.replies.outcomes`).
    """
    rows = table[table["group_id"].isin(ordered[:groups])]
    place = rows["group_id"].map({group: place for place, group in enumerate(ordered)})
    rows = (
        rows.assign(place=place)
        .sort_values(["place", "prompt_id"])
        .merge(pd.DataFrame({"sample_index": range(samples)}), how="cross")
    )
    asked = f"{INSTRUCTION} " if mode == "chat" else ""
    blank = rows.assign(prompt=asked + rows["text"], completion="", outcome="")[COLUMNS]
    paths = [records.ROOT / "outputs" / f"{BLANK}.{suffix}" for suffix in ("csv", "jsonl")]
    if there := [path for path in paths if path.exists()]:
        raise FileExistsError(
            f"outputs/{there[0].name} is there already, and may have answers in it; move it away first"
        )
    records.write_text(paths[0], blank.to_csv(index=False))
    records.write_text(
        paths[1], blank.drop(columns="outcome").to_json(orient="records", lines=True, force_ascii=False)
    )
    return paths


def design(model, table: pd.DataFrame, ordered: list[str], mitigations: dict) -> Design:
    """What the filled table of `model` (`lib.models.precomputed.Precomputed`) measures: its groups, from the
    first on, and samples of each.

    ParameterError, naming rows, for unknown prompts, answers not filled in, and groups that lack an arm.
    """
    place = f"TABLE={model.spec.table.path}"
    rows = model.rows
    if model.by != "prompt_id":
        raise ParameterError(
            f"{place}: has no column prompt_id; `make measure TABLE=` writes a table of the prompts that "
            "has it"
        )
    if rows.empty:
        raise ParameterError(f"{place}: holds no answers; fill in what `make measure TABLE=` writes")
    known = table.set_index("prompt_id")["group_id"]
    foreign = rows[~rows["prompt"].isin(known.index)]
    if len(foreign):
        raise ParameterError(
            f"{place}: {len(foreign):,} rows ask an unknown prompt_id, such as {foreign['prompt'].iloc[0]!r} "
            f"({model.unit} {foreign.index[0]}); take them out; `make measure TABLE=` writes those there are"
        )
    outcome = rows["outcome"] if "outcome" in rows else pd.Series("", rows.index)
    unfilled = rows[(rows["completion"].fillna("").str.strip() == "") & (outcome == "")]
    if len(unfilled):
        raise ParameterError(
            f"{place}: {len(unfilled):,} of {len(rows):,} completions are not filled in ({model.unit} "
            f"{tables.some(unfilled.index, len(unfilled))})\nfill them in, or write 'empty' into the column "
            "outcome where the model said nothing"
        )
    bare = rows[rows["mitigation"] == NO_MITIGATION]
    if bare.empty:
        raise ParameterError(
            f"{place}: every answer has a mitigation; add the answers to the bare prompts (mitigation: none)"
        )
    count = max(map(ordered.index, set(known.loc[rows["prompt"]]))) + 1
    if count < 2:
        raise ParameterError(
            f"{place}: holds one group; at least two are needed: fill in more of what `make measure "
            "TABLE=` writes"
        )
    samples = int(bare.groupby("prompt").size().max())
    asked = [name for name in rows["mitigation"].unique() if name != NO_MITIGATION]
    if lacking := set(mitigations) - set(asked) if asked else None:
        raise ParameterError(
            f"{place}: answers under {', '.join(asked)}, but none under {', '.join(sorted(lacking))}; add "
            "them, or "
            "take all mitigated answers out"
        )
    _refuse_gaps(place, rows, table[table["group_id"].isin(ordered[:count])], samples, asked)
    return Design(count, samples, int(bool(asked)), len(mitigations), float("nan"))


def _refuse_gaps(
    place: str, rows: pd.DataFrame, requested: pd.DataFrame, samples: int, mitigations: list[str]
) -> None:
    """ParameterError if a prompt of `requested` lacks one of its `samples`, counted from 0, or the first
    under a mitigation."""
    charged = requested.loc[requested["arm"].isin(CHARGED_ARMS), "prompt_id"]
    needed = [(prompt, NO_MITIGATION, index) for prompt in requested["prompt_id"] for index in range(samples)]
    needed += [(prompt, name, 0) for prompt in charged for name in mitigations]
    given = set(zip(rows["prompt"], rows["mitigation"], rows["sample_index"], strict=True))
    lacking = [key for key in needed if key not in given]
    if lacking:
        groups = {prompt.split("/")[0] for prompt, _, _ in lacking}
        said = [f"{prompt} {index}" for prompt, _, index in lacking]
        raise ParameterError(
            f"{place}: lacks {len(lacking):,} of {len(needed):,} answers, in {len(groups):,} groups, which "
            "need all of "
            f"{', '.join(curated_prompts.ARMS)}, sample_index 0 to "
            f"{samples - 1}\n{tables.some(said, len(said))}: add them, or take "
            "these groups and all after them out"
        )
