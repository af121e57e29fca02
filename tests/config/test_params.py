"""Every parameter set against the schemas and against every notebook's parameters cell; every mistake is
explained."""

import ast

import nbformat
import papermill
import pytest
import yaml

from lib.config import params, sections, specs

SETS = specs.set_names()
NOTEBOOKS = list(sections.NOTEBOOKS)


def cell_defaults(notebook: str) -> dict:
    """The values of a notebook's own parameters cell."""
    book = nbformat.read(specs.ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4)
    (source,) = [cell.source for cell in book.cells if "parameters" in cell.metadata.get("tags", [])]
    return {node.target.id: ast.literal_eval(node.value) for node in ast.parse(source).body}


@pytest.mark.parametrize("name", ["embedded", "llama3", "pythia", "quick", "qwen2.5", "smoke", "smollm2"])
def test_the_set_is_there_and_valid(name):
    assert params.load(name).title


@pytest.mark.parametrize("set_name", SETS)
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_set_fits_every_parameters_cell(set_name, notebook):
    parameters = params.load(set_name)
    known = papermill.inspect_notebook(specs.ROOT / "notebooks" / f"{notebook}.ipynb")
    for model in parameters.models:
        given = params.cell_values(parameters, set_name, notebook, model.name)
        assert set(given) == set(known), "papermill only warns of a name that the cell does not have"
        assert all(
            known[key]["help"] for key in known if key not in ("model", "mitigations", "interventions")
        ), "each parameter has a line of help"
        assert params.from_cell(notebook, given) is not None


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_opened_by_hand_a_notebook_has_the_values_of_the_quick_set(notebook):
    quick = params.cell_values(params.load("quick"), "quick", notebook)
    assert params.from_cell(notebook, cell_defaults(notebook)) == params.from_cell(notebook, quick)
    assert cell_defaults(notebook).keys() == quick.keys()


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_values_survive_the_way_through_yaml(notebook):
    given = params.cell_values(params.load("embedded"), "embedded", notebook)
    assert yaml.safe_load(yaml.safe_dump(given)) == given


def broken(path: str, value) -> dict:
    """The smoke set with the value at a dotted path replaced, or removed where value is None."""
    values = yaml.safe_load((specs.ROOT / "params" / "smoke.yaml").read_text())
    *folders, last = path.split(".")
    place = values
    for folder in folders:
        place = place[int(folder)] if folder.isdigit() else place[folder]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return values


