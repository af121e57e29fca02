"""A language model that is asked about a sample: what is drawn and asked, and whether the page says what is
wrong with it.

The models are mocks; ratings and completions are made up.
"""

import ast
from collections import Counter
from dataclasses import replace
from zlib import crc32

import nbformat
import numpy as np
import pandas as pd
import pytest

from lib.agreement import llm_sample
from lib.annotation import sampling_plan
from lib.config import sections
from lib.judging import llm_judge, llm_reliability
from lib.report import llm_sample_reports
from lib.storage import records, times
from tests import simulated
from tests.asked_judge import judge, says, texts_of
from tests.conftest import ROOT

DOMAINS = ("letters", "notes")
LABELS = {-2: "negative", 0: "neutral", 2: "positive"}


def ratings(each: int = 60) -> pd.DataFrame:
    """`each` texts of two domains, one a document, each rated by five; the text tells what its raters feel:
    "text 3 feels -2"."""
    table = pd.MultiIndex.from_product([DOMAINS, range(each)], names=["domain", "text_id"]).to_frame(
        index=False
    )
    felt = np.array([-2, 0, 2])[table["text_id"] % 3]
    given = [value + np.array([-0.5, -0.25, 0.0, 0.25, 0.5]) for value in felt]
    text = [
        f"{row.domain} {row.text_id} feels {value}"
        for row, value in zip(table.itertuples(), felt, strict=True)
    ]
    return table.assign(text=text, document=text, ratings=given, mean=felt.astype(float), n_raters=5)


def sound(texts: list[str], sample_index: int = 0) -> str:
    """What the raters feel."""
    return says(*(LABELS[int(text.split()[-1])] if "feels" in text else "neutral" for text in texts))


@pytest.fixture
def run(tmp_path, monkeypatch) -> sections.Agreement:
    """What notebook 04e is told, with a model that is asked of 40 texts beside VADER."""
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(records, "ROOT", tmp_path)
    told = {
        "set_name": "s",
        "is_mock": True,
        "model_names": ["m"],
        "judge": "vader",
        "comparison_judges": [judge(retest_fraction=0.5).model_dump()],
    }
    values = {
        "llm_sample_size": 40,
        "annotation_pairs": 20,
        "confidence": 0.95,
        "margin": 0.05,
        "n_resamples": 200,
        "seed": 1,
    }
    return sections.Agreement.model_validate(told | values)


@pytest.fixture
def drawn() -> tuple[pd.DataFrame, pd.DataFrame]:
    """An annotation key and the judgements that it is of, two models with equal names of stems."""
    rng = np.random.default_rng(1)
    one = simulated.judged(simulated.completions(12, 1, rng), "good", rng)
    other = one.assign(model="other", completion="other " + one["completion"])
    judgements = pd.concat([one, other], ignore_index=True)
    return sampling_plan.draw(
        sampling_plan.frame(judgements, np.sign(judgements["valence"])), 20, 1
    ), judgements


def measured(run, drawn, table=None):
    """The sample's replies, agreement with people, and what its replies tell."""
    table = ratings() if table is None else table
    sample, completions = (
        llm_sample.of_ratings(table, run.llm_sample_size, run.seed),
        llm_sample.of_pairs(*drawn),
    )
    asked, rng = llm_sample.ask(run, sample, completions), np.random.default_rng(1)
    people = llm_sample.agreement_with_people(asked, run, table, sample, rng)
    return asked, people, llm_sample.replies(asked, run, completions, rng)


def test_the_sample_holds_equally_many_of_each_domain_and_hangs_on_the_seed_alone():
    table = ratings()
    sample = llm_sample.of_ratings(table, 40, 1)
    assert sample["domain"].value_counts().to_dict() == dict.fromkeys(DOMAINS, 20)
    assert sample.equals(llm_sample.of_ratings(table, 40, 1))
    assert not sample.index.equals(llm_sample.of_ratings(table, 40, 2).index)
    assert table.loc[sample.index].equals(sample)
    few = table[(table["domain"] == "notes") | (table["text_id"] < 7)]
    assert llm_sample.of_ratings(few, 40, 1)["domain"].value_counts().to_dict() == {"letters": 7, "notes": 20}


