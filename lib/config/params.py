"""Parameter sets, validated before anything heavy is imported.

A parameter set is one YAML file in `params/`. It has `models` and `mitigations`, which several notebooks
share, and one section per notebook. `cell_values` extracts the values of one notebook run from it;
`from_cell` turns a notebook's parameters cell into a checked object.
"""

from typing import Annotated, Literal, get_args, overload

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from lib.config import specs
from lib.config.interventions import KINDS, Spec
from lib.config.mitigation_texts import Texts, asked_once, needs_chat, texts
from lib.config.sections import (
    NOTEBOOKS,
    PER_MODEL,
    Agreement,
    Dataset,
    Generation,
    Interventions,
    Judging,
    Mitigation,
    Notebook,
    Scaling,
    Strategies,
)
from lib.config.specs import HELD_OUT, JUDGES, Model, Name, ParameterError, Strict, nearest, set_names


class Confirms(Strict):
    """What a confirmatory set confirms.

    Attributes:
        set: The exploratory set, which is repeated on held-out sentences.
        rules: The version of `lib.claims.rules` that was frozen.
    """

    set: Name
    rules: str


class ParameterSet(Strict):
    """One YAML file of `params/`; the sections are checked notebook by notebook."""

    title: str
    is_mock: bool = False
    # a warning that is shown on every page and figure of the set; its name stands before its colon
    note: str = ""
    confirms: Confirms | None = None  # written by `make confirm`
    models: Annotated[list[Model], Field(min_length=1)]
    # by name, a text, or a list of texts that make the same request in other words
    mitigations: dict[Name, Texts] = Field({})
    interventions: dict[Name, Spec] = Field({})  # by name; what is done to a model beside its prompt
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

    def mitigations_of(self, model: Model) -> dict:
        """The mitigations with which a model is asked."""
        if isinstance(model.mitigate, list):
            return {name: value for name, value in self.mitigations.items() if name in model.mitigate}
        return self.mitigations if model.mitigate else {}

    def interventions_of(self, model: Model) -> dict:
        """The interventions under which a model is asked."""
        if isinstance(model.intervene, list):
            return {name: value for name, value in self.interventions.items() if name in model.intervene}
        return self.interventions if model.intervene else {}

    @property
    def intervened(self) -> list[Model]:
        """The models with at least one intervention."""
        return [model for model in self.models if self.interventions_of(model)]

    @model_validator(mode="after")
    def _models_are_asked_what_there_is(self):
        for model in self.models:
            for key, known in (("mitigate", self.mitigations), ("intervene", self.interventions)):
                names = getattr(model, key)
                for name in names if isinstance(names, list) else ():
                    if name not in known:
                        kind = "mitigations" if key == "mitigate" else "interventions"
                        raise ValueError(
                            f"model {model.name}: {key}: {name!r} is not one of the {kind}"
                            f"{nearest(name, known)}"
                        )
        return self

    @model_validator(mode="after")
    def _strategies_differ_in_name(self):
        if shared := sorted({*self.mitigations} & {*self.interventions}):
            raise ValueError(
                f"interventions: {shared[0]!r} is also the name of a mitigation; call one something else"
            )
        for model in self.models:
            asked = self.interventions_of(model) if model.mode != "chat" else {}
            if first := next((name for name, each in asked.items() if each.kind == "ask_first"), None):
                raise ValueError(
                    f"interventions.{first} asks a question first, and model {model.name} is in completion "
                    "mode; set its mode to 'chat', or name in its intervene the others"
                )
        return self

    @model_validator(mode="after")
    def _completion_mode_ends_in_the_stem(self):
        for model in self.models:
            for name, value in self.mitigations_of(model).items() if model.mode == "completion" else ():
                if wrong := next(
                    ((text, reason) for text in texts(value) if (reason := needs_chat(text))), None
                ):
                    raise ValueError(
                        f"mitigations.{name}, {wrong[0]!r}, {wrong[1]}, and model {model.name} is in "
                        "completion mode; set its mode to 'chat', or name in its mitigate the others"
                    )
        return self

    @model_validator(mode="after")
    def _what_is_held_out_waits_for_a_confirmatory_run(self):
        if self.dataset.get("part") == HELD_OUT and not self.confirms:
            raise ValueError(
                f"dataset.part: {HELD_OUT!r} is for confirmatory runs alone; take it out, or confirm a "
                "finished set "
                "(make confirm SET=…)"
            )
        return self


