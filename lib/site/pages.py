"""One executed notebook as a page of the site."""

import ast
import html
import json
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lib.runtime.errors import DataError
from lib.site import tables

_IMAGE = re.compile(r"<(?:img|svg)\b[^>]*>")
_WORDS = re.compile(r"""\b(?:alt|aria-label)=(["'])(.*?)\1""")
_METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
# what a reader who comes from elsewhere needs, below the title
_AROUND = (
    "[This run](index.md) · [How it is measured](../../guide/measured.md) · [Words](../../guide/words.md)"
)
DEFAULTS, INJECTED = "parameters", "injected-parameters"  # papermill's tags


def page(path: Path, title: str) -> NotebookNode:
    """Read an executed notebook as an article.

    Its code is folded, its parameters are a table, its tables are those of `tables.rewrite`. Outputs that
    show nothing, streams and widgets are left out.

    Args:
        path: The executed notebook.
        title: What its first heading ends with, so that pages of different runs differ.

    Raises:
        DataError: If a cell failed, or a figure has no alternative text; the message names page and cell.
    """
    book = nbformat.read(path, as_version=4)
    book.metadata = nbformat.from_dict(_METADATA)
    cells = []
    for cell in book.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and DEFAULTS not in tags:
            cell.outputs = [output for output in map(_output(path, cell), cell.outputs) if output]
            cells.append(_parameters(cell) if INJECTED in tags else _folded(cell))
        elif cell.cell_type == "markdown":
            cells.append(cell)
    book.cells = cells
    _add_title(book, title)
    return book


def name(path: Path) -> str:
    """The name of a page: its file's, with hyphens for what Sphinx would take for a suffix."""
    return path.stem.replace(".", "-")


def heading(path: Path) -> str:
    """The first heading of an executed notebook, or "" if it has none."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return next((text.partition("\n")[0][2:] for text in first if text.startswith("# ")), "")


def _folded(cell: NotebookNode) -> NotebookNode:
    cell.metadata = nbformat.from_dict({"tags": ["hide-input"]})
    cell.execution_count = None
    for output in cell.outputs:
        if output.output_type == "execute_result":
            output.execution_count = None
    return cell


def _add_title(book: NotebookNode, title: str) -> None:
    for cell in book.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("# "):
            first, _, rest = cell.source.partition("\n")
            cell.source = f"{first} ({title})\n\n{_AROUND}\n{rest}"
            return
    book.cells.insert(0, nbformat.v4.new_markdown_cell(f"# {title}\n\n{_AROUND}"))


def _parameters(cell: NotebookNode) -> NotebookNode:
    """The parameters that papermill injected, as a table that opens on demand."""
    rows = [
        (node.targets[0].id, ast.unparse(node.value))
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ]
    body = "".join(
        f"<tr><th scope='row'>{html.escape(key)}</th><td><code>{html.escape(value)}</code></td></tr>"
        for key, value in rows
    )
    table = f"<table class='parameters'><tbody>{body}</tbody></table>"
    source = f"<details class='parameters'><summary>Parameters of this run</summary>{table}</details>"
    return nbformat.v4.new_markdown_cell(source, id=cell.id)


def _output(path: Path, cell: NotebookNode):
    """A function that rewrites an output of a cell; it returns None for what a reader does not need."""
    place = f"{path}, cell {cell.id}"

    def rewrite(output: NotebookNode) -> NotebookNode | None:
        if output.output_type == "error":
            raise DataError(f"{place}: failed with {output.ename}: {output.evalue}; run its set again")
        data = output.get("data", {})
        if output.output_type == "stream" or "application/vnd.jupyter.widget-view+json" in data:
            return None
        if "image/png" in data or "image/svg+xml" in data:
            _demand(output.metadata.get("alt", ""), place)
        if "text/html" in data:
            _check_images(data["text/html"], place)
            data["text/html"] = tables.rewrite(data["text/html"])
        elif not data.get("text/markdown", "text").strip():
            return None
        return output

    return rewrite


def _check_images(text: str, place: str) -> None:
    for tag in _IMAGE.findall(text):
        match = _WORDS.search(tag)
        _demand(match[2] if match else "", place)


def _demand(alt: str, place: str) -> None:
    if not alt.strip():
        raise DataError(f"{place}: a figure has no alternative text; draw it with lib.report.figures.finish")
