"""No pickle is read: not from outputs, not from the cache, not from data, whatever its name promises.

That no module calls a reader of pickles is checked by `ruff`, too: see its rules S… in pyproject.toml.
"""

import json
import pickle
import re
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from lib.claims import second_judge
from lib.cli import fit_judge
from lib.config import specs
from lib.judging import verdicts
from lib.mining import mining_job, neutrality
from lib.models import ladder_training
from lib.runtime.errors import DataError, UserError
from lib.storage import records, tables
from tests.conftest import ROOT


class Malicious:
    """Pickled, it writes a file when it is read."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.fixture
def trace(tmp_path):
    """A file that is there once a pickle was read."""
    path = tmp_path / "read"
    pickle.loads(pickle.dumps(Malicious(path)))
    assert path.exists(), "the trap works"
    path.unlink()
    yield path
    assert not path.exists(), "a pickle was read"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def planted(path: Path, trace: Path) -> None:
    """In the place of a file of the cache: an array of objects for numpy, else the bare pickle."""
    if path.suffix == ".npz":
        np.savez(path, **dict.fromkeys(("weights", "own", "train"), np.array([Malicious(trace)])))
    elif path.suffix == ".npy":
        np.save(path, np.array([Malicious(trace)]))
    else:
        path.write_bytes(pickle.dumps(Malicious(trace)))


def test_no_option_of_a_reader_allows_pickles_or_code():
    sources = [*(ROOT / "lib").rglob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")]
    texts = [path.read_text() for path in sources]
    text = "\n".join(texts)
    assert len(texts) > 200
    assert not re.search(
        r"allow_pickle|weights_only|load_pickle|import (joblib|dill|shelve|marshal|pickle)", text
    )
    assert set(re.findall(r"trust_remote_code\s*=\s*(\w+)", text)) == {"False"}
    assert not re.search(r"\btorch\.load\b|\bread_pickle\b|\bdiskcache\b", text)


def test_cached_arrays(cache, trace, monkeypatch):
    texts = pd.DataFrame({"text": ["x"], "domain": ["d"]})
    monkeypatch.setattr(neutrality, "training_texts", lambda: texts)
    monkeypatch.setattr(neutrality, "fit", lambda _: (np.zeros(1), np.zeros(1)))
    neutrality.learnt.__wrapped__()
    (path,) = cache.glob("*.npz")
    planted(path, trace)
    with pytest.raises(DataError, match=rf"^{path}: is damaged .*pickle"):
        neutrality.learnt.__wrapped__()


def test_cached_features_of_the_judge(cache, trace, monkeypatch):
    monkeypatch.setattr(fit_judge, "read_all", lambda texts, read: np.zeros((1, 1)))
    fit_judge.design_of_all(["x"])
    (path,) = cache.glob("*.npy")
    planted(path, trace)
    with pytest.raises(DataError, match=rf"^{path}: is damaged .*pickle"):
        fit_judge.design_of_all(["x"])


@pytest.mark.parametrize("name", ["blocks.npz", ladder_training.AUGMENTED])
def test_blocks_of_the_ladder(tmp_path, trace, name):
    planted(tmp_path / "blocks.npz", trace)
    planted(tmp_path / name, trace)
    with pytest.raises(ValueError, match="pickle"):
        ladder_training.to_learn(tmp_path)


def test_a_cached_threshold(cache, trace, monkeypatch):
    monkeypatch.setattr(second_judge.rated_threshold, "threshold", lambda judge: 1.0)
    assert second_judge.threshold() == 1.0
    (path,) = cache.glob("*.json")
    planted(path, trace)
    with pytest.raises(DataError, match=rf"^{path}: is damaged"):
        second_judge.threshold()


def test_stored_verdicts(cache, trace):
    verdicts.cached("a", ["x"], lambda texts: np.ones(len(texts)))
    with sqlite3.connect(verdicts.path("a")) as file:
        file.execute("UPDATE verdicts SET valence = ?", [pickle.dumps(Malicious(trace))])
    assert verdicts.cached("a", ["x"], lambda texts: np.full(len(texts), 2.0)) == [2.0]


def test_tables_of_a_run(tmp_path, trace, monkeypatch):
    monkeypatch.setattr(records, "ROOT", tmp_path)
    path = records.table_path("mine", "prompts")
    path.parent.mkdir(parents=True)
    planted(path, trace)
    with pytest.raises(DataError, match=r"prompts\.parquet: is damaged"):
        records.read_table("mine", "prompts")
    _with_a_python_type(path, trace)
    assert len(records.read_table("mine", "prompts")) == 1


def _with_a_python_type(path: Path, trace: Path) -> None:
    """A table with a column of a type that older versions of pyarrow unpickled."""
    name, serialized = b"arrow.py_extension_type", pickle.dumps(Malicious(trace))
    about = {b"ARROW:extension:name": name, b"ARROW:extension:metadata": serialized}
    schema = pa.schema([pa.field("prompt_id", pa.string(), metadata=about)])
    pyarrow.parquet.write_table(pa.table({"prompt_id": ["x"]}, schema=schema), path)


def test_candidates_of_mining(tmp_path, trace):
    for name in ("candidates", "completions"):
        (tmp_path / name).mkdir()
    path = tmp_path / "candidates" / "000_00000.parquet"
    _with_a_python_type(path, trace)
    assert len(mining_job.candidates(tmp_path)) == 1
    planted(path, trace)
    with pytest.raises(DataError, match="damaged, and removed"):
        mining_job.candidates(tmp_path)


@pytest.mark.parametrize("suffix", sorted(tables.READERS))
def test_tables_of_others(tmp_path, trace, suffix):
    path = tmp_path / f"mine{suffix}"
    planted(path, trace)
    try:
        tables.read(str(path), (), "models")
    except UserError as error:
        assert str(error).startswith("models: ")
    if suffix == ".parquet":
        _with_a_python_type(path, trace)
        assert len(tables.read(str(path), (), "models")[0]) == 1


def test_a_journal(tmp_path, trace):
    path = tmp_path / "j.jsonl"
    planted(path, trace)
    with records.Journal(path) as journal:
        assert journal.keys() == set()


def test_suffixes_of_pickles_are_no_tables(tmp_path):
    (tmp_path / "mine.pkl").write_bytes(b"")
    with pytest.raises(specs.ParameterError, match=r"unknown suffix '\.pkl'"):
        tables.read(str(tmp_path / "mine.pkl"), (), "models")
    assert not {".pkl", ".pickle", ".npy", ".pt", ".bin"} & tables.READERS.keys()


def test_what_the_project_ships_holds_no_pickle():
    shipped = [path for path in (ROOT / "lib" / "data").rglob("*") if path.is_file()]
    assert {path.suffix for path in shipped}.isdisjoint(
        {".pkl", ".pickle", ".npy", ".npz", ".pt", ".bin", ".joblib"}
    )
    assert all(json.loads(path.read_text()) for path in shipped if path.suffix == ".json")
