"""Check labels from another tool row by row.

Each row has its place in the source file, so that an error can be found there.
"""

import math
from pathlib import Path

import pandas as pd

from lib.annotation import labelling
from lib.annotation.labelling import CHOICES, COLUMNS, LABELS
from lib.config.specs import nearest
from lib.runtime.errors import DataError
from lib.storage import tables


def row(place: str, record: dict) -> dict:
    """Convert a record of texts to labels, and check it.

    Args:
        place: Place of the record in its file, for messages.
        record: Texts by name (COLUMNS).

    Returns:
        The labels, with COLUMNS and place.

    Raises:
        ValueError: If a value is invalid; the message names the place and the problem.
    """
    values = {name: None if record.get(name) in (None, "") else record[name] for name in COLUMNS}
    intensity = tables.text(values["intensity"])
    if intensity is not None:
        values["intensity"] = next(
            (step for step in CHOICES["intensity"] if intensity in (str(step), f"{step}.0")), intensity
        )
    labelling.check_labels(values, place)
    for name in ("annotator", "item_id", "charge"):
        if values[name] is None:
            raise DataError(f"{place}: {name} is empty; fill it in or take the row out")
    try:
        seconds = float(values["seconds"] or 0)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise DataError(
            f"{place}: seconds {values['seconds']!r} is not a number from 0 on, as 3.5 is; correct it there"
        )
    values["seconds"] = seconds
    return values | {"place": place, "complete": labelling.is_complete(values)}


def table(rows: list[dict], path: Path) -> pd.DataFrame:
    """Combine rows of `row` to a table in the form of `labelling.read_labels`.

    A label that is repeated unchanged counts once, and a printed message says so.

    Args:
        rows: Rows of `row`.
        path: File from which the rows were read, for messages.

    Raises:
        ValueError: If one annotator gives an item different labels; the message names both places.
    """
    labels = pd.DataFrame(rows, columns=[*COLUMNS, "place"])
    key = ["annotator", "item_id"]
    is_repeated = labels.duplicated(key)
    first = labels[~is_repeated].set_index(key)
    for repeated in labels[is_repeated].itertuples():
        earlier = first.loc[(repeated.annotator, repeated.item_id)]
        if any(_differ(getattr(repeated, name), earlier[name]) for name in LABELS):
            raise DataError(
                f"{repeated.place}: {repeated.annotator} has labelled {repeated.item_id} before, and "
                "otherwise, in "
                f"{earlier['place']}; keep one of them"
            )
    if is_repeated.any():
        print(
            f"{path.name}: labels given again, just the same: {is_repeated.sum():,}; each counts once",
            flush=True,
        )
    return labelling.typed(labels[~is_repeated])


def _differ(one, other) -> bool:
    return one != other and not (pd.isna(one) and pd.isna(other))


def check_item(place: str, item_id: str, items: pd.DataFrame | None) -> None:
    """Raise ValueError if the item is not one of `items`; without `items`, every item is valid."""
    if items is not None and not (items["item_id"] == item_id).any():
        raise DataError(
            f"{place}: item_id {item_id!r} is not in items.jsonl{nearest(item_id, items['item_id'])}; it "
            "belongs to "
            "another set or plan: import it there"
        )
