"""Adapters of low rank (LoRA) in folders as peft writes them: checked, put into a model in place, taken out.

Only weights in safetensors are read. A folder that `lib.interventions.consistency` wrote holds KEY as well.
"""

import copy
import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from lib.config.specs import ParameterError
from lib.models.huggingface import HuggingFaceModel
from lib.runtime import progress
from lib.runtime.errors import ResourceError
from lib.storage import caching, records

KEY = "consistency.json"
CONFIG, WEIGHTS, _PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
# settings of peft that change more of a model than can be taken out of it again, and their harmless values
_LEAVES_TRACES: dict[str, tuple] = {
    "bias": ("none",),
    "modules_to_save": (None, []),
    "trainable_token_indices": (None, [], {}),
    "layer_replication": (None, []),
    "init_lora_weights": (True, False, "gaussian", "orthogonal"),
}


def is_free(folder: Path) -> bool:
    """Whether a trained adapter can be written for the first time to this folder.

    Raises:
        ParameterError: If something else stands there.
    """
    if folder.exists() and not (folder / KEY).is_file():
        raise ParameterError(
            f"adapter folder {folder}: holds something else ({KEY} is missing); name another folder"
        )
    return not folder.exists()


def facts(folder: Path) -> dict:
    """Return how the adapter of a folder was trained; empty for one that was not trained here."""
    return json.loads((folder / KEY).read_text(encoding="utf-8")) if (folder / KEY).is_file() else {}


def identity(folder: Path) -> dict[str, str]:
    """Return what the answers with an adapter depend on: hashes of its files."""
    return {name: caching.sha256(folder / name) for name in (CONFIG, WEIGHTS)}


def check(model: HuggingFaceModel, folder: Path):
    """Check that an adapter belongs to a model; no weights load.

    Returns:
        Its peft LoraConfig.

    Raises:
        ParameterError: If it does not, or cannot be read.
    """
    config = _config(folder)
    trained = facts(folder)
    if trained and json.loads(trained["model"])["weights"] != model.files.identity:
        raise ParameterError(
            f"adapter {folder}: trained on {trained['base']!r}, whose weights are not those of model "
            f"{model.spec.name} ({model.spec.id!r}); train an adapter on this model, or name the other one"
        )
    base, config.base_model_name_or_path = config.base_model_name_or_path, None
    _check_shapes(model, folder, config, base)
    if not trained and base and base != model.spec.id:
        progress.message(
            f"adapter {folder}: it names {base!r} as its model; its shapes fit those of {model.spec.id!r}, "
            "so it is used"
        )
    return config


def _config(folder: Path):
    from peft import LoraConfig

    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            pickled = name == WEIGHTS and (folder / _PICKLED).exists()
            remedy = (
                f"it holds {_PICKLED}, which can run code when it is read: save the adapter again with "
                "safe_serialization=True"
                if pickled
                else "name a folder as peft's save_pretrained writes it"
            )
            raise ParameterError(f"adapter {folder}: {name} is missing; {remedy}")
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if values["peft_type"] != "LORA":
            raise ParameterError(
                f"adapter {folder}: peft_type {values['peft_type']!r} is not supported; name a LoRA adapter"
            )
        config = LoraConfig.from_pretrained(str(folder))
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(
            f"adapter {folder}: {CONFIG} cannot be read ({error!r}); save the adapter again"
        ) from None
    for name, harmless in _LEAVES_TRACES.items():
        if (value := getattr(config, name)) not in harmless:
            raise ParameterError(
                f"adapter {folder}: {name} {value!r} changes weights of the model itself; merge the adapter "
                "into a copy of the model (peft's merge_and_unload) and name that as a model"
            )
    return config


