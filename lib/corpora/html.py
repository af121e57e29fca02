"""The HTML in the HTTP response of a WARC record, whatever its header states about the coding of the body.

Crawlers often store a decoded body under the header that the server sent, so a stated coding counts only
where the body confirms it. gzip and zstd are recognised by their first bytes (stated or not), chunks by their
sizes, deflate and brotli by whether they can be decoded. A body that cannot be decoded as stated is taken as
it is, and rejected if it is not text.
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
# what a browser treats as HTML where no media type is given (WHATWG MIME Sniffing, 7.1)
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
_SAMPLE = 20_000  # characters that are examined to distinguish text from other bytes


class Html(NamedTuple):
    """The HTML of a page.

    `cut` is true where the body breaks off or exceeds the limit, so that its end is missing.
    """

    text: str
    cut: bool


def html_of(record: WarcRecord, limit: int) -> Html | str:
    """Return the HTML of a response record, or why there is none.

    Args:
        record: A frozen response record.
        limit: Most bytes of the decoded body.

    Returns:
        The HTML, or one of skip_type (not HTML), page_headless (the HTTP header is missing or does not end)
        and page_undecodable (not text in any encoding).
    """
    block = record.reader.read()
    head = _HEAD.match(block)
    if not head and not _OPENING.match(block):
        return "page_headless"
    if head:
        record.reader.seek(0)
        try:
            record.parse_http(quirks_mode=True)
        except OSError:  # the header is longer than FastWARC reads
            return "page_headless"
    stated = record.http_headers.get("Content-Type") if head else None
    stated = stated or record.headers.get("WARC-Identified-Payload-Type") or ""
    media = re.split(r"[;,\s]", stated.strip())[0]
    # as a browser treats an invalid type, or one that states it is unknown
    media = media.lower() if _TYPE.fullmatch(media) else ""
    if media and media not in _MEDIA:
        return "skip_type"
    body, cut = _decoded(block[head.end() :] if head else block, _codings(record) if head else [], limit)
    if not media and body and not _OPENING.match(body):
        return "skip_type"
    text = _text(body, record.http_charset if head else None)
    return "page_undecodable" if text is None else Html(text, cut)


def _codings(record: WarcRecord) -> list[str]:
    """Return the codings of the body that the header states, the last one first."""
    lines = [
        line
        for name in ("Content-Encoding", "Transfer-Encoding")
        for line in record.http_headers.get_multiple(name)
    ]
    return [coding.strip().lower() for line in lines for coding in line.split(",")][::-1]


def _decoded(body: bytes, codings: list[str], limit: int) -> tuple[bytes, bool]:
    """Return the body with every coding undone that it really has, and whether a part of it is missing."""
    cut = False
    # the header does not state chunks, but they are complete
    if "chunked" not in codings and (chunks := _chunks(body, limit)) and not chunks[1]:
        body = chunks[0]
    for coding in [*codings, ""]:
        for undo in (_UNDO.get(coding), _gzip, _zstd):
            if undo and (undone := undo(body, limit)):
                body, cut = undone[0], cut or undone[1]
    return body[:limit], cut or len(body) > limit


# Each returns the decoded body and whether its end is missing; None if the body has another coding.


def _chunks(body: bytes, limit: int) -> tuple[bytes, bool] | None:
    data: list[bytes] = []
    position = 0
    while size := _CHUNK.match(body, position):
        position = size.end() + int(size[1], 16)
        if position == size.end():
            return b"".join(data), False
        data.append(body[size.end() : position])
    return (b"".join(data), True) if data else None


def _gzip(body: bytes, limit: int) -> tuple[bytes, bool] | None:
    """Decode one gzip member or several; trailing bytes that are no member are ignored."""
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
    """Decode deflate with the zlib header that the standard requires, or without, as some servers send it."""
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
    """Return whether the bytes look like text.

    Deflate and brotli have no signature, so some text could be decoded as either and would turn into noise.
    """
    return not _CONTROLS.search(body[:_SAMPLE].decode("latin-1"))


_UNDO = {"chunked": _chunks, "deflate": _deflate, "br": _brotli}


def _text(body: bytes, named: str | None) -> str | None:
    """Decode the body as text, in the encoding that its bytes show, that is stated, or that is likely.

    None if it is not text in any of them.
    """
    likely = detect_encoding(body, from_html_meta=True) or "utf-8"
    stated = map_encoding_to_html5(_name(named), fallback_utf8=False) if named else None
    detected = next((encoding for mark, encoding in _BOMS if body.startswith(mark)), None)
    if not detected and _is_utf8(body):
        detected = "utf-8"
    texts = (
        bytes_to_str(
            body,
            map_encoding_to_html5(encoding),  # type: ignore[arg-type]  # None only with fallback_utf8=False
            errors="replace",
        )
        for encoding in (detected or stated, likely)
        if encoding
    )
    return next((text for text in texts if _is_text(text[:_SAMPLE])), None)


def _name(charset: str) -> str:
    """Return the name of an encoding as the web writes it, for a name in a header ("latin-1" in quotes)."""
    charset = charset.strip(" \t'\"")
    try:
        return charset if map_encoding_to_html5(charset, fallback_utf8=False) else codecs.lookup(charset).name
    except LookupError:
        return charset


def _is_utf8(body: bytes) -> bool:
    """Return whether the body has letters beyond ASCII, all of them valid UTF-8.

    Text in other encodings is hardly ever valid UTF-8 by chance.
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(body)  # a body that is cut at the end counts
    except UnicodeDecodeError:
        return False
    return not body.isascii()


def _is_text(text: str) -> bool:
    controls, undecoded = len(_CONTROLS.findall(text)), text.count("\N{REPLACEMENT CHARACTER}")
    return controls <= 0.02 * len(text) and not (controls and undecoded > 0.1 * len(text))
