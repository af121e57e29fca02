"""Text out of packages becomes WET files like any others: the same bytes each time, no rating, each rated
line found again."""

import gzip
import re
from collections import Counter

import pytest

from lib.corpora import human_ratings, packaged_text, wet
from lib.storage import caching


@pytest.fixture(scope="module")
def files():
    return packaged_text.wet_files()


@pytest.fixture(scope="module")
def pages(files):
    counts = Counter()
    found = [page for path in files for page in wet.pages(path, counts)]
    assert wet.dropped(counts) == {"skip_type": len(files)}, "the warcinfo records, and nothing else"
    assert not wet.faults(counts)
    return found


def test_every_article_and_review_is_a_page_with_an_address_of_its_own(pages):
    kinds = Counter(page.url.split("/")[3] for page in pages)
    ratings = human_ratings.read().groupby("domain")["document"].nunique()
    assert kinds == {
        "wiki": 106,
        "nyt": ratings["NYT editorials"],
        "amazon": ratings["Amazon reviews"],
        "movie": ratings["movie reviews"],
    }
    assert len({page.url for page in pages}) == len({page.record_id for page in pages}) == len(pages)
    assert {page.crawl for page in pages} == {packaged_text.WIKIPEDIA_PACKAGE, human_ratings.PACKAGE}
    assert all(
        re.fullmatch(r"https://en\.wikipedia\.org/wiki/\S+\?oldid=\d+", page.url) for page in pages[:106]
    )


def test_the_files_are_those_of_a_crawl_and_the_same_bytes_each_time(files, tmp_path):
    again = tmp_path / "nyt.warc.wet.gz"
    packaged_text.write(again, human_ratings.PACKAGE, packaged_text.rated("nyt"))
    (nyt,) = (path for path in files if path.name == again.name)
    assert again.read_bytes() == nyt.read_bytes()
    _, information, page = gzip.decompress(nyt.read_bytes()).split(b"WARC/1.0\r\n")[:3]
    assert information.startswith(b"WARC-Type: warcinfo\r\n")
    assert b"WARC-Filename: nyt.warc.wet.gz\r\n" in information
    headers = dict(line.split(": ", 1) for line in page.partition(b"\r\n\r\n")[0].decode().split("\r\n"))
    assert set(headers) == {
        "WARC-Type",
        "WARC-Date",
        "WARC-Record-ID",
        "WARC-Target-URI",
        "WARC-Identified-Content-Language",
        "WARC-Block-Digest",
        "Content-Type",
        "Content-Length",
    }


def test_each_line_of_a_rated_page_leads_to_its_ratings_and_holds_none(pages):
    texts = {page.url: page.text.split("\n") for page in pages}
    lines = packaged_text.rated_lines()
    assert all(texts[row.url][row.line] == row.text for row in lines.itertuples())
    assert len(lines) == sum(len(found) for url, found in texts.items() if "/wiki/" not in url), (
        "no line is without ratings"
    )
    joined = lines.merge(
        human_ratings.read(), on=["domain", "text_id"], validate="one_to_one", suffixes=("", "_rated")
    )
    assert len(joined) == len(lines)
    alike = [
        "".join(row.text.split()).casefold() == "".join(row.text_rated.split()).casefold()
        for row in joined.itertuples()
    ]
    assert all(alike), "a line is its rated text but for capitals and spaces"
    assert list(lines[lines["url"] == "http://embedded.invalid/nyt/1"]["text_id"]) == [
        f"1_{n}" for n in range(1, 9)
    ]


def test_product_reviews_are_given_their_capitals_back():
    assert packaged_text._recased("i bet i'm right, and i know it i") == "I bet I'm right, and I know it I"
    assert packaged_text._recased("press i/p, i.e. the button") == "Press i/p, i.e. the button"


MARKUP = """{{Infobox x|a=1}}
'''Albedo''' is a [[measure|quantity]] of light.<ref name="a">Smith, 2003.</ref> It has no unit.{{cn|date=May 2016}}
[[File:a.jpg|thumb|A [[lake]] at noon.]]
The lake is {{convert|5|km}} long. It freezes in winter.<ref name="a"/> Its depth is <math>x^2</math> or so.
{| class="wikitable"
|-
| cell
|}
==Use==
* Snow is bright &amp; white.
== See also ==
* [[Light]]
{{Reflist}}
"""  # noqa: E501


def test_markup_is_taken_off_and_sentences_with_holes_are_left_out():
    assert packaged_text.plain(MARKUP).split("\n") == [
        "Albedo is a quantity of light. It has no unit.",
        "It freezes in winter.",
        "Use",
        "Snow is bright & white.",
    ]


def test_no_markup_is_left_in_the_articles(pages):
    articles = "\n".join(page.text for page in pages if "/wiki/" in page.url)
    assert not re.findall(r"\{\{|\}\}|\[\[|\]\]|</?ref|&nbsp;|\ue000|^[*#:;=]", articles, re.MULTILINE)
    assert len(articles.split()) > 300_000


def test_what_half_a_write_leaves_is_written_again(tmp_path, monkeypatch):
    ratings = human_ratings.read()
    monkeypatch.setattr(human_ratings, "read", lambda: ratings)
    monkeypatch.setattr(
        packaged_text,
        "wikipedia",
        lambda: [packaged_text.Text("http://a.example", "2016-05-01T00:00:00Z", "A page.")],
    )
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path))
    paths = packaged_text.wet_files()
    assert paths[0].parent.parent == caching.cache_folder()
    torn = paths[0].with_name(f".{paths[0].stem}.making{paths[0].suffix}")
    paths[0].rename(torn)
    assert all(path.exists() for path in packaged_text.wet_files())
    assert not torn.exists()
