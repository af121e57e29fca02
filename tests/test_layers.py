"""The packages of lib import one way, and what is said of it is current."""

import pytest
from importlinter.cli import lint_imports

from lib.cli import architecture, sources
from lib.config import sections
from tests.conftest import ROOT


def test_imports_run_one_way_and_without_circles(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


def test_every_package_says_what_it_is_for():
    for folder in (ROOT / "lib").iterdir():
        if folder.is_dir() and folder.name not in ("data", "__pycache__"):
            assert len((folder / "__init__.py").read_text()) > 80, folder


def test_the_picture_of_the_architecture_is_drawn_from_the_imports():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert architecture.with_picture(text) == text, "run make architecture"
    assert "leakage" not in architecture.picture() and "analysis --> generation" in architecture.picture()


def test_what_contributing_points_to_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    relative = [link if "/" in link or link in ("Makefile", "pyproject.toml") else None for link in links]
    assert all((ROOT / link).exists() for link in relative if link) and len(links) > 10


@pytest.fixture
def project(copy, monkeypatch):
    """A copy of the project whose files may be changed; they are put back."""
    monkeypatch.setattr(sources, "ROOT", copy)
    return copy


def changed(path, more: bytes, notebook: str) -> bool:
    """Whether the digest of a notebook is another while `more` stands at the end of the file."""
    before, content = sources.digest(notebook), path.read_bytes()
    path.write_bytes(content + more)
    try:
        return sources.digest(notebook) != before
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("notebook", list(sections.NOTEBOOKS))
def test_a_notebook_is_stale_when_what_it_reaches_changes(project, notebook):
    lib = project / "lib"
    assert changed(lib / "stats" / "inference.py", b"# more\n", notebook)
    assert changed(lib / "data" / "mining_words.yaml", b"# more\n", notebook)
    assert changed(lib / "data" / "stems.csv", b"\n", notebook)
    assert not changed(lib / "cli" / "batch.py", b"# more\n", notebook)
    assert not changed(lib / "measure" / "budget.py", b"# more\n", notebook)
    assert not changed(lib / "data" / "README.md", b"more\n", notebook)
    assert changed(lib / "claims" / "multiverse.py", b"# more\n", notebook) == (
        notebook in ("03c_robustness", "06_prompting_mitigation_ablation")
    )


def test_judges_are_reached_though_they_are_imported_late(project):
    assert changed(project / "lib" / "judging" / "learned.py", b"# more\n", "03_judging")
    assert not changed(project / "lib" / "report" / "forest.py", b"# more\n", "02_generation")
