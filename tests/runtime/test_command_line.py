"""How commands end, alike: exit codes, the one message on standard error, help texts of at most 100
columns."""

import numpy as np
import pytest

from lib.annotation import exchange
from lib.cli import batch, export, publish_prompts, train_ladder
from lib.config import params
from lib.dataset import own_sentences
from lib.measure import __main__ as measure
from lib.measure import compare
from lib.report import ladder_reports
from lib.runtime import command_line, progress
from lib.runtime.command_line import BUG, INTERRUPTED, USER_ERROR, exit_code
from lib.runtime.errors import DataError, JobError, MissingPackageError, ResourceError, UserError, is_users


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_work_that_ends_well_returns_its_own_code(returned, code, capsys):
    assert exit_code(lambda: returned) == code
    assert capsys.readouterr() == ("", "")


def failing(error):
    def work(*_, **__):
        raise error

    return work


@pytest.mark.parametrize(
    "kind", [UserError, DataError, ResourceError, MissingPackageError, JobError, OSError]
)
def test_a_mistake_is_one_message_on_standard_error(kind, capsys):
    assert exit_code(failing(kind("SET=x: no such set"))) == USER_ERROR
    assert capsys.readouterr() == ("", "error: SET=x: no such set\n")


def test_an_interruption_says_what_is_kept(capsys):
    assert exit_code(failing(KeyboardInterrupt()), "go on") == INTERRUPTED == 130
    assert capsys.readouterr() == ("", "\ninterrupted; go on\n")


@pytest.mark.parametrize("kind", [KeyError, ValueError, ImportError, RuntimeError])
def test_a_bug_shows_its_traceback_and_how_to_report_it(kind, capsys):
    assert exit_code(failing(kind("column"))) == BUG
    said = capsys.readouterr().err
    assert (
        said.startswith("Traceback (most recent call last)") and "in failing" in said
    ) or "in work" in said
    assert f"error: {kind.__name__}: " in said and "this is a bug of expression-leakage" in said


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("can't start new thread"),
        np.zeros,
    ],
)
def test_too_little_memory_is_no_bug(error, capsys):
    work = failing(error) if isinstance(error, Exception) else lambda: np.zeros((10**9, 10**6))
    assert exit_code(work) == USER_ERROR
    said = capsys.readouterr().err
    assert said.startswith("error: there is not enough memory; ") and said.count("\n") == 1


def test_nothing_that_is_said_commands_the_terminal(capsys):
    assert exit_code(failing(DataError("a\x1b[31mb\x07\r\x9b2Jc\nd"))) == USER_ERROR
    progress.message("\x1b]0;title\x07")
    assert capsys.readouterr() == (" ]0;title \n", "error: a [31mb   2Jc\nd\n")


def test_errors_are_told_apart_by_the_name_of_their_class():
    assert all(map(is_users, ("ParameterError", "DataError", "ResourceError", "PermissionError", "OSError")))
    assert not any(map(is_users, ("ValueError", "KeyError", "RuntimeError", "ImportError", "NotThere")))


def test_a_job_of_the_batch_tells_its_error_to_the_batch_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(progress.FILE, str(tmp_path / "run.jsonl"))
    assert exit_code(failing(DataError("wrong"))) == USER_ERROR
    assert '"error": "wrong"' in (tmp_path / "run.jsonl").read_text() and capsys.readouterr().err == ""


COMMANDS = {
    "batch": (lambda: batch.main(["plan", "smoke"]), batch, "plan"),
    "measure": (lambda: measure.main(["mock:leak-0"]), measure, "measure"),
    "compare": (lambda: compare.main(["a", "b"]), compare, "write"),
    "export": (lambda: export.main([]), export, "export"),
    "own_sentences": (lambda: own_sentences.main("smoke"), params, "dataset"),
    "annotation_exchange": (lambda: exchange.main(["export", "smoke"]), exchange, "export_labels"),
    "publish_prompts": (lambda: publish_prompts.main(["smoke"]), params, "load"),
    "train_ladder": (lambda: train_ladder.main([]), ladder_reports, "of_families"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DataError("x: wrong"), USER_ERROR, "error: x: wrong\n"),
        (KeyboardInterrupt(), INTERRUPTED, "\ninterrupted; "),
    ],
)
def test_every_command_ends_so(command, error, code, says, monkeypatch, capsys):
    call, module, work = COMMANDS[command]
    monkeypatch.setattr(module, work, failing(error))
    assert call() == code
    assert capsys.readouterr().err.startswith(says)


@pytest.mark.parametrize("columns", [80, 100, 200])
@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (measure.main, []),
        (compare.main, []),
        (exchange.main, ["export"]),
        (exchange.main, []),
        (publish_prompts.main, []),
        (train_ladder.main, []),
        *((batch.main, [name]) for name in ("run", "notebook", "plan", "prepare", "finish")),
        (batch.main, []),
    ],
)
def test_a_help_text_is_no_wider_than_the_terminal_and_100_columns(
    main, arguments, columns, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    shown = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0 and len(shown) > 3
    assert max(map(len, shown)) <= min(columns, command_line.WIDTH)
