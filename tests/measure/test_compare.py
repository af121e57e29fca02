"""Finished sets side by side, on the prompts that they share."""

import shutil

import pandas as pd
import pytest

from lib.config import specs
from lib.config.specs import ParameterError
from lib.measure import budget, compare, sets
from lib.storage import records
from tests.measured import CANNED


def test_sets_whose_confidence_differs_are_not_compared(project):
    for name, confidence in (("one", 0.95), ("two", 0.8)):
        told = sets.values(CANNED, "vader", budget.Design(4, 1, 0, 6))
        told["judging"]["confidence"] = confidence
        sets.write(name, told)
    with pytest.raises(
        ParameterError, match=r"judging\.confidence differs .0\.95 in one, 0\.8 in two.; make it the same"
    ):
        compare._agreed(["one", "two"], "judging", "confidence")


def test_sets_are_compared_on_the_prompts_that_they_share(smoke, copy, tmp_path, monkeypatch):
    shutil.copytree(copy, tmp_path / "project", ignore=shutil.ignore_patterns(".snakemake"))
    monkeypatch.setattr(records, "ROOT", tmp_path / "project")
    monkeypatch.setattr(specs, "ROOT", tmp_path / "project")
    monkeypatch.setattr(compare, "ROOT", tmp_path / "project")
    outputs = tmp_path / "project" / "outputs"
    shutil.copytree(outputs / "smoke", outputs / "again")
    shutil.copy(
        tmp_path / "project" / "params" / "smoke.yaml", tmp_path / "project" / "params" / "again.yaml"
    )
    for path in (outputs / "again" / "judgements").glob("*.parquet"):
        rows = pd.read_parquet(path)
        rows[rows["stem_id"].isin(sorted(set(rows["stem_id"]))[:20])].to_parquet(path)
    judgements, left_out = compare.shared(["smoke", "again"])
    assert judgements["group_id"].nunique() == 20 and left_out == 4
    assert sorted(judgements["model"].unique()) == sorted(
        f"{of}/mock-{leak}" for of in ("smoke", "again") for leak in (10, 30, 50)
    )
    said = compare.write(["smoke", "again"])
    assert "20 groups that all 6 models were asked, 4 others left out" in said[1] and "TOY" in said[0]
    assert (outputs / "comparisons" / "smoke+again.svg").is_file()
    assert compare.main(["smoke"]) == 1
    assert compare.main(["smoke", "embedded"]) == 1


@pytest.mark.parametrize(
    ("second", "same"),
    [(["a", "b", None], True), (["a", "c", None], False), (["a", "b", "d"], False), (["a", "b"], False)],
)
def test_models_that_wrote_the_same_are_told_by_their_completions(second, same):
    keys = [("p", 0), ("p", 1), ("q", 0)]
    rows = [
        (model, *key, text)
        for model, texts in (("one", ["a", "b", None]), ("two", second))
        for key, text in zip(keys, texts, strict=False)
    ]
    table = pd.DataFrame(rows, columns=["model", "prompt_id", "sample_index", "completion"])
    assert compare.identical(table) == [("one", "two")] * same

    assert compare.identical(table.assign(completion=None)) == []