def test_the_drawn_pairs_are_asked_in_both_orders_and_no_other(mock_judge, run, drawn):
    model, (key, judgements) = mock_judge(sound), drawn
    asked = llm_sample.ask(
        run, llm_sample.of_ratings(ratings(), 40, 1), llm_sample.of_pairs(key, judgements)
    )[0]
    pairs = set(
        key.loc[key["sampled"], ["completion", "completion_reference"]].itertuples(index=False, name=None)
    )
    once = [tuple(texts_of(question)) for question, again in model.asked if not again]
    assert Counter(texts for texts in once if len(texts) == 2) == Counter(pairs | {(b, a) for a, b in pairs})
    assert sum(len(texts) == 1 for texts in once) == 40
    assert len(model.asked) == len(asked.texts) + len(asked.pairs)
    assert 0.3 < (asked.texts["sample_index"] == 1).sum() / 40 < 0.7, "rated texts too are asked twice"
    before = len(model.asked)
    llm_sample.ask(run, llm_sample.of_ratings(ratings(), 40, 1), llm_sample.of_pairs(key, judgements))
    assert len(model.asked) == before


def test_the_drawn_pairs_are_those_asked_where_the_neutral_arm_has_fewer_draws(mock_judge, run):
    model, rng = mock_judge(sound), np.random.default_rng(1)
    judgements = simulated.judged(simulated.completions(12, 3, rng), "good", rng)
    fewer = judgements[(judgements["arm"] != "neutral") | (judgements["sample_index"] == 0)]
    key = sampling_plan.draw(sampling_plan.frame(fewer, np.sign(fewer["valence"])), 20, 1)
    llm_sample.ask(run, llm_sample.of_ratings(ratings(), 40, 1), llm_sample.of_pairs(key, fewer))
    pairs = set(
        key.loc[key["sampled"], ["completion", "completion_reference"]].itertuples(index=False, name=None)
    )
    asked = {tuple(texts_of(question)) for question, _ in model.asked if len(texts_of(question)) == 2}
    assert asked == pairs | {(b, a) for a, b in pairs}


def test_no_more_is_asked_than_was_planned(mock_judge, run, drawn):
    model, twice = mock_judge(sound), judge(retest_fraction=1.0)
    run = run.model_copy(
        update={"comparison_judges": [twice], "annotation_pairs": int(drawn[0]["sampled"].sum())}
    )
    llm_sample.ask(run, llm_sample.of_ratings(ratings(), 40, 1), llm_sample.of_pairs(*drawn))
    assert len(model.asked) == llm_sample.expected_questions(run, twice)


def test_a_sound_judge_is_seen_to_be_sound(mock_judge, run, drawn):
    mock_judge(sound)
    asked, people, replies = measured(run, drawn)
    found = people.set_index(["level", "who", "measure"])
    for level in (*DOMAINS, "all texts"):
        assert found.loc[(level, "asked", "kappa"), "estimate"] == 1
        # it gives −2, 0, 2; the four others' mean is off by (their sum − 5 · mean) / 4, at most 0.125
        assert found.loc[(level, "asked", "pearson"), "estimate"] > 0.99
        assert found.loc[(level, "one rater", "kappa"), "estimate"] == 1, (
            "half a point off, each still is beyond ±1 or within"
        )
        assert found.loc[(level, "asked − one rater", "pearson"), "estimate"] > 0
    assert found.loc[("all texts", "vader", "pearson"), "n"] == 40
    assert llm_sample_reports.faults(asked[0], people, replies) == []
    rows = replies.set_index(["asked_about", "quantity"])
    assert rows.loc[(llm_sample.TEXTS, llm_sample.UNSCORED), ["estimate", "n"]].tolist() == [
        0,
        len(asked[0].texts),
    ]
    assert rows.loc[(llm_sample.TEXTS, llm_reliability.AGREEMENT), "estimate"] == 1
    assert (llm_sample.TEXTS, llm_reliability.POSITION) not in rows.index, "one text has no place"
    assert rows.loc[(llm_sample.PAIRS, llm_reliability.ORDERS), "estimate"] == 1


