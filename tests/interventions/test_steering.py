"""Directions, heads and ablations on a tiny model, redone by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from lib.config import specs
from lib.dataset import curated_prompts
from lib.interventions import modules, states
from lib.interventions.base import Intervened
from lib.interventions.steering import Ablation, HeadsOff
from lib.models import registry
from tests.conftest import generation


@pytest.fixture(scope="module")
def prompts():
    table = curated_prompts.build(seed=1, stems=8, contexts_per_stem=1)
    return table[table["arm"].isin(["neutral", "negative", "positive"])].reset_index(drop=True)


@pytest.fixture(scope="module")
def model(tiny):
    return registry.load(generation(model={"id": str(tiny)}).model)


@pytest.fixture(scope="module")
def rendered(model, prompts):
    return [model.render(row.context, row.stem, "") for row in prompts.itertuples()]


@pytest.fixture(scope="module")
def read(model, rendered):
    return states.read(model, rendered)


def test_states_are_those_at_the_last_token(model, rendered, read):
    for index in (0, 5, len(rendered) - 1):
        ids = torch.tensor(model.token_ids([rendered[index]]))
        with torch.inference_mode():
            alone = model.weights.base_model(input_ids=ids, output_hidden_states=True).hidden_states
        for layer, hidden in enumerate(alone):
            torch.testing.assert_close(read.hidden[index, layer], hidden[0, -1])


def test_a_direction_is_half_the_difference_of_the_means(read, prompts):
    found = states.direction(read.hidden, prompts)
    rows = {arm: prompts.index[prompts["arm"] == arm] for arm in ("positive", "negative")}
    for layer in range(found.shape[0]):
        of = {arm: read.hidden[list(index), layer].double().mean(dim=0) for arm, index in rows.items()}
        torch.testing.assert_close(found[layer], (of["positive"] - of["negative"]) / 2)


def test_projections_are_from_the_neutral_partner_in_units_of_the_direction(read, prompts):
    directions = states.direction(read.hidden, prompts)
    table = states.projections(read.hidden, prompts, directions)
    last = table[table["layer"] == directions.shape[0] - 1].set_index("prompt_id")["projection"]
    positive = prompts.loc[prompts["arm"] == "positive", "prompt_id"]
    negative = prompts.loc[prompts["arm"] == "negative", "prompt_id"]
    assert len(last) == len(positive) + len(negative)
    # by construction, the mean of positive less negative is twice the direction
    assert last[positive].mean() - last[negative].mean() == pytest.approx(2.0, abs=1e-4)
    row = prompts[prompts["arm"] == "positive"].iloc[0]
    neutral = prompts.index[(prompts["group_id"] == row["group_id"]) & (prompts["arm"] == "neutral")][0]
    difference = (read.hidden[row.name, -1] - read.hidden[neutral, -1]).double()
    by_hand = difference @ directions[-1] / directions[-1].norm() ** 2
    assert last[row["prompt_id"]] == pytest.approx(float(by_hand), abs=1e-5)


def test_what_heads_write_adds_up_to_what_attention_writes(model, read, prompts):
    table = states.carried(read, prompts, modules.joins(model.weights))
    heads = model.config.num_attention_heads
    assert len(table) == heads * model.config.num_hidden_layers
    directions = states.direction(read.hidden, prompts)
    for layer, join in enumerate(modules.joins(model.weights), start=1):
        difference = states.direction(read.heads.flatten(2), prompts)[layer - 1]
        with torch.inference_mode():
            written = join(difference.float()).double() - (join.bias.double() if join.bias is not None else 0)
        along = written @ directions[layer] / directions[layer].norm() ** 2
        assert table.loc[table["layer"] == layer, "carried"].sum() == pytest.approx(float(along), abs=1e-5)
    assert table["carried"].is_monotonic_decreasing


def given_to_layer_2(model, rendered, ablation):
    """What the second layer gets at the last token of each prompt."""
    seen = []
    with ablation.applied(model), torch.inference_mode():
        handle = modules.layers(model.weights)[1].register_forward_pre_hook(
            lambda module, taken: seen.append(taken[0][0, -1])
        )
        for ids in model.token_ids(rendered):
            model.weights(input_ids=torch.tensor([ids]))
        handle.remove()
    return torch.stack(seen)


def test_an_ablation_leaves_the_neutral_mean_along_the_direction(model, rendered, read, prompts):
    unit = states.units(states.direction(read.hidden, prompts))[1]
    changed = given_to_layer_2(model, rendered, Ablation("a", {1: (unit, 0.25)}, 1.0))
    np.testing.assert_allclose((changed.double() @ unit).numpy(), 0.25, atol=1e-4)
    # what is at a right angle to it stays
    before, after = (
        hidden.double() - (hidden.double() @ unit)[:, None] * unit for hidden in (read.hidden[:, 1], changed)
    )
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)
    halved = given_to_layer_2(model, rendered, Ablation("h", {1: (unit, 0.25)}, 0.5)).double() @ unit
    expected = (read.hidden[:, 1].double() @ unit + 0.25) / 2
    torch.testing.assert_close(halved, expected, atol=1e-4, rtol=1e-4)


def test_heads_that_are_off_give_nothing(model, rendered, read):
    width = modules.head_width(model.weights)
    off = HeadsOff("o", [(1, 1), (1, 2)])
    with off.applied(model):
        seen = []
        handle = modules.joins(model.weights)[0].register_forward_hook(
            lambda module, taken, given: seen.append(taken[0])
        )
        states.read(model, rendered[:1])
        handle.remove()
    assert torch.count_nonzero(seen[0][..., : 2 * width]) == 0
    assert torch.count_nonzero(seen[0][..., 2 * width :]) > 0 or model.config.num_attention_heads == 2
    torch.testing.assert_close(states.read(model, rendered).hidden, read.hidden, atol=0, rtol=0)


def test_completions_change_under_an_ablation_and_not_after_it(model, prompts, read):
    unit = states.units(states.direction(read.hidden, prompts))[1]
    requests = prompts.assign(
        rendered=[model.render(row.context, row.stem, "") for row in prompts.itertuples()],
        mitigation="none",
        mitigation_text="",
        sample_index=0,
    )
    before = [reply.text for reply in model.reply(requests, 0.8, 6, seed=1)]
    strong = Intervened(model, Ablation("s", {1: (unit, 40.0)}, 1.0), "s")
    assert [reply.text for reply in strong.reply(requests, 0.8, 6, seed=1)] != before
    assert [reply.text for reply in model.reply(requests, 0.8, 6, seed=1)] == before


def test_a_strength_that_breaks_the_model_stops_and_says_so(model, prompts, read):
    requests = prompts.assign(rendered=prompts["text"], mitigation_text="", sample_index=0)
    broken = Intervened(
        model, Ablation("b", {1: (torch.ones(read.hidden.shape[-1]) * 1e30, 1e30)}, 1e30), "b"
    )
    with pytest.raises(specs.ParameterError, match=r"interventions\.b: .*lower its strength"):
        broken.reply(requests, 0.8, 4, seed=1)


def test_an_architecture_whose_parts_are_not_known_is_refused():
    class Strange(torch.nn.Module):
        pass

    with pytest.raises(specs.ParameterError, match=r"the layers of Strange are not found .* take\s+interven"):
        modules.layers(Strange())


def test_prompts_of_a_table_are_needed_in_no_order(model, rendered, read, prompts):
    order = np.random.default_rng(1).permutation(len(rendered))
    shuffled = states.read(model, [rendered[index] for index in order])
    torch.testing.assert_close(shuffled.hidden, read.hidden[order], atol=1e-5, rtol=1e-5)
    again = states.direction(shuffled.hidden, prompts.iloc[order].reset_index(drop=True))
    torch.testing.assert_close(again, states.direction(read.hidden, prompts), atol=1e-5, rtol=1e-5)
    assert isinstance(prompts, pd.DataFrame)
