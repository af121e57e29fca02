"""Where the sentiment of a context sits at the end of a prompt: layer by layer, and head by head.

The *direction* of a layer is half the difference of the mean hidden states after positive and after negative
contexts, over the same stems (difference of means; Rimsky et al. 2024, arXiv 2312.06681). A state is read at
the last token of the prompt, which is the last of its stem. Layer 0 are the embeddings, layer k the output of
the k-th layer.
"""

import threading
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lib.generation import plans
from lib.interventions import modules
from lib.models import prefill
from lib.models.huggingface import map_threads
from lib.runtime import progress

_TOKENS = 1024  # of a forward pass


@dataclass(frozen=True)
class States:
    """Hidden states at the ends of prompts.

    Attributes:
        hidden: (prompts, layers + 1, width).
        heads: What each attention head gives (prompts, layers, heads, width of a head).
    """

    hidden: torch.Tensor
    heads: torch.Tensor


def read(model, rendered: list[str]) -> States:
    """Read the states at the end of each rendered prompt.

    Args:
        model: The backend.
        rendered: The prompts.

    Raises:
        ParameterError: If the parts of its architecture are not known, or a state is not finite.
    """
    ids = model.token_ids(rendered)
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    hidden: list[torch.Tensor] = [torch.empty(0)] * len(ids)
    heads = list(hidden)
    given, weights = threading.local(), model.weights
    handles = [
        join.register_forward_pre_hook(
            lambda module, taken: given.values.append(taken[0][:, -1].float().cpu())
        )
        for join in modules.joins(weights)
    ]
    with progress.bar(len(ids), "hidden states", "prompts") as bar, modules.hooked(handles):

        def forward(part: list[int]) -> None:
            given.values = []
            of_layers, of_heads = _forward(weights, [ids[index] for index in part], given)
            for row, index in enumerate(part):
                hidden[index], heads[index] = of_layers[row], of_heads[row]
            bar.update(len(part))

        map_threads(forward, list(_parts(order, ids)), plans.usual(model))
    states = States(torch.stack(hidden), torch.stack(heads))
    if not states.hidden.isfinite().all():
        raise prefill.NotFinite("hidden states are not finite")
    return states


def _parts(order: list[int], ids: list[list[int]]):
    """Yield prompts of one length, which are read together without padding."""
    start = 0
    while start < len(order):
        length = len(ids[order[start]])
        most = max(1, _TOKENS // length)
        stop = start
        while stop < len(order) and stop - start < most and len(ids[order[stop]]) == length:
            stop += 1
        yield order[start:stop]
        start = stop


def _forward(weights, ids: list[list[int]], given) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (prompts, layers + 1, width) and heads (prompts, layers, heads, width of a head).

    Args:
        weights: The model.
        ids: Tokens of prompts of one length.
        given: Where the hooks put what the heads of each layer give, for this thread.
    """
    tokens = torch.tensor(ids, device=weights.device)
    with torch.inference_mode():
        states = weights.base_model(input_ids=tokens, output_hidden_states=True).hidden_states
    hidden = torch.stack([layer[:, -1].float().cpu() for layer in states], dim=1)
    width = modules.head_width(weights)
    heads = torch.stack([values.unflatten(-1, (-1, width)) for values in given.values], dim=1)
    return hidden, heads


def direction(hidden: torch.Tensor, prompts: pd.DataFrame) -> torch.Tensor:
    """The direction of sentiment of each layer, from negative to positive.

    Args:
        hidden: States of the prompts (prompts, layers, width).
        prompts: One row per prompt, with its arm and group_id; every group has both charged arms.

    Returns:
        Shape (layers, width), not normalised: half the mean difference of the two charged arms.
    """
    return (_mean(hidden, prompts, "positive") - _mean(hidden, prompts, "negative")) / 2


def _mean(hidden: torch.Tensor, prompts: pd.DataFrame, arm: str) -> torch.Tensor:
    return hidden[torch.tensor(prompts["arm"].eq(arm).tolist())].double().mean(dim=0)


def units(directions: torch.Tensor) -> torch.Tensor:
    """The directions with length 1; zero where a layer has none."""
    length = directions.norm(dim=-1, keepdim=True)
    return torch.where(length > 0, directions / length.clamp(min=1e-30), 0.0)


def projections(hidden: torch.Tensor, prompts: pd.DataFrame, directions: torch.Tensor) -> pd.DataFrame:
    """How far each charged prompt lies from its neutral partner along the direction of each layer.

    Args:
        hidden: States of the prompts (prompts, layers, width).
        prompts: One row per prompt: prompt_id, group_id, stem_id, arm.
        directions: Shape (layers, width).

    Returns:
        One row per charged prompt and layer: prompt_id, group_id, stem_id, arm, layer, projection (in units
        of the length of the layer's direction, so that the mean of the prompts it was found on is +1 for
        positive and −1 for negative contexts less what both have in common).
    """
    length = directions.norm(dim=-1).clamp(min=1e-30)
    along = ((hidden.double() * units(directions)).sum(dim=-1) / length).numpy()
    table = pd.DataFrame(along, columns=pd.RangeIndex(along.shape[1], name="layer"))
    keys = ["prompt_id", "group_id", "stem_id", "arm"]
    long = pd.concat([prompts[keys].reset_index(drop=True), table], axis=1).melt(
        keys, var_name="layer", value_name="projection"
    )
    neutral = long[long["arm"] == "neutral"].set_index(["group_id", "layer"])["projection"]
    charged = long[long["arm"].isin(["negative", "positive"])].reset_index(drop=True)
    partner = neutral.reindex(pd.MultiIndex.from_frame(charged[["group_id", "layer"]])).to_numpy()
    return charged.assign(projection=charged["projection"] - partner)


def carried(states: States, prompts: pd.DataFrame, joins: list) -> pd.DataFrame:
    """How much of the direction behind each layer its attention heads write, at the end of a prompt.

    A head's output, through the linear map that joins the heads, is projected on the direction of its layer's
    output. The value is half the mean difference between positive and negative contexts, as a share of the
    length of that direction.

    Args:
        states: States of the prompts on which heads are found.
        prompts: One row per prompt, with its arm.
        joins: The linear maps (`modules.joins`).

    Returns:
        One row per head: layer (from 1), head (from 1), carried (share of the direction's length), from the
        largest to the smallest.
    """
    directions = direction(states.hidden, prompts)
    difference = direction(states.heads, prompts)  # (layers, heads, width of a head)
    rows = []
    for layer, join in enumerate(joins):
        target = directions[layer + 1]
        matrix = join.weight.detach().double().cpu()  # (width, heads · width of a head), or transposed
        matrix = matrix if matrix.shape[0] == len(target) and type(join).__name__ != "Conv1D" else matrix.T
        written = matrix.unflatten(1, (difference.shape[1], -1))  # (width, heads, width of a head)
        along = (
            torch.einsum("whd,hd,w->h", written, difference[layer], target)
            / target.norm().clamp(min=1e-30).square()
        )
        rows += [(layer + 1, head + 1, float(value)) for head, value in enumerate(along)]
    table = pd.DataFrame(rows, columns=["layer", "head", "carried"])
    return table.iloc[np.argsort(-table["carried"].to_numpy(), kind="stable")].reset_index(drop=True)
