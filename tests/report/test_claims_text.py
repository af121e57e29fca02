"""The claims board on a terminal: words first, numbers second, at most 100 columns, with faults and
stamps."""

import numpy as np
import pytest

from lib.analysis import usability
from lib.claims import board
from lib.config import params
from lib.dataset import curated_prompts
from lib.models import mock
from lib.report import claims_text
from lib.storage import records
from tests.report.test_forest import TABLE


def test_words_come_first_and_numbers_second():
    lines = claims_text.rows_of(TABLE.iloc[:1])
    assert lines[0] == "  a: supported: r"
    assert lines[1].endswith("  +10.0 [+5.0, +15.0] points; n 20 in 10 stems; MDE 3.0, δ 5.0")
    assert lines[1].strip().startswith("┊ │ ───●───"), "the strip"
    assert len(lines) == 2


def test_what_is_not_estimated_has_words_alone():
    assert claims_text.rows_of(TABLE.iloc[3:]) == ["  f: inconclusive: r"]


def test_no_line_exceeds_a_hundred_columns():
    long = TABLE.assign(
        reason="so many words that nobody can read them " * 5, unit="points per tenfold size", model="m" * 60
    )
    lines = claims_text.rows_of(long)
    assert max(map(len, lines)) <= 100
    assert sum("n 20 in 10 stems" in line for line in lines) == 3


def test_the_numbers_of_every_row_stand_under_its_strip():
    lines = claims_text.rows_of(
        TABLE.assign(unit="points per tenfold size of a very long name that does not fit beside a strip")
    )
    assert all(line.startswith(" " * 27) for line in lines if line.startswith(" " * 10) and "●" not in line)


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Writes judgements of a mock model of the smoke set, changed by a function."""
    monkeypatch.setattr(records, "ROOT", tmp_path)

    def write(change=lambda table: table):
        parameters = params.load("smoke")
        table = _judgements(parameters)
        records.write_table("smoke", "judgements/mock-50", change(table))

    return write


def _judgements(parameters):
    from lib.config import specs
    from lib.generation import runner
    from lib.judging import judges

    run = params.from_cell(
        "02_generation", params.cell_values(parameters, "smoke", "02_generation", "mock-50")
    )
    benchmark = curated_prompts.build(seed=1, stems=24, contexts_per_stem=1)
    model = mock.MockModel(run.model)
    requested = runner.requests(benchmark, run.model_copy(update={"mitigations": {}}), model)
    paid = runner.generate(requested, run, model, records.run_folder("smoke") / "c.jsonl")
    return judges.judgements(
        runner.completions_table(paid, run, model),
        benchmark,
        specs.JUDGE_SCHEMA.validate_python("vader"),
        0.2,
    )


def test_a_model_that_is_judged_has_its_line_with_the_stamp_of_its_set(judged):
    judged()
    said = claims_text.of_model("smoke", "mock-50").splitlines()
    assert said[0] == "C0 leakage exists (before correction for several models)"
    assert said[1].startswith("  mock-50: supported, as judged: ")
    assert "in 24 stems; MDE" in said[2]
    assert said[3] == "  ⚠ TOY: no conclusion. A mock model wrote these completions."


def test_an_unusable_model_has_no_verdict_on_its_line(judged):
    def spoil(table):
        lost = (table["arm"] == "negative") & (np.arange(len(table)) % 2 == 0)
        return table.assign(outcome=table["outcome"].mask(lost, "empty"), valence=table["valence"].mask(lost))

    judged(spoil)
    said = claims_text.of_model("smoke", "mock-50")
    assert f"mock-50: {board.INCONCLUSIVE}: " in said and "unusable" in said
    assert "⚠ TOY" in said and "INCONCLUSIVE: mock-50" in said


def test_a_broken_placebo_rule_makes_the_line_invalid(judged):
    def bias(table):
        placebo = table["arm"] == "placebo"
        return table.assign(
            valence=table["valence"].mask(placebo, 3.0), charged=table["charged"].mask(placebo, True)
        )

    judged(bias)
    said = claims_text.of_model("smoke", "mock-50")
    assert f"mock-50: {board.INVALID}: {usability.PLACEBO_BROKEN}" in said and "INVALID" in said
