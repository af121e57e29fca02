"""The annotation form's work without a browser: every answer is on disk, nothing is lost, nobody sees what an
item is."""

import json
import os
import re

import pandas as pd
import pytest

from lib.annotation import form_widget, labelling
from lib.config import specs

TEXTS = ["12 Oak Street.", "Blackheart Street.", "a wonderful cook.", "<b>bold</b> & odd.", "", "ironing."]


@pytest.fixture
def place(tmp_path):
    """An annotation folder with six items in two blocks."""
    rows = [
        {"item_id": f"i{n}", "block": n // 3, "stem": "It is called", "completion": text}
        for n, text in enumerate(TEXTS)
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def lines(place, name="ann") -> list[dict]:
    return [json.loads(line) for line in (place / "labels" / f"{name}.jsonl").read_text().splitlines()]


def charge(session, polarity="negative", intensity=2, called_for="no") -> None:
    session.answer("charge", polarity)
    session.answer("intensity", intensity)
    session.answer("called_for", called_for)


def test_every_answer_is_a_record_and_the_last_one_counts(place):
    session = labelling.Session(place, "ann")
    charge(session)
    session.answer("charge", "none")
    said = [(record["charge"], record["intensity"], record["called_for"]) for record in lines(place)]
    # what no longer applies is taken away with the charge, and all that was said before stays in the file
    assert said == [
        ("negative", None, None),
        ("negative", 2, None),
        ("negative", 2, "no"),
        ("none", None, None),
    ]
    labels = labelling.read_labels(place)
    assert labels[["annotator", "charge", "complete"]].values.tolist() == [["ann", "none", True]]


def test_an_answer_is_on_disk_when_the_call_returns(place, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    session = labelling.Session(place, "ann")
    session.answer("charge", "none")
    assert synced == [(place / "labels" / "ann.jsonl").stat().st_size]


def test_next_waits_for_a_complete_item(place):
    session = labelling.Session(place, "ann")
    assert not session.next()
    session.answer("charge", "positive")
    assert not session.next()
    session.answer("intensity", 1)
    session.answer("called_for", "yes")
    assert session.next()
    session.answer("charge", "unclear")
    assert session.next()
    assert session.state()["position"] == 3
    assert session.state()["done"] == 2


def test_a_new_session_stands_where_the_last_one_was_killed_and_shows_its_answers(place):
    first = labelling.Session(place, "ann")
    charge(first)
    first.next()
    first.answer("charge", "positive")
    again = labelling.Session(place, "ann")
    assert again.state() == first.state()
    assert again.state()["labels"]["charge"] == "positive"
    before = (place / "labels" / "ann.jsonl").read_bytes()
    again.back()
    assert again.state()["labels"]["intensity"] == 2
    assert (place / "labels" / "ann.jsonl").read_bytes() == before, "looking back writes nothing"


def test_undo_takes_back_one_change_after_the_other_also_of_an_earlier_session(place):
    charge(labelling.Session(place, "ann"))
    session = labelling.Session(place, "ann")
    session.next()
    session.answer("charge", "none")
    told = []
    while session.undo():
        told.append(
            (
                session.position,
                *[session.state()["labels"][name] for name in ("charge", "intensity", "called_for")],
            )
        )
    assert told == [
        (1, None, None, None),
        (0, "negative", 2, None),
        (0, "negative", None, None),
        (0, None, None, None),
    ]
    assert len(lines(place)) == 8, "an undo is one more record"
    assert labelling.read_labels(place).empty
    session.answer("charge", "none")
    assert session.undo()
    assert not session.undo()


def test_order_differs_from_annotator_to_annotator_inside_blocks_and_never_changes(place):
    items = labelling.read_items(place)
    orders = {name: labelling.order(items, name) for name in ("ann", "bob", "cem", "dee")}
    assert len({tuple(order) for order in orders.values()}) > 1
    for name, order in orders.items():
        assert order == labelling.order(items.sample(frac=1, random_state=1), name)
        assert sorted(order[:3]) == ["i0", "i1", "i2"], "the first block comes first"
        assert sorted(order) == sorted(items["item_id"])


@pytest.mark.parametrize("name", ["", "Ann", "../ann", "a b", "simulated-ann", "a" * 41])
def test_names_that_cannot_be_files_or_are_simulated_are_refused(place, name):
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        labelling.Session(place, name)


def test_a_torn_last_line_is_reported_and_costs_only_itself(place, capsys):
    session = labelling.Session(place, "ann")
    charge(session)
    path = place / "labels" / "ann.jsonl"
    torn = path.read_bytes() + b'{"key": "i1", "charge": "posi'
    path.write_bytes(torn)
    labels = labelling.read_labels(place)
    assert labels["intensity"].tolist() == [2]
    assert "its last line was cut short" in capsys.readouterr().out
    assert path.read_bytes() == torn, "reading changes nothing"
    session = labelling.Session(place, "ann")
    session.next()
    session.answer("charge", "none")
    assert [record["charge"] for record in lines(place)] == ["negative"] * 3 + ["none"]


def test_unknown_items_are_named_by_line_and_nothing_is_changed(place):
    charge(labelling.Session(place, "ann"))
    path = place / "labels" / "ann.jsonl"
    path.write_text(path.read_text() + json.dumps({**lines(place)[0], "key": "other"}) + "\n")
    before = path.read_bytes()
    with pytest.raises(
        ValueError,
        match=r"ann.jsonl: 1 labels are of items that are not in items.jsonl: line 4; .*another plan",
    ):
        labelling.read_labels(place)
    with pytest.raises(ValueError, match="another plan"):
        labelling.Session(place, "ann")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no json", "1 lines are no label records: line 4"),
        ('{"key": "i0"}', "1 lines are no label records: line 4"),
        ("[]", "line 4"),
        (None, "line 4: intensity 7 is not one of 1, 2, 3"),
    ],
)
def test_a_damaged_line_is_named(place, line, said):
    charge(labelling.Session(place, "ann"))
    line = line or json.dumps({**lines(place)[0], "intensity": 7})
    path = place / "labels" / "ann.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=re.escape(said)):
        labelling.read_labels(place)


def test_without_items_the_error_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="04_human_agreement"):
        labelling.read_items(tmp_path)
    assert labelling.read_labels(tmp_path).empty


