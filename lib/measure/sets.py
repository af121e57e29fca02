"""The parameter set of a measurement: readable and complete, so that `make reproduce SET=<name>` makes the
same run."""

import re
from pathlib import Path

import yaml

from lib.config import params, specs
from lib.config.specs import Model, ParameterError
from lib.measure.budget import Design
from lib.storage import records

BASE = "embedded"  # whose margins, mitigations, seeds and lengths are taken over
GROUPS_PER_STEM = 3  # of the full design, of which a measurement takes the first groups
_IDENTITY = ("name", "id", "mode", "gguf_file", "server", "table")  # of a model: what makes it another
MARK = "# Written by `make measure`."
_HEAD = """{mark} The same run again: make reproduce SET={name}
# A longer one, which goes on from here: make measure with a larger BUDGET.
# first_groups is how much of the full design was measured; what each key means stands in lib/config/.
"""


def values(model: Model, judge: str, design: Design | None = None) -> dict:
    """The parameter set that measures `model` with `design`, all of the full design where it is None; as YAML
    would give it."""
    told = yaml.safe_load((specs.ROOT / "params" / f"{BASE}.yaml").read_text(encoding="utf-8"))
    mitigate = bool(design and design.mitigation_samples)
    row = model.model_copy(update={"mitigate": mitigate}).model_dump(exclude_defaults=True)
    told |= {
        "title": f"{model.name}, {model.mode} mode",
        "is_mock": model.id.startswith("canned:"),
        "models": [row],
    }
    told["dataset"] |= {
        "stems": None,
        "contexts_per_stem": GROUPS_PER_STEM,
        "first_groups": design and design.groups,
    }
    told["generation"] |= {"samples": design.samples if design else 1, "mitigation_samples": 1}
    told["judging"]["judge"] = told["agreement"]["judge"] = judge
    told["agreement"]["comparison_judges"] = [name for name in ("vader",) if name != judge]
    return {key: told[key] for key in params.ParameterSet.model_fields if key in told}


def check_name(name: str) -> None:
    """ParameterError if no set can have this name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise ParameterError(
            f"SET={name[:100]}: no set can be called so; give letters, digits, '.', '_' and '-', 80 at "
            "most, as in SET=my-model"
        )


def earlier(name: str, model: Model) -> params.ParameterSet | None:
    """The measurement of the same model that has this name; None if the name is free, ParameterError if it is
    taken, or changed since."""
    path = specs.ROOT / "params" / f"{name}.yaml"
    if not path.is_file():
        return None
    if not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise ParameterError(
            f"SET={name} is taken: params/{name}.yaml is another parameter set; give another SET=…"
        )
    found = params.load(name)
    left, right = (each.model_dump(include=set(_IDENTITY)) for each in (found.models[0], model))
    if left != right:
        differs = ", ".join(
            f"{key} {left[key]!r}, not {right[key]!r}" for key in left if left[key] != right[key]
        )
        raise ParameterError(
            f"SET={name} is taken: params/{name}.yaml measures another model ({differs})\ngive another "
            "SET=…, or remove that file"
        )
    if changed := _changed(found):
        raise ParameterError(
            f"SET={name}: params/{name}.yaml is not as measuring wrote it ({changed}), and measuring again "
            "would undo that\n"
            f"run it with make reproduce SET={name}, or give another SET=…"
        )
    return found


def _changed(found: params.ParameterSet) -> str:
    """The first value of a set that is not as `values` writes it; "" if there is none."""
    now = found.model_dump()
    judge, groups, samples = (
        now["judging"].get("judge"),
        now["dataset"].get("first_groups"),
        now["generation"].get("samples"),
    )
    if not (isinstance(groups, int) and isinstance(samples, int)):
        return f"dataset.first_groups {groups}, generation.samples {samples}"
    written = params.ParameterSet.model_validate(values(found.models[0], judge, design(found))).model_dump()
    return next((f"{key}: {now[key]!r}" for key in written if now[key] != written[key]), "")[:200]


def design(found: params.ParameterSet) -> Design:
    """The design of an earlier measurement."""
    samples, mitigations = found.generation["samples"], len(found.mitigations)
    return Design(found.dataset["first_groups"], samples, int(found.models[0].mitigate), mitigations)


def write(name: str, told: dict) -> Path:
    """Write params/<name>.yaml, checked as every set is checked; a set that fails is not kept."""
    path = specs.ROOT / "params" / f"{name}.yaml"
    before = path.read_bytes() if path.exists() else None
    body = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=120)
    records.write_text(path, _HEAD.format(mark=MARK, name=name) + body)
    try:
        params.load(name)
    except ParameterError:
        path.unlink() if before is None else path.write_bytes(before)
        raise
    return path
