"""The notebooks as sources, and executed with the smoke set."""

import ast
import itertools
import re
import shutil

import nbformat
import pandas as pd
import pytest
import yaml
from nbconvert import HTMLExporter

from lib.agreement import prediction_powered
from lib.annotation import labelling
from lib.config import params, sections
from tests.conftest import ROOT, call

NOTEBOOKS = list(sections.NOTEBOOKS)
MOST_CELLS, MOST_IMPORTS = 30, 7
# of sets that mine, name an earlier run, have labels of people, ask a language model, or change models
APART = (
    "01b_mining",
    "01c_power",
    "04d_labels",
    "04e_llm_judge",
    "06b_interventions",
    "06c_mitigation_compared",
)
PAGES = [
    name if name not in sections.PER_MODEL else f"{name}.mock-{leak}"
    for name in NOTEBOOKS
    for leak in (50, 30, 10)
    if name not in APART
]
PAGES = list(dict.fromkeys(PAGES))


def source(name: str):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def code_of(book) -> list[str]:
    return [cell.source for cell in book.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_sources_are_stripped_and_well_formed(name):
    book = source(name)
    nbformat.validate(book)
    assert book.cells[0].source.startswith(f"# {name.split('_')[0]} ")
    assert len(book.cells) <= MOST_CELLS
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in book.cells)
    assert [cell.metadata.get("tags") for cell in book.cells].count(["parameters"]) == 1
    assert len({cell.id for cell in book.cells}) == len(book.cells)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_cell_calls_and_a_module_computes(name):
    for text in code_of(source(name)):
        tree = ast.parse(text.rstrip().rstrip(";"))
        assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(tree)), text


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_prose_holds_no_result(name):
    prose = " ".join(cell.source for cell in source(name).cells if cell.cell_type == "markdown")
    assert not re.search(r"\d\s?%(?! means none| point| rated|;)", prose.replace("50 %", "")), (
        "numbers are computed, not typed"
    )


@pytest.mark.parametrize("page", PAGES)
def test_smoke_executes_every_notebook_and_stamps_every_page(smoke, page):
    book = nbformat.read(smoke / "executed" / f"{page}.ipynb", as_version=4)
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]
    assert "TOY: no conclusion" in str(outputs[0])
    assert all(
        cell.outputs or "records.write" in cell.source or ";" in cell.source or "import" not in cell.source
        for cell in book.cells
        if cell.cell_type == "code"
    )


@pytest.mark.parametrize("page", PAGES)
def test_pages_hold_no_machine_path_no_time_and_no_stderr(smoke, page):
    text = (smoke / "executed" / f"{page}.ipynb").read_text()
    assert str(smoke) not in text
    assert '"papermill"' not in text
    assert '"name": "stderr"' not in text


@pytest.mark.parametrize("page", PAGES)
def test_each_figure_has_words_and_a_computed_sentence_under_it(smoke, page):
    book = nbformat.read(smoke / "executed" / f"{page}.ipynb", as_version=4)
    kinds = [
        [kind for output in cell.get("outputs", []) for kind in output.get("data", {})] for cell in book.cells
    ]
    for place, cell in enumerate(book.cells):
        drawn = cell.cell_type == "code" and re.search(r"^(\w*figures|forest)\.", cell.source, re.MULTILINE)
        texts = [output.get("data", {}).get("text/html", "") for output in cell.get("outputs", [])]
        shown = [text for text in texts if text.startswith("<img")]
        assert len(shown) == bool(drawn), cell.source
        assert all(re.match(r'<img alt="[^"]{40,}"', text) for text in shown)
        assert not drawn or "text/markdown" in kinds[place + 1], f"no sentence under {cell.id}"
        assert "image/png" not in kinds[place]


def test_a_page_as_html_has_the_words_of_every_figure(smoke):
    source = smoke / "executed" / "05b_sizes.ipynb"
    page, _ = HTMLExporter().from_filename(str(source))
    assert page.count('<img alt="TOY ') == source.read_text().count('<img alt=\\"TOY ') > 0
    assert page.count('<img alt="Published semantic leak rates') == 1
    assert "No description has been provided" not in page


def test_tables_hold_what_the_design_says(smoke):
    prompts = pd.read_parquet(smoke / "prompts.parquet")
    completions = pd.read_parquet(smoke / "completions" / "mock-50.parquet")
    judgements = pd.read_parquet(smoke / "judgements" / "mock-50.parquet")
    assert len(prompts) == 24 * 5
    assert len(completions) == len(judgements) == 24 * (5 * 2 + 3 * 4 * 1)
    assert not completions.duplicated(["prompt_id", "mitigation", "sample_index"]).any()
    assert judgements["valence"].between(-4, 4).all()


