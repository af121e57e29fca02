"""Published prompt tables of semantic leakage (Gonen et al. 2025; Smilga 2025), read from a user's file.

A row is a test prompt that mentions a concept ("He likes yellow. He works as a"); its control does not ("He
works as a"). A table has one of two shapes:

- pairs: each row holds its control in the column `control`;
- one list: tests and controls are rows of one table, and `n_control` of a test is its control's row number,
  counted from 0 below the header, as in Smilga's published analysis.

Completions, if any, are in numbered columns with a common prefix (`generation_1`, `generation_2`, …).

In the terms of this project a pair is a group. The control is its `neutral` arm, because it is the reference,
although it is often a bare stem. The test is its `negative` or `positive` arm if the concept has a polarity
(column `polarity`; without that column, VADER's valence of the concept). Otherwise the test is its `concept`
arm: it has no direction in which sentiment could leak, so it enters no quantity of sentiment. Groups of one
template (of one control, if there is no such column) are clustered together as one stem. An instruction at
the beginning of prompts is removed, because it is no context. These choices are this project's own.
"""

import numpy as np
import pandas as pd
import pandera.pandas as pa

from lib.config import sections
from lib.dataset import instructions, published_columns
from lib.dataset.curated_prompts import PROMPTS
from lib.nlp import sentences, vader
from lib.storage import tables

ARMS = ("neutral", "concept", "negative", "positive")
# |valence| above which a concept has a polarity: VADER's own threshold of 0.05, on the human scale
CHARGED = 0.2
_NOTHING = {"", "none", "nan", "null"}
SCHEMA = pa.DataFrameSchema(
    {**{name: pa.Column(str) for name in PROMPTS.columns}, "arm": pa.Column(str, pa.Check.isin(ARMS))},
    strict=True,
    unique=["prompt_id"],
    checks=pa.Check(
        lambda table: (
            table.groupby("group_id")["arm"].agg(lambda arms: len(arms) == 2 and "neutral" in set(arms)).all()
        ),
        error="a group is not a control and a test",
    ),
)


def read(prior: sections.PublishedPrompts) -> tuple[pd.DataFrame, dict[str, list]]:
    """The pairs of a published table, and its defects.

    An instruction is removed (lib.dataset.instructions) and listed among the defects. A test without a
    control is left out and also listed.

    Args:
        prior: The file and the names of its columns.

    Returns:
        The pairs, with columns row (as counted in the file), concept, arm, stem_id, domain, prompt, control,
        replies, control_replies (lists of text, None where a cell is empty). The defects: description -> the
        lines or rows concerned.

    Raises:
        ParameterError: If a row cannot be interpreted (no prompt, no concept, an invalid n_control); the
            message names the rows.
    """
    file, unit = published_columns.read(prior)
    cells = published_columns.under_our_names(file, unit, prior)
    defects: dict[str, list] = {}
    pairs = cells if "control" in cells else _with_controls(cells, unit, prior)
    has_control = pairs["control"].notna()
    # if no row is marked, the controls are the rows that a test uses
    is_control = pairs["is_control"] | (pairs["used"] & ~pairs["is_control"].any())
    defects["tests without a control, left out"] = pairs["row"][~has_control & ~is_control].tolist()
    defects["controls that no test uses"] = pairs["row"][
        ~has_control & pairs["is_control"] & ~pairs["used"]
    ].tolist()
    pairs = pairs[has_control].reset_index(drop=True)
    for name in ("prompt", "concept"):
        published_columns.refuse(
            pairs["row"][pairs[name].isna()],
            f"without a {name}",
            "supply it or take the row out",
            unit,
            prior,
        )
    pairs, taken_off = instructions.without(pairs)
    pairs["arm"] = _arms(pairs, unit, prior)
    pairs["stem_id"] = pairs["control"].where(
        pairs["template"].isna(), "template " + pairs["template"].astype(str)
    )
    pairs["domain"] = pairs["category"].fillna("published")
    wanted = ["row", "concept", "arm", "stem_id", "domain", "prompt", "control", "replies", "control_replies"]
    return pairs[wanted], defects | taken_off | _defects(pairs)


def build(prior: sections.PublishedPrompts) -> pd.DataFrame:
    """The prompts of a published table with the columns of PROMPTS: two rows per group, arms as in ARMS."""
    pairs, _ = read(prior)
    test = pairs.assign(text=pairs["prompt"], context_id=pairs["concept"])
    control = pairs.assign(text=pairs["control"], context_id="", arm="neutral")
    table = pd.concat([control, test], ignore_index=True).sort_values("row", kind="stable", ignore_index=True)
    table["group_id"] = "row " + table["row"].astype(str)
    table["prompt_id"] = table["group_id"] + "/" + table["arm"]
    table[["context", "stem"]] = [split(text) for text in table["text"]]
    labels = {"form": "published", "kind": "", "literal_senses": ""}
    labels |= dict.fromkeys(["slot", "pronoun", "emotion", "intensity"], "unknown")
    return SCHEMA.validate(table.assign(**labels)[list(PROMPTS.columns)])


def completions(prior: sections.PublishedPrompts) -> pd.DataFrame:
    """The completions in a published table, in the format that lib/models/precomputed.py reads.

    Returns:
        One row per completion: prompt_id, sample_index, completion.
    """
    pairs, _ = read(prior)
    rows = [
        (f"row {pair.row}/{arm}", index, text)
        for pair in pairs.itertuples()
        for arm, replies in (("neutral", pair.control_replies), (pair.arm, pair.replies))
        for index, text in enumerate(replies)
        if text is not None
    ]
    return pd.DataFrame(rows, columns=["prompt_id", "sample_index", "completion"])


