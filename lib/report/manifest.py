"""The manifest of a finished run: what made it, and the hash of every file that it left."""

import json
from pathlib import Path

from lib.claims import benchmark, rules
from lib.config import params, specs
from lib.config.params import ParameterSet
from lib.config.specs import JUDGE_SCHEMA
from lib.dataset import own_sentences
from lib.judging import judges
from lib.models import registry, sampling
from lib.nlp import sentences
from lib.replies import outcomes
from lib.runtime.errors import DataError, UserError
from lib.storage import caching, provenance, records

FILE = "manifest.json"
PACKAGES = (
    "accelerate",
    "numpy",
    "pandas",
    "papermill",
    "statsmodels",
    "torch",
    "transformers",
    "vaderSentiment",
)
# what a run leaves besides tables; pairs.json.gz is written later, by `make site`, and is made from them
_OUTPUTS = ("executed/*.ipynb", "annotation/items.jsonl", "card.*", "claims.svg", "headline.*")


def write(set_name: str) -> Path:
    """Write manifest.json of a run, which marks it as complete.

    Returns:
        The path.
    """
    path = records.run_folder(set_name) / FILE
    text = json.dumps(of_run(set_name), indent=2, sort_keys=True, ensure_ascii=False)
    records.write_text(path, text + "\n")
    return path


def read(set_name: str) -> dict | None:
    """Read the manifest of a run; None if there is none.

    Raises:
        DataError: If it is damaged; the message names the command that restores it.
    """
    path = records.run_folder(set_name) / FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found["tables"], dict):
            raise TypeError("tables are no object")
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"outputs/{set_name}/{FILE} is damaged; make it anew: make reproduce SET={set_name}"
        ) from None
    return found


def of_run(set_name: str) -> dict:
    """Describe what made a finished run, and what it left.

    Equal runs under the same code and packages differ only in the key execution.

    Returns:
        parameters (hash of the parameter set), lock (hash of requirements.txt), code (git, dirty and sha256,
        which needs no git), seeds (by section), models (name to fingerprint), judge, versions (of the
        benchmark, the rules, the sampler, the cut and the outcomes, as `versions`), packages, inputs, tables
        and outputs (hash by path; None for an input that is missing) and execution
        (`provenance.execution`).
    """
    parameters, folder = params.load(set_name), records.run_folder(set_name)
    return {
        "parameters": caching.sha256(_parameter_file(set_name)),
        "lock": lock(),
        "code": code(),
        "seeds": seeds(parameters),
        "models": models(parameters),
        "versions": versions(parameters),
        "packages": provenance.package_versions(PACKAGES),
        "inputs": {path: _hash(specs.ROOT / path) for path in sorted(inputs(set_name))},
        "tables": provenance.hashes(provenance.tables(folder), folder),
        "outputs": provenance.hashes((path for name in _OUTPUTS for path in folder.glob(name)), folder),
        "execution": provenance.execution(folder),
    }


def _parameter_file(set_name: str) -> Path:
    return specs.ROOT / "params" / f"{set_name}.yaml"


def code() -> dict:
    """The revision of the project (`provenance.revision`), and sha256, which needs no git."""
    return provenance.revision(specs.ROOT) | {"sha256": provenance.code_hash(specs.ROOT)}


def lock() -> str | None:
    """The hash of the file that locks the packages; None where there is none."""
    return provenance.lock_hash(specs.ROOT)


def models(parameters: ParameterSet) -> dict:
    """What identifies each model; for one that cannot be found any more, {"not found": why}."""
    return {model.name: _fingerprint(model) for model in parameters.models}


def seeds(parameters: ParameterSet) -> dict[str, int]:
    """The seed of each section of a parameter set that has one."""
    sections = ("dataset", "generation", "judging", "agreement")
    return {name: getattr(parameters, name)["seed"] for name in sections}


def versions(parameters: ParameterSet) -> dict[str, str]:
    """The versions that the numbers of a run depend on, as the present code has them.

    Returns:
        judge, benchmark, rules, sampler, cut (after the first sentence) and outcomes.
    """
    return {
        "judge": judges.version(JUDGE_SCHEMA.validate_python(parameters.judging["judge"])),
        "benchmark": benchmark.of_set(parameters),
        "rules": rules.RULES_VERSION,
        "sampler": sampling.VERSION,
        "cut": sentences.VERSION,
        "outcomes": outcomes.VERSION,
    }


def inputs(set_name: str) -> list[str]:
    """The files besides the code that a run reads, relative to the project's folder where they lie in it.

    They are sentences and ratings of one's own, tables of completions, rubrics and the labels of people.
    """
    parameters, agreement = params.load(set_name), params.agreement(set_name)
    paths = [*own_sentences.files(params.dataset(set_name)).values()]
    paths += [agreement.ratings.path] if agreement.ratings else []
    paths += [model.table.path for model in parameters.models if model.table]
    judge = JUDGE_SCHEMA.validate_python(parameters.judging["judge"])
    paths += [_relative(specs.rubric_path(judge.rubric))] if judge.kind == "llm" else []
    labels = records.run_folder(set_name) / "annotation" / "labels"
    return paths + [_relative(path) for path in labels.glob("*.jsonl")]


def _relative(path: Path) -> str:
    return path.relative_to(specs.ROOT).as_posix() if path.is_relative_to(specs.ROOT) else str(path)


def _hash(path: Path) -> str | None:
    return caching.sha256(path) if path.is_file() else None


def _fingerprint(model: specs.Model):
    """The fingerprint of a model as JSON, or why there is none."""
    try:
        return json.loads(registry.load(model).fingerprint)
    except (UserError, OSError) as error:
        return {"not found": str(error).splitlines()[0]}
