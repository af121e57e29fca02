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
TABLE = prompts.build(seed=1, stems=None, groups_per_stem=2)
MATCHES = sorted(CONTEXTS["match_id"].unique())


@pytest.mark.parametrize(
    ("subject", "pronoun", "told"),
    [
        ("He", "he", "He is proud of himself, feels well and has his coat on."),
        ("She", "she", "She is proud of herself, feels well and has her coat on."),
        ("They", "they", "They are proud of themselves, feel well and have their coat on."),
        ("I", "I", "I am proud of myself, feel well and have my coat on."),
        ("Amara", "she", "Amara is proud of herself, feels well and has her coat on."),
        ("The nurse", "he", "The nurse is proud of himself, feels well and has his coat on."),
    ],
)
def test_a_template_is_told_of_its_subject(subject, pronoun, told):
    template = "{Subject} {is} proud of {himself}, {feels|feel} well and {has} {his} coat on."
    assert prompts.tell(template, subject, pronoun) == told


def test_stems_are_many_spread_over_domains_and_half_of_them_closed():
    assert len(STEMS) >= 60
    assert STEMS["domain"].nunique() >= 8
    assert (STEMS["slot"] == "closed").sum() * 2 == len(STEMS)
    assert STEMS.groupby("domain")["slot"].nunique().eq(2).all()


def test_each_match_has_the_four_arms_of_one_form_and_of_fitting_emotions():
    of_match = CONTEXTS.groupby("match_id")
    assert of_match["arm"].agg(set).map(lambda arms: arms == {"negative", "positive", "neutral", "neutral2"}).all()
    assert of_match["form"].nunique().eq(1).all()
    for arm, emotions in prompts.EMOTIONS.items():
        assert set(CONTEXTS.loc[CONTEXTS["arm"] == arm, "emotion"]) == set(emotions)
    assert set(CONTEXTS.loc[CONTEXTS["arm"].str.startswith("neutral"), "emotion"]) == {"none"}


def test_contexts_of_a_match_differ_by_one_word_at_most_and_have_one_subject():
    words = CONTEXTS["text"].str.split().str.len().groupby(CONTEXTS["match_id"])
    assert (words.max() - words.min()).max() <= 1
    subjects = TABLE["stem_id"].map(STEMS.set_index("stem_id")["subject"])
    with_context = TABLE["arm"] != "none"
    assert [text.startswith(f"{subject} ") for text, subject in zip(TABLE["context"], subjects, strict=True)] == with_context.tolist()


def test_every_placeholder_can_be_told():
    assert not TABLE["text"].str.contains("[{}|]").any()


def test_stems_and_neutral_contexts_have_no_valence():
    assert np.abs(judges.judge("vader", STEMS["stem"].tolist())).max() == 0
    neutral = CONTEXTS[CONTEXTS["arm"].isin(["neutral", "neutral2"])]
    told = [prompts.tell(text, "They", "they") for text in neutral["text"]]
    assert np.abs(judges.judge("vader", told)).max() == 0
    assert (prompts.residual(TABLE, "stem"), prompts.residual(TABLE, "context")) == (0, 0)


def test_negative_and_positive_contexts_are_equally_strong():
    valence = prompts.describe(TABLE)["context_valence"]
    assert valence["negative"] < -1.5
    assert abs(valence["negative"] + valence["positive"]) <= 0.15


def test_groups_hold_five_arms_of_one_stem_and_text_is_context_then_stem():
    groups = TABLE.groupby("group_id")
    assert groups["arm"].agg(list).map(lambda arms: arms == list(prompts.ARMS)).all()
    assert groups["stem"].nunique().eq(1).all()
    assert TABLE["group_id"].nunique() == 2 * len(STEMS)
    row = TABLE[TABLE["arm"] == "negative"].iloc[0]
    assert row["text"] == f"{row['context']} {row['stem']}"
    assert (TABLE.loc[TABLE["arm"] == "none", "text"] == TABLE.loc[TABLE["arm"] == "none", "stem"]).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), count=st.integers(2, len(STEMS)), per_stem=st.integers(1, 6))
