"""Pages out of WET files: each bad input has its outcome, costs no other page, and is counted."""

import gzip
import io
import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.logging import logger
from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.config.specs import ROOT
from lib.corpora import packaged_text, warc, wet
from lib.corpora.packaged_text import Text

DATE = "2024-05-19T03:04:05Z"
TEXTS = [f"Page {number} tells of the weather. It is calm today." for number in range(4)]
MEMBERS = [
    packaged_text.page_record(f"http://site{number}.example/", DATE, text)
    for number, text in enumerate(TEXTS)
]


@pytest.fixture(autouse=True)
def _quiet():
    logger.disable("lib.corpora.wet")
    yield
    logger.enable("lib.corpora.wet")


def read(path: Path) -> tuple[list[wet.Page], Counter]:
    """Pages and counts of a file; the counts add up, and each page can be read again where it was."""
    counts = Counter()
    pages = list(wet.pages(path, counts))
    assert counts["kept"] == len(pages)
    assert counts["records"] == counts["kept"] + sum(wet.dropped(counts).values())
    assert all(wet.page_at(path, page.offset) == page for page in pages if page.offset is not None)
    return pages, counts


def changed(member: bytes, pattern: bytes, by: bytes) -> bytes:
    """The gzip member with its first match of `pattern` replaced."""
    raw, changes = re.subn(pattern, by, gzip.decompress(member), count=1)
    assert changes == 1
    return gzip.compress(raw, mtime=0)


def flipped(member: bytes, place: int) -> bytes:
    return member[:place] + bytes([member[place] ^ 0xFF]) + member[place + 1 :]


def of_length(length: str, digest: bool = True) -> bytes:
    member = changed(MEMBERS[1], rb"Content-Length: \d+", f"Content-Length: {length}".encode())
    return member if digest else changed(member, rb"WARC-Block-Digest: .*\r\n", b"")


def test_a_page_has_all_that_the_file_tells_of_it(tmp_path):
    path = tmp_path / "crawl-data" / "CC-MAIN-2024-22" / "segments" / "1.2" / "wet" / "a.warc.wet.gz"
    path.parent.mkdir(parents=True)
    packaged_text.write(path, "CC-MAIN-2024-22", [Text("http://a.example/x", DATE, "The café is open.")])
    (page,), counts = read(path)
    assert counts == {"files": 1, "records": 2, "kept": 1, "skip_type": 1, "kept_not_utf8": 0}
    assert page.text == "The café is open."
    assert page[1:3] == ("http://a.example/x", DATE)
    assert re.fullmatch(r"<urn:uuid:[0-9a-f-]{36}>", page.record_id)
    assert (page.refers_to, page.crawl, page.language) == (None, "CC-MAIN-2024-22", "eng")
    assert page.wet_path == "crawl-data/CC-MAIN-2024-22/segments/1.2/wet/a.warc.wet.gz"
    assert page.offset > 0


