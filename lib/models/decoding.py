"""Batched decoding of a causal language model with coupled noise, doing no forward work twice.

What all prompts of a batch begin with is read once, each distinct prompt once for all its samples, and a row
leaves the batch as soon as its first sentence has ended.
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
    """The logits after a prompt hold no greatest finite value, so no token can be drawn."""


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
    """One reply a row. Row r continues prompt `token_ids[prompt_of_row[r]]` with the noise of `keys[r]`.

    A key is (seed, group_id, sample_index). `is_complete(row, text)` tells whether a row needs no further
    token; `progress` is told how many rows have finished; `on_prompts` is given the logits after each prompt
    (prompts, vocabulary). Prompts are padded on the left.
    """
    logits, mask, cache = read(model, tokenizer, token_ids, limits.max_new_tokens + limits.thinking_tokens)
    if on_prompts:
        on_prompts(logits)
    rows = torch.tensor(prompt_of_row, device=model.device)
    cache.reorder_cache(rows)
    logits, mask = logits[rows], mask[rows]

    ends, hidden = _end_tokens(model, tokenizer), _hidden_tokens(tokenizer, limits.markers)
    first = first_words.Allowed(tokenizer, logits.shape[-1], ends) if limits.require_word else None
    written: list[list[int]] = [[] for _ in prompt_of_row]
    texts = [""] * len(prompt_of_row)
    replies: list[Reply | None] = [None] * len(prompt_of_row)
    alive = list(range(len(prompt_of_row)))
    for step in range(limits.max_new_tokens + limits.thinking_tokens):
        if first:
            logits = first.restrict(logits, [texts[row] for row in alive])
        tokens = draw(logits, temperature, [keys[row] for row in alive], step)
        keep = []
        for place, (row, token) in enumerate(zip(alive, tokens.tolist(), strict=True)):
            stopped = token in ends
            if not stopped and token not in hidden:
                written[row].append(token)
                texts[row] = tokenizer.decode(written[row])
            ended = stopped or is_complete(row, texts[row])
            if ended or step + 1 >= limits.of(texts[row]):
                replies[row] = Reply(texts[row], step + 1 - stopped, ended)
            else:
                keep.append(place)
        if len(keep) < len(alive):
            progress(len(alive) - len(keep))
        if not keep:
            break
        alive = [alive[place] for place in keep]
        kept = torch.tensor(keep, device=model.device)
        if len(keep) < len(tokens):
            cache.reorder_cache(kept)
        logits, mask = write(model, tokens[kept], mask[kept], cache)
        demand_finite(logits, model, tokenizer, [token_ids[prompt_of_row[row]] for row in alive])
    return replies


@dataclass(frozen=True)
class Limits:
    """How long a reply may be, and what its first token may be.

    An answer may take `max_new_tokens`; one that holds a thought, told by `markers` (how it opens and closes)
    or because the prompt has opened it (`thinking`), `thinking_tokens` more. `require_word`: see
    `lib.models.first_words`.
    """

    max_new_tokens: int
    thinking_tokens: int = 0
    markers: tuple[str, str] = THOUGHT_MARKERS
    thinking: bool = False
    require_word: bool = False

    def of(self, text: str) -> int:
        """The most tokens that a reply which begins with `text` may take."""
        thinks = self.thinking or any(marker in text for marker in self.markers)
        return self.max_new_tokens + self.thinking_tokens * thinks


def read(
    model, tokenizer, token_ids: list[list[int]], steps: int = 0
) -> tuple[torch.Tensor, torch.Tensor, DynamicCache]:
    """Read the prompts: logits after each (prompts, vocabulary), attention mask, cache. `steps` tokens may
    follow.

    What all of them begin with is read once for all, where the model allows it. ValueError for prompts of
    different lengths if the model takes none side by side (see `alike`); NotFinite.
    """
    shared = _shared(model.config, token_ids, steps)
    cache = DynamicCache(config=model.config)
    if shared:
        prefix = torch.tensor([token_ids[0][:shared]], device=model.device)
        _forward(
            model, prefix, torch.ones_like(prefix), torch.arange(shared, device=model.device)[None], cache
        )
        cache.reorder_cache(torch.zeros(len(token_ids), dtype=torch.long, device=model.device))
    rests = {"input_ids": [ids[shared:] for ids in token_ids]}
    padded = tokenizer.pad(rests, padding_side="left", return_tensors="pt").to(model.device)
    mask = torch.cat([padded.attention_mask.new_ones(len(token_ids), shared), padded.attention_mask], dim=1)
    logits = _forward(model, padded.input_ids, mask, _positions(mask)[:, shared:], cache)
    demand_finite(logits, model, tokenizer, token_ids)
    return logits, mask, cache


def _shared(config, token_ids: list[list[int]], steps: int) -> int:
    """How many tokens of the prompts' common beginning are read once for all."""
    if architectures.needs_equal_lengths(config):
        if len(set(map(len, token_ids))) > 1:
            raise ValueError(
                f"{config.model_type}: prompts of {sorted(set(map(len, token_ids)))} tokens cannot be read "
                "side by "
                "side; read those of one length at a time"
            )
        return 0
    reach = architectures.window(config)
    return common_prefix(token_ids) if reach is None or max(map(len, token_ids)) + steps <= reach else 0