def test_one_rater_is_set_against_the_majority_of_the_others():
    # of (1, 1, 0) each of the ones leaves one other charged of two, no majority; the 0 leaves two of two
    table = pd.DataFrame({"ratings": [np.array([1.0, 1.0, 0.0])] * 50, "mean": 2 / 3, "n_raters": 3})
    found = llm_sample._raters(table, np.random.default_rng(1))
    assert set(zip(found["verdict one rater"], found["majority"], strict=True)) == {(1, 0), (0, 1)}


def test_what_is_unscored_is_counted_and_left_out_for_all(mock_judge, run, drawn):
    mock_judge(
        lambda texts, again: (
            "Hm." if texts[0].startswith("notes") and texts[0].endswith("2") else sound(texts)
        )
    )
    asked, people, replies = measured(run, drawn)
    no_progress = sum(
        text.startswith("notes") and text.endswith("2")
        for text in asked[0].texts.query("sample_index == 0")["first"]
    )
    assert 0 < no_progress < 20
    counts = people.groupby(["level", "who"])["n"].unique().explode().unstack()
    assert (counts.loc["notes"] == 20 - no_progress).all() and (counts.loc["letters"] == 20).all()
    wrong = llm_sample_reports.faults(asked[0], people, replies)
    assert len([fault for fault in wrong if "hold no verdict" in fault and "no verdict)" in fault]) == 1


def test_texts_that_differ_in_their_marks_alone_are_one_question(mock_judge, run, drawn):
    model, table = mock_judge(sound), ratings()
    table.loc[:1, "text"] = ["it’s what feels 0", "it's what feels 0"]
    sample = table.iloc[:40]
    asked = llm_sample.ask(run, sample, llm_sample.of_pairs(*drawn))
    assert (
        sum(texts_of(question) == ["it's what feels 0"] and not again for question, again in model.asked) == 1
    )
    people = llm_sample.agreement_with_people(asked, run, table, sample, np.random.default_rng(1))
    assert (people["n"] == 40).all()


def test_a_judge_that_says_nothing_is_reported_not_hidden(mock_judge, run, drawn):
    mock_judge(lambda texts, again: "Hm.")
    asked, people, replies = measured(run, drawn)
    assert people.empty
    told = llm_sample_reports.summary(asked, people, replies, "vader").data
    assert "agreement with people cannot be told" in told
    assert told.count("100.0 [") == 2 and "it scored too few texts" in told
    assert isinstance(llm_sample_reports.format_agreement(people), llm_sample_reports.Markdown)


def test_a_poor_judge_is_called_poor_with_its_figures(mock_judge, run, drawn):
    told = {-2: "misery", 0: "a chair", 2: "joy"}  # which VADER knows
    glad = ratings().assign(text=lambda table: table["mean"].map(told) + " " + table["text"])

    def say(texts, _):
        coin = crc32(" ".join(sorted(texts)).encode()) % 2
        if len(texts) == 2:  # 2 or 4 points more for the first, whichever it is
            return says(["positive", "very positive"][coin], "neutral")
        return says(["positive", "negative"][coin])

    mock_judge(say)
    asked, people, replies = measured(run, drawn, glad)
    worse, chance, biased = llm_sample_reports.faults(asked[0], people, replies)
    assert (
        worse.startswith("worse than VADER on the same texts: letters (r with the others −")
        and "all texts" in worse
    )
    assert chance.startswith("no better than chance: ")
    bias = float(biased.removeprefix("position bias: +").split(" [")[0])
    assert 2 < bias < 4
    told = llm_sample_reports.summary(asked, people, replies, "vader").data
    taught = replace(asked[0], judge=asked[0].judge.model_copy(update={"trained_on_ratings": True}))
    assert "proves nothing" in llm_sample_reports.faults(taught, people, replies)[0]
    assert "⚠ asked is a poor judge here: worse than VADER" in told
    assert f"gets +{bias:.2f} [" in told and "the same label in both places at a rate of 0.00 [" in told
    assert "asked at temperature 0" in told


