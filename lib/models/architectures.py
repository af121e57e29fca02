"""What an architecture of transformers supports here, decided from its configuration before weights load.

There are three ways to read (prefill) a batch. They depend on what a model caches of the tokens that it has
read:
- Keys and values of each token (Llama, Qwen3, DeepSeek, …): the common beginning of all prompts is read once,
  the rest is padded.
- Keys and values of the last tokens only (Gemma, Mistral, …): the same, as long as no row is longer than the
  window.
- A state that every token changes (Mamba, Qwen3.5, LFM2, Granite 4 H, Falcon H1, …): only prompts of equal
  length are read together, without padding, because the state would include the padding.
"""

import inspect
import sys
from functools import lru_cache

from torch.nn import Module
from transformers import Cache, DynamicCache, cache_utils
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

from lib.models.slots import SlotLayer

_TOKENWISE = (
    cache_utils.DynamicLayer,
    cache_utils.DynamicSlidingWindowLayer,
    cache_utils.DynamicIndexedLayer,
    cache_utils.DummyLayer,
    SlotLayer,
)
_TAKE_MASKS = ("sdpa", "eager")  # the ways of transformers to compute attention that take any mask
_IN_COLUMNS = (cache_utils.DynamicLayer, cache_utils.DynamicSlidingWindowLayer)
# attend by position in the batch, padding included, although their cache shows no window
_COUNT_PLACES = {"mpt", "gpt_neo"}
_POSITIONS_FROM_MASK = {"mpt", "bloom"}
# with transformers 5.23 their answers differ with and without a cache, or they have their own kind of cache
_UNUSABLE = {
    "minimax": "keeps a cache of its own",
    "moshi": "answers otherwise with its cache than without",
    "recurrent_gemma": "answers otherwise with its cache than without",
    "xlstm": "keeps a cache of its own",
}


def refusal(config) -> str | None:
    """Why a model with this configuration cannot be used, as the end of a sentence; None if it can."""
    classes = ", ".join(config.architectures or []) or "of no stated class"
    if getattr(config, "is_encoder_decoder", False):
        return f"is an encoder-decoder model ({classes}), which does not continue a text"
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING or config.model_type == "bert-generation":
        return f"is an encoder ({classes}), which does not continue a text"
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return f"does not continue a text ({classes})"
    if config.model_type in _UNUSABLE:
        return _UNUSABLE[config.model_type]
    mapped = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    # transformers declares the pair of tokenizers that only its mapping of tokenizers holds
    arguments = inspect.signature(mapped.forward).parameters  # type: ignore[attr-defined]  # it is a class
    if cache_argument(arguments) is None:
        return "keeps no cache that rows can be taken out of"
    try:
        DynamicCache(config=config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"has layers without a cache of transformers ({error!r})"
    if (
        "position_ids" not in arguments
        and config.model_type not in _POSITIONS_FROM_MASK
        and not needs_equal_lengths(config)
    ):
        return "cannot be told where a padded prompt begins"
    return None


def needs_equal_lengths(config) -> bool:
    """Whether only prompts of equal length may be read together, because the cache would include padding."""
    return keeps_state(DynamicCache(config=config))


def keeps_state(cache: Cache) -> bool:
    """Whether a layer of the cache keeps more than keys and values of single tokens."""
    return any(type(layer) not in _TOKENWISE for layer in cache.layers)


def reads_trees(model, tokens: int) -> bool:
    """Whether prompts of `tokens` with what follows can be read as a tree and their rows have slots.

    They can where a mask says what each token sees, where positions are told and not counted, and where the
    layers keep the keys and values of every token.
    """
    config, smallest = model.config, window(model.config)
    return (
        all(type(layer) in _IN_COLUMNS for layer in DynamicCache(config=config).layers)
        and (smallest is None or tokens < smallest)
        and _attention(config) in _TAKE_MASKS
        and hasattr(sys.modules[type(model).__module__], "create_causal_mask")
        and "position_ids" in inspect.signature(type(model).forward).parameters
        and not getattr(config, "alibi", False)
    )


def _attention(config) -> str:
    """How transformers computes attention for this model."""
    return config._attn_implementation


def alike(config, token_ids: list[list[int]]) -> list[list[int]]:
    """Group the prompts, as their indices, into those that may be read together.

    The result is one group of all prompts, or one group per length.
    """
    if not needs_equal_lengths(config):
        return [list(range(len(token_ids)))]
    indices_by_length: dict[int, list[int]] = {}
    for index, ids in enumerate(token_ids):
        indices_by_length.setdefault(len(ids), []).append(index)
    return list(indices_by_length.values())


def window(config) -> int | None:
    """The smallest window of its layers, in tokens; None if all of them see everything.

    The window counts positions in a row, so padding in the middle of a row must fit within it.
    """
    if config.model_type in _COUNT_PLACES:
        return 0
    return min(
        (
            layer.sliding_window
            for layer in DynamicCache(config=config).layers
            if isinstance(layer, cache_utils.DynamicSlidingWindowLayer)
        ),
        default=None,
    )


def cache_argument(takes) -> str | None:
    """Name of the cache among the parameters `takes` of a forward function; None if it has no cache."""
    return next((name for name in ("past_key_values", "cache_params") if name in takes), None)


@lru_cache
def cache_argument_of(model_class: type[Module]) -> str:
    """Name of the cache argument in the forward function of a model class."""
    return cache_argument(inspect.signature(model_class.forward).parameters) or "past_key_values"
