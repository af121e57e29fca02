"""Other ways to make the same completions, each given what makes it fastest: for make bench."""

import json
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import torch

from lib.models import bundled
from lib.replies import outcomes
from lib.runtime import cores
from lib.storage import caching

BATCH = 64  # larger ones did not make them faster here
# where lm-eval may stop: looking for a stop at each step costs it more than stopping saves
ENDS: list[str] = []
SLOTS = 32  # requests that llama.cpp's server decodes at the same time
SERVE = """
import sys, threading
import xllamacpp
config = xllamacpp.CommonParams()
config.model.path, config.port = sys.argv[1], int(sys.argv[2])
slots, config.cpuparams.n_threads = int(sys.argv[3]), int(sys.argv[4])
config.n_parallel, config.n_ctx = slots, slots * int(sys.argv[5])
server = xllamacpp.Server(config)
threading.Event().wait()
"""


def one_at_a_time(model, requested: pd.DataFrame, parameters) -> list[str]:
    """transformers' generate, one completion a call, as in the notebooks of earlier work."""
    return [
        text
        for row in range(len(requested))
        for text in plain_batches(model, requested.iloc[[row]], parameters)
    ]


def plain_batches(model, requested: pd.DataFrame, parameters) -> list[str]:
    """transformers' generate on padded batches."""
    torch.manual_seed(parameters.seed)
    texts = []
    for start in range(0, len(requested), BATCH):
        asked = model.tokenizer(
            requested["rendered"].iloc[start : start + BATCH].tolist(),
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
        written = model.weights.generate(
            **asked,
            do_sample=True,
            temperature=parameters.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=parameters.max_new_tokens,
        )
        texts += model.tokenizer.batch_decode(
            written[:, asked.input_ids.shape[1] :], skip_special_tokens=True
        )
    return texts


def lm_evaluation_harness(model, requested: pd.DataFrame, parameters) -> list[str]:
    """lm-evaluation-harness with its hf backend."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    backend = HFLM(
        pretrained=model.weights, tokenizer=model.tokenizer, batch_size=BATCH, max_batch_size=BATCH
    )
    asked = {
        "until": ENDS,
        "do_sample": True,
        "temperature": parameters.temperature,
        "top_k": 0,
        "max_gen_toks": parameters.max_new_tokens,
    }
    requests = [
        Instance(request_type="generate_until", doc={}, arguments=(prompt, asked), idx=number)
        for number, prompt in enumerate(requested["rendered"])
    ]
    return backend.generate_until(requests, disable_tqdm=True)


def ctranslate2_float32(model, requested: pd.DataFrame, parameters) -> list[str]:
    """CTranslate2 in float32, one thread in each of as many replicas as there are cores, stopped row by row
    by our own rule."""
    import ctranslate2

    folder = caching.cache_folder() / "SmolLM2-135M-Instruct-ctranslate2"
    if not folder.exists():
        ctranslate2.converters.TransformersConverter(model.files.source).convert(str(folder))
    generator = _ctranslate2_generator(str(folder))
    asked = list(zip(requested["context"], requested["stem"], strict=True))
    written: list[list[int]] = [[] for _ in asked]

    def complete(step) -> bool:
        written[step.batch_id].append(step.token_id)
        return step.is_last or outcomes.is_complete(
            model.tokenizer.decode(written[step.batch_id]), *asked[step.batch_id]
        )

    tokens = [
        model.tokenizer.convert_ids_to_tokens(ids) for ids in model.token_ids(requested["rendered"].tolist())
    ]
    generator.generate_batch(
        tokens,
        max_batch_size=2 * BATCH,
        max_length=parameters.max_new_tokens,
        callback=complete,
        sampling_topk=0,
        sampling_temperature=parameters.temperature,
        include_prompt_in_result=False,
    )
    return model.tokenizer.batch_decode(written, skip_special_tokens=True)


_loaded = {}


def _ctranslate2_generator(folder: str):
    import ctranslate2

    if folder not in _loaded:
        _loaded[folder] = ctranslate2.Generator(
            folder, compute_type="float32", inter_threads=cores.available_threads(), intra_threads=1
        )
    return _loaded[folder]


def continuous_batching(model, requested: pd.DataFrame, parameters) -> list[str]:
    """transformers' continuous batching (`generate_batch`), with the paged attention that it has on CPUs."""
    from transformers import AutoModelForCausalLM, GenerationConfig

    weights = _loaded.get("continuous")
    if weights is None:
        weights = AutoModelForCausalLM.from_pretrained(
            model.files.source, dtype="float32", attn_implementation="sdpa"
        )
        _loaded["continuous"] = weights
    config = GenerationConfig(
        do_sample=True,
        temperature=parameters.temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=parameters.max_new_tokens,
        eos_token_id=model.tokenizer.eos_token_id,
        pad_token_id=model.tokenizer.eos_token_id,
    )
    written = weights.generate_batch(
        model.token_ids(requested["rendered"].tolist()), generation_config=config
    )
    return model.tokenizer.batch_decode(
        [reply.generated_tokens for reply in written.values()], skip_special_tokens=True
    )


class LlamaServer:
    """llama.cpp's server in a process of its own, asked over HTTP by as many threads as it has slots.

    A request is closed once its completion is complete by our own rule, which frees the slot.
    """

    def __init__(self, file: Path, port: int, room: int):
        self.url, self.pool = f"http://127.0.0.1:{port}", ThreadPoolExecutor(SLOTS)
        arguments = [str(file), str(port), str(SLOTS), str(cores.available_threads()), str(room)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
                return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"llama.cpp's server does not answer with {file}")

    def __call__(self, model, requested: pd.DataFrame, parameters) -> list[str]:
        return list(self.pool.map(lambda row: self._complete(row, parameters), requested.itertuples()))

    def _complete(self, row, parameters) -> str:
        asked = {
            "prompt": row.rendered,
            "n_predict": parameters.max_new_tokens,
            "temperature": parameters.temperature,
            "samplers": ["temperature"],
            "cache_prompt": True,
            "stream": True,
        }
        request = urllib.request.Request(
            f"{self.url}/completion", json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        text = ""
        with urllib.request.urlopen(request, timeout=600) as lines:
            for line in lines:
                if line.startswith(b"data: {"):
                    text += json.loads(line[6:]).get("content", "")
                    if outcomes.is_complete(text, row.context, row.stem):
                        break
        return text

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def float32_gguf(source: Path, target: Path) -> Path:
    """Write a GGUF file with the tensors of another one in float32, for llama.cpp at equal precision."""
    import gguf

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.get_field("general.architecture").contents())
    own = {"general.architecture", "general.file_type", "general.quantization_version"}
    for name, field in reader.fields.items():
        if name not in own and not name.startswith("GGUF."):
            kind = field.types[0]
            inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=inner)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def llama_servers(folder: Path, room: int) -> dict[str, LlamaServer]:
    """llama.cpp's server with the bundled model in float32 and as its package holds it, in 4 bits."""
    quantized = bundled.gguf(folder)
    files = {"float32": float32_gguf(quantized, folder / "float32.gguf"), "4 bits": quantized}
    return {
        f"llama.cpp's server, {name}": LlamaServer(file, _free_port(), room) for name, file in files.items()
    }


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
