"""What a person named, as a Model of a parameter set: what can be found out is found out and said, the
ambiguous is asked for."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from lib.config import specs
from lib.config.specs import Model, ParameterError, nearest
from lib.generation import prompt_checks
from lib.models import chat_templates

MODES = ("chat", "completion")
THINKING_TOKENS = 1024  # for a model whose thoughts cannot be switched off
_SIZE = re.compile(r"[-_. ]?\d+(\.\d+)?[bm](?![a-z])", re.IGNORECASE)
_QUANTIZED = re.compile(r"[-_.](i?q\d\w*|[bf]+p?16|f32|fp32)$", re.IGNORECASE)  # how names of GGUF files end
_TUNED = re.compile(r"instruct|chat|assistant|(?:^|[-_.])(?:it|sft|dpo|rlhf)(?:[-_.]|$)", re.IGNORECASE)
_BASE = re.compile(r"(?:^|[-_.])(?:base|pt|pretrained)(?:[-_.]|$)", re.IGNORECASE)
_ROOM = 0.8  # share of free memory that weights may take


@dataclass(frozen=True)
class Request:
    """What was given on the command line; None is to be found out."""

    model: str | None = None  # hub id, folder, GGUF file, bundled model, or URL of a server
    table: str | None = None  # path of a file of completions made elsewhere
    name: str | None = None  # what the server calls the model; of a table, whose completions these are
    mode: str | None = None
    dtype: str | None = None
    api_key_env: str | None = None  # environment variable that holds a server's key


def identify(request: Request) -> tuple[Model, list[str]]:
    """The model to measure, and a line for each thing that was found out. ParameterError, with the remedy,
    where it cannot be."""
    if request.table is not None:
        return _of_table(request)
    if is_url(request.model):
        return _of_server(request)
    if request.model.startswith("canned:"):
        if request.model not in specs.BUNDLED_MODELS:
            raise ParameterError(
                f"MODEL={request.model}: no such model{nearest(request.model, specs.BUNDLED_MODELS)}"
            )
        return Model(
            name=slug(request.model.replace(":", "-")),
            id=request.model,
            family="canned",
            tuning="instruct",
            mode="completion",
        ), ["a canned model with a known leak, for trying this out: it allows no conclusion"]
    return _of_weights(request)


def is_url(model: str) -> bool:
    """Whether what was given is the URL of a server."""
    return bool(re.match(r"https?://", model))


def _model(place: str, **fields) -> Model:
    """A Model; ParameterError, naming `place`, where no such model is possible."""
    try:
        return Model(**fields)
    except ValidationError as error:
        first = error.errors()[0]  # without the value, which may hold a password
        where = ".".join(map(str, first["loc"]))
        raise ParameterError(
            f"{place}: {where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
        ) from None


def slug(label: str) -> str:
    """A name for results and files out of the end of a path or id: 'org/My-Model-7B.Q4_K_M.gguf' gives
    'my-model-7b.q4_k_m'."""
    last = re.split(r"[/\\:]", label.rstrip("/\\"))[-1].removesuffix(".gguf")
    return re.sub(r"[^a-z0-9._-]+", "-", last.lower()).strip("-._") or "model"


def family(label: str) -> str:
    """What a name says before the size: 'Qwen2.5-7B-Instruct' gives 'qwen2.5'. Models of one family are
    compared by size."""
    name = _QUANTIZED.sub("", slug(label))
    size = _SIZE.search(name)
    name = name[: size.start()] if size and size.start() else _BASE.sub("", _TUNED.sub("", name))
    return name.strip("-._") or slug(label)


def _of_table(request: Request) -> tuple[Model, list[str]]:
    label = request.name or Path(request.table).stem
    model = _model(
        f"TABLE={request.table}",
        name=slug(label),
        id=label,
        family=family(label),
        tuning="instruct",
        mode=request.mode or "chat",
        table={"path": str(Path(request.table).expanduser())},
    )
    return model, [
        f"completions of {label}, made elsewhere" + ("" if request.name else "; NAME=… tells whose they are")
    ]


def _of_server(request: Request) -> tuple[Model, list[str]]:
    from lib.models.openai_api import Server

    url = request.model.rstrip("/")
    notes = []
    if not urlsplit(url).path:
        url += "/v1"
        notes.append(f"asking at {url}")
    place, mode = "MODEL: the URL of the server", request.mode or "chat"
    if request.mode is None:
        notes.append("asked in chat mode; MODE=completion for a base model")
    given = {
        "family": "server",
        "tuning": "instruct",
        "mode": mode,
        "server": {"url": url, "api_key_env": request.api_key_env},
    }
    name = request.name
    if name is None:
        listed = Server(_model(place, name="server", id="server", **given), check=False).listed()
        if len(listed) != 1:
            offers = (
                f"lists {', '.join(listed[:8])}{', …' * (len(listed) > 8)}" if listed else "lists no models"
            )
            raise ParameterError(f"NAME is missing: the server {url} {offers}; say which one with NAME=…")
        name = listed[0]
        notes.append(f"the server's only model, {name}")
    tuning = "base" if mode == "completion" and _BASE.search(name) else "instruct"
    return _model(
        place, name=slug(name), id=name, **{**given, "family": family(name), "tuning": tuning}
    ), notes


def _of_weights(request: Request) -> tuple[Model, list[str]]:
    from lib.models import huggingface

    place = _place(request.model)
    label = place["id"] if Path(place["id"]).is_dir() and "gguf_file" not in place else request.model
    named = {
        "name": slug(label),
        "family": family(label),
        "dtype": request.dtype or "bfloat16",
    }  # what needs least may be fetched
    draft = _model(f"MODEL={request.model}", tuning="instruct", mode="completion", **named, **place)
    backend = huggingface.HuggingFaceModel(draft)
    mode, tuning, why = _asked(backend, label, request.mode)
    dtype, of_dtype = _dtype(backend, request.dtype)
    draft = draft.model_copy(update={"mode": mode, "tuning": tuning, "dtype": dtype})
    found, notes = _chat_form(backend.tokenizer, draft) if mode == "chat" else ({}, [])
    size = f"{backend.parameters / 1e6:,.0f} M weights outside the embeddings, family {draft.family}"
    return draft.model_copy(update=found), [size, f"{why}; {of_dtype}", *notes]


def _place(model: str) -> dict[str, str]:
    """Where the weights lie, as keys of Model; ParameterError for a file or folder that is not there."""
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            there = [file.name for file in path.parent.glob("*.gguf")]
            raise ParameterError(
                f"MODEL={model}: no such file{nearest(path.name, there)}; give the path of a .gguf file"
            )
        return {"id": str(path.parent.resolve()), "gguf_file": path.name}
    if path.is_file():
        raise ParameterError(
            f"MODEL={model} is a file, but no .gguf; a table of completions goes to TABLE={model}"
        )
    if path.is_dir():
        return {"id": str(path.resolve())}
    if model.startswith(("/", "./", "../", "~")):
        raise ParameterError(
            f"MODEL={model}: no such folder; give a hub id, a folder, a .gguf file, or a server's URL"
        )
    if model not in specs.BUNDLED_MODELS and "/" not in model:
        raise ParameterError(
            f"MODEL={model}: no such model{nearest(model, specs.BUNDLED_MODELS)}; give a hub id "
            "(owner/name), a "
            f"folder, a .gguf file, a server's URL, or one of {', '.join(specs.BUNDLED_MODELS)}"
        )
    return {"id": model}


def _asked(backend, label: str, mode: str | None) -> tuple[str, str, str]:
    """Mode, tuning, and why: from the chat template, the name, and whether the template ends a turn as the
    model ends a text.

    A base model that carries a template, as those of some families do, ends its texts in another way.
    """
    tokenizer = backend.tokenizer
    has_template, tuned, base = (
        bool(tokenizer.chat_template),
        bool(_TUNED.search(label)),
        bool(_BASE.search(label)),
    )
    if mode == "chat" and not has_template:
        raise ParameterError(
            f"MODE=chat: {label} has no chat template, as a base model; take MODE=completion"
        )
    if mode is not None:
        return (
            mode,
            "base" if mode == "completion" and not (has_template and (tuned or not base)) else "instruct",
            f"{mode} mode, as told",
        )
    if not has_template:
        return "completion", "base", "no chat template: completion mode"
    if base:
        return "completion", "base", "its name says base: completion mode"
    if tuned or _ends_turns(tokenizer, backend.spec):
        return "chat", "instruct", "a chat template, and tuned on it: chat mode"
    raise ParameterError(
        f"MODE is ambiguous: {label} has a chat template, but neither its name nor its end token tells "
        "whether it "
        "was tuned on it; say MODE=chat or MODE=completion"
    )


def _ends_turns(tokenizer, spec: Model) -> bool:
    """Whether the template ends the assistant's turn with the token with which the model ends a text."""
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    said = chat_templates.apply(
        tokenizer, spec.model_copy(update={"mode": "chat"}), turns, add_generation_prompt=False
    )
    return bool(tokenizer.eos_token) and said.rstrip().endswith(tokenizer.eos_token)


