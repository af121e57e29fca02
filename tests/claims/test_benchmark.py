"""The version of the benchmark: changes with its sentences, its judge and its rules; named by boards."""

import hashlib

import pytest

from lib.claims import benchmark, rules
from lib.config import params
from lib.config.specs import JUDGE_SCHEMA
from lib.dataset import curated_prompts
from lib.judging import judges


def test_the_version_is_that_of_its_sentences_judge_and_rules():
    """If this fails, a part has changed: raise VERSION, say in HISTORY what changed, and set PARTS."""
    files = [curated_prompts.DATA / f"{name}.csv" for name in ("stems", "contexts", "exclusions")]
    content = b"".join(path.read_bytes() for path in files)
    parts = {
        "sentences": hashlib.sha256(content).hexdigest()[:12],
        "judge": judges.version(JUDGE_SCHEMA.validate_python(benchmark.JUDGE)),
        "rules": rules.RULES_VERSION,
    }
    assert parts == benchmark.PARTS
    assert list(benchmark.HISTORY) == list(range(1, benchmark.VERSION + 1))


@pytest.mark.parametrize(
    "dataset, judge, words",
    [
        ({}, "learned", benchmark.NAME),
        ({}, "vader", f"sentences of {benchmark.NAME}, judge vader"),
        ({"stems_file": "mine.csv"}, "learned", f"own sentences, judged as in {benchmark.NAME}"),
        ({"mining": {"wet": "x"}}, "vader", "mined, judge vader"),
        ({"published_prompts": "x"}, "learned", f"published prompts, judged as in {benchmark.NAME}"),
    ],
)
def test_other_sentences_and_judges_are_told_apart(dataset, judge, words):
    loaded = params.load("embedded")
    changed = loaded.model_copy(
        update={"dataset": {**loaded.dataset, **dataset}, "judging": {**loaded.judging, "judge": judge}}
    )
    assert benchmark.of_set(changed) == words


def test_a_board_names_its_benchmark():
    assert rules.board_kind("embedded").startswith(f"exploratory, {benchmark.NAME}, {rules.RULES_VERSION}: ")
