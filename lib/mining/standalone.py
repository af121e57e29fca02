"""Whether a sentence is whole and stands alone: what an editor would ask of one that is shown without its
page.

Rules on words and their order, without a parser, made for precision: a sentence that they let through has a
finite verb in its main clause, leans on no sentence before it and is spelt as English is. Many good sentences
are lost, which is cheap.
"""

import re
from functools import cache
from itertools import pairwise

import yaml

from lib.config.specs import ROOT

WORDS = ROOT / "lib" / "data" / "mining_words.yaml"

_IMPERSONAL = re.compile(
    r"(?:it's|it is|it was) (?:\w+ly )?(?!able|close|due|home|known|near|ready|set|similar|used)\w+ "
    r"(?:to|that|how|when|if)\b"
)  # "It is hard to …" points forward
_EXPLETIVE = re.compile(  # and "It was a …" says itself what it is
    rf"(?:it's|(?:it|this) (?:is|was))(?: \w+ly| just| quite| such)* (?:a|an|the \w+(?:est|st)|one "
    rf"of)\b|{_IMPERSONAL.pattern}"
)
_ONE = re.compile(r" (?:the|a|this|that|my) (?:[a-z-]+ )?ones? (?!of )")  # "the broken one": of which kind?
_COUNTED = re.compile(r"There (?:are|were|was|is) (?:only )?\d")  # there: where?
# ", really.", or a second sentence
_AFTERTHOUGHT = re.compile(r", [\w-]+\.$|, (?:it|they)(?:['’]s|['’]re| is| was| are| were)\b")
_SLIP = re.compile(
    r"\bits (?:a|an|been|easy|great|hard|not|so|the|very)\b|\b(?:a|an|the) "
    r"(?:are|has|have|is|may|really|was|were|will)\b"
    # a hyphen, or the height of an exponent, was lost
    r"|\b(?:an?|the) (?:easy|hard) to \w+ [a-z]+\b|\b10\d{1,2}\b"
    r"|s (?:along|away|off|on|out) [a-z]+ing\b"  # a comma was: "The play drags on becoming duller."
)
# an abbreviation in lower case, or a slip
_NO_VOWEL = re.compile(r"\b(?!(?:mr|mrs|dr|vs)\b)[b-df-hj-np-tv-xz]{2,}\b")
_MIXED = re.compile(r"[a-z]\d|\d[a-z]", re.IGNORECASE)
_ORDINAL = re.compile(r"\b\d+(?:st|nd|rd|th|s)\b")
_TRIPLED = re.compile(r"([a-z])\1\1|\b(\w+) \2\b", re.IGNORECASE)
_MODEL = re.compile(r"\b(?!(?:1\d|20)\d\d\b)\d{3,}\b")  # a number that is no year


@cache
def vocabulary() -> dict[str, frozenset[str]]:
    """The lists of words that the rules of mining go by, `lib/data/mining_words.yaml`, and those that are
    made of several."""
    listed = {
        name: frozenset(words) for name, words in yaml.safe_load(WORDS.read_text(encoding="utf-8")).items()
    }
    return listed | {
        "verbs": listed["finite"] | listed["finite_plural"],
        "any_verb": listed["finite"] | listed["finite_plural"] | listed["participles"],
        "definite": listed["determiners"] - {"a", "an"},
        "not_at_hand": listed["finite"] | listed["joining"],  # after "this": it is no article
        "no_stem": listed["pointing_back"] | listed["stem_back"],
        "may_precede": listed["before_article"]
        | listed["joining"]
        | listed["finite"]
        | listed["finite_plural"]
        | listed["subordinators"],
        "clause": listed["subordinators"] | {"after", "as", "before", "since", "until"},
    }


@cache
def _back_phrases() -> re.Pattern:
    return re.compile(rf" (?:{'|'.join(map(re.escape, sorted(vocabulary()['back_phrases'])))}) ")


