"""The terminal: one line a notebook, one bar, plain lines where it is none, a time that is measured and
corrected."""

import io
import json
import re
import subprocess

import pytest
from rich.console import Console

from lib.cli import eta, jobs, terminal
from lib.cli.eta import Estimate, Estimator
from lib.cli.jobs import DONE, RUNNING, Job, Phase
from lib.config import specs
from lib.runtime import command_line
from lib.storage import times

FACTS = {
    "judge": "vader",
    "completions": {"a": 1000, "b": 1000},
    "models": {
        name: {"id": "x", "mode": "completion", "remote": False, "parameters": eta.BUNDLED} for name in "ab"
    },
}


@pytest.fixture(autouse=True)
def no_earlier_times(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(eta.shutil, "which", lambda _: None)


def run_of(tmp_path, *models: str) -> jobs.Jobs:
    """The jobs of a run, all waiting."""
    found = jobs.Jobs(tmp_path)
    names = [("01_dataset", "")]
    names += [(notebook, model) for notebook in ("02_generation", "03_judging") for model in models]
    names += [
        (notebook, "")
        for notebook in ("04_human_agreement", "05_scaling_analysis", "06_prompting_mitigation_ablation")
    ]
    for notebook, model in names:
        name = f"s.{notebook}.{model}"
        found[name] = Job(name, notebook, "s", model)
    found.facts = dict(FACTS)
    return found


def finish(job: Job, begun: float, ended: float) -> None:
    job.state, job.begun, job.ended = DONE, begun, ended


def generate(job: Job, begun: float, left: float, at: float, initial: int = 0) -> None:
    job.state, job.begun = RUNNING, begun
    job.phases["a"] = Phase("a", begun, 500, 1000, initial, "completions", left, at)


def test_nothing_is_told_before_something_is_measured(tmp_path):
    found = jobs.Jobs(tmp_path)
    found[jobs.PREPARATION] = Job(jobs.PREPARATION, jobs.PREPARATION, state=RUNNING, begun=1.0)
    assert not Estimator(2).estimate(found, 3.0).measured, "nobody knows yet what will run"
    found = run_of(tmp_path, "a", "b")
    assert not Estimator(2).estimate(found, 0.0).measured
    finish(found["s.01_dataset."], 1.0, 5.0)
    assert not Estimator(2).estimate(found, 4.0).measured, "the pace of the first model is still unknown"


def test_the_pace_of_the_first_model_tells_that_of_the_second_and_the_rest_by_its_cost(tmp_path):
    found = run_of(tmp_path, "a", "b")
    finish(found["s.01_dataset."], 1.0, 5.0)
    generate(found["s.02_generation.a"], 5.0, left=50.0, at=55.0)
    estimate = Estimator(2).estimate(found, 55.0)
    assert estimate.measured and not estimate.unknown
    cost = {name: fixed + each * 1000 for name, (fixed, each) in eta.COSTS.items()}
    rate = 104.0 / (cost["01_dataset"] + cost["02_generation"])
    both = rate * cost["03_judging"]  # two cores, two models
    names = ("04_human_agreement", "05_scaling_analysis", "06_prompting_mitigation_ablation")
    last = eta._makespan([rate * (eta.COSTS[name][0] + 2000 * eta.COSTS[name][1]) for name in names], 2)
    assert estimate.left == pytest.approx(50.0 + 100.0 + both + last)
    alone = Estimator(1).estimate(found, 55.0)
    assert alone.left > estimate.left + both * 0.9, "one core judges one model after the other"


def test_a_model_that_failed_and_what_waits_for_it_are_named(tmp_path):
    found = run_of(tmp_path, "a", "b")
    assert found.without_results() == ([], []), "without a benchmark no model has any"
    for job in found.values():
        job.state = DONE if job.notebook == "01_dataset" or job.model == "a" else job.state
    found["s.02_generation.b"].state = jobs.FAILED
    waiting = ["04_human_agreement", "05_scaling_analysis", "06_prompting_mitigation_ablation"]
    assert found.without_results() == (["b"], waiting)


def test_a_run_that_goes_on_counts_only_what_it_does(tmp_path):
    found = run_of(tmp_path, "a", "b")
    generate(found["s.02_generation.a"], 1.0, left=25.0, at=26.0, initial=500)
    found["s.02_generation.b"].state = DONE
    found.pop("s.02_generation.b")
    half = Estimator(2)._measured(
        found, {name: eta.work(job, found.facts) for name, job in found.items()}, 26.0
    )
    about, seconds = half["s.02_generation.a"]
    assert (about.completions, seconds) == (500, 50.0)


def test_what_only_a_server_knows_is_named(tmp_path):
    found = run_of(tmp_path, "a", "b")
    found.facts["models"] = FACTS["models"] | {"b": FACTS["models"]["b"] | {"id": "y", "remote": True}}
    generate(found["s.02_generation.a"], 1.0, left=50.0, at=51.0)
    assert Estimator(2).estimate(found, 51.0).unknown == ["02_generation b"]


def test_earlier_times_on_this_machine_are_kept_and_used(tmp_path):
    found = run_of(tmp_path, "a")
    finish(found["s.03_judging.a"], 1.0, 31.0)
    Estimator(2).keep(found)
    found = run_of(tmp_path, "a")
    finish(found["s.01_dataset."], 1.0, 5.0)
    estimator = Estimator(2)
    about = eta.work(found["s.03_judging.a"], found.facts)
    assert estimator._expected(found["s.03_judging.a"], about, {}) == 30.0
    busy = {"other": (about, 60.0)}
    alike = eta.Work(about.key + " of another kind", 1, None)
    assert estimator._slower(busy) == 2.0 and estimator._slower({"other": (alike, 60.0)}) == 1.0


def test_a_language_model_that_is_asked_about_a_sample_takes_a_time_of_its_own(tmp_path):
    found = run_of(tmp_path, "a")
    asked = Job("s.04e_llm_judge", "04e_llm_judge", "s")
    assert eta.work(found["s.04_human_agreement."], found.facts).cost
    assert eta.work(asked, found.facts).cost is None
    found[asked.name] = asked
    generate(found["s.02_generation.a"], 1.0, left=50.0, at=51.0)
    assert Estimator(2).estimate(found, 51.0).unknown == ["04e_llm_judge"]


def test_generation_that_found_every_completion_tells_nothing_of_the_pace(tmp_path):
    found = run_of(tmp_path, "a")
    finish(found["s.01_dataset."], 1.0, 5.0)
    finish(found["s.02_generation.a"], 5.0, 14.0)  # without a bar
    estimator, key = Estimator(2), eta.work(found["s.02_generation.a"], found.facts).key
    measured = estimator._measured(
        found, {name: eta.work(job, found.facts) for name, job in found.items()}, 14.0
    )
    assert "s.02_generation.a" not in measured and "s.01_dataset." in measured
    estimator.keep(found)
    assert times.Times().of(key) is None and times.Times().of("01_dataset") is not None


def test_judging_takes_longer_with_a_judge_that_reads_each_text_with_an_encoder(tmp_path):
    found = run_of(tmp_path, "a")
    costs = {
        judge: {name: eta.work(job, found.facts | {"judge": judge}).cost for name, job in found.items()}
        for judge in ("vader", "learned")
    }
    more = {
        name: costs["learned"][name] - cost
        for name, cost in costs["vader"].items()
        if costs["learned"][name] != cost
    }
    assert more == {"s.03_judging.a": pytest.approx(1000 * eta.JUDGED["learned"])}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(4, "10 seconds"), (94, "90 seconds"), (150, "2 minutes"), (2460, "41 minutes"), (9000, "2.5 hours")],
)
def test_times_as_people_say_them(seconds, said):
    assert command_line.format_duration(seconds) == said


