"""What a notebook's result depends on beside its values: its code cells, the modules that it imports, the
data that ships."""

import ast
import hashlib
import json
from functools import cache

import grimp

from lib.config.specs import ROOT

_DATA = (".csv", ".yaml", ".safetensors")


def digest(notebook: str) -> str:
    """16 hex digits that change with the code that the notebook runs or the data of `lib/data/`.

    They stay when its outputs, its texts or a module that it does not reach change. OSError if there is no
    such notebook.
    """
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    parts = [
        *(source.encode() for source in code),
        *(path.read_bytes() for path in _modules("\n".join(code)) + _shipped()),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _modules(code: str) -> list:
    """The files of the modules of lib that `code` imports, directly or through others, in the order of their
    names."""
    graph = _graph()
    named = {
        name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom)
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
