"""What a run may be told: parameter sets, validated before anything heavy is imported.

A parameter set is one YAML file in `params/`: `models` and `mitigations`, which several notebooks share, and one section
per notebook. `cell_values` cuts from it what one notebook run is given; `from_cell` is what the notebook makes of its cell.
"""

import difflib
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

ROOT = Path(__file__).resolve().parents[1]
BUNDLED_MODELS = ("bundled:SmolLM2-135M-Instruct", "canned:leak-0", "canned:leak-10", "canned:leak-30", "canned:leak-50",
                  "ladder:0.1M", "ladder:0.4M", "ladder:1.2M", "ladder:3.1M")  # fmt: skip
BUNDLED_JUDGES = ("vader", "learned")
SHIPPED_RUBRICS = Path(__file__).parent / "data" / "rubrics"
NO_MITIGATION = "none"
_JUDGE_FIELDS = {  # of a kind of judge: what it needs, what else it may have
    "classifier": (("id", "labels"), ("revision",)),
    "llm": (("model",), ("rubric", "temperature", "max_new_tokens", "seed", "retest_share")),
}

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Heat = Annotated[float, Field(ge=0, le=5)]
Valence = Annotated[float, Field(ge=-4, le=4)]


class ParameterError(ValueError):
    """A parameter is wrong; the message names the place, the value and the remedy."""


class Strict(BaseModel):
    """Frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class Server(Strict):
    """A server that speaks OpenAI's protocol: vLLM, llama.cpp, Ollama, a hosted API."""

    url: Annotated[str, Field(pattern=r"^https?://")]  # for example http://localhost:8000/v1
    key_variable: str | None = None  # the environment variable that holds the key; the key itself is written nowhere
    options: dict[str, int | float | str | bool] = {}  # sent with each request, where a server has defaults of its own (top_k, …)
    concurrency: Count = 8  # requests in flight
    timeout: Annotated[float, Field(gt=0)] = 120.0  # seconds that one request may take
    retries: Annotated[int, Field(ge=0)] = 12  # of a request that failed for a reason that may pass: about a minute in all

    @field_validator("url")
    @classmethod
    def _holds_no_password(cls, value: str) -> str:
        if "@" in value.split("/")[2]:
            raise ValueError("holds a user or password, which would be written into results; name an environment variable "
                             "with the key in key_variable instead")  # fmt: skip
        return value


class Table(Strict):
    """Completions made elsewhere, in a file: parquet, CSV, JSONL or xlsx."""

    path: str  # relative to the project's folder, or absolute
    columns: dict[Literal["prompt_id", "prompt", "mitigation", "sample_index", "completion"], str] = {}  # ours: the file's


class Model(Strict):
    """One row of the results: some weights, asked in one way; or completions of such, made elsewhere."""

    name: Name  # how the results call it, for example qwen2.5-7b
    id: str  # hub id, folder that holds a model, one of BUNDLED_MODELS, or what the server calls it
    family: str  # models of one family are compared by size
    tuning: Literal["base", "instruct"]
    mode: Literal["completion", "chat"]  # completion: continue the text; chat: ask in the model's own template
    system_prompt: str | None = None  # chat only; None sends no system message
    template_system: bool = False  # chat only; accept the system text that the model's template adds by itself
    begin_answer: bool = False  # chat only; start the answer with the unfinished text, so that the model goes on from there
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    device_map: str = "auto"  # how accelerate spreads the weights over processors
    revision: str = "main"
    gguf_file: str | None = None  # the GGUF file of that hub id or folder
    quantization: Literal["4bit", "8bit"] | None = None  # shrink the weights while loading (needs the package bitsandbytes)
    temperature: Heat | None = None  # None: generation.temperature. To 05, two of one family are two models of one size
    parameters: Count | None = None  # weights outside the embedding tables, where they cannot be counted (server, table)
    server: Server | None = None
    table: Table | None = None
    mitigate: bool = False  # also ask with every mitigation prompt

    @model_validator(mode="after")
    def _is_known(self):
        local = not (self.server or self.table)
        if self.server and self.table:
            raise ValueError("a model comes from a server or from a table, not from both; take one out")
        if local and not (self.id in BUNDLED_MODELS or "/" in self.id or Path(self.id).is_dir()):
            raise ValueError(f"id {self.id!r}: no such model{nearest(self.id, BUNDLED_MODELS)}; give a hub id (owner/name), "
                             f"a folder, or one of {', '.join(BUNDLED_MODELS)}")  # fmt: skip
        if not local and self.begin_answer:
            raise ValueError("begin_answer needs a model that runs here: a server takes no begun answer; set it to false")
        return self


