"""Verify what a run shows: headline.csv, headline.md, claims.svg, card.json, card.md and pairs.json.gz."""

import json

import pandas as pd

from lib.analysis import leakage
from lib.claims import rules
from lib.config import params
from lib.config.specs import JUDGE_SCHEMA, NO_MITIGATION
from lib.judging import judges
from lib.nlp import vader
from lib.report import card, finished, pairs, reports, results
from lib.report.differences import Check, Difference, is_equal, of_drawings, of_texts, of_values, skipped
from lib.report.verify_tables import NO_TABLES
from lib.storage import records

_ROUNDED = 1e-4  # of a value of pairs.json.gz, which has four decimals
_LEAKS, _ESTIMATE = ("verdict", "reason", "as_judged"), ("estimate", "ci_low", "ci_high", "n")
_OF_CARD = "all other numbers of card.json"


def checks(set_name: str) -> list[Check]:
    """Make what a run shows again: from its tables or, where there are none, from its other files."""
    has_tables = (records.run_folder(set_name) / "claims").exists()
    if has_tables:
        board = reports.board(set_name)
        made, source = finished.texts(set_name), f"the {len(board)} rows of the tables"
    else:
        kept = reports.kept_board(set_name)
        made = finished.shown(kept, reports.banner(params.load(set_name)), rules.board_kind(set_name))
        source = f"the {len(kept)} rows of headline.csv"
    found = [_shown(set_name, name, text, source) for name, text in made.items()]
    if not has_tables:
        found.append(skipped("headline.csv against the claims of the notebooks", NO_TABLES))
    return found + _card(set_name, has_tables) + _pairs(set_name, has_tables)


def _remedy(set_name: str) -> str:
    return f"make reproduce SET={set_name}"


def _shown(set_name: str, name: str, made: str, source: str) -> Check:
    path, file = records.run_folder(set_name) / name, f"outputs/{set_name}/{name}"
    if not path.exists():
        return Check(name, 0, "", (Difference(file, "", "missing", "a file", _remedy(set_name)),))
    compare = of_drawings if path.suffix == ".svg" else of_texts
    differences = compare(file, path.read_text(encoding="utf-8"), made, _remedy(set_name))
    unit = "coordinates" if path.suffix == ".svg" else "lines"
    count = made.count(".") if path.suffix == ".svg" else len(made.splitlines())
    return Check(f"{name} against {source}", count, unit, tuple(differences))


def _card(set_name: str, has_tables: bool) -> list[Check]:
    stored, file = card.read(set_name), f"outputs/{set_name}/card.json"
    if stored is None:
        return [skipped("card.json", "this run has none, or it is not in the repository")]
    markdown = records.run_folder(set_name) / "card.md"
    text = markdown.read_text(encoding="utf-8") if markdown.exists() else ""
    differences = of_texts(f"outputs/{set_name}/card.md", text, card.markdown(stored), _remedy(set_name))
    found = [Check("card.md against card.json", len(text.splitlines()), "lines", tuple(differences))]
    if has_tables:
        made = json.loads(json.dumps(results.of_run(set_name)))
        differences = of_values(file, stored, made, _remedy(set_name))
        return [*found, Check("card.json against the tables", _count(made), "values", tuple(differences))]
    return [*found, _card_beside_board(set_name, file, stored), skipped(_OF_CARD, NO_TABLES)]


def _card_beside_board(set_name: str, file: str, stored: dict) -> Check:
    """Compare what a card says of C0 with headline.csv."""
    board = reports.kept_board(set_name).query("claim == 'C0'").set_index("model")
    said, expected = {}, {name: _plain(row) for name, row in board.iterrows()}
    for model in stored["models"]:
        both = _of_both(model)
        said[model["name"]] = {name: model["leaks"][name] for name in _LEAKS} | {
            name: both[name] for name in _ESTIMATE
        }
    differences = of_values(file, said, expected, _remedy(set_name))
    return Check("C0 in card.json against headline.csv", _count(expected), "values", tuple(differences))


def _plain(row: pd.Series) -> dict:
    return {name: row[name] for name in _LEAKS} | {name: round(float(row[name]), 6) for name in _ESTIMATE}


def _of_both(model: dict) -> dict:
    """The mean shift of a model over both polarities, as its card has it."""
    rows = model["quantities"]
    return next(row for row in rows if (row["arm"], row["quantity"]) == ("both", leakage.PRIMARY))


def _count(value) -> int:
    """The number of plain values in a value as JSON holds it."""
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list) else 1


