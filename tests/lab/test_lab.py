"""The leak lab: pairs completed with the same noise, streamed, superseded, kept, made into stems; its
notebook executed."""

import json
import threading
import time

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from lib.config import specs
from lib.dataset import curated_prompts
from lib.judging import mpnet
from lib.lab import choices, pair, session, stems, widget
from lib.models import registry
from tests.conftest import ROOT


@pytest.fixture
def lab(tmp_path) -> session.Session:
    return session.Session("smoke", tmp_path / "kept.jsonl")


def run(lab: session.Session, is_stale=lambda: False, **changes) -> list[dict]:
    """The states that the page is shown."""
    states = []
    lab.run(lab.start() | changes, states.append, is_stale)
    return states


def play_with(lab: session.Session, spec: specs.Model) -> dict:
    """Put a model into the lab's menu; the change that chooses it."""
    lab.models["mine"] = choices.Choice("", spec.name, spec)
    return {"model": "mine"}


def local(folder, **changes) -> specs.Model:
    values = {"name": "tiny", "id": str(folder), "family": "f", "tuning": "instruct", "mode": "completion"}
    return specs.Model(**values | changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem": "  "}, "stem '': holds no letter"),
        ({"context": "42 !"}, "context '42 !': holds no letter"),
        ({"neutral": None}, "neutral partner '': holds no letter"),
        ({"stem": "word " * 300}, "stem: 1499 characters; 1000 at most"),
        ({"temperature": 5.1}, "temperature 5.1: give a number from 0"),
        ({"temperature": "hot"}, "temperature 'hot': is no number"),
        ({"temperature": "nan"}, "temperature 'nan': is no number"),
        ({"draws": 0}, "draws 0: give a whole number from 1 to 20"),
        ({"draws": 2.5}, "draws 2.5: give a whole number"),
        ({"model": "gone"}, "model 'gone': no such model in the lab"),
    ],
)
def test_what_cannot_be_used_is_named_in_a_line(lab, change, message):
    (state,) = run(lab, **change)
    assert state["status"] == "error"
    assert message in state["message"]
    assert len(state["message"].splitlines()) == 1


def test_the_same_settings_give_the_same_completions_and_more_draws_leave_the_first(lab):
    first, again, more = run(lab)[-1], run(lab)[-1], run(lab, draws=9)[-1]
    assert first["status"] == "done"
    assert first["rows"] == again["rows"] == more["rows"][:5]
    assert len({row["neutral"]["text"] for row in more["rows"]}) > 1


def test_a_line_is_one_draw_of_noise(lab):
    neutral = lab.start()["neutral"]
    assert all(row["context"] == row["neutral"] for row in run(lab, context=neutral, draws=9)[-1]["rows"])
    assert any(row["context"] != row["neutral"] for row in run(lab, draws=9)[-1]["rows"])


def test_draws_are_streamed_and_a_slow_model_is_asked_for_one_at_a_time(lab, monkeypatch):
    counts = [len(state["rows"]) for state in run(lab, draws=8)]
    assert counts == [0, 0, 1, 8, 8]
    monkeypatch.setattr(pair, "QUICK", -1)
    assert [len(state["rows"]) for state in run(lab, draws=4)] == [0, 1, 2, 3, 4, 4]


def test_nothing_of_a_superseded_run_is_shown_or_kept(lab):
    shown = []
    lab.run(lab.start() | {"draws": 8}, shown.append, lambda: any(state["rows"] for state in shown))
    assert len(shown[-1]["rows"]) == 1
    with pytest.raises(ValueError, match="nothing to keep yet"):
        lab.keep()


def test_of_many_jobs_the_newest_is_done_and_an_older_one_learns_that_it_is_stale():
    done, begun, go_on = [], threading.Event(), threading.Event()

    def work(job, is_stale):
        begun.set()
        go_on.wait(10)
        done.append((job["number"], is_stale()))

    newest = widget.Newest(work)
    newest.submit({"number": 1})
    begun.wait(10)
    newest.submit({"number": 2})
    newest.submit({"number": 3})
    go_on.set()
    deadline = time.monotonic() + 10
    while len(done) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert done == [(1, True), (3, False)]


def test_a_missing_completion_is_named_and_has_no_valence(lab, monkeypatch):
    monkeypatch.setattr("lib.models.mock.MockModel._phrase", lambda *_: "…")
    sides = [side for row in run(lab)[-1]["rows"] for side in (row["context"], row["neutral"])]
    assert {(side["outcome"], side["text"], side["valence"]) for side in sides} == {("empty", None, None)}


