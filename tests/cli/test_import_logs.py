"""The command that writes logs as a table: what it writes is read alike, and what is wrong is named."""

import json

import pandas as pd
import pytest

from lib.cli import import_logs
from lib.dataset import curated_prompts
from lib.measure import answers, sets
from lib.models import registry
from tests import tool_logs
from tests.measured import CANNED, asked


@pytest.fixture(scope="module")
def prompts() -> pd.DataFrame:
    """The prompts of two groups that a measurement asks first."""
    table, ordered = answers.benchmark(sets.values(CANNED, "vader"))
    return table[table["group_id"].isin(ordered[:2])].reset_index(drop=True)


@pytest.mark.parametrize("suffix", import_logs.SUFFIXES)
def test_the_command_writes_a_table_that_is_read_alike(project, prompts, capsys, suffix):
    written = tool_logs.replies(prompts, 2)
    log = tool_logs.harness(project, prompts, written, 2)
    target = project / f"table{suffix}"
    assert import_logs.main([str(log), str(target)]) == 0
    printed = capsys.readouterr().out
    assert f"{len(written)} replies to {len(prompts)} prompts (2 none, 2 neutral" not in printed
    assert f"{len(written)} replies to {len(prompts)} prompts (4 none, 4 neutral" in printed
    model = registry.load(asked(table=target.name))
    keys = zip(model.rows["prompt"], model.rows["sample_index"], strict=True)
    assert dict(zip(keys, model.rows["completion"], strict=True)) == written


def test_the_command_explains_what_is_wrong(project, prompts, capsys):
    written = tool_logs.replies(prompts, 1)
    log, target = tool_logs.harness(project, prompts, written, 1), project / "table.csv"
    table = project / "plain.csv"
    table.write_text("a\n1\n")

    def message(*arguments) -> str:
        assert import_logs.main([str(each) for each in arguments]) == 1
        return capsys.readouterr().err

    assert "no such file" in message(project / "nosuch.eval", target)
    assert "a table of completions needs no import" in message(table, target)
    assert "unknown suffix '.zzz'; give .csv, .jsonl, .parquet" in message(log, "x.zzz")
    assert "plain.csv: is there already" in message(log, table)
    made = tool_logs.inspect_log(prompts, written, 1)
    (project / "log.json").write_text(json.dumps(made))
    assert "the logs are of 2 models: openai/model, org/model" in message(log, project / "log.json", target)
    assert "prompts are not in the set 'quick'" in message(log, target, "--set", "quick")
    assert not target.exists()


def test_the_prompts_are_those_of_the_set_that_was_exported(project):
    values = curated_prompts.build(20251118, 24, 1)
    few = values[values["stem_id"].isin(values["stem_id"].unique()[:2])]
    log = tool_logs.harness(project, few, tool_logs.replies(few, 1), 1)
    assert import_logs.main([str(log), str(project / "table.parquet"), "--set", "quick"]) == 0
