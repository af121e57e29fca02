"""The adapter of the judge's encoder: merged as trained, and what it says of unseen texts is known or named
unknown."""

import numpy as np
import pandas as pd
import pytest
import torch

from lib.corpora import human_ratings
from lib.judging import adapter, adapter_training, mpnet, training_data
from lib.report import judge_selection

LAYERS = max(mpnet.LAYERS)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Another file in place of the one that ships."""
    monkeypatch.setattr(adapter, "FILE", tmp_path / "adapter.safetensors")
    adapter._contents.cache_clear()
    yield adapter.FILE
    adapter._contents.cache_clear()


def test_the_adapter_is_added_to_the_attention_and_to_nothing_else():
    _, plain = mpnet.load(LAYERS, False)
    _, adapted = mpnet.load(LAYERS, True)
    changed = {
        name
        for (name, one), (_, other) in zip(plain.named_parameters(), adapted.named_parameters(), strict=True)
        if not torch.equal(one, other)
    }
    attention = [f"encoder.layer.{layer}.attention.attn" for layer in range(LAYERS)]
    assert changed == {f"{place}.{module}.weight" for place in attention for module in adapter.MODULES}
    down, up = (torch.from_numpy(adapter._contents()[1][f"3.k.{side}"]).float() for side in "AB")
    before, after = (model.encoder.layer[3].attention.attn.k.weight for model in (plain, adapted))
    torch.testing.assert_close(after, before + adapter.ALPHA / adapter.RANK * up @ down)


def test_what_is_said_of_unseen_texts_is_hundredths_and_unknown_where_no_training_was_made(elsewhere):
    adapter.save(
        {"0.q.A": np.ones((4, 2))},
        np.array([0.126, -4.0, 0.0]),
        np.array([np.nan, 1.0, np.nan]),
        {"rank": "4"},
    )
    assert adapter.unseen(adapter.DOCUMENTS).tolist() == [0.13, -4.0, 0.0]
    np.testing.assert_array_equal(adapter.unseen(adapter.DOMAIN), [np.nan, 1.0, np.nan])
    assert adapter.facts() == {"rank": "4"}


def test_every_rated_text_was_unseen_once_and_whole_domains_are_known_or_not():
    ratings = human_ratings.read()
    assert not np.isnan(adapter.unseen(adapter.DOCUMENTS)).any()
    known = (
        pd.Series(~np.isnan(adapter.unseen(adapter.DOMAIN)))
        .groupby(ratings["domain"].to_numpy())
        .agg(["any", "all"])
    )
    assert (known["any"] == known["all"]).all() and known["any"].any()


def test_a_domain_that_was_not_tried_is_named():
    table = judge_selection.read()
    tried = table[
        (table["judge"] == judge_selection.CHOSEN) & (table["tested_on"] == judge_selection.DOMAIN)
    ]["domain"]
    missing = set(table["domain"]) - set(tried)
    row = judge_selection.format_table(table).loc[
        (judge_selection.CHOSEN, slice(None), judge_selection.DOMAIN)
    ]
    assert set(row.columns[(row == judge_selection.UNTRIED).iloc[0]]) == missing


def test_each_domain_is_left_out_once_and_the_words_never():
    table = pd.DataFrame({"domain": ["a", "b", "a", training_data.WORDS]})
    splits = [(seen.tolist(), out.tolist()) for seen, out in adapter_training.domains(table)]
    assert splits == [([1, 3], [0, 2]), ([0, 2, 3], [1])]


def test_training_moves_the_adapter_and_reads_padded_texts_as_the_judge_reads_them(monkeypatch):
    monkeypatch.setattr(adapter, "BATCH", 4)
    monkeypatch.setattr(adapter, "EPOCHS", 1)
    texts = [
        "She is glad.",
        "It rained.",
        "He feels terrible, and nobody comes to help him at all.",
        "They won! " * 3,
    ] * 2
    read = adapter_training.Texts.read(texts)
    _, encoder = mpnet.load(LAYERS, False)
    frozen = adapter_training.features(encoder, read)
    np.testing.assert_allclose(frozen[:, :-1], mpnet.features(texts, adapted=False), atol=1e-3)
    table = pd.DataFrame({"mean": [2.0, 0.0, -2.5, 2.0] * 2, "weight": 1.0})
    made = adapter_training.changes(adapter_training.train(read, table, frozen, np.arange(8)))
    assert set(made) == {
        name for name in adapter._contents()[1] if name not in (adapter.DOCUMENTS, adapter.DOMAIN)
    }
    assert all(change.shape == adapter._contents()[1][name].shape for name, change in made.items())
    assert any(np.abs(change).max() > 0 for name, change in made.items() if name.endswith("B")), (
        "what is taught is learnt"
    )
