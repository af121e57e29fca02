"""The page of an HTTP response: the same whatever is claimed of its coding, else a reason of its own that is
counted."""

import gzip
import random
import zlib

import pyarrow as pa
import pytest

from lib.corpora import warc, wet
from tests.corpora.test_wet import _response, read

TEXT = "The recipe is written on the back of a card that hangs beside the kitchen door."
PAGE = f"<html><head><title>t</title></head><body><p>{TEXT}</p></body></html>".encode()
NOISE = random.Random(3).randbytes(400)


def chunked(body: bytes, size: int = 40, end: bytes = b"0\r\n\r\n", extension: bytes = b"") -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts) + end


def packed(form: str, body: bytes = PAGE) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.output_stream(sink, compression=form) as stream:
        stream.write(body)
    return sink.getvalue().to_pybytes()


def response(
    body: bytes, *lines: str, media: str | None = "text/html; charset=utf-8", ends: str = "\r\n"
) -> bytes:
    head = ["HTTP/1.1 200 OK", *([f"Content-Type: {media}"] if media else []), *lines, "", ""]
    return ends.join(head).encode() + body


def found(tmp_path, *blocks: bytes):
    path = tmp_path / "x.warc.gz"
    path.write_bytes(b"".join(map(_response, blocks)))
    return read(path)


CLAIMS = [
    "gzip",
    "x-gzip",
    "GZIP",
    "deflate",
    "br",
    "zstd",
    "identity",
    "none",
    "utf-8",
    "gzip, br",
    "compress",
    "",
]


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_coding_that_is_claimed_and_not_there_costs_nothing(tmp_path, claim):
    heads = [
        [f"Content-Encoding: {claim}"],
        ["Transfer-Encoding: chunked", f"Content-Encoding: {claim}"],
        [f"Transfer-Encoding: {claim}, chunked"],
        [f"Content-Encoding: {claim}", f"Content-Encoding: {claim}"],
    ]
    pages, counts = found(tmp_path, *(response(PAGE, *head) for head in heads))
    assert [page.text.strip() for page in pages] == [TEXT] * 4
    assert counts["kept_cut"] == 0


TRUE = {
    "gzip": gzip.compress(PAGE, mtime=0),
    "x-gzip": gzip.compress(PAGE, mtime=0),
    "Gzip": gzip.compress(PAGE[:30], mtime=0)
    + gzip.compress(b"", mtime=0)
    + gzip.compress(PAGE[30:], mtime=0),
    "gZip": gzip.compress(PAGE, mtime=0) + b"\0\0 what follows",
    "deflate": zlib.compress(PAGE),
    "DEFLATE": zlib.compress(PAGE, wbits=-15),  # without its head
    "br": packed("brotli"),
    "zstd": packed("zstd"),
    "gzip, gzip": gzip.compress(gzip.compress(PAGE), mtime=0),
    "deflate, br": packed("brotli", zlib.compress(PAGE)),
}


@pytest.mark.parametrize("claim", TRUE)
def test_a_coding_that_is_there_is_undone(tmp_path, claim):
    body, coding = TRUE[claim], f"Content-Encoding: {claim}"
    blocks = [
        response(body, coding),
        response(chunked(body), "Transfer-Encoding: chunked", coding),
        response(chunked(body), f"Transfer-Encoding: {claim}, chunked"),
        response(body, coding, "Transfer-Encoding: chunked"),
    ]
    pages, counts = found(tmp_path, *blocks)
    assert [page.text.strip() for page in pages] == [TEXT] * 4
    assert counts["kept_cut"] == 0


@pytest.mark.parametrize("claim", ["identity", "br", "deflate"])
@pytest.mark.parametrize(
    "body",
    [gzip.compress(PAGE, mtime=0), packed("zstd"), chunked(PAGE), chunked(gzip.compress(PAGE, mtime=0))],
)
def test_a_coding_that_shows_is_undone_whatever_is_claimed(tmp_path, claim, body):
    (page,), _ = found(tmp_path, response(body, f"Content-Encoding: {claim}"))
    assert page.text.strip() == TEXT


HEADS = [
    response(PAGE),
    response(PAGE, ends="\n"),
    response(PAGE, media="TEXT/HTML; Charset=UTF-8"),
    response(PAGE, media="application/xhtml+xml"),
    response(PAGE, media="text/html;"),
    response(PAGE, media="text/html, text/html"),
    response(PAGE, media="\r\n\ttext/html"),
    response(PAGE, media=None),  # by its first tag
    response(b"\xef\xbb\xbf\n" + PAGE, media=None),
    *(
        response(PAGE, media=media)
        for media in ("*/*", "unknown/unknown", "html", "text/html:charset=utf-8", "text/html\xa0")
    ),
    response(PAGE, "CONTENT-TYPE: text/html", media=None),
    response(PAGE, media="text/html\nX-Mixed: line ends"),
    response(chunked(PAGE, extension=b";name=value"), "transfer-encoding: Chunked"),
    response(chunked(PAGE, end=b"0\r\nTrailer: x\r\n\r\n"), "Transfer-Encoding: chunked"),
    PAGE,  # HTTP/0.9
    *(
        response(PAGE).replace(b"200 OK", status)
        for status in (b"301 Moved Permanently", b"404 Not Found", b"204 ", b"200")
    ),
    response(PAGE).replace(b"HTTP/1.1", b"HTTP/2"),
    response(PAGE).replace(b"HTTP/1.1", b"ICY"),
]


