"""Completions made elsewhere: outcomes that the file gives, and cells, sheets and delimiters that are not as
usual."""

import pandas as pd
import pytest

from lib.replies.reply import Reply
from tests.models.test_precomputed import loaded, refusal, rows, write


def with_outcomes(path, suffix="csv", **columns) -> dict[str, Reply]:
    """The replies of a file with one row an outcome, by outcome."""
    table = rows("a.", "b", None, "I cannot.", None, "", "c.", "").assign(
        outcome=["answered", "truncated", "filtered", "refused", " Failed ", "thought_unfinished", "", None],
        note=["x", "x", "by the provider", None, "HTTP 400", None, "x", "x"],
    )
    target = path / f"t.{suffix}"
    write(table.rename(columns=columns), target)
    wanted = pd.DataFrame({"prompt_id": table["prompt_id"], "mitigation": "none", "sample_index": 0})
    replies = loaded(target, **columns).reply(wanted, 0.7, 32, 1)
    return dict(zip(table["outcome"].fillna("nothing").str.strip(), replies, strict=True))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_an_outcome_that_the_file_gives_is_passed_on(tmp_path, suffix):
    found = with_outcomes(tmp_path, suffix)
    assert found["answered"] == Reply("a.", 1, True)
    assert found["truncated"] == Reply("b", 1, False)
    assert found["filtered"] == Reply("", 0, True, "filtered", "by the provider")
    assert found["refused"] == Reply("I cannot.", 2, True, "refused", "I cannot."), (
        "what stands there instead is kept"
    )
    assert found["Failed"] == Reply("", 0, True, "failed", "HTTP 400")
    assert found["thought_unfinished"] == Reply("", 0, True, "thought_unfinished", "")
    assert found[""] == Reply("c.", 1, True)
    assert found["nothing"] == Reply("", 0, True), "an empty text is told from the text"
    assert with_outcomes(tmp_path, suffix, outcome="status", note="why")["Failed"].note == "HTTP 400"


def test_an_outcome_that_is_none_or_lacks_its_completion_is_named(tmp_path):
    write(rows("a", "b").assign(outcome=["answered", "refusal"]), tmp_path / "t.csv")
    said = refusal(tmp_path / "t.csv")
    assert (
        "1 line with an unknown outcome: 'refusal'; did you mean 'refused'?\nline 3; give answered, "
        "truncated, empty" in said
    )
    write(rows(None, None, None).assign(outcome=["answered", "truncated", "failed"]), tmp_path / "t.jsonl")
    assert "2 lines without a completion\nlines 1, 2; " in refusal(tmp_path / "t.jsonl")


@pytest.mark.parametrize("column", ["mitigation", "sample_index"])
def test_a_formula_is_not_taken_for_a_blank_cell(tmp_path, column):
    write(rows("a", "b").assign(**{column: ["0", "=A1"]}), tmp_path / "t.xlsx")
    assert f"1 row whose {column} is no text: a formula (=A1)\nrow 3; " in refusal(tmp_path / "t.xlsx")


def test_half_a_character_is_marked(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"prompt_id": "p0", "completion": "a \\ud83d b"}')
    assert loaded(tmp_path / "t.jsonl").rows["completion"].tolist() == ["a \ufffd b"]


def test_the_sheet_and_the_delimiter_are_found_by_the_columns_that_the_set_names(tmp_path):
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        pd.DataFrame({"about": ["made in May"]}).to_excel(book, sheet_name="Notes", index=False)
        rows("a", "b").rename(columns={"completion": "Answer"}).to_excel(book, sheet_name="Data", index=False)
    assert loaded(tmp_path / "t.xlsx", completion="Answer").rows["completion"].tolist() == ["a", "b"]
    assert "no sheet has the columns prompt_id or prompt, completion" in refusal(tmp_path / "t.xlsx")
    (tmp_path / "t.csv").write_text("prompt_id;Answer;of\np0;a, b;me, you\n")
    assert loaded(tmp_path / "t.csv", completion="Answer").rows["completion"].tolist() == ["a, b"]
