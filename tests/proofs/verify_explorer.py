"""Shown, not assumed: the explorer opens, filters and links in Chromium, whatever a model wrote.

A page of 10,000 pairs picked at random, some with hostile texts, is opened from disk. Opening and filtering
are timed (the quickest of several tries, because other processes slow the rest), links are followed, pairs
are read at random, and no request may leave the page. Screenshots in both themes and two widths are left in a
folder. With --set, the page of a finished run is shot as well; with --axe, the pages are searched for
barriers by that copy of axe-core. Then notebooks 01 to 03 are run by hand in JupyterLab, and the widget is
filtered there. Needs Chromium (Debian: apt install chromium). (make verify-explorer)
"""

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from lib.site import explorer
from tests import jupyter_lab
from tests.proofs.verify_lab import demand
from tests.site.hostile import ALERT, N_PAIRS, made_up

TRIES = 5
MOST_OPEN, MOST_FILTER = 2000, 100  # ms
WIDTHS = (1400, 390)
# by hand, in their order, and what each writes
LAB_NOTEBOOKS = {
    "01_dataset": "prompts.parquet",
    "02_generation": "completions/*.parquet",
    "03_judging": "judgements/*.parquet",
}
THEMES = ("light", "dark")
_CLOCK = """async (change) => {
  const root = document.querySelector('.leak-explorer'), started = performance.now();
  const input = root.querySelector(`[name=${change[0]}]`);
  input.value = change[1];
  input.dispatchEvent(new Event('input', { bubbles: true }));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - started;
}"""


def opened(page: Page, url: str) -> float:
    """Milliseconds from the request of a page to its first cards."""
    page.goto("about:blank")
    page.goto(url)
    page.locator(".leak-explorer .pairs article").first.wait_for(timeout=60_000)
    return page.evaluate(
        "async () => { await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));"
        " return performance.now(); }"
    )


def changed(page: Page, name: str, value: str) -> float:
    """Milliseconds from a change of a filter to what it draws, the quickest of TRIES."""
    return min(page.evaluate(_CLOCK, [name, value]) for _ in range(TRIES))


def counted(page: Page) -> int:
    return int(page.locator(".leak-explorer .counts").inner_text().split()[0].replace(",", ""))


def filtered(page: Page, data: dict) -> float:
    """Change filters and check what they count; the longest change in milliseconds."""
    column, strings = data["columns"], data["strings"]
    text = [strings[code] for code in column["arm"]]
    bare = [strings[code] == "none" for code in column["mitigation"]]
    demand(counted(page) == sum(bare), "the page does not begin with the unmitigated pairs")
    times = [changed(page, "arm", "negative")]
    expected = sum(arm == "negative" and each for arm, each in zip(text, bare, strict=True))
    demand(counted(page) == expected, f"{counted(page)} negative pairs, not {expected}")
    times += [changed(page, "arm", ""), changed(page, "mitigation", "")]
    demand(counted(page) == N_PAIRS, "not all pairs are counted without filters")
    for typed in ("t", "te", "terrible", "<SCRIPT>", "number 77", ""):
        times.append(changed(page, "text", typed))
    times += [changed(page, "order", "falling"), changed(page, "low", "2"), changed(page, "low", "")]
    shift = page.locator(".leak-explorer .pairs .scores").first.inner_text()
    greatest = max(value for value in column["shift"] if value is not None)
    demand(f"+{greatest:.2f}" in shift, f"the first by shift is {shift}, not of {greatest:.2f}")
    times += [changed(page, "order", "benchmark"), changed(page, "mitigation", "none")]
    return max(times)


def read_at_random(page: Page) -> None:
    """Draw pairs until a filter has no more: each must come once."""
    changed(page, "text", "stem 17 ")
    total, rows = counted(page), []
    for _ in range(total):
        page.get_by_role("button", name="Next to read, at random").click()
        rows.append(page.locator(".leak-explorer .reading article").get_attribute("data-row"))
    demand(total > 5 and len(set(rows)) == total, f"{total} draws showed {len(set(rows))} pairs")
    changed(page, "text", "")


