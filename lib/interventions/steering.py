"""Interventions on the forward pass: hidden states without the direction of sentiment, heads switched off."""

from contextlib import contextmanager

import torch

from lib.interventions import modules
from lib.interventions.base import Intervention
from lib.models.huggingface import HuggingFaceModel


class Ablation(Intervention):
    """Takes the component along a direction out of hidden states, down to what neutral prompts have of it.

    A state h behind a layer becomes h − strength · (h·v − m) v, where v is the layer's direction of length 1
    and m the mean of h·v over neutral prompts (directional ablation, Arditi et al. 2024, arXiv 2406.11717,
    about that mean instead of 0).

    Args:
        identity: See `Intervention`.
        directions: By layer, counted from 1: the direction v (width,) and m.
        strength: 1 takes all of it out.
    """

    def __init__(self, identity: str, directions: dict[int, tuple[torch.Tensor, float]], strength: float):
        super().__init__(identity)
        self.directions, self.strength = directions, strength

    @contextmanager
    def applied(self, model: HuggingFaceModel):
        """Change the output of the layers; see `Intervention.applied`."""
        layers = modules.layers(model.weights)
        handles = [
            layers[number - 1].register_forward_hook(self._without(direction, mean))
            for number, (direction, mean) in self.directions.items()
        ]
        with modules.hooked(handles):
            yield

    def _without(self, direction: torch.Tensor, mean: float):
        moved: dict[tuple, torch.Tensor] = {}

        def change(module, taken, given):
            hidden = given[0] if isinstance(given, tuple) else given
            place = hidden.device, hidden.dtype
            unit = moved.setdefault(place, direction.to(*place))
            hidden = hidden - self.strength * ((hidden @ unit) - mean)[..., None] * unit
            return (hidden, *given[1:]) if isinstance(given, tuple) else hidden

        return change


class HeadsOff(Intervention):
    """Switches attention heads off: what they give is 0 at every token.

    Args:
        identity: See `Intervention`.
        heads: Layer and head of each, both counted from 1.
    """

    def __init__(self, identity: str, heads: list[tuple[int, int]]):
        super().__init__(identity)
        self.heads = heads

    @contextmanager
    def applied(self, model: HuggingFaceModel):
        """Change what the layers' heads give; see `Intervention.applied`."""
        joins, width = modules.joins(model.weights), modules.head_width(model.weights)
        handles = [
            joins[layer - 1].register_forward_pre_hook(
                _silent([head for of_layer, head in self.heads if of_layer == layer], width)
            )
            for layer in sorted({layer for layer, _ in self.heads})
        ]
        with modules.hooked(handles):
            yield


def _silent(heads: list[int], width: int):
    def change(module, taken):
        given = taken[0].clone()
        given.unflatten(-1, (-1, width))[..., [head - 1 for head in heads], :] = 0
        return (given, *taken[1:])

    return change
