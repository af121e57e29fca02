"""The charged threshold of a judge fitted to people's ratings, and what its verdicts are worth.

People find a text charged if most of its raters gave it at least ±1 in one direction. The threshold of
|valence| is the one whose verdicts (negative, none, positive) agree best with that: Cohen's kappa, each class
of each domain with the same weight. The rated texts are mostly charged, completions mostly not: weighed as
they come, texts would make a threshold that hardly ever says none. So weighed, kappa grows with the mean
recall of the three classes, which does not depend on how common each is. Both choices are ours.
"""

from functools import cache
from itertools import product

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from lib.agreement import charged_threshold, human_agreement, rated_agreement
from lib.config.specs import Judge
from lib.corpora import human_ratings
from lib.judging import judges
from lib.stats import inference, resamples

# change it with anything, here or in charged_threshold.py, that changes a threshold
VERSION = "rated-threshold-1"
LEAST = 1.0  # of a rating that counts as charged
FOLDS = 5
POLARITIES = (-1, 0, 1)
CLASSES = dict(zip(("negative", "none", "positive"), POLARITIES, strict=True))
THREE, TWO = "negative, none, positive", "charged or not"
_CHARGED = np.array([[0, 1, 0], [1, 0, 1]])  # POLARITIES as not charged, charged


def felt(ratings: pd.DataFrame) -> np.ndarray:
    """What most raters of each text found: −1 if more than half gave at most −LEAST, 1 if at least LEAST,
    else 0."""
    most = [[np.mean(given <= -LEAST), np.mean(given >= LEAST)] for given in ratings["ratings"]]
    return (np.array(most) > 0.5) @ np.array([-1, 1])


def rows(judge: Judge, ratings: pd.DataFrame) -> pd.DataFrame:
    """What a fit needs of each text: domain, words, all, document, mean, valence (out of fold where the judge
    has learnt), polarity, weight. Unscored texts are left out. Polarity and weight are NaN where only means
    are known."""
    return weighed(ratings, judges.of_rated(judge, ratings))


def weighed(ratings: pd.DataFrame, valences: np.ndarray) -> pd.DataFrame:
    """As `rows`, of what a judge says of each of `ratings`, shape (texts,)."""
    polarity = felt(ratings) if ratings["ratings"].notna().all() else np.nan
    scored = rated_agreement.levels(ratings).assign(valence=valences, polarity=polarity)
    scored = scored.dropna(subset="valence").reset_index(drop=True)
    weight = 1 / scored.groupby(["domain", "polarity"])["domain"].transform("size")
    columns = ["domain", "words", "all", "document", "mean", "valence", "polarity"]
    return scored[columns].assign(weight=weight / weight.mean())


def threshold(judge: Judge) -> float:
    """The |valence| beyond which a verdict of the judge counts as charged, points of the human scale.

    That of the learned judge ships with it. ValueError where nothing can be fitted: the judge's verdicts are
    all the same.
    """
    if judge.kind == "learned":
        from lib.judging import learned

        return learned.threshold()
    return _threshold(judge.model_dump_json())


@cache
def _threshold(told: str) -> float:
    judge = Judge.model_validate_json(told)
    fitted = charged_threshold.fit(rows(judge, human_ratings.read()))
    if np.isnan(fitted):
        raise ValueError(
            f"judge {judge.name!r}: no threshold can be fitted, for it calls all rated texts the same; "
            "give judging.charged_threshold a number, or choose another judge"
        )
    return round(fitted, 3)


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """A table of `rows` with `threshold`, fitted to other documents than the text's, and `verdict`, −1, 0 or
    1, by it."""
    fitted = np.empty(len(table))
    for seen, unseen in GroupKFold(FOLDS).split(table, groups=table["document"]):
        fitted[unseen] = charged_threshold.fit(table.iloc[seen])
    valence = table["valence"]
    return table.assign(threshold=fitted, verdict=np.sign(valence) * (valence.abs() > fitted))


def verdicts_on_own(judge: Judge, ratings: pd.DataFrame) -> pd.DataFrame:
    """The same of texts of `own_ratings.read`, by the threshold of every run: no text of the user's own
    shapes it."""
    table, fitted = rows(judge, ratings), threshold(judge)
    return table.assign(
        threshold=fitted, verdict=np.sign(table["valence"]) * (table["valence"].abs() > fitted)
    )


def validity(
    table: pd.DataFrame, judge: str, confidence: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """`agreed` and `found` in one, from a table of `verdicts`: the columns of `rated_agreement.validity`.

    No rows for texts whose single ratings are not known: what most raters found is not known either.
    """
    table = table.dropna(subset="polarity")
    if table.empty:
        return pd.DataFrame()
    parts = [agreed(table, confidence, draws, rng), found(table, confidence)]
    return pd.concat(parts, ignore_index=True).assign(judge=judge)


def agreed(table: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """Raw agreement, alpha, kappa and AC1 of the judge's verdicts with people's, bootstrap over documents.

    Long: by, level, question (THREE or TWO), measure, estimate, low, high, n, n_documents.
    """
    found = []
    for by, level, part in rated_agreement.parts(table):
        values = part[["verdict", "polarity"]].to_numpy(dtype=float)
        for question, fold, categories in ((THREE, np.eye(3), POLARITIES), (TWO, _CHARGED, (0, 1))):

            def statistic(part: pd.DataFrame, weights: np.ndarray, fold=fold) -> dict[str, np.ndarray]:
                table = resamples.cross_table(part["verdict"], part["polarity"], POLARITIES, weights)
                return human_agreement.measures_of_tables(fold @ table @ fold.T)

            named = resamples.table(part, statistic, "document", confidence, draws, rng)
            asked = values if question == THREE else np.abs(values)
            counts = {"n": len(part), "n_documents": part["document"].nunique()}
            estimates = human_agreement.measures(asked, None, "nominal", categories)
            found.append(named.assign(by=by, level=level, question=question, estimate=estimates, **counts))
    return pd.concat(found, ignore_index=True)


def found(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Recall and precision of each class, in percent, with intervals clustered by document.

    Long: by, level, question (one of CLASSES), measure, estimate, low, high, n (texts that people, or the
    judge, put into the class), n_documents.
    """
    hit = table.assign(hit=100.0 * (table["verdict"] == table["polarity"]))
    parts = []
    for by, name, measure in product(("domain", "words", "all"), CLASSES, ("recall", "precision")):
        whole = hit[hit["polarity" if measure == "recall" else "verdict"] == CLASSES[name]].dropna(subset=by)
        chosen = inference.clustered_shares(whole, "hit", [by], confidence, "document").rename(
            columns={by: "level"}
        )
        parts.append(chosen.assign(by=by, question=name, measure=f"{measure}, %"))
    shown = pd.concat(parts, ignore_index=True).rename(columns={"n_stems": "n_documents"})
    return shown[["by", "level", "question", "measure", "estimate", "ci_low", "ci_high", "n", "n_documents"]]


def calibration(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The human mean by what the judge said: bin (of one point), valence (mean in it), and the columns of
    inference.Estimate."""
    said = table.assign(bin=table["valence"].round()).sort_values("bin")
    curve = inference.clustered_means(said, "mean", ["bin"], confidence, "document", (-4, 4))
    return curve.assign(valence=said.groupby("bin")["valence"].mean().to_numpy())
