"""How Every Eval Ever names a model: its id, who made it, and how it ran."""

import re
from importlib import metadata
from pathlib import Path

from lib.config.specs import LADDERS, Model

# first part of a bundled model's name -> who made it; the weights are quantized copies
_DEVELOPERS = {"SmolLM2": "HuggingFaceTB", "Gemma": "google", "Qwen2.5": "Qwen"}
_OWN = "expression-leakage"  # mock models and the ladders
_UNKNOWN = "unknown"
_UNSAFE = re.compile(r'[<>:"\\|?*\x00-\x1f/]')


def info(spec: Model) -> dict:
    """The part model_info of a record; no path of this machine stands in it."""
    developer, name, availability = _identity(spec)
    details = {
        "deployment_type": _UNKNOWN if spec.server or spec.table else "self_deployed",
        "model_availability": availability,
        "family": spec.family,
        "tuning": spec.tuning,
        "mode": spec.mode,
    }
    if not (spec.server or spec.table or spec.id.startswith("mock:")):
        details |= {"dtype": spec.dtype, "revision": spec.revision}
        details |= {"quantization": spec.quantization} if spec.quantization else {}
        details |= {"gguf_file": spec.gguf_file} if spec.gguf_file else {}
    if spec.id.partition(":")[0] in ("bundled", "mock", *LADDERS):
        details["weights"] = spec.id
    described: dict = {"name": spec.name, "id": f"{developer}/{name}", "developer": developer}
    if details["deployment_type"] == "self_deployed" and not spec.id.startswith("mock:"):
        described["inference_engine"] = {"name": "transformers", "version": metadata.version("transformers")}
    return described | {"additional_details": details}


def folder(model_id: str) -> tuple[str, str]:
    """The folders of developer and model in the datastore, for an id of `info`."""
    developer, _, name = model_id.partition("/")
    return developer, name.replace("/", "_")


def _identity(spec: Model) -> tuple[str, str, str]:
    """Developer, name, and whether the weights are open_weights, closed_weights or unknown."""
    kind, _, name = spec.id.partition(":")
    if kind == "bundled":
        known = next((who for start, who in _DEVELOPERS.items() if name.startswith(start)), _UNKNOWN)
        return known, _safe(name), "open_weights"
    if kind in ("mock", *LADDERS):
        return _OWN, _safe(spec.id), _UNKNOWN
    is_folder = Path(spec.id).is_absolute() or Path(spec.id).is_dir()
    if is_folder or "/" not in spec.id:
        return _UNKNOWN, _safe(Path(spec.id).name or spec.name), _UNKNOWN
    owner, _, rest = spec.id.partition("/")
    return _safe(owner), _safe(rest), _UNKNOWN if spec.server or spec.table else "open_weights"


def _safe(part: str) -> str:
    """A part of an id that is a folder's name everywhere."""
    cleaned = _UNSAFE.sub("_", part).rstrip(". ") or _UNKNOWN
    return f"{cleaned}_" if cleaned in (".", "..", "data") else cleaned
