"""Models that the lab offers, and the judge that it shows."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from lib.config.params import ParameterSet
from lib.config.specs import BUNDLED_MODELS, Judge, Model, VaderJudge
from lib.judging import mpnet
from lib.models import bundled

VADER = VaderJudge(name="vader")


class Choice(NamedTuple):
    """A model in the menu: its heading (group), its label, and its spec."""

    group: str
    label: str
    spec: Model


def models(set_name: str, parameters: ParameterSet) -> dict[str, Choice]:
    """List the models of the parameter set, those that ship with the project, and those in the hub cache.

    Returns:
        The models by key, `<group>/<label>`.
    """
    of_set = [Choice(f"parameter set {set_name}", spec.name, spec) for spec in parameters.models]
    shipped = [
        Choice(
            "mock, no conclusion" if model_id.startswith("mock:") else "bundled",
            model_id,
            _model(model_id, model_id),
        )
        for model_id in BUNDLED_MODELS
        if _is_at_hand(model_id)
    ]
    cached = [
        Choice("hub cache", name, _model(name, str(folder))) for name, folder in cached_folders().items()
    ]
    return {f"{choice.group}/{choice.label}": choice for choice in (*of_set, *shipped, *cached)}


def _is_at_hand(model_id: str) -> bool:
    """Return whether a bundled model is available within seconds.

    Left out are models that must still be fetched from many packages, the ladders, which are trained on first
    use, and mock models that differ only in how much they leak.
    """
    return (model_id.startswith("bundled:") and bundled.is_cached(model_id)) or model_id == "mock:leak-50"


def _model(name: str, model_id: str) -> Model:
    safe_name = re.sub(r"[^A-Za-z0-9._-]+", "--", name).strip("-")
    is_tuned = re.search(r"instruct|chat|-it\b", name, re.IGNORECASE)
    return Model(
        name=safe_name,
        id=model_id,
        family=safe_name,
        tuning="instruct" if is_tuned else "base",
        mode="completion",
    )


def cached_folders(cache: Path | None = None) -> dict[str, Path]:
    """Find the causal language models in the local Hugging Face hub cache.

    Args:
        cache: Folder of the cache; None takes the default.

    Returns:
        The folder of the newest snapshot by hub id; empty if there is no cache.
    """
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir(cache).repos
    except CacheNotFound:
        return {}
    newest = {
        repo.repo_id: max(repo.revisions, key=lambda revision: revision.last_modified).snapshot_path
        for repo in repos
        if repo.repo_type == "model" and repo.revisions
    }
    return {name: newest[name] for name in sorted(newest) if _generates_text(newest[name])}


def _generates_text(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    architectures = config.get("architectures") if isinstance(config, dict) else None
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    return bool(weights) and any(
        str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in architectures or []
    )


def judge(wanted: Judge) -> tuple[Judge, str]:
    """Choose the judge that the lab shows.

    A judge that takes minutes or costs money is not asked at every change.

    Returns:
        The judge, and a note if it is not the judge of the parameter set (else "").
    """
    if wanted.kind == "learned" and not mpnet.is_fetched():
        return VADER, "the encoder of judge learned is not fetched yet; notebook 03 fetches it"
    if wanted.kind == "llm":
        return (
            VADER,
            f"the judge {wanted.name} of the set is a language model, which is not asked at every change",
        )
    return wanted, ""
