"""The charged threshold of a judge fitted to people's ratings, and what it finds of what people find charged.

People find a text charged if most of its raters gave it at least ±1 in one direction. The threshold of |valence| is the one whose
verdicts (negative, uncharged, positive) agree best with that: Cohen's kappa, each domain with the same weight. Both choices are
ours.
"""

from functools import cache

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from lib import charged_threshold, human_agreement, human_ratings, inference, judges
from lib.params import Judge

LEAST = 1.0  # of a rating that counts as charged
FOLDS = 5
CLASSES = {"negative": -1, "uncharged": 0, "positive": 1}


def felt(ratings: pd.DataFrame) -> np.ndarray:
    """What most raters of each text found: −1 if more than half gave at most −LEAST, 1 if at least LEAST, else 0."""
    most = [[np.mean(given <= -LEAST), np.mean(given >= LEAST)] for given in ratings["ratings"]]
    return (np.array(most) > 0.5) @ np.array([-1, 1])


def rows(judge: Judge, ratings: pd.DataFrame) -> pd.DataFrame:
    """What a fit needs of each text: domain, document, valence (out of fold where the judge has learnt), polarity, weight."""
    weight = 1 / ratings.groupby("domain")["domain"].transform("size")
    return ratings[["domain", "document"]].assign(
        valence=judges.of_rated(judge, ratings), polarity=felt(ratings), weight=weight / weight.mean()
    )


@cache
def threshold(judge: Judge) -> float:
    """The |valence| beyond which a verdict of the judge counts as charged, points of the human scale."""
    return round(charged_threshold.fit(rows(judge, human_ratings.read()).dropna()), 3)


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """A table of `rows` with `verdict`: each document is judged by a threshold fitted to others. Unscored texts are left out."""
    table = table.dropna().reset_index(drop=True)
    verdict = np.zeros(len(table))
    for seen, unseen in GroupKFold(FOLDS).split(table, groups=table["document"]):
        fitted = charged_threshold.fit(table.iloc[seen])
        part = table["valence"].iloc[unseen]
        verdict[unseen] = np.sign(part) * (part.abs() > fitted)
    return table.assign(verdict=verdict)


def agreement(table: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """Raw agreement, alpha, kappa and AC1 of the judge's verdict with people's, by domain, from a table of `verdicts`.

    Long: domain, classes (three, or charged or not), measure, estimate, low, high, n, n_documents; bootstrap over documents.
    """
    parts = []
    for domain, part in table.groupby("domain", sort=False):

        def both(rows: pd.DataFrame) -> np.ndarray:
            values = rows[["verdict", "polarity"]].to_numpy(dtype=float)
            three = human_agreement.measures(values, None, "nominal", (-1, 0, 1))
            return np.concatenate([three, human_agreement.measures(np.abs(values), None, "nominal", (0, 1))])

        low, high = inference.percentile_interval(inference.cluster_bootstrap(part, both, "document", draws, rng), confidence)
        classes = np.repeat(["three", "charged or not"], len(human_agreement.MEASURES))
        named = pd.DataFrame({"classes": classes, "measure": human_agreement.MEASURES * 2})
        counts = {"n": len(part), "n_documents": part["document"].nunique()}
        parts.append(named.assign(domain=domain, estimate=both(part), low=low, high=high, **counts))
    return pd.concat(parts, ignore_index=True)


def found(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Recall and precision of each class, by domain and over all, from a table of `verdicts`; clustered by document.

    Long: domain, class, measure, estimate, low, high, n, n_documents.
    """
    table = pd.concat([table, table.assign(domain="all")], ignore_index=True)
    parts = []
    for name, value in CLASSES.items():
        hit = table.assign(hit=100.0 * (table["verdict"] == table["polarity"]))
        for measure, whole in (("recall", hit["polarity"]), ("precision", hit["verdict"])):
            chosen = inference.clustered_means(hit[whole == value], "hit", ["domain"], confidence, "document")
            parts.append(chosen.assign(**{"class": name, "measure": f"{measure}, %"}))
    shown = pd.concat(parts, ignore_index=True).rename(columns={"n_stems": "n_documents"})
    return shown[["domain", "class", "measure", "estimate", "low", "high", "n", "n_documents"]]


def calibration(table: pd.DataFrame, means: np.ndarray, confidence: float) -> pd.DataFrame:
    """The human mean by what the judge said: bin (the middle of one point), and the columns of inference.Estimate."""
    said = table.assign(mean=means, bin=table["valence"].round().clip(-3, 3)).dropna(subset="valence").sort_values("bin")
    return inference.clustered_means(said, "mean", ["bin"], confidence, "document")
