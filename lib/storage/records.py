"""The paths of a run's files, and the only code that writes them: tables, texts and journals.

A table appears complete or not at all, because it is written to a temporary file and then renamed. A journal
only grows: it has one JSON record per line and is flushed to disk batch by batch, so that a killed run loses
at most the current batch. A last record that was cut short is removed when the journal is reopened.
"""

import fcntl
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow.parquet
from filelock import FileLock, Timeout

from lib.config.specs import ROOT, check_set_name
from lib.runtime import progress
from lib.runtime.errors import DataError, ResourceError
from lib.storage import caching, journal_lines

SOURCES = {
    "prompts": "01_dataset",
    "sources": "01_dataset",
    "mining": "01_dataset",
    "completions": "02_generation",
    "next_token": "02_generation",
    "judgements": "03_judging",
    "quantities": "03b_leakage",
    "validity": "04_human_agreement",
    "annotation_key": "04_human_agreement",
    "people/agreement": "04_human_agreement",
    "people/quantities": "04d_labels",
    "llm_sample": "04e_llm_judge",
    "claims/agreement": "04_human_agreement",
    "claims/scaling": "05_scaling_analysis",
    "claims/mitigation": "06_prompting_mitigation_ablation",
    "interventions": "06b_interventions",
    "controls": "06b_interventions",
    "costs": "06b_interventions",
    "layers": "06b_interventions",
    "strategies": "06c_mitigation_compared",
    "claims/interventions": "06c_mitigation_compared",
}
_NEEDED = {
    "completions": ("outcome", "note"),
    "judgements": ("outcome", "note"),
    "claims": ("fault", "verdict_vader"),
}  # columns that older tables lack
_LIMIT = 2**63  # of the whole numbers of a table
# names of columns; as keys of a mapping, with the types that their values may have
Columns = Sequence[str] | Mapping[str, tuple[type, ...]]


def run_folder(set_name: str) -> Path:
    """The folder outputs/<set_name>/ of this project, whatever the working directory.

    Raises:
        ParameterError: If no set can have this name, as it could lead out of outputs/.
    """
    check_set_name(set_name)
    return ROOT / "outputs" / set_name


def table_path(set_name: str, table: str) -> Path:
    """Path of a table of one run, such as 'prompts' or 'judgements/<model>'."""
    return run_folder(set_name) / f"{table}.parquet"


def replies_path(set_name: str, model_name: str, judge_name: str) -> Path:
    """Path of the journal of a judge's replies about a model's completions."""
    return run_folder(set_name) / "replies" / f"{model_name}--{judge_name}.jsonl"


@contextmanager
def explained(path: Path):
    """Turn a bare OSError of the block into one that names the file and says what to do."""
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"{_shown(path)}: cannot write ({error.strerror or error}); "
            "make room or make the folder writable, then run again: what is finished is kept"
        ) from error


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing."""
    with _replaced(path) as tmp_path:
        tmp_path.write_text(text, encoding="utf-8")


def write_table(set_name: str, table: str, frame: pd.DataFrame) -> Path:
    """Write a whole table as parquet, or nothing.

    Returns:
        Its path.
    """
    path = table_path(set_name, table)
    with _replaced(path) as tmp_path:
        frame.to_parquet(tmp_path, index=False)
    return path


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    with explained(path), caching.whole(path, str(os.getpid())) as tmp_path:
        yield tmp_path


def read_table(
    set_name: str, table: str, any_version: bool = False, columns: Iterable[str] | None = None
) -> pd.DataFrame:
    """Read a table of a run.

    Args:
        set_name: The parameter set.
        table: Such as 'prompts' or 'judgements/<model>'.
        any_version: Whether a table that an older version wrote is accepted.
        columns: The columns that are read, those of them that the table has; None for all.

    Raises:
        FileNotFoundError: If it is missing; the message names the notebook that writes it.
        ValueError: If it is damaged, or if an older version wrote it, unless `any_version`.
    """
    path, kind = table_path(set_name, table), table.split("/")[0]
    notebook = f"notebooks/{SOURCES.get(table) or SOURCES.get(kind)}.ipynb"
    if not path.exists():
        raise FileNotFoundError(f"{_shown(path)} is missing: run {notebook} with the same set_name first")
    with caching.undamaged(_shown(path)):
        names = pyarrow.parquet.read_schema(path).names
    if missing := [name for name in _NEEDED.get(kind, ()) if name not in names and not any_version]:
        raise DataError(
            f"{_shown(path)} has no column {' and no column '.join(map(repr, missing))}: an older version "
            "wrote it\n"
            f"run {notebook} with the same set_name again"
        )
    wanted = None if columns is None else [*filter({*columns}.__contains__, names)]
    with caching.undamaged(_shown(path)):
        return pd.read_parquet(path, columns=wanted)


def models_with(set_name: str, table: str, model_names: list[str]) -> list[str]:
    """The models of a run that have a table, such as "interventions", in their order."""
    folder = run_folder(set_name) / table
    return [name for name in model_names if (folder / f"{name}.parquet").exists()]


def read_models(
    set_name: str,
    table: str,
    model_names: list[str],
    any_version: bool = False,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read the tables '<table>/<model>' of several models into one; see `read_table`."""
    tables = [read_table(set_name, f"{table}/{name}", any_version, columns) for name in model_names]
    return pd.concat(tables, ignore_index=True)


