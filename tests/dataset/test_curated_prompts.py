"""The curated benchmark: groups are whole, told of their subject, and put together evenly. What the files
hold: test_lint."""

from hashlib import sha256

import numpy as np
import pandas as pd
import pandera.errors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.config.specs import HELD_OUT, ParameterError
from lib.dataset import assignment, curated_prompts

STEMS, CONTEXTS, EXCLUSIONS = curated_prompts.shipped()
MATCHES = sorted(CONTEXTS["match_id"].unique())
KINDS = (
    CONTEXTS[CONTEXTS["arm"] == "negative"]
    .set_index("match_id")[["emotion", "intensity", "form"]]
    .join(CONTEXTS[CONTEXTS["arm"] == "positive"].set_index("match_id")["emotion"].rename("emotion_positive"))
)
TABLE = curated_prompts.build(seed=1, stems=None, contexts_per_stem=2)


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
    assert curated_prompts.tell(template, subject, pronoun) == told


def test_stems_are_many_spread_evenly_over_domains_and_slots():
    stems = curated_prompts.read_stems()
    cells = stems.groupby(["domain", "slot"]).size()
    assert (len(stems), stems["domain"].nunique(), set(cells)) == (432, 18, {12})


def test_matches_cross_emotion_and_intensity_evenly_a_third_of_them_idioms():
    whole = curated_prompts.read_contexts()
    for arm in ("negative", "positive"):
        contexts = whole[whole["arm"] == arm]
        assert set(contexts.groupby(["intensity", "emotion"]).size()) == {18}
        assert set(contexts[contexts["form"] == "idiomatic"].groupby(["intensity", "emotion"]).size()) == {6}


def held_out_first(table: pd.DataFrame, key: str, cell: list[str], new: pd.Series, count: int) -> set[str]:
    """The ids of `new` rows that come first by the digest of their id, counted within cells, so that all
    cells give alike."""
    ids = (
        table[new]
        .drop_duplicates(key)
        .assign(digest=lambda rows: [sha256(name.encode()).hexdigest() for name in rows[key]])
    )
    of_cell = ids.sort_values("digest").groupby(cell)["digest"]
    place = np.floor((of_cell.cumcount() + 0.5) / of_cell.transform("size") * 1e6)
    return set(ids.assign(place=place).sort_values(["place", "digest"])[key].head(count))


def test_what_is_held_out_is_a_fifth_and_follows_from_a_hash():
    stems, contexts = curated_prompts.read_stems(), curated_prompts.read_contexts()
    number = stems["stem_id"].str.rpartition("-")[2].astype(int)
    expected = held_out_first(stems, "stem_id", ["domain", "slot"], number > 18, len(stems) // 5)
    assert set(stems.loc[stems["part"] == HELD_OUT, "stem_id"]) == expected
    matches = contexts["match_id"].str[1:].astype(int)
    expected = held_out_first(
        contexts, "match_id", ["form", "intensity"], matches > 108, contexts["match_id"].nunique() // 5
    )
    assert set(contexts.loc[contexts["part"] == HELD_OUT, "match_id"]) == expected


def test_a_group_holds_five_arms_of_one_stem_and_one_subject():
    groups = TABLE.groupby("group_id")
    assert len(groups) == 2 * len(STEMS)
    assert set(groups["arm"].agg(tuple)) == {curated_prompts.ARMS}
    for row in (
        TABLE.drop(columns="stem").merge(STEMS[["stem_id", "subject", "stem"]], on="stem_id").itertuples()
    ):
        assert row.text == (row.stem if row.arm == "none" else f"{row.context} {row.stem}")
        assert row.arm == "none" or row.context.startswith(f"{row.subject} ")
        assert not set("{|}") & set(row.text)


def test_arms_of_a_group_share_intensity_and_form_and_the_bare_stem_has_no_intensity():
    assert (TABLE.groupby("group_id")["form"].nunique() == 1).all()
    assert set(TABLE.loc[TABLE["arm"] == "none", "intensity"]) == {"none"}
    assert (TABLE[TABLE["arm"] != "none"].groupby("group_id")["intensity"].nunique() == 1).all()
    idiom = TABLE["arm"].isin(["negative", "positive"]) & (TABLE["form"] == "idiomatic")
    assert ((TABLE["literal_senses"] != "") == idiom).all()


def test_negative_and_positive_contexts_are_equally_strong():
    valence = curated_prompts.describe(TABLE)["context_valence"]
    assert valence["negative"] < -1
    assert abs(valence["negative"] + valence["positive"]) <= 0.2


def dealt(stems, per_stem, seed=1, exclusions=EXCLUSIONS) -> pd.DataFrame:
    """An assignment with what its stems and matches are."""
    table = assignment.assign(stems, CONTEXTS, exclusions, per_stem, np.random.default_rng(seed))
    return table.merge(stems, on="stem_id").join(KINDS, on="match_id")


def spread(values: pd.Series, share: pd.Series) -> float:
    """How far the counts of the values lie from what their share of the matches makes them, at most."""
    return (values.value_counts().reindex(share.index, fill_value=0) - share * len(values)).abs().max()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), count=st.integers(2, len(STEMS)), per_stem=st.integers(1, 4))
