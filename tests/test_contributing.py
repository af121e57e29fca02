"""The recipes of CONTRIBUTING.md do what they say."""

import re
import shutil
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from lib.config import params
from lib.config.interventions import Own
from lib.config.specs import ROOT
from lib.dataset import curated_prompts, lint
from lib.generation import runner
from lib.interventions import registry
from lib.interventions.base import Intervened
from lib.judging import judges
from lib.models import registry as models
from tests.conftest import generation as with_changes
from tests.generation.test_runner import generation

MOST_LINES = 20


def recipe(language: str, number: int = 0) -> str:
    """A code block of the recipes."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Five things to add")[2]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[number]


@pytest.mark.parametrize("block", [("csv", 0), ("yaml", 0), ("python", 0), ("python", 1), ("python", 2)])
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


def test_an_intervention(tiny, monkeypatch):
    module = ModuleType("colder")
    exec(recipe("python"), module.__dict__)
    monkeypatch.setitem(sys.modules, "colder", module)
    parameters = with_changes(model={"id": str(tiny)}, mitigations={})
    model = models.load(parameters.model)
    found = SimpleNamespace(model=model)
    specs = {"colder": Own(kind="own", function="colder:build")}
    backend = Intervened(model, registry.make(specs, found)["colder"], "colder")
    benchmark = curated_prompts.build(seed=1, stems=2, contexts_per_stem=1)
    requested = runner.requests(benchmark, parameters, backend)
    colder = [reply.text for reply in backend.reply(requested, 0.7, 8, seed=1)]
    assert colder == [reply.text for reply in model.reply(requested, 0.35, 8, seed=1)]


def test_a_judge(monkeypatch, tmp_path):
    module = ModuleType("afinn_judge")
    exec(recipe("python", 1), module.__dict__)
    monkeypatch.setattr(judges, "_module", lambda judge: module)
    valences = judges.valences(SimpleNamespace(kind="afinn", name="afinn"), ["awful", "lovely", None])
    assert valences[0] < 0 < valences[1] and np.isnan(valences[2])


def test_a_backend(tmp_path):
    names: dict = {}
    exec(recipe("python", 2), names)
    parameters = generation(mitigations={}, mitigation_samples=0)
    model = names["Parrot"](parameters.model)
    benchmark = curated_prompts.build(seed=1, stems=2, contexts_per_stem=1)
    requested = runner.requests(benchmark, parameters, model)
    replies = runner.generate(requested, parameters, model, tmp_path / "journal.jsonl")
    assert set(replies["completion"]) == {"a parrot says this."}
