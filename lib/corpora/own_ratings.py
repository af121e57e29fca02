"""Rated texts from a file of the user (`agreement.ratings`): a further domain of notebook 04.

The file has one row per text with the mean rating (column `mean`) or with a column per rater (`ratings`), or
one row per single rating (`rating`). `text` is the text, `document` groups texts that belong together
(without it each text is its own document), `n_raters` is the number of raters behind a mean. The scale is
stretched to −4 … +4.

Where single ratings are known, the domain has a ceiling of its own; where only means are known, its ceiling
is unknown. The domain is not part of any level that pools domains, so these levels stay comparable between
runs.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from lib.config.sections import Ratings
from lib.config.specs import ParameterError, nearest
from lib.corpora import human_ratings
from lib.nlp import vader
from lib.nlp.text import normalize
from lib.storage import tables

FEWEST = 30  # texts; this project's choice: below it an interval of r is too wide to be informative
COLUMNS = ["domain", "text_id", "document", "text", "ratings", "mean", "n_raters", "own"]
_BLANK = ("", "na", "n/a", "nan", "none", "null")


def read(ratings: Ratings | None) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read the rated texts of the user's file.

    Left out, for every judge alike, are texts that a judge of this project was trained on: the rated texts of
    `human_ratings`, and the words of VADER's lexicon.

    Args:
        ratings: The section agreement.ratings; None gives an empty table.

    Returns:
        The table COLUMNS, one row per text as in `human_ratings.read`, and the number of left-out rows by
        reason. `ratings` is an array of single ratings, or None in every row where only means are known;
        `n_raters` may then be NaN. `own` is True.

    Raises:
        ParameterError: Of `check`, or if too few texts are left.
    """
    if ratings is None:
        return pd.DataFrame(columns=COLUMNS), {}
    table, left_out = check(ratings)
    learnt = {_key(text) for text in human_ratings.read()["text"]} | {_key(word) for word in vader.lexicon()}
    is_learnt = table["text"].map(_key).isin(learnt)
    left_out["a judge has learnt from it"] = int(is_learnt.sum())
    return _enough(table[~is_learnt].reset_index(drop=True), left_out, _place(ratings)), left_out


def check(ratings: Ratings) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read and check the file as `read` does, but keep texts that a judge was trained on.

    Only the file itself is needed.

    Raises:
        ParameterError: If a file or column is missing, a cell is not a number, a rating is outside the scale,
            the name is that of another domain, or there are too few texts.
    """
    place = _place(ratings)
    if domain(ratings) in human_ratings.DOMAINS.values():
        raise ParameterError(
            f"{place}: another domain is called {domain(ratings)!r}; give agreement.ratings.name another name"
        )
    rows, columns = _cells(ratings)
    empty = rows["text"].isna()
    rated = rows[columns].notna().any(axis=1)
    left_out = {"no text": int(empty.sum()), "no rating": int((~empty & ~rated).sum())}
    rows = rows[~empty & rated]
    rows = rows.assign(key=rows["text"].map(_key))
    table = _by_rating(rows) if "rating" in rows else _by_text(rows, columns, left_out)
    if table["ratings"].notna().any():
        left_out["a single rating"] = int((table["n_raters"] < 2).sum())
        table = table[table["n_raters"] >= 2]
    table = table.assign(domain=domain(ratings), text_id=table.index.astype(str), own=True).reset_index(
        drop=True
    )
    return _enough(table[COLUMNS], left_out, place), left_out


def domain(ratings: Ratings) -> str:
    """Return the name of the domain in tables."""
    return ratings.name or Path(ratings.path).stem


def has_raters(table: pd.DataFrame) -> bool:
    """Return whether `table`, with the columns of `human_ratings.read`, has single ratings."""
    return bool(table["ratings"].notna().all())


def summary(ratings: Ratings | None, table: pd.DataFrame, left_out: dict[str, int]) -> str:
    """Describe the result of `read` in one or two sentences, as Markdown."""
    if ratings is None:
        return (
            "No ratings of the user's own are named: `agreement.ratings` in the parameter set takes a file "
            "of texts that people rated, as a further domain."
        )
    negative_end, positive_end = ratings.scale
    reasons = "; ".join(f"{count:,} ({reason})" for reason, count in left_out.items() if count)
    ceiling = (
        f"Its ceiling is that of its own raters, {table['n_raters'].median():g} a text in the median."
        if has_raters(table)
        else "**Its ceiling is not known**, for the file has means alone: it takes no part in the verdict."
    )
    return (
        f"Ratings of the user's own: `{Path(ratings.path).name}`, domain *{domain(ratings)}*: "
        f"{len(table):,} texts, whose "
        f"scale from {negative_end:g} to {positive_end:g} is stretched to −4 … +4. "
        f"Left out: {reasons or 'none'}. {ceiling}"
    )


def _place(ratings: Ratings) -> str:
    return f"agreement.ratings {ratings.path}"


def _key(text: str) -> str:
    return normalize(text).casefold()


def _cells(ratings: Ratings) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns of the file under canonical names, and which of them hold ratings.

    Ratings are on the scale from −4 to +4.
    """
    place, sources = _place(ratings), ratings.columns.values()
    names: dict[str, str] = {
        canonical: source for canonical, source in ratings.columns.items() if isinstance(source, str)
    }
    raters = [name for source in sources if isinstance(source, list) for name in source]
    text = names.get("text", "text")
    listed = [name for source in sources for name in ([source] if isinstance(source, str) else source)]
    needed: list[tuple[str, ...]] = [(name,) for name in (text, *listed)]
    if not ratings.columns.keys() & {"mean", "ratings", "rating"}:
        needed.append(("mean", "rating"))
    file, unit = tables.read(ratings.path, needed, place)
    columns = {"text": _column(file, "text", text, place)}
    columns |= {
        name: _column(file, name, names[name], place) for name in ("document", "n_raters") if name in names
    }
    if not raters:
        single = next(
            (name for columns in (names, file) for name in ("rating", "mean") if name in columns), "mean"
        )
        columns[single] = _column(file, single, names.get(single, single), place)
    columns |= {
        f"rater {number}": _column(file, "ratings", name, place) for number, name in enumerate(raters)
    }
    rows = pd.DataFrame({name: column.map(_text) for name, column in columns.items()}, dtype=object)
    rated = [name for name in columns if name not in ("text", "document", "n_raters")]
    for name in rated:
        rows[name] = _on_our_scale(_numbers(rows[name], name, unit, place), ratings.scale, unit, place)
    if "n_raters" in rows:
        rows["n_raters"] = _numbers(rows["n_raters"], "n_raters", unit, place)
    return rows, rated


