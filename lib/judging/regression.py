"""The regression of the learned judge: its features, and how it is fitted to mean ratings.

Columns are standardised. VADER's valence is repeated VADER_COLUMNS times among them, so that the ridge
penalty hardly shrinks it.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lib.judging import mpnet
from lib.nlp import vader

VADER_COLUMNS = 20
PENALTY = 10_000.0  # chosen by this project for the frozen encoder, on left-out documents
FOLDS = 5


def design(texts: list[str], adapted: bool = True) -> np.ndarray:
    """Return encoder features and, last, VADER's valence of each text, shape (texts, columns).

    Args:
        texts: The texts.
        adapted: Whether the encoder carries the adapter.
    """
    return np.column_stack([mpnet.features(texts, adapted=adapted), vader.valences(texts).astype(np.float32)])


def fit(read: np.ndarray, means: np.ndarray, weights: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Fit a weighted ridge regression.

    Args:
        read: The matrix of `design`.
        means: Mean rating of each text.
        weights: Weight of each text.
        penalty: Ridge penalty.

    Returns:
        Coefficients of the columns of `design` (float64), and intercept.
    """
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(read.astype(float), sample_weight=weights)
    standard = scaler.transform(read.astype(float))
    repeated = np.hstack([standard, np.repeat(standard[:, -1:], VADER_COLUMNS - 1, axis=1)])
    ridge = Ridge(penalty, solver="cholesky", copy_X=False).fit(repeated, means, sample_weight=weights)
    width = read.shape[1]
    coefficients = np.append(ridge.coef_[: width - 1], ridge.coef_[width - 1 :].sum()) / scaler.scale_
    return coefficients, float(ridge.intercept_ - coefficients @ scaler.mean_)


def fit_table(read: np.ndarray, table: pd.DataFrame) -> tuple[np.ndarray, float]:
    """Return `fit` to the columns mean and weight of `table`, with PENALTY."""
    return fit(read, table["mean"].to_numpy(), table["weight"].to_numpy(), PENALTY)


def folds(table: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return training rows and test rows of FOLDS folds, grouped by the column `document`."""
    from sklearn.model_selection import GroupKFold

    return GroupKFold(FOLDS).split(table, groups=table["document"])


def predict_unseen(read: np.ndarray, table: pd.DataFrame, splits) -> np.ndarray:
    """Predict each row with a regression (`fit_table`) that was not fitted to it; NaN if in no split."""
    result = np.full(len(table), np.nan)
    for seen, unseen in splits:
        coefficients, intercept = fit_table(read[seen], table.iloc[seen])
        result[unseen] = read[unseen] @ coefficients + intercept
    return result
