"""Agreement on texts as long as completions are: weights by hand, and a judge that hears only short texts is
worth more there."""

import numpy as np
import pandas as pd
import pytest

from lib.agreement import rated_agreement
from lib.config.specs import VaderJudge
from lib.judging import judges
from lib.report import length_weighted

JUDGE = VaderJudge(name="vader")


def test_weights_by_hand():
    rated, completions = pd.Series([1, 1, 1, 2, 5, 5]), pd.Series([1, 2, 2, 9])
    # 1 word: 1/4 of the completions over 3/6 of the texts; 2 words: 2/4 over 1/6; 5 words: none; 9 words: no
    # text
    weight, uncovered = length_weighted.weights(rated, completions)
    assert weight.tolist() == [0.5, 0.5, 0.5, 3, 0, 0]
    assert uncovered == 25
    assert np.average(rated == 2, weights=weight) == pytest.approx(2 / 3), (
        "as of the completions that any text speaks for"
    )


def rated(size: int = 400) -> pd.DataFrame:
    """Texts of two words, and of ten, each rated by three people who slip a little; two texts a document."""
    rng = np.random.default_rng(1)
    truth, long = rng.normal(0, 2, size), np.arange(size) % 4 > 0
    ratings = truth[:, None] + rng.normal(0, 0.5, (size, 3))
    table = pd.DataFrame(
        {
            "text": np.where(long, "one two three four five six seven eight nine ten", "one two"),
            "truth": truth,
        }
    )
    return table.assign(
        ratings=list(ratings),
        mean=ratings.mean(axis=1),
        n_raters=3,
        domain="d",
        document=np.arange(size) // 2,
    )


@pytest.fixture
def short_sighted(monkeypatch):
    """A judge that hears texts of two words, and guesses at longer ones."""
    guess = np.random.default_rng(2).normal(0, 2, 400)
    monkeypatch.setattr(
        judges,
        "of_rated",
        lambda judge, table: table["truth"].where(table["text"] == "one two", guess).to_numpy(),
    )


def of(completions: list[int]) -> pd.DataFrame:
    found = length_weighted.validity(
        rated(), JUDGE, pd.Series(completions), 0.95, 100, np.random.default_rng(3)
    )
    return found.set_index("measure")


def test_a_judge_that_hears_short_texts_alone_is_worth_what_completions_are_short(short_sighted):
    short, mixed, long = of([2, 2, 2, 30]), of([2, 10]), of([10])
    assert (
        short.loc["pearson", "estimate"]
        > 0.95
        > mixed.loc["pearson", "estimate"]
        > long.loc["pearson", "estimate"]
    )
    assert (
        short.loc[rated_agreement.DIFFERENCE, "ci_low"] > 0 > long.loc[rated_agreement.DIFFERENCE, "ci_high"]
    )
    assert (short["n"].iloc[0], short["uncovered"].iloc[0]) == (100, 25)
    assert short["n_effective"].iloc[0] == pytest.approx(100), "equal weights"
    # 100 texts with weight 2, 300 with weight 2/3: 400² / (100 · 4 + 300 · 4/9) = 300
    assert (mixed["n"].iloc[0], mixed["n_effective"].iloc[0]) == (400, pytest.approx(300))
    assert (short["ci_low"] <= short["estimate"]).all() and (short["estimate"] <= short["ci_high"]).all()


def test_the_numbers_are_those_of_the_texts_repeated(short_sighted):
    mixed = of([2, 10])
    table = rated_agreement.scored(rated(), JUDGE, np.random.default_rng(3))
    repeated = table.loc[np.repeat(table.index, np.where(table["text"] == "one two", 3, 1))]
    expected = rated_agreement.against_rater(repeated, np.ones((1, len(repeated))))
    assert mixed.loc["one rater", "estimate"] == pytest.approx(expected["one rater"][0])
    assert mixed.loc["error", "estimate"] == pytest.approx(
        (repeated["judged"] - repeated["mean"]).abs().mean()
    )


def test_what_cannot_be_weighted_is_said(short_sighted):
    nothing = length_weighted.validity(rated(), JUDGE, pd.Series([40]), 0.95, 50, np.random.default_rng(3))
    assert nothing.empty
    assert (
        "No rated text"
        in length_weighted.summary(nothing, pd.Series([40]))
        == length_weighted.format_table(nothing).data
    )


def test_it_is_said_with_n_effective_n_and_what_is_not_covered(short_sighted):
    found, completions = of([2, 2, 2, 30]).reset_index(), pd.Series([2, 2, 2, 30])
    said = length_weighted.summary(found, completions)
    for words in (
        "4 completions",
        "100 rated texts",
        "worth 100 equal ones",
        "25.0 % of the completions",
        "**vader** has r",
    ):
        assert words in said
    assert (
        length_weighted.format_table(found).loc[("", "", "effective texts"), length_weighted.LEVEL] == "100"
    )
    assert (
        length_weighted.format_table(found)
        .loc[("vader", "valence", "judge"), length_weighted.LEVEL]
        .startswith("0.9")
    )


def test_only_unmitigated_completions_with_a_valence_count():
    table = pd.DataFrame(
        {"completion": ["so very sad.", "a b", "c", None, "..."], "valence": [-1.0, 0, np.nan, np.nan, 0]}
    )
    table = table.assign(mitigation=["none", "calm", "none", "none", "none"])
    assert length_weighted.words(table).tolist() == [3, 1]
