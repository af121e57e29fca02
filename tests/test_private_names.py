"""Private names of other packages: where the code uses one, a test fails with its name when it goes.

An upgrade may drop a private name without notice. Each stands in one small function, which is named here.
"""

import ast
from pathlib import Path

import openpyxl
import pytest
from datatrove.executor.local import LocalPipelineExecutor
from transformers import AutoConfig
from transformers.utils import chat_template_utils

from lib.models import architectures

LIB = Path(__file__).resolve().parents[1] / "lib"
# "path: private name": the functions that use them
USED = {
    "mining/mining_job.py: _run_for_rank": "_run_task",
    "models/architectures.py: _attn_implementation": "_attention",
    "models/chat_templates.py: _compile_jinja_template": "_pin_date and known",
    "storage/sheets.py: _archive": "_source",
    "storage/sheets.py: _worksheet_path": "_source",
}
PUBLIC = {"_asdict", "_exit", "_fields", "_make", "_replace"}  # of namedtuples and os


def is_foreign(node: ast.AST) -> bool:
    """Whether a node reads a private attribute of something other than `self` or `cls`."""
    if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
        return False
    return node.attr not in PUBLIC and getattr(node.value, "id", "") not in ("self", "cls")


def imported(tree: ast.AST) -> list[str]:
    names = [
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    return [name for name in names if name.startswith("_") and not name.startswith("__")]


def test_no_other_private_name_is_used():
    used = set()
    for path in LIB.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [node.attr for node in ast.walk(tree) if is_foreign(node)] + imported(tree)
        used |= {f"{path.relative_to(LIB).as_posix()}: {name}" for name in names}
    assert used == set(USED), "use a public name, or put the private one in one function and list it here"


@pytest.mark.parametrize(
    ("where", "holder", "name"),
    [
        ("lib/mining/mining_job.py, _run_task", LocalPipelineExecutor, "_run_for_rank"),
        ("lib/models/chat_templates.py", chat_template_utils, "_compile_jinja_template"),
    ],
)
def test_a_private_name_is_still_there(where, holder, name):
    assert callable(getattr(holder, name, None)), f"{holder.__name__} has no {name} any more: change {where}"


def test_a_configuration_still_says_how_attention_is_computed():
    assert architectures._attention(AutoConfig.for_model("llama", attn_implementation="eager")) == "eager"


def test_a_sheet_in_read_only_mode_still_has_its_file(tmp_path):
    openpyxl.Workbook().save(tmp_path / "t.xlsx")
    book = openpyxl.load_workbook(tmp_path / "t.xlsx", read_only=True)
    missing = [
        name
        for name, there in (("_archive", book), ("_worksheet_path", book.worksheets[0]))
        if not hasattr(there, name)
    ]
    book.close()
    assert not missing, f"openpyxl has no {missing} any more: change lib/storage/sheets.py, _source"
