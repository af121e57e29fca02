"""Ratings of the user's own: every form of table is read onto the human scale, and what is wrong or left out
is named."""

import numpy as np
import pandas as pd
import pytest

from lib.agreement import rated_agreement
from lib.config import params, specs
from lib.config.sections import Ratings
from lib.config.specs import LearnedJudge, ParameterError, VaderJudge
from lib.corpora import human_ratings, own_ratings
from lib.judging import judges
from lib.report import validity_reports

VADER, LEARNED = VaderJudge(name="vader"), LearnedJudge(name="learned")
FEELINGS = ("wonderful", "awful", "ordinary", "sad", "lovely")
TEXTS = [f"the {feeling} evening number {number}" for number in range(8) for feeling in FEELINGS]
MEANS = [
    {"wonderful": 5.0, "awful": 1.0, "ordinary": 3.0, "sad": 2.0, "lovely": 4.0}[text.split()[1]]
    for text in TEXTS
]


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Two texts that judges have learnt from, in place of 23,703."""
    monkeypatch.setattr(
        human_ratings, "read", lambda: pd.DataFrame({"text": ["Known already.", "Known, too"]})
    )


@pytest.fixture
def write(tmp_path):
    def write(
        table: pd.DataFrame, columns: dict | None = None, scale=(1, 5), file: str = "mine.csv", name=None
    ) -> Ratings:
        path = tmp_path / file
        if path.suffix == ".csv":
            table.to_csv(path, index=False)
        elif path.suffix == ".jsonl":
            table.to_json(path, orient="records", lines=True)
        else:
            table.to_parquet(path)
        return Ratings(path=str(path), columns=columns or {}, scale=list(scale), name=name)

    return write


def means(**more) -> pd.DataFrame:
    return pd.DataFrame({"text": TEXTS, "V": MEANS, **more})


@pytest.mark.parametrize("file", ["mine.csv", "mine.parquet", "mine.jsonl"])
def test_means_are_stretched_to_the_human_scale_and_no_ceiling_is_made_up(write, file):
    given = write(means(), {"mean": "V"}, file=file)
    table, left_out = own_ratings.read(given)
    assert list(table) == own_ratings.COLUMNS
    assert table["mean"].tolist() == [2 * (mean - 3) for mean in MEANS]  # 1 … 5 is −4 … +4
    assert table["domain"].unique().tolist() == ["mine"] and table["document"].is_unique
    assert not own_ratings.has_raters(table) and table["n_raters"].isna().all()
    assert not any(left_out.values())
    said = own_ratings.summary(given, table, left_out)
    assert "40 texts" in said and "from 1 to 5" in said and "ceiling is not known" in said


def test_a_scale_may_run_from_most_positive_to_most_negative(write):
    table, _ = own_ratings.read(write(means(), {"mean": "V"}, scale=(5, 1)))
    assert table["mean"].tolist() == [-2 * (mean - 3) for mean in MEANS]


def test_a_column_a_rater_and_a_row_a_rating_are_the_same_table(write):
    wide = means(a=MEANS, b=[max(mean - 1, 1) for mean in MEANS], source=["s1", "s2"] * 20)
    long = wide.melt(["text", "source"], ["a", "b"], value_name="score")
    by_rater, _ = own_ratings.read(write(wide, {"ratings": ["a", "b"], "document": "source"}))
    by_rating, _ = own_ratings.read(
        write(long, {"rating": "score", "document": "source"}, file="long.csv", name="mine")
    )
    assert own_ratings.has_raters(by_rater) and set(by_rater["n_raters"]) == {2}
    assert by_rater["document"].tolist() == ["own: s1", "own: s2"] * 20
    assert by_rater["ratings"][0].tolist() == [4, 2] and by_rater["mean"][0] == 3
    for column in ("text", "mean", "n_raters", "document"):
        assert by_rating[column].tolist() == by_rater[column].tolist()
    assert [each.tolist() for each in by_rating["ratings"]] == [each.tolist() for each in by_rater["ratings"]]


def test_what_is_left_out_is_counted_by_reason(write):
    more = pd.DataFrame(
        {"text": [" ", "unrated", TEXTS[0].upper(), "KNOWN  already.", "abandon"], "V": [3, None, 1, 2, 2]}
    )
    table, left_out = own_ratings.read(write(pd.concat([means(), more]), {"mean": "V"}))
    assert left_out == {
        "no text": 1,
        "no rating": 1,
        "the text is there before": 1,
        "a judge has learnt from it": 2,
    }
    assert table["text"].tolist() == TEXTS and table["mean"][0] == 4, "the first row of a text counts"


def test_a_text_with_one_rating_has_nobody_to_be_compared_with(write):
    wide = means(a=MEANS, b=[None, *MEANS[1:]])
    table, left_out = own_ratings.read(write(wide, {"ratings": ["a", "b"]}))
    assert left_out["a single rating"] == 1 and len(table) == 39
    alone, left_out = own_ratings.read(write(means(), {"rating": "V"}))
    assert not own_ratings.has_raters(alone) and len(alone) == 40, (
        "where no text has two, single ratings are means"
    )


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        (
            means(),
            {"mean": "v"},
            [r"no column 'v' for mean; did you mean 'V'", "agreement.ratings.columns", "text, V"],
        ),
        (means(), {}, ["no column 'mean' for mean"]),
        (means(), {"mean": "V", "text": "sentense"}, ["no column 'sentense' for text"]),
        (
            means().assign(V=[7, *MEANS[1:]]),
            {"mean": "V"},
            ["1 line with a rating outside of the scale 1 to 5: 7", "line 2"],
        ),
        (
            means().assign(V=["good", *MEANS[1:]]),
            {"mean": "V"},
            ["1 line whose mean is no number: good", "line 2"],
        ),
        (means()[:29], {"mean": "V"}, ["29 rated texts, too few", "at least 30"]),
        (means().assign(V=3), {"mean": "V"}, ["all 40 texts have the same rating"]),
    ],
)
def test_what_is_wrong_is_named_with_value_place_and_remedy(write, table, columns, said):
    with pytest.raises(ParameterError) as error:
        own_ratings.check(write(table, columns))
    assert all(words in str(error.value) for words in ["agreement.ratings", *said]), str(error.value)


def test_a_file_that_is_missing_and_a_name_that_is_taken_are_named(write, tmp_path):
    with pytest.raises(ParameterError, match=r"no such file: .*nowhere\.csv"):
        own_ratings.check(Ratings(path=str(tmp_path / "nowhere.csv"), scale=[1, 5]))
    with pytest.raises(ParameterError, match=r"another domain is called 'tweets'.*agreement\.ratings\.name"):
        own_ratings.check(write(means(), {"mean": "V"}, file="tweets.csv"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scale": [3, 3]}, "both ends are equal"),
        ({"columns": {"mean": "V", "rating": "R"}}, "give one of mean"),
        ({"columns": {"ratings": "a"}}, "is not a list of columns"),
        ({"columns": {"mean": ["a", "b"]}}, "is not the name of one column"),
        ({"columns": {"ratings": ["a"]}}, "fewer than two raters"),
        ({"colums": {}}, "did you mean 'columns'"),
    ],
)
def test_a_parameter_set_with_a_mistake_is_refused_before_any_run(given, said):
    values = params.cell_values(params.load("smoke"), "smoke", "04_human_agreement")
    with pytest.raises(ParameterError, match=said):
        params.from_cell(
            "04_human_agreement", values | {"ratings": {"path": "mine.csv", "scale": [1, 5]} | given}
        )


def test_no_file_no_domain():
    table, left_out = own_ratings.read(None)
    assert table.empty and "No ratings" in own_ratings.summary(None, table, left_out)


def validity(table: pd.DataFrame) -> pd.DataFrame:
    return rated_agreement.validity(table, VADER, 0.95, 50, np.random.default_rng(1))


def test_means_alone_have_agreement_and_a_ceiling_that_is_not_known(write):
    found = validity(own_ratings.read(write(means(), {"mean": "V"}))[0])
    assert set(found["by"]) == {"domain"}, "it is part of no level that pools domains"
    assert list(found["measure"]) == list(rated_agreement.OF_MEANS)
    assert found.set_index("measure").loc["pearson", "estimate"] > 0.9
    both = pd.concat(
        [found, found.assign(level="tweets"), found.iloc[:1].assign(level="tweets", measure="one rater")]
    )
    shown = validity_reports.by_level(both)
    assert shown.loc[("vader", "valence", "one rater"), "mine"] == "not known"
    drawn = rated_agreement.with_ceiling(found)
    assert drawn["level"].tolist() == ["mine (all raters)"] and drawn["who"].tolist() == ["vader"]


def test_with_single_ratings_it_has_a_ceiling_of_its_own(write):
    rng = np.random.default_rng(2)
    raters = {
        f"r{number}": np.clip(np.array(MEANS) + rng.normal(0, 0.7, len(MEANS)), 1, 5) for number in range(4)
    }
    found = validity(own_ratings.read(write(means(**raters), {"ratings": list(raters)}))[0]).set_index(
        "measure"
    )
    assert list(found.index) == [*rated_agreement.OF_MEANS, *rated_agreement.OF_RATERS]
    assert 0.5 < found.loc["one rater", "estimate"] < found.loc["ceiling of r", "estimate"] < 1


def test_the_learned_judge_is_asked_of_own_texts_as_of_any_text(write, monkeypatch):
    table, _ = own_ratings.read(write(means(), {"mean": "V"}))
    monkeypatch.setattr(judges, "valences", lambda judge, texts: np.arange(float(len(texts))))
    assert judges.of_rated(LEARNED, table).tolist() == list(range(40))


def test_paths_are_relative_to_the_project(tmp_path, monkeypatch):
    monkeypatch.setattr(specs, "ROOT", tmp_path)
    means().to_csv(tmp_path / "mine.csv", index=False)
    assert len(own_ratings.check(Ratings(path="mine.csv", columns={"mean": "V"}, scale=[1, 5]))[0]) == 40


def test_the_column_that_is_named_wins_over_one_that_happens_to_be_there(write):
    table, _ = own_ratings.read(write(means().assign(rating="PG"), {"mean": "V"}))
    plain, _ = own_ratings.read(write(means(), {"mean": "V"}))
    pd.testing.assert_frame_equal(table, plain)
