"""Published prompt tables: both shapes are read alike, defects are counted or refused by row, completions
find their prompts."""

import pandas as pd
import pytest
import yaml

from lib.config import params, sections, specs
from lib.config.specs import ParameterError
from lib.dataset import curated_prompts, prompt_tables
from lib.generation import runner
from lib.models import registry
from lib.storage import tables
from tests.conftest import call, generation
from tests.models.test_precomputed import write

# one list, with the published columns; line 2 is place 0
LIST = pd.DataFrame(
    [
        ("a", "He works as a", None, "none", True, 1, "clerk.", "cook."),
        (
            "a",
            "He likes yellow. He works as a",
            "0",
            "yellow",
            False,
            1,
            "school bus driver.",
            "yellow cab driver.",
        ),
        ("a", "He likes misery. He works as a", "0.0", "misery", False, 1, "mourner.", "clerk."),
        ("b", "Her dog was called", "none", "none", True, 2, "Rex.", "Max."),
        ("b", "Her room was happy. Her dog was called", "3", "happy", False, 2, "Joy.", "Sunny."),
    ],
    columns=[
        "template_id",
        "prompt",
        "n_control",
        "concept",
        "is_control_item",
        "category",
        "generation_1",
        "generation_2",
    ],
)
PAIRS = pd.DataFrame(
    {
        "Thing": ["yellow", "misery", "happy"],
        "test_prompt": LIST["prompt"].iloc[[1, 2, 4]].tolist(),
        "control_prompt": ["He works as a", "He works as a", "Her dog was called"],
    }
)


def prior(path, **columns) -> sections.PublishedPrompts:
    return sections.PublishedPrompts(path=str(path), columns=columns)


def read(table: pd.DataFrame, tmp_path, **columns) -> tuple[pd.DataFrame, dict[str, list]]:
    write(table, tmp_path / "published.xlsx")
    return prompt_tables.read(prior(tmp_path / "published.xlsx", **columns))


def changed(row: int, **cells) -> pd.DataFrame:
    """LIST with other cells in one row."""
    table = LIST.copy().astype(object)
    for name, value in cells.items():
        table.loc[row, name] = value
    return table


def found(defects: dict[str, list]) -> dict[str, list]:
    return {name: places for name, places in defects.items() if places}


def test_each_test_is_put_beside_its_control(tmp_path):
    pairs, defects = read(LIST, tmp_path)
    assert pairs["row"].tolist() == [3, 4, 6]
    assert pairs["control"].tolist() == ["He works as a", "He works as a", "Her dog was called"]
    assert pairs["control_replies"].tolist() == [["clerk.", "cook."], ["clerk.", "cook."], ["Rex.", "Max."]]
    assert pairs["arm"].tolist() == ["concept", "negative", "positive"]
    assert pairs["stem_id"].tolist() == ["template a", "template a", "template b"]
    assert pairs["domain"].tolist() == ["1", "1", "2"]
    assert found(defects) == {"completions of a test that repeat its concept": [3]}


@pytest.mark.parametrize("suffix", tables.READERS)
def test_every_format_reads_the_same(tmp_path, suffix):
    text = (
        LIST.astype(object)
        .where(LIST.notna(), None)
        .assign(is_control_item=LIST["is_control_item"].astype(str))
    )
    if suffix == ".tsv":
        text.to_csv(tmp_path / "published.tsv", sep="\t", index=False)
    else:
        write(text.assign(category=text["category"].astype(str)), tmp_path / f"published{suffix}")
    pairs, _ = prompt_tables.read(prior(tmp_path / f"published{suffix}"))
    expected, _ = read(LIST, tmp_path)
    pd.testing.assert_frame_equal(pairs.drop(columns="row"), expected.drop(columns="row"), check_dtype=False)


def test_pairs_side_by_side_are_read_like_one_list(tmp_path):
    pairs, defects = read(PAIRS, tmp_path, concept="Thing")
    listed, _ = read(LIST, tmp_path)
    same = ["concept", "arm", "prompt", "control"]
    pd.testing.assert_frame_equal(pairs[same], listed[same])
    assert pairs["stem_id"].tolist() == pairs["control"].tolist(), (
        "without templates a control makes the cluster"
    )
    assert found(defects) == {}


