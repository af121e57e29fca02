import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCardData
from rich.cells import cell_len
from transformers import AutoTokenizer

from lib import batch, models, power, records, specs
from lib.measure import __main__ as front_door
from lib.measure import answers, budget, card, compare, identify, sets, tables
from lib.specs import Model, ParameterError

main, TESTS = front_door.main, Path(__file__).parent
KNOWN = power.Components(stem=200.0, group=0.0, sample=1000.0, n_stems=324, n_groups=324, n=972)
STEMS, GROUPS, MARGIN = 324, 972, 5.0


@pytest.mark.parametrize(
    ("label", "slug", "family"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b-instruct", "qwen2.5"),
        ("meta-llama/Llama-3.2-1B", "llama-3.2-1b", "llama-3.2"),
        ("models/SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct.q4_1", "smollm2"),
        ("EleutherAI/pythia-70m-deduped", "pythia-70m-deduped", "pythia"),
        ("gpt2", "gpt2", "gpt2"),
        ("gpt-4o mini (2024)", "gpt-4o-mini-2024", "gpt-4o-mini-2024"),
    ],
)
def test_a_name_and_a_family_are_read_from_a_label(label, slug, family):
    assert (identify.slug(label), identify.family(label)) == (slug, family)
    Model(name=slug, id="canned:leak-0", family=family, tuning="instruct", mode="chat")  # the name is one that a set takes


def asked(**given) -> Model:
    return identify.identify(identify.Request(**given))[0]


@pytest.fixture
def folder(tiny, tmp_path):
    """A copy of the tiny model whose chat template and end token a test may change."""

    def made(name: str, template: bool = True, end: str | None = None):
        place = tmp_path / name
        shutil.copytree(tiny, place)
        tokenizer = AutoTokenizer.from_pretrained(place)
        if not template:
            tokenizer.chat_template = None
            (place / "chat_template.jinja").unlink(missing_ok=True)
        tokenizer.eos_token = end or tokenizer.eos_token
        tokenizer.save_pretrained(place)
        return str(place)

    return made


def test_a_model_tuned_on_its_chat_template_is_asked_in_chat_mode(folder):
    found = asked(model=folder("some-1b"))
    assert (found.mode, found.tuning, found.template_system, found.dtype) == ("chat", "instruct", True, "float32")
    assert asked(model=folder("other"), mode="completion").mode == "completion"


def test_a_model_without_a_chat_template_is_continued_and_not_asked_to_chat(folder):
    place = folder("bare", template=False)
    assert (asked(model=place).mode, asked(model=place).tuning) == ("completion", "base")
    with pytest.raises(ParameterError, match=r"MODE=chat: .* has no chat template, as a base model; take MODE=completion"):
        asked(model=place, mode="chat")


def test_a_template_on_which_a_model_may_not_be_tuned_is_asked_about(folder):
    with pytest.raises(ParameterError, match=r"MODE is ambiguous: .* say MODE=chat or MODE=completion"):
        asked(model=folder("unclear-1b", end="<|endoftext|>"))
    assert asked(model=folder("some-1b-base", end="<|endoftext|>")).mode == "completion"
    assert asked(model=folder("some-1b-it", end="<|endoftext|>")).mode == "chat"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("nothing-of-the-kind", "no such model"),
        ("bundled:SmolLM2-135M", "did you mean 'bundled:SmolLM2-135M-Instruct'"),
        ("./nowhere", "no such folder"),
        ("model.Q8.gguf", "no such file; give the path of a .gguf file"),
        (__file__, "is a file, but no .gguf; a table of completions goes to TABLE="),
    ],
)
def test_what_is_no_model_is_refused_with_a_remedy(given, says):
    with pytest.raises(ParameterError, match=says):
        asked(model=given)


def test_of_several_models_of_a_server_one_must_be_named(stand_in):
    url = f"http://127.0.0.1:{stand_in.port}/v1"
    with pytest.raises(ParameterError, match=r"NAME is missing: .* lists stand-in-7b, stand-in-70b; say which one"):
        asked(model=url)
    found = asked(model=url, name="stand-in-7b")
    assert (found.name, found.id, found.mode, found.server.url) == ("stand-in-7b", "stand-in-7b", "chat", url)
    stand_in.listed = ["stand-in-7b"]
    assert asked(model=url).id == "stand-in-7b"
    assert asked(model=url.removesuffix("/v1")).server.url == url
    stand_in.stop()
    with pytest.raises(ParameterError, match="cannot be reached"):
        asked(model=url)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("2M", 120)])
