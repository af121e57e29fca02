"""Files of a model: load them with transformers, explain failures, and identify their content."""

import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lib.config import params, specs
from lib.config.specs import ParameterError
from lib.storage import packages

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_WEIGHT_ENDINGS = {
    ".safetensors",
    ".bin",
    ".gguf",
    ".pt",
    ".pth",
    ".h5",
    ".msgpack",
    ".onnx",
    ".ot",
    ".ckpt",
    ".npz",
}
_NOT_READ = {".md", ".log", ".png", ".jpg", ".gif", ".pdf", ".csv", ".lock"}
_NOT_READ_NAMES = {
    "trainer_state.json",
    "all_results.json",
    "train_results.json",
    "eval_results.json",
    "LICENSE",
    "LICENSE.txt",
    "NOTICE",
    "NOTICE.txt",
    "USE_POLICY.md",
}
_SERVER = "or set `server` to one that runs it, such as llama.cpp or vLLM"


def load(loader: str, who: str, id_: str, source: str, **options):
    """Load a folder or hub id with the Auto class `loader`.

    Code that comes with a model is never run.

    Args:
        loader: Name of an Auto class of transformers.
        who: Who needs the model; error messages begin with it.
        id_: The model's id in the parameter set; error messages name it.
        source: Folder or hub id to load from.
        **options: Options of from_pretrained.

    Raises:
        ParameterError: If it cannot be loaded.
    """
    import transformers

    check_gguf(who, source, options.get("gguf_file"))
    with _named(who, id_, source, options.get("gguf_file")):
        return getattr(transformers, loader).from_pretrained(source, trust_remote_code=False, **options)


