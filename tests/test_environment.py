"""One source of dependencies: pyproject.toml, its lock and environment.yml agree, and what is installed is
what is locked."""

import fnmatch
import importlib.metadata
import re
import subprocess
import sys
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


# what a build copies
NEEDED = (
    "Makefile",
    "README.md",
    "LICENSE",
    "Snakefile",
    "environment.yml",
    "lib",
    "notebooks",
    "params",
    "pyproject.toml",
    "requirements.txt",
    "tests",
)


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


def test_what_runs_in_the_other_environment_needs_no_package_for_tests():
    """The packages of the extra `test` are not there; playwright is, and need not be here."""
    makefile = (ROOT / "Makefile").read_text()
    modules = re.findall(r"^\t\.venv-extra/bin/python -m (tests\.\S+)", makefile, re.MULTILINE)
    assert len(modules) > 5
    missing, there = ["pytest", "hypothesis"], ["playwright", "playwright.sync_api"]
    stand_ins = f"dict.fromkeys({missing}) | dict.fromkeys({there}, Mock())"
    code = ["import sys", "from unittest.mock import Mock", f"sys.modules |= {stand_ins}"]
    code += [f"import {name}" for name in modules]
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


CONTAINER = (ROOT / "Containerfile").read_text()


def test_the_container_has_the_python_of_conda():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    (base,) = re.findall(r"^ARG BASE=python:(.+)-slim-bookworm$", CONTAINER, re.MULTILINE)
    assert f"python={base}" in conda["dependencies"]


def test_the_container_installs_by_the_makefile_and_runs_its_targets():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([\w./-]+):", makefile, re.MULTILINE))
    run = re.findall(r"podman run .* expression-leakage ([\w-]+)", CONTAINER)
    assert run == ["reproduce", "test"]
    assert {*run, *re.findall(r"^RUN make (\S+)$", CONTAINER, re.MULTILINE), "help"} <= targets
    assert 'ENTRYPOINT ["make"]' in CONTAINER


def test_the_container_leaves_out_only_what_is_made():
    ignored = [
        line for line in (ROOT / ".containerignore").read_text().splitlines() if line[:1] not in ("#", "")
    ]
    in_project = [path.name for path in ROOT.iterdir() if path.name in NEEDED]
    assert sorted(in_project) == sorted(NEEDED)
    assert [name for name in NEEDED if any(fnmatch.fnmatch(name, pattern) for pattern in ignored)] == []
    assert "outputs" in ignored and "/project/outputs" in CONTAINER


def test_the_container_names_no_host_and_has_known_instructions():
    assert not re.findall(r"\b(?:[\w-]+\.)+(?:io|org|com|net)\b", CONTAINER)
    words = "FROM|RUN|WORKDIR|COPY|ARG|ENV|VOLUME|ENTRYPOINT|CMD"
    for line in CONTAINER.splitlines():
        assert re.match(rf"#|$|({words}) ", line), line
