"""Verify executed pages: every row of the claims board that a page prints equals the board of the run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from bs4 import BeautifulSoup

from lib.report import reports
from lib.report.differences import Check, Difference, skipped
from lib.storage import records

_KEY = ("claim", "model", "measured: test")
_WHAT = "rows of the board that executed pages print, against headline.csv"
_OTHERS = "all other numbers of executed pages"


def checks(set_name: str, has_manifest: bool) -> list[Check]:
    """Compare the boards that the executed pages of a run print with the board of the run.

    Args:
        set_name: The parameter set.
        has_manifest: Whether the pages' hashes are known, which vouch for their other numbers.
    """
    folder = records.run_folder(set_name)
    pages = sorted(folder.glob("executed/*.ipynb"))
    if not pages:
        return [skipped(_WHAT, "its executed pages are not in the repository")]
    shown = reports.claims_board(reports.kept_board(set_name)).astype(str)
    board = {tuple(row[name] for name in _KEY): row for row in shown.to_dict("records")}
    count, differences = 0, []
    for page in pages:
        file = page.relative_to(folder.parents[1]).as_posix()
        for number, row in _rows(page):
            count += 1
            differences += _of_row(f"{file}", f"cell {number}", row, board, set_name)
    found = [Check(_WHAT, count, "rows", tuple(differences))]
    if not has_manifest:
        found.append(skipped(_OTHERS, "without a manifest their hashes are not known"))
    return found


def _rows(page: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row of a printed board with the number of its cell, which counts from 1."""
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells, start=1):
        for output in cell.get("outputs", []):
            html = "".join(output.get("data", {}).get("text/html", ""))
            if "dataframe" in html and _KEY[2] in html:
                for table in BeautifulSoup(html, "html.parser").select("table.dataframe"):
                    yield from ((number, row) for row in _table(table) if set(_KEY) <= set(row))


def _table(table) -> list[dict[str, str]]:
    names = [cell.get_text() for cell in table.select("thead tr")[0].find_all("th")]
    rows = ([cell.get_text() for cell in row.find_all(["th", "td"])] for row in table.select("tbody tr"))
    return [dict(zip(names, row, strict=False)) for row in rows]


def _of_row(file: str, cell: str, row: dict, board: dict, set_name: str) -> list[Difference]:
    remedy = f"restore the page, or make reproduce SET={set_name}"
    key = tuple(row[name] for name in _KEY)
    if key not in board:
        return [Difference(file, cell, "; ".join(key), "no such row in headline.csv", remedy)]
    return [
        Difference(file, f"{cell}, {key[0]}, {key[1]}, {name}", text, board[key][name], remedy)
        for name, text in row.items()
        if name in board[key] and text != board[key][name] and not pd.isna(board[key][name])
    ]
