"""Labels to CSV and to Label Studio's JSON and back: equal, and what is wrong in a file is named with its
place."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from lib.annotation import exchange, sampling_plan
from tests import simulated


@pytest.fixture(scope="module")
def study():
    """Items and labels of two simulated raters, some with notes, doubts, and half answers."""
    _, key, labels = simulated.study("good", 20, 40, {"ann": 0.9, "bob": 0.7}, np.random.default_rng(1))
    labels.loc[0, ["charge", "intensity", "called_for", "complete"]] = ["unclear", pd.NA, pd.NA, True]
    labels.loc[1, ["charge", "intensity", "called_for", "complete"]] = ["negative", 2, pd.NA, False]
    labels.loc[[0, 5], "note"] = ['says "no", twice;\nthen nothing', "é, 日本"]
    labels["seconds"] = np.arange(len(labels)) / 8
    return sampling_plan.items(key), labels


def test_csv_round_trip_is_equal(study, tmp_path):
    _, labels = study
    exchange.to_csv(labels, tmp_path / "labels.csv")
    pd.testing.assert_frame_equal(exchange.from_csv(tmp_path / "labels.csv"), labels)


def test_label_studio_round_trip_is_equal_also_through_accounts(study, tmp_path):
    items, labels = study
    path = tmp_path / "labels.json"
    exchange.to_label_studio(items, labels, path)
    pd.testing.assert_frame_equal(exchange.from_label_studio(path), labels)
    names = labels["annotator"].unique()
    emails = {name: f"{name}@example.com" for name in names}
    exchange.to_label_studio(items, labels, path, emails)
    assert "simulated-ann@example.com" in path.read_text()
    back = exchange.from_label_studio(path, {email: name for name, email in emails.items()})
    pd.testing.assert_frame_equal(back, labels)


def test_label_studio_tasks_are_blind_and_of_the_form_it_reads(study, tmp_path):
    items, labels = study
    exchange.to_label_studio(items, labels.head(1), tmp_path / "labels.json")
    tasks = json.loads((tmp_path / "labels.json").read_text())
    assert len(tasks) == len(items)
    assert {tuple(task["data"]) for task in tasks} == {("item_id", "stem", "completion")}
    (found,) = [annotation for task in tasks for annotation in task["annotations"]]
    assert found["ground_truth"] is False
    kinds = {result["from_name"]: (result["type"], list(result["value"])) for result in found["result"]}
    assert kinds == {"charge": ("choices", ["choices"]), "note": ("textarea", ["text"])}
    for name in ("charge", "intensity", "called_for", "note"):
        assert f'name="{name}" toName="text"' in exchange.LABEL_CONFIG


def test_what_label_studio_exports_is_read(tmp_path):
    """As exported: numeric annotators, a list of texts, results of other controls, a cancelled annotation."""
    charge = {"from_name": "charge", "type": "choices", "value": {"choices": ["positive"]}}
    strength = {"from_name": "intensity", "type": "choices", "value": {"choices": ["3"]}}
    called = {"from_name": "called_for", "type": "choices", "value": {"choices": ["no"]}}
    other = {"from_name": "other", "type": "rating", "value": {"rating": 3}}
    given = {
        "completed_by": 7,
        "lead_time": 4.5,
        "created_at": "2026-11-01T10:00:00Z",
        "result": [charge, strength, called, other],
    }
    task = {
        "id": 1,
        "data": {"item_id": "i0"},
        "annotations": [given, {**given, "completed_by": 8, "was_cancelled": True}],
    }
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task]))
    labels = exchange.from_label_studio(path, {"7": "ann"})
    row = labels.iloc[0]
    assert (row.annotator, row.charge, row.intensity, row.called_for, row.complete) == (
        "ann",
        "positive",
        3,
        "no",
        True,
    )
    assert len(labels) == 1
    with pytest.raises(ValueError, match="task 1: the annotator is only a number, 7"):
        exchange.from_label_studio(path)


HEADER = "annotator,item_id,charge,intensity,called_for\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("annotator,item_id,charge\n", "no column called_for, intensity"),
        (HEADER + "ann,i0,bad,,\n", "line 2: charge 'bad' is not one of negative, none, positive, unclear"),
        (HEADER + "ann,i0,none,,\nann,i1,negative,9,no\n", "line 3: intensity '9' is not one of 1, 2, 3"),
        (
            HEADER + "ann,i0,none,,\nbob,i0,none,,\nann,i0,unclear,,\n",
            "line 4: ann has labelled i0 before, and otherwise, in labels.csv, line 2; keep one of them",
        ),
        (
            "annotation_id,annotator,item_id,charge,intensity,called_for\n1,7,i0,none,,\n",
            "is a CSV that Label Studio exported",
        ),
        (HEADER + "ann,i0,isn\udc92t,,\n", "labels.csv: line 2 has the byte 0x92, which is no UTF-8"),
        (HEADER + "ann,,none,,\n", "line 2: item_id is empty"),
        (
            "charge," + HEADER + "none,ann,i0,positive,,\n",
            "labels.csv: two columns are called 'charge'; rename one",
        ),
        (HEADER.strip() + ",seconds\nann,i0,none,,,-5\n", "line 2: seconds '-5' is not a number from 0 on"),
        (HEADER.strip() + ",seconds\nann,i0,none,,,inf\n", "line 2: seconds 'inf' is not a number from 0 on"),
        (HEADER + "ann,i0,none\n", "line 2 has 3 cells"),
    ],
)
def test_what_is_wrong_in_a_csv_is_named(tmp_path, text, said):
    (tmp_path / "labels.csv").write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError, match=re.escape(said)):
        exchange.from_csv(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "labels.json: not readable as JSON"),
        ('{"id": 1}', "labels.json: is no list of tasks"),
        (
            '[{"item_id": "i0", "charge": "none"}]',
            "task 1: is an export as JSON_MIN; export with the format JSON",
        ),
        ('[{"data": {"item_id": "i0"}}]', "task 1: has no annotations or no data.item_id"),
        ('[{"data": {"text": "x"}, "annotations": []}]', "task 1: has no annotations or no data.item_id"),
        ('[{"data": null, "annotations": []}]', "task 1: has no annotations or no data.item_id"),
    ],
)
def test_what_is_wrong_in_a_json_is_named(tmp_path, text, said):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(said)):
        exchange.from_label_studio(tmp_path / "labels.json")


def annotated(*charges: str, who: object = "ann", item_id: str = "i0") -> dict:
    """A task of Label Studio's with an annotation by `who` for each of `charges`."""
    made = [
        {
            "completed_by": who,
            "lead_time": 3.1,
            "result": [{"from_name": "charge", "value": {"choices": [charge]}}],
        }
        for charge in charges
    ]
    return {"id": 1, "data": {"item_id": item_id}, "annotations": made}


