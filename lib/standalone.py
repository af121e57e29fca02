"""Whether a sentence is whole and stands alone: what an editor would ask of one that is shown without its page.

Rules on words and their order, without a parser, made for precision: a sentence that they let through has a finite verb in its main
clause, leans on no sentence before it, addresses nobody and is spelt as English is. Many good sentences are lost, which is cheap.
"""

import re
from functools import cache

import yaml

from lib.specs import ROOT

WORDS = ROOT / "lib" / "data" / "mining_words.yaml"

_EXPLETIVE = re.compile(  # "It was a …" says itself what it is; "It is hard to …" points forward
    r"(?:it's|(?:it|this) (?:is|was))(?: \w+ly| just| quite| such| still| one of)* (?:(?:a|an|the \w+(?:est|st))\b|\w+ (?:to|that|how|when|if)\b)"
)
_NO_VOWEL = re.compile(r"\b(?!(?:mr|mrs|dr|vs)\b)[b-df-hj-np-tv-xz]{2,}\b")  # an abbreviation in lower case, or a slip
_MIXED = re.compile(r"[a-z]\d|\d[a-z]", re.IGNORECASE)
_ORDINAL = re.compile(r"\b\d+(?:st|nd|rd|th|s)\b")
_TRIPLED = re.compile(r"([a-z])\1\1|\b(\w+) \2\b", re.IGNORECASE)
_MODEL = re.compile(r"\b(?!(?:1\d|20)\d\d\b)\d{3,}\b")  # a number that is no year


@cache
def vocabulary() -> dict[str, frozenset[str]]:
    """The lists of words that the rules of mining go by, `lib/data/mining_words.yaml`."""
    listed = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    return {name: frozenset(words) for name, words in listed.items()}


def context_fault(sentence: str, words: list[str], charged: bool) -> str | None:
    """Why a sentence cannot be read on its own before another text; None if it can. `words`: as `mining.words_of` gives them."""
    if not is_whole(sentence):
        return "sentence_fragment"
    if leans(words, charged):
        return "sentence_leaning"
    return "sentence_spelling" if is_misspelt(sentence, charged) else None


def is_whole(sentence: str) -> bool:
    """Whether the main clause has a subject that stands first, perhaps after a preposition, and a finite verb."""
    listed = vocabulary()
    marked = sentence.lower().replace("’", "'").rstrip(".!").split(" ")
    words = [word.strip(",") for word in marked]
    if words[0].split("'")[0] in listed["subjects"]:
        return True
    if words[0] not in listed["openers"]:
        return _plural_acts(marked)
    for place, (before, word) in enumerate(zip(marked, words[1:], strict=False), start=2):
        if word in listed["finite"] or word.endswith("n't"):
            return True
        if word.endswith("ed") and words[place : place + 1] and words[place] in listed["determiners"]:
            return True  # a participle has no object
        if word in listed["subordinators"]:
            return False
        starts = word.split("'")[0] in listed["subjects"] or word in listed["determiners"]
        if starts and not before.endswith(",") and before not in listed["joining"]:
            return False  # of a clause in the subject: "the film the studio made"
        if "'" in word and word.split("'")[0] in listed["subjects"]:
            return True
    return False


def _plural_acts(words: list[str]) -> bool:
    """Whether a plural, of up to three words without an article, is followed by a verb that agrees with it."""
    listed = vocabulary()
    return any(
        word in listed["finite_plural"] and (noun.endswith("s") or noun in listed["plurals"])
        for noun, word in zip(words[:3], words[1:4], strict=False)
    ) and not words[0].endswith(("ed", "ing", ","))


def leans(words: list[str], charged: bool) -> bool:
    """Whether a pronoun or an adverb refers to what was said before the sentence.

    "This camera" of a charged sentence may be at hand; "this method" of a neutral one was told of before.
    """
    listed, text = vocabulary(), f" {' '.join(words)} "
    if not listed["pointing_back"].isdisjoint(words) or any(f" {phrase} " in text for phrase in listed["back_phrases"]):
        return True
    if words[0] in listed["quantifiers"] and (words[1] in listed["finite"] | listed["finite_plural"] or words[1].endswith("ly")):
        return True  # "Some are …": some of whom?
    if words[-1] in listed["pointing_last"] or words[0] in listed["pointing_first"]:
        return True
    if _EXPLETIVE.match(text[1:]):
        words = words[1:]
    named = False  # whether something was named that a pronoun may stand for
    for place, (word, following) in enumerate(zip(words, [*words[1:], ""], strict=True)):
        at_hand = charged and word == "this" and following and following not in listed["finite"] | listed["joining"]
        if word.split("'")[0] in listed["referring"] and not named and not at_hand:
            return True
        named |= at_hand or word in listed["determiners"] or (place == 0 and word.endswith("s"))
    return False


def is_misspelt(sentence: str, charged: bool) -> bool:
    """Whether a word is no English word as it is written: names and abbreviations in lower case, models' numbers, slips."""
    low = re.sub(r"['’]s\b", "", sentence)
    if _MIXED.search(_ORDINAL.sub("", low)) or _TRIPLED.search(low) or (charged and _MODEL.search(low)):
        return True
    words = set(re.findall(r"[A-Za-z]+", low))
    return bool(_NO_VOWEL.search(low)) or not vocabulary()["uncapitalised"].isdisjoint(words)


def stem_fault(words: list[str]) -> bool:
    """Whether the sentence, as its words with capitals, speaks of "the couple" or "the region" as if the reader knew it.

    Known is what has a name, or a complement that says what it is: "the harbour of the town", "the oldest bridge".
    """
    listed = vocabulary()
    for place, word in enumerate(words):
        if word.lower() == "the" and (place == 0 or words[place - 1].endswith(",") or words[place - 1] in listed["subordinators"]):
            if _is_unknown(words[place + 1 : place + 5]):
                return True
    return False


def _is_unknown(following: list[str]) -> bool:
    """Whether a verb or a comma comes before any name, preposition or superlative."""
    listed = vocabulary()
    for place, word in enumerate(following):
        low = word.strip(",").lower()
        if word[0].isupper() or low in listed["complements"] or low.endswith("est") or low in {"most", "first", "last", "only"}:
            return False
        if place and (low in listed["finite"] or low.endswith("ed") or low.endswith("ly") or word.endswith(",")):
            return True
    return True
