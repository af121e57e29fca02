"""From the text of a page to candidates: neutral sentences cut into stems, and charged and neutral contexts.

A candidate's role is stem, neutral, negative or positive. Nothing is dropped silently; the counts that
`candidates` keeps satisfy

    lines == line_read + all other line_*        sentences == all sentence_* + all role_*

The rules are this project's own and made for precision: a lost sentence costs little, because there is more
text than needed. The rules on wording are in `lib.mining.standalone`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import ahocorasick
import sentencex
from afinn import Afinn
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from lib.mining import standalone
from lib.mining.standalone import vocabulary
from lib.nlp import vader
from lib.nlp.text import normalize

# change it with any change here or in lib/mining/standalone.py that affects the candidates of a page
VERSION = "extract-1"
ROLES = ("stem", "neutral", "negative", "positive")
LINE = 25  # characters: shorter lines are menus and captions
SENTENCE = (5, 26)  # words
STEM_SENTENCE = (9, 20)  # words of a sentence that is cut into a stem
STEM = (5, 13)  # words before the cut
REFERENCE = (3, 8)  # words after the cut, so that a short continuation ends the sentence
CONTEXT = (5, 20)  # words
LETTERS = 0.7  # least share of letters among the characters of a sentence

_ODD = re.compile(r"\.\.|[\ufffd\x00-\x08\x0e-\x1f\x7f@#{}|<>\[\]\\^~*_=+%$£€]|https?:|www\.")
_END = re.compile(r"""[.!?]["'”’)]*$""")
_FORM = re.compile(r"^[A-Z](?!.* ['’])[^\"“”„«»()?!;:–—…/&]*[a-z0-9]\.$")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_STOP = re.compile(r"\.\s")  # an abbreviation, or two sentences
_DIGITS = re.compile(r"\d{5}")
_DASH = re.compile(r" -|- |--")


class Candidate(NamedTuple):
    """A sentence that passed the rules of its role."""

    role: str  # one of ROLES
    sentence: str
    stem: str  # of a stem: the words before the cut
    reference: str  # of a stem: the words after the cut
    valence: float  # VADER's, on the human scale; 0 for neutral sentences, which have no word of a lexicon
    line: int  # number of the line in its page, from 0
    place: int  # number of the sentence in its line, from 0


def _none(name: str, words: list[str]) -> bool:
    return vocabulary()[name].isdisjoint(words)


@cache
def lexicon() -> dict[str, int]:
    """Words that VADER's lexicon or AFINN rates: +1, −1, or 0 where the two differ in sign."""
    signs: dict[str, int] = {}
    afinn = Afinn.read_word_file(Afinn().full_filename("AFINN-en-165.txt"))
    rated = [*vader.lexicon().items(), *afinn.items()]
    for word, value in rated:
        sign = (value > 0) - (value < 0)
        signs[word] = sign if signs.get(word, sign) == sign else 0
    return signs


def words_of(sentence: str) -> list[str]:
    """The words of a sentence in lower case, with their apostrophes and without any other sign."""
    return _WORD.findall(normalize(sentence).lower())


def is_bare(sentence: str) -> bool:
    """Whether no word of the sentence is in a lexicon."""
    return lexicon().keys().isdisjoint(words_of(sentence))


def candidates(text: str, charge: float, counts: Counter, edited: bool = True) -> Iterator[Candidate]:
    """Find the candidates in a page's text.

    Args:
        text: The page's text, in lines.
        charge: Least |VADER valence| of a charged candidate, in points of the human scale.
        counts: Counts of lines and sentences by outcome, updated in place.
        edited: Whether a sentence must also be whole and stand alone (see `judged`).

    Yields:
        The candidates in the order of the page.
    """
    for number, line in enumerate(text.split("\n")):
        counts["lines"] += 1
        reason = _line_fault(line := line.strip())
        counts[reason or "line_read"] += 1
        if reason:
            continue
        for index, sentence in enumerate(sentencex.segment("en", line)):
            counts["sentences"] += 1
            result = judged(sentence.strip(), charge, edited)
            counts[result if isinstance(result, str) else f"role_{result.role}"] += 1
            if not isinstance(result, str):
                yield result._replace(line=number, place=index)


@cache
def _boilerplate() -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton(ahocorasick.STORE_LENGTH)
    for phrase in vocabulary()["boilerplate"]:
        automaton.add_word(phrase)
    automaton.make_automaton()
    return automaton


def _line_fault(line: str) -> str | None:
    if len(line) < LINE:
        return "line_short"
    if not _END.search(line[-4:]) or line.endswith("..."):
        return "line_no_sentence"
    if next(_boilerplate().iter(line.lower()), None):
        return "line_boilerplate"
    return None


def judged(sentence: str, charge: float, edited: bool = True) -> Candidate | str:
    """Classify a sentence.

    Args:
        sentence: One sentence, stripped.
        charge: Least |VADER valence| of a charged candidate, in points of the human scale.
        edited: If False, only what the sentence says counts, not whether it is whole and stands alone (see
            `lib.mining.standalone`).

    Returns:
        The sentence as a candidate, or the reason why it is none (sentence_*).
    """
    length = sentence.count(" ") + 1
    if not SENTENCE[0] <= length <= SENTENCE[1]:
        return "sentence_length"
    if not _FORM.match(sentence):
        return "sentence_form"
    if _ODD.search(sentence) or _DASH.search(sentence) or _STOP.search(sentence) or _DIGITS.search(sentence):
        return "sentence_signs"
    words = words_of(sentence)
    rated = lexicon()
    signs = [rated[word] for word in words if word in rated]
    result = _charged(sentence, words, signs, charge) if signs else _neutral(sentence, words, edited)
    if isinstance(result, str):
        return result
    if sum(map(str.isalpha, sentence)) < LETTERS * len(sentence):
        return "sentence_letters"
    if _none("english", words):
        return "sentence_language"
    if edited and result.role != "stem":
        return standalone.context_fault(sentence, words, charged=bool(signs)) or result
    return result


