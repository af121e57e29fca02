"""Agreement with people on texts as long as completions are: the rated texts, weighted by the lengths of a
run's completions.

Completions are short, rated texts mostly are not. Each text is weighted by the share of completions with its
number of words over the share of rated texts with it (post-stratification); a text as long as no completion
counts nothing. What differs beside length still does: a short tweet is no completion.
"""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from lib.agreement import rated_agreement
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
    """Words of each completion of a table of judgements without a mitigation; those without a valence or a
    word are left out."""
    told = completions[(completions["mitigation"] == NO_MITIGATION) & completions["valence"].notna()]
    counts = told["completion"].str.split().str.len()
    return counts[counts > 0]


def weights(rated: pd.Series, completions: pd.Series) -> tuple[np.ndarray, float]:
    """The weight of each rated text, by the words of each text and of each completion; and how many of the
    completions, in %, are as long as no rated text, so that nothing speaks for them."""
    wanted, there = (column.value_counts(normalize=True) for column in (completions, rated))
    ratio = (wanted / there).dropna()
    return rated.map(ratio).fillna(0.0).to_numpy(), 100.0 * wanted[~wanted.index.isin(there.index)].sum()


def validity(
    ratings: pd.DataFrame,
    judge: Judge,
    completions: pd.Series,
    confidence: float,
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Rows as of `rated_agreement.validity`, of MEASURES, all domains together, weighted to the words of
    `completions` (`words`).

    Bootstrap over documents, weights fixed. n counts the texts with a weight; n_effective is Kish's, (Σw)² /
    Σw²: as many equal texts would be as sure; uncovered is in % of the completions. No rows if no text is as
    long as any completion.
    """
    scored = rated_agreement.scored(ratings, judge, rng)
    weight, uncovered = weights(scored["text"].str.split().str.len(), completions)
    part = scored.assign(weight=weight)[weight > 0]
    if part.empty:
        return pd.DataFrame()
    table = resamples.table(part, _measures, "document", confidence, draws, rng)
    effective = part["weight"].sum() ** 2 / (part["weight"] ** 2).sum()
    counts = {
        "n": len(part),
        "n_documents": part["document"].nunique(),
        "n_effective": effective,
        "uncovered": uncovered,
    }
    return table.assign(judge=judge.name, by=BY, level=LEVEL, question="valence", **counts)


def _measures(part: pd.DataFrame, drawn: np.ndarray) -> dict[str, np.ndarray]:
    weight = drawn * part["weight"].to_numpy()
    judged, human = part["judged"], part["mean"]
    of_mean = resamples.pearson(judged, human, weight), resamples.mean(np.abs(judged - human), weight)
    return dict(zip(MEASURES, (*of_mean, *rated_agreement.beside_rater(part, weight).values()), strict=True))


def shown(table: pd.DataFrame) -> pd.DataFrame | Markdown:
    """Rows of `validity` as people read them, or a sentence where there are none."""
    if table.empty:
        return Markdown(_NOTHING)
    wide = validity_reports.by_level(table)
    wide.loc[("", "", "effective texts"), :] = f"{table['n_effective'].max():,.0f}"
    return wide


def summary(table: pd.DataFrame, completions: pd.Series) -> str:
    """How long completions are, and how each judge stands to one rater on texts weighted so, a sentence
    each."""
    if table.empty:
        return _NOTHING
    quartiles = completions.quantile([0.25, 0.5, 0.75])
    row = table.iloc[0]
    said = [
        f"Half of the {len(completions):,} completions have {quartiles[0.25]:g} to {quartiles[0.75]:g} "
        "words, the median "
        f"{quartiles[0.5]:g}. Weighted to their lengths, {row.n:,} rated texts in {row.n_documents:,} "
        "documents are worth "
        f"{row.n_effective:,.0f} equal ones (Kish); {row.uncovered:.1f} % of the completions are "
        "as long "
        "as no rated text."
    ]
    for judge, own in table.groupby("judge", sort=False):
        of = own.set_index("measure")
        said.append(
            f"There **{judge}** has r {interval(of.loc['judge'], 2, sign=False)} with the other raters, "
            "one rater "
            f"{interval(of.loc['one rater'], 2, sign=False)}: "
            f"{interval(of.loc[rated_agreement.DIFFERENCE], 2)}."
        )
    return " ".join(said)
