"""Shown, not assumed: a run on a real server finishes, each completion made once, though the server is killed
in the middle.

The bundled model is served by `transformers serve`, as it is, and by llama.cpp (package xllamacpp), as the
GGUF file that it was made from; each is asked in both modes, killed with SIGKILL while it works and started
again on the same port. Then a second, undisturbed run shows how many completions the server repeats for the
same seeds. (make verify-server)
"""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from threading import Thread

import pandas as pd

from lib.config import params, sections
from lib.dataset import curated_prompts
from lib.generation import runner
from lib.models import bundled, registry

TRANSFORMERS = "transformers serve"
LLAMA = "llama.cpp"
NEEDED = {TRANSFORMERS: ("fastapi", "uvicorn"), LLAMA: ("xllamacpp",)}
SERVE_LLAMA = """
import sys, threading
import xllamacpp
told = xllamacpp.CommonParams()
told.model.path, told.port = sys.argv[1], int(sys.argv[2])
told.n_ctx, told.n_parallel, told.cpuparams.n_threads = 2048, 4, 1
server = xllamacpp.Server(told)
threading.Event().wait()
"""


class Process:
    """A real server in a process of its own, which can be killed and started again on its port."""

    def __init__(self, kind: str, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.log, self._process = folder / "server.log", None
        if kind == LLAMA:
            self.model = str(bundled.gguf(folder))
            self._command = [sys.executable, "-c", SERVE_LLAMA, self.model, str(self.port)]
        else:
            self.model = str(_sampling(folder / "model"))
            serve = Path(sys.executable).with_name("transformers")
            self._command = [serve, "serve", self.model, "--host", "127.0.0.1", "--port", str(self.port)]
        (folder / "hub").mkdir()  # an empty one, for the list of models
        self._environment = os.environ | {
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(folder),
            "OMP_NUM_THREADS": "1",
        }

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    def wait(self, patience: float = 120) -> None:
        """Return once it answers; RuntimeError after `patience` seconds or if it has ended."""
        started = time.monotonic()
        while time.monotonic() - started < patience and self._process.poll() is None:
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"{self.url}/models", timeout=5).close()
            time.sleep(0.2)
        raise RuntimeError(f"the server did not start:\n{self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL, as if the machine had gone."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


def _sampling(folder: Path) -> Path:
    """The bundled model, marked as one to sample from: else `transformers serve` decodes greedily at any
    temperature."""
    folder.mkdir()
    for file in bundled.folder().iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "generation_config.json").write_text(
        json.dumps({"do_sample": True, "eos_token_id": 2, "pad_token_id": 2})
    )
    return folder


def generation(server: Process, mode: str) -> sections.Generation:
    """Few and short completions, four at a time."""
    values = params.cell_values(params.load("embedded"), "embedded", "02_generation", f"smollm2-135m-{mode}")
    place = {"url": server.url, "concurrency": 4, "timeout": 120.0, "retries": 20}
    served = {
        "id": server.model,
        "server": place,
        "parameters": 106_203_456,
        "assistant_prefill": False,
        "require_word": False,
    }
    few = {
        "samples": 2,
        "mitigations": {},
        "mitigation_samples": 0,
        "temperature": 1.0,
        "max_new_tokens": 8,
        "batch_size": 8,
    }
    return params.from_cell("02_generation", values | few | {"model": values["model"] | served})


def disturb(server: Process, journal: Path, seconds: list[float]) -> None:
    """Kill the server once the first batch is kept, start it again; `seconds` gets how long nobody was there
    to answer."""
    while not (journal.exists() and journal.stat().st_size):
        time.sleep(0.02)
    server.kill()
    started = time.monotonic()
    server.start()
    server.wait()
    seconds.append(time.monotonic() - started)


def verify(kind: str, server: Process, mode: str, folder: Path) -> dict:
    """A disturbed run and an undisturbed one."""
    parameters = generation(server, mode)
    benchmark = curated_prompts.build(seed=1, stems=2, contexts_per_stem=1)
    model = registry.load(parameters.model)
    requested = runner.requests(benchmark, parameters, model)
    journal, seconds = folder / f"{mode}.jsonl", []
    other = Thread(target=disturb, args=(server, journal, seconds))
    other.start()
    paid = runner.generate(requested, parameters, model, journal)
    other.join()
    kept = Counter(json.loads(line)["key"] for line in journal.read_text().splitlines())
    again = runner.generate(requested, parameters, model, folder / f"{mode}-again.jsonl")
    return {
        "server": kind,
        "mode": mode,
        "away, s": round(seconds[0], 1),
        "requested": len(requested),
        "kept once": sum(kept[key] == 1 for key in requested["key"]),
        "distinct": paid["completion"].nunique(),
        "repeated": int((paid["completion"] == again["completion"]).sum()),
        "for example": repr(paid["completion"].iloc[0]),
    }


def main() -> int:
    """Print one line for each server and mode; exit code 1 if a completion is missing or was made twice."""
    rows = []
    for kind, packages in NEEDED.items():
        missing = [name for name in packages if not importlib.util.find_spec(name)]
        if missing:
            print(
                f"{kind}: left out, {' and '.join(missing)} missing; pip install '.[server-test]'", flush=True
            )
            continue
        with tempfile.TemporaryDirectory() as name:
            server = Process(kind, Path(name))
            server.start()
            try:
                server.wait()
                rows += [verify(kind, server, mode, Path(name)) for mode in ("completion", "chat")]
            finally:
                server.kill()
    table = pd.DataFrame(rows)
    if table.empty:
        return 1
    print(table.to_string(index=False))
    return int((table["kept once"] < table["requested"]).any())


if __name__ == "__main__":
    sys.exit(main())