def _context_fault(sentence: str, words: list[str]) -> str | None:
    """Why a sentence cannot precede a stem: length, a reference back, an address to the reader, a name."""
    if not CONTEXT[0] <= sentence.count(" ") + 1 <= CONTEXT[1]:
        return "sentence_context_length"
    if (
        words[0] in vocabulary()["connective"]
        or sentence.startswith(_phrases())
        or not _none("backward", words)
    ):
        return "sentence_opener"
    if _addresses(words):
        return "sentence_address"
    return "sentence_names" if _names(sentence) else None


def _addresses(words: list[str]) -> bool:
    return not _none("address", words) or not _none(
        "address", [word.split("'")[0] for word in words if "'" in word]
    )


def is_neutral_context(sentence: str) -> bool:
    """Whether a sentence without charged words can precede a stem."""
    words = words_of(sentence)
    return bool(words) and not (
        _context_fault(sentence, words) or standalone.context_fault(sentence, words, charged=False)
    )


@cache
def _phrases() -> tuple[str, ...]:
    return tuple(vocabulary()["phrases"])


def _names(sentence: str) -> bool:
    """Whether any word but the first and "I" has a capital letter."""
    return any(
        word[0].isupper() and not re.fullmatch(r"I(?:['’]\w+)?[,.]?", word)
        for word in sentence.split(" ")[1:]
    )


def _charged(sentence: str, words: list[str], signs: list[int], charge: float) -> Candidate | str:
    if abs(sum(signs)) < len(signs):
        return "sentence_mixed"
    if not _none("negators", words) or any(word.endswith("n't") for word in words):
        return "sentence_negated"
    if fault := _context_fault(sentence, words):
        return fault
    if all(previous == "to" for previous, word in pairwise(["", *words]) if word in lexicon()):
        return "sentence_weak"  # "The board has cause to reject the plan": it has not happened
    valence = float(vader.valences([sentence])[0])
    if abs(valence) < charge or valence * signs[0] < 0:
        return "sentence_weak"
    return Candidate("positive" if valence > 0 else "negative", sentence, "", "", valence, 0, 0)


def _neutral(sentence: str, words: list[str], edited: bool) -> Candidate | str:
    if not _none("topics", words):
        return "sentence_topic"
    tokens = sentence.split(" ")
    position = cut(tokens) if _stands_alone(sentence, words) else None
    if position and not (edited and standalone.stem_leans(tokens[:position])):
        return Candidate(
            "stem", sentence, " ".join(tokens[:position]), " ".join(tokens[position:]), 0.0, 0, 0
        )
    return _context_fault(sentence, words) or Candidate("neutral", sentence, "", "", 0.0, 0, 0)


def _stands_alone(sentence: str, words: list[str]) -> bool:
    """Whether a sentence can open a text: it mentions no person and does not refer to an earlier sentence."""
    if not STEM_SENTENCE[0] <= sentence.count(" ") + 1 <= STEM_SENTENCE[1]:
        return False
    if (
        words[0] in vocabulary()["leaning"]
        or words[0].endswith("ly")
        or sentence.startswith(_phrases())
        or sentence.split(" ", 1)[0].endswith(",")
    ):
        return False
    return (
        _none("persons", words)
        and not _addresses(words)
        and _none("backward", words)
        and _none("pointing", words)
    )


def cut(words: list[str]) -> int | None:
    """How many words of a sentence to keep as a stem, so that it is open and soon ends; None if impossible.

    The cut comes after a word of the list `open`, and not inside a name or a fixed phrase. Of several
    positions, the one with closest to 5 words after it is taken.
    """
    positions = range(max(STEM[0], len(words) - REFERENCE[1]), min(STEM[1], len(words) - REFERENCE[0]) + 1)
    return min(
        (position for position in positions if _is_open(words, position)),
        key=lambda position: (abs(len(words) - position - 5), -position),
        default=None,
    )


def _is_open(words: list[str], place: int) -> bool:
    last, following = words[place - 1], words[place]
    listed = vocabulary()
    if (
        last not in listed["open"]
        or following in listed["relative"]
        or f"{last} {following}" in listed["bound"]
    ):
        return False
    if words[place - 2] in ("and", "but", "or") and last not in ("a", "an", "the"):
        return False  # "…, and for": a second clause that has hardly begun
    if any(word.endswith(",") and word[:-1] in listed["finite"] for word in words[:place]):
        return False  # "will, for the": an aside comes before the main verb
    return not (
        following[0].isupper() and any(word[0].isupper() for word in words[max(1, place - 3) : place])
    )


class Miner(PipelineStep):
    """A step of a datatrove pipeline: pages in, one document per candidate out, with the page's metadata."""

    type = "⛏ - MINER"
    name = "candidates"

    def __init__(self, charge: float):
        super().__init__()
        self.charge = charge

    def run(self, data, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """The candidates in the pages of task `rank`, as documents of datatrove."""
        counts: Counter[str] = Counter()
        for page in data:
            counts["pages"] += 1
            for index, candidate in enumerate(candidates(page.text, self.charge, counts)):
                metadata = {key: value for key, value in page.metadata.items() if key != "language"}
                source = {**metadata, "record_id": page.id}
                yield Document(
                    text=candidate.sentence, id=f"{page.id}#{index}", metadata=source | candidate._asdict()
                )
        for reason, count in counts.items():
            self.stat_update(reason, value=count)
