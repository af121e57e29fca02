"""Files of a model: what cannot be loaded and why, which files make its fingerprint."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from lib.config import specs
from lib.models import bundled, checkpoints, huggingface, registry
from tests.conftest import generation


def load(folder, **changes):
    return registry.load(generation(model={"id": str(folder)} | changes).model)


@pytest.fixture
def copied(tiny, tmp_path):
    return shutil.copytree(tiny, tmp_path / "copy")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    """A folder with the bundled model's GGUF file and damaged ones, by what is wrong with them."""
    folder = tmp_path_factory.mktemp("gguf")
    bundled.gguf(folder).rename(folder / "whole.gguf")
    data = (folder / "whole.gguf").read_bytes()
    place = data.index(b"llama", data.index(b"general.architecture"))
    files = {
        "foreign": data[:place] + b"zzzzz" + data[place + 5 :],
        "head": data[:5000],
        "half": data[: len(data) // 2],
        "page": b"<!DOCTYPE html>" * 9,
        "empty": b"",
    }
    for name, content in files.items():
        (folder / f"{name}.gguf").write_bytes(content)
    return folder


@pytest.mark.parametrize("name", ["head", "half", "page", "empty"])
def test_a_damaged_gguf_file_is_called_so(gguf, name):
    with pytest.raises(specs.ParameterError, match=f"gguf_file '{name}.gguf', cannot be loaded") as caught:
        load(gguf, gguf_file=f"{name}.gguf")
    assert "the file is damaged, cut short, or no GGUF; fetch it again" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_a_gguf_of_an_architecture_that_is_not_read_names_it(gguf):
    with pytest.raises(specs.ParameterError, match="architecture zzzzz is not supported") as caught:
        load(gguf, gguf_file="foreign.gguf")
    assert (
        "safetensors" in str(caught.value)
        and "llama.cpp" in str(caught.value)
        and "spelling" not in str(caught.value)
    )


def test_a_gguf_file_that_is_not_there_names_those_that_are(gguf, tiny):
    with pytest.raises(
        specs.ParameterError, match=r"'whol.gguf': no such file .*half.gguf.*; did you mean 'whole.gguf'"
    ):
        load(gguf, gguf_file="whol.gguf")
    with pytest.raises(specs.ParameterError, match="which holds no GGUF file; take gguf_file out"):
        load(tiny, gguf_file="whole.gguf")


def test_a_folder_of_gguf_files_needs_one_named(gguf):
    with pytest.raises(
        specs.ParameterError, match=r"holds only GGUF files; set gguf_file to one of empty.gguf, .*whole.gguf"
    ):
        load(gguf)


def test_of_several_gguf_files_only_the_one_that_is_used_counts(gguf):
    before = checkpoints.identity(str(gguf), "main", "whole.gguf")
    assert list(before) == ["whole.gguf"]
    assert before != checkpoints.identity(str(gguf), "main", "half.gguf")
    (gguf / "half.gguf").write_bytes(b"other")
    assert checkpoints.identity(str(gguf), "main", "whole.gguf") == before


UNREAD = [
    "README.md",
    ".gitattributes",
    "optimizer.pt",
    "training_args.bin",
    "trainer_state.json",
    "x.gguf",
    "LICENSE",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.fp16.safetensors",
]


@pytest.mark.parametrize("name", UNREAD)
def test_files_that_are_not_read_do_not_count(copied, name):
    before = load(copied).fingerprint
    (copied / name).write_text("{}")
    assert load(copied).fingerprint == before


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "model.safetensors",
        "vocab.txt",
        "generation_config.json",
        "adapter_model.safetensors",
    ],
)
def test_files_that_are_read_count(copied, name):
    before = checkpoints.identity(str(copied), "main")
    (copied / name).write_bytes(((copied / name).read_bytes() if (copied / name).exists() else b"") + b" ")
    assert checkpoints.identity(str(copied), "main") != before


def test_shards_count_as_their_list_names_them(copied):
    (copied / "model.safetensors").rename(copied / "model-1.safetensors")
    (copied / "model-9.safetensors").write_text("of another number format")
    (copied / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-1.safetensors"}})
    )
    names = set(checkpoints.identity(str(copied), "main"))
    assert {
        "model-1.safetensors",
        "model.safetensors.index.json",
    } < names and "model-9.safetensors" not in names


