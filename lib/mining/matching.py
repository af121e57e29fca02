"""Match contexts that differ in sentiment but in nothing else that is counted, and pair them with stems.

A match is a negative, a positive and two neutral contexts of one length; the two charged ones are equally
strong. A stem meets a match if it is unrelated to all four contexts. Both steps are assignment problems
(scipy), split into chunks if there is much to match.
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
STRENGTH = 0.4  # most points of predicted |rating| that negative and positive contexts differ by
_PART = 500  # rows of one assignment problem
_NEVER = 1e6


def describe(chosen: pd.DataFrame) -> pd.DataFrame:
    """Add the properties that contexts are matched on to `chosen`.

    Returns:
        `chosen` with words and characters (numbers), strength (predicted |rating|) and person (whether a
        person is mentioned).
    """
    persons = {"i", "he", "she", "we", "they", "my", "his", "her", "our"}
    return chosen.assign(
        words=chosen["shown"].str.split().str.len(),
        characters=chosen["shown"].str.len(),
        strength=chosen["predicted"].abs(),
        person=[not persons.isdisjoint(extract.words_of(text)) for text in chosen["shown"]],
    )


def _apart(first: pd.DataFrame, second: pd.DataFrame, kind: str) -> np.ndarray:
    """Cost of pairing each of `first` with each of `second`; _NEVER beyond the limits or within one page."""

    def differ(column: str) -> np.ndarray:
        return np.abs(first[column].to_numpy(float)[:, None] - second[column].to_numpy(float)[None, :])

    words, characters = differ("words"), differ("characters")
    cost = words + characters / 5 + differ("person")
    forbidden = (words > WORDS[kind]) | (characters > CHARACTERS)
    forbidden |= first["url"].to_numpy()[:, None] == second["url"].to_numpy()[None, :]
    if kind == "charged":
        strength = differ("strength")
        cost, forbidden = cost + 4 * strength, forbidden | (strength > STRENGTH)
    return np.where(forbidden, _NEVER, cost)


def _pairs(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = linear_sum_assignment(cost)
    possible = cost[rows, columns] < _NEVER / 2
    return rows[possible], columns[possible]


def matches(chosen: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Match the contexts; each context serves once.

    Args:
        chosen: The candidates, as `describe` returns them.
        rng: Decides which neutral context of a match is the placebo.

    Returns:
        One row per match, with row numbers of `chosen` in the columns of ALL.
    """
    pools = {role: chosen[chosen["role"] == role] for role in ("negative", "positive", "neutral")}
    n_chunks = max(1, -(-len(pools["negative"]) // _PART))
    chunks = [_matched(*(pool.iloc[chunk::n_chunks] for pool in pools.values())) for chunk in range(n_chunks)]
    table = pd.concat([pd.DataFrame(columns=list(ALL), dtype=int), *chunks], ignore_index=True).astype(int)
    swapped = rng.permutation(np.arange(len(table)) % 2 == 1)  # so that neither context is tied to an arm
    table.loc[swapped, ["neutral", "placebo"]] = table.loc[swapped, ["placebo", "neutral"]].to_numpy()
    return table


def _matched(negative: pd.DataFrame, positive: pd.DataFrame, neutral: pd.DataFrame) -> pd.DataFrame:
    rows, columns = _pairs(_apart(negative, positive, "charged"))
    negative, positive = negative.iloc[rows], positive.iloc[columns]
    cost = np.maximum(_apart(negative, neutral, "neutral"), _apart(positive, neutral, "neutral"))
    cost = cost + 10 * neutral["predicted"].to_numpy()
    rows, columns = _pairs(np.vstack([cost, cost]))  # each pair takes two neutral contexts
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


def groups(chosen: pd.DataFrame, vectors: np.ndarray, matched: pd.DataFrame, config: Mining) -> pd.DataFrame:
    """Assign matches to stems.

    Each stem serves once, each match config.max_stems_per_match times. If there are more matches than needed,
    the strongest serve. Stem and contexts come from different pages, share no content word, and the cosine of
    their vectors is below config.max_cosine.

    Args:
        chosen: The candidates, as `describe` returns them.
        vectors: Sentence vectors of the rows of `chosen`.
        matched: The matches, as `matches` returns them.
        config: The mining section of a parameter set.

    Returns:
        At most config.groups rows, with columns stem (row number of `chosen`) and match (row number of
        `matched`).
    """
    stems = chosen.index[chosen["role"] == "stem"].to_numpy()
    strength = chosen["strength"].to_numpy()[matched[list(CHARGED)].to_numpy()].min(axis=1)
    strongest = np.argsort(-strength, kind="stable")[: -(-config.groups // config.max_stems_per_match)]
    seats = np.tile(strongest, config.max_stems_per_match)[: config.groups]
    n_chunks = max(1, -(-len(seats) // (2 * _PART)))
    limit = config.max_cosine
    assigned = [
        _seated(chosen, vectors, matched, stems[chunk::n_chunks], seats[chunk::n_chunks], limit)
        for chunk in range(n_chunks)
    ]
    return pd.concat(assigned, ignore_index=True).sort_values(["match", "stem"], ignore_index=True)


def _seated(chosen, vectors, matched, stems, seats, max_cosine) -> pd.DataFrame:
    if not len(stems) or not len(seats):
        return pd.DataFrame({"stem": [], "match": []}, dtype=int)
    counter = CountVectorizer(stop_words="english", token_pattern=r"[a-z]{3,}", binary=True)
    content = csr_matrix(counter.fit_transform(chosen["sentence"]))
    urls = chosen["url"].to_numpy()
    cost = np.zeros((len(stems), len(seats)))
    for arm in ALL:
        contexts = matched[arm].to_numpy()[seats]
        cosine = vectors[stems] @ vectors[contexts].T
        shared = (content[stems] @ content[contexts].T).toarray() > 0
        forbidden = shared | (cosine >= max_cosine) | (urls[stems][:, None] == urls[contexts][None, :])
        cost += np.where(forbidden, _NEVER, np.abs(cosine))
    cost += chosen["predicted"].to_numpy()[stems][:, None]
    rows, columns = _pairs(cost)
    return pd.DataFrame({"stem": stems[rows], "match": seats[columns]})
