"""Build the site: `python -m lib.site.build [SET …]` (make site)."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from lib.cli import readme
from lib.config.specs import ROOT
from lib.report import pairs
from lib.runtime import command_line
from lib.runtime.errors import DataError, MissingPackageError
from lib.site import articles, explorer, pages, runs
from lib.site.runs import Run
from lib.storage import records

FOLDER = ROOT / "outputs" / "site"
_THEME = Path(__file__).parent / "theme"
_REMOTE = re.compile(
    rb"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^\"'\s>]+|url\([\"']?(?:https?:)?//[^)]+"
)


def build(set_names: list[str]) -> Path:
    """Stage the runs, the articles and the explorers, and render them.

    Args:
        set_names: Parameter sets with a finished run.

    Returns:
        The first page of the site.

    Raises:
        DataError: If a run is not complete, a cell of a page failed, a figure has no alternative text,
            Sphinx reports an error, or a page would fetch something from another host.
    """
    of_runs = [runs.read(name) for name in set_names]
    source, built = FOLDER / "source", FOLDER / "html"
    for folder in (source, built):
        shutil.rmtree(folder, ignore_errors=True)
    stage(of_runs, source)
    _render(source, built)
    _let_labels_agree(built)
    check(built)
    return built / "index.html"


def stage(of_runs: list[Run], source: Path) -> None:
    """Write what Sphinx renders: Markdown, notebooks, figures, explorers and the theme."""
    for run in of_runs:
        if (run.folder / "judgements").exists():
            pairs.save(run.name)
    shutil.copytree(_THEME, source)
    (source / "extra" / "explorer").mkdir(parents=True)
    shutil.copy(ROOT / readme.PICTURE, source / "claims.svg")
    _write(source / "index.md", articles.landing(of_runs))
    _write(source / "compare.md", articles.comparison(of_runs))
    for name, text in articles.guide().items():
        _write(source / "guide" / f"{name}.md", text)
    for run in of_runs:
        folder = source / "runs" / run.name
        _write(folder / "index.md", articles.of_run(run))
        shutil.copy(run.folder / "claims.svg", folder)
        for path in run.pages:
            title = ", ".join(filter(None, [run.name, path.stem.partition(".")[2]]))
            _write(folder / f"{pages.name(path)}.ipynb", nbformat.writes(pages.page(path, title)))
        data = pairs.load(run.name)
        if data is not None:
            _write(
                source / "extra" / "explorer" / f"{run.name}.html", explorer.html(data, home="../index.html")
            )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    records.write_text(path, text)


def _render(source: Path, built: Path) -> None:
    log = FOLDER / "sphinx.log"
    command = ["-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(FOLDER / "doctrees")]
    command = [sys.executable, *command, str(source), str(built)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    records.write_text(log, done.stdout + done.stderr)
    if "No module named sphinx" in done.stderr:
        raise MissingPackageError("the site needs the packages of the lock; call make site")
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if line.strip()), "no message")
        raise DataError(f"Sphinx: {first}\nall messages: {log}")


def _let_labels_agree(built: Path) -> None:
    """Leave out what MyST-NB calls a folded cell: its text, such as "Show code", is its name."""
    for path in (built / "runs").rglob("*.html"):
        path.write_bytes(path.read_bytes().replace(b' aria-label="Toggle hidden content"', b""))


def check(built: Path) -> None:
    """Check that no page asks another host for anything.

    Raises:
        DataError: Naming the first page that does, and what it asks for.
    """
    for path in sorted(built.rglob("*")):
        if path.suffix in {".html", ".css"} and (match := _REMOTE.search(path.read_bytes())):
            fetched = match[0].decode(errors="replace")[:200]
            raise DataError(f"{path}: fetches from another host ({fetched})")


def main() -> int:
    """Build the site of the named sets, or of all finished ones; print where it is and how large."""
    return command_line.exit_code(_main, "what was built before may be gone; call it again")


def _main() -> None:
    names = sys.argv[1:] or runs.finished()
    if not names:
        raise DataError("outputs: holds no finished run; call make reproduce first")
    first = build(names)
    files = [path for path in first.parent.rglob("*") if path.is_file()]
    count = sum(path.suffix == ".html" for path in files)
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{', '.join(names)}: {count} pages, {size:.1f} MB; open {first}")


if __name__ == "__main__":
    sys.exit(main())
