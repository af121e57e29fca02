"""The peak memory of a stretch of work."""

import numpy as np
import pytest
import torch

from lib.runtime import memory


def test_a_large_array_that_is_gone_again_is_in_the_peak():
    with memory.peak(torch.device("cpu")) as large:
        held = np.ones(200 * memory.MB // 8)
        total = held.sum()
        del held
    assert total and 150 < large.mb < 300


def test_what_many_small_objects_left_free_is_not_taken_for_nothing():
    held = [bytes(1000) for _ in range(100_000)]
    keep = held[::5000]
    del held
    with memory.peak(torch.device("cpu")) as again:
        held = [bytes(1000) for _ in range(100_000)]
        del held
    assert keep and 50 < again.mb < 300


def test_the_watching_ends_with_an_error():
    with pytest.raises(ValueError, match="stopped"), memory.peak(torch.device("cpu")) as seen:
        raise ValueError("stopped")
    assert seen.mb >= 0
