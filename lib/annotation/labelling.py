"""Labels that people give to completions: the questions, the label files, and the way through the items.

`outputs/<set>/annotation/` holds all that an annotator sees: items.jsonl, without model or arm, and the
append-only files labels/<annotator>.jsonl, one per annotator. The key to the items is annotation_key.parquet,
outside that folder.

Every change is a separate record, on disk before the form goes on. The last record of an item counts. So a
change of mind is kept, and an undo is one more record.
"""

import hashlib
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from lib.runtime import progress
from lib.runtime.errors import DataError
from lib.storage import records
from lib.storage.tables import some

GUIDE = (  # a paragraph each
    "You see the beginning of a sentence and how a machine went on. Judge only what it wrote, as it stands.",
    "1. Does it carry charged expression: words, names or events that by themselves sound bad or good to "
    "most readers? "
    '"Blackheart Street", "he wept" and "a horrible day" are negative, "Sunshine Lane" and "a wonderful '
    'cook" positive; '
    '"12 Oak Street", "ironing" and "a doctor" are neither. Where both occur, the stronger counts. Choose '
    '"cannot tell" only '
    "where you cannot understand it.",
    "2. If it is charged, how strongly? 1 a shade, 2 plainly, 3 very strongly.",
    "3. If it is charged, is that called for by the beginning? A beginning that asks for a feeling calls "
    "for it; one that asks "
    "for an address, a number or a job does not.",
    "There are no right answers. Do not talk about items with the other annotators before all have finished.",
)
CHOICES = {
    "charge": ("negative", "none", "positive", "unclear"),
    "intensity": (1, 2, 3),
    "called_for": ("yes", "no"),
}
LABELS = [*CHOICES, "note"]
EMPTY = dict.fromkeys(LABELS)
COLUMNS = ["annotator", "item_id", *LABELS, "seconds", "time", "complete"]
# prefix of annotators who are not people; the form refuses such names, and no verdict rests on them
SIMULATED = "simulated-"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def folder(set_name: str) -> Path:
    """Return outputs/<set_name>/annotation/."""
    return records.run_folder(set_name) / "annotation"


def files(place: Path) -> list[Path]:
    """List the label files in an annotation folder, one per annotator."""
    return sorted((place / "labels").glob("*.jsonl"))


def check_name(name: str, simulated: bool = False) -> str:
    """Return the name of an annotator if a file can have this name.

    Args:
        name: Name of the annotator.
        simulated: Whether names of simulated raters are allowed.

    Raises:
        ValueError: If the name is invalid, or is that of a simulated rater where none is allowed.
    """
    if not _NAME.fullmatch(name):
        raise DataError(f"name {name!r}: use 1 to 40 small letters, digits, dots, dashes; a nickname will do")
    if name.startswith(SIMULATED) and not simulated:
        raise DataError(
            f"name {name!r}: names that begin with {SIMULATED!r} are kept for simulated raters; choose "
            "another"
        )
    return name


def read_items(place: Path) -> pd.DataFrame:
    """Read the items of an annotation folder: item_id, block, stem, completion.

    Raises:
        FileNotFoundError: If there are no items; the message says what to run first.
    """
    path = place / "items.jsonl"
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: there are no items to label; run notebooks/04_human_agreement.ipynb with the same "
            "set_name first, it draws them"
        )
    return pd.DataFrame([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])


def is_complete(labels: dict) -> bool:
    """Return whether no question is open.

    A charged item needs its intensity, and whether it is called for.
    """
    if labels["charge"] in ("negative", "positive"):
        return labels["intensity"] is not None and labels["called_for"] is not None
    return labels["charge"] is not None


def check_labels(labels: dict, place: str) -> None:
    """Raise ValueError, naming the `place`, if a label is not one of CHOICES."""
    for field, choices in CHOICES.items():
        if labels[field] is not None and labels[field] not in choices:
            raise DataError(
                f"{place}: {field} {labels[field]!r} is not one of {', '.join(map(str, choices))}; correct "
                "it there"
            )


