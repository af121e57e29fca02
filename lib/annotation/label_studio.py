"""Write labels in the JSON of Label Studio, and read them back.

What is written and read again is equal.
"""

import json
from pathlib import Path

import pandas as pd

from lib.annotation import label_rows
from lib.annotation.labelling import LABELS
from lib.runtime.errors import DataError
from lib.storage import delimited, records, tables

# the form of these tasks in Label Studio; intensity is a choice, because a rating would be wrapped in JSON
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
    """Write tasks with their annotations, for import into a project with LABEL_CONFIG.

    Every item is a task, labelled or not.

    Args:
        items: Table of `labelling.read_items`.
        labels: Table of `labelling.read_labels`.
        path: JSON file to write.
        emails: Accounts in Label Studio (annotator → e-mail); Label Studio refuses a file with unknown
            accounts. An annotator without one keeps the name in `completed_by`, which suits a return to this
            project.
    """
    labels_by_item = dict(list(labels.groupby("item_id")))
    tasks = []
    for item in items.itertuples():
        item_labels = (
            labels_by_item[item.item_id].to_dict("records") if item.item_id in labels_by_item else []
        )
        data = {
            "item_id": item.item_id,
            "stem": item.stem,
            "completion": item.completion,
        }  # blind: the data manager shows all of it
        tasks.append(
            {"data": data, "annotations": [_annotation(label, emails or {}) for label in item_labels]}
        )
    records.write_text(path, json.dumps(tasks, ensure_ascii=False, indent=1))


def _annotation(label: dict, emails: dict[str, str]) -> dict:
    result = []
    for name in LABELS:
        if pd.notna(label[name]):
            kind, field = ("textarea", "text") if name == "note" else ("choices", "choices")
            value = {field: [str(label[name])]}
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
    """Read the labels of an exported JSON file in the form of `labelling.read_labels`.

    Results of other controls are skipped. Cancelled annotations are skipped too, and a printed message counts
    them. A label that is repeated unchanged counts once.

    Args:
        path: JSON file, exported with the format JSON.
        annotators: Maps the name of a person in Label Studio (e-mail or number, as text) to the name here.
        items: If given, every task must be one of these items.

    Raises:
        ValueError: If the file or a task is invalid; the message names the task and the problem.
    """
    rows, cancelled = [], 0
    for number, task in enumerate(_tasks(path), start=1):
        location = f"{path.name}, task {number}"
        data = _dict(_dict(task).get("data"))
        item_id = tables.text(data.get("item_id"))
        if "annotations" not in _dict(task) or not item_id:
            problem = (
                "is an export as JSON_MIN"
                if "item_id" in _dict(task)
                else "has no annotations or no data.item_id"
            )
            raise DataError(f"{location}: {problem}; export with the format JSON (not JSON_MIN)")
        label_rows.check_item(location, item_id, items)
        for annotation in task["annotations"] or ():
            cancelled += bool(_dict(annotation).get("was_cancelled"))
            if not _dict(annotation).get("was_cancelled"):
                rows.append(
                    label_rows.row(location, _record(_dict(annotation), item_id, annotators or {}, location))
                )
    if cancelled:
        print(f"{path.name}: cancelled annotations, passed over: {cancelled:,}", flush=True)
    return label_rows.table(rows, path)


def _tasks(path: Path) -> list:
    try:
        tasks = json.loads(delimited.decoded(path))
    except ValueError as error:
        raise DataError(
            f"{path.name}: not readable as JSON ({error}); export it again, with the format JSON"
        ) from None
    if not isinstance(tasks, list):
        raise DataError(f"{path.name}: is no list of tasks; export all of the project, with the format JSON")
    return tasks


def _dict(value) -> dict:
    return value if isinstance(value, dict) else {}


def _annotator(annotation: dict, annotators: dict[str, str], place: str) -> str:
    """Return the name, in this project, of the person who made an annotation."""
    completed_by = annotation.get("completed_by")
    candidates = (
        [completed_by.get("email"), completed_by.get("id")]
        if isinstance(completed_by, dict)
        else [completed_by]
    )
    candidates = [(tables.text(name) or "").strip() for name in candidates if not isinstance(name, bool)]
    annotator = next((name for name in candidates if name in annotators), next(filter(None, candidates), ""))
    if not annotator:
        raise DataError(
            f"{place}: an annotation has no completed_by, so nobody knows whose it is; export anew with "
            "the format "
            'JSON and all fields, or write "completed_by": {"email": "…"} there'
        )
    if annotator.isdigit() and annotator not in annotators:
        raise DataError(
            f"{place}: the annotator is only a number, {annotator}; name that person in `annotators`: "
            f"{{'{annotator}': 'name'}}"
            f", or after --names: {annotator}=name"
        )
    return annotators.get(annotator, annotator)


def _record(annotation: dict, item_id: str, annotators: dict[str, str], place: str) -> dict:
    record = {
        "annotator": _annotator(annotation, annotators, place),
        "item_id": item_id,
        "seconds": annotation.get("lead_time"),
        "time": annotation.get("created_at"),
    }
    for result in map(_dict, annotation.get("result") or ()):
        name, value = result.get("from_name"), _dict(result.get("value"))
        if name not in LABELS or not any(value.values()):
            continue
        answer = next(
            (value[kind] for kind in ("choices", "text", "rating", "number") if value.get(kind)), None
        )
        if answer is None:
            raise DataError(
                f"{place}: {name} is answered in a form that is not read ({', '.join(value)}); label with "
                "the form "
                "of `make export-labels`"
            )
        answer = answer if isinstance(answer, list) else [answer]
        if name in record or (len(answer) > 1 and name != "note"):
            raise DataError(
                f"{place}: {name} is answered more than once ({', '.join(map(str, answer))}); correct it in "
                "Label Studio"
            )
        record[name] = tables.text("\n".join(map(str, answer)))
    return record
