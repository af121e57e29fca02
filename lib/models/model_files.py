"""The files of a model that runs locally: bundled, trained by this project, a folder or a hub id.

A GGUF file is converted once.
"""

from functools import cached_property, partial
from pathlib import Path

from lib.config.specs import LADDERS, Model
from lib.models import bundled, checkpoints, converted


class ModelFiles:
    """The files of a model, and loading from them.

    Raises:
        ParameterError: If they cannot be loaded; the message names the model.
    """

    def __init__(self, spec: Model):
        self.spec, self._who = spec, f"model {spec.name}"
        self.artifact = bundled.artifact(spec.id)
        self.source = "" if self.artifact else _source(spec.id)  # an artifact is found by `_gguf`

    @property
    def weights_to_fetch(self) -> int:
        """Number of weights of a bundled model that is not in the cache yet; 0 for other models."""
        return self.artifact.weights if self.artifact and not bundled.is_cached(self.spec.id) else 0

    @cached_property
    def identity(self) -> dict[str, str] | str:
        """What identifies the content of the model: hashes of files, or the commit of the hub."""
        return self._gguf.content if self._gguf else checkpoints.identity(self.source, self.spec.revision)

    def describe(self, loader: str, room: int = 0):
        """Load its configuration or tokenizer.

        Args:
            loader: Name of an Auto class of transformers.
            room: Number of bytes that the weights of a file will take, if it has to be fetched.
        """
        if self._gguf:
            return self._load(loader, str(converted.described(self._gguf, self._load, room)))
        return self._load(loader, self.source, **self._revision)

    def weights(self, size: int, **options):
        """Load its weights, which take `size` bytes, with `options` of from_pretrained."""
        load = partial(self._load, load=partial(checkpoints.trained, pickled=self.spec.pickled_weights))
        source, file_options = self.source, self._revision
        if self._gguf:
            folder = converted.weights(self._gguf, self.spec.dtype, size, load)
            source, file_options = (str(folder), {}) if folder else self._gguf.locate(0)
        return load("AutoModelForCausalLM", source, **file_options, **options)

    @cached_property
    def _gguf(self) -> converted.Gguf | None:
        spec = self.spec
        if self.artifact:
            return converted.of_artifact(self.artifact)
        if not spec.gguf_file:
            return None
        content = checkpoints.gguf_identity(self._who, spec.id, self.source, spec.revision, spec.gguf_file)
        return converted.of_file(self.source, {"gguf_file": spec.gguf_file, **self._revision}, content)

    @property
    def _revision(self) -> dict[str, str]:
        return {"revision": self.spec.revision} if self.source and not Path(self.source).is_dir() else {}

    def _load(self, loader: str, source: str, load=checkpoints.load, **options):
        return load(loader, self._who, self.spec.id, source, **options)


def _source(model_id: str) -> str:
    """The folder or hub id of a model; the bundled one is fetched and a ladder trained on first use."""
    if model_id.startswith("bundled:"):
        return str(bundled.folder())
    family, _, size = model_id.partition(":")
    if family in LADDERS:
        from lib.models import ladder

        return str(ladder.folder(family, size))
    return model_id