def test_assignment_is_balanced(seed, count, per_stem):
    chosen = curated_prompts.select(STEMS, count)
    cells = chosen.groupby(["domain", "slot"]).size()
    assert cells.max() - cells.min() <= 1
    table = dealt(chosen, per_stem, seed)
    assert len(table) == count * per_stem
    assert not table.duplicated(["stem_id", "match_id"]).any()
    for _, of_slot in table.groupby("slot"):
        times = of_slot["match_id"].value_counts().reindex(MATCHES, fill_value=0)
        assert times.max() - times.min() <= 1
    for kind in KINDS:
        share = KINDS[kind].value_counts(normalize=True)
        assert spread(table[kind], share) < 2
        for _, of_slot in table.groupby("slot"):
            assert spread(of_slot[kind], share) < 2
    swaps = table.groupby("match_id")["swapped"].agg(["sum", "size"])
    assert (2 * swaps["sum"] - swaps["size"]).abs().max() <= 1


@pytest.mark.parametrize("count", [12, 96, None])
def test_one_context_a_stem_meets_every_emotion_intensity_and_form_as_often_as_its_share(count):
    table = dealt(curated_prompts.select(STEMS, count), 1)
    for kind in KINDS:
        assert spread(table[kind], KINDS[kind].value_counts(normalize=True)) < 1
    for emotion in ("emotion", "emotion_positive"):
        pairs = KINDS[emotion] + " " + KINDS["intensity"]
        assert spread(table[emotion] + " " + table["intensity"], pairs.value_counts(normalize=True)) <= 1.1


@pytest.mark.parametrize(("per_stem", "kind"), [(3, "intensity"), (4, "emotion"), (4, "emotion_positive")])
def test_a_stem_of_several_contexts_seldom_meets_one_kind_twice(per_stem, kind):
    met = dealt(STEMS, per_stem).groupby("stem_id")[kind].nunique()
    assert (met == per_stem).mean() >= 0.8
    assert (met >= per_stem - 1).all()


def test_excluded_pairs_are_never_built_and_all_others_are_in_the_full_crossing():
    free = assignment.allowed(STEMS, MATCHES, EXCLUSIONS)
    full = dealt(STEMS, None)
    assert len(full) == free.to_numpy().sum() < free.size
    for table in (full, dealt(STEMS, 4)):
        assert free.stack().loc[list(zip(table["stem_id"], table["match_id"], strict=True))].all()
    assert (
        curated_prompts.build(1, 12, None)["group_id"].nunique()
        == free.loc[curated_prompts.select(STEMS, 12)["stem_id"]].to_numpy().sum()
    )


def test_exclusions_of_a_stem_and_of_a_domain_keep_them_apart():
    domain, other = STEMS["domain"].unique()[:2]
    stem = STEMS.loc[STEMS["domain"] == other, "stem_id"].iloc[0]
    free = assignment.allowed(STEMS, MATCHES, excluding([(MATCHES[0], domain), (MATCHES[1], stem)]))
    assert (~free[MATCHES[0]]).to_numpy().tolist() == (STEMS["domain"] == domain).tolist()
    assert free.index[~free[MATCHES[1]]].tolist() == [stem]
    assert free[MATCHES[2:]].to_numpy().all()


def excluding(pairs) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["match_id", "scope"]).assign(reason="planted")


def test_what_exclusions_make_impossible_is_refused():
    chosen = curated_prompts.select(STEMS, 2)
    first = chosen["stem_id"].iloc[0]
    all_but_one = excluding([(match, first) for match in MATCHES[1:]])
    assert dealt(chosen, 1, exclusions=all_but_one).set_index("stem_id")["match_id"][first] == MATCHES[0]
    with pytest.raises(
        ParameterError, match=rf"contexts_per_stem: 2 requested, but stem {first} may meet 1 of"
    ):
        dealt(chosen, 2, exclusions=all_but_one)
    same_slot = STEMS[STEMS["slot"] == "open"][:2]
    both = excluding([(match, stem) for match in MATCHES[1:] for stem in same_slot["stem_id"]])
    with pytest.raises(ParameterError, match="leave no assignment"):
        dealt(same_slot, 1, exclusions=both)


