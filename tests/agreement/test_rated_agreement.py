"""People against judges: the published ratings are read whole, and agreement is what it is known to be."""

import numpy as np
import pandas as pd
import pytest

from lib.agreement import rated_agreement
from lib.config.specs import VaderJudge
from lib.corpora import human_ratings
from lib.nlp import vader
from lib.stats import resamples

VADER = VaderJudge(name="vader")


@pytest.fixture(scope="module")
def ratings() -> pd.DataFrame:
    return human_ratings.read()


def test_every_published_text_and_rating_is_read(ratings):
    counts = {"NYT editorials": 5190, "tweets": 4200, "Amazon reviews": 3708, "movie reviews": 10605}
    assert ratings.groupby("domain").size().to_dict() == counts
    assert len(ratings) == 23_703
    assert not ratings.duplicated(["domain", "text_id"]).any()
    assert ratings["mean"].between(-4, 4).all()
    assert (ratings["n_raters"].min(), ratings["n_raters"].max()) == (15, 99)
    for column in ("text_id", "document", "text"):  # no remains of the encoding
        assert not ratings[column].str.contains("[\r\n\ufeff\ufffd]|^\\s*$").any()


def test_vader_agrees_with_people_on_tweets_as_published(ratings):
    tweets = ratings[ratings["domain"] == "tweets"]
    judged = vader.valences(tweets["text"].tolist())
    # Hutto & Gilbert (2014): 0.881 on social media text, with an earlier lexicon
    assert np.corrcoef(judged, tweets["mean"])[0, 1] == pytest.approx(0.881, abs=0.02)


def scored(judged, human, ratings=None) -> pd.DataFrame:
    """A part as `rated_agreement.validity` makes it, one document a text."""
    given = [np.array([mean - 1, mean, mean + 1]) for mean in human] if ratings is None else list(ratings)
    frame = pd.DataFrame({"judged": judged, "ratings": given, "document": np.arange(len(given))})
    frame = frame.assign(
        mean=[np.mean(each) for each in given],
        n_raters=[len(each) for each in given],
        rater_variance=[np.var(each, ddof=1) for each in given],
    )
    return rated_agreement.divide_raters(frame, np.random.default_rng(1))


def test_correlations_and_errors_by_hand():
    # deviations -1.5 -0.5 0.5 1.5 and -3 -1 -2 6: r = (4.5 + 0.5 - 1 + 9)/sqrt(5 * 50) = 0.8222
    # ranks 1 2 3 4 and 1 3 2 4: rho = 1 - 6 * 2/(4 * 15) = 0.8; 5 pairs agree, 1 does not: tau = 4/6
    found = rated_agreement._measures(scored([1, 2, 3, 4], [1, 3, 2, 10]), np.ones((1, 4)))
    assert [found[name][0] for name in rated_agreement.STATISTICS] == pytest.approx(
        [13 / np.sqrt(250), 0.8, 2 / 3]
    )
    # judge less people: 0, -1, 1, -6
    assert (found["error"][0], found["bias"][0]) == (2, -1.5)


def test_one_rater_is_set_against_the_mean_of_the_others():
    frame = pd.DataFrame({"ratings": [np.array([1.0, 2.0, 6.0])] * 60, "mean": 3.0, "n_raters": 3})
    divided = rated_agreement.divide_raters(frame, np.random.default_rng(1))
    # without 1: (2 + 6)/2 = 4; without 2: 3.5; without 6: 1.5
    assert set(zip(divided["rater"], divided["others"], strict=True)) == {(1, 4), (2, 3.5), (6, 1.5)}
    # two raters in the first half and one in the second: no rater is lost or in both
    np.testing.assert_allclose(2 * divided["first_half"] + divided["second_half"], 9)