def context_fault(sentence: str, words: list[str], charged: bool) -> str | None:
    """Why a sentence cannot be read on its own before another text; None if it can. `words`: as
    `extract.words_of` gives them."""
    if not is_whole(sentence, charged) or _AFTERTHOUGHT.search(sentence):
        return "sentence_fragment"
    if leans(words, charged):
        return "sentence_leaning"
    if not charged and (_COUNTED.match(sentence) or knows_too_much(sentence.rstrip(".").split(" "))):
        return "sentence_leaning"
    return "sentence_spelling" if is_misspelt(sentence, charged) else None


def is_whole(sentence: str, charged: bool) -> bool:
    """Whether the main clause has a subject that stands first, perhaps after a preposition, and a finite
    verb.

    A noun without an article is taken for a name ("Norway has …") where nobody praises or complains: reviews
    drop articles.
    """
    listed = vocabulary()
    marked = sentence.lower().replace("’", "'").rstrip(".!").split(" ")
    words = [word.strip(",") for word in marked]
    if words[0].split("'")[0] in listed["subjects"]:
        return True
    if words[0] not in listed["openers"]:
        return _plural_acts(marked) or (not charged and _name_acts(marked))
    fronted = words[0] in listed["joining"]
    for place, (before, word) in enumerate(zip(marked, words[1:], strict=False), start=2):
        if word in listed["finite"] or word.endswith("n't"):
            return not (word.endswith("s") and "and" in words[: place - 1])  # "The script and the cast is …"
        if _has_object(word, before, words[place : place + 1]):
            return True
        if word in listed["subordinators"]:
            return False
        starts = word.split("'")[0] in listed["subjects"] or word in listed["determiners"]
        if starts and not before.endswith(",") and before not in listed["joining"]:
            if not fronted:
                return False  # of a clause in the subject: "the film the studio made"
            fronted = False  # "For two weeks the lift …"
        if "'" in word and word.split("'")[0] in listed["subjects"]:
            return True
    return False


def _has_object(word: str, before: str, following: list[str]) -> bool:
    """Whether a word that may be a participle is a finite verb: what follows is its object, or an adverb
    stands before it."""
    listed = vocabulary()
    if word.endswith("ed") or word in listed["participles"]:
        return not listed["determiners"].isdisjoint(following)
    return (
        before.endswith("ly")
        and before not in listed["adjectives"]
        and re.search(r"[^su]s$", word) is not None
    )


def _name_acts(words: list[str]) -> bool:
    """Whether a verb follows the first word, two words with "and", or what belongs to the first: "Norway's
    coast is …"."""
    listed, first = vocabulary(), words[0]
    if (
        first.endswith(("ed", "ing", "ly", ","))
        or first in listed["any_verb"]
        or first in listed["subordinators"]
    ):
        return False
    place = 3 if words[1] == "and" else 2 if first.endswith("'s") else 1
    return not listed["finite"].isdisjoint(words[place : place + 1])


def _plural_acts(words: list[str]) -> bool:
    """Whether a plural, of up to three words without an article, is followed by a verb that agrees with
    it."""
    listed = vocabulary()
    return any(
        word in listed["finite_plural"] and (noun.endswith("s") or noun in listed["plurals"])
        for noun, word in pairwise(words[:4])
    ) and not words[0].endswith(("ed", "ing", ","))


def leans(words: list[str], charged: bool) -> bool:
    """Whether a pronoun, an adverb or a comparison refers to what was said before the sentence.

    "This camera" of a charged sentence may be at hand; "this method" of a neutral one was told of before.
    """
    listed, text = vocabulary(), f" {' '.join(words)} "
    if not listed["pointing_back"].isdisjoint(words) or _back_phrases().search(text):
        return True
    if words[-1] in listed["pointing_last"] or words[0] in listed["pointing_first"] or _ONE.search(text):
        return True
    if words[0] in listed["quantifiers"] and (words[1] in listed["verbs"] or words[1].endswith("ly")):
        return True  # "Some are …": some of whom?
    if not charged and "than" not in words and not listed["comparatives"].isdisjoint(words):
        return True
    return _lacks_antecedent(
        words[1:] if (_EXPLETIVE if charged else _IMPERSONAL).match(text[1:]) else words, charged
    )