def read_available(
    set_name: str | None, table: str, model_names: list[str], like: pd.DataFrame
) -> pd.DataFrame:
    """As `read_models`, for those models whose table exists in another run.

    Args:
        set_name: The parameter set of the other run; None if there is none.
        table: The kind of table.
        model_names: The models.
        like: A table with the same columns, which is returned without rows if no table exists.
    """
    available = [
        name for name in model_names if set_name and table_path(set_name, f"{table}/{name}").exists()
    ]
    return read_models(set_name, table, available) if set_name and available else like.iloc[:0]


def check_writable(folder: Path) -> None:
    """Check that files can be written to `folder`.

    Raises:
        OSError: If not; the message says what to do.
    """
    probe = folder / f".probe.{os.getpid()}"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"0" * 65536)
        finally:
            probe.unlink(missing_ok=True)


@contextmanager
def only_run(folder: Path):
    """Lock the run folder against other runs, after waiting for an earlier one.

    Yields:
        A file descriptor; the lock lasts as long as a process that inherits it.
    """
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"an earlier run of {folder.name} still works in the background; waiting for it to end",
                flush=True,
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def journal_keys(path: Path, among: Iterable[str] | None = None) -> set[str]:
    """The keys of a journal's valid records, without locking it; empty if there is no journal.

    Args:
        path: The journal.
        among: The keys that are looked for, which bounds the memory; None for all.
    """
    return _keys(path, (), among)[0] if path.exists() else set()


def _keys(path: Path, columns: Columns, among: Iterable[str] | None) -> tuple[set[str], int, int]:
    """The keys of records that have the columns, and how many lines are damaged or lack a column."""
    sought = None if among is None else set(among)
    damaged: list[bytes] = []
    found: set[str] = set()
    older = 0
    for block in journal_lines.blocks(path):
        keys = journal_lines.keys_of(block, columns)
        if keys is None:
            records = list(_records(block, damaged))
            whole = [record for record in records if record.keys() >= {*columns}]
            older += len(records) - len(whole)
            keys = [record["key"] for record in whole if _is_sound(record, columns)]
            damaged += [b""] * (len(whole) - len(keys))
        found.update(keys if sought is None else sought.intersection(keys))
    return found, len(damaged), older


def _records(lines: bytes, damaged: list[bytes]) -> Iterator[dict]:
    """The records of some lines of a journal; lines that are not records are added to `damaged`."""
    for line in io.BytesIO(lines):
        try:
            record = json.loads(line)
            if not isinstance(record["key"], str):
                raise TypeError("a key that is no text")
        except (ValueError, TypeError, KeyError, RecursionError):
            damaged.append(line)
        else:
            yield record


