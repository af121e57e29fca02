"""What is made of a server's answers: thoughts set apart, filters, refusals, broken characters; and which
proxy is asked."""

import json

import pytest

from lib.generation import runner
from lib.models import openai_api, registry
from lib.storage import records
from tests.stand_in import CHAT, generation, message_of, reply_to

OFF = "chat_template_kwargs: {enable_thinking: false}"


def body(finish="stop", usage=None, **message) -> dict:
    """An answer of a chat; a message's content where nothing else is said is null."""
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": None} | message,
    }
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]} | (
        {"usage": usage} if usage else {}
    )


APART = {
    "reasoning_content": {"reasoning_content": "The user wants"},
    "reasoning": {"reasoning": "The user wants"},
    "thinking": {"thinking": "The user wants"},
    "details": {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
    "parts": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "The user wants"}]}]},
    "null beside it": {"reasoning_content": None, "reasoning": "The user wants"},
    "blank content": {"content": "\n\n", "reasoning_content": "The user wants"},
}


@pytest.mark.parametrize("finish", ["length", "stop", "max_tokens", None])
@pytest.mark.parametrize("case", APART)
def test_nothing_but_a_thought_is_no_answer(stand_in, case, finish):
    reply = reply_to(stand_in, 200, body(finish, {"completion_tokens": 32}, **APART[case]))
    assert (reply.outcome, reply.tokens) == ("thought_unfinished", 32)
    assert OFF in reply.note
    assert "raise the model's thinking_tokens" in reply.note
    assert ("ended without an answer" in reply.note) == (finish in ("stop", None))
    assert "The user wants" not in reply.text


def test_a_thought_that_is_only_counted(stand_in):
    counted = {"completion_tokens": 32, "completion_tokens_details": {"reasoning_tokens": 32}}
    assert reply_to(stand_in, 200, body("length", counted, content="")).outcome == "thought_unfinished"
    none = {"completion_tokens": 0, "completion_tokens_details": {"reasoning_tokens": 0}}
    assert reply_to(stand_in, 200, body("length", none, content="")).outcome is None
    refused = {
        "error": {
            "message": "Could not finish the message because max_tokens or model output limit was reached."
        }
    }
    assert reply_to(stand_in, 400, refused).outcome == "thought_unfinished"


@pytest.mark.parametrize("case", ["reasoning_content", "reasoning", "thinking", "details"])
@pytest.mark.parametrize("thinking_tokens", [0, 500])
def test_an_answer_beside_its_thought_is_an_answer(stand_in, case, thinking_tokens):
    answer = body("length", **APART[case] | {"content": "red and"})
    reply = reply_to(stand_in, 200, answer, thinking_tokens=thinking_tokens)
    assert (reply.text, reply.outcome, reply.ended) == ("red and", None, False)


def test_an_answer_in_parts(stand_in):
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "red "},
        {"text": "hat."},
    ]
    reply = reply_to(stand_in, 200, body(content=parts))
    assert (reply.text, reply.outcome, reply.ended) == ("red hat.", None, True)


INLINE = "<think>\nOkay, the user is sad. I should be careful.\n</think>\n\nred."


@pytest.mark.parametrize("thinking_tokens", [0, 500])
def test_a_thought_in_the_text_stays_there(stand_in, thinking_tokens):
    for text in (INLINE, INLINE.removeprefix("<think>\n")):
        reply = reply_to(stand_in, 200, body(content=text), thinking_tokens=thinking_tokens)
        assert (reply.text, reply.outcome, reply.ended) == (text, None, True)


def test_a_thought_that_the_template_opened_and_the_limit_cut(stand_in):
    begun = body("length", content="Okay, the user is sad. I should be careful and")
    reply = reply_to(stand_in, 200, begun, thinking_tokens=500)
    assert reply.outcome == "thought_unfinished"
    assert "raise the model's thinking_tokens (500 now)" in reply.note
    assert reply_to(stand_in, 200, begun).outcome is None  # a model that does not think
    ended = body("stop", content="Okay. Red.")
    assert reply_to(stand_in, 200, ended, thinking_tokens=500).outcome is None
    own = body("length", content="Okay, the user is sad.[/T] red")
    assert reply_to(stand_in, 200, own, thinking_tokens=500).outcome == "thought_unfinished"
    assert reply_to(stand_in, 200, own, thinking_tokens=500, thought_markers=["[T]", "[/T]"]).outcome is None
    text = {"choices": [{"finish_reason": "length", "text": "Okay, the user"}]}
    assert reply_to(stand_in, 200, text, "completion", thinking_tokens=500).outcome == "thought_unfinished"


