"""Draw how the packages of lib import each other into CONTRIBUTING.md (`make architecture`)."""

import sys

import grimp

from lib.config.specs import ROOT
from lib.runtime import command_line
from lib.storage import records

START, END = "<!-- architecture -->", "<!-- end of architecture -->"


def picture() -> str:
    """A Mermaid flowchart of the packages; an arrow leads from a package to one that it imports.

    Arrows that follow from others are left out (the transitive reduction of the imports).
    """
    graph = grimp.build_graph("lib", cache_dir=None)
    packages = sorted(name for name in graph.find_children("lib") if name != "lib.data")
    imports = {
        name: {
            other
            for other in packages
            if other != name and graph.direct_import_exists(importer=name, imported=other, as_packages=True)
        }
        for name in packages
    }
    lines = [
        f"    {_short(name)} --> {_short(other)}"
        for name in packages
        for other in sorted(imports[name])
        if not any(other in _reached(imports, between) for between in imports[name] - {other})
    ]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def with_picture(text: str) -> str:
    """`text` with the present picture between START and END."""
    before, rest = text.split(START)
    return f"{before}{START}\n{picture()}\n{END}{rest.split(END)[1]}"


def _reached(imports: dict[str, set[str]], name: str) -> set[str]:
    return imports[name].union(*(_reached(imports, other) for other in imports[name]))


def _short(name: str) -> str:
    return name.removeprefix("lib.")


def main() -> int:
    """Write the picture; returns the exit code of `lib.runtime.command_line`."""
    path = ROOT / "CONTRIBUTING.md"
    return command_line.exit_code(lambda: _write(path))


def _write(path) -> None:
    records.write_text(path, with_picture(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
