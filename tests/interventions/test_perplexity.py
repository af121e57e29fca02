"""Passages of ordinary text, and how well a model predicts them under an intervention."""

import numpy as np
import pytest
import torch

from lib.interventions import costs, perplexity
from lib.interventions.base import Intervened, Intervention
from lib.interventions.contrast import Contrast
from lib.models import registry
from tests.conftest import generation


@pytest.fixture(scope="module")
def model(tiny):
    return registry.load(generation(model={"id": str(tiny)}).model)


@pytest.fixture(scope="module")
def texts():
    return perplexity.passages().groupby("source").head(2).reset_index(drop=True)


def test_passages_are_of_every_kind_of_text_and_of_different_pages():
    table = perplexity.passages()
    assert table.groupby("source").size().to_dict() == dict.fromkeys(("wiki", "nyt", "amazon", "movie"), 16)
    assert table["url"].is_unique
    words = (table["context"] + " " + table["stem"] + " " + table["rest"]).str.split().str.len()
    assert words.between(*perplexity.WORDS).all()


def test_a_layer_is_chosen_by_passages_of_other_pages():
    table = perplexity.passages_to_choose_by()
    assert table.groupby("source").size().to_dict() == dict.fromkeys(("wiki", "nyt", "amazon", "movie"), 2)
    assert not set(table["url"]) & set(perplexity.passages()["url"])


def test_other_texts_are_of_other_pages_and_of_every_kind():
    passages = perplexity.passages()
    used = set(passages["rest"])
    others = perplexity.other_texts(22)
    assert len(others) == len(set(others)) == 22
    assert not any(rest in text for text in others for rest in used)


def model_text(model, ids):
    """What the tokens say, without white space around it."""
    return model.tokenizer.decode(ids).strip()


def losses(model, ids):
    """The loss of each token but the first."""
    with torch.inference_mode():
        logits = model.weights(input_ids=torch.tensor([ids])).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")


def test_nats_are_the_mean_cross_entropy_of_the_tokens_of_the_rest(model, texts):
    table = perplexity.measure(model, texts)
    row = table.iloc[0]
    ids = model.token_ids([f"{row['context']} {row['stem']} {row['rest']}"])[0]
    assert row["nats"] == pytest.approx(float(losses(model, ids)[-row["tokens"] :].mean()), abs=1e-4)
    assert model_text(model, ids[-row["tokens"] :]) == row["rest"]


@pytest.mark.parametrize("prefill", [True, False])
def test_a_chat_model_is_not_told_what_it_is_to_predict(tiny, texts, prefill):
    chat = registry.load(
        generation(model={"id": str(tiny), "mode": "chat", "assistant_prefill": prefill}).model
    )
    row = perplexity.measure(chat, texts).iloc[0]
    question = chat.render(row["context"], row["stem"], "")
    assert question.endswith(row["stem"]) == prefill and row["rest"] not in question
    ids = chat.token_ids([question + " " * prefill + row["rest"]])[0]
    assert row["nats"] == pytest.approx(float(losses(chat, ids)[-row["tokens"] :].mean()), abs=1e-4)
    assert model_text(chat, ids[-row["tokens"] :]) == row["rest"]


def test_what_is_kept_among_the_costs_is_of_this_version(model, texts):
    """If it fails: is the new result meant? Then raise `costs.VERSION`, and put the new value here."""
    assert costs.VERSION == "costs-2"
    assert perplexity.measure(model, texts.head(3))["nats"].tolist() == pytest.approx(
        [10.77696, 10.78171, 10.79139], abs=5e-4
    )


def test_a_contrast_of_strength_1_predicts_from_the_stem_alone(model, texts):
    row = perplexity.measure(Intervened(model, Contrast(1.0), "c"), texts).iloc[1]
    ids = model.token_ids([f"{row['stem']} {row['rest']}"])[0]
    assert row["nats"] == pytest.approx(float(losses(model, ids)[-row["tokens"] :].mean()), abs=1e-3)


def test_an_intervention_that_changes_prompts_changes_those_of_passages(model, texts):
    class WithoutContext(Intervention):
        def prompts(self, model, prompts):
            return prompts.assign(context="")

    changed = perplexity.measure(Intervened(model, WithoutContext("without"), "w"), texts)
    contrast = perplexity.measure(Intervened(model, Contrast(1.0), "c"), texts)
    assert changed["nats"].tolist() == pytest.approx(contrast["nats"].tolist(), abs=1e-3)
    assert changed["context"].equals(texts["context"])


def test_a_ratio_is_that_of_geometric_means(model, texts):
    plain = perplexity.measure(model, texts)
    worse = plain.assign(nats=plain["nats"] + np.log(1.25))
    result = perplexity.ratio(worse, plain, 0.95)
    assert result["perplexity"] == pytest.approx(1.25) and result["passages"] == len(texts)
    assert result["perplexity_low"] == pytest.approx(1.25) == result["perplexity_high"]
    missing = perplexity.ratio(worse.assign(nats=np.nan), plain, 0.95)
    assert missing["passages"] == 0 and np.isnan(missing["perplexity"])


def test_a_reply_that_would_begin_within_a_thought_is_not_measured(tiny, texts, monkeypatch):
    chat = registry.load(generation(model={"id": str(tiny), "mode": "chat"}).model)
    assert perplexity.measure(chat, texts)["nats"].notna().all()
    monkeypatch.setattr(chat, "opens_thought", lambda rendered: True)
    assert perplexity.measure(chat, texts)["nats"].isna().all()
