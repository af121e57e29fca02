"""Batched decoding of a causal language model with coupled noise, without repeating any forward pass.

The common beginning of all prompts of a batch is read once, and each distinct prompt once for all its
samples. A row leaves the batch as soon as its first sentence has ended.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import DynamicCache

from lib.models import architectures, first_words
from lib.models.base import no_progress
from lib.models.sampling import draw
from lib.replies.outcomes import THOUGHT_MARKERS
from lib.replies.reply import Reply

_REMEDIES = {"float16": "set dtype to 'bfloat16' or 'float32'", "bfloat16": "set dtype to 'float32'"}


class NotFinite(ValueError):
    """The logits after a prompt have no finite maximum, so no token can be drawn."""


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
    progress: Callable[[int], object] = no_progress,
    on_prompts: Callable[[torch.Tensor], object] | None = None,
) -> list[Reply]:
    """Decode one reply per row of a batch.

    Row r continues prompt `token_ids[prompt_of_row[r]]` with the noise of `keys[r]`. Prompts are padded on
    the left.

    Args:
        model: The causal language model.
        tokenizer: Its tokenizer.
        token_ids: Tokens of each distinct prompt.
        prompt_of_row: Index of each row's prompt in `token_ids`.
        keys: (seed, group_id, sample_index) of each row.
        is_complete: Function of (row, text): whether the row needs no further token.
        temperature: Sampling temperature; 0 takes the most probable token.
        limits: Length of a reply, and what its first token may be.
        progress: Called with the number of rows that have finished since the last call.
        on_prompts: Called with the logits after each prompt (prompts, vocabulary).

    Returns:
        One Reply per row.

    Raises:
        NotFinite: If the logits of a row have no finite maximum.
    """
    logits, mask, cache = read(model, tokenizer, token_ids, limits.max_new_tokens + limits.thinking_tokens)
    if on_prompts:
        on_prompts(logits)
    rows = torch.tensor(prompt_of_row, device=model.device)
    _select(cache, rows)
    logits, mask = logits[rows], mask[rows]

    end_ids, hidden_ids = _end_tokens(model, tokenizer), _hidden_tokens(tokenizer, limits.markers)
    first_word = first_words.Allowed(tokenizer, logits.shape[-1], end_ids) if limits.require_word else None
    generated: list[list[int]] = [[] for _ in prompt_of_row]
    texts = [""] * len(prompt_of_row)
    replies: dict[int, Reply] = {}
    active = list(range(len(prompt_of_row)))
    for step in range(limits.max_new_tokens + limits.thinking_tokens):
        if first_word:
            logits = first_word.restrict(logits, [texts[row] for row in active])
        tokens = draw(logits, temperature, [keys[row] for row in active], step)
        keep = []
        for index, (row, token) in enumerate(zip(active, tokens.tolist(), strict=True)):
            stopped = token in end_ids
            if not stopped and token not in hidden_ids:
                generated[row].append(token)
                texts[row] = tokenizer.decode(generated[row])
            finished = stopped or is_complete(row, texts[row])
            if finished or step + 1 >= limits.of(texts[row]):
                replies[row] = Reply(texts[row], step + 1 - stopped, finished)
            else:
                keep.append(index)
        if len(keep) < len(active):
            progress(len(active) - len(keep))
        if not keep:
            break
        active = [active[index] for index in keep]
        kept_rows = torch.tensor(keep, device=model.device)
        if len(keep) < len(tokens):
            _select(cache, kept_rows)
        logits, mask = write(model, tokens[kept_rows], mask[kept_rows], cache)
        demand_finite(logits, model, tokenizer, [token_ids[prompt_of_row[row]] for row in active])
    return [replies[row] for row in range(len(prompt_of_row))]


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

    def of(self, text: str) -> int:
        """Most tokens of a reply that begins with `text`."""
        thinks = self.thinking or any(marker in text for marker in self.markers)
        return self.max_new_tokens + self.thinking_tokens * thinks


def read(
    model, tokenizer, token_ids: list[list[int]], steps: int = 0
) -> tuple[torch.Tensor, torch.Tensor, DynamicCache]:
    """Read (prefill) the prompts.

    Their common beginning is read once for all where the model allows it.

    Args:
        model: The causal language model.
        tokenizer: Its tokenizer.
        token_ids: Tokens of each prompt.
        steps: Number of tokens that may follow.

    Returns:
        The logits after each prompt (prompts, vocabulary), the attention mask, and the cache.

    Raises:
        ValueError: If the prompts differ in length and the model reads only equal lengths together (see
            `alike`).
        NotFinite: If the logits after a prompt have no finite maximum.
    """
    shared = _shared(model.config, token_ids, steps)
    cache = DynamicCache(config=model.config)
    if shared:
        prefix = torch.tensor([token_ids[0][:shared]], device=model.device)
        _forward(
            model, prefix, torch.ones_like(prefix), torch.arange(shared, device=model.device)[None], cache
        )
        _select(cache, torch.zeros(len(token_ids), dtype=torch.long, device=model.device))
    suffixes = {"input_ids": [ids[shared:] for ids in token_ids]}
    padded = tokenizer.pad(suffixes, padding_side="left", return_tensors="pt").to(model.device)
    mask = torch.cat([padded.attention_mask.new_ones(len(token_ids), shared), padded.attention_mask], dim=1)
    logits = _forward(model, padded.input_ids, mask, _positions(mask)[:, shared:], cache)
    demand_finite(logits, model, tokenizer, token_ids)
    return logits, mask, cache


def _shared(config, token_ids: list[list[int]], steps: int) -> int:
    """Number of tokens of the prompts' common beginning that are read once for all."""
    if architectures.needs_equal_lengths(config):
        if len(set(map(len, token_ids))) > 1:
            raise ValueError(
                f"{config.model_type}: prompts of {sorted(set(map(len, token_ids)))} tokens cannot be read "
                "side by "
                "side; read those of one length at a time"
            )
        return 0
    window = architectures.window(config)
    return common_prefix(token_ids) if window is None or max(map(len, token_ids)) + steps <= window else 0


