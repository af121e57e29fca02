"""The key of an API is sent to the server, and stays nowhere else: in no file, process or output."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
import yaml

from tests.stand_in import KEY


@pytest.fixture
def project(smoke, tmp_path, stand_in) -> Path:
    """The smoke set's project, in which a server's model is a second one."""
    folder = tmp_path / "project"
    shutil.copytree(smoke.parents[1], folder, ignore=shutil.ignore_patterns("judgements", "claims", "shards"))
    values = yaml.safe_load((folder / "params" / "smoke.yaml").read_text())
    values["models"] = [
        {
            "name": "served",
            "id": "stand-in-7b",
            "family": "f",
            "tuning": "instruct",
            "mode": "chat",
            "server": {"url": f"http://127.0.0.1:{stand_in.port}/v1", "api_key_env": "A_KEY"},
        }
    ]
    (folder / "params" / "smoke.yaml").write_text(yaml.safe_dump(values))
    return folder


def called(folder: Path, cache: Path, *arguments: str) -> tuple[int, str, set[str]]:
    """Exit code, output, and the command lines of all processes meanwhile."""
    given = {"PYTHONPATH": str(folder), "EXPRESSION_LEAKAGE_CACHE": str(cache), "A_KEY": KEY}
    lines, done = set(), threading.Event()
    process = subprocess.Popen(
        [sys.executable, "-m", "lib.cli.batch", *arguments],
        cwd=folder,
        env=os.environ | given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def watch() -> None:
        while not done.wait(0.05):
            for each in psutil.process_iter():
                try:
                    lines.add(" ".join(each.cmdline()))
                except psutil.Error:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = process.communicate(timeout=500)[0]
    done.set()
    watcher.join()
    return process.returncode, output, lines


def files_with_the_key(*folders: Path) -> list[Path]:
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in paths if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("refuses", [False, True], ids=["sound", "the server refuses it"])
def test_the_key_is_found_nowhere_after_a_run(project, stand_in, tmp_path, refuses):
    from lib.storage import caching

    stand_in.keys = [KEY]
    cache = tmp_path / "cache"
    cache.mkdir()
    for path in caching.cache_folder().iterdir():
        if not path.name.startswith(("verdicts-", "times-")) and path.suffix != ".lock":
            (cache / path.name).symlink_to(path)
    code, output, _ = called(project, cache, "prepare", "smoke")
    assert code == 0, output
    if refuses:  # and says it in its answer
        stand_in.troubles = [None] * 3 + [lambda handler: (stand_in.keys.clear(), handler.refused())]
    values = _values(project)
    page = project / "outputs" / "smoke" / "executed" / "02_generation.served.ipynb"
    code, more, lines = called(project, cache, "notebook", "02_generation", str(values), str(page))
    assert code == int(refuses), more
    assert {key for _, key, _ in stand_in.seen} == {f"Bearer {KEY}"}, "it was sent"
    assert any("ipykernel_launcher" in line for line in lines), "the notebook's process was seen"
    assert KEY not in output + more
    assert not [line for line in lines if KEY in line]
    journal = project / "outputs" / "smoke" / "completions" / "served.jsonl"
    assert refuses or journal.stat().st_size
    own = [path for path in cache.iterdir() if not path.is_symlink()]
    assert files_with_the_key(project, *filter(Path.is_dir, own)) == []
    assert not [path for path in own if path.is_file() and KEY.encode() in path.read_bytes()]


def _values(project: Path) -> Path:
    """The values of notebook 02, as the batch writes them."""
    code = (
        "import yaml; from lib.config import params; "
        "print(yaml.safe_dump(params.cell_values(params.load('smoke'), 'smoke', '02_generation', 'served')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=True,
    )
    path = project / "served.yaml"
    path.write_text(done.stdout)
    return path
