"""Completions made elsewhere: every format gives back what was written, and what is wrong with a file is
named by row."""

import json
import shutil

import openpyxl
import pandas as pd
import pytest
import yaml

from lib.config import params, sections, specs
from lib.config.specs import ParameterError
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.models import precomputed, registry
from lib.storage import packages
from tests.conftest import call
from tests.generation.test_runner import generation

KEY = ["prompt_id", "mitigation", "sample_index"]
FORMATS = ["parquet", "csv", "jsonl", "xlsx"]
AWKWARD = [
    "NA",
    "null",
    "14",
    "007",
    "None",
    "",
    "Zoë’s “Café” 🙂 日本",
    'first\nsecond, "quoted"\n\nlast',
    " 1e5 ",
    "TRUE",
    "a\u2028b",
]


def write(table: pd.DataFrame, path) -> None:
    """`table` in the format of the path's suffix, as pandas writes it."""
    ways = {
        ".parquet": table.to_parquet,
        ".csv": lambda target: table.to_csv(target, index=False),
        ".jsonl": lambda target: table.to_json(target, orient="records", lines=True, force_ascii=False),
        ".xlsx": lambda target: table.to_excel(target, index=False),
    }
    ways[path.suffix](path)


def asked_of(path, **changes) -> sections.Generation:
    """The smoke set's parameters with a model whose completions are in the file `path`."""
    columns = changes.pop("columns", {})
    return generation(model_id="some-model", model_table={"path": str(path), "columns": columns}, **changes)


def loaded(path, **columns) -> precomputed.Precomputed:
    return registry.load(asked_of(path, columns=columns).model)


def refusal(path, **columns) -> str:
    """What is said of a file that is refused as soon as it is read."""
    with pytest.raises(ParameterError) as caught:
        loaded(path, **columns)
    assert str(caught.value).startswith(f"model mock-50: table {path}: ")
    assert len(str(caught.value).splitlines()) <= 6
    return str(caught.value)


@pytest.fixture(scope="module")
def benchmark() -> pd.DataFrame:
    return curated_prompts.build(seed=1, stems=4, contexts_per_stem=1)


@pytest.fixture(scope="module")
def made(benchmark, tmp_path_factory) -> pd.DataFrame:
    """The completions of a mock run, beside the text of their prompts."""
    parameters = generation()
    model = registry.load(parameters.model)
    journal = tmp_path_factory.mktemp("made") / "journal.jsonl"
    paid = runner.generate(runner.requests(benchmark, parameters, model), parameters, model, journal)
    return runner.completions_table(paid, parameters, model).merge(
        benchmark[["prompt_id", "text"]], on="prompt_id"
    )


def generated(benchmark, parameters, folder) -> pd.DataFrame:
    model = registry.load(parameters.model)
    requested = runner.requests(benchmark, parameters, model)
    model.check(requested)
    paid = runner.generate(requested, parameters, model, folder / "journal.jsonl")
    return runner.completions_table(paid, parameters, model)


def same(table: pd.DataFrame, made: pd.DataFrame) -> bool:
    return table.set_index(KEY)["completion"].to_dict() == made.set_index(KEY)["completion"].to_dict()


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_back_what_was_written(benchmark, made, tmp_path, capsys, suffix):
    path = tmp_path / f"made.{suffix}"
    write(made.sample(frac=1, random_state=1), path)
    table = generated(benchmark, asked_of(path), tmp_path)
    assert same(table, made)
    assert table["ended"].all()
    assert (table["tokens"] == table["completion"].str.split().str.len()).all()
    assert table["parameters"].isna().all()
    assert capsys.readouterr().out == "", "nothing is left over or empty"


@pytest.mark.parametrize("suffix", FORMATS)
def test_columns_may_have_other_names_and_prompts_may_be_texts(benchmark, made, tmp_path, suffix):
    path = tmp_path / f"made.{suffix}"
    of_file = made.assign(
        text="\n " + made["text"].str.replace(" ", "  "), mitigation=made["mitigation"].replace("none", "")
    )
    write(
        of_file.rename(columns={"completion": "Answer", "sample_index": "n"})[
            ["text", "mitigation", "n", "Answer"]
        ],
        path,
    )
    columns = {"prompt": "text", "completion": "Answer", "sample_index": "n"}
    assert same(generated(benchmark, asked_of(path, columns=columns), tmp_path), made)


def test_a_column_named_outright_comes_before_one_of_our_name(benchmark, made, tmp_path):
    write(made.assign(prompt_id=range(len(made))), tmp_path / "made.csv")
    assert same(
        generated(benchmark, asked_of(tmp_path / "made.csv", columns={"prompt": "text"}), tmp_path), made
    )


