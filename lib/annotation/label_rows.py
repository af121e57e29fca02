"""Labels that come from another tool, checked row by row: each says where it stands, so that what is wrong
can be found there."""

import math
from pathlib import Path

import pandas as pd

from lib.annotation import labelling
from lib.annotation.labelling import CHOICES, COLUMNS, LABELS
from lib.config.specs import nearest
from lib.storage import tables


def row(place: str, record: dict) -> dict:
    """A record of texts as labels, checked; ValueError names the `place` and what is wrong there."""
    given = {name: None if record.get(name) in (None, "") else record[name] for name in COLUMNS}
    intensity = tables.text(given["intensity"])
    if intensity is not None:
        given["intensity"] = next(
            (step for step in CHOICES["intensity"] if intensity in (str(step), f"{step}.0")), intensity
        )
    labelling.check_labels(given, place)
    for name in ("annotator", "item_id", "charge"):
        if given[name] is None:
            raise ValueError(f"{place}: {name} is empty; fill it in or take the row out")
    try:
        seconds = float(given["seconds"] or 0)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(
            f"{place}: seconds {given['seconds']!r} is not a number from 0 on, as 3.5 is; correct it there"
        )
    given["seconds"] = seconds
    return given | {"place": place, "complete": labelling.is_complete(given)}


def table(rows: list[dict], path: Path) -> pd.DataFrame:
    """Rows of `row` as `labelling.read_labels` gives them; one that is there again, just the same, counts
    once, which is told.

    ValueError names both places where one annotator gives an item different labels.
    """
    labels = pd.DataFrame(rows, columns=[*COLUMNS, "place"])
    key = ["annotator", "item_id"]
    again = labels.duplicated(key)
    first = labels[~again].set_index(key)
    for repeated in labels[again].itertuples():
        before = first.loc[(repeated.annotator, repeated.item_id)]
        if any(_differ(getattr(repeated, name), before[name]) for name in LABELS):
            raise ValueError(
                f"{repeated.place}: {repeated.annotator} has labelled {repeated.item_id} before, and "
                "otherwise, in "
                f"{before['place']}; keep one of them"
            )
    if again.any():
        print(
            f"{path.name}: labels given again, just the same: {again.sum():,}; each counts once", flush=True
        )
    return labelling.typed(labels[~again])


def _differ(one, other) -> bool:
    return one != other and not (pd.isna(one) and pd.isna(other))


def check_item(place: str, item_id: str, items: pd.DataFrame | None) -> None:
    """ValueError if the item is none of `items`; without `items` all is well."""
    if items is not None and not (items["item_id"] == item_id).any():
        raise ValueError(
            f"{place}: item_id {item_id!r} is not in items.jsonl{nearest(item_id, items['item_id'])}; it "
            "belongs to "
            "another set or plan: import it there"
        )
