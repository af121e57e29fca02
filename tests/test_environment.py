"""One source of dependencies: pyproject.toml, its lock and environment.yml agree, and what is installed is
what is locked."""

import importlib.metadata
import re
import tomllib

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = {
    canonicalize_name(line.split("==")[0]): line.split("==")[1]
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if not line.startswith("#")
}


def test_every_dependency_is_locked_within_its_bounds():
    for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(LOCK[canonicalize_name(wanted.name)]), text


def test_the_lock_names_no_host_and_no_path():
    assert not re.search(r"://|/|@", (ROOT / "requirements.txt").read_text())


def test_what_is_installed_is_what_is_locked():
    for name, version in LOCK.items():
        assert importlib.metadata.version(name).split("+")[0] == version, name


def test_conda_gets_python_and_the_lock():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    (python,) = [item for item in conda["dependencies"] if str(item).startswith("python=")]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(
        python.removeprefix("python=") + ".0"
    )
    assert {"pip": ["-r requirements.txt", "-e ."]} in conda["dependencies"]
