"""What several tests need: a copy of the project to run whole parameter sets in, a tiny model, parameters
with changes."""

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from lib.config import params, sections, specs
from lib.storage import records

# jsonschema, which nbformat imports, would compile a grammar of internationalised addresses: 2 seconds
sys.modules.setdefault("rfc3987_syntax", None)

ROOT = Path(__file__).resolve().parents[1]
# `make test-fast` runs the tests of these packages that need no run and no model
FAST = ("annotation", "config", "nlp", "replies", "report", "runtime", "site", "stats", "storage", "tests")
NEEDY = {"smoke", "copy", "tiny", "stand_in"}
PRINTED = "printed.txt"  # by the smoke run


def pytest_collection_modifyitems(items) -> None:
    """Mark as slow what `make test-fast` leaves out."""
    for item in items:
        if item.path.parent.name not in FAST or NEEDY & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Take what is imported and collected out of every later garbage collection: it stays to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def copy(tmp_path_factory) -> Path:
    """The code, notebooks and parameter sets in an empty folder, whose name a shell would tear."""
    folder = tmp_path_factory.mktemp("it's a projéct")
    for name in ("lib", "notebooks", "params"):
        # what is compiled too, but for what another worker is just writing
        left_out = shutil.ignore_patterns(".ipynb_checkpoints", "*.pyc.*")
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "outputs" / "embedded").mkdir(parents=True)
    # part of the project
    shutil.copy(ROOT / "outputs" / "embedded" / "card.json", folder / "outputs" / "embedded")
    return folder


def call(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """`python -m lib.cli.batch …` in `folder`, with its output as text."""
    command = [sys.executable, "-m", "lib.cli.batch", *arguments]
    given = {**os.environ, "PYTHONPATH": str(folder), **environment}
    return subprocess.run(
        command, cwd=folder, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id):
    """Makes a folder, given its name and what fills it, once for all workers of the tests."""
    base = tmp_path_factory.getbasetemp()
    parent = base if worker_id == "master" else base.parent

    def made(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = parent / name, parent / f"{name}.done"
        with FileLock(parent / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def smoke(copy, made_once) -> Path:
    """The run folder of a finished smoke run."""

    def run(folder: Path) -> None:
        _run_smoke(copy)
        for name in ("outputs/smoke", ".snakemake"):
            shutil.copytree(copy / name, folder / name)
        shutil.copy(copy / PRINTED, folder)

    shutil.copytree(made_once("smoke", run), copy, dirs_exist_ok=True)
    return copy / "outputs" / "smoke"


def _run_smoke(folder: Path) -> None:
    done = call(folder, "run", "smoke")
    assert done.returncode == 0, done.stdout
    (folder / PRINTED).write_text(done.stdout)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A folder with the bundled model's tokenizer and a Llama of random weights, 0.1M parameters: for what
    needs no sense."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from lib.models import bundled

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(bundled.folder())
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(
        LlamaConfig(vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2, **shape)
    ).save_pretrained(folder)
    return folder


def generation(mode="completion", model=None, **changes) -> sections.Generation:
    """The embedded set's generation parameters, small, with changes; those of the model in `model`."""
    values = params.cell_values(params.load("embedded"), "embedded", "02_generation", f"smollm2-135m-{mode}")
    small = {"samples": 1, "mitigation_samples": 0, "mitigations": {}, "max_new_tokens": 6}
    return params.from_cell(
        "02_generation", values | small | changes | {"model": values["model"] | (model or {})}
    )


@pytest.fixture
def stand_in():
    """A stand-in for a server, listening."""
    from tests.stand_in import StandIn

    made = StandIn()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def few_prompts():
    """A benchmark of two stems."""
    from lib.dataset import curated_prompts

    return curated_prompts.build(seed=1, stems=2, contexts_per_stem=1)


@pytest.fixture
def mock_judge(monkeypatch):
    """Puts a mock model in the place of whatever a judge asks."""
    from lib.judging import llm_judge
    from tests.asked_judge import MockJudge

    def put(say) -> MockJudge:
        made = MockJudge(say)
        monkeypatch.setattr(llm_judge, "backend", lambda _: made)
        return made

    return put


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder of its own, with the parameter sets."""
    monkeypatch.setattr(specs, "ROOT", tmp_path)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    shutil.copytree(ROOT / "params", tmp_path / "params")
    return tmp_path
