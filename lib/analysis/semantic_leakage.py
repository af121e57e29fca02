"""The semantic leak rate of the predecessors, for comparison: is a completion more like the concept than its
control is?

Leak-Rate of Gonen et al. (NAACL 2025): a pair counts 100, 50 or 0 as sim(concept, test) is above, equal to or
below sim(concept, control); the mean is 50 where nothing leaks. sim is the cosine of SentenceBERT vectors,
here all-MiniLM-L6-v2's (`lib.nlp.similarity`), the backbone that Smilga (2025) published with, who rounds
similarities to 3 digits before comparing.
"""

import numpy as np
import pandas as pd
from scipy import stats

from lib.analysis import clustered
from lib.analysis.leakage import DIRECTIONS, QUANTITIES
from lib.generation import pairing
from lib.nlp.similarity import embed
from lib.stats import inference

_GROUP = ["model", "mitigation", "group_id"]


def leaks(pairs: pd.DataFrame, digits: int | None = None) -> np.ndarray:
    """100, 50 or 0 for each row of concept, test, control; NaN where one of them is missing. `digits`: round
    similarities."""
    whole = pairs[["concept", "test", "control"]].notna().all(axis=1).to_numpy()
    texts = pd.unique(pairs.loc[whole, ["concept", "test", "control"]].to_numpy().ravel()).tolist()
    place, vectors = {text: number for number, text in enumerate(texts)}, embed(texts)

    def similarity(column: str) -> np.ndarray:
        concept, other = (vectors[pairs.loc[whole, name].map(place)] for name in ("concept", column))
        cosine = np.einsum("ij,ij->i", concept, other, dtype=np.float64)
        return cosine.round(6 if digits is None else digits)  # beyond the sixth is the noise of float32

    found = np.full(len(pairs), np.nan)
    found[whole] = 50 * (1 + np.sign(similarity("test") - similarity("control")))
    return found


def pairs(judgements: pd.DataFrame, reference: str = "neutral") -> pd.DataFrame:
    """Completions of every arm that has a context, with the partner's of the reference
    (`pairing.with_partner`), the equal draw where there is one: the concept is the whole context.

    Adds to the judgements of these arms control (the reference's completion) and semantic (see `leaks`).
    """
    base = pairing.references(judgements, reference)
    table = judgements[judgements["arm"].isin([*DIRECTIONS, "placebo", "concept"])]
    table = pairing.with_partner(table, base, _GROUP)
    table = table.assign(control=pairing.beside_partner(table, base, _GROUP, ["completion"])["completion"])
    return table.assign(semantic=leaks(table.rename(columns={"context": "concept", "completion": "test"})))


def by_arm(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The rate by arm of all of `pairs` and of those whose completion repeats nothing of its context."""
    every = pd.concat(
        [table.assign(pairs="all"), table[~table["repeats"]].assign(pairs="without repetition")]
    )
    return clustered.design_shares(every, "semantic", ["arm", "pairs"], confidence)


def beside_expression(
    table: pd.DataFrame, expression: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Spearman's rank correlation over stems of the two leak rates of the charged arms: estimate, low, high.

    `expression` is a table of `leakage.pairs`. Percentile bootstrap over stems.
    """
    charged = table[table["arm"].isin(DIRECTIONS)]
    leak = expression[expression["arm"].isin(DIRECTIONS)].groupby("stem_id")["leak"].mean()
    both = (
        pd.DataFrame({"semantic": charged.groupby("stem_id")["semantic"].mean(), "leak": leak})
        .dropna()
        .reset_index()
    )

    def correlation(part: pd.DataFrame) -> np.ndarray:
        return np.array([stats.spearmanr(part["semantic"], part["leak"])[0]])

    low, high = inference.percentile_interval(
        inference.cluster_bootstrap(both, correlation, "stem_id", draws, rng), confidence
    )
    return np.array([correlation(both)[0], low[0], high[0]])


def reading(rates: pd.DataFrame, correlation: np.ndarray) -> str:
    """What `by_arm` and `beside_expression` say, in a sentence."""
    at = rates[rates["pairs"] == "all"].set_index("arm")
    if at["estimate"].isna().all():
        return "Semantic leak rate: not estimated, for no pair of completions is there."
    said = "; ".join(
        f"{arm} {row.estimate:.1f} % [{row.ci_low:.1f}, {row.ci_high:.1f}]" for arm, row in at.iterrows()
    )
    estimate, low, high = correlation
    return (
        f"Semantic leak rate: {said}. Over stems its rank correlation with the "
        f"{QUANTITIES['leak'].split(',')[0]} of valence is "
        f"{estimate:.2f} [{low:.2f}, {high:.2f}].".replace("-", "−")
    )


def published(table: pd.DataFrame, confidence: float = 0.95, digits: int = 3) -> pd.DataFrame:
    """The rate of completions that others released, a row a way of counting: as compared exactly, rounded to
    `digits` as Smilga (2025) did, and without completions that repeat the concept.

    `table` is that of `prompt_tables.read`: stem_id (the template), concept, replies, control_replies,
    compared index by index; a reply without partner is left out. Columns of inference.Estimate (clustered by
    template) and naive_low, naive_high.
    """
    rows = [
        (row.stem_id, row.concept, test, control)
        for row in table.itertuples()
        for test, control in zip(row.replies, row.control_replies, strict=False)
    ]
    each = pd.DataFrame(rows, columns=["stem_id", "concept", "test", "control"]).dropna()
    repeats = [
        concept.casefold() in test.casefold()
        for concept, test in zip(each["concept"], each["test"], strict=True)
    ]
    fresh = each[~np.array(repeats, dtype=bool)]
    ways = {
        "exact": (each, None),
        f"rounded to {digits} digits": (each, digits),
        "without repetition": (fresh, None),
    }
    found = []
    for way, (part, rounded) in ways.items():
        part = part.assign(way=way, leak=leaks(part, rounded), single=range(len(part)))
        clustered = inference.clustered_shares(part, "leak", ["way"], confidence)
        naive = inference.clustered_shares(part, "leak", ["way"], confidence, "single")
        found.append(clustered.assign(naive_low=naive["ci_low"], naive_high=naive["ci_high"]))
    return pd.concat(found, ignore_index=True)
