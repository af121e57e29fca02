"""The parameter set that a measurement writes, and the names that it may have."""

import re

import pytest

from lib.config import specs
from lib.config.specs import ParameterError
from lib.measure import __main__ as front_door
from lib.measure import budget, sets
from tests.conftest import ROOT
from tests.measured import CANNED


def test_a_set_is_written_that_loads_and_names_that_are_taken_are_refused(project):
    design = budget.Design(40, 2, 1, 6)
    path = sets.write("mine", sets.values(CANNED, "vader", design))
    assert path.read_text().startswith(sets.MARK)
    found = sets.earlier("mine", CANNED)
    assert sets.design(found) == design or sets.design(found).completions == design.completions
    assert found.models[0] == CANNED.model_copy(update={"mitigate": True})
    assert sets.earlier("free", CANNED) is None
    with pytest.raises(
        ParameterError, match=r"SET=embedded is taken: params/embedded.yaml is another parameter set"
    ):
        sets.earlier("embedded", CANNED)
    with pytest.raises(
        ParameterError,
        match=r"SET=mine is taken: .* measures another model .id 'mock:leak-30', not 'mock:leak-10'",
    ):
        sets.earlier("mine", CANNED.model_copy(update={"id": "mock:leak-10"}))


def test_a_set_that_was_changed_since_is_not_undone(project):
    design = budget.Design(40, 2, 1, 6)
    path = sets.write("mine", sets.values(CANNED, "vader", design))
    for old, new in (
        ("seed: 20251118", "seed: 7"),
        ("first_groups: 40", "first_groups: null"),
        ("title: ", "title: my "),
    ):
        path.write_text(written := path.read_text().replace(old, new))
        with pytest.raises(ParameterError, match="is not as measuring wrote it"):
            sets.earlier("mine", CANNED)
        path.write_text(written.replace(new, old))
    assert sets.earlier("mine", CANNED)


@pytest.mark.parametrize("name", ["", "a/b", "../evil", "my set", "-x", "x" * 81, "naïve"])
def test_a_name_that_no_set_can_have_is_refused_before_anything_is_written(project, name):
    before = sorted(project.rglob("*"))
    assert front_door.main(["mock:leak-30", f"--set={name}", "--judge", "vader"]) == 1
    assert sorted(project.rglob("*")) == before


def test_a_set_that_is_not_valid_is_not_kept(project):
    with pytest.raises(ParameterError):
        sets.write("mine", sets.values(CANNED, "vader", budget.Design(1, 1, 0, 4)))
    assert not (project / "params" / "mine.yaml").exists()


def test_no_rule_of_the_batch_has_a_name_that_a_set_can_have():
    rules = re.findall(r"^rule (\w+):", (ROOT / "Snakefile").read_text(), re.MULTILINE)
    assert len(rules) > 8
    for rule in rules:
        with pytest.raises(ParameterError, match="no set can be called so"):
            specs.check_set_name(rule)