@pytest.mark.parametrize(
    "finish", ["content_filter", "CONTENT_FILTER", "sensitive", "SAFETY", "content_filter: SAFETY"]
)
@pytest.mark.parametrize("content", [None, "", "a shade of"])
def test_an_answer_that_a_filter_stopped(stand_in, finish, content):
    reply = reply_to(stand_in, 200, body(finish, content=content))
    assert (reply.outcome, reply.note) == ("filtered", f"finish_reason {finish.lower()}")


def test_what_the_filter_found(stand_in):
    answer = body("content_filter")
    answer["choices"][0]["content_filter_results"] = {
        "hate": {"filtered": False},
        "violence": {"filtered": True, "severity": "ci_high"},
    }
    assert reply_to(stand_in, 200, answer).note == "finish_reason content_filter (violence)"
    text = {"choices": [{"finish_reason": "content_filter", "text": ""}]}
    assert reply_to(stand_in, 200, text, "completion").outcome == "filtered"


def test_refusals_and_tool_calls(stand_in):
    refused = reply_to(stand_in, 200, body(refusal="I'm sorry, I cannot\ud83d help."))
    assert (refused.outcome, refused.note) == ("refused", "I'm sorry, I cannot\ufffd help.")
    parts = reply_to(stand_in, 200, body(content=[{"type": "refusal", "refusal": "No."}]))
    assert (parts.outcome, parts.note) == ("refused", "No.")
    assert reply_to(stand_in, 200, body(refusal=None, content="red.")).outcome is None
    calls = [{"type": "function", "function": {"name": "paint", "arguments": "{}"}}]
    called = reply_to(stand_in, 200, body("tool_calls", tool_calls=calls))
    assert called.outcome == "failed"
    assert "called a tool" in called.note and "paint" in called.note
    beside = reply_to(stand_in, 200, body("tool_calls", content="red", tool_calls=calls))
    assert (beside.text, beside.outcome, beside.ended) == ("red", None, True)


@pytest.mark.parametrize(
    "choice",
    [{"finish_reason": "error"}, {"finish_reason": "abort"}, {"error": {"message": "upstream is gone"}}],
)
def test_an_answer_that_the_server_broke_off_is_asked_again_not_kept(stand_in, choice):
    answer = body(content="the content filter of the aquarium and")
    answer["choices"][0] |= choice
    said = (
        "upstream is gone" if "error" in choice else f"it broke off, finish_reason {choice['finish_reason']}"
    )
    assert said in message_of(lambda: reply_to(stand_in, 200, answer))


