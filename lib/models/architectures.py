"""What an architecture of transformers can do here, told from its configuration before any weights load.

Three ways to read a batch, by what a model keeps of the tokens it has read:
- keys and values of each token (Llama, Qwen3, DeepSeek, …): what all prompts begin with is read once, the
  rest is padded;
- those of the last tokens only (Gemma, Mistral, …): likewise, as long as no row outgrows the window;
- a state that every token goes into (Mamba, Qwen3.5, LFM2, Granite 4 H, Falcon H1, …): only prompts of equal
  length are read side by side, without padding, for the state would hold the padding too.
"""

import inspect
from functools import lru_cache

from transformers import DynamicCache, cache_utils
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

_TOKENWISE = (
    cache_utils.DynamicLayer,
    cache_utils.DynamicSlidingWindowLayer,
    cache_utils.DynamicIndexedLayer,
    cache_utils.DummyLayer,
)
_COUNT_PLACES = {
    "mpt",
    "gpt_neo",
}  # attend by place in the batch, padding counted, though their cache shows no window
_POSITIONS_FROM_MASK = {"mpt", "bloom"}
# with transformers 5.23 they answer otherwise with a cache than without, or bring a cache of another make
_UNUSABLE = {
    "minimax": "keeps a cache of its own",
    "moshi": "answers otherwise with its cache than without",
    "recurrent_gemma": "answers otherwise with its cache than without",
    "xlstm": "keeps a cache of its own",
}


def refusal(config) -> str | None:
    """Why a model of this configuration cannot be asked, as the end of a sentence about it; None if it
    can."""
    made_for = ", ".join(config.architectures or []) or "of no stated class"
    if getattr(config, "is_encoder_decoder", False):
        return f"is an encoder-decoder model ({made_for}), which does not continue a text"
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING or config.model_type == "bert-generation":
        return f"is an encoder ({made_for}), which does not continue a text"
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return f"does not continue a text ({made_for})"
    if config.model_type in _UNUSABLE:
        return _UNUSABLE[config.model_type]
    takes = inspect.signature(MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].forward).parameters
    if cache_argument(takes) is None:
        return "keeps no cache that rows can be taken out of"
    try:
        DynamicCache(config=config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"has layers without a cache of transformers ({error!r})"
    if (
        "position_ids" not in takes
        and config.model_type not in _POSITIONS_FROM_MASK
        and not needs_equal_lengths(config)
    ):
        return "cannot be told where a padded prompt begins"
    return None


def needs_equal_lengths(config) -> bool:
    """Whether only prompts of equal length may be read side by side, for what the model keeps would hold the
    padding too."""
    return keeps_state(DynamicCache(config=config))


def keeps_state(cache: DynamicCache) -> bool:
    """Whether a layer of the cache keeps more than keys and values of single tokens."""
    return any(type(layer) not in _TOKENWISE for layer in cache.layers)


def window(config) -> int | None:
    """How many tokens back its layers see at least; None if all of them see everything.

    A window is counted in places, so padding in the middle of a row must lie within.
    """
    if config.model_type in _COUNT_PLACES:
        return 0
    return min(
        (
            layer.sliding_window
            for layer in DynamicCache(config=config).layers
            if getattr(layer, "is_sliding", False)
        ),
        default=None,
    )


def cache_argument(takes) -> str | None:
    """How the forward function with these parameters calls its cache."""
    return next((name for name in ("past_key_values", "cache_params") if name in takes), None)


@lru_cache
def cache_argument_of(model_class: type) -> str:
    """How the forward function of a model's class calls its cache."""
    return cache_argument(inspect.signature(model_class.forward).parameters) or "past_key_values"
