"""What the learned judge learns from: the 23,703 texts that people rated (`lib.corpora.human_ratings`), and
single words.

Reviews tell of sorrow and terror that nobody feels, so who learns from them alone hardly hears such words. Of
VADER's words and emoticons ten people each said what they feel (Hutto & Gilbert, ICWSM 2014). COMMON further
words, the most frequent ones that neither VADER nor AFINN (Nielsen, 2011) rates, are taught as 0; the
encoder's vocabulary, which is that of BERT, tells which are
frequent: its whole words stand roughly in that order. Every word is told in a plain sentence, one of FRAMES,
with no regard to grammar. Two things are this project's assumption and no person's rating: that common words
are neutral, and that a word told is felt as the word.
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
_FAMILY = 5  # letters that words of one family have in common: sorrow, sorrowful, sorrowing


def read() -> pd.DataFrame:
    """One row a text, then one row a word: domain, document, text, mean (−4 … +4), weight (each domain the
    same in sum, the words WORDS_WEIGHT of one)."""
    table = pd.concat([human_ratings.read(), words().assign(domain=WORDS)], ignore_index=True)
    weight = np.where(table["domain"] == WORDS, WORDS_WEIGHT, 1.0) / table.groupby("domain")[
        "domain"
    ].transform("size")
    return table.assign(weight=weight / weight.mean())[["domain", "document", "text", "mean", "weight"]]


def words() -> pd.DataFrame:
    """One row a word: word, text (told in a sentence), mean (−4 … +4), rated (by people, or taught as 0),
    document.

    Words that begin alike are one document, so that no word is unseen whose family is not.
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
    """The COMMON most frequent words of two letters or more that no lexicon rates."""
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
