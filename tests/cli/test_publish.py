"""The command that publishes a run: all of a finished one, no text of others, none of an unfinished one."""

import json

import jsonschema
import numpy as np
import pandas as pd
import pytest

from lib.cli import publish
from lib.config import params
from lib.report import results
from lib.storage import records
from tests import published
from tests.eee_schema import AGGREGATE, SAMPLE
from tests.published import card, model


@pytest.fixture
def judgements() -> pd.DataFrame:
    return published.judgements()


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"published_prompts": {"path": "theirs.xlsx"}}, "others published"),
        ({"stems_file": "mine.csv"}, "a file of yours"),
    ],
)
def test_sentences_of_others_are_not_published(project, monkeypatch, judgements, capsys, section, reason):
    quick = params.load("quick")
    changed = quick.model_copy(update={"dataset": quick.dataset | section, "models": [model()]})
    monkeypatch.setattr(params, "load", lambda name: changed)
    monkeypatch.setattr(results, "of_run", lambda name: card())
    records.write_table("quick", "judgements/m", judgements)
    assert publish.main(["quick"]) == 0
    assert reason in capsys.readouterr().out
    written = [path for path in (project / "outputs/quick/published").rglob("*") if path.is_file()]
    assert len(written) == 1 and "street" not in written[0].read_text(encoding="utf-8")


def test_a_run_that_is_not_finished_is_refused(project, capsys):
    assert publish.main(["quick"]) == 1
    assert "is missing: run notebooks/" in capsys.readouterr().err
    assert publish.main(["nosuch"]) == 1
    assert "no such parameter set" in capsys.readouterr().err


def test_a_finished_run_is_published_whole(smoke, monkeypatch, capsys):
    monkeypatch.setattr(records, "ROOT", smoke.parents[1])
    assert publish.main(["smoke", "--organization", "Test lab"]) == 0
    folder = smoke / "published"
    assert str(folder) in capsys.readouterr().out
    names = [spec.name for spec in params.load("smoke").models]
    assert sorted(path.stem for path in (folder / "dataset" / "data").iterdir()) == sorted(names)
    aggregates = [json.loads(path.read_text()) for path in folder.rglob("every_eval_ever/**/*.json")]
    assert len(aggregates) == len(names)
    for aggregate in aggregates:
        jsonschema.validate(aggregate, AGGREGATE)
        companion = folder / "every_eval_ever" / aggregate["detailed_evaluation_results"]["file_path"]
        for line in companion.read_text(encoding="utf-8").splitlines():
            jsonschema.validate(json.loads(line), SAMPLE)
    for name in names:
        back = pd.read_parquet(folder / "dataset" / "data" / f"{name}.parquet")
        judged = records.read_table("smoke", f"judgements/{name}")
        assert back["completion"].tolist() == judged["completion"].tolist()
        np.testing.assert_array_equal(back["valence"], judged["valence"])
