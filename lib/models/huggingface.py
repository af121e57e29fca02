"""Causal language models of the transformers library: the bundled one, the ladder, a folder, a hub id, a GGUF
file."""

import ctypes
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from itertools import chain

import numpy as np
import pandas as pd

from lib.config.specs import Model, ParameterError
from lib.models import architectures, chat_templates, decoding
from lib.models.base import INSTRUCTION, Backend, no_progress
from lib.models.model_files import ModelFiles
from lib.replies import outcomes
from lib.replies.reply import Reply

_BITS = {"4bit": 4, "8bit": 8}


class HuggingFaceModel(Backend):
    """A causal language model of the transformers library."""

    is_local = True

    def __init__(self, spec: Model):
        self.spec = spec
        self.workers, self.threads = 1, None  # see calibration.Pace; None leaves torch's own number
        self.files = ModelFiles(spec)
        to_fetch = self.files.weights_to_fetch * _bits(spec.dtype) // 8
        self._check_memory(to_fetch)
        self.config = self.files.describe("AutoConfig", to_fetch)
        if reason := architectures.refusal(self.config):
            raise ParameterError(
                f"model {spec.name}: {spec.id!r}, architecture {self.config.model_type!r}, {reason}; name a "
                "causal language model, or set `server` to one that runs it"
            )
        self.tokenizer = self.files.describe("AutoTokenizer")
        self._check_tokenizer()
        if spec.quantization and find_spec("bitsandbytes") is None:
            raise ParameterError(
                f"model {spec.name}: quantization {spec.quantization!r} needs the package bitsandbytes; "
                "pip install 'expression-leakage[quantization]'"
            )
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def _check_tokenizer(self) -> None:
        spec, tokenizer = self.spec, self.tokenizer
        # what is made where its files are missing
        if len(set(tokenizer("a b c", add_special_tokens=False).input_ids)) < 2:
            raise ParameterError(
                f"model {spec.name}: {spec.id!r} tells no word from another; add the files of its tokenizer"
            )
        if spec.mode == "chat" and not tokenizer.chat_template:
            raise ParameterError(
                f"model {spec.name}: {spec.id!r} has no chat template; set mode to 'completion'"
            )
        chat_templates.check(tokenizer, spec, self._messages("x"))

    @cached_property
    def fingerprint(self) -> str:
        """What its answers depend on beside the request: weights, tokenizer and number format."""
        format_ = {
            "dtype": self.spec.dtype,
            "gguf_file": self.spec.gguf_file,
            "quantization": self.spec.quantization,
        }
        return json.dumps({"weights": self.files.identity, **format_}, sort_keys=True)

    @cached_property
    def _empty(self):
        """The architecture, without weights."""
        import torch
        from transformers import AutoModelForCausalLM

        try:
            with torch.device("meta"):
                return AutoModelForCausalLM.from_config(self.config)
        except Exception as error:  # whatever an architecture stumbles over
            raise ParameterError(
                f"model {self.spec.name}: no model can be made of the configuration of {self.spec.id!r} "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); fetch it again, name "
                "another "
                "model, or set `server` to one that runs it"
            ) from None

    @cached_property
    def parameters(self) -> int:
        """Number of weights outside the embedding tables, counted on the architecture without loading it."""
        both = (_embeddings(self._empty, "input"), _embeddings(self._empty, "output"))
        tables = {id(part.weight) for part in both if hasattr(part, "weight")}
        return sum(weight.numel() for weight in self._empty.parameters() if id(weight) not in tables)

    @property
    def weight_bytes(self) -> int:
        """How much memory its weights take, estimated before they are loaded."""
        return self.bytes_as(self.spec.dtype, self.spec.quantization)

    def bytes_as(self, dtype: str, quantization: str | None = None) -> int:
        """How much its weights take in a number format; embeddings are not quantised."""
        whole = _bits(getattr(self.config, "dtype", None) if dtype == "auto" else dtype)
        tables = sum(weight.numel() for weight in self._empty.parameters()) - self.parameters
        return (self.parameters * _BITS.get(quantization, whole) + tables * whole) // 8

    def _check_memory(self, needed: int) -> None:
        """ParameterError if weights of so many bytes cannot fit into what is free."""
        free = free_bytes()
        if needed > free:
            raise ParameterError(
                f"model {self.spec.name}: its weights need about {needed / 1e9:.1f} GB as {self.spec.dtype}, "
                f"{free / 1e9:.1f} GB are free; choose dtype 'bfloat16', a quantization, or a larger machine"
            )

    @cached_property
    def weights(self):
        """The model itself, loaded when first asked for; ParameterError before that if it cannot fit into
        memory."""
        from transformers import BitsAndBytesConfig
        from transformers.utils import logging

        self._check_memory(self.weight_bytes)
        logging.disable_progress_bar()  # it would break into the one that counts completions
        options = {"dtype": self.spec.dtype, "device_map": self.spec.device_map}
        if self.spec.quantization:
            options["quantization_config"] = BitsAndBytesConfig(**{f"load_in_{self.spec.quantization}": True})
        return self.files.weights(self.bytes_as(self.spec.dtype), **options).eval()

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """The prompt as the model sees it: plain text, or its chat template with the answer begun where the
        set says so."""
        text = f"{context} {stem}".strip()
        if self.spec.mode == "completion":
            return f"{mitigation} {text}".strip()
        return self.question(f"{mitigation} {INSTRUCTION} {text}".strip()) + (
            text if self.spec.assistant_prefill else ""
        )

    def question(self, text: str) -> str:
        """A message of the user as the model sees it: in its chat template, with the answer opened."""
        return chat_templates.apply(self.tokenizer, self.spec, self._messages(text))

    def _messages(self, text: str) -> list[dict[str, str]]:
        system = (
            []
            if self.spec.system_prompt is None
            else [{"role": "system", "content": self.spec.system_prompt}]
        )
        return [*system, {"role": "user", "content": text}]

    def opens_thought(self, rendered: str) -> bool:
        """Whether a rendered prompt ends inside a thought that its template has opened, so that the reply
        begins within it."""
        markers = self.spec.thought_markers
        if self.spec.mode == "completion":
            return rendered.rstrip().endswith(markers[0])
        tail = chat_templates.tail(self.tokenizer, self.spec, self._messages(""))
        return chat_templates.opens_thought(rendered, tail, markers)

    def token_ids(self, rendered: list[str]) -> list[list[int]]:
        """The tokens of rendered prompts; a chat template has put its special tokens already, plain text gets
        them here."""
        return self.tokenizer(rendered, add_special_tokens=self.spec.mode == "completion").input_ids

    def reply(
        self,
        requests,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        progress=no_progress,
        on_prompts=None,
    ) -> list[Reply]:
        """One Reply for each row of `requests`, decoded in `workers` parts side by side, each on `threads`
        cores.

        `on_prompts`, if given, is called with rendered prompts and the logits after each (prompts,
        vocabulary), in any thread.
        """
        asked = (temperature, max_new_tokens, seed, progress, on_prompts)
        # a group shares prompts and noise, so it stays together
        turn = requests["group_id"].factorize()[0] % self.workers
        places = [np.flatnonzero(turn == worker) for worker in range(self.workers)]
        parts = map_threads(
            self,
            lambda rows: self._reply(requests.iloc[rows], *asked),
            [rows for rows in places if len(rows)],
        )
        replies = dict(zip(np.concatenate(places).tolist(), chain.from_iterable(parts), strict=True))
        give_back_memory()
        return [replies[row] for row in range(len(requests))]

    @contextmanager
    def named(self):
        """Gives an error about logits that are not finite the name of the model, as a ParameterError."""
        try:
            yield
        except decoding.NotFinite as error:
            raise ParameterError(f"model {self.spec.name}: {error}") from None

    def next_logits(self, rendered: list[str]):
        """The logits after each of the rendered prompts, a tensor of shape (prompts, vocabulary)."""
        import torch

        ids = self.token_ids(rendered)
        groups = decoding.alike(self.config, ids)
        with torch.inference_mode(), self.named():
            read = [
                decoding.read(self.weights, self.tokenizer, [ids[place] for place in group])[0]
                for group in groups
            ]
        order = torch.tensor([place for group in groups for place in group], device=read[0].device)
        return torch.cat(read)[order.argsort()]

    def _reply(self, requests: pd.DataFrame, *asked) -> list[Reply]:
        """One Reply a row; rows whose prompts cannot be read side by side are decoded one group after the
        other."""
        ids = self.token_ids(requests["rendered"].tolist())
        groups = decoding.alike(self.config, ids)
        parts = [self._decode(requests.iloc[rows], *asked) for rows in groups]
        replies = dict(zip(chain.from_iterable(groups), chain.from_iterable(parts), strict=True))
        return [replies[row] for row in range(len(requests))]

    def _limits(self, max_new_tokens: int, rendered: str) -> decoding.Limits:
        spec = self.spec
        markers = tuple(spec.thought_markers)
        return decoding.Limits(
            max_new_tokens, spec.thinking_tokens, markers, self.opens_thought(rendered), spec.require_word
        )

    def _decode(
        self, requests: pd.DataFrame, temperature, max_new_tokens, seed, progress, on_prompts
    ) -> list[Reply]:
        import torch

        prompts = list(dict.fromkeys(requests["rendered"]))
        number = {prompt: place for place, prompt in enumerate(prompts)}
        # one template: all of its prompts open a thought, or none
        limits = self._limits(max_new_tokens, prompts[0])
        asked = list(zip(requests["context"], requests["stem"], requests["mitigation_text"], strict=True))
        try:
            with self.named():
                return decoding.decode(
                    self.weights,
                    self.tokenizer,
                    self.token_ids(prompts),
                    prompt_of_row=[number[prompt] for prompt in requests["rendered"]],
                    keys=[(seed, row.group_id, row.sample_index) for row in requests.itertuples()],
                    is_complete=lambda row, text: outcomes.is_complete(
                        text, *asked[row], limits.markers, limits.thinking
                    ),
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
        return [
            reply
            for part in (requests.iloc[:half], requests.iloc[half:])
            for reply in self._decode(part, *asked)
        ]


def _bits(dtype) -> int:
    """Bits of a number of that format; 32 where it is not known."""
    return 16 if "16" in str(dtype) else 32


def _embeddings(model, side: str):
    """The embedding table where words come in ("input") or out ("output"), None for an architecture that
    names none."""
    try:
        return getattr(model, f"get_{side}_embeddings")()
    except (NotImplementedError, AttributeError):
        return None


def map_threads(model: HuggingFaceModel, function, arguments: list) -> list:
    """`function` of each argument, `model.workers` at a time, each on `model.threads` cores.

    Threads, not processes: torch works outside Python's lock, and the weights are in memory once.
    """
    import torch

    model.weights  # noqa: B018  loaded before the threads part
    with ThreadPoolExecutor(
        model.workers, initializer=lambda: model.threads and torch.set_num_threads(model.threads)
    ) as pool:
        return list(pool.map(function, arguments))


def give_back_memory() -> None:
    """Give freed memory back to the system where C's library can (glibc).

    Caches that grow by a token and shrink by a row leave holes in its heaps, which add up from batch to
    batch.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def free_bytes() -> int:
    """Memory that a model can use: of all accelerators if there are any (accelerate spreads it), and of the
    machine."""
    import psutil
    import torch

    accelerators = sum(torch.cuda.mem_get_info(place)[0] for place in range(torch.cuda.device_count()))
    return accelerators + psutil.virtual_memory().available
