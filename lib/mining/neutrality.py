"""Predicted human ratings of sentences, never from the ratings of the text that is scored.

Two ridge regressions on MiniLM sentence vectors (`lib.nlp.similarity`) and VADER's valence are trained on the
human ratings of Hutto & Gilbert (`lib.corpora.human_ratings`). For sentences without any word of a lexicon
the target is the size of the mean rating, |mean|; for sentences that the rules of `lib.mining.extract` find
charged it is the signed mean. The lexica alone let through sentences that people find charged although they
contain no charged word.

An encyclopedia mentions energy, interest and errors without sentiment, and hardly any of it was rated.
Therefore the sentences of the embedded Wikipedia articles that the rules find charged serve as training data
with a rating of 0: Wikipedia's style guide asks for a neutral point of view.

The embedded source contains the rated texts themselves. Each is scored by a model that saw no text of its
document (five folds of documents). So human ratings of the chosen sentences test the method and not its
memory.
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
from lib.storage import caching

VERSION = "neutrality-1"  # change it with anything that affects the predictions
FOLDS = 5
ENCYCLOPEDIC = "Wikipedia"  # the domain of training texts without ratings
PENALTY = {"bare": 3.0, "charged": 1.0}  # ridge alphas, chosen once by cross-validation over documents


@cache
def rated() -> pd.DataFrame:
    """The rated snippets as the embedded pages show them.

    Returns:
        One row per snippet: url, line, text, domain, text_id, document, mean, key, fold.
    """
    ratings = human_ratings.read()[["domain", "text_id", "document", "mean"]]
    table = packaged_text.rated_lines().merge(ratings, on=["domain", "text_id"])
    table["key"] = [key(text) for text in table["text"]]
    table["fold"] = table["document"].map(_fold)
    return table.drop_duplicates("key").reset_index(drop=True)


def key(text: str) -> str:
    """A text's letters and digits in lower case, so that case, signs and spaces do not count."""
    return "".join(filter(str.isalnum, text.casefold()))


@cache
def _folds() -> dict[str, int]:
    """The fold of each rated text and of each sentence of one, by key."""
    texts, encyclopedic = rated(), _encyclopedic()
    sentences = {
        key(sentence): fold
        for text, fold in zip(texts["text"], texts["fold"], strict=True)
        for sentence in sentencex.segment("en", text)
    }
    return (
        sentences
        | dict(zip(texts["key"], texts["fold"], strict=True))
        | dict(zip(encyclopedic["key"], encyclopedic["fold"], strict=True))
    )


def features(vectors: np.ndarray, valences) -> np.ndarray:
    """MiniLM's vectors and VADER's valence as the last column, shape (sentences, 385)."""
    return np.column_stack([vectors, np.asarray(valences, dtype=np.float32) / SCALE])


def _encyclopedic() -> pd.DataFrame:
    """Charged candidates of the embedded Wikipedia articles, with a mean rating of 0."""
    counts: Counter[str] = Counter()
    rows = []
    for page in wet.pages(packaged_text.wet_files()[0], counts):
        candidates = extract.candidates(page.text, 0.0, counts, edited=False)
        rows += [
            (page.url, candidate.sentence, candidate.role, candidate.valence) for candidate in candidates
        ]
    table = pd.DataFrame(rows, columns=["document", "text", "role", "valence"])
    table = table[table["valence"] != 0].assign(
        domain=ENCYCLOPEDIC, mean=0.0, key=lambda table: table["text"].map(key)
    )
    return table.assign(fold=table["document"].map(_fold)).drop_duplicates("key")


def training_texts() -> pd.DataFrame:
    """The training texts, charged or without charged words, with role (or why they have none) and valence."""
    results = [extract.judged(text, 0.0, edited=False) for text in rated()["text"]]
    texts = rated().assign(
        role=[result if isinstance(result, str) else result.role for result in results],
        valence=[0.0 if isinstance(result, str) else result.valence for result in results],
    )
    texts = texts[(texts["valence"] != 0) | texts["text"].map(extract.is_bare)]
    return pd.concat([texts, _encyclopedic()], ignore_index=True).drop(columns=["url", "line", "text_id"])


def _fold(document: str) -> int:
    return int(hashlib.sha1(document.encode()).hexdigest(), 16) % FOLDS


def fit(texts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Train the regressions.

    Args:
        texts: Rows of `training_texts`.

    Returns:
        The weights, as `learnt` describes them, and the prediction of each text by the model that did not see
        its document, shape (texts,).
    """
    inputs = features(similarity.embed(texts["text"].tolist()), texts["valence"])
    charged, means, folds = (
        (texts["valence"] != 0).to_numpy(),
        texts["mean"].to_numpy(),
        texts["fold"].to_numpy(),
    )
    weights = np.zeros((len(PENALTY), FOLDS + 1, inputs.shape[1] + 1))
    for kind, (rows, target) in enumerate([(~charged, np.abs(means)), (charged, means)]):
        for fold in range(FOLDS + 1):  # the last model leaves no fold out
            in_training = rows & (folds != fold)
            ridge = Ridge(alpha=list(PENALTY.values())[kind]).fit(inputs[in_training], target[in_training])
            weights[kind, fold] = [*ridge.coef_, ridge.intercept_]
    return weights, _apply(weights, inputs, charged, folds)


def _apply(learnt: np.ndarray, inputs: np.ndarray, charged, folds) -> np.ndarray:
    weights = learnt[np.asarray(charged, dtype=int), folds]
    return (inputs * weights[:, :-1]).sum(axis=1) + weights[:, -1]


@cache
def learnt() -> tuple[np.ndarray, pd.DataFrame]:
    """The trained regressions; they are trained on first use and cached in the user's cache folder.

    Returns:
        The weights, shape (2, folds + 1, features + 1), and the rated texts used for training. These are the
        table of `rated` with role (or the reason why the text has none), valence, and predicted, by the model
        that did not see the text's document.
    """
    texts = training_texts()
    data_hash = hashlib.sha256(texts.to_csv(index=False).encode()).hexdigest()[:12]
    path = caching.cache_folder() / f"{VERSION}-{similarity.VERSION}-{data_hash}.npz"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            progress.message(f"learning from {len(texts):,} rated texts which sentences are neutral: once")
            weights, predictions = fit(texts)
            with caching.whole(path) as tmp_path:
                np.savez(tmp_path, weights=weights, own=predictions)
    with caching.undamaged(path), np.load(path) as cached:
        weights, own = cached["weights"], cached["own"]
    predictions = texts.assign(predicted=own)
    return weights, predictions[predictions["domain"] != ENCYCLOPEDIC]


def predicted(sentences: list[str], valences, vectors: np.ndarray) -> np.ndarray:
    """Predicted mean rating of each sentence.

    Args:
        sentences: The sentences.
        valences: Their VADER valences, 0 where a sentence has no charged word.
        vectors: Their sentence vectors.

    Returns:
        One value per sentence, in points of the human scale: the signed mean where the valence is not 0,
        |mean| where it is 0.
    """
    folds = np.array([_folds().get(key(sentence), FOLDS) for sentence in sentences], dtype=int)
    return _apply(learnt()[0], features(vectors, valences), np.asarray(valences) != 0, folds)


def felt(sentences: pd.Series) -> pd.DataFrame:
    """The human ratings of sentences, where there are any.

    Returns:
        Columns mean, domain, document, missing for sentences that were not rated; the index of `sentences`.
    """
    table = rated().set_index("key")[["mean", "domain", "document"]]
    return table.reindex(sentences.map(key)).set_axis(sentences.index)
