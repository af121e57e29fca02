"""Single words that the learned judge learns from beside the rated texts: VADER's, which people rated, and common plain ones.

Reviews tell of sorrow and terror that nobody feels, so who learns from them alone hardly hears such words. Of VADER's words and
emoticons ten people each said what they feel (Hutto & Gilbert, ICWSM 2014). COMMON further words, the most frequent ones that
neither VADER nor AFINN (Nielsen, 2011) rates, are taught as 0. MiniLM's vocabulary, which is that of BERT, tells which words are
frequent: its whole words stand roughly in that order. Every second word is not taught bare but told in a plain sentence, one of
FRAMES, with no regard to grammar. Two things are this project's assumption and no person's rating: that common words are neutral,
and that a word told is felt as the word.
"""

import json
from itertools import islice

import pandas as pd
from afinn import Afinn

from lib import similarity, vader

COMMON = 3_000
FRAMES = ("He seems {}.", "She knew {}.", "They spoke of {}.", "There was {} in it.")
_FORMS = [form for frame in FRAMES for form in ("{}", frame)]
_FAMILY = 5  # letters that words of one family have in common: sorrow, sorrowful, sorrowing


def read() -> pd.DataFrame:
    """One row a word: text (bare, or told), mean (−4 … +4), rated (by people, or taught as 0), told, document.

    Words that begin alike are one document, so that no word is unseen whose family is not.
    """
    rated = pd.DataFrame({"text": list(vader.lexicon()), "mean": list(vader.lexicon().values()), "rated": True})
    common = pd.DataFrame({"text": common_words(), "mean": 0.0, "rated": False})
    words = pd.concat([rated, common], ignore_index=True)
    words["document"] = "words:" + words["text"].str[:_FAMILY]
    words["told"] = words.index % 2 == 1
    words["text"] = [_FORMS[number % len(_FORMS)].format(word) for number, word in enumerate(words["text"])]
    return words


def common_words() -> list[str]:
    """The COMMON most frequent words of two letters or more that no lexicon rates."""
    vocabulary = json.loads((similarity.folder() / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    whole = (word for word in sorted(vocabulary, key=vocabulary.get) if word.isascii() and word.isalpha() and len(word) > 1)
    afinn = Afinn()
    unrated = (word for word in whole if word not in vader.lexicon() and not afinn.find_all(word))
    return list(islice(unrated, COMMON))
