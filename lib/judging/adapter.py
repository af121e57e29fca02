"""The adapter of the judge's encoder: low-rank changes of its attention (LoRA, Hu et al., ICLR 2022), taught
people's ratings.

It ships in FILE and is merged into the encoder's weights when these are read (`merge`). `main` (make
fit-adapter) trains it on all texts, and anew without each fold of documents and without each domain, so that
FILE also holds what is said of texts that neither adapter nor regression has seen. On a GPU a training takes
some 15 seconds, on two CPU cores over an hour; two machines do not give the same numbers to the last bit, so
FILE is part of the judge's version. Rank, layers, epochs and rates are this project's choice.
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
DIGITS, UNKNOWN = 2, np.iinfo(np.int16).min  # of what is said of unseen texts: hundredths, or nothing
DOCUMENTS, DOMAIN = "unseen_documents", "unseen_domain"


@cache
def _contents() -> tuple[dict[str, str], dict[str, np.ndarray]]:
    with safe_open(FILE, "numpy") as file:
        return file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  no mapping


def facts() -> dict[str, str]:
    """How FILE was made: rank, epochs, trained numbers, device."""
    return _contents()[0]


def unseen(which: str) -> np.ndarray:
    """What adapter and regression say of each rated text in `human_ratings.read()` without its document
    (DOCUMENTS) or its whole domain (DOMAIN), −4 … +4; NaN where no such training was made."""
    said = _contents()[1][which]
    return np.where(said == UNKNOWN, np.nan, said / 10.0**DIGITS)


def merge(encoder) -> None:
    """Add the adapter to the weights of `encoder`, an MPNetModel in float32, in place: W + (ALPHA / RANK) · B
    · A."""
    import torch

    tensors = _contents()[1]
    for number, layer in enumerate(encoder.encoder.layer):
        for name in MODULES:
            down, up = (torch.from_numpy(tensors[f"{number}.{name}.{side}"]).float() for side in ("A", "B"))
            getattr(layer.attention.attn, name).weight.data += ALPHA / RANK * (up @ down)


def save(
    changes: dict[str, np.ndarray], documents: np.ndarray, domain: np.ndarray, made: dict[str, str]
) -> None:
    """Write FILE: `changes` by layer, module and side (A, B), and what is said of unseen texts (NaN:
    unknown)."""
    said = {DOCUMENTS: documents, DOMAIN: domain}
    rounded = {
        name: np.where(np.isnan(values), UNKNOWN, np.round(np.nan_to_num(values) * 10**DIGITS)).astype(
            np.int16
        )
        for name, values in said.items()
    }
    save_file({name: change.astype(np.float16) for name, change in changes.items()} | rounded, FILE, made)
    _contents.cache_clear()
