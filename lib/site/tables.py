"""Tables of executed notebooks for readers: aligned, of six columns, completions as lines of text."""

import re

from bs4 import BeautifulSoup, Tag

from lib.nlp import vader

MOST_COLUMNS = 6  # that stand side by side; the rest on demand
ANSWERS = ("verdict", "rule", "disagreement", "missing, %")  # columns that are always among them
READING = ("context", "stem", "completion")  # columns that are one text
ARMS = ("negative", "positive", "neutral", "placebo", "none")
MARKED = 1.0  # least rating of a word that is marked, of VADER's ±4
SHOWN = 3  # lines of an arm; the rest on demand
_NUMBER = re.compile(r"[⚠*]*\s*[+\-−–±<>≤≥]?\s*[\d.,]+(e[+-]?\d+)?\s*%?(\s*[\[(/].*|\s+of\s+[\d,]+.*)?")
_EMPTY = ("", "–", "nan", "NaN", "None", "<NA>", "not estimated")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def rewrite(html: str) -> str:
    """Rewrite the tables of pandas in an output for reading; any other HTML is returned as it is.

    Numbers are right-aligned and texts left-aligned. A plain row number is left out. A table of more than
    MOST_COLUMNS columns shows its ANSWERS and the first others, and all on demand. A table with the columns
    of READING becomes lines of text, arm by arm, in which charged words are marked.
    """
    if "dataframe" not in html:
        return html
    soup = BeautifulSoup(html, "html.parser")
    tables = soup.select("table.dataframe")
    for style in soup.select("style"):
        style.decompose()
    for table in tables:
        _rewrite(soup, table)
    return str(soup)


def _rewrite(soup: BeautifulSoup, table: Tag) -> None:
    rows = table.select("tbody tr")
    if not rows:
        columns = ", ".join(cell.get_text() for cell in table.select("thead th") if cell.get_text())
        table.replace_with(_tag(soup, "p", f"No rows ({columns}).", "empty"))
        return
    table.attrs = {"class": "dataframe", "tabindex": "0"}  # it may scroll, so the keyboard must reach it
    for row in table.select("tr"):
        row.attrs = {}
    _expand(soup, rows)
    _merge_heads(table)
    _lift_banner(soup, table)
    heads = table.select("thead tr")
    if len(heads) == 1:
        _drop_row_numbers(heads[0], rows)
        names = [cell.get_text() for cell in _cells(heads[0])]
        if set(READING) <= set(names):
            table.replace_with(_reading(soup, names, rows))
            return
    _align(table)
    for cell in table.select("th"):
        if not cell.get_text(strip=True):
            cell.name = "td"  # an empty head names nothing
    if len(heads) == 1 and len(_cells(heads[0])) > MOST_COLUMNS:
        _fold(soup, table)


def _cells(row: Tag) -> list[Tag]:
    return row.find_all(["th", "td"], recursive=False)


def _tag(soup: BeautifulSoup, name: str, text: str = "", class_: str = "") -> Tag:
    tag = soup.new_tag(name, attrs={"class": class_} if class_ else {})
    if text:
        tag.string = text
    return tag


def _expand(soup: BeautifulSoup, rows: list[Tag]) -> None:
    """Give every row all its cells: a cell that spans rows is followed by empty ones."""
    for number, row in enumerate(rows):
        for place, cell in enumerate(_cells(row)):
            for below in rows[number + 1 : number + int(str(cell.attrs.pop("rowspan", 1)))]:
                empty, others = soup.new_tag(cell.name), _cells(below)
                if place < len(others):
                    others[place].insert_before(empty)
                else:
                    below.append(empty)


def _merge_heads(table: Tag) -> None:
    """Write the names of the index, for which pandas has a row of their own, into the row of the columns."""
    heads = table.select("thead tr")
    if len(heads) != 2 or len(_cells(heads[0])) != len(_cells(heads[1])):
        return
    columns = list(zip(_cells(heads[0]), _cells(heads[1]), strict=True))
    if all(not upper.get_text() or not lower.get_text() for upper, lower in columns):
        for upper, lower in columns:
            upper.string = upper.get_text() or lower.get_text()
        heads[1].decompose()


def _lift_banner(soup: BeautifulSoup, table: Tag) -> None:
    """Make a warning, which pandas shows as the name of the columns, the caption of the table."""
    first = table.select_one("thead th")
    if first is not None and first.get_text().startswith("⚠"):
        table.insert(0, _tag(soup, "caption", first.get_text(), "warning"))
        first.string = ""


