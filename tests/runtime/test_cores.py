"""How many cores and threads there are, also where the system or the environment tells little."""

import os

import pytest

from lib.cli import batch
from lib.config.sections import Mining
from lib.mining import mining_job
from lib.runtime import cores


@pytest.fixture
def without_affinity(monkeypatch):
    """macOS: no os.sched_getaffinity."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert cores.available_cores() == 3


@pytest.mark.parametrize(("count", "expected"), [(8, 8), (None, 1)])
def test_without_affinity_all_cores_count(without_affinity, monkeypatch, count, expected):
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert cores.available_cores() == expected


@pytest.mark.parametrize(
    ("wished", "expected"),
    [(None, 4), ("", 4), ("2", 2), ("99", 4), ("1,4", 1), (" 3 ", 3), ("0", 4), ("-1", 4), ("many", 4)],
)
def test_threads_are_lowered_by_the_environment_where_it_is_sound(monkeypatch, wished, expected):
    monkeypatch.setattr(cores, "available_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wished is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", wished)
    assert cores.available_threads() == expected


def test_a_mining_job_is_prepared_without_affinity(without_affinity, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    folder = mining_job.prepare(tmp_path, [tmp_path / "a.wet"], Mining())
    assert mining_job.executor(folder).workers == 6


def test_the_command_line_starts_without_affinity(without_affinity, capsys):
    with pytest.raises(SystemExit) as ended:
        batch.main(["run", "--help"])
    assert ended.value.code == 0 and "--cores" in capsys.readouterr().out
