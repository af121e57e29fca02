"""The charged threshold of a judge, fitted to human ratings, and the agreement of its verdicts with people.

People find a text charged if most of its raters gave it at least ±1 in one direction. The threshold of
|valence| is the one whose verdicts (negative, none, positive) agree best with that. Agreement is Cohen's
kappa, with the same weight for each class of each domain. The rated texts are mostly charged, completions
mostly not: unweighted texts would give a threshold that hardly ever says none. With these weights, kappa
grows with the mean recall of the three classes, which does not depend on how common each class is. Both
choices are this project's.
"""

from functools import cache
from itertools import product

import numpy as np
import pandas as pd

from lib.agreement import charged_threshold, human_agreement, rated_agreement
from lib.config.specs import JUDGE_SCHEMA, Judge
from lib.corpora import human_ratings
from lib.judging import judges
from lib.runtime.errors import DataError
from lib.stats import inference, resamples

# change it with any edit, here or in charged_threshold.py, that changes a threshold
VERSION = "rated-threshold-1"
LEAST = 1.0  # the smallest |rating| that counts as charged
FOLDS = 5
POLARITIES = (-1, 0, 1)
CLASSES = dict(zip(("negative", "none", "positive"), POLARITIES, strict=True))
THREE, TWO = "negative, none, positive", "charged or not"
_CHARGED = np.array([[0, 1, 0], [1, 0, 1]])  # POLARITIES as not charged, charged


def felt(ratings: pd.DataFrame) -> np.ndarray:
    """Return what most raters of each text found: −1, 0 or 1.

    −1 if more than half gave at most −LEAST, 1 if more than half gave at least LEAST, else 0.
    """
    shares = [[np.mean(values <= -LEAST), np.mean(values >= LEAST)] for values in ratings["ratings"]]
    return (np.array(shares) > 0.5) @ np.array([-1, 1])


def rows(judge: Judge, ratings: pd.DataFrame) -> pd.DataFrame:
    """Return what a fit needs to know about each text.

    Unscored texts are left out.

    Returns:
        One row per text: domain, words, all, document, mean, valence (out of fold where the judge was
        trained), polarity, weight. Polarity and weight are NaN where only means are known.
    """
    return weighed(ratings, judges.of_rated(judge, ratings))


def weighed(ratings: pd.DataFrame, valences: np.ndarray) -> pd.DataFrame:
    """Return the table of `rows` for a judge's `valences` of each of `ratings`, shape (texts,)."""
    polarity = felt(ratings) if ratings["ratings"].notna().all() else np.nan
    scored = rated_agreement.levels(ratings).assign(valence=valences, polarity=polarity)
    scored = scored.dropna(subset="valence").reset_index(drop=True)
    weight = 1 / scored.groupby(["domain", "polarity"])["domain"].transform("size")
    columns = ["domain", "words", "all", "document", "mean", "valence", "polarity"]
    return scored[columns].assign(weight=weight / weight.mean())


def threshold(judge: Judge) -> float:
    """Return the |valence| beyond which a verdict of the judge counts as charged.

    It is in points of the human scale. The threshold of the learned judge ships with it.

    Args:
        judge: The judge.

    Raises:
        ValueError: If nothing can be fitted, because the judge's verdicts are all the same.
    """
    if judge.kind == "learned":
        from lib.judging import learned

        return learned.threshold()
    return _threshold(judge.model_dump_json())


