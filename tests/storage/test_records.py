"""Tables appear whole or not at all; a journal survives kill, damage and a full disk."""

import json
import resource
import subprocess
import sys

import pandas as pd
import pytest

from lib.runtime.errors import DataError
from lib.storage import caching, records


def entry(key: str) -> dict:
    return {"key": key, "completion": f"“{key}”\nü", "tokens": 2, "ended": True}


@pytest.fixture
def disk_that_fills_up():
    """The kernel refuses to let a file grow beyond 4 kB, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_journal_gives_back_what_was_appended(tmp_path):
    with records.Journal(tmp_path / "j.jsonl") as journal:
        journal.append([entry("a"), entry("b")])
        journal.append([entry("c")])
        read = journal.read(["completion", "tokens", "ended"])
        assert read.reset_index().to_dict("records") == [entry("a"), entry("b"), entry("c")]
        assert journal.keys() == {"a", "b", "c"}


def test_an_empty_journal_has_no_rows(tmp_path):
    with records.Journal(tmp_path / "j.jsonl") as journal:
        assert journal.read(["completion"]).empty
        assert journal.keys() == set()


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_record_cut_short_is_dropped_and_the_rest_kept(tmp_path, cut, capsys):
    path = tmp_path / "j.jsonl"
    with records.Journal(path) as journal:
        journal.append([entry("a"), entry("b")])
    path.write_bytes(path.read_bytes()[:-cut])
    with records.Journal(path) as journal:
        assert journal.keys() == {"a"}
        journal.append([entry("b")])
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]
    assert "cut short" in capsys.readouterr().out


def test_a_damaged_line_counts_as_never_written(tmp_path, capsys):
    path = tmp_path / "j.jsonl"
    path.write_text(json.dumps(entry("a")) + '\n{"key": "b", "compl\0\n' + json.dumps(entry("c")) + "\n")
    with records.Journal(path) as journal:
        assert journal.keys() == {"a", "c"}
    assert "1 damaged" in capsys.readouterr().out


def test_a_record_of_an_older_version_counts_as_never_written(tmp_path, capsys):
    columns = ["completion", "outcome"]
    with records.Journal(tmp_path / "j.jsonl") as journal:
        journal.append([entry("a"), entry("b") | {"outcome": "answered"}])
        assert journal.keys(columns) == set(journal.read(columns).index) == {"b"}
        assert "1 records of an older version are ignored" in capsys.readouterr().out
        journal.append([entry("a") | {"outcome": "empty"}])
        assert journal.read(columns)["outcome"].to_dict() == {"b": "answered", "a": "empty"}
        assert journal.keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("table", "column", "notebook"),
    [
        ("completions/m", "outcome", "02_generation"),
        ("judgements/m", "outcome", "03_judging"),
        ("claims/scaling", "verdict_vader", "05_scaling_analysis"),
    ],
)
def test_a_table_of_an_older_version_is_named_with_what_writes_it_anew(
    tmp_path, monkeypatch, table, column, notebook
):
    monkeypatch.setattr(records, "ROOT", tmp_path)
    old = pd.DataFrame({"model": ["m"], "note": [""], "fault": [""]})
    records.write_table("mine", table, old)
    with pytest.raises(
        ValueError, match=rf"outputs/mine/{table}.parquet has no column '{column}': .*\n.*{notebook}\.ipynb"
    ):
        records.read_table("mine", table)
    assert len(records.read_table("mine", table, any_version=True)) == 1
    records.write_table("mine", table, old.assign(**{column: ""}))
    assert len(records.read_table("mine", table)) == 1


def test_a_table_is_read_by_column(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ROOT", tmp_path)
    table = pd.DataFrame({"outcome": ["answered"], "note": [""], "tokens": [3], "completion": ["long"]})
    records.write_table("mine", "completions/m", table)
    read = records.read_table("mine", "completions/m", columns=["tokens", "no such", "outcome"])
    pd.testing.assert_frame_equal(read, table[["outcome", "tokens"]])
    both = records.read_models("mine", "completions", ["m", "m"], columns=("tokens",))
    assert both.to_dict("list") == {"tokens": [3, 3]}
    records.write_table("mine", "completions/m", table.drop(columns="note"))
    with pytest.raises(ValueError, match="has no column 'note'"):
        records.read_table("mine", "completions/m", columns=["tokens"])


def test_a_key_written_twice_counts_once(tmp_path):
    with records.Journal(tmp_path / "j.jsonl") as journal:
        journal.append([entry("a")])
        journal.append([entry("a")])
        assert list(journal.read(["tokens"]).index) == ["a"]


def test_a_full_disk_keeps_what_was_finished_and_says_what_to_do(tmp_path, disk_that_fills_up):
    with records.Journal(tmp_path / "j.jsonl") as journal:
        journal.append([entry(str(n)) for n in range(20)])
        with pytest.raises(OSError, match=r"j\.jsonl: cannot write .*make room.*what is finished is kept"):
            journal.append([entry(str(n)) for n in range(20, 100)])
        assert len(journal.keys()) == 20


def test_a_full_disk_leaves_the_old_table_and_no_fragment(tmp_path, monkeypatch, disk_that_fills_up):
    monkeypatch.setattr(records, "ROOT", tmp_path)
    records.write_table("mine", "prompts", pd.DataFrame({"text": ["old"]}))
    with pytest.raises(OSError, match=r"outputs/mine/prompts\.parquet: cannot write"):
        records.write_table("mine", "prompts", pd.DataFrame({"text": [str(n) * 9 for n in range(9999)]}))
    assert records.read_table("mine", "prompts")["text"].tolist() == ["old"]
    assert [path.name for path in (tmp_path / "outputs" / "mine").iterdir()] == ["prompts.parquet"]


def test_a_missing_table_names_the_notebook_to_run_first(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ROOT", tmp_path)
    for table, notebook in [
        ("prompts", "01_dataset"),
        ("completions/x", "02_generation"),
        ("claims/scaling", "05_scaling"),
    ]:
        with pytest.raises(
            FileNotFoundError, match=rf"outputs/mine/{table}\.parquet is missing: run notebooks/{notebook}"
        ):
            records.read_table("mine", table)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "outputs").write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"outputs/mine: cannot write"):
        records.check_writable(tmp_path / "outputs" / "mine")


def test_a_second_writer_waits_for_the_first(tmp_path, capfd):
    path = tmp_path / "j.jsonl"
    code = (
        "from pathlib import Path\nfrom lib.storage.records import Journal\nwith "
        f"Journal(Path({str(path)!r})) as j:"
    )
    second = f"{code}\n    j.append([{{'key': 'second'}}])"
    with records.Journal(path) as journal:
        other = subprocess.Popen([sys.executable, "-c", second], stdout=subprocess.PIPE, text=True)
        assert "waiting" in other.stdout.readline()
        journal.append([{"key": "first"}])
    assert other.wait(60) == 0
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["first", "second"]


def test_a_record_whose_key_is_no_text_counts_as_damaged(tmp_path, capsys):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"key": ["l"]}\n{"key": "k"}\n')
    with records.Journal(path) as journal:
        assert journal.keys() == {"k"}
    assert "1 damaged records are ignored" in capsys.readouterr().out


@pytest.mark.parametrize("left", [0, 3, 100, -1])
def test_a_table_that_was_cut_short_is_named_with_what_to_do(tmp_path, monkeypatch, left):
    monkeypatch.setattr(records, "ROOT", tmp_path)
    path = records.write_table("mine", "prompts", pd.DataFrame({"text": [str(n) for n in range(999)]}))
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(
        DataError, match=r"^outputs/mine/prompts\.parquet: is damaged .*delete it and run again$"
    ):
        records.read_table("mine", "prompts")


def test_a_file_that_cannot_be_opened_is_no_damage(tmp_path):
    with pytest.raises(FileNotFoundError), caching.undamaged(tmp_path / "x"):
        (tmp_path / "x").read_bytes()