def _dtype(backend, dtype: str | None) -> tuple[str, str]:
    """The number format, and why: as told; on an accelerator the model's own; else float32 if it fits into
    memory."""
    import torch

    from lib.models import huggingface

    if dtype is not None:
        return dtype, f"{dtype}, as told"
    if torch.accelerator.is_available():
        return "auto", f"the model's own number format, on {torch.accelerator.current_accelerator()}"
    free, needed = huggingface.free_bytes(), backend.bytes_as("float32")
    if needed < _ROOM * free:
        return "float32", f"float32 on the CPU ({needed / 1e9:.1f} of {free / 1e9:.0f} GB free)"
    return (
        "bfloat16",
        f"bfloat16 on the CPU, for float32 needs {needed / 1e9:.1f} of {free / 1e9:.1f} GB free",
    )


def _chat_form(tokenizer, spec: Model) -> tuple[dict, list[str]]:
    """How the model is to be asked in its template, as keys of Model, and a line for each."""
    found, notes = {}, []
    if switch := chat_templates.switch(tokenizer):
        found["chat_template_kwargs"] = {switch: False}
        notes.append(f"it can think before it answers; switched off ({switch}: false)")
    spec = spec.model_copy(update=found)
    if added := prompt_checks.added_system_text(tokenizer, spec):
        found["keep_template_system"] = True
        notes.append(f"its template's own system text stays, as it was tuned: {added[:60]!r}")
    prompt = chat_templates.apply(tokenizer, spec, [{"role": "user", "content": "x"}])
    if chat_templates.opens_thought(prompt, "", spec.thought_markers):
        found["thinking_tokens"] = THINKING_TOKENS
        notes.append(f"its template opens a thought: {THINKING_TOKENS} tokens are set aside for it")
    return found, notes
