"""Shown, not assumed: the annotation form works in a real JupyterLab and Chromium, and a killed kernel loses
no click.

A simulated study's items are labelled by keys and clicks, each looked for in the file; the kernel gets
SIGKILL, the page is loaded anew, and the form must stand where it stood. Needs Chromium (Debian: apt install
chromium). (make verify-annotation)
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from lib.annotation import sampling_plan
from tests import jupyter_lab, simulated
from tests.jupyter_lab import Lab, wait

NAME, NOTEBOOK = "verify", "04b_annotation"


def project(folder: Path) -> Path:
    """A copy of the project with items to label from a simulated study; returns its annotation folder."""
    jupyter_lab.project(folder, NAME, NOTEBOOK)
    _, key, _ = simulated.study("good", 12, 20, {"unused": 1.0}, np.random.default_rng(1))
    place = folder / "outputs" / NAME / "annotation"
    place.mkdir(parents=True)
    (place / "items.jsonl").write_text(sampling_plan.items(key).to_json(orient="records", lines=True))
    return place


def begin(page: Page, url: str) -> None:
    """Open the notebook, run all cells, give a name."""
    jupyter_lab.open_and_run(page, url, NOTEBOOK)
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
    times = [
        saved(lambda: press("a"), charge="negative"),
        saved(lambda: press("2"), intensity=2),
        saved(lambda: press("n"), called_for="no"),
    ]
    forward(page, lambda: press("Enter"), 2)
    times.append(
        saved(lambda: page.locator("input[value=positive]").check(), charge="positive", intensity=None)
    )
    times.append(saved(lambda: page.locator("button[name=undo]").click(), charge=None, undo=True))
    times.append(saved(lambda: press("s"), charge="none"))
    forward(page, lambda: press("Enter"), 3)
    # "d d" deletes a cell that is not guarded
    times += [saved(lambda: press("d"), charge="positive") for _ in range(2)]
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
    return {
        "clicks and keys": len(times),
        "to the file, ms (median)": round(1000 * float(np.median(times))),
        "most": round(1000 * max(times)),
        "resumed after kill, s": round(resumed, 1),
    }


def main() -> int:
    """Print one line a run; exit code 1 if a request left this machine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1)
    given, outside = parser.parse_args(), []

    for run in range(given.runs):
        with (
            tempfile.TemporaryDirectory() as folder,
            tempfile.TemporaryDirectory() as home,
            sync_playwright() as play,
        ):
            place, started = project(Path(folder)), time.monotonic()
            lab = Lab(Path(folder), Path(home))
            try:
                browser = jupyter_lab.chromium(play)
                page = browser.new_page()
                jupyter_lab.local_only(page, outside)
                said = check(page, lab, place / "labels" / "tester.jsonl")
                browser.close()
            finally:
                lab.stop()
        seconds = round(time.monotonic() - started, 1)
        print({"run": run + 1, **said, "in all, s": seconds, "requests outside": len(outside)}, flush=True)
    return int(bool(outside))


if __name__ == "__main__":
    sys.exit(main())
