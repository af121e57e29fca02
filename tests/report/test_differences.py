"""What counts as a difference, and how it is named."""

import math

import pandas as pd
import pytest

from lib.report import differences


@pytest.mark.parametrize(
    ("stored", "recomputed", "same"),
    [
        (1.0, 1.0 + 1e-9, True),
        (1.0, 1.001, False),
        (math.nan, None, True),
        (math.inf, math.inf, True),
        (math.inf, -math.inf, False),
        (pd.NA, False, False),
        (True, False, False),
        ("a", "a", True),
        (0.0, None, False),
    ],
)
def test_numbers_are_compared_up_to_the_last_bits_and_missing_values_equal_each_other(
    stored, recomputed, same
):
    assert differences.is_equal(stored, recomputed) is same


def test_rows_that_are_missing_changed_or_there_twice_are_named():
    made = pd.DataFrame({"id": ["a", "b", "c"], "value": [1.0, 2.0, None]})
    stored = pd.DataFrame({"id": ["a", "a", "c"], "value": [1.5, 1.0, None]})
    found = differences.of_tables("t", stored, made, ["id"], "make it")
    assert [(one.place, one.stored, one.recomputed) for one in found] == [
        ("id=a copy=1", "a row", "no such row"),
        ("id=b", "no such row", "a row"),
        ("id=a, value", 1.5, 1.0),
    ]
    (lack,) = differences.of_tables("t", stored[["id"]], made, ["id"], "make it")
    assert (lack.place, lack.recomputed) == ("columns", "value")


def test_the_line_of_a_text_and_the_place_of_a_value_are_named():
    (line,) = differences.of_texts("t", "a\nnumber 1\n", "a\nnumber 2\n", "make it")
    assert (line.place, line.stored) == ("line 2", "'number 1'")
    (value,) = differences.of_values("t", {"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "make it")
    assert value.place == "a[0].b"


def test_drawings_may_differ_by_a_hundredth_of_a_point():
    drawn = '<path d="M 1.500000 2.0"/><!-- +0.20 -->'
    assert not differences.of_drawings("t", drawn, drawn.replace("1.500000", "1.500001"), "make it")
    (moved,) = differences.of_drawings("t", drawn, drawn.replace("1.500000", "1.6"), "make it")
    assert moved.stored == "1.500000"
    (number,) = differences.of_drawings("t", drawn, drawn.replace("+0.20", "+0.21"), "make it")
    assert number.stored != number.recomputed
