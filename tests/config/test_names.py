"""Names and paths of a parameter set cannot lead out of outputs/ and params/."""

import pytest

from lib.annotation import exchange, labelling
from lib.cli import batch, confirm, export, publish, verify
from lib.config import params, specs
from lib.config.specs import ParameterError
from lib.storage import records

HOSTILE = [
    "../evil",
    "..",
    ".",
    "",
    "/tmp/evil",
    "a/b",
    "a\\b",
    "a/../../evil",
    "a\0b",
    "a\n",
    "-x",
    ".hidden",
    "~root",
    "naïve",
    "a\u2215b",
    "\uff0e\uff0e\uff0fevil",
    "a\u202eb",
    "$HOME",
    "a;b",
    "x" * 81,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_set_of_such_a_name_has_no_folder(name):
    with pytest.raises(ParameterError, match="no set can be called so"):
        records.run_folder(name)
    with pytest.raises(ParameterError, match="no set can be called so"):
        params.load(name)


@pytest.mark.parametrize(
    "command",
    [
        lambda name: batch.main(["run", name]),
        lambda name: batch.main(["finish", name]),
        lambda name: batch.main(["prepare", name]),
        lambda name: verify.main([name]),
        lambda name: confirm.main([name]),
        lambda name: export.main([name]),
        lambda name: publish.main([name]),
        lambda name: exchange.main(["export", name]),
        lambda name: exchange.main(["import", name, "x.csv"]),
    ],
)
def test_no_command_takes_a_set_from_elsewhere(project, command, capsys):
    """Not even where the file of such a set is there."""
    (project / "params" / "sub").mkdir()
    (project / "evil.yaml").write_bytes((project / "params" / "smoke.yaml").read_bytes())
    before = sorted(project.rglob("*"))
    assert command("../evil") == 1
    assert "no set can be called so" in capsys.readouterr().err
    assert sorted(project.rglob("*")) == before


MODEL = {"name": "m", "id": "mock:leak-10", "family": "f", "tuning": "base", "mode": "completion"}


@pytest.mark.parametrize("name", HOSTILE[:-1])
def test_no_model_judge_or_mitigation_has_such_a_name(name):
    """Files are called after them."""
    with pytest.raises(ValueError, match="name"):
        specs.Model.model_validate(MODEL | {"name": name})
    with pytest.raises(ValueError, match="name"):
        specs.JUDGE_SCHEMA.validate_python({"name": name, "kind": "vader"})
    with pytest.raises(ValueError, match="mitigations"):
        params.ParameterSet.model_validate(
            params.load("smoke").model_dump() | {"mitigations": {name: "Be calm."}}
        )


@pytest.mark.parametrize("name", HOSTILE)
def test_no_annotator_has_such_a_name(name, tmp_path):
    """A file of labels is called after each."""
    try:
        labelling.check_name(name)
    except ValueError:
        return
    assert (tmp_path / f"{name}.jsonl").resolve().parent == tmp_path
