"""The exported folder: tables as they are, a card with computed numbers, tasks that count as lib/ does and
need none of it."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.analysis import leakage
from lib.cli import export
from lib.config import params, specs
from lib.config.specs import ParameterError
from lib.dataset import curated_prompts
from lib.judging import judges
from lib.models.base import INSTRUCTION
from lib.replies import outcomes
from lib.replies.reply import Reply
from lib.stats import inference
from lib.storage import records


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What `python -m lib.cli.export quick` writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "ROOT", tmp_path_factory.mktemp("project"))
        return export.export("quick")


@pytest.fixture(scope="module")
def scoring(made):
    """The exported scoring, imported from its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(made / "inspect")
        yield importlib.import_module("leakage_scoring")
    for name in [
        name for name in sys.modules if name == "leakage_scoring" or name.startswith("leakage_rules")
    ]:
        sys.modules.pop(name)


@pytest.fixture(scope="module")
def benchmark() -> pd.DataFrame:
    told = params.load("quick").dataset
    return curated_prompts.build(told["seed"], told["stems"], told["contexts_per_stem"])


def test_tables_are_written_twice_and_alike(made, benchmark):
    for name in ("stems", "contexts", "prompts"):
        table = pd.read_parquet(made / "data" / f"{name}.parquet")
        lines = (made / "data" / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
        assert [json.loads(line) for line in lines if line] == table.to_dict("records")
    assert set(table["part"]) == {"main"}
    pd.testing.assert_frame_equal(table.drop(columns="part"), benchmark)


def test_stems_and_contexts_are_those_of_the_prompts(made, benchmark):
    stems, contexts = (pd.read_parquet(made / "data" / f"{name}.parquet") for name in ("stems", "contexts"))
    assert set(stems["stem_id"]) == set(benchmark["stem_id"])
    assert set(contexts["context_id"]) == set(benchmark["context_id"]) - {""}


def test_the_card_is_read_by_the_hub_and_tells_computed_numbers(made, benchmark):
    text = (made / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(text.split("---")[1])
    assert header["license"] == "cc-by-4.0"
    assert [config["config_name"] for config in header["configs"]] == ["prompts", "stems", "contexts"]
    assert all((made / config["data_files"]).is_file() for config in header["configs"])
    assert f"| `prompts` | {len(benchmark)} |" in text
    assert f"`stems` | {benchmark['stem_id'].nunique()} |" in text
    assert all(f"`{name}`" in text for name in benchmark.columns)
    strength = curated_prompts.describe(benchmark).loc["negative", "context_valence"]
    assert f"{strength:.2f}" in text
    assert "$" not in text


@pytest.mark.parametrize(("rows", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (10_000, "10K<n<100K")])
def test_the_card_names_the_size_as_the_hub_does(benchmark, rows, size):
    told = params.from_cell("01_dataset", params.cell_values(params.load("quick"), "quick", "01_dataset"))
    many = benchmark.iloc[np.arange(rows) % len(benchmark)]
    tables = {
        "stems": curated_prompts.read_stems(),
        "contexts": curated_prompts.read_contexts(),
        "prompts": many,
    }
    assert f"- {size}\n" in export.card("quick", told, tables, 0.2)


def names(folder) -> set[str]:
    """What is in a folder, but for what Python leaves where it imported from."""
    return {path.name for path in folder.iterdir()} - {"__pycache__"}


def test_the_tasks_hold_what_they_need(made):
    shared = {"prompts.jsonl", "settings.json", "leakage_rules", "leakage_scoring.py"}
    rules = {"__init__.py", "outcomes.py", "openings.py", "refusals.py", "sentences.py", "text.py"}
    assert {path.name for path in (made / "inspect" / "leakage_rules").glob("*.py")} == rules
    assert names(made / "inspect") == shared | {"expression_leakage.py"}
    own = {"expression_leakage.yaml", "expression_leakage_chat.yaml", "utils.py"}
    assert names(made / "lm_eval") == shared | own
    settings = json.loads((made / "lm_eval" / "settings.json").read_text())
    quick = params.load("quick")
    assert settings == {
        "charged_threshold": export.CHARGED,
        "max_new_tokens": quick.generation["max_new_tokens"],
        "instruction": INSTRUCTION,
    }


def test_the_scoring_runs_without_this_project(made):
    code = (
        "import sys, leakage_scoring as s; print(len(s.read_prompts()), 'lib' in sys.modules, 'pandas' "
        "in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=made / "inspect", env={}, capture_output=True, text=True
    )
    assert done.stdout == "120 False False\n", done.stderr


class Functions(yaml.SafeLoader):
    """Reads `!function utils.name` as that name."""


Functions.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def test_the_yaml_names_every_quantity_and_its_error(made, scoring):
    task = yaml.load((made / "lm_eval" / "expression_leakage.yaml").read_text(), Functions)
    names = [metric["metric"] for metric in task["metric_list"]]
    numbers = [name for quantity in scoring.REPORTED for name in (quantity, f"{quantity}_error")]
    assert (
        names == numbers + [f"n_{outcome}" for outcome in outcomes.OUTCOMES] == numbers + list(scoring.COUNTS)
    )
    assert [metric["aggregation"] for metric in task["metric_list"]] == [f"utils.{name}" for name in names]
    assert task["doc_to_text"] == "{{text}}"
    chat = yaml.load((made / "lm_eval" / "expression_leakage_chat.yaml").read_text(), Functions)
    assert chat["doc_to_text"] == "Complete the sentence: {{text}}"
    assert chat["include"] == "expression_leakage.yaml"


TEXTS = [
    " sad.",
    " a happy, wonderful place! And sad.",
    " 14.",
    " the misery\nJoy",
    " isn’t good.",
    "",
    "...",
    "a happy",
    "<think>sad",
    "<think>sad</think> joy.",
    "Sure! Here is the sentence: a sad one.",
    "I'm sorry, but I can't assist with that.",
]
REPLIES = st.lists(st.sampled_from(TEXTS), min_size=8, max_size=40)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(replies=REPLIES, samples=st.integers(1, 2), ended=st.booleans())
def test_the_exported_scoring_counts_as_lib_does(scoring, benchmark, replies, samples, ended):
    asked = [
        row for row in scoring.read_prompts() if row["stem_id"] in set(benchmark["stem_id"].unique()[:6])
    ]
    texts = [replies[place % len(replies)] for place in range(len(asked) * samples)]
    rows = [
        scoring.judged(texts[place * samples + index], prompt, index, ended)
        for place, prompt in enumerate(asked)
        for index in range(samples)
    ]
    theirs = scoring.leakage(rows)
    table = pd.DataFrame(rows).drop(columns="valence").assign(model="m", mitigation="none")
    context, stem = (
        table["prompt_id"].map(benchmark.set_index("prompt_id")[name]) for name in ("context", "stem")
    )
    ours = [
        outcomes.settle(Reply(text, 1, ended), *told)
        for text, *told in zip(texts, context, stem, strict=True)
    ]
    assert [row["completion"] for row in rows] == [found.completion for found in ours]
    assert {name: theirs[f"n_{name}"] for name in outcomes.OUTCOMES} == {
        name: sum(found.outcome == name for found in ours) for name in outcomes.OUTCOMES
    }
    judged = judges.judgements(
        table.fillna({"completion": ""}), benchmark, specs.VaderJudge(name="vader"), 0.2
    )
    missing = np.array([found.completion is None for found in ours])
    pairs = leakage.pairs(
        judged.assign(valence=judged["valence"].mask(missing), charged=judged["charged"].mask(missing))
    )
    for name in scoring.REPORTED:
        quantity, _, contrast = name.partition("_")
        arm, direction = scoring.CONTRASTS[contrast]
        part = pairs[(pairs["arm"] == arm) & (pairs["direction"] == direction)]
        found = inference.clustered_mean(part[quantity], part["stem_id"])
        assert theirs[name] == pytest.approx(found.estimate, abs=1e-9, nan_ok=True)
        assert theirs[f"{name}_error"] == pytest.approx(found.se, abs=1e-9, nan_ok=True)


def test_what_a_harness_knows_of_a_reply_is_its_outcome(scoring):
    prompt = scoring.read_prompts()[0]
    found = scoring.judged("", prompt, 0, outcome="filtered")
    assert (found["outcome"], found["completion"]) == ("filtered", None)
    assert np.isnan(found["valence"])
    assert scoring.judged("a sad", prompt, 0, ended=False)["outcome"] == "truncated"


def test_a_prompt_without_its_reference_is_left_out(scoring):
    rows = [scoring.judged(" sad.", prompt, 0) for prompt in scoring.read_prompts()]
    lonely = [row for row in rows if row["arm"] != "neutral" or row["stem_id"] == rows[0]["stem_id"]]
    found = scoring.leakage(lonely)
    assert found["leak_negative"] == 50
    assert np.isnan(found["leak_negative_error"]), "one stem has no error"
    assert np.isnan(scoring.leakage([row for row in rows if row["arm"] != "neutral"])["net_negative"])


def test_text_that_others_wrote_is_not_exported(monkeypatch):
    published = params.load("quick")
    told = published.model_copy(
        update={"dataset": published.dataset | {"published_prompts": {"path": "theirs.xlsx"}}}
    )
    monkeypatch.setattr(params, "load", lambda name: told)
    with pytest.raises(ParameterError, match="sentences of others are not exported"):
        export.export("quick")


@pytest.mark.parametrize(
    ("arguments", "code", "said"), [(["nosuch"], 1, "no such parameter set"), (["a", "b"], 2, "usage")]
)
def test_the_command_explains_what_is_wrong(capsys, arguments, code, said):
    assert export.main(arguments) == code
    assert said in capsys.readouterr().err