def rubric_path(name: str) -> Path:
    """The file of a rubric: one that ships, by its bare name, or a path, relative to the project's folder or absolute."""
    return SHIPPED_RUBRICS / f"{name}.md" if "/" not in name and not Path(name).suffix else ROOT / name


class Judge(Strict):
    """Who gives a completion its valence. In a parameter set the bare name of one that needs no more will do: `judge: vader`."""

    name: Name  # how results call it
    kind: Literal["vader", "learned", "classifier", "llm"]
    id: str | None = None  # classifier: hub id or folder of a text-classification model
    revision: str = "main"  # classifier
    labels: dict[str, Valence] = {}  # classifier: what each label of the model is worth on the human scale
    model: Model | None = None  # llm: who is asked, in mode chat
    rubric: str = "valence"  # llm: what is asked; one of lib/data/rubrics/, or the path of another
    temperature: Heat = 0.0  # llm; at 0 a model that runs here repeats itself
    max_new_tokens: Annotated[int, Field(ge=1, le=512)] = 256  # llm
    seed: int = 1  # llm
    retest_share: Annotated[float, Field(ge=0, le=1)] = 0.1  # llm: questions that are asked a second time
    trained_on_ratings: bool = False  # a model of others that was trained on the rated texts cannot be tested on them

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, value):
        if not isinstance(value, str):
            return value
        if value not in BUNDLED_JUDGES:
            raise ValueError(f"no such judge{nearest(value, BUNDLED_JUDGES)}; give {' or '.join(BUNDLED_JUDGES)}, or name, kind "
                             "and what that kind needs")  # fmt: skip
        return {"name": value, "kind": value}

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self):
        needed, allowed = _JUDGE_FIELDS.get(self.kind, ((), ()))
        given = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        if lacking := [name for name in needed if name not in given]:
            raise ValueError(f"judge {self.name}: kind {self.kind!r} needs {' and '.join(lacking)}; add what is missing")
        if alien := [name for name in given if name not in ("name", "kind", "trained_on_ratings", *needed, *allowed)]:
            kind = next(kind for kind, fields in _JUDGE_FIELDS.items() if alien[0] in fields[0] + fields[1])
            raise ValueError(f"judge {self.name}: kind {self.kind!r} takes no {alien[0]}; take it out, or set kind to {kind!r}")
        if self.kind == "llm":
            self._can_be_asked()
        return self

    def _can_be_asked(self) -> None:
        model, path = self.model, rubric_path(self.rubric)
        if model.temperature is not None:
            raise ValueError(f"judge {self.name}: model.temperature {model.temperature:g} would not be looked at; take it out "
                             "and set the judge's own temperature")  # fmt: skip
        if model.mode != "chat" or model.table or model.begin_answer or model.id.startswith("canned:"):
            raise ValueError(f"judge {self.name}: model {model.name} cannot be asked; give one of transformers or of a server, "
                             "in mode 'chat', without begin_answer")  # fmt: skip
        if not path.is_file():
            shipped = sorted(file.stem for file in SHIPPED_RUBRICS.glob("*.md"))
            raise ValueError(f"judge {self.name}: rubric {self.rubric!r}: no file {path}{nearest(self.rubric, shipped)}; give "
                             f"its path, or one that ships ({', '.join(shipped)})")  # fmt: skip


