"""English pages from WET files (Common Crawl's plain text) or WARC files with HTML; the rest is counted.

FastWARC reads the records, resiliparse extracts text from HTML, and `WetReader` is the first step of a
datatrove job. For the records of a file

    records == kept + sum(dropped(counts).values())

with the reasons

    skip_type         no page: warcinfo, image, …
    skip_lang         not English
    page_empty        no text
    page_headless     no HTTP header, or one without an end
    page_undecodable  not text in any encoding
    record_too_big    above warc.MAX_LENGTH
    record_truncated  shorter than its Content-Length
    record_digest     does not match its digest: damaged, or a wrong length
    record_overlong   without a digest, and contains the next record
    record_line_ends  the lines of its header end differently from those before

Among the kept, kept_not_utf8 have U+FFFD for bytes that could not be decoded, and kept_cut lack their end.
Files are counted as files, file_missing, file_empty, file_corrupt and file_truncated; what can be read of the
last two is kept. `faults` lists these files with the reason.
"""

import json
import re
import zlib
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.readers.base import BaseReader
from datatrove.utils.logging import logger
from datatrove.utils.stats import MetricStats
from fastwarc.warc import WarcRecord, WarcRecordType

from lib.corpora import warc
from lib.corpora.html import GZIP
from lib.runtime.errors import DataError

# change it with any change here, in warc.py or in html.py that alters which pages are read, or how
VERSION = "pages-1"
_DAMAGED = ("record_truncated", "record_digest", "record_overlong")
_ENGLISH = ("eng", "en")


class Page(NamedTuple):
    """The text of one web page and where it was found; unknown values are None."""

    text: str
    url: str | None
    date: str | None  # when it was fetched, ISO 8601
    record_id: str | None
    refers_to: str | None  # id of the record that the text was made from
    crawl: str | None  # for example CC-MAIN-2024-22
    wet_path: str  # as in the crawl's list of paths; for any other file its name
    offset: int | None  # argument of `page_at`; None in a gzip stream that cannot be entered midway
    # codes in the record's header, the main one first ("eng,fra"), or "en" where it was detected in the text
    language: str


class _Source(NamedTuple):
    file: BinaryIO
    path: Path
    crawl: str | None
    lenient: bool  # line ends without carriage return, as an editor or a version control system leaves them
    members: bool  # gzip with a member for each record, as Common Crawl writes it
    seekable: bool


def pages(path: Path, counts: Counter) -> Iterator[Page]:
    """Yield the English pages of a WET file, in its order.

    A damaged record costs only itself where records are gzip members.

    Args:
        path: The file.
        counts: Counter to which the outcome of every record and file is added.

    Raises:
        OSError: If the disk fails, which may be temporary.
    """
    counts["files"] += 1
    if not path.exists():
        return _fault(counts, "file_missing", path, "no such file")
    before = Counter(counts)
    with path.open("rb") as file:
        source, size = _source(file, path), path.stat().st_size
        offset: int | None = 0
        while offset is not None and offset < size:
            offset = yield from _run(source, offset, counts)
    if counts == before:
        _fault(counts, "file_empty", path, "holds no record")


def page_at(path: Path, offset: int) -> Page:
    """Return the page of the record at `offset`, read again.

    Raises:
        ValueError: If there is no English page.
    """
    with path.open("rb") as file:
        page = next(_run(_source(file, path), offset, Counter()), None)
    if page is None or page.offset != offset:
        raise DataError(
            f"{path}: no page at offset {offset}; give the offset and the file of one row of the table"
        )
    return page


def dropped(counts: Counter) -> dict[str, int]:
    """Return the number of records that were not kept, by reason."""
    return {key: count for key, count in counts.items() if key.startswith(("skip_", "page_", "record_"))}


def faults(counts: Counter) -> list[str]:
    """Return the incomplete files: `reason: path: what was found`."""
    return sorted(key for key in counts if key.startswith("file_") and ": " in key)


def demand_pages(counts: Counter) -> None:
    """Check that any page was kept: an empty benchmark is never a success.

    Raises:
        ValueError: If none was; the message gives every reason.
    """
    if not counts["kept"]:
        reasons = [f"{count} {reason}" for reason, count in dropped(counts).items()] + faults(counts)
        raise DataError(
            f"no English page in {counts['files']} files: {'; '.join(reasons) or 'nothing was read'}\n"
            "give files in WET form, or another sample of the crawl"
        )