def bar_at(done: int, total: int) -> dict:
    """A record of a bar."""
    return {"phase": "bar", "done": done, "total": total, "initial": 0, "unit": "texts", "left": total - done}


def test_a_cache_that_cannot_be_written_stops_no_run(tmp_path, monkeypatch):
    found = run_of(tmp_path, "a")
    finish(found["s.03_judging.a"], 1.0, 31.0)
    estimator = Estimator(2)

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(times.records, "write_text", full)
    estimator.keep(found)


@pytest.mark.parametrize("text", ["", "[]", '{"key": [1]}', '{"key": ["a", 2]}', '{"key": [0, 2]}'])
def test_damaged_times_are_none(text):
    path = times.Times()._path
    path.write_text(text)
    assert times.Times().of("key") is None
    path.write_text('{"key": [2, 3.5]}')
    assert times.Times().of("key") == (2, 3.5)


class Told:
    """A View of records that a test writes, on a console that keeps what is shown."""

    def __init__(self, folder, **console):
        self.folder, self.file = folder, io.StringIO()
        folder.mkdir()
        made = Console(file=self.file, highlight=False, markup=False, soft_wrap=True, **console)
        self.view = terminal.View(folder, 2, lambda: {}, made)

    def tell(self, name: str, now: float, **record) -> None:
        with (self.folder / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps({"time": now, **record}) + "\n")
        self.view.refresh(now)

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()


