"""A copy of the project in which tests may run whole parameter sets, so that nobody's outputs are touched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def copy(tmp_path_factory) -> Path:
    """The code, notebooks and parameter sets in an empty folder."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("lib", "notebooks", "params"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


def call(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """`python -m lib.batch …` in `folder`, with its output as text."""
    command = [sys.executable, "-m", "lib.batch", *arguments]
    given = {**os.environ, "PYTHONPATH": str(folder), **environment}
    return subprocess.run(command, cwd=folder, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture(scope="session")
def smoke(copy) -> Path:
    """The run folder of a finished smoke run, all six notebooks executed."""
    done = call(copy, "run", "smoke")
    assert done.returncode == 0, done.stdout
    return copy / "outputs" / "smoke"
