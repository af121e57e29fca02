"""The interface: an intervention changes prompts, logits or weights, and nothing is left of it afterwards."""

from contextlib import contextmanager

import pytest
import torch

from lib.config import specs
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.interventions.base import Intervened, Intervention
from lib.models import registry
from lib.models.base import Division
from tests.conftest import generation


class TowardsStem(Intervention):
    changes_logits = True

    def __init__(self, strength):
        super().__init__(f"towards the stem {strength}")
        self.strength = strength

    def reference(self, context, stem):
        return "", stem

    def logits(self, own, reference):
        return (1 - self.strength) * own + self.strength * reference


class Scaled(Intervention):
    changes_logits = True

    def logits(self, own, reference):
        assert reference is None
        return own * float("nan") if self.identity == "nan" else 3 * own


class Reversed(Intervention):
    """Reverses what the last layer norm gives."""

    @contextmanager
    def applied(self, model):
        handle = model.weights.model.norm.register_forward_hook(lambda *taken: -taken[-1])
        try:
            yield
        finally:
            handle.remove()


@pytest.fixture(scope="module")
def asked(tiny):
    prompts = curated_prompts.build(seed=1, stems=6, contexts_per_stem=1)
    parameters = generation(model={"id": str(tiny)}, mitigations={}, samples=2)
    model = registry.load(parameters.model)
    return model, runner.requests(prompts, parameters, model)


def texts(model, requested, **options):
    return [reply.text for reply in model.reply(requested, 0.8, 8, seed=1, **options)]


@pytest.mark.parametrize("division", [Division(), Division(5), Division(6, workers=2), Division(1)])
def test_a_contrast_of_strength_1_is_the_stem_alone_and_of_0_the_prompt(asked, division):
    model, requested = asked
    bare = requested.assign(rendered=[model.render("", stem, "") for stem in requested["stem"]])
    plain, alone = texts(model, requested), texts(model, bare)
    assert plain != alone
    assert texts(Intervened(model, TowardsStem(1.0), "c"), requested, division=division) == alone
    assert texts(Intervened(model, TowardsStem(0.0), "c"), requested, division=division) == plain


def test_between_it_mixes_the_logits_of_both_prompts(asked):
    """The first token, by hand."""
    model, requested = asked
    own = model.next_logits(requested["rendered"].tolist())
    bare = model.next_logits([model.render("", stem, "") for stem in requested["stem"]])
    best = (0.4 * own + 0.6 * bare).argmax(dim=-1)
    mixed = Intervened(model, TowardsStem(0.6), "c").reply(requested, 0.0, 1, seed=1)
    expected = model.tokenizer.batch_decode(best[:, None], skip_special_tokens=True)
    assert [reply.text for reply in mixed] == expected


def test_logits_are_changed_without_a_second_prompt(asked):
    model, requested = asked
    sharper = texts(Intervened(model, Scaled("3"), "s"), requested)
    assert sharper == [reply.text for reply in model.reply(requested, 0.8 / 3, 8, seed=1)]


def test_what_is_not_finite_stops_and_names_the_intervention(asked):
    model, requested = asked
    with pytest.raises(
        specs.ParameterError, match=r"interventions\.steep: .* not finite .* lower its strength"
    ):
        Intervened(model, Scaled("nan"), "steep").reply(requested, 0.8, 8, seed=1)


def test_nothing_is_left_of_what_was_applied(asked):
    model, requested = asked
    before = model.next_logits(requested["rendered"].tolist())
    changed = texts(Intervened(model, Reversed("r"), "r"), requested)
    assert changed != texts(model, requested)
    assert torch.equal(model.next_logits(requested["rendered"].tolist()), before)


def test_the_completions_of_an_intervention_have_keys_of_their_own(asked):
    model, _ = asked
    prompts = curated_prompts.build(seed=1, stems=2, contexts_per_stem=1)
    parameters = generation(model=model.spec.model_dump(), mitigations={})
    keys = {
        name: set(runner.requests(prompts, parameters, backend)["key"])
        for name, backend in [
            ("plain", model),
            ("weak", Intervened(model, TowardsStem(0.5), "c")),
            ("strong", Intervened(model, TowardsStem(0.9), "c")),
        ]
    }
    assert not (keys["plain"] & keys["weak"] or keys["weak"] & keys["strong"])
