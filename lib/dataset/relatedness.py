"""Which contexts are unrelated to which stems: no shared content word, and low similarity of the sentences.

Pairs that fail are listed in `lib/data/exclusions.csv`. This module writes the rows whose scope is a stem
(`python -m lib.dataset.relatedness` rewrites them). Rows whose scope is a domain are judged by hand and stay
unchanged.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from lib.dataset import assignment, curated_prompts
from lib.nlp import similarity
from lib.storage import records

# Cosine above which a context counts as related to a stem; this project's choice. About 1 % of the pairs of
# stems of different domains, which are plainly unrelated, lie above it, and about ten times as many pairs of
# one domain (see `baseline_rate`).
THRESHOLD = 0.40

SUBJECT_PRONOUNS = ("He", "She", "They", "I")
_FUNCTION_WORDS = """
    a an the this that these those there here it its he she they i you we him her them me us his hers their
    theirs my mine your our himself herself themselves myself itself who whom whose which what when where why
    how and or but nor so yet if than then as at by for from in into of off on onto out over per to up down
    with within without about above across after again against along among around because before behind below
    beneath beside between beyond during near next through toward towards under until upon while since is are
    was were am be been being has have had having do does did done doing will would can could may might must
    shall should not no yes too very quite rather just only also even still already almost always never ever
    often now soon once twice all both each every some any most more much many few several other another own
    same such less least one two three four five six seven eight nine ten someone something
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())


def content_words(text: str) -> dict[str, str]:
    """The content words of a text by root: the word without endings such as -s, -ing, -ed and -ly.

    Returns:
        Root -> the last word of the text that has it.
    """
    words = re.findall(r"[^\W\d_]+", re.sub(r"['’]s\b", "", text.casefold()))
    return {_root(word): word for word in words if word not in FUNCTION_WORDS}


def _root(word: str) -> str:
    word = re.sub(r"ies$", "y", word) if len(word) > 4 else word
    shorter = re.sub(r"(?:ing|ed|es|s|e|ly)$", "", word)
    return re.sub(r"([^aeiou])\1$", r"\1", shorter if len(shorter) >= 3 else word)


def anonymize(stem: str, subject: str, pronoun: str) -> str:
    """A stem without its person: the subject and its pronouns become 'someone' and 'they'.

    Otherwise any context rendered for Hiroshi would be similar to any stem about Hiroshi: the shared mention
    of one person would hide whether the rest is related.
    """
    text = (
        stem
        if subject in SUBJECT_PRONOUNS
        else re.sub(rf"\b{re.escape(subject)}\b", "someone", stem, flags=re.I)
    )
    person, they = curated_prompts.PRONOUNS.index(pronoun), curated_prompts.PRONOUNS.index("they")
    for name in ("himself", "his", "him", "he"):  # his before him: "her" becomes "their" rather than "them"
        forms = curated_prompts.WORDS[name]
        text = re.sub(rf"\b{forms[person]}\b", forms[they], text, flags=re.I)
    return text


def related_sentences(stems: pd.DataFrame, contexts: pd.DataFrame, embed=similarity.embed) -> pd.DataFrame:
    """The stems and contexts that share a content word or are more similar than THRESHOLD.

    Similarity is measured between the anonymized stem (see `anonymize`) and the context rendered for 'they'.

    Args:
        stems: The stems, with columns stem_id, subject, pronoun and stem.
        contexts: The contexts, with columns context_id, match_id and text.
        embed: Maps texts to unit vectors.

    Returns:
        One row per related stem and context: stem_id, match_id, reason.
    """
    stem_texts = [anonymize(row.stem, row.subject, row.pronoun) for row in stems.itertuples()]
    context_texts = [curated_prompts.tell(text, "They", "they") for text in contexts["text"]]
    cosines = embed(stem_texts) @ embed(context_texts).T
    columns_with, shared = defaultdict(list), defaultdict(list)
    for column, context_text in enumerate(context_texts):
        for root in content_words(context_text):
            columns_with[root].append(column)
    for row, text in enumerate(stem_texts):
        for root, word in content_words(text).items():
            for column in columns_with[root]:
                shared[row, column].append(word)
    stem_ids, context_ids, match_ids = (
        column.tolist() for column in (stems["stem_id"], contexts["context_id"], contexts["match_id"])
    )
    rows = []
    for row, column in sorted({*shared, *map(tuple, np.argwhere(cosines > THRESHOLD).tolist())}):
        words = [f"both speak of '{', '.join(shared[row, column])}'"] if shared[row, column] else []
        cosine = [f"their cosine is {cosines[row, column]:.2f}"] if cosines[row, column] > THRESHOLD else []
        reason = f"{context_ids[column]}: {', '.join(words + cosine)}"
        rows.append((stem_ids[row], match_ids[column], reason))
    return pd.DataFrame(rows, columns=["stem_id", "match_id", "reason"])


def related(stems: pd.DataFrame, contexts: pd.DataFrame, embed=similarity.embed) -> pd.DataFrame:
    """The stems and matches that must not meet, in the format of exclusions.csv.

    Args:
        stems: As for `related_sentences`.
        contexts: As for `related_sentences`.
        embed: Maps texts to unit vectors.

    Returns:
        One row per stem and match: match_id, scope (the stem_id), reason.
    """
    sentences = related_sentences(stems, contexts, embed).rename(columns={"stem_id": "scope"})
    return sentences.groupby(["match_id", "scope"], as_index=False)["reason"].agg("; ".join)


def missing_exclusions(
    candidates: pd.DataFrame, stems: pd.DataFrame, exclusions: pd.DataFrame
) -> pd.DataFrame:
    """The rows of `related` (`candidates`) that `exclusions` does not keep apart."""
    is_allowed = assignment.allowed(
        stems.drop_duplicates("stem_id"), sorted(candidates["match_id"].unique()), exclusions
    )
    places = (
        is_allowed.index.get_indexer(candidates["scope"]),
        is_allowed.columns.get_indexer(candidates["match_id"]),
    )
    return candidates[is_allowed.to_numpy(dtype=bool)[places]]


def baseline_rate(stems: pd.DataFrame, embed=similarity.embed) -> pd.Series:
    """Share of pairs of stems above THRESHOLD, for pairs of one domain ('same') and of two ('different')."""
    vectors = embed([anonymize(row.stem, row.subject, row.pronoun) for row in stems.itertuples()])
    first, second = np.triu_indices(len(stems), k=1)
    domain = stems["domain"].to_numpy(object)
    above = (vectors @ vectors.T)[first, second] > THRESHOLD
    return pd.Series(above).groupby(np.where(domain[first] == domain[second], "same", "different")).mean()


def main(folder: Path | None = None) -> None:
    """Rewrite a folder's exclusions: those judged by hand, and all related stems and matches of any part."""
    stems, contexts, exclusions = curated_prompts.shipped(folder, part=None)
    by_hand = exclusions[exclusions["scope"].isin(stems["domain"])]
    new_rows = missing_exclusions(related(stems, contexts), stems, by_hand)
    path = (folder or curated_prompts.DATA) / "exclusions.csv"
    records.write_text(path, pd.concat([by_hand, new_rows]).to_csv(index=False))
    shares = baseline_rate(stems)
    pairs = len(stems) * contexts["match_id"].nunique()
    print(
        f"{len(by_hand)} rows by hand, {len(new_rows)} found among {pairs} pairs of stem and match; "
        f"above {THRESHOLD}: {shares['same']:.1%} of the pairs of stems of one domain, "
        f"{shares['different']:.1%} of two"
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