def test_without_mitigation_and_sample_index_rows_are_bare_and_in_order(benchmark, made, tmp_path):
    bare = made[made["mitigation"] == "none"].sort_values("sample_index")
    write(bare[["prompt_id", "completion"]], tmp_path / "made.csv")
    assert same(generated(benchmark, asked_of(tmp_path / "made.csv", mitigations={}), tmp_path), bare)


@pytest.mark.parametrize("suffix", FORMATS)
def test_text_stays_text(tmp_path, suffix):
    path = tmp_path / f"awkward.{suffix}"
    ids = [f"{number:03}" for number in range(len(AWKWARD))]
    write(pd.DataFrame({"prompt_id": ids, "completion": AWKWARD}), path)
    wanted = pd.DataFrame({"prompt_id": ids, "mitigation": "none", "sample_index": 0})
    assert [reply.text for reply in loaded(path).reply(wanted, 0.7, 32, 1)] == AWKWARD


def test_numbers_stay_as_they_are_written(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('\ufeff{"prompt_id": 7, "completion": 14.50, "sample_index": 0.0}\r\n\n')
    found = {"prompt": "7", "mitigation": "none", "sample_index": 0, "completion": "14.50"}
    assert loaded(path).rows.to_dict("index") == {1: found}


def test_a_second_run_asks_nothing(benchmark, made, tmp_path, monkeypatch):
    write(made, tmp_path / "made.csv")
    first = generated(benchmark, asked_of(tmp_path / "made.csv"), tmp_path)
    monkeypatch.delattr(precomputed.Precomputed, "reply")
    pd.testing.assert_frame_equal(generated(benchmark, asked_of(tmp_path / "made.csv"), tmp_path), first)


def test_another_file_or_column_is_another_model(made, tmp_path):
    write(made, tmp_path / "made.csv")
    before = loaded(tmp_path / "made.csv")
    assert json.loads(before.fingerprint)["table"] == packages.sha256(tmp_path / "made.csv")
    assert loaded(tmp_path / "made.csv", prompt="text").fingerprint != before.fingerprint
    write(made[1:], tmp_path / "made.csv")
    assert loaded(tmp_path / "made.csv").fingerprint != before.fingerprint


def test_a_path_is_read_from_the_project_folder_and_parameters_are_as_told(made, tmp_path, monkeypatch):
    write(made, tmp_path / "made.csv")
    spec = asked_of("made.csv", model_parameters=7_000_000_000).model
    monkeypatch.setattr(specs, "ROOT", tmp_path)
    assert registry.load(spec).parameters == 7_000_000_000
    assert registry.load(spec).render("A.", "B", "") == "A. B"


# what is wrong with a file


def test_no_such_file_or_no_such_format(tmp_path):
    assert f"no such file: {tmp_path / 'made.csv'}" in refusal(tmp_path / "made.csv")
    (tmp_path / "made.json").write_text("[]")
    assert (
        "unknown suffix '.json'; did you mean '.jsonl'?; give .parquet, .csv, .tsv, .jsonl, .xlsx"
        in refusal(tmp_path / "made.json")
    )


@pytest.mark.parametrize("suffix", ["parquet", "xlsx", "csv"])
def test_a_file_that_is_not_what_its_suffix_says(tmp_path, suffix):
    (tmp_path / f"made.{suffix}").write_bytes(b"prompt_id,completion\n\xff\xfe,")
    assert "cannot be read: " in refusal(tmp_path / f"made.{suffix}")


def test_broken_lines(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"prompt_id": "a", "completion": "b"}\n{"prompt_id": \n\n[1]\n"x"\n7\n')
    assert "4 lines are not JSON objects: line 2, 4, 5 and 1 more" in refusal(path)
    path = tmp_path / "t.csv"
    path.write_text('prompt_id,completion\na,"two\nlines"\nb,one, two\n')
    assert "line 4 has 3 cells, the header 2; quote cells that hold a comma" in refusal(path)


def test_columns_that_are_not_there(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("prompt_id,Answers,x,x\na,b,c,d\n")
    said = refusal(path, completion="Answer")
    assert "no column 'Answer' for completion; did you mean 'Answers'?; mend table.columns" in said
    assert "the file's columns: prompt_id, Answers, x, x" in said
    assert "no column 'completion' for completion" in refusal(path)
    assert "two columns are called 'x'" in refusal(path, completion="x")
    path.write_text("id,completion\na,b\n")
    assert "neither a column prompt_id nor a column prompt" in refusal(path)
    path.write_text("")
    assert "no column 'completion'" in refusal(path)


def rows(*completions, **columns) -> pd.DataFrame:
    """A table of completions to prompts p0, p1, …"""
    ids = [f"p{number}" for number in range(len(completions))]
    return pd.DataFrame({"prompt_id": ids, "completion": completions, **columns})


@pytest.mark.parametrize(("suffix", "where"), [("parquet", "rows 2, 4, 5"), ("jsonl", "lines 2, 4, 5")])
def test_missing_completions(tmp_path, suffix, where):
    write(rows("a", None, "", None, None, None), tmp_path / f"t.{suffix}")
    said = refusal(tmp_path / f"t.{suffix}")
    assert f"4 {where.split()[0]} without a completion" in said
    assert f"{where} and 1 more" in said


def test_blank_cells_of_a_sheet(tmp_path):
    book = openpyxl.Workbook()
    for row in [["prompt_id", "completion", None], ["a", "b", "note"], [], ["c", None, "note"], ["d"]]:
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    assert "2 rows without a completion\nrows 4, 5; " in refusal(tmp_path / "t.xlsx")


def test_a_formula_is_no_completion(tmp_path):
    write(rows("a", "=A1"), tmp_path / "t.xlsx")
    assert "1 row whose completion is no text: a formula (=A1)\nrow 3; " in refusal(tmp_path / "t.xlsx")


def test_missing_prompts(tmp_path):
    write(rows("a", "b").assign(prompt_id=["p", None]), tmp_path / "t.parquet")
    assert "without a prompt_id\nrow 2; " in refusal(tmp_path / "t.parquet")


@pytest.mark.parametrize("index", ["-1", "0.5", "one", "", "inf", "١"])
def test_a_sample_index_that_is_no_whole_number(tmp_path, index):
    write(rows("a\nb", "b", "c", sample_index=["0", "1.0", index]), tmp_path / "t.csv")
    assert "1 line with a sample_index that is no whole number from 0 on\nline 5; " in refusal(
        tmp_path / "t.csv"
    )


def test_completions_given_twice(tmp_path):
    table = rows(*"abcde", sample_index=[0, 0, 0, 0, 1], mitigation=["", "none", "x", "none", "none"]).assign(
        prompt_id="p"
    )
    write(table, tmp_path / "t.csv")
    said = refusal(tmp_path / "t.csv")
    assert "2 completions are given twice; take one out or number them apart\n" in said
    assert "lines 2 and 3: 'p', mitigation none, sample_index 0\nlines 2 and 5: 'p'" in said
    write(table.rename(columns={"prompt_id": "prompt"}), tmp_path / "t.csv")
    assert "prompts that read alike need prompt_id" in refusal(tmp_path / "t.csv")


# what does not fit the benchmark


def refused_check(benchmark, table, tmp_path, **changes) -> str:
    write(table, tmp_path / "t.csv")
    parameters = asked_of(tmp_path / "t.csv", **changes)
    model = registry.load(parameters.model)
    requested = runner.requests(benchmark, parameters, model)
    with pytest.raises(ParameterError) as caught:
        model.check(requested)
    assert len(str(caught.value).splitlines()) <= 6
    return str(caught.value)


def test_unknown_prompts(benchmark, made, tmp_path):
    known = made["prompt_id"].iloc[0]
    said = refused_check(benchmark, made.replace({"prompt_id": {known: f"{known}x"}}), tmp_path)
    assert (
        f"unknown prompt: '{known}x' is not in prompts.parquet (compared by prompt_id); did you mean" in said
    )
    assert "\nlines 2, " in said
    text = made["text"].iloc[0]
    said = refused_check(
        benchmark, made.replace({"text": {text: f"Oh. {text}"}}), tmp_path, columns={"prompt": "text"}
    )
    assert "(compared by prompt)" in said


def test_unknown_mitigations(benchmark, made, tmp_path):
    wrong = made.replace({"mitigation": {"control": "contrl"}})
    said = refused_check(benchmark, wrong, tmp_path)
    assert (
        "unknown mitigation: 'contrl' is not a mitigation asked of this model; did you mean 'control'?"
        in said
    )
    assert f"{(made['mitigation'] == 'control').sum()} lines" in said
    assert "mitigate of the model" in refused_check(benchmark, made, tmp_path, mitigations={})


@pytest.mark.parametrize("suffix", FORMATS)
def test_answers_in_another_wording_than_their_group_is_asked_in_are_refused(
    benchmark, made, tmp_path, suffix, capsys
):
    path, calm = tmp_path / f"made.{suffix}", ["Stay calm.", "Be calm.", "Keep calm."]
    changes = {"mitigations": {"calm": calm, "control": "Write."}, "mitigation_samples": 1}
    told_so = runner.requests(benchmark, asked_of(path, **changes), registry.load(generation().model))
    answers = told_so[[*KEY, "wording"]].assign(completion="a walk.")
    write(answers.astype({"wording": object}).replace({"wording": {0: None}}), path)
    assert set(generated(benchmark, asked_of(path, **changes), tmp_path)["wording"]) == set(
        told_so["wording"]
    )
    assert capsys.readouterr().out == ""
    write(answers.assign(wording=answers["wording"].clip(upper=1)), path)
    model = registry.load(asked_of(path, **changes).model)
    wrong = told_so[told_so["wording"] > 1]
    assert len(wrong)
    with pytest.raises(
        ParameterError,
        match=rf"{len(wrong)} \w+s in another wording than .* '1' in place of {wrong['wording'].iloc[0]}\n",
    ):
        model.check(runner.requests(benchmark, asked_of(path, **changes), model))
    write(answers.drop(columns="wording"), path)
    generated(benchmark, asked_of(path, **changes), tmp_path / "again")
    assert (
        "no column wording: answers under calm are taken to be in the wording that" in capsys.readouterr().out
    )


def test_completions_that_are_lacking(benchmark, made, tmp_path):
    lacking = made.iloc[[0, 5, 7, 9]]
    said = refused_check(benchmark, made.drop(lacking.index), tmp_path)
    assert (
        "lacks 4 completions: "
        + ", ".join("/".join(map(str, row)) for row in lacking[KEY].values[:3])
        + " and 1 more"
        in said
    )
    assert "lower samples or mitigation_samples, or set mitigate: false" in said
    parameters = asked_of(tmp_path / "t.csv")
    with pytest.raises(ParameterError, match="lacks 4 completions"):
        registry.load(parameters.model).reply(
            runner.requests(benchmark, parameters, registry.load(parameters.model)), 0.7, 32, 1
        )


def test_completions_left_over_and_empty_ones_are_counted(benchmark, made, tmp_path, capsys):
    made = made.assign(completion=made["completion"].mask(made.index == 0, ""))
    write(made, tmp_path / "made.csv")
    generated(benchmark, asked_of(tmp_path / "made.csv", samples=1), tmp_path)
    said = capsys.readouterr().out
    assert said == f"made.csv: {4 * 5} completions beyond those asked for are left out; 1 used are empty\n"


def test_outcomes_are_counted_before_anything_is_made(benchmark, made, tmp_path, capsys):
    table = made.assign(outcome="", completion=made["completion"].mask(made.index < 3, ""))
    table.loc[[0, 5], "outcome"], table.loc[6, "outcome"] = "filtered", "failed"
    write(table, tmp_path / "made.csv")
    parameters = asked_of(tmp_path / "made.csv")
    model = registry.load(parameters.model)
    model.check(runner.requests(benchmark, parameters, model))
    assert capsys.readouterr().out == (
        "made.csv: 0 completions beyond those asked for are left out; 2 used are empty; "
        "3 used are missing: 2 filtered, 1 failed\n"
    )


def test_prompts_that_read_alike_share_their_completions(tmp_path):
    twice = curated_prompts.build(seed=1, stems=4, contexts_per_stem=2)
    texts = twice["text"].drop_duplicates()
    write(
        pd.DataFrame({"prompt": texts, "completion": [f"answer {number}." for number in range(len(texts))]}),
        tmp_path / "t.csv",
    )
    table = generated(twice, asked_of(tmp_path / "t.csv", samples=1, mitigation_samples=0), tmp_path)
    assert len(table) == 4 * 2 * 5
    assert table[table["arm"] == "none"].groupby("stem_id")["completion"].nunique().eq(1).all()
    assert table["completion"].nunique() == len(texts)


def test_imported_completions_give_the_results_of_the_model_that_wrote_them(smoke, copy, tmp_path):
    folder, notebooks = tmp_path / "project", ("02_generation", "03_judging", "05_scaling_analysis")
    shutil.copytree(copy, folder, ignore=shutil.ignore_patterns("outputs", ".snakemake"))
    write(
        pd.read_parquet(smoke / "completions" / "mock-50.parquet")[[*KEY, "completion"]], folder / "made.csv"
    )
    run = folder / "outputs" / "smoke"
    run.mkdir(parents=True)
    shutil.copy(smoke / "prompts.parquet", run)
    values = yaml.safe_load((folder / "params" / "smoke.yaml").read_text())
    model = {"id": "some-model", "name": "made", "parameters": 1000, "table": {"path": "made.csv"}}
    of_set = params.ParameterSet.model_validate(values | {"models": [values["models"][0] | model]})
    for name in notebooks:
        (run / f"{name}.yaml").write_text(yaml.safe_dump(params.cell_values(of_set, "smoke", name)))
        done = call(folder, "notebook", name, str(run / f"{name}.yaml"), str(run / f"{name}.ipynb"))
        assert done.returncode == 0, done.stdout
    assert same(pd.read_parquet(run / "completions" / "made.parquet"), pd.read_csv(folder / "made.csv"))
    ours, theirs = (
        pd.read_parquet(place / "claims" / "scaling.parquet").query("claim == 'C0'") for place in (run, smoke)
    )
    assert ours["estimate"].item() == theirs.set_index("model").loc["mock-50", "estimate"]
    assert str(folder) not in (run / "02_generation.ipynb").read_text()
