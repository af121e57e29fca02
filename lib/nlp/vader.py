"""VADER, the lexicon judge: words and emoticons with mean human ratings, and rules for negation and
emphasis."""

from functools import cache

import numpy as np
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from lib.nlp.text import VERSION as TEXT_VERSION
from lib.nlp.text import normalize

SCALE = 4.0  # the human scale runs from -SCALE to +SCALE
VERSION = f"vader-3.3.2-{TEXT_VERSION}"


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


def lexicon() -> dict[str, float]:
    """VADER's words and emoticons with their mean human rating, −4 … +4."""
    return _analyzer().lexicon


def valences(texts: list[str]) -> np.ndarray:
    """VADER's compound score (Hutto & Gilbert, ICWSM 2014; −1 … +1) stretched to the human scale, shape
    (texts,).

    Of each text as `normalize` leaves it: the lexicon and the rules know straight apostrophes and quotes
    alone.
    """
    return SCALE * np.array(
        [_analyzer().polarity_scores(normalize(text))["compound"] for text in texts], dtype=float
    )
