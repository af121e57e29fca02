"""What all-mpnet-base-v2 (Apache-2.0; Song et al., NeurIPS 2020; Reimers & Gurevych, EMNLP 2019) holds of a
text: features for a regression. Its weights are those that were published, or with the adapter
(`lib.judging.adapter`); nothing above the highest layer that is read is computed.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from lib.judging import adapter
from lib.nlp.text import normalize
from lib.runtime.cores import available_threads
from lib.storage import packages

ENCODER = "all-mpnet-base-v2"
# of what is read of a text: change it with anything that changes a feature, and call make fit-judge
VERSION = "mpnet-2"
LAYERS = (7, 9, 11)  # of 12; 1 is the first above the token embeddings
POOLINGS = ("mean", "max")
WIDTH = 768
MAX_TOKENS = 128  # of a text, its two special tokens included
_BATCH_TOKENS = 1024  # about as many as one core's cache holds the activations of


def is_fetched() -> bool:
    """Whether the encoder is in the user's cache."""
    return (packages.cache_folder() / ENCODER).exists()


def load(highest: int, adapted: bool) -> tuple:
    """Tokenizer and encoder, cut above the layer `highest`, in float32."""
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
    """Mean and maximum of the token vectors of each layer, shape (texts, layers × poolings × WIDTH), float32.

    Texts are read as `normalize` leaves them, each batch of one number of tokens, so nothing is padded and no
    text's features hang on its neighbours beyond the order of float32 sums. One thread in each of as many
    workers as there are cores.
    """
    import torch

    tokenizer, encoder = _loaded(max(layers), adapted)
    ids = tokenizer([normalize(text) for text in texts], truncation=True, max_length=MAX_TOKENS).input_ids
    found = np.empty((len(texts), len(layers), len(poolings), WIDTH), dtype=np.float32)

    def read(rows: np.ndarray) -> None:
        with torch.inference_mode():
            states = encoder(
                torch.tensor([ids[row] for row in rows]), output_hidden_states=True
            ).hidden_states
            for place, layer in enumerate(layers):
                for number, pooling in enumerate(poolings):
                    pooled = states[layer].mean(dim=1) if pooling == "mean" else states[layer].amax(dim=1)
                    found[rows, place, number] = pooled.numpy()

    with ThreadPoolExecutor(available_threads(), initializer=lambda: torch.set_num_threads(1)) as pool:
        list(pool.map(read, _batches([len(row) for row in ids])))
    return found.reshape(len(texts), -1)


def _batches(lengths: list[int]) -> list[np.ndarray]:
    """Rows in batches of one length each and of _BATCH_TOKENS at most, the longest first."""
    order, found = np.argsort(lengths, kind="stable"), []
    edges = np.flatnonzero(np.diff(np.take(lengths, order))) + 1
    for rows in np.split(order, edges)[::-1]:
        found += np.array_split(rows, -(-len(rows) * lengths[rows[0]] // _BATCH_TOKENS)) if len(rows) else []
    return found
