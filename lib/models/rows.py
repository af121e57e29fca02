"""The rows of a batch while they are decoded: reading their prompts, adding tokens, leaving.

`of` selects the kind by the architecture. Both kinds have the same methods, and what a row gets does not
depend on the others:
- `Slots`: the cache is allocated once and written in place, and other rows take the places of those that
  leave.
- `GrowingRows`: the cache of transformers, which grows by a token at each step; new rows are admitted only
  where none is left.
"""

import torch
from transformers import Cache, DynamicCache

from lib.models import prefill
from lib.models.prefill import Prompts, Reader
from lib.models.slots import SlotLayer

_PARTS = 4  # new rows are admitted when one slot in so many is free


def of(reader: Reader, size: int) -> "Slots | GrowingRows":
    """Up to `size` rows that continue the prompts of the reader."""
    return (Slots if reader.packs else GrowingRows)(reader, size)


class GrowingRows:
    """Up to `size` rows in the cache of transformers.

    Attributes:
        size: Most rows at the same time.
        count: Number of rows now.
    """

    cache: Cache

    def __init__(self, reader: Reader, size: int):
        self.reader, self.size, self.count = reader, size, 0
        self._mask = torch.zeros(0)

    @property
    def wanted(self) -> int:
        """Number of rows that should be admitted now."""
        return 0 if self.count else self.size

    def admit(self, prompt_of_row: list[int]) -> tuple[list[int], torch.Tensor]:
        """Read prompts and add a row after each; a prompt that several rows continue is read once.

        Args:
            prompt_of_row: Index of each new row's prompt among those of the reader; equal ones are adjacent.

        Returns:
            The distinct prompts, and the logits after each (prompts, vocabulary).

        Raises:
            NotFinite: If the logits after a prompt have no finite maximum.
        """
        distinct = list(dict.fromkeys(prompt_of_row))
        logits: list[torch.Tensor] = []
        for part in self.reader.read(distinct):
            first = sum(len(earlier) for earlier in logits)
            read = distinct[first : first + len(part.logits)]
            rows = [read.index(prompt) for prompt in prompt_of_row if prompt in read]
            self._place(part, torch.tensor(rows, device=part.mask.device))
            self.count += len(rows)
            logits.append(part.logits)
        return distinct, torch.cat(logits)

    def write(self, tokens: torch.Tensor) -> torch.Tensor:
        """Append one token to each row; returns the logits after it (rows, vocabulary)."""
        mask, positions = self._append()
        return prefill.forward(self.reader.model, tokens[:, None], mask, positions, self.cache)[:, -1]

    def keep(self, rows: list[int]) -> list[int]:
        """Keep these rows only.

        Returns:
            The rows in their new order: row i is what was row `order[i]`.
        """
        if len(rows) < self.count:
            kept = torch.tensor(rows, dtype=torch.long, device=self._mask.device)
            prefill.select(self.cache, kept)  # type: ignore[arg-type]
            self._mask, self.count = self._mask[kept], len(rows)
        return rows

    def _place(self, part: Prompts, rows: torch.Tensor) -> None:
        self.cache, self._mask = part.cache, part.mask[rows]
        prefill.select(part.cache, rows)

    def _append(self) -> tuple[torch.Tensor, torch.Tensor]:
        self._mask = torch.cat([self._mask, self._mask.new_ones(self.count, 1)], dim=1)
        return self._mask, prefill.positions_of(self._mask)[:, -1:]


class Slots(GrowingRows):
    """Up to `size` rows, each with a slot: columns of its own in a cache that is allocated once.

    The attention mask says which columns hold a token. When rows leave, the last rows move into their slots,
    so nothing is copied but these rows.
    """

    def __init__(self, reader: Reader, size: int):
        super().__init__(reader, size)
        device, self.capacity = reader.model.device, reader.longest
        layers = DynamicCache(config=reader.model.config).layers
        self.cache = Cache([SlotLayer(self, layer.is_sliding) for layer in layers])  # type: ignore[union-attr]
        self.last = torch.zeros(size, dtype=torch.long, device=device)  # column of a row's last token
        self._mask = torch.zeros(size, self.capacity, dtype=torch.long, device=device)
        self._lengths: list[int] = []  # `last` + 1, known without a transfer from the device

    @property
    def width(self) -> int:
        """Number of columns in use: those of the longest row."""
        return max(self._lengths, default=0)

    @property
    def wanted(self) -> int:
        """Number of rows that should be admitted now: none, or as many as slots are free."""
        free = self.size - self.count
        return free if free and free >= self.size // _PARTS else 0

    def keep(self, rows: list[int]) -> list[int]:
        """Keep these rows only; see `GrowingRows.keep`."""
        kept, order = set(rows), list(range(len(rows)))
        holes = [slot for slot in order if slot not in kept]
        moved = [row for row in rows if row >= len(rows)]
        for hole, row in zip(holes, moved, strict=True):
            order[hole] = row
        if holes:
            to, source = (torch.tensor(slots, device=self.last.device) for slots in (holes, moved))
            for layer in self.cache.layers:
                layer.move(to, source)  # type: ignore[union-attr]
            self._mask[to], self.last[to] = self._mask[source], self.last[source]
        self._lengths = [self._lengths[row] for row in order]
        self.count = len(rows)
        return order

    def _place(self, part: Prompts, rows: torch.Tensor) -> None:
        new, width = slice(self.count, self.count + len(rows)), part.mask.shape[1]
        for layer, read in zip(self.cache.layers, part.cache.layers, strict=True):
            layer.admit(read.keys, read.values, part.columns[rows], new)  # type: ignore[union-attr, index]
        self._mask[new, :width] = part.mask[rows]
        self._mask[new, width:] = 0
        lengths = part.mask.sum(dim=1)[rows]
        self.last[new] = lengths - 1
        self._lengths += lengths.tolist()

    def _append(self) -> tuple[torch.Tensor, torch.Tensor]:
        used = slice(self.count)
        self.last[used] += 1
        self._mask[used].scatter_(1, self.last[used, None], 1)
        self._lengths = [length + 1 for length in self._lengths]
        return self._mask[used, : self.width], self.last[used, None]
