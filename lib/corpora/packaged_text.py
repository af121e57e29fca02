"""Free text that ships in packages, converted to WET files: pages that need only the package index.

Two packages contain running text (`lib.storage.packages` fetches them; none of their text is committed):

- gensim: 106 articles of the English Wikipedia of 2016, from A to Algorithm (CC BY-SA; the URL is that of the
  revision);
- vaderSentiment: the editorials, product and film reviews that people rated (Hutto & Gilbert, ICWSM 2014). A
  page is an article or review, and a line is one rated snippet without its rating; `rated_lines` maps lines
  to snippets.

The URL of a page shows its kind: …/wiki/…, …/nyt/…, …/amazon/…, …/movie/….
"""

import bz2
import io
import re
import uuid
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

import pandas as pd
import sentencex
import wikitextparser
from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType
from filelock import FileLock

from lib.corpora import human_ratings
from lib.storage import caching, packages

VERSION = "packaged-text-1"  # change it with any change that alters the text of a page
WIKIPEDIA_PACKAGE = "gensim==4.4.0"
_DUMP = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
_XML = "{http://www.mediawiki.org/xml/export-0.10/}"
# domain of the ratings: part of the URL
KINDS = {"NYT editorials": "nyt", "Amazon reviews": "amazon", "movie reviews": "movie"}
_RATED = "2014-06-01T00:00:00Z"  # when the rated texts were published; their own dates are not known

_ANY = re.DOTALL | re.IGNORECASE
_REFERENCES = re.compile(r"<ref\b[^<>]*/>|<ref\b[^<>]*>.*?</ref>", _ANY)
_FIGURES = re.compile(r"<(gallery|timeline|imagemap)\b.*?</\1>", _ANY)
_FORMULAS = re.compile(r"<(math|code|source|chem)\b.*?</\1>", _ANY)
_BACK_MATTER = re.compile(
    r"^==+ *(See also|Notes|Footnotes|References|Citations|Sources|Bibliography|Works cited|Further "
    r"reading|External links)\b.*",
    _ANY | re.MULTILINE,
)
# templates that can be dropped without loss: sources, and notes between editors
_ASIDES = re.compile(
    r"v?cite|citation|harv|sfn|[er]fn|refn|rp$|fact$|cn$|dead link|wayback|page "
    r"needed|clarify|when|who|which|by whom|dubious|"
    r"verify|failed|vague|according|not in|original|better|specify|quantify|update|v?anchor|use "
    r"|pp-|inflation-fn",
    re.IGNORECASE,
)
_HOLE = "\ue000"


class Text(NamedTuple):
    """The content of one record of a WET file."""

    url: str
    date: str
    text: str


def wet_files() -> list[Path]:
    """Return one WET file per kind of text (wiki, nyt, amazon, movie), written on first use.

    Raises:
        OSError: If a package cannot be fetched.
    """
    folder = caching.cache_folder() / VERSION
    sources = {"wiki": (WIKIPEDIA_PACKAGE, wikipedia)} | {
        kind: (human_ratings.PACKAGE, lambda kind=kind: rated(kind)) for kind in KINDS.values()
    }
    paths = [folder / f"{name}.warc.wet.gz" for name in sources]
    with FileLock(f"{folder}.lock"):
        folder.mkdir(exist_ok=True)
        for path, (package, texts) in zip(paths, sources.values(), strict=True):
            if not path.exists():
                write(path, package, texts())
    return paths


def write(path: Path, part_of: str, texts: Iterable[Text]) -> None:
    """Write a WET file as Common Crawl writes it, each record a gzip member.

    A warcinfo record is followed by a conversion record for each text.
    """
    with caching.whole(path) as tmp_path, tmp_path.open("wb") as file:
        info = (
            f"isPartOf: {part_of}\r\ndescription: text out of {part_of}\r\nformat: WARC File Format 1.0\r\n"
        )
        headers = {"WARC-Filename": path.name, "Content-Type": "application/warc-fields"}
        file.write(_member(WarcRecordType.warcinfo, path.name, info, headers))
        for text in texts:
            file.write(page_record(*text))