def _lacks_antecedent(words: list[str], charged: bool) -> bool:
    """Whether a pronoun comes before any noun with an article, or a plural, that it may stand for."""
    listed = vocabulary()
    named = plural = False
    # "For the price it …": what comes before the verb is not what "it" stands for
    fronted = words[0] in listed["joining"]
    for place, (word, following) in enumerate(zip(words, [*words[1:], ""], strict=True)):
        stem, at_hand = word.split("'")[0], charged and word == "this" and following
        if at_hand and following not in listed["not_at_hand"]:
            named = True
        elif stem in ("he", "she", "this") or (
            stem in listed["referring"] and not (named or (plural and stem.startswith("the")))
        ):
            return True
        fronted = fronted and word not in listed["finite"]
        named |= word in listed["definite"] and not fronted
        plural |= place == 0 and word.endswith("s")
    return False


def is_misspelt(sentence: str, charged: bool) -> bool:
    """Whether a word is no English word as it is written, or a mark was lost: names and abbreviations in
    lower case, slips."""
    low = re.sub(r"['’]s\b", "", sentence)
    if _MIXED.search(_ORDINAL.sub("", low)) or _TRIPLED.search(low) or (charged and _MODEL.search(low)):
        return True
    words = low.rstrip(".!").lower().split(" ")
    if _SLIP.search(sentence) or _NO_VOWEL.search(low) or not vocabulary()["uncapitalised"].isdisjoint(words):
        return True
    return any(article in ("a", "an") and not _may_precede(word) for word, article in pairwise(words))


def _may_precede(word: str) -> bool:
    """Whether an article may follow: "faith an eloquent …" has lost a dash."""
    return (
        word.endswith(("s", "ed", "ing", "ly", ",", "n't"))
        or "'" in word
        or word in vocabulary()["may_precede"]
    )


def stem_leans(words: list[str]) -> bool:
    """Whether a stem, given as its words with capitals, lacks a verb or refers to what was said before it."""
    listed, low = vocabulary(), [word.strip(",").lower() for word in words]
    acts = next(
        (place for place, word in enumerate(low) if word in listed["any_verb"] or word.endswith("ed")), None
    )
    if acts is None or (low[0] in listed["joining"] and "that" in low[:acts]):
        return True  # "In 1919 that prediction was …"
    if not listed["no_stem"].isdisjoint(low):
        return True
    if "than" not in low and not listed["comparatives"].isdisjoint(low):
        return True
    return _back_phrases().search(f" {' '.join(low)} ") is not None or knows_too_much(words)


def knows_too_much(words: list[str]) -> bool:
    """Whether a sentence, given as its words with capitals, speaks of "the couple" or "the region" as if the
    reader knew it.

    Known is what has a name, or a complement that says what it is: "the harbour of the town", "the oldest
    bridge".
    """
    listed, low = vocabulary(), [word.strip(",").lower().removesuffix("'s") for word in words]
    clause = listed["clause"]
    heads = [
        0,
        *(place for place, before in enumerate(words, 1) if before.endswith(",") or before.lower() in clause),
    ]
    if any(
        words[place : place + 1] in (["the"], ["The"]) and _is_unknown(words[place + 1 : place + 5])
        for place in heads
    ):
        return True
    triples = zip(low, low[1:], [*low[2:], ""], strict=False)
    return any(
        first == "the" and noun in listed["told_before"] and last not in ("of", "for")
        for first, noun, last in triples
    )


def _is_unknown(following: list[str]) -> bool:
    """Whether a verb or a comma comes before any name, preposition or superlative."""
    listed = vocabulary()
    for place, word in enumerate(following):
        low = word.strip(",").lower()
        if word[0].isupper() or low in listed["complements"] or low == "most" or low.endswith("est"):
            return False
        if place and (
            low in listed["finite"] or low.endswith("ed") or low.endswith("ly") or word.endswith(",")
        ):
            return True
    return True
