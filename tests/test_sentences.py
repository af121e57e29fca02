"""Where a completion ends, and when decoding may stop."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.sentences import completion_of, first_sentence, is_complete, without_echo

CONTEXT, STEM = "He is glad.", "His desk is made of"
PROMPT = f"{CONTEXT} {STEM}"
# the first sentence stands before the bar
SENTENCES = [
    "oak.| It is old.", "oak?| Old.", "oak!!| Old.", "oak…| Old.", "oak|\nOld.", "\n\n  oak.| Old.", "3.| Old.",
    "from Dr. Lee.| Old.", "in St. Louis.| Old.", "at 8 a.m. sharp.| Old.", "by J. Smith.| Old.", "George W. Bush.| Old.",
    "3.5 inches.| Old.", "www.example.com today.| Old.",
    '"Blue."| Old.', "“Blue!”| Old.", "oak (or pine.)| Old.", "oak and pine| ", "Dr. Lee|", "|", "| \n",
    "No.| He is not.", "No. 5.| He", "in room C.| He", "on Elm St.| He", "at 8 a.m.| He", "“St. Ives”| ", "3.5|",
]  # fmt: skip
# without the prompt or the stem, in any case, but with what is no echo of them
ECHOES = [(f"{PROMPT} oak.", " oak."), (f"\n{STEM} oak.", " oak."), (f"{PROMPT.upper()} oak.", " oak."), (" oak.", "oak."),
          (f"{CONTEXT} oak.", f"{CONTEXT} oak."), (f"oak. {STEM} pine.", f"oak. {STEM} pine.")]  # fmt: skip
COMPLETE = [" oak. I", " oak\n", " oak.\n", "3.\n", " oak? I", "He is glad. Oak", f"{PROMPT} oak. I", f"{STEM} 3.5 boards. I",
            "room C. He", "on Elm St. He", "at 8 a.m. He", "No. He"]  # fmt: skip
# what may grow into the prompt or the stem, or whose end is not sure before the next word is seen
PENDING = ["", "\n\n", " oak", "He is glad.", "his DESK", PROMPT, f"{PROMPT} oak", "oak.", "oak. ", "oak!", "3.", f"{STEM} 3.",
           "in St. ", "in St. Louis", "at 8 a.", "at 8 a.m. on", "No. 5", '"Blue.', "by J. Smith", "Dr. Lee"]  # fmt: skip


@pytest.mark.parametrize("marked", SENTENCES)
def test_first_sentence(marked):
    assert first_sentence(marked.replace("|", "")) == marked.split("|")[0].strip()


@pytest.mark.parametrize(("text", "rest"), ECHOES)
def test_an_echo_of_the_prompt_or_the_stem_is_taken_off(text, rest):
    assert without_echo(text, CONTEXT, STEM) == rest


def test_without_context_the_prompt_is_the_stem():
    assert completion_of(f"{STEM} oak. Old.", "", STEM) == "oak."


@pytest.mark.parametrize(("text", "complete"), [(text, True) for text in COMPLETE] + [(text, False) for text in PENDING])
def test_decoding_stops_once_the_first_sentence_has_ended(text, complete):
    assert is_complete(text, CONTEXT, STEM) is complete


WORDS = st.lists(
    st.sampled_from(["oak", "red pine", "room 12", "3.5 inches", "Dr. Lee", "blue,", "8 a.m.", "Elm St.", "J. R. Roe", "C."]),
    min_size=1,
    max_size=4,
)
SIMPLE = st.tuples(WORDS.map(" ".join), st.sampled_from([". ", "! ", "? ", "\n"])).map("".join)
BEGINNINGS = st.sampled_from(["", " ", f"{STEM} ", f"{PROMPT} ", f"{CONTEXT} ", "His desk "])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(beginning=BEGINNINGS, text=st.lists(SIMPLE, min_size=1, max_size=3).map("".join))
def test_stopping_early_cuts_what_the_whole_text_would_be_cut_to(beginning, text):
    whole = beginning + text
    stopped = next((whole[:length] for length in range(len(whole)) if is_complete(whole[:length], CONTEXT, STEM)), whole)
    assert completion_of(stopped, CONTEXT, STEM) == completion_of(whole, CONTEXT, STEM)