def test_the_page_states_the_sample_and_the_seconds_are_no_part_of_it(mock_judge, run, drawn, capsys):
    mock_judge(sound)
    completions, sample = llm_sample.of_pairs(*drawn), llm_sample.of_ratings(ratings(), 40, 1)
    asked = llm_sample.ask(run, sample, completions)
    told = llm_sample_reports.asked_about(asked, run, sample, completions).data
    assert "40 of the rated texts (20 letters, 20 notes)" in told and "drawn with seed 1" in told
    assert f"the {int(drawn[0]['sampled'].sum())} pairs of completions" in told
    assert f"{len(asked[0].texts)} questions about texts and {len(asked[0].pairs)} about pairs" in told
    assert "seconds" not in told
    assert "seconds a question, measured over" in capsys.readouterr().out
    count, each = llm_sample.seconds(run.comparison_judges[0], llm_sample.TEXTS)
    assert count == len(asked[0].texts) and each > 0
    assert times.Times().of(f"{llm_judge.version(run.comparison_judges[0])} {llm_sample.PAIRS}")[0] == len(
        asked[0].pairs
    )


def test_where_no_model_is_asked_the_page_says_so(run, drawn):
    without = run.model_copy(update={"comparison_judges": []})
    asked, people, replies = measured(without, drawn)
    assert asked == [] and people.empty and replies.empty
    assert people.columns.tolist() == llm_sample.COLUMNS
    assert "No language model" in llm_sample_reports.asked_about(asked, without, ratings(), ratings()).data
    assert llm_sample_reports.summary(asked, people, replies, "vader").data == ""


def test_tables_as_people_read_them(mock_judge, run, drawn):
    mock_judge(sound)
    _, people, replies = measured(run, drawn)
    shown = llm_sample_reports.format_agreement(people)
    assert shown.columns.tolist() == [*DOMAINS, "all texts"]
    assert shown.loc[("asked", "", "texts")].tolist() == ["20", "20", "40"]
    assert shown.loc[("asked", "kappa with the others", "asked"), "letters"] == "1.00 [1.00, 1.00]"
    assert [who for _, measure, who in shown.index if measure.startswith("r ")] == [
        "asked",
        "vader",
        "one rater",
        "asked − vader",
        "asked − one rater",
    ]
    table = llm_sample_reports.format_replies(replies)
    assert (
        len(table) == len(replies) and " documents" in table["n"].iloc[0] and " stems" in table["n"].iloc[-1]
    )


def test_the_cells_of_notebook_04e_run(mock_judge, run, drawn):
    mock_judge(sound)
    book = nbformat.read(ROOT / "notebooks" / "04e_llm_judge.ipynb", as_version=4)
    cells = [cell.source for cell in book.cells if cell.cell_type == "code" and cell.id.startswith("04e-llm")]
    key, judgements = drawn
    names = {
        "np": np,
        "llm_sample": llm_sample,
        "llm_sample_reports": llm_sample_reports,
        "run": run,
        "ratings": ratings(),
        "key": key,
        "judgements": judgements,
    }
    shown = []
    for cell in cells:
        *lines, last = ast.parse(cell).body
        exec(compile(ast.Module(lines, []), "cell", "exec"), names)
        shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
    assert len(shown) == 4
    assert (
        "40 of the rated texts" in shown[0].data
        and "Over all 40 texts that **asked** scored" in shown[3].data
    )
    assert (len(names["of_sample"]), len(names["replies"])) == (
        30,
        9,
    )  # 3 levels × 5 names × 2 measures; 3 and 6 quantities
