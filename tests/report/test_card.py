"""The card of a finished run: what it tells, how wide it is, what the hub reads of it."""

import json

import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCardData
from rich.cells import cell_len

from lib.config import specs
from lib.config.specs import ParameterError
from lib.report import card
from lib.storage import records


@pytest.mark.parametrize("content", ["", "{", "[]", '{"variances": 1}'])
def test_a_damaged_card_is_named_with_its_remedy(project, content):
    (project / "outputs" / "embedded").mkdir(parents=True)
    (project / "outputs" / "embedded" / "card.json").write_text(content)
    with pytest.raises(
        ParameterError, match=r"outputs/embedded/card\.json is damaged; make it anew: git checkout"
    ):
        card.read("embedded")


def test_a_card_without_a_pair_to_judge_says_so(smoke):
    told = json.loads((smoke / "card.json").read_text())
    model = told["models"][0]
    for row in model["quantities"]:
        row |= {"estimate": None, "ci_low": None, "ci_high": None, "n": 0, "n_stems": 0}
    model |= {"same": None, "pairs": []}
    assert any("none of which both completions can be judged" in line for line in card.lines(told))
    assert "not estimated" in card.markdown(told)


def test_a_card_is_no_wider_for_wide_letters_and_sends_no_commands_to_the_terminal(smoke):
    told = json.loads((smoke / "card.json").read_text())
    told["models"][0]["pairs"][0] |= {
        "completion": "悲しい通り" * 9 + "\x1b[31m",
        "completion_neutral": "通り" * 30,
    }
    told["models"][0]["name"] = "long-" * 30
    shown = card.lines(told)
    assert all(cell_len(line) <= card.WIDTH and "\x1b" not in line for line in shown)
    assert "TOY, no conclusion: it leaks" in shown[0]


def test_a_card_fits_a_terminal_and_tells_what_the_tables_tell(smoke, monkeypatch):
    monkeypatch.setattr(records, "ROOT", smoke.parents[1])
    monkeypatch.setattr(specs, "ROOT", smoke.parents[1])
    told = card.read("smoke")
    shown = card.lines(told, "at the budget, after 20 of 24 groups; a larger BUDGET goes on from there")
    assert len(shown) <= 15 and max(map(len, shown)) <= card.WIDTH
    quantities = pd.read_parquet(smoke / "quantities" / "mock-50.parquet")
    by_arm = quantities[quantities["table"] == "arm"].set_index(["arm", "quantity"])["estimate"]
    own = {(row["arm"], row["quantity"]): row["estimate"] for row in told["models"][0]["quantities"]}
    for key, estimate in by_arm.items():
        assert own[key] == pytest.approx(estimate, abs=1e-5)
    board = pd.read_csv(smoke / "headline.csv").query("claim == 'C0' and model == 'mock-50'").iloc[0]
    assert own["both", "shift"] == pytest.approx(board["estimate"], abs=1e-5)
    assert own["both", "net"] == pytest.approx(board["net"], abs=1e-5)
    assert shown[0].startswith(f"mock-50: TOY, no conclusion: it leaks, as judged: {board['reason']}"[:90])
    assert any(
        line.startswith("mean shift   +") and "scale points (0: none); leak rate" in line for line in shown
    )
    assert any("smollm2-135m-chat" in line for line in shown)


def test_beside_the_clearest_pairs_stands_a_random_one(smoke):
    told = json.loads((smoke / "card.json").read_text())
    pairs = told["models"][0]["pairs"]
    assert [pair["random"] for pair in pairs] == [False, False, True] and pairs[0]["shift"] >= pairs[1][
        "shift"
    ] > 0
    assert sum(" drawn " in line[:13] for line in card.lines(told)) == 1
    assert card.markdown(told).count("drawn at random") == len(told["models"])


def test_the_metadata_of_a_card_is_read_by_the_hub_s_own_library(smoke):
    text = (smoke / "card.md").read_text()
    block = yaml.safe_load(text.split("---\n")[1])
    assert [entry["name"] for entry in block["model-index"]] == ["mock-50", "mock-30", "mock-10"]
    read = ModelCardData(**{"model-index": block["model-index"][:1]})
    net = [result for result in read.eval_results if result.metric_type == "net"]
    assert (
        len(net) == 3
        and net[0].metric_args["contexts"] == "both"
        and len(net[0].metric_args["interval"]) == 2
    )