def _check_shapes(model: HuggingFaceModel, folder: Path, config, base: str | None) -> None:
    """ParameterError if the adapter's tensors are not those that its configuration gives this model."""
    from safetensors import safe_open

    try:
        with safe_open(folder / WEIGHTS, "pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        with _without_weights(model, config) as empty:
            problem = _mismatch(empty, {name: torch.empty(shape) for name, shape in shapes.items()})
    except Exception as error:  # peft and safetensors raise any
        problem = _in_short(error)
    if problem:
        raise ParameterError(
            f"adapter {folder} (of {base or 'an unnamed model'!r}) does not fit model {model.spec.name} "
            f"({model.spec.id!r}): {problem}; name an adapter that was trained on this model"
        )


def check_targets(model: HuggingFaceModel, config) -> None:
    """Check that a model can be given an adapter with this LoraConfig; no weights load.

    Raises:
        ParameterError: If peft cannot adapt its layers.
    """
    try:
        with _without_weights(model, config):
            pass
    except Exception as error:  # peft raises any
        raise ParameterError(
            f"model {model.spec.name}: {model.spec.id!r} cannot be given an adapter with the targets "
            f"{config.target_modules!r}: {_in_short(error)}; name linear layers that it has in `targets`"
        ) from None


@contextmanager
def _without_weights(model: HuggingFaceModel, config) -> Iterator:
    """The architecture of a model with an adapter, on torch's device of tensors without content."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        weights = AutoModelForCausalLM.from_config(model.config)
        with injected(weights, copy.deepcopy(config)) as student:  # peft writes into it
            yield student


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _mismatch(student, tensors: dict[str, torch.Tensor]) -> str:
    """What `tensors` lack or have too many as weights of an adapter; empty if nothing."""
    from peft import set_peft_model_state_dict

    absent, unexpected = set_peft_model_state_dict(student, tensors)  # type: ignore[attr-defined]  # a pair of lists
    missing = [name for name in absent if "lora_" in name]  # of the others it loads none
    if not missing and not unexpected:
        return ""
    return (
        f"{len(missing)} weights are missing and {len(unexpected)} unexpected, such as "
        f"{[*missing, *unexpected][0]}"
    )


@contextmanager
def injected(weights, config, seed: int = 0) -> Iterator:
    """Put a new adapter into the linear layers of a model in place, and take it out at the end.

    Args:
        weights: A model of transformers.
        config: A LoraConfig.
        seed: Seed of the adapter's first weights; no other random draw depends on it.

    Yields:
        The PeftModel around `weights`, which stay an object of their class.
    """
    from peft import get_peft_model

    trainable = {name for name, weight in weights.named_parameters() if weight.requires_grad}
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name of older versions
        torch.manual_seed(seed)
        student = get_peft_model(weights, config).eval()
    try:
        yield student
    finally:
        student.unload()
        for name, weight in weights.named_parameters():
            weight.requires_grad_(name in trainable)


def load(student, folder: Path) -> None:
    """Load the weights of a folder into an adapter that was injected with its configuration."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(student, load_file(folder / WEIGHTS))


def weights_of(student) -> dict[str, torch.Tensor]:
    """Return a copy of an adapter's weights, by the names that peft stores."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(student, save_embedding_layers=False)
    return {name: weight.detach().cpu().clone() for name, weight in state.items()}


@contextmanager
def written(folder: Path, config, base: str, weights: dict[str, torch.Tensor], key: dict) -> Iterator[Path]:
    """Write an adapter as a whole folder, in place of an older one; the block adds files of its own.

    Args:
        folder: The folder.
        config: Its LoraConfig.
        base: The id of its model.
        weights: The table of `weights_of`.
        key: What `facts` returns of it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    config.base_model_name_or_path = base
    with records.explained(folder), caching.whole(folder) as tmp_path:
        tmp_path.mkdir()
        config.save_pretrained(tmp_path)
        try:
            save_file(weights, tmp_path / WEIGHTS, {"format": "pt"})
        except SafetensorError as error:  # a full disk, among others
            raise ResourceError(str(error)) from None
        (tmp_path / KEY).write_text(json.dumps(key, indent=1), encoding="utf-8")
        yield tmp_path
        if folder.exists():
            shutil.rmtree(folder)
