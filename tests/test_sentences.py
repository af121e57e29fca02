"""Where a completion ends, and when decoding may stop."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.sentences import completion_of, first_sentence, is_complete, without_echo

CONTEXT, STEM = "He is glad.", "His desk is made of"
PROMPT = f"{CONTEXT} {STEM}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("oak. It is old.", "oak."),
        ("oak? It is old.", "oak?"),
        ("oak!! It is old.", "oak!!"),
        ("oak… It is old.", "oak…"),
        ("oak\nIt is old.", "oak"),
        ("\n\n  oak. Old.", "oak."),
        ("from Dr. Lee. Old.", "from Dr. Lee."),
        ("in St. Louis. Old.", "in St. Louis."),
        ("at 8 a.m. sharp. Old.", "at 8 a.m. sharp."),
        ("by J. Smith. Old.", "by J. Smith."),
        ("3.5 inches. Old.", "3.5 inches."),
        ("3. Old.", "3."),
        ("www.example.com today. Old.", "www.example.com today."),
        ('"Blue." It is old.', '"Blue."'),
        ("“Blue!” It is old.", "“Blue!”"),
        ("oak (or pine.) Old.", "oak (or pine.)"),
        ("oak and pine ", "oak and pine"),
        ("Dr. Lee", "Dr. Lee"),
        ("", ""),
        (" \n", ""),
    ],
)
def test_first_sentence(text, sentence):
    assert first_sentence(text) == sentence


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (f"{PROMPT} oak.", " oak."),
        (f"\n{STEM} oak.", " oak."),
        (f"{PROMPT.upper()} oak.", " oak."),
        (" oak.", "oak."),
        (f"{CONTEXT} oak.", f"{CONTEXT} oak."),  # the context alone is no echo of the prompt
        (f"oak. {STEM} pine.", f"oak. {STEM} pine."),  # nor is what comes later
    ],
)
def test_an_echo_of_the_prompt_or_the_stem_is_taken_off(text, rest):
    assert without_echo(text, CONTEXT, STEM) == rest


def test_without_context_the_prompt_is_the_stem():
    assert completion_of(f"{STEM} oak. Old.", "", STEM) == "oak."


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", False),
        (" oak", False),
        (" oak.", True),
        (" oak\n", True),
        (" oak?", True),
        ("\n\n", False),  # line breaks before the first word end nothing
        ("He is glad.", False),  # may grow into the prompt ...
        ("He is glad. Oak", True),  # ... which it now cannot
        ("his DESK", False),
        (f"{PROMPT}", False),
        (f"{PROMPT} oak.", True),
        (f"{STEM} 3.", False),  # may grow into 3.5 ...
        (f"{STEM} 3.5 boards", False),
        (f"{STEM} 3. ", True),  # ... or not
        (" oak from St.", False),
        (" oak at 8 a.m.", False),
    ],
)
def test_decoding_stops_once_the_first_sentence_has_ended(text, complete):
    assert is_complete(text, CONTEXT, STEM) is complete


WORDS = st.lists(st.sampled_from(["oak", "red pine", "room 12", "3.5 inches", "Dr. Lee", "blue,", "not"]), min_size=1, max_size=4)
SENTENCES = st.tuples(WORDS.map(" ".join), st.sampled_from([". ", "! ", "? ", "\n"])).map("".join)
ECHOES = st.sampled_from(["", " ", f"{STEM} ", f"{PROMPT} ", f"{CONTEXT} ", "His desk "])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(echo=ECHOES, text=st.lists(SENTENCES, min_size=1, max_size=3).map("".join))
def test_stopping_early_cuts_what_the_whole_text_would_be_cut_to(echo, text):
    # every sentence of `text` is followed by a space or a line break, so a point after a digit gets its next character too
    whole = echo + text
    prefixes = [whole[:length] for length in range(len(whole) + 1)]
    stopped = next((prefix for prefix in prefixes if is_complete(prefix, CONTEXT, STEM)), None)
    assert stopped is not None
    assert completion_of(stopped, CONTEXT, STEM) == completion_of(whole, CONTEXT, STEM)
