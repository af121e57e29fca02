"""A judge learnt from people: all-MiniLM-L6-v2, fine-tuned on the 23,703 texts that people rated (`lib.human_ratings`) and on
single words (`lib.taught_words`), without which it would hardly hear a feeling that is told.

Two raters (`lib.rater`) are fitted, each on the documents of one half. The judge is their mean; of a rated text only the one is
asked that never saw the text's document, so agreement with people is measured on unseen documents, at no further cost. The lower
half of the encoder stays as it was: the raters share it, and what is learnt from reviews strays less from plain text.

The hidden states of the language model under test would be further features; they are left out, for a model should not be judged
by itself. Encoder, words, halves and schedule are this project's choice (tests/bench_judges.py compares).
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from lib import human_ratings, jobs, packages, progress, similarity, taught_words, vader
from lib.specs import ROOT, Judge
from lib.vader import SCALE

FOLDS = 2
FROZEN = 3  # of six layers, beside the token embeddings
EPOCHS = 2
_SOURCES = (__file__, similarity.__file__, vader.__file__, ROOT / "lib" / "rater.py", ROOT / "lib" / "text.py")


def fold_of(document: str) -> int:
    """Which rater does not see a document."""
    return int(hashlib.sha256(document.encode()).hexdigest(), 16) % FOLDS


def version(judge: Judge) -> str:
    """'learned-' and a hash over the ratings and the code that learns from them."""
    return _name()


@cache
def _name() -> str:
    made_of = [taught().to_csv(index=False).encode(), *(Path(file).read_bytes() for file in _SOURCES)]
    return f"learned-{hashlib.sha256(b''.join(made_of)).hexdigest()[:12]}"


def taught() -> pd.DataFrame:
    """What is learnt from, one row a text or word: text, document, mean."""
    return pd.concat([table.read()[["text", "document", "mean"]] for table in (human_ratings, taught_words)], ignore_index=True)


def valences(judge: Judge, texts: list[str]) -> np.ndarray:
    """Mean of what the raters expect people to feel, shape (texts,), within −4 … +4; a text without a letter or sign is 0."""
    from lib import rater

    given = rater.predict(in_use(), texts, FROZEN).mean(axis=1).clip(-SCALE, SCALE)
    return np.where([bool(text.strip()) for text in texts], given, 0.0)


def out_of_fold(judge: Judge, ratings: pd.DataFrame) -> np.ndarray:
    """Valence of each of `ratings`, rows of `human_ratings.read()`, by the rater that did not see its document."""
    path = packages.cache_folder() / f"{_name()}-rated.npy"
    rated = human_ratings.read()
    with FileLock(f"{path}.lock"):
        if not path.exists():
            unseen = predict_unseen(in_use(), rated["text"].tolist(), rated["document"].map(fold_of).to_numpy())
            _keep(path, lambda beside: np.save(beside, unseen))
    given = pd.Series(np.load(path), index=pd.MultiIndex.from_frame(rated[["domain", "text_id"]]))
    return given.loc[pd.MultiIndex.from_frame(ratings[["domain", "text_id"]])].to_numpy()


def is_fitted() -> bool:
    """Whether the raters are in the user's cache."""
    return _path().exists()


def _path() -> Path:
    return packages.cache_folder() / f"{_name()}.pt"


@cache
def in_use() -> list:
    """One rater a fold, fitted on first use and kept in the user's cache."""
    import torch

    from lib import rater

    path = _path()
    with FileLock(f"{path}.lock"):
        if not path.exists():
            table = taught()
            progress.message(f"fitting the learned judge to {len(table):,} texts and words: once")
            folds = table["document"].map(fold_of)
            fitted = fit(table, [np.flatnonzero(folds != fold) for fold in range(FOLDS)])
            _keep(path, lambda beside: torch.save([each.state_dict() for each in fitted], beside))
    found = [rater.Rater(FROZEN).eval() for _ in range(FOLDS)]
    for each, state in zip(found, torch.load(path, weights_only=True), strict=True):
        each.load_state_dict(state)
    return found


def _keep(path: Path, write) -> None:
    beside = path.with_name(f"{path.stem}.part{path.suffix}")
    write(beside)
    beside.rename(path)


def fit(table: pd.DataFrame, seen: list[np.ndarray]) -> list:
    """A rater for each of `seen`, the rows of `taught()` that it learns from; the same again on an equal machine."""
    from lib import rater

    def one(number: int):
        part = table.iloc[seen[number]]
        return rater.fit(part["text"].tolist(), part["mean"].to_numpy(), FROZEN, EPOCHS, number, bar.update)

    steps = EPOCHS * sum(-(-len(rows) // rater.BATCH) for rows in seen)
    with progress.bar(steps, jobs.FITTING, "batches") as bar:
        return _side_by_side(one, len(seen))


def predict_unseen(raters: list, texts: list[str], folds: np.ndarray, valences: np.ndarray | None = None) -> np.ndarray:
    """What the rater of its fold says of each text, shape (texts,), within −4 … +4; `valences` as in `rater.predict`."""
    from lib import rater

    rows = [np.flatnonzero(folds == fold) for fold in range(len(raters))]

    def one(fold: int) -> np.ndarray:
        read = None if valences is None else valences[rows[fold]]
        return rater.predict([raters[fold]], [texts[row] for row in rows[fold]], FROZEN, read)[:, 0]

    found = np.empty(len(texts))
    for places, said in zip(rows, _side_by_side(one, len(raters)), strict=True):
        found[places] = said
    return found.clip(-SCALE, SCALE)


def _side_by_side(function, count: int) -> list:
    """`function` of each number below `count`, FOLDS at a time, in threads that share the cores: torch frees Python's lock."""
    import torch

    similarity.model()  # loaded before the threads part: transformers changes itself while it loads a model
    share = max(1, torch.get_num_threads() // FOLDS)
    with ThreadPoolExecutor(FOLDS, initializer=lambda: torch.set_num_threads(share)) as pool:
        return list(pool.map(function, range(count)))
