"""Reading (prefilling) prompts, so that no token is computed twice where the architecture allows it."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from transformers import Cache, DynamicCache

from lib.models import architectures

_REMEDIES = {"float16": "set dtype to 'bfloat16' or 'float32'", "bfloat16": "set dtype to 'float32'"}
# tokens of one forward pass: in a tree attention is computed between all of them
_MOST_TOKENS = {"cpu": 256}
_MOST_TOKENS_ELSEWHERE = 4096


class NotFinite(ValueError):
    """The logits after a prompt have no finite maximum, so no token can be drawn."""


@dataclass(frozen=True)
class Tree:
    """Prompts as a tree of tokens, in which a beginning that several of them share occurs once.

    Attributes:
        tokens: Token of each node; a node comes after its parent.
        parents: Parent of each node; −1 where a prompt begins.
        paths: Nodes of each prompt, from its beginning to its end.
    """

    tokens: list[int]
    parents: list[int]
    paths: list[list[int]]

    @property
    def depths(self) -> list[int]:
        """Number of tokens before each node."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(0 if parent < 0 else depths[parent] + 1)
        return depths

    @property
    def sees(self) -> np.ndarray:
        """Whether a node (row) attends to another (column): to itself and to those before it in a prompt."""
        sees = np.eye(len(self.tokens), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                sees[node] |= sees[parent]
        return sees


def trees(prompts: list[list[int]], most_tokens: int) -> Iterator[Tree]:
    """Divide prompts, in their order, into trees of about `most_tokens` nodes; each has a prompt at least."""
    start = 0
    while start < len(prompts):
        nodes: dict[tuple[int, int], int] = {}
        paths: list[list[int]] = []
        for prompt in prompts[start:]:
            path, parent = [], -1
            for token in prompt:
                parent = nodes.setdefault((parent, token), len(nodes))
                path.append(parent)
            paths.append(path)
            if len(nodes) >= most_tokens:
                break
        yield Tree([token for _, token in nodes], [parent for parent, _ in nodes], paths)
        start += len(paths)


@dataclass(frozen=True)
class Prompts:
    """Prompts that have been read.

    Attributes:
        logits: The logits after each prompt (prompts, vocabulary).
        cache: What the model keeps of them: one row of the tokens of all, or one row each.
        columns: Columns of the cache that hold each prompt's tokens (prompts, longest), filled up with 0;
            None if each has a row.
        mask: Which of the columns hold a token of the prompt, shape (prompts, longest).
    """

    logits: torch.Tensor
    cache: DynamicCache
    columns: torch.Tensor | None
    mask: torch.Tensor


class Reader:
    """Reads prompts of a model; their common beginning is read once, when the reader is made.

    Args:
        model: The causal language model.
        tokenizer: Its tokenizer.
        token_ids: Tokens of each prompt.
        steps: Number of tokens that may follow a prompt.

    Raises:
        ValueError: If the prompts differ in length and the model reads only equal lengths together (see
            `architectures.alike`).
    """

    def __init__(self, model, tokenizer, token_ids: list[list[int]], steps: int = 0):
        self.model, self.tokenizer, self.token_ids = model, tokenizer, token_ids
        self.longest = max(map(len, token_ids)) + steps
        self.packs = architectures.reads_trees(model, self.longest)
        self._shared = _shared(model.config, token_ids, self.longest)
        self._prefix = DynamicCache(config=model.config)
        if self._shared:
            prefix = torch.tensor([token_ids[0][: self._shared]], device=model.device)
            positions = torch.arange(self._shared, device=model.device)[None]
            forward(model, prefix, torch.ones_like(prefix), positions, self._prefix)

    def read(self, prompts: list[int]) -> Iterator[Prompts]:
        """Read the prompts of these indices, in parts.

        Raises:
            NotFinite: If the logits after a prompt have no finite maximum.
        """
        parts = self._packed(prompts) if self.packs else iter([self._padded(prompts)])
        for part in parts:
            read, prompts = prompts[: len(part.logits)], prompts[len(part.logits) :]
            demand_finite(
                part.logits, self.model, self.tokenizer, [self.token_ids[prompt] for prompt in read]
            )
            yield part

    def _packed(self, prompts: list[int]) -> Iterator[Prompts]:
        """Read prompts as trees, one forward pass a tree: nothing is padded and no token read twice."""
        model, shared = self.model, self._shared
        suffixes = [self.token_ids[prompt][shared:] for prompt in prompts]
        for tree in trees(suffixes, most_tokens(model.device.type)):
            sees = torch.from_numpy(np.pad(tree.sees, ((0, 0), (shared, 0)), constant_values=True))
            mask = torch.zeros(sees.shape, dtype=model.dtype).masked_fill(~sees, torch.finfo(model.dtype).min)
            positions = torch.tensor([tree.depths], device=model.device) + shared
            ends = torch.tensor([path[-1] for path in tree.paths], device=model.device)
            cache = copy.deepcopy(self._prefix)
            logits = forward(
                model,
                torch.tensor([tree.tokens], device=model.device),
                mask[None, None].to(model.device),
                positions,
                cache,
                ends,
            )
            lengths = torch.tensor([shared + len(path) for path in tree.paths])
            columns = torch.zeros(len(lengths), int(lengths.max()), dtype=torch.long)
            for row, path in zip(columns, tree.paths, strict=True):
                row[: shared + len(path)] = torch.tensor([*range(shared), *(shared + node for node in path)])
            held = torch.arange(columns.shape[1]) < lengths[:, None]
            yield Prompts(logits[0], cache, columns.to(model.device), held.long().to(model.device))

    def _padded(self, prompts: list[int]) -> Prompts:
        """Read prompts side by side, padded on the left."""
        model, shared = self.model, self._shared
        cache = copy.deepcopy(self._prefix)
        if shared:
            select(cache, torch.zeros(len(prompts), dtype=torch.long, device=model.device))
        suffixes = {"input_ids": [self.token_ids[prompt][shared:] for prompt in prompts]}
        padded = self.tokenizer.pad(suffixes, padding_side="left", return_tensors="pt").to(model.device)
        mask = torch.cat([padded.attention_mask.new_ones(len(prompts), shared), padded.attention_mask], dim=1)
        logits = forward(model, padded.input_ids, mask, positions_of(mask)[:, shared:], cache)
        return Prompts(logits[:, -1], cache, None, mask)


def most_tokens(device: str) -> int:
    """About how many tokens are read in one forward pass on a type of device."""
    return _MOST_TOKENS.get(device, _MOST_TOKENS_ELSEWHERE)


def tokens_read(model, token_ids: list[list[int]], steps: int = 0) -> int:
    """Number of tokens that a forward pass computes to read these prompts; arguments as of `Reader`."""
    longest = max(map(len, token_ids))
    shared = _shared(model.config, token_ids, longest + steps)
    if not architectures.reads_trees(model, longest + steps):
        return shared + len(token_ids) * (longest - shared)
    suffixes = [ids[shared:] for ids in token_ids]
    return shared + sum(len(tree.tokens) for tree in trees(suffixes, most_tokens(model.device.type)))


def last_logits(model, tokenizer, token_ids: list[list[int]]) -> torch.Tensor:
    """The logits after each prompt (prompts, vocabulary).

    Args:
        model: The causal language model.
        tokenizer: Its tokenizer.
        token_ids: Tokens of each prompt.

    Raises:
        ValueError: As `Reader`.
        NotFinite: If the logits after a prompt have no finite maximum.
    """
    parts = Reader(model, tokenizer, token_ids).read(list(range(len(token_ids))))
    return torch.cat([part.logits for part in parts])


def forward(
    model,
    token_ids: torch.Tensor,
    mask: torch.Tensor,
    positions: torch.Tensor,
    cache: Cache,
    ends: torch.Tensor | int = 1,
) -> torch.Tensor:
    """Logits (rows, ends, vocabulary) after the tokens `ends`, as a rule the last one.

    `cache` grows by the tokens read.
    """
    arguments: dict[str, Cache | torch.Tensor] = {architectures.cache_argument_of(model.__class__): cache}
    # with a state nothing is padded, and Mamba would apply the whole mask to its one new token
    if not architectures.keeps_state(cache):
        arguments["attention_mask"] = mask
    return model(
        input_ids=token_ids, position_ids=positions, use_cache=True, logits_to_keep=ends, **arguments
    ).logits


def select(cache: DynamicCache, rows: torch.Tensor) -> None:
    """Keep these rows of the cache, in this order; a row may occur several times."""
    cache.reorder_cache(rows)  # type: ignore[arg-type]  # it says LongTensor, torch says Tensor


def positions_of(mask: torch.Tensor) -> torch.Tensor:
    """Position of each token of an attention mask (rows, tokens), counted from its row's first token."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def _shared(config, token_ids: list[list[int]], longest: int) -> int:
    """Number of tokens of the prompts' common beginning that are read once for all."""
    if architectures.needs_equal_lengths(config):
        if len(set(map(len, token_ids))) > 1:
            raise ValueError(
                f"{config.model_type}: prompts of {sorted(set(map(len, token_ids)))} tokens cannot be read "
                "side by side; read those of one length at a time"
            )
        return 0
    window = architectures.window(config)
    return common_prefix(token_ids) if window is None or longest <= window else 0


def common_prefix(token_ids: list[list[int]]) -> int:
    """Number of tokens with which all prompts begin; each prompt keeps at least one token of its own."""
    longest = min(map(len, token_ids)) - 1
    return next(
        (position for position in range(longest) if len({ids[position] for ids in token_ids}) > 1), longest
    )


def demand_finite(logits: torch.Tensor, model, tokenizer, prompts: list[list[int]]) -> None:
    """Check that each row of logits has a finite maximum.

    A single -inf forbids a token and is no error, so only the maximum of a row is checked.

    Args:
        logits: The logits (rows, vocabulary).
        model: The model, for its number format.
        tokenizer: Its tokenizer, for the error message.
        prompts: Tokens of each row's prompt.

    Raises:
        NotFinite: If a row holds NaN or +inf, or nothing but -inf; the message names the prompt.
    """
    maxima = logits.amax(dim=-1)  # NaN if the row holds any
    if maxima.isfinite().all():
        return
    row = int((~maxima.isfinite()).nonzero()[0])
    dtype = str(model.dtype).removeprefix("torch.")
    prompt = tokenizer.decode(prompts[row])[:60]
    remedy = _REMEDIES.get(dtype, "its weights are damaged or were converted wrongly; fetch them again")
    raise NotFinite(
        f"its logits after the prompt {prompt!r} are not finite ({maxima[row].item()}) in {dtype}; {remedy}"
    )