def imported(path, *tasks: dict, **more) -> pd.DataFrame:
    path.write_text(json.dumps(tasks))
    return exchange.from_label_studio(path, **more)


@pytest.mark.parametrize("who", [None, "", " ", {}, {"email": None}, {"email": "", "id": None}, True, [7]])
def test_an_annotation_that_is_nobodys_is_named(tmp_path, who):
    task = annotated("none", who=who)
    said = "export.json, task 2: an annotation has no completed_by, so nobody knows whose it is; export anew"
    with pytest.raises(ValueError, match=re.escape(said)):
        imported(tmp_path / "export.json", annotated("none"), task)
    del task["annotations"][0]["completed_by"]
    with pytest.raises(ValueError, match=re.escape(said)):
        imported(tmp_path / "export.json", annotated("none"), task)
    assert (
        imported(tmp_path / "e.json", annotated("none", who={"id": 7}), annotators={"7": "ann"})[
            "annotator"
        ].item()
        == "ann"
    )


@pytest.mark.parametrize(
    "who", [7, 7.0, "7", {"id": 7}, {"id": 7, "email": "a@example.com"}, {"id": None, "email": "7"}]
)
def test_a_person_is_known_by_number_or_account(tmp_path, who):
    assert (
        imported(tmp_path / "e.json", annotated("none", who=who), annotators={"7": "ann"})["annotator"].item()
        == "ann"
    )
    zero = annotated("none", who=0)
    assert imported(tmp_path / "e.json", zero, annotators={"0": "ann"})["annotator"].item() == "ann"


