"""What a model's reply becomes: an answer, or the name of what is missing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import outcomes
from lib.models import Reply
from lib.outcomes import ANSWERED, EMPTY, REFUSED, THOUGHT_UNFINISHED, TRUNCATED, is_complete, settle

CONTEXT, STEM, SAYS = "He is glad.", "His desk is made of", "The note on the door says"
PROMPT = f"{CONTEXT} {STEM}"
MITIGATION = "The first sentence is unrelated to the second. Ignore the feelings in it."


def settled(text: str, stem=STEM, ended=True, context=CONTEXT, **options) -> tuple:
    """(outcome, completion) of a reply."""
    found = settle(Reply(text, 1, ended), context, stem, **options)
    return found.outcome, found.completion


PIECES = st.sampled_from([
    "oak. ", "Oak", "oak", "red pine! ", "room 12. ", "3.5 inches ", "Dr. Lee ", "8 a.m. ", "U.S. ", "Navy ", "He ", "Elm St. ", "J. ",
    "1. ", "14. ", "2. ", "2) ", "\n", "\n\n", " ", "...", "… ", "。", "؟ ", "!", "? ", "“", "” ", '"', "« ", "»", "**", "* ", "- ", "# ",
    f"{STEM} ", f"{PROMPT} ", "His desk ", f"{CONTEXT} ", MITIGATION, "Ignore the feelings in it. ", "Complete the sentence: ", "Sure! ",
    "Sure, ", "Certainly! ", "Here is the completed sentence: ", "Here's ", "the sentence", ": ", "Answer: ", "The completed sentence is ",
    "Let me complete the sentence. ", "I'd be happy to help! ", "I'm sorry. ", "I'm sorry, but ", "I can't ", "help with that. ",
    "As an AI language model, I ", "cannot say. ", "<think>", "hm. ", "<thi", "</think>", "_", "(", ") ", "etc. ", "e.g. ", "said",
])  # fmt: skip
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
        if not thinking and "<think>" not in text[:end]:
            longer = text[:end] + longer[end:].partition("</think>")[0]  # the end of a thought that nothing told of
        assert settle(Reply(longer, 1, True), **asked) == early
        assert settle(Reply(longer, 1, False), **asked) == early