ASKED = {"name": "m", "id": "nobody/asked", "family": "f", "tuning": "instruct", "mode": "chat"}
BY_ARM = {"negative": 4, "positive": 4, "neutral": 2, "placebo": 1, "none": 1}
MISTAKES = [
    ("generation.sampels", 3, ["generation.sampels", "did you mean 'samples'"]),
    ("generation.is_mock", False, ["generation.is_mock", "does not belong here"]),
    ("generation.samples", "3", ["generation", "samples", "'3'", "valid integer"]),
    ("generation.samples", 0, ["samples", "greater than or equal to 1"]),
    ("generation.temperature", "1e-5", ["temperature", "1e-5", "valid number"]),
    ("generation.samples", True, ["generation.samples", "valid integer", "or a number by arm"]),
    (
        "generation.samples",
        BY_ARM | {"negativ": 4},
        ["generation.samples: 'negativ'", "did you mean 'negative'"],
    ),
    (
        "generation.samples",
        BY_ARM | {"placebo": -1},
        ["generation.samples: placebo: -1", "greater than or equal to 1"],
    ),
    ("generation.samples", BY_ARM | {"neutral": 0}, ["neutral: 0", "is a reference"]),
    ("generation.samples", BY_ARM | {"negative": 0, "positive": 0}, ["negative: 0", "are what is measured"]),
    ("generation.samples", BY_ARM | {"none": 1.5}, ["none: 1.5", "valid integer"]),
    (
        "generation.samples",
        BY_ARM | {"negative": 3},
        ["negative 3 and positive 4 differ", "give both the same number"],
    ),
    (
        "generation.samples",
        {"negative": 1, "positive": 1},
        ["no number for none, neutral, placebo", "add it"],
    ),
    ("generation.mitigation_samples", 9, ["mitigation_samples 9", "lower it"]),
    ("generation.mitigation_samples", -1, ["-1", "greater than or equal to 0"]),
    (
        "generation.mitigation_samples",
        {"placebo": 1},
        ["'placebo' is not among the arms neutral, negative, positive"],
    ),
    (
        "generation.mitigation_samples",
        {"neutral": 1, "negative": 0},
        ["charged arms have 0", "give 1 or more"],
    ),
    ("generation.mitigation_samples", {"negative": 1}, ["negative 1 and positive 0 differ"]),
    (
        "generation.mitigation_samples",
        {"negative": 9, "positive": 9},
        ["9 exceeds samples 2 of the negative arm", "lower it"],
    ),
    ("generation.seed", None, ["generation", "seed", "is missing"]),
    ("judging.judge", "vadar", ["judge", "'vadar'", "did you mean 'vader'"]),
    ("agreement.llm_sample_size", 12, ["agreement", "llm_sample_size", "greater than or equal to 40"]),
    ("agreement.llm_sample", 500, ["agreement.llm_sample", "did you mean 'llm_sample_size'"]),
    (
        "agreement.comparison_judges",
        ["vader"],
        ["agreement", "two judges share a name (vader, vader)", "take one out"],
    ),
    ("judging.judge", {"name": "mine", "kind": "classifer"}, ["judge.kind", "did you mean 'classifier'"]),
    (
        "agreement.comparison_judges",
        [{"name": "mine", "kind": "classifer"}],
        [
            "agreement.comparison_judges.0.kind: 'classifer' is not one of 'vader', 'learned', "
            "'classifier', 'llm'; did you mean 'classifier'"
        ],
    ),
    (
        "judging.judge",
        {"name": "mine"},
        ["judging.judge.kind: is missing; add it: one of 'vader', 'learned', 'classifier', 'llm'"],
    ),
    ("judging.judge", 3, ["judging.judge: 3: no such judge", "give vader or learned"]),
    (
        "agreement.comparison_judges",
        [{"name": "mine", "kind": "classifier", "id": "a/b", "labels": {"llm": "x"}}],
        ["agreement.comparison_judges.0.labels.llm: 'x'", "valid number"],
    ),
    (
        "judging.judge",
        {"name": "mine", "kind": "classifier", "id": "a/b"},
        ["judging.judge.labels: is missing; kind 'classifier' needs labels; add it"],
    ),
    ("judging.judge", {"name": "mine", "kind": "classifier", "id": "a/b"}, ["mine", "needs labels", "add"]),
    (
        "judging.judge",
        {"name": "mine", "kind": "classifier", "id": "a/b", "labels": {"x": 5.0}},
        ["labels.x", "5.0", "less than"],
    ),
    ("judging.judge", {"name": "mine", "kind": "llm"}, ["'llm' needs model"]),
    (
        "judging.judge",
        {"name": "mine", "kind": "vader", "id": "a/b"},
        ["'vader' takes no id", "set kind to 'classifier'"],
    ),
    (
        "judging.judge",
        {"name": "mine", "kind": "llm", "model": ASKED, "labels": {"x": 1.0}},
        ["'llm' takes no labels"],
    ),
    (
        "judging.judge",
        {"name": "mine", "kind": "llm", "model": ASKED | {"mode": "completion"}},
        ["cannot be asked", "'chat'"],
    ),
    (
        "judging.judge",
        {"name": "mine", "kind": "llm", "model": ASKED | {"moed": "chat"}},
        ["model.moed", "did you mean 'mode'"],
    ),
    (
        "judging.judge",
        {"name": "mine", "kind": "llm", "model": ASKED, "rubric": "valance"},
        ["'valance'", "did you mean 'valence'"],
    ),
    (
        "judging.judge",
        {"name": "mine", "kind": "llm", "model": ASKED | {"temperature": 1.0}},
        ["model.temperature", "own"],
    ),
    ("models.0.temperature", "hot", ["models.0.temperature", "'hot'"]),
    ("judging.confidence", 95, ["confidence", "95", "less than 1"]),
    ("mitigation.controls", ["contrl"], ["contrl", "did you mean 'control'"]),
    ("mitigation.controls", "control", ["mitigation.controls", "'control' is no list", "[control]"]),
    ("judging.draws", 50, ["judging.draws", "is now called n_resamples; rename it"]),
    ("toy", True, ["toy: is now called is_mock; rename it"]),
    ("models.0.begin_answer", True, ["models.0.begin_answer", "is now called assistant_prefill"]),
    ("models.0.reuse", 2, ["models.0.reuse", "unknown key"]),
    ("mitigation.control", "control", ["control: is now a list", "controls: [NAME]"]),
    ("mitigation.margin", 5.0, ["mitigation.margin", "5.0", "share of the leak", "0.25"]),
    ("scaling.margin", 5.0, ["scaling.margin", "5.0", "points of the human scale", "0.1"]),
    ("judging.shift_margin", 0.2, ["judging.shift_margin", "does not belong here"]),
    ("models.0.id", "mock:leek-50", ["models.0: id", "mock:leek-50", "did you mean 'mock:leak-50'"]),
    (
        "models.0.server",
        {"url": "http://me:secret@host/v1"},
        ["models.0.server.url", "user or password", "api_key_env"],
    ),
    ("models.0.server", {"url": "localhost:8000"}, ["models.0.server.url", "localhost:8000", "http"]),
    (
        "models.0.server",
        {"url": "http://x/v1", "timout": 3.0},
        ["models.0.server.timout", "did you mean 'timeout'"],
    ),
    (
        "models.0.table",
        {"path": "a.csv", "columns": {"promt": "text"}},
        ["models.0.table.columns.promt", "'prompt'"],
    ),
    ("models.0.dtype", "fp16x", ["models.0.dtype", "'fp16x'", "float16"]),
    ("models.0.moed", "chat", ["models.0.moed", "did you mean 'mode'"]),
    ("models.1.name", "mock-50", ["models", "share a name"]),
    ("models.0.name", "a/b", ["models.0.name", "'a/b'"]),
    ("mitigations.none", "Be nice.", ["none"]),
    ("mitigations.calm", [], ["mitigations.calm", "holds no text", "give a text, or a list"]),
    ("mitigations.calm", "  ", ["mitigations.calm", "wording 1 is empty", "give a text, or a list"]),
    (
        "mitigations.calm",
        ["Be calm.", ""],
        ["mitigations.calm", "wording 2 is empty", "give a text, or a list"],
    ),
    (
        "mitigations.calm",
        ["Be calm.", "Be  calm. "],
        ["mitigations.calm", "'Be calm.' stands there twice", "word one anew"],
    ),
    (
        "mitigations.control",
        ["Be brief.", "Write in a neutral and  factual tone, without any emotion."],
        [
            "mitigations: control and neutral-tone hold the same text, 'Write in a neutral and factual tone",
            "word one anew",
        ],
    ),
    (
        "mitigations.calm",
        ["Be calm.", 3],
        ["mitigations.calm", "wording 2, 3, is no text", "give a text, or a list"],
    ),
    ("mitigations.calm", 3, ["mitigations.calm", "3", "is no text", "give a text, or a list"]),
    ("mitigations.calm", {"a": "Be calm."}, ["mitigations.calm", "{'a': 'Be calm.'} is no text"]),
    ("judgin", {}, ["judgin", "did you mean 'judging'"]),
    ("scaling.min_sizes", 3, ["scaling", "min_sizes", "greater than or equal to 5"]),
    (
        "scaling",
        {"confidence": 0.95, "margin": 5.0, "minimum_sizes": 3},
        ["scaling.minimum_sizes", "is now min_sizes"],
    ),
]