class Notebook(Strict):
    """What every notebook is told."""

    set_name: Name  # results go to outputs/<set_name>/
    toy: bool  # a canned model: every page is stamped "no conclusion"


class Prior(Strict):
    """Prompts that others published (see lib/prior_work.py), in a file: parquet, CSV, TSV, JSONL or xlsx."""

    path: str  # relative to the project's folder, or absolute
    columns: dict[
        Literal["prompt", "concept", "control", "n_control", "is_control", "polarity", "template", "category",
                "generation", "control_generation"], str
    ] = {}  # ours: the file's  # fmt: skip


class Crawl(Strict):
    """WET files of Common Crawl, fetched."""

    crawl: Annotated[str, Field(pattern=r"^CC-MAIN-\d{4}-\d{2}$")]
    files: Count = 20  # how many of the crawl's 90,000, drawn with the section's seed
    minutes: Annotated[float, Field(gt=0)] = 120.0  # that fetching may take


class Mining(Strict):
    """Prompts out of free text in place of the curated ones; `lib.mined` says what each step does."""

    source: Literal["embedded"] | list[str] | Crawl = (
        "embedded"  # text that ships in packages; paths or globs of WET files; a crawl
    )
    groups: Count = 150  # stems, each with the contexts of one match
    reuse: Count = 2  # stems that a match meets; more leave stronger contexts to choose from, and fewer of them
    tasks: Count | None = None  # parts of the work, each finished or not; None makes one of each file
    executor: Literal["local", "slurm"] = "local"
    workers: Count | None = None  # tasks at a time; None: as many as there are cores, or as Slurm allows
    slurm: dict[str, int | str] = {}  # what datatrove's Slurm executor is given: partition, time, mem_per_cpu_gb, …
    charge_mined: Annotated[float, Field(ge=0, lt=4)] = (
        1.6  # least |VADER valence| of a charged context, points of the human scale
    )
    charged_above: Annotated[float, Field(ge=0, lt=4)] = 1.5  # least predicted mean rating of it, in its direction
    neutral_below: Annotated[float, Field(gt=0, lt=4)] = 0.35  # most predicted |mean rating| of a stem or neutral context
    unrelated_below: Share = 0.2  # most cosine of a stem's and a context's sentence vectors
    pool: Count = 10  # candidates of a role that are looked at, times groups
    per_page: Count | None = 3  # stems, and contexts, that one page may give
    per_site: Count | None = 20  # the same of one registered domain
    url_filter: bool = True  # leave out sites on datatrove's lists of adult and fraudulent ones


class Dataset(Notebook):
    """01_dataset."""

    seed: int
    stems: Annotated[int, Field(ge=2)] | None  # how many of the curated stems, spread over the domains; None takes all
    groups_per_stem: Count | None  # None: every pair of stem and match that is not excluded
    mining: Mining | None = None  # prompts mined from text in place of the curated stems
    prior: Prior | None = None  # a published prompt table in place of the curated stems
    power_from: Name | None = None  # a finished set whose variances tell what effect this one can see


class Generation(Notebook):
    """02_generation."""

    model: Model
    mitigations: dict[Name, str]
    seed: int
    samples: Count  # completions a prompt
    mitigation_samples: Annotated[int, Field(ge=0)]  # completions a prompt under each mitigation
    temperature: Heat
    max_new_tokens: Annotated[int, Field(ge=1, le=512)]
    batch_size: Count | None = None  # completions decoded side by side; None measures what is fastest
    workers: Count | None = None  # parts of a batch decoded at the same time, each on its share of the cores; None measures
    memory_gb: Annotated[float, Field(gt=0)] | None = None  # for the model's working memory; None takes 70 % of what is free

    @property
    def sampled_at(self) -> float:
        """The temperature of sampling: the model's own, or else the section's."""
        return self.temperature if self.model.temperature is None else self.model.temperature

    @field_validator("mitigations")
    @classmethod
    def _none_is_reserved(cls, value: dict[str, str]) -> dict[str, str]:
        if NO_MITIGATION in value:
            raise ValueError(f"{NO_MITIGATION!r} is the name of the unmitigated prompt; call this mitigation something else")
        return value

    @model_validator(mode="after")
    def _mitigation_samples_are_paired(self):
        if self.mitigation_samples > self.samples:
            raise ValueError(f"mitigation_samples {self.mitigation_samples} exceeds samples {self.samples}, "
                             "so some would have no unmitigated partner; lower it")  # fmt: skip
        return self