def rated(quality: str, raters: int = 12, size: int = 150) -> pd.DataFrame:
    """Texts whose raters see VADER's own score (quality "vader") or something that has nothing to do with it
    ("other")."""
    rng = np.random.default_rng(3)
    words = [
        f"{strength} {word}"
        for strength in ("", "very", "not")
        for word in ("good", "bad", "great", "sad", "fine", "awful")
    ]
    texts = [f"{first} and {second}" for first, second in rng.choice(words, (size, 2))]
    seen = vader.valences(texts) if quality == "vader" else rng.normal(0, 2, size)
    errors = rng.integers(-2, 3, (size, raters // 2))
    given = seen[:, None] + np.hstack([errors, -errors])  # the slips cancel, so all raters together see right
    frame = pd.DataFrame(
        {"text": texts, "ratings": list(given), "mean": given.mean(axis=1).round(9), "n_raters": raters}
    )
    return frame.assign(domain=quality, document=np.arange(size) // 3)


@pytest.fixture(scope="module")
def validity() -> pd.DataFrame:
    frame = pd.concat([rated("vader"), rated("other")], ignore_index=True)
    return (
        rated_agreement.validity(frame, VADER, 0.95, 200, np.random.default_rng(4))
        .query("by == 'domain'")
        .set_index(["level", "measure"])
    )


def test_a_judge_that_copies_people_agrees_fully_and_beats_one_rater(validity):
    copy = validity.loc["vader"]
    assert list(copy.index) == [*rated_agreement.OF_MEANS, *rated_agreement.OF_RATERS]
    assert (copy["n"].unique(), copy["n_documents"].unique()) == (150, 50)
    assert copy.loc[list(rated_agreement.STATISTICS), "estimate"].tolist() == pytest.approx([1, 1, 1])
    assert copy.loc["judge − one rater", "ci_low"] > 0
    assert copy.loc["judge − one rater", "estimate"] == pytest.approx(
        copy["estimate"]["judge"] - copy["estimate"]["one rater"]
    )


def test_a_judge_that_guesses_agrees_with_nobody_though_people_agree(validity):
    noise = validity.loc["other"]
    for measure in (*rated_agreement.STATISTICS, "judge"):
        assert noise.loc[measure, "ci_low"] < 0 < noise.loc[measure, "ci_high"]
    assert noise.loc["judge − one rater", "ci_high"] < 0
    # variance 4 of what is seen, 2 of one rater's slips and 2/6 or so of a half's: r near sqrt(4/6) = 0.82
    # and above
    assert noise.loc[["one rater", "split-half"], "ci_low"].min() > 0.65


def worth_of(judged, ratings) -> float:
    return rated_agreement.worth(scored(judged, None, ratings), np.ones((1, len(judged))))[0]


def test_worth_by_hand():
    # two raters a text, (0, 2) and (4, 6): means 1 and 5, variance 4; slips 2, of a mean 2/2 = 1: truth 4 - 1
    # = 3 the judge says -1 and 1 of half the texts and the same of the others: cov 1 of (1, 5, 1, 5) with
    # (-1, 1, 1, 1)
    ratings = [np.array([0.0, 2]), np.array([4.0, 6])] * 2
    # judge's mean 0.5, variance 0.75; cov = mean(-1, 5, 1, 5) - 0.5 * 3 = 1; r² = 1/(0.75 * 3) = 4/9; worth
    # 4/5 * 2/3 = 8/15
    assert worth_of([-1, 1, 1, 1], ratings) == pytest.approx(8 / 15)
    assert worth_of([1, -1, 1, -1], ratings) == 0
    assert worth_of([1, 5, 1, 5], ratings) == np.inf, "goes with the means better than slips allow"
    assert np.isnan(worth_of([2, 2, 2, 2], ratings)), "a constant judge"
    assert np.isnan(worth_of([1, 2], [np.array([0.0, 2]), np.array([0.0, 2])])), (
        "raters who see no difference"
    )


@pytest.mark.parametrize("number", [1, 2, 4])
def test_the_worth_of_simulated_raters_is_their_number(number):
    rng = np.random.default_rng(5)
    truth, errors = rng.normal(0, 1, 20_000), rng.normal(0, 1.5, (18 + number, 20_000))
    ratings = (truth + errors).T
    # a simulated judge that is the mean of so many raters, who are not among those it is compared with
    assert worth_of(3 * ratings[:, :number].mean(axis=1) + 1, ratings[:, number:]) == pytest.approx(
        number, rel=0.06
    )


def test_the_interval_of_worth_holds_the_truth_about_as_often_as_it_says():
    rng, held = np.random.default_rng(6), 0
    for _ in range(100):
        document = np.repeat(np.arange(60), 3)
        truth = rng.normal(0, 1, 60)[document] + rng.normal(0, 0.5, 180)
        ratings = (truth + rng.normal(0, 1.5, (12, 180))).T
        part = scored(ratings[:, :2].mean(axis=1), None, ratings[:, 2:]).assign(document=document)
        found = resamples.table(
            part,
            lambda part, weights: {"worth": rated_agreement.worth(part, weights)},
            "document",
            0.95,
            200,
            rng,
        )
        held += found["ci_low"][0] <= 2 <= found["ci_high"][0]
    assert 88 <= held <= 99


def test_alpha_by_hand():
    # values 1 and 2; one of four units disagrees: observed 2/8; coincidences 1:5, 2:3 of 8: expected
    # 2·5·3/(8·7)
    for scale in ("ordinal", "interval"):
        assert rated_agreement.alpha_of_values([1, 1, 2, 1], [1, 1, 2, 2], scale) == pytest.approx(
            1 - (2 / 8) / (30 / 56)
        )
        assert np.isnan(rated_agreement.alpha_of_values([1, 1], [1, 1], scale))


def test_the_resamples_alpha_is_that_of_the_package():
    rng = np.random.default_rng(7)
    human = rng.normal(0, 1.5, 200).clip(-4, 4)
    part = scored((human + rng.normal(0, 1, 200)).clip(-4, 4), human)
    weights = rng.integers(0, 3, (2, 200)).astype(float)
    found = rated_agreement._measures(part, weights)
    for number, weight in enumerate(weights):
        repeated = part.loc[np.repeat(part.index, weight.astype(int))]
        for measure, scale in rated_agreement.ALPHAS.items():
            package = rated_agreement.alpha_of_values(repeated["judged"], repeated["mean"], scale)
            assert found[measure][number] == pytest.approx(package)


def test_levels_by_hand_and_in_order():
    frame = pd.DataFrame(
        {"text": ["w " * words for words in (26, 5, 6, 13, 12, 25, 1)], "domain": list("bbabbbb")}
    )
    found = [
        (by, level, len(part)) for by, level, part in rated_agreement.parts(rated_agreement.levels(frame))
    ]
    assert found == [
        ("domain", "b", 6),
        ("domain", "a", 1),
        ("words", "1–5 words", 2),
        ("words", "6–12 words", 2),
        ("words", "13–25 words", 2),
        ("words", "more words", 1),
        ("all", "all texts", 7),
    ]


def test_reliability_by_hand_and_against_simulated_truth():
    # as for worth: means 1 and 5, variance 4; slips of a mean 2/2 = 1; truth 3 of 4
    part = scored([0, 1, 0, 1], None, [np.array([0.0, 2]), np.array([4.0, 6])] * 2)
    assert rated_agreement.reliability(part, np.ones((1, 4)))[0] == pytest.approx(3 / 4)
    found = rated_agreement._measures(part, np.ones((1, 4)))
    assert found["ceiling of r"][0] == pytest.approx(np.sqrt(3) / 2)
    rng = np.random.default_rng(8)
    truth = rng.normal(0, 1, 20_000)
    ratings = (truth + rng.normal(0, 1.5, (9, 20_000))).T
    part = scored(truth, None, ratings)
    # the mean of nine slips has variance 2.25/9 = 1/4: 1 of 1.25; the truth itself has no higher r with them
    assert rated_agreement.reliability(part, np.ones((1, len(truth))))[0] == pytest.approx(0.8, abs=0.01)
    found = rated_agreement._measures(part, np.ones((1, len(truth))))
    assert found["ceiling of r"][0] == pytest.approx(np.corrcoef(truth, part["mean"])[0, 1], abs=0.01)


def test_raters_who_see_nothing_in_common_leave_no_ceiling():
    part = scored([1, 2], None, [np.array([0.0, 2.1]), np.array([2.0, 0])])
    found = rated_agreement._measures(part, np.ones((1, 2)))
    assert found["reliability"][0] < 0 and np.isnan(found["ceiling of r"][0])
