"""Features of a text from the encoder all-mpnet-base-v2 (Apache-2.0), for a regression.

Sources: Song et al., NeurIPS 2020; Reimers & Gurevych, EMNLP 2019. The weights are the published ones, with
or without the adapter (`lib.judging.adapter`). No layer above the highest one that is used is computed.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from lib.judging import adapter
from lib.nlp import batches
from lib.nlp.text import normalize
from lib.runtime.cores import available_threads
from lib.storage import caching, packages

ENCODER = "all-mpnet-base-v2"
# of the features: change it with any change that alters a feature, and run make fit-judge
VERSION = "mpnet-2"
LAYERS = (7, 9, 11)  # of 12; 1 is the first above the token embeddings
POOLINGS = ("mean", "max")
WIDTH = 768
MAX_TOKENS = 128  # of a text, its two special tokens included
_BATCH_TOKENS = 1024  # about as many tokens as one core's cache holds the activations of


def is_fetched() -> bool:
    """Return whether the encoder is in the user's cache."""
    return (caching.cache_folder() / ENCODER).exists()


def load(highest: int, adapted: bool) -> tuple:
    """Return tokenizer and encoder in float32.

    Args:
        highest: The highest layer that is kept; those above are cut off.
        adapted: Whether the adapter is merged into the weights.
    """
    from transformers import AutoModel, AutoTokenizer, logging

    logging.disable_progress_bar()
    folder = packages.unpacked(ENCODER)
    encoder = AutoModel.from_pretrained(folder, dtype="float32").eval()
    encoder.encoder.layer = encoder.encoder.layer[:highest]
    if adapted:
        adapter.merge(encoder)
    return AutoTokenizer.from_pretrained(folder), encoder


_loaded = cache(load)


def features(
    texts: list[str],
    layers: tuple[int, ...] = LAYERS,
    poolings: tuple[str, ...] = POOLINGS,
    adapted: bool = True,
) -> np.ndarray:
    """Return mean and maximum of the token vectors of each layer for each text.

    Texts are read as `normalize` returns them. A batch holds texts of one number of tokens, so nothing is
    padded, and the features of a text do not depend on the other texts beyond the order of float32 sums.
    There is one worker per core, with one thread each.

    Args:
        texts: The texts.
        layers: Layers to read; 1 is the first above the token embeddings.
        poolings: "mean", "max", or both.
        adapted: Whether the adapter is merged into the weights.

    Returns:
        Shape (texts, layers × poolings × WIDTH), float32.
    """
    import torch

    tokenizer, encoder = _loaded(max(layers), adapted)
    ids = tokenizer([normalize(text) for text in texts], truncation=True, max_length=MAX_TOKENS).input_ids
    result = np.empty((len(texts), len(layers), len(poolings), WIDTH), dtype=np.float32)

    def read(rows: np.ndarray) -> None:
        with torch.inference_mode():
            states = encoder(
                torch.tensor([ids[row] for row in rows]), output_hidden_states=True
            ).hidden_states
            for index, layer in enumerate(layers):
                for number, pooling in enumerate(poolings):
                    pooled = states[layer].mean(dim=1) if pooling == "mean" else states[layer].amax(dim=1)
                    result[rows, index, number] = pooled.numpy()

    with ThreadPoolExecutor(available_threads(), initializer=lambda: torch.set_num_threads(1)) as pool:
        list(pool.map(read, batches.of_one_length([len(row) for row in ids], _BATCH_TOKENS)))
    return result.reshape(len(texts), -1)
