"""Coupled noise: completions are drawn by the Gumbel-max trick with keyed noise.

Adding independent standard Gumbel noise to logits / temperature and taking the maximum draws from the softmax
distribution (Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030). The noise is keyed by (seed, group,
sample_index, step): by what is drawn, and by nothing else. So a completion does not depend on batch size,
order, sharding or resumption, and the arms of a group share the same noise.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from lib.runtime.cores import available_threads

VERSION = "gumbel-philox-1"  # part of every completion's key: change it with anything that changes a draw

# a float32 draw can be exactly 0, and one infinite score would beat every logit
_SMALLEST = np.float32(2**-27)
_KEYS = 64  # keys whose noise goes to an accelerator at once


def gumbel_noise(
    seed: int, group_id: str, sample_index: int, step: int, size: int, out: np.ndarray | None = None
) -> np.ndarray:
    """Standard Gumbel noise of shape (size,), float32, written to `out` if that is given.

    It is the same for the same key on every machine with the same NumPy.
    """
    digest = hashlib.blake2b(f"{seed}\x1f{group_id}\x1f{sample_index}".encode(), digest_size=16).digest()
    bits = np.random.Philox(key=int.from_bytes(digest, "little"), counter=[0, 0, 0, step])
    noise = np.random.Generator(bits).standard_exponential(size, dtype=np.float32, out=out)
    np.maximum(noise, _SMALLEST, out=noise)
    return np.negative(np.log(noise, out=noise), out=noise)


def draw(logits, temperature: float, keys: list[tuple[int, str, int]], steps: list[int]):
    """Draw one token for each row.

    Noise is generated once per distinct key and step, and shared by its rows.

    Args:
        logits: Tensor of logits (rows, vocabulary).
        temperature: Sampling temperature; 0 takes the most probable token.
        keys: (seed, group_id, sample_index) of each row.
        steps: Index of each row's token within its reply.

    Returns:
        The token of each row.
    """
    import torch

    if temperature == 0:
        return logits.argmax(dim=-1)
    rows_of: dict[tuple[tuple[int, str, int], int], list[int]] = {}
    for row, (key, step) in enumerate(zip(keys, steps, strict=True)):
        rows_of.setdefault((key, step), []).append(row)
    if logits.device.type != "cpu":
        return _draw_on_accelerator(logits, temperature, rows_of)
    tokens = torch.empty(len(keys), dtype=torch.long)
    for (key, step), rows in rows_of.items():  # the noise of one key at a time stays in the processor's cache
        noise = torch.from_numpy(gumbel_noise(*key, step, logits.shape[-1]))
        tokens[rows] = (logits[rows].float() / temperature + noise).argmax(dim=-1)
    return tokens


def _draw_on_accelerator(logits, temperature: float, rows_of: dict[tuple, list[int]]):
    """Draw with noise that all cores of the processor make, a few keys at a time."""
    import torch

    keys, buffer = list(rows_of), _buffer(logits.shape[-1], logits.device.type == "cuda")
    tokens = torch.empty(len(logits), dtype=torch.long, device=logits.device)
    for first in range(0, len(keys), _KEYS):
        part = keys[first : first + _KEYS]

        def fill(number: int, key: tuple[int, str, int], step: int) -> None:
            gumbel_noise(*key, step, logits.shape[-1], out=buffer[number].numpy())

        list(_threads().map(fill, range(len(part)), *zip(*part, strict=True)))
        noise = buffer[: len(part)].to(logits.device)
        rows = torch.tensor([row for key in part for row in rows_of[key]], device=logits.device)
        number_of_row = [number for number, key in enumerate(part) for _ in rows_of[key]]
        scores = logits[rows].float() / temperature + noise[number_of_row]
        tokens[rows] = scores.argmax(dim=-1)
    return tokens


@lru_cache(maxsize=1)
def _buffer(size: int, pinned: bool):
    """Memory for the noise of _KEYS keys; pinned memory reaches an accelerator of this kind faster."""
    import torch

    return torch.empty(_KEYS, size, pin_memory=pinned)


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(available_threads())  # NumPy releases Python's lock while it draws
