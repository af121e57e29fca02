"""From text to valence on the human scale, and what counts as charged or as a repetition."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import judges

TEXTS = ["oak.", "a wonderful, happy day", "a terrible tragedy!", ""]


def test_vader_stretches_its_compound_score_to_the_human_scale():
    # lexicon: good 1.9; compound = 1.9 / sqrt(1.9² + 15) = 0.4404; times 4 = 1.7616.  bad -2.5: -0.5423 times 4 = -2.1692
    np.testing.assert_allclose(judges.vader(["good", "bad", "wood"]), [1.7616, -2.1692, 0])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(TEXTS) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), max_size=8))
def test_each_text_is_judged_as_if_alone_and_within_the_scale(texts):
    judged = judges.judge("vader", texts + texts[:2])  # duplicates are judged once, yet answered each
    assert judged.shape == (len(texts + texts[:2]),)
    np.testing.assert_array_equal(judged, [judges.vader([text])[0] for text in texts + texts[:2]])
    assert (np.abs(judged) <= judges.SCALE).all()


def test_no_texts_have_no_valences():
    assert judges.judge("vader", []).shape == (0,)


CONTEXT = "He is heartbroken and full of sorrow."


@pytest.mark.parametrize(
    ("completion", "context", "repeated"),
    [
        ("Heartbroken Hotel.", CONTEXT, True),
        ("the SORROW, of course", CONTEXT, True),
        ("sorrowful", CONTEXT, False),  # another form
        ("full of oak", CONTEXT, False),  # repeated, but not a charged word
        ("a wonderful tragedy", CONTEXT, False),  # charged, but not repeated
        ("sorrow", "", False),
        ("", CONTEXT, False),
    ],
)
def test_repeating_a_charged_word_of_the_context(completion, context, repeated):
    assert judges.repeats_charge(completion, context) is repeated


def benchmark(contexts: list[str]) -> pd.DataFrame:
    described = {"domain": "d", "slot": "open", "emotion": "joy", "form": "explicit", "stem": "It is"}
    return pd.DataFrame({"prompt_id": [f"p{number}" for number in range(len(contexts))], "context": contexts, **described})


def test_charged_is_beyond_the_threshold_and_not_at_it():
    completions = pd.DataFrame({"prompt_id": ["p0", "p0", "p1"], "completion": ["good", "wood", "bad"]})
    strength = abs(judges.vader(["good"])[0])
    prompts = benchmark([CONTEXT, "It is bad."])
    at, below = (judges.judgements(completions, prompts, "vader", limit) for limit in (strength, strength - 1e-9))
    assert at["charged"].tolist() == [False, False, True]
    assert below["charged"].tolist() == [True, False, True]
    assert below["repeats"].tolist() == [False, False, True]
    assert below["context"].tolist() == [CONTEXT, CONTEXT, "It is bad."]
    assert set(below["judge"]) == {"vader-3.3.2"}


def test_an_unscored_completion_is_neither_charged_nor_uncharged(monkeypatch):
    # VADER always answers, so a judge that may not is put in its place
    monkeypatch.setattr(judges, "vader", lambda texts: np.where(np.array(texts) == "?", np.nan, 3.0))
    completions = pd.DataFrame({"prompt_id": "p0", "completion": ["?", "good", "?"]})
    table = judges.judgements(completions, benchmark([CONTEXT]), "vader", 0.2)
    assert table["charged"].isna().tolist() == [True, False, True]
    assert table["valence"].isna().tolist() == [True, False, True]
    assert table["charged"].sum() == 1