class Judging(Notebook):
    """03_judging."""

    model_name: Name
    judge: Judge
    charged_threshold: Annotated[float, Field(gt=0, lt=4)] | None = None  # |valence| above it is charged; None: fitted to ratings
    confidence: Share
    shown: Count  # completions shown per arm
    margin: Annotated[float, Field(gt=0)] = 5.0  # percentage points of net excess that count as nothing
    draws: Annotated[int, Field(ge=50)]  # bootstrap draws
    seed: int


class Agreement(Notebook):
    """04_human_agreement."""

    model_names: list[Name]
    judge: Judge
    beside: list[Judge] = []  # other judges whose agreement with people is shown beside it
    annotation_pairs: Annotated[int, Field(ge=10)]  # pairs of completions drawn for people to label
    confidence: Share
    margin: Annotated[float, Field(gt=0, lt=1)]  # difference of two correlations, or kappas, that counts as nothing
    draws: Annotated[int, Field(ge=50)]  # bootstrap draws
    seed: int

    @model_validator(mode="after")
    def _judges_differ_in_name(self):
        names = [judge.name for judge in (self.judge, *self.beside)]
        if len(names) != len(set(names)):
            raise ValueError(f"beside: two judges share a name ({', '.join(names)}); take one out or call it something else")
        return self


class Scaling(Notebook):
    """05_scaling_analysis."""

    model_names: list[Name]
    confidence: Share
    margin: Annotated[float, Field(gt=0)]  # percentage points of net excess that count as nothing
    minimum_sizes: Annotated[int, Field(ge=3)]
    curated_set: Name | None = None  # a set on the curated benchmark, with which this one on a mined benchmark is compared

    @field_validator("curated_set")
    @classmethod
    def _is_a_set(cls, value: str | None) -> str | None:
        if value is not None and value not in set_names():
            raise ValueError(f"no such parameter set{nearest(value, set_names())} (there are: {', '.join(set_names())})")
        return value


class Mitigation(Notebook):
    """06_prompting_mitigation_ablation."""

    model_names: list[Name]
    mitigations: dict[Name, str]
    control: Name | None  # a mitigation that asks nothing about mood: it shows what any added sentence does
    confidence: Share
    margin: Annotated[float, Field(gt=0)]  # percentage points of net excess within which an effect counts as none

    @model_validator(mode="after")
    def _control_is_a_mitigation(self):
        if self.control is not None and self.control not in self.mitigations:
            raise ValueError(f"control {self.control!r} is not one of the mitigations{nearest(self.control, self.mitigations)}")
        return self


NOTEBOOKS = {
    "01_dataset": ("dataset", Dataset),
    "02_generation": ("generation", Generation),
    "03_judging": ("judging", Judging),
    "04_human_agreement": ("agreement", Agreement),
    "05_scaling_analysis": ("scaling", Scaling),
    "06_prompting_mitigation_ablation": ("mitigation", Mitigation),
}
PER_MODEL = ("02_generation", "03_judging")


