"""Whether a sentence is whole and stands alone, as one that is shown without its page must.

The rules use words and their order, without a parser, and are made for precision: a sentence that passes has
a finite verb in its main clause, does not depend on an earlier sentence, and is spelt as English is. Many
good sentences are lost, which costs little.
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
_EXPLETIVE = re.compile(  # and "It was a …" identifies its own subject
    rf"(?:it's|(?:it|this) (?:is|was))(?: \w+ly| just| quite| such)* (?:a|an|the \w+(?:est|st)|one "
    rf"of)\b|{_IMPERSONAL.pattern}"
)
_ONE = re.compile(r" (?:the|a|this|that|my) (?:[a-z-]+ )?ones? (?!of )")  # "the broken one": of which kind?
_COUNTED = re.compile(r"There (?:are|were|was|is) (?:only )?\d")  # "There are 3 …" does not say where
# ", really.", or a second sentence
_AFTERTHOUGHT = re.compile(r", [\w-]+\.$|, (?:it|they)(?:['’]s|['’]re| is| was| are| were)\b")
_SLIP = re.compile(
    r"\bits (?:a|an|been|easy|great|hard|not|so|the|very)\b|\b(?:a|an|the) "
    r"(?:are|has|have|is|may|really|was|were|will)\b"
    # a hyphen, or the superscript of an exponent, was lost
    r"|\b(?:an?|the) (?:easy|hard) to \w+ [a-z]+\b|\b10\d{1,2}\b"
    r"|s (?:along|away|off|on|out) [a-z]+ing\b"  # a comma was lost: "The play drags on becoming duller."
)
# an abbreviation in lower case, or a slip
_NO_VOWEL = re.compile(r"\b(?!(?:mr|mrs|dr|vs)\b)[b-df-hj-np-tv-xz]{2,}\b")
_MIXED = re.compile(r"[a-z]\d|\d[a-z]", re.IGNORECASE)
_ORDINAL = re.compile(r"\b\d+(?:st|nd|rd|th|s)\b")
_TRIPLED = re.compile(r"([a-z])\1\1|\b(\w+) \2\b", re.IGNORECASE)
_MODEL = re.compile(r"\b(?!(?:1\d|20)\d\d\b)\d{3,}\b")  # a number that is not a year


@cache
def vocabulary() -> dict[str, frozenset[str]]:
    """The word lists of the mining rules, `lib/data/mining_words.yaml`, and combinations of them."""
    listed = {
        name: frozenset(words) for name, words in yaml.safe_load(WORDS.read_text(encoding="utf-8")).items()
    }
    return listed | {
        "verbs": listed["finite"] | listed["finite_plural"],
        "any_verb": listed["finite"] | listed["finite_plural"] | listed["participles"],
        "definite": listed["determiners"] - {"a", "an"},
        "not_at_hand": listed["finite"] | listed["joining"],  # after "this" as a pronoun
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
    """Why a sentence cannot be read on its own before another text; None if it can.

    Args:
        sentence: The sentence.
        words: Its words, as `extract.words_of` returns them.
        charged: Whether it has charged words.

    Returns:
        sentence_fragment, sentence_leaning, sentence_spelling, or None.
    """
    if not is_whole(sentence, charged) or _AFTERTHOUGHT.search(sentence):
        return "sentence_fragment"
    if leans(words, charged):
        return "sentence_leaning"
    if not charged and (_COUNTED.match(sentence) or knows_too_much(sentence.rstrip(".").split(" "))):
        return "sentence_leaning"
    return "sentence_spelling" if is_misspelt(sentence, charged) else None


def is_whole(sentence: str, charged: bool) -> bool:
    """Whether the main clause has a finite verb and a subject that comes first, perhaps after a preposition.

    In a neutral sentence, a noun without an article counts as a name ("Norway has …"). In a charged one it
    does not: reviews drop articles.
    """
    listed = vocabulary()
    tokens = sentence.lower().replace("’", "'").rstrip(".!").split(" ")
    words = [word.strip(",") for word in tokens]
    if words[0].split("'")[0] in listed["subjects"]:
        return True
    if words[0] not in listed["openers"]:
        return _plural_acts(tokens) or (not charged and _name_acts(tokens))
    fronted = words[0] in listed["joining"]
    for index, (previous, word) in enumerate(zip(tokens, words[1:], strict=False), start=2):
        if word in listed["finite"] or word.endswith("n't"):
            return not (word.endswith("s") and "and" in words[: index - 1])  # "The script and the cast is …"
        if _has_object(word, previous, words[index : index + 1]):
            return True
        if word in listed["subordinators"]:
            return False
        starts_clause = word.split("'")[0] in listed["subjects"] or word in listed["determiners"]
        if starts_clause and not previous.endswith(",") and previous not in listed["joining"]:
            if not fronted:
                return False  # subject of a clause inside the subject: "the film the studio made"
            fronted = False  # "For two weeks the lift …"
        if "'" in word and word.split("'")[0] in listed["subjects"]:
            return True
    return False


def _has_object(word: str, before: str, following: list[str]) -> bool:
    """Whether a possible participle is a finite verb: an object follows, or an adverb precedes it."""
    listed = vocabulary()
    if word.endswith("ed") or word in listed["participles"]:
        return not listed["determiners"].isdisjoint(following)
    return (
        before.endswith("ly")
        and before not in listed["adjectives"]
        and re.search(r"[^su]s$", word) is not None
    )


def _name_acts(words: list[str]) -> bool:
    """Whether a verb follows the first word, two words with "and", or a possessive: "Norway's coast is …"."""
    listed, first = vocabulary(), words[0]
    if (
        first.endswith(("ed", "ing", "ly", ","))
        or first in listed["any_verb"]
        or first in listed["subordinators"]
    ):
        return False
    index = 3 if words[1] == "and" else 2 if first.endswith("'s") else 1
    return not listed["finite"].isdisjoint(words[index : index + 1])


def _plural_acts(words: list[str]) -> bool:
    """Whether a plural of up to three words without an article is followed by a verb that agrees."""
    listed = vocabulary()
    return any(
        word in listed["finite_plural"] and (noun.endswith("s") or noun in listed["plurals"])
        for noun, word in pairwise(words[:4])
    ) and not words[0].endswith(("ed", "ing", ","))


def leans(words: list[str], charged: bool) -> bool:
    """Whether a pronoun, an adverb or a comparison refers to an earlier sentence.

    "This camera" in a charged sentence may be at hand; "this method" in a neutral one was mentioned before.
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
    """Whether a pronoun precedes any noun with an article, or plural, that it may refer to."""
    listed = vocabulary()
    has_definite = has_plural = False
    # "For the price it …": what comes before the verb is not what "it" stands for
    fronted = words[0] in listed["joining"]
    for index, (word, following) in enumerate(zip(words, [*words[1:], ""], strict=True)):
        base, at_hand = word.split("'")[0], charged and word == "this" and following
        if at_hand and following not in listed["not_at_hand"]:
            has_definite = True
        elif base in ("he", "she", "this") or (
            base in listed["referring"] and not (has_definite or (has_plural and base.startswith("the")))
        ):
            return True
        fronted = fronted and word not in listed["finite"]
        has_definite |= word in listed["definite"] and not fronted
        has_plural |= index == 0 and word.endswith("s")
    return False


