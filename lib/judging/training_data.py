"""Training data of the learned judge: 23,703 texts rated by people, and single words.

The texts are those of `lib.corpora.human_ratings`. Reviews describe sorrow and terror that their writers do
not feel, so a regression trained on them alone hardly reacts to such words. VADER's words and emoticons were
each rated by ten people (Hutto & Gilbert, ICWSM 2014). COMMON further words, the most frequent ones that
neither VADER nor AFINN (Nielsen, 2011) rates, get the rating 0. Their frequency is taken from the encoder's
vocabulary, which is that of BERT: its whole words are roughly in order of frequency.

Every word is put into a plain sentence, one of FRAMES, without regard to grammar. Two things are assumptions
of this project and not ratings: that common words are neutral, and that the sentence has the valence of its
word.
"""

import json
from itertools import islice

import numpy as np
import pandas as pd
from afinn import Afinn

from lib.corpora import human_ratings
from lib.judging import mpnet
from lib.nlp import vader
from lib.storage import packages

WORDS = "words"  # the domain of the words
COMMON = 3_000
FRAMES = ("He seems {}.", "She felt {}.", "They are full of {}.", "There was {} in it.")
WORDS_WEIGHT = 0.75  # of all words together, in domains
_FAMILY = 5  # letters that words of one family share: sorrow, sorrowful, sorrowing


def read() -> pd.DataFrame:
    """Return the training table: one row per text, then one row per word.

    Returns:
        domain, document, text, mean (−4 … +4), weight. Each domain has the same sum of weights; the words
        have WORDS_WEIGHT of that sum.
    """
    table = pd.concat([human_ratings.read(), words().assign(domain=WORDS)], ignore_index=True)
    weight = np.where(table["domain"] == WORDS, WORDS_WEIGHT, 1.0) / table.groupby("domain")[
        "domain"
    ].transform("size")
    return table.assign(weight=weight / weight.mean())[["domain", "document", "text", "mean", "weight"]]


def words() -> pd.DataFrame:
    """Return one row per word.

    Words that begin alike are one document, so that a word is held out only together with its family.

    Returns:
        word, text (a sentence with the word), mean (−4 … +4), rated (True: by people; False: set to 0),
        document.
    """
    rated = pd.DataFrame(
        {"word": list(vader.lexicon()), "mean": list(vader.lexicon().values()), "rated": True}
    )
    common = pd.DataFrame({"word": common_words(), "mean": 0.0, "rated": False})
    table = pd.concat([rated, common], ignore_index=True)
    table["document"] = "words:" + table["word"].str[:_FAMILY]
    table["text"] = [FRAMES[number % len(FRAMES)].format(word) for number, word in enumerate(table["word"])]
    return table


def common_words() -> list[str]:
    """Return the COMMON most frequent words of two letters or more that no lexicon rates."""
    file = packages.unpacked(mpnet.ENCODER) / "tokenizer.json"
    vocabulary = json.loads(file.read_text(encoding="utf-8"))["model"]["vocab"]
    whole = (
        word
        for word in sorted(vocabulary, key=vocabulary.get)
        if word.isascii() and word.isalpha() and len(word) > 1
    )
    afinn = Afinn()
    unrated = (word for word in whole if word not in vader.lexicon() and not afinn.find_all(word))
    return list(islice(unrated, COMMON))