@pytest.mark.parametrize(
    "value", [{"choices": ["2"]}, {"rating": 2}, {"number": 2}, {"number": 2.0}, {"text": "2"}]
)
def test_an_answer_of_another_control_counts_and_is_never_dropped(tmp_path, value):
    task = annotated("negative")
    task["annotations"][0]["result"].append({"from_name": "intensity", "value": value})
    assert imported(tmp_path / "e.json", task)["intensity"].item() == 2
    task["annotations"][0]["result"][1]["value"] = {"taxonomy": [["2"]]}
    with pytest.raises(
        ValueError,
        match=r"e.json, task 1: intensity is answered in a form that is not read \(taxonomy\); label",
    ):
        imported(tmp_path / "e.json", task)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), [1], "3,5"])
def test_a_time_that_is_none_is_named(tmp_path, seconds):
    task = annotated("none")
    task["annotations"][0]["lead_time"] = seconds
    with pytest.raises(
        ValueError, match=r"e.json, task 1: seconds .* is not a number from 0 on, as 3.5 is; correct it there"
    ):
        imported(tmp_path / "e.json", task)


def test_what_is_there_twice_counts_once_and_is_told(tmp_path, capsys):
    task = annotated("unclear")
    later = annotated("unclear")
    later["annotations"][0] |= {"lead_time": 9.0, "created_at": "2026-11-02"}
    labels = imported(tmp_path / "export.json", task, task, annotated("none", who="bob"), later)
    assert labels[["annotator", "charge", "seconds"]].values.tolist() == [
        ["ann", "unclear", 3.1],
        ["bob", "none", 3.1],
    ]
    assert capsys.readouterr().out == "export.json: labels given again, just the same: 2; each counts once\n"
    (tmp_path / "l.csv").write_text(HEADER + "ann,i0,negative,2,no\nann,i0,negative,2,no\n")
    assert len(exchange.from_csv(tmp_path / "l.csv")) == 1


def test_one_person_with_two_answers_is_refused_with_both_places(tmp_path):
    said = "task 3: ann has labelled i0 before, and otherwise, in export.json, task 1; keep one"
    with pytest.raises(ValueError, match=re.escape(said)):
        imported(
            tmp_path / "export.json", annotated("none"), annotated("none", item_id="i1"), annotated("unclear")
        )
    with pytest.raises(ValueError, match="task 1: ann has labelled i0 before"):
        imported(tmp_path / "export.json", annotated("none", "unclear"))
    task = annotated("none")
    task["annotations"][0]["result"][0]["value"]["choices"] = ["none", "unclear"]
    with pytest.raises(
        ValueError, match=re.escape("task 1: charge is answered more than once (none, unclear)")
    ):
        imported(tmp_path / "export.json", task)


def test_cancelled_annotations_are_counted(tmp_path, capsys):
    task = annotated("none", "unclear")
    task["annotations"][1]["was_cancelled"] = True
    assert len(imported(tmp_path / "export.json", task)) == 1
    assert "cancelled annotations, passed over: 1" in capsys.readouterr().out


@pytest.mark.parametrize("task", [annotated(item_id="i9"), annotated("none", item_id="i9")])
def test_a_task_of_another_set_is_named_labelled_or_not(tmp_path, task):
    items = pd.DataFrame([{"item_id": "i0", "stem": "It is", "completion": "Oak."}])
    said = (
        "export.json, task 2: item_id 'i9' is not in items.jsonl; did you mean 'i0'?; it belongs to "
        "another set or plan"
    )
    with pytest.raises(ValueError, match=re.escape(said)):
        imported(tmp_path / "export.json", annotated("none"), task, items=items)