def link_back(page: Page) -> None:
    """Follow the link of a filtered pair in a new page: the same pair and the same filters."""
    changed(page, "model", "model-b")
    changed(page, "text", "stem 23 ")
    address = page.locator(".leak-explorer .pairs article").nth(3).get_by_role("link")
    row = page.locator(".leak-explorer .pairs article").nth(3).get_attribute("data-row")
    counts, target = counted(page), address.evaluate("link => link.href")
    page.wait_for_timeout(500)
    demand("text=stem+23" in page.url, f"the address does not hold the filters: {page.url}")
    opened(page, target)
    shown = page.locator(".leak-explorer .reading article").get_attribute("data-row")
    demand((shown, counted(page)) == (row, counts), "a link leads elsewhere")
    address.click()
    page.get_by_role("button", name="Reset filters").click()
    demand(counted(page) > counts, "reset leaves filters")


def hostile(page: Page) -> None:
    """Every hostile text is on the page as text, and none of it is markup."""
    for text in (ALERT, "onerror=alert", "‮overridden", "مرحبا", "[31mred", "wwwwwwwwww"):
        changed(page, "text", text)
        demand(counted(page) > 0, f"no pair with {text!r}")
    demand(page.locator(".leak-explorer :is(script, img, b)").count() == 0, "a completion became markup")
    changed(page, "text", "[31mred")
    demand(page.get_by_text("␛[31mred").count() > 0, "an escape code is not shown as a sign")
    demand(page.locator(".leak-explorer", has_text="\u202e").count() == 0, "a text turns its direction")
    changed(page, "text", "wwwwwwwwww")
    before = page.locator(".leak-explorer .fold").count()
    page.locator(".leak-explorer .fold").first.click()
    demand(page.locator(".leak-explorer .fold").count() == before - 1, "a folded text does not unfold")


def themed(page: Page) -> None:
    """The theme of an ancestor counts, whatever the system prefers."""
    ground = "getComputedStyle(document.querySelector('.leak-explorer')).backgroundColor"
    colours = {}
    for theme, other in zip(THEMES, reversed(THEMES), strict=True):
        page.emulate_media(color_scheme=other)
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        colours[theme] = page.evaluate(ground)
    page.evaluate("delete document.documentElement.dataset.theme")
    demand(colours == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 28)"}, f"themes are {colours}")


def by_keyboard(page: Page) -> None:
    """Every control is reached by Tab alone, and Enter on the button shows a pair."""
    page.locator(".leak-explorer [name=model]").focus()
    reached = []
    for _ in range(16):
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.textContent"))
        page.keyboard.press("Tab")
    wanted = [*explorer.CHOICES, "low", "high", "text", "order", "Reset filters", "How to read this"]
    wanted = [*wanted, "Next to read, at random"]
    demand(set(wanted) <= set(reached), f"Tab does not reach {sorted(set(wanted) - set(reached))}")
    page.get_by_role("button", name="Next to read, at random").focus()
    before = page.locator(".leak-explorer .read").inner_text()
    page.keyboard.press("Enter")
    demand(page.locator(".leak-explorer .read").inner_text() != before, "Enter reads no pair")


def as_widget(page: Page, data: dict) -> None:
    """Draw the explorer as a notebook would, and end it."""
    page.goto("about:blank")
    left = page.evaluate(
        """async ([script, data]) => {
          const view = await import(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })));
          const model = { get: (name) => ({ data, filters: { arm: 'negative' } })[name] };
          const end = view.default.render({ model, el: document.body });
          const cards = document.querySelectorAll('article').length, links = document.links.length;
          document.querySelector('[name=text]').value = 'stem 23 ';
          document.querySelector('form').dispatchEvent(new Event('input'));
          await new Promise((done) => setTimeout(done, 500));
          const address = location.hash;
          end();
          return [cards, links, address, document.body.children.length];
        }""",
        [explorer.script(), data],
    )
    demand(left == [25, 0, "", 0], f"the widget draws {left}")


def shoot(page: Page, folder: Path, name: str) -> None:
    """Screenshots in each theme and width; SystemExit if a narrow page scrolls sideways."""
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 1600})
            page.wait_for_timeout(200)
            wide = page.evaluate("document.documentElement.scrollWidth")
            demand(wide <= width, f"{wide} pixels wide at {width}")
            page.screenshot(path=folder / f"{name}-{theme}-{width}.png")
    page.set_viewport_size({"width": WIDTHS[0], "height": 1200})


def barriers(page: Page, axe: Path | None) -> list[str]:
    """What axe-core finds in both themes, with its impact; none without it."""
    if not axe:
        return []
    page.evaluate(axe.read_text(encoding="utf-8"))
    lines = []
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        lines += [
            f"{theme}: {each['id']} ({each['impact']}): {each['nodes'][0]['html'][:200]}"
            for each in result["violations"]
        ]
    return lines


