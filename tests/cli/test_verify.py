"""Each alteration of a finished run is found and its file named; a run as it was made has none."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lib.cli import verify
from lib.config import specs
from lib.generation.next_token import COLUMNS, MEASURES
from lib.report import (
    manifest,
    pairs,
    verify_boards,
    verify_claims,
    verify_files,
    verify_pages,
    verify_tables,
)
from lib.report.differences import Difference
from lib.storage import records
from tests.conftest import ROOT

SHIPPED = ("embedded", "embedded_confirmatory", "commoncrawl", "packaged", "mitigation", "ladder-augmented")
MODEL = "mock-50"


def placed(folder: Path, monkeypatch) -> Path:
    for module in (specs, records):
        monkeypatch.setattr(module, "ROOT", folder)
    return folder


@pytest.fixture
def run(smoke, tmp_path, monkeypatch) -> Path:
    """A copy of the smoke run whose files may be changed."""
    project = placed(tmp_path, monkeypatch)
    for name in ("lib", "notebooks", "params"):
        (project / name).symlink_to(smoke.parents[1] / name)
    shutil.copytree(smoke, project / "outputs" / "smoke")
    return project / "outputs" / "smoke"


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    """A copy of README.md and of the runs that the repository holds, without tables."""
    project = placed(tmp_path, monkeypatch)
    (project / "params").symlink_to(ROOT / "params")
    shutil.copy(ROOT / "README.md", project)
    kept = ("executed", "annotation", "*.csv", "*.md", "*.svg", "card.json", "pairs.json.gz")
    for name in SHIPPED:
        for path in (path for pattern in kept for path in (ROOT / "outputs" / name).glob(pattern)):
            target = project / "outputs" / name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copy)(path, target)
    shutil.copy(ROOT / "outputs" / "claims.svg", project / "outputs")
    return project


def edit(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change a table."""
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def replace(path: Path, old: str, new: str) -> None:
    """Change a text that must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def put(column: str, value) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Change a column of the first row."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table.index[0], column] = value
        return table

    return change


def drop_first(table: pd.DataFrame) -> pd.DataFrame:
    return table.iloc[1:]


def draw_again(table: pd.DataFrame) -> pd.DataFrame:
    """One more draw of the first prompt: its samples are mixed."""
    return pd.concat([table, table.iloc[[0]].assign(sample_index=2)], ignore_index=True)


def swap_arms(table: pd.DataFrame) -> pd.DataFrame:
    """The arms of a negative and a positive completion change places."""
    first, second = (table.index[table["arm"] == arm][0] for arm in ("negative", "positive"))
    table.loc[[first, second], "arm"] = ["positive", "negative"]
    return table


def named(found: list) -> set[str]:
    """The files that differences name."""
    return {difference.file.removeprefix("outputs/smoke/") for difference in verify.differences(found)}


COMPLETIONS, JUDGEMENTS = f"completions/{MODEL}.parquet", f"judgements/{MODEL}.parquet"
TABLES = {  # alteration: the table, its change, the first words of where it is found
    "a completion's text": (COMPLETIONS, put("completion", "a wonderful day."), "completion"),
    "a completion dropped": (COMPLETIONS, drop_first, "prompt_id="),
    "one draw more": (COMPLETIONS, draw_again, "sample_index=2"),
    "an arm swapped": (COMPLETIONS, swap_arms, "arm"),
    "a valence": (JUDGEMENTS, put("valence", 3.5), "valence"),
    "a verdict": (JUDGEMENTS, lambda table: table.assign(charged=~table["charged"]), "charged"),
    "a judgement dropped": (JUDGEMENTS, drop_first, "prompt_id="),
    "one judgement more": (JUDGEMENTS, draw_again, "sample_index=2"),
    "an arm swapped in the judgements": (JUDGEMENTS, swap_arms, "arm"),
    "another judge": (JUDGEMENTS, put("judge", "vader-0"), "judge"),
    "a next-token value": (f"next_token/{MODEL}.parquet", lambda table: next_token(), "prompt_id=x"),
}


@pytest.mark.parametrize("alteration", TABLES)
def test_an_altered_table_is_found_by_its_hash_and_by_what_it_is_made_of(run, alteration):
    """The second without the manifest: whoever alters a table may write its new hash there."""
    table, change, place = TABLES[alteration]
    edit(run / table, change)
    assert named(verify_files.checks("smoke")) == {table}
    prompts = records.read_table("smoke", "prompts")
    found = verify.differences(verify_tables.of_model("smoke", MODEL, prompts))
    assert any(place in one.place for one in found if one.file.endswith(table))


FILES = {  # alteration: the file, and how
    "an executed page": (
        "executed/05_scaling_analysis.ipynb",
        lambda path: replace(path, "96 in 24 stems", "97 in 24 stems"),
    ),
    "headline.csv": ("headline.csv", lambda path: replace(path, ",96,", ",98,")),
    "headline.md": ("headline.md", lambda path: replace(path, "96 in 24", "98 in 24")),
    "card.json": ("card.json", lambda path: replace(path, '"stems": 24', '"stems": 25')),
    "a stale figure": ("claims.svg", lambda path: replace(path, "mock-50", "mock-51")),
    "a table that nobody made": ("extra.parquet", lambda path: next_token().to_parquet(path)),
    "a table cut short": (JUDGEMENTS, lambda path: path.write_bytes(path.read_bytes()[:-100])),
    "a table removed": (COMPLETIONS, Path.unlink),
}


def next_token() -> pd.DataFrame:
    """A value, where a mock model has none."""
    return pd.DataFrame({name: ["x"] for name in COLUMNS} | {name: [0.25] for name in MEASURES})


@pytest.mark.parametrize("alteration", FILES)
def test_an_altered_file_is_found_by_its_hash(run, alteration):
    file, change = FILES[alteration]
    change(run / file)
    assert named(verify_files.checks("smoke")) == {file}


def test_a_manifest_of_another_judge_or_seed_is_found(run):
    found = json.loads((run / "manifest.json").read_text())
    found["versions"]["judge"], found["seeds"]["generation"] = "vader-0", 2
    (run / "manifest.json").write_text(json.dumps(found))
    lines = [one.line() for one in verify.differences(verify_files.checks("smoke"))]
    assert len(lines) == 2
    assert lines[0].startswith(
        "outputs/smoke/manifest.json, versions.judge: stored vader-0, recomputed vader-3"
    )
    assert "seeds.generation: stored 2, recomputed 1; restore it, or make reproduce SET=smoke" in lines[1]


def test_boards_cards_figures_and_pages_are_compared_without_the_manifest(run):
    replace(run / "headline.md", "96 in 24", "98 in 24")
    replace(run / "card.json", '"stems": 24', '"stems": 25')
    replace(run / "claims.svg", "mock-50", "mock-51")
    pairs.save("smoke")
    data = json.loads(gzip.decompress((run / pairs.FILE).read_bytes()))
    data["columns"]["shift"][0] += 1
    (run / pairs.FILE).write_bytes(gzip.compress(json.dumps(data).encode()))
    found = verify.differences(verify_boards.checks("smoke"))
    assert {one.file.rpartition("/")[2] for one in found} == {
        "headline.md",
        "card.json",
        "card.md",
        "claims.svg",
        pairs.FILE,
    }
    assert next(one for one in found if one.file.endswith("card.json")).place == "models[0].stems"
    assert next(one for one in found if one.file.endswith("gz")).place == "columns.shift[0]"
    page = run / "executed" / "05_scaling_analysis.ipynb"
    replace(page, "96 in 24 stems", "97 in 24 stems")
    (of_page,) = verify.differences(verify_pages.checks("smoke", True))
    assert of_page.file == "outputs/smoke/executed/05_scaling_analysis.ipynb"
    assert (of_page.stored, of_page.recomputed) == ("97 in 24 stems", "96 in 24 stems")


def test_an_altered_prompt_is_found_by_what_it_is_made_of(run):
    edit(run / "prompts.parquet", put("context", "He is fine."))
    found = verify.differences(verify_tables.checks("smoke"))
    assert {one.file for one in found} >= {"outputs/smoke/prompts.parquet"}
    assert found[0].stored == "He is fine." and found[0].place.endswith(", context")


def test_a_claim_is_computed_again_from_the_judgements(run):
    edit(run / "claims" / "scaling.parquet", put("estimate", 9.0))
    (found,) = verify.differences(verify_claims.checks("smoke"))
    assert found.file == "outputs/smoke/claims/scaling.parquet" and found.stored == 9.0


def test_nothing_is_found_in_a_run_as_it_was_made(run, capsys):
    assert verify.main(["smoke"]) == 0
    printed = capsys.readouterr().out
    assert "DIFFERS" not in printed and "smoke: no difference" in printed
    assert "checked: judgements against the completions, mock-50: " in printed
    assert "not checked: C1 against the rated texts" in printed


def test_a_table_cut_short_ends_in_messages(run, capsys):
    path = run / JUDGEMENTS
    path.write_bytes(path.read_bytes()[:-100])
    assert verify.main(["smoke"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(f"DIFFERS: outputs/smoke/{JUDGEMENTS}") for line in lines) == 2
    assert any(line.startswith("DIFFERS: outputs/smoke, its claims: ") for line in lines)


def test_equal_runs_have_manifests_that_differ_in_the_execution_alone(run):
    stored, again = manifest.read("smoke"), manifest.of_run("smoke")
    assert {key for key in again if stored[key] != again[key]} <= {"execution", "code", "lock"}
    assert list(stored) == sorted(stored) and again["code"]["git"] is None
    assert {"cpu", "cores", "platform", "begun", "ended"} == set(again["execution"])
    assert set(again["models"]) == {"mock-50", "mock-30", "mock-10"}


ALTERED = {  # alteration of a run without tables: the set, the file, and how
    "headline.csv": ("embedded", "outputs/embedded/headline.csv", (",2760,", ",2761,")),
    "headline.md": (
        "packaged",
        "outputs/packaged/headline.md",
        ("| C0 leakage exists", "| C0 leakage exits"),
    ),
    "card.json": ("embedded", "outputs/embedded/card.json", ('"estimate": 0.2', '"estimate": 0.9')),
    "a page": (
        "embedded",
        "outputs/embedded/executed/05_scaling_analysis.ipynb",
        ("2,760 in 173", "2,761 in 173"),
    ),
    "a figure": ("commoncrawl", "outputs/commoncrawl/claims.svg", ("+0.13", "+0.18")),
    "README.md": (
        "embedded",
        "README.md",
        ("smollm2-135m-completion +0.20", "smollm2-135m-completion +0.21"),
    ),
    "the figure of README.md": ("commoncrawl", "outputs/claims.svg", ("+0.26", "+0.28")),
    "the confirmation": (
        "embedded_confirmatory",
        "outputs/embedded_confirmatory/confirmation.md",
        ("supported", "contradicted"),
    ),
}


@pytest.mark.parametrize("alteration", ALTERED)
def test_an_altered_file_of_a_run_without_tables_is_found(shipped, alteration, monkeypatch):
    set_name, file, (old, new) = ALTERED[alteration]
    monkeypatch.setattr(verify_boards, "_valences", lambda *_: verify_boards.skipped("verdicts", "not here"))
    replace(shipped / file, old, new)
    assert file in {one.file for one in verify.differences(verify.checks(set_name))}


def test_a_run_without_tables_says_what_could_not_be_checked(shipped, capsys):
    assert verify.main(["commoncrawl"]) == 0
    printed = capsys.readouterr().out
    assert "checked: headline.md against the 9 rows of headline.csv: " in printed
    assert "not checked: files against the manifest: there is no manifest.json" in printed
    assert "not checked: card.json: this run has none" in printed


def test_a_set_without_a_run_is_named(shipped, capsys):
    assert verify.main(["smoke"]) == 1
    assert "outputs/smoke: has no headline.csv" in capsys.readouterr().err


def test_a_difference_is_one_line():
    line = Difference("a.md", "line 3", "one\ntwo", 2, "make it").line()
    assert line == "a.md, line 3: stored one two, recomputed 2; make it"
