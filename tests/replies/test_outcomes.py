"""What a model's reply becomes: an answer, or the name of what is missing."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.replies import outcomes
from lib.replies.outcomes import ANSWERED, EMPTY, REFUSED, THOUGHT_UNFINISHED, TRUNCATED, is_complete, settle
from lib.replies.reply import Reply
from tests.benches import bench_replies

CONTEXT, STEM, SAYS = "He is glad.", "His desk is made of", "The note on the door says"
PROMPT = f"{CONTEXT} {STEM}"
MITIGATION = "The first sentence is unrelated to the second. Ignore the feelings in it."
SENTENCE = "Here is the completed sentence:"


def settled(text: str, stem=STEM, ended=True, context=CONTEXT, **options) -> tuple:
    """(outcome, completion) of a reply."""
    found = settle(Reply(text, 1, ended), context, stem, **options)
    return found.outcome, found.completion


# stem, reply, outcome, completion
SETTLED = [
    (STEM, " oak. It is old.", ANSWERED, "oak."),
    (STEM, f"{PROMPT} oak.", ANSWERED, "oak."),
    (STEM, f"\n{STEM.upper()} oak.", ANSWERED, "oak."),
    (STEM, f"{CONTEXT} oak.", ANSWERED, CONTEXT),
    (STEM, f"oak. {STEM} pine.", ANSWERED, "oak."),
    (STEM, "His desk is made offhand.", ANSWERED, "His desk is made offhand."),
    (STEM, f"{SENTENCE}\n\n**“{STEM} oak.”**", ANSWERED, "oak."),
    (STEM, f"Sure! {MITIGATION} {STEM}: oak.", ANSWERED, "oak."),
    (STEM, f"{MITIGATION} Complete the sentence: {PROMPT} oak. It", ANSWERED, "oak."),
    (STEM, "Sure!\n\nOak.", ANSWERED, "Oak."),
    (STEM, "Sure! Certainly! Answer: oak.", ANSWERED, "oak."),
    (STEM, "Sure!", ANSWERED, "Sure!"),
    (STEM, "Sure! Oak.", ANSWERED, "Oak."),
    (SAYS, "Sure! Here is your key.", ANSWERED, "Sure!"),
    (SAYS, "Sure!\nCome in.", ANSWERED, "Sure!"),
    (SAYS, "Answer: no.", ANSWERED, "Answer: no."),
    ("The first line of the letter is", "Here is where it began.", ANSWERED, "Here is where it began."),
    (STEM, "answer: oak.", ANSWERED, "answer: oak."),
    (STEM, SENTENCE, EMPTY, None),
    (STEM, STEM, EMPTY, None),
    (STEM, "His desk is", EMPTY, None),
    (STEM, "", EMPTY, None),
    (STEM, ".", EMPTY, None),
    (STEM, ".\nOak.", EMPTY, None),
    (STEM, "***\n\noak.", ANSWERED, "oak."),
    (STEM, "…\noak.", ANSWERED, "oak."),
    (STEM, "😊", EMPTY, None),
    (STEM, "I’m sorry, but I can’t help with that.", REFUSED, None),
    (STEM, "I'm sorry. I cannot assist with that.", REFUSED, None),
    (STEM, f"Sure! {SENTENCE} As an AI language model, I have no desk.", REFUSED, None),
    (SAYS, "I'm sorry, but I can't help you.", ANSWERED, "I'm sorry, but I can't help you."),
    (SAYS, "I cannot assist with that.", REFUSED, None),
    (SAYS, "“I cannot assist with that.”", ANSWERED, "“I cannot assist with that.”"),
    (STEM, "I'm sorry that the train was late.", ANSWERED, "I'm sorry that the train was late."),
    (STEM, "I'm sorry. It was late.", ANSWERED, "I'm sorry."),
    (STEM, "<think>hm. ha</think>\n oak.", ANSWERED, "oak."),
    (STEM, "\n<THINK>\n</Think><think>b</think> oak. I", ANSWERED, "oak."),
    (STEM, "hm. ha </think> oak.", ANSWERED, "oak."),
    (STEM, "<think>hm", THOUGHT_UNFINISHED, None),
    (STEM, "<think>a</think><think>b", THOUGHT_UNFINISHED, None),
    (STEM, "<think>a</think>", EMPTY, None),
    (STEM, "oak <think>hm</think> pine.", ANSWERED, "oak"),
    (STEM, "Oak.\n<think>hm", ANSWERED, "Oak."),
    (STEM, f"{SENTENCE}<think>a</think>oak.", ANSWERED, "oak."),
]


@pytest.mark.parametrize(("stem", "reply", "outcome", "completion"), SETTLED)
def test_what_a_reply_becomes(stem, reply, outcome, completion):
    assert settled(reply, stem, mitigation=MITIGATION) == (outcome, completion)


@pytest.mark.parametrize(
    ("reply", "ended", "outcome", "completion"),
    [
        ("a deep", False, TRUNCATED, "a deep"),
        ("a deep", True, ANSWERED, "a deep"),
        ("oak. It", False, ANSWERED, "oak."),
        ("from Dr", False, TRUNCATED, "from Dr"),
        ("from Dr. Lee", False, TRUNCATED, "from Dr. Lee"),
        ("...", False, EMPTY, None),
    ],
)
def test_the_token_limit_before_a_sentence_end_truncates(reply, ended, outcome, completion):
    assert settled(reply, ended=ended) == (outcome, completion)


@pytest.mark.parametrize(
    ("reply", "outcome", "completion"),
    [
        ("hm. ha</think>oak.", ANSWERED, "oak."),
        ("<think>\nhm</think>oak.", ANSWERED, "oak."),
        ("oak. It is old.", THOUGHT_UNFINISHED, None),
        ("</think>\noak.", ANSWERED, "oak."),
        ("hm</think>oak. It </think> pine.", ANSWERED, "oak."),
    ],
)
def test_a_prompt_may_have_opened_the_thought(reply, outcome, completion):
    assert settled(reply, thinking=True) == (outcome, completion)


FREE = [
    ("<think>hm</think> It is 4. Or 5.\n", True, ANSWERED, "It is 4. Or 5."),
    ("Sure! Here is the answer: 4. So", False, TRUNCATED, "Sure! Here is the answer: 4. So"),
    ("I cannot assist with that.", True, ANSWERED, "I cannot assist with that."),
    ("<think>hm", True, THOUGHT_UNFINISHED, None),
    (" ", True, EMPTY, None),
]


@pytest.mark.parametrize(("reply", "ended", "outcome", "completion"), FREE)
def test_of_the_answer_to_a_free_question_only_thoughts_are_set_aside(reply, ended, outcome, completion):
    assert settled(reply, stem=None, context=None, ended=ended) == (outcome, completion)
    assert not is_complete(reply, None, None)


def test_thoughts_have_the_markers_of_the_model():
    assert settled("[THINK]a. b[/THINK]oak.", markers=["[THINK]", "[/THINK]"]) == (ANSWERED, "oak.")
    assert settled("<think>a</think>oak.", markers=["[THINK]", "[/THINK]"])[1] == "<think>a</think>oak."
    with pytest.raises(ValueError, match=r"thought_markers .* an empty marker; give"):
        settled("oak.", markers=["", "</think>"])


def test_a_note_says_what_stands_there_instead():
    def note(text: str) -> str:
        return settle(Reply(text, 1, True), CONTEXT, STEM).note

    assert note("I'm sorry. I cannot assist with that. Bye.") == "I'm sorry. I cannot assist with that."
    assert note("Answer: As an AI, I have none. Bye.") == "As an AI, I have none."
    assert (note(". Oak"), note(""), note("Answer:\n")) == (".", "no text", "Answer:")
    assert "chat_template_kwargs" in note("<think>") and "thinking_tokens" in note("<think>")
    assert len(note("- " * 500)) == 200


def test_what_the_backend_knows_is_kept():
    assert settle(Reply("oak.", 1, True, "failed", "no route"), CONTEXT, STEM) == outcomes.Settled(
        None, "failed", "no route"
    )
    with pytest.raises(ValueError, match="'answered': not one that a backend gives"):
        settle(Reply("oak.", 1, True, "answered"), CONTEXT, STEM)


# what may still become a thought, the prompt, a preamble, or whose end is not sure
PENDING = [
    "",
    "\n\n",
    " oak",
    "He is glad.",
    "his DESK",
    PROMPT,
    f"{PROMPT} oak",
    "oak.",
    "oak. ",
    f"{STEM} 3.",
    "in St. Louis",
    "<",
    "<thi",
    "<think>",
    "<think>oak. It",
    "Sure! ",
    "Sure! H",
    "Sure! Here is",
    "Sure! <thi",
    f"{SENTENCE} ",
    f"{SENTENCE} oak.",
    "Ignore the feelings in it.",
    "Ignore the feelings in it. His",
    "I'm sorry. ",
    "I'm sorry. I can",
    "Sure!\n",
    "1. His",
    f"**{STEM}",
]
COMPLETE = [
    " oak. I",
    " oak\n",
    " oak.\n",
    "3.\n",
    "He is glad. Oak",
    f"{PROMPT} oak. I",
    f"{STEM} 3.5 boards. I",
    "The red one. I",
    "Sure! It was. It",
    "<think>hm. ha</think>oak. I",
    f"{SENTENCE} oak. I",
    "I'm sorry. It was. I",
    ". It",
]


@pytest.mark.parametrize(
    ("text", "complete"), [(text, True) for text in COMPLETE] + [(text, False) for text in PENDING]
)
def test_decoding_stops_once_nothing_can_change(text, complete):
    assert is_complete(text, CONTEXT, STEM, MITIGATION) is complete


def test_decoding_goes_on_in_a_thought_that_the_prompt_opened():
    assert not is_complete("oak. It", CONTEXT, STEM, thinking=True)
    assert is_complete("oak. It</think> pine. It", CONTEXT, STEM, thinking=True)


PIECES = st.sampled_from(
    [
        "oak. ",
        "Oak",
        "oak",
        "red pine! ",
        "room 12. ",
        "3.5 inches ",
        "Dr. Lee ",
        "8 a.m. ",
        "U.S. ",
        "Navy ",
        "He ",
        "Elm St. ",
        "J. ",
        "1. ",
        "14. ",
        "2. ",
        "2) ",
        "\n",
        "\n\n",
        " ",
        "...",
        "… ",
        "。",
        "؟ ",
        "!",
        "? ",
        "“",
        "” ",
        '"',
        "« ",
        "»",
        "**",
        "* ",
        "- ",
        "# ",
        f"{STEM} ",
        f"{PROMPT} ",
        "His desk ",
        f"{CONTEXT} ",
        MITIGATION,
        "Ignore the feelings in it. ",
        "Complete the sentence: ",
        "Sure! ",
        "Sure, ",
        "Certainly! ",
        "Here is the completed sentence: ",
        "Here's ",
        "the sentence",
        ": ",
        "Answer: ",
        "The completed sentence is ",
        "Let me complete the sentence. ",
        "I'd be happy to help! ",
        "I'm sorry. ",
        "I'm sorry, but ",
        "I can't ",
        "help with that. ",
        "As an AI language model, I ",
        "cannot say. ",
        "<think>",
        "hm. ",
        "<thi",
        "</think>",
        "_",
        "(",
        ") ",
        "etc. ",
        "e.g. ",
        "said",
        "</s>",
        "<|im_end|>",
        "Maybe: ",
        "Hello! ",
        "He is glad! ",
        "Your sentence ",
        "is incomplete. ",
        "his desk",
        " — ",
        "I can't complete the sentence. ",
        "Option 1: ",
        '…" ',
        "The sentence ",
        "can be completed with: ",
        "„",
        "“ ",
        "I notice that the sentence ",
        "is odd. ",
        "Could you tell me what ",
        "you want? ",
        "I'd be happy to help, but ",
        "Yahoo! ",
        "sq. ft. ",
        "est. ",
        "Possible completions:\n",
    ]
)
TEXTS = st.lists(PIECES, min_size=1, max_size=7).map("".join)


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(text=TEXTS, more=TEXTS, thinking=st.booleans(), stem=st.sampled_from([STEM, SAYS]))
def test_what_comes_after_a_complete_text_changes_nothing(text, more, thinking, stem):
    asked = {"context": CONTEXT, "stem": stem, "mitigation": MITIGATION, "thinking": thinking}
    end = next((end for end in range(1, len(text) + 1) if is_complete(text[:end], **asked)), None)
    if end is None:
        return
    early = settle(Reply(text[:end], 1, True), **asked)
    for longer in (text + more, text[:end] + more):
        untold = -1 if thinking or "<think>" in text[:end] else longer.find("</think>")
        if untold >= 0:  # the end of a thought that nothing told of
            longer = longer[: max(untold, end)]
        assert settle(Reply(longer, 1, True), **asked) == early
        assert settle(Reply(longer, 1, False), **asked) == early


def test_each_rule_is_precise_and_finds_what_there_is():
    table = bench_replies.settled(bench_replies.cases("reply_cases"))
    scores = bench_replies.scores(table)
    assert (scores["cases"] > 0).all()
    assert (scores["precision"] >= 98).all(), scores
    assert (scores["recall"] >= 95).all(), scores
    natural = table[table["rules"] == "natural"]
    assert bench_replies.wrong(natural).empty


# What the rules made of the held-out file at first look, precision and recall: it was written without sight
# of them. Its English misses were then mended, so it is no longer untouched, and what the rules make of it
# now says less than these numbers.
FIRST_LOOK = {
    "thought": (100, 100),
    "preamble": (95, 82.6),
    "refusal": (100, 56.5),
    "empty": (100, 100),
    "cut": (84.5, 90.3),
}


@pytest.mark.parametrize("rule", FIRST_LOOK)
def test_held_out_replies_are_read_no_worse_than_at_first_look(rule):
    scores = bench_replies.scores(bench_replies.settled(bench_replies.cases("reply_cases_held_out")))
    precision, recall = FIRST_LOOK[rule]
    assert (
        scores.loc[rule, "precision"].round(1) >= precision and scores.loc[rule, "recall"].round(1) >= recall
    ), scores


def test_there_are_enough_cases():
    tuned, held_out = (bench_replies.cases(name) for name in bench_replies.FILES)
    assert len(tuned) >= 300 and len(held_out) >= 40
    # stock phrases that whoever wrote the held-out file came upon too: they tell nothing new
    both = {
        "I can't fulfill that request.",
        "I'm sorry, but I can't assist with that.",
        "Lo siento, pero no puedo ayudar con eso.",
    }
    assert set(tuned["reply"]) & set(held_out.loc[held_out["outcome"] != "empty", "reply"]) <= both


def test_the_scores_tell_a_rule_that_acts_too_often_or_not_at_all():
    table = bench_replies.settled(bench_replies.cases("reply_cases"))
    blind = bench_replies.scores(table.assign(found_rules="", found_outcome="answered"))
    assert blind.loc["preamble", "recall"] == 0
    eager = bench_replies.scores(table.assign(found_rules="preamble"))
    assert eager.loc["preamble", "precision"] < 30


LONG = [
    "Sure! " * 2000,
    "I'm sorry. " * 2000,
    "here " * 3000 + "sentence. I",
    "complete sentence " * 2000 + "! I",
    "*" * 9000,
    "U.S. " * 3000,
]


@pytest.mark.parametrize("text", LONG)
def test_a_long_text_is_read_in_time(text):
    began = time.perf_counter()
    is_complete(text, CONTEXT, STEM)
    settle(Reply(text, 1, True), CONTEXT, STEM)
    assert time.perf_counter() - began < 2


def test_text_without_a_sentence_end_costs_next_to_nothing():
    began = time.perf_counter()
    for _ in range(10_000):
        is_complete("a deep red that hid nothing and", CONTEXT, STEM)
    assert time.perf_counter() - began < 1
