"""The judge `learned`: a ridge regression of human ratings on encoder features and VADER's valence.

The encoder (`lib.judging.mpnet`) carries an adapter. The coefficients ship in FILE, written once by
`lib.cli.fit_judge`, and the adapter's weights ship in its own file, so every user gets the same judge and
fits nothing. The adapter's file also holds held-out predictions for the rated texts, by an adapter and a
regression that saw no text of the same document; agreement with people is measured on these.

A language model's own hidden states are not used as features, because a model should not judge itself.
Encoder, layers and training texts are choices of this project, made by agreement on unseen documents and
domains (tests/benches/bench_judges.py).
"""

import hashlib
from functools import cache

import numpy as np
import pandas as pd
from safetensors import safe_open

from lib.config.specs import ROOT, Judge
from lib.corpora import human_ratings
from lib.judging import adapter, mpnet, regression
from lib.nlp.vader import SCALE
from lib.storage import packages

FILE = ROOT / "lib" / "data" / "learned_judge.safetensors"
# verdicts of the machine that wrote FILE, to compare other machines with
STORED = ROOT / "lib" / "data" / "learned_judge_verdicts.csv"
DIGITS = 2  # of a rounded verdict, so that no threshold depends on the last bits of a processor's sums


def version(judge: Judge) -> str:
    """Return 'learned-' and a hash of FILE: the coefficients and the version of their features' code."""
    return _contents()[0]


def fetch() -> None:
    """Fetch the encoder into the user's cache."""
    packages.unpacked(mpnet.ENCODER)


@cache
def _contents() -> tuple[str, dict[str, str], dict[str, np.ndarray]]:
    """Return version, metadata and tensors of FILE."""
    name = f"learned-{hashlib.sha256(FILE.read_bytes()).hexdigest()[:12]}"
    with safe_open(FILE, "numpy") as file:
        names = file.keys()  # the file object is not a mapping
        return name, file.metadata(), {key: file.get_tensor(key) for key in names}


def threshold() -> float:
    """Return the |valence| above which a verdict of this judge is charged, in points of the human scale.

    It is fitted to people's verdicts of the rated texts (`lib.agreement.rated_threshold`).
    """
    return float(_contents()[1]["threshold"])


def valences(judge: Judge, texts: list[str]) -> np.ndarray:
    """Return the predicted mean rating of each text, shape (texts,), −4 … +4 in hundredths.

    A text without any character but white space gets 0.
    """
    tensors = _contents()[2]
    predicted = regression.design(texts) @ tensors["coefficients"].astype(float) + tensors["intercept"]
    return np.where([bool(text.strip()) for text in texts], rounded(predicted), 0.0)


def rounded(predicted: np.ndarray) -> np.ndarray:
    """Return predictions as verdicts: clipped to −4 … +4 and rounded to hundredths."""
    return np.round(np.clip(predicted, -SCALE, SCALE), DIGITS) + 0.0  # no −0


def out_of_fold(judge: Judge, ratings: pd.DataFrame) -> np.ndarray:
    """Return held-out valences of `ratings`, rows of `human_ratings.read()`.

    They come from an adapter and a regression that saw no text of the same document.
    """
    rated = human_ratings.read()[["domain", "text_id"]]
    unseen = pd.Series(adapter.unseen(adapter.DOCUMENTS), index=pd.MultiIndex.from_frame(rated))
    return unseen.loc[pd.MultiIndex.from_frame(ratings[["domain", "text_id"]])].to_numpy()
