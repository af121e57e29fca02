"""A server's answers all arrive, each once, whatever it does meanwhile; and what it is told of the key, the
seed and the rest."""

import json
import time
from collections import Counter
from threading import Thread

import pandas as pd
import pytest

from lib.generation import runner
from lib.models import openai_api, registry
from tests.stand_in import CHAT, KEY, generation, message_of

TROUBLES = {
    "too many requests": lambda handler: handler.send(
        429, {"error": {"message": "slow down"}}, Retry_After="0.2"
    ),
    "internal error": lambda handler: handler.send(500, {"error": {"message": "out of luck"}}),
    "stalls": lambda handler: time.sleep(1),
    "drops the connection": lambda handler: handler.connection.close(),
}


def paid(few_prompts, parameters, folder) -> pd.DataFrame:
    """The completions of a run, each of which the journal must hold once."""
    model = registry.load(parameters.model)
    requested = runner.requests(few_prompts, parameters, model)
    table = runner.generate(requested, parameters, model, folder / "j.jsonl")
    assert keys_of(folder) == Counter(requested["key"])
    return table


def keys_of(folder) -> Counter:
    """How often the journal holds each key."""
    return Counter(json.loads(line)["key"] for line in (folder / "j.jsonl").read_text().splitlines())


@pytest.mark.parametrize("mode", ["completion", "chat"])
def test_what_a_server_is_asked_and_what_is_made_of_its_answers(stand_in, few_prompts, tmp_path, mode):
    parameters = generation(stand_in, mode, **({"system_prompt": "Be brief."} if mode == "chat" else {}))
    table = paid(few_prompts, parameters, tmp_path)
    assert set(table["completion"]) == {"the one by the door."}
    assert table["tokens"].eq(7).all()
    assert table["ended"].all()  # cut off at the limit, but its first sentence had ended
    sent = stand_in.bodies()
    assert len(sent) == len(table) == 2 * 5 * 2  # stems, arms, samples
    for name, value in {
        "model": "stand-in-7b",
        "max_tokens": 32,
        "temperature": 0.7,
        "n": 1,
        "top_p": 1.0,
    }.items():
        assert {body[name] for body in sent} == {value}
    if mode == "chat":
        assert {path for path, _, _ in stand_in.seen} == {CHAT}
        assert {body["messages"][0]["content"] for body in sent} == {"Be brief."}
        assert all(body["messages"][1]["content"].startswith("Complete the sentence: ") for body in sent)
    else:
        assert {body["prompt"] for body in sent} == set(table["rendered"])


def test_seeds_differ_by_sample_and_group_and_are_shared_by_arms(stand_in, few_prompts, tmp_path):
    table = paid(few_prompts, generation(stand_in), tmp_path)
    sent = Counter(body["seed"] for body in stand_in.bodies())
    assert set(sent.values()) == {table["arm"].nunique()}
    assert len(sent) == len(table.groupby(["group_id", "sample_index"]))
    assert openai_api.request_seed(1, "g", 0) != openai_api.request_seed(2, "g", 0)
    assert all(0 <= seed < 2**31 for seed in sent)


def test_no_more_requests_at_a_time_than_agreed(stand_in, few_prompts, tmp_path):
    stand_in.delay = 0.05
    paid(few_prompts, generation(stand_in), tmp_path)
    assert stand_in.most_in_flight == 3


def test_an_answer_may_lack_text_and_usage(stand_in, few_prompts, tmp_path):
    stand_in.text, stand_in.usage = None, False
    table = paid(few_prompts, generation(stand_in, "chat"), tmp_path)
    assert set(table["outcome"]) == {"empty"} and table["completion"].isna().all()
    assert set(table["tokens"]) == {0}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_trouble_that_passes_costs_nothing(stand_in, few_prompts, tmp_path, trouble):
    stand_in.troubles = [TROUBLES[trouble]] * 2
    table = paid(few_prompts, generation(stand_in), tmp_path)
    assert len(stand_in.seen) == len(table) + 2


def test_a_restart_in_the_middle_is_ridden_out(stand_in, few_prompts, tmp_path):
    def restart(handler):
        stand_in.stop()
        Thread(target=lambda: (time.sleep(0.7), stand_in.start())).start()
        handler.connection.close()

    stand_in.troubles = [None] * 7 + [restart]
    stand_in.delay = 0.05
    paid(few_prompts, generation(stand_in), tmp_path)