def test_a_budget_is_a_time(text, seconds):
    assert budget.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10", "-5m", "0s", "5x", "1..5m"])
def test_what_is_no_time_is_no_budget(text):
    with pytest.raises(ParameterError, match="no such time; give for example"):
        budget.seconds(text)


def lacks(at_hand: int = 0):
    """What each group of a full design lacks of which the first groups are at hand, one sample a prompt, without mitigations."""

    def of(samples: int, mitigated: bool) -> np.ndarray:
        needed = np.full(GROUPS, budget.per_group(samples, mitigated, 4))
        needed[:at_hand] -= budget.per_group(1, 0, 4)
        return needed

    return of


def chosen(seconds: float, pace: float = 1.0, **given) -> budget.Design:
    return budget.choose(KNOWN, pace, seconds, STEMS, given.pop("lacks", lacks()), 4, MARGIN, **given)


def test_more_time_never_tells_less_and_is_not_overdrawn():
    times = (5, 30, 60, 300, 600, 3600)
    designs = [chosen(seconds, 0.05) for seconds in times]
    assert [design.mde for design in designs[:3]] == sorted((design.mde for design in designs[:3]), reverse=True)
    for design, seconds in zip(designs, times, strict=True):
        assert design.completions * 0.05 <= seconds
    assert not designs[0].mitigation_samples and designs[-1].mitigation_samples
    assert all(design.mde <= MARGIN for design in designs if design.mitigation_samples)
    assert designs[-1].groups == GROUPS


def test_the_effect_that_a_design_tells_is_that_of_the_power_code():
    design = chosen(500)
    assert (design.groups, design.samples, design.completions) == (100, 1, 500)
    assert design.mde == pytest.approx(power.minimum_detectable_effect(KNOWN, 100, 1, 1))
    said = budget.summary(design, 500)
    assert said.startswith(
        "500 completions (100 groups, 1 a prompt, no mitigations), about 8 minutes, will tell a net excess of "
    )
    assert f" {design.mde:.1f} points from 0 four times of five." in said


def test_what_is_at_hand_costs_nothing_and_no_design_is_smaller_than_the_one_before():
    fresh = chosen(500)
    longer = chosen(500, lacks=lacks(100), earlier=fresh)
    assert (longer.groups, longer.samples) == (200, 1)
    assert chosen(0, lacks=lacks(100), earlier=fresh) == fresh
    assert chosen(-5, lacks=lambda *_: np.full(GROUPS, 7), earlier=fresh) == fresh


def test_a_budget_too_small_for_two_groups_says_what_they_take():
    with pytest.raises(ParameterError, match="two groups of 5 completions take about 20 s on this machine; give a larger one"):
        chosen(19, 2.0)


def test_variances_are_those_of_both_polarities_together():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"stem_id": np.repeat(range(400), 6), "sample_index": np.tile(np.repeat([0, 1, 2], 2), 400)})
    rows = rows.assign(model="m", group_id=rows["stem_id"].astype(str), contrast=np.tile(power.CONTRASTS[:2], 1200))
    rows["difference"] = np.repeat(rng.normal(0, 10, 400), 6) + rng.normal(0, 20, len(rows))
    found = budget.variances(rows)
    assert found.stem == pytest.approx(100, rel=0.3) and found.sample == pytest.approx(200, rel=0.15)  # half of a polarity's 400
    assert (found.n_stems, found.n) == (400, 1200)


