"""The parts of an architecture that interventions work on: its layers, and what joins their heads."""

from contextlib import contextmanager

from lib.config.specs import ParameterError

_LAYERS = ("model.layers", "transformer.h", "gpt_neox.layers", "model.decoder.layers")
_JOINS = ("self_attn.o_proj", "attn.c_proj", "attention.dense", "self_attn.out_proj", "self_attn.dense")


def layers(model) -> list:
    """The layers of a causal language model (the module), from the first to the last.

    Raises:
        ParameterError: If its architecture is not one whose layers are known here.
    """
    found = next((_at(model, path) for path in _LAYERS if _at(model, path) is not None), None)
    if found is None:
        raise ParameterError(_unknown(model, "layers", _LAYERS))
    return list(found)


def joins(model) -> list:
    """The linear map of each layer that joins the outputs of its attention heads.

    Raises:
        ParameterError: If its architecture is not one whose attention is known here.
    """
    found = [
        next((_at(layer, path) for path in _JOINS if _at(layer, path) is not None), None)
        for layer in layers(model)
    ]
    if None in found:
        raise ParameterError(_unknown(model, "attention heads", _JOINS))
    return found


def head_width(model) -> int:
    """Number of values that each attention head gives."""
    config = model.config.get_text_config()
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


@contextmanager
def hooked(handles: list):
    """Remove the hooks at the end."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _at(module, path: str):
    for name in path.split("."):
        module = getattr(module, name, None)
    return module


def _unknown(model, what: str, known: tuple[str, ...]) -> str:
    return (
        f"the {what} of {type(model).__name__} are not found (looked for {', '.join(known)}); take "
        "interventions of the kinds ablate and heads_off out, or name another model"
    )