_TAGGED: dict[str, type[Strict]] = {**JUDGES, **KINDS}  # what a key `kind` says which fields it has
_RENAMED = {  # a key of earlier versions -> its present name
    "begin_answer": "assistant_prefill",
    "beside": "comparison_judges",
    "charge_mined": "min_abs_vader",
    "charged_above": "min_predicted_rating",
    "curated_set": "reference_set",
    "draws": "n_resamples",
    "groups_per_stem": "contexts_per_stem",
    "key_variable": "api_key_env",
    "memory_gb": "max_working_memory_gb",
    "neutral_below": "max_predicted_rating",
    "options": "extra_body",
    "per_page": "max_per_page",
    "per_site": "max_per_site",
    "pool": "oversample",
    "power_from": "variance_source",
    "prior": "published_prompts",
    "retest_share": "retest_fraction",
    "reuse": "max_stems_per_match",
    "shown": "n_examples",
    "template_system": "keep_template_system",
    "toy": "is_mock",
    "unrelated_below": "max_cosine",
}
_GONE = {
    "minutes": "no longer needed, as times are measured; take it out",
    "minimum_sizes": "is now min_sizes, the sizes of a family that a verdict takes, at least 5; a slope is "
    "shown from 3 on",
    "control": "is now a list, as there may be several; write controls: [NAME], or controls: [] for none",
}


def _is_old(key) -> bool:
    return key in _GONE or key in _RENAMED


def _explain(error: ValidationError, schema: type[Strict], place: str) -> ParameterError:
    """Describe the first error on one line: place, value, reason, remedy."""
    unknown = [each for each in error.errors() if each["type"] == "extra_forbidden"]
    old = [each for each in unknown if _is_old(each["loc"][-1])]  # explains why its new key is missing
    first = (old or error.errors())[0]
    path, holder = _resolve(first["loc"], schema)
    where = ".".join(map(str, path))
    joined = place + ("." if "yaml: " in place else ": ") * bool(where) + where
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"].startswith("union_tag"):  # the kind of a judge
        joined += f".{first['ctx']['discriminator'].strip(chr(39))}"
    return ParameterError(f"{joined}: {_reason(first, holder)}{more}")


def _reason(first, holder: type[Strict]) -> str:
    """The reason of one of pydantic's errors, and the remedy.

    Args:
        first: The error.
        holder: The model that holds the wrong value.
    """
    if first["type"] == "extra_forbidden":
        return _of_unknown(first["loc"][-1], holder)
    if first["type"] == "missing":
        kind = next((kind for kind, schema in _TAGGED.items() if schema is holder), None)
        return f"is missing; kind {kind!r} needs {first['loc'][-1]}; add it" if kind else "is missing; add it"
    if first["type"] == "union_tag_not_found":
        kinds = KINDS if "interventions" in first["loc"] else JUDGES
        return f"is missing; add it: one of {', '.join(map(repr, kinds))}"
    if first["type"] == "union_tag_invalid":
        return _of_choice(first["ctx"]["tag"], first["ctx"]["expected_tags"])
    if first["type"] == "list_type" and isinstance(first["input"], str):
        return f"{first['input']!r} is no list; write [{first['input']}]"
    if first["type"] == "literal_error":
        return _of_choice(first["input"], first["ctx"]["expected"])
    value = "" if isinstance(first["input"], dict) else f"{first['input']!r}: "
    return value + first["msg"].removeprefix("Value error, ")


def _of_choice(value, choices: str) -> str:
    names = choices.replace("'", "").replace(" or ", ", ").split(", ")
    return f"{value!r} is not one of {choices}{nearest(value, names)}"


def _of_unknown(key, holder: type[Strict]) -> str:
    known = list(holder.model_fields)
    if key in _GONE:
        return _GONE[key]
    if _RENAMED.get(key) in known:
        return f"is now called {_RENAMED[key]}; rename it"
    kinds = {schema: kind for kind, schema in (KINDS if holder in KINDS.values() else JUDGES).items()}
    if holder in kinds and (others := [kinds[schema] for schema in kinds if key in schema.model_fields]):
        return f"kind {kinds[holder]!r} takes no {key}; take it out, or set kind to {others[0]!r}"
    return f"unknown key{nearest(key, known)} (known: {', '.join(known)})"


def _resolve(place: tuple, schema: type[Strict]) -> tuple[list, type[Strict]]:
    """The path of an error as a user writes it, and the model that holds the value there.

    Args:
        place: Path of the error; where a judge or an intervention may be of several kinds, pydantic adds the
            kind to it.
        schema: The model of the whole document.
    """
    path: list = []
    options: dict[str, type[Strict]] = {}  # the kinds, where the next key may be one
    for key in place:
        if key in options:
            schema, options = options[key], {}
            continue
        path.append(key)
        if isinstance(key, str) and key in schema.model_fields and key != place[-1]:
            inner = _models(schema.model_fields[key].annotation)
            options = {kind: tagged for kind, tagged in _TAGGED.items() if tagged in inner}
            schema = inner[0] if inner and not options else schema
    return path, schema


