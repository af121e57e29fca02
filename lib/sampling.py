"""Coupled noise: completions drawn by the Gumbel-max trick with noise keyed by (seed, group, sample_index, step).

Adding independent standard Gumbel noise to logits / temperature and taking the largest draws from the softmax distribution
(Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030). Keying the noise by what is drawn, and by nothing else, makes a
completion independent of batch size, order, sharding and resume, and gives the arms of a group the same luck.
"""

import hashlib

import numpy as np

VERSION = "gumbel-philox-1"  # part of every completion's key: change it with anything that changes a draw

_SMALLEST = np.float32(2**-27)  # a float32 draw can be exactly 0, and one infinite score would beat every logit


def gumbel_noise(seed: int, group_id: str, sample_index: int, step: int, size: int) -> np.ndarray:
    """Standard Gumbel noise of shape (size,), float32; the same for the same key on every machine with the same NumPy."""
    digest = hashlib.blake2b(f"{seed}\x1f{group_id}\x1f{sample_index}".encode(), digest_size=16).digest()
    bits = np.random.Philox(key=int.from_bytes(digest, "little"), counter=[0, 0, 0, step])
    exponential = np.random.Generator(bits).standard_exponential(size, dtype=np.float32)
    return -np.log(np.maximum(exponential, _SMALLEST))


def draw(logits, temperature: float, keys: list[tuple[int, str, int]], step: int):
    """One token for each row of the tensor `logits` (rows, vocabulary); `keys` are the rows' (seed, group_id, sample_index).

    Noise is made once per distinct key and shared by its rows. Temperature 0 takes the most probable token.
    """
    import torch

    if temperature == 0:
        return logits.argmax(dim=-1)
    distinct = list(dict.fromkeys(keys))
    place = {key: number for number, key in enumerate(distinct)}
    noise = np.stack([gumbel_noise(*key, step, logits.shape[-1]) for key in distinct])
    rows = torch.tensor([place[key] for key in keys])
    shared = torch.from_numpy(noise)[rows].to(logits.device)
    return (logits.float() / temperature + shared).argmax(dim=-1)