def _text(cell) -> str | None:
    text = tables.text(cell)
    return text if text is not None and text.strip() else None


def _column(file: pd.DataFrame, canonical: str, name: str, place: str) -> pd.Series:
    columns = list(file.columns)
    if name not in columns:
        listing = f"\nthe file's columns: {', '.join(columns[:20])}{' …' * (len(columns) > 20)}"
        close = nearest(name, columns)
        raise ParameterError(
            f"{place}: no column {name!r} for {canonical}{close}; fix agreement.ratings.columns{listing}"
        )
    if columns.count(name) > 1:
        raise ParameterError(f"{place}: two columns are called {name!r}; rename one")
    return file[name]


def _numbers(cells: pd.Series, canonical: str, unit: str, place: str) -> pd.Series:
    """Return cells as numbers, NaN where blank.

    Raises:
        ParameterError: If a cell holds something else; the message names the rows.
    """
    blank = cells.isna() | cells.map(str).str.strip().str.casefold().isin(_BLANK)
    numbers = pd.to_numeric(cells.mask(blank, None), errors="coerce")
    _refuse(
        cells[numbers.isna() & ~blank],
        f"whose {canonical} is no number",
        "write it as 3.5, or leave it empty",
        unit,
        place,
    )
    return numbers.astype(float)


def _on_our_scale(numbers: pd.Series, scale: list[float], unit: str, place: str) -> pd.Series:
    negative_end, positive_end = scale
    outside = numbers.notna() & ~numbers.between(min(scale), max(scale))
    remedy = "give agreement.ratings.scale the ends that the raters could choose"
    _refuse(
        numbers[outside],
        f"with a rating outside of the scale {negative_end:g} to {positive_end:g}",
        remedy,
        unit,
        place,
    )
    return vader.SCALE * (2 * (numbers - negative_end) / (positive_end - negative_end) - 1)


def _refuse(cells: pd.Series, fault: str, remedy: str, unit: str, place: str) -> None:
    if len(cells):
        units = unit + "s" * (len(cells) > 1)
        rows = tables.some(cells.index.tolist(), len(cells))
        raise ParameterError(
            f"{place}: {len(cells):,} {units} {fault}: {cells.iloc[0]}\n{units} {rows}; {remedy}"
        )


def _by_rating(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per text from one row per rating; only means where no text has two ratings."""
    groups = rows.groupby("key", sort=False)
    table = pd.DataFrame(
        {"text": groups["text"].first(), "mean": groups["rating"].mean(), "n_raters": groups.size()}
    )
    ratings = (
        groups["rating"].apply(lambda column: column.to_numpy(float)) if table["n_raters"].max() > 1 else None
    )
    numbers = rows.drop_duplicates("key").index
    documents = groups["document"].first() if "document" in rows else None
    return _with_documents(
        table.assign(ratings=ratings).set_index(numbers), None if documents is None else documents.to_numpy()
    )


def _by_text(rows: pd.DataFrame, columns: list[str], left_out: dict[str, int]) -> pd.DataFrame:
    """Return one row per text; of a text that occurs twice the first row counts."""
    is_repeated = rows.duplicated("key")
    left_out["the text is there before"] = int(is_repeated.sum())
    rows = rows[~is_repeated]
    ratings = [row[~np.isnan(row)] for row in rows[columns].to_numpy(float)]
    table = rows[["text"]].assign(mean=[each.mean() for each in ratings], ratings=None)
    if columns == ["mean"]:
        table["n_raters"] = rows.get("n_raters", np.nan)
    else:
        table = table.assign(
            ratings=pd.Series(ratings, table.index, dtype=object), n_raters=[len(each) for each in ratings]
        )
    return _with_documents(table, rows["document"].to_numpy() if "document" in rows else None)


def _with_documents(table: pd.DataFrame, named: np.ndarray | None) -> pd.DataFrame:
    alone = pd.Series([f"own row {number}" for number in table.index], table.index, dtype=object)
    documents = (
        alone if named is None else ("own: " + pd.Series(named, table.index, dtype=object)).fillna(alone)
    )
    return table.assign(document=documents)


def _enough(table: pd.DataFrame, left_out: dict[str, int], place: str) -> pd.DataFrame:
    """Return `table`.

    Raises:
        ParameterError: If it has fewer than FEWEST texts, or all texts have the same rating.
    """
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items() if count)
    if len(table) < FEWEST:
        raise ParameterError(
            f"{place}: {len(table)} rated texts, too few to measure agreement; give at least {FEWEST}"
            f"{f' (left out: {reasons})' if reasons else ''}"
        )
    if table["mean"].nunique() < 2:
        raise ParameterError(
            f"{place}: all {len(table)} texts have the same rating, so nothing can agree with it; name the "
            "column that holds the rating in agreement.ratings.columns"
        )
    return table
