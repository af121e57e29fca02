"""Contexts that differ in sentiment and in nothing else that can be counted, and stems that have nothing to
do with them.

A match is a negative, a positive and two neutral contexts of one length; the two charged ones are equally
strong. A stem meets a match if it is unlike all four. Both are assignment problems (scipy), solved in parts
where there is much to match.
"""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer

from lib.config.sections import Mining
from lib.mining import extract

CHARGED, ALL = ("negative", "positive"), ("negative", "positive", "neutral", "placebo")
WORDS = {"charged": 1, "neutral": 2}  # most words that two contexts of a match differ by
CHARACTERS = 15  # most characters that they differ by
STRENGTH = 0.4  # most points of predicted |rating| that negative and positive differ by
_PART = 500  # rows of one assignment problem
_NEVER = 1e6


def describe(chosen: pd.DataFrame) -> pd.DataFrame:
    """`chosen` with what contexts are matched on: words, characters, strength and person (whether it tells of
    a person)."""
    persons = {"i", "he", "she", "we", "they", "my", "his", "her", "our"}
    return chosen.assign(
        words=chosen["shown"].str.split().str.len(),
        characters=chosen["shown"].str.len(),
        strength=chosen["predicted"].abs(),
        person=[not persons.isdisjoint(extract.words_of(text)) for text in chosen["shown"]],
    )


def _apart(first: pd.DataFrame, second: pd.DataFrame, kind: str) -> np.ndarray:
    """What it costs to put each of `first` with each of `second`; _NEVER beyond the limits above or within
    one page."""

    def differ(column: str) -> np.ndarray:
        return np.abs(first[column].to_numpy(float)[:, None] - second[column].to_numpy(float)[None, :])

    words, characters = differ("words"), differ("characters")
    cost = words + characters / 5 + differ("person")
    never = (words > WORDS[kind]) | (characters > CHARACTERS)
    never |= first["url"].to_numpy()[:, None] == second["url"].to_numpy()[None, :]
    if kind == "charged":
        strength = differ("strength")
        cost, never = cost + 4 * strength, never | (strength > STRENGTH)
    return np.where(never, _NEVER, cost)


def _pairs(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = linear_sum_assignment(cost)
    possible = cost[rows, columns] < _NEVER / 2
    return rows[possible], columns[possible]


def matches(chosen: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Row numbers of `chosen` (as `describe` gives it) in the columns of ALL, one row a match; each context
    serves once."""
    pools = {role: chosen[chosen["role"] == role] for role in ("negative", "positive", "neutral")}
    parts = max(1, -(-len(pools["negative"]) // _PART))
    found = [_matched(*(pool.iloc[part::parts] for pool in pools.values())) for part in range(parts)]
    table = pd.concat([pd.DataFrame(columns=list(ALL), dtype=int), *found], ignore_index=True).astype(int)
    swapped = rng.permutation(np.arange(len(table)) % 2 == 1)  # so that neither is tied to an arm
    table.loc[swapped, ["neutral", "placebo"]] = table.loc[swapped, ["placebo", "neutral"]].to_numpy()
    return table


def _matched(negative: pd.DataFrame, positive: pd.DataFrame, neutral: pd.DataFrame) -> pd.DataFrame:
    rows, columns = _pairs(_apart(negative, positive, "charged"))
    negative, positive = negative.iloc[rows], positive.iloc[columns]
    cost = np.maximum(_apart(negative, neutral, "neutral"), _apart(positive, neutral, "neutral"))
    cost = cost + 10 * neutral["predicted"].to_numpy()
    rows, columns = _pairs(np.vstack([cost, cost]))  # each pair asks for two
    pair, wanted = rows % len(negative) if len(negative) else rows, rows // max(1, len(negative))
    table = pd.DataFrame({"pair": pair, "wanted": wanted, "row": neutral.index[columns]})
    table = table.pivot(index="pair", columns="wanted", values="row")
    table = table.reindex(columns=[0, 1]).dropna().astype(int)
    table = pd.DataFrame(
        {
            "negative": negative.index[table.index],
            "positive": positive.index[table.index],
            "neutral": table[0].to_numpy(),
            "placebo": table[1].to_numpy(),
        }
    )
    pages = pd.concat([negative, positive, neutral])["url"]
    return table[table.apply(lambda row: pages[row].is_unique, axis=1).astype(bool)]


def groups(chosen: pd.DataFrame, vectors: np.ndarray, found: pd.DataFrame, told: Mining) -> pd.DataFrame:
    """Which stem meets which match: columns stem and match (row numbers of `chosen` and of `found`), at most
    told.groups rows.

    Each stem serves once, each match told.max_stems_per_match times; of more matches than that takes, the
    strongest serve. Stem and contexts come from different pages, share no content word, and their vectors'
    cosine is below told.max_cosine.
    """
    stems = chosen.index[chosen["role"] == "stem"].to_numpy()
    strength = chosen["strength"].to_numpy()[found[list(CHARGED)].to_numpy()].min(axis=1)
    strongest = np.argsort(-strength, kind="stable")[: -(-told.groups // told.max_stems_per_match)]
    seats = np.tile(strongest, told.max_stems_per_match)[: told.groups]
    parts = max(1, -(-len(seats) // (2 * _PART)))
    limit = told.max_cosine
    made = [
        _seated(chosen, vectors, found, stems[part::parts], seats[part::parts], limit)
        for part in range(parts)
    ]
    return pd.concat(made, ignore_index=True).sort_values(["match", "stem"], ignore_index=True)


def _seated(chosen, vectors, found, stems, seats, max_cosine) -> pd.DataFrame:
    if not len(stems) or not len(seats):
        return pd.DataFrame({"stem": [], "match": []}, dtype=int)
    counter = CountVectorizer(stop_words="english", token_pattern=r"[a-z]{3,}", binary=True)
    content = csr_matrix(counter.fit_transform(chosen["sentence"]))
    urls = chosen["url"].to_numpy()
    cost = np.zeros((len(stems), len(seats)))
    for arm in ALL:
        contexts = found[arm].to_numpy()[seats]
        cosine = vectors[stems] @ vectors[contexts].T
        shared = (content[stems] @ content[contexts].T).toarray() > 0
        never = shared | (cosine >= max_cosine) | (urls[stems][:, None] == urls[contexts][None, :])
        cost += np.where(never, _NEVER, np.abs(cosine))
    cost += chosen["predicted"].to_numpy()[stems][:, None]
    rows, columns = _pairs(cost)
    return pd.DataFrame({"stem": stems[rows], "match": seats[columns]})
