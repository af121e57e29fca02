"""The HTML in the HTTP response of a WARC record, whatever its head claims of how the body is coded.

Crawlers often store a decoded body under the head that the server sent, so a claim counts only where the body
bears it out: gzip and zstd are known by their first bytes (claimed or not), chunks by their sizes, deflate
and brotli by being readable as such. What cannot be read as it is claimed is taken as it stands, and refused
if that is no text.
"""

import codecs
import gzip
import io
import re
import zlib
from typing import NamedTuple

import pyarrow as pa
from fastwarc.warc import WarcRecord
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

_MEDIA = ("text/html", "application/xhtml+xml")
_TYPE = re.compile(
    r"(?!\*/\*|(unknown|application)/unknown)[!#-'*+.^-`|~\w-]+/[!#-'*+.^-`|~\w-]+", re.ASCII | re.IGNORECASE
)
# what a browser takes for HTML where no media type is given (WHATWG MIME Sniffing, 7.1)
_OPENING = re.compile(
    rb"(\xef\xbb\xbf)?\s*<(!--|(!doctype "
    rb"html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|meta)[\s>])",
    re.IGNORECASE,
)
_HEAD = re.compile(rb"[A-Za-z]+(/\d[.\d]*)? +\d{3}\b.*?\n\r?\n", re.DOTALL)
_CHUNK = re.compile(rb"\s*([0-9a-fA-F]{1,8})[ \t]*(;[^\r\n]*)?\r?\n")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_CONTROLS = re.compile(r"[\0-\x08\x0e-\x1a\x1c-\x1f]")
GZIP = b"\x1f\x8b"
_SAMPLE = 20_000  # characters that are looked at to tell text from other bytes


class Html(NamedTuple):
    """The HTML of a page; `cut` where the body breaks off or was longer than the limit, and the rest is
    missing."""

    text: str
    cut: bool


def html_of(record: WarcRecord, limit: int) -> Html | str:
    """The HTML of a frozen response record, of at most `limit` bytes, or why there is none:

    skip_type (no HTML), page_headless (the HTTP head is missing or does not end), page_undecodable (no text,
    however it is read).
    """
    block = record.reader.read()
    head = _HEAD.match(block)
    if not head and not _OPENING.match(block):
        return "page_headless"
    if head:
        record.reader.seek(0)
        try:
            record.parse_http(quirks_mode=True)
        except OSError:  # longer than FastWARC reads
            return "page_headless"
    header = record.http_headers.get if head else {}.get
    media = re.split(
        r"[;,\s]",
        (header("Content-Type") or record.headers.get("WARC-Identified-Payload-Type") or "").strip(),
    )[0]
    # as a browser takes what is no type, or says that it is unknown
    media = media.lower() if _TYPE.fullmatch(media) else ""
    if media and media not in _MEDIA:
        return "skip_type"
    body, cut = _decoded(block[head.end() :] if head else block, _codings(record) if head else [], limit)
    if not media and body and not _OPENING.match(body):
        return "skip_type"
    text = _text(body, record.http_charset if head else None)
    return "page_undecodable" if text is None else Html(text, cut)


def _codings(record: WarcRecord) -> list[str]:
    """What the head says was done to the body, the last first."""
    lines = [
        line
        for name in ("Content-Encoding", "Transfer-Encoding")
        for line in record.http_headers.get_multiple(name)
    ]
    return [coding.strip().lower() for line in lines for coding in line.split(",")][::-1]


def _decoded(body: bytes, codings: list[str], limit: int) -> tuple[bytes, bool]:
    """The body with every coding undone that it truly has, and whether a part of it is missing."""
    cut = False
    # nobody says so, but they are whole
    if "chunked" not in codings and (chunks := _chunks(body, limit)) and not chunks[1]:
        body = chunks[0]
    for coding in [*codings, ""]:
        for undo in (_UNDO.get(coding), _gzip, _zstd):
            if undo and (undone := undo(body, limit)):
                body, cut = undone[0], cut or undone[1]
    return body[:limit], cut or len(body) > limit


# Each gives what the body holds, and whether its end is missing; None if it is not coded so.