class WetReader(BaseReader):
    """Reader step of a datatrove job: `pages` of each rank's share of the files, as documents.

    A document has the page's text, the record's id, and the other fields of Page as metadata.
    """

    name = "WET"

    def __init__(self, files: list[Path]):
        super().__init__()
        self.files = [str(path) for path in files]

    def run(self, data=None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """The pages of the files of task `rank`, as documents of datatrove."""
        if data:
            yield from data
        counts: Counter[str] = Counter()
        for path in self.files[rank::world_size]:
            for page in pages(Path(path), counts):
                metadata = page._asdict()
                yield Document(text=metadata.pop("text"), id=metadata.pop("record_id"), metadata=metadata)
        for reason, count in counts.items():
            self.stat_update(reason, value=count)


def counted(logging_folder: Path, step: type[PipelineStep]) -> Counter:
    """Return what a step counted in all ranks of a finished datatrove job.

    Ranks that an earlier run of the job had finished are included.
    """
    counts: Counter[str] = Counter()
    for path in sorted((logging_folder / "stats").glob("*.json")):
        steps = json.loads(path.read_text())
        stats = next(each["stats"] for each in steps if each["name"].endswith(f": {step.name}"))
        counts.update({reason: int(MetricStats.from_dict(value).total) for reason, value in stats.items()})
    return counts


def _source(file: BinaryIO, path: Path) -> _Source:
    plain = file.read(2) != GZIP
    first = _member_end(file, 0)
    members = not plain and first != path.stat().st_size
    crawl_in_path = re.search(r"CC-MAIN-\d{4}-\d+", str(path))
    crawl = _crawl(file) or (crawl_in_path[0] if crawl_in_path else None)
    return _Source(
        file, path, crawl, warc.has_bare_line_ends(file), members, plain or (members and first is not None)
    )


def _crawl(file: BinaryIO) -> str | None:
    """Return the crawl that the file's first record names."""
    file.seek(0)
    try:
        record = next(warc.records(file, lenient=True), None)
    except OSError as error:
        _raise_if_it_may_pass(error)
        return None
    if (
        record is None
        or record.record_type != WarcRecordType.warcinfo
        or record.content_length > warc.MAX_LENGTH
    ):
        return None
    match = re.search(rb"^isPartOf:\s*(\S+)", record.reader.read(), re.MULTILINE)
    return match and match[1].decode(errors="replace")


def _run(source: _Source, start: int, counts: Counter) -> Generator[Page, None, int | None]:
    """Yield pages from `start` to the end or to damage; return where to continue, None if nowhere."""
    source.file.seek(start)
    offset, reason, broken = start, None, None
    try:
        for record in warc.records(source.file, source.lenient):
            offset = record.stream_pos
            page, reason = _page(record, source, counts)
            if reason == "record_line_ends" and source.seekable and not source.lenient:
                return (yield from _run(source._replace(lenient=True), offset, counts))
            counts["records"] += 1
            counts[reason] += 1
            if page:
                counts["kept_not_utf8"] += "\N{REPLACEMENT CHARACTER}" in page.text
                yield page
            elif source.members and reason in _DAMAGED:
                break  # the reader may be inside the next record
    except OSError as error:
        _raise_if_it_may_pass(error)
        broken = f"{error} in or after the record at {offset}"
    end = _member_end(source.file, offset) if source.members else None
    if broken:
        _fault(
            counts, "file_corrupt", source.path, f"{broken}; the file begins with {_head(source.path, 24)!r}"
        )
    # cut within the header: not even recognised as a record
    elif source.members and end is None and reason is None:
        counts.update(["records", "record_truncated"])
    if not broken and end is None and (source.members or reason == "record_truncated"):
        _fault(counts, "file_truncated", source.path, f"ends within the record at {offset}; fetch it again")
    return end


def _page(record: WarcRecord, source: _Source, counts: Counter) -> tuple[Page | None, str]:
    """Return the record's page and `kept`, or None and the reason.

    A page that lacks its end is counted as kept_cut.
    """
    if damage := warc.damage(record, source.lenient):
        return None, damage
    header = record.headers.get
    language = header("WARC-Identified-Content-Language")
    if language and language.split(",")[0] not in _ENGLISH:
        return None, "skip_lang"
    text, state = warc.text_of(record)
    if text is None:
        return None, state
    if not text.strip():
        return None, "page_empty"
    language = language or warc.language_of(text)
    if language.split(",")[0] not in _ENGLISH:
        return None, "skip_lang"
    if state == "cut":
        counts["kept_cut"] += 1
    page = Page(
        text=text,
        url=header("WARC-Target-URI"),
        date=header("WARC-Date"),
        record_id=record.record_id,
        refers_to=header("WARC-Refers-To"),
        crawl=source.crawl,
        wet_path=wet_path(source.path),
        offset=record.stream_pos if source.seekable else None,
        language=language,
    )
    return page, "kept"


def wet_path(path: Path) -> str:
    """Return the name of a file in its crawl's list of paths; for any other file its name."""
    parts = path.parts
    return "/".join(parts[parts.index("crawl-data") :]) if "crawl-data" in parts else path.name


def _head(path: Path, length: int) -> bytes:
    with path.open("rb") as file:
        return file.read(length)


def _raise_if_it_may_pass(error: OSError) -> None:
    """Raise errors of the disk, which have an errno; FastWARC's format errors have none."""
    if error.errno is not None:
        raise error


def _fault(counts: Counter, reason: str, path: Path, detail: str) -> None:
    """Count a file once per reason, and list and log it."""
    if not any(key.startswith(f"{reason}: {path}: ") for key in counts):
        counts.update([reason, f"{reason}: {path}: {detail}"])
        logger.warning(f"{reason}: {path}: {detail}")


def _member_end(file: BinaryIO, start: int) -> int | None:
    """Return where the gzip member at `start` ends; None if there is none, or if it is damaged."""
    file.seek(start)
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        while not member.eof and (chunk := file.read(1 << 14)):
            member.decompress(chunk)
    except zlib.error:
        return None
    return file.tell() - len(member.unused_data) if member.eof else None
