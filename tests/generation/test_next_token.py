"""The next-token shift: the lexicon on sub-words, signs by hand, and what it is worth beside sampling."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from lib.analysis import leakage, next_token_shift
from lib.config import params
from lib.dataset import curated_prompts
from lib.generation import next_token, runner
from lib.models import registry
from tests.conftest import generation


@pytest.fixture(scope="module")
def benchmark():
    return curated_prompts.build(seed=1, stems=4, contexts_per_stem=1)


def test_only_whole_words_at_their_beginning_are_scored():
    class Tokenizer:
        def get_vocab(self):
            return {"Ġsad": 0, "sad": 1, "Ġsaddle": 2, "▁Happy": 3, "Ġthe": 4, "Ġhorr": 5, "happy": 9}

    marked, bare = next_token.token_valences(Tokenizer(), 6)
    assert (marked < 0).tolist() == [True, False, False, False, False, False]
    assert (marked > 0).tolist() == [False, False, False, True, False, False]
    assert bare.tolist() == [0, marked[0], 0, 0, 0, 0]


def test_measures_are_those_of_the_whole_distribution(benchmark, tiny, tmp_path):
    parameters = generation(model={"id": str(tiny)})
    model = registry.load(parameters.model)
    table = next_token.measure(benchmark, model, tmp_path / "j.jsonl")
    row = table.iloc[3]
    rendered = model.render(*benchmark.loc[3, ["context", "stem"]], "")
    with torch.inference_mode():
        logits = model.weights(**model.tokenizer(rendered, return_tensors="pt")).logits[0, -1]
    probability = logits.double().softmax(-1).numpy()
    valence, _ = next_token.token_valences(model.tokenizer, len(probability))
    assert row["expected_valence"] == pytest.approx(probability @ valence, abs=2e-5)
    assert row["negative_mass"] == pytest.approx(100 * probability[valence < 0].sum(), abs=2e-4)


def test_a_second_call_makes_no_forward_pass(benchmark, tiny, tmp_path, monkeypatch):
    parameters = generation(model={"id": str(tiny)})
    first = next_token.measure(benchmark, registry.load(parameters.model), tmp_path / "j.jsonl")
    again = registry.load(parameters.model)
    monkeypatch.setattr(again.files, "weights", lambda *_, **__: pytest.fail("weights were loaded"))
    pd.testing.assert_frame_equal(first, next_token.measure(benchmark, again, tmp_path / "j.jsonl"))


def test_generation_notes_what_it_reads_so_that_no_prompt_is_read_twice(
    benchmark, tiny, tmp_path, monkeypatch
):
    parameters = generation(
        model={"id": str(tiny)},
        samples=2,
        mitigation_samples=1,
        mitigations={"calm": "Stay calm."},
        batch_size=7,
    )
    model = registry.load(parameters.model)
    alone = next_token.measure(benchmark, model, tmp_path / "alone.jsonl")
    requested = runner.requests(benchmark, parameters, model)
    noted = next_token.recorder(benchmark, model, tmp_path / "noted.jsonl")
    runner.generate(requested, parameters, model, tmp_path / "completions.jsonl", noted)
    monkeypatch.setattr(next_token, "_compute", lambda *_: pytest.fail("a prompt was read again"))
    found = next_token.measure(benchmark, model, tmp_path / "noted.jsonl")
    pd.testing.assert_frame_equal(found, alone, atol=2e-5)
    keys = [json.loads(line)["key"] for line in (tmp_path / "noted.jsonl").read_text().splitlines()]
    assert (
        len(keys) == len(set(keys)) == requested.loc[requested["mitigation"] == "none", "rendered"].nunique()
    )


def test_a_prompt_that_generation_did_not_read_is_read(benchmark, tiny, tmp_path):
    parameters = generation(model={"id": str(tiny)})
    model = registry.load(parameters.model)
    part = runner.requests(benchmark.head(5), parameters, model)
    noted = next_token.recorder(benchmark, model, tmp_path / "noted.jsonl")
    runner.generate(part, parameters, model, tmp_path / "completions.jsonl", noted)
    found = next_token.measure(benchmark, model, tmp_path / "noted.jsonl")
    pd.testing.assert_frame_equal(
        found, next_token.measure(benchmark, model, tmp_path / "alone.jsonl"), atol=2e-5
    )


def test_a_backend_without_probabilities_gives_an_empty_table(benchmark, tmp_path):
    parameters = params.from_cell(
        "02_generation", params.cell_values(params.load("smoke"), "smoke", "02_generation")
    )
    table = next_token.measure(benchmark, registry.load(parameters.model), tmp_path / "j.jsonl")
    assert table.empty and list(table.columns) == next_token.COLUMNS
    shifts, pairs = next_token_shift.shifts(table), fake_pairs(1)
    assert next_token_shift.compare_sampled(shifts, pairs, ["slot", "arm"], 0.95).empty
    assert next_token_shift.rank_correlation(shifts, pairs, 0.95, 50, np.random.default_rng(1)).empty
    assert next_token_shift.precision(shifts, pairs, 50, np.random.default_rng(1)).empty


def measured(**arms) -> pd.DataFrame:
    """One group: arm -> (expected_valence, negative_mass, positive_mass)."""
    rows = [(("m", f"p-{arm}", "g", "s", arm, "open"), values) for arm, values in arms.items()]
    return pd.DataFrame([(*names, *values) for names, values in rows], columns=next_token.COLUMNS)


def test_shifts_by_hand():
    table = measured(neutral=(0.1, 2.0, 3.0), negative=(-0.2, 7.0, 2.5), positive=(0.4, 1.5, 9.0))
    found = next_token_shift.shifts(table).set_index("arm")[["towards", "away", "net", "shift"]]
    assert found.loc["negative"].tolist() == pytest.approx([5.0, -0.5, 5.5, 0.3])
    assert found.loc["positive"].tolist() == pytest.approx([6.0, -0.5, 6.5, 0.3])


def fake_pairs(effect: float, stems: int = 40, samples: int = 4) -> pd.DataFrame:
    """Judgements of a made-up model whose charged arms are shifted by `effect` times a strength of the stem,
    with noise."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "model": "m",
            "mitigation": "none",
            "group_id": f"g{stem}",
            "stem_id": f"s{stem}",
            "sample_index": draw,
            "arm": arm,
            "slot": "open",
            "valence": sign * effect * stem / stems + rng.normal(),
            "tokens": 10,
        }
        for stem in range(stems)
        for draw in range(samples)
        for arm, sign in {"neutral": 0, "negative": -1, "positive": 1}.items()
    ]
    table = pd.DataFrame(rows)
    return leakage.pairs(table.assign(charged=table["valence"].abs() > 1))


