"""The curated benchmark: its files keep what they promise, and groups are put together evenly."""

import numpy as np
import pandas as pd
import pandera.errors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import judges, prompts
from lib.params import ParameterError

CONTEXTS, STEMS = prompts.read_contexts(), prompts.read_stems()
MATCHES = sorted(CONTEXTS["match_id"].unique())
TABLE = prompts.build(seed=1, stems=None, groups_per_stem=2)


@pytest.mark.parametrize(
    ("subject", "pronoun", "told"),
    [
        ("He", "he", "He is proud of himself, feels well and has his coat on."),
        ("They", "they", "They are proud of themselves, feel well and have their coat on."),
        ("I", "I", "I am proud of myself, feel well and have my coat on."),
        ("The nurse", "she", "The nurse is proud of herself, feels well and has her coat on."),
    ],
)
def test_a_template_is_told_of_its_subject(subject, pronoun, told):
    template = "{Subject} {is} proud of {himself}, {feels|feel} well and {has} {his} coat on."
    assert prompts.tell(template, subject, pronoun) == told


def test_stems_are_many_spread_over_domains_and_half_of_them_closed():
    assert len(STEMS) >= 60
    assert STEMS["domain"].nunique() >= 8
    assert STEMS["slot"].value_counts().to_dict() == {"closed": len(STEMS) / 2, "open": len(STEMS) / 2}


def test_a_group_holds_five_arms_of_one_stem_and_one_subject():
    groups = TABLE.groupby("group_id")
    assert len(groups) == 2 * len(STEMS)
    assert set(groups["arm"].agg(tuple)) == {prompts.ARMS}
    for row in TABLE.drop(columns="stem").merge(STEMS[["stem_id", "subject", "stem"]], on="stem_id").itertuples():
        assert row.text == (row.stem if row.arm == "none" else f"{row.context} {row.stem}")
        assert row.arm == "none" or row.context.startswith(f"{row.subject} ")
        assert not set("{|}") & set(row.text)


def test_word_counts_within_a_match_differ_by_one_at_most():
    words = CONTEXTS["text"].str.split().str.len().groupby(CONTEXTS["match_id"])
    assert (words.max() - words.min()).max() <= 1


def test_stems_and_neutral_contexts_have_no_valence_and_charged_ones_are_equally_strong():
    assert not judges.judge("vader", STEMS["stem"].tolist()).any()
    assert not judges.judge("vader", TABLE.loc[TABLE["arm"].isin(["neutral", "placebo"]), "context"].tolist()).any()
    valence = prompts.describe(TABLE)["context_valence"]
    assert valence["negative"] < -1.5
    assert abs(valence["negative"] + valence["positive"]) <= 0.15


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), count=st.integers(2, len(STEMS)), per_stem=st.integers(1, 6))
def test_assignment_is_balanced(seed, count, per_stem):
    chosen = prompts.select(STEMS, count)
    spread = chosen.groupby(["domain", "slot"]).size()
    assert spread.max() - spread.min() <= 1
    table = prompts.assign(chosen, MATCHES, per_stem, np.random.default_rng(seed)).merge(STEMS, on="stem_id")
    assert len(table) == count * per_stem
    assert not table.duplicated(["stem_id", "match_id"]).any()
    for _, matches in table.groupby("slot")["match_id"]:
        times = matches.value_counts().reindex(MATCHES, fill_value=0)
        assert times.max() - times.min() <= 1
    swaps = table.groupby("match_id")["swapped"].agg(["sum", "size"])
    assert (2 * swaps["sum"] - swaps["size"]).abs().max() <= 1


def test_each_neutral_sentence_is_the_placebo_half_of_the_time():
    in_file = TABLE.loc[TABLE["arm"] == "placebo", "context_id"].map(CONTEXTS.set_index("context_id")["arm"])
    assert in_file.value_counts(normalize=True)["neutral"] == pytest.approx(0.5, abs=0.05)


def test_building_depends_on_the_seed_and_on_nothing_else():
    pd.testing.assert_frame_equal(TABLE, prompts.build(1, None, 2))
    assert set(TABLE["group_id"]) != set(prompts.build(2, None, 2)["group_id"])


@pytest.mark.parametrize(("stems", "per_stem", "place"), [(997, 1, "stems: 997"), (2, 998, "groups_per_stem: 998")])
def test_more_than_there_is_cannot_be_had(stems, per_stem, place):
    with pytest.raises(ParameterError, match=place):
        prompts.build(1, stems, per_stem)


DEFECTS = [("stem", "It is."), ("stem", "It is "), ("slot", "ajar"), ("pronoun", "it"),
           ("stem_id", "hobby-02"), ("text", "He is."), ("text", "{Subject} {is} sad"), ("emotion", "envy"),
           ("arm", "none"), ("arm", "positive")]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), DEFECTS)
def test_a_defective_row_is_refused(column, value):
    schema, table = (prompts.STEMS, STEMS) if column in STEMS else (prompts.CONTEXTS, CONTEXTS)
    with pytest.raises(pandera.errors.SchemaError, match=column):
        schema.validate(table.assign(**{column: [value, *table[column][1:]]}))  # the first context is a negative one


@pytest.mark.parametrize("missing", ["neg", "pos", "neu1", "neu2"])
def test_a_match_that_lacks_an_arm_is_never_built(missing, tmp_path, monkeypatch):
    STEMS.to_csv(tmp_path / "stems.csv", index=False)
    CONTEXTS[CONTEXTS["context_id"] != f"m07-{missing}"].to_csv(tmp_path / "contexts.csv", index=False)
    monkeypatch.setattr(prompts, "DATA", tmp_path)
    with pytest.raises(pandera.errors.SchemaError, match="arm"):
        prompts.build(1, None, 1)


def test_an_unknown_placeholder_cannot_be_told():
    with pytest.raises(KeyError, match="sits"):
        prompts.tell("{Subject} {sits} still.", "He", "he")
