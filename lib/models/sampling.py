"""Coupled noise: completions drawn by the Gumbel-max trick with noise keyed by (seed, group, sample_index,
step).

Adding independent standard Gumbel noise to logits / temperature and taking the largest draws from the softmax
distribution (Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030). Keying the noise by what is drawn, and by
nothing else, makes a completion independent of batch size, order, sharding and resume, and gives the arms of
a group the same luck.
"""

import hashlib

import numpy as np

VERSION = "gumbel-philox-1"  # part of every completion's key: change it with anything that changes a draw

# a float32 draw can be exactly 0, and one infinite score would beat every logit
_SMALLEST = np.float32(2**-27)


def gumbel_noise(seed: int, group_id: str, sample_index: int, step: int, size: int) -> np.ndarray:
    """Standard Gumbel noise of shape (size,), float32; the same for the same key on every machine with the
    same NumPy."""
    digest = hashlib.blake2b(f"{seed}\x1f{group_id}\x1f{sample_index}".encode(), digest_size=16).digest()
    bits = np.random.Philox(key=int.from_bytes(digest, "little"), counter=[0, 0, 0, step])
    exponential = np.random.Generator(bits).standard_exponential(size, dtype=np.float32)
    return -np.log(np.maximum(exponential, _SMALLEST))


def draw(logits, temperature: float, keys: list[tuple[int, str, int]], step: int):
    """One token for each row of the tensor `logits` (rows, vocabulary); `keys` are the rows' (seed, group_id,
    sample_index).

    Noise is made once per distinct key and shared by its rows. Temperature 0 takes the most probable token.
    """
    import torch

    if temperature == 0:
        return logits.argmax(dim=-1)
    rows_of: dict[tuple, list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    tokens = torch.empty(len(keys), dtype=torch.long, device=logits.device)
    for key, rows in rows_of.items():  # one key after the other stays in the processor's cache
        noise = torch.from_numpy(gumbel_noise(*key, step, logits.shape[-1])).to(logits.device)
        tokens[rows] = (logits[rows].float() / temperature + noise).argmax(dim=-1)
    return tokens
