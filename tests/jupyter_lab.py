"""JupyterLab and Chromium as the verify scripts use them: on a free port, in temporary folders, without a
word to the outside."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import psutil
from playwright.sync_api import Page

from lib.config.specs import ROOT

_RUN = """async () => {
  const app = window.jupyterapp; await app.restored;
  const panel = app.shell.currentWidget; await panel.context.ready; await panel.sessionContext.ready;
  await app.commands.execute('notebook:run-all-cells');
}"""


def project(folder: Path, set_name: str, *notebooks: str) -> None:
    """A copy of the project in which `notebooks` are told `set_name`."""
    for name in ("lib", "notebooks", "params"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        )
    for notebook in notebooks:
        path = folder / "notebooks" / f"{notebook}.ipynb"
        book = nbformat.read(path, as_version=4)
        cell = next(cell for cell in book.cells if cell.metadata.get("tags") == ["parameters"])
        cell.source = f'set_name = "{set_name}"'
        nbformat.write(book, path)


def chromium(play):
    """A browser; SystemExit where none is installed."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        raise SystemExit("no Chromium here; install it (Debian: apt install chromium) and call again")
    return play.chromium.launch(executable_path=found, args=["--no-sandbox"])


def local_only(page: Page, outside: list[str]) -> None:
    """Stop every request of a page that would leave this machine, and add its address to `outside`."""

    def decide(route):
        if route.request.url.split("/")[2].split(":")[0] == "127.0.0.1":
            return route.continue_()
        outside.append(route.request.url)
        return route.abort()

    page.route(lambda url: url.startswith("http"), decide)


def open_and_run(page: Page, url: str, notebook: str) -> None:
    """Open a notebook as it is on disk, and run all its cells."""
    page.goto(f"{url}/lab/tree/notebooks/{notebook}.ipynb?reset")
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext", timeout=120_000)
    run_all(page)


def run_all(page: Page) -> None:
    """Run all cells of the notebook that is open."""
    page.evaluate(_RUN)


class Lab:
    """JupyterLab on a free port, its every folder in a temporary one."""

    def __init__(self, folder: Path, home: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        places = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
        places["JUPYTERLAB_SETTINGS_DIR"], places["JUPYTERLAB_WORKSPACES_DIR"] = (
            str(home / "settings"),
            str(home / "workspaces"),
        )
        news = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        news.parent.mkdir(parents=True)
        news.write_text('{"fetchNews": "false"}')  # else a question covers the page
        # as `make lab` has them
        for plugin, settings in json.loads((ROOT / "lib" / "lab" / "overrides.json").read_text()).items():
            news.with_name(f"{plugin.split(':')[1]}.jupyterlab-settings").write_text(json.dumps(settings))
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            "--allow-root",
            "--no-browser",
            f"--port={self.port}",
            f"--ServerApp.root_dir={folder}",
            "--IdentityProvider.token=",
            "--ServerApp.disable_check_xsrf=True",
            "--LabApp.expose_app_in_browser=True",
            *os.environ.get("LAB_OPTIONS", "").split(),
        ]
        environment = os.environ | places | {"PYTHONPATH": str(folder)}
        with (home / "server.log").open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
        wait(self._answers, "the server to answer")

    def _answers(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.url}/api", timeout=5).status == 200
        except OSError:
            return False

    def kill_kernel(self) -> None:
        """SIGKILL to the process of every kernel, as if memory had run out."""
        kernels = [
            child
            for child in psutil.Process(self.process.pid).children(True)
            if "ipykernel_launcher" in child.cmdline()
        ]
        if not kernels:
            raise SystemExit("no kernel runs")
        for kernel in kernels:
            kernel.send_signal(signal.SIGKILL)
        wait(
            lambda: all(not one.is_running() or one.status() == psutil.STATUS_ZOMBIE for one in kernels),
            "the kernels to die",
        )

    def stop(self) -> None:
        """End the server, by force if it does not listen."""
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def wait(holds, what: str, patience: float = 120) -> float:
    """Seconds until `holds()`; SystemExit if it never does."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > patience:
            raise SystemExit(f"waited {patience:g} s in vain for {what}")
        time.sleep(0.01)
    return time.monotonic() - started
