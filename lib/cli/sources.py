"""What a notebook's result depends on besides its values.

These are its code cells, the modules that it imports and the data that ships with the project.
"""

import ast
import hashlib
import json
from functools import cache

import grimp

from lib.config.specs import ROOT

_DATA = (".csv", ".yaml", ".safetensors")


def digest(notebook: str) -> str:
    """Hash what the notebook's result depends on, besides its values.

    The digest does not change with the notebook's outputs and texts or with modules that it does not reach.

    Returns:
        16 hex digits that change with the code that the notebook runs or with the data of `lib/data/`.

    Raises:
        OSError: If there is no such notebook.
    """
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    parts = [
        *(source.encode() for source in code),
        *(path.read_bytes() for path in _modules("\n".join(code)) + _shipped()),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _modules(code: str) -> list:
    """The files of the modules of lib that `code` imports, directly or through others, sorted by name."""
    graph = _graph()
    named = {
        name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and node.module
        for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
    }
    direct = named & graph.modules
    reached = direct.union(*(graph.find_upstream_modules(name) for name in direct))
    paths = [ROOT.joinpath(*name.split(".")) for name in sorted(reached)]
    return [path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for path in paths]


def _shipped() -> list:
    return sorted(path for path in (ROOT / "lib" / "data").rglob("*") if path.suffix in _DATA)


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("lib", cache_dir=None)
