"""The claims board of a second judge next to that of the run's own: where the verdicts differ.

VADER, a lexicon with rules, is the second judge (`lib.claims.second_judge`): it costs no model call. Where
the run's own judge is VADER there is no second judge. A judge may have VADER's valence among its features, as
`learned` has. The two judges are then not independent: what they agree on is less well confirmed, while what
they differ on is just as doubtful.
"""

import pandas as pd

COLUMNS = [
    "measured_vader",
    "estimate_vader",
    "ci_low_vader",
    "ci_high_vader",
    "verdict_vader",
    "reason_vader",
]
_OF_BOARD = [name.removesuffix("_vader") for name in COLUMNS]
NAME = "VADER"


def with_second(own: pd.DataFrame, second: pd.DataFrame | None) -> pd.DataFrame:
    """Return `own`, a claims board, with COLUMNS from the same board by the second judge.

    COLUMNS are all missing where there is no second judge (None).

    Raises:
        ValueError: If the two boards do not have the same rows.
    """
    if second is None:
        return own.assign(**dict.fromkeys(COLUMNS))
    if own["claim"].tolist() != second["claim"].tolist() or _differ_in_model(own, second):
        raise ValueError(
            f"the board by {NAME} has other rows than that of the run's own judge: "
            f"{second['model'].tolist()} "
            f"beside {own['model'].tolist()}; make both from the same completions"
        )
    renamed = second[_OF_BOARD].set_axis(COLUMNS, axis=1).set_axis(own.index, axis=0)
    return pd.concat([own, renamed], axis=1)


def _differ_in_model(own: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Return whether the rows are of different models; the rows of C1, which are of judges, do not count."""
    of_models = (own["claim"] != "C1").to_numpy()
    return own["model"][of_models].tolist() != second["model"][of_models].tolist()


def known(board: pd.DataFrame) -> pd.Series:
    """Return which rows of a board have a verdict of the second judge."""
    return board["verdict_vader"].notna() if "verdict_vader" in board else pd.Series(False, board.index)


def differs(board: pd.DataFrame) -> pd.Series:
    """Return which rows have a different verdict by the second judge."""
    return known(board) & (board.get("verdict_vader") != board["verdict"])


def mark(row) -> str:
    """Return the second judge's verdict on a row where it differs, else "".

    `row` is anything with the columns of a board as attributes.
    """
    verdict = getattr(row, "verdict_vader", None)
    return "" if pd.isna(verdict) or verdict == row.verdict else f"by {NAME} {verdict}"


def summary(board: pd.DataFrame) -> str:
    """Say in how many rows the second judge comes to the same verdict, and to which in the others."""
    if not known(board).any():
        return (
            f"{NAME} is the judge of this run itself, so there is no second judge whose verdicts could "
            "differ."
        )
    empty = known(board) & board["estimate"].isna() & board["estimate_vader"].isna()
    rows = board[known(board) & ~empty]
    count = len(rows) - int(differs(rows).sum())
    unknown = f" ({empty.sum()} more are estimated by neither)" if empty.any() else ""
    message = f"By {NAME}, as second judge, {count} of {len(rows)} rows get the same verdict{unknown}"
    differing = [
        f"{row.claim} {row.model} ({row.verdict}; {mark(row)}: {row.reason_vader})"
        for row in rows[differs(rows)].itertuples()
    ]
    n_without = int((~known(board)).sum())
    missing = f" {n_without} rows rest on {NAME} itself and have no second." if n_without else ""
    return f"{message}{'; it differs in ' + '; '.join(differing) if differing else ''}.{missing}"