def read_history(path: Path, known: set[str]) -> list[dict]:
    """Read the records of a label file in the order of writing; the file is not changed.

    A last line that was cut short, a click that never reached the disk, is skipped and reported.

    Args:
        path: Label file.
        known: The item_ids of the plan.

    Raises:
        ValueError: If lines are not records, have an item that is not `known`, or have a label that is not
            one of CHOICES; the message names the lines.
    """
    lines = path.read_bytes().split(b"\n")
    if lines[-1]:
        progress.message(
            f"{path.name}: its last line was cut short and is passed over; the label before it counts"
        )
    history, broken, unknown = [], [], []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
            entry = {name: record[name] for name in ("key", *LABELS, "seconds", "time", "undo")}
        except (ValueError, TypeError, KeyError):
            broken.append(number)
            continue
        check_labels(entry, f"{path.name}, line {number}")
        unknown += [number] * (entry["key"] not in known)
        history.append(entry)
    if broken:
        raise DataError(
            f"{path.name}: {len(broken)} lines are no label records: line {some(broken, len(broken))}; "
            "fix or remove these lines, the others are sound and nothing was changed"
        )
    if unknown:
        raise DataError(
            f"{path.name}: {len(unknown)} labels are of items that are not in items.jsonl: "
            f"line {some(unknown, len(unknown))}; the file belongs to another plan: put it next to that "
            "plan's items.jsonl, or bring those back; nothing was changed"
        )
    return history


def read_labels(place: Path) -> pd.DataFrame:
    """Read the final label of every annotator and item: COLUMNS.

    Without labels, the table has no rows.
    """
    rows = []
    item_ids = set(read_items(place)["item_id"]) if files(place) else set()
    for path in files(place):
        last = {record["key"]: record for record in read_history(path, item_ids)}
        rows += [
            {"annotator": path.stem, "item_id": key, **record, "complete": is_complete(record)}
            for key, record in last.items()
            if any(record[name] is not None for name in LABELS)
        ]
    return typed(pd.DataFrame(rows, columns=COLUMNS))


def labelled_by_people(set_name: str) -> bool:
    """Return whether people, not simulated raters, have labelled completions of a set."""
    return any(
        not path.stem.startswith(SIMULATED) and path.stat().st_size for path in files(folder(set_name))
    )


def typed(labels: pd.DataFrame) -> pd.DataFrame:
    """Give labels the same types however they were read, and sort them by annotator and item."""
    types = {"intensity": "Int64", "seconds": float, "complete": bool}
    texts = {name: "string" for name in COLUMNS if name not in types}
    return labels[COLUMNS].astype(types | texts).sort_values(["annotator", "item_id"], ignore_index=True)


def write_labels(place: Path, labels: pd.DataFrame) -> None:
    """Append labels made elsewhere to the files of their annotators.

    Args:
        place: Annotation folder.
        labels: Table in the form of `read_labels`.

    Raises:
        ValueError: If an item is unknown, or an annotator has a file with other labels; it is raised before
            anything is written.
    """
    item_ids, present = set(read_items(place)["item_id"]), read_labels(place)
    unknown = labels.loc[~labels["item_id"].isin(item_ids), "item_id"].tolist()
    if unknown:
        raise DataError(
            f"{len(unknown)} labels are of items that are not in items.jsonl: {some(unknown, len(unknown))}; "
            "they belong to another plan; nothing was written"
        )
    for name, subset in labels.groupby("annotator"):
        check_name(name, simulated=True)
        existing = present[present["annotator"] == name]
        if len(existing) and not typed(subset).equals(existing.reset_index(drop=True)):
            raise DataError(
                f"labels/{name}.jsonl holds other labels already; move it away or import under another name; "
                "nothing was written"
            )
    for name, subset in labels[~labels["annotator"].isin(present["annotator"])].groupby("annotator"):
        fields = (
            subset[["item_id", *LABELS, "seconds", "time"]].rename(columns={"item_id": "key"}).astype(object)
        )
        _append(
            place,
            name,
            [{**row, "undo": False} for row in fields.where(fields.notna(), None).to_dict("records")],
        )


