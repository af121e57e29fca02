"""Prompts in several wordings: which group is asked in which, what it costs, and what the texts that ship are
like."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml

from lib.config import mitigation_texts, params, specs
from lib.config.specs import ParameterError
from lib.dataset import curated_prompts, wording
from lib.generation import prompt_checks, runner
from lib.models import registry
from tests import conftest
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


def test_a_prompt_has_the_three_controls_of_its_place_that_are_nearest_in_length():
    texts = {
        "short": ["One two.", "One two three four."],  # 3 words
        "long": "One two three four five six seven eight.",
        "around": "{context} One. {stem}",
        "system": "{system} One two three.",
        "c5": "One two three four five.",
        "c1": "One.",
        "c6": "One two three four five six.",
        "c7": "One two three four five six seven.",
        "c2": "One two.",
        "a3": "{context} One two three. {stem}",
        "a1": "One. {context} {stem}",
    }
    controls = ["c5", "c1", "c6", "c7", "c2", "a3", "a1"]
    assert mitigation_texts.controls_of(texts, controls) == {
        "short": ["c5", "c1", "c2"],  # c5, c1 and c2 lie 2, 2 and 1 words away
        "long": ["c5", "c6", "c7"],
        "around": ["a3", "a1"],
        # no control is a system message: a3 0 words away, c2 1, and c5 comes first of c5, c1 and a1
        "system": ["c5", "c2", "a3"],
    }
    assert mitigation_texts.controls_of({"calm": "Be calm."}, []) == {"calm": []}


def test_equally_near_controls_count_in_the_order_of_the_list_even_if_thirds_are_no_binary_numbers():
    texts = {
        "calm": ["a b", "a b", "a b c"],  # 7/3
        "up": ["a b", "a b c", "a b c"],  # 8/3
        "down": ["a b", "b a", "a c"],  # 2
        "same": ["c b", "c a", "a b d"],
        "near": ["x b", "x a", "x b d"],
    }
    for order in (["same", "near", "up", "down"], ["same", "near", "down", "up"]):
        assert mitigation_texts.controls_of(texts, order)["calm"] == order[:3]


def test_a_prompt_whose_wordings_stand_in_two_places_has_the_controls_of_both():
    texts = {
        "calm": ["One.", "{system} One."],
        "c": "Two.",
        "s": "{system} Two.",
        "a": "{context} Two. {stem}",
    }
    assert mitigation_texts.controls_of(texts, ["c", "s", "a"])["calm"] == ["c", "s"]


def word_counts(found: params.ParameterSet) -> dict[str, list[int]]:
    """The number of words of every wording, by mitigation."""
    return {
        name: [len(mitigation_texts.words(text).split()) for text in mitigation_texts.texts(value)]
        for name, value in found.mitigations.items()
    }


@pytest.mark.parametrize("name", SETS)
def test_controls_are_as_long_as_prompts_and_hold_no_word_that_a_lexicon_rates(name):
    found = params.load(name)
    controls, words = found.mitigation["controls"], word_counts(found)
    asking = [count for mitigation, counts in words.items() if mitigation not in controls for count in counts]
    assert len(controls) >= 3 and all(
        len(counts) == (1 if mitigation in controls else 3) for mitigation, counts in words.items()
    )
    for control in controls:
        assert 9 <= words[control][0] <= max(asking)
        assert not wording.charged_words(mitigation_texts.words(found.mitigations[control]))


@pytest.mark.parametrize("name", SETS)
def test_every_prompt_has_three_controls_of_its_place_and_length(name):
    found = params.load(name)
    means = {mitigation: np.mean(counts) for mitigation, counts in word_counts(found).items()}
    chosen = mitigation_texts.controls_of(found.mitigations, found.mitigation["controls"])
    for prompt, controls in chosen.items():
        assert len(controls) == 3
        for control in controls:
            assert 0.6 * means[prompt] <= means[control] <= 1.4 * means[prompt]
            assert mitigation_texts.stand_alike(found.mitigations[prompt], found.mitigations[control])


@pytest.mark.parametrize("name", [name for name in SETS if name != "mitigation"])
def test_three_short_controls_are_those_of_every_prompt(name):
    found = params.load(name)
    controls = found.mitigation["controls"]
    chosen = mitigation_texts.controls_of(found.mitigations, controls)
    assert chosen and all(of_prompt == controls for of_prompt in chosen.values())


def test_every_strategy_of_the_set_of_strategies_has_the_controls_of_its_form():
    found = params.load("mitigation")
    chosen = mitigation_texts.controls_of(found.mitigations, found.mitigation["controls"])
    forms = {prompt: {name.rstrip("-23") for name in controls} for prompt, controls in chosen.items()}
    short = {"control-spelling", "control-length", "control-numbers"}
    assert forms == {
        "ignore-feelings": short,
        "neutral-tone": short,
        "last-sentence": short,
        "ignore-irrelevant": short,
        "not-emotional": short,
        "careful-editor": short,
        "name-the-trap": {"control-long"},
        "few-shot": {"control-shots"},
        "between": {"control-between"},
        "farther-away": {"control-nearer"},
        "as-system-message": {"control-system"},
    }
    assert set().union(*chosen.values()) == set(found.mitigation["controls"])
    for shots, control in zip(found.mitigations["few-shot"], chosen["few-shot"], strict=True):
        examples = zip(shots.split(), found.mitigations[control].split(), strict=True)
        changed = [number for number, (word, other) in enumerate(examples) if word != other]
        assert [shots.split()[number - 1] in ("is", "are") for number in changed] == [True] * 3
    for text, control in zip(found.mitigations["farther-away"], chosen["farther-away"], strict=True):
        moved = found.mitigations[control]
        assert mitigation_texts.words(moved) == mitigation_texts.words(text)
        assert moved.endswith("{context} {stem}") and text.startswith("{context}")


def test_a_model_that_continues_a_text_is_asked_all_but_the_system_messages():
    found = params.load("mitigation")
    (base,) = [model for model in found.models if model.mode == "completion"]
    system = {name for name in found.mitigations if name.startswith(("as-system", "control-system"))}
    assert len(system) == 4
    assert set(found.mitigations_of(base)) == set(found.mitigations) - system


@pytest.mark.parametrize("name", SETS)
def test_no_text_of_a_shipped_set_is_an_example_of_the_benchmark(name):
    table = curated_prompts.build(seed=1, stems=None, contexts_per_stem=1)
    sentences = {*table["stem"], *table["context"]} - {""}
    shipped = [
        text for value in params.load(name).mitigations.values() for text in mitigation_texts.texts(value)
    ]
    assert not [(text, sentence) for text in shipped for sentence in sentences if sentence in text]


def test_a_canned_set_asks_in_several_wordings():
    assert len(params.load("smoke").mitigations["ignore-feelings"]) == 3


@pytest.mark.parametrize(
    ("text", "placed", "plain", "words"),
    [
        ("Stay calm.", ("", "Stay calm.", "A. B is"), "Stay calm. A. B is", "Stay calm."),
        ("", ("", "", "A. B is"), "A. B is", ""),
        ("{context} So far. {stem}", ("", "", "A. So far. B is"), "A. So far. B is", "So far."),
        ("X {context} {stem}", ("", "", "X A. B is"), "X A. B is", "X"),
        ("{system} Be calm.", ("Be calm.", "", "A. B is"), "A. B is", "Be calm."),
    ],
)
def test_a_text_stands_where_it_says(text, placed, plain, words):
    found = mitigation_texts.placed(text, "A.", "B is")
    assert (found, found.plain, mitigation_texts.words(text)) == (placed, plain, words)


def test_a_place_without_a_context_leaves_no_gap():
    assert mitigation_texts.placed("{context} So far. {stem}", "", "B is").plain == "So far. B is"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{ctx} {stem}", r"unknown place \{ctx\}"),
        ("{stem} {context} x", r"needs \{context\} and after it \{stem\}, each once"),
        ("{context} x", "each once"),
        ("{context} x {context} {stem}", "each once"),
        ("Be calm {system}", "at the beginning"),
        ("{system} {stem} x", "at the beginning"),
        ("{context} {stem}", "adds nothing to the prompt"),
        ("{system}", "adds nothing to the prompt"),
    ],
)
def test_places_that_make_no_prompt_are_refused(project, text, says):
    with pytest.raises(ParameterError, match=rf"mitigations\.odd: .*{says}"):
        changed(project, "smoke", odd=text)


def changed(project, name: str, **texts) -> params.ParameterSet:
    """A parameter set with further mitigations."""
    path = project / "params" / f"{name}.yaml"
    values = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(values | {"mitigations": values["mitigations"] | texts}))
    return params.load(name)


@pytest.mark.parametrize(
    ("text", "says"),
    [("{system} Be calm.", "is a system message"), ("{context} {stem} (calmly)", "does not end in")],
)
def test_a_model_that_continues_a_text_is_not_asked_what_it_cannot_do(project, text, says):
    with pytest.raises(
        ParameterError, match=rf"mitigations\.odd, .*{says}.* in completion mode; set its mode"
    ):
        changed(project, "smoke", odd=text)


def test_a_chat_model_gets_a_system_message_or_a_text_around_the_prompt():
    model = registry.load(conftest.generation("chat", {"keep_template_system": False}).model)
    context, stem = "He is sad.", "His street is"
    system = model.render(context, stem, "{system} Mind the facts.")
    assert "<|im_start|>system\nMind the facts.<|im_end|>" in system
    assert model.render(context, stem, "").split("<|im_start|>user")[1] == system.split("<|im_start|>user")[1]
    around = model.render(context, stem, "{context} (Irrelevant.) {stem} (Facts!)")
    assert "Complete the sentence: He is sad. (Irrelevant.) His street is (Facts!)<|im_end|>" in around
    assert around.endswith("He is sad. His street is")  # the answer is begun as without the text


def test_an_example_that_is_a_sentence_of_the_benchmark_is_refused_before_anything_is_asked(benchmark):
    stem = benchmark["stem"].iloc[0]
    rows = requested(benchmark, mitigations={"shots": f"{stem} seven. Now the next:"})
    with pytest.raises(ParameterError, match=r"mitigations\.shots: holds .*, a sentence of the benchmark"):
        prompt_checks.check(rows, registry.load(generation().model), 6)


def test_a_model_may_be_asked_with_some_of_the_mitigations(project):
    path = project / "params" / "smoke.yaml"
    values = yaml.safe_load(path.read_text())
    values["models"][0]["mitigate"] = ["neutral-tone", "control"]
    values["mitigations"]["as-system"] = "{system} Be calm."
    path.write_text(yaml.safe_dump(values | {"models": values["models"][:1]}))
    told = params.cell_values(params.load("smoke"), "smoke", "02_generation")
    assert set(told["mitigations"]) == {"neutral-tone", "control"}
    everything = params.cell_values(params.load("smoke"), "smoke", "06_prompting_mitigation_ablation")
    assert set(everything["mitigations"]) == set(values["mitigations"])
    values["models"][0]["mitigate"] = ["neutral-ton"]
    path.write_text(yaml.safe_dump(values | {"models": values["models"][:1]}))
    with pytest.raises(
        ParameterError, match=r"'neutral-ton' is not one of the mitigations; did you mean 'neutral-tone'"
    ):
        params.load("smoke")
