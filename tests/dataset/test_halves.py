"""The halves of the benchmark: nothing in both, nothing in neither, and each like the other."""

import pandas as pd
import pytest

from lib.config.specs import HELD_OUT, MAIN, ParameterError
from lib.dataset import assignment, curated_prompts, halves

ARMS = ("negative", "positive", "neutral", "neutral2")


def sentences(
    domains: list[str], matches: list[tuple], exclusions: list[tuple] = ()
) -> curated_prompts.Sentences:
    """A stem of each domain, s0, s1, …; matches: match_id, intensity, form; exclusions: match_id, scope."""
    return curated_prompts.Sentences(
        pd.DataFrame({"stem_id": [f"s{place}" for place in range(len(domains))], "domain": domains}),
        pd.DataFrame(
            [(*match, arm) for match in matches for arm in ARMS],
            columns=["match_id", "intensity", "form", "arm"],
        ),
        pd.DataFrame(exclusions, columns=["match_id", "scope"]),
    )


def test_domains_and_matches_are_taken_in_turns():
    few = sentences(
        ["travel", "food", "songs", "food", "books"],  # in turns: books, food, songs, travel
        [
            ("m100", "mild", "explicit"),
            ("m7", "strong", "explicit"),
            ("m9", "mild", "explicit"),
            ("m99", "mild", "explicit"),
            ("m8", "mild", "idiomatic"),
        ],  # in turns: m9, m99, m100, m8, m7
        [
            ("m9", "s2"),  # of the songs: both are found
            ("m99", "food"),  # both are evaluated
            ("m9", "food"),  # the others lie between the halves
            ("m8", "s4"),
        ],
    )
    found, evaluated = halves.half(few, "found"), halves.half(few, "evaluated")
    assert found.stems["stem_id"].tolist() == ["s2", "s4"]
    assert evaluated.stems["stem_id"].tolist() == ["s0", "s1", "s3"]
    assert found.contexts["match_id"].unique().tolist() == ["m100", "m7", "m9"]
    assert evaluated.contexts["match_id"].unique().tolist() == ["m99", "m8"]
    assert found.exclusions.to_numpy().tolist() == [["m9", "s2"]]
    assert evaluated.exclusions.to_numpy().tolist() == [["m99", "food"]]
    assert all(len(table) == table.index.stop for half in (found, evaluated) for table in half)


def test_an_exclusion_of_a_domain_belongs_to_the_half_of_the_domain():
    matches = [("m1", "mild", "explicit"), ("m2", "mild", "explicit")]
    few = sentences(["books", "food"], matches, [("m1", "books"), ("m1", "food")])
    assert halves.half(few, "found").exclusions["scope"].tolist() == ["books"]
    assert halves.half(few, "evaluated").exclusions.empty


@pytest.mark.parametrize("part", [MAIN, HELD_OUT])
def test_nothing_is_in_both_halves_and_both_are_the_whole(part):
    whole = curated_prompts.shipped(part=part)
    parts = [halves.half(whole, which) for which in halves.HALVES]
    for table, key in ((0, "stem_id"), (0, "domain"), (1, "match_id"), (1, "text")):
        found, evaluated = (set(half[table][key]) for half in parts)
        assert found and evaluated and not found & evaluated
        assert found | evaluated == set(whole[table][key])
    for table, key in ((0, "stem_id"), (1, "context_id")):
        both = pd.concat([half[table] for half in parts]).set_index(key)
        pd.testing.assert_frame_equal(both.loc[whole[table][key]], whole[table].set_index(key))


@pytest.mark.parametrize("part", [MAIN, HELD_OUT])
def test_the_halves_are_alike(part):
    whole = curated_prompts.shipped(part=part)
    found, evaluated = (halves.half(whole, which) for which in halves.HALVES)
    assert found.stems["domain"].nunique() == evaluated.stems["domain"].nunique() == 9
    strata = [
        half.contexts.groupby(["intensity", "form"])["match_id"].nunique() for half in (found, evaluated)
    ]
    assert (strata[0] - strata[1]).abs().max() <= 1 and abs(strata[0].sum() - strata[1].sum()) <= 1
    for half in (found, evaluated):
        assert half.stems["slot"].value_counts(normalize=True).max() < 0.55
        assert (half.contexts.groupby("match_id")["arm"].nunique() == 4).all()


@pytest.mark.parametrize("which", halves.HALVES)
def test_a_pair_of_a_half_may_meet_if_it_may_in_the_whole(which):
    whole = curated_prompts.shipped()
    half = halves.half(whole, which)
    matches = sorted(half.contexts["match_id"].unique())
    allowed = assignment.allowed(half.stems, matches, half.exclusions)
    in_whole = assignment.allowed(whole.stems, matches, whole.exclusions)
    pd.testing.assert_frame_equal(allowed, in_whole.loc[allowed.index])
    assert not allowed.all(axis=None)


def test_a_half_gives_prompts_of_its_own_sentences_only():
    half = halves.half(curated_prompts.shipped(), "evaluated")
    prompts = curated_prompts.build(seed=1, stems=None, contexts_per_stem=1, of=half)
    assert set(prompts["stem_id"]) == set(half.stems["stem_id"])
    assert set(prompts["context_id"]) - {""} <= set(half.contexts["context_id"])


def test_the_order_of_the_rows_decides_nothing():
    whole = curated_prompts.shipped()
    shuffled = curated_prompts.Sentences(*(table.sample(frac=1, random_state=1) for table in whole))
    half, other = (halves.half(tables, "found") for tables in (whole, shuffled))
    assert set(half.stems["stem_id"]) == set(other.stems["stem_id"])
    assert set(half.contexts["context_id"]) == set(other.contexts["context_id"])


def test_a_half_that_does_not_exist_is_refused():
    with pytest.raises(ParameterError, match="half: 'evaluate' is no half; did you mean 'evaluated'"):
        halves.half(curated_prompts.shipped(), "evaluate")


@pytest.mark.parametrize(
    ("domains", "numbers", "counts"),
    [(["food"], [1, 2], "0 of the domains and 1 of"), (["food", "books"], [1], "1 of the domains and 0 of")],
)
def test_what_cannot_be_split_is_refused(domains, numbers, counts):
    few = sentences(domains, [(f"m{number}", "mild", "explicit") for number in numbers])
    assert len(halves.half(few, "found").stems) == 1
    with pytest.raises(ParameterError, match=f"half: 'evaluated' would have {counts}"):
        halves.half(few, "evaluated")
