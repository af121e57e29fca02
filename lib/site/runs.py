"""The runs that the site shows: which are complete, what they are called, which pages they have."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lib.config import params, specs
from lib.report import reports
from lib.runtime.errors import DataError
from lib.storage import records

BOARD, EXECUTED = "headline.csv", "executed"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        name: Its parameter set.
        title: What the set calls itself.
        models: Names of its models.
        pages: Its executed notebooks, in order; empty where they are not in the repository.
    """

    name: str
    title: str
    models: tuple[str, ...]
    pages: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """outputs/<set>."""
        return records.run_folder(self.name)

    def label(self, page: Path) -> str:
        """The notebook and the model of a page, such as "03b leakage, gemma-3-270m"."""
        notebook, _, model = page.stem.partition(".")
        return " ".join(notebook.split("_")) + (f", {model}" if model else "")


def read(set_name: str) -> Run:
    """Return the finished run of a set.

    A clone of the repository holds the board and the pages of a run without its tables, and counts as
    finished; so does a folder with tables only if they have a manifest.

    Raises:
        DataError: If there is no board, or if the run is not complete.
    """
    folder, remedy = records.run_folder(set_name), f"call make reproduce SET={set_name}"
    if not (folder / BOARD).exists():
        raise DataError(f"outputs/{set_name}: has no {BOARD}, so no run of this set was finished; {remedy}")
    if (folder / "judgements").exists() and not (folder / "manifest.json").exists():
        raise DataError(
            f"outputs/{set_name}: has tables but no manifest.json, so its run is not complete; {remedy}"
        )
    config = params.load(set_name)
    pages = sorted((folder / EXECUTED).glob("*.ipynb"))
    names = tuple(model.name for model in config.models)
    return Run(set_name, config.title, names, tuple(pages))


def finished() -> list[str]:
    """The sets that have a board, without toy sets, the reference set first."""
    names = [path.parent.name for path in sorted(records.run_folder("x").parent.glob(f"*/{BOARD}"))]
    real = [name for name in names if name in specs.set_names() and not params.load(name).is_mock]
    return sorted(real, key=lambda name: (name != "embedded", name))


def board(run: Run) -> pd.DataFrame:
    """The claims board of a run, as `lib.claims.board` describes it."""
    return reports.kept_board(run.name)
