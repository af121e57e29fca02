"""Prompts in several wordings: which group is asked in which, what it costs, and what the texts that ship are
like."""

from collections import Counter

import pandas as pd
import pytest

from lib.config import mitigation_texts, params, specs
from lib.dataset import curated_prompts, wording
from lib.generation import runner
from lib.models import registry
from tests.generation.test_runner import generation

CALM = ["Stay calm.", "Be calm.", "Keep calm."]
SETS = [name for name in specs.set_names() if params.load(name).mitigations and not params.load(name).is_mock]


@pytest.fixture(scope="module")
def benchmark() -> pd.DataFrame:
    return curated_prompts.build(seed=1, stems=12, contexts_per_stem=1)


def requested(benchmark: pd.DataFrame, **changes) -> pd.DataFrame:
    parameters = generation(**changes)
    return runner.requests(benchmark, parameters, registry.load(parameters.model))


def test_wordings_come_about_equally_often_and_hang_on_mitigation_and_group_alone():
    found = [mitigation_texts.of_group("calm", f"g{number}", 3) for number in range(3000)]
    assert sorted(Counter(found)) == [1, 2, 3] and all(
        900 < count < 1100 for count in Counter(found).values()
    )
    assert (
        found[:6]
        == [mitigation_texts.of_group("calm", f"g{number}", 3) for number in range(6)]
        == [2, 3, 3, 2, 2, 1]
    )
    other = [mitigation_texts.of_group("focus", f"g{number}", 3) for number in range(3000)]
    assert 0.3 < pd.Series(found).eq(pd.Series(other)).mean() < 0.37


def test_all_arms_and_draws_of_a_group_are_asked_in_one_wording_and_the_bare_prompt_in_none(benchmark):
    rows = requested(benchmark, mitigations={"calm": CALM}, mitigation_samples=2)
    asked = rows[rows["mitigation"] == "calm"]
    assert (asked.groupby("group_id")["wording"].nunique() == 1).all() and set(asked["wording"]) == {1, 2, 3}
    assert [CALM[number - 1] for number in asked["wording"]] == asked["mitigation_text"].tolist()
    assert all(row.rendered.startswith(f"{row.mitigation_text} {row.context}") for row in asked.itertuples())
    assert (rows.loc[rows["mitigation"] == "none", "wording"] == 0).all() and pd.api.types.is_integer_dtype(
        rows["wording"]
    )


def test_several_wordings_cost_as_many_completions_as_one(benchmark):
    assert len(requested(benchmark, mitigations={"calm": CALM})) == len(
        requested(benchmark, mitigations={"calm": "Stay calm."})
    )


def test_a_single_text_and_a_list_of_it_have_the_same_keys_and_other_mitigations_change_none(benchmark):
    single, listed = (
        requested(benchmark, mitigations={"calm": value}) for value in ("Stay calm.", ["Stay calm."])
    )
    pd.testing.assert_frame_equal(single, listed)
    beside = requested(benchmark, mitigations={"other": ["One.", "Two."], "calm": CALM})
    alone = requested(benchmark, mitigations={"calm": CALM})
    pd.testing.assert_series_equal(
        beside.loc[beside["mitigation"] != "other", "key"].reset_index(drop=True),
        alone["key"],
        check_names=False,
    )


def test_a_completion_at_hand_under_a_single_text_is_the_first_wording_of_a_list(benchmark):
    single, listed = (requested(benchmark, mitigations={"calm": value}) for value in ("Stay calm.", CALM))
    first = listed["wording"] <= 1
    assert (single.loc[first, "key"] == listed.loc[first, "key"]).all()
    assert not set(single["key"]) & set(listed.loc[~first, "key"])


@pytest.mark.parametrize("name", SETS)
def test_controls_are_as_long_as_prompts_and_hold_no_word_that_a_lexicon_rates(name):
    found = params.load(name)
    controls = found.mitigation["controls"]
    words = {
        mitigation: [len(text.split()) for text in mitigation_texts.texts(value)]
        for mitigation, value in found.mitigations.items()
    }
    asking = [count for mitigation, counts in words.items() if mitigation not in controls for count in counts]
    assert len(controls) == 3 and all(
        len(counts) == 3 for mitigation, counts in words.items() if mitigation not in controls
    )
    for control in controls:
        assert 9 <= words[control][0] <= max(asking)
        assert not wording.charged_words(found.mitigations[control])


def test_a_canned_set_asks_in_several_wordings():
    assert len(params.load("smoke").mitigations["ignore-feelings"]) == 3