def test_charged_words_are_marked_with_their_sign():
    assert pair.marked("“Sad” Lane, not good :)") == [
        ("“", 0.0),
        ("Sad", -2.1),
        ("” Lane, not ", 0.0),
        ("good", 1.9),
        (" ", 0.0),
        (":)", 2.0),
    ]
    assert "".join(text for text, _ in pair.marked("a  b\n c’d")) == "a  b\n c’d"


def test_kept_pairs_are_appended_with_all_that_made_them(lab):
    state = run(lab, temperature=0.3)[-1]
    assert "pair 1" in lab.keep() and "pair 2" in lab.keep()
    first, second = map(json.loads, lab.kept.read_text().splitlines())
    assert first["key"] != second["key"]
    assert (first["context"], first["temperature"], first["seed"]) == (lab.start()["context"], 0.3, 1)
    assert [each["completion"] for each in first["completions"] if each["arm"] == "context"] == [
        row["context"]["text"] for row in state["rows"]
    ]
    lab.forget()
    with pytest.raises(ValueError, match="nothing to keep"):
        lab.keep()


def test_a_surprise_is_a_pair_of_the_benchmark(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(session.records, "ROOT", tmp_path)  # where the set has not run
    made = lab.surprise(np.random.default_rng(3))
    known = curated_prompts.build(20251118, None, 1)
    of_stem = known[known["stem"] == made["stem"]].set_index("context")
    assert of_stem.at[made["context"], "arm"] in ("negative", "positive")
    assert of_stem.at[made["neutral"], "arm"] == "neutral"
    assert made == lab.surprise(np.random.default_rng(3)) != lab.surprise(np.random.default_rng(4))


def test_the_lint_reads_a_stem_and_its_line_fits_the_file(lab, monkeypatch):
    monkeypatch.setattr(
        stems.lint.relatedness, "related", lambda *_: pd.DataFrame(columns=["match_id", "scope", "reason"])
    )
    made = lab.make_stem({"stem": "The colour of the kite she flies is", "domain": "hobby", "slot": "closed"})
    assert made == {
        "csv": "hobby-25,main,hobby,closed,She,she,The colour of the kite she flies is",
        "findings": [],
    }
    bad = lab.make_stem({"stem": "His sad poem, a old one, is", "domain": "hobby", "slot": "open"})
    assert bad["csv"] == 'hobby-25,main,hobby,open,He,he,"His sad poem, a old one, is"'
    assert (
        len(bad["findings"]) == 2
        and "rates sad" in bad["findings"][0]
        and "write 'an old'" in bad["findings"][1]
    )
    twice = lab.make_stem(
        {"stem": curated_prompts.read_stems()["stem"].iat[0], "domain": "hobby", "slot": "closed"}
    )
    assert any(line.startswith("duplicate:") for line in twice["findings"])
    with pytest.raises(ValueError, match="needs its text and a domain"):
        lab.make_stem({"stem": "His hat is"})


def test_the_menu_has_set_bundled_and_cached_models_and_no_others(tmp_path, monkeypatch, lab):
    for name, architecture in (("a--writer", "LlamaForCausalLM"), ("a--reader", "BertModel")):
        snapshot = tmp_path / f"models--{name}" / "snapshots" / "0123"
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text(json.dumps({"architectures": [architecture]}))
        (snapshot / "model.safetensors").touch()
    assert list(choices.cached_folders(tmp_path)) == ["a/writer"]
    assert choices.cached_folders(tmp_path / "nothing") == {}
    monkeypatch.setattr(choices, "cached_folders", lambda: {"a/writer": snapshot})
    monkeypatch.setattr(
        choices.bundled, "is_cached", lambda model_id: model_id == "bundled:SmolLM2-135M-Instruct"
    )
    menu = choices.models("smoke", lab.parameters)
    assert [choice.label for choice in menu.values()] == [
        "mock-50",
        "mock-30",
        "mock-10",
        "bundled:SmolLM2-135M-Instruct",
        "mock:leak-50",
        "a/writer",
    ]
    assert run(lab)[-1]["toy"].startswith("TOY")


def test_a_judge_that_would_take_minutes_gives_way_to_vader_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path))
    learned = specs.JUDGE_SCHEMA.validate_python("learned")
    assert choices.judge(learned) == (
        choices.VADER,
        "the encoder of judge learned is not fetched yet; notebook 03 fetches it",
    )
    (tmp_path / mpnet.ENCODER).mkdir()
    assert choices.judge(learned) == (learned, "")


