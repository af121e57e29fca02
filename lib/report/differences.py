"""What a verification finds: per check how much was compared, what differs, or why it could not be done."""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

MOST = 20  # differences of one file that are named; the rest is counted
TOLERANCE = 1e-6  # of a number that is computed again; machines differ in the last bits of a sum
_DRAWN = 0.01  # of a coordinate in a figure, in points
_WRITTEN = re.compile(r"<!-- (.*?) -->")  # letters are outlines; a comment holds each text
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


class Difference(NamedTuple):
    """A place where what is stored is not what it must be."""

    file: str
    place: str
    stored: object
    recomputed: object
    remedy: str

    def line(self) -> str:
        """The difference in one line."""
        place = f", {self.place}" if self.place else ""
        stored, recomputed = (_short(value) for value in (self.stored, self.recomputed))
        return f"{self.file}{place}: stored {stored}, recomputed {recomputed}; {self.remedy}"


@dataclass(frozen=True)
class Check:
    """One thing that was verified.

    Attributes:
        what: What was compared with what.
        count: How much was compared; 0 if nothing could be.
        unit: What is counted.
        differences: What differs.
        reason: Why it could not be checked, or not wholly; "" if it was.
    """

    what: str
    count: int
    unit: str
    differences: tuple[Difference, ...] = ()
    reason: str = ""


def skipped(what: str, reason: str) -> Check:
    """A check that could not be done."""
    return Check(what, 0, "", (), reason)


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 160 else f"{text[:157]}…"


def is_equal(stored, recomputed, tolerance: float = TOLERANCE) -> bool:
    """Whether two plain values are the same, numbers up to `tolerance`; missing values equal each other."""
    if stored is recomputed:
        return True
    missing = [value is None or value is pd.NA or value != value for value in (stored, recomputed)]
    if any(missing):
        return all(missing)
    if bool(stored == recomputed):  # infinite ones too
        return True
    numbers = all(isinstance(value, int | float) for value in (stored, recomputed))
    return numbers and math.isclose(stored, recomputed, rel_tol=tolerance, abs_tol=tolerance)


def of_values(file: str, stored, recomputed, remedy: str, place: str = "") -> list[Difference]:
    """The places where two values as JSON holds them differ, such as 'models[0].leaks.verdict'."""
    if isinstance(stored, dict) and isinstance(recomputed, dict):
        keys = dict.fromkeys([*recomputed, *stored])
        parts = [(f"{place}.{key}".lstrip("."), stored.get(key), recomputed.get(key)) for key in keys]
    elif isinstance(stored, list) and isinstance(recomputed, list) and len(stored) == len(recomputed):
        parts = [
            (f"{place}[{number}]", *both) for number, both in enumerate(zip(stored, recomputed, strict=True))
        ]
    else:
        equal = is_equal(stored, recomputed)
        return [] if equal else [Difference(file, place, stored, recomputed, remedy)]
    return [found for name, first, second in parts for found in of_values(file, first, second, remedy, name)]


def of_texts(file: str, stored: str, recomputed: str, remedy: str) -> list[Difference]:
    """The lines in which two texts differ."""
    first, second = stored.splitlines(), recomputed.splitlines()
    differences = [
        Difference(file, f"line {number}", *_around(*both), remedy)
        for number, both in enumerate(zip(first, second, strict=False), start=1)
        if both[0] != both[1]
    ]
    if len(first) != len(second):
        lines = (f"{len(first)} lines", f"{len(second)} lines")
        differences.append(Difference(file, "length", *lines, remedy))
    return differences


def _around(first: str, second: str) -> tuple[str, str]:
    """Two lines from shortly before the first letter in which they differ."""
    place = next(
        (at for at, both in enumerate(zip(first, second, strict=False)) if both[0] != both[1]),
        min(len(first), len(second)),
    )
    start = max(place - 40, 0)
    shown = [repr(f"{'…' * (start > 0)}{text[start : place + 60]}") for text in (first, second)]
    return shown[0], shown[1]


def of_drawings(file: str, stored: str, recomputed: str, remedy: str) -> list[Difference]:
    """The places where two SVG texts differ, coordinates up to a hundredth of a point."""
    written = [dict.fromkeys(_WRITTEN.findall(text)) for text in (stored, recomputed)]
    if written[0] == written[1] and _NUMBER.split(stored) == _NUMBER.split(recomputed):
        both = zip(_NUMBER.findall(stored), _NUMBER.findall(recomputed), strict=True)
        furthest = max(both, key=lambda pair: abs(float(pair[0]) - float(pair[1])), default=("0", "0"))
        if abs(float(furthest[0]) - float(furthest[1])) <= _DRAWN:
            return []
        return [Difference(file, "a coordinate", furthest[0], furthest[1], remedy)]
    only = [[text for text in written[own] if text not in written[1 - own]] for own in (0, 1)]
    drawn = [", ".join(map(repr, texts)) or "other shapes" for texts in only]
    return [Difference(file, "what is drawn", drawn[0], drawn[1], remedy)]


def of_tables(
    file: str, stored: pd.DataFrame, recomputed: pd.DataFrame, key: list[str], remedy: str
) -> list[Difference]:
    """The cells in which two tables differ, row by row.

    Args:
        file: Name of the stored table.
        stored: The stored table.
        recomputed: The same, computed again.
        key: Columns that identify a row of `recomputed`.
        remedy: What to do about a difference.

    Returns:
        A difference for each column that only one has, each row that only one has or that is there twice,
        and each cell.
    """
    if missing := [name for name in recomputed if name not in stored]:
        return [Difference(file, "columns", "none", ", ".join(missing), remedy)]
    first, second = (_keyed(table, key) for table in (stored[list(recomputed)], recomputed))
    both = first.index.intersection(second.index)
    differences = [
        Difference(file, _named(row, [*key, "copy"]), "a row", "no such row", remedy)
        for row in first.index.difference(second.index)
    ]
    differences += [
        Difference(file, _named(row, [*key, "copy"]), "no such row", "a row", remedy)
        for row in second.index.difference(first.index)
    ]
    for name in second:
        pairs = zip(both, first.loc[both, name], second.loc[both, name], strict=True)
        differences += [
            Difference(file, f"{_named(row, [*key, 'copy'])}, {name}", old, new, remedy)
            for row, old, new in pairs
            if not is_equal(old, new)
        ]
    return differences


def _keyed(table: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """The table as plain values, indexed by `key` and the number of the copy of a row that is there twice."""
    plain = table.astype(object)
    return plain.assign(copy=plain.groupby(key, sort=False, dropna=False).cumcount()).set_index(
        [*key, "copy"]
    )


def _named(row: tuple, names: list[str]) -> str:
    parts = zip(names, row, strict=True)
    return " ".join(f"{name}={value}" for name, value in parts if name != "copy" or value)