def fake_shifts(stems: int = 40) -> pd.DataFrame:
    parts = [
        measured(neutral=(0, 1, 1), negative=(-stem, 1 + stem, 1), positive=(stem, 1, 1 + stem)).assign(
            group_id=f"g{stem}", stem_id=f"s{stem}"
        )
        for stem in range(stems)
    ]
    return next_token_shift.shifts(pd.concat(parts))


@pytest.mark.parametrize(("effect", "agrees"), [(3, True), (-3, False)])
def test_agreement_in_sign_and_rank_follows_the_truth(effect, agrees):
    pairs = fake_pairs(effect)
    assert next_token_shift.compare_sampled(fake_shifts(), pairs, ["arm"], 0.95)["same_sign"].eq(agrees).all()
    ranks = next_token_shift.rank_correlation(fake_shifts(), pairs, 0.95, 100, np.random.default_rng(1))
    assert ((ranks["ci_low"] > 0) if agrees else (ranks["ci_high"] < 0)).all()


def test_as_many_passes_buy_fewer_stems_and_less_precision():
    table = next_token_shift.precision(fake_shifts(), fake_pairs(3), 100, np.random.default_rng(1))
    table = table[table["quantity"] == "shift"].set_index("way")
    assert table.loc["exact", "passes"] == 3 * 40
    assert table.loc["sampled", "passes"] == 3 * 40 * 4 * 10
    assert table.loc["sampled, as many passes", "stems"] == 4
    assert table.loc["sampled, as many passes", "in errors"] < table.loc["sampled", "in errors"]


def test_the_bundled_model_meets_a_good_part_of_the_lexicon():
    model = registry.load(generation().model)
    assert 20 < next_token.coverage(model.tokenizer) < 60
