"""Profiles of the batch: where the jobs of a run are executed, as `params/profiles/<name>/config.yaml` says.

A profile holds options of Snakemake. Its executor is a package of its own.
"""

import importlib.util
import shutil
from pathlib import Path

import yaml

from lib.config import specs
from lib.runtime.errors import MissingPackageError, ResourceError

_PROGRAMS = {"slurm": "sbatch"}  # what an executor calls
_EXTRAS = ("slurm",)  # executors that are optional dependencies of this project
_WITHOUT_PACKAGE = ("local", "dryrun", "touch")


def options(name: str) -> list[str]:
    """Options of Snakemake that run a parameter set with a profile.

    Args:
        name: The profile, a folder of `params/profiles`.

    Returns:
        The options. They hold no number of cores, which would limit the jobs of a cluster.

    Raises:
        ParameterError: If there is no such profile, or it names no executor.
        MissingPackageError: If the package of its executor is not installed.
        ResourceError: If the program to which the executor submits its jobs is not on this machine.
    """
    folder = specs.ROOT / "params" / "profiles" / name
    file = folder / "config.yaml"
    if not name or Path(name).name != name or not file.is_file():
        raise specs.ParameterError(f"PROFILE={name}: {_unknown(name)}")
    _check_executor(f"PROFILE={name}: params/profiles/{name}/config.yaml: executor", file)
    return ["--workflow-profile", str(folder.relative_to(specs.ROOT))]


def names() -> list[str]:
    """The names of all profiles."""
    return sorted(path.parent.name for path in (specs.ROOT / "params" / "profiles").glob("*/config.yaml"))


def _unknown(name: str) -> str:
    advice = specs.nearest(name, names()) or f"; there are: {', '.join(names()) or 'none'}"
    return (
        f"no such profile{advice}\na profile is a file params/profiles/<name>/config.yaml with options of "
        "Snakemake"
    )


def _check_executor(place: str, file: Path) -> None:
    """Check that the executor that a profile names can be used on this machine."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise specs.ParameterError(f"{place}: the file is no valid YAML: {error}") from None
    executor = values.get("executor") if isinstance(values, dict) else None
    if not isinstance(executor, str):
        raise specs.ParameterError(
            f"{place}: {executor!r} is no executor; write, for example, executor: slurm"
        )
    if executor in _WITHOUT_PACKAGE:
        return
    if importlib.util.find_spec(f"snakemake_executor_plugin_{executor.replace('-', '_')}") is None:
        package = f"snakemake-executor-plugin-{executor}"
        wanted = f"'expression-leakage[{executor}]'" if executor in _EXTRAS else package
        raise MissingPackageError(
            f"{place}: {executor!r} needs the package {package}, which is not installed\npip install {wanted}"
        )
    program = _PROGRAMS.get(executor)
    if program and not shutil.which(program):
        raise ResourceError(
            f"{place}: {executor!r} submits jobs by the program {program}, which is not on this machine\n"
            "call it on the cluster's login node, or load the cluster's module first"
        )