def test_labels_from_elsewhere_go_to_their_annotators_files_but_never_over_others(place):
    for name in ("ann", "bob"):
        session = labelling.Session(place, name)
        charge(session)
        session.next()
        session.answer("charge", "unclear")
    labels = labelling.read_labels(place)
    for path in labelling.files(place):
        path.rename(path.with_suffix(".away"))
    labelling.write_labels(place, labels)
    assert labelling.read_labels(place).equals(labels)
    labelling.write_labels(place, labels)  # the same again changes nothing
    assert labelling.read_labels(place).equals(labels)
    size = (place / "labels" / "bob.jsonl").stat().st_size
    with pytest.raises(ValueError, match=r"labels/ann.jsonl holds other labels already"):
        labelling.write_labels(place, labels.assign(note="other"))
    with pytest.raises(ValueError, match="1 labels are of items that are not"):
        labelling.write_labels(place, labels.replace({"item_id": {labels["item_id"][0]: "other"}}).head(1))
    assert (place / "labels" / "bob.jsonl").stat().st_size == size


def send(form, **message) -> str:
    form._handle_custom_msg(message, [])
    return form.state["message"]


def test_the_widget_does_as_it_is_told_and_says_what_is_wrong(place):
    form = form_widget.Form(place)
    assert "'Ann'" in send(form, do="begin", name="Ann")
    assert send(form, do="begin", name="ann") == ""
    assert form.state["total"] == 6
    assert send(form, do="answer", field="charge", value="negative") == "Saved."
    assert "Not complete" in send(form, do="next")
    assert send(form, do="undo") == "Taken back."
    assert "nothing to take back" in send(form, do="undo")
    assert "not one of" in send(form, do="answer", field="charge", value="odd")
    for _ in TEXTS:
        send(form, do="answer", field="charge", value="none")
        said = send(form, do="next")
    assert "All items are done" in said
    assert labelling.read_labels(place)["complete"].sum() == 6


def test_a_full_disk_is_told_on_the_form_and_loses_nothing(place, monkeypatch):
    form = form_widget.Form(place)
    send(form, do="begin", name="ann")
    send(form, do="answer", field="charge", value="negative")
    before = (place / "labels" / "ann.jsonl").read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        said = send(form, do="answer", field="intensity", value=3)
    assert said.startswith("Not saved")
    assert "No space left" in said
    assert form.state["labels"]["intensity"] is None, "what is shown is what is on disk"
    assert (place / "labels" / "ann.jsonl").read_bytes() == before


def test_the_form_shows_nothing_of_model_context_or_arm(place):
    form = form_widget.Form(place)
    send(form, do="begin", name="ann")
    assert set(form.state) == {
        "annotator",
        "position",
        "total",
        "done",
        "stem",
        "completion",
        "labels",
        "complete",
        "message",
        "shown",
    }


def test_the_notebooks_form_cell_cannot_be_deleted_and_asks_for_an_existing_set():
    book = json.loads((specs.ROOT / "notebooks" / "04b_annotation.ipynb").read_text())
    cell = next(cell for cell in book["cells"] if "form_widget.form" in "".join(cell["source"]))
    assert cell["metadata"]["deletable"] is False
    assert cell["metadata"]["editable"] is False
    assert all(not cell.get("outputs") for cell in book["cells"])
    assert 'set_name: str = "embedded"' in str(["".join(cell["source"]) for cell in book["cells"]])


def test_reading_labels_gives_the_same_types_with_and_without_rows(place):
    empty = labelling.read_labels(place).dtypes
    charge(labelling.Session(place, "ann"))
    assert labelling.read_labels(place).dtypes.equals(empty)
    assert isinstance(labelling.read_labels(place), pd.DataFrame)
