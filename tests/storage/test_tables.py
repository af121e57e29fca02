"""Files of others, read as they were meant or refused by naming what is wrong: encodings, delimiters, sheets,
cells, lines."""

import gzip
import json
import re
import zipfile
from datetime import date
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from lib.storage import tables

NEEDED = [("prompt_id", "prompt"), ("completion",)]
COMPLETIONS = ["a, b; c\tand: d", "two\nlines, \"quoted\"; 'so'", "Zoë’s café – €5", "1,5", "x;y;z"]
TABLE = pd.DataFrame({"prompt_id": [f"p{number}" for number in range(5)], "completion": COMPLETIONS})


def read(path: Path, needed=NEEDED) -> pd.DataFrame:
    return tables.READERS[path.suffix][1](path, needed)


def refused(path: Path, needed=NEEDED) -> str:
    with pytest.raises(ValueError) as caught:
        read(path, needed)
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


# text files


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("delimiter", "suffix", "first"),
    [
        (",", "csv", ""),
        (";", "csv", ""),
        ("\t", "csv", ""),
        (";", "csv", "sep=;"),
        ("|", "csv", "sep=|"),
        ("\t", "tsv", ""),
        (",", "tsv", ""),
        (";", "tsv", ""),
        (",", "csv", "SEP=,"),
    ],
)
def test_a_text_file_is_read_whatever_its_delimiter_encoding_and_line_ends(
    tmp_path, encoding, ends, delimiter, suffix, first
):
    path = tmp_path / f"t.{suffix}"
    text = TABLE.to_csv(index=False, sep=delimiter, lineterminator=ends)
    path.write_bytes((first + ends * bool(first) + text).encode(encoding))
    found = read(path)
    assert list(found) == list(TABLE)
    assert found["completion"].tolist() == COMPLETIONS
    assert found.index.tolist() == [number + bool(first) for number in (2, 3, 5, 6, 7)], (
        "lines as an editor counts them"
    )


def test_old_line_ends_blank_lines_and_long_cells_are_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"prompt_id,completion\rp0,a\r\rp1,b\r")
    assert read(path)["completion"].to_dict() == {2: "a", 4: "b"}
    path.write_text(f"prompt_id,completion\np0,{'word ' * 40_000}\n")
    assert len(read(path)["completion"][2]) == 200_000


def test_lines_of_delimiters_alone_are_blank(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("prompt_id,completion\np0,\n,\n   \np1,b\n,\n")
    assert read(path)["completion"].to_dict() == {2: "", 5: "b"}


def test_the_index_of_a_parquet_table_is_a_column_and_long_numbers_keep_their_digits(tmp_path):
    TABLE.set_index("prompt_id").to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet")["prompt_id"].tolist() == TABLE["prompt_id"].tolist()
    numbers = pd.DataFrame(
        {"prompt_id": pd.array([2**53 + 1, None], "Int64"), "completion": pd.Categorical(["a", "b"])}
    )
    numbers.to_parquet(tmp_path / "t.parquet")
    assert [tables.text(cell) for cell in read(tmp_path / "t.parquet")["prompt_id"]] == [str(2**53 + 1), None]


def test_a_header_of_other_columns_keeps_the_usual_delimiter(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,Answer\na,b;c;d;e\n")
    assert list(read(path)) == ["id", "Answer"], "whoever reads it says which column is missing"
    path.write_text("id;Answer\na;b,c,d\n")
    assert list(read(path)) == ["id", "Answer"]
    path.write_text("prompt_id;completion\np0;a, b\n")
    assert read(path, [])["completion"].tolist() == ["a, b"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            "prompt_id,completion\np0,ok\np1,Zoë’s\n".encode("cp1252"),
            "line 3 has the byte 0xeb, which is no UTF-8",
        ),
        ("prompt_id,completion\np0,isn’t\n".encode("cp1252"), "it is '’'); save the file as UTF-8"),
        (
            "prompt_id,completion\n".encode("utf-16-le"),
            "line 1 has a character NUL: UTF-16 that does not say so",
        ),
        (
            b"prompt_id;completion\np0;a; b\n",
            "line 2 has 3 cells, the header 2; quote cells that hold a semicolon",
        ),
        (b"sep=;\nprompt_id;completion\np0;a\np1;b; c\n", "line 4 has 3 cells, the header 2"),
        (b"prompt_id,completion\np0\n", "line 2 has 1 cells, the header 2"),
        (
            gzip.compress(b"prompt_id,completion\np0,a\n", mtime=0),
            "is compressed (gzip, or zip as xlsx is), no text; unpack it",
        ),
        (
            b"PK\x03\x04\x14\0",
            "is compressed (gzip, or zip as xlsx is), no text; unpack it, or give it the suffix",
        ),
        (
            b'prompt_id,completion\np0,a\np1,"b\np2,c\n',
            "line 3: a quotation mark that is opened there is never closed",
        ),
        (b'prompt_id,completion\np0,"a" b\n', "line 2: ',' expected after '\"'; double each quotation mark"),
        (
            b"Export of May\n\nprompt_id,completion\np0,a\n",
            "the columns are named in line 3, not in the first",
        ),
        (b"Export;of May\nprompt_id;completion\np0;a\n", "the columns are named in line 2, not in the first"),
    ],
)
def test_what_is_wrong_with_a_text_file_is_named(tmp_path, data, said):
    (tmp_path / "t.csv").write_bytes(data)
    assert said in refused(tmp_path / "t.csv")


