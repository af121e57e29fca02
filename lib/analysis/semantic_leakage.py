"""Semantic leak rate of earlier work, for comparison with the leakage quantities.

The rate asks whether a completion is more similar to the concept than its control is.

Leak-Rate of Gonen et al. (NAACL 2025): a pair counts 100, 50 or 0 where sim(concept, test) is above, equal to
or below sim(concept, control); the mean is 50 where nothing leaks. sim is the cosine of SentenceBERT vectors,
here those of all-MiniLM-L6-v2 (`lib.nlp.similarity`). Smilga (2025) published results with the same model and
rounds similarities to 3 digits before comparing them.
"""

import numpy as np
import pandas as pd
from scipy import stats

from lib.analysis import clustered
from lib.analysis.leakage import DIRECTIONS, QUANTITIES
from lib.generation import pairing
from lib.nlp.similarity import embed
from lib.stats import inference, resamples

_GROUP = ["model", "mitigation", "group_id"]


def leaks(pairs: pd.DataFrame, digits: int | None = None) -> np.ndarray:
    """Leak of each row: 100, 50 or 0; NaN where a text is missing.

    Args:
        pairs: Table with the columns concept, test and control.
        digits: Number of digits to which similarities are rounded; None for an exact comparison.
    """
    whole = pairs[["concept", "test", "control"]].notna().all(axis=1).to_numpy()
    texts = pd.unique(pairs.loc[whole, ["concept", "test", "control"]].to_numpy().ravel()).tolist()
    index_of, vectors = {text: number for number, text in enumerate(texts)}, embed(texts)

    def similarity(column: str) -> np.ndarray:
        concept, other = (vectors[pairs.loc[whole, name].map(index_of)] for name in ("concept", column))
        cosine = np.einsum("ij,ij->i", concept, other, dtype=np.float64)
        return cosine.round(6 if digits is None else digits)  # further digits are float32 noise

    leak = np.full(len(pairs), np.nan)
    leak[whole] = 50 * (1 + np.sign(similarity("test") - similarity("control")))
    return leak


def pairs(judgements: pd.DataFrame, reference: str = "neutral") -> pd.DataFrame:
    """Completions of every arm with a context, each with the completion of its reference partner.

    The concept is the whole context. The partner is the equal draw where there is one
    (`pairing.with_partner`).

    Args:
        judgements: One row per completion, with context and completion.
        reference: Arm of the reference completions.

    Returns:
        The judgements of these arms with control (the completion of the reference) and semantic (see
        `leaks`).
    """
    base = pairing.references(judgements, reference)
    table = judgements[judgements["arm"].isin([*DIRECTIONS, "placebo", "concept"])]
    table = pairing.with_partner(table, base, _GROUP)
    table = table.assign(control=pairing.align_partner(table, base, _GROUP, ["completion"])["completion"])
    return table.assign(semantic=leaks(table.rename(columns={"context": "concept", "completion": "test"})))


def by_arm(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The rate by arm, of all `pairs` and of those whose completion repeats nothing of its context."""
    every = pd.concat(
        [table.assign(pairs="all"), table[~table["repeats"]].assign(pairs="without repetition")]
    )
    return clustered.design_shares(every, "semantic", ["arm", "pairs"], confidence)


def compare_with_expression(
    table: pd.DataFrame, expression: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Spearman's rank correlation over stems of the two leak rates of the charged arms.

    Args:
        table: Table of `pairs`.
        expression: Table of `leakage.pairs`.
        confidence: Level of the interval, between 0 and 1.
        draws: Number of bootstrap resamples of stems.
        rng: Random generator of the bootstrap.

    Returns:
        Estimate, lower bound and upper bound (percentile bootstrap).
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

    ci_low, ci_high = inference.percentile_interval(
        resamples.cluster_bootstrap(both, correlation, "stem_id", draws, rng), confidence
    )
    return np.array([correlation(both)[0], ci_low[0], ci_high[0]])


def summary(rates: pd.DataFrame, correlation: np.ndarray) -> str:
    """Summary of `by_arm` and `compare_with_expression` in one sentence."""
    at = rates[rates["pairs"] == "all"].set_index("arm")
    if at["estimate"].isna().all():
        return "Semantic leak rate: not estimated, for no pair of completions is there."
    rates_text = "; ".join(
        f"{arm} {row.estimate:.1f} % [{row.ci_low:.1f}, {row.ci_high:.1f}]" for arm, row in at.iterrows()
    )
    estimate, ci_low, ci_high = correlation
    return (
        f"Semantic leak rate: {rates_text}. Over stems its rank correlation with the "
        f"{QUANTITIES['leak'].split(',')[0]} of valence is "
        f"{estimate:.2f} [{ci_low:.2f}, {ci_high:.2f}].".replace("-", "−")
    )


def published(table: pd.DataFrame, confidence: float = 0.95, digits: int = 3) -> pd.DataFrame:
    """The rate of published completions, by several ways of counting.

    Args:
        table: Table of `prompt_tables.read`: stem_id (the template), concept, replies, control_replies.
            Replies are compared index by index; a reply without a partner is left out.
        confidence: Level of the intervals, between 0 and 1.
        digits: Number of digits to which similarities are rounded, as in Smilga (2025).

    Returns:
        One row per way: compared exactly, rounded to `digits`, and without completions that repeat the
        concept. Columns: way, those of inference.Estimate (clustered by template), naive_low, naive_high.
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
    methods = {
        "exact": (each, None),
        f"rounded to {digits} digits": (each, digits),
        "without repetition": (fresh, None),
    }
    tables = []
    for method, (subset, rounded) in methods.items():
        subset = subset.assign(way=method, leak=leaks(subset, rounded), single=range(len(subset)))
        clustered = inference.clustered_shares(subset, "leak", ["way"], confidence)
        naive = inference.clustered_shares(subset, "leak", ["way"], confidence, "single")
        tables.append(clustered.assign(naive_low=naive["ci_low"], naive_high=naive["ci_high"]))
    return pd.concat(tables, ignore_index=True)