def test_assignment_is_balanced(seed, count, per_stem):
    chosen = prompts.select(STEMS, count)
    table = prompts.assign(chosen, MATCHES, per_stem, np.random.default_rng(seed))
    assert len(table) == count * per_stem
    assert not table.duplicated(["stem_id", "match_id"]).any()
    slots = table["stem_id"].map(STEMS.set_index("stem_id")["slot"])
    for _, used in table.groupby(slots):
        times = used["match_id"].value_counts().reindex(MATCHES, fill_value=0)
        assert times.max() - times.min() <= 1
    swaps = table.groupby("match_id")["swapped"].agg(["sum", "size"])
    assert (2 * swaps["sum"] - swaps["size"]).abs().max() <= 1  # each neutral sentence is the placebo half of the time
    spread = chosen.groupby(["domain", "slot"]).size()
    assert len(spread) == min(count, STEMS.groupby(["domain", "slot"]).ngroups)
    assert spread.max() - spread.min() <= 1


def test_half_of_the_groups_swap_neutral_and_placebo():
    neutral = TABLE[TABLE["arm"] == "neutral"].merge(CONTEXTS[["context_id", "arm"]], on="context_id", suffixes=("", "_file"))
    assert neutral["arm_file"].value_counts(normalize=True)["neutral2"] == pytest.approx(0.5, abs=0.05)


def test_building_depends_on_the_seed_and_on_nothing_else():
    pd.testing.assert_frame_equal(TABLE, prompts.build(1, None, 2))
    assert set(TABLE["group_id"]) != set(prompts.build(2, None, 2)["group_id"])


@pytest.mark.parametrize(("stems", "per_stem", "place"), [(997, 1, "stems: 997"), (2, 998, "groups_per_stem: 998")])
def test_more_than_there_is_cannot_be_had(stems, per_stem, place):
    with pytest.raises(ParameterError, match=place):
        prompts.build(1, stems, per_stem)


@pytest.mark.parametrize(
    ("column", "value"),
    [("stem", "His desk is made of."), ("stem", "His desk is "), ("slot", "half-open"), ("pronoun", "it"), ("stem_id", "hobby-02")],
)
def test_a_defective_stem_is_refused(column, value):
    broken = STEMS.copy()
    broken.loc[0, column] = value
    with pytest.raises(pandera.errors.SchemaError, match=column):
        prompts.STEMS.validate(broken)


@pytest.mark.parametrize(
    ("column", "value"),
    [("text", "He is sad."), ("text", "{Subject} {is} sad"), ("arm", "placebo"), ("emotion", "envy"), ("arm", "positive")],
)
def test_a_defective_context_is_refused(column, value):
    broken = CONTEXTS.copy()
    broken.loc[0, column] = value  # row 0 is the negative one, so "positive" is there twice
    with pytest.raises(pandera.errors.SchemaError, match=column):
        prompts.CONTEXTS.validate(broken)


@pytest.mark.parametrize("missing", ["negative", "positive", "neutral", "neutral2"])
def test_a_match_that_lacks_an_arm_is_never_built(missing, tmp_path, monkeypatch):
    lacking = CONTEXTS.drop(CONTEXTS.index[(CONTEXTS["match_id"] == "m07") & (CONTEXTS["arm"] == missing)])
    STEMS.to_csv(tmp_path / "stems.csv", index=False)
    lacking.to_csv(tmp_path / "contexts.csv", index=False)
    monkeypatch.setattr(prompts, "DATA", tmp_path)
    with pytest.raises(pandera.errors.SchemaError, match="arm"):
        prompts.build(1, None, 1)


def test_an_unknown_placeholder_cannot_be_told():
    with pytest.raises(KeyError, match="sits"):
        prompts.tell("{Subject} {sits} still.", "He", "he")
