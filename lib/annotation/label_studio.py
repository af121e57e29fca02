"""Labels to Label Studio and back, in its JSON. What is written and read again is equal."""

import json
from pathlib import Path

import pandas as pd

from lib.annotation import label_rows
from lib.annotation.labelling import LABELS
from lib.storage import delimited, records, tables

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


def to_label_studio(
    items: pd.DataFrame, labels: pd.DataFrame, path: Path, emails: dict[str, str] | None = None
) -> None:
    """Tasks with their annotations, to be imported into a project with LABEL_CONFIG; every item is a task,
    labelled or not.

    `emails` are the annotators' accounts there (annotator → e-mail): Label Studio refuses a file with
    accounts that it does not have. Annotators without one keep their name in `completed_by`, which suits a
    return to this project.
    """
    of_item = dict(list(labels.groupby("item_id")))
    tasks = []
    for item in items.itertuples():
        found = of_item[item.item_id].to_dict("records") if item.item_id in of_item else []
        data = {
            "item_id": item.item_id,
            "stem": item.stem,
            "completion": item.completion,
        }  # blind: the data manager shows it all
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
    return {
        "completed_by": {"email": emails.get(name, name)},
        "ground_truth": False,
        "lead_time": label["seconds"],
        "created_at": label["time"],
        "result": result,
    }


def from_label_studio(
    path: Path, annotators: dict[str, str] | None = None, items: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The labels of an exported JSON file as `labelling.read_labels` gives them.

    `annotators` maps what Label Studio calls a person (e-mail or number, as text) to the name here; every
    task must be of `items`, if they are given. Results of other controls are passed over, and cancelled
    annotations, which is told. A label that is there twice, just the same, counts once. ValueError names the
    task and what is wrong with it.
    """
    rows, cancelled = [], 0
    for number, task in enumerate(_tasks(path), start=1):
        place = f"{path.name}, task {number}"
        data = _dict(_dict(task).get("data"))
        item_id = tables.text(data.get("item_id"))
        if "annotations" not in _dict(task) or not item_id:
            flat = (
                "is an export as JSON_MIN"
                if "item_id" in _dict(task)
                else "has no annotations or no data.item_id"
            )
            raise ValueError(f"{place}: {flat}; export with the format JSON (not JSON_MIN)")
        label_rows.check_item(place, item_id, items)
        for found in task["annotations"] or ():
            cancelled += bool(_dict(found).get("was_cancelled"))
            if not _dict(found).get("was_cancelled"):
                rows.append(label_rows.row(place, _record(_dict(found), item_id, annotators or {}, place)))
    if cancelled:
        print(f"{path.name}: cancelled annotations, passed over: {cancelled:,}", flush=True)
    return label_rows.table(rows, path)


def _tasks(path: Path) -> list:
    try:
        tasks = json.loads(delimited.decoded(path))
    except ValueError as error:
        raise ValueError(
            f"{path.name}: not readable as JSON ({error}); export it again, with the format JSON"
        ) from None
    if not isinstance(tasks, list):
        raise ValueError(f"{path.name}: is no list of tasks; export all of the project, with the format JSON")
    return tasks


def _dict(value) -> dict:
    return value if isinstance(value, dict) else {}


def _annotator(found: dict, annotators: dict[str, str], place: str) -> str:
    """The name here of who made an annotation."""
    by = found.get("completed_by")
    called = [by.get("email"), by.get("id")] if isinstance(by, dict) else [by]
    called = [(tables.text(name) or "").strip() for name in called if not isinstance(name, bool)]
    who = next((name for name in called if name in annotators), next(filter(None, called), ""))
    if not who:
        raise ValueError(
            f"{place}: an annotation has no completed_by, so nobody knows whose it is; export anew with "
            "the format "
            'JSON and all fields, or write "completed_by": {"email": "…"} there'
        )
    if who.isdigit() and who not in annotators:
        raise ValueError(
            f"{place}: the annotator is only a number, {who}; name that person in `annotators`: "
            f"{{'{who}': 'name'}}"
            f", or after --names: {who}=name"
        )
    return annotators.get(who, who)


def _record(found: dict, item_id: str, annotators: dict[str, str], place: str) -> dict:
    record = {
        "annotator": _annotator(found, annotators, place),
        "item_id": item_id,
        "seconds": found.get("lead_time"),
        "time": found.get("created_at"),
    }
    for result in map(_dict, found.get("result") or ()):
        name, value = result.get("from_name"), _dict(result.get("value"))
        if name not in LABELS or not any(value.values()):
            continue
        said = next(
            (value[kind] for kind in ("choices", "text", "rating", "number") if value.get(kind)), None
        )
        if said is None:
            raise ValueError(
                f"{place}: {name} is answered in a form that is not read ({', '.join(value)}); label with "
                "the form "
                "of `make export-labels`"
            )
        said = said if isinstance(said, list) else [said]
        if name in record or (len(said) > 1 and name != "note"):
            raise ValueError(
                f"{place}: {name} is answered more than once ({', '.join(map(str, said))}); correct it in "
                "Label Studio"
            )
        record[name] = tables.text("\n".join(map(str, said)))
    return record
