"""The whole site, built from a finished run by Sphinx; which runs may be shown; links and hosts."""

import re
import shutil
from html import unescape

import pytest

from lib.cli import readme
from lib.config.specs import ROOT
from lib.runtime.errors import DataError
from lib.site import articles, build, runs
from lib.storage import records


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """The folder of all outputs, empty."""
    monkeypatch.setattr(records, "ROOT", tmp_path)
    (tmp_path / "outputs").mkdir()
    return tmp_path / "outputs"


def test_a_run_without_a_board_is_named_with_the_remedy(outputs):
    with pytest.raises(DataError, match=r"outputs/smoke: has no headline\.csv.* make reproduce SET=smoke"):
        runs.read("smoke")


def test_tables_without_a_manifest_are_no_complete_run(outputs):
    (outputs / "smoke" / "judgements").mkdir(parents=True)
    (outputs / "smoke" / "headline.csv").touch()
    with pytest.raises(DataError, match=r"no manifest\.json, so its run is not complete"):
        runs.read("smoke")


def test_a_clone_holds_boards_and_pages_alone_and_toys_are_not_shown(outputs):
    for name in ("packaged", "embedded", "smoke", "of-nobody"):
        (outputs / name).mkdir()
        (outputs / name / "headline.csv").touch()
    assert runs.finished() == ["embedded", "packaged"]
    assert runs.read("embedded").pages == ()


def _dead(html) -> list[str]:
    """The links of the pages to pages, or to places on them, that are not there."""
    pages = {path.resolve(): path.read_text() for path in html.rglob("*.html") if "_static" not in path.parts}
    found = []
    for page, text in pages.items():
        text = re.sub("<script.*?</script>", "", text, flags=re.DOTALL)
        for link in re.findall(r"""href=["'](?!\w+:)([^"']+)""", text):
            path, _, place = unescape(link).partition("#")
            target = (page.parent / path.partition("?")[0]).resolve() if path else page
            there = re.search(rf"""\bid=["']{re.escape(place)}["']""", pages.get(target, ""))
            if not target.exists() or (place and "=" not in place and not there):  # "=": filters
                found.append(f"{page.name}: {link}")
    return found


def test_a_dead_link_is_found(tmp_path):
    links = "".join(f"<a href='{link}'>1</a>" for link in ("#x", "b.html", "a.html?v=1", "#y"))
    (tmp_path / "a.html").write_text(f"<p id='x'></p>{links}")
    assert _dead(tmp_path) == ["a.html: b.html", "a.html: #y"]


@pytest.mark.slow
def test_the_site_of_a_run_is_whole(smoke, outputs, monkeypatch):
    shutil.copytree(smoke, outputs / "smoke")
    for name in (readme.SET, readme.MINED_SET):  # whose board the landing page shows
        (outputs / name).mkdir()
        shutil.copy(ROOT / "outputs" / name / "headline.csv", outputs / name)
    monkeypatch.setattr(build, "FOLDER", outputs / "site")
    first = build.build(["smoke"])
    html = first.parent
    page = (html / "runs/smoke/03b_leakage-mock-50.html").read_text()
    assert "do charged contexts leak" in page and "(smoke, mock-50)" in page
    assert "TOY" in page
    assert "../../guide/measured.html" in page and "Toggle hidden content" not in page
    for link in re.findall(
        r'guide/words\.html#([^"]+)"', page + (html / "runs/smoke/index.html").read_text()
    ):
        assert f"id='{link}'" in (html / "guide/words.html").read_text()
    assert 'href="../index.html"' in (html / "explorer/smoke.html").read_text()
    assert (html / "explorer/smoke.html").stat().st_size > 10_000
    assert _dead(html) == []
    assert "href='../../explorer/smoke.html'" in (html / "runs/smoke/index.html").read_text()
    linked = re.findall(r"href=[\"']explorer/smoke\.html#([^\"']+)", (html / "compare.html").read_text())
    assert "model=mock-50&amp;mitigation=none" in linked


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        "<link rel=stylesheet href=//fonts.example/x.css>",
        "<img alt='' src='http://example/x.png'>",
    ],
)
def test_a_page_that_asks_another_host_stops_the_build(tmp_path, text):
    (tmp_path / "index.html").write_text(text)
    with pytest.raises(DataError, match="fetches from another host"):
        build.check(tmp_path)


def test_links_to_others_are_no_requests(tmp_path):
    (tmp_path / "index.html").write_text('<a href="https://arxiv.org/abs/2508.01708">paper</a>')
    build.check(tmp_path)


def test_links_to_files_of_the_repository_become_text_or_pages():
    targets = {(articles.ROOT / "params/README.md").resolve(): "parameters.md"}
    text = "[p](params/README.md#a) [code](lib/x.py) [web](https://a.b) ![f](x.svg) [here](#there)"
    expected = "[p](parameters.md#a) code [web](https://a.b) ![f](x.svg) [here](#there)"
    assert articles.links_as_text(text, targets) == expected
