"""The learned judge: its coefficients ship, it says of a text the same on every machine and in any company,
and what it is tested on it has not seen."""

import numpy as np
import pandas as pd
import pytest

from lib.agreement import charged_threshold, rated_threshold
from lib.cli import fit_judge
from lib.config.specs import LearnedJudge
from lib.corpora import human_ratings
from lib.judging import judges, learned, mpnet, regression, training_data, verdicts
from lib.nlp import vader
from tests.judging.test_judges import CURLY_AND_STRAIGHT

LEARNED = LearnedJudge(name="learned")
FEELINGS = [
    "What a wonderful, delightful day!",
    "This is horrible and disgusting.",
    "I love it.",
    "He was murdered.",
]


def test_it_says_on_this_machine_what_it_said_where_it_was_fitted():
    stored = pd.read_csv(learned.STORED, keep_default_na=False)
    assert len(stored) == 200 and stored["version"].unique().tolist() == [learned.version(LEARNED)]
    said = learned.valences(LEARNED, stored["text"].tolist())
    np.testing.assert_allclose(said, stored["valence"], atol=0.0101)
    assert stored["valence"].abs().max() > 2 > 0.1 > stored["valence"].abs().min(), (
        "the stored verdicts tell texts apart"
    )


def test_the_features_are_those_that_the_coefficients_were_fitted_to():
    assert learned._contents()[1]["features"] == fit_judge.feature_code(), (
        "call make fit-judge: the code of the features has changed"
    )


def test_what_it_says_depends_on_the_text_alone():
    texts = [*FEELINGS, "oak", "a", "😀 great", "word " * 300, "The meeting is on Tuesday at ten."]
    alone = np.concatenate([learned.valences(LEARNED, [text]) for text in texts])
    np.testing.assert_allclose(learned.valences(LEARNED, texts * 4)[: len(texts)], alone, atol=0.0101)
    assert np.isfinite(alone).all() and (alone == np.round(alone, 2)).all()


def test_feelings_have_their_sign():
    assert np.sign(learned.valences(LEARNED, FEELINGS)).tolist() == [1, -1, 1, -1]


def test_curly_marks_are_judged_like_straight_ones_and_nothing_is_0(monkeypatch):
    monkeypatch.setattr(verdicts, "path", lambda version: ":memory:")
    curly, straight = map(list, zip(*CURLY_AND_STRAIGHT, strict=True))
    said = judges.valences(LEARNED, [*curly, *straight, "", " \n", "\u200b"])
    np.testing.assert_array_equal(said[:3], said[3:6])
    assert said[6:].tolist() == [0, 0, 0]


def test_verdicts_are_hundredths_of_the_human_scale():
    assert learned.rounded(np.array([9.0, -9.0, 0.004, -0.004, 0.123])).tolist() == [4, -4, 0, 0, 0.12]
    assert not np.signbit(learned.rounded(np.array([-0.001]))).any()


def test_of_rated_texts_it_says_what_it_said_unseen():
    ratings = human_ratings.read()
    part = ratings.sample(50, random_state=1)
    of_all, of_part = (learned.out_of_fold(LEARNED, table) for table in (ratings, part))
    np.testing.assert_array_equal(of_all[part.index], of_part)
    r = ratings.assign(said=of_all).groupby("domain")[["said", "mean"]].corr().xs("mean", level=1)["said"]
    least = {"NYT editorials": 0.82, "tweets": 0.92, "Amazon reviews": 0.91, "movie reviews": 0.87}
    assert all(r[domain] >= value for domain, value in least.items()), r


def test_its_threshold_is_the_one_that_its_unseen_verdicts_give():
    ratings = human_ratings.read()
    refitted = charged_threshold.fit(rated_threshold.weighed(ratings, learned.out_of_fold(LEARNED, ratings)))
    assert rated_threshold.threshold(LEARNED) == learned.threshold() == round(refitted, 3)


