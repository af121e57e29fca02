"""Tables of completions made elsewhere: the empty one, and what a filled one measures."""

import json

import pandas as pd
import pytest

from lib.config.specs import ParameterError
from lib.measure import answers, budget, sets, tables
from lib.models import registry
from tests.measured import CANNED, asked


@pytest.fixture
def filled(project):
    """The blank table of six groups, filled by the mock model: rows to change, and a function that gives
    their design."""
    table, ordered = answers.benchmark(sets.values(CANNED, "vader"))
    paths = tables.write_blank(table, ordered, 6, 2, "completion")
    rows = pd.read_csv(paths[0], dtype=str, keep_default_na=False)
    rows["completion"] = [f"answer {number}." for number in range(len(rows))]

    def design(changed: pd.DataFrame) -> budget.Design:
        changed.to_csv(project / "mine.csv", index=False)
        model = registry.load(asked(table="mine.csv"))
        return tables.design(model, table, ordered, sets.values(CANNED, "vader")["mitigations"])

    return rows, design


def test_a_blank_table_holds_the_first_groups_whole_and_is_not_overwritten(filled, project):
    rows, design = filled
    assert len(rows) == 6 * 5 * 2 and rows["prompt_id"].str.split("/").str[1].value_counts().eq(12).all()
    lines = [json.loads(line) for line in (project / "outputs" / "answers.jsonl").read_text().splitlines()]
    assert [line["prompt_id"] for line in lines] == rows["prompt_id"].tolist()
    assert design(rows).groups == 6 and design(rows).samples == 2 and not design(rows).mitigation_samples
    with pytest.raises(FileExistsError, match=r"answers\.csv is there already"):
        tables.write_blank(*answers.benchmark(sets.values(CANNED, "vader")), 6, 2, "chat")


def test_a_table_that_is_not_whole_is_refused_by_what_is_wrong(filled):
    rows, design = filled
    with pytest.raises(
        ParameterError, match=r"lacks 2 of 60 answers, in 1 groups, which need all of none, neutral, placebo"
    ):
        design(rows.iloc[2:])
    with pytest.raises(
        ParameterError, match=r"1 rows ask an unknown prompt_id, such as 's1\+m1/none' \(line 2\)"
    ):
        design(rows.assign(prompt_id=["s1+m1/none", *rows["prompt_id"][1:]]))
    blank = rows.assign(completion=["", *rows["completion"][1:]])
    with pytest.raises(ParameterError, match=r"1 of 60 completions are not filled in .line 2"):
        design(blank)
    assert design(blank.assign(outcome=["empty", *[""] * 59])).groups == 6
    with pytest.raises(ParameterError, match="has no column prompt_id"):
        design(rows.drop(columns="prompt_id"))
    with pytest.raises(ParameterError, match="holds one group; at least two are needed"):
        design(rows[rows["prompt_id"].str.startswith(rows["prompt_id"].str.split("/").str[0].iloc[0])])
    with pytest.raises(ParameterError, match=r"lacks 30 of 60 answers.*sample_index 0 to 1"):
        design(rows.assign(sample_index=(rows["sample_index"].astype(int) + 1).astype(str)))
    with pytest.raises(ParameterError, match="every answer has a mitigation"):
        design(rows.assign(mitigation="control"))
    with pytest.raises(ParameterError, match="holds no answers"):
        design(rows.iloc[:0])
