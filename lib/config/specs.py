"""Models and judges of a parameter set, checked before anything heavy is imported."""

import difflib
import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    field_validator,
    model_validator,
)

from lib.runtime.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
BUNDLED_MODELS = (
    "bundled:SmolLM2-135M-Instruct",
    "bundled:Gemma-3-270M",
    "bundled:Qwen2.5-Coder-0.5B-Instruct",
    "bundled:Qwen2.5-Coder-1.5B-Instruct",
    "mock:leak-0",
    "mock:leak-10",
    "mock:leak-30",
    "mock:leak-50",
    "ladder:0.1M",
    "ladder:0.4M",
    "ladder:1.2M",
    "ladder:3.1M",
    "ladder-augmented:0.1M",
    "ladder-augmented:0.4M",
    "ladder-augmented:1.2M",
    "ladder-augmented:3.1M",
)
LADDERS = ("ladder", "ladder-augmented")  # families that this project trains from scratch
BUNDLED_JUDGES = ("vader", "learned")
SHIPPED_RUBRICS = ROOT / "lib" / "data" / "rubrics"
ARMS = ("none", "neutral", "placebo", "negative", "positive")
CHARGED_ARMS = ("negative", "positive")
# the arms that a mitigation may have; the charged ones are compared
MITIGATED_ARMS = ("neutral", *CHARGED_ARMS)
NO_MITIGATION = "none"
# stems and contexts of any run, and those reserved for a confirmatory one
MAIN: Final = "main"
HELD_OUT: Final = "held_out"
PARTS = (MAIN, HELD_OUT)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Mark = Annotated[str, Field(pattern=r"\S")]
Temperature = Annotated[float, Field(ge=0, le=5)]
Valence = Annotated[float, Field(ge=-4, le=4)]


class ParameterError(DataError):
    """A parameter is wrong; the message names the place, the value and the remedy."""


def nearest(word: str, words) -> str:
    """A clause that names the closest of `words`, regardless of case; empty if none is close."""
    by_folded = {str(each).casefold(): each for each in words}
    matches = difflib.get_close_matches(str(word).casefold(), list(by_folded), n=1, cutoff=0.5)
    return f"; did you mean {by_folded[matches[0]]!r}?" if matches else ""


def set_names() -> list[str]:
    """The names of all parameter sets: the stems of `params/*.yaml`."""
    return sorted(path.stem for path in (ROOT / "params").glob("*.yaml"))


def check_set_name(name: str) -> None:
    """Check that a set can have this name: its files and outputs then lie in params/ and outputs/.

    Raises:
        ParameterError: If it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise ParameterError(
            f"SET={name[:100]}: no set can be called so; give letters, digits, '.', '_' and '-', 80 at "
            "most, as in SET=my-model"
        )


class Strict(BaseModel):
    """The base of all schemas: frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


class Server(Strict):
    """A server with OpenAI's protocol: vLLM, llama.cpp, Ollama, or a hosted API."""

    url: Annotated[str, Field(pattern=r"^https?://")]  # for example http://localhost:8000/v1
    # the environment variable that holds the API key; the key itself is never written
    api_key_env: str | None = None
    # sent with each request, where a server has defaults of its own (top_k, …)
    extra_body: dict[str, int | float | str | bool] = {}
    # canonical: what this server calls it, or null if it refuses it, as {max_tokens: max_completion_tokens,
    # seed: null}
    parameter_names: dict[Literal["max_tokens", "seed", "n", "top_p", "temperature"], str | None] = Field({})
    concurrency: Count = 8  # requests in flight
    timeout: Annotated[float, Field(gt=0)] = 120.0  # maximum seconds of one request
    # of a request that failed for a temporary reason: about a minute in all
    retries: Annotated[int, Field(ge=0)] = 12

    @field_validator("url")
    @classmethod
    def _holds_no_password(cls, value: str) -> str:
        if "@" in value.split("/")[2]:
            raise ValueError(
                "holds a user or password, which would be written into results; name an environment variable "
                "with the key in api_key_env instead"
            )
        return value


class Table(Strict):
    """Completions that were generated elsewhere, in a file: parquet, CSV, JSONL or xlsx."""

    path: str  # relative to the project's folder, or absolute
    columns: dict[  # canonical: the file's
        Literal[
            "prompt_id", "prompt", "mitigation", "sample_index", "completion", "outcome", "note", "wording"
        ],
        str,
    ] = {}


