"""Memory that decoding takes beside the weights, estimated from the configuration of a model."""

from lib.config.sections import Generation
from lib.models import huggingface, prefill

# what decoding may take where the parameters say nothing: a share of the free memory and, on a processor,
# no more than the weights or this many bytes, because more rows are hardly faster
_FREE_SHARE = 0.7
_ENOUGH = 1.5e9
# of a worker on a processor, whatever it does: buffers of the libraries, holes in the heap; measured
_WORKER_BYTES = 230e6
_COPIES_OF_LOGITS = 3  # of a row: as they are, divided by the temperature, and with noise


def rows_that_fit(model, tokens: int, workers: int, parameters: Generation) -> int:
    """Return how many rows the memory allows, of all workers together; at least one.

    Args:
        model: The backend.
        tokens: Tokens of the longest row, prompt and completion.
        workers: Number of workers.
        parameters: The generation section of the parameter set.
    """
    available = working_bytes(model, parameters) - workers * prefill_bytes(model, tokens)
    return max(1, int(available / row_bytes(model, tokens)))


def decoding_bytes(model, tokens: int, rows: int, workers: int) -> int:
    """Return the bytes that decoding takes; the arguments are those of `rows_that_fit`."""
    return rows * row_bytes(model, tokens) + workers * prefill_bytes(model, tokens)


def row_bytes(model, tokens: int) -> int:
    """Return the bytes of one row: its keys and values, and its logits.

    An architecture without attention is estimated as if it had attention: its state is smaller than the cache
    of a typical prompt.

    Args:
        model: The backend.
        tokens: Tokens of the row, prompt and completion.
    """
    config = model.config.get_text_config()
    return _cache_bytes(model, tokens) + _COPIES_OF_LOGITS * 4 * _value(
        config, "vocab_size", or_=len(model.tokenizer)
    )


def prefill_bytes(model, tokens: int) -> int:
    """Return the bytes that one worker takes to read prompts: a layer's activations, keys and values.

    On a processor what a worker takes in any case is added; it was measured.
    """
    config = model.config.get_text_config()
    hidden = _value(config, "hidden_size", or_=1024)
    inner = _value(config, "intermediate_size", or_=4 * hidden)
    read = prefill.most_tokens(model.weights.device.type) + tokens
    idle = _WORKER_BYTES if model.weights.device.type == "cpu" else 0
    return int(idle + (8 * hidden + 3 * inner) * read * _width(model) + _cache_bytes(model, read))


def working_bytes(model, parameters: Generation) -> float:
    """Return the bytes that decoding may use in addition to the weights."""
    if parameters.max_working_memory_gb:
        return parameters.max_working_memory_gb * 1e9
    allowed = _FREE_SHARE * huggingface.free_bytes(model.weights.device)
    if model.weights.device.type == "cpu":
        return min(allowed, max(_ENOUGH, model.weights.get_memory_footprint()))
    return allowed


def _cache_bytes(model, tokens: int) -> int:
    config = model.config.get_text_config()
    hidden, layers = _value(config, "hidden_size", or_=1024), _value(config, "num_hidden_layers", or_=24)
    queries = _value(config, "num_attention_heads", or_=1)
    heads = _value(config, "num_key_value_heads", or_=queries)
    # DeepSeek's attention
    latent = _value(config, "qk_nope_head_dim", or_=0) + _value(config, "qk_rope_head_dim", or_=0)
    size = max(_value(config, "head_dim", or_=hidden // queries), latent, _value(config, "v_head_dim", or_=0))
    return 2 * layers * heads * size * tokens * _width(model)


def _width(model) -> int:
    """Bytes of a number."""
    return 4 if model.spec.dtype == "float32" else 2


def _value(config, name: str, or_: int) -> int:
    """Return a number of the configuration, the greatest if set per layer; `or_` where it is missing."""
    value = getattr(config, name, None)
    numbers = [number for number in (value if isinstance(value, list | tuple) else [value]) if number]
    return int(max(numbers, default=or_))
