"""A file that states a wrong size, or holds far more than it seems to, takes no machine down: read in a
process with little memory, it is refused in words. For crawls, see tests/corpora."""

import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

GIB = 2**30
READ = """
import resource, sys
from pathlib import Path
from lib.runtime import command_line
{imports}
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
path = Path(sys.argv[1])
def work():
    {read}
sys.exit(command_line.exit_code(work))
"""
TABLE = ("from lib.storage import tables", "tables.read(str(path), [('prompt_id',)], 'models[0].table')")
RUN_TABLE = (
    "import pandas as pd\nfrom lib.storage import caching",
    "with caching.undamaged(path): pd.read_parquet(path)",
)
MODEL = (
    "from tests.conftest import generation\nfrom lib.models import registry\nimport torch, transformers\n"
    "from transformers import AutoModelForCausalLM, AutoTokenizer, modeling_gguf_pytorch_utils",
    "registry.load(generation(model={'id': str(path.parent), 'gguf_file': path.name}).model)",
)


def read(path: Path, how: tuple[str, str], limit: int = 2 * GIB) -> tuple[int, str]:
    """Exit code of a process that reads a file within a limit of memory, and what it says."""
    code = READ.format(imports=how[0], read=how[1], limit=limit)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stderr


def refused(path: Path, how: tuple[str, str], limit: int = 2 * GIB) -> str:
    """What is said of a file that is refused, in a line or two."""
    code, said = read(path, how, limit)
    assert code == 1, said
    assert "Traceback" not in said and said.startswith("error: ") and len(said.splitlines()) <= 3, said
    return said


def test_the_limit_leaves_room_for_sound_files(tmp_path):
    pyarrow.parquet.write_table(pa.table({"prompt_id": ["a"] * 1000}), tmp_path / "t.parquet")
    for how in (TABLE, RUN_TABLE):
        code, said = read(tmp_path / "t.parquet", how)
        assert code == 0, said


@pytest.mark.parametrize("how", [TABLE, RUN_TABLE], ids=["own", "of a run"])
def test_a_table_that_grows_a_thousandfold(tmp_path, how):
    """2 GiB of one letter, in less than a MB."""
    path = tmp_path / "t.parquet"
    text = "a" * (64 * 2**20)
    schema = pa.schema([("prompt_id", pa.large_string())])
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for _ in range(32):
            writer.write_table(pa.table({"prompt_id": [text]}, schema=schema))
    assert path.stat().st_size < 2**20
    assert "memory" in refused(path, how) or "alloc" in refused(path, how)


def test_a_table_whose_footer_states_a_size_that_is_not_there(tmp_path):
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(pa.table({"prompt_id": ["a"] * 1000}), path)
    data = path.read_bytes()
    for size in (2**31 - 1, 2**32 - 1, 0):
        path.write_bytes(data[:-8] + struct.pack("<I", size) + data[-4:])
        assert "models[0].table: cannot be read" in refused(path, TABLE)


GGUF = {
    "tensors": struct.pack("<4sIQQ", b"GGUF", 3, 2**62, 0),
    "keys": struct.pack("<4sIQQ", b"GGUF", 3, 1, 2**62),
    "a text": struct.pack("<4sIQQ", b"GGUF", 3, 1, 1) + struct.pack("<Q", 2**60) + b"general.architecture",
    "a list": struct.pack("<4sIQQ", b"GGUF", 3, 1, 1)
    + struct.pack("<Q", 20)
    + b"general.architecture"
    + struct.pack("<IIQ", 9, 8, 2**60),
}


@pytest.mark.parametrize("what", GGUF)
def test_a_gguf_file_that_states_a_size_that_is_not_there(tmp_path, what):
    path = tmp_path / "m.gguf"
    path.write_bytes(GGUF[what] + bytes(4096))
    assert "the file is damaged, cut short, or no GGUF" in refused(path, MODEL, 12 * GIB)


def test_safetensors_that_state_a_size_that_is_not_there(tmp_path):
    from safetensors import SafetensorError, safe_open

    header = json.dumps({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    for size in (len(header), 2**62):
        (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", size) + header + bytes(64))
        with pytest.raises(SafetensorError), safe_open(tmp_path / "m.safetensors", "np") as file:
            file.get_tensor("w")


def test_a_sheet_that_grows_a_thousandfold(tmp_path):
    """A sheet of a workbook with 2 GiB of blanks."""
    import openpyxl

    path = tmp_path / "t.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["prompt_id"])
    book.save(path)
    blanks = b" " * 2**24
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "u.xlsx", "w") as target:
        for name in source.namelist():
            if name != "xl/worksheets/sheet1.xml":
                target.writestr(name, source.read(name))
                continue
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            with target.open(info, "w", force_zip64=True) as sheet:
                sheet.write(b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">')
                for _ in range(2 * GIB // len(blanks)):
                    sheet.write(blanks)
                sheet.write(b"<sheetData/></worksheet>")
    assert "models[0].table: cannot be read: MemoryError" in refused(tmp_path / "u.xlsx", TABLE)


def test_lines_of_json_that_grow_a_thousandfold(tmp_path):
    """A journal is read line by line: one of a few GiB that is no record is refused, not kept."""
    path = tmp_path / "deep.jsonl"
    path.write_bytes(b'{"prompt_id": ' + b"[" * 2**20 + b"\n")
    assert "models[0].table: cannot be read" in refused(path, TABLE)