def _drop_row_numbers(head: Tag, rows: list[Tag]) -> None:
    """Remove the index where it only counts the rows."""
    if head.th is None or head.th.get_text():
        return
    first = [_cells(row)[0] for row in rows]
    if all(cell.name == "th" and cell.get_text().isdigit() for cell in first):
        for cell in [_cells(head)[0], *first]:
            cell.decompose()


def _align(table: Tag) -> None:
    """Give each column of numbers the class `number`: head, cells and all."""
    rows = [_cells(row) for row in table.select("tbody tr")]
    numeric = [
        all(_is_number(cell.get_text().strip()) for cell in column)
        and any(cell.get_text().strip() not in _EMPTY for cell in column)
        for column in zip(*rows, strict=True)
    ]
    for row in [*rows, *(_cells(row) for row in table.select("thead tr"))]:
        for cell, number in zip(row, numeric, strict=False):
            if number and not cell.get("colspan"):
                cell["class"] = "number"


def _is_number(text: str) -> bool:
    return text in _EMPTY or _NUMBER.fullmatch(text) is not None


def _fold(soup: BeautifulSoup, table: Tag) -> None:
    """Put before a wide table one of its answers and first columns; the whole opens on demand."""
    heads = [cell.get_text() for cell in _cells(table.select("thead tr")[0])]
    count = len(heads)
    kept = sorted(range(count), key=lambda place: heads[place] not in ANSWERS)[:MOST_COLUMNS]
    short = BeautifulSoup(str(table), "html.parser").table
    assert short is not None
    for row in short.select("tr"):
        for place, cell in enumerate(_cells(row)):
            if place not in kept:
                cell.decompose()
    table.insert_before(short)
    details = _tag(soup, "details")
    details.append(_tag(soup, "summary", f"All {count} columns"))
    table.wrap(details)


def _reading(soup: BeautifulSoup, names: list[str], rows: list[Tag]) -> Tag:
    """The completions of a table as lists of lines, one list an arm, charged arms first."""
    records = [dict(zip(names, (cell.get_text() for cell in _cells(row)), strict=True)) for row in rows]
    block = _tag(soup, "div", class_="reading")
    arms = dict.fromkeys(record.get("arm", "") for record in records)
    for arm in sorted(arms, key=lambda arm: ARMS.index(arm) if arm in ARMS else len(ARMS)):
        lines = [record for record in records if record.get("arm", "") == arm]
        if arm:
            block.append(_tag(soup, "p", f"After {_ARTICLE.get(arm, f'{arm} context')}:", "arm"))
        block.append(_lines(soup, lines[:SHOWN]))
        if lines[SHOWN:]:
            details = _tag(soup, "details")
            details.append(_tag(soup, "summary", f"{len(lines) - SHOWN} more"))
            details.append(_lines(soup, lines[SHOWN:]))
            block.append(details)
    return block


_ARTICLE = {
    "negative": "a negative context",
    "positive": "a positive context",
    "neutral": "a neutral context",
    "placebo": "a placebo context, neutral as well",
    "none": "no context at all",
}


def _lines(soup: BeautifulSoup, records: list[dict[str, str]]) -> Tag:
    block = _tag(soup, "ul")
    for record in records:
        line = _tag(soup, "li")
        for name, kind in zip(READING, ("em", "span", "strong"), strict=True):
            if record[name] not in _EMPTY:
                line.append(_marked(soup, record[name], kind))
                line.append(" ")
        rest = {name: text for name, text in record.items() if name not in (*READING, "arm")}
        line.append(_tag(soup, "span", " · ".join(filter(None, map(_value, rest.items()))), "values"))
        block.append(line)
    return block


def _value(item: tuple[str, str]) -> str:
    """A value that stands below a line; "" for what goes without saying."""
    name, text = item
    if text in (*_EMPTY, "False", "answered"):
        return ""
    return name if text == "True" else f"{name} {text}"


def _marked(soup: BeautifulSoup, text: str, kind: str) -> Tag:
    """A text in which the words that VADER's lexicon rates beyond MARKED are marked, with their sign."""
    tag, end = _tag(soup, kind), 0
    for match in _WORD.finditer(text):
        rating = vader.lexicon().get(match[0].lower().replace("’", "'"), 0.0)
        if abs(rating) >= MARKED:
            tag.append(text[end : match.start()])
            tag.append(_tag(soup, "mark", match[0], "positive" if rating > 0 else "negative"))
            end = match.end()
    tag.append(text[end:])
    return tag
