"""What a run is told: parameter sets, validated before anything heavy is imported.

A parameter set is one YAML file in `params/`: `models` and `mitigations`, which several notebooks share, and
one section per notebook. `cell_values` cuts from it what one notebook run is given; `from_cell` is what the
notebook makes of its cell.
"""

from typing import Annotated, get_args

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from lib.config import specs
from lib.config.mitigation_texts import Texts, asked_once
from lib.config.sections import NOTEBOOKS, PER_MODEL, Agreement, Dataset, Notebook
from lib.config.specs import HELD_OUT, Model, Name, ParameterError, Strict, nearest, set_names


class Confirms(Strict):
    """Which exploratory set a confirmatory one repeats on held-out sentences, and the version of
    `lib.claims.rules` that was frozen."""

    set: Name
    rules: str


class ParameterSet(Strict):
    """One YAML file of `params/`; the sections are checked notebook by notebook."""

    title: str
    toy: bool = False
    # a warning that stands on every page and figure of the set; what is before its colon is its name
    note: str = ""
    confirms: Confirms | None = None  # written by `make confirm`
    models: Annotated[list[Model], Field(min_length=1)]
    # by name, a text, or a list of texts that ask the same in other words
    mitigations: dict[Name, Texts] = Field({})
    dataset: dict
    generation: dict
    judging: dict
    agreement: dict
    scaling: dict
    mitigation: dict

    @field_validator("mitigations")
    @classmethod
    def _no_text_has_two_names(cls, value: dict) -> dict:
        return asked_once(value)

    @field_validator("models")
    @classmethod
    def _names_are_unique(cls, value: list[Model]) -> list[Model]:
        names = [model.name for model in value]
        if len(names) != len(set(names)):
            raise ValueError(f"two models share a name: {sorted(names)}")
        return value

    @model_validator(mode="after")
    def _what_is_held_out_waits_for_a_confirmatory_run(self):
        if self.dataset.get("part") == HELD_OUT and not self.confirms:
            raise ValueError(
                f"dataset.part: {HELD_OUT!r} is for confirmatory runs alone; take it out, or confirm a "
                "finished set "
                "(make confirm SET=…)"
            )
        return self


_GONE = {
    ("minutes",): "no longer needed, as times are measured; take it out",
    (
        "minimum_sizes",
    ): "is now min_sizes, the sizes of a family that a verdict takes, at least 5; a slope is shown from 3 on",
    ("control",): "is now a list, as there may be several; write controls: [NAME], or controls: [] for none",
}


def _explain(error: ValidationError, schema: type[Strict], place: str) -> ParameterError:
    """The first thing wrong, on one line: place, value, reason, remedy."""
    # an old key explains why its new one is missing
    first = min(error.errors(), key=lambda one: one["loc"] not in _GONE)
    where = (
        place
        + ("." if "yaml: " in place else ": ") * bool(first["loc"])
        + ".".join(str(part) for part in first["loc"])
    )
    if first["type"] == "extra_forbidden":
        inside = schema
        for part in first["loc"][:-1]:
            if isinstance(part, str) and part in inside.model_fields:
                inner = [
                    t
                    for t in (
                        inside.model_fields[part].annotation,
                        *get_args(inside.model_fields[part].annotation),
                    )
                    if isinstance(t, type) and issubclass(t, Strict)
                ]
                inside = inner[0] if inner else inside
        known = list(inside.model_fields)
        reason = (
            _GONE.get(first["loc"])
            or f"unknown key{nearest(first['loc'][-1], known)} (known: {', '.join(known)})"
        )
    elif first["type"] == "missing":
        reason = "is missing; add it"
    elif first["type"] == "literal_error":
        choices = first["ctx"]["expected"]
        reason = f"{first['input']!r} is not one of {choices}" + nearest(
            first["input"], choices.replace("'", "").replace(" or ", ", ").split(", ")
        )
    else:
        value = "" if isinstance(first["input"], dict) else f"{first['input']!r}: "
        reason = value + first["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return ParameterError(f"{where}: {reason}{more}")


def _validate(schema: type[Strict], values: dict, place: str):
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise _explain(error, schema, place) from None


def note(set_name: str) -> str:
    """The warning that a set puts on its pages; empty if it has none, or if there is no such set."""
    return load(set_name).note if set_name in set_names() else ""


def load(set_name: str) -> ParameterSet:
    """Read and check `params/<set_name>.yaml`, every notebook's section included. Raises ParameterError."""
    path = specs.ROOT / "params" / f"{set_name}.yaml"
    place = f"params/{set_name}.yaml"
    if not path.is_file():
        raise ParameterError(
            f"{place}: no such parameter set{nearest(set_name, set_names())} (there are: "
            f"{', '.join(set_names())})"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ParameterError(f"{place}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ParameterError(
            f"{place}: {values!r} is not a mapping of sections; see params/embedded.yaml for an example"
        )
    parameters = _validate(ParameterSet, values, place)
    if parameters.confirms and parameters.dataset.get("part") != specs.HELD_OUT:
        part = parameters.dataset.get("part", specs.MAIN)
        raise ParameterError(
            f"{place}: confirms: a confirmatory set needs dataset.part: held_out, and has {part!r}; set it"
        )
    for notebook in sorted(
        NOTEBOOKS, key=lambda name: NOTEBOOKS[name][0] != "scaling"
    ):  # others take its margin
        for model in parameters.models if notebook in PER_MODEL else parameters.models[:1]:
            cell_values(parameters, set_name, notebook, model.name)
    return parameters


def cell_values(
    parameters: ParameterSet, set_name: str, notebook: str, model_name: str | None = None
) -> dict:
    """What one run of `notebook` is given: its section, defaults filled in, and the shared values that its
    schema asks for."""
    section, schema = NOTEBOOKS[notebook]
    chosen = next((model for model in parameters.models if model.name == model_name), parameters.models[0])
    margin = parameters.scaling.get("margin")  # the placebo rule of every notebook is that of the claims
    shared = {
        **({} if margin is None else {"shift_margin": margin}),
        "set_name": set_name,
        "toy": parameters.toy,
        "model": chosen.model_dump(),
        "model_name": chosen.name,
        "model_names": [model.name for model in parameters.models],
        "mitigations": parameters.mitigations if chosen.mitigate or notebook not in PER_MODEL else {},
    }
    place = f"params/{set_name}.yaml: {section}"
    for key in getattr(parameters, section).keys() & shared.keys():
        source = "scaling.margin" if key == "shift_margin" else "the file's name or its first keys"
        raise ParameterError(f"{place}.{key}: does not belong here; it is taken from {source}")
    values = {
        **getattr(parameters, section),
        **{key: value for key, value in shared.items() if key in schema.model_fields},
    }
    return _validate(schema, values, place).model_dump()


def dataset(set_name: str) -> Dataset:
    """What 01_dataset is told in a set."""
    return from_cell("01_dataset", cell_values(load(set_name), set_name, "01_dataset"))


def agreement(set_name: str) -> Agreement:
    """What 04_human_agreement is told in a set."""
    return from_cell("04_human_agreement", cell_values(load(set_name), set_name, "04_human_agreement"))


def from_cell(notebook: str, cell: dict) -> Notebook:
    """The values of a notebook's parameters cell (its globals) as one checked, frozen object. Raises
    ParameterError."""
    schema = NOTEBOOKS[notebook][1]
    given = {key: cell[key] for key in schema.model_fields if key in cell}
    return _validate(schema, given, f"notebooks/{notebook}.ipynb, parameters cell")