def is_misspelt(sentence: str, charged: bool) -> bool:
    """Whether a word is not spelt as in English, or a sign was lost.

    Includes names and abbreviations in lower case, and slips.
    """
    text = re.sub(r"['’]s\b", "", sentence)
    if _MIXED.search(_ORDINAL.sub("", text)) or _TRIPLED.search(text) or (charged and _MODEL.search(text)):
        return True
    words = text.rstrip(".!").lower().split(" ")
    if (
        _SLIP.search(sentence)
        or _NO_VOWEL.search(text)
        or not vocabulary()["uncapitalised"].isdisjoint(words)
    ):
        return True
    return any(article in ("a", "an") and not _may_precede(word) for word, article in pairwise(words))


def _may_precede(word: str) -> bool:
    """Whether a word may stand before an article: "faith an eloquent …" has lost a dash."""
    return (
        word.endswith(("s", "ed", "ing", "ly", ",", "n't"))
        or "'" in word
        or word in vocabulary()["may_precede"]
    )


def stem_leans(words: list[str]) -> bool:
    """Whether a stem, given as its words with capitals, lacks a verb or refers to an earlier sentence."""
    listed, lower = vocabulary(), [word.strip(",").lower() for word in words]
    verb_index = next(
        (index for index, word in enumerate(lower) if word in listed["any_verb"] or word.endswith("ed")), None
    )
    if verb_index is None or (lower[0] in listed["joining"] and "that" in lower[:verb_index]):
        return True  # "In 1919 that prediction was …"
    if not listed["no_stem"].isdisjoint(lower):
        return True
    if "than" not in lower and not listed["comparatives"].isdisjoint(lower):
        return True
    return _back_phrases().search(f" {' '.join(lower)} ") is not None or knows_too_much(words)


def knows_too_much(words: list[str]) -> bool:
    """Whether a sentence mentions "the couple" or "the region" as if the reader knew it.

    A thing is known if it has a name or a complement that identifies it: "the harbour of the town", "the
    oldest bridge". `words` are the words of the sentence with capitals.
    """
    listed, lower = vocabulary(), [word.strip(",").lower().removesuffix("'s") for word in words]
    clause = listed["clause"]
    clause_starts = [
        0,
        *(
            index
            for index, previous in enumerate(words, 1)
            if previous.endswith(",") or previous.lower() in clause
        ),
    ]
    if any(
        words[index : index + 1] in (["the"], ["The"]) and _is_unknown(words[index + 1 : index + 5])
        for index in clause_starts
    ):
        return True
    triples = zip(lower, lower[1:], [*lower[2:], ""], strict=False)
    return any(
        first == "the" and noun in listed["told_before"] and last not in ("of", "for")
        for first, noun, last in triples
    )


def _is_unknown(following: list[str]) -> bool:
    """Whether a verb or a comma comes before any name, preposition or superlative."""
    listed = vocabulary()
    for index, word in enumerate(following):
        lower = word.strip(",").lower()
        if word[0].isupper() or lower in listed["complements"] or lower == "most" or lower.endswith("est"):
            return False
        if index and (
            lower in listed["finite"] or lower.endswith("ed") or lower.endswith("ly") or word.endswith(",")
        ):
            return True
    return True
