"""How strongly people would feel a sentence: predicted from ratings, and never from the ratings of the text
it is asked about.

Two ridge regressions on MiniLM sentence vectors (`lib.nlp.similarity`) and VADER's valence, learnt from the
human ratings of Hutto & Gilbert (`lib.corpora.human_ratings`): for sentences without any word of a lexicon
the size of the mean rating, |mean|; for sentences that the rules of `lib.mining.extract` find charged, the
signed mean. The lexica alone let through what people find charged without charged words.

An encyclopedia speaks of energy, interest and errors without anybody feeling so, and hardly any of it was
rated. So the sentences of the embedded Wikipedia articles that the rules find charged are learnt from as if
rated 0: its style guide asks for a neutral point of view.

As the embedded source holds the rated texts themselves, each is scored by a model that saw no text of its
document (five folds of documents). What people say of the chosen sentences is thus a check of the method, not
of its memory.
"""

import hashlib
from collections import Counter
from functools import cache

import numpy as np
import pandas as pd
import sentencex
from filelock import FileLock
from sklearn.linear_model import Ridge

from lib.corpora import human_ratings, packaged_text, wet
from lib.mining import extract
from lib.nlp import similarity
from lib.nlp.vader import SCALE
from lib.runtime import progress
from lib.storage import packages

VERSION = "neutrality-1"  # change it with anything that changes what is predicted
FOLDS = 5
ENCYCLOPEDIC = "Wikipedia"  # the domain of what was learnt from without ratings
PENALTY = {"bare": 3.0, "charged": 1.0}  # ridge alphas, chosen once by cross-validation over documents


@cache
def rated() -> pd.DataFrame:
    """One row a rated snippet as the embedded pages show it: url, line, text, domain, text_id, document,
    mean, key, fold."""
    ratings = human_ratings.read()[["domain", "text_id", "document", "mean"]]
    table = packaged_text.rated_lines().merge(ratings, on=["domain", "text_id"])
    table["key"] = [key(text) for text in table["text"]]
    table["fold"] = table["document"].map(_fold)
    return table.drop_duplicates("key").reset_index(drop=True)


def key(text: str) -> str:
    """What two texts have in common that differ in case, signs or spaces only."""
    return "".join(filter(str.isalnum, text.casefold()))


@cache
def _folds() -> dict[str, int]:
    """Which fold each rated text, and each sentence of one, belongs to."""
    texts, more = rated(), _encyclopedic()
    sentences = {
        key(part): fold
        for text, fold in zip(texts["text"], texts["fold"], strict=True)
        for part in sentencex.segment("en", text)
    }
    return (
        sentences
        | dict(zip(texts["key"], texts["fold"], strict=True))
        | dict(zip(more["key"], more["fold"], strict=True))
    )


def features(vectors: np.ndarray, valences) -> np.ndarray:
    """MiniLM's vectors with VADER's valence beside them, shape (sentences, 385)."""
    return np.column_stack([vectors, np.asarray(valences, dtype=np.float32) / SCALE])


def _encyclopedic() -> pd.DataFrame:
    """Charged candidates of the embedded Wikipedia articles, as if people had rated them 0."""
    counts, rows = Counter(), []
    for page in wet.pages(packaged_text.wet_files()[0], counts):
        found = extract.candidates(page.text, 0.0, counts, edited=False)
        rows += [(page.url, sentence.sentence, sentence.role, sentence.valence) for sentence in found]
    table = pd.DataFrame(rows, columns=["document", "text", "role", "valence"])
    table = table[table["valence"] != 0].assign(
        domain=ENCYCLOPEDIC, mean=0.0, key=lambda table: table["text"].map(key)
    )
    return table.assign(fold=table["document"].map(_fold)).drop_duplicates("key")


def _taught() -> pd.DataFrame:
    """The texts to learn from, with role (or the reason why they have none) and valence: without charged
    words, or charged."""
    found = [extract.judged(text, 0.0, edited=False) for text in rated()["text"]]
    texts = rated().assign(
        role=[f if isinstance(f, str) else f.role for f in found],
        valence=[0.0 if isinstance(f, str) else f.valence for f in found],
    )
    texts = texts[(texts["valence"] != 0) | texts["text"].map(extract.is_bare)]
    return pd.concat([texts, _encyclopedic()], ignore_index=True).drop(columns=["url", "line", "text_id"])


def _fold(document: str) -> int:
    return int(hashlib.sha1(document.encode()).hexdigest(), 16) % FOLDS


def _learn(texts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    given = features(similarity.embed(texts["text"].tolist()), texts["valence"])
    charged, means, folds = (
        (texts["valence"] != 0).to_numpy(),
        texts["mean"].to_numpy(),
        texts["fold"].to_numpy(),
    )
    weights = np.zeros((len(PENALTY), FOLDS + 1, given.shape[1] + 1))
    for kind, (rows, target) in enumerate([(~charged, np.abs(means)), (charged, means)]):
        for fold in range(FOLDS + 1):  # the last leaves no fold out
            seen = rows & (folds != fold)
            ridge = Ridge(alpha=list(PENALTY.values())[kind]).fit(given[seen], target[seen])
            weights[kind, fold] = [*ridge.coef_, ridge.intercept_]
    return weights, _apply(weights, given, charged, folds)


def _apply(learnt: np.ndarray, given: np.ndarray, charged, folds) -> np.ndarray:
    chosen = learnt[np.asarray(charged, dtype=int), folds]
    return (given * chosen[:, :-1]).sum(axis=1) + chosen[:, -1]


@cache
def learnt() -> tuple[np.ndarray, pd.DataFrame]:
    """The regressions' weights, shape (2, folds + 1, features + 1), and the rated texts they learnt from,
    learnt on first use.

    The table is that of `rated` with role (or the reason why the text has none), valence and predicted, by
    the model that did not see the text's document. Both are kept in the user's cache.
    """
    texts = _taught()
    learnt_from = hashlib.sha256(texts.to_csv(index=False).encode()).hexdigest()[:12]
    path = packages.cache_folder() / f"{VERSION}-{similarity.VERSION}-{learnt_from}.npz"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            progress.message(f"learning from {len(texts):,} rated texts which sentences are neutral: once")
            weights, own = _learn(texts)
            beside = path.with_suffix(".part.npz")
            np.savez(beside, weights=weights, own=own)
            beside.rename(path)
    kept = np.load(path)
    own = texts.assign(predicted=kept["own"])
    return kept["weights"], own[own["domain"] != ENCYCLOPEDIC]


def predicted(sentences: list[str], valences, vectors: np.ndarray) -> np.ndarray:
    """Predicted mean rating of each sentence: signed where its VADER valence is not 0, |mean| where it is."""
    folds = np.array([_folds().get(key(sentence), FOLDS) for sentence in sentences], dtype=int)
    return _apply(learnt()[0], features(vectors, valences), np.asarray(valences) != 0, folds)


def felt(sentences: pd.Series) -> pd.DataFrame:
    """Of sentences that people rated: mean, domain, document; missing of others. Index as given."""
    table = rated().set_index("key")[["mean", "domain", "document"]]
    return table.reindex(sentences.map(key)).set_axis(sentences.index)
