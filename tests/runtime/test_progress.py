"""Progress: what a job tells of itself, how its time left follows, and what a reader makes of records cut
short."""

import json
import sys
import threading

import pytest

from lib.cli import jobs
from lib.runtime import progress
from lib.runtime.progress import seconds_left


@pytest.fixture
def records(tmp_path, monkeypatch):
    """Reads the records that this process has written since it began the job 'set.page'."""
    monkeypatch.setenv(progress.FILE, str(tmp_path / "run.jsonl"))
    progress.begin("set.page")
    return lambda: [json.loads(line) for line in (tmp_path / "set.page.jsonl").read_text().splitlines()]


def test_by_hand_a_bar_is_one_of_tqdm_and_a_message_is_printed(capsys, monkeypatch):
    monkeypatch.delenv(progress.FILE, raising=False)
    with progress.bar(3, "fitting", "batches") as bar:
        bar.update(2)
        bar.step(3)
    progress.message("seen")
    shown = capsys.readouterr()
    assert "fitting: 100%" in shown.err and "3/3" in shown.err
    assert shown.out == "seen\n"


def test_in_a_batch_nothing_is_printed_and_records_are_told(records, capsys):
    with progress.bar(10, "fitting", "batches", 4) as bar:
        bar.update(6)
    progress.message("seen")
    assert capsys.readouterr() == ("", "")
    first, last = [record for record in records() if "phase" in record]
    assert (first["done"], first["initial"], first["total"], first["left"]) == (4, 4, 10, None), (
        "nothing is measured yet"
    )
    assert (last["done"], last["left"], last["unit"]) == (10, 0.0, "batches")
    assert records()[-1]["message"] == "seen"


def test_a_step_settles_what_threads_counted_in_it(records):
    with progress.bar(10, "completions", "completions", 2, costs=[1, 1]) as bar:
        bar.update(3)
        bar.update(7)
        bar.step(4)
        assert bar.done == 6


def test_many_updates_are_few_records(records):
    with progress.bar(5000, "fitting", "batches") as bar:
        for _ in range(5000):
            bar.update()
    assert len(records()) <= 5


def test_a_full_disk_does_not_stop_the_work(monkeypatch, tmp_path):
    monkeypatch.setenv(progress.FILE, str(tmp_path / "nowhere" / "run.jsonl"))
    with progress.bar(1, "fitting", "batches") as bar:
        bar.update()


@pytest.mark.parametrize(
    ("costs", "in_seconds", "steps", "earlier", "within", "left"),
    [
        ([10, 20, 30], False, 0, 0, 5, None),  # relative: unknown until a step is finished
        ([10, 20, 30], False, 1, 5, 4, 6 + 15),  # half as long as their costs
        ([10, 20, 30], True, 0, 0, 4, 6 + 50),
        (
            [10, 20, 30],
            True,
            0,
            0,
            15,
            1.5 + 75,
        ),  # the first step is half as long again as expected, and so are the others
        ([10, 20, 30], True, 1, 5, 100, 1 + 15),  # overdue: a tenth of it is taken to be left
        ([10, 20, 30], True, 3, 5, 0, 0),
        ([0, 0], False, 0, 0, 3, None),
    ],
)
def test_seconds_left_by_hand(costs, in_seconds, steps, earlier, within, left):
    found = seconds_left(costs, in_seconds, steps, earlier, within)
    assert found is None if left is None else found == pytest.approx(left)


def test_a_reader_takes_whole_records_in_order_of_time_and_passes_over_torn_ones(tmp_path):
    found = jobs.Jobs(tmp_path)
    planned = [
        jobs.planned("03_judging", f"outputs/s/executed/03_judging.{model}.ipynb", model) for model in "ab"
    ]
    (tmp_path / "run.jsonl").write_text(json.dumps({"time": 1, "jobs": planned}) + "\n")
    whole = [
        {"time": 3, "begin": "x"},
        {"time": 4, "phase": "texts", "done": 1, "total": 9, "initial": 0, "unit": "texts", "left": 8.0},
    ]
    (tmp_path / "s.03_judging.a.jsonl").write_text(
        "\n".join(map(json.dumps, whole)) + '\nnot json\n{"time": 5, "mess'
    )
    (tmp_path / "s.03_judging.b.jsonl").write_text('{"time": 2, "begin": "x"}\n{"time": 6, "end": 4.0}\n')
    events = found.update_from_records()
    assert [(event.kind, event.job.model) for event in events] == [
        ("begin", "b"),
        ("begin", "a"),
        ("end", "b"),
    ]
    assert [job.state for job in found.values()] == [jobs.RUNNING, jobs.DONE]
    assert found["s.03_judging.a"].phase.seconds_left(7) == 5.0, "three seconds have passed since"
    with (tmp_path / "s.03_judging.a.jsonl").open("a") as file:
        file.write('age": "seen"}\n')
    assert [event.text for event in found.update_from_records()] == ["seen"], (
        "the rest of the record has come"
    )
    assert found.update_from_records() == []


def test_the_bar_that_is_shown_is_that_of_the_last_record(tmp_path):
    """Also if a bar of its name was shown before another one."""
    bars = [("a", 5), ("b", 9), ("a", 2)]
    records = [
        {"time": 3, "phase": name, "done": done, "total": 9, "initial": 0, "unit": "texts", "left": None}
        for name, done in bars
    ]
    (tmp_path / "s.03_judging.a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    found = jobs.Jobs(tmp_path)
    found.update_from_records()
    phase = found["s.03_judging.a"].phase
    assert (phase.name, phase.done) == ("a", 2)


def test_a_thread_beside_that_of_a_notebook_draws_no_bar(monkeypatch, capsys):
    monkeypatch.delenv(progress.FILE, raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    counted = []

    def work():
        with progress.bar(3, "judging", "texts") as bar:
            bar.update(2)
            bar.step(3)
            counted.append(bar.done)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert counted == [3] and capsys.readouterr().err == ""
