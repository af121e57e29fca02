"""Lint of the curated benchmark's wording: single sentences, and sentences that are almost the same.

Every check takes the stems or the contexts, read but not validated, and yields its findings.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import NamedTuple

import pandas as pd
from afinn import Afinn

from lib.dataset import curated_prompts, relatedness
from lib.nlp import vader
from lib.nlp.text import normalize

STEM_WORDS = (4, 14)  # own choice: fewer words leave nothing to continue, more bury the context
CONTEXT_WORDS = (3, 14)
LENGTH_GAP = 2  # words, within a match

_ODD = {
    r"[\x00-\x1f\x7f-\x9f]": "a control character",
    r"[\ufeff\u200b-\u200f\u2060\u00ad]": "an invisible character",
    r"[\u00a0\u2000-\u200a\u202f\u3000]": "a space that is not the plain one",
    r"^ | $|  ": "a space too many",
    r"[‘’‚“”„]": "a curly quote among straight ones",
    r"\ufffd": "a character that was lost in a conversion",
}
_FINITE = {"is", "are", "am", "was", "were", "has", "have", "does", "do"}
_STRANGERS = {"we", "us", "our", "you", "your"}
_NO_VERB = {"always", "perhaps", "sometimes", "afterwards", "besides", "this", "his", "its", "yes"}
_AN = re.compile(
    r"(?!uni(?!n|m)|us[aeiu]|eu|one\b|once\b|ute|uk)[aeiou]|honest|honou?r|hour|heir|8|1[18]\b", re.IGNORECASE
)


class Finding(NamedTuple):
    """One defect: the check that found it, where, the value there, why it is wrong, and how to fix it."""

    check: str
    place: str
    value: str
    reason: str
    remedy: str


def encoding(table: pd.DataFrame, key: str) -> Iterator[Finding]:
    """Invisible or look-alike characters in any cell; `key` is the column that identifies the row."""
    for column in table:
        for place, value in zip(table[key], table[column], strict=True):
            reasons = [reason for pattern, reason in _ODD.items() if re.search(pattern, value)]
            if unicodedata.normalize("NFC", value) != value:
                reasons.append("letters and accents apart (not NFC)")
            for reason in reasons:
                yield Finding(
                    "encoding",
                    f"{place}, {column}",
                    repr(value),
                    f"holds {reason}",
                    "type it plainly, in NFC",
                )


def lengths(stems: pd.DataFrame, contexts: pd.DataFrame) -> Iterator[Finding]:
    """Sentences outside STEM_WORDS or CONTEXT_WORDS, and matches that differ by over LENGTH_GAP words."""
    words = contexts["text"].str.split().str.len()
    for places, texts, counts, (least, most) in (
        (stems["stem_id"], stems["stem"], stems["stem"].str.split().str.len(), STEM_WORDS),
        (contexts["context_id"], contexts["text"], words, CONTEXT_WORDS),
    ):
        for place, text, count in zip(places, texts, counts, strict=True):
            if not least <= count <= most:
                yield Finding(
                    "length", place, text, f"{count} words, not {least} to {most}", "shorten or lengthen it"
                )
    for match_id, counts in words.groupby(contexts["match_id"]):
        if counts.max() - counts.min() > LENGTH_GAP:
            remedy = "make them of one length"
            yield Finding(
                "length", match_id, f"{counts.tolist()} words", f"differ by more than {LENGTH_GAP}", remedy
            )


def duplicates(stems: pd.DataFrame, contexts: pd.DataFrame) -> Iterator[Finding]:
    """Sentences with the same words, whoever they are about, or the same words except one in each.

    Sentences of one match are meant to have the same structure: among them only identical words count.
    """
    stem_texts = [relatedness.anonymize(row.stem, row.subject, row.pronoun) for row in stems.itertuples()]
    yield from _alike(stems["stem_id"].tolist(), stems["stem_id"].tolist(), stem_texts)
    yield from _alike(
        contexts["context_id"].tolist(), contexts["match_id"].tolist(), contexts["text"].tolist()
    )


def _alike(ids: list[str], families: list[str], texts: list[str]) -> Iterator[Finding]:
    words = [tuple(re.findall(r"[\w'-]+", text.casefold())) for text in texts]
    keyed = defaultdict(set)
    for number, tokens in enumerate(words):
        for key in {tokens} | {tokens[:index] + tokens[index + 1 :] for index in range(len(tokens))}:
            keyed[key].add(number)
    pairs = {pair for numbers in keyed.values() for pair in combinations(sorted(numbers), 2)}
    for first, second in sorted(pairs):
        same = words[first] == words[second]
        if same or families[first] != families[second]:
            name, reason = (
                ("duplicate", "the same words") if same else ("near-duplicate", "the same but for one word")
            )
            yield Finding(
                name, f"{ids[first]}, {ids[second]}", texts[second], reason, "write one of them anew"
            )


@cache
def _afinn() -> Afinn:
    return Afinn()


@cache
def charged_words(text: str) -> tuple[str, ...]:
    """The words of a text that VADER's or AFINN's lexicon (Nielsen, 2011) rates, whatever their sum."""
    text = normalize(text)
    words = re.findall(r"[^\W\d_]+(?:['-][^\W\d_]+)*", text.casefold()) + text.casefold().split()
    rated = {word for word in words if word in vader.lexicon()} | set(_afinn().find_all(text))
    return tuple(sorted(rated))


def residual_sentiment(stems: pd.DataFrame, contexts: pd.DataFrame) -> Iterator[Finding]:
    """Words in stems and neutral sentences that a sentiment lexicon rates."""
    neutral = contexts[contexts["arm"].isin(["neutral", "neutral2"])]
    for places, texts in ((stems["stem_id"], stems["stem"]), (neutral["context_id"], neutral["text"])):
        for place, text in zip(places, texts, strict=True):
            if words := charged_words(text):
                yield Finding(
                    "sentiment",
                    place,
                    text,
                    f"a lexicon rates {', '.join(words)}",
                    "use words that none rates",
                )


def articles(places: pd.Series, texts: pd.Series) -> Iterator[Finding]:
    """'a' before a vowel sound, 'an' before a consonant (by spelling, with the usual exceptions)."""
    for place, text in zip(places, texts, strict=True):
        for article, word in re.findall(r"\b(an?) ([\w-]+)", text, flags=re.IGNORECASE):
            expected = "an" if _AN.match(word) else "a"
            if article.casefold() != expected:
                yield Finding("article", place, text, f"'{article} {word}'", f"write '{expected} {word}'")


def stem_agreement(stems: pd.DataFrame) -> Iterator[Finding]:
    """Defects of stems in grammar: subject, pronouns, verb and ending.

    Stems that do not mention their subject, that mention another person, whose verb does not agree with the
    subject, or that do not end in a word.
    """
    for row in stems[stems["pronoun"].isin(curated_prompts.PRONOUNS)].itertuples():
        for check, text, defect, remedy in _disagreements(row):
            yield Finding(check, row.stem_id, text, defect, remedy)


def _disagreements(row) -> Iterator[tuple[str, str, str, str]]:
    """The defects of a stem: check, text, what is wrong, and the remedy."""
    forms = [{forms[person] for forms in _person_words()} for person in range(len(curated_prompts.PRONOUNS))]
    stem, words = row.stem, set(re.findall(r"\w+", row.stem.casefold()))
    own = forms[curated_prompts.PRONOUNS.index(row.pronoun)]
    if row.subject not in relatedness.SUBJECT_PRONOUNS:
        if not re.search(rf"\b{re.escape(row.subject)}\b", stem, flags=re.IGNORECASE):
            yield "pronoun", stem, f"does not name {row.subject}", "name its subject"
    else:
        if not words & own:
            yield "pronoun", stem, f"holds none of {', '.join(sorted(own))}", "refer to its subject"
        if row.subject.casefold() != row.pronoun.casefold():
            told = f"is told with '{row.pronoun}'"
            yield "pronoun", row.subject, told, "let subject and pronoun agree"
    for word in sorted(words & (set().union(*forms, _STRANGERS) - own)):
        yield "pronoun", stem, f"'{word}' is not its subject's", f"use a form of '{row.pronoun}'"
    for bent in _bent_verbs(stem, row.subject, row.pronoun):
        yield "agreement", stem, f"'{bent}'", "bend the verb for its subject"
    if not re.search(r"\w$", stem):
        yield "ending", stem, "does not end in a word", "cut it after a word, without space or mark"


def _bent_verbs(stem: str, subject: str, pronoun: str) -> list[str]:
    subject_pattern = rf"(?:{re.escape(subject)}|{pronoun})" if pronoun in ("he", "she") else pronoun
    wrong = {
        "he": r"am|are|were|have|do",
        "they": r"am|is|was|has|does|\w+[^\Ws]s",
        "I": r"is|are|were|has|does|\w+[^\Ws]s",
    }
    exceptions = _NO_VERB | ({"was"} if pronoun == "I" else set())
    matches = re.finditer(
        rf"\b{subject_pattern} ({wrong['he' if pronoun == 'she' else pronoun]})\b", stem, flags=re.IGNORECASE
    )
    return [match[0] for match in matches if match[1].casefold() not in exceptions]


def _person_words() -> list[tuple[str, ...]]:
    return [
        tuple(form.casefold() for form in curated_prompts.WORDS[name])
        for name in ("he", "him", "his", "himself")
    ]


def names(stems: pd.DataFrame) -> Iterator[Finding]:
    """Subjects with a proper name that occur with two pronouns."""
    for subject, pronouns in stems.groupby("subject")["pronoun"].unique().items():
        if len(pronouns) > 1 and not subject.startswith("The "):
            yield Finding(
                "pronoun",
                subject,
                ", ".join(pronouns),
                "one name, two pronouns",
                "choose one, or another name",
            )


def template_agreement(contexts: pd.DataFrame) -> Iterator[Finding]:
    """Templates that cannot be rendered for every subject.

    Unknown or malformed placeholders, and pronouns and verbs outside placeholders.
    """
    pairs = {
        tuple(forms_pair.split("|"))
        for text in contexts["text"]
        for forms_pair in re.findall(r"\{(\w+\|\w+)\}", text)
    }
    singular, plural = {first for first, *_ in pairs}, {last for *_, last in pairs}
    persons = {form for forms in _person_words() for form in forms} | _STRANGERS
    for row in contexts.itertuples():
        rest = re.sub(r"\{[^{}]*\}", "{}", row.text)
        for reason, remedy in _placeholder_faults(row.text, rest):
            yield Finding("placeholder", row.context_id, row.text, reason, remedy)
        words = re.findall(r"\w+", rest.casefold())
        for word in sorted(set(words) & (persons | _FINITE | singular)):
            reason = f"'{word}' outside a placeholder"
            yield Finding("agreement", row.context_id, row.text, reason, "write a placeholder")
        first_word = re.match(r"\{\} (?:\w+ly )?(\w+)", rest)
        if (
            first_word
            and (first_word[1] in plural or re.search(r"[^s]s$", first_word[1]))
            and first_word[1] not in _NO_VERB | singular | _FINITE
        ):
            reason = f"'{first_word[1]}' fits not every subject"
            yield Finding("agreement", row.context_id, row.text, reason, "write {feels|feel}")


def _placeholder_faults(text: str, rest: str) -> Iterator[tuple[str, str]]:
    """What is wrong with the placeholders of a template, each with its remedy.

    `rest` is the template with all placeholders empty.
    """
    if set("{}") & set(rest.replace("{}", "")) or "{}" * 2 in rest:
        yield "braces do not pair", "write {name}, or {feels|feel}"
    for name in re.findall(r"\{([^{}]*)\}", text):
        first, bar, last = name.partition("|")
        if bar and first != _third_person(last):
            yield f"{{{name}}}: he … is not the verb of they …", "write {feels|feel}"
        if not bar and name not in {"Subject", *curated_prompts.WORDS}:
            yield f"{{{name}}} is unknown", f"use one of {', '.join(curated_prompts.WORDS)}"


def _third_person(verb: str) -> str:
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ies"
    return verb + ("es" if re.search(r"(?:s|sh|ch|x|z|o)$", verb) else "s")
