"""Shown, not assumed: the annotation form works in a real JupyterLab and Chromium, and a killed kernel loses no click.

A simulated study's items are labelled by keys and clicks, each looked for in the file; the kernel gets SIGKILL, the page is
loaded anew, and the form must stand where it stood. Needs Chromium (Debian: apt install chromium). (make verify-annotation)
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from lib import annotation_plan
from lib.specs import ROOT
from tests import simulated

NAME = "verify"
RUN = """async () => {
  const app = window.jupyterapp; await app.restored;
  const panel = app.shell.currentWidget; await panel.context.ready; await panel.sessionContext.ready;
  await app.commands.execute('notebook:run-all-cells');
}"""


def project(folder: Path) -> Path:
    """A copy of the project with items to label from a simulated study; returns its annotation folder."""
    for name in ("lib", "notebooks", "params"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    path = folder / "notebooks" / "04b_annotation.ipynb"
    book = nbformat.read(path, as_version=4)
    cell = next(cell for cell in book.cells if cell.metadata.get("tags") == ["parameters"])
    cell.source = f'set_name = "{NAME}"'
    nbformat.write(book, path)
    _, key, _ = simulated.study("good", 12, 20, {"unused": 1.0}, np.random.default_rng(1))
    place = folder / "outputs" / NAME / "annotation"
    place.mkdir(parents=True)
    (place / "items.jsonl").write_text(annotation_plan.items(key).to_json(orient="records", lines=True))
    return place


class Lab:
    """JupyterLab on a free port, its every folder in a temporary one."""

    def __init__(self, folder: Path, home: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        places = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
        places["JUPYTERLAB_SETTINGS_DIR"], places["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "settings"), str(home / "workspaces")
        news = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        news.parent.mkdir(parents=True)
        news.write_text('{"fetchNews": "false"}')  # else a question covers the page
        command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", f"--port={self.port}",
                   f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True",
                   "--LabApp.expose_app_in_browser=True", *os.environ.get("LAB_OPTIONS", "").split()]  # fmt: skip
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
        """SIGKILL to the kernel's process, as if memory had run out."""
        kernels = [child for child in psutil.Process(self.process.pid).children(True) if "ipykernel_launcher" in child.cmdline()]
        if len(kernels) != 1:
            raise SystemExit(f"{len(kernels)} kernels run, not one")
        kernels[0].send_signal(signal.SIGKILL)
        wait(lambda: not kernels[0].is_running() or kernels[0].status() == psutil.STATUS_ZOMBIE, "the kernel to die")

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


def begin(page: Page, url: str) -> None:
    """Open the notebook, run all cells, give a name."""
    page.goto(f"{url}/lab/tree/notebooks/04b_annotation.ipynb?reset")
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext", timeout=120_000)
    page.evaluate(RUN)
    page.locator(".annotation-form input[name=annotator]").fill("tester", timeout=120_000)
    page.locator(".annotation-form button[name=begin]").click()
    page.locator(".annotation-form .text").wait_for(timeout=60_000)


def label(page: Page, path: Path) -> list[float]:
    """Label two items and begin a third, by keys and clicks; seconds from each to the record on disk."""

    def saved(act, **expected) -> float:
        before = records(path)
        act()
        seconds = wait(lambda: len(records(path)) > len(before), f"{expected} in the file")
        record = records(path)[-1]
        if any(record[field] != value for field, value in expected.items()):
            raise SystemExit(f"{record} is in the file, not {expected}")
        return seconds

    press = page.keyboard.press
    times = [saved(lambda: press("a"), charge="negative"), saved(lambda: press("2"), intensity=2),
             saved(lambda: press("n"), called_for="no")]  # fmt: skip
    forward(page, lambda: press("Enter"), 2)
    times.append(saved(lambda: page.locator("input[value=positive]").check(), charge="positive", intensity=None))
    times.append(saved(lambda: page.locator("button[name=undo]").click(), charge=None, undo=True))
    times.append(saved(lambda: press("s"), charge="none"))
    forward(page, lambda: press("Enter"), 3)
    times += [saved(lambda: press("d"), charge="positive") for _ in range(2)]  # "d d" deletes a cell that is not guarded
    return times


def forward(page: Page, act, position: int) -> None:
    act()
    page.locator(".head", has_text=f"item {position} of").wait_for()


def records(path: Path) -> list[dict]:
    """The whole records of a label file."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def check(page: Page, lab: Lab, path: Path) -> dict:
    """One whole run of the form; SystemExit, saying what is wrong, if anything is."""
    begin(page, lab.url)
    times = label(page, path)
    page.wait_for_timeout(1000)  # the form takes the focus back when it shows the last answer
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    page.locator(".jp-Notebook .jp-Cell").nth(2).locator(".jp-InputPrompt, .jp-OutputPrompt").first.click()
    for _ in range(2):  # in Jupyter's command mode, on the form's own cell
        page.keyboard.press("d")
    page.wait_for_timeout(1000)
    if page.locator(".jp-Notebook .jp-Cell").count() != cells:
        raise SystemExit("the keys d d deleted the form")
    before = path.read_bytes()
    lab.kill_kernel()
    started = time.monotonic()
    begin(page, lab.url)
    page.locator(".head", has_text="item 3 of").wait_for()
    resumed = time.monotonic() - started
    if not page.locator("input[value=positive]").is_checked():
        raise SystemExit("the answer that was given before the kernel was killed is not shown")
    forward(page, lambda: page.locator("button[name=back]").click(), 2)
    if path.read_bytes() != before:
        raise SystemExit("looking back changed the file, or the kill lost a label")
    return {"clicks and keys": len(times), "to the file, ms (median)": round(1000 * float(np.median(times))),
            "most": round(1000 * max(times)), "resumed after kill, s": round(resumed, 1)}  # fmt: skip


def main() -> int:
    """Print one line a run; exit code 1 if a request left this machine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1)
    given, outside = parser.parse_args(), []
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        raise SystemExit("no Chromium here; install it (Debian: apt install chromium) and call again")

    def local_only(route):
        if "127.0.0.1" in route.request.url.split("/")[2]:
            return route.continue_()
        outside.append(route.request.url)
        return route.abort()

    for run in range(given.runs):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home, sync_playwright() as play:
            place, started = project(Path(folder)), time.monotonic()
            lab = Lab(Path(folder), Path(home))
            try:
                browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                page = browser.new_page()
                page.route(lambda url: url.startswith("http"), local_only)
                said = check(page, lab, place / "labels" / "tester.jsonl")
                browser.close()
            finally:
                lab.stop()
        seconds = round(time.monotonic() - started, 1)
        print({"run": run + 1, **said, "in all, s": seconds, "requests outside": len(outside)}, flush=True)
    return int(bool(outside))


if __name__ == "__main__":
    sys.exit(main())
