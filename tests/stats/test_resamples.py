"""Many resamples at once give what one would get by repeating the rows."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.stats import inference, resamples

FIRST = np.array([1.0, 2, 2, 4, 0, 3, 3, 1])
SECOND = np.array([0.0, 3, 1, 5, 1, 1, 4, 1])
WEIGHTS = np.array(
    [[1, 1, 1, 1, 1, 1, 1, 1], [2, 0, 1, 3, 0, 1, 0, 1], [0, 4, 0, 0, 2, 0, 1, 1]], dtype=float
)


@pytest.mark.parametrize("name", ["pearson", "spearman", "kendall"])
def test_a_weight_is_a_repetition(name):
    theirs = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}[name]
    repeated = [np.repeat(np.arange(8), weight.astype(int)) for weight in WEIGHTS]
    expected = [theirs(FIRST[rows], SECOND[rows])[0] for rows in repeated]
    np.testing.assert_allclose(getattr(resamples, name)(FIRST, SECOND, WEIGHTS), expected)


def test_by_hand():
    # rows 1, 1, 2, 4: mean 2, squares 1 1 4 16: variance 22/4 - 4 = 1.5; ranks 1.5 1.5 3 4, the row left out
    # lies below 4
    weights, values = np.array([[2.0, 1, 0, 1]]), [1, 2, 3, 4]
    assert resamples.mean(values, weights)[0] == 2
    assert resamples.variance(values, weights)[0] == pytest.approx(1.5)
    np.testing.assert_array_equal(resamples.ranks(values, weights)[0, [0, 1, 3]], [1.5, 3, 4])
    table = resamples.cross_table([-1, 0, 1, 1], [-1, 1, 1, 0], (-1, 0, 1), weights)[0]
    np.testing.assert_array_equal(table, [[2, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_what_does_not_vary_has_no_correlation():
    assert np.isnan(resamples.pearson([0.1] * 4, [1, 2, 3, 4], np.ones((1, 4)))).all()
    # it varies in the first resample alone
    found = resamples.spearman([0.1, 0.1, 0.1, 0.7], [1, 2, 3, 4], np.array([[1.0, 1, 1, 1], [2, 1, 1, 0]]))
    assert np.isnan(found).tolist() == [False, True]


def test_whole_clusters_are_drawn():
    clusters = np.repeat(["a", "b", "c"], [1, 2, 5])
    weights = np.concatenate(list(resamples.drawn(clusters, 120, np.random.default_rng(1))))
    assert weights.shape == (120, 8)
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 3:] == weights[:, [3]]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all(), "three clusters are drawn"
    np.testing.assert_allclose(weights[:, [0, 1, 3]].mean(axis=0), 1, atol=0.25)


def part() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    document = np.repeat(np.arange(60), 4)
    return pd.DataFrame(
        {"document": document, "value": rng.normal(0, 1, 60)[document] + rng.normal(0, 0.1, 240)}
    )


def test_the_interval_is_that_of_the_slow_bootstrap():
    frame = part()
    fast = resamples.table(
        frame,
        lambda rows, weights: {"mean": resamples.mean(rows["value"], weights)},
        "document",
        0.95,
        2000,
        np.random.default_rng(3),
    ).iloc[0]
    slow = resamples.cluster_bootstrap(
        frame, lambda rows: np.array([rows["value"].mean()]), "document", 2000, np.random.default_rng(4)
    )
    low, high = inference.percentile_interval(slow, 0.95)[:, 0]
    assert fast["estimate"] == pytest.approx(frame["value"].mean())
    assert (fast["ci_low"], fast["ci_high"]) == pytest.approx((low, high), abs=0.03)
    # 60 documents of spread 1: a standard error near 1/sqrt(60) = 0.13, not that of 240 texts
    assert fast["ci_high"] - fast["ci_low"] == pytest.approx(2 * 1.96 / np.sqrt(60), rel=0.25)


def test_a_bound_may_be_infinite_and_the_undefined_has_none():
    def statistic(rows, weights):
        infinite = np.where(weights[:, 0] > 0, np.inf, 1.0)
        return {"now and then infinite": infinite, "undefined": np.full(len(weights), np.nan)}

    found = resamples.table(part(), statistic, "document", 0.95, 100, np.random.default_rng(3)).set_index(
        "measure"
    )
    assert found.loc["now and then infinite"].tolist() == [np.inf, 1, np.inf]
    assert found.loc["undefined"].isna().all()
