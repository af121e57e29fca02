"""Find the header of a table of others.

These functions say which line names the columns, and so which sheet or delimiter is meant.
"""

from collections.abc import Sequence

import pandas as pd

from lib.runtime.errors import DataError

SHOWN = 3  # maximum number of rows, columns or sheets that an error names
SOUGHT = 20  # first lines that are searched for a misplaced header, to report where it is

Needed = Sequence[tuple[str, ...]]  # the header must have one name of each tuple


def some(words, count: int) -> str:
    """Join the first SHOWN of `words`, and say how many of `count` are left out."""
    return ", ".join(str(word) for word in words[:SHOWN]) + f" and {count - SHOWN:,} more" * (count > SHOWN)


def fits(header: list, needed: Needed) -> bool:
    """Whether a header has all needed columns."""
    names = {str(name) for name in header if name is not None}
    return all(names & set(choice) for choice in needed)


def described(needed: Needed) -> str:
    """The needed columns in words."""
    return ", ".join(" or ".join(dict.fromkeys(choice)) for choice in needed)


def below(rows: dict[int, list], needed: Needed) -> int | None:
    """Look for a header that is not in the first row.

    Returns:
        The number of the first row, among the first SOUGHT, that has the needed columns. None if the header
        is in the first row, if no columns are needed, or if none of these rows has them.
    """
    (_, first), *others = list(rows.items())[:SOUGHT]
    if not needed or fits(first, needed):
        return None
    return next((number for number, cells in others if fits(cells, needed)), None)


def headed(rows: dict[int, list], needed: Needed, unit: str) -> pd.DataFrame:
    """Make a table of rows of which the first is the header.

    Args:
        rows: The cells of each row, by its number.
        needed: The columns that the header must have.
        unit: What the numbers count, such as line or row.

    Returns:
        A table indexed by the numbers; each row is padded or cut to the length of the header.

    Raises:
        ValueError: If the header is further below.
    """
    if not rows:
        return pd.DataFrame()
    if number := below(rows, needed):
        raise DataError(
            f"the columns are named in {unit} {number}, not in the first; take out what stands above"
        )
    (_, header), *others = rows.items()
    padded = [[*cells, *[None] * len(header)][: len(header)] for _, cells in others]
    return pd.DataFrame(padded, [number for number, _ in others], header, dtype=object)
