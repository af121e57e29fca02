"""The learned judge: it learns from rated texts and words, sees no document twice, and says of a text the same in any company."""

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib import human_ratings, judges, learned_judge, rater, similarity, taught_words, vader, verdicts
from lib.specs import Judge
from tests.test_judges import CURLY_AND_STRAIGHT

LEARNED = Judge(name="learned", kind="learned")
FEELINGS = ["What a wonderful, delightful day!", "This is horrible and disgusting.", "I love it.", "He was murdered."]


@pytest.fixture(scope="module")
def rated():
    """Some 360 texts, of documents of their own, half to learn from."""
    texts = human_ratings.read().drop_duplicates("document").groupby("domain").sample(90, random_state=3)
    return texts.assign(fold=texts["document"].map(learned_judge.fold_of)).reset_index(drop=True)


def fit(table) -> list:
    return learned_judge.fit(table, [np.flatnonzero(table["fold"] != fold) for fold in range(learned_judge.FOLDS)])


@pytest.fixture(scope="module")
def raters(rated):
    return fit(rated)


def test_no_document_is_in_both_halves_and_the_halves_are_alike():
    ratings = pd.concat([human_ratings.read(), taught_words.read().assign(domain="words")])
    folds = ratings["document"].map(learned_judge.fold_of)
    assert (folds.groupby(ratings["document"]).nunique() == 1).all()
    assert folds.groupby(ratings["domain"]).mean().between(0.4, 0.6).all()


def test_words_are_taught_as_people_rated_them_and_plain_ones_as_0_bare_or_told():
    words, lexicon = taught_words.read(), vader.lexicon()
    bare = words[~words["told"]].set_index("text")
    assert len(words) == len(lexicon) + taught_words.COMMON and words["text"].is_unique
    assert bare["mean"].to_dict() == {word: lexicon.get(word, 0) for word in bare.index}
    assert bare["rated"].tolist() == [word in lexicon for word in bare.index]
    for frame, told in zip(taught_words.FRAMES, words[words["told"]].head(4).itertuples(), strict=True):
        before, after = frame.split("{}")
        word = told.text.removeprefix(before).removesuffix(after)
        assert told.text == frame.format(word) and told.mean == lexicon[word] and told.document == f"words:{word[:5]}"


def test_a_few_hundred_ratings_teach_it_something_about_unseen_documents(rated, raters):
    said = learned_judge.predict_unseen(raters, rated["text"].tolist(), rated["fold"].to_numpy())
    assert np.corrcoef(said, rated["mean"])[0, 1] > 0.3
    assert np.abs(said).max() <= 4


def test_each_rater_is_asked_of_what_it_did_not_see(rated, raters, monkeypatch):
    asked = []
    monkeypatch.setattr(
        rater, "predict", lambda which, texts, *more: asked.append((which[0], texts)) or np.zeros((len(texts), 1))
    )
    learned_judge.predict_unseen(raters, rated["text"].tolist(), rated["fold"].to_numpy())
    of_fold = {raters.index(which): set(texts) for which, texts in asked}
    assert of_fold == {fold: set(part["text"]) for fold, part in rated.groupby("fold")}


def test_what_it_says_depends_on_the_text_alone(raters):
    texts = [*FEELINGS, "oak", "a", "😀 great", "word " * 300, "The meeting is on Tuesday at ten."]
    alone = np.concatenate([rater.predict(raters, [text], learned_judge.FROZEN) for text in texts])
    np.testing.assert_allclose(rater.predict(raters, texts * 4, learned_judge.FROZEN)[: len(texts)], alone, atol=1e-4)
    assert np.isfinite(alone).all()


def test_the_encoder_is_loaded_before_the_threads_part(rated, monkeypatch):
    loaded, loader = [], similarity.model
    monkeypatch.setattr(similarity, "model", lambda: loaded.append(threading.current_thread()) or loader())
    fit(rated.groupby("fold").head(32))
    assert loaded[0] is threading.main_thread() and len(set(loaded)) == 1 + learned_judge.FOLDS


def test_fitting_again_gives_the_same(rated, raters):
    few = rated.groupby("fold").head(32)
    first, second = (rater.predict(fit(few), FEELINGS, learned_judge.FROZEN) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_curly_marks_are_judged_like_straight_ones(raters, monkeypatch):
    curly, straight = map(list, zip(*CURLY_AND_STRAIGHT, strict=True))
    rows = [rater.predict(raters, texts, learned_judge.FROZEN) for texts in (curly, straight)]
    np.testing.assert_array_equal(*rows)
    few = pd.DataFrame({"text": curly * 8, "mean": 1.0})
    fitted = [rater.fit(texts.tolist(), few["mean"].to_numpy(), learned_judge.FROZEN, 1, 0, lambda _: None)
              for texts in (few["text"], pd.Series(straight * 8))]  # fmt: skip
    assert all((one == other).all() for one, other in zip(fitted[0].parameters(), fitted[1].parameters(), strict=True))
    monkeypatch.setattr(learned_judge, "in_use", lambda: raters)
    monkeypatch.setattr(verdicts, "path", lambda version: ":memory:")
    given = judges.valences(LEARNED, [*curly, *straight, "\u200b"])
    np.testing.assert_array_equal(given[:3], given[3:6])
    assert given[6] == 0, "a text of which nothing can be seen"


def test_the_version_hangs_on_how_texts_are_normalised():
    assert any(path.name == "text.py" for path in map(Path, learned_judge._SOURCES))


def test_as_a_judge(raters, monkeypatch):
    monkeypatch.setattr(learned_judge, "in_use", lambda: raters)
    said = learned_judge.valences(LEARNED, [*FEELINGS, "", " \n"])
    assert said[-2:].tolist() == [0, 0]
    np.testing.assert_allclose(said[:-2], rater.predict(raters, FEELINGS, learned_judge.FROZEN).mean(axis=1), atol=1e-5)
    monkeypatch.setattr(rater, "predict", lambda *given: np.array([[9.0, 9.0], [-9.0, -9.0]]))
    assert learned_judge.valences(LEARNED, ["a", "b"]).tolist() == [4, -4]


def test_the_version_follows_the_ratings_and_the_code(monkeypatch, tmp_path):
    def name() -> str:
        learned_judge._name.cache_clear()
        return learned_judge._name()

    before, ratings = name(), human_ratings.read()
    assert before == name()
    with monkeypatch.context() as patch:
        patch.setattr(human_ratings, "read", lambda: ratings.assign(mean=ratings["mean"] + 0.01))
        assert name() != before
    changed = tmp_path / "rater.py"
    changed.write_text("other code")
    monkeypatch.setattr(learned_judge, "_SOURCES", (*learned_judge._SOURCES[:-1], changed))
    assert name() != before
    learned_judge._name.cache_clear()