def alike(config, token_ids: list[list[int]]) -> list[list[int]]:
    """The places of the prompts that may be read side by side: all of them, or those of one length at a
    time."""
    if not architectures.needs_equal_lengths(config):
        return [list(range(len(token_ids)))]
    places: dict[int, list[int]] = {}
    for place, ids in enumerate(token_ids):
        places.setdefault(len(ids), []).append(place)
    return list(places.values())


def write(
    model, tokens: torch.Tensor, mask: torch.Tensor, cache: DynamicCache
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add one token to each row: the logits after it (rows, vocabulary) and the longer attention mask."""
    mask = torch.cat([mask, mask.new_ones(len(tokens), 1)], dim=1)
    return _forward(model, tokens[:, None], mask, _positions(mask)[:, -1:], cache), mask


def demand_finite(logits: torch.Tensor, model, tokenizer, prompts: list[list[int]]) -> None:
    """NotFinite, naming the prompt, if a row of logits holds NaN or +inf, or nothing but -inf; `prompts` has
    a row's tokens.

    A single -inf forbids a token and is no fault, so each row's greatest value tells.
    """
    greatest = logits.amax(dim=-1)  # NaN where any is
    if greatest.isfinite().all():
        return
    place = int((~greatest.isfinite()).nonzero()[0])
    dtype = str(model.dtype).removeprefix("torch.")
    prompt = tokenizer.decode(prompts[place])[:60]
    remedy = _REMEDIES.get(dtype, "its weights are damaged or were converted wrongly; fetch them again")
    raise NotFinite(
        f"its logits after the prompt {prompt!r} are not finite ({greatest[place].item()}) in {dtype}; "
        f"{remedy}"
    )


def common_prefix(token_ids: list[list[int]]) -> int:
    """How many tokens all prompts begin with, leaving each at least one of its own."""
    at_most = min(map(len, token_ids)) - 1
    return next((place for place in range(at_most) if len({ids[place] for ids in token_ids}) > 1), at_most)


def _forward(model, token_ids, mask, positions, cache) -> torch.Tensor:
    """Logits after the last token of each row, shape (rows, vocabulary); `cache` grows by the tokens read."""
    given = {architectures.cache_argument_of(type(model)): cache}
    if not architectures.keeps_state(
        cache
    ):  # else nothing is padded, and Mamba would lay the whole mask over its one new token
        given["attention_mask"] = mask
    return model(
        input_ids=token_ids, position_ids=positions, use_cache=True, logits_to_keep=1, **given
    ).logits[:, -1]


def _positions(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def _end_tokens(model, tokenizer) -> set[int]:
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return {token for token in (*listed, tokenizer.eos_token_id) if token is not None}


def _hidden_tokens(tokenizer, markers: tuple[str, str]) -> set[int]:
    """The special tokens, which are no text; but a mark of a thought is looked for in the text."""
    return set(tokenizer.all_special_ids) - set(tokenizer.convert_tokens_to_ids(list(markers)))
