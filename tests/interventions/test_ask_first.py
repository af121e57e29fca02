"""Asking twice: the first reply stands in the second prompt."""

import pytest

from lib.config.interventions import AskFirst
from lib.config.specs import ParameterError
from lib.dataset import curated_prompts
from lib.interventions.ask_first import AskedFirst, without_stem
from lib.replies.reply import Reply
from tests.conftest import generation

SPEC = AskFirst(kind="ask_first", instruction="Shorten: {context} {stem}", then="{context} ({reply})")


class Told:
    """A model that is asked in chat mode and says what it was asked in capitals."""

    fingerprint, is_local = "told", False

    def __init__(self, parameters):
        self.spec, self.asked = parameters.model, []

    def question(self, text):
        return f"<user>{text}<model>"

    def opens_thought(self, rendered):
        return False

    def reply(self, requests, temperature, max_new_tokens, seed, progress):
        self.asked += requests["rendered"].tolist()
        assert temperature == 0 and requests["stem"].isna().all()
        return [Reply(text[6:-7].upper(), 5, True) for text in requests["rendered"]]


@pytest.fixture
def parameters():
    return generation(model={"id": "mock:leak-0", "mode": "chat"}, mitigations={})


def test_the_first_reply_stands_in_the_second_prompt_and_is_asked_once(parameters, tmp_path):
    model = Told(parameters)
    prompts = curated_prompts.build(seed=1, stems=3, contexts_per_stem=1)
    intervention = AskedFirst(SPEC, parameters, tmp_path / "first.jsonl")
    changed = intervention.prompts(model, prompts)
    row, before = changed.iloc[1], prompts.iloc[1]
    assert row["first_reply"] == f"SHORTEN: {before['context'].upper()} {before['stem'].upper()}"
    assert row["context"] == f"{before['context']} ({row['first_reply']})"
    assert changed["stem"].equals(prompts["stem"]) and changed["prompt_id"].equals(prompts["prompt_id"])
    count = len(model.asked)
    assert count == len(prompts.drop_duplicates(["context", "stem"]))
    intervention.prompts(model, prompts)
    assert len(model.asked) == count, "a reply that is at hand is not asked for again"
    intervention.uncached(tmp_path / "elsewhere").prompts(model, prompts)
    assert len(model.asked) == 2 * count


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("The street he lives on is called", ""),
        ("He lives there.\nThe street he lives on is called Elm", "He lives there."),
        ("A street.", "A street."),
        (None, ""),
    ],
)
def test_a_reply_that_comes_to_the_stem_is_cut_there(reply, left):
    assert without_stem(reply, "The street he lives on is called") == left


def test_a_model_that_continues_text_is_asked_nothing(tmp_path):
    with pytest.raises(
        ParameterError, match=r"chat mode, and .* mode: list the other interventions in its `intervene`"
    ):
        AskedFirst(SPEC, generation(mitigations={}), tmp_path / "first.jsonl")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"instruction": "Shorten it."}, "{context} and {stem}"),
        ({"instruction": "{context} {stem} {stem}"}, "{context} and {stem}"),
        ({"instruction": "{context} {stem} {who}"}, "{context} and {stem}"),
        ({"then": "{context}"}, "{reply} once"),
        ({"then": "{reply} {stem}"}, "{reply} once"),
    ],
)
def test_places_that_are_wrong_are_named(changes, named):
    with pytest.raises(ValueError) as caught:
        AskFirst(**{**SPEC.model_dump(), **changes})
    assert named in str(caught.value)
