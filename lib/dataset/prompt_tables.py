"""Published prompt tables of semantic leakage (Gonen et al. 2025; Smilga 2025), read from a file that the
user has.

A row is a test prompt that mentions a concept ("He likes yellow. He works as a"); its control does not ("He
works as a"). A table has one of two shapes:

- pairs: each row has its control beside it, in the column `control`;
- one list: tests and controls are rows of one table, and `n_control` of a test is its control's place,
  counted from 0 below the header, as Smilga's published analysis takes it.

Completions, where there are any, stand in columns numbered behind a common beginning (`generation_1`,
`generation_2`, …).

In our words a pair is a group. The control is its `neutral` arm, for it is the reference, though often a bare
stem. The test is its `negative` or `positive` arm if the concept has a polarity (column `polarity`; without
one VADER's valence of the concept), and otherwise its `concept` arm: it has no direction in which sentiment
could leak, so it enters no quantity of sentiment. Groups of one template (without such a column, of one
control) are clustered together as one stem. An instruction in front of prompts is taken off: it is no
context. These choices are ours.
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
# |valence| of a concept beyond which it has a polarity: VADER's own 0.05, stretched to the human scale
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
    """The pairs of a published table, and its defects: what is wrong -> the lines or rows it concerns.

    Columns of the pairs: row (as people count it in the file), concept, arm, stem_id, domain, prompt,
    control, replies, control_replies (lists of text, None where a cell is empty). A test without control is
    left out and counted among the defects; an instruction is taken off (lib.dataset.instructions) and named
    there; what cannot be told (no prompt, no concept, a place that is none) raises ParameterError with its
    rows.
    """
    file, unit = published_columns.read(prior)
    cells = published_columns.under_our_names(file, unit, prior)
    defects: dict[str, list] = {}
    pairs = cells if "control" in cells else _with_controls(cells, unit, prior)
    has_control = pairs["control"].notna()
    # unmarked, it is one if a test uses it
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
    """The prompts of a published table with the columns of PROMPTS: two rows a group, arms as in ARMS."""
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
    """The completions that a published table holds, as lib/models/precomputed.py reads them: prompt_id,
    sample_index, completion."""
    pairs, _ = read(prior)
    rows = [
        (f"row {pair.row}/{arm}", index, text)
        for pair in pairs.itertuples()
        for arm, replies in (("neutral", pair.control_replies), (pair.arm, pair.replies))
        for index, text in enumerate(replies)
        if text is not None
    ]
    return pd.DataFrame(rows, columns=["prompt_id", "sample_index", "completion"])


def samples(made: pd.DataFrame) -> int:
    """How many completions every prompt of `completions` has: the most that a set may ask for."""
    return int(made.groupby("prompt_id").size().min()) if len(made) else 0


def split(prompt: str) -> tuple[str, str]:
    """The sentences before the last one, and the last one: what counts as context and as stem."""
    before, rest = [], prompt
    while (first := sentences.first_sentence(rest)) != rest:
        before.append(first)
        rest = rest[len(first) :].strip()
    return " ".join(before), rest


def report(defects: dict[str, list]) -> pd.DataFrame:
    """The defects as people read them: defect, count, where (the first rows)."""
    rows = [
        (name, len(places), tables.some(places, len(places))) for name, places in defects.items() if places
    ]
    return pd.DataFrame(rows, columns=["defect", "count", "where"])


def _with_controls(cells: pd.DataFrame, unit: str, prior: sections.PublishedPrompts) -> pd.DataFrame:
    """`cells` of one list with control and control_replies, looked up by place; `used`: is the row a control
    of any."""
    given = cells["n_control"].map(lambda cell: None if str(cell).casefold() in _NOTHING else cell)
    whole = given.isna() | given.astype(str).str.fullmatch(r"\d+(\.0*)?")
    last = len(cells) - 1
    remedy = f"a control's place is counted from 0 (the first row below the header) to {last}"
    published_columns.refuse(
        cells["row"][~whole],
        f"with an n_control that is no whole number: {given[~whole].tolist()[:3]}",
        remedy,
        unit,
        prior,
    )
    place = given.astype(float)
    place = place.mask(place == cells.index)  # as controls name themselves: a row is no control of its own
    beyond = place > last
    published_columns.refuse(
        cells["row"][beyond],
        f"with an n_control beyond the table: {given[beyond].tolist()[:3]}",
        remedy,
        unit,
        prior,
    )
    of = [None if np.isnan(number) else int(number) for number in place]
    lost = pd.Series([number is not None and pd.isna(cells["prompt"].iloc[number]) for number in of])
    published_columns.refuse(
        cells["row"][lost], "whose control has no prompt", "supply it or take the row out", unit, prior
    )
    return cells.assign(
        control=[None if number is None else cells["prompt"].iloc[number] for number in of],
        no_text=[
            bool(cells["no_text"].iloc[[row, *([] if number is None else [number])]].any())
            for row, number in enumerate(of)
        ],
        control_replies=[[] if number is None else cells["replies"].iloc[number] for number in of],
        used=published_columns.are_among(
            cells["prompt"], cells["prompt"].iloc[[number for number in of if number is not None]]
        ),
        unmarked=[
            number is not None and cells["is_control"].any() and not cells["is_control"].iloc[number]
            for number in of
        ],
    )


def _arms(pairs: pd.DataFrame, unit: str, prior: sections.PublishedPrompts) -> list[str]:
    """The arm of each test, from its polarity or from its concept's valence."""
    polarity = pairs["polarity"].fillna("").str.casefold()
    strange = ~polarity.isin([*_NOTHING, "negative", "positive"])
    published_columns.refuse(
        pairs["row"][strange],
        f"with an unknown polarity: {polarity[strange].tolist()[:3]}",
        "give negative, positive, or nothing",
        unit,
        prior,
    )
    if pairs["polarity"].notna().any():
        return polarity.where(polarity.isin(["negative", "positive"]), "concept").tolist()
    valence = vader.valences(pairs["concept"].tolist())
    return np.select([valence < -CHARGED, valence > CHARGED], ["negative", "positive"], "concept").tolist()


def _defects(pairs: pd.DataFrame) -> dict[str, list]:
    """What is counted and kept."""
    counts = [
        [sum(text is not None for text in replies) for replies in pairs[name]]
        for name in ("replies", "control_replies")
    ]
    fullest = max((*counts[0], *counts[1]), default=0)
    uneven = [test != control for test, control in zip(*counts, strict=True)]
    fewer = [min(both) < fullest for both in zip(*counts, strict=True)]
    stems = [split(row.prompt)[1] != split(row.control)[1] for row in pairs.itertuples()]
    repeats = [
        row.row
        for row in pairs.itertuples()
        for text in row.replies
        if text and instructions.mentions(text, row.concept)
    ]
    wrong = {
        "tests that repeat another's prompt and concept": pairs.duplicated(["prompt", "concept"]),
        "pairs whose last sentences differ": stems,
        "pairs with completions that are no text (a formula, an error, a date), left out": pairs["no_text"],
        "controls that are not marked as such": pairs.get("unmarked", [False] * len(pairs)),
        "pairs whose test and control differ in number of completions": uneven,
        f"pairs with fewer than {fullest} completions of test or control": fewer,
    }
    found = {name: pairs["row"][np.asarray(mask, dtype=bool)].tolist() for name, mask in wrong.items()}
    return found | {"completions of a test that repeat its concept": repeats}