def _pairs(set_name: str, has_tables: bool) -> list[Check]:
    stored, file = pairs.load(set_name), f"outputs/{set_name}/{pairs.FILE}"
    if stored is None:
        return [skipped(pairs.FILE, "there is none: `make site` writes it")]
    if has_tables:
        made = pairs.to_json(set_name)
        differences = of_values(file, stored, made, f"make site SETS={set_name}")
        return [Check(f"{pairs.FILE} against the judgements", _count(made), "values", tuple(differences))]
    table = _table(stored)
    return [
        _valences(set_name, file, table),
        _quantities(set_name, file, table),
        _shifts(set_name, file, table),
    ]


def _table(stored: dict) -> pd.DataFrame:
    """The pairs of pairs.json.gz as a table, with texts in place of their codes."""
    columns, strings = stored["columns"], stored["strings"]
    texts = {
        name: [None if code is None else strings[code] for code in columns[name]] for name in pairs.TEXTS
    }
    numbers = {name: pd.array(columns[name], "Float64").astype(float) for name in pairs.NUMBERS}
    return pd.DataFrame(texts | numbers)


def _compared(file: str, table: pd.DataFrame, made: dict, remedy: str, tolerance: float) -> list[Difference]:
    """The pairs whose columns differ from what was computed again."""
    return [
        Difference(file, f"pair {number}, {name}", old, new, remedy)
        for name, values in made.items()
        for number, (old, new) in enumerate(zip(table[name], values, strict=True), start=1)
        if not is_equal(old, new, tolerance)
    ]


def _valences(set_name: str, file: str, table: pd.DataFrame) -> Check:
    """Judge every completion of the pairs again, by the judge of the run and by VADER."""
    judge = JUDGE_SCHEMA.validate_python(params.load(set_name).judging["judge"])
    what = f"verdicts of {judge.name} and VADER in {pairs.FILE} against the completions there"
    if judge.kind == "llm":
        return skipped(what, "a judge that is asked is not asked again")
    kinds = {"valence": "completion", "neutral_valence": "neutral_completion"}
    texts = pd.concat([table[name] for name in kinds.values()]).dropna().unique().tolist()
    by_judge = dict(zip(texts, judges.valences(judge, texts), strict=True))
    by_vader = dict(zip(texts, vader.valences(texts), strict=True))
    made = {name: table[text].map(by_judge) for name, text in kinds.items()}
    for name, text in (("vader", "completion"), ("neutral_vader", "neutral_completion")):
        made[name] = table[text].map(by_vader)
    differences = _compared(file, table, made, _remedy(set_name), _ROUNDED)
    return Check(what, 4 * len(table), "values", tuple(differences))


def _quantities(set_name: str, file: str, table: pd.DataFrame) -> Check:
    """Compute shift and net of every pair again from what stands beside them."""
    sign = table["arm"].map(leakage.DIRECTIONS)
    made = {
        "shift": sign * (table["valence"] - table["neutral_valence"]),
        "net": table["towards"] - table["away"],
    }
    differences = _compared(file, table, made, _remedy(set_name), 2 * _ROUNDED)
    what = f"shift and net of each pair in {pairs.FILE}"
    return Check(what, 2 * len(table), "values", tuple(differences))


def _shifts(set_name: str, file: str, table: pd.DataFrame) -> Check:
    """Compute the estimate of C0 and its n again from the completions of the pairs."""
    plain = table[table["mitigation"] == NO_MITIGATION]
    neutral = plain.drop_duplicates(["model", "group_id", "neutral_draw"])
    means = neutral.groupby(["model", "group_id"])["neutral_valence"].mean().rename("reference")
    both = plain.merge(means, left_on=["model", "group_id"], right_index=True)
    shift = both["arm"].map(leakage.DIRECTIONS) * (both["valence"] - both["reference"])
    board = reports.kept_board(set_name).query("claim == 'C0'").set_index("model")
    made = shift.groupby(both["model"]).agg(["mean", "count"]).reindex(board.index)
    differences = [
        Difference(f"outputs/{set_name}/headline.csv", f"C0, {name}, {column}", old, new, _remedy(set_name))
        for column, of_pairs, tolerance in (("estimate", "mean", 2 * _ROUNDED), ("n", "count", 0.0))
        for name, old, new in zip(board.index, board[column], made[of_pairs], strict=True)
        if not is_equal(float(old), float(new), tolerance)
    ]
    return Check(f"estimate and n of C0 against {pairs.FILE}", 2 * len(board), "values", tuple(differences))