# JSON lines


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_are_read_whatever_their_ends_and_encoding(tmp_path, encoding):
    path = tmp_path / "t.jsonl"
    lines = [json.dumps(row, ensure_ascii=False) for row in TABLE.to_dict("records")]
    path.write_bytes(("\r\n\r\n".join(lines) + "\r\n").encode(encoding))
    assert read(path)["completion"].tolist() == COMPLETIONS
    assert read(path).index.tolist() == [1, 3, 5, 7, 9]


def test_a_line_separator_inside_a_text_ends_no_line_and_the_last_line_may_lack_its_end(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"completion": "a\u2028b\u0085c"}', encoding="utf-8")
    assert read(tmp_path / "t.jsonl")["completion"].tolist() == ["a\u2028b\u0085c"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            '[{"completion": "a"},\n {"completion": "b"}]',
            "is one JSON list, not a JSON object a line; write each",
        ),
        ('[{"completion": "a"}]\n', "is one JSON list"),
        ('{"completion": "a"}\n{"completion": "b', "its last line, 2, is cut short"),
        (
            '{"completion": "a"}\n{"completion": "a", "completion": "b"}',
            "line 2 names 'completion' twice; leave one of them",
        ),
        (
            '{"completion": "a"}\n{"completion": "b\n',
            "1 line is no JSON object: line 2; write one object a line",
        ),
        (
            '{\n "completion": "a"\n}\n',
            "3 lines are not JSON objects: line 1, 2, 3; write one object a line, without breaks",
        ),
    ],
)
def test_what_is_wrong_with_lines_is_named(tmp_path, content, said):
    (tmp_path / "t.jsonl").write_text(content)
    assert said in refused(tmp_path / "t.jsonl")


def test_half_a_character_is_marked_and_two_halves_are_joined():
    assert tables.text("a\ud83d b") == "a\ufffd b"
    assert tables.text("\ud83d\ude42 \ude42") == "🙂 \ufffd"


# workbooks


def book(path: Path, **sheets: list[list]) -> Path:
    """A workbook with these sheets, rows of cells each."""
    made = openpyxl.Workbook()
    made.remove(made.active)
    for title, rows in sheets.items():
        sheet = made.create_sheet(title)
        for row in rows:
            sheet.append(row)
    made.save(path)
    return path


