"""`python -m lib.annotation.exchange`: what it writes comes back, labels that are there stay, mistakes end in
one message."""

import json
import shlex
import subprocess

import numpy as np
import pandas as pd
import pytest

from lib.annotation import exchange, labelling, sampling_plan
from lib.config import specs
from tests import simulated

ANN, BOB = "simulated-ann", "simulated-bob"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The annotation folder of a set of 12 texts and more, labelled by ann alone; the working folder is the
    project's."""
    monkeypatch.setattr(specs, "ROOT", tmp_path)
    monkeypatch.setattr("lib.storage.records.ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    _, key, labels = simulated.study("good", 6, 12, {"ann": 0.9, "bob": 0.7}, np.random.default_rng(1))
    folder = labelling.folder("mine")
    (folder / "labels").mkdir(parents=True)
    sampling_plan.items(key).to_json(folder / "items.jsonl", orient="records", lines=True)
    labelling.write_labels(folder, labels[labels["annotator"] == ANN])
    labels[labels["annotator"] == BOB].to_pickle(tmp_path / "bob.pickle")
    return folder


@pytest.mark.parametrize("command", ["export", "import"])
def test_make_hands_on_a_file_whose_name_has_a_space(command):
    given = ["SET=smoke", "FILE=my file.json", "OPTIONS=--blank"]
    said = subprocess.run(
        ["make", "--no-print-directory", "-n", "-o", ".venv/ready", f"{command}-labels", *given],
        cwd=specs.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shlex.split(said.stdout)[-4:] == [command, "smoke", "my file.json", "--blank"]


def run(*arguments: object) -> int:
    return exchange.main([str(argument) for argument in arguments])


def files(place) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((place / "labels").glob("*.jsonl"))}


def test_label_studio_there_and_back(place, capsys):
    """A second person labels there; the first one's labels, whose times Label Studio changes, stay as they
    are."""
    before = files(place)
    assert run("export", "mine", "--emails", f"{ANN}=ann@example.org") == 0
    path = place / "label_studio.json"
    assert path.with_suffix(".xml").read_text() == exchange.LABEL_CONFIG
    assert f"with {len(labelling.read_labels(place))} labels: " in capsys.readouterr().out
    tasks = json.loads(path.read_text())
    for task in tasks:
        for made in task["annotations"]:
            made |= {"created_at": "2026-11-25T00:00:00Z", "lead_time": 1.5}
        result = {"from_name": "charge", "value": {"choices": ["none"]}}
        task["annotations"].append(
            {"completed_by": 7, "lead_time": 2.0, "created_at": "x", "result": [result]}
        )
    path.write_text(json.dumps(tasks))
    assert run("import", "mine", path, "--names", f"ann@example.org={ANN}", "7=cat") == 0
    assert f"cat, labels: {len(tasks)}\n" in (said := capsys.readouterr().out)
    assert "just the same" in said
    assert {name: text for name, text in files(place).items() if name != "cat.jsonl"} == before
    assert (labelling.read_labels(place).query("annotator == 'cat'")["charge"] == "none").all()
    now = files(place)
    assert run("import", "mine", path, "--names", f"ann@example.org={ANN}", "7=cat") == 0, (
        "again, which adds nothing"
    )
    assert files(place) == now


def test_csv_there_and_back(place, tmp_path):
    bob = pd.read_pickle(tmp_path / "bob.pickle")
    exchange.to_csv(bob, tmp_path / "bob.csv")
    assert run("import", "mine", "bob.csv") == 0
    assert run("export", "mine", "all.csv") == 0
    pd.testing.assert_frame_equal(exchange.from_csv(tmp_path / "all.csv"), labelling.read_labels(place))


def test_blank_tasks_show_nobody_the_labels_of_another(place, tmp_path):
    assert run("export", "mine", "blank.json", "--blank") == 0
    tasks = json.loads((tmp_path / "blank.json").read_text())
    assert len(tasks) == len(labelling.read_items(place)) and not any(task["annotations"] for task in tasks)


@pytest.mark.parametrize("name", ["label_studio.json", "label_studio.xml"])
def test_no_file_is_replaced(place, capsys, name):
    (place / name).write_text("mine")
    assert run("export", "mine") == 1
    assert f"error: {place / name}: is there already" in capsys.readouterr().err
    assert (place / name).read_text() == "mine"


def test_other_labels_of_the_same_person_are_refused_and_nothing_is_written(place, capsys):
    run("export", "mine", "all.csv")
    table = pd.read_csv("all.csv", dtype=str)
    table.loc[0, ["charge", "intensity", "called_for"]] = ["unclear", None, None]
    extra = table.assign(annotator="dan")
    pd.concat([table, extra]).to_csv("changed.csv", index=False)
    before = files(place)
    assert run("import", "mine", "changed.csv") == 1
    assert f"labels/{ANN}.jsonl holds other labels already" in capsys.readouterr().err
    assert files(place) == before, "not even dan's, who is new"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "mine", "gone.csv"), "gone.csv: no such file"),
        (("import", "mine", "t.xlsx"), "t.xlsx: unknown suffix '.xlsx'; give .json (Label Studio) or .csv"),
        (("export", "mine", "t.jsn"), "unknown suffix '.jsn'; did you mean '.json'?"),
        (("export", "other"), "there are no items to label; run notebooks/04_human_agreement.ipynb"),
        (("import", "other", "t.csv"), "there are no items to label"),
        (("import", "mine", "t.csv"), "t.csv, line 2: item_id 'i0' is not in items.jsonl"),
        (("import", "mine", "t.csv", "--names", "Ann=ann"), "item_id 'i0' is not"),
        (("import", "mine", "known.csv"), "known.csv: name 'Ann': use 1 to 40 small letters, digits"),
    ],
)
def test_a_mistake_ends_in_one_message(place, capsys, arguments, said):
    header, item = (
        "annotator,item_id,charge,intensity,called_for\n",
        labelling.read_items(place)["item_id"][0],
    )
    for name, text in (
        ("t.csv", header + "Ann,i0,none,,\n"),
        ("known.csv", header + f"Ann,{item},none,,\n"),
        ("t.xlsx", ""),
    ):
        (place.parents[2] / name).write_text(text)
    assert run(*arguments) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ") and said in shown.err and len(shown.err.splitlines()) <= 3
    assert not shown.out


def test_a_name_that_no_file_can_have_is_mapped(place, capsys):
    item = labelling.read_items(place)["item_id"][0]
    (place.parents[2] / "t.csv").write_text(
        f"annotator,item_id,charge,intensity,called_for\nAnn,{item},none,,\n"
    )
    assert run("import", "mine", "t.csv") == 1
    assert "a nickname will do: --names Ann=nickname" in capsys.readouterr().err
    assert run("import", "mine", "t.csv", "--names", "Ann=ann") == 0
    assert "ann.jsonl" in files(place)


def test_a_name_that_maps_to_nobody_is_refused_by_the_command_line(place):
    with pytest.raises(SystemExit):
        run("import", "mine", "t.csv", "--names", "Ann")
