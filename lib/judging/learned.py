"""The judge `learned`: a ridge regression of people's ratings on an encoder with an adapter
(`lib.judging.mpnet`), and VADER.

Its coefficients ship in FILE, made once by `lib.cli.fit_judge`, and the adapter's beside it, so everybody
judges alike and nothing is fitted by who uses it. The adapter's file holds what an adapter and a regression
say of the rated texts that saw none of the
document: agreement with people is measured on that. A language model's own hidden states are no features, for
a model should not be judged by itself. Encoder, layers and what is learnt from are this project's choice,
made by agreement on unseen documents and domains (tests/benches/bench_judges.py).
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
# verdicts where FILE was made, to compare other machines with
STORED = ROOT / "lib" / "data" / "learned_judge_verdicts.csv"
DIGITS = 2  # to which a verdict is rounded, so that no threshold hangs on the last bits of a processor's sums


def version(judge: Judge) -> str:
    """'learned-' and a hash of the coefficients and of the code of their features."""
    return _contents()[0]


def fetch() -> None:
    """Have the encoder in the user's cache."""
    packages.unpacked(mpnet.ENCODER)


@cache
def _contents() -> tuple[str, dict[str, str], dict[str, np.ndarray]]:
    """Version, metadata and tensors of FILE."""
    name = f"learned-{hashlib.sha256(FILE.read_bytes()).hexdigest()[:12]}"
    with safe_open(FILE, "numpy") as file:
        names = file.keys()  # the file is no mapping
        return name, file.metadata(), {key: file.get_tensor(key) for key in names}


def threshold() -> float:
    """|valence| beyond which its verdict is charged, points of the human scale, as fitted to people's
    verdicts of the rated texts (`lib.agreement.rated_threshold`)."""
    return float(_contents()[1]["threshold"])


def valences(judge: Judge, texts: list[str]) -> np.ndarray:
    """What people would say of each text on average, shape (texts,), −4 … +4 in hundredths; 0 where nothing
    is written."""
    tensors = _contents()[2]
    predicted = regression.design(texts) @ tensors["coefficients"].astype(float) + tensors["intercept"]
    return np.where([bool(text.strip()) for text in texts], rounded(predicted), 0.0)


def rounded(predicted: np.ndarray) -> np.ndarray:
    """Predictions as verdicts: within −4 … +4, in hundredths."""
    return np.round(np.clip(predicted, -SCALE, SCALE), DIGITS) + 0.0  # no −0


def out_of_fold(judge: Judge, ratings: pd.DataFrame) -> np.ndarray:
    """Valence of each of `ratings`, rows of `human_ratings.read()`, by those that saw no text of its
    document."""
    rated = human_ratings.read()[["domain", "text_id"]]
    unseen = pd.Series(adapter.unseen(adapter.DOCUMENTS), index=pd.MultiIndex.from_frame(rated))
    return unseen.loc[pd.MultiIndex.from_frame(ratings[["domain", "text_id"]])].to_numpy()
