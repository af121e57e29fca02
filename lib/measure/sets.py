"""Write the parameter set of a measurement.

The set is readable and complete, so that `make reproduce SET=<name>` repeats the run.
"""

from pathlib import Path

import yaml

from lib.config import params, specs
from lib.config.specs import Model, ParameterError
from lib.measure.budget import Design
from lib.storage import records

BASE = "embedded"  # set from which margins, mitigations, seeds and lengths are taken
GROUPS_PER_STEM = 3  # of the full design; a measurement takes its first groups
_IDENTITY = ("name", "id", "mode", "gguf_file", "server", "table")  # fields that identify a model
MARK = "# Written by `make measure`."
_HEAD = """{mark} The same run again: make reproduce SET={name}
# A longer one, which goes on from here: make measure with a larger BUDGET.
# first_groups is how much of the full design was measured; what each key means stands in lib/config/.
"""


def values(model: Model, judge: str, design: Design | None = None) -> dict:
    """Return the values of the parameter set that measures `model`, as YAML would give them.

    Args:
        model: Model to measure.
        judge: Name of the judge.
        design: Design to measure; None takes all of the full design.
    """
    config = yaml.safe_load((specs.ROOT / "params" / f"{BASE}.yaml").read_text(encoding="utf-8"))
    mitigate = bool(design and design.mitigation_samples)
    model_row = model.model_copy(update={"mitigate": mitigate}).model_dump(exclude_defaults=True)
    config |= {
        "title": f"{model.name}, {model.mode} mode",
        "is_mock": model.id.startswith("mock:"),
        "models": [model_row],
    }
    config["dataset"] |= {
        "stems": None,
        "contexts_per_stem": GROUPS_PER_STEM,
        "first_groups": design and design.groups,
    }
    config["generation"] |= {"samples": design.samples if design else 1, "mitigation_samples": 1}
    config["judging"]["judge"] = config["agreement"]["judge"] = judge
    config["agreement"]["comparison_judges"] = [name for name in ("vader",) if name != judge]
    return {key: config[key] for key in params.ParameterSet.model_fields if key in config}


def earlier(name: str, model: Model) -> params.ParameterSet | None:
    """Load an earlier measurement of the same model under this name.

    Args:
        name: Name of the parameter set.
        model: Model to measure.

    Returns:
        The parameter set; None if the name is free.

    Raises:
        ParameterError: If the name is taken by another set or model, or if the set was changed since it was
            written.
    """
    path = specs.ROOT / "params" / f"{name}.yaml"
    if not path.is_file():
        return None
    if not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise ParameterError(
            f"SET={name} is taken: params/{name}.yaml is another parameter set; give another SET=…"
        )
    existing = params.load(name)
    stored, requested = (each.model_dump(include=set(_IDENTITY)) for each in (existing.models[0], model))
    if stored != requested:
        differs = ", ".join(
            f"{key} {stored[key]!r}, not {requested[key]!r}"
            for key in stored
            if stored[key] != requested[key]
        )
        raise ParameterError(
            f"SET={name} is taken: params/{name}.yaml measures another model ({differs})\ngive another "
            "SET=…, or remove that file"
        )
    if changed := _changed(existing):
        raise ParameterError(
            f"SET={name}: params/{name}.yaml is not as measuring wrote it ({changed}), and measuring again "
            "would undo that\n"
            f"run it with make reproduce SET={name}, or give another SET=…"
        )
    return existing


def _changed(parameters: params.ParameterSet) -> str:
    """Return the first value of a set that differs from what `values` writes; "" if there is none."""
    current = parameters.model_dump()
    judge, groups, samples = (
        current["judging"].get("judge"),
        current["dataset"].get("first_groups"),
        current["generation"].get("samples"),
    )
    if not (isinstance(groups, int) and isinstance(samples, int)):
        return f"dataset.first_groups {groups}, generation.samples {samples}"
    expected = params.ParameterSet.model_validate(
        values(parameters.models[0], judge, design(parameters))
    ).model_dump()
    return next((f"{key}: {current[key]!r}" for key in expected if current[key] != expected[key]), "")[:200]


def design(parameters: params.ParameterSet) -> Design:
    """Return the design of an earlier measurement."""
    samples, mitigations = parameters.generation["samples"], len(parameters.mitigations)
    return Design(
        parameters.dataset["first_groups"], samples, int(bool(parameters.models[0].mitigate)), mitigations
    )


def write(name: str, config: dict) -> Path:
    """Write params/<name>.yaml, and validate it as every set is validated.

    Args:
        name: Name of the parameter set.
        config: Values of the parameter set (`values`).

    Returns:
        The path of the file.

    Raises:
        ParameterError: If the set is invalid; the file is then removed, or has its former content.
    """
    path = specs.ROOT / "params" / f"{name}.yaml"
    previous = path.read_bytes() if path.exists() else None
    body = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)
    records.write_text(path, _HEAD.format(mark=MARK, name=name) + body)
    try:
        params.load(name)
    except ParameterError:
        path.unlink() if previous is None else path.write_bytes(previous)
        raise
    return path
