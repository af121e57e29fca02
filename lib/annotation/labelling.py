"""Labels that people give to completions: what is asked, one append-only file for each annotator, and the way
through the items.

`outputs/<set>/annotation/` holds all that an annotator sees: items.jsonl, without model or arm, and
labels/<annotator>.jsonl. What the items are stands in annotation_key.parquet, outside that folder. Every
change is a record of its own, on disk before the form goes on; the last record of an item counts, so a change
of mind is kept and an undo is one more record.
"""

import hashlib
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from lib.runtime import progress
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
# annotators so called are no people; the form takes no such name and no verdict rests on them
SIMULATED = "simulated-"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def folder(set_name: str) -> Path:
    """outputs/<set_name>/annotation/."""
    return records.run_folder(set_name) / "annotation"


def files(place: Path) -> list[Path]:
    """The label files in an annotation folder, one for each annotator."""
    return sorted((place / "labels").glob("*.jsonl"))


def check_name(name: str, simulated: bool = False) -> str:
    """The name of an annotator as a file can be called; ValueError if it cannot, or is a `simulated` one's
    where none may be."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name {name!r}: use 1 to 40 small letters, digits, dots, dashes; a nickname will do"
        )
    if name.startswith(SIMULATED) and not simulated:
        raise ValueError(
            f"name {name!r}: names that begin with {SIMULATED!r} are kept for simulated raters; choose "
            "another"
        )
    return name


def read_items(place: Path) -> pd.DataFrame:
    """The items of an annotation folder: item_id, block, stem, completion."""
    path = place / "items.jsonl"
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: there are no items to label; run notebooks/04_human_agreement.ipynb with the same "
            "set_name first, it draws them"
        )
    return pd.DataFrame([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])


def is_complete(labels: dict) -> bool:
    """Whether nothing more is asked: a charged item needs its strength and whether it is called for."""
    if labels["charge"] in ("negative", "positive"):
        return labels["intensity"] is not None and labels["called_for"] is not None
    return labels["charge"] is not None


def check_labels(labels: dict, place: str) -> None:
    """ValueError, naming the `place`, where a label is none of CHOICES."""
    for field, choices in CHOICES.items():
        if labels[field] is not None and labels[field] not in choices:
            raise ValueError(
                f"{place}: {field} {labels[field]!r} is not one of {', '.join(map(str, choices))}; correct "
                "it there"
            )


def read_history(path: Path, known: set[str]) -> list[dict]:
    """The records of a label file in the order of writing, whatever stands in it left untouched.

    A last line that was cut short, a click that never reached the disk, is passed over and reported.
    ValueError names the lines that are no records, have an item that is not `known`, or a label that is none
    of CHOICES.
    """
    lines = path.read_bytes().split(b"\n")
    if lines[-1]:
        progress.message(
            f"{path.name}: its last line was cut short and is passed over; the label before it counts"
        )
    history, broken, strange = [], [], []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
            found = {name: record[name] for name in ("key", *LABELS, "seconds", "time", "undo")}
        except (ValueError, TypeError, KeyError):
            broken.append(number)
            continue
        check_labels(found, f"{path.name}, line {number}")
        strange += [number] * (found["key"] not in known)
        history.append(found)
    if broken:
        raise ValueError(
            f"{path.name}: {len(broken)} lines are no label records: line {some(broken, len(broken))}; "
            "mend or remove these lines, the others are sound and nothing was changed"
        )
    if strange:
        raise ValueError(
            f"{path.name}: {len(strange)} labels are of items that are not in items.jsonl: "
            f"line {some(strange, len(strange))}; the file belongs to another plan: put it beside that "
            "plan's items.jsonl, or bring those back; nothing was changed"
        )
    return history


def read_labels(place: Path) -> pd.DataFrame:
    """The label that counts of every annotator and item: COLUMNS. No rows where nobody has labelled
    anything."""
    rows = []
    known = set(read_items(place)["item_id"]) if files(place) else set()
    for path in files(place):
        last = {record["key"]: record for record in read_history(path, known)}
        rows += [
            {"annotator": path.stem, "item_id": key, **record, "complete": is_complete(record)}
            for key, record in last.items()
            if any(record[name] is not None for name in LABELS)
        ]
    return typed(pd.DataFrame(rows, columns=COLUMNS))


def labelled_by_people(set_name: str) -> bool:
    """Whether people, not simulated raters, have labelled completions of a set."""
    return any(
        not path.stem.startswith(SIMULATED) and path.stat().st_size for path in files(folder(set_name))
    )


def typed(labels: pd.DataFrame) -> pd.DataFrame:
    """Labels with the same types however they were read, ordered by annotator and item."""
    types = {"intensity": "Int64", "seconds": float, "complete": bool}
    texts = {name: "string" for name in COLUMNS if name not in types}
    return labels[COLUMNS].astype(types | texts).sort_values(["annotator", "item_id"], ignore_index=True)


def write_labels(place: Path, labels: pd.DataFrame) -> None:
    """Append labels made elsewhere to the files of their annotators.

    ValueError, before anything is written, if an item is unknown or an annotator has a file already that says
    something else.
    """
    known, present = set(read_items(place)["item_id"]), read_labels(place)
    strange = labels.loc[~labels["item_id"].isin(known), "item_id"].tolist()
    if strange:
        raise ValueError(
            f"{len(strange)} labels are of items that are not in items.jsonl: {some(strange, len(strange))}; "
            "they belong to another plan; nothing was written"
        )
    for name, part in labels.groupby("annotator"):
        check_name(name, simulated=True)
        there = present[present["annotator"] == name]
        if len(there) and not typed(part).equals(there.reset_index(drop=True)):
            raise ValueError(
                f"labels/{name}.jsonl holds other labels already; move it away or import under another name; "
                "nothing was written"
            )
    for name, part in labels[~labels["annotator"].isin(present["annotator"])].groupby("annotator"):
        fields = (
            part[["item_id", *LABELS, "seconds", "time"]].rename(columns={"item_id": "key"}).astype(object)
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
    """The item_ids as this annotator meets them: block by block, each shuffled in a way of their own that
    never changes."""
    mixed = [hashlib.sha256(f"{annotator}:{item}".encode()).hexdigest() for item in items["item_id"]]
    return items.assign(mixed=mixed).sort_values(["block", "mixed"])["item_id"].tolist()


class Session:
    """One annotator's way through the items. Nothing is kept here but the place: each step reads the file and
    adds to it."""

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
        said = {name: labels[name] for name in LABELS}
        _append(
            self.place,
            self.annotator,
            [{"key": item, **said, "seconds": round(seconds, 1), "time": now, "undo": undo}],
        )
        self._since = time.monotonic()

    def answer(self, field: str, value) -> None:
        """Label the item in sight; on disk when this returns. What no longer applies is taken away."""
        item = self._order[self.position]
        before = self._current().get(item, EMPTY)
        labels = {**{name: before[name] for name in LABELS}, field: value}
        if labels["charge"] not in ("negative", "positive"):
            labels |= {"intensity": None, "called_for": None}
        check_labels(labels, "answer")
        self._save(item, labels, (before.get("seconds") or 0) + time.monotonic() - self._since)

    def undo(self) -> bool:
        """Take back the last change that still stands, in this session or an earlier one, and go to its item;
        False if none."""
        states, changes = {}, []
        for record in self._history():
            if record["undo"]:
                states[record["key"]] = changes.pop()[1]
            else:
                changes.append((record["key"], states.get(record["key"], EMPTY)))
                states[record["key"]] = record
        if not changes:
            return False
        item, before = changes[-1]
        self._save(item, before, before.get("seconds") or 0, undo=True)
        self._go(self._order.index(item))
        return True

    def next(self) -> bool:
        """Go on to the next item if this one is complete; False if it is not."""
        if not is_complete(self._current().get(self._order[self.position], EMPTY)):
            return False
        self._go(self.position + 1)
        return True

    def back(self) -> None:
        """Go to the item before; writes nothing."""
        self._go(self.position - 1)

    def state(self) -> dict:
        """What the form shows."""
        current, item = self._current(), self._order[self.position]
        record = current.get(item, EMPTY)
        done = sum(is_complete(labels) for labels in current.values())
        shown = {name: self._items.at[item, name] for name in ("stem", "completion")}
        labels = {name: record[name] for name in LABELS}
        return {
            "annotator": self.annotator,
            "position": self.position + 1,
            "total": len(self._order),
            "done": done,
            **shown,
            "labels": labels,
            "complete": is_complete(record),
        }