def in_lab(page: Page, folder: Path) -> dict:
    """Run notebooks by hand in JupyterLab, as they are: notebook 03 shows the explorer, and it filters."""
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as home:
        jupyter_lab.project(Path(work), "quick")
        lab = jupyter_lab.Lab(Path(work), Path(home))
        try:
            for notebook, made in LAB_NOTEBOOKS.items():
                jupyter_lab.open_and_run(page, lab.url, notebook)
                written = Path(work) / "outputs" / "quick"
                jupyter_lab.wait(lambda: any(written.glob(made)), made, patience=600)  # noqa: B023
            page.locator(".leak-explorer .pairs article").first.wait_for(timeout=120_000)
            page.locator(".leak-explorer").evaluate("view => view.scrollIntoView()")
            every = counted(page)
            changed(page, "arm", "negative")
            demand(0 < counted(page) < every, "the widget in JupyterLab does not filter")
            page.wait_for_timeout(1000)
            page.screenshot(path=folder / "jupyterlab.png")
            lab.kill_kernel()
            changed(page, "arm", "")
            demand(counted(page) == every, "the widget in JupyterLab does not outlive its kernel")
        finally:
            lab.stop()
    return {"in JupyterLab": f"{every} pairs", "barriers": []}


def check(page: Page, folder: Path, axe: Path | None) -> dict:
    """One whole run; SystemExit, saying what is wrong, if anything is."""
    data, path = made_up(), folder / "made-up.html"
    path.write_text(explorer.html(data), encoding="utf-8")
    open_ms = min(opened(page, path.as_uri()) for _ in range(TRIES))
    filter_ms = filtered(page, data)
    read_at_random(page)
    shoot(page, folder, "made-up")
    for step in (hostile, link_back, themed, by_keyboard):
        step(page)
    changed(page, "text", "onerror")
    shoot(page, folder, "hostile")
    changed(page, "text", "")
    found = barriers(page, axe)
    as_widget(page, data)
    return {
        "pairs": N_PAIRS,
        "page, MB": round(path.stat().st_size / 1e6, 1),
        "open, ms": round(open_ms),
        "slowest filter, ms": round(filter_ms),
        "barriers": found,
    }


def check_run(page: Page, folder: Path, set_name: str, axe: Path | None) -> dict:
    """The page of a finished run."""
    path = folder / f"{set_name}.html"
    path.write_text(explorer.html(explorer.read(set_name)), encoding="utf-8")
    open_ms = opened(page, path.as_uri())
    page.get_by_role("button", name="Next to read, at random").click()
    shoot(page, folder, set_name)
    counts = page.locator(".leak-explorer .summary").inner_text()
    return {"set": set_name, "open, ms": round(open_ms), "counts": counts, "barriers": barriers(page, axe)}


def main() -> int:
    """Print a line for each page; exit code 1 if it is slow, asks for anything or has barriers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=Path, help="a folder for screenshots")
    parser.add_argument("--set", help="a finished run")
    parser.add_argument("--axe", type=Path, help="axe.min.js of axe-core")
    given, requests, complaints = parser.parse_args(), [], []
    folder = given.shots or Path(tempfile.mkdtemp(prefix="explorer-"))
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = jupyter_lab.chromium(play)
        # axe-core is put into the page from outside, which its policy forbids to everything inside
        page = browser.new_context(viewport={"width": WIDTHS[0], "height": 1200}).new_page()
        page.on(
            "request",
            lambda one: requests.append(one.url) if not one.url.startswith(("file:", "blob:")) else None,
        )
        page.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda one: complaints.append(str(one)))
        page.on("dialog", lambda one: (complaints.append("a dialog"), one.dismiss()))
        results = [check(page, folder, given.axe)]
        if given.set:
            results.append(check_run(page, folder, given.set, given.axe))
        page.close()
        page, outside = browser.new_page(viewport={"width": WIDTHS[0], "height": 1300}), []
        jupyter_lab.local_only(page, outside)
        results.append(in_lab(page, folder))
        requests += outside
        browser.close()
    for result in results:
        print(result)
    print({"requests": requests, "errors": complaints, "screenshots": str(folder)}, flush=True)
    slow = results[0]["open, ms"] > MOST_OPEN or results[0]["slowest filter, ms"] > MOST_FILTER
    return int(bool(requests or complaints or slow or any(each["barriers"] for each in results)))


if __name__ == "__main__":
    sys.exit(main())
