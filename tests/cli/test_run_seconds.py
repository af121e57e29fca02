"""Where the time of a run goes: what papermill noted of the cells, kept apart from the page."""

import nbformat
import pytest

from lib.cli import run_seconds
from lib.runtime.errors import DataError
from lib.storage import cell_seconds, records


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """The folder of all outputs, empty."""
    monkeypatch.setattr(records, "run_folder", lambda name: tmp_path / name)
    return tmp_path


def page(*seconds: float):
    """An executed notebook whose cells took so long."""
    cells = [
        nbformat.v4.new_code_cell(
            f"import numpy as np\n# a note\nfrom a import (\n    b,\n)\nstep_{number}(\n    1\n)",
            id=f"c{number}",
            metadata={"papermill": {"duration": took}},
        )
        for number, took in enumerate(seconds)
    ]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title"), *cells])


def test_cells_and_the_start_of_the_kernel_add_up(outputs):
    cell_seconds.save("mine", "02_generation.a", page(1.5, 20.0), total=25.0)
    table = cell_seconds.read("mine").set_index("cell")
    assert table["seconds"].to_dict() == {"c0": 1.5, "c1": 20.0, "start": 3.5}
    assert table.loc["c1", "code"] == "step_1("


def test_the_report_names_pages_and_their_longest_steps(outputs):
    cell_seconds.save("mine", "02_generation.a", page(1.5, 20.0), total=25.0)
    cell_seconds.save("mine", "01_dataset", page(2.0), total=3.0)
    said = run_seconds.report("mine")
    assert "mine: 28 s of notebooks" in said
    pages, steps = said.split("longest steps")
    assert pages.index("02_generation.a") < pages.index("01_dataset")
    assert steps.index("20") < steps.index("step_0(")


def test_a_set_that_was_not_run_here_is_named_with_the_remedy(outputs):
    with pytest.raises(DataError, match="make reproduce SET=mine"):
        run_seconds.report("mine")
