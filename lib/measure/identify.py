"""Turn what the user names into a Model of a parameter set.

What can be inferred is inferred and reported. What is ambiguous raises an error that asks for it.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from lib.config import specs
from lib.config.specs import Model, ParameterError, nearest
from lib.generation import prompt_checks
from lib.models import chat_templates
from lib.runtime.errors import DataError

MODES = ("chat", "completion")
THINKING_TOKENS = 1024  # for a model whose thinking cannot be switched off
_SIZE = re.compile(r"[-_. ]?\d+(\.\d+)?[bm](?![a-z])", re.IGNORECASE)
_QUANTIZED = re.compile(r"[-_.](i?q\d\w*|[bf]+p?16|f32|fp32)$", re.IGNORECASE)  # endings of GGUF file names
_TUNED = re.compile(r"instruct|chat|assistant|(?:^|[-_.])(?:it|sft|dpo|rlhf)(?:[-_.]|$)", re.IGNORECASE)
_BASE = re.compile(r"(?:^|[-_.])(?:base|pt|pretrained)(?:[-_.]|$)", re.IGNORECASE)
_ROOM = 0.8  # share of free memory that weights may take


@dataclass(frozen=True)
class Request:
    """Options of the command line; None means that the value is to be inferred."""

    model: str | None = None  # hub id, folder, GGUF file, bundled model, or URL of a server
    table: str | None = None  # path of a file of completions made elsewhere
    name: str | None = None  # of the model on the server; for a table, of the model that wrote it
    mode: str | None = None
    dtype: str | None = None
    api_key_env: str | None = None  # environment variable that holds a server's key


def identify(request: Request) -> tuple[Model, list[str]]:
    """Identify the model to measure.

    Args:
        request: The model, as the user named it.

    Returns:
        The model, and one line for each fact that was inferred.

    Raises:
        ParameterError: If the model cannot be identified; the message names the remedy.
    """
    if request.table is not None:
        return _of_table(request.table, request)
    model = request.model
    assert model is not None
    if is_url(model):
        return _of_server(model, request)
    if model.startswith("mock:"):
        if model not in specs.BUNDLED_MODELS:
            raise ParameterError(f"MODEL={model}: no such model{nearest(model, specs.BUNDLED_MODELS)}")
        return Model(
            name=slug(model.replace(":", "-")), id=model, family="mock", tuning="instruct", mode="completion"
        ), ["a mock model with a known leak, for trying this out: it allows no conclusion"]
    return _of_weights(model, request)


def is_url(model: str) -> bool:
    """Return whether `model` is the URL of a server."""
    return bool(re.match(r"https?://", model))


def _model(place: str, **fields) -> Model:
    """Build a Model; raise ParameterError, naming `place`, if the fields allow none."""
    try:
        return Model(**fields)
    except ValidationError as error:
        first = error.errors()[0]  # without the value, which may hold a password
        field = ".".join(map(str, first["loc"]))
        raise ParameterError(
            f"{place}: {field + ': ' if field else ''}{first['msg'].removeprefix('Value error, ')}"
        ) from None


def slug(label: str) -> str:
    """Derive a name for results and files from the end of a path or id.

    'org/My-Model-7B.Q4_K_M.gguf' gives 'my-model-7b.q4_k_m'.
    """
    last = re.split(r"[/\\:]", label.rstrip("/\\"))[-1].removesuffix(".gguf")
    return re.sub(r"[^a-z0-9._-]+", "-", last.lower()).strip("-._") or "model"


def family(label: str) -> str:
    """Derive the family of a model: the part of its name before the size.

    'Qwen2.5-7B-Instruct' gives 'qwen2.5'. Models of one family are compared by size.
    """
    name = _QUANTIZED.sub("", slug(label))
    size = _SIZE.search(name)
    name = name[: size.start()] if size and size.start() else _BASE.sub("", _TUNED.sub("", name))
    return name.strip("-._") or slug(label)


def _of_table(table: str, request: Request) -> tuple[Model, list[str]]:
    path = Path(table).expanduser()
    logged = None if request.name else _logged_model(specs.ROOT / path)
    label = request.name or logged or path.stem
    model = _model(
        f"TABLE={table}",
        name=slug(label),
        id=label,
        family=family(label),
        tuning="instruct",
        mode=request.mode or "chat",
        table={"path": str(path)},
    )
    source = "" if request.name else ", as its log says" if logged else "; NAME=… tells whose they are"
    return model, [f"completions of {label}, made elsewhere{source}"]


def _logged_model(path: Path) -> str | None:
    """The model that a log names; None for a table, and for a log that cannot be read."""
    from lib.models import evaluation_logs

    with suppress(DataError, OSError):
        if evaluation_logs.is_log(path):
            return str(evaluation_logs.read(path).table["model"].iloc[0]) or None
    return None


def _of_server(address: str, request: Request) -> tuple[Model, list[str]]:
    from lib.models.openai_api import Server

    url = address.rstrip("/")
    notes = []
    if not urlsplit(url).path:
        url += "/v1"
        notes.append(f"asking at {url}")
    location, mode = "MODEL: the URL of the server", request.mode or "chat"
    if request.mode is None:
        notes.append("asked in chat mode; MODE=completion for a base model")
    fields = {
        "family": "server",
        "tuning": "instruct",
        "mode": mode,
        "server": {"url": url, "api_key_env": request.api_key_env},
    }
    name = request.name
    if name is None:
        listed = Server(_model(location, name="server", id="server", **fields), check=False).listed()
        if len(listed) != 1:
            listing = (
                f"lists {', '.join(listed[:8])}{', …' * (len(listed) > 8)}" if listed else "lists no models"
            )
            raise ParameterError(f"NAME is missing: the server {url} {listing}; say which one with NAME=…")
        name = listed[0]
        notes.append(f"the server's only model, {name}")
    tuning = "base" if mode == "completion" and _BASE.search(name) else "instruct"
    return _model(
        location, name=slug(name), id=name, **{**fields, "family": family(name), "tuning": tuning}
    ), notes


def _of_weights(name_or_path: str, request: Request) -> tuple[Model, list[str]]:
    from lib.models import huggingface

    source = _place(name_or_path)
    label = source["id"] if Path(source["id"]).is_dir() and "gguf_file" not in source else name_or_path
    names = {
        "name": slug(label),
        "family": family(label),
        "dtype": request.dtype or "bfloat16",
    }  # a draft: bfloat16 needs least, so that weights may be fetched
    draft = _model(f"MODEL={name_or_path}", tuning="instruct", mode="completion", **names, **source)
    backend = huggingface.HuggingFaceModel(draft)
    mode, tuning, reason = _asked(backend, label, request.mode)
    dtype, dtype_reason = _dtype(backend, request.dtype)
    draft = draft.model_copy(update={"mode": mode, "tuning": tuning, "dtype": dtype})
    chat_fields, notes = _chat_form(backend.tokenizer, draft) if mode == "chat" else ({}, [])
    size = f"{backend.parameters / 1e6:,.0f} M weights outside the embeddings, family {draft.family}"
    return draft.model_copy(update=chat_fields), [size, f"{reason}; {dtype_reason}", *notes]


def _place(model: str) -> dict[str, str]:
    """Locate the weights, as keys of Model; raise ParameterError if the file or folder does not exist."""
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            siblings = [file.name for file in path.parent.glob("*.gguf")]
            raise ParameterError(
                f"MODEL={model}: no such file{nearest(path.name, siblings)}; give the path of a .gguf file"
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
    """Choose mode and tuning, with the reason, from the chat template, the name and the end token.

    A base model may carry a template, as in some families. Its end token then differs from the one that ends
    a turn of the template.
    """
    tokenizer = backend.tokenizer
    has_template, is_tuned, is_base = (
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
            "base"
            if mode == "completion" and not (has_template and (is_tuned or not is_base))
            else "instruct",
            f"{mode} mode, as requested",
        )
    if not has_template:
        return "completion", "base", "no chat template: completion mode"
    if is_base:
        return "completion", "base", "its name says base: completion mode"
    if is_tuned or _ends_turns(tokenizer, backend.spec):
        return "chat", "instruct", "a chat template, and tuned on it: chat mode"
    raise ParameterError(
        f"MODE is ambiguous: {label} has a chat template, but neither its name nor its end token tells "
        "whether it "
        "was tuned on it; say MODE=chat or MODE=completion"
    )


def _ends_turns(tokenizer, spec: Model) -> bool:
    """Return whether the template ends the assistant's turn with the end token of the model."""
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    rendered = chat_templates.apply(
        tokenizer, spec.model_copy(update={"mode": "chat"}), turns, add_generation_prompt=False
    )
    return bool(tokenizer.eos_token) and rendered.rstrip().endswith(tokenizer.eos_token)


def _dtype(backend, dtype: str | None) -> tuple[str, str]:
    """Choose the number format, and give the reason.

    It is the format that was requested; else, on an accelerator, the model's own; else float32 if it fits
    into memory.
    """
    import torch

    from lib.models import huggingface

    if dtype is not None:
        return dtype, f"{dtype}, as requested"
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
    """Return the settings of the chat template, as keys of Model, and one line for each."""
    fields: dict[str, dict[str, bool] | bool | int] = {}
    notes = []
    if switch := chat_templates.switch(tokenizer):
        fields["chat_template_kwargs"] = {switch: False}
        notes.append(f"it can think before it answers; switched off ({switch}: false)")
    spec = spec.model_copy(update=fields)
    if system_text := prompt_checks.added_system_text(tokenizer, spec):
        fields["keep_template_system"] = True
        notes.append(f"its template's own system text stays, as it was tuned: {system_text[:60]!r}")
    prompt = chat_templates.apply(tokenizer, spec, [{"role": "user", "content": "x"}])
    if chat_templates.opens_thought(prompt, "", spec.thought_markers):
        fields["thinking_tokens"] = THINKING_TOKENS
        notes.append(f"its template opens a thought: {THINKING_TOKENS} tokens are set aside for it")
    return fields, notes
