"""The file of a published prompt table: its columns under this project's names, as text.

Invalid content raises ParameterError with the file, the column and the rows.
"""

import re

import numpy as np
import pandas as pd

from lib.config import sections
from lib.config.specs import ParameterError, nearest
from lib.dataset import instructions
from lib.storage import tables

# name in this project -> names in published tables; `dataset.published_prompts.columns` can give others
COLUMNS = {
    "prompt": ("prompt", "test_prompt"),
    "concept": ("concept",),
    "control": ("control", "control_prompt"),
    "n_control": ("n_control",),
    "is_control": ("is_control_item",),
    "polarity": ("polarity",),
    "template": ("template_id",),
    "category": ("category",),
    "generation": ("generation_",),  # prefix of the columns of completions
    "control_generation": ("control_generation_",),  # the same for controls, in the shape of pairs
}
_BEGINNINGS = {"generation": "replies", "control_generation": "control_replies"}
_YES = {"true", "yes", "1", "y", "x", "control"}
_NO = {"false", "no", "0", "n", "", "-", "test", "none", "nan"}


def read(prior: sections.PublishedPrompts) -> tuple[pd.DataFrame, str]:
    """The file unchanged, indexed by its line or row numbers, and which of the two the index holds."""
    return tables.read(prior.path, _needed(prior), f"prior {prior.path}")


def _needed(prior: sections.PublishedPrompts) -> tables.Needed:
    """The columns that the file must have, under its names, without the columns of completions."""
    always = [
        (prior.columns[canonical],) if canonical in prior.columns else COLUMNS[canonical]
        for canonical in ("prompt", "concept")
    ]
    return [*always, *((name,) for canonical, name in prior.columns.items() if canonical not in _BEGINNINGS)]


def under_our_names(file: pd.DataFrame, unit: str, prior: sections.PublishedPrompts) -> pd.DataFrame:
    """The columns of a published file under the names of COLUMNS, as text.

    Args:
        file: The file, as `read` returns it.
        unit: What its index counts, as `read` returns it.
        prior: The file's path and the names of its columns.

    Returns:
        The columns of COLUMNS, None where a cell or a column is empty, and `row`, `replies`,
        `control_replies`. `no_text`: whether a completion of the row is a formula, an error or a date. If the
        file has a column of controls, `used`: whether a row is the control of another.

    Raises:
        ParameterError: If a column is missing or duplicated, a cell is no text, or an is_control is neither
            yes nor no.
    """
    cells = pd.DataFrame({"row": file.index}, dtype=object).assign(no_text=False)
    for canonical, source_names in COLUMNS.items():
        if canonical not in _BEGINNINGS:
            name = _column(canonical, source_names, list(file.columns), prior)
            if name is not None:
                not_text = [tables.is_no_text(cell) for cell in file[name]]
                example = str(next(iter(file[name][not_text]), ""))[:60]
                refuse(
                    cells["row"][not_text],
                    f"whose {canonical} is no text: {example}",
                    "write the text itself there",
                    unit,
                    prior,
                )
            cells[canonical] = (
                [None] * len(file) if name is None else [_one_line(tables.text(cell)) for cell in file[name]]
            )
        else:
            prefix = prior.columns[canonical] if canonical in prior.columns else source_names[0]
            numbered = [name for name in file.columns if re.fullmatch(re.escape(prefix) + r"\d+", name)]
            numbered.sort(key=lambda name: int(name.removeprefix(prefix)))
            replies = file[numbered].to_numpy(dtype=object)
            cells[_BEGINNINGS[canonical]] = [[tables.text(cell) or None for cell in row] for row in replies]
            cells["no_text"] |= np.array([any(map(tables.is_no_text, row)) for row in replies], dtype=bool)
    marks = cells["is_control"].map(lambda cell: str(cell).casefold().removesuffix(".0"))
    unknown = ~marks.isin(_YES | _NO)
    refuse(
        cells["row"][unknown],
        f"with an is_control that is neither yes nor no: {marks[unknown].tolist()[:3]}",
        "give true, false, or nothing",
        unit,
        prior,
    )
    cells["is_control"] = marks.isin(_YES)
    if cells["control"].notna().any():
        return cells.assign(used=are_among(cells["prompt"], cells["control"]))
    return cells.drop(columns=["control", "control_replies"])


def are_among(prompts: pd.Series, controls: pd.Series) -> pd.Series:
    """Whether each prompt has the same text as one of the controls, apart from instructions."""
    known = set(controls.dropna().map(instructions.compared))
    return prompts.map(lambda text: isinstance(text, str) and instructions.compared(text) in known).astype(
        bool
    )


def _column(
    ours: str, usual: tuple[str, ...], there: list[str], prior: sections.PublishedPrompts
) -> str | None:
    """The file's name of a column, or None; ParameterError if it is configured or required but missing."""
    names = (prior.columns[ours],) if ours in prior.columns else usual
    name = next((name for name in names if name in there), None)
    by_control = any(
        name in there for key in ("control", "n_control") for name in (*COLUMNS[key], prior.columns.get(key))
    )
    if name is None and (
        ours in prior.columns or ours in ("prompt", "concept") or (ours == "n_control" and not by_control)
    ):
        raise ParameterError(
            f"prior {prior.path}: no column {names[0]!r} for {ours}{nearest(names[0], there)}; name one in "
            "published_prompts.columns\nthe file's columns: "
            f"{', '.join(there[:20])}{' …' * (len(there) > 20)}"
        )
    if name is not None and there.count(name) > 1:
        raise ParameterError(f"prior {prior.path}: two columns are called {name!r}; rename one")
    return name


def _one_line(text: str | None) -> str | None:
    """The text with single spaces; None if it is empty."""
    return " ".join(text.split()) or None if text is not None else None


def refuse(rows: pd.Series, fault: str, remedy: str, unit: str, prior: sections.PublishedPrompts) -> None:
    """Raise ParameterError if there are any `rows`, with the fault, the first row numbers and the remedy."""
    if len(rows):
        units = unit + "s" * (len(rows) > 1)
        shown = tables.some(rows.tolist(), len(rows))
        raise ParameterError(f"prior {prior.path}: {len(rows):,} {units} {fault}\n{units} {shown}; {remedy}")