@pytest.mark.parametrize(
    ("data", "kept", "expected"),
    [
        (b"".join(MEMBERS), [0, 1, 2, 3], {}),
        # cut off: in the last text, in its header, in its first bytes
        (b"".join(MEMBERS)[:-20], [0, 1, 2], {"record_truncated": 1, "file_truncated": 1}),
        (b"".join(MEMBERS)[: -len(MEMBERS[3]) + 30], [0, 1, 2], {"record_truncated": 1, "file_truncated": 1}),
        (b"".join(MEMBERS)[: -len(MEMBERS[3]) + 5], [0, 1, 2], {"record_truncated": 1, "file_truncated": 1}),
        # gzip that is damaged in its middle, in its checksum, or followed by zeros: what came before is kept
        (MEMBERS[0] + flipped(MEMBERS[1], 150) + MEMBERS[2], [0], {"file_corrupt": 1}),
        (MEMBERS[0] + flipped(MEMBERS[1], len(MEMBERS[1]) - 6) + MEMBERS[2], [0], {"file_corrupt": 1}),
        (b"".join(MEMBERS) + b"\0" * 100, [0, 1, 2, 3], {"file_corrupt": 1}),
        # a wrong Content-Length costs its own record alone
        (MEMBERS[0] + of_length("200") + b"".join(MEMBERS[2:]), [0, 2, 3], {"record_digest": 1}),
        (
            MEMBERS[0] + of_length("600", digest=False) + b"".join(MEMBERS[2:]),
            [0, 2, 3],
            {"record_overlong": 1},
        ),
        (MEMBERS[0] + of_length("9000") + b"".join(MEMBERS[2:]), [0, 2, 3], {"record_truncated": 1}),
        (
            MEMBERS[0] + of_length("1000000000000000") + b"".join(MEMBERS[2:]),
            [0, 2, 3],
            {"record_truncated": 1},
        ),
        (MEMBERS[0] + of_length("10") + b"".join(MEMBERS[2:]), [0, 2, 3], {"record_digest": 1}),
        (MEMBERS[0] + of_length("-5") + b"".join(MEMBERS[2:]), [0, 2, 3], {"record_digest": 1}),
        (MEMBERS[0] + of_length("many") + b"".join(MEMBERS[2:]), [0, 2, 3], {"record_digest": 1}),
        (
            MEMBERS[0] + of_length("-5", digest=False) + b"".join(MEMBERS[2:]),
            [0, 2, 3],
            {"page_empty": 1, "file_corrupt": 1},
        ),
        # no WET at all
        (b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>", [], {"file_corrupt": 1}),
        (random.Random(1).randbytes(5000), [], {"file_corrupt": 1}),
        (gzip.compress(b"<html>not found</html>", mtime=0), [], {"file_corrupt": 1}),
        (b"", [], {"file_empty": 1}),
        (gzip.compress(b"", mtime=0), [], {"file_empty": 1}),
        # all in one gzip member, and not compressed
        (gzip.compress(b"".join(map(gzip.decompress, MEMBERS)), mtime=0), [0, 1, 2, 3], {}),
        (b"".join(map(gzip.decompress, MEMBERS)), [0, 1, 2, 3], {}),
        (
            b"".join(map(gzip.decompress, MEMBERS))[:-30],
            [0, 1, 2],
            {"record_truncated": 1, "file_truncated": 1},
        ),
    ],
)
def test_bad_input_costs_itself_alone_and_is_counted(tmp_path, data, kept, expected):
    path = tmp_path / "x.warc.wet.gz"
    path.write_bytes(data)
    pages, counts = read(path)
    assert [page.text for page in pages] == [TEXTS[number] for number in kept]
    bad = {
        key: count
        for key, count in counts.items()
        if key.startswith(("file_", "record_", "page_")) and ": " not in key
    }
    assert bad == expected
    assert len(wet.faults(counts)) == sum(count for key, count in expected.items() if key.startswith("file_"))
    assert all(f": {path}: " in fault for fault in wet.faults(counts))


def test_what_is_no_wet_file_is_told_by_its_first_bytes(tmp_path):
    path = tmp_path / "x.warc.wet.gz"
    path.write_bytes(b"<?xml version='1.0'?><Error>")
    (fault,) = wet.faults(read(path)[1])
    assert fault.startswith("file_corrupt: ")
    assert "begins with b\"<?xml version='1.0'?>" in fault


def test_a_gzip_stream_that_cannot_be_entered_has_no_offsets(tmp_path):
    path = tmp_path / "x.warc.wet.gz"
    path.write_bytes(gzip.compress(b"".join(map(gzip.decompress, MEMBERS))))
    assert [page.offset for page in read(path)[0]] == [None] * 4


def test_the_language_is_the_headers_first_else_told_from_the_text(tmp_path):
    english, german = (
        "The weather is calm today, and it will be tomorrow.",
        "Das Wetter ist heute ruhig und wird es morgen sein.",
    )
    rows = [(english, "eng"), (english, "eng,fra"), (english, "fra,eng"), (english, None), (german, None)]
    path = tmp_path / "x.warc.wet.gz"
    path.write_bytes(
        b"".join(packaged_text.page_record(f"http://{n}.example", DATE, *row) for n, row in enumerate(rows))
    )
    pages, counts = read(path)
    assert [page.language for page in pages] == ["eng", "eng,fra", "en"]
    assert wet.dropped(counts) == {"skip_lang": 2}


def test_bytes_that_are_no_utf8_are_marked_and_counted(tmp_path):
    member = changed(MEMBERS[0], b"WARC-Block-Digest: .*\r\n", b"")
    path = tmp_path / "x.warc.wet.gz"
    path.write_bytes(changed(member, b"calm", "c\xe4lm".encode("latin-1")) + MEMBERS[1])
    pages, counts = read(path)
    assert "It is c\N{REPLACEMENT CHARACTER}lm" in pages[0].text
    assert (counts["kept"], counts["kept_not_utf8"]) == (2, 1)


def test_the_html_of_a_warc_file_is_read_as_text(tmp_path):
    html = (
        "<meta charset=utf-8><script>var x</script><p>The weather is calm today.</p><p>It was not "
        "yesterday, at the café.</p>"
    )
    kinds = {
        b"text/html; charset=latin-1": html.encode("latin-1"),
        b"text/html": html.encode(),
        b"image/png": b"\x89PNG",
        b"text/html\r\nContent-Encoding: gzip": b"\x1f\x8bthis\x00\x01is no gzip",
    }
    path = tmp_path / "x.warc.gz"
    path.write_bytes(
        b"".join(
            _response(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\n\r\n" + body)
            for kind, body in kinds.items()
        )
    )
    pages, counts = read(path)
    assert [" ".join(page.text.split()) for page in pages] == [
        "The weather is calm today. It was not yesterday, at the café."
    ] * 2
    assert wet.dropped(counts) == {"skip_type": 1, "page_undecodable": 1}


def _response(block: bytes) -> bytes:
    record = WarcRecord()
    record.init_headers(WarcRecordType.response, record_urn=b"uuid:1")
    record.headers["Content-Type"] = "application/http; msgtype=response"
    record.set_bytes_content(block)
    buffer = io.BytesIO()
    with GzipWriter(buffer) as writer:
        record.write(writer, checksum_data=True)
    return buffer.getvalue()


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, sum(map(len, MEMBERS)) - 1), flip=st.integers(0, 255))
def test_no_damage_makes_up_text(tmp_path_factory, place, flip):
    """Wherever the file ends (flip 0), whatever byte is changed: a page is one of those written, what is
    missing is counted."""
    data = bytearray(b"".join(MEMBERS))
    data[place] ^= flip
    path = tmp_path_factory.mktemp("damaged") / "x.warc.wet.gz"
    path.write_bytes(data if flip else data[:place])
    pages, counts = read(path)
    kept = [TEXTS.index(page.text) for page in pages]
    whole = [sum(map(len, MEMBERS[:number])) for number in range(5)]
    assert kept == sorted(set(kept))
    assert kept == [0, 1, 2, 3] or wet.faults(counts) or wet.dropped(counts) or (place in whole and not flip)


