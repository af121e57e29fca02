"""Batches of texts of similar length, so that little of what an encoder reads is padding."""

import numpy as np


def by_length(lengths, size: int) -> list[np.ndarray]:
    """Split texts into batches of at most `size` texts of similar length, the shortest first.

    Args:
        lengths: The length of each text, in any unit.
        size: The number of texts in a batch.

    Returns:
        The positions of the texts of each batch.
    """
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def of_one_length(lengths: list[int], total: int) -> list[np.ndarray]:
    """Split texts into batches of one length and together at most `total` long, the longest texts first.

    Args:
        lengths: The length of each text.
        total: The length of a whole batch; a longer text is a batch of its own.

    Returns:
        The positions of the texts of each batch.
    """
    order, batches = np.argsort(lengths, kind="stable"), []
    edges = np.flatnonzero(np.diff(np.take(lengths, order))) + 1
    for rows in np.split(order, edges)[::-1]:
        batches += np.array_split(rows, -(-len(rows) * lengths[rows[0]] // total)) if len(rows) else []
    return batches
