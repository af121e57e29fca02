"""A journal read in blocks says the same as one read line by line, whatever its lines and wherever cut."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.storage import journal_lines, records
from tests.conftest import ROOT

COLUMNS = ["completion", "tokens"]
ODD = [
    b"\n",
    b"{}\n",
    b"[1]\n",
    b"garbage\n",
    b'{"key": 1, "completion": "", "tokens": 1}\n',
    b'{"key": "a"}{"key": "b"}\n',
    b'{"key": "a",\n',
    b'"completion": "x", "tokens": 1}\n',
    b'{"key": "a", "completion": "\xff", "tokens": 1}\n',
    b'{"key": "a", "completion": "\x01", "tokens": 1}\n',
    b'{"key": "a", "completion": "x", "tokens": 1, "tokens": 2}\n',
    b'{"key": "older", "completion": "x"}\n',
    b'{"key": "a", "completion": "x", "tokens": NaN}\n',
    b'{"tokens": 1, "completion": null, "key": "turned"}\n',
    b'{"key": "spaced" , "completion":"x","tokens":1}\n',
]
TEXTS = st.one_of(st.text(max_size=9), st.sampled_from(['"tokens": ', '\\"completion": ', '{"key": "z"}\n']))


def line(key: str, completion: str | None) -> bytes:
    return (
        json.dumps({"key": key, "completion": completion, "tokens": 1}, ensure_ascii=False).encode() + b"\n"
    )


LINES = st.lists(
    st.one_of(
        st.sampled_from(ODD),
        st.builds(line, st.sampled_from("abcd"), TEXTS).filter(lambda made: b"\\u" not in made),
    ),
    max_size=12,
)


def said(path, among) -> tuple:
    journal = records.Journal(path)
    keys = [
        journal.keys(COLUMNS),
        journal.keys(),
        journal.keys(COLUMNS, among),
        records.journal_keys(path, among),
    ]
    tables = [journal.read(COLUMNS).to_csv(), journal.read(COLUMNS, among).to_csv()]
    return keys, tables, journal.records(["tokens"])


@settings(deadline=None)
@given(lines=LINES, block=st.integers(1, 200))
def test_in_blocks_as_line_by_line(tmp_path_factory, lines, block):
    path, among = tmp_path_factory.mktemp("journal") / "j.jsonl", ["a", "turned", "unknown"]
    path.write_bytes(b"".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_lines, "keys_of", lambda block, columns: None)
        expected = said(path, among)
        patch.undo()
        patch.setattr(journal_lines, "BLOCK", block)
        assert said(path, among) == expected
    assert expected[0][2] == expected[0][0] & {*among}


def test_a_column_that_stands_twice_in_one_line_makes_up_for_none_in_another():
    twice, none = (b'{"key": "a", "tokens": 1, "tokens": 2}\n', b'{"key": "b", "completion": "x"}\n')
    assert journal_lines.keys_of(twice + none, ["tokens"]) is None


def test_whole_records_are_read_at_once():
    block = b"".join(line(str(number), '"tokens": ü') for number in range(50))
    assert journal_lines.keys_of(block, COLUMNS) == [str(number) for number in range(50)]
    assert journal_lines.keys_of(block, ["outcome"]) is None


@pytest.mark.parametrize("odd", ODD[:11])
def test_a_block_with_an_odd_line_is_not(odd):
    assert journal_lines.keys_of(line("a", "x") + odd + line("b", "y"), COLUMNS) is None


@pytest.mark.parametrize("block", [1, 7, 64, 4096])
@pytest.mark.parametrize("torn", [b"", b"{", line("c", "x" * 300)[:-1]])
@pytest.mark.parametrize("whole", [b"", line("a", "x") + line("b", "y")])
def test_only_the_end_of_a_journal_is_looked_at(tmp_path, monkeypatch, whole, torn, block):
    path = tmp_path / "j.jsonl"
    path.write_bytes(whole + torn)
    monkeypatch.setattr(journal_lines, "BLOCK", block)
    file = os.open(path, os.O_RDONLY)
    assert journal_lines.end_of_records(file) == len(whole)
    os.close(file)


def test_what_is_sought_bounds_the_memory(tmp_path):
    path = tmp_path / "j.jsonl"
    with path.open("wb") as file:
        file.writelines(line(f"{number:064x}", "a text of some length") for number in range(400_000))
    code = (
        "import resource; from pathlib import Path; from lib.storage.records import Journal\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"with Journal(Path({str(path)!r})) as journal: found = journal.keys(['tokens'], ['{7:064x}'])\n"
        "print(len(found), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    found, grown = map(int, done.stdout.split())
    assert found == 1
    assert grown * 1024 < path.stat().st_size
