"""The file of a published prompt table: its columns under our names, as text.

What is not as it should be raises ParameterError with the file, the column and the rows.
"""

import re

import numpy as np
import pandas as pd

from lib.config import sections
from lib.config.specs import ParameterError, nearest
from lib.dataset import instructions
from lib.storage import tables

# our name of a column -> what published tables call it; `dataset.published_prompts.columns` can name others
COLUMNS = {
    "prompt": ("prompt", "test_prompt"),
    "concept": ("concept",),
    "control": ("control", "control_prompt"),
    "n_control": ("n_control",),
    "is_control": ("is_control_item",),
    "polarity": ("polarity",),
    "template": ("template_id",),
    "category": ("category",),
    "generation": ("generation_",),  # how the columns of completions begin
    "control_generation": ("control_generation_",),  # of the control, in the shape of pairs
}
_BEGINNINGS = {"generation": "replies", "control_generation": "control_replies"}
_YES = {"true", "yes", "1", "y", "x", "control"}
_NO = {"false", "no", "0", "n", "", "-", "test", "none", "nan"}


def read(prior: sections.PublishedPrompts) -> tuple[pd.DataFrame, str]:
    """The file as it is, indexed by line or row as people count them, and which of the two that is."""
    return tables.read(prior.path, _needed(prior), f"prior {prior.path}")


def _needed(prior: sections.PublishedPrompts) -> tables.Needed:
    """The columns that the file must have, under its names; how columns of completions begin is no name."""
    usual = [
        (prior.columns[ours],) if ours in prior.columns else COLUMNS[ours] for ours in ("prompt", "concept")
    ]
    return [*usual, *((name,) for ours, name in prior.columns.items() if ours not in _BEGINNINGS)]


def under_our_names(file: pd.DataFrame, unit: str, prior: sections.PublishedPrompts) -> pd.DataFrame:
    """The columns of COLUMNS as text, None where a cell or a column is empty, and `row`, `replies`,
    `control_replies`.

    `no_text`: whether a completion of the row is a formula, an error, or a date. Where controls stand beside
    their tests, `used`: whether a row is the control of another.
    """
    cells = pd.DataFrame({"row": file.index}, dtype=object).assign(no_text=False)
    for ours, usual in COLUMNS.items():
        if ours not in _BEGINNINGS:
            name = _column(ours, usual, list(file.columns), prior)
            if name is not None:
                wrong = [tables.is_no_text(cell) for cell in file[name]]
                shown = str(next(iter(file[name][wrong]), ""))[:60]
                refuse(
                    cells["row"][wrong],
                    f"whose {ours} is no text: {shown}",
                    "write the text itself there",
                    unit,
                    prior,
                )
            cells[ours] = (
                [None] * len(file) if name is None else [_one_line(tables.text(cell)) for cell in file[name]]
            )
        else:
            begins = prior.columns.get(ours, usual[0])
            numbered = [name for name in file.columns if re.fullmatch(re.escape(begins) + r"\d+", name)]
            numbered.sort(key=lambda name, begins=begins: int(name.removeprefix(begins)))
            replies = file[numbered].to_numpy(dtype=object)
            cells[_BEGINNINGS[ours]] = [[tables.text(cell) or None for cell in row] for row in replies]
            cells["no_text"] |= np.array([any(map(tables.is_no_text, row)) for row in replies], dtype=bool)
    marks = cells["is_control"].map(lambda cell: str(cell).casefold().removesuffix(".0"))
    strange = ~marks.isin(_YES | _NO)
    refuse(
        cells["row"][strange],
        f"with an is_control that is neither yes nor no: {marks[strange].tolist()[:3]}",
        "give true, false, or nothing",
        unit,
        prior,
    )
    cells["is_control"] = marks.isin(_YES)
    if cells["control"].notna().any():
        return cells.assign(used=are_among(cells["prompt"], cells["control"]))
    return cells.drop(columns=["control", "control_replies"])


def are_among(prompts: pd.Series, controls: pd.Series) -> pd.Series:
    """Whether each prompt reads like one of the controls, instructions aside."""
    known = set(controls.dropna().map(instructions.compared))
    return prompts.map(lambda text: isinstance(text, str) and instructions.compared(text) in known).astype(
        bool
    )


def _column(
    ours: str, usual: tuple[str, ...], there: list[str], prior: sections.PublishedPrompts
) -> str | None:
    """The file's name of a column; None if it is not there. ParameterError if one is asked for, or needed,
    and not there."""
    asked = (prior.columns[ours],) if ours in prior.columns else usual
    name = next((name for name in asked if name in there), None)
    by_control = any(
        name in there for key in ("control", "n_control") for name in (*COLUMNS[key], prior.columns.get(key))
    )
    if name is None and (
        ours in prior.columns or ours in ("prompt", "concept") or (ours == "n_control" and not by_control)
    ):
        raise ParameterError(
            f"prior {prior.path}: no column {asked[0]!r} for {ours}{nearest(asked[0], there)}; name one in "
            "published_prompts.columns\nthe file's columns: "
            f"{', '.join(there[:20])}{' …' * (len(there) > 20)}"
        )
    if name is not None and there.count(name) > 1:
        raise ParameterError(f"prior {prior.path}: two columns are called {name!r}; rename one")
    return name


def _one_line(text: str | None) -> str | None:
    """`text` with single spaces; None where nothing is left."""
    return " ".join(text.split()) or None if text is not None else None


def refuse(rows: pd.Series, fault: str, remedy: str, unit: str, prior: sections.PublishedPrompts) -> None:
    """ParameterError with the fault, the first of the `rows` (as people count them in the file), and the
    remedy, if any."""
    if len(rows):
        units = unit + "s" * (len(rows) > 1)
        shown = tables.some(rows.tolist(), len(rows))
        raise ParameterError(f"prior {prior.path}: {len(rows):,} {units} {fault}\n{units} {shown}; {remedy}")