@pytest.mark.parametrize(
    ("config", "reason", "remedy"),
    [
        (
            {"model_type": "zzz"},
            "model type `zzz` but Transformers does not recognize",
            "does not know this architecture; name",
        ),
        (
            {"model_type": "zzz", "auto_map": {"AutoConfig": "configuration_zzz.Z"}},
            "custom code",
            "code of its own, which is not run",
        ),
        ({}, "Unrecognized model", "the folder holds no whole model"),
    ],
)
def test_a_configuration_that_transformers_does_not_know(copied, config, reason, remedy):
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(specs.ParameterError) as caught:
        load(copied)
    assert reason in str(caught.value) and remedy in str(caught.value) and "spelling" not in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_damaged_file_of_a_folder_is_no_matter_of_spelling(copied, name):
    (copied / name).write_text("{")
    with pytest.raises(specs.ParameterError, match=r"or one of its files is damaged; fetch it again"):
        load(copied)


@pytest.mark.parametrize("config", [{"model_type": "llama"}, {"model_type": "gemma"}, {"model_type": "gpt2"}])
def test_a_folder_without_a_tokenizer(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        specs.ParameterError, match=r"add the files of its tokenizer|holds no whole model \(config, tokenizer"
    ):
        load(tmp_path)


def test_weights_cut_short_or_missing_are_told(copied, monkeypatch):
    from safetensors.torch import load_file, save_file

    path = copied / "model.safetensors"
    weights = load_file(path)
    save_file(
        {name: weight for name, weight in weights.items() if "layers.1.mlp" not in name},
        path,
        {"format": "pt"},
    )
    with pytest.raises(
        specs.ParameterError,
        match=r"lack 3 of its weights \(model.layers.1.mlp.down_proj.weight, .*at random",
    ):
        _ = load(copied).weights
    path.write_bytes(path.read_bytes()[: 10**5])
    with pytest.raises(
        specs.ParameterError, match=r"cannot be loaded \(SafetensorError: .*\n.*damaged; fetch it again"
    ):
        _ = load(copied).weights


def test_out_of_memory_is_not_taken_for_a_damaged_file(copied, monkeypatch):
    import torch
    import transformers

    def full(*_, **__):
        raise torch.OutOfMemoryError

    model = load(copied)
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", full)
    monkeypatch.setattr(huggingface, "free_bytes", lambda: 10**12)
    with pytest.raises(torch.OutOfMemoryError):
        _ = model.weights


COMMITS = ("a" * 40, "b" * 40)
ASK = (
    "import sys; from lib.config import params; from lib.models import registry; from tests.conftest import "
    "generation; "
    "print(*[registry.load(generation(model={'id': 'owner/name', 'revision': r}).model).fingerprint for r in "
    "sys.argv[1:]], sep='\\n')"
)


def test_a_model_of_the_hub_is_told_by_its_commit(tiny, tmp_path):
    repository = tmp_path / "models--owner--name"
    for name, commit in zip(("main", "v2"), COMMITS, strict=True):
        shutil.copytree(tiny, repository / "snapshots" / commit)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / name).write_text(commit)
    offline = os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    asked = [sys.executable, "-c", ASK, "main", "v2", COMMITS[1]]
    done = subprocess.run(asked, env=offline, text=True, capture_output=True, check=True)
    assert [json.loads(line)["weights"] for line in done.stdout.splitlines()] == [
        COMMITS[0],
        COMMITS[1],
        COMMITS[1],
    ]


class Malicious:
    """Pickled, it writes a file when it is read."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return pathlib.Path.touch, (self.trace,)


def test_pickled_weights_are_not_read_unless_the_set_says_so(copied, tmp_path):
    import torch
    from safetensors.torch import load_file

    weights = load_file(copied / "model.safetensors")
    (copied / "model.safetensors").unlink()
    torch.save(weights, copied / "pytorch_model.bin")
    with pytest.raises(
        specs.ParameterError, match=r"no file named model\.safetensors.*\n.*pickled_weights: true"
    ):
        _ = load(copied).weights
    assert load(copied, pickled_weights=True).weights.num_parameters() > 0
    trace = tmp_path / "read"
    torch.save(weights | {"x": Malicious(trace)}, copied / "pytorch_model.bin")
    for allowed in (False, True):  # what can run code is refused by torch itself
        with pytest.raises(specs.ParameterError, match="cannot be loaded"):
            _ = load(copied, pickled_weights=allowed).weights
    assert not trace.exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_is_never_run(copied, tmp_path, name):
    trace = tmp_path / "run"
    (copied / "code.py").write_text(f"import pathlib\npathlib.Path({str(trace)!r}).touch()\n")
    values = json.loads((copied / name).read_text())
    classes = ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoTokenizer")
    values |= {"auto_map": dict.fromkeys(classes, "code.Own"), "model_type": "own", "tokenizer_class": "Own"}
    (copied / name).write_text(json.dumps(values))
    try:
        _ = load(copied).weights
    except specs.ParameterError as error:
        assert "cannot be loaded" in str(error)
    assert not trace.exists()