def _models(annotation) -> list[type[Strict]]:
    """The models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _validate(schema: type[Strict], values: dict, place: str):
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise _explain(error, schema, place) from None


def note(set_name: str) -> str:
    """The warning that a set shows on its pages; empty if it has none, or if there is no such set."""
    return load(set_name).note if set_name in set_names() else ""


def load(set_name: str) -> ParameterSet:
    """Read and check `params/<set_name>.yaml`, including the section of every notebook.

    Raises:
        ParameterError: If there is no such set, or if a value is wrong.
    """
    specs.check_set_name(set_name)
    path = specs.ROOT / "params" / f"{set_name}.yaml"
    place = f"params/{set_name}.yaml"
    if not path.is_file():
        raise ParameterError(
            f"{place}: no such parameter set{nearest(set_name, set_names())} (there are: "
            f"{', '.join(set_names())})"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
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
    ):  # other notebooks use its margin
        for model in parameters.models if notebook in PER_MODEL else parameters.models[:1]:
            cell_values(parameters, set_name, notebook, model.name)
    return parameters


def cell_values(
    parameters: ParameterSet, set_name: str, notebook: str, model_name: str | None = None
) -> dict:
    """The values of one run of `notebook`.

    Args:
        parameters: The parameter set.
        set_name: Its name.
        notebook: One of NOTEBOOKS.
        model_name: The model, for a notebook that runs once per model; by default the first one.

    Returns:
        The notebook's section with its defaults, and the shared values that its schema has.

    Raises:
        ParameterError: If a value is wrong, or if the section holds a shared value.
    """
    section, schema = NOTEBOOKS[notebook]
    chosen = next((model for model in parameters.models if model.name == model_name), parameters.models[0])
    margin = parameters.scaling.get("margin")  # the placebo rule of every notebook is that of the claims
    shared = {
        **({} if margin is None else {"shift_margin": margin}),
        "set_name": set_name,
        "is_mock": parameters.is_mock,
        "model": chosen.model_dump(),
        "model_name": chosen.name,
        "model_names": [model.name for model in parameters.models],
        "mitigations": parameters.mitigations_of(chosen) if notebook in PER_MODEL else parameters.mitigations,
        "interventions": _plain(
            parameters.interventions_of(chosen) if notebook in PER_MODEL else parameters.interventions
        ),
    }
    if schema is Interventions:  # it generates as notebook 02 and judges as notebook 03 do
        shared |= {
            key: parameters.judging[key]
            for key in ("judge", "charged_threshold", "confidence")
            if key in parameters.judging
        }
        shared["controls"] = parameters.mitigation.get("controls", [])
    place = f"params/{set_name}.yaml: {section}"
    for key in getattr(parameters, section).keys() & shared.keys():
        source = "scaling.margin" if key == "shift_margin" else "the file's name or its first keys"
        raise ParameterError(f"{place}.{key}: does not belong here; it is taken from {source}")
    values = {
        **getattr(parameters, section),
        **{key: value for key, value in shared.items() if key in schema.model_fields},
    }
    return _validate(schema, values, place).model_dump()


def _plain(values: dict) -> dict:
    return {name: value.model_dump() for name, value in values.items()}


def dataset(set_name: str) -> Dataset:
    """The values of 01_dataset in a set."""
    return from_cell("01_dataset", cell_values(load(set_name), set_name, "01_dataset"))


def agreement(set_name: str) -> Agreement:
    """The values of 04_human_agreement in a set."""
    return from_cell("04_human_agreement", cell_values(load(set_name), set_name, "04_human_agreement"))


@overload
def from_cell(notebook: Literal["01_dataset", "01b_mining", "01c_power"], cell: dict) -> Dataset: ...
@overload
def from_cell(notebook: Literal["02_generation"], cell: dict) -> Generation: ...
@overload
def from_cell(notebook: Literal["03_judging", "03b_leakage", "03c_robustness"], cell: dict) -> Judging: ...
@overload
def from_cell(
    notebook: Literal["04_human_agreement", "04c_calibration", "04d_labels", "04e_llm_judge"], cell: dict
) -> Agreement: ...
@overload
def from_cell(notebook: Literal["05_scaling_analysis", "05b_sizes"], cell: dict) -> Scaling: ...
@overload
def from_cell(notebook: Literal["06_prompting_mitigation_ablation"], cell: dict) -> Mitigation: ...
@overload
def from_cell(notebook: Literal["06b_interventions"], cell: dict) -> Interventions: ...
@overload
def from_cell(notebook: Literal["06c_mitigation_compared"], cell: dict) -> Strategies: ...
@overload
def from_cell(notebook: str, cell: dict) -> Notebook: ...
def from_cell(notebook: str, cell: dict) -> Notebook:
    """Turn the values of a notebook's parameters cell into one checked, frozen object.

    Args:
        notebook: One of NOTEBOOKS.
        cell: The notebook's globals.

    Raises:
        ParameterError: If a value is wrong or missing.
    """
    schema = NOTEBOOKS[notebook][1]
    values = {key: cell[key] for key in schema.model_fields if key in cell}
    return _validate(schema, values, f"notebooks/{notebook}.ipynb, parameters cell")