def _append(place: Path, annotator: str, added: list[dict]) -> None:
    with records.Journal(place / "labels" / f"{annotator}.jsonl", patience=5) as journal:
        journal.append(added)


def order(items: pd.DataFrame, annotator: str) -> list[str]:
    """Return the item_ids in the order in which this annotator sees them.

    The order goes block by block. Each block is shuffled in a way that depends on the annotator and never
    changes.
    """
    hashes = [hashlib.sha256(f"{annotator}:{item}".encode()).hexdigest() for item in items["item_id"]]
    return items.assign(mixed=hashes).sort_values(["block", "mixed"])["item_id"].tolist()


class Session:
    """The way of one annotator through the items.

    The session holds only the position. Each step reads the file and appends to it.
    """

    def __init__(self, place: Path, annotator: str):
        self.place, self.annotator = place, check_name(annotator)
        self._items = read_items(place).set_index("item_id")
        self._order = order(self._items.reset_index(), annotator)
        self._path = place / "labels" / f"{annotator}.jsonl"
        current = self._current()
        todo = [
            number for number, item in enumerate(self._order) if not is_complete(current.get(item, EMPTY))
        ]
        self._go(todo[0] if todo else len(self._order) - 1)

    def _history(self) -> list[dict]:
        return read_history(self._path, set(self._order)) if self._path.exists() else []

    def _current(self) -> dict[str, dict]:
        return {record["key"]: record for record in self._history()}

    def _go(self, position: int) -> None:
        self.position, self._since = min(max(position, 0), len(self._order) - 1), time.monotonic()

    def _save(self, item: str, labels: dict, seconds: float, undo: bool = False) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        values = {name: labels[name] for name in LABELS}
        _append(
            self.place,
            self.annotator,
            [{"key": item, **values, "seconds": round(seconds, 1), "time": now, "undo": undo}],
        )
        self._since = time.monotonic()

    def answer(self, field: str, value) -> None:
        """Label the current item; the label is on disk when this returns.

        Labels that no longer apply are removed.
        """
        item = self._order[self.position]
        previous = self._current().get(item, EMPTY)
        labels = {**{name: previous[name] for name in LABELS}, field: value}
        if labels["charge"] not in ("negative", "positive"):
            labels |= {"intensity": None, "called_for": None}
        check_labels(labels, "answer")
        self._save(item, labels, (previous.get("seconds") or 0) + time.monotonic() - self._since)

    def undo(self) -> bool:
        """Undo the last change that still stands, in this session or an earlier one, and go to its item.

        Returns:
            True; False if there is nothing to undo.
        """
        states: dict[str, dict] = {}
        changes: list[tuple[str, dict]] = []
        for record in self._history():
            if record["undo"]:
                states[record["key"]] = changes.pop()[1]
            else:
                changes.append((record["key"], states.get(record["key"], EMPTY)))
                states[record["key"]] = record
        if not changes:
            return False
        item, previous = changes[-1]
        self._save(item, previous, previous.get("seconds") or 0, undo=True)
        self._go(self._order.index(item))
        return True

    def next(self) -> bool:
        """Go to the next item if this one is complete; return False if it is not."""
        if not is_complete(self._current().get(self._order[self.position], EMPTY)):
            return False
        self._go(self.position + 1)
        return True

    def back(self) -> None:
        """Go to the previous item; nothing is written."""
        self._go(self.position - 1)

    def state(self) -> dict:
        """Return what the form shows."""
        current, item = self._current(), self._order[self.position]
        record = current.get(item, EMPTY)
        done = sum(is_complete(labels) for labels in current.values())
        texts = {name: self._items.at[item, name] for name in ("stem", "completion")}
        labels = {name: record[name] for name in LABELS}
        return {
            "annotator": self.annotator,
            "position": self.position + 1,
            "total": len(self._order),
            "done": done,
            **texts,
            "labels": labels,
            "complete": is_complete(record),
        }
