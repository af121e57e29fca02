"""Chat templates: the same on any day, their refusals in their own words, arguments that have an effect,
thoughts they open."""

import shutil

import pytest
from transformers import AutoTokenizer

from lib.config import specs
from lib.dataset import curated_prompts
from lib.generation import prompt_checks, runner
from lib.judging import llm_judge
from lib.models import chat_templates, registry
from tests.conftest import generation

TURN = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
OPEN = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
THINKS = "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
SWITCH = (
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking is defined and not "
    "enable_thinking %}<think>\n\n"
    "</think>\n\n{% else %}<think>\n{% endif %}{% endif %}"
)
GEMMA = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + TURN
    + OPEN
)


@pytest.fixture
def chat(tiny, tmp_path):
    """A model in mode chat with a template and other values of its specification."""

    def make(template, **changes):
        shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
        (tmp_path / "chat_template.jinja").write_text(template)
        return registry.load(
            generation(
                "chat",
                model={
                    "id": str(tmp_path),
                    "keep_template_system": False,
                    "assistant_prefill": False,
                    "require_word": False,
                }
                | changes,
            ).model
        )

    return make


def requested(model):
    return runner.requests(
        curated_prompts.build(seed=1, stems=2, contexts_per_stem=1), generation("chat"), model
    )


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"),
        ("{{ strftime_now('%Y-%m-%d %H:%M') }}", "2024-07-26 00:00"),
        ("{{ strftime_now('%A, %B %-d') }}", "Friday, July 26"),
        ("{{ date_string }}", "26 Jul 2024"),
        (
            "{% if strftime_now is defined %}{% set day = strftime_now('%j') %}{% else %}{% set day = 'x' "
            "%}{% endif %}{{ day }}",
            "208",
        ),
    ],
)
def test_a_prompt_tells_no_other_day_than_the_pinned_one(chat, says, expected):
    model = chat(says + "|" + TURN + OPEN, keep_template_system=True)
    assert model.question("Hello").startswith(f"{expected}|")
    assert not prompt_checks.added_system_text(model.tokenizer, model.spec).startswith("20")


def test_a_date_of_ones_own_is_kept(chat):
    model = chat("{{ date_string }}|" + TURN + OPEN, chat_template_kwargs={"date_string": "1 May 1999"})
    assert model.question("Hello").startswith("1 May 1999|")


def test_a_template_that_takes_no_system_message_says_so_with_the_remedy(chat):
    chat(GEMMA)
    with pytest.raises(
        specs.ParameterError, match=r"no messages of system and user \(System role not supported\)"
    ) as caught:
        chat(GEMMA, system_prompt="Be brief.")
    assert str(caught.value).startswith("model smollm2-135m-chat: ")
    assert "set system_prompt to null, or put its text into a mitigation" in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages[7].content }}",
        "{% if %}",
        "{{ 'a' + 1 }}",
        "{{ nothing.of.this }}",
    ],
)
def test_a_template_that_fails_on_any_message_is_no_matter_of_the_system_prompt(chat, template):
    for system_prompt in (None, "Be brief."):
        with pytest.raises(
            specs.ParameterError, match=r"takes no messages of .*user \(.+\); set mode to 'completion'"
        ):
            chat(template, system_prompt=system_prompt)


def test_a_template_that_leaves_the_system_prompt_out(chat):
    no_progress = (
        "{% for m in messages if m['role'] != 'system' %}<|im_start|>{{ m['content'] }}\n{% endfor %}" + OPEN
    )
    model = chat(no_progress, system_prompt="Be brief.")
    with pytest.raises(specs.ParameterError, match="leaves the system_prompt out; set system_prompt to null"):
        prompt_checks.check(requested(model), model, 6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"enable_thinkin": False},
            "reads no such name; did you mean 'enable_thinking'\\?; it reads enable_thinking",
        ),
        ({"zzz": 1}, "reads no such name; it reads enable_thinking"),
        ({"add_generation_prompt": False}, "is given by the project itself; take it out"),
        ({"tokenize": True}, "is given by the project itself; take it out"),
    ],
)
def test_arguments_without_effect_are_refused(chat, given, message):
    with pytest.raises(specs.ParameterError, match=f"chat_template_kwargs.{next(iter(given))}.*{message}"):
        chat(TURN + SWITCH, chat_template_kwargs=given)


def test_arguments_have_no_place_in_mode_completion(tiny):
    with pytest.raises(
        specs.ParameterError, match="chat_template_kwargs have no effect in mode 'completion'; take them out"
    ):
        registry.load(
            generation(model={"id": str(tiny), "chat_template_kwargs": {"enable_thinking": False}}).model
        )


