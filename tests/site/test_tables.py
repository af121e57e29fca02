"""Tables of pages: aligned by content, six columns, completions as lines with charged words marked."""

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from lib.site import tables


def rewritten(table: pd.DataFrame) -> BeautifulSoup:
    """What the HTML of a data frame becomes."""
    return BeautifulSoup(tables.rewrite(table.to_html()), "html.parser")


@pytest.mark.parametrize(
    ("text", "is_number"),
    [
        ("1,730", True),
        ("+0.16 [+0.11, +0.22]", True),
        ("−4.7", True),
        ("94.2 %", True),
        ("2e-05", True),
        ("690 in 173 matches", False),
        ("2024 was good", False),
        ("gemma-3-270m", False),
    ],
)
def test_numbers_are_aligned_right_and_texts_left(text, is_number):
    page = rewritten(pd.DataFrame({"name": ["a", "b"], "value": [text, text]}))
    classes = [cell.get("class") for cell in page.select("tbody td")]
    assert classes == [None, ["number"] if is_number else None] * 2


def test_a_column_of_missing_values_is_no_column_of_numbers():
    page = rewritten(pd.DataFrame({"name": ["a"], "note": ["–"]}))
    assert not page.select(".number")


def test_a_row_number_goes_and_an_index_that_says_something_stays():
    assert len(rewritten(pd.DataFrame({"a": ["x", "y"]})).select("tbody tr")[0].find_all(["th", "td"])) == 1
    named = rewritten(pd.DataFrame({"a": ["x"]}, index=pd.Index(["negative"], name="arm")))
    assert named.select("tbody th")[0].get_text() == "negative"
    assert [head.get_text() for head in named.select("thead th")] == ["arm", "a"]


@pytest.mark.parametrize("columns", [6, 7, 14])
def test_six_columns_stand_side_by_side_and_the_rest_opens_on_demand(columns):
    page = rewritten(pd.DataFrame({f"column {number}": ["x"] for number in range(columns)}))
    assert len(page.select_one("thead tr").find_all("th")) == min(columns, tables.MOST_COLUMNS)
    folded = page.select("details")
    assert bool(folded) == (columns > tables.MOST_COLUMNS)
    if folded:
        assert folded[0].summary.get_text() == f"All {columns} columns"
        assert len(folded[0].select("thead th")) == columns


def test_the_verdict_is_among_the_columns_that_are_seen_in_its_place():
    page = rewritten(pd.DataFrame({name: ["x"] for name in (*"abcdefgh", "verdict", "i")}))
    assert [head.get_text() for head in page.select_one("thead tr").find_all("th")] == [*"abcde", "verdict"]
    assert [cell.get_text() for cell in page.select_one("tbody tr").find_all("td")] == ["x"] * 6


def test_no_head_is_empty():
    levels = pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")], names=["first", "second"])
    page = rewritten(pd.DataFrame({"x": ["1", "2"]}, index=levels))
    assert page.select("tbody tr")[1].td.get_text() == "" and all(th.get_text() for th in page.select("th"))


def test_a_table_is_reached_by_the_keyboard_for_it_may_scroll():
    assert rewritten(pd.DataFrame({"a": ["x"]})).table["tabindex"] == "0"


def test_an_empty_table_says_so_with_its_columns():
    assert rewritten(pd.DataFrame({"model": [], "text": []})).get_text().strip() == "No rows (model, text)."


def test_a_banner_becomes_the_caption():
    page = rewritten(pd.DataFrame({"a": ["x"]}).rename_axis(columns="⚠ TOY"))
    assert page.caption.get_text() == "⚠ TOY"


COMPLETIONS = pd.DataFrame(
    {
        "arm": ["none", "neutral", "negative", "negative", "negative", "negative", "positive"],
        "context": ["", "He sat.", *["He is heartbroken."] * 4, "He won."],
        "stem": "The street is",
        "completion": ["Oak.", "Elm.", "Blackheart.", "awful.", "<b>x</b>", "–", "wonderful."],
        "outcome": ["answered"] * 5 + ["refused", "answered"],
        "charged": [False, False, True, True, False, False, True],
    }
)


def test_completions_are_lines_of_text_with_charged_arms_first():
    page = rewritten(COMPLETIONS)
    arms = [paragraph.get_text() for paragraph in page.select("p.arm")]
    assert [arm.split()[2] for arm in arms] == ["negative", "positive", "neutral", "context"]
    first = page.select_one("li")
    assert first.get_text(" ", strip=True) == "He is heartbroken . The street is Blackheart. charged"
    assert [mark.get_text() for mark in first.select("em mark.negative")] == ["heartbroken"]
    assert len(page.select("li")) == len(COMPLETIONS)
    assert page.select_one("details summary").get_text() == "1 more"
    assert "refused" in page.select("li")[3].get_text()


def test_what_a_model_wrote_is_text():
    page = rewritten(COMPLETIONS.assign(completion="<script>alert(1)</script>"))
    assert not page.select("script")
    assert page.select_one("strong").get_text() == "<script>alert(1)</script>"


def test_other_html_is_left_alone():
    assert tables.rewrite("<p style='a'>x</p>") == "<p style='a'>x</p>"


def test_every_row_gets_all_its_cells():
    index = pd.MultiIndex.from_product([["a", "b"], ["c", "d"]], names=["one", "two"])
    table = pd.DataFrame({f"n{number}": [1, 2, 3, 4] for number in range(6)}, index=index)
    page = rewritten(table)
    head, *rows = page.table.select("tr")
    assert [cell.get_text() for cell in head.find_all("th")] == ["one", "two", "n0", "n1", "n2", "n3"]
    assert [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in rows] == [
        ["a", "c", "1", "1", "1", "1"],
        ["", "d", "2", "2", "2", "2"],
        ["b", "c", "3", "3", "3", "3"],
        ["", "d", "4", "4", "4", "4"],
    ]
    assert len(page.select("details thead th")) == 8
