"""Notebooks 06b and 06c executed on a tiny model: pages, figures with words, tables, a board."""

import json
import re
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from lib.claims.board import VERDICTS
from lib.config import params, specs
from lib.report import intervention_reports, verify_claims
from lib.report.differences import of_tables
from lib.storage import records
from tests.conftest import ROOT, call

NAME = "changed"
NOTEBOOKS = ("01_dataset", "02_generation", "03_judging", "06b_interventions", "06c_mitigation_compared")


@pytest.fixture(scope="module")
def project(copy, tiny, made_once):
    """A folder with the parameter set, its outputs, and its executed notebooks in `pages`."""

    def run(folder):
        for part in ("params", "pages", "outputs"):
            (folder / part).mkdir()
        path = copy / "params" / f"{NAME}.yaml"
        path.write_text(yaml.safe_dump(values(tiny), sort_keys=False))
        execute(copy, folder / "pages")
        path.rename(folder / "params" / path.name)
        shutil.move(copy / "outputs" / NAME, folder / "outputs" / NAME)

    return made_once(NAME, run)


def values(tiny) -> dict:
    told = yaml.safe_load((ROOT / "params" / "quick.yaml").read_text())
    told["models"][0] |= {"id": str(tiny), "name": "tiny"}
    told["dataset"]["half"] = "evaluated"
    told["generation"] |= {"max_new_tokens": 6}
    told["interventions"]["trained"] = {"kind": "consistency", "steps": 2}
    return told


def execute(copy, pages) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(specs, "ROOT", copy)
        parameters = params.load(NAME)
        cells = {name: params.cell_values(parameters, NAME, name) for name in NOTEBOOKS}
    for name in NOTEBOOKS:
        (pages / "values.yaml").write_text(yaml.safe_dump(cells[name]))
        done = call(copy, "notebook", name, str(pages / "values.yaml"), str(pages / f"{name}.ipynb"))
        assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def pages(project):
    """The run folder, and the cells of the executed notebooks by name."""
    executed = {
        name: json.loads((project / "pages" / f"{name}.ipynb").read_text())["cells"] for name in NOTEBOOKS
    }
    return project / "outputs" / NAME, executed


@pytest.mark.parametrize("name", NOTEBOOKS[-2:])
def test_each_figure_has_words_and_a_sentence_under_it(pages, name):
    cells = pages[1][name]
    for place, cell in enumerate(cells):
        texts = ["".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", [])]
        images = [text for text in texts if text.startswith("<img")]
        drawn = cell["cell_type"] == "code" and "intervention_figures." in "".join(cell["source"])
        assert len(images) == drawn, cell["id"]
        assert all(re.match(r'<img alt="[^"]{40,}"', text) for text in images)
        if drawn:
            following = [output["data"] for output in cells[place + 1]["outputs"]]
            assert any("text/markdown" in data for data in following), cell["id"]


def test_every_strategy_is_in_the_table_with_effect_survival_and_cost(pages):
    table = pd.read_parquet(pages[0] / "strategies.parquet")
    assert set(table["mitigation"]) == {
        "ignore-feelings",
        "neutral-tone",
        "last-sentence",
        "contrast-half",
        "ablate-direction",
        "trained",
    }
    assert set(table["kind"]) == {"prompt", "decoding", "representation", "training"}
    assert (
        table[["perplexity", "seconds", "memory", "tokens", "unusable", "n", "n_controls"]]
        .notna()
        .all(axis=None)
    )
    assert (table["n"] > 0).all() and (table["n_controls"] > 200).all()


def test_the_board_has_a_row_of_the_claim_and_the_layers_are_kept(pages):
    board = pd.read_parquet(pages[0] / "claims" / "interventions.parquet")
    assert list(board["claim"]) == ["C3b"] and board.loc[0, "verdict"] in VERDICTS
    layers = pd.read_parquet(pages[0] / "layers" / "tiny.parquet")
    assert layers["layer"].tolist() == list(range(len(layers))) and (layers["n"] > 0).all()
    # a random model may write nothing that VADER rates, and then nothing can be predicted
    assert layers["estimate"].dropna().between(-1, 1).all()


def test_the_board_of_the_run_takes_the_claim_and_the_second_judge_has_none_of_his_own(project, monkeypatch):
    for module in (specs, records):
        monkeypatch.setattr(module, "ROOT", project)
    board = records.read_table(NAME, "claims/interventions")
    assert board["verdict_vader"].isna().all()  # the set's judge is VADER


def test_verification_makes_the_claim_again_and_sees_missing_rows(project, tmp_path, monkeypatch):
    folder = tmp_path / "outputs" / NAME
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    for module in (specs, records):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    stored = pd.read_parquet(folder / "claims" / "interventions.parquet")
    key = ["claim", "model", "measured"]
    assert not of_tables("interventions.parquet", stored, verify_claims.of_interventions(NAME), key, "")
    judged = folder / "interventions" / "tiny.parquet"
    table = pd.read_parquet(judged)
    table[table["group_id"] != table["group_id"].iloc[0]].to_parquet(judged)
    assert of_tables("interventions.parquet", stored, verify_claims.of_interventions(NAME), key, "")


def test_asking_twice_counts_as_asking():
    specs_of = {"s2a": SimpleNamespace(kind="ask_first"), "half": SimpleNamespace(kind="contrast")}
    kinds = intervention_reports.strategies({"calm": "Be calm.", "c": "Spell well."}, specs_of, ["c"])
    assert intervention_reports.split(kinds) == (["calm", "s2a"], ["half"])


def test_the_losses_are_on_the_page(pages):
    (words,) = [cell for cell in pages[1]["06b_interventions"] if cell["id"] == "06b-losses-words"]
    assert re.search(
        r"trained: the divergence .* fell from 0\.\d+ to 0\.\d+ nats a token", str(words["outputs"])
    )


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        (15, "fell from 0.2000 to 0.1900 nats a token at step 15, after 1.0 minutes."),
        (0, "and 0.1500 after 30 steps, and no step is kept: **this adapter changes nothing**."),
    ],
)
def test_the_loss_that_is_told_is_that_of_the_weights_that_are_kept(kept, says):
    """It need not be the lowest: what ordinary texts lose counts too."""
    rows = [
        (0, "held_out", 0.2, 3),
        (15, "held_out", 0.19, 60),
        (15, "retain", 0.1, 60),
        (30, "held_out", 0.15, 90),
    ]
    table = pd.DataFrame(rows, columns=["step", "part", "loss", "seconds"])
    table = table.assign(intervention="trained", kept=table["step"] == kept)
    said = intervention_reports.loss_summary(table)
    assert said.startswith("trained: the divergence on stems it did not see ") and says in said


def test_the_best_of_each_kind_is_named_or_said_to_be_missing():
    rows = [
        ("m", "prompt", "calm", 0.8, 1.0),
        ("m", "prompt", "focus", 0.6, 0.5),
        ("m", "decoding", "cold", 0.1, 0.2),
    ]
    table = pd.DataFrame(rows, columns=["model", "kind", "mitigation", "leak", "survival"])
    for name in ("leak", "survival"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.1, table[name] + 0.1
    words = intervention_reports.best_of_each_kind(table, 0.8)
    assert "prompt: calm (0.80 [0.70, 0.90] of the leak, 1.00 [0.90, 1.10] of what belongs)" in words
    assert "decoding: none, as less than 80 % of what belongs survives under all" in words
