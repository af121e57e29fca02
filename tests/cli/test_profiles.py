"""Where jobs are executed: a profile is found, and what it needs is named before anything runs."""

import pytest
import yaml

from lib.cli import profiles
from lib.config import specs
from lib.runtime.errors import MissingPackageError, ResourceError
from tests.conftest import ROOT, call


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with one profile, called mine."""
    monkeypatch.setattr(specs, "ROOT", tmp_path)
    path = tmp_path / "params" / "profiles" / "mine"
    path.mkdir(parents=True)
    return path


def write(folder, **values) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(values))


def test_a_profile_is_handed_on_without_a_number_of_cores(folder):
    write(folder, executor="local")
    assert profiles.options("mine") == ["--workflow-profile", "params/profiles/mine"]
    assert profiles.names() == ["mine"]


@pytest.mark.parametrize("name", ["mime", "other", "../mine", "", "."])
def test_a_profile_that_does_not_exist(folder, name):
    write(folder, executor="local")
    with pytest.raises(specs.ParameterError) as error:
        profiles.options(name)
    assert str(error.value).startswith(f"PROFILE={name}: no such profile")
    assert "mine" in str(error.value) and "params/profiles/<name>/config.yaml" in str(error.value)


@pytest.mark.parametrize("text", ["executor: [", "executor: 3", "jobs: 3", "- slurm", ""])
def test_a_profile_without_an_executor(folder, text):
    (folder / "config.yaml").write_text(text)
    with pytest.raises(
        specs.ParameterError, match=r"PROFILE=mine: params/profiles/mine/config.yaml: executor"
    ):
        profiles.options("mine")


def test_an_executor_whose_package_is_missing(folder, monkeypatch):
    monkeypatch.setattr(profiles.importlib.util, "find_spec", lambda name: None)
    write(folder, executor="slurm")
    with pytest.raises(MissingPackageError, match=r"\npip install 'expression-leakage\[slurm\]'$"):
        profiles.options("mine")
    write(folder, executor="cluster-generic")
    with pytest.raises(
        MissingPackageError, match=r"\npip install snakemake-executor-plugin-cluster-generic$"
    ):
        profiles.options("mine")


def test_a_machine_without_slurm(folder, monkeypatch):
    monkeypatch.setattr(profiles.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(profiles.shutil, "which", lambda name: None)
    write(folder, executor="slurm")
    with pytest.raises(ResourceError, match="the program sbatch, which is not on this machine"):
        profiles.options("mine")


def test_the_shipped_profile_names_rules_of_the_snakefile_and_every_rule_with_an_accelerator():
    values = yaml.safe_load((ROOT / "params" / "profiles" / "slurm" / "config.yaml").read_text())
    rules = (ROOT / "Snakefile").read_text().split("\nrule ")[1:]
    with_accelerator = {rule.split(":")[0] for rule in rules if "resources: gpu=1" in rule}
    assert len(with_accelerator) == 3
    assert set(values["set-resources"]) == set(values["set-threads"]) == with_accelerator


def test_a_profile_is_no_parameter_set():
    assert "slurm" not in specs.set_names() and "config" not in specs.set_names()


def test_a_run_with_an_unknown_profile_ends_before_anything_is_written(copy):
    done = call(copy, "run", "quick", "--profile", "slrum")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "error: PROFILE=slrum: no such profile; did you mean 'slurm'?",
        "a profile is a file params/profiles/<name>/config.yaml with options of Snakemake",
    ]
    assert not (copy / "outputs" / "quick").exists()
