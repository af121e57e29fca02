"""From text to valence on the human scale, and what counts as charged or as a repetition."""

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.config.specs import LearnedJudge, VaderJudge
from lib.judging import judges
from lib.nlp import vader

VADER = VaderJudge(name="vader")
CONTEXT = "He is heartbroken and full of sorrow."
CURLY_AND_STRAIGHT = [
    ("It isn’t good", "It isn't good"),
    ("a “wonderful” day…", 'a "wonderful" day...'),
    ("not\u00a0a\u200b happy cafe\u0301", "not a happy café"),
]
TEXTS = st.sampled_from(["oak.", "a happy day", "a terrible tragedy!", ""]) | st.text(
    st.characters(codec="ascii"), max_size=20
)


def test_vader_stretches_its_compound_score_to_the_human_scale():
    # lexicon: good 1.9; compound = 1.9 / sqrt(1.9² + 15) = 0.4404; times 4 = 1.7616.  bad -2.5: -0.5423 times
    # 4 = -2.1692
    np.testing.assert_allclose(vader.valences(["good", "bad", "wood"]), [1.7616, -2.1692, 0])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(TEXTS.filter(lambda text: "\0" not in text), max_size=8))
def test_each_text_is_judged_as_if_alone_and_within_the_scale(texts):
    texts = texts + texts[:2]  # duplicates are judged once, yet answered each
    judged = judges.valences(VADER, texts)
    np.testing.assert_array_equal(judged, vader.valences(texts))
    assert (np.abs(judged) <= 4).all()


@pytest.mark.parametrize(
    ("completion", "repeated"),
    [
        ("Heartbroken Hotel.", True),
        ("the SORROW, of course", True),
        ("sorrowful", False),  # another form
        ("full of oak", False),  # repeated, but not a charged word
        ("a wonderful tragedy", False),  # charged, but not repeated
        ("", False),
    ],
)
def test_repeating_a_charged_word_of_the_context(completion, repeated):
    assert judges.repeats_charge(completion, CONTEXT) is repeated
    assert not judges.repeats_charge(completion, "")


def test_taking_an_idiom_at_its_word_is_repeating_it():
    assert judges.repeats_charge("Blue Street", "He is feeling blue.", "blue")
    assert not judges.repeats_charge("Blue Street", "He is feeling blue.")
    assert not judges.repeats_charge("Main Street", "He is feeling blue.", "blue")


def judged(completions: list[str], threshold: float) -> pd.DataFrame:
    described = {
        "domain": "d",
        "slot": "open",
        "emotion": "joy",
        "form": "explicit",
        "stem": "It is",
        "intensity": "plain",
        "pronoun": "he",
        "literal_senses": "",
        "kind": "",
    }
    prompts = pd.DataFrame([{"prompt_id": "p0", "context": CONTEXT, **described}])
    return judges.judgements(
        pd.DataFrame({"prompt_id": "p0", "completion": completions}), prompts, VADER, threshold
    )


@pytest.mark.parametrize(("curly", "straight"), CURLY_AND_STRAIGHT)
def test_curly_marks_are_judged_like_straight_ones(curly, straight):
    """The other kinds of judges are held to the same pairs in their own tests."""
    given = judges.valences(VADER, [curly, straight, None])
    assert given[0] == given[1] != 0
    assert np.isnan(given[2])
    np.testing.assert_array_equal(vader.valences([curly]), vader.valences([straight]))


def test_a_word_of_the_context_is_repeated_whatever_its_hyphen():
    assert judges.repeats_charge("well‑being", "She lost her well-being.", "well-being")
    assert judges.repeats_charge("‘Heartbroken’ Hotel", CONTEXT)


def test_charged_is_beyond_the_threshold_and_not_at_it():
    strength = vader.valences(["good"])[0]
    assert judged(["good", "wood", "sorrow"], strength)["charged"].tolist() == [False, False, True]
    below = judged(["good", "wood", "sorrow"], strength - 1e-9)
    assert below["charged"].tolist() == [True, False, True]
    assert below["repeats"].tolist() == [False, False, True]
    assert set(below["judge"]) == {"vader-3.3.2-text-2"}


def test_an_unscored_completion_is_neither_charged_nor_uncharged(monkeypatch):
    # VADER always answers, so a judge that may not is put in its place
    monkeypatch.setattr(vader, "valences", lambda texts: np.where(np.array(texts) == "?", np.nan, 3.0))
    table = judged(["?", "good", "?"], 0.2)
    assert table["valence"].isna().tolist() == table["charged"].isna().tolist() == [True, False, True]
    assert table["charged"].sum() == 1


def test_a_judge_whose_package_is_missing_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lib.judging.learned", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"judge 'mine' of kind 'learned' needs lib.judging.learned.*install it"
    ):
        judges.valences(LearnedJudge(name="mine"), ["a text"])
