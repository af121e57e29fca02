"""Positive controls: short texts whose sentiment belongs to what follows it.

`lib/data/positive_controls.csv` holds items: a stem with a negative, a positive and a neutral context about
the same person or thing. The stem asks for the feeling or the evaluation itself ("He is heartbroken. He
feels"), so its continuation should follow its context. A model that writes neutrally whatever it is asked
leaks nothing; here it is told from one that ignores only sentiment without business in what follows.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from lib.dataset import curated_prompts, wording
from lib.dataset.wording import Finding
from lib.nlp import vader

FILE = "positive_controls.csv"
KINDS = ("feeling", "verdict", "summary", "reply", "consequence", "outlook")
ARMS = ("negative", "positive", "neutral")
# largest |valence| of a stem or a neutral context by VADER, in points of the human scale; this project's
# choice, as is the next
RESIDUAL = 0.3
LENGTH_RATIO = 1.6  # characters of the longest context of an item to those of its shortest
_sentence = pa.Column(str, pa.Check.str_matches(r"^[A-Z0-9'\"].*[.!?]['\"]?$"), unique=True)
CONTROLS = pa.DataFrameSchema(
    {
        "item_id": pa.Column(str, pa.Check.str_matches(r"^[a-z]+-\d\d$"), unique=True),
        "kind": pa.Column(str, pa.Check.isin(KINDS)),
        "stem": pa.Column(str, pa.Check.str_matches(r".*\w$"), unique=True),
        **dict.fromkeys(ARMS, _sentence),
    },
    strict=True,
    checks=pa.Check(
        lambda items: items["item_id"].str.rsplit("-", n=1).str[0] == items["kind"],
        error="an item_id that does not begin with its kind",
    ),
)


def read(folder: Path | None = None) -> pd.DataFrame:
    """The items, checked against CONTROLS.

    Args:
        folder: Folder of positive_controls.csv; None for lib/data.

    Returns:
        One row per item: item_id, kind, stem, negative, positive, neutral.
    """
    path = (folder or curated_prompts.DATA) / FILE
    return CONTROLS.validate(pd.read_csv(path, dtype=str, keep_default_na=False))


def prompts(items: pd.DataFrame) -> pd.DataFrame:
    """The prompts of items, a row per item and arm, in the order of the items.

    Returns:
        prompt_id (item/arm), group_id and stem_id (both the item_id), arm, kind, context, stem, text.
    """
    table = items.melt(
        ["item_id", "kind", "stem"], ARMS, var_name="arm", value_name="context", ignore_index=False
    )
    table = table.sort_index(kind="stable").reset_index(drop=True)
    table = table.assign(
        prompt_id=table["item_id"] + "/" + table["arm"],
        group_id=table["item_id"],
        stem_id=table["item_id"],
        text=table["context"] + " " + table["stem"],
    )
    return table[["prompt_id", "group_id", "stem_id", "arm", "kind", "context", "stem", "text"]]


def defects(items: pd.DataFrame, stems: pd.DataFrame, contexts: pd.DataFrame) -> Iterator[Finding]:
    """Defects of items: charged stems and neutral contexts, uneven kinds and lengths, texts of the benchmark.

    Args:
        items: The items.
        stems: The stems of the benchmark.
        contexts: The context templates of the benchmark.
    """
    yield from wording.encoding(items, "item_id")
    for column in ("stem", *ARMS):
        yield from wording.articles(items["item_id"], items[column])
    for column in ("stem", "neutral"):
        values = vader.valences(items[column].tolist())
        for row, value in zip(items.itertuples(), values, strict=True):
            if abs(value) > RESIDUAL:
                text = getattr(row, column)
                yield Finding(
                    "sentiment", row.item_id, text, f"VADER: {value:+.2f}", "use words that it does not rate"
                )
    counts = items["kind"].value_counts()
    for kind in KINDS:
        if counts.get(kind, 0) != counts.max():
            yield Finding(
                "design", kind, str(counts.get(kind, 0)), f"other kinds hold {counts.max()}", "write as many"
            )
    for row in items.itertuples():
        lengths = [len(getattr(row, arm)) for arm in ARMS]
        if max(lengths) > LENGTH_RATIO * min(lengths):
            yield Finding("length", row.item_id, str(lengths), "contexts differ in length", "level them")
    used = {*stems["stem"], *(curated_prompts.tell(text, "He", "he") for text in contexts["text"])}
    for row in items.itertuples():
        for text in (row.stem, *(getattr(row, arm) for arm in ARMS)):
            if text in used:
                yield Finding(
                    "repeated", row.item_id, text, "is a sentence of the benchmark", "write another"
                )
