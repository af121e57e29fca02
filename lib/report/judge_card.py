"""The card of the learned judge: what it is, how it agrees with people and what it was trained on.

The card is written next to the coefficients of the judge.
"""

import numpy as np
import pandas as pd

from lib.agreement import face_validity, rated_agreement
from lib.config.specs import ROOT, LearnedJudge, VaderJudge
from lib.corpora import human_ratings
from lib.judging import adapter, learned
from lib.report.reports import interval
from lib.storage import records

FILE = ROOT / "lib" / "data" / "LEARNED_JUDGE.md"
LEARNED, VADER = LearnedJudge(name="learned"), VaderJudge(name="vader")
CONFIDENCE, RESAMPLES = 0.95, 400
_COLUMNS = {
    "pearson": "r with the human mean",
    "judge": "r with the other raters",
    "one rater": "one rater, with these",
    "judge − one rater": "difference",
    "worth": "raters it is worth",
    "error": "mean absolute error",
}


def write(facts: dict[str, str]) -> None:
    """Write FILE.

    Args:
        facts: The metadata of the coefficients.
    """
    validity = rated_agreement.validity(
        human_ratings.read(), LEARNED, CONFIDENCE, RESAMPLES, np.random.default_rng(0)
    )
    scores = face_validity.scores([LEARNED, VADER])
    records.write_text(
        FILE,
        _CARD.format(
            **facts,
            trained_on=adapter.facts()["trained_on"],
            version=learned.version(LEARNED),
            table=_by_domain(validity).to_markdown(),
            told=face_validity.summary(scores),
        ),
    )


def _by_domain(validity: pd.DataFrame) -> pd.DataFrame:
    """Agreement by domain on unseen documents, one row each."""
    rows = validity[(validity["by"] == "domain") & validity["measure"].isin(_COLUMNS)]
    cells = rows.assign(
        cell=[interval(row, 2, sign=row.measure == "judge − one rater") for row in rows.itertuples()]
    )
    wide = cells.pivot(index="level", columns="measure", values="cell")[list(_COLUMNS)].rename(
        columns=_COLUMNS
    )
    counts = rows.groupby("level", sort=False)[["n", "n_documents"]].first()
    return counts.join(wide).rename(columns={"n_documents": "documents"}).rename_axis("domain")


_CARD = """# The judge `learned`, {version}

A ridge regression of people's mean rating (−4 to +4) on the encoder {encoder} (Apache-2.0) with an adapter taught the same
ratings ({adapter}; trained on {trained_on}): mean and maximum of the token vectors of layers {layers}, and VADER's valence.
Penalty {penalty}. Verdicts are rounded to hundredths; charged is a |valence| beyond {threshold}. `learned_judge.safetensors`
holds the coefficients, `judge_adapter.safetensors` the adapter, and what is said of each rated text by an adapter and a
regression that saw no text of its document. `make fit-judge` writes the former anew; `make fit-adapter`, which wants a GPU, the
latter.

**Agreement with people on unseen documents** (five folds of documents; adapter and regression are fitted without the fold; 95 %
intervals by a bootstrap over documents):

{table}

**Feelings that are told** (sign and order of this project's own sentences, which nobody rated): {told}

**Unseen domains, and the readings that were compared**: `judge_selection.csv`, made by `make bench-judges`.

**Learnt from**: {texts} texts that 15 to 99 people each rated (Hutto & Gilbert, ICWSM 2014; shipped in the MIT-licensed source
archive of vaderSentiment; the texts themselves are third parties' and are not part of this project), and {words} words: those of
VADER's lexicon with their mean ratings (MIT), and common words taken to be neutral, each told in a plain sentence. Every domain
weighs the same, all words together three quarters of one.

**Limits**: English; sentiment of tweets, reviews and editorials, not of completions; no irony; what raters of 2014 felt.
"""  # noqa: E501