@pytest.mark.parametrize("block", HEADS)
def test_a_head_in_any_form_leads_to_the_page(tmp_path, block):
    (page,), counts = found(tmp_path, block)
    assert page.text.strip() == TEXT
    assert counts["kept_cut"] == 0


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (response(b"%PDF-1.4 text", media="application/pdf"), "skip_type"),
        (response(b"%PDF-1.4 text", media=None), "skip_type"),
        (response(PAGE, media="text/plain"), "skip_type"),
        (b"", "page_headless"),
        (b"no head and no tag", "page_headless"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html", "page_headless"),  # never ends
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + PAGE, "page_headless"),
        (response(PAGE, "X: " + 70_000 * "y"), "page_headless"),  # longer than any reader takes
        (response(b"", media="text/html").replace(b"200 OK", b"204 No Content"), "page_empty"),
        (response(b""), "page_empty"),
        (response(chunked(b""), "Transfer-Encoding: chunked"), "page_empty"),
        (response(NOISE), "page_undecodable"),
        (response(NOISE, media="text/html; charset=windows-1252"), "page_undecodable"),
        *(
            (response(NOISE, f"Content-Encoding: {claim}"), "page_undecodable")
            for claim in ("br", "deflate", "compress", "zstd")
        ),
        (response(b"\x1f\x8b\x08\0" + NOISE, "Content-Encoding: gzip"), "page_undecodable"),
        (
            response(gzip.compress(PAGE, mtime=0)[:-8] + b"checksum", "Content-Encoding: gzip"),
            "page_undecodable",
        ),
        (response(b"%PDF-1.4 text", media="*/*"), "skip_type"),
        (response(TRUE["br"][:20] + NOISE, "Content-Encoding: br"), "page_undecodable"),
        (response(TRUE["br"]), "page_undecodable"),  # nothing tells of it, and it has no mark
    ],
)
def test_what_gives_no_page_has_a_reason_of_its_own(tmp_path, block, reason):
    pages, counts = found(tmp_path, block)
    assert (pages, wet.dropped(counts)) == ([], {reason: 1})


LONG = b"<p>" + b" ".join(b"On day %d the weather is calm." % day for day in range(20_000))


@pytest.mark.parametrize(
    "block",
    [
        response(chunked(LONG, 4000)[:-9000], "Transfer-Encoding: chunked"),
        response(chunked(LONG, 4000, end=b""), "Transfer-Encoding: chunked"),
        response(gzip.compress(LONG, mtime=0)[:-900], "Content-Encoding: gzip"),
        response(
            gzip.compress(LONG[:90_000], mtime=0) + gzip.compress(LONG[90_000:], mtime=0)[:-900],
            "Content-Encoding: gzip",
        ),
        response(zlib.compress(LONG)[:-900], "Content-Encoding: deflate"),
        response(packed("brotli", LONG)[:-900], "Content-Encoding: br"),
        response(packed("zstd", LONG)[:-900], "Content-Encoding: zstd"),
        response(
            chunked(gzip.compress(LONG, mtime=0))[:-900],
            "Content-Encoding: gzip",
            "Transfer-Encoding: chunked",
        ),
    ],
)
def test_a_body_that_breaks_off_is_read_as_far_as_it_goes_and_counted(tmp_path, block):
    (page,), counts = found(tmp_path, block)
    assert page.text.startswith("On day 0 the weather is calm. On day 1 ")
    assert counts["kept_cut"] == 1


def test_nothing_is_unpacked_beyond_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(warc, "MAX_LENGTH", 100_000)
    coded = {
        "gzip": gzip.compress(LONG, mtime=0),
        "deflate": zlib.compress(LONG),
        "br": packed("brotli", LONG),
        "zstd": packed("zstd", LONG),
    }
    pages, counts = found(
        tmp_path, *(response(body, f"Content-Encoding: {claim}") for claim, body in coded.items())
    )
    assert [99_000 < len(page.text) <= 100_000 for page in pages] == [True] * 4
    assert counts["kept_cut"] == 4


CAFE = "The weather is calm today. It was not yesterday, at the café."


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("utf-8", "utf-8"),
        ("iso-8859-1", "latin-1"),
        ("latin-1", "latin-1"),
        ('"ISO-8859-1"', "latin-1"),
        ("no-such-name", "utf-8"),
        ("iso-8859-1", "utf-8"),  # claimed wrongly
        ("iso-8859-1", "utf-8-sig"),
        ("utf-8", "utf-16"),
        ("utf-16", "utf-16"),
        (None, "utf-8"),
        (None, "latin-1"),
    ],
)
def test_the_charset_that_the_bytes_show_goes_before_the_one_that_is_named(tmp_path, charset, encoding):
    body = f"<html><p>{CAFE}</p></html>".encode(encoding)
    (page,), _ = found(
        tmp_path, response(body, media="text/html" + (f"; charset={charset}" if charset else ""))
    )
    assert page.text.strip() == CAFE
