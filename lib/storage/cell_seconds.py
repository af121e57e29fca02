"""How long each cell of an executed notebook took, by what papermill noted before the page is tidied."""

from typing import TYPE_CHECKING

import pandas as pd

from lib.runtime.errors import DataError
from lib.storage import records

if TYPE_CHECKING:
    from nbformat import NotebookNode

START = "start"  # of the kernel, and what papermill does around the cells


def save(set_name: str, page: str, book: "NotebookNode", total: float) -> None:
    """Write outputs/<set>/seconds/<page>.csv: one row per cell that ran.

    Args:
        set_name: The parameter set.
        page: The page, without folder and suffix.
        book: The notebook as papermill executed it.
        total: Seconds of the whole job.
    """
    rows = [
        (cell.id, _first_line(cell), cell.metadata.papermill["duration"])
        for cell in book.cells
        if cell.cell_type == "code" and cell.metadata.get("papermill", {}).get("duration") is not None
    ]
    table = pd.DataFrame(rows, columns=["cell", "code", "seconds"])
    table.loc[len(table)] = [START, "", total - table["seconds"].sum()]
    records.write_text(
        records.run_folder(set_name) / "seconds" / f"{page}.csv", table.round(2).to_csv(index=False)
    )


def _first_line(cell: "NotebookNode") -> str:
    """The first line of a cell that does something: imports and comments are passed over."""
    lines = [line for line in cell.source.splitlines() if line[:1] not in " #)" and "import" not in line]
    return next(iter(line for line in lines if line), "")


def read(set_name: str) -> pd.DataFrame:
    """The cells of all pages of a run: page, cell, code and seconds.

    Raises:
        DataError: If no page of the set was executed here.
    """
    files = sorted((records.run_folder(set_name) / "seconds").glob("*.csv"))
    if not files:
        raise DataError(
            f"outputs/{set_name}/seconds: no page of this set was executed here; call make reproduce "
            f"SET={set_name} first"
        )
    return pd.concat([pd.read_csv(file, keep_default_na=False).assign(page=file.stem) for file in files])