@pytest.mark.parametrize(("path", "value", "told"), MISTAKES, ids=[mistake[0] for mistake in MISTAKES])
def test_a_mistake_is_named_with_place_value_and_remedy(tmp_path, monkeypatch, path, value, told):
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mine.yaml").write_text(yaml.safe_dump(broken(path, value)))
    monkeypatch.setattr(specs, "ROOT", tmp_path)
    with pytest.raises(specs.ParameterError) as caught:
        params.load("mine")
    message = str(caught.value)
    assert message.startswith("params/mine.yaml")
    assert len(message.splitlines()) <= 3
    for part in told:
        assert part in message


@pytest.mark.parametrize(
    "judge",
    [
        {"name": "mine", "kind": "llm", "model": ASKED, "temperature": 0.5},
        {"name": "mine", "kind": "classifier", "id": "a/b", "labels": {"bad": -2, "good": 2.5}},
    ],
)
def test_a_judge_survives_the_way_into_the_notebooks(judge):
    made = params.ParameterSet.model_validate(broken("judging.judge", judge))
    given = params.cell_values(made, "smoke", "03_judging")
    assert yaml.safe_load(yaml.safe_dump(given)) == given
    assert params.from_cell("03_judging", given).judge == specs.JUDGE_SCHEMA.validate_python(judge)


def test_a_set_that_does_not_exist_names_the_nearest():
    with pytest.raises(
        specs.ParameterError, match=r"params/embeded.yaml: no such parameter set; did you mean 'embedded'"
    ):
        params.load("embeded")


@pytest.mark.parametrize("text", ["models: [", "just words", ""])
def test_a_file_that_is_no_parameter_set_is_refused(tmp_path, monkeypatch, text):
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mine.yaml").write_text(text)
    monkeypatch.setattr(specs, "ROOT", tmp_path)
    with pytest.raises(specs.ParameterError, match=r"params/mine.yaml"):
        params.load("mine")


def test_a_wrong_value_in_a_parameters_cell_is_named():
    cell = cell_defaults("03_judging") | {"charged_threshold": "0.2"}
    with pytest.raises(
        specs.ParameterError, match=r"03_judging.ipynb, parameters cell: charged_threshold: '0.2'"
    ):
        params.from_cell("03_judging", cell)


def test_minutes_are_answered_as_no_longer_needed(monkeypatch, tmp_path):
    (tmp_path / "params").mkdir()
    values = yaml.safe_load((specs.ROOT / "params" / "smoke.yaml").read_text())
    (tmp_path / "params" / "mine.yaml").write_text(yaml.safe_dump(values | {"minutes": 25}))
    monkeypatch.setattr(specs, "ROOT", tmp_path)
    with pytest.raises(
        specs.ParameterError, match=r"params/mine.yaml: minutes: no longer needed, as times are measured"
    ):
        params.load("mine")
