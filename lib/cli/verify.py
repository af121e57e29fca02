"""Verify every number of a finished run: `python -m lib.cli.verify SET` (make verify RUN=set).

Files are compared with the manifest; judgements, claims, boards, figures, cards and pairs are computed again
and compared; so are the rows that pages and README.md print. A run without tables, as the repository holds
them, is verified as far as its files go.
"""

import sys
import time
from collections.abc import Callable

from lib.cli import confirm, readme
from lib.config import params
from lib.report import manifest, verify_boards, verify_claims, verify_files, verify_pages, verify_tables
from lib.report.differences import MOST, Check, Difference, of_drawings, of_texts, skipped
from lib.runtime.command_line import USER_ERROR, exit_code, new_parser
from lib.runtime.errors import DataError
from lib.storage import records

_README, _EXAMPLE = "numbers of README.md against the runs", "the pairs that README.md shows"


def checks(set_name: str) -> list[Check]:
    """Run every check of a run.

    Raises:
        ParameterError: If there is no such set.
        DataError: If the set has no finished run, or if a file of it is damaged.
    """
    params.load(set_name)
    if not (records.run_folder(set_name) / "headline.csv").exists():
        raise DataError(
            f"outputs/{set_name}: has no headline.csv, so no run of this set was finished; "
            f"call make reproduce SET={set_name}"
        )
    has_manifest = manifest.read(set_name) is not None
    parts: dict[str, Callable[[], list[Check]]] = {
        "its files": lambda: verify_files.checks(set_name),
        "its tables": lambda: verify_tables.checks(set_name),
        "its claims": lambda: verify_claims.checks(set_name),
        "what it shows": lambda: verify_boards.checks(set_name),
        "its pages": lambda: verify_pages.checks(set_name, has_manifest),
        "its confirmation": lambda: _confirmation(set_name),
        "README.md": lambda: _of_readme(set_name),
    }
    return [check for name, part in parts.items() for check in _done(set_name, name, part)]


def _done(set_name: str, name: str, part: Callable[[], list[Check]]) -> list[Check]:
    """The checks of a part; a file that is missing or cannot be read is a difference."""
    try:
        return part()
    except (OSError, ValueError) as error:
        said, remedy = str(error).splitlines()[0], f"restore it, or make reproduce SET={set_name}"
        return [Check(name, 0, "", (Difference(f"outputs/{set_name}", name, said, "a whole run", remedy),))]


def _confirmation(set_name: str) -> list[Check]:
    """Compare confirmation.csv and confirmation.md of a confirmatory run with both boards."""
    confirms = params.load(set_name).confirms
    folder = records.run_folder(set_name)
    if confirms is None or not (folder / "confirmation.md").exists():
        return []
    found = []
    for name, text in confirm.texts(confirms.set).items():
        path, remedy = folder / name, f"make confirm SET={confirms.set}"
        stored = path.read_text(encoding="utf-8") if path.exists() else ""
        differences = of_texts(f"outputs/{set_name}/{name}", stored, text, remedy)
        found.append(
            Check(f"{name} against both boards", len(text.splitlines()), "lines", tuple(differences))
        )
    return found


def _of_readme(set_name: str) -> list[Check]:
    """Compare the parts of README.md that come from this run, and their figure, with the runs."""
    path, picture = records.ROOT / "README.md", records.ROOT / readme.PICTURE
    if set_name not in readme.sources() or not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    made, drawn = readme.with_boards(text)
    differences = of_texts("README.md", text, made, "make readme")
    stored = picture.read_text(encoding="utf-8") if picture.exists() else ""
    of_picture = of_drawings(readme.PICTURE, stored, drawn, "make readme")
    found = [
        Check(_README, sum(map(str.isdigit, made)), "digits", tuple(differences)),
        Check(f"{readme.PICTURE} against the runs", drawn.count("."), "coordinates", tuple(of_picture)),
    ]
    if set_name != readme.SET:
        return found
    try:
        shown = readme.fill(text, "example", readme.example(set_name))
    except FileNotFoundError:
        return [*found, skipped(_EXAMPLE, verify_tables.NO_TABLES)]
    differences = of_texts("README.md", text, shown, "make readme")
    return [*found, Check(_EXAMPLE, len(shown.splitlines()), "lines", tuple(differences))]


def report(found: list[Check]) -> list[str]:
    """Format what was checked, what could not be and what differs: a line each.

    Of each check MOST differences are named, and the others counted.
    """
    lines = [f"checked: {check.what}: {check.count:,} {check.unit}" for check in found if check.count]
    lines += [f"not checked: {check.what}: {check.reason}" for check in found if check.reason]
    for check in found:
        lines += [f"DIFFERS: {difference.line()}" for difference in check.differences[:MOST]]
        if (more := len(check.differences) - MOST) > 0:
            lines.append(f"DIFFERS: {check.differences[0].file}: {more:,} more differences of this kind")
    return lines


def differences(found: list[Check]) -> list[Difference]:
    """Every difference of several checks."""
    return [difference for check in found for difference in check.differences]


def run(set_name: str) -> int:
    """Verify a run and print what was found.

    Returns:
        0, or USER_ERROR if anything differs.
    """
    started = time.monotonic()
    found = checks(set_name)
    count = len(differences(found))
    print("\n".join(report(found)))
    verdict = f"{count:,} differences" if count else "no difference"
    print(f"{set_name}: {verdict} ({time.monotonic() - started:.0f} s)", flush=True)
    return USER_ERROR if count else 0


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and verify the run.

    Returns:
        The exit code of `lib.runtime.command_line.exit_code`.
    """
    parser = new_parser("lib.cli.verify", __doc__.splitlines()[0])
    parser.add_argument("set_name", nargs="?", default="embedded", help="a finished set")
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options.set_name))


if __name__ == "__main__":
    sys.exit(main())