class Model(Strict):
    """One row of the results: a model that is prompted in one way, or completions of it from elsewhere."""

    name: Name  # its name in the results, for example qwen2.5-7b
    id: str  # hub id, folder of a model, one of BUNDLED_MODELS, or its name on the server
    family: str  # models of one family are compared by size
    tuning: Literal["base", "instruct"]
    # completion: continue the text; chat: prompt in the model's own template
    mode: Literal["completion", "chat"]
    system_prompt: str | None = None  # chat only; None sends no system message
    # chat only; accept the system text that the model's template adds by itself
    keep_template_system: bool = False
    # chat only; start the answer with the unfinished text, so that the model continues it
    assistant_prefill: bool = False
    # the model may neither end nor write only punctuation before it has written a letter or digit
    require_word: bool = False
    # chat only; options of the template, as {enable_thinking: false}
    chat_template_kwargs: dict[str, int | float | str | bool] = {}
    # what stands between these is a thought, which is separated from the answer
    thought_markers: Annotated[list[Mark], Field(min_length=2, max_length=2)] = ["<think>", "</think>"]
    # maximum tokens of a thought, in addition to max_new_tokens of the answer
    thinking_tokens: Annotated[int, Field(ge=0)] = 0
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    device_map: str = "auto"  # how accelerate distributes the weights over devices
    revision: str = "main"
    gguf_file: str | None = None  # the GGUF file of that hub id or folder
    # also load weights that are no safetensors (pytorch_model.bin): pickled, they can run code
    pickled_weights: bool = False
    # shrink the weights while loading (needs the package bitsandbytes)
    quantization: Literal["4bit", "8bit"] | None = None
    # None: generation.temperature. Notebook 05 treats two of one family as two models of one size
    temperature: Temperature | None = None
    # number of weights outside the embeddings, where they cannot be counted (server, table)
    parameters: Count | None = None
    # parts in which its completions are generated, each a job of its own: on nodes, or accelerators
    shards: Count = 1
    server: Server | None = None
    table: Table | None = None
    # also generate with every mitigation prompt, or with those of these names
    mitigate: bool | Annotated[list[Name], Field(min_length=1)] = False
    # also under every intervention, or under those of these names
    intervene: bool | Annotated[list[Name], Field(min_length=1)] = False

    @model_validator(mode="after")
    def _is_known(self):
        is_local = not (self.server or self.table)
        if self.server and self.table:
            raise ValueError("a model comes from a server or from a table, not from both; take one out")
        if is_local and not (self.id in BUNDLED_MODELS or "/" in self.id or Path(self.id).is_dir()):
            raise ValueError(
                f"id {self.id!r}: no such model{nearest(self.id, BUNDLED_MODELS)}; give a hub id "
                "(owner/name), "
                f"a folder, or one of {', '.join(BUNDLED_MODELS)}"
            )
        if self.shards > 1 and self.table:
            raise ValueError("shards: completions of a table are not generated; take shards out")
        if self.intervene and (not is_local or self.id.startswith("mock:")):
            raise ValueError(
                "intervene needs a model whose weights run here: nothing inside a server, a table or a mock "
                "model can be changed; set it to false"
            )
        if not is_local and self.require_word:
            raise ValueError(
                "require_word needs a model that runs here: a server's tokens cannot be held back; set it "
                "to false"
            )
        if not is_local and self.assistant_prefill:
            raise ValueError(
                "assistant_prefill needs a model that runs here: a server takes no begun answer; set it to "
                "false"
            )
        return self


def rubric_path(name: str) -> Path:
    """The file of a rubric.

    Args:
        name: The bare name of a rubric that ships, or a path, relative to the project's folder or absolute.
    """
    return SHIPPED_RUBRICS / f"{name}.md" if "/" not in name and not Path(name).suffix else ROOT / name


class _JudgeBase(Strict):
    """What every judge has; in a parameter set it is followed by the fields of its kind."""

    name: Name  # its name in the results
    # a published model that was trained on the rated texts cannot be tested on them
    trained_on_ratings: bool = False


class VaderJudge(_JudgeBase):
    """The lexicon VADER."""

    kind: Literal["vader"] = "vader"


class LearnedJudge(_JudgeBase):
    """The regression of human ratings that ships with the project."""

    kind: Literal["learned"] = "learned"


class ClassifierJudge(_JudgeBase):
    """A text-classification model of the transformers library."""

    kind: Literal["classifier"] = "classifier"
    id: str  # hub id or folder
    revision: str = "main"
    pickled_weights: bool = False  # as for a model
    labels: Annotated[dict[str, Valence], Field(min_length=1)]  # the value of each label on the human scale


class LLMJudge(_JudgeBase):
    """A language model that a rubric asks."""

    kind: Literal["llm"] = "llm"
    model: Model  # in mode chat
    rubric: str = "valence"  # the question; one of lib/data/rubrics/, or the path of another rubric
    temperature: Temperature = 0.0  # at 0, a local model always gives the same answer
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536)] = 256
    seed: int = 1
    retest_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1  # share of questions asked a second time

    @model_validator(mode="after")
    def _can_be_asked(self):
        model = self.model
        if model.temperature is not None:
            raise ValueError(
                f"judge {self.name}: model.temperature {model.temperature:g} would not be looked at; take "
                "it out and set the judge's own temperature"
            )
        if model.mode != "chat" or model.table or model.assistant_prefill or model.id.startswith("mock:"):
            raise ValueError(
                f"judge {self.name}: model {model.name} cannot be asked; give one of transformers or of a "
                "server, in mode 'chat', without assistant_prefill"
            )
        path = rubric_path(self.rubric)
        if not path.is_file():
            shipped = sorted(file.stem for file in SHIPPED_RUBRICS.glob("*.md"))
            raise ValueError(
                f"judge {self.name}: rubric {self.rubric!r}: no file "
                f"{path}{nearest(self.rubric, shipped)}; give its path, or one that ships "
                f"({', '.join(shipped)})"
            )
        return self


def _of_name(value):
    """The values of a judge that needs nothing but its name, as in `judge: vader`."""
    if isinstance(value, (dict, _JudgeBase)):
        return value
    if value not in BUNDLED_JUDGES:
        raise ValueError(
            f"no such judge{nearest(value, BUNDLED_JUDGES)}; give {' or '.join(BUNDLED_JUDGES)}, or "
            "name, kind and what that kind needs"
        )
    return {"name": value, "kind": value}


JUDGES: dict[str, type[_JudgeBase]] = {
    "vader": VaderJudge,
    "learned": LearnedJudge,
    "classifier": ClassifierJudge,
    "llm": LLMJudge,
}
# The judge that gives a completion its valence; its kind decides which fields it has.
Judge = Annotated[
    VaderJudge | LearnedJudge | ClassifierJudge | LLMJudge,
    Field(discriminator="kind"),
    BeforeValidator(_of_name),
]
JUDGE_SCHEMA: TypeAdapter[Judge] = TypeAdapter(Judge)  # checks and reads the values of one judge
