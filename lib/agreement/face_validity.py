"""Face validity: whether a judge recognises a feeling that is stated in words, by form and intensity.

The judge gives its valence of the benchmark's own contexts. This is a check of sign and order, not of
validity: the sentences are this project's, and no people have rated them. Contexts that are held out for a
confirmatory run are not included.
"""

import pandas as pd

from lib.config.specs import Judge
from lib.dataset import curated_prompts
from lib.judging import judges

_SUBJECT = ("Hiroshi", "he")
_CELL = ["judge", "form", "intensity"]


def scores(of_judges: list[Judge]) -> pd.DataFrame:
    """Return the judges' valence of the benchmark's contexts, stated of one person.

    Returns:
        One row per judge and match of contexts: judge, form, intensity, match_id, and the valence of each
        arm.
    """
    contexts = curated_prompts.shipped().contexts
    texts = [curated_prompts.tell(text, *_SUBJECT) for text in contexts["text"]]
    long = pd.concat(
        [contexts.assign(judge=judge.name, valence=judges.valences(judge, texts)) for judge in of_judges]
    )
    for column, order in (
        ("form", curated_prompts.FORMS),
        ("intensity", curated_prompts.INTENSITIES),
        ("judge", [each.name for each in of_judges]),
    ):
        long[column] = pd.Categorical(long[column], order)
    return long.pivot(index=[*_CELL, "match_id"], columns="arm", values="valence").reset_index()


def by_feeling(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise a table of `scores` by judge, form and intensity.

    Returns:
        Mean valence of the negative and the positive sentences, mean |valence| of the neutral ones; % of
        matches in which both signs are right, and % in which the two neutral sentences lie between; matches
        (how many).
    """
    neutral = table[["neutral", "neutral2"]]
    checked = table.assign(
        neutral=neutral.abs().mean(axis=1),
        signs=100.0 * ((table["negative"] < 0) & (table["positive"] > 0)),
        order=100.0 * ((table["negative"] < neutral.min(axis=1)) & (neutral.max(axis=1) < table["positive"])),
    )
    means = checked.groupby(_CELL, observed=True)[
        ["negative", "positive", "neutral", "signs", "order"]
    ].mean()
    counts = checked.groupby(_CELL, observed=True).size().rename("matches")
    return (
        means.join(counts)
        .rename(columns={"neutral": "|neutral|", "signs": "signs right, %", "order": "in order, %"})
        .round(2)
    )


def summary(table: pd.DataFrame) -> str:
    """Say for each judge how often it orders explicit feelings correctly, and its valence of strong ones."""
    cells, sentences = by_feeling(table), []
    for judge in table["judge"].cat.categories:
        explicit = cells.loc[judge, "explicit"]
        share = (explicit["in order, %"] * explicit["matches"]).sum() / explicit["matches"].sum()
        strong = explicit.loc["strong"]
        sentences.append(
            f"**{judge}** puts {share:.0f} % of the {explicit['matches'].sum()} plainly told matches in "
            "order; strong feelings "
            f"it hears as {strong['negative']:+.1f} and {strong['positive']:+.1f}, neutral sentences "
            "beside them as "
            f"±{strong['|neutral|']:.1f} (n = {strong['matches']:.0f} each)."
        )
    return " ".join(sentences).replace("-", "−")
