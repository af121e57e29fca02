"""Completions made elsewhere: an empty table of the prompts to fill in, and what a filled one measures."""

import pandas as pd

from lib import prompts, records, tables
from lib.generation import MITIGATED_ARMS
from lib.measure.budget import Design
from lib.models import INSTRUCTION
from lib.specs import NO_MITIGATION, ParameterError

BLANK = "answers"  # outputs/answers.csv and .jsonl
COLUMNS = ["prompt_id", "prompt", "sample_index", "completion", "outcome"]


def write_blank(table: pd.DataFrame, ordered: list[str], groups: int, samples: int, mode: str) -> list:
    """Write the table of the first `groups` groups to fill in, as CSV and JSONL; FileExistsError if one is there.

    prompt is what to send, in mode 'chat' with the question that goes before the sentence; completion is left empty, and outcome,
    which only answers that are none need (`lib.outcomes`).
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
        raise FileExistsError(f"outputs/{there[0].name} is there already, and may have answers in it; move it away first")
    records.write_text(paths[0], blank.to_csv(index=False))
    records.write_text(paths[1], blank.drop(columns="outcome").to_json(orient="records", lines=True, force_ascii=False))
    return paths


def design(model, table: pd.DataFrame, ordered: list[str], mitigations: dict[str, str]) -> Design:
    """What the filled table of `model` (`lib.imported.Imported`) measures: its groups, from the first on, and samples of each.

    ParameterError, naming rows, for unknown prompts, answers not filled in, and groups that lack an arm.
    """
    place = f"TABLE={model.spec.table.path}"
    rows = model.rows
    if model.by != "prompt_id":
        raise ParameterError(f"{place}: has no column prompt_id; `make measure TABLE=` writes a table of the prompts that has it")
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
    groups = set(known.loc[rows["prompt"]])
    count = max(map(ordered.index, groups)) + 1
    samples = int(rows[rows["mitigation"] == NO_MITIGATION].groupby("prompt").size().max())
    asked = [name for name in rows["mitigation"].unique() if name != NO_MITIGATION]
    if lacking := set(mitigations) - set(asked) if asked else None:
        raise ParameterError(
            f"{place}: answers under {', '.join(asked)}, but none under {', '.join(sorted(lacking))}; add them, or "
            "take all mitigated answers out"
        )
    _refuse_gaps(place, rows, table[table["group_id"].isin(ordered[:count])], samples, asked)
    return Design(count, samples, int(bool(asked)), len(mitigations), float("nan"))


def _refuse_gaps(place: str, rows: pd.DataFrame, owed: pd.DataFrame, samples: int, mitigations: list[str]) -> None:
    """ParameterError if a prompt of the groups `owed` has fewer answers than `samples`, or none under a mitigation."""
    charged = owed.loc[owed["arm"].isin(MITIGATED_ARMS), "prompt_id"]
    needed = {(prompt, NO_MITIGATION): samples for prompt in owed["prompt_id"]}
    needed |= {(prompt, name): 1 for prompt in charged for name in mitigations}
    counts = rows.groupby(["prompt", "mitigation"]).size()
    lacking = [prompt for (prompt, name), count in needed.items() if counts.get((prompt, name), 0) < count]
    if lacking:
        groups = {prompt.split("/")[0] for prompt in lacking}
        raise ParameterError(
            f"{place}: lacks {len(lacking):,} of {len(needed):,} prompts, in {len(groups):,} groups, which need "
            f"all of {', '.join(prompts.ARMS)}\n{tables.some(lacking, len(lacking))}: add them, or take these groups "
            "and all after them out"
        )