def test_no_document_is_learnt_from_and_tested_on():
    table = training_data.read()
    tested = np.zeros(len(table), dtype=int)
    for seen, unseen in regression.folds(table):
        assert not set(table["document"].iloc[seen]) & set(table["document"].iloc[unseen])
        tested[unseen] += 1
    assert (tested == 1).all()


def test_every_domain_weighs_the_same_and_the_words_less():
    sums = training_data.read().groupby("domain")["weight"].sum()
    others = sums.drop(training_data.WORDS)
    assert np.allclose(others, others.iloc[0]) and len(others) == 4
    assert sums[training_data.WORDS] / others.iloc[0] == pytest.approx(training_data.WORDS_WEIGHT)


def test_words_are_taught_as_people_rated_them_and_plain_ones_as_0():
    words, lexicon = training_data.words(), vader.lexicon()
    assert (
        len(words) == len(lexicon) + training_data.COMMON
        and words["word"].is_unique
        and words["text"].is_unique
    )
    assert words.set_index("word")["mean"].to_dict() == {word: lexicon.get(word, 0) for word in words["word"]}
    assert words["rated"].tolist() == [word in lexicon for word in words["word"]]
    for frame, told in zip(training_data.FRAMES, words.head(4).itertuples(), strict=True):
        assert told.text == frame.format(told.word) and told.document == f"words:{told.word[:5]}"


@pytest.fixture
def small() -> tuple[np.ndarray, pd.DataFrame]:
    """Sixty texts with five columns, of twenty documents; the mean rating follows the first and the last."""
    rng = np.random.default_rng(0)
    read = rng.normal(size=(60, 5)).astype(np.float32)
    means = read[:, 0] + 0.5 * read[:, -1] + rng.normal(scale=0.1, size=60)
    return read, pd.DataFrame({"mean": means, "weight": 1.0, "document": np.arange(60) // 3, "domain": "a"})


def test_the_regression_is_of_raw_columns_and_finds_what_is_there(small):
    read, table = small
    means, weights = table["mean"].to_numpy(), table["weight"].to_numpy()
    coefficients, intercept = regression.fit(read, means, weights, 1e-3)
    np.testing.assert_allclose(coefficients, [1, 0, 0, 0, 0.5], atol=0.06)
    assert abs(intercept) < 0.05
    np.testing.assert_allclose(
        regression.fit(read * 2 + 1, means, weights, 1e-3)[0], coefficients / 2, atol=1e-6
    )


def test_what_is_predicted_unseen_was_not_learnt_from(small):
    read, table = small
    before = regression.predict_unseen(read, table, regression.folds(table))
    _, unseen = next(regression.folds(table))
    changed = table.assign(mean=table["mean"].mask(table.index.isin(unseen), 4.0))
    np.testing.assert_array_equal(
        regression.predict_unseen(read, changed, regression.folds(table))[unseen], before[unseen]
    )


def test_nothing_above_the_highest_layer_is_computed():
    encoder = mpnet.load(max(mpnet.LAYERS), True)[1]
    assert len(encoder.encoder.layer) == max(mpnet.LAYERS)


def test_blocks_of_texts_are_read_in_their_own_places(monkeypatch):
    monkeypatch.setattr(fit_judge, "_BLOCK", 2)
    texts = ["ccc", "a", "dddd", "bb", ""]
    read = fit_judge.read_all(texts, lambda part: np.array([[len(text)] for text in part]))
    assert read[:, 0].tolist() == [3, 1, 4, 2, 0]


def test_what_is_fitted_again_alike_leaves_the_file_and_with_it_the_version(tmp_path, monkeypatch):
    monkeypatch.setattr(learned, "FILE", tmp_path / "judge.safetensors")
    tensors, facts = {"coefficients": np.arange(3.0)}, {name: name for name in "abcdefgh"}
    fit_judge.save(tensors, facts)
    before = learned.FILE.read_bytes()
    for _ in range(5):
        fit_judge.save(dict(tensors), dict(reversed(facts.items())))
    assert learned.FILE.read_bytes() == before
    fit_judge.save({"coefficients": np.arange(1.0, 4.0)}, facts)
    assert learned.FILE.read_bytes() != before
