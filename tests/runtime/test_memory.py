"""The peak memory of a stretch of work."""

import numpy as np
import pytest
import torch

from lib.runtime import memory


def test_a_large_array_that_is_gone_again_is_in_the_peak():
    with memory.peak(torch.device("cpu")) as nothing:
        pass
    with memory.peak(torch.device("cpu")) as large:
        held = np.ones(200 * memory.MB // 8)
        total = held.sum()
        del held
    assert total and 150 < large.mb - nothing.mb < 400


def test_the_watching_ends_with_an_error():
    with pytest.raises(ValueError, match="stopped"), memory.peak(torch.device("cpu")) as seen:
        raise ValueError("stopped")
    assert seen.mb > 0