MEASURED = """
import sys
from collections import Counter
from pathlib import Path
from lib.corpora import wet
memory = lambda: open("/proc/self/status")
peak = lambda: next(int(line.split()[1]) / 1024 for line in memory() if line.startswith("VmHWM"))
pages = lambda path: [page.url for page in wet.pages(Path(path), counts)]
counts = Counter()
pages(sys.argv[1])
before, counts = peak(), Counter()
print(pages(sys.argv[2]), wet.dropped(counts), peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of memory")
def test_a_record_of_200_mb_is_skipped_in_flat_memory(tmp_path):
    small, large = tmp_path / "small.warc.wet.gz", tmp_path / "large.warc.wet.gz"
    small.write_bytes(b"".join(MEMBERS))
    giant = packaged_text.page_record(
        "http://giant.example/", DATE, "The weather is calm today, and it will be. " * 5_000_000
    )
    large.write_bytes(MEMBERS[0] + giant + MEMBERS[1])
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, small, large], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    found, mb = done.stdout.rsplit(" ", 1)
    assert found == "['http://site0.example/', 'http://site1.example/'] {'record_too_big': 1}"
    assert float(mb) < 50


@pytest.fixture
def folder(tmp_path) -> Path:
    """A good file, a truncated, a corrupt, an empty one."""
    packaged_text.write(
        tmp_path / "a.warc.wet.gz",
        "CC-MAIN-2024-22",
        [Text(f"http://a{n}.example", DATE, text) for n, text in enumerate(TEXTS)],
    )
    (tmp_path / "b.warc.wet.gz").write_bytes(b"".join(MEMBERS)[:-20])
    (tmp_path / "c.warc.wet.gz").write_bytes(b"garbage")
    (tmp_path / "d.warc.wet.gz").touch()
    return tmp_path


@pytest.mark.parametrize("tasks", [1, 3])
def test_a_datatrove_job_reads_all_files_and_its_counts_outlast_a_second_run(folder, tasks):
    files = [*sorted(folder.glob("*.gz")), folder / "missing.warc.wet.gz"]

    def job():
        steps = [wet.WetReader(files), ParquetWriter(str(folder / "pages"))]
        return LocalPipelineExecutor(steps, tasks=tasks, logging_dir=str(folder / "log"), skip_completed=True)

    job().run()
    first = wet.counted(folder / "log", wet.WetReader)
    assert {key: count for key, count in first.items() if ": " not in key and count} == {
        "files": 5,
        "records": 9,
        "kept": 7,
        "skip_type": 1,
        "record_truncated": 1,
        "file_truncated": 1,
        "file_corrupt": 1,
        "file_empty": 1,
        "file_missing": 1,
    }
    assert len(wet.faults(first)) == 4
    job().run()
    assert wet.counted(folder / "log", wet.WetReader) == first
    wet.demand_pages(first)


def test_a_failing_disk_is_no_damage_of_the_file(folder, monkeypatch):
    def failing(*_, **__):
        raise OSError(5, "Input/output error")
        yield

    monkeypatch.setattr(warc, "ArchiveIterator", failing)
    with pytest.raises(OSError, match="Input/output error"):
        list(wet.pages(folder / "a.warc.wet.gz", Counter()))


def test_a_data_set_without_a_page_is_an_error_that_tells_why(folder):
    counts = Counter()
    for name in ("c", "d", "missing"):
        list(wet.pages(folder / f"{name}.warc.wet.gz", counts))
    with pytest.raises(ValueError, match="no English page in 3 files") as refused:
        wet.demand_pages(counts)
    assert all(reason in str(refused.value) for reason in ("file_corrupt", "file_empty", "file_missing"))


def test_no_page_is_told_of_where_none_is(folder):
    with pytest.raises(ValueError, match="no page at offset 0"):
        wet.page_at(folder / "a.warc.wet.gz", 0)  # there is the warcinfo record


def test_documents_carry_all_of_a_page(folder):
    documents = list(wet.WetReader([folder / "a.warc.wet.gz"]).run())
    pages = list(wet.pages(folder / "a.warc.wet.gz", Counter()))
    assert [wet.Page(text=d.text, record_id=d.id, **d.metadata) for d in documents] == pages
    assert json.dumps(documents[0].metadata)