def samples(completions: pd.DataFrame) -> int:
    """The number of completions that every prompt of `completions` has: the most that a set may request."""
    return int(completions.groupby("prompt_id").size().min()) if len(completions) else 0


def split(prompt: str) -> tuple[str, str]:
    """Split a prompt into all sentences but the last (the context) and the last one (the stem)."""
    before, rest = [], prompt
    while (first := sentences.first_sentence(rest)) != rest:
        before.append(first)
        rest = rest[len(first) :].strip()
    return " ".join(before), rest


def report(defects: dict[str, list]) -> pd.DataFrame:
    """The defects as a table for display: defect, count, where (the first rows)."""
    rows = [
        (name, len(row_numbers), tables.some(row_numbers, len(row_numbers)))
        for name, row_numbers in defects.items()
        if row_numbers
    ]
    return pd.DataFrame(rows, columns=["defect", "count", "where"])


def _with_controls(cells: pd.DataFrame, unit: str, prior: sections.PublishedPrompts) -> pd.DataFrame:
    """Look up the control of each row in one list.

    Adds control, control_replies, used (whether any row has this one as its control) and unmarked (whether
    its control is not marked as such); no_text also covers the control.
    """
    values = cells["n_control"].map(lambda cell: None if str(cell).casefold() in _NOTHING else cell)
    is_whole = values.isna() | values.astype(str).str.fullmatch(r"\d+(\.0*)?")
    last = len(cells) - 1
    remedy = f"a control's place is counted from 0 (the first row below the header) to {last}"
    published_columns.refuse(
        cells["row"][~is_whole],
        f"with an n_control that is no whole number: {values[~is_whole].tolist()[:3]}",
        remedy,
        unit,
        prior,
    )
    index = values.astype(float)
    index = index.mask(index == cells.index)  # controls may name themselves, but no row is its own control
    beyond = index > last
    published_columns.refuse(
        cells["row"][beyond],
        f"with an n_control beyond the table: {values[beyond].tolist()[:3]}",
        remedy,
        unit,
        prior,
    )
    control_rows = [None if np.isnan(number) else int(number) for number in index]
    no_prompt = pd.Series(
        [number is not None and pd.isna(cells["prompt"].iloc[number]) for number in control_rows]
    )
    published_columns.refuse(
        cells["row"][no_prompt], "whose control has no prompt", "supply it or take the row out", unit, prior
    )
    return cells.assign(
        control=[None if number is None else cells["prompt"].iloc[number] for number in control_rows],
        no_text=[
            bool(cells["no_text"].iloc[[row, *([] if number is None else [number])]].any())
            for row, number in enumerate(control_rows)
        ],
        control_replies=[[] if number is None else cells["replies"].iloc[number] for number in control_rows],
        used=published_columns.are_among(
            cells["prompt"], cells["prompt"].iloc[[number for number in control_rows if number is not None]]
        ),
        unmarked=[
            number is not None and cells["is_control"].any() and not cells["is_control"].iloc[number]
            for number in control_rows
        ],
    )


def _arms(pairs: pd.DataFrame, unit: str, prior: sections.PublishedPrompts) -> list[str]:
    """The arm of each test, from its polarity or from its concept's valence."""
    polarity = pairs["polarity"].fillna("").str.casefold()
    unknown = ~polarity.isin([*_NOTHING, "negative", "positive"])
    published_columns.refuse(
        pairs["row"][unknown],
        f"with an unknown polarity: {polarity[unknown].tolist()[:3]}",
        "give negative, positive, or nothing",
        unit,
        prior,
    )
    if pairs["polarity"].notna().any():
        return polarity.where(polarity.isin(["negative", "positive"]), "concept").tolist()
    valence = vader.valences(pairs["concept"].tolist())
    return np.select([valence < -CHARGED, valence > CHARGED], ["negative", "positive"], "concept").tolist()


def _defects(pairs: pd.DataFrame) -> dict[str, list]:
    """Defects of pairs that are counted but kept."""
    counts = [
        [sum(text is not None for text in replies) for replies in pairs[name]]
        for name in ("replies", "control_replies")
    ]
    fullest = max((*counts[0], *counts[1]), default=0)
    uneven = [test != control for test, control in zip(*counts, strict=True)]
    fewer = [min(both) < fullest for both in zip(*counts, strict=True)]
    stems_differ = [split(row.prompt)[1] != split(row.control)[1] for row in pairs.itertuples()]
    repeats = [
        row.row
        for row in pairs.itertuples()
        for text in row.replies
        if text and instructions.mentions(text, row.concept)
    ]
    masks = {
        "tests that repeat another's prompt and concept": pairs.duplicated(["prompt", "concept"]),
        "pairs whose last sentences differ": stems_differ,
        "pairs with completions that are no text (a formula, an error, a date), left out": pairs["no_text"],
        "controls that are not marked as such": pairs.get("unmarked", [False] * len(pairs)),
        "pairs whose test and control differ in number of completions": uneven,
        f"pairs with fewer than {fullest} completions of test or control": fewer,
    }
    defects = {name: pairs["row"][np.asarray(mask, dtype=bool)].tolist() for name, mask in masks.items()}
    return defects | {"completions of a test that repeat its concept": repeats}
