"""VADER, the lexicon judge: words and emoticons with mean human ratings, rules for negation and emphasis."""

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
    """Return VADER's words and emoticons with their mean human rating, −4 … +4."""
    return _analyzer().lexicon


def valences(texts: list[str]) -> np.ndarray:
    """Return VADER's compound score stretched to the human scale, shape (texts,).

    The compound score (Hutto & Gilbert, ICWSM 2014) runs from −1 to +1. Each text is scored as `normalize`
    returns it, because lexicon and rules know only straight apostrophes and quotes.
    """
    return SCALE * np.array(
        [_analyzer().polarity_scores(normalize(text))["compound"] for text in texts], dtype=float
    )