def test_a_model_of_transformers_shows_its_next_token_first_and_exactly(lab, tiny):
    chosen = play_with(lab, local(tiny))
    states = run(lab, draws=2, **chosen)
    assert [state["status"] for state in states[:2]] == ["loading", "writing"]
    assert states[2]["tokens"]["gains"] and not states[2]["rows"]
    tokens, model, start = states[-1]["tokens"], registry.load(local(tiny)), lab.start()
    rendered = [model.render(start[arm], start["stem"], "") for arm in pair.ARMS]
    context, neutral = (100.0 * model.next_logits(rendered).double().softmax(dim=-1)).numpy()
    difference = context - neutral
    for name, order in (("gains", np.argsort(-difference)), ("losses", np.argsort(difference))):
        assert [row["token"] for row in tokens[name]] == [
            model.tokenizer.decode([token]) for token in order[:10]
        ]
    most = difference.argmax()
    shown = [tokens["gains"][0][name] for name in ("neutral", "context", "difference")]
    assert shown == pytest.approx([neutral[most], context[most], difference[most]], abs=1e-3)
    same = run(lab, context=start["neutral"], draws=1, **chosen)[-1]
    assert same["tokens"] == {"gains": [], "losses": []}


def test_a_model_stops_within_a_draw_and_its_weights_are_shared_between_modes(lab, tiny, monkeypatch):
    chosen, steps = play_with(lab, local(tiny)), []
    run(lab, draws=1, **chosen)
    weights = lab._backend.weights
    hook = weights.register_forward_pre_hook(lambda *_: steps.append(1))
    run(lab, is_stale=lambda: len(steps) > 3, draws=1, temperature=2.0, **chosen)
    hook.remove()
    assert 3 < len(steps) <= 5
    run(lab, draws=1, **play_with(lab, local(tiny, name="other")))
    assert lab._backend.spec.name == "other" and lab._backend.weights is weights


def test_a_server_answers_without_next_token_and_one_that_is_down_is_named(lab, stand_in):
    server = specs.Server(url=f"http://127.0.0.1:{stand_in.port}/v1")
    chosen = play_with(lab, local("stand-in-7b", name="served", server=server))
    state = run(lab, draws=2, **chosen)[-1]
    assert state["status"] == "done" and state["tokens"] == session.NO_TOKENS
    assert [row["context"]["text"] for row in state["rows"]] == ["the one by the door."] * 2
    stand_in.stop()
    started = time.monotonic()
    state = run(lab, draws=2, **chosen)[-1]
    assert time.monotonic() - started < 20, "a person waits"
    assert (
        state["status"] == "error"
        and "cannot be reached" in state["message"]
        and len(state["message"].splitlines()) <= 3
    )


def test_a_table_cannot_be_played_with(lab):
    chosen = play_with(lab, local("label", name="made", table=specs.Table(path="data/made.csv")))
    assert "its completions are in a table (data/made.csv)" in run(lab, **chosen)[-1]["message"]


def test_the_page_is_sent_plain_values(lab):
    tokenizer = type("T", (), {"decode": lambda self, ids: f" {'sad' if ids == [0] else 'w'}"})()
    table = pd.DataFrame(
        {"token": [0, 1], "neutral": [1.0, 2.0], "context": [2.0, 1.0], "difference": [1.0, -1.0]}
    )
    shown = pair.page_tokens(table, tokenizer)
    assert shown["gains"] == [
        {"token": " sad", "neutral": 1.0, "context": 2.0, "difference": 1.0, "valence": -2.1}
    ]
    assert json.loads(json.dumps(run(lab)[-1])) and json.loads(json.dumps(shown)) == shown


def test_the_widget_answers_at_once_and_shows_the_newest(tmp_path):
    lab = widget.Lab("smoke", tmp_path / "kept.jsonl")
    sent, values = [], dict(lab.settings)
    lab.send = sent.append
    for number in (1, 2, 3):
        lab._receive(lab, {"do": "complete", "id": number, "values": values | {"draws": number}}, [])
    assert sent == [{"seen": 1}, {"seen": 2}, {"seen": 3}]
    deadline = time.monotonic() + 10
    while (lab.state["number"], lab.state["status"]) != (3, "done") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(lab.state["rows"]) == 3
    time.sleep(0.05)
    lab._receive(lab, {"do": "keep", "id": 4}, [])
    assert "pair 1" in lab.notice["message"]
    lab._receive(lab, {"do": "complete", "id": 5, "values": values | {"stem": ""}}, [])
    lab._receive(lab, {"do": "keep", "id": 6}, [])
    assert "nothing to keep" in lab.notice["error"]


def test_the_notebook_runs_without_a_page_that_looks(monkeypatch):
    book = nbformat.read(ROOT / "notebooks" / "00_leak_lab.ipynb", as_version=4)
    nbformat.validate(book)
    assert book.cells[0].source.startswith("# 00 ")
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in book.cells)
    cell = next(cell for cell in book.cells if cell.metadata.get("tags") == ["parameters"])
    cell.source = 'set_name = "smoke"'
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    assert "application/vnd.jupyter.widget-view+json" in book.cells[-1].outputs[0].data