BROKEN = {
    "half an emoji at the end": (rb'"a shade of blue \ud83d"', "a shade of blue \ufffd"),
    "the other half": (rb'"blue \ude00 hat"', "blue \ufffd hat"),
    "two halves the wrong way round": (rb'"blue \ude00\ud83d hat"', "blue \ufffd\ufffd hat"),
    "a whole one": (rb'"blue \ud83d\ude00 hat"', "blue \U0001f600 hat"),
    "half a character in bytes": (b'"blue \xf0\x9f\x98 hat"', "blue \ufffd hat"),
    "NUL": (rb'"blue\u0000 hat"', "blue\ufffd hat"),
    "line and page separators": (rb'"blue\u2028\u0085\u000c\u001e hat"', "blue\u2028\x85\x0c\x1e hat"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_character_is_marked_and_the_run_goes_on(stand_in, few_prompts, tmp_path, monkeypatch, case):
    raw, text = BROKEN[case]
    whole = b'{"choices": [{"finish_reason": "length", "message": {"content": %s}}]}' % raw
    assert reply_to(stand_in, 200, whole).text == text
    stand_in.troubles = [lambda handler: handler.send(200, whole)] * 99
    parameters = generation(stand_in, "chat", retries=0)
    model = registry.load(parameters.model)
    requested = runner.requests(few_prompts, parameters, model).head(4)
    table = runner.generate(requested, parameters, model, tmp_path / "j.jsonl")
    stand_in.seen.clear()
    again = runner.generate(requested, parameters, model, tmp_path / "j.jsonl")
    assert stand_in.seen == []
    monkeypatch.setattr(records, "run_folder", lambda name: tmp_path / name)
    records.write_table("s", "completions", again)
    assert records.read_table("s", "completions")["completion"].tolist() == table["completion"].tolist()


@pytest.mark.parametrize("field", ["reasoning_content", "refusal"])
def test_broken_characters_beside_the_text(stand_in, field):
    reply = reply_to(stand_in, 200, json.dumps(body(**{field: "hm \ud83d \0"})).encode())
    assert reply.outcome in ("thought_unfinished", "refused")
    (reply.text + reply.note).encode()


def test_the_template_is_told_and_the_thought_has_its_tokens(stand_in):
    told_ = {
        "chat_template_kwargs": {"enable_thinking": False},
        "thinking_tokens": 500,
        "extra_body": {"top_k": 5},
    }
    reply_to(stand_in, 200, body(content="red."), **told_)
    sent = stand_in.bodies()[0]
    assert (sent["chat_template_kwargs"], sent["max_tokens"], sent["top_k"]) == (
        {"enable_thinking": False},
        532,
        5,
    )
    stand_in.seen.clear()
    reply_to(stand_in, 200, body(content="red."))
    assert "chat_template_kwargs" not in stand_in.bodies()[0]


def test_what_a_thought_is_told_is_part_of_the_fingerprint(stand_in):
    changes = [
        {},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"chat_template_kwargs": {"enable_thinking": True}},
        {"thinking_tokens": 9},
        {"thought_markers": ["[T]", "[/T]"]},
    ]
    assert len(
        {registry.load(generation(stand_in, "chat", **change).model).fingerprint for change in changes}
    ) == len(changes)


def test_a_template_that_is_not_used_is_told_nothing(stand_in):
    change = {"chat_template_kwargs": {"enable_thinking": False}}
    assert "mode 'completion' uses no template" in message_of(
        lambda: registry.load(generation(stand_in, **change).model)
    )


HERE = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "api.localhost",
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
]
ELSEWHERE = [
    "example.com",
    "localhost.example.com",
    "notlocalhost",
    "10.0.0.1",
    "[2001:db8::1]",
    "127.0.0.1.example.com",
]


def test_which_hosts_are_here():
    assert [host for host in HERE if not openai_api.is_here(f"http://{host}:8000/v1")] == []
    assert [host for host in ELSEWHERE if openai_api.is_here(f"http://{host}:8000/v1")] == []


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def no_proxy(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5h://127.0.0.1:9", "socks4://127.0.0.1:9"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_here_is_asked_without_the_proxy(stand_in, no_proxy, monkeypatch, name, proxy, host):
    monkeypatch.setenv(name, proxy)
    registry.load(generation(stand_in, url=f"http://{host}:{stand_in.port}/v1", retries=0).model)
    assert reply_to(stand_in, 200, body(content="red.")).text == "red."


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_server_elsewhere_is_asked_through_the_proxy(stand_in, no_proxy, monkeypatch, name):
    monkeypatch.setenv(name, f"http://127.0.0.1:{stand_in.port}")
    assert reply_to(stand_in, 200, body(content="red."), url="http://model.invalid/v1").text == "red."
    assert [path for path, _, _ in stand_in.seen] == [f"http://model.invalid{CHAT}"]


def test_a_proxy_that_cannot_be_used_is_named(stand_in, no_proxy, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks4://someone:secret@127.0.0.1:9")
    message = message_of(lambda: registry.load(generation(stand_in, url="http://model.invalid/v1").model))
    assert "the proxy in $ALL_PROXY cannot be used" in message
    assert "secret" not in message
