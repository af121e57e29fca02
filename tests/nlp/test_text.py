"""One spelling for what typography writes in many, and nothing beyond: the same for every judge and word
list."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.dataset import wording
from lib.mining import extract
from lib.nlp import vader
from lib.nlp.text import normalize

MARKS = "‘’ʼ′`´＇“”„«»″…–—―‑−\u00a0\u2009\u3000\u200b\u200c\u200d\ufeff\u00ad\ufe0f❤\u0301e!:)\n "


@pytest.mark.parametrize("mark", "’‘‛ʼ′`´＇՚ꞌ\x92")
def test_an_apostrophe_of_any_shape_negates(mark):
    written = f"isn{mark}t good"
    assert normalize(written) == "isn't good"
    assert vader.valences([written])[0] == vader.valences(["isn't good"])[0] < 0


@pytest.mark.parametrize(
    "quoted",
    [
        "“good”",
        "„good“",
        "«good»",
        "″good″",
        "‘good’",
        "‹good›",
        "❮good❯",
        "🙶good🙷",
        "＂good＂",
        "\x93good\x94",
    ],
)
def test_quotes_of_any_shape_do_not_hide_a_word(quoted):
    assert vader.valences([quoted])[0] == vader.valences(["good"])[0] > 0


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("a\u00a0b\u2009c\u3000d\u202fe\u2003f\u2800g", "a b c d e f g"),
        (" two\r\n\n lines\tof \u2028 it\u0085 ", "two lines of it"),
        ("hor\u00adri\u200bble \ufeffwar\u2060\u202e", "horrible war"),
        ("not\u200d \u200cgood", "not good"),
        ("cafe\u0301 e\u200b\u0301", "café é"),
        ("terriﬁc oﬀer", "terrific offer"),
        ("ＧＯＯＤ！？", "GOOD!?"),
        ("good…", "good..."),
        ("self‑pity −5 well‐known", "self-pity -5 well-known"),
        ("a disaster—nothing worked – “bad”—he said", 'a disaster - nothing worked - "bad" - he said'),
        ("(bad)—he *said*—it 👍—5%—really⸺", "(bad) - he *said* - it 👍 - 5% - really -"),
        ("5′ 3″", "5' 3\""),
        ("go\x07od b\x7fad\x1b[ no\x00t \u2067i\u206at\ufe00", "good bad[ not it"),
        ("\x84Tr\x9ft\x93 \x85 5 \x80 \x97", '"TrŸt" 5 € -'),
        ("𝗴𝗼𝗼𝗱 𝐛𝐚𝐝 𝒯ℎ𝑒 ŉ", "good bad The 'n"),
        ("", ""),
        ("\u200b \ufeff", ""),
    ],
)
def test_one_spelling(written, plain):
    assert normalize(written) == plain


@pytest.mark.parametrize(
    "text",
    [
        "Zoë's",
        "日本。「猫」",
        "m² ½ ™ №",
        "👩‍🚀 👨‍👩‍👧",
        "می‌خواهم",
        ":-Þ ¡no! ¿qué?",
        "naïve, Ångström, Ł, ß",
        "क्‍ष",
    ],
)
def test_what_is_no_typography_stays(text):
    assert normalize(text) == unicodedata.normalize("NFC", text)


def test_words_emoticons_and_emoji_of_the_lexicon_stay():
    assert all(normalize(word) == word for word in vader.lexicon())
    emojis = [emoji for emoji in vader._analyzer().emojis if len(emoji) == 1]
    assert all(normalize(emoji) == emoji for emoji in emojis)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        (":‑)", ":-)"),
        (":–(", ":-("),
        (":−D", ":-D"),
        (":’(", ":'("),
        (":’–(", ":'-("),
        ("(–:", "(-:"),
        (":—|", ":-|"),
        ("D–:", "D-:"),
        ("❤️", "❤"),
        ("☹️", "☹"),
    ],
)
def test_an_emoticon_counts_whatever_its_marks(written, plain):
    assert vader.valences([written])[0] == vader.valences([plain])[0] != 0


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(st.sampled_from(MARKS), max_size=8) | st.text(max_size=12))
def test_what_is_given_is_left_as_it_is(text):
    once = normalize(text)
    assert normalize(once) == once == unicodedata.normalize("NFC", once)
    assert once == " ".join(once.split())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.text(
        st.characters(codec="ascii", min_codepoint=32, max_codepoint=126, exclude_characters="`"), max_size=20
    )
)
def test_plain_text_is_judged_as_vader_itself_does(text):
    compound = vader._analyzer().polarity_scores(text)["compound"]
    np.testing.assert_allclose(vader.valences([text]), [vader.SCALE * compound])


def test_word_lists_know_curly_words():
    assert extract.words_of("He didn’t see O‘Neil’s ﬁre.") == ["he", "didn't", "see", "o'neil's", "fire"]
    assert extract.judged("They don’t love the door that they see there.", 0.1) == "sentence_negated"
    assert wording.charged_words("a “terrible” day, ‘good’ or can’t stand") == wording.charged_words(
        "a \"terrible\" day, 'good' or can't stand"
    )
    assert "terrible" in wording.charged_words("a ﬂood: “terrible”")
