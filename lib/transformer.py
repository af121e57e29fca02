"""Causal language models of the transformers library: the bundled one, the ladder, a folder, a hub id, a GGUF file."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from lib import bundled, outcomes, packages, params, specs
from lib.models import INSTRUCTION, Reply, silent
from lib.specs import Model, ParameterError

_DATE = "26 Jul 2024"  # Llama 3's template tells the date of today, but a prompt must not change from day to day
_BITS = {"4bit": 4, "8bit": 8}


class Transformer:
    """A causal language model of the transformers library."""

    def __init__(self, spec: Model):
        self.spec = spec
        self.source = _source(spec.id)
        self.workers, self.threads = 1, None  # see calibration.Pace; None leaves torch's own number
        self._place = {"gguf_file": spec.gguf_file} if spec.gguf_file else {}
        if not Path(self.source).is_dir():
            self._place["revision"] = spec.revision
        self.config = self._found("AutoConfig")
        self.tokenizer = self._found("AutoTokenizer")
        if spec.mode == "chat" and not self.tokenizer.chat_template:
            raise ParameterError(f"model {spec.name}: {spec.id!r} has no chat template; set mode to 'completion'")
        if spec.quantization and find_spec("bitsandbytes") is None:
            raise ParameterError(f"model {spec.name}: quantization {spec.quantization!r} needs the package bitsandbytes; "
                                 "pip install 'expression-leakage[quantization]'")  # fmt: skip
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def _found(self, loader: str, **options):
        return found(loader, f"model {self.spec.name}", self.spec.id, self.source, **self._place, **options)

    @cached_property
    def fingerprint(self) -> str:
        """What its answers depend on beside the request: weights, tokenizer and number format."""
        weights = identity(self.source, self.config)
        format_ = {"dtype": self.spec.dtype, "gguf_file": self.spec.gguf_file, "quantization": self.spec.quantization}
        return json.dumps({"weights": weights, **format_}, sort_keys=True)

    @cached_property
    def _empty(self):
        """The architecture, without weights."""
        import torch
        from transformers import AutoModelForCausalLM

        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(self.config)

    @cached_property
    def parameters(self) -> int:
        """Number of weights outside the embedding tables, counted on the architecture without loading it."""
        both = (self._empty.get_input_embeddings(), self._empty.get_output_embeddings())
        tables = {id(part.weight) for part in both if part is not None}
        return sum(weight.numel() for weight in self._empty.parameters() if id(weight) not in tables)

    @property
    def weight_bytes(self) -> int:
        """How much memory its weights take, estimated before they are loaded; embeddings are not quantised."""
        dtype = getattr(self.config, "dtype", None) if self.spec.dtype == "auto" else self.spec.dtype
        whole = 16 if "16" in str(dtype) else 32
        tables = sum(weight.numel() for weight in self._empty.parameters()) - self.parameters
        return (self.parameters * _BITS.get(self.spec.quantization, whole) + tables * whole) // 8

    def _check_memory(self) -> None:
        """ParameterError if the weights cannot fit into what is free."""
        free = free_bytes()
        if self.weight_bytes > free:
            raise ParameterError(
                f"model {self.spec.name}: its weights need about {self.weight_bytes / 1e9:.1f} GB as {self.spec.dtype}, "
                f"{free / 1e9:.1f} GB are free; choose dtype 'bfloat16', a quantization, or a larger machine"
            )

    @cached_property
    def weights(self):
        """The model itself, loaded when first asked for; ParameterError before that if it cannot fit into memory."""
        from transformers import BitsAndBytesConfig
        from transformers.utils import logging

        self._check_memory()
        logging.disable_progress_bar()  # it would break into the one that counts completions
        options = {"dtype": self.spec.dtype, "device_map": self.spec.device_map}
        if self.spec.quantization:
            options["quantization_config"] = BitsAndBytesConfig(**{f"load_in_{self.spec.quantization}": True})
        return self._found("AutoModelForCausalLM", **options).eval()

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """The prompt as the model sees it: plain text, or its chat template with the answer begun where the set says so."""
        text = f"{context} {stem}".strip()
        if self.spec.mode == "completion":
            return f"{mitigation} {text}".strip()
        return self.question(f"{mitigation} {INSTRUCTION} {text}".strip()) + (text if self.spec.begin_answer else "")

    def question(self, text: str) -> str:
        """A message of the user as the model sees it: in its chat template, with the answer opened."""
        messages = [{"role": "user", "content": text}]
        if self.spec.system_prompt is not None:
            messages.insert(0, {"role": "system", "content": self.spec.system_prompt})
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, date_string=_DATE)

    def token_ids(self, rendered: list[str]) -> list[list[int]]:
        """The tokens of rendered prompts; a chat template has put its special tokens already, plain text gets them here."""
        return self.tokenizer(rendered, add_special_tokens=self.spec.mode == "completion").input_ids

    def reply(
        self, requests, temperature: float, max_new_tokens: int, seed: int, progress=silent, on_prompts=None
    ) -> list[Reply]:
        """One Reply for each row of `requests`, decoded in `workers` parts side by side, each on `threads` cores.

        `on_prompts`, if given, is called with rendered prompts and the logits after each (prompts, vocabulary), in any thread.
        """
        asked = (temperature, max_new_tokens, seed, progress, on_prompts)
        turn = requests["group_id"].factorize()[0] % self.workers  # a group shares prompts and noise, so it stays together
        places = [np.flatnonzero(turn == worker) for worker in range(self.workers)]
        parts = at_once(self, lambda rows: self._reply(requests.iloc[rows], *asked), [rows for rows in places if len(rows)])
        replies = dict(zip(np.concatenate(places).tolist(), chain.from_iterable(parts), strict=True))
        return [replies[row] for row in range(len(requests))]

    def _limits(self, max_new_tokens: int, rendered: str):
        from lib.decoding import Limits

        spec = self.spec
        markers = tuple(spec.thought_markers)
        return Limits(max_new_tokens, spec.thinking_tokens, markers, self.opens_thought(rendered), spec.require_word)

    def opens_thought(self, rendered: str) -> bool:
        """Whether a rendered prompt ends within a thought that it has opened, so that the reply goes on with it."""
        opening, closing = self.spec.thought_markers
        return rendered.rfind(opening) > rendered.rfind(closing)

    def _reply(self, requests: pd.DataFrame, temperature, max_new_tokens, seed, progress, on_prompts) -> list[Reply]:
        import torch

        from lib.decoding import decode

        prompts = list(dict.fromkeys(requests["rendered"]))
        number = {prompt: place for place, prompt in enumerate(prompts)}
        limits = self._limits(max_new_tokens, prompts[0])  # one template: all of its prompts open a thought, or none
        asked = list(zip(requests["context"], requests["stem"], requests["mitigation_text"], strict=True))
        try:
            return decode(
                self.weights,
                self.tokenizer,
                self.token_ids(prompts),
                prompt_of_row=[number[prompt] for prompt in requests["rendered"]],
                keys=[(seed, group, index) for group, index in zip(requests["group_id"], requests["sample_index"], strict=True)],
                is_complete=lambda row, text: outcomes.is_complete(text, *asked[row], limits.markers, limits.thinking),
                temperature=temperature,
                limits=limits,
                progress=progress,
                on_prompts=on_prompts and (lambda logits: on_prompts(prompts, logits)),
            )
        except torch.OutOfMemoryError:
            if len(requests) == 1:
                raise
        # no draw depends on the batch, so one that does not fit can be halved
        asked = (temperature, max_new_tokens, seed, progress, on_prompts)
        half = len(requests) // 2
        return [reply for part in (requests.iloc[:half], requests.iloc[half:]) for reply in self._reply(part, *asked)]


def _source(model_id: str) -> str:
    """The folder or hub id that holds a model; the bundled one is fetched, and the ladder trained, on first use."""
    if model_id.startswith("bundled:"):
        return str(bundled.folder())
    if model_id.startswith("ladder:"):
        from lib import ladder

        return str(ladder.folder(model_id.removeprefix("ladder:")))
    return model_id


def found(loader: str, who: str, id_: str, source: str, **options):
    """What the Auto class `loader` makes of a folder or hub id; ParameterError, naming `who` wants it, if it cannot."""
    import transformers

    try:
        return getattr(transformers, loader).from_pretrained(source, **options)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise ParameterError(f"{who}: id {id_!r} needs a package that is missing ({reason}); install it") from None
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ParameterError(
            f"{who}: id {id_!r} cannot be loaded ({reason})\n"
            f"check the spelling and the network, or give a folder that holds the model{specs.nearest(id_, _known_ids())}"
        ) from None


def identity(source: str, config) -> dict[str, str] | str:
    """What tells a model from another: the hash of each file of its folder, or the commit of the hub."""
    if not Path(source).is_dir():
        return config._commit_hash
    return {path.name: packages.sha256(path) for path in sorted(Path(source).iterdir()) if path.is_file()}


def at_once(model: Transformer, function, arguments: list) -> list:
    """`function` of each argument, `model.workers` at a time, each on `model.threads` cores.

    Threads, not processes: torch works outside Python's lock, and the weights are in memory once.
    """
    import torch

    model.weights  # noqa: B018  loaded before the threads part
    with ThreadPoolExecutor(model.workers, initializer=lambda: model.threads and torch.set_num_threads(model.threads)) as pool:
        return list(pool.map(function, arguments))


def free_bytes() -> int:
    """Memory that a model can use: of all accelerators if there are any (accelerate spreads it), and of the machine."""
    import psutil
    import torch

    accelerators = sum(torch.cuda.mem_get_info(place)[0] for place in range(torch.cuda.device_count()))
    return accelerators + psutil.virtual_memory().available


def _known_ids() -> set[str]:
    """Models that a misspelt id may have meant: those of the parameter sets and those in the hub's cache on this machine."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    known = set()
    for name in specs.set_names():
        with suppress(ParameterError):  # of another set than the one that is run
            known |= {model.id for model in params.load(name).models}
    with suppress(CacheNotFound):
        known |= {repository.repo_id for repository in scan_cache_dir().repos}
    return known
