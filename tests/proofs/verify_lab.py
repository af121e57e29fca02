"""Shown, not assumed: the leak lab works in a real JupyterLab and Chromium, soon enough to play with, and
outlives its kernel.

Settings are typed and the seconds to the last completion taken; the buttons are pressed; the kernel gets
SIGKILL, what was in sight must stay there and what was kept on disk, and after running the cells again the
page must work. With --shots FOLDER, screenshots in both themes and two widths are left there. Needs Chromium
(Debian: apt install chromium). (make verify-lab)
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from lib.lab import session
from tests import jupyter_lab
from tests.jupyter_lab import Lab, wait

NOTEBOOK = "00_leak_lab"
MOST_SECONDS = 5.0  # from a change to the last completion
CONTEXTS = (
    "She is furious and full of rage.",
    "She is overjoyed and full of glee.",
    "He is ashamed and sick of life.",
)
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
WIDTHS = (1400, 800)


def completed(page: Page, act) -> float:
    """Seconds from `act()` to the last completion of what it asks for."""
    started = time.monotonic()
    before = page.locator(".leak-lab").get_attribute("data-done")
    act()
    page.locator(f".leak-lab[aria-busy=false]:not([data-done='{before}'])").wait_for(timeout=300_000)
    page.locator(".leak-lab .status.done").wait_for(timeout=30_000)
    return time.monotonic() - started


def type_in(page: Page, name: str, text: str) -> None:
    page.locator(f".leak-lab [name={name}]").fill(text)


def demand(holds, what: str) -> None:
    if not holds:
        raise SystemExit(what)


def play(page: Page, kept: Path) -> list[float]:
    """Change settings, press the buttons; seconds of each change of the context."""
    seconds = [completed(page, lambda text=text: type_in(page, "context", text)) for text in CONTEXTS]
    rows = page.locator(".leak-lab .completions tbody tr")
    demand(rows.count() == 5, f"{rows.count()} draws are shown, not 5")
    shows = not page.locator(".leak-lab", has_text=session.NO_TOKENS).count()
    demand(
        page.locator(".leak-lab .tokens tbody tr").count() == 20 * shows,
        "not ten tokens that gain and ten that lose",
    )
    before = rows.all_inner_texts()
    type_in(page, "context", "The lake is deep and grey.")  # superseded before it is finished
    page.wait_for_timeout(600)
    completed(page, lambda: type_in(page, "context", CONTEXTS[-1]))
    demand(
        rows.all_inner_texts() == before, "the same settings gave other completions, or stale ones are shown"
    )
    page.locator(".leak-lab button[name=keep]").click()
    wait(lambda: kept.exists() and kept.read_bytes().endswith(b"\n"), "the kept pair on disk")
    demand(
        json.loads(kept.read_text())["context"] == CONTEXTS[-1], "another pair was kept than the one in sight"
    )
    completed(page, lambda: page.locator(".leak-lab button[name=surprise]").click())
    demand(page.locator(".leak-lab [name=context]").input_value() != CONTEXTS[-1], "no surprise")
    page.locator(".leak-lab summary").click()
    type_in(page, "domain", "hobby")
    page.locator(".leak-lab button[name=check]").click()
    page.locator(".leak-lab .notice code", has_text="hobby-").wait_for(timeout=300_000)
    type_in(page, "stem", " ")
    page.locator(".leak-lab .status.error", has_text="holds no letter").wait_for(timeout=10_000)
    return seconds


def shoot(page: Page, folder: Path) -> None:
    """Screenshots of the page in each theme and width."""
    for theme, name in THEMES.items():
        page.evaluate(
            "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name
        )
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 1300})
            page.locator(".leak-lab").evaluate("lab => lab.scrollIntoView()")
            page.wait_for_timeout(1500)
            page.screenshot(path=folder / f"{theme}-{width}.png")


def survive(page: Page, lab: Lab, kept: Path) -> float:
    """Kill the kernel, look at what stays, run the cells again; seconds until the page completes again."""
    before, rows = kept.read_bytes(), page.locator(".leak-lab .completions tbody tr")
    shown = rows.all_inner_texts()
    lab.kill_kernel()
    type_in(page, "stem", "The street she lives on is called")
    page.locator(".leak-lab .gone:visible").wait_for(timeout=30_000)
    demand(rows.all_inner_texts() == shown, "what was in sight went with the kernel")
    demand(kept.read_bytes() == before, "the kill changed what was kept")
    started = time.monotonic()
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
        timeout=60_000,
    )
    jupyter_lab.run_all(page)
    page.locator(".leak-lab .status.done").wait_for(timeout=300_000)
    demand(
        page.locator(".leak-lab .gone:visible").count() == 0, "the page still says that the kernel is gone"
    )
    return time.monotonic() - started


def check(page: Page, lab: Lab, kept: Path, shots: Path | None) -> dict:
    """One whole run; SystemExit, saying what is wrong, if anything is."""
    started = time.monotonic()
    jupyter_lab.open_and_run(page, lab.url, NOTEBOOK)
    page.locator(".leak-lab .status.done").wait_for(timeout=300_000)
    opened = time.monotonic() - started
    if shots:
        shoot(page, shots)
        page.set_viewport_size({"width": WIDTHS[0], "height": 1300})
    seconds = play(page, kept)
    if shots:
        page.screenshot(path=shots / "stem-and-error.png")
    resumed = survive(page, lab, kept)
    return {
        "opened, s": round(opened, 1),
        "change to result, s (median)": round(float(np.median(seconds)), 1),
        "most": round(max(seconds), 1),
        "resumed after kill, s": round(resumed, 1),
    }


def main() -> int:
    """Print one line; exit code 1 if a request left this machine, or a change took too long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=Path, help="a folder for screenshots")
    parser.add_argument(
        "--set", default="embedded", help="whose models are offered; that of smoke needs no weights"
    )
    given, outside = parser.parse_args(), []
    if given.shots:
        given.shots.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as home,
        sync_playwright() as play_,
    ):
        jupyter_lab.project(Path(folder), given.set, NOTEBOOK)
        lab = Lab(Path(folder), Path(home))
        try:
            browser = jupyter_lab.chromium(play_)
            page = browser.new_page(viewport={"width": WIDTHS[0], "height": 1300})
            jupyter_lab.local_only(page, outside)
            said = check(page, lab, Path(folder) / "outputs" / "lab" / "kept.jsonl", given.shots)
            browser.close()
        finally:
            lab.stop()
    print({**said, "requests outside": len(outside)}, flush=True)
    return int(bool(outside) or said["change to result, s (median)"] > MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
