"""People against judges: the published ratings are read whole, and agreement is what it is known to be."""

import numpy as np
import pandas as pd
import pytest

from lib import agreement, human_ratings, vader
from lib.params import Judge

VADER = Judge(name="vader", kind="vader")


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
    assert agreement.correlations(judged, tweets["mean"])[0] == pytest.approx(0.881, abs=0.02)


def test_correlations_by_hand():
    # deviations -1.5 -0.5 0.5 1.5 and -3 -1 -2 6: r = (4.5 + 0.5 - 1 + 9)/sqrt(5 * 50) = 0.8222
    # ranks 1 2 3 4 and 1 3 2 4: rho = 1 - 6 * 2/(4 * 15) = 0.8; 5 pairs agree, 1 does not: tau = 4/6
    np.testing.assert_allclose(agreement.correlations([1, 2, 3, 4], [1, 3, 2, 10]), [13 / np.sqrt(250), 0.8, 2 / 3])


def test_one_rater_is_set_against_the_mean_of_the_others():
    frame = pd.DataFrame({"ratings": [np.array([1.0, 2.0, 6.0])] * 60, "mean": 3.0, "n_raters": 3})
    divided = agreement.divide_raters(frame, np.random.default_rng(1))
    # without 1: (2 + 6)/2 = 4; without 2: 3.5; without 6: 1.5
    assert set(zip(divided["rater"], divided["others"], strict=True)) == {(1, 4), (2, 3.5), (6, 1.5)}
    # two raters in the first half and one in the second: no rater is lost or in both
    np.testing.assert_allclose(2 * divided["first_half"] + divided["second_half"], 9)


def rated(quality: str, raters: int = 12, size: int = 150) -> pd.DataFrame:
    """Texts whose raters see VADER's own score (quality "vader") or something that has nothing to do with it ("other")."""
    rng = np.random.default_rng(3)
    words = [
        f"{strength} {word}" for strength in ("", "very", "not") for word in ("good", "bad", "great", "sad", "fine", "awful")
    ]
    texts = [f"{first} and {second}" for first, second in rng.choice(words, (size, 2))]
    seen = vader.valences(texts) if quality == "vader" else rng.normal(0, 2, size)
    slips = rng.integers(-2, 3, (size, raters // 2))
    given = seen[:, None] + np.hstack([slips, -slips])  # the slips cancel, so all raters together see right
    frame = pd.DataFrame({"text": texts, "ratings": list(given), "mean": given.mean(axis=1).round(9), "n_raters": raters})
    return frame.assign(domain=quality, document=np.arange(size) // 3)


@pytest.fixture(scope="module")
def validity() -> pd.DataFrame:
    frame = pd.concat([rated("vader"), rated("other")], ignore_index=True)
    return (
        agreement.validity(frame, VADER, 0.95, 200, np.random.default_rng(4))
        .query("by == 'domain'")
        .set_index(["level", "measure"])
    )


def test_a_judge_that_copies_people_agrees_fully_and_beats_one_rater(validity):
    copy = validity.loc["vader"]
    assert list(copy.index) == list(agreement.MEASURES)
    assert (copy["n"].unique(), copy["n_documents"].unique()) == (150, 50)
    assert copy.loc[list(agreement.STATISTICS), "estimate"].tolist() == pytest.approx([1, 1, 1])
    assert copy.loc["judge − one rater", "low"] > 0
    assert copy.loc["judge − one rater", "estimate"] == pytest.approx(copy["estimate"]["judge"] - copy["estimate"]["one rater"])


def test_a_judge_that_guesses_agrees_with_nobody_though_people_agree(validity):
    noise = validity.loc["other"]
    for measure in (*agreement.STATISTICS, "judge"):
        assert noise.loc[measure, "low"] < 0 < noise.loc[measure, "high"]
    assert noise.loc["judge − one rater", "high"] < 0
    # variance 4 of what is seen, 2 of one rater's slips and 2/6 or so of a half's: r near sqrt(4/6) = 0.82 and above
    assert noise.loc[["one rater", "split-half"], "low"].min() > 0.65


def test_the_worth_of_simulated_raters_is_their_number():
    rng = np.random.default_rng(5)
    truth, noise = rng.normal(0, 1, 40_000), rng.normal(0, 1.5, (24, 40_000))
    ratings = truth + noise
    others, halves = ratings[1:20].mean(axis=0), np.corrcoef(ratings[:10].mean(axis=0), ratings[10:20].mean(axis=0))[0, 1]
    rater = np.corrcoef(ratings[0], others)[0, 1]
    for number in (1, 2, 4):  # simulated judges that are the mean of so many raters beside the others
        judge = np.corrcoef(ratings[20 : 20 + number].mean(axis=0), others)[0, 1]
        assert agreement.worth(judge, rater, halves, 10) == pytest.approx(number, rel=0.1)
    assert agreement.worth(1.0, rater, halves, 10) == np.inf
    assert agreement.worth(-0.2, rater, halves, 10) == 0


def test_alpha_by_hand():
    # values 1 and 2; one of four units disagrees: observed 2/8; coincidences 1:5, 2:3 of 8: expected 2·5·3/(8·7)
    ordinal, interval = agreement.alpha_of_values([1, 1, 2, 1], [1, 1, 2, 2])
    assert interval == pytest.approx(1 - (2 / 8) / (30 / 56)) and ordinal == pytest.approx(interval)
    assert np.isnan(agreement.alpha_of_values([1, 1], [1, 1])).all()
