"""From what a parameter set says of an intervention to the intervention itself."""

import importlib
from pathlib import Path

from lib.config import interventions as config
from lib.config.specs import ROOT, ParameterError
from lib.interventions import adapters, modules, training
from lib.interventions.ask_first import AskedFirst
from lib.interventions.base import Intervention
from lib.interventions.contrast import Contrast
from lib.interventions.found import Found
from lib.interventions.steering import HeadsOff
from lib.models.huggingface import HuggingFaceModel


def make(specs: dict, found: Found) -> dict[str, Intervention]:
    """Make the interventions of a model; those that are trained are trained here.

    Args:
        specs: By name, as in the parameter set.
        found: The model on the half that interventions are found on.

    Raises:
        ParameterError: If one of them does not fit the model.
    """
    return {name: _make(name, spec, found) for name, spec in specs.items()}


def check(specs: dict, model: HuggingFaceModel) -> None:
    """Check what can be checked of interventions before weights load.

    Args:
        specs: By name, as in the parameter set.
        model: The backend.

    Raises:
        ParameterError: If an adapter is not there or of another model, a function is not found, or the
            architecture has no parts that are known here.
    """
    for name, spec in specs.items():
        match spec:
            case config.Adapter():
                adapters.check(model, _folder(name, spec.path))
            case config.Own():
                _function(name, spec)
            case config.Ablate() | config.HeadsOff():
                modules.joins(model.empty)


def _make(name: str, spec, found: Found) -> Intervention:
    match spec:
        case config.AskFirst():
            return AskedFirst(spec, found.parameters, found.folder / "first_replies.jsonl")
        case config.Contrast():
            return Contrast(spec.strength)
        case config.Ablate():
            every = list(range(1, len(found.directions)))
            layers = every if spec.layers == "all" else [found.best_layer(spec.strength)]
            return found.ablation(layers, spec.strength)
        case config.HeadsOff():
            if spec.count >= len(found.heads):
                raise ParameterError(
                    f"interventions.{name}: count {spec.count}, but {found.model.spec.name} has "
                    f"{len(found.heads)} heads; give fewer"
                )
            first = found.heads.head(spec.count)
            heads = [
                (int(layer), int(head)) for layer, head in zip(first["layer"], first["head"], strict=True)
            ]
            return HeadsOff(f"heads-off-1 {heads}", heads)
        case config.Consistency():
            return training.trained(name, spec, found)
        case config.Adapter():
            return training.Adapted(found.model, _folder(name, spec.path))
        case config.Own():
            return _own(name, spec, found)
    raise ParameterError(f"interventions.{name}: kind {spec.kind!r} is not known here")


def _folder(name: str, path: str) -> Path:
    folder = ROOT / path
    if not (folder / "adapter_config.json").is_file():
        raise ParameterError(
            f"interventions.{name}: path {path!r}: no adapter there (no file adapter_config.json); give the "
            "folder that peft's save_pretrained wrote"
        )
    return folder


def _function(name: str, spec: config.Own):
    module, _, function = spec.function.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ParameterError(
            f"interventions.{name}: function {spec.function!r} is not found ({error}); give "
            "package.module:function, importable from the project's folder"
        ) from None


def _own(name: str, spec: config.Own, found: Found) -> Intervention:
    try:
        made = _function(name, spec)(found.model, found, **spec.options)
    except TypeError as error:
        raise ParameterError(
            f"interventions.{name}: {spec.function} cannot be called with (model, found) and "
            f"{spec.options} ({error})"
        ) from error
    if not isinstance(made, Intervention):
        raise ParameterError(
            f"interventions.{name}: {spec.function} gives a {type(made).__name__}, not a "
            "lib.interventions.base.Intervention; return one"
        )
    return made
