"""Agreement with people on the rated texts, weighted to the lengths of a run's completions.

Completions are short, and rated texts mostly are not. Each rated text is weighted by the share of completions
with its number of words over the share of rated texts with that number (post-stratification). A text that is
as long as no completion has weight 0. Differences other than length remain: a short tweet is not a
completion.
"""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from lib.agreement import rated_agreement
from lib.config.sections import Agreement
from lib.config.specs import NO_MITIGATION, Judge
from lib.report import validity_reports
from lib.report.reports import interval
from lib.stats import resamples

BY, LEVEL = "completion lengths", "as long as completions"
_NOTHING = (
    "No rated text is as long as any completion of this run, so nothing can be weighted to their lengths."
)
MEASURES = ("pearson", "error", "judge", "one rater", rated_agreement.DIFFERENCE)


def words(completions: pd.DataFrame) -> pd.Series:
    """Count the words of each completion of a table of judgements without a mitigation.

    Completions without a valence or without a word are left out.
    """
    scored = completions[(completions["mitigation"] == NO_MITIGATION) & completions["valence"].notna()]
    counts = scored["completion"].str.split().str.len()
    return counts[counts > 0]


def weights(rated: pd.Series, completions: pd.Series) -> tuple[np.ndarray, float]:
    """Weight the rated texts to the lengths of the completions.

    Args:
        rated: Words of each rated text.
        completions: Words of each completion.

    Returns:
        The weight of each rated text, and the % of completions that are as long as no rated text, so that no
        text represents them.
    """
    completion_shares, rated_shares = (column.value_counts(normalize=True) for column in (completions, rated))
    ratio = (completion_shares / rated_shares).dropna()
    return rated.map(ratio).fillna(0.0).to_numpy(), 100.0 * completion_shares[
        ~completion_shares.index.isin(rated_shares.index)
    ].sum()


def validity(
    ratings: pd.DataFrame,
    judge: Judge,
    completions: pd.Series,
    confidence: float,
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Estimate agreement with people, weighted to the words of the completions, over all domains together.

    Args:
        ratings: Rated texts (`lib.corpora.human_ratings`).
        judge: The judge to compare with people.
        completions: Words of each completion (`words`).
        confidence: Level of the intervals, between 0 and 1.
        draws: Bootstrap resamples of documents; the weights are fixed.
        rng: Source of randomness.

    Returns:
        Rows as of `rated_agreement.validity`, one for each of MEASURES. n counts the texts with a weight.
        n_effective is Kish's (Σw)² / Σw²: the number of equally weighted texts with the same precision.
        uncovered is in % of the completions. No rows if no text is as long as any completion.
    """
    scored = rated_agreement.scored(ratings, judge, rng)
    weight, uncovered = weights(scored["text"].str.split().str.len(), completions)
    weighted = scored.assign(weight=weight)[weight > 0]
    if weighted.empty:
        return pd.DataFrame()
    table = resamples.table(weighted, _measures, "document", confidence, draws, rng)
    n_effective = weighted["weight"].sum() ** 2 / (weighted["weight"] ** 2).sum()
    counts = {
        "n": len(weighted),
        "n_documents": weighted["document"].nunique(),
        "n_effective": n_effective,
        "uncovered": uncovered,
    }
    return table.assign(judge=judge.name, by=BY, level=LEVEL, question="valence", **counts)


def of_judges(run: Agreement, ratings: pd.DataFrame, completions: pd.Series) -> pd.DataFrame:
    """Return `validity` of each judge of `run.on_all_texts`, each with the same seed."""
    return pd.concat(
        [
            validity(
                ratings, judge, completions, run.confidence, run.n_resamples, np.random.default_rng(run.seed)
            )
            for judge in run.on_all_texts
        ],
        ignore_index=True,
    )


def _measures(part: pd.DataFrame, drawn: np.ndarray) -> dict[str, np.ndarray]:
    weight = drawn * part["weight"].to_numpy()
    judged, human = part["judged"], part["mean"]
    of_mean = resamples.pearson(judged, human, weight), resamples.mean(np.abs(judged - human), weight)
    return dict(zip(MEASURES, (*of_mean, *rated_agreement.against_rater(part, weight).values()), strict=True))


def format_table(table: pd.DataFrame) -> pd.DataFrame | Markdown:
    """Format rows of `validity`; a sentence if there are none."""
    if table.empty:
        return Markdown(_NOTHING)
    wide = validity_reports.by_level(table)
    wide.loc[("", "", "effective texts"), :] = f"{table['n_effective'].max():,.0f}"
    return wide


def summary(table: pd.DataFrame, completions: pd.Series) -> str:
    """Say how long completions are, and how each judge compares with one rater on the weighted texts.

    The text has a sentence for each judge.
    """
    if table.empty:
        return _NOTHING
    quartiles = completions.quantile([0.25, 0.5, 0.75])
    row = table.iloc[0]
    sentences = [
        f"Half of the {len(completions):,} completions have {quartiles[0.25]:g} to {quartiles[0.75]:g} "
        "words, the median "
        f"{quartiles[0.5]:g}. Weighted to their lengths, {row.n:,} rated texts in {row.n_documents:,} "
        "documents are worth "
        f"{row.n_effective:,.0f} equal ones (Kish); {row.uncovered:.1f} % of the completions are "
        "as long "
        "as no rated text."
    ]
    for judge, rows in table.groupby("judge", sort=False):
        by_measure = rows.set_index("measure")
        sentences.append(
            f"There **{judge}** has r {interval(by_measure.loc['judge'], 2, sign=False)} with "
            "the other raters, one rater "
            f"{interval(by_measure.loc['one rater'], 2, sign=False)}: "
            f"{interval(by_measure.loc[rated_agreement.DIFFERENCE], 2)}."
        )
    return " ".join(sentences)
