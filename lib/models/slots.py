"""Keys and values of one layer in slots: the cache layer behind `lib.models.rows.Slots`."""

import weakref
from typing import Protocol

import torch
from transformers import cache_utils


class Table(Protocol):
    """What a layer asks of the rows.

    Attributes:
        size: Number of slots.
        capacity: Number of columns.
        count: Number of slots in use, the first ones.
        last: Column of the last token of each row, shape (size,).
    """

    size: int
    capacity: int
    count: int
    last: torch.Tensor

    @property
    def width(self) -> int:
        """Number of columns in use."""


class SlotLayer(cache_utils.CacheLayerMixin):
    """Keys and values, allocated once and written in place.

    Attributes:
        keys: Shape (slots, heads, columns, width of a head).
        values: The same.
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, table: Table, is_sliding: bool):
        super().__init__()
        # no circle of references: a circle, and with it the cache, would stay until Python looks for circles
        self.table: Table = weakref.proxy(table)
        self.is_sliding = is_sliding

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate for states of this type and shape (rows, heads, tokens, width of a head)."""
        size, capacity = self.table.size, self.table.capacity
        self.keys, self.values = (
            states.new_zeros(size, states.shape[1], capacity, states.shape[3])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def admit(self, keys: torch.Tensor, values: torch.Tensor, columns: torch.Tensor, new: slice) -> None:
        """Copy the states of prompts, which lie in `columns` (rows, tokens) of one row, into slots."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        for states, read in ((self.keys, keys), (self.values, values)):
            states[new, :, : columns.shape[1]] = read[0][:, columns.to(read.device)].transpose(0, 1)

    def move(self, to: torch.Tensor, source: torch.Tensor) -> None:
        """Copy slots `source` into slots `to`."""
        for states in (self.keys, self.values):
            used = states[:, :, : self.table.width]
            used[to.to(states.device)] = used[source.to(states.device)]

    def update(self, key_states, value_states, *args, **kwargs) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the states of one token of each row; returns those of all."""
        count, width, device = self.table.count, self.table.width, key_states.device
        index = (torch.arange(count, device=device), slice(None), self.table.last[:count].to(device))
        self.keys[index] = key_states[:, :, 0]
        self.values[index] = value_states[:, :, 0]
        return self.keys[:count, :, :width], self.values[:count, :, :width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Number of columns, and the first of them."""
        return self.table.width, 0

    def get_seq_length(self) -> int:
        """Number of columns without that of the token that is being written."""
        return self.table.width - 1

    def get_max_length(self) -> int:
        """Most tokens of a row."""
        return self.table.capacity