def test_after_a_server_that_died_only_the_rest_is_asked(stand_in, few_prompts, tmp_path):
    stand_in.troubles = [None] * 13 + [lambda handler: (stand_in.stop(), handler.connection.close())]
    parameters = generation(stand_in, retries=1)
    message = message_of(lambda: paid(few_prompts, parameters, tmp_path))
    assert "cannot be reached" in message
    assert "what is finished is kept" in message
    assert len(keys_of(tmp_path)) == 10  # the first batch
    stand_in.start()
    stand_in.seen.clear()
    table = paid(few_prompts, parameters, tmp_path)
    assert len(stand_in.seen) == len(table) - 10
    stand_in.seen.clear()
    pd.testing.assert_frame_equal(paid(few_prompts, parameters, tmp_path), table)
    assert stand_in.seen == []


def test_the_key_is_sent_and_written_nowhere(stand_in, few_prompts, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("A_KEY", KEY)
    stand_in.keys = [KEY]
    parameters = generation(stand_in)
    model = registry.load(parameters.model)
    paid(few_prompts, parameters, tmp_path)
    assert {key for _, key, _ in stand_in.seen} == {f"Bearer {KEY}"}
    shown = [
        repr(model),
        model.fingerprint,
        *capfd.readouterr(),
        *(path.read_text() for path in tmp_path.iterdir()),
    ]
    assert not any(KEY in text for text in shown)


def test_a_key_revoked_in_the_middle(stand_in, few_prompts, tmp_path, monkeypatch):
    monkeypatch.setenv("A_KEY", KEY)
    stand_in.keys = [KEY]
    stand_in.troubles = [None] * 13 + [lambda handler: (stand_in.keys.clear(), handler.refused())]
    # the stand-in says the key in its answer
    message = message_of(lambda: paid(few_prompts, generation(stand_in), tmp_path))
    assert "refused the key in $A_KEY (401: Incorrect API key provided: [key])" in message
    assert len(keys_of(tmp_path)) == 10


def test_a_key_that_is_missing_or_mistyped(stand_in, monkeypatch):
    stand_in.keys = [KEY]
    monkeypatch.delenv("A_KEY", raising=False)
    assert "wants a key, and $A_KEY is not set" in message_of(
        lambda: registry.load(generation(stand_in).model)
    )
    monkeypatch.setenv("A_KEY", "sk-…")
    assert "$A_KEY has characters that no key has" in message_of(
        lambda: registry.load(generation(stand_in).model)
    )


def test_a_server_that_is_not_there(stand_in):
    stand_in.stop()
    message = message_of(lambda: registry.load(generation(stand_in, retries=0).model))
    assert f"model m: server http://127.0.0.1:{stand_in.port}/v1 cannot be reached" in message
    assert "Connection refused" in message
    assert "start it, or correct its url" in message


def test_a_model_that_the_server_does_not_know(stand_in):
    message = message_of(lambda: registry.load(generation(stand_in, id="stand-in-70").model))
    assert "refused a request for 'stand-in-70' (404: The model `stand-in-70` does not exist)" in message
    assert "it lists stand-in-7b, stand-in-70b; did you mean 'stand-in-70b'?" in message


@pytest.mark.parametrize("listed", [None, [], ["another"]], ids=str)
def test_a_model_that_is_served_but_not_listed(stand_in, listed):
    stand_in.listed = listed
    registry.load(generation(stand_in).model)
    assert [body["max_tokens"] for body in stand_in.bodies()] == [1]


@pytest.mark.parametrize(
    "trouble", ["too many requests", "internal error", "stalls", "a bad request", "no completion"]
)
def test_a_trouble_that_stays_is_named(stand_in, few_prompts, tmp_path, trouble):
    lasting = TROUBLES | {
        "a bad request": lambda handler: handler.send(400, {"detail": "that is\nno request"}),
        "no completion": lambda handler: handler.send(200, {"error": {"message": "upstream is gone"}}),
    }
    stand_in.troubles = [lasting[trouble]] * 99
    message = message_of(lambda: paid(few_prompts, generation(stand_in, retries=0, timeout=0.2), tmp_path))
    said = {
        "too many requests": "cannot answer now (429: slow down)",
        "internal error": "cannot answer now (500: out of luck)",
        "stalls": "does not answer in time (timed out)\nraise timeout (0.2 s) or lower concurrency (3)",
        "a bad request": "refused a request for 'stand-in-7b' (400: that is no request)",
        "no completion": "upstream is gone",
    }
    assert said[trouble] in message