def test_a_stated_polarity_goes_before_the_judge(tmp_path):
    pairs, _ = read(PAIRS.assign(polarity=["positive", "", "Negative"]), tmp_path, concept="Thing")
    assert pairs["arm"].tolist() == ["positive", "concept", "negative"]


@pytest.mark.parametrize(
    ("table", "defect", "rows"),
    [
        (changed(2, n_control="none"), "tests without a control, left out", [4]),
        (changed(4, n_control="0"), "controls that no test uses", [5]),
        (changed(4, n_control="0"), "pairs whose last sentences differ", [6]),
        (changed(2, n_control="1"), "controls that are not marked as such", [4]),
        (
            changed(2, prompt=LIST["prompt"][1], concept="yellow"),
            "tests that repeat another's prompt and concept",
            [4],
        ),
        (changed(4, generation_2=None), "pairs whose test and control differ in number of completions", [6]),
        (changed(4, generation_2=None), "pairs with fewer than 2 completions of test or control", [6]),
        (
            changed(2, generation_1="Misery's friend."),
            "completions of a test that repeat its concept",
            [3, 4],
        ),
    ],
)
def test_a_defect_is_counted_by_row(tmp_path, table, defect, rows):
    pairs, defects = read(table, tmp_path)
    assert defects[defect] == rows
    assert len(pairs) == 2 if "left out" in defect else 3
    shown = prompt_tables.report(defects).set_index("defect")
    assert shown.loc[defect, "count"] == len(rows)


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        (
            changed(2, n_control="99"),
            {},
            r"1 row with an n_control beyond the table: \['99'\]\nrow 4; .* 0 .* to 4",
        ),
        (changed(2, n_control="-1"), {}, r"no whole number: \['-1'\]\nrow 4;"),
        (changed(2, n_control="first"), {}, r"no whole number: \['first'\]\nrow 4;"),
        (changed(2, prompt=None), {}, r"without a prompt\nrow 4;"),
        (changed(4, concept=" "), {}, r"without a concept\nrow 6;"),
        (changed(0, prompt=None), {}, r"2 rows whose control has no prompt\nrows 3, 4;"),
        (
            LIST.assign(is_control_item="maybe"),
            {},
            r"5 rows with an is_control that is neither yes nor no: \['maybe', ",
        ),
        (LIST.assign(polarity="sad"), {}, r"3 rows with an unknown polarity: \['sad', 'sad', 'sad'\]"),
        (LIST.drop(columns="n_control"), {}, r"no column 'n_control' for n_control"),
        (LIST.drop(columns="concept"), {}, r"no column 'concept'.*\nthe file's columns: template_id"),
        (LIST, {"concept": "concepts"}, r"no column 'concepts' for concept; did you mean 'concept'\?"),
    ],
)
def test_what_cannot_be_told_is_refused_by_row(tmp_path, table, columns, message):
    with pytest.raises(ParameterError, match=message):
        read(table, tmp_path, **columns)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.csv", "no such file"),
        ("t.xls", "unknown suffix '.xls'; did you mean"),
        ("t.csv", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, name, message):
    if name != "gone.csv":
        (tmp_path / name).write_text('a,b\n"1\n')
    with pytest.raises(ParameterError, match=message):
        prompt_tables.read(prior(tmp_path / name))


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("He works as a", ("", "He works as a")),
        ("He likes yellow. He works as a", ("He likes yellow.", "He works as a")),
        ("Dr. May left! Why? His dog is", ("Dr. May left! Why?", "His dog is")),
    ],
)
def test_the_last_sentence_is_the_stem(prompt, parts):
    assert prompt_tables.split(prompt) == parts