class ParameterSet(Strict):
    """One YAML file of `params/`; the sections are checked notebook by notebook."""

    title: str
    toy: bool = False
    note: str = ""  # a warning that stands on every page and figure of the set; what is before its colon is its name
    minutes: float | None = None  # how long the run takes on two cores, once measured
    models: Annotated[list[Model], Field(min_length=1)]
    mitigations: dict[Name, str] = {}
    dataset: dict
    generation: dict
    judging: dict
    agreement: dict
    scaling: dict
    mitigation: dict

    @field_validator("models")
    @classmethod
    def _names_are_unique(cls, value: list[Model]) -> list[Model]:
        names = [model.name for model in value]
        if len(names) != len(set(names)):
            raise ValueError(f"two models share a name: {sorted(names)}")
        return value


def nearest(word: str, words) -> str:
    """A clause that names the closest of `words`, empty if none is close."""
    found = difflib.get_close_matches(str(word), list(words), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def _explain(error: ValidationError, schema: type[Strict], place: str) -> ParameterError:
    """The first thing wrong, on one line: place, value, reason, remedy."""
    first = error.errors()[0]
    where = place + ("." if "yaml: " in place else ": ") * bool(first["loc"]) + ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        inside = schema
        for part in first["loc"][:-1]:
            if isinstance(part, str) and part in inside.model_fields:
                inner = [t for t in (inside.model_fields[part].annotation, *get_args(inside.model_fields[part].annotation))
                         if isinstance(t, type) and issubclass(t, Strict)]  # fmt: skip
                inside = inner[0] if inner else inside
        known = list(inside.model_fields)
        reason = f"unknown key{nearest(first['loc'][-1], known)} (known: {', '.join(known)})"
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


def set_names() -> list[str]:
    """The parameter sets there are: file names of `params/*.yaml`."""
    return sorted(path.stem for path in (ROOT / "params").glob("*.yaml"))


def note(set_name: str) -> str:
    """The warning that a set puts on its pages; empty if it has none, or if there is no such set."""
    return load(set_name).note if set_name in set_names() else ""


def load(set_name: str) -> ParameterSet:
    """Read and check `params/<set_name>.yaml`, every notebook's section included. Raises ParameterError."""
    path = ROOT / "params" / f"{set_name}.yaml"
    place = f"params/{set_name}.yaml"
    if not path.is_file():
        raise ParameterError(
            f"{place}: no such parameter set{nearest(set_name, set_names())} (there are: {', '.join(set_names())})"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ParameterError(f"{place}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{place}: {values!r} is not a mapping of sections; see params/embedded.yaml for an example")
    parameters = _validate(ParameterSet, values, place)
    for notebook in NOTEBOOKS:
        for model in parameters.models if notebook in PER_MODEL else parameters.models[:1]:
            cell_values(parameters, set_name, notebook, model.name)
    return parameters


def cell_values(parameters: ParameterSet, set_name: str, notebook: str, model_name: str | None = None) -> dict:
    """What one run of `notebook` is given: its section, defaults filled in, and the shared values that its schema asks for."""
    section, schema = NOTEBOOKS[notebook]
    chosen = next((model for model in parameters.models if model.name == model_name), parameters.models[0])
    shared = {
        "set_name": set_name,
        "toy": parameters.toy,
        "model": chosen.model_dump(),
        "model_name": chosen.name,
        "model_names": [model.name for model in parameters.models],
        "mitigations": parameters.mitigations if chosen.mitigate or notebook not in PER_MODEL else {},
    }
    place = f"params/{set_name}.yaml: {section}"
    for key in getattr(parameters, section).keys() & shared.keys():
        raise ParameterError(f"{place}.{key}: does not belong here; it is taken from the file's name or its first keys")
    values = {**getattr(parameters, section), **{key: value for key, value in shared.items() if key in schema.model_fields}}
    return _validate(schema, values, place).model_dump()


def from_cell(notebook: str, cell: dict) -> Notebook:
    """The values of a notebook's parameters cell (its globals) as one checked, frozen object. Raises ParameterError."""
    schema = NOTEBOOKS[notebook][1]
    given = {key: cell[key] for key in schema.model_fields if key in cell}
    return _validate(schema, given, f"notebooks/{notebook}.ipynb, parameters cell")
