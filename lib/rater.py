"""A small encoder that predicts how people rate a text: the network of `lib.learned_judge`, how it is fitted and asked.

The lower layers of all-MiniLM-L6-v2 stay as they are; above them several raters may stand side by side, so a text passes the
lower ones once. Read by a rater: the mean and the maximum of the token vectors, and VADER's valence of the text.
"""

import copy
from functools import cache

import numpy as np
import torch
from torch import nn
from transformers.masking_utils import create_bidirectional_mask

from lib import similarity, vader
from lib.text import normalize

LONGEST = 64  # tokens of a text that are read
BATCH = 32
RATE = {"encoder": 3e-4, "head": 2e-3}  # peak learning rates; warmed up over 6 % of the steps, then falling to 0
_SORTED = 50  # batches whose texts are put in order of length together, so that little is padded


class Rater(nn.Module):
    """The layers above the first `frozen` ones, and the head; token vectors of the layer below in, predicted ratings out."""

    def __init__(self, frozen: int):
        super().__init__()
        encoder = similarity.model()[1]
        self.layers = copy.deepcopy(encoder.encoder.layer[frozen:]).requires_grad_(True)
        self.head = nn.Linear(2 * encoder.config.hidden_size + 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, states: torch.Tensor, mask: torch.Tensor, valences: torch.Tensor) -> torch.Tensor:
        """Shape (texts,), from states (texts, tokens, hidden), mask (texts, tokens; 1 where a token is), valences (texts,)."""
        attended = create_bidirectional_mask(similarity.model()[1].config, states, mask)
        for layer in self.layers:
            states = layer(states, attended)
        there = mask.unsqueeze(-1)
        mean = (states * there).sum(dim=1) / there.sum(dim=1)
        highest = states.masked_fill(there == 0, torch.finfo(states.dtype).min).max(dim=1).values
        return self.head(torch.cat([mean, highest, valences.unsqueeze(1)], dim=1)).squeeze(1)


@cache
def fast_dtype() -> torch.dtype:
    """In which products are taken while fitting: bfloat16 where the processor has it, which saves a third of the time."""
    has = torch.cpu.get_capabilities()
    return torch.bfloat16 if has.get("avx512_bf16") or has.get("amx_bf16") else torch.float32


def encode(texts: list[str]) -> list[list[int]]:
    """Token ids of each text as `normalize` leaves it, LONGEST at most."""
    return similarity.model()[0]([normalize(text) for text in texts], truncation=True, max_length=LONGEST).input_ids


def padded(rows: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of different lengths in one tensor, and its mask: 1 where a row has a token."""
    masks = [torch.ones(len(row), dtype=torch.long) for row in rows]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), nn.utils.rnn.pad_sequence(masks, batch_first=True)


def lower(ids: list[list[int]], frozen: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token vectors (texts, tokens, hidden) of the lower layers, and the mask of `Rater.forward`."""
    encoder = similarity.model()[1]
    tokens, mask = padded([torch.tensor(row) for row in ids])
    with torch.no_grad():
        states = encoder.embeddings(input_ids=tokens)
        attended = create_bidirectional_mask(encoder.config, states, mask)
        for layer in encoder.encoder.layer[:frozen]:
            states = layer(states, attended)
    return states, mask


def lower_of_each(ids: list[list[int]], frozen: int) -> list[torch.Tensor]:
    """What `lower` gives, text by text, in `fast_dtype`: it stays the same while the upper layers are fitted."""
    order, found = sorted(range(len(ids)), key=lambda row: len(ids[row])), [torch.empty(0)] * len(ids)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        for row, states in zip(rows, lower([ids[row] for row in rows], frozen)[0], strict=True):
            found[row] = states[: len(ids[row])].to(fast_dtype())
    return found


def batches(ids: list[list[int]], rows: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """`rows` in batches of texts alike in length, in random order."""
    rows, found = rng.permutation(rows), []
    for start in range(0, len(rows), _SORTED * BATCH):
        part = sorted(rows[start : start + _SORTED * BATCH], key=lambda row: len(ids[row]))
        found += [np.array(part[first : first + BATCH]) for first in range(0, len(part), BATCH)]
    return [found[place] for place in rng.permutation(len(found))]


def fit(texts: list[str], means: np.ndarray, frozen: int, epochs: int, seed: int, progress) -> Rater:
    """A rater fitted to the mean ratings by least squares (AdamW, no dropout); calls progress(1) after each batch."""
    ids, rng = encode(texts), np.random.default_rng(seed)
    valences, means = torch.tensor(vader.valences(texts)).float(), torch.tensor(means).float()
    rater = Rater(frozen).eval()  # dropout would draw from a generator that threads share
    groups = [{"params": list(getattr(rater, part).parameters()), "lr": RATE[name]}
              for part, name in (("layers", "encoder"), ("head", "head"))]  # fmt: skip
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=True)
    plan = [rows for _ in range(epochs) for rows in batches(ids, np.arange(len(texts)), rng)]
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (0.06 * len(plan)), 1) * max(1 - step / len(plan), 0)
    )
    with torch.autocast("cpu", fast_dtype(), enabled=fast_dtype() != torch.float32):
        below = lower_of_each(ids, frozen)
    for rows in plan:
        with torch.autocast("cpu", fast_dtype(), enabled=fast_dtype() != torch.float32):
            states, mask = padded([below[row] for row in rows])
            predicted = rater(states.float(), mask, valences[rows])  # what layers add up is not to be rounded
        optimizer.zero_grad()
        nn.functional.mse_loss(predicted.float(), means[rows]).backward()
        nn.utils.clip_grad_norm_(rater.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress(1)
    return rater


def predict(raters: list[Rater], texts: list[str], frozen: int, valences: np.ndarray | None = None) -> np.ndarray:
    """What each rater says of each text, shape (texts, raters), in float32; batches of texts alike in length.

    `valences` are read beside the texts: VADER's unless others are given.
    """
    ids, valences = encode(texts), torch.tensor(vader.valences(texts) if valences is None else valences).float()
    order = sorted(range(len(texts)), key=lambda row: len(ids[row]))
    found = np.empty((len(texts), len(raters)), dtype=np.float32)
    for start in range(0, len(order), 2 * BATCH):
        rows = order[start : start + 2 * BATCH]
        with torch.inference_mode():
            states, mask = lower([ids[row] for row in rows], frozen)
            found[rows] = torch.stack([rater(states, mask, valences[rows]) for rater in raters], dim=1).numpy()
    return found