def test_an_argument_reaches_the_prompt_and_the_key(chat):
    on, off = (
        requested(chat(TURN + SWITCH, chat_template_kwargs={"enable_thinking": way})) for way in (True, False)
    )
    assert (
        on["rendered"].str.endswith("<think>\n").all() and off["rendered"].str.endswith("</think>\n\n").all()
    )
    assert not set(on["key"]) & set(off["key"])


@pytest.mark.parametrize(
    ("template", "opens"),
    [
        (TURN + OPEN, False),
        (TURN + THINKS, True),
        (TURN + SWITCH, True),
        (TURN + OPEN + "<think></think>", False),
        (TURN + THINKS + "Okay,", True),
        (TURN.replace("{% endfor", "<think>x</think>{% endfor") + THINKS, True),
    ],
)
def test_whether_a_prompt_ends_inside_a_thought(chat, template, opens):
    model = chat(template)
    assert model.opens_thought(model.question("Hello")) == opens


def test_what_the_user_says_of_markers_opens_no_thought(chat):
    for template, opens in ((TURN + OPEN, False), (TURN + THINKS, True)):
        model = chat(template)
        for words in ("Do not write <think>.", "Close it: </think>"):
            assert model.opens_thought(model.question(words)) == opens


def test_markers_of_ones_own(chat):
    markers = ["<|begin|>", "<|end|>"]
    model = chat(TURN + OPEN + "<|begin|>", thought_markers=markers)
    assert model.opens_thought(model.question("Hello"))
    assert not chat(TURN + THINKS, thought_markers=markers).opens_thought(
        model.question("Hello").replace("<|begin|>", "")
    )


@pytest.mark.parametrize(
    ("template", "changes", "message"),
    [
        (SWITCH, {}, "set thinking_tokens: 1024, or chat_template_kwargs: {enable_thinking: false}"),
        (THINKS, {}, "no tokens are set aside for it; set thinking_tokens: 1024"),
        (
            THINKS,
            {"thinking_tokens": 9, "require_word": True},
            "need not begin with a word of the answer; set require_word",
        ),
        (
            THINKS,
            {"thinking_tokens": 9, "assistant_prefill": True},
            "assistant_prefill would begin the answer within it; set assistant_prefill",
        ),
        (
            THINKS,
            {"thinking_tokens": 5000},
            "thinking_tokens 5000 and max_new_tokens 6 exceed the 2048 that it can read",
        ),
    ],
)
def test_a_thought_without_room_or_sense_is_a_fault(chat, template, changes, message):
    model = chat(TURN + template, **changes)
    with pytest.raises(specs.ParameterError) as caught:
        prompt_checks.check(requested(model), model, 6)
    assert message in str(caught.value)
    assert "enable_thinking" in message or "enable_thinking" not in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"thinking_tokens": 9}, {"chat_template_kwargs": {"enable_thinking": False}}]
)
def test_a_thought_with_tokens_of_its_own_or_turned_off_is_sound(chat, changes):
    model = chat(TURN + SWITCH, **changes)
    prompt_checks.check(requested(model), model, 6)
    note = prompt_checks.thought_note(model, 6)
    assert (
        note == ""
        if "chat_template_kwargs" in changes
        else "9 tokens are set aside for it, beside the 6 of the answer" in note
    )


def test_a_model_that_may_open_a_thought_by_itself_is_told_of(chat):
    qwen3 = (
        "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
    )
    note = prompt_checks.thought_note(chat(TURN + OPEN + qwen3), 6)
    assert "knows `enable_thinking`" in note and "no tokens are set aside" in note
    assert prompt_checks.thought_note(chat(TURN + OPEN), 6) == ""


def test_the_names_a_template_reads(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.chat_template = (
        TURN + SWITCH + "{{ bos_token }}{{ date_string }}{% set x = 1 %}{{ x }}{{ style }}"
    )
    assert chat_templates.known(tokenizer) == {"enable_thinking", "date_string", "style"}


def test_a_judge_whose_template_opens_a_thought_needs_tokens_for_it(chat):
    for tokens in (0, 9):
        asked = chat(TURN + THINKS, thinking_tokens=tokens).spec
        judge = specs.JUDGE_SCHEMA.validate_python(
            {"name": "asked", "kind": "llm", "model": asked.model_dump()}
        )
        if tokens:
            assert llm_judge.version(judge).startswith("asked-")
        else:
            with pytest.raises(
                specs.ParameterError,
                match=r"judge asked: its chat template opens a thought .*thinking_tokens",
            ):
                llm_judge.version(judge)


def test_a_mitigation_that_is_a_system_message_is_refused_by_a_template_without_one(chat):
    model = chat(GEMMA)
    assert "He is sad." in model.render("He is sad.", "His street is", "Mind the facts.")
    with pytest.raises(specs.ParameterError, match=r"System role not supported.* without \{system\}"):
        model.render("He is sad.", "His street is", "{system} Mind the facts.")
