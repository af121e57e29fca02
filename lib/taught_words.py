"""Single words that the learned judge learns from beside the rated texts: VADER's, which people rated, and common plain ones.

Reviews tell of sorrow and terror that nobody feels, so who learns from them alone hardly hears such words. Of VADER's words and
emoticons ten people each said what they feel (Hutto & Gilbert, ICWSM 2014). COMMON further words, the most frequent ones that
neither VADER nor AFINN (Nielsen, 2011) rates, are taught as 0. MiniLM's vocabulary, which is that of BERT, tells which words are
frequent: its whole words stand roughly in that order. Each word is taught bare and told in a plain sentence, one of FRAMES. Two
things are this project's assumption and no person's rating: that common words are neutral, and that a word told is felt as the
word; and grammar does not matter there.
"""

import json
from itertools import islice

import pandas as pd
from afinn import Afinn

from lib import similarity, vader

COMMON = 3_000
FRAMES = ("He seems {}.", "She knew {}.", "They spoke of {}.", "There was {} in it.")
_FAMILY = 5  # letters that words of one family have in common: sorrow, sorrowful, sorrowing


def read() -> pd.DataFrame:
    """Two rows a word, bare and told: text, mean (−4 … +4), rated (by people, or taught as 0), told, document.

    Words that begin alike are one document, so that no word is unseen whose family is not.
    """
    rated = pd.DataFrame({"text": list(vader.lexicon()), "mean": list(vader.lexicon().values()), "rated": True})
    common = pd.DataFrame({"text": common_words(), "mean": 0.0, "rated": False})
    words = pd.concat([rated, common], ignore_index=True).assign(told=False)
    words["document"] = "words:" + words["text"].str[:_FAMILY]
    told = [FRAMES[number % len(FRAMES)].format(word) for number, word in enumerate(words["text"])]
    return pd.concat([words, words.assign(text=told, told=True)], ignore_index=True)


def common_words() -> list[str]:
    """The COMMON most frequent words of two letters or more that no lexicon rates."""
    vocabulary = json.loads((similarity.folder() / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    whole = (word for word in sorted(vocabulary, key=vocabulary.get) if word.isascii() and word.isalpha() and len(word) > 1)
    afinn = Afinn()
    unrated = (word for word in whole if word not in vader.lexicon() and not afinn.find_all(word))
    return list(islice(unrated, COMMON))