def _chunks(body: bytes, limit: int) -> tuple[bytes, bool] | None:
    data, place = [], 0
    while size := _CHUNK.match(body, place):
        place = size.end() + int(size[1], 16)
        if place == size.end():
            return b"".join(data), False
        data.append(body[size.end() : place])
    return (b"".join(data), True) if data else None


def _gzip(body: bytes, limit: int) -> tuple[bytes, bool] | None:
    """Of one member or several; what follows them and is none does not count."""
    if not body.startswith(GZIP):
        return None
    data = b""
    try:
        with gzip.open(io.BytesIO(body)) as stream:
            while len(data) <= limit and (more := stream.read1(1 << 16)):
                data += more
    except EOFError:
        return (data, True) if data else None
    except (OSError, zlib.error) as error:
        return (data, False) if data and "Not a gzipped file" in str(error) else None
    return data, False


def _deflate(body: bytes, limit: int) -> tuple[bytes, bool] | None:
    """With the zlib head that the standard asks for, or without, as some servers send it."""
    if _is_printable(body):
        return None
    return _inflated(body, limit, zlib.MAX_WBITS) or _inflated(body, limit, -zlib.MAX_WBITS)


def _inflated(body: bytes, limit: int, form: int) -> tuple[bytes, bool] | None:
    inflating = zlib.decompressobj(form)
    try:
        data = inflating.decompress(body, limit + 1)
    except zlib.error:
        return None
    return (data, not inflating.eof) if data or inflating.eof else None


def _zstd(body: bytes, limit: int) -> tuple[bytes, bool] | None:
    return _unpacked(body, limit, "zstd") if body.startswith(b"\x28\xb5\x2f\xfd") else None


def _brotli(body: bytes, limit: int) -> tuple[bytes, bool] | None:
    return None if _is_printable(body) else _unpacked(body, limit, "brotli")


def _unpacked(body: bytes, limit: int, form: str) -> tuple[bytes, bool] | None:
    data = b""
    try:
        with pa.input_stream(pa.py_buffer(body), compression=form) as stream:
            while len(data) <= limit and (more := stream.read(1 << 16)):
                data += more
    except OSError as error:
        return (data, True) if data and "Truncated" in str(error) else None
    return (data, False) if data else None


def _is_printable(body: bytes) -> bool:
    """Text by its bytes. Some of it could be read as deflate or brotli, which have no mark, and would come
    out as noise."""
    return not _CONTROLS.search(body[:_SAMPLE].decode("latin-1"))


_UNDO = {"chunked": _chunks, "deflate": _deflate, "br": _brotli}


def _text(body: bytes, named: str | None) -> str | None:
    """The body as text, in the encoding that it shows, or that is named, or that is likely; None if it is no
    text in any."""
    likely = detect_encoding(body, from_html_meta=True) or "utf-8"
    given = map_encoding_to_html5(_name(named), fallback_utf8=False) if named else None
    shown = next((encoding for mark, encoding in _BOMS if body.startswith(mark)), None)
    if not shown and _is_utf8(body):
        shown = "utf-8"
    texts = (
        bytes_to_str(body, map_encoding_to_html5(encoding), errors="replace")
        for encoding in (shown or given, likely)
        if encoding
    )
    return next((text for text in texts if _is_text(text[:_SAMPLE])), None)


def _name(charset: str) -> str:
    """The name of an encoding as the web writes it, of what a head says ("latin-1" in quotation marks)."""
    charset = charset.strip(" \t'\"")
    try:
        return charset if map_encoding_to_html5(charset, fallback_utf8=False) else codecs.lookup(charset).name
    except LookupError:
        return charset


def _is_utf8(body: bytes) -> bool:
    """Whether the body has letters beyond ASCII, and all of them as UTF-8, which other encodings do not make
    by chance."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(body)  # one that is cut at the end counts
    except UnicodeDecodeError:
        return False
    return not body.isascii()


def _is_text(text: str) -> bool:
    controls, unread = len(_CONTROLS.findall(text)), text.count("\N{REPLACEMENT CHARACTER}")
    return controls <= 0.02 * len(text) and not (controls and unread > 0.1 * len(text))
