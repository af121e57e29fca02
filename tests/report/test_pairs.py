"""The pairs that a reader explores: partners, missing completions, charged words, the file that is kept."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from lib.analysis import leakage
from lib.nlp import vader
from lib.report import pairs
from lib.runtime.errors import DataError
from lib.storage import records

SET = "smoke"
MODELS = ("mock-50", "mock-30", "mock-10")
FEELING = {"negative": "anger", "positive": "joy"}


def judged(rows: list[tuple], model: str = "m") -> pd.DataFrame:
    """Judgements from rows of (group_id, mitigation, arm, sample_index, completion or None), by VADER."""
    names = ["group_id", "mitigation", "arm", "sample_index", "completion"]
    table = pd.DataFrame(rows, columns=names).astype({"completion": object})
    given = table["completion"].notna()
    valence = pd.Series(vader.valences(table["completion"].fillna("").tolist())).where(given)
    return table.assign(
        model=model,
        stem_id=table["group_id"].str.split("+").str[0],
        domain="pets",
        slot="open",
        form="explicit",
        intensity="strong",
        emotion=table["arm"].map(FEELING).fillna("none"),
        context="A " + table["arm"] + " context.",
        stem="The cat was",
        outcome=np.where(given, "answered", "refused"),
        note=np.where(given, "", "I cannot say."),
        valence=valence,
        charged=(valence.abs() > 0.2).astype("boolean").where(given),
        repeats=False,
        judge="vader-test",
    )


ROWS = [
    ("cat+1", "none", "neutral", 0, "at home."),
    ("cat+1", "none", "neutral", 1, None),
    ("cat+1", "none", "placebo", 0, "fed."),
    ("cat+1", "none", "negative", 0, "horrible."),
    ("cat+1", "none", "negative", 1, "awful."),
    ("cat+1", "none", "negative", 2, None),
    ("cat+1", "none", "positive", 0, "lovely."),
    ("cat+1", "own", "neutral", 0, "a bit sad."),
    ("cat+1", "own", "positive", 0, "grey."),
    ("cat+1", "borrows", "positive", 0, "wonderful."),
    ("dog+1", "none", "neutral", 0, "outside."),
    ("dog+1", "none", "negative", 0, "outside."),
]


@pytest.fixture
def run(project):
    """A project with the judgements of a set, of which each model has ROWS."""
    for name in MODELS:
        records.write_table(SET, f"judgements/{name}", judged(ROWS, name))
    return project


def row(table: pd.DataFrame, mitigation: str, arm: str, draw: int) -> pd.Series:
    (found,) = table.query(
        f"group_id == 'cat+1' and mitigation == '{mitigation}' and arm == '{arm}' and draw == {draw}"
    ).itertuples()
    return found


def test_a_charged_completion_stands_beside_the_neutral_one_of_its_group_and_draw():
    table = pairs.table(judged(ROWS))
    assert list(table.columns) == [*pairs.TEXTS, *pairs.NUMBERS]
    assert len(table) == 7
    first = row(table, "none", "negative", 1)
    assert (first.completion, first.neutral_completion, first.neutral_draw) == ("horrible.", "at home.", 1)
    assert (first.context, first.neutral_context) == ("A negative context.", "A neutral context.")
    assert (first.shift, first.net) == (pytest.approx(-first.valence), 100)
    assert (first.vader, first.neutral_vader) == (first.valence, first.neutral_valence)
    assert row(table, "none", "negative", 3).neutral_draw == 1  # in rotation


def test_a_missing_completion_keeps_its_row():
    table = pairs.table(judged(ROWS))
    beside, missing = row(table, "none", "negative", 2), row(table, "none", "negative", 3)
    assert (beside.neutral_outcome, beside.neutral_note) == ("refused", "I cannot say.")
    assert pd.isna([beside.neutral_completion, beside.neutral_vader, beside.shift, beside.net]).all()
    assert (missing.outcome, missing.neutral_completion) == ("refused", "at home.")
    assert pd.isna([missing.completion, missing.valence, missing.vader, missing.shift]).all()


def test_a_mitigated_completion_has_the_neutral_one_of_its_mitigation_or_else_the_unmitigated():
    table = pairs.table(judged(ROWS))
    own, borrowed = row(table, "own", "positive", 1), row(table, "borrows", "positive", 1)
    assert (own.neutral_completion, own.neutral_mitigation) == ("a bit sad.", "own")
    assert (borrowed.neutral_completion, borrowed.neutral_mitigation) == ("at home.", "none")


def test_the_pairs_are_those_that_are_analysed_in_the_order_of_the_benchmark():
    judgements = pd.concat([judged(ROWS, "m2"), judged(ROWS, "m1")], ignore_index=True)
    table = pairs.table(judgements)
    analysed = leakage.charged_pairs(leakage.pairs(judgements, matched=True))
    assert len(table) == len(analysed)
    for name in ("shift", "net", "towards", "away"):
        assert sorted(table[name].dropna()) == pytest.approx(sorted(analysed[name].dropna()))
    order = table[["model", "group_id", "mitigation", "arm", "draw"]].apply(list, axis=1).tolist()
    assert order[:4] == [["m2", "cat+1", "none", arm, draw] for arm, draw in _ARMS]
    assert [each[0] for each in order] == ["m2"] * 7 + ["m1"] * 7
    assert order[6] == ["m2", "dog+1", "none", "negative", 1]


_ARMS = [("negative", 1), ("negative", 2), ("negative", 3), ("positive", 1)]


def test_charged_words_are_listed_as_they_stand_in_the_texts():
    found = pairs.lexicon_of(["A Happy dog :(", "It isn’t GOOD, they say", "constructor", "can’t‑stand it"])
    assert found == {"happy": 2.7, ":(": -1.9, "good": 1.9}
    assert pairs.lexicon_of([]) == {}


def test_plain_values_hold_the_table():
    table = pairs.table(judged(ROWS))
    data = json.loads(json.dumps(pairs.columnar(table), allow_nan=False))
    for name in pairs.TEXTS:
        texts = [None if code is None else data["strings"][code] for code in data["columns"][name]]
        assert texts == [None if pd.isna(text) else text for text in table[name]]
    for name in pairs.NUMBERS:
        values = pd.Series(data["columns"][name], dtype=float)
        assert np.allclose(values, table[name].astype(float), atol=1e-4, equal_nan=True)
    assert len(set(data["strings"])) == len(data["strings"])


def test_a_run_is_kept_and_read_back(run):
    assert pairs.load(SET) is None
    path = pairs.save(SET)
    before, data = path.read_bytes(), pairs.load(SET)
    assert data == json.loads(json.dumps(pairs.to_json(SET)))
    assert pairs.save(SET).read_bytes() == before
    assert data["mock"].startswith("TOY") and data["set"] == SET and data["no_mitigation"] == "none"
    assert data["judge"] == {"name": "vader", "version": "vader-test"}
    assert len(data["columns"]["net"]) == 7 * len(MODELS)
    assert data["t"][:2] == pytest.approx([12.7062, 4.3027])


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"{", mtime=0), gzip.compress(b"[1]", mtime=0)]
)
def test_a_damaged_file_names_the_remedy(run, content):
    pairs.save(SET).write_bytes(content)
    with pytest.raises(DataError, match=rf"outputs/{SET}/pairs.json.gz is damaged.*make reproduce SET={SET}"):
        pairs.load(SET)


def test_a_file_of_another_version_is_refused(run):
    pairs.save(SET).write_bytes(gzip.compress(b'{"version": "pairs-0"}', mtime=0))
    with pytest.raises(DataError, match="is of version pairs-0, not"):
        pairs.load(SET)


def test_a_run_without_charged_contexts_has_no_pairs(project):
    for name in MODELS:
        records.write_table(SET, f"judgements/{name}", judged(ROWS[:2], name))
    with pytest.raises(DataError, match=f"set {SET}: no completion follows a charged context"):
        pairs.to_json(SET)
