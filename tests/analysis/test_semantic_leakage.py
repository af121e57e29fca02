"""The semantic leak rate: the published definition, ties, rounding, released tables."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import semantic_leakage

ANGLES = {"concept": 0.0, "near": 10.0, "nearly": 10.001, "far": 80.0}  # degrees from the concept


@pytest.fixture
def angles(monkeypatch):
    """Vectors in a plane instead of MiniLM's."""
    at = {name: np.radians(angle) for name, angle in ANGLES.items()}

    def embed(texts: list[str]) -> np.ndarray:
        return np.array([[np.cos(at[text]), np.sin(at[text])] for text in texts])

    monkeypatch.setattr(semantic_leakage, "embed", embed)


def table(*pairs) -> pd.DataFrame:
    return pd.DataFrame(
        [("concept", test, control) for test, control in pairs], columns=["concept", "test", "control"]
    )


def test_what_the_encoder_finds_alike_leaks():
    pair = ["a basket of yellow lemons", "a lawyer"]
    given = pd.DataFrame({"concept": "yellow", "test": pair, "control": pair[::-1]})
    assert semantic_leakage.leaks(given).tolist() == [100, 0]


def test_nearer_further_equal_missing(angles):
    found = semantic_leakage.leaks(table(("near", "far"), ("far", "near"), ("near", "near"), (None, "near")))
    np.testing.assert_array_equal(found, [100, 0, 50, np.nan])


def test_rounding_makes_ties(angles):
    # cos 10° = 0.984808, cos 10.001° = 0.984805
    given = table(("near", "nearly"))
    assert semantic_leakage.leaks(given).tolist() == [100]
    assert semantic_leakage.leaks(given, digits=3).tolist() == [50]


def test_swapping_test_and_control_mirrors_the_rate(angles):
    given = table(("near", "far"), ("near", "near"), ("far", "nearly"), ("nearly", "far"))
    swapped = given.rename(columns={"test": "control", "control": "test"})
    np.testing.assert_array_equal(semantic_leakage.leaks(swapped), 100 - semantic_leakage.leaks(given))


def judgements() -> pd.DataFrame:
    rows = [
        (stem, arm, sample, "concept" if arm != "none" else "", text)
        for stem, sample, texts in [
            ("a", 0, ("far", "far", "near", "near", "far")),
            ("a", 1, ("far", "near", "near", "far", "far")),
            ("b", 0, ("far", "far", "near", "far", "near")),
        ]
        for arm, text in zip(("none", "neutral", "negative", "positive", "placebo"), texts, strict=True)
    ]
    made = pd.DataFrame(rows, columns=["stem_id", "arm", "sample_index", "context", "completion"])
    return made.assign(
        model="m", mitigation="none", group_id=made["stem_id"], repeats=made["completion"] == "nearly"
    )


def test_by_arm_against_the_neutral_completion_of_the_same_draw(angles):
    rates = semantic_leakage.by_arm(semantic_leakage.pairs(judgements()), 0.95).set_index(["pairs", "arm"])
    # negative: near/far 100, near/near 50, near/far 100; positive: 100, far/near 0, far/far 50; placebo: 50,
    # 0, 100
    assert rates["estimate"]["all"].round(6).to_dict() == {
        "negative": 83.333333,
        "positive": 50,
        "placebo": 50,
    }
    assert (rates["n"]["all"] == 3).all() and (rates["n_stems"]["all"] == 2).all()


def released() -> pd.DataFrame:
    """Two templates, cells of unequal size, a missing reply, a reply that repeats its concept."""
    rows = [
        ("t1", ["near", "near"], ["far", "far", "near"]),  # 100, 100; the third control has no partner
        ("t1", ["nearly", None], ["near", "far"]),  # 0, or 50 if rounded; a missing one
        ("t2", ["far", "concept"], ["near", "near"]),  # 0, 100: repeats the concept
    ]
    return pd.DataFrame(rows, columns=["stem_id", "replies", "control_replies"]).assign(concept="concept")


def test_a_released_table_is_recomputed(angles):
    found = semantic_leakage.published(released()).set_index("way")
    assert found["estimate"].round(6).to_dict() == {
        "exact": 60,
        "rounded to 3 digits": 70,
        "without repetition": 50,
    }
    assert found["n"].tolist() == [5, 5, 4] and found["n_stems"].tolist() == [2, 2, 2]
    assert (found["naive_low"] < found["estimate"]).all()


def test_beside_expression_leakage(angles):
    rng = np.random.default_rng(0)
    stems = [f"s{number:02}" for number in range(40)]
    semantic = pd.DataFrame({"stem_id": stems, "arm": "negative", "semantic": np.arange(40.0)})
    leak = pd.DataFrame({"stem_id": stems, "arm": "negative", "leak": np.arange(40.0) ** 2})
    assert semantic_leakage.compare_with_expression(semantic, leak, 0.95, 50, rng).tolist() == pytest.approx(
        [1, 1, 1]
    )
    rates = pd.DataFrame(
        [("negative", "all", 60.04, 55.0, 65.0)], columns=["arm", "pairs", "estimate", "ci_low", "ci_high"]
    )
    assert "negative 60.0 % [55.0, 65.0]" in semantic_leakage.summary(rates, np.array([0.5, 0.25, 0.75]))