def test_plain_lines_are_few_and_none_is_of_control_characters(tmp_path):
    told = Told(tmp_path / "progress", width=80)
    start = told.view._begun
    told.tell("s.02_generation.a", start, begin="")
    for second in range(300):
        told.tell("s.02_generation.a", start + second, **bar_at(second, 300))
    told.tell("s.02_generation.a", start + 300, message="its last record was cut short")
    told.tell("s.02_generation.a", start + 301, end=301.0)
    assert told.lines[0] == "02_generation.a …"
    assert told.lines[-2:] == ["its last record was cut short", "02_generation.a done in 301 s"]
    between = [line for line in told.lines if "of 300 texts" in line]
    assert 1 <= len(between) <= 10
    assert "\x1b" not in told.file.getvalue() and "\r" not in told.file.getvalue()


def test_on_a_terminal_parallel_notebooks_have_a_line_each_and_one_bar(tmp_path):
    told = Told(tmp_path / "progress", width=80, height=24, force_terminal=True)
    start = told.view._begun
    for model in "ab":
        told.tell(f"s.03_judging.{model}", start, begin="")
        told.tell(f"s.03_judging.{model}", start + 1, **bar_at(5, 10))
    picture = told.view._picture(Estimate(10.0, [], True), start + 10)
    shown = Console(file=io.StringIO(), width=80, height=24)
    shown.print(picture)
    lines = shown.file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["03_judging.a", "bar,", "5", "of", "10", "texts"]
    assert lines[1].startswith("03_judging.b") and "10 seconds left" in lines[2]
    assert max(map(len, lines)) <= 80


def test_more_notebooks_than_lines_are_counted(tmp_path):
    told = Told(tmp_path / "progress", width=80, height=10, force_terminal=True)
    told.view.jobs |= run_of(tmp_path, *"abcdefgh")
    shown = Console(file=io.StringIO(), width=80, height=10)
    shown.print(told.view._picture(Estimate(10.0, [], False), told.view._begun))
    lines = shown.file.getvalue().splitlines()
    assert len(lines) <= 9
    assert any(line.startswith("and 14 more") for line in lines) and "measuring …" in lines[-1]


def test_the_time_is_said_once_and_again_only_when_it_moves(tmp_path):
    told = Told(tmp_path / "progress", width=100)
    start = told.view._begun
    for second, left in ((60, 2400.0), (120, 2300.0), (180, 2900.0), (240, 2000.0), (300, 3500.0)):
        told.view._announce(Estimate(left, [], True), start + second)
    minutes = [line.split("about ")[1].split()[0] for line in told.lines]
    assert minutes == ["41", "51", "37", "63"], "39 differs too little from 41"
    assert told.lines[0] == "This takes about 41 minutes on this machine."
    assert told.lines[1] == "Corrected: about 51 minutes in all on this machine."


def test_an_unmeasured_part_makes_it_a_lower_bound(tmp_path):
    told = Told(tmp_path / "progress", width=100)
    told.view._announce(Estimate(600.0, ["03_judging a"], True), told.view._begun)
    assert told.lines == ["This takes more than 10 minutes on this machine; not measured yet: 03_judging a."]


def test_make_alone_prints_what_a_person_may_want_in_that_order():
    said = subprocess.run(
        ["make", "--no-print-directory"], cwd=specs.ROOT, capture_output=True, text=True, check=True
    ).stdout
    offered = re.findall(r"^make ([\w-]+)", said, flags=re.MULTILINE)
    assert offered[:6] == ["reproduce", "measure", "lab", "plan", "compare", "test"]
    assert not re.search(r"\bminutes?\b", said), "times are measured, not written down"
    assert all(len(line) <= 100 for line in said.splitlines() if not line.startswith("SET"))


def test_what_is_made_once_tells_its_own_time_left():
    job = Job(jobs.PREPARATION, jobs.PREPARATION, state=RUNNING, begun=1.0)
    assert terminal.status(job, 8.0) == "7 s"
    job.phases["training"] = Phase("training", 2.0, 5, 1200, 0, "GFLOP", 600.0, 5.0)
    assert terminal.status(job, 65.0) == "training, 5 of 1,200 GFLOP, about 9 minutes left"
