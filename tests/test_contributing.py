"""The recipes of CONTRIBUTING.md do what they say."""

import re
import shutil
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from lib.config import params
from lib.config.specs import ROOT
from lib.dataset import curated_prompts, lint
from lib.generation import runner
from lib.judging import judges
from tests.generation.test_runner import generation

MOST_LINES = 20


def recipe(language: str, number: int = 0) -> str:
    """A code block of the recipes."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Four things to add")[2]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[number]


@pytest.mark.parametrize("block", [("csv", 0), ("yaml", 0), ("python", 0), ("python", 1)])
def test_a_recipe_is_short(block):
    assert len(recipe(*block).splitlines()) < MOST_LINES


def test_a_stem(tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(curated_prompts.DATA, folder)
    with (folder / "stems.csv").open("a", encoding="utf-8") as file:
        file.write(recipe("csv"))
    added = recipe("csv").split(",")[0]
    assert added in set(pd.read_csv(folder / "stems.csv")["stem_id"])
    lint.main(folder)
    about_it = [line for line in capsys.readouterr().out.splitlines() if added in line]
    assert all("lib.dataset.relatedness" in line for line in about_it), "the next command mends what is left"


def test_a_mitigation(project):
    path = project / "params" / "smoke.yaml"
    values = yaml.safe_load(path.read_text())
    values["mitigations"] |= yaml.safe_load(recipe("yaml"))["mitigations"]
    path.write_text(yaml.safe_dump(values))
    assert "plain-facts" in params.load("smoke").mitigations


def test_a_judge(monkeypatch, tmp_path):
    module = ModuleType("afinn_judge")
    exec(recipe("python"), module.__dict__)
    monkeypatch.setattr(judges, "_module", lambda judge: module)
    valences = judges.valences(SimpleNamespace(kind="afinn", name="afinn"), ["awful", "lovely", None])
    assert valences[0] < 0 < valences[1] and np.isnan(valences[2])


def test_a_backend(tmp_path):
    names: dict = {}
    exec(recipe("python", 1), names)
    parameters = generation(mitigations={}, mitigation_samples=0)
    model = names["Parrot"](parameters.model)
    benchmark = curated_prompts.build(seed=1, stems=2, contexts_per_stem=1)
    requested = runner.requests(benchmark, parameters, model)
    replies = runner.generate(requested, parameters, model, tmp_path / "journal.jsonl")
    assert set(replies["completion"]) == {"a parrot says this."}
