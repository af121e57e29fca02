"""The header of a table that somebody else wrote: which of its lines names the columns, and of which sheet or
delimiter."""

import pandas as pd

SHOWN = 3  # rows, columns or sheets that an error names
SOUGHT = 20  # lines among which a header that is not the first is looked for, to say where it stands

Needed = list[tuple[str, ...]]  # of each tuple of names the header must have one


def some(words, count: int) -> str:
    """The first of `words`, and how many of `count` are not named."""
    return ", ".join(str(word) for word in words[:SHOWN]) + f" and {count - SHOWN:,} more" * (count > SHOWN)


def fits(header: list, needed: Needed) -> bool:
    """Whether a header has all columns that are needed."""
    names = {str(name) for name in header if name is not None}
    return all(names & set(choice) for choice in needed)


def described(needed: Needed) -> str:
    """The columns that are needed, as people read them."""
    return ", ".join(" or ".join(dict.fromkeys(choice)) for choice in needed)


def below(rows: dict[int, list], needed: Needed) -> int | None:
    """The line, or row, that has the columns needed where the first has not; None where none of the next has
    either."""
    (_, first), *others = list(rows.items())[:SOUGHT]
    if not needed or fits(first, needed):
        return None
    return next((number for number, cells in others if fits(cells, needed)), None)


def headed(rows: dict[int, list], needed: Needed, unit: str) -> pd.DataFrame:
    """`rows` by number as a table, the first of them its header; ValueError if the header stands further
    below."""
    if not rows:
        return pd.DataFrame()
    if number := below(rows, needed):
        raise ValueError(
            f"the columns are named in {unit} {number}, not in the first; take out what stands above"
        )
    (_, header), *others = rows.items()
    padded = [[*cells, *[None] * len(header)][: len(header)] for _, cells in others]
    return pd.DataFrame(padded, [number for number, _ in others], header, dtype=object)
