"""Labels to and from other tools: plain CSV, and the JSON of Label Studio. What is exported and imported again is equal.

Exchanged is the label that counts of each annotator and item; the history of changes stays in the annotators' own files.
"""

import json
from pathlib import Path

import pandas as pd

from lib import annotation, records, tables
from lib.annotation import CHOICES, COLUMNS, LABELS

# Label Studio's own form for these tasks: intensity as choices, for a rating would arrive wrapped in JSON
LABEL_CONFIG = """<View>
  <Header value="Judge only what the machine wrote."/>
  <Text name="stem" value="$stem"/>
  <Text name="text" value="$completion"/>
  <Header value="Charged expression?"/>
  <Choices name="charge" toName="text" choice="single-radio" required="true">
    <Choice value="negative"/><Choice value="none"/><Choice value="positive"/><Choice value="unclear"/>
  </Choices>
  <View visibleWhen="choice-selected" whenTagName="charge" whenChoiceValue="negative,positive">
    <Header value="How strong?"/>
    <Choices name="intensity" toName="text" choice="single-radio" required="true">
      <Choice value="1"/><Choice value="2"/><Choice value="3"/>
    </Choices>
    <Header value="Called for by the beginning?"/>
    <Choices name="called_for" toName="text" choice="single-radio" required="true">
      <Choice value="yes"/><Choice value="no"/>
    </Choices>
  </View>
  <TextArea name="note" toName="text"/>
</View>
"""


def to_csv(labels: pd.DataFrame, path: Path) -> None:
    """One row a label: annotator, item_id, LABELS, seconds, time."""
    records.write_text(path, labels[[name for name in COLUMNS if name != "complete"]].to_csv(index=False))


def from_csv(path: Path) -> pd.DataFrame:
    """The labels of a CSV as `annotation.read_labels` gives them; `seconds`, `time` and `note` may be absent.

    ValueError names the line and what is wrong with it.
    """
    table = tables.READERS[".csv"][1](path)
    missing = {"annotator", "item_id", "charge", "intensity", "called_for"} - set(table.columns)
    if missing:
        raise ValueError(f"{path.name}: no column {', '.join(sorted(missing))}; the header must name them")
    rows = [_row(f"{path.name}, line {line}", record) for line, record in zip(table.index, table.to_dict("records"), strict=True)]
    return _checked(rows, path)


def _row(place: str, record: dict) -> dict:
    """A record of texts as labels, checked."""
    given = {name: None if record.get(name) in (None, "") else record[name] for name in COLUMNS}
    intensity = tables.text(given["intensity"])
    if intensity is not None:
        given["intensity"] = next((step for step in CHOICES["intensity"] if intensity in (str(step), f"{step}.0")), intensity)
    annotation.check_labels(given, place)
    for name in ("annotator", "item_id", "charge"):
        if given[name] is None:
            raise ValueError(f"{place}: {name} is empty; fill it in or take the row out")
    try:
        given["seconds"] = float(given["seconds"] or 0)
    except ValueError:
        raise ValueError(f"{place}: seconds {given['seconds']!r} is not a number; correct it there") from None
    return given | {"place": place, "complete": annotation.is_complete(given)}


def _checked(rows: list[dict], path: Path) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[*COLUMNS, "place"])
    again = table[table.duplicated(["annotator", "item_id"])]
    if len(again):
        raise ValueError(f"{again['place'].iloc[0]}: {again['annotator'].iloc[0]} has labelled {again['item_id'].iloc[0]} before "
                         f"in {path.name} ({len(again)} such rows); keep one of them")  # fmt: skip
    return annotation.typed(table)


def to_label_studio(items: pd.DataFrame, labels: pd.DataFrame, path: Path, emails: dict[str, str] | None = None) -> None:
    """Tasks with their annotations, to be imported into a project with LABEL_CONFIG; every item is a task, labelled or not.

    `emails` are the annotators' accounts there (annotator → e-mail): Label Studio refuses a file with accounts that it does not
    have. Annotators without one keep their name in `completed_by`, which suits a return to this project.
    """
    of_item = dict(list(labels.groupby("item_id")))
    tasks = []
    for item in items.itertuples():
        found = of_item[item.item_id].to_dict("records") if item.item_id in of_item else []
        data = {"item_id": item.item_id, "stem": item.stem, "completion": item.completion}  # blind: the data manager shows it all
        tasks.append({"data": data, "annotations": [_annotation(label, emails or {}) for label in found]})
    records.write_text(path, json.dumps(tasks, ensure_ascii=False, indent=1))


def _annotation(label: dict, emails: dict[str, str]) -> dict:
    result = []
    for name in LABELS:
        if pd.notna(label[name]):
            kind, inside = ("textarea", "text") if name == "note" else ("choices", "choices")
            value = {inside: [str(label[name])]}
            result.append({"id": name, "from_name": name, "to_name": "text", "type": kind, "value": value})
    name = label["annotator"]
    return {"completed_by": {"email": emails.get(name, name)}, "ground_truth": False, "lead_time": label["seconds"],
            "created_at": label["time"], "result": result}  # fmt: skip


def from_label_studio(path: Path, annotators: dict[str, str] | None = None) -> pd.DataFrame:
    """The labels of an exported JSON file as `annotation.read_labels` gives them.

    `annotators` maps what Label Studio calls a person (e-mail or number, as text) to the name here. Cancelled annotations and
    results of other controls are passed over. ValueError names the task and what is wrong with it.
    """
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name}: not readable as JSON ({error}); export it again, with the format JSON") from None
    rows = []
    for number, task in enumerate(tasks, start=1):
        place = f"{path.name}, task {number}"
        if not isinstance(task, dict) or "annotations" not in task or "item_id" not in task.get("data", {}):
            raise ValueError(f"{place}: has no annotations or no data.item_id; export with the format JSON (not JSON_MIN)")
        rows += [_row(place, _record(found, task["data"]["item_id"], annotators or {}, place))
                 for found in task["annotations"] if not found.get("was_cancelled")]  # fmt: skip
    return _checked(rows, path)


def _record(found: dict, item_id: str, annotators: dict[str, str], place: str) -> dict:
    who = found.get("completed_by")
    who = str(who.get("email", who.get("id")) if isinstance(who, dict) else who)
    name = annotators.get(who, who)
    if who.isdigit() and who not in annotators:
        raise ValueError(f"{place}: the annotator is only a number, {who}; name that person in `annotators`: {{'{who}': 'name'}}")
    record = {"annotator": name, "item_id": item_id, "seconds": found.get("lead_time"), "time": found.get("created_at")}
    for result in found.get("result", []):
        said = result.get("value", {}).get("choices") or result.get("value", {}).get("text")
        if result.get("from_name") in LABELS and said:
            record[result["from_name"]] = said if isinstance(said, str) else said[0]
    return record
