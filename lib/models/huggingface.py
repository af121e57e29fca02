"""Causal language models of transformers: bundled, the ladder, a folder, a hub id or a GGUF file."""

import ctypes
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from itertools import chain

import numpy as np
import pandas as pd

from lib.config import mitigation_texts
from lib.config.specs import Model, ParameterError
from lib.models import architectures, chat_templates, decoding, prefill
from lib.models.base import INSTRUCTION, UNDIVIDED, Backend, Division, no_progress
from lib.models.model_files import ModelFiles
from lib.replies import outcomes
from lib.replies.reply import Reply

_BITS = {"4bit": 4, "8bit": 8}


class HuggingFaceModel(Backend):
    """A causal language model of the transformers library."""

    is_local = True

    def __init__(self, spec: Model):
        self.spec = spec
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
        # transformers builds such a tokenizer where its files are missing
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
    def fingerprint(self) -> str:  # type: ignore[override]  # mypy: read-only, but it can be set
        """What its answers depend on, apart from the request: weights, tokenizer and number format."""
        format_ = {
            "dtype": self.spec.dtype,
            "gguf_file": self.spec.gguf_file,
            "quantization": self.spec.quantization,
        }
        return json.dumps({"weights": self.files.identity, **format_}, sort_keys=True)

    @cached_property
    def empty(self):
        """The architecture, without weights."""
        import torch
        from transformers import AutoModelForCausalLM

        try:
            with torch.device("meta"):
                return AutoModelForCausalLM.from_config(self.config)
        except Exception as error:  # an architecture can raise any exception
            raise ParameterError(
                f"model {self.spec.name}: no model can be made of the configuration of {self.spec.id!r} "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); fetch it again, name "
                "another "
                "model, or set `server` to one that runs it"
            ) from None

    @cached_property
    def parameters(self) -> int:  # type: ignore[override]  # as above
        """Number of weights outside the embedding tables, counted without loading the weights."""
        both = (_embeddings(self.empty, "input"), _embeddings(self.empty, "output"))
        tables = {id(module.weight) for module in both if hasattr(module, "weight")}
        return sum(weight.numel() for weight in self.empty.parameters() if id(weight) not in tables)

    @property
    def weight_bytes(self) -> int:
        """Bytes of memory that its weights take, estimated before they are loaded."""
        return self.bytes_as(self.spec.dtype, self.spec.quantization)

    def bytes_as(self, dtype: str, quantization: str | None = None) -> int:
        """Bytes that its weights take in a number format; embeddings are not quantised."""
        whole = _bits(getattr(self.config, "dtype", None) if dtype == "auto" else dtype)
        tables = sum(weight.numel() for weight in self.empty.parameters()) - self.parameters
        bits = _BITS[quantization] if quantization else whole
        return (self.parameters * bits + tables * whole) // 8

    def _check_memory(self, needed: int) -> None:
        """ParameterError if weights of `needed` bytes do not fit into the free memory."""
        free = free_bytes()
        if needed > free:
            raise ParameterError(
                f"model {self.spec.name}: its weights need about {needed / 1e9:.1f} GB as {self.spec.dtype}, "
                f"{free / 1e9:.1f} GB are free; choose dtype 'bfloat16', a quantization, or a larger machine"
            )

    @cached_property
    def weights(self):
        """The model itself, loaded at the first access.

        Raises:
            ParameterError: Before loading, if the weights do not fit into memory.
        """
        import torch
        from transformers import BitsAndBytesConfig
        from transformers.utils import logging

        self._check_memory(self.weight_bytes)
        # cuDNN's attention plans anew for each number of rows and tokens, which takes longer than to compute
        torch.backends.cuda.enable_cudnn_sdp(False)
        logging.disable_progress_bar()  # it would interrupt the one that counts completions
        options = {"dtype": self.spec.dtype, "device_map": self.spec.device_map}
        if self.spec.quantization:
            options["quantization_config"] = BitsAndBytesConfig(**{f"load_in_{self.spec.quantization}": True})
        return self.files.weights(self.bytes_as(self.spec.dtype), **options).eval()

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """Render the prompt as the model sees it.

        It is plain text, or the model's chat template, with the answer prefilled if the parameter set says
        so.
        """
        placed = mitigation_texts.placed(mitigation, context, stem)
        if self.spec.mode == "completion":
            return placed.plain
        question = self.question(f"{placed.before} {INSTRUCTION} {placed.prompt}".strip(), placed.system)
        return question + (f"{context} {stem}".strip() if self.spec.assistant_prefill else "")

    def question(self, text: str, system: str = "") -> str:
        """Render a message of the user in the chat template, up to the start of the answer.

        Args:
            text: The message.
            system: Text of a system message besides the model's own.
        """
        return chat_templates.apply(self.tokenizer, self.spec, self._messages(text, system))

    def _messages(self, text: str, system: str = "") -> list[dict[str, str]]:
        return chat_templates.messages(self.spec, text, system)

    def opens_thought(self, rendered: str) -> bool:
        """Whether a rendered prompt ends inside a thought that its template has opened.

        The reply then begins within the thought.
        """
        markers = self.spec.thought_markers
        if self.spec.mode == "completion":
            return rendered.rstrip().endswith(markers[0])
        tail = chat_templates.tail(self.tokenizer, self.spec, self._messages(""))
        return chat_templates.opens_thought(rendered, tail, markers)

    def token_ids(self, rendered: list[str]) -> list[list[int]]:
        """Tokenize rendered prompts.

        Special tokens are added to plain text only, because a chat template already contains them.
        """
        return self.tokenizer(rendered, add_special_tokens=self.spec.mode == "completion").input_ids

    def reply(
        self,
        requests,
        temperature: float,
        max_new_tokens: int,
        seed: int,
        progress=no_progress,
        division: Division = UNDIVIDED,
        on_prompts=None,
        change: Callable | None = None,
    ) -> list[Reply]:
        """Answer each of the requests.

        Args:
            requests: One row per request, with the columns of `Backend.reply`.
            temperature: Sampling temperature.
            max_new_tokens: Most tokens that an answer may take.
            seed: Seed of the draws.
            progress: Called with the number of replies that have finished since the last call.
            division: How the work is divided.
            on_prompts: Called, in any thread, with rendered prompts and the logits after each (prompts,
                vocabulary).
            change: Changes logits before a token is drawn, as `contrasted.LogitsChange.logits`. The column
                reference of `requests`, if there is one, holds a second rendered prompt of each.

        Returns:
            One Reply for each row of `requests`, in their order.
        """
        settings = {
            "temperature": temperature,
            "max_new_tokens": max_new_tokens,
            "seed": seed,
            "progress": progress,
            "on_prompts": on_prompts,
            "change": change,
            "size": max(1, division.rows // division.workers) if division.rows else None,
        }
        # a group shares prompts and noise, so it stays together
        worker_of_row = requests["group_id"].factorize()[0] % division.workers
        rows_by_worker = [np.flatnonzero(worker_of_row == worker) for worker in range(division.workers)]
        self.weights  # noqa: B018  load before the threads start
        parts = map_threads(
            lambda rows: self._reply(requests.iloc[rows], **settings),
            [rows for rows in rows_by_worker if len(rows)],
            division,
        )
        replies = dict(zip(np.concatenate(rows_by_worker).tolist(), chain.from_iterable(parts), strict=True))
        give_back_memory()
        return [replies[row] for row in range(len(requests))]

    @contextmanager
    def named(self):
        """Convert an error about logits that are not finite to a ParameterError that names the model."""
        try:
            yield
        except prefill.NotFinite as error:
            raise ParameterError(f"model {self.spec.name}: {error}") from None

    def next_logits(self, rendered: list[str]):
        """The logits after each of the rendered prompts, a tensor of shape (prompts, vocabulary)."""
        import torch

        ids = self.token_ids(rendered)
        groups = architectures.alike(self.config, ids)
        weights = self.weights  # outside the block: tensors that load in inference mode cannot be trained on
        with torch.inference_mode(), self.named():
            logits = [
                prefill.last_logits(weights, self.tokenizer, [ids[index] for index in group])
                for group in groups
            ]
        order = torch.tensor([index for group in groups for index in group], device=logits[0].device)
        return torch.cat(logits)[order.argsort()]

    def _reply(self, requests: pd.DataFrame, **settings) -> list[Reply]:
        """One Reply per row; prompts that cannot be read together are decoded one group after the other."""
        ids = self.token_ids(requests["rendered"].tolist())
        groups = architectures.alike(self.config, ids)
        parts = [self._decode(requests.iloc[rows], **settings) for rows in groups]
        replies = dict(zip(chain.from_iterable(groups), chain.from_iterable(parts), strict=True))
        return [replies[row] for row in range(len(requests))]

    def _limits(self, max_new_tokens: int, rendered: str) -> decoding.Limits:
        spec = self.spec
        opening, closing = spec.thought_markers
        thinking = self.opens_thought(rendered)
        return decoding.Limits(
            max_new_tokens, spec.thinking_tokens, (opening, closing), thinking, spec.require_word
        )

    def _decode(
        self, requests: pd.DataFrame, *, temperature, max_new_tokens, seed, progress, on_prompts, change, size
    ) -> list[Reply]:
        import torch

        references = requests.get("reference", requests["rendered"])
        reference_of = dict(zip(requests["rendered"], references, strict=True))
        prompts = list(dict.fromkeys([*requests["rendered"], *reference_of.values()]))
        index_of_prompt = {prompt: index for index, prompt in enumerate(prompts)}
        # all prompts of a template open a thought, or none does
        limits = self._limits(max_new_tokens, prompts[0])
        arguments = list(zip(requests["context"], requests["stem"], requests["mitigation_text"], strict=True))
        try:
            with self.named():
                return decoding.decode(
                    self.weights,
                    self.tokenizer,
                    self.token_ids(prompts),
                    prompt_of_row=[index_of_prompt[prompt] for prompt in requests["rendered"]],
                    keys=[(seed, row.group_id, row.sample_index) for row in requests.itertuples()],
                    is_complete=lambda row, text: outcomes.is_complete(
                        text, *arguments[row], limits.markers, limits.thinking
                    ),
                    temperature=temperature,
                    limits=limits,
                    size=size,
                    progress=progress,
                    on_prompts=on_prompts
                    and (lambda read, logits: on_prompts([prompts[index] for index in read], logits)),
                    change=change
                    and decoding.LogitsChange(
                        change,
                        [index_of_prompt.get(reference_of.get(prompt, ""), -1) for prompt in prompts]
                        if "reference" in requests
                        else None,
                    ),
                )
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        # no draw depends on the other rows, so fewer can be decoded at a time
        half = max(1, (size or len(requests)) // 2)
        return self._decode(
            requests,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            seed=seed,
            progress=no_progress,  # those that finished before are counted already
            on_prompts=on_prompts,
            change=change,
            size=half,
        )


def _bits(dtype) -> int:
    """Bits of a number in this format; 32 for an unknown format."""
    return 16 if "16" in str(dtype) else 32


def _embeddings(model, side: str):
    """The embedding table of the input or the output (`side`); None for an architecture that names none."""
    try:
        return getattr(model, f"get_{side}_embeddings")()
    except (NotImplementedError, AttributeError):
        return None


def map_threads(function, arguments: list, division: Division) -> list:
    """Apply `function` to each argument, as many at a time and on as many cores each as `division` says.

    It uses threads rather than processes: torch releases Python's lock, and the weights are in memory only
    once.
    """
    import torch

    def set_threads() -> None:
        if division.threads:
            torch.set_num_threads(division.threads)

    with ThreadPoolExecutor(division.workers, initializer=set_threads) as pool:
        return list(pool.map(function, arguments))


def give_back_memory() -> None:
    """Return freed memory to the system where the C library can (glibc).

    The heap keeps what a batch has freed, and batches of other shapes leave holes in it.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def free_bytes(device=None) -> int:
    """Free bytes of a device or, without one, of the machine and all accelerators together.

    accelerate spreads the weights of a model over all of them.
    """
    import psutil
    import torch

    if device is not None and device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    machine = psutil.virtual_memory().available
    if device is not None:
        return machine
    return machine + sum(torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count()))
