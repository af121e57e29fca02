"""What is made of the errors of servers: a filter stops one prompt, a refused parameter is named with its
remedy, others stop."""

import json

import pandas as pd
import pytest

from lib.generation import runner
from lib.models import registry
from tests.stand_in import KEY, generation, message_of, reply_to

AZURE = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
FILTERS = {
    "azure": (
        400,
        {
            "error": {
                "message": AZURE,
                "param": "prompt",
                "code": "content_filter",
                "innererror": {
                    "code": "ResponsibleAIPolicyViolation",
                    "content_filter_result": {"violence": {"filtered": True}},
                },
            }
        },
    ),
    "code alone": (400, {"error": {"message": "no", "type": "content_policy_violation"}}),
    "inner code alone": (
        400,
        {"error": {"message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
    ),
    "responsible AI": (403, {"error": {"message": "Blocked by our responsible AI policy."}}),
    "dashscope": (
        400,
        {
            "error": {
                "code": "data_inspection_failed",
                "message": "Input data may contain inappropriate content.",
            }
        },
    ),
    "dashscope, wrapped": (
        400,
        {"error": {"message": "<400> InternalError.Algo.DataInspectionFailed: see the manual"}},
    ),
    "usage policy": (
        400,
        {
            "error": {
                "code": "invalid_prompt",
                "message": "Invalid prompt: your prompt was flagged as potentially violating our usage "
                "policy.",
            }
        },
    ),
    "moderation": (
        403,
        {
            "error": {
                "code": 403,
                "message": 'a/b requires moderation. Your input was flagged for "violence"',
                "metadata": {"reasons": ["violence"], "flagged_input": "He is sad."},
            }
        },
    ),
    "safety system": (
        400,
        {"error": {"message": "Your request was rejected as a result of our safety system.", "code": None}},
    ),
    "usage guidelines": (
        403,
        {"error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"},
    ),
    "risk": (400, {"error": {"message": "Content Exists Risk", "type": "invalid_request_error"}}),
    "chinese": (
        400,
        {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}},
    ),
    "volcengine": (
        400,
        {"error": {"code": "InputTextSensitiveContentDetected", "message": "The request failed"}},
    ),
    "validation status": (422, {"message": "content_policy_violation: the text was blocked"}),
    "legal status": (451, {"error": {"type": "content_filter", "message": "not here"}}),
    "plain text": (400, b"prompt rejected by the content filter"),
    "code": (400, {"error": {"code": "moderation", "message": "not this prompt"}}),
    "nsfw": (422, {"error": {"code": "nsfw_content", "message": "no"}}),
    "a list": (400, [{"error": {"code": 400, "message": "blocked: PROHIBITED_CONTENT"}}]),
    "azure, no choice": (
        200,
        {
            "choices": [],
            "prompt_filter_results": [
                {
                    "prompt_index": 0,
                    "content_filter_results": {"hate": {"filtered": False}, "violence": {"filtered": True}},
                }
            ],
        },
    ),
    "gemini, no choice": (200, {"choices": None, "promptFeedback": {"blockReason": "SAFETY"}}),
    "no completion, status 200": (200, {"error": {"code": "content_filter", "message": "stopped"}}),
}
NO_FILTERS = {
    "context": (
        400,
        {
            "error": {
                "code": "context_length_exceeded",
                "param": "messages",
                "message": "This model's maximum context length is 64 tokens; you asked 99, with max_tokens",
            }
        },
    ),
    "account": (403, {"error": {"message": "Your account was suspended: it violated our usage policy"}}),
    "resource": (
        403,
        {"error": {"message": "The resource is blocked: what it was sent may violate our content policy"}},
    ),
    "a parameter": (400, {"error": {"message": "Unrecognized request argument supplied: content_filter"}}),
    "the request over again": (
        422,
        {"detail": [{"loc": ["body", "messages"], "msg": "bad", "input": "fish, a content filter"}]},
    ),
    "key": (401, {"error": {"message": "no key, no content policy"}}),
    "rate": (429, {"error": {"message": "too many requests hit the content filter"}}),
    "nothing": (400, None),
}


PARAMETERS = {  # status and body, what is refused, the remedy
    "openai": (
        400,
        {
            "error": {
                "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                "param": "max_tokens",
                "code": "unsupported_parameter",
            }
        },
        ["max_tokens"],
        "{max_tokens: max_completion_tokens}",
    ),
    "in other words": (
        400,
        {
            "error": {
                "message": "'max_tokens' is not accepted by this model; it takes 'max_completion_tokens'",
                "param": "max_tokens",
                "code": "unsupported_parameter",
            }
        },
        ["max_tokens"],
        "{max_tokens: max_completion_tokens}",
    ),
    "a name of its own": (
        400,
        {"message": "unknown field `max_tokens`, did you mean `num_predict_max`?"},
        ["max_tokens"],
        "{max_tokens: num_predict_max}",
    ),
    "value": (
        400,
        {
            "error": {
                "message": "Unsupported value: 'temperature' does not support 0.7 with this model. Only the "
                "default (1) value is supported.",
                "param": "temperature",
                "code": "unsupported_value",
            }
        },
        ["temperature"],
        "{temperature: null}",
    ),
    "value, no code": (
        400,
        {"error": {"message": "invalid temperature: only 1 is allowed for this model"}},
        ["temperature"],
        "{temperature: null}",
    ),
    "detail": (
        422,
        {
            "detail": [
                {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}
            ]
        },
        ["seed"],
        "{seed: null}",
    ),
    "message.detail": (
        422,
        {
            "object": "error",
            "message": {
                "detail": [
                    {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "not permitted", "input": 1},
                    {"type": "extra_forbidden", "loc": ["body", "n"], "msg": "not permitted", "input": 1},
                ]
            },
            "param": None,
        },
        ["seed", "n"],
        "{seed: null, n: null}",
    ),
    "detail of an older pydantic": (
        422,
        {"detail": [{"type": "value_error.extra", "loc": ["body", "top_p"], "msg": "no"}]},
        ["top_p"],
        "{top_p: null}",
    ),
    "detail as a text": (
        400,
        {
            "object": "error",
            "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'n'), 'msg': 'Extra "
            "inputs are not permitted', 'input': 1}]",
            "param": None,
        },
        ["n"],
        "{n: null}",
    ),
    "a text": (400, b"Unrecognized request argument supplied: seed", ["seed"], "{seed: null}"),
    "several in a text": (
        400,
        {"error": "Unrecognized request arguments supplied: n, seed"},
        ["seed", "n"],
        "{seed: null, n: null}",
    ),
    "serde": (
        422,
        b"Failed to parse: unknown field `seed`, expected one of `model`, `messages`, `temperature`, `n`",
        ["seed"],
        "{seed: null}",
    ),
    "schema": (
        400,
        {"message": "Additional properties are not allowed ('top_p' was unexpected)"},
        ["top_p"],
        "{top_p: null}",
    ),
    "groq": (400, {"error": {"message": "property 'seed' is unsupported"}}, ["seed"], "{seed: null}"),
    "google": (
        400,
        {"error": {"message": 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'}},
        ["seed"],
        "{seed: null}",
    ),
    "gateway": (
        400,
        {"error": {"message": "provider does not support parameters: ['seed'], for model=m"}},
        ["seed"],
        "{seed: null}",
    ),
    "python": (
        500,
        {"error": {"message": "create() got an unexpected keyword argument 'seed'"}},
        ["seed"],
        "{seed: null}",
    ),
    "mistral": (422, {"message": "seed is not permitted, use random_seed"}, ["seed"], "{seed: random_seed}"),
    "not both": (
        400,
        {"error": {"message": "`temperature` and `top_p` cannot both be specified for this model."}},
        ["top_p"],
        "{top_p: null}",
    ),
    "what is allowed": (
        400,
        {"error": {"message": "Unknown parameter: 'seed'. Supported parameters: n, top_p, temperature"}},
        ["seed"],
        "{seed: null}",
    ),
}
NO_PARAMETERS = {
    "context": NO_FILTERS["context"],
    "too large": (
        400,
        {
            "error": {
                "message": "max_tokens is too large: 99999. This model supports at most 4096 completion "
                "tokens",
                "param": "max_tokens",
                "code": "invalid_value",
            }
        },
    ),
    "value out of bounds": (
        422,
        {"detail": [{"type": "less_than_equal", "loc": ["body", "temperature"], "msg": "at most 1"}]},
    ),
    "messages": (
        400,
        {"error": {"message": "Unsupported role 'system'", "param": "messages", "code": "unsupported_value"}},
    ),
    "the request over again": (
        422,
        {"detail": [{"loc": ["body"], "msg": "not supported", "input": "seed, temperature"}]},
    ),
}


@pytest.mark.parametrize("case", FILTERS)
def test_a_filter_stops_one_prompt(stand_in, case):
    reply = reply_to(stand_in, *FILTERS[case])
    assert (reply.outcome, reply.text, reply.ended) == ("filtered", "", False)
    assert reply.note.strip()
    assert "\n" not in reply.note


@pytest.mark.parametrize("case", NO_FILTERS)
def test_other_refusals_stop_the_run(stand_in, case):
    message_of(lambda: reply_to(stand_in, *NO_FILTERS[case]))


def test_an_answer_without_choices_fails_one_prompt_but_is_no_model_to_ask(stand_in):
    reply = reply_to(stand_in, 200, {"choices": [], "usage": {"total_tokens": 4}})
    assert (reply.outcome, reply.text) == ("failed", "")
    assert reply.note.startswith("an answer without choices")
    stand_in.listed = []
    assert "refused a request for 'stand-in-7b'" in message_of(lambda: load_from(stand_in, {"choices": []}))


def load_from(stand_in, body: dict):
    """The model is asked whether it is there, and answers with `body`."""
    stand_in.troubles = [lambda handler: handler.send(200, body)]
    return registry.load(generation(stand_in, "chat", retries=0).model)


@pytest.mark.parametrize("case", ["context", "too large"])
def test_too_many_tokens_have_their_remedy(stand_in, case):
    said = message_of(lambda: reply_to(stand_in, *NO_PARAMETERS[case]))
    assert "has no room for so many tokens" in said and "lower max_new_tokens or thinking_tokens" in said


def test_the_filter_s_words_are_kept_without_the_key(stand_in, monkeypatch):
    monkeypatch.setenv("A_KEY", KEY)
    reply = reply_to(stand_in, 400, {"error": {"code": "content_filter", "message": f"stopped for\n{KEY}"}})
    assert reply.note == "400: stopped for [key]"


def test_a_run_goes_on_after_a_filter_and_asks_nothing_twice(stand_in, few_prompts, tmp_path):
    stand_in.troubles = [None] * 3 + [lambda handler: handler.send(*FILTERS["azure"])]
    parameters = generation(stand_in, "chat", retries=0)
    model = registry.load(parameters.model)
    requested = runner.requests(few_prompts, parameters, model)
    table = runner.generate(requested, parameters, model, tmp_path / "j.jsonl")
    assert table["completion"].isna().sum() == 1
    assert table["outcome"].value_counts()["filtered"] == 1
    assert table["note"].str.startswith("400: The response was filtered").sum() == 1
    assert len(stand_in.seen) == len(table)
    stand_in.seen.clear()
    pd.testing.assert_frame_equal(runner.generate(requested, parameters, model, tmp_path / "j.jsonl"), table)
    assert stand_in.seen == []


def test_a_model_that_is_there_but_whose_check_is_filtered(stand_in):
    stand_in.listed, stand_in.troubles = [], [lambda handler: handler.send(*FILTERS["azure"])]
    registry.load(generation(stand_in, "chat").model)


@pytest.mark.parametrize("case", PARAMETERS)
def test_a_refused_parameter_is_named_with_its_remedy(stand_in, case):
    status, body, refused, remedy = PARAMETERS[case]
    message = message_of(lambda: reply_to(stand_in, status, body))
    assert f" does not take {' and '.join(refused)} (" in message
    assert f"write server: {{parameter_names: {remedy}}}" in message
    assert ("no draw can be repeated" in message) == ("seed: null" in remedy)
    assert ("the server's own" in message) == ("temperature: null" in remedy or "top_p: null" in remedy)


@pytest.mark.parametrize("case", NO_PARAMETERS)
def test_other_faults_of_a_request_name_no_parameter_to_leave_out(stand_in, case):
    message = message_of(lambda: reply_to(stand_in, *NO_PARAMETERS[case]))
    assert ("has no room" if case in ("context", "too large") else "refused a request") in message
    assert "parameter_names" not in message


def test_a_refusal_at_the_check_is_told_before_anything_is_asked(stand_in):
    stand_in.listed, stand_in.troubles = [], [lambda handler: handler.send(*PARAMETERS["openai"][:2])]
    assert "{max_tokens: max_completion_tokens}" in message_of(
        lambda: registry.load(generation(stand_in, "chat").model)
    )
    assert len(stand_in.seen) == 1


def test_names_already_given_stay_in_the_remedy(stand_in):
    names = {"max_tokens": "max_completion_tokens"}
    refused = (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]})
    message = message_of(lambda: reply_to(stand_in, *refused, parameter_names=names))
    assert "{parameter_names: {max_tokens: max_completion_tokens, seed: null}}" in message
    back = (400, {"message": "unknown parameter 'max_completion_tokens', use 'max_tokens'"})
    message = message_of(lambda: reply_to(stand_in, *back, parameter_names=names | {"seed": None}))
    assert "{parameter_names: {seed: null}}" in message


def test_an_option_or_template_argument_that_is_refused(stand_in):
    refused = (
        400,
        {"error": {"message": "Unrecognized request arguments supplied: top_k, chat_template_kwargs"}},
    )
    message = message_of(
        lambda: reply_to(
            stand_in, *refused, extra_body={"top_k": 5}, chat_template_kwargs={"enable_thinking": False}
        )
    )
    assert "take chat_template_kwargs out of the model, and take top_k out of extra_body" in message


@pytest.mark.parametrize("mode", ["completion", "chat"])
def test_names_are_applied_to_every_request(stand_in, mode):
    stand_in.listed = []
    names = {
        "max_tokens": "max_completion_tokens",
        "seed": None,
        "n": None,
        "temperature": None,
        "top_p": "nucleus",
    }
    reply_to(
        stand_in,
        200,
        {"choices": [{"text": "red", "message": {"content": "red"}}]},
        mode,
        parameter_names=names,
    )
    check, asked = stand_in.bodies()
    assert (check.pop("max_completion_tokens"), asked.pop("max_completion_tokens")) == (1, 32)
    for body in (check, asked):
        assert set(body) == {"model", "nucleus", "messages" if mode == "chat" else "prompt"}


def test_what_is_left_out_is_part_of_the_fingerprint_and_what_is_renamed_is_not(stand_in):
    def fingerprint(**names) -> str:
        return registry.load(generation(stand_in, parameter_names=names).model).fingerprint

    plain = fingerprint()
    assert plain == json.dumps(
        {
            "id": "stand-in-7b",
            "mode": "completion",
            "options": {},
            "url": f"http://127.0.0.1:{stand_in.port}/v1",
        }
    )
    assert fingerprint(max_tokens="max_completion_tokens", seed="random_seed", n=None) == plain
    others = [
        fingerprint(seed=None),
        fingerprint(temperature=None),
        fingerprint(top_p=None),
        fingerprint(max_tokens=None),
    ]
    assert len({plain, *others}) == 5


def test_words_that_cannot_be_written_are_told_all_the_same(stand_in):
    message_of(lambda: reply_to(stand_in, 400, b'{"error": {"message": "no \\ud83d \\u0000"}}')).encode()
    body = b'{"error": {"message": "no \\ud83d \\u0000", "code": "content_filter"}}'
    assert reply_to(stand_in, 400, body).note == "400: no \ufffd \ufffd"
