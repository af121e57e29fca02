"""The command `python -m lib.measure`: what it refuses, what it goes on with, and a table from end to end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from lib.cli import batch
from lib.config import specs
from lib.dataset import curated_prompts
from lib.measure import __main__ as front_door
from lib.measure import answers, budget, sets
from lib.models import registry
from lib.report import card
from lib.storage import records
from tests.conftest import ROOT
from tests.measured import CANNED


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["mock:leak-31"], "MODEL=mock:leak-31: no such model; did you mean 'mock:leak-30'"),
        (
            ["http://u:secret@host/v1", "--name", "x"],
            "MODEL: the URL of the server: server.url: holds a user or password",
        ),
        (["mock:leak-30", "--mode", "chat"], "MODE=chat has no effect on a mock model; take it out"),
        (["mock:leak-30", "--samples", "3"], "SAMPLES=3 has no effect on a mock model"),
        (["--table", "x.csv", "--budget", "1m"], "BUDGET=1m has no effect on a table"),
        (["mock:leak-30", "--table", "x.csv"], "what is to be measured"),
        ([], "what is to be measured"),
        (
            ["--table", "", "--groups", "1"],
            f"give 2 to {sets.GROUPS_PER_STEM * len(curated_prompts.shipped().stems)} groups",
        ),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(project, capsys, given, says):
    assert front_door.main(given) == 1
    said = capsys.readouterr().err
    assert says in said and "secret" not in said and said.count("\n") <= 3


def test_an_empty_table_has_each_stem_once_if_nothing_else_is_said(project, monkeypatch):
    monkeypatch.setattr(front_door, "ROOT", project)
    assert front_door.main(["--table", ""]) == 0
    groups = pd.read_csv(project / "outputs" / "answers.csv")["prompt_id"].str.split("/").str[0]
    stems, every = groups.drop_duplicates().str.split("+").str[0], curated_prompts.shipped().stems["stem_id"]
    assert len(groups) == 5 * len(every) and sorted(stems) == sorted(every)


def test_a_small_budget_goes_on_with_what_is_finished(project, monkeypatch):
    """A finished set, called again with hardly any time, stays as large as it was."""
    ran = []
    monkeypatch.setattr(batch, "run", lambda name, cores: ran.append(name))
    monkeypatch.setattr(card, "lines", lambda *_: [])
    monkeypatch.setattr(front_door, "ROOT", project)
    (project / "outputs" / "embedded").mkdir(parents=True)
    shutil.copy(ROOT / "outputs" / "embedded" / "card.json", project / "outputs" / "embedded")
    sets.write("mine", sets.values(CANNED, "vader", budget.Design(30, 1, 0, 6)))
    told = sets.values(CANNED, "vader")
    table, ordered = answers.benchmark(told)
    named = CANNED.model_copy(update={"name": "mock-leak-30"})
    sets.write("mine", sets.values(named, "vader", budget.Design(30, 1, 0, 6)))
    asked = answers.Answers("mine", registry.load(named), table)
    asked.ask(answers.parameters(told, "mine", named, 1, mitigate=False), ordered[:30])
    monkeypatch.setattr(budget, "choose", lambda *given: budget.Design(900, 5, 1, 6, 1.0))
    monkeypatch.setattr(answers, "pace", lambda asked, run, *_: (1000.0, run))
    assert front_door.main(["mock:leak-30", "--set", "mine", "--judge", "vader", "--budget", "1s"]) == 0
    assert ran == ["mine"]
    assert (
        sets.design(sets.earlier("mine", named)) == budget.Design(30, 1, 0, 6)
        or sets.design(sets.earlier("mine", named)).completions == 150
    )


@pytest.mark.parametrize("content", ["", "[]", '{"vader": "x"}', '{"vader": -1}', '{"vader": 40}'])
def test_times_that_cannot_be_read_count_as_not_known(tmp_path, monkeypatch, content):
    monkeypatch.setattr(front_door, "_pages_file", lambda: tmp_path / "pages.json")
    (tmp_path / "pages.json").write_text(content)
    assert front_door._pages_seconds("vader", 600.0) == (40 if "40" in content else 120)
    front_door._remember_pages("vader", 50.0)
    assert front_door._pages_seconds("vader", 600.0) == 50


@pytest.fixture(scope="module")
def measured(copy) -> tuple[str, Path]:
    """What one command prints on a table of which two fifths are left out, and the run folder."""

    def measure(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "lib.measure", *arguments]
        return subprocess.run(
            command, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, text=True, capture_output=True
        )

    with pytest.MonkeyPatch.context() as patch:
        for module in (specs, records, front_door):
            patch.setattr(module, "ROOT", copy)
        assert front_door.main(["--table", "", "--groups", "24"]) == 0
    rows = pd.read_csv(copy / "outputs" / "answers.csv", dtype=str, keep_default_na=False)
    moods = rows["prompt_id"].str.split("/").str[1]
    rows["completion"] = np.where(moods == "negative", "a sad and gloomy thing.", "oak and pine.")
    rows.loc[np.random.default_rng(0).random(len(rows)) < 0.4, "completion"] = "..."
    rows.to_csv(copy / "filled.csv", index=False)
    done = measure("--table", "filled.csv", "--name", "Mine 7B", "--judge", "vader")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, copy / "outputs" / "mine-7b"


def test_one_command_measures_a_table_from_end_to_end(measured):
    printed, run = measured
    assert "mine-7b, chat mode" in printed
    assert "120 completions in 24 groups in 24 stems, 1 a prompt" in printed
    told = json.loads((run / "card.json").read_text())
    both = {row["quantity"]: row for row in told["models"][0]["quantities"] if row["arm"] == "negative"}
    assert both["net"]["estimate"] == 100.0 and both["leak"]["estimate"] == 100.0
    assert "make reproduce SET=mine-7b" in (run.parents[1] / "params" / "mine-7b.yaml").read_text()


def test_too_much_that_is_missing_is_seen_on_board_pages_and_figures(measured):
    _, run = measured
    board = pd.read_csv(run / "headline.csv").set_index("claim")
    for claim in ("C0", "C4"):
        assert board.loc[claim, "verdict"] == "inconclusive"
        assert "% of completions are unusable (arm " in board.loc[claim, "reason"]
    assert "inconclusive: " in (run / "headline.md").read_text()
    assert "% of completions are unusable" in (run / "headline.md").read_text()
    for page in ("03_judging.mine-7b", "05_scaling_analysis", "06_prompting_mitigation_ablation"):
        book = nbformat.read(run / "executed" / f"{page}.ipynb", as_version=4)
        shown = [str(output) for cell in book.cells for output in cell.get("outputs", [])]
        assert any("% of completions are unusable" in text for text in shown), page
        drawn = [text for text in shown if "<img alt=" in text and "Published" not in text]
        assert all(
            '<img alt="INCONCLUSIVE ' in text and " % of completions are unusable (arm " in text
            for text in drawn
        ), page
    book = nbformat.read(run / "executed" / "02_generation.mine-7b.ipynb", as_version=4)
    shown = str([cell.get("outputs") for cell in book.cells])
    assert "empty, %" in shown and "The usability rule is **broken" in shown
