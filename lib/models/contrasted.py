"""Rows whose logits are changed before a token is drawn, by themselves or by those of a second prompt.

A *reference* is another prompt for the same reply, for example the stem without its context. A row then takes
two places in the batch: both get the tokens that are drawn, and the logits of one are read against those of
the other. Contrastive decoding (Li et al. 2023, arXiv 2210.15097) and context-aware decoding (Shi et al.
2024, arXiv 2305.14739) are of this form.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from lib.models import rows


class LogitsChange(NamedTuple):
    """How logits are changed before a token is drawn.

    Attributes:
        logits: Function of the logits of the prompts (rows, vocabulary) and those of their references, of
            the same shape or None; returns the logits to draw from.
        references: Index of each prompt's reference among the prompts; None where there are none.
    """

    logits: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
    references: list[int] | None = None


class Contrasted:
    """Rows of a batch with changed logits; the methods are those of `rows.GrowingRows`.

    Args:
        batch: The batch, with twice as many places as rows if there are references.
        change: How the logits are changed.
    """

    def __init__(self, batch: "rows.GrowingRows", change: LogitsChange):
        self._batch, self._change = batch, change
        self._own: list[int] = []  # place of each row in the batch
        self._references: list[int] = []  # place of its reference; empty if there are none

    @property
    def wanted(self) -> int:
        """Number of rows that should be admitted now."""
        return self._batch.wanted // (1 if self._change.references is None else 2)

    def admit(self, prompt_of_row: list[int]) -> tuple[list[int], torch.Tensor]:
        """Read prompts and their references; see `rows.GrowingRows.admit`."""
        of, first = self._change.references, self._batch.count
        needed = prompt_of_row + ([] if of is None else [of[prompt] for prompt in prompt_of_row])
        order = sorted(range(len(needed)), key=lambda index: needed[index])  # equal prompts are adjacent
        read, logits = self._batch.admit([needed[index] for index in order])
        places = {index: first + place for place, index in enumerate(order)}
        count = len(prompt_of_row)
        self._own += [places[index] for index in range(count)]
        self._references += [places[index] for index in range(count, len(needed))]
        row_of = {prompt: row for row, prompt in enumerate(read)}
        distinct = list(dict.fromkeys(prompt_of_row))
        own = logits[[row_of[prompt] for prompt in distinct]]
        reference = None if of is None else logits[[row_of[of[prompt]] for prompt in distinct]]
        return distinct, self._change.logits(own, reference)

    def write(self, tokens: torch.Tensor) -> torch.Tensor:
        """Append one token to each row and its reference; returns the changed logits (rows, vocabulary)."""
        both = tokens.new_empty(len(self._own) + len(self._references))
        both[self._own] = tokens
        if self._references:
            both[self._references] = tokens
        logits = self._batch.write(both)
        reference = logits[self._references] if self._references else None
        return self._change.logits(logits[self._own], reference)

    def keep(self, rows: list[int]) -> list[int]:
        """Keep these rows only; see `rows.GrowingRows.keep`."""
        own, references = (
            [places[row] for row in rows] if places else [] for places in (self._own, self._references)
        )
        order = self._batch.keep(sorted(own + references))
        moved = {place: index for index, place in enumerate(order)}
        self._own, self._references = ([moved[place] for place in places] for places in (own, references))
        return rows