def page_record(url: str, date: str, text: str, language: str | None = "eng") -> bytes:
    """Return the gzip member of one page; the same bytes for the same page."""
    headers = {"WARC-Target-URI": url, "WARC-Date": date}
    if language:
        headers["WARC-Identified-Content-Language"] = language
    return _member(WarcRecordType.conversion, url, text, headers)


def _member(kind: WarcRecordType, name: str, text: str, headers: dict[str, str]) -> bytes:
    record = WarcRecord()
    record.init_headers(kind, record_urn=f"uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}".encode())
    record.headers.status_line = "WARC/1.0"
    for key, value in {"WARC-Date": _RATED, "Content-Type": "text/plain", **headers}.items():
        record.headers[key] = value
    record.set_bytes_content(text.encode())
    buffer = io.BytesIO()
    with GzipWriter(buffer) as writer:
        record.write(writer, checksum_data=True)
    return buffer.getvalue()


def wikipedia() -> Iterator[Text]:
    """Yield the articles of the dump in the gensim wheel, without redirects, dated by their revision."""
    with (
        zipfile.ZipFile(packages.fetch(WIKIPEDIA_PACKAGE)) as wheel,
        wheel.open(_DUMP) as packed,
        bz2.open(packed) as dump,
    ):
        for _, element in ElementTree.iterparse(dump):
            if element.tag == f"{_XML}page" and element.find(f"{_XML}redirect") is None:
                title, version = _part(element, "title"), _part(element, "revision", "id")
                name = quote(title.replace(" ", "_"))
                url = f"https://en.wikipedia.org/wiki/{name}?oldid={version}"
                text = plain(_part(element, "revision", "text"))
                yield Text(url, _part(element, "revision", "timestamp"), f"{title}\n{text}")


def _part(page: ElementTree.Element, *names: str) -> str:
    """Return the text of the element of a page that lies below these elements."""
    text = page.findtext("/".join(f"{_XML}{name}" for name in names))
    assert text is not None
    return text


def plain(markup: str) -> str:
    """Return the visible text of an article, one line per paragraph, heading or list item.

    The text ends before the notes and references. wikitextparser removes the markup. It cannot know what a
    template or a formula would show, so a sentence with one of them is dropped as a whole: "The lake is
    {{convert|5|km}} long." would become "The lake is long."
    """
    article = _FORMULAS.sub(_HOLE, _FIGURES.sub("", _REFERENCES.sub("", _BACK_MATTER.sub("", markup))))
    text = wikitextparser.remove_markup(
        article,
        replace_templates=_shown,
        replace_parser_functions=lambda _: _HOLE,
        replace_tables=lambda _: "",
    )
    lines = (_without_holes(" ".join(line.strip("*#:;= \t").split())) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _shown(template: wikitextparser.Template) -> str:
    return "" if _ASIDES.match(template.name.strip()) else _HOLE


def _without_holes(line: str) -> str:
    if _HOLE not in line:
        return line
    return " ".join(sentence.strip() for sentence in sentencex.segment("en", line) if _HOLE not in sentence)


def rated(kind: str) -> list[Text]:
    """Return the pages of one of KINDS, assembled from rated snippets."""
    lines = rated_lines()
    of_kind = lines[lines["url"].str.contains(f"/{kind}/", regex=False)]
    return [Text(url, _RATED, "\n".join(page["text"])) for url, page in of_kind.groupby("url", sort=False)]


def rated_lines() -> pd.DataFrame:
    """Return one row per line of the pages that `rated` assembles.

    Product reviews are published in lower case: the first letter of a line and the word "I" are capitalised
    again.

    Returns:
        url, line (from 0), text, and the domain and text_id of its ratings.
    """
    table = human_ratings.read()
    table = table[table["domain"].isin(KINDS)]
    number = table["document"].str.rsplit(":", n=1).str[1]
    amazon = table["domain"] == "Amazon reviews"
    text = table["text"].map(lambda text: " ".join(text.split()))
    table = table.assign(
        url="http://embedded.invalid/" + table["domain"].map(KINDS) + "/" + number,
        text=text.where(~amazon, text.map(_recased)),
        line=table.groupby("document", sort=False).cumcount(),
    )
    return table[["url", "line", "text", "domain", "text_id"]].reset_index(drop=True)


def _recased(text: str) -> str:
    return re.sub(r"\bi(?=['’ ,;:!?]|$)", "I", text[:1].upper() + text[1:])
