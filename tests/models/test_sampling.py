"""Coupled noise: keyed by (seed, group, sample_index, step) and by nothing else, and drawing from the
softmax."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lib.models import sampling
from lib.models.sampling import VERSION, draw, gumbel_noise

KEY = (1, "g", 2, 3)
LOGITS = torch.randn(12, 50, generator=torch.Generator().manual_seed(1))
KEYS = [(1, f"g{row % 4}", row // 4) for row in range(12)]


def test_the_noise_is_that_of_the_published_version():
    # completions are reused under a key that holds VERSION: if these numbers change, VERSION must change
    assert VERSION == "gumbel-philox-1"
    pinned = [0.521947979927063, 0.07366583496332169, 2.02123761177063, 0.08651567995548248]
    np.testing.assert_allclose(gumbel_noise(1, "hobby-01+m01", 0, 0, 4), pinned, rtol=1e-6)


@pytest.mark.parametrize("other", [(2, "g", 2, 3), (1, "h", 2, 3), (1, "g", 3, 3), (1, "g", 2, 4)])
def test_each_part_of_the_key_changes_all_of_the_noise(other):
    assert not np.isclose(gumbel_noise(*KEY, 1000), gumbel_noise(*other, 1000), atol=1e-6).any()


def test_nothing_but_the_key_changes_the_noise():
    first = gumbel_noise(*KEY, 1000)
    np.random.seed(7)
    np.testing.assert_array_equal(first, gumbel_noise(*KEY, 1000))
    np.testing.assert_array_equal(first[:10], gumbel_noise(*KEY, 10))


def test_noise_is_finite_and_standard_gumbel():
    noise = np.concatenate([gumbel_noise(1, f"g{group}", 0, 0, 50_000) for group in range(40)])
    assert np.isfinite(noise).all()
    assert noise.mean() == pytest.approx(np.euler_gamma, abs=0.005)  # 5 standard errors of 1.28/sqrt(2e6)
    assert stats.kstest(noise[:50_000], "gumbel_r").pvalue > 0.001


def test_rows_with_one_key_share_their_noise():
    tokens = draw(LOGITS[:1].repeat(12, 1), 1.0, [(1, "g", row // 2) for row in range(12)], [0] * 12)
    assert torch.equal(tokens[0::2], tokens[1::2])
    assert len(set(tokens.tolist())) > 1


@settings(max_examples=50, deadline=None, derandomize=True)
@given(rows=st.lists(st.integers(0, 11), min_size=1, max_size=20))
def test_a_row_draws_the_same_in_any_company_and_order(rows):
    alone = [draw(LOGITS[[row]], 0.7, [KEYS[row]], [2]).item() for row in rows]
    assert draw(LOGITS[rows], 0.7, [KEYS[row] for row in rows], [2] * len(rows)).tolist() == alone


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_over_keys_are_those_of_the_softmax(temperature):
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0, 0.5], dtype=torch.float64)
    keys = [(11, f"group-{number // 8}", number % 8) for number in range(8000)]
    observed = torch.bincount(draw(logits.expand(8000, -1), temperature, keys, [1] * len(keys)), minlength=5)
    assert stats.chisquare(observed, 8000 * torch.softmax(logits / temperature, 0)).pvalue > 0.001


def test_an_accelerator_draws_the_same_tokens():
    keys, steps = [KEYS[row // 2] for row in range(12)], [row // 4 for row in range(12)]
    rows_of = {}
    for row, key in enumerate(zip(keys, steps, strict=True)):
        rows_of.setdefault(key, []).append(row)
    with torch.inference_mode():  # as in decoding; its path, here on the processor
        tokens = sampling._draw_on_accelerator(LOGITS[:12], 0.7, rows_of)
    assert torch.equal(tokens, draw(LOGITS[:12], 0.7, keys, steps))


def test_temperature_zero_takes_the_most_probable_token():
    assert torch.equal(draw(LOGITS, 0, KEYS, [0] * len(KEYS)), LOGITS.argmax(dim=-1))
    assert not torch.equal(draw(LOGITS, 5.0, KEYS, [0] * len(KEYS)), LOGITS.argmax(dim=-1))
