"""The rated texts as a run asks its judges about them: what notebooks 04 and 04c both start from."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.agreement import rated_agreement, rated_threshold
from lib.config.sections import Agreement
from lib.corpora import human_ratings, own_ratings


class Texts(NamedTuple):
    """Texts that people rated.

    Attributes:
        ratings: The table of `human_ratings.read`.
        own: The table of `own_ratings.read`; without rows if the run names no ratings of the user's own.
        left_out: How many of the user's own texts were left out, by reason.
    """

    ratings: pd.DataFrame
    own: pd.DataFrame
    left_out: dict[str, int]

    @property
    def tables(self) -> list[pd.DataFrame]:
        """The tables that have rows."""
        return [table for table in (self.ratings, self.own) if len(table)]


def read(run: Agreement) -> Texts:
    """Read the rated texts of a run."""
    return Texts(human_ratings.read(), *own_ratings.read(run.ratings))


def validity(run: Agreement, texts: Texts) -> pd.DataFrame:
    """Return `rated_agreement.validity` of each judge of `run.on_all_texts`, each with the same seed."""
    return pd.concat(
        [
            rated_agreement.validity(table, judge, run.confidence, run.n_resamples, _rng(run))
            for judge in run.on_all_texts
            for table in texts.tables
        ],
        ignore_index=True,
    )


def verdicts(run: Agreement, texts: Texts) -> list[dict[str, pd.DataFrame]]:
    """Return the verdicts by judge: on the rated texts and, if there are any, on the user's own."""
    judges = run.on_all_texts
    of_rated = {
        judge.name: rated_threshold.verdicts(rated_threshold.rows(judge, texts.ratings)) for judge in judges
    }
    if texts.own.empty:
        return [of_rated]
    return [of_rated, {judge.name: rated_threshold.verdicts_on_own(judge, texts.own) for judge in judges}]


def validity_of_verdicts(run: Agreement, judged: list[dict[str, pd.DataFrame]]) -> pd.DataFrame:
    """Return `rated_threshold.validity` of each table of `verdicts`, each with the same seed."""
    return pd.concat(
        [
            rated_threshold.validity(table, name, run.confidence, run.n_resamples, _rng(run))
            for name, table in _each(judged)
        ],
        ignore_index=True,
    )


def rows_of_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `validity_of_verdicts` in a run's table `validity`."""
    return table[
        table["question"].isin([rated_threshold.THREE, rated_threshold.TWO, *rated_threshold.CLASSES])
    ]


def differences(table: pd.DataFrame, judge: str) -> pd.DataFrame:
    """Return how far a judge lies from one rater by domain, as `judge_claims.judge_agreement` takes it."""
    rows = table[(table["by"] == "domain") & (table["judge"] == judge)]
    return rows[rows["measure"] == rated_agreement.DIFFERENCE].rename(columns={"level": "domain"})


def _each(judged: list[dict[str, pd.DataFrame]]) -> Iterator[tuple[str, pd.DataFrame]]:
    for tables in judged:
        yield from tables.items()


def _rng(run: Agreement) -> np.random.Generator:
    return np.random.default_rng(run.seed)
