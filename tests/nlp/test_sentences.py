"""Where the first sentence of a continuation ends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.nlp.sentences import begun, first_end, first_sentence

# the first sentence stands before the bar
SENTENCES = [
    "oak.| It is old.",
    "oak?| Old.",
    "oak!!| Old.",
    "oak…| Old.",
    "oak|\nOld.",
    "\n\n  oak.| Old.",
    "3.| Old.",
    "from Dr. Lee.| Old.",
    "in St. Louis.| Old.",
    "at 8 a.m. sharp.| Old.",
    "by J. Smith.| Old.",
    "George W. Bush.| Old.",
    "3.5 inches.| Old.",
    "www.example.com today.| Old.",
    '"Blue."| Old.',
    "“Blue!”| Old.",
    "oak (or pine.)| Old.",
    "oak and pine| ",
    "Dr. Lee|",
    "|",
    "| \n",
    "No.| He is not.",
    "No. 5.| He",
    "in room C.| He",
    "on Elm St.| He",
    "at 8 a.m.| He",
    "“St. Ives”| ",
    "3.5|",
    "... red.| It",
    "… red.| It",
    "a deep... red.| It",
    "a deep … red.| It",
    "red...| It is",
    "...\nred.| It",
    "oak.| red",
    ".| Red.",
    ".|\nRed.",
    "。|红",
    ". red.| It",
    "?!| Red",
    "U.S. Navy blue.| It",
    "from the U.S.| He",
    "the U.K. Parliament.| It",
    "J. R. R. Tolkien.| He",
    "grade C.| He",
    "B.| She",
    "A. Smith.| He",
    "a Ph.D. in art.| He",
    "12 St. James Rd. in York.| It",
    "Acme Inc. and sons.| It",
    "Acme Inc.| It",
    "oak, etc. and pine.| It",
    "etc.| It",
    "8 p.m. Monday.| It",
    "8 p.m.| They",
    "8 P.M. EST.| They",
    "Jan. 5.| It",
    "in Jan.| It",
    "5 in. wide.| It",
    "5 in.| It",
    "Apt. 4.| It",
    "e.g. oak.| It",
    "(e.g. oak) red.| It",
    "www.a.org/?b=1 red.| It",
    "3.14 reds.| It",
    "red.Blue is next.| It",
    "3.|",
    "1. red|\n2. blue",
    "1. Red|\n2. Blue",
    "1. Red.|\n2. Blue.",
    "1. Red|",
    "1.| Red. It is",
    "1.| Red.\nBlue.",
    "14.| The room",
    "14.|\nThe room",
    "1) red|\n2) blue",
    "- red|\n- blue",
    "* red|\n* blue",
    "• red|",
    "a. red|\nb. blue",
    "**1.** red|\n**2.** blue",
    "floor 1.| The",
    '"Red," he said.| It',
    '"Red!" he said.| It',
    '"Red."| He left',
    "“Red.” he said.| It",
    "«Rouge.»| Oui",
    "« Rouge. »| Oui",
    "„Rot.“| Ja",
    "‘Red.’| It",
    "**Red.**| It",
    "`red.`| It",
    "red.)| It",
    "赤。|青",
    "赤！|青",
    "赤？」|青",
    "好!|很",
    "أحمر؟| نعم",
    "est. 1921.| It",
    "est.| It",
    "1,200 sq. ft. and a yard.| It",
    "1,200 sq. ft.| It",
    "8 fl. oz. of oil.| It",
    "Yahoo! employee.| It",
    "Yahoo!| It",
    "Hello!| how",
    "at Yahoo! in May.| It",
    "Saturday!| and so",
    "He left!| he",
    "लाल।| नीला",
    "red|\r\nBlue",
    "red|\u2028Blue",
    "red\u00a0one.| It",
    "red‽| It",
]

# no end is sure before what could move it has been seen
PENDING = [
    "",
    "oak",
    "oak.",
    "oak. ",
    "oak!",
    "oak…",
    "oak...",
    "3.",
    "in St. ",
    "at 8 a.",
    "at 8 a.m.",
    "8 p.m. Mon",
    '"Blue.',
    "U.S. ",
    "U.S. He",
    "by J. Smith",
    "Dr. Lee",
    "1. red",
    "1. Red oak",
    "1. Red.",
    "1. Red.\n",
    "1. Red.\n2",
    "« Bleu. ",
    "赤。",
    "... ",
    "\n\n",
    ".",
]
SURE = [
    "oak. I",
    "oak\n",
    "oak.\n",
    "3.\n",
    "oak? I",
    "room C. He",
    "on Elm St. He",
    "at 8 a.m. He",
    "No. He",
    "U.S. He ",
    "1. Red.\n2.",
    "1. Red. I",
    "14. T",
    "赤。青",
    "... red. I",
    ". I",
    "1. red\n",
]


@pytest.mark.parametrize("marked", SENTENCES)
def test_first_sentence(marked):
    assert first_sentence(marked.replace("|", "")) == marked.split("|")[0].strip()


@pytest.mark.parametrize(
    ("text", "sure"), [(text, False) for text in PENDING] + [(text, True) for text in SURE]
)
def test_an_end_is_sure_once_nothing_can_move_it(text, sure):
    assert (first_end(text, growing=True) is not None) is sure


@pytest.mark.parametrize(
    ("text", "found"),
    [("", False), ("a deep red", False), ("3.5", False), ("red.", True), ("red\n", True), ("赤。", True)],
)
def test_what_cannot_have_ended_is_told_quickly(text, found):
    assert begun(text) is found


PIECES = st.sampled_from(
    [
        "oak",
        "Red",
        " ",
        ". ",
        ".",
        "...",
        "…",
        "! ",
        "? ",
        "\n",
        "1",
        "1. ",
        "2. ",
        "14. ",
        "A",
        "J. ",
        "U.S. ",
        "Navy",
        "He ",
        "Dr. ",
        "St. ",
        "a.m. ",
        "Mon",
        "day",
        "etc. ",
        "(",
        ") ",
        '"',
        "“",
        "” ",
        "« ",
        " »",
        "。",
        "赤",
        "No. ",
        "5 in. ",
        "www.a.org",
        ",",
        "*",
        "- ",
    ]
)
TEXTS = st.lists(PIECES, min_size=1, max_size=8).map("".join)


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(text=TEXTS, more=TEXTS)
def test_a_sure_end_stays(text, more):
    text = text.lstrip()
    end = first_end(text, growing=True)
    if end is not None:
        assert first_end(text) == first_end(text + more) == first_end(text + more, growing=True) == end


@settings(max_examples=500, deadline=None, derandomize=True)
@given(text=TEXTS)
def test_a_first_sentence_begins_the_text_and_is_found_again(text):
    first = first_sentence(text)
    assert text.lstrip().startswith(first)
    assert not text.strip() or first


def test_a_long_text_takes_no_longer_than_its_length():
    assert first_sentence("U.S. " * 4000 + "Navy") == "U.S. " * 4000 + "Navy"