def test_rounds_end_with_the_time():
    lacks = pd.Series([5] * 10)
    assert answers._round(lacks, 20, 0.0, 1.0) == 4  # no pace is known: a batch
    assert answers._round(lacks, 20, 0.1, 1.0) == 2  # ten completions fit into a second
    assert answers._round(lacks, 20, 1.0, 4.0) == 0
    assert answers._round(lacks, 3, 0.1, 1.0) == 1  # a batch may be smaller than a group
    assert answers._round(pd.Series([0, 0, 5]), 20, 1.0, -1.0) == 2  # what is at hand needs no time


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder of its own, with the parameter sets."""
    monkeypatch.setattr(specs, "ROOT", tmp_path)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    shutil.copytree(TESTS.parent / "params", tmp_path / "params")
    return tmp_path


CANNED = Model(name="canned", id="canned:leak-30", family="canned", tuning="instruct", mode="completion")


def test_whole_groups_are_made_in_order_until_the_deadline_and_a_later_call_goes_on(project):
    told = sets.values(CANNED, "vader")
    table, ordered = answers.benchmark(told)
    asked = answers.Answers("mine", models.load(CANNED), table)
    run = answers.parameters(told, "mine", CANNED, 1, mitigate=False).model_copy(update={"batch_size": 20})
    slow = asked.model.reply
    asked.model.reply = lambda *given: time.sleep(0.2) or slow(*given)
    made, whole = asked.ask(run, ordered[:100], 0.01, time.monotonic() + 1)
    assert 4 <= whole <= 24 and made["group_id"].drop_duplicates().isin(ordered[:whole]).all() and len(made) == 5 * whole
    asked.model.reply = slow
    lacks = asked.lacks(run, ordered)
    assert not lacks(1, False)[:whole].any() and (lacks(1, False)[whole:] == 5).all()
    assert asked.ask(run, ordered[:100])[1] == 100


def test_a_set_is_written_that_loads_and_names_that_are_taken_are_refused(project):
    design = budget.Design(40, 2, 1, 4)
    path = sets.write("mine", sets.values(CANNED, "vader", design))
    assert path.read_text().startswith(sets.MARK)
    found = sets.earlier("mine", CANNED)
    assert sets.design(found) == design or sets.design(found).completions == design.completions
    assert found.models[0] == CANNED.model_copy(update={"mitigate": True})
    assert sets.earlier("free", CANNED) is None
    with pytest.raises(ParameterError, match=r"SET=embedded is taken: params/embedded.yaml is another parameter set"):
        sets.earlier("embedded", CANNED)
    with pytest.raises(
        ParameterError, match=r"SET=mine is taken: .* measures another model .id 'canned:leak-30', not 'canned:leak-10'"
    ):
        sets.earlier("mine", CANNED.model_copy(update={"id": "canned:leak-10"}))


def test_a_set_that_was_changed_since_is_not_undone(project):
    design = budget.Design(40, 2, 1, 4)
    path = sets.write("mine", sets.values(CANNED, "vader", design))
    for old, new in (("seed: 20251118", "seed: 7"), ("first_groups: 40", "first_groups: null"), ("title: ", "title: my ")):
        path.write_text(written := path.read_text().replace(old, new))
        with pytest.raises(ParameterError, match="is not as measuring wrote it"):
            sets.earlier("mine", CANNED)
        path.write_text(written.replace(new, old))
    assert sets.earlier("mine", CANNED)


@pytest.mark.parametrize("name", ["", "a/b", "../evil", "my set", "-x", "x" * 81, "naïve"])
def test_a_name_that_no_set_can_have_is_refused_before_anything_is_written(project, name):
    before = sorted(project.rglob("*"))
    assert main(["canned:leak-30", f"--set={name}", "--judge", "vader"]) == 1
    assert sorted(project.rglob("*")) == before


def test_a_set_that_is_not_valid_is_not_kept(project):
    with pytest.raises(ParameterError):
        sets.write("mine", sets.values(CANNED, "vader", budget.Design(1, 1, 0, 4)))
    assert not (project / "params" / "mine.yaml").exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["canned:leak-31"], "MODEL=canned:leak-31: no such model; did you mean 'canned:leak-30'"),
        (["http://u:secret@host/v1", "--name", "x"], "MODEL: the URL of the server: server.url: holds a user or password"),
        (["canned:leak-30", "--mode", "chat"], "MODE=chat has no effect on a canned model; take it out"),
        (["canned:leak-30", "--samples", "3"], "SAMPLES=3 has no effect on a canned model"),
        (["--table", "x.csv", "--budget", "1m"], "BUDGET=1m has no effect on a table"),
        (["canned:leak-30", "--table", "x.csv"], "what is to be measured"),
        ([], "what is to be measured"),
        (["--table", "", "--groups", "1"], "give 2 to 972 groups"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(project, capsys, given, says):
    assert main(given) == 1
    said = capsys.readouterr().err
    assert says in said and "secret" not in said and said.count("\n") <= 3


def test_a_small_budget_goes_on_with_what_is_finished(project, monkeypatch):
    """A finished set, called again with hardly any time, stays as large as it was."""
    ran = []
    monkeypatch.setattr(batch, "run", lambda name, cores: ran.append(name))
    monkeypatch.setattr(card, "lines", lambda *_: [])
    monkeypatch.setattr(front_door, "ROOT", project)
    (project / "outputs" / "embedded").mkdir(parents=True)
    shutil.copy(TESTS.parent / "outputs" / "embedded" / "card.json", project / "outputs" / "embedded")
    sets.write("mine", sets.values(CANNED, "vader", budget.Design(30, 1, 0, 4)))
    told = sets.values(CANNED, "vader")
    table, ordered = answers.benchmark(told)
    named = CANNED.model_copy(update={"name": "canned-leak-30"})
    sets.write("mine", sets.values(named, "vader", budget.Design(30, 1, 0, 4)))
    asked = answers.Answers("mine", models.load(named), table)
    asked.ask(answers.parameters(told, "mine", named, 1, mitigate=False), ordered[:30])
    monkeypatch.setattr(budget, "choose", lambda *given: budget.Design(900, 5, 1, 4, 1.0))
    monkeypatch.setattr(answers, "pace", lambda asked, run, *_: (1000.0, run))
    assert main(["canned:leak-30", "--set", "mine", "--judge", "vader", "--budget", "1s"]) == 0
    assert ran == ["mine"]
    assert (
        sets.design(sets.earlier("mine", named)) == budget.Design(30, 1, 0, 4)
        or sets.design(sets.earlier("mine", named)).completions == 150
    )


def test_no_rule_of_the_batch_has_a_name_that_a_set_can_have():
    rules = re.findall(r"^rule (\w+):", (TESTS.parent / "Snakefile").read_text(), re.MULTILINE)
    assert len(rules) == 8
    for rule in rules:
        with pytest.raises(ParameterError, match="no set can be called so"):
            sets.check_name(rule)


def test_sets_whose_confidence_differs_are_not_compared(project):
    for name, confidence in (("one", 0.95), ("two", 0.8)):
        told = sets.values(CANNED, "vader", budget.Design(4, 1, 0, 4))
        told["judging"]["confidence"] = confidence
        sets.write(name, told)
    with pytest.raises(ParameterError, match=r"judging\.confidence differs .0\.95 in one, 0\.8 in two.; make it the same"):
        compare._agreed(["one", "two"], "confidence")


def test_a_record_whose_key_is_no_text_counts_as_damaged(tmp_path, capsys):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"key": ["l"]}\n{"key": "k"}\n')
    with records.Journal(path) as journal:
        assert journal.keys() == {"k"}
    assert "1 damaged records are ignored" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "{", "[]", '{"variances": 1}'])
def test_a_damaged_card_is_named_with_its_remedy(project, content):
    (project / "outputs" / "embedded").mkdir(parents=True)
    (project / "outputs" / "embedded" / "card.json").write_text(content)
    with pytest.raises(ParameterError, match=r"outputs/embedded/card\.json is damaged; make it anew: git checkout"):
        card.read("embedded")


@pytest.mark.parametrize("content", ["", "[]", '{"vader": "x"}', '{"vader": -1}', '{"vader": 40}'])
def test_times_that_cannot_be_read_count_as_not_known(tmp_path, monkeypatch, content):
    monkeypatch.setattr(front_door, "_pages_file", lambda: tmp_path / "pages.json")
    (tmp_path / "pages.json").write_text(content)
    assert front_door._pages_seconds("vader", 600.0) == (40 if "40" in content else 120)
    front_door._remember_pages("vader", 50.0)
    assert front_door._pages_seconds("vader", 600.0) == 50


def test_a_card_without_a_pair_to_judge_says_so(smoke):
    told = json.loads((smoke / "card.json").read_text())
    model = told["models"][0]
    for row in model["quantities"]:
        row |= {"estimate": None, "low": None, "high": None, "n": 0, "n_stems": 0}
    model |= {"same": None, "pairs": []}
    assert any("none of which both completions can be judged" in line for line in card.lines(told))
    assert "not estimated" in card.markdown(told)


def test_a_card_is_no_wider_for_wide_letters_and_sends_no_commands_to_the_terminal(smoke):
    told = json.loads((smoke / "card.json").read_text())
    told["models"][0]["pairs"][0] |= {"completion": "悲しい通り" * 9 + "\x1b[31m", "completion_neutral": "通り" * 30}
    told["models"][0]["name"] = "long-" * 30
    shown = card.lines(told)
    assert all(cell_len(line) <= card.WIDTH and "\x1b" not in line for line in shown)
    assert "TOY, no conclusion: it leaks" in shown[0]


@pytest.fixture
def filled(project):
    """The blank table of six groups, filled by the canned model: rows to change, and a function that gives their design."""
    table, ordered = answers.benchmark(sets.values(CANNED, "vader"))
    paths = tables.write_blank(table, ordered, 6, 2, "completion")
    rows = pd.read_csv(paths[0], dtype=str, keep_default_na=False)
    rows["completion"] = [f"answer {number}." for number in range(len(rows))]

    def design(changed: pd.DataFrame) -> budget.Design:
        changed.to_csv(project / "mine.csv", index=False)
        model = models.load(asked(table="mine.csv"))
        return tables.design(model, table, ordered, sets.values(CANNED, "vader")["mitigations"])

    return rows, design


def test_a_blank_table_holds_the_first_groups_whole_and_is_not_overwritten(filled, project):
    rows, design = filled
    assert len(rows) == 6 * 5 * 2 and rows["prompt_id"].str.split("/").str[1].value_counts().eq(12).all()
    lines = [json.loads(line) for line in (project / "outputs" / "answers.jsonl").read_text().splitlines()]
    assert [line["prompt_id"] for line in lines] == rows["prompt_id"].tolist()
    assert design(rows).groups == 6 and design(rows).samples == 2 and not design(rows).mitigation_samples
    with pytest.raises(FileExistsError, match=r"answers\.csv is there already"):
        tables.write_blank(*answers.benchmark(sets.values(CANNED, "vader")), 6, 2, "chat")


def test_a_table_that_is_not_whole_is_refused_by_what_is_wrong(filled):
    rows, design = filled
    with pytest.raises(ParameterError, match=r"lacks 2 of 60 answers, in 1 groups, which need all of none, neutral, placebo"):
        design(rows.iloc[2:])
    with pytest.raises(ParameterError, match=r"1 rows ask an unknown prompt_id, such as 's1\+m1/none' \(line 2\)"):
        design(rows.assign(prompt_id=["s1+m1/none", *rows["prompt_id"][1:]]))
    blank = rows.assign(completion=["", *rows["completion"][1:]])
    with pytest.raises(ParameterError, match=r"1 of 60 completions are not filled in .line 2"):
        design(blank)
    assert design(blank.assign(outcome=["empty", *[""] * 59])).groups == 6
    with pytest.raises(ParameterError, match="has no column prompt_id"):
        design(rows.drop(columns="prompt_id"))
    with pytest.raises(ParameterError, match="holds one group; at least two are needed"):
        design(rows[rows["prompt_id"].str.startswith(rows["prompt_id"].str.split("/").str[0].iloc[0])])
    with pytest.raises(ParameterError, match=r"lacks 30 of 60 answers.*sample_index 0 to 1"):
        design(rows.assign(sample_index=(rows["sample_index"].astype(int) + 1).astype(str)))
    with pytest.raises(ParameterError, match="every answer has a mitigation"):
        design(rows.assign(mitigation="control"))
    with pytest.raises(ParameterError, match="holds no answers"):
        design(rows.iloc[:0])


def test_a_card_fits_a_terminal_and_tells_what_the_tables_tell(smoke, monkeypatch):
    monkeypatch.setattr(records, "ROOT", smoke.parents[1])
    monkeypatch.setattr(specs, "ROOT", smoke.parents[1])
    told = card.read("smoke")
    shown = card.lines(told, "at the budget, after 20 of 24 groups; a larger BUDGET goes on from there")
    assert len(shown) <= 15 and max(map(len, shown)) <= card.WIDTH
    quantities = pd.read_parquet(smoke / "quantities" / "canned-50.parquet")
    by_arm = quantities[quantities["table"] == "arm"].set_index(["arm", "quantity"])["estimate"]
    own = {(row["arm"], row["quantity"]): row["estimate"] for row in told["models"][0]["quantities"]}
    for key, estimate in by_arm.items():
        assert own[key] == pytest.approx(estimate, abs=1e-5)
    board = pd.read_csv(smoke / "headline.csv").query("claim == 'C0' and model == 'canned-50'").iloc[0]
    assert own["both", "net"] == pytest.approx(board["estimate"], abs=1e-5)
    assert board["reason"] in shown[0] and "TOY, no conclusion" in shown[0]
    assert any("smollm2-135m-chat" in line for line in shown)


def test_the_metadata_of_a_card_is_read_by_the_hub_s_own_library(smoke):
    text = (smoke / "card.md").read_text()
    block = yaml.safe_load(text.split("---\n")[1])
    assert [entry["name"] for entry in block["model-index"]] == ["canned-50", "canned-30", "canned-10"]
    read = ModelCardData(**{"model-index": block["model-index"][:1]})
    net = [result for result in read.eval_results if result.metric_type == "net"]
    assert len(net) == 3 and net[0].metric_args["contexts"] == "both" and len(net[0].metric_args["interval"]) == 2


def test_sets_are_compared_on_the_prompts_that_they_share(smoke, copy, tmp_path, monkeypatch):
    shutil.copytree(copy, tmp_path / "project", ignore=shutil.ignore_patterns(".snakemake"))
    monkeypatch.setattr(records, "ROOT", tmp_path / "project")
    monkeypatch.setattr(specs, "ROOT", tmp_path / "project")
    monkeypatch.setattr(compare, "ROOT", tmp_path / "project")
    outputs = tmp_path / "project" / "outputs"
    shutil.copytree(outputs / "smoke", outputs / "again")
    shutil.copy(tmp_path / "project" / "params" / "smoke.yaml", tmp_path / "project" / "params" / "again.yaml")
    for path in (outputs / "again" / "judgements").glob("*.parquet"):
        rows = pd.read_parquet(path)
        rows[rows["stem_id"].isin(sorted(set(rows["stem_id"]))[:20])].to_parquet(path)
    judgements, left_out = compare.shared(["smoke", "again"])
    assert judgements["group_id"].nunique() == 20 and left_out == 4
    assert sorted(judgements["model"].unique()) == sorted(
        f"{of}/canned-{leak}" for of in ("smoke", "again") for leak in (10, 30, 50)
    )
    said = compare.write(["smoke", "again"])
    assert "20 groups that all 6 models were asked, 4 others left out" in said[1] and "TOY" in said[0]
    assert (outputs / "comparisons" / "smoke+again.svg").is_file()
    assert compare.main(["smoke"]) == 1
    assert compare.main(["smoke", "embedded"]) == 1


def test_one_command_measures_a_table_from_end_to_end(smoke, copy):
    def measure(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "lib.measure", *arguments]
        return subprocess.run(command, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, text=True,
                              capture_output=True)  # fmt: skip

    assert measure("--table", "", "--groups", "8").returncode == 0
    rows = pd.read_csv(copy / "outputs" / "answers.csv", dtype=str, keep_default_na=False)
    moods = rows["prompt_id"].str.split("/").str[1]
    rows["completion"] = np.where(moods == "negative", "a sad and gloomy thing.", "oak and pine.")
    rows.to_csv(copy / "filled.csv", index=False)
    done = measure("--table", "filled.csv", "--name", "Mine 7B", "--judge", "vader")
    assert done.returncode == 0, done.stdout
    assert "mine-7b, chat mode" in done.stdout and "40 completions in 8 groups in 8 stems, 1 a prompt" in done.stdout
    told = json.loads((copy / "outputs" / "mine-7b" / "card.json").read_text())
    both = {row["quantity"]: row for row in told["models"][0]["quantities"] if row["arm"] == "negative"}
    assert both["net"]["estimate"] == 100.0 and both["leak"]["estimate"] == 100.0
    assert "make reproduce SET=mine-7b" in (copy / "params" / "mine-7b.yaml").read_text()
