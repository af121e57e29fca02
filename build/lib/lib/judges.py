"""Judges: from the text of a completion to its valence on the human scale, −4 (most negative) to +4 (most positive).

A judge is a function of a list of texts that gives an array of valences, NaN where it has no verdict.
"""

import re
from functools import cache

import numpy as np
import pandas as pd
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

SCALE = 4.0  # the human scale runs from -SCALE to +SCALE
VERSIONS = {"vader": "vader-3.3.2"}


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


def lexicon() -> dict[str, float]:
    """VADER's words and emoticons with their mean human rating, −4 … +4."""
    return _analyzer().lexicon


def vader(texts: list[str]) -> np.ndarray:
    """VADER's compound score (Hutto & Gilbert, ICWSM 2014; −1 … +1) stretched to the human scale, shape (texts,)."""
    return SCALE * np.array([_analyzer().polarity_scores(text)["compound"] for text in texts], dtype=float)


def judge(name: str, texts: list[str]) -> np.ndarray:
    """Valence of each text by the judge called `name` (a key of VERSIONS); each distinct text is judged once."""
    column = pd.Series(texts, dtype=object)
    distinct = column.dropna().unique().tolist()
    return column.map(dict(zip(distinct, {"vader": vader}[name](distinct), strict=True))).to_numpy(dtype=float)


def judgements(completions: pd.DataFrame, prompts: pd.DataFrame, name: str, charged_threshold: float) -> pd.DataFrame:
    """The completions with what describes their prompt and with the columns judge, valence, charged, repeats.

    charged: |valence| above `charged_threshold`, missing where there is no valence. repeats: see `repeats_charge`.
    """
    described = prompts[["prompt_id", "domain", "slot", "emotion", "intensity", "form", "literal_senses", "context", "stem"]]
    table = completions.merge(described, on="prompt_id", how="left", validate="many_to_one")
    table["judge"] = VERSIONS[name]
    table["valence"] = judge(name, table["completion"].tolist())
    table["charged"] = (table["valence"].abs() > charged_threshold).astype("boolean").mask(table["valence"].isna())
    table["repeats"] = [repeats_charge(row.completion, row.context, row.literal_senses) for row in table.itertuples()]
    return table


def repeats_charge(completion: str, context: str, literal_senses: str = "") -> bool:
    """Whether a completion holds a word of its context that VADER's lexicon scores, or one of its `literal_senses`.

    The latter are the words of an idiom that have a sense of their own ("blue"), joined by ';'. Exact form, case ignored.
    """
    telling = (_words(context) & lexicon().keys()) | set(literal_senses.split(";"))
    return bool(telling & _words(completion))


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+(?:-[a-z]+)*", text.casefold()))
