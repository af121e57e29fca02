"""The regression of the learned judge: what it reads of a text, and how it is fitted to mean ratings.

Columns are standardised; VADER's valence stands VADER_COLUMNS times among them, so that the ridge's penalty hardly shrinks it.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lib import vader
from lib.judging import mpnet

VADER_COLUMNS = 20
PENALTIES = (3_000.0, 10_000.0, 30_000.0)
PENALTY = 10_000.0  # where none is chosen
FOLDS = 5


def design(texts: list[str]) -> np.ndarray:
    """Encoder features and, last, VADER's valence of each text, shape (texts, columns)."""
    return np.column_stack([mpnet.features(texts), vader.valences(texts).astype(np.float32)])


def fit(read: np.ndarray, means: np.ndarray, weights: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Coefficients of the columns of `design` (float64), and intercept."""
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(read.astype(float), sample_weight=weights)
    standard = scaler.transform(read.astype(float))
    repeated = np.hstack([standard, np.repeat(standard[:, -1:], VADER_COLUMNS - 1, axis=1)])
    ridge = Ridge(penalty, solver="cholesky", copy_X=False).fit(repeated, means, sample_weight=weights)
    width = read.shape[1]
    coefficients = np.append(ridge.coef_[: width - 1], ridge.coef_[width - 1 :].sum()) / scaler.scale_
    return coefficients, float(ridge.intercept_ - coefficients @ scaler.mean_)


def fit_table(read: np.ndarray, table: pd.DataFrame, penalty: float | None = None) -> tuple[np.ndarray, float, float]:
    """As `fit`, to the columns mean and weight of `table`, and the penalty: if none is given, the one of PENALTIES with the least
    weighted squared error on a fold of documents that was left out."""
    means, weights = table["mean"].to_numpy(), table["weight"].to_numpy()
    if penalty is None:
        seen, unseen = next(folds(table))
        errors = []
        for tried in PENALTIES:
            coefficients, intercept = fit(read[seen], means[seen], weights[seen], tried)
            errors.append(np.average((read[unseen] @ coefficients + intercept - means[unseen]) ** 2, weights=weights[unseen]))
        penalty = PENALTIES[int(np.argmin(errors))]
    return *fit(read, means, weights, penalty), penalty


def folds(table: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from and rows to test on, FOLDS times, divided by the column `document`."""
    from sklearn.model_selection import GroupKFold

    return GroupKFold(FOLDS).split(table, groups=table["document"])


def predict_unseen(read: np.ndarray, table: pd.DataFrame, splits, penalty: float | None = None) -> np.ndarray:
    """Prediction of each row by a regression (`fit_table`) that did not learn from it, penalty and all; NaN if in no split."""
    found = np.full(len(table), np.nan)
    for seen, unseen in splits:
        coefficients, intercept, _ = fit_table(read[seen], table.iloc[seen], penalty)
        found[unseen] = read[unseen] @ coefficients + intercept
    return found
