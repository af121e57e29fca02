"""Executed notebooks as pages: what is folded, what is left out, what stops the build."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib.runtime.errors import DataError
from lib.site import pages


@pytest.fixture
def page(tmp_path):
    """A function that makes a page of cells."""

    def make(*cells, title="embedded, a-model"):
        path = tmp_path / "03_judging.a-model.ipynb"
        nbformat.write(new_notebook(cells=[new_markdown_cell("# 03 Judging\n\nWhy."), *cells]), path)
        return pages.page(path, title)

    return make


def shown(mime: str, content: str, **metadata):
    return new_output("display_data", data={mime: content}, metadata=metadata)


def test_the_title_names_the_run_and_the_way_to_the_method_follows(page):
    title, around, why = page().cells[0].source.split("\n\n")
    assert (title, why) == ("# 03 Judging (embedded, a-model)", "Why.")
    assert "(index.md)" in around and "(../../guide/measured.md)" in around and "words.md" in around


def test_a_notebook_is_listed_by_its_first_heading(page, tmp_path):
    page()
    assert pages.heading(tmp_path / "03_judging.a-model.ipynb") == "03 Judging"
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), tmp_path / "x.ipynb")
    assert pages.heading(tmp_path / "x.ipynb") == ""


def test_code_is_folded_and_has_no_number(page):
    output = new_output("execute_result", data={"text/plain": "1"}, execution_count=7)
    cell = page(new_code_cell("1", execution_count=7, outputs=[output])).cells[1]
    assert cell.metadata.tags == ["hide-input"]
    assert (cell.execution_count, cell.outputs[0].execution_count) == (None, None)


def test_defaults_go_and_what_was_injected_is_a_table(page):
    defaults = new_code_cell("seed: int = 9", metadata={"tags": ["parameters"]})
    injected = new_code_cell(
        '# Parameters\nset_name = "<b>x</b>"\nseed = 1\n', metadata={"tags": ["injected-parameters"]}
    )
    cells = page(defaults, injected).cells
    assert len(cells) == 2
    assert "seed</th><td><code>1</code>" in cells[1].source
    assert "&lt;b&gt;x&lt;/b&gt;" in cells[1].source and "<b>" not in cells[1].source


@pytest.mark.parametrize(
    "output",
    [
        new_output("stream", name="stderr", text="100 %"),
        shown("application/vnd.jupyter.widget-view+json", "{}"),
        shown("text/markdown", " "),
    ],
)
def test_outputs_that_show_nothing_are_left_out(page, output):
    assert page(new_code_cell("x", outputs=[output])).cells[1].outputs == []


def test_a_cell_that_failed_stops_the_build_and_is_named(page):
    error = new_output("error", ename="KeyError", evalue="'a'", traceback=[])
    with pytest.raises(DataError, match=r"03_judging\.a-model\.ipynb, cell broken: failed with KeyError"):
        page(new_code_cell("x", id="broken", outputs=[error]))


@pytest.mark.parametrize(
    "output",
    [
        shown("text/html", '<img src="data:image/png;base64,AAAA">'),
        shown("text/html", '<img alt=" " src="data:image/png;base64,AAAA">'),
        shown("image/png", "AAAA"),
    ],
)
def test_a_figure_without_words_stops_the_build(page, output):
    with pytest.raises(DataError, match="cell figure: a figure has no alternative text"):
        page(new_code_cell("x", id="figure", outputs=[output]))


def test_a_figure_with_words_passes(page):
    output = shown("text/html", '<img alt="Two estimates." src="data:image/png;base64,AAAA">')
    assert len(page(new_code_cell("x", outputs=[output])).cells[1].outputs) == 1


def test_a_page_without_a_heading_gets_one(tmp_path):
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), tmp_path / "own.ipynb")
    assert pages.page(tmp_path / "own.ipynb", "mine").cells[0].source.startswith("# mine\n\n[")
