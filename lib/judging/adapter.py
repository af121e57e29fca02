"""The low-rank adapter of the judge's encoder (LoRA, Hu et al., ICLR 2022), trained on human ratings.

The adapter changes the encoder's attention. It ships in FILE and is merged into the encoder's weights when
they are loaded (`merge`).

`main` of `lib.judging.adapter_training` (make fit-adapter) trains it on all texts, and again without each
fold of documents and without each domain. FILE therefore also holds predictions for texts that neither the
adapter nor the regression has seen.

One training takes about 15 seconds on a GPU and over an hour on two CPU cores. Two machines do not give
identical numbers to the last bit, so FILE is part of the judge's version. Rank, layers, epochs and learning
rates are choices of this project.
"""

from functools import cache

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from lib.config.specs import ROOT

FILE = ROOT / "lib" / "data" / "judge_adapter.safetensors"
RANK, ALPHA, DROPOUT = 4, 8, 0.05
MODULES = ("q", "k", "v", "o")  # of each layer's attention
EPOCHS, BATCH, RATE, HEAD_RATE = 2, 256, 6e-4, 1e-4
DIGITS, UNKNOWN = 2, np.iinfo(np.int16).min  # predictions for unseen texts: decimals, missing value
DOCUMENTS, DOMAIN = "unseen_documents", "unseen_domain"


@cache
def _contents() -> tuple[dict[str, str], dict[str, np.ndarray]]:
    with safe_open(FILE, "numpy") as file:
        return file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  no mapping


def facts() -> dict[str, str]:
    """Return how FILE was made: rank, epochs, number of trained weights, device."""
    return _contents()[0]


def unseen(which: str) -> np.ndarray:
    """Return the held-out predictions of adapter and regression for the texts of `human_ratings.read()`.

    Args:
        which: DOCUMENTS (trained without the document of the text) or DOMAIN (trained without its domain).

    Returns:
        One valence per rated text, −4 … +4; NaN where no such training was run.
    """
    stored = _contents()[1][which]
    return np.where(stored == UNKNOWN, np.nan, stored / 10.0**DIGITS)


def merge(encoder) -> None:
    """Add the adapter to the weights of `encoder` in place: W + (ALPHA / RANK) · B · A.

    Args:
        encoder: An MPNetModel in float32.
    """
    import torch

    tensors = _contents()[1]
    for number, layer in enumerate(encoder.encoder.layer):
        for name in MODULES:
            down, up = (torch.from_numpy(tensors[f"{number}.{name}.{side}"]).float() for side in ("A", "B"))
            getattr(layer.attention.attn, name).weight.data += ALPHA / RANK * (up @ down)


def save(
    changes: dict[str, np.ndarray], documents: np.ndarray, domain: np.ndarray, provenance: dict[str, str]
) -> None:
    """Write FILE.

    Args:
        changes: Adapter weights by layer, module and side (A, B), as `adapter_training.changes` returns them.
        documents: Predictions for each rated text without its document; NaN where unknown.
        domain: Predictions for each rated text without its domain; NaN where unknown.
        provenance: How the adapter was trained, see `facts`.
    """
    predictions = {DOCUMENTS: documents, DOMAIN: domain}
    rounded = {
        name: np.where(np.isnan(values), UNKNOWN, np.round(np.nan_to_num(values) * 10**DIGITS)).astype(
            np.int16
        )
        for name, values in predictions.items()
    }
    save_file(
        {name: change.astype(np.float16) for name, change in changes.items()} | rounded, FILE, provenance
    )
    _contents.cache_clear()