def _is_sound(record: dict, columns: Columns) -> bool:
    """Whether a record has these columns, and in them values of their types, if these are told."""
    if not record.keys() >= {*columns}:
        return False
    if not isinstance(columns, Mapping):
        return True
    values = [(record[name], types) for name, types in columns.items()]
    return all(type(value) in types and not _is_too_large(value) for value, types in values)


def _is_too_large(value) -> bool:
    return type(value) is int and abs(value) >= _LIMIT


class Journal:
    """An append-only file of JSON records, each with a `key`, open to one process at a time.

    It is used as `with Journal(path) as journal`.

    Args:
        path: The file.
        patience: Seconds to wait for another process; then TimeoutError is raised.
    """

    def __init__(self, path: Path, patience: float = 3600):
        self.path = path
        self._lock = FileLock(f"{path}.lock", timeout=patience)
        self._file: int | None = None

    def __enter__(self) -> "Journal":
        with explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._wait()
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._cut_torn_record(self._file)
        return self

    def __exit__(self, *exception) -> None:
        if self._file is not None:
            os.close(self._file)
        self._lock.release()

    def _wait(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            progress.message(f"another process is writing {_shown(self.path)}; waiting for it to end")
            try:
                self._lock.acquire()
            except Timeout:
                raise TimeoutError(
                    f"{_shown(self.path)}: still in use by another process; stop it and run again"
                ) from None

    def _cut_torn_record(self, file: int) -> None:
        end = journal_lines.end_of_records(file)
        if end < os.fstat(file).st_size:
            progress.message(
                f"{_shown(self.path)}: its last record was cut short; it is dropped and made again"
            )
            os.ftruncate(file, end)

    def keys(self, columns: Columns = (), among: Iterable[str] | None = None) -> set[str]:
        """The key of every record that has these columns, with values of their types.

        Records of an older version and damaged lines are reported, and treated as never written.

        Args:
            columns: The columns.
            among: The keys that are looked for, which bounds the memory; None for all.
        """
        keys, damaged, older = _keys(self.path, columns, among)
        for count, kind in ((damaged, "damaged records"), (older, "records of an older version")):
            if count:
                progress.message(
                    f"{_shown(self.path)}: {count} {kind} are ignored, and made again if they are asked for"
                )
        return keys

    def _complete(self, columns: Columns, among: Iterable[str] | None = None) -> Iterator[dict]:
        """The records that have these columns, soundly, and one of the keys, in their order."""
        sought = None if among is None else set(among)
        for block in journal_lines.blocks(self.path):
            if sought is not None and (keys := journal_lines.keys_of(block, columns)) is not None:
                lines = zip(keys, io.BytesIO(block), strict=True)
                block = b"".join(line for key, line in lines if key in sought)
            for record in _records(block, []):
                if _is_sound(record, columns) and (sought is None or record["key"] in sought):
                    yield record

    def records(self, columns: Columns) -> list[dict]:
        """Every record that has these columns; of several with the same key the last."""
        return list({record["key"]: record for record in self._complete(columns)}.values())

    def read(self, columns: Columns, among: Iterable[str] | None = None) -> pd.DataFrame:
        """Read these columns of every record that has all of them.

        Damaged lines are skipped.

        Args:
            columns: The columns.
            among: The keys of the records that are read; None for all.

        Returns:
            A table indexed by key. Of several records with the same key, it holds the last.
        """
        records = self._complete(columns, among)
        rows = {record["key"]: tuple(record[name] for name in columns) for record in records}
        return pd.DataFrame(rows.values(), index=pd.Index(rows, name="key"), columns=list(columns))

    def append(self, records: list[dict]) -> None:
        """Append records, and return once they are on disk.

        Raises:
            OSError: If they cannot be written, for example because the disk is full; then none of them stays.
        """
        data = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
        file = self._file
        assert file is not None
        start = os.fstat(file).st_size
        with explained(self.path):
            try:
                n_written = 0
                while n_written < len(data):
                    n_written += os.write(file, data[n_written:])
                os.fsync(file)
            except OSError:
                os.ftruncate(file, start)
                raise
