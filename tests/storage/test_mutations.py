"""A slice of `make fuzz`: mutated inputs are taken or refused in words, and nothing sound is lost."""

import pytest

from lib.storage import records
from tests.proofs import fuzz


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_mutations_show_no_traceback(kind, tmp_path):
    outcomes = {seed: fuzz.fuzzed(kind, f"1.{seed}", tmp_path) for seed in range(25)}
    assert not {seed: outcome for seed, outcome in outcomes.items() if outcome.startswith("FAILED")}


@pytest.mark.parametrize(
    ("value", "is_sound"),
    [(3, True), (10**30, False), ("3", False), (True, False), ([], False), (None, False)],
)
def test_a_value_of_another_type_makes_a_damaged_record(tmp_path, capsys, value, is_sound):
    columns = {"tokens": (int,)}
    with records.Journal(tmp_path / "j.jsonl") as journal:
        journal.append([{"key": "a", "tokens": value}, {"key": "b", "tokens": 1}])
        expected = {"a", "b"} if is_sound else {"b"}
        assert journal.keys(columns) == set(journal.read(columns).index) == expected
        assert {record["key"] for record in journal.records(columns)} == expected
    assert ("1 damaged records are ignored" in capsys.readouterr().out) is not is_sound


def test_a_record_without_end_is_damaged(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"key": ' + b"[" * 200_000 + b'\n{"key": "k"}\n')
    with records.Journal(path) as journal:
        assert journal.keys() == {"k"}