def test_the_more_a_canned_model_leaks_the_more_is_measured(smoke):
    board = pd.read_csv(smoke / "headline.csv").set_index(["claim", "model"])
    assert board.loc[("C0", "mock-50"), "estimate"] > board.loc[("C0", "mock-10"), "estimate"]
    assert board.loc[("C0", "mock-50"), "verdict"] == "supported" and board["as_judged"].any()
    assert (board.loc["C2", "estimate"] < 0).all(), "the mock model poses as the larger the less it leaks"
    assert (board.loc["C3", "verdict"] != "contradicted").all(), "it takes no notice of mitigation prompts"
    assert (board.loc["C5", "verdict"] == "inconclusive").all()
    assert set(board.index.get_level_values("claim")) == {"C0", "C1", "C2", "C3", "C4", "C5"}


def test_the_board_of_a_toy_says_that_it_allows_no_conclusion(smoke):
    assert "no conclusion" in (smoke / "headline.md").read_text()


def test_what_a_set_can_see_is_told_by_an_earlier_run(smoke, copy, tmp_path):
    values = params.cell_values(params.load("smoke"), "smoke", "01c_power") | {"variance_source": "smoke"}
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    done = call(copy, "notebook", "01c_power", str(path), str(tmp_path / "01c_power.ipynb"))
    assert done.returncode == 0, done.stdout
    table = pd.read_parquet(smoke / "power.parquet")
    (smoke / "power.parquet").unlink()  # the run is not to differ from others
    assert set(table["model"]) == {"mock-50", "mock-30", "mock-10"} and (table["estimate"] > 0).all()


@pytest.fixture(scope="session")
def labelled(smoke, copy, tmp_path_factory):
    """A copy of the smoke run of which two people have labelled every drawn completion, and pages on it."""
    folder, pages = copy / "outputs" / "labelled", tmp_path_factory.mktemp("labelled")
    shutil.copytree(smoke, folder)
    items = labelling.read_items(folder / "annotation")
    rows = [
        dict.fromkeys(labelling.COLUMNS)
        | {"annotator": name, "item_id": item, "charge": charge, "intensity": 1, "called_for": "no"}
        for name, step in (("ann", 2), ("ben", 3))
        for item, charge in zip(items["item_id"], _in_turn("none", "negative", step), strict=False)
    ]
    table = pd.DataFrame(rows).assign(seconds=5.0, time="2026-01-01T00:00:00", complete=True)
    table.loc[table["charge"] == "none", ["intensity", "called_for"]] = None
    labelling.write_labels(folder / "annotation", labelling.typed(table))
    for name in ("04_human_agreement", "04d_labels", "04e_llm_judge"):
        values = params.cell_values(params.load("smoke"), "smoke", name) | {"set_name": "labelled"}
        (pages / "values.yaml").write_text(yaml.safe_dump(values))
        done = call(copy, "notebook", name, str(pages / "values.yaml"), str(pages / f"{name}.ipynb"))
        assert done.returncode == 0, done.stdout
    yield folder, pages
    shutil.rmtree(folder)


def _in_turn(common: str, rare: str, step: int):
    return (rare if number % step == 0 else common for number in itertools.count())


def shown_on(page) -> str:
    return str([cell.get("outputs") for cell in nbformat.read(page, as_version=4).cells])


def test_labels_of_people_have_a_page(labelled):
    folder, pages = labelled
    board = pd.read_parquet(folder / "claims" / "agreement.parquet")
    assert board["estimate"].notna().all(), "the second row of C1 rests on the labels"
    assert "by 2 people" in shown_on(pages / "04_human_agreement.ipynb")
    agreed = pd.read_parquet(folder / "people" / "agreement.parquet")
    assert {"annotators", "judge − annotators"} <= set(agreed["who"])
    quantities = pd.read_parquet(folder / "people" / "quantities.parquet")
    assert (quantities["labelled"] > 0).any() and set(quantities["source"]) == set(prediction_powered.SOURCES)
    page = shown_on(pages / "04d_labels.ipynb")
    assert "not been measured yet" not in page and "people and judge" in page and "TOY" in page


def test_without_labels_and_language_model_one_cell_says_what_is_not_measured(smoke, labelled):
    book = nbformat.read(smoke / "executed" / "04_human_agreement.ipynb", as_version=4)
    lacking = [cell.id for cell in book.cells if "not been measured yet" in str(cell.get("outputs"))]
    assert lacking == ["04-unmeasured"]
    (cell,) = [cell for cell in book.cells if cell.id == "04-unmeasured"]
    told = str(cell.outputs)
    assert all(text in told for text in ("04b_annotation.ipynb", "`agreement.ratings`", "comparison_judges"))
    assert not (smoke / "people" / "quantities.parquet").exists() and not (smoke / "llm_sample").exists()
    assert "No language model" in shown_on(labelled[1] / "04e_llm_judge.ipynb")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_cell_switches_itself_off(name):
    for text in code_of(source(name)):
        last = ast.parse(text.rstrip().rstrip(";")).body[-1]
        value = getattr(last, "value", None)
        assert not isinstance(value, ast.BoolOp | ast.IfExp), text


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_imports_are_few(name):
    imports = [text for text in code_of(source(name))[1].splitlines() if " import " in f" {text}"]
    assert len(imports) <= MOST_IMPORTS