@contextmanager
def _named(who: str, id_: str, source: str, gguf_file: str | None) -> Iterator[None]:
    """Convert exceptions of transformers to a ParameterError that names `who` and the remedy."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise ParameterError(
            f"{who}: id {id_!r} needs a package that is missing ({reason}); install it"
        ) from None
    except Exception as error:  # a damaged file can raise any exception of its reader
        reason = (str(error).strip().splitlines() or [""])[0].strip()
        if not isinstance(error, OSError | ValueError):
            reason = f"{type(error).__name__}: {reason}"
        file = f", gguf_file {gguf_file!r}," if gguf_file else ""
        raise ParameterError(
            f"{who}: id {id_!r}{file} cannot be loaded "
            f"({reason})\n{_remedy(str(error), id_, source, bool(file))}"
        ) from None


def trained(loader: str, who: str, id_: str, source: str, pickled: bool = False, **options):
    """Load weights with `load`, and demand that all come from files of safetensors (or a GGUF file).

    Args:
        loader: Name of an Auto class of transformers.
        who: Who needs the model; error messages begin with it.
        id_: The model's id in the parameter set; error messages name it.
        source: Folder or hub id to load from.
        pickled: Whether other files are loaded too, which can run code when they are read.
        **options: Options of from_pretrained.

    Raises:
        ParameterError: If some weights are in no such file, because these would be drawn at random.
    """
    kind = {} if pickled or options.get("gguf_file") else {"use_safetensors": True}
    model, loading_info = load(loader, who, id_, source, output_loading_info=True, **kind, **options)
    if absent := sorted({name for name, _ in model.named_parameters()} & set(loading_info["missing_keys"])):
        raise ParameterError(
            f"{who}: the files of {id_!r} lack {len(absent)} of its weights ({', '.join(absent[:3])}), which "
            "would be drawn at random; fetch it again, or name a model that was trained for this"
        )
    return model


def check_gguf(who: str, source: str, gguf_file: str | None) -> None:
    """Check that a folder contains `gguf_file`, or that none is needed.

    Raises:
        ParameterError: If the folder does not contain `gguf_file`, or if none is given where one is needed.
            The message lists the GGUF files of the folder.
    """
    folder = Path(source)
    if not folder.is_dir() or (gguf_file and (folder / gguf_file).is_file()):
        return
    gguf_files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.gguf"))
    if gguf_file:
        contents = (
            f"{', '.join(gguf_files)}{specs.nearest(gguf_file, gguf_files)}"
            if gguf_files
            else "no GGUF file; take gguf_file out"
        )
        raise ParameterError(
            f"{who}: gguf_file {gguf_file!r}: no such file in {source!r}, which holds {contents}"
        )
    if gguf_files and not (folder / "config.json").is_file():
        raise ParameterError(
            f"{who}: {source!r} holds only GGUF files; set gguf_file to one of {', '.join(gguf_files)}"
        )


def _remedy(error: str, id_: str, source: str, is_gguf: bool) -> str:
    """What to do about an error of transformers."""
    version = importlib.metadata.version("transformers")
    if is_gguf and "is not supported" in error:
        return (
            f"transformers {version} reads no GGUF of this architecture; name a version of the model in "
            f"safetensors, {_SERVER}"
        )
    if is_gguf and "does not appear to have a file" not in error and Path(source).is_dir():
        return (
            "the file is damaged, cut short, or no GGUF; fetch it again, or name a version of the model "
            "in safetensors"
        )
    if "custom code" in error or "trust_remote_code" in error:
        return (
            "it brings code of its own, which is not run here; name a model that transformers "
            f"{version} knows, {_SERVER}"
        )
    if "model.safetensors" in error and ("no file named" in error or "have a file named" in error):
        return (
            "weights in other files are pickled, which can run code when they are read: save the model again "
            "with safe_serialization=True, or set pickled_weights: true if you trust whoever made it"
        )
    if "does not recognize this architecture" in error or "Unrecognized configuration class" in error:
        return (
            f"transformers {version} does not know this architecture; name another model, install a "
            f"newer version, {_SERVER}"
        )
    if Path(source).is_dir():
        return (
            "the folder holds no whole model (config, tokenizer, weights), or one of its files is "
            "damaged; fetch it again"
        )
    return (
        "check the spelling and the network, or give a folder that holds the "
        f"model{specs.nearest(id_, _known_ids())}"
    )


def identity(source: str, revision: str, gguf_file: str | None = None) -> dict[str, str] | str:
    """Identify the content of a model: the hash of each file of its folder that is read, or the hub's commit.

    Only the weights that load are included: the named GGUF file, or otherwise what transformers prefers.
    """
    folder = Path(source)
    if not folder.is_dir():
        return _commit(source, revision, gguf_file or "config.json")
    names = {path.name for path in folder.iterdir() if path.is_file()}
    weights = {gguf_file} if gguf_file else _loaded_weights(folder, names)
    return {
        name: packages.sha256(folder / name)
        for name in sorted({*filter(_is_read, names - set(_WEIGHTS)), *weights})
    }


def gguf_identity(who: str, id_: str, source: str, revision: str, gguf_file: str) -> dict[str, str] | str:
    """`identity` of a GGUF file.

    Raises:
        ParameterError: If there is no such file or the hub does not provide it; the message begins with
            `who`.
    """
    check_gguf(who, source, gguf_file)
    with _named(who, id_, source, gguf_file):
        return identity(source, revision, gguf_file)


def _commit(source: str, revision: str, file: str) -> str:
    """The hub's commit of a model's revision, taken from the path of its file in the hub's cache."""
    from transformers.utils import hub

    commit = hub.extract_commit_hash(hub.cached_file(source, file, revision=revision), None)
    if commit is None:
        raise ParameterError(
            f"id {source!r}: the commit of revision {revision!r} cannot be told, so results could not be "
            "matched to it; set revision to a commit, or give a folder that holds the model"
        )
    return commit


def _loaded_weights(folder: Path, names: set[str]) -> set[str]:
    """The files that hold the weights, with their index; all possible ones if none has a usual name."""
    first = next((name for name in _WEIGHTS if name in names), None)
    if first is None:
        return {name for name in names if Path(name).suffix in _WEIGHT_ENDINGS}
    if not first.endswith(".index.json"):
        return {first}
    return {first, *json.loads((folder / first).read_text())["weight_map"].values()} & names


def _is_read(name: str) -> bool:
    """Whether a file without weights (configuration, tokenizer, template, adapter) may change the answers."""
    if name in _NOT_READ_NAMES or name.startswith("."):
        return False
    return name.startswith("adapter_") or Path(name).suffix.lower() not in _WEIGHT_ENDINGS | _NOT_READ


def _known_ids() -> set[str]:
    """Ids that a misspelt id may have meant: in the parameter sets and in the hub's cache on this machine."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    known = set()
    for name in specs.set_names():
        with suppress(ParameterError):  # in a parameter set other than the one that runs
            known |= {model.id for model in params.load(name).models}
    with suppress(CacheNotFound):
        known |= {repository.repo_id for repository in scan_cache_dir().repos}
    return known
