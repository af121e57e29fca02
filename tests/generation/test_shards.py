"""Generation in parts gives the tables of generation in one, whatever the division, a kill or leftovers."""

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from lib.config.specs import ParameterError
from lib.dataset import curated_prompts
from lib.generation import next_token, runner, shards
from lib.models import registry
from lib.storage import records
from lib.storage.records import Journal
from lib.storage.shards import gather, journal_of, parts
from tests.conftest import ROOT, generation


@pytest.fixture(scope="module")
def prompts():
    return curated_prompts.build(seed=1, stems=12, contexts_per_stem=1)


@pytest.fixture
def run(tiny, tmp_path, monkeypatch, prompts):
    """The parameters of notebook 02 in a run folder of its own, with the prompts written."""
    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setattr(records, "run_folder", lambda name: tmp_path / name)
    parameters = generation(model={"id": str(tiny)}, samples=2)
    monkeypatch.setattr(records, "read_table", lambda *asked: prompts)
    return parameters


def tables(run, prompts, folder) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What notebook 02 writes."""
    model, name = registry.load(run.model), f"{run.model.name}.jsonl"
    requested = runner.requests(prompts, run, model)
    replies = runner.generate(requested, run, model, folder / "completions" / name)
    measured = next_token.measure(prompts, model, folder / "next_token" / name)
    return runner.completions_table(replies, run, model), measured


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_any_number_of_parts_in_any_order_gives_the_same_tables(run, prompts, tmp_path, count, monkeypatch):
    whole = tables(run, prompts, tmp_path / "elsewhere")
    sizes = [shards.generate(run, number, count) for number in reversed(range(1, count + 1))]
    assert sum(sizes) == len(whole[0])
    monkeypatch.setattr(
        "lib.models.huggingface.HuggingFaceModel.reply", lambda *taken, **named: pytest.fail("was asked anew")
    )
    folder = tmp_path / run.set_name
    gathered = tables(run, prompts, folder)
    for one, other in zip(gathered, whole, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_a_part_that_was_killed_goes_on_where_it_was(run, prompts, tmp_path):
    whole, _ = tables(run, prompts, tmp_path / "elsewhere")
    for number in (1, 2, 3):
        shards.generate(run, number, 3)
    path = journal_of(tmp_path / run.set_name / "completions" / f"{run.model.name}.jsonl", 2, 3)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4]) + lines[4][:40])  # as a kill leaves it: 4 records and a torn one
    shards.generate(run, 2, 3)
    assert len(path.read_text().splitlines()) == len(lines)
    pd.testing.assert_frame_equal(tables(run, prompts, tmp_path / run.set_name)[0], whole)


def test_what_no_part_has_made_is_made_in_the_end(run, prompts, tmp_path):
    whole, _ = tables(run, prompts, tmp_path / "elsewhere")
    shards.generate(run, 1, 2)
    pd.testing.assert_frame_equal(tables(run, prompts, tmp_path / run.set_name)[0], whole)


def test_parts_share_no_request_and_hold_whole_groups(prompts):
    requested = pd.DataFrame({"group_id": prompts["group_id"], "key": range(len(prompts))})
    found = [shards.of(requested, number, 4) for number in (1, 2, 3, 4)]
    assert sorted(pd.concat(found)["key"]) == list(range(len(prompts)))
    assert sum(part["group_id"].nunique() for part in found) == prompts["group_id"].nunique()
    shuffled = requested.sample(frac=1, random_state=1)
    assert set(shards.of(shuffled, 2, 4)["key"]) == set(found[1]["key"])


@pytest.mark.parametrize(("number", "count"), [(0, 2), (3, 2), (1, 0)])
def test_a_part_that_does_not_exist_is_refused(number, count):
    with pytest.raises(ParameterError, match=rf"shard {number} of {count}: there is none"):
        shards.of(pd.DataFrame({"group_id": ["a"]}), number, count)


def test_only_journals_of_parts_of_this_model_are_gathered(tmp_path):
    path = tmp_path / "m.jsonl"
    for name in ("m.1-of-2", "m.2-of-2", "m.x.1-of-2", "m2.1-of-2", "m.old"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"key": name, "value": 1}) + "\n")
    assert [part.name for part in parts(path)] == ["m.1-of-2.jsonl", "m.2-of-2.jsonl"]
    with Journal(path) as journal:
        assert gather(journal, ["value"]) == 2 and gather(journal, ["value"]) == 0
        assert journal.keys() == {"m.1-of-2", "m.2-of-2"}


def test_the_batch_makes_the_parts_and_then_the_table(copy, smoke):
    """Through Snakemake, with a mock model in three parts; the smoke run has made the table in one."""
    values = yaml.safe_load((ROOT / "params" / "smoke.yaml").read_text())
    values["models"] = [values["models"][0] | {"shards": 3}]
    path = copy / "params" / "parted.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    target = "outputs/parted/completions/mock-50.parquet"
    command = [sys.executable, "-m", "snakemake", target, "--cores", "2", "--quiet", "all"]
    given = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=given, capture_output=True, text=True)
    path.unlink()
    assert done.returncode == 0, done.stderr[-3000:]
    made = sorted(part.name for part in (copy / "outputs" / "parted" / "shards").iterdir())
    assert made == ["mock-50.1-of-3", "mock-50.2-of-3", "mock-50.3-of-3"]
    whole = pd.read_parquet(smoke / "completions" / "mock-50.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(copy / target), whole)
    shutil.rmtree(copy / "outputs" / "parted")