@cache
def _threshold(judge_json: str) -> float:
    judge = JUDGE_SCHEMA.validate_json(judge_json)
    fitted = charged_threshold.fit(rows(judge, human_ratings.read()))
    if np.isnan(fitted):
        raise DataError(
            f"judge {judge.name!r}: no threshold can be fitted, for it calls all rated texts the same; "
            "give judging.charged_threshold a number, or choose another judge"
        )
    return round(fitted, 3)


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `rows` with `threshold` and `verdict` (−1, 0 or 1).

    The threshold is fitted to other documents than the text's.
    """
    from sklearn.model_selection import GroupKFold  # a second

    fitted = np.empty(len(table))
    for train, test in GroupKFold(FOLDS).split(table, groups=table["document"]):
        fitted[test] = charged_threshold.fit(table.iloc[train])
    valence = table["valence"]
    return table.assign(threshold=fitted, verdict=np.sign(valence) * (valence.abs() > fitted))


def verdicts_on_own(judge: Judge, ratings: pd.DataFrame) -> pd.DataFrame:
    """Return the same as `verdicts` for texts of `own_ratings.read`, by the threshold of every run.

    No text of the user's own shapes that threshold.
    """
    table, fitted = rows(judge, ratings), threshold(judge)
    return table.assign(
        threshold=fitted, verdict=np.sign(table["valence"]) * (table["valence"].abs() > fitted)
    )


def validity(
    table: pd.DataFrame, judge: str, confidence: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Combine `agreed` and `found` for a table of `verdicts`.

    Args:
        table: A table of `verdicts`.
        judge: Name of the judge.
        confidence: Level of the intervals, between 0 and 1.
        draws: Number of bootstrap resamples.
        rng: Source of the resamples.

    Returns:
        The columns of `rated_agreement.validity`. No rows for texts without single ratings, because the
        opinion of most raters is not known either.
    """
    table = table.dropna(subset="polarity")
    if table.empty:
        return pd.DataFrame()
    parts = [agreed(table, confidence, draws, rng), found(table, confidence)]
    return pd.concat(parts, ignore_index=True).assign(judge=judge)


def agreed(table: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """Estimate raw agreement, alpha, kappa and AC1 between the verdicts of the judge and those of people.

    Returns:
        A long table: by, level, question (THREE or TWO), measure, estimate, ci_low, ci_high (bootstrap over
        documents), n, n_documents.
    """
    rows = []
    for by, level, part in rated_agreement.parts(table):
        values = part[["verdict", "polarity"]].to_numpy(dtype=float)
        for question, fold, categories in ((THREE, np.eye(3), POLARITIES), (TWO, _CHARGED, (0, 1))):

            def statistic(part: pd.DataFrame, weights: np.ndarray, fold=fold) -> dict[str, np.ndarray]:
                table = resamples.cross_table(part["verdict"], part["polarity"], POLARITIES, weights)
                return human_agreement.measures_of_tables(fold @ table @ fold.T)

            result = resamples.table(part, statistic, "document", confidence, draws, rng)
            ratings = values if question == THREE else np.abs(values)
            counts = {"n": len(part), "n_documents": part["document"].nunique()}
            estimates = human_agreement.measures(ratings, None, "nominal", categories)
            rows.append(result.assign(by=by, level=level, question=question, estimate=estimates, **counts))
    return pd.concat(rows, ignore_index=True)


def found(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Estimate recall and precision of each class, in percent, with intervals clustered by document.

    Returns:
        A long table: by, level, question (one of CLASSES), measure, estimate, ci_low, ci_high, n (texts that
        people, or the judge, put into the class), n_documents.
    """
    hit = table.assign(hit=100.0 * (table["verdict"] == table["polarity"]))
    parts = []
    for by, name, measure in product(("domain", "words", "all"), CLASSES, ("recall", "precision")):
        in_class = hit[hit["polarity" if measure == "recall" else "verdict"] == CLASSES[name]].dropna(
            subset=by
        )
        shares = inference.clustered_shares(in_class, "hit", [by], confidence, "document").rename(
            columns={by: "level"}
        )
        parts.append(shares.assign(by=by, question=name, measure=f"{measure}, %"))
    result = pd.concat(parts, ignore_index=True).rename(columns={"n_stems": "n_documents"})
    return result[["by", "level", "question", "measure", "estimate", "ci_low", "ci_high", "n", "n_documents"]]


def calibration(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Estimate the human mean as a function of the judge's valence.

    Returns:
        One row per bin: bin (of one point), valence (mean in it), and the fields of inference.Estimate.
    """
    binned = table.assign(bin=table["valence"].round()).sort_values("bin")
    curve = inference.clustered_means(binned, "mean", ["bin"], confidence, "document", (-4, 4))
    return curve.assign(valence=binned.groupby("bin")["valence"].mean().to_numpy())
