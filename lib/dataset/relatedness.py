"""Which contexts are unrelated to which stems: they share no content word, and their sentences are not alike.

What fails is listed in `lib/data/exclusions.csv`. Rows whose scope is a stem are made by this module (`python
-m lib.dataset.relatedness` makes them anew); rows whose scope is a domain are judged by hand and stay as they
are.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from lib.dataset import assignment, curated_prompts
from lib.nlp import similarity

# Ours: cosine above which a context is held related to a stem. Two stems of different domains, which nobody
# would call related, lie above it about once in a hundred pairs, two stems of one domain ten times as often
# (see `yardstick`).
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
    """The words of a text that are no function words, by what is left when endings such as -s, -ing, -ed and
    -ly are cut off."""
    words = re.findall(r"[^\W\d_]+", re.sub(r"['’]s\b", "", text.casefold()))
    return {_root(word): word for word in words if word not in FUNCTION_WORDS}


def _root(word: str) -> str:
    word = re.sub(r"ies$", "y", word) if len(word) > 4 else word
    shorter = re.sub(r"(?:ing|ed|es|s|e|ly)$", "", word)
    return re.sub(r"([^aeiou])\1$", r"\1", shorter if len(shorter) >= 3 else word)


def anonymize(stem: str, subject: str, pronoun: str) -> str:
    """A stem told of nobody: its subject and pronouns become 'someone' and 'they'.

    Told of Hiroshi, any context was like any stem about Hiroshi: the mention of the same person hid whether
    the rest is related.
    """
    named = (
        stem
        if subject in SUBJECT_PRONOUNS
        else re.sub(rf"\b{re.escape(subject)}\b", "someone", stem, flags=re.I)
    )
    person, they = curated_prompts.PRONOUNS.index(pronoun), curated_prompts.PRONOUNS.index("they")
    for name in ("himself", "his", "him", "he"):  # "her" is rather "their" than "them"
        forms = curated_prompts.WORDS[name]
        named = re.sub(rf"\b{forms[person]}\b", forms[they], named, flags=re.I)
    return named


def related_sentences(stems: pd.DataFrame, contexts: pd.DataFrame, embed=similarity.embed) -> pd.DataFrame:
    """The stems and contexts that share a content word or are more alike than THRESHOLD: stem_id, match_id,
    reason.

    Similarity is measured between the stem and the context told of 'they', see `anonymize`. `embed` gives
    unit vectors.
    """
    told = [anonymize(row.stem, row.subject, row.pronoun) for row in stems.itertuples()]
    sentences = [curated_prompts.tell(text, "They", "they") for text in contexts["text"]]
    alike = embed(told) @ embed(sentences).T
    holders, shared = defaultdict(list), defaultdict(list)
    for column, sentence in enumerate(sentences):
        for root in content_words(sentence):
            holders[root].append(column)
    for row, text in enumerate(told):
        for root, word in content_words(text).items():
            for column in holders[root]:
                shared[row, column].append(word)
    rows = []
    for row, column in sorted({*shared, *map(tuple, np.argwhere(alike > THRESHOLD).tolist())}):
        words = [f"both speak of '{', '.join(shared[row, column])}'"] if shared[row, column] else []
        cosine = [f"their cosine is {alike[row, column]:.2f}"] if alike[row, column] > THRESHOLD else []
        reason = f"{contexts['context_id'].iat[column]}: {', '.join(words + cosine)}"
        rows.append((stems["stem_id"].iat[row], contexts["match_id"].iat[column], reason))
    return pd.DataFrame(rows, columns=["stem_id", "match_id", "reason"])


def related(stems: pd.DataFrame, contexts: pd.DataFrame, embed=similarity.embed) -> pd.DataFrame:
    """The stems and matches that must not meet, as rows for exclusions.csv: match_id, scope (the stem_id),
    reason."""
    found = related_sentences(stems, contexts, embed).rename(columns={"stem_id": "scope"})
    return found.groupby(["match_id", "scope"], as_index=False)["reason"].agg("; ".join)


def missing_exclusions(found: pd.DataFrame, stems: pd.DataFrame, exclusions: pd.DataFrame) -> pd.DataFrame:
    """The rows of `related` that `exclusions` let meet."""
    free = assignment.allowed(
        stems.drop_duplicates("stem_id"), sorted(found["match_id"].unique()), exclusions
    )
    return found[[bool(free.at[row.scope, row.match_id]) for row in found.itertuples()]]


def baseline_rate(stems: pd.DataFrame, embed=similarity.embed) -> pd.Series:
    """Share of the pairs of stems above THRESHOLD, those of one domain ('same') and those of two
    ('different')."""
    vectors = embed([anonymize(row.stem, row.subject, row.pronoun) for row in stems.itertuples()])
    first, second = np.triu_indices(len(stems), k=1)
    domain = stems["domain"].to_numpy(object)
    above = (vectors @ vectors.T)[first, second] > THRESHOLD
    return pd.Series(above).groupby(np.where(domain[first] == domain[second], "same", "different")).mean()


def main(folder: Path | None = None) -> None:
    """Write a folder's exclusions anew: what was judged by hand, and each stem and match, of any part, found
    related."""
    stems, contexts, exclusions = curated_prompts.shipped(folder, part=None)
    by_hand = exclusions[exclusions["scope"].isin(stems["domain"])]
    found = missing_exclusions(related(stems, contexts), stems, by_hand)
    pd.concat([by_hand, found]).to_csv((folder or curated_prompts.DATA) / "exclusions.csv", index=False)
    shares = baseline_rate(stems)
    pairs = len(stems) * contexts["match_id"].nunique()
    print(
        f"{len(by_hand)} rows by hand, {len(found)} found among {pairs} pairs of stem and match; "
        f"above {THRESHOLD}: {shares['same']:.1%} of the pairs of stems of one domain, "
        f"{shares['different']:.1%} of two"
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
