"""Batched decoding of a causal language model with coupled noise, without repeating any forward pass.

Each distinct prompt is read once for all its samples. A row leaves as soon as its first sentence has ended,
and rows that wait take its place.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from lib.models import first_words, prefill, rows
from lib.models.base import no_progress
from lib.models.contrasted import Contrasted, LogitsChange
from lib.models.sampling import draw
from lib.replies.outcomes import THOUGHT_MARKERS
from lib.replies.reply import Reply


@torch.inference_mode()
def decode(
    model,
    tokenizer,
    token_ids: list[list[int]],
    prompt_of_row: list[int],
    keys: list[tuple[int, str, int]],
    is_complete: Callable[[int, str], bool],
    temperature: float,
    limits: "Limits",
    size: int | None = None,
    progress: Callable[[int], object] = no_progress,
    on_prompts: Callable[[list[int], torch.Tensor], object] | None = None,
    change: LogitsChange | None = None,
) -> list[Reply]:
    """Decode one reply per row.

    Row r continues prompt `token_ids[prompt_of_row[r]]` with the noise of `keys[r]`. No reply depends on the
    rows beside it.

    Args:
        model: The causal language model.
        tokenizer: Its tokenizer.
        token_ids: Tokens of each distinct prompt.
        prompt_of_row: Index of each row's prompt in `token_ids`.
        keys: (seed, group_id, sample_index) of each row.
        is_complete: Function of (row, text): whether the row needs no further token.
        temperature: Sampling temperature; 0 takes the most probable token.
        limits: Length of a reply, and what its first token may be.
        size: Most rows that are decoded at the same time; None for all.
        progress: Called with the number of rows that have finished since the last call.
        on_prompts: Called with the indices of prompts that have been read, and the logits after each
            (prompts, vocabulary).
        change: How logits are changed before a token is drawn; None for not at all.

    Returns:
        One Reply per row.

    Raises:
        NotFinite: If the logits of a row have no finite maximum.
    """
    all_rows = [_Row(*row) for row in zip(range(len(keys)), prompt_of_row, keys, strict=True)]
    waiting = deque(sorted(all_rows, key=lambda row: row.prompt))
    reader = prefill.Reader(model, tokenizer, token_ids, limits.most_tokens)
    batch = _batch(reader, min(size or len(all_rows), len(all_rows)), change)
    ends, hidden = _end_tokens(model, tokenizer), _hidden_tokens(tokenizer, limits.markers)
    first_word = None
    active: list[_Row] = []
    logits = torch.empty(0)
    while waiting or active:
        while waiting and batch.wanted:
            new = _next(waiting, batch.wanted)
            after = _read(batch, new, on_prompts)
            if change:
                prefill.demand_finite(after, model, tokenizer, [token_ids[row.prompt] for row in new])
            logits = torch.cat([logits, after]) if active else after
            active += new
        if limits.require_word:
            first_word = first_word or first_words.Allowed(tokenizer, logits.shape[-1], ends)
            logits = first_word.restrict(logits, [row.text for row in active])
        tokens = draw(logits, temperature, [row.key for row in active], [row.steps for row in active])
        _append(active, tokens.tolist(), ends, hidden, tokenizer)
        for row in active:
            row.finished = row.stopped or is_complete(row.number, row.text)
        going = [
            slot for slot, row in enumerate(active) if not row.finished and row.steps < limits.of(row.text)
        ]
        if len(going) < len(active):
            progress(len(active) - len(going))
        order = batch.keep(going)
        active = [active[slot] for slot in order]
        if active:
            logits = batch.write(tokens[torch.tensor(order, device=tokens.device)])
            prefill.demand_finite(logits, model, tokenizer, [token_ids[row.prompt] for row in active])
    return [Reply(row.text, row.steps - row.stopped, row.finished) for row in all_rows]


@dataclass(eq=False)
class _Row:
    """A reply in the making.

    Attributes:
        number: Index of the row.
        prompt: Index of its prompt.
        key: What its noise depends on: (seed, group_id, sample_index).
        tokens: Its visible tokens so far.
        text: Their text.
        steps: Number of tokens that were drawn.
        stopped: Whether the last of them ended the reply.
        finished: Whether it needs no further token.
    """

    number: int
    prompt: int
    key: tuple[int, str, int]
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    steps: int = 0
    stopped: bool = False
    finished: bool = False


def _next(waiting: deque[_Row], most: int) -> list[_Row]:
    """Take up to `most` waiting rows; of the last prompt all or none, if others are taken."""
    new = [waiting.popleft() for _ in range(min(most, len(waiting)))]
    if waiting:
        whole = [row for row in new if row.prompt != waiting[0].prompt] or new
        waiting.extendleft(reversed(new[len(whole) :]))
        return whole
    return new


def _batch(reader: prefill.Reader, size: int, change: LogitsChange | None) -> "rows.GrowingRows | Contrasted":
    """Up to `size` rows; half as many, but one at least, if each needs a second place for its reference."""
    if not change:
        return rows.of(reader, size)
    if change.references is not None:
        size = 2 * max(1, size // 2)
    return Contrasted(rows.of(reader, size), change)


def _read(batch, new: list[_Row], on_prompts) -> torch.Tensor:
    """Read the prompts of new rows; returns the logits after each row's (rows, vocabulary)."""
    prompts, logits = batch.admit([row.prompt for row in new])
    if on_prompts:
        on_prompts(prompts, logits)
    return logits[[prompts.index(row.prompt) for row in new]]


def _append(active: list[_Row], tokens: list[int], ends: set[int], hidden: set[int], tokenizer) -> None:
    """Add the tokens that were drawn to their rows."""
    for row, token in zip(active, tokens, strict=True):
        row.steps, row.stopped = row.steps + 1, token in ends
        if not row.stopped and token not in hidden:
            row.tokens.append(token)
    texts = tokenizer.batch_decode([row.tokens for row in active])
    for row, text in zip(active, texts, strict=True):
        row.text = text


@dataclass(frozen=True)
class Limits:
    """How long a reply may be, and what its first token may be.

    Attributes:
        max_new_tokens: Most tokens of an answer.
        thinking_tokens: Most tokens in addition for a reply that holds a thought.
        markers: How a thought opens and closes; a reply with one of them holds a thought.
        thinking: Whether the prompt has opened a thought, so that every reply holds one.
        require_word: Whether a reply must begin with a word; see `lib.models.first_words`.
    """

    max_new_tokens: int
    thinking_tokens: int = 0
    markers: tuple[str, str] = THOUGHT_MARKERS
    thinking: bool = False
    require_word: bool = False

    @property
    def most_tokens(self) -> int:
        """Most tokens of any reply."""
        return self.max_new_tokens + self.thinking_tokens

    def of(self, text: str) -> int:
        """Most tokens of a reply that begins with `text`."""
        thinks = self.thinking or any(marker in text for marker in self.markers)
        return self.max_new_tokens + self.thinking_tokens * thinks


def _end_tokens(model, tokenizer) -> set[int]:
    configured = model.generation_config.eos_token_id
    eos_ids = configured if isinstance(configured, list) else [configured]
    return {token for token in (*eos_ids, tokenizer.eos_token_id) if token is not None}


def _hidden_tokens(tokenizer, markers: tuple[str, str]) -> set[int]:
    """The special tokens, except the markers of thoughts, which have to appear in the text."""
    return set(tokenizer.all_special_ids) - set(tokenizer.convert_tokens_to_ids(list(markers)))