def test_each_neutral_sentence_is_the_placebo_half_of_the_time():
    in_file = TABLE.loc[TABLE["arm"] == "placebo", "context_id"].map(CONTEXTS.set_index("context_id")["arm"])
    assert in_file.value_counts(normalize=True)["neutral"] == pytest.approx(0.5, abs=0.05)


def test_building_depends_on_the_seed_and_on_nothing_else():
    pd.testing.assert_frame_equal(TABLE, curated_prompts.build(1, None, 2))
    assert set(TABLE["group_id"]) != set(curated_prompts.build(2, None, 2)["group_id"])


@pytest.mark.parametrize(
    ("stems", "per_stem", "place"), [(997, 1, "stems: 997"), (2, 998, "contexts_per_stem: 998")]
)
def test_more_than_there_is_cannot_be_had(stems, per_stem, place):
    with pytest.raises(ParameterError, match=place):
        curated_prompts.build(1, stems, per_stem)


DEFECTS = [
    ("stem", "It is."),
    ("stem", "It is "),
    ("slot", "ajar"),
    ("pronoun", "it"),
    ("stem_id", STEMS["stem_id"][1]),
    ("text", "He is."),
    ("text", "{Subject} {is} sad"),
    ("emotion", "envy"),
    ("intensity", "medium"),
    ("form", "mined"),
    ("literal_senses", "a; b"),
    ("arm", "none"),
    ("arm", "positive"),
]


@pytest.mark.parametrize(("column", "value"), DEFECTS)
def test_a_defective_row_is_refused(column, value):
    schema, table = (
        (curated_prompts.STEMS, STEMS) if column in STEMS else (curated_prompts.CONTEXTS, CONTEXTS)
    )
    with pytest.raises(pandera.errors.SchemaError, match=column):
        # the first context is a negative one
        schema.validate(table.assign(**{column: [value, *table[column][1:]]}))


@pytest.mark.parametrize("missing", ["neg", "pos", "neu1", "neu2"])
def test_a_match_that_lacks_an_arm_is_never_built(missing, tmp_path, monkeypatch):
    STEMS.to_csv(tmp_path / "stems.csv", index=False)
    CONTEXTS[CONTEXTS["context_id"] != f"{MATCHES[6]}-{missing}"].to_csv(
        tmp_path / "contexts.csv", index=False
    )
    monkeypatch.setattr(curated_prompts, "DATA", tmp_path)
    with pytest.raises(pandera.errors.SchemaError, match="arm"):
        curated_prompts.build(1, None, 1)


def test_a_match_of_two_intensities_is_refused():
    other = next(name for name in curated_prompts.INTENSITIES if name != CONTEXTS["intensity"][0])
    mixed = CONTEXTS.assign(intensity=[other, *CONTEXTS["intensity"][1:]])
    with pytest.raises(pandera.errors.SchemaError, match="differs inside a match"):
        curated_prompts.CONTEXTS.validate(mixed)


def test_mined_groups_that_nobody_labelled_fit_the_same_table():
    group = TABLE[TABLE["group_id"] == TABLE["group_id"].iloc[0]]
    mined = group.assign(
        slot="unknown",
        pronoun="unknown",
        form="mined",
        literal_senses="",
        intensity=["none", *["unknown"] * 4],
        emotion=["none"] * 3 + ["unknown"] * 2,
    )
    curated_prompts.PROMPTS.validate(mined)
    with pytest.raises(pandera.errors.SchemaError, match="lacks an arm"):
        curated_prompts.PROMPTS.validate(mined[1:])


def test_an_unknown_placeholder_cannot_be_told():
    with pytest.raises(KeyError, match="sits"):
        curated_prompts.tell("{Subject} {sits} still.", "He", "he")


def test_the_first_groups_are_part_of_what_a_larger_count_keeps():
    few, more = (curated_prompts.build(1, None, 3, count) for count in (50, 500))
    whole = curated_prompts.build(1, None, 3)
    assert few["group_id"].nunique() == few["stem_id"].nunique() == 50
    assert few["slot"].value_counts().to_dict() == {"closed": 125, "open": 125}
    assert more["stem_id"].nunique() == len(STEMS) and more["group_id"].nunique() == 500
    for smaller, larger in ((few, more), (more, whole)):
        both = smaller.merge(larger, how="left")
        pd.testing.assert_frame_equal(both, smaller)
        assert set(smaller["prompt_id"]) <= set(larger["prompt_id"])


def test_more_groups_than_the_design_has_are_refused():
    with pytest.raises(ParameterError, match="first_groups: 9 requested, but the design has 8"):
        curated_prompts.build(1, 4, 2, 9)