def rewritten(path: Path, change) -> Path:
    """The workbook with `change` made to the XML of its first sheet."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    name = "xl/worksheets/sheet1.xml"
    before = parts[name].decode()
    parts[name] = change(before).encode()
    assert parts[name] != before.encode()
    with zipfile.ZipFile(path, "w") as new:
        for name, data in parts.items():
            new.writestr(name, data)
    return path


ROWS = [["prompt_id", "completion"], ["p0", "a"], ["p1", "b"]]


@pytest.mark.parametrize("stated", ["A1", "A1:B2", "B3:B3", "A1:XFD1048576"])
def test_the_size_that_a_sheet_states_is_not_believed(tmp_path, stated):
    path = book(tmp_path / "t.xlsx", data=ROWS)
    rewritten(path, lambda xml: re.sub(r'<dimension ref="[^"]*"', f'<dimension ref="{stated}"', xml))
    assert read(path)["completion"].to_dict() == {2: "a", 3: "b"}


@pytest.mark.parametrize(
    "first", [[], [["Made in May"], ["by me", "and you"]], [["completion"], ["of what?"]]]
)
def test_the_sheet_that_has_the_columns_is_read(tmp_path, first):
    assert read(book(tmp_path / "t.xlsx", Notes=first, Data=ROWS))["completion"].to_dict() == {2: "a", 3: "b"}
    assert read(book(tmp_path / "t.xlsx", Data=ROWS, Notes=first))["completion"].to_dict() == {2: "a", 3: "b"}


def test_no_sheet_or_two_are_named(tmp_path):
    path = tmp_path / "t.xlsx"
    said = refused(book(path, One=ROWS, Two=ROWS))
    assert "2 sheets have the columns prompt_id or prompt, completion: One, Two; leave one of them" in said
    said = refused(book(path, One=[["id", "text"]], Two=[["x"]]))
    assert "no sheet has the columns prompt_id or prompt, completion" in said
    assert "'One' (id, text), 'Two' (x)" in said
    assert list(read(book(path, One=[["id", "text"]], Two=[]))) == ["id", "text"]
    assert read(book(path, One=[], Two=[])).empty


def test_a_header_further_below_is_named(tmp_path):
    path = tmp_path / "t.xlsx"
    assert "the columns are named in row 3, not in the first" in refused(
        book(path, Data=[["Results"], ["of May"], *ROWS])
    )
    said = refused(book(path, Notes=[["x"]], Data=[["Results"], *ROWS]))
    assert "the columns are named in sheet 'Data', row 2, not in the first" in said
    assert read(book(path, Data=[[], [], *ROWS]))["completion"].to_dict() == {4: "a", 5: "b"}, (
        "blank rows are no lines of text"
    )


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("a_x000D_\nb", "a\r\nb"),
        ("tab_x0009_stop", "tab\tstop"),
        ("_x005F_x000D_", "_x000D_"),
        ("_x005F_", "_"),
        ("_xD83D__xDE42_", "🙂"),
        ("snake_x_case _x12_ _xZZZZ_", "snake_x_case _x12_ _xZZZZ_"),
    ],
)
def test_escapes_are_read_as_excel_shows_them(tmp_path, stored, shown):
    found = read(book(tmp_path / "t.xlsx", data=[ROWS[0], ["p0", stored]]))["completion"]
    assert found.map(tables.text).tolist() == [shown]


def test_what_is_no_text_says_what_it_is(tmp_path):
    cells = ["=SUM(A1)", "#REF!", date(2021, 8, 12), True, 7, 0.5, None, "'=x"]
    found = read(
        book(tmp_path / "t.xlsx", data=[ROWS[0], *([f"p{place}", cell] for place, cell in enumerate(cells))])
    )
    assert [str(cell) for cell in found["completion"][:3]] == [
        "a formula (=SUM(A1))",
        "an error (#REF!)",
        "a date (2021-08-12 00:00:00)",
    ]
    assert found["completion"].map(tables.is_no_text).tolist() == [True] * 3 + [False] * 5
    assert [tables.text(cell) for cell in found["completion"]] == [None] * 3 + [
        "TRUE",
        "7",
        "0.5",
        None,
        "'=x",
    ]


@pytest.mark.parametrize(
    ("value", "form"), [(0.5, "0%"), (7, "000"), (5, '"$"#,##0'), (1.25, "# ?/?"), (12, "0.00E+00")]
)
def test_a_number_that_is_shown_otherwise_is_no_text(tmp_path, value, form):
    path = book(tmp_path / "t.xlsx", data=[ROWS[0], ["p0", value], ["p1", value]])
    made = openpyxl.load_workbook(path)
    made["data"]["B2"].number_format, made["data"]["B3"].number_format = form, "#,##0.00"
    made.save(path)
    found = read(path)["completion"]
    assert str(found[2]) == f"a number in a format of its own ({value} as {form})" and tables.is_no_text(
        found[2]
    )
    assert found[3] == value


def test_merged_cells_of_the_table_are_refused_and_others_are_not(tmp_path):
    path = book(tmp_path / "t.xlsx", data=[*ROWS, [None, None, None, "far away"]])
    made = openpyxl.load_workbook(path)
    made["data"].merge_cells("D1:E4")
    made.save(path)
    assert len(read(path).dropna(subset="completion")) == 2, "a merged cell beside the table does no harm"
    made["data"].merge_cells("A2:A3")
    made.save(path)
    assert "cells are merged: A2:A3; unmerge them and fill in each cell" in refused(path)


def test_hidden_rows_columns_and_sheets_count(tmp_path):
    path = book(tmp_path / "t.xlsx", Notes=[["x"]], Data=ROWS)
    made = openpyxl.load_workbook(path)
    made["Data"].row_dimensions[2].hidden = made["Data"].column_dimensions["B"].hidden = True
    made["Data"].sheet_state = "hidden"
    made.save(path)
    assert read(path)["completion"].tolist() == ["a", "b"]


def test_what_is_no_workbook_is_named(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"\xd0\xcf\x11\xe0 an old one")
    assert "is no xlsx workbook: perhaps an old .xls, locked with a password, or cut short" in refused(
        tmp_path / "t.xlsx"
    )
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as made:
        made.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    assert "is a zip file of another kind, as .ods and .xlsb are; save it anew" in refused(
        tmp_path / "t.xlsx"
    )
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as made:
        made.writestr("xl/workbook.xml", '<workbook xmlns="http://purl.oclc.org/ooxml/spreadsheetml/main"/>')
    assert "is a Strict Open XML workbook; save it anew as 'Excel workbook (xlsx)'" in refused(
        tmp_path / "t.xlsx"
    )