def alike(config, token_ids: list[list[int]]) -> list[list[int]]:
    """Group the prompts, as their indices, into those that may be read together.

    The result is one group of all prompts, or one group per length.
    """
    if not architectures.needs_equal_lengths(config):
        return [list(range(len(token_ids)))]
    indices_by_length: dict[int, list[int]] = {}
    for index, ids in enumerate(token_ids):
        indices_by_length.setdefault(len(ids), []).append(index)
    return list(indices_by_length.values())


def write(
    model, tokens: torch.Tensor, mask: torch.Tensor, cache: DynamicCache
) -> tuple[torch.Tensor, torch.Tensor]:
    """Append one token to each row.

    Returns:
        The logits after it (rows, vocabulary), and the longer attention mask.
    """
    mask = torch.cat([mask, mask.new_ones(len(tokens), 1)], dim=1)
    return _forward(model, tokens[:, None], mask, _positions(mask)[:, -1:], cache), mask


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


def common_prefix(token_ids: list[list[int]]) -> int:
    """Number of tokens with which all prompts begin; each prompt keeps at least one token of its own."""
    longest = min(map(len, token_ids)) - 1
    return next(
        (position for position in range(longest) if len({ids[position] for ids in token_ids}) > 1), longest
    )


def _forward(model, token_ids, mask, positions, cache) -> torch.Tensor:
    """Logits after the last token of each row, shape (rows, vocabulary); `cache` grows by the tokens read."""
    arguments = {architectures.cache_argument_of(model.__class__): cache}
    # with a state nothing is padded, and Mamba would apply the whole mask to its one new token
    if not architectures.keeps_state(cache):
        arguments["attention_mask"] = mask
    return model(
        input_ids=token_ids, position_ids=positions, use_cache=True, logits_to_keep=1, **arguments
    ).logits[:, -1]


def _select(cache: DynamicCache, rows: torch.Tensor) -> None:
    """Keep these rows of the cache, in this order; a row may occur several times."""
    cache.reorder_cache(rows)  # type: ignore[arg-type]  # it says LongTensor, torch says Tensor


def _positions(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def _end_tokens(model, tokenizer) -> set[int]:
    configured = model.generation_config.eos_token_id
    eos_ids = configured if isinstance(configured, list) else [configured]
    return {token for token in (*eos_ids, tokenizer.eos_token_id) if token is not None}


def _hidden_tokens(tokenizer, markers: tuple[str, str]) -> set[int]:
    """The special tokens, except the markers of thoughts, which have to appear in the text."""
    return set(tokenizer.all_special_ids) - set(tokenizer.convert_tokens_to_ids(list(markers)))