def test_groups_hold_a_control_and_a_test_with_the_columns_of_prompts(tmp_path):
    read(LIST, tmp_path)
    table = prompt_tables.build(prior(tmp_path / "published.xlsx"))
    assert list(table.columns) == list(curated_prompts.PROMPTS.columns)
    assert table.groupby("group_id")["arm"].agg(tuple).tolist() == [
        ("neutral", "concept"),
        ("neutral", "negative"),
        ("neutral", "positive"),
    ]
    assert (table["context"] + " " + table["stem"]).str.strip().tolist() == table["text"].tolist()
    assert table["context_id"].tolist() == ["", "yellow", "", "misery", "", "happy"]


def test_their_completions_run_like_completions_made_elsewhere(tmp_path):
    """A control that serves two tests, and prompts that read alike, keep the completions of their own row."""
    read(pd.concat([LIST, LIST.iloc[[1]].assign(generation_1="baker.")]), tmp_path)
    published = prior(tmp_path / "published.xlsx")
    made = prompt_tables.completions(published)
    assert prompt_tables.samples(made) == 2
    made.to_parquet(tmp_path / "made.parquet")
    parameters = generation(
        model={"id": "theirs", "table": {"path": str(tmp_path / "made.parquet"), "columns": {}}}, samples=2
    )
    model = registry.load(parameters.model)
    requested = runner.requests(prompt_tables.build(published), parameters, model)
    model.check(requested)
    paid = runner.generate(requested, parameters, model, tmp_path / "journal.jsonl").set_index(
        ["prompt_id", "sample_index"]
    )
    assert paid.loc[("row 3/concept", 0), "completion"] == "school bus driver."
    assert paid.loc[("row 7/concept", 0), "completion"] == "baker."
    assert (
        paid.loc[("row 3/neutral", 1), "completion"]
        == paid.loc[("row 4/neutral", 1), "completion"]
        == "cook."
    )
    assert len(paid) == 16


def test_the_notebooks_run_on_them(copy, tmp_path):
    """Notebooks 01 to 03 on a published table and its own completions: the pairs come out as one reckons them
    by hand."""
    gloomy = changed(
        4, prompt="His room was gloomy. Her dog was called", concept="gloomy", generation_1="Sorrow."
    )
    joy = changed(2, prompt="He likes joy. He works as a", concept="joy", generation_1="happy clerk.")
    both = pd.concat([LIST, gloomy.iloc[[4]], joy.iloc[[2]]])
    read(both, tmp_path)
    published = prior(tmp_path / "published.xlsx")
    prompt_tables.completions(published).to_parquet(tmp_path / "made.parquet")
    smoke = params.load("smoke")
    theirs = {
        "id": "theirs",
        "name": "theirs",
        "table": {"path": str(tmp_path / "made.parquet"), "columns": {}},
    }
    model = specs.Model.model_validate(smoke.models[0].model_dump() | theirs)
    dataset = smoke.dataset | {"published_prompts": published.model_dump()}
    told = smoke.model_copy(update={"models": [model], "mitigations": {}, "dataset": dataset})
    for notebook in ("01_dataset", "02_generation", "03_judging", "03b_leakage"):
        values = tmp_path / f"{notebook}.yaml"
        values.write_text(yaml.safe_dump(params.cell_values(told, "published", notebook)))
        done = call(copy, "notebook", notebook, str(values), str(tmp_path / f"{notebook}.ipynb"))
        assert done.returncode == 0, done.stdout
    judged = pd.read_parquet(copy / "outputs" / "published" / "judgements" / "theirs.parquet")
    assert judged["arm"].value_counts().to_dict() == {
        "neutral": 10,
        "negative": 4,
        "positive": 4,
        "concept": 2,
    }
    found = pd.read_parquet(copy / "outputs" / "published" / "quantities" / "theirs.parquet")
    towards = found[(found["table"] == "arm") & (found["quantity"] == "towards")].set_index("arm")["estimate"]
    assert towards.to_dict() == {
        "negative": 50.0,
        "positive": 75.0,
    }  # of 4 pairs each: mourner, Sorrow; Joy, Sunny, happy clerk
    assert set(found["fault"]) == {"placebo rule broken"}, "there is no placebo arm to vouch for them"
