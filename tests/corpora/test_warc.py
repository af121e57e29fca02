"""Files whose line ends are not the standard's: read as if they were, or refused by name; no record
vanishes."""

import gzip
from collections import Counter

import pytest

from lib.corpora import wet
from tests.corpora.test_html import TEXT, response
from tests.corpora.test_wet import MEMBERS, TEXTS, _response, changed, read

PLAIN = [gzip.decompress(member) for member in MEMBERS]
BARE = [raw.replace(b"\r\n", b"\n") for raw in PLAIN]
INFO = gzip.decompress(changed(MEMBERS[0], rb"conversion", b"warcinfo")).replace(b"\r\n", b"\n")


def without_digest(raw: bytes) -> bytes:
    return b"".join(
        line for line in raw.splitlines(keepends=True) if not line.startswith(b"WARC-Block-Digest")
    )


@pytest.mark.parametrize(
    "data",
    [
        b"".join(BARE),
        b"\n\n" + b"".join(BARE),
        gzip.compress(b"".join(BARE), mtime=0),
        b"".join(map(gzip.compress, BARE)),
        b"".join(map(without_digest, BARE)),
        b"".join(BARE[:2] + PLAIN[2:]),  # two files put together
        b"".join(PLAIN[:2] + BARE[2:]),
        b"".join(PLAIN[:1] + BARE[1:2] + PLAIN[2:]),
        b"".join(map(gzip.compress, PLAIN[:1] + BARE[1:2] + PLAIN[2:3] + BARE[3:])),
        gzip.compress(b"".join(BARE[:2] + PLAIN[2:]), mtime=0),
    ],
)
def test_bare_line_ends_are_read(tmp_path, data):
    path = tmp_path / "x.warc.wet.gz"
    path.write_bytes(data)
    pages, counts = read(path)
    assert [page.text for page in pages] == TEXTS
    assert (counts["records"], wet.faults(counts)) == (4, [])


def test_a_warc_file_with_bare_line_ends_is_read(tmp_path):
    page = gzip.decompress(_response(response(f"<p>{TEXT}</p>".encode(), ends="\n"))).replace(b"\r\n", b"\n")
    (tmp_path / "x.warc").write_bytes(page * 40)
    pages, _ = read(tmp_path / "x.warc")
    assert [page.text.strip() for page in pages] == [TEXT] * 40


def test_many_records_with_bare_line_ends_and_what_the_first_tells(tmp_path):
    about = b"isPartOf: CC-MAIN-2024-22\n".ljust(len(TEXTS[0]), b" ")
    info = without_digest(INFO).replace(TEXTS[0].encode(), about)
    (tmp_path / "x.wet").write_bytes(info + b"".join(BARE) * 100)
    pages, counts = read(tmp_path / "x.wet")
    assert len(pages) == 400 and {page.crawl for page in pages} == {"CC-MAIN-2024-22"}
    assert counts["skip_type"] == 1


@pytest.mark.parametrize(
    ("data", "kept", "bad"),
    [
        # cut off, followed by noise, a wrong length
        (b"".join(BARE)[:-30], [0, 1, 2], {"record_truncated": 1, "file_truncated": 1}),
        (b"".join(BARE[:2]) + b"noise\n" * 9 + b"".join(BARE[2:]), [0, 1], {"file_corrupt": 1}),
        (b"".join(BARE) + b"noise", [0, 1, 2, 3], {"file_corrupt": 1}),
        (
            BARE[0] + BARE[1].replace(b"Content-Length: 4", b"Content-Length: 1") + BARE[2],
            [0],
            {"record_digest": 1, "file_corrupt": 1},
        ),
        (b"".join(map(gzip.compress, BARE[:2])) + b"\0" * 50, [0, 1], {"file_corrupt": 1}),
        # line ends that grew, as in a check-out on Windows, so that lengths are too short
        (
            b"".join(
                raw.replace(b". It", b".\nIt").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
                for raw in PLAIN
            ),
            [],
            {"record_digest": 1, "file_corrupt": 1},
        ),
        # another line end midway, where nothing can be read again
        (
            gzip.compress(b"".join(PLAIN[:2] + BARE[2:3] + PLAIN[3:]), mtime=0),
            [0, 1],
            {"record_line_ends": 1},
        ),
    ],
)
def test_damage_beside_bare_line_ends_is_counted(tmp_path, data, kept, bad):
    path = tmp_path / "x.warc.wet.gz"
    path.write_bytes(data)
    pages, counts = read(path)
    assert [page.text for page in pages] == [TEXTS[number] for number in kept]
    assert {
        key: n
        for key, n in counts.items()
        if key.startswith(("file_", "record_", "page_")) and ": " not in key
    } == bad


def test_a_text_that_shows_a_head_is_no_second_record(tmp_path):
    member = changed(MEMBERS[0], rb"WARC-Block-Digest: .*\r\n", b"")
    shown = b"A head begins so:\n\nWARC/1.0\nWARC-Type: response\n"
    member = changed(member, TEXTS[0].encode(), shown)
    (tmp_path / "x.wet").write_bytes(
        changed(member, rb"Content-Length: \d+", b"Content-Length: %d" % len(shown))
    )
    assert next(wet.pages(tmp_path / "x.wet", Counter())).text == shown.decode()
