"""Published prompt tables of semantic leakage (Gonen et al. 2025; Smilga 2025), read from a file that the user has.

A row is a test prompt that mentions a concept ("He likes yellow. He works as a"); its control does not ("He works as a"). A table
has one of two shapes:

- pairs: each row has its control beside it, in the column `control`;
- one list: tests and controls are rows of one table, and `n_control` of a test is its control's place, counted from 0 below the
  header, as Smilga's published analysis takes it.

Completions, where there are any, stand in columns numbered behind a common beginning (`generation_1`, `generation_2`, …).

In our words a pair is a group. The control is its `neutral` arm, for it is the reference, though often a bare stem. The test is
its `negative` or `positive` arm if the concept has a polarity (column `polarity`; without one VADER's valence of the concept),
and otherwise its `concept` arm: it has no direction in which sentiment could leak, so it enters no quantity of sentiment. Groups
of one template (without such a column, of one control) are clustered together as one stem. These choices are ours.
"""

import re
import sys

import numpy as np
import pandas as pd
import pandera.pandas as pa

from lib import params, records, sections, semantic_leakage, sentences, specs, tables, vader
from lib.prompts import PROMPTS
from lib.specs import ParameterError, nearest

# our name of a column -> what published tables call it; `dataset.prior.columns` can name others
COLUMNS = {
    "prompt": ("prompt", "test_prompt"),
    "concept": ("concept",),
    "control": ("control", "control_prompt"),
    "n_control": ("n_control",),
    "is_control": ("is_control_item",),
    "polarity": ("polarity",),
    "template": ("template_id",),
    "category": ("category",),
    "generation": ("generation_",),  # how the columns of completions begin
    "control_generation": ("control_generation_",),  # of the control, in the shape of pairs
}
ARMS = ("neutral", "concept", "negative", "positive")
CHARGED = 0.2  # |valence| of a concept beyond which it has a polarity: VADER's own 0.05, stretched to the human scale
_BEGINNINGS = {"generation": "replies", "control_generation": "control_replies"}
_NOTHING, _YES = {"", "none", "nan", "null"}, {"true", "yes", "1"}
SCHEMA = pa.DataFrameSchema(
    {**{name: pa.Column(str) for name in PROMPTS.columns}, "arm": pa.Column(str, pa.Check.isin(ARMS))},
    strict=True,
    unique=["prompt_id"],
    checks=pa.Check(
        lambda table: table.groupby("group_id")["arm"].agg(lambda arms: len(arms) == 2 and "neutral" in set(arms)).all(),
        error="a group is not a control and a test",
    ),
)


def read(prior: sections.Prior) -> tuple[pd.DataFrame, dict[str, list]]:
    """The pairs of a published table, and its defects: what is wrong -> the lines or rows it concerns.

    Columns of the pairs: row (as people count it in the file), concept, arm, stem_id, domain, prompt, control, replies,
    control_replies (lists of text, None where a cell is empty). A test without control is left out and counted among the defects;
    what cannot be told (no prompt, no concept, a place that is none) raises ParameterError with its rows.
    """
    file, unit = _file(prior)
    cells = _under_our_names(file, prior)
    defects: dict[str, list] = {}
    pairs = cells if "control" in cells else _with_controls(cells, unit, prior)
    has_control = pairs["control"].notna()
    defects["tests without a control, left out"] = pairs["row"][~has_control & ~pairs["is_control"]].tolist()
    defects["controls that no test uses"] = pairs["row"][~has_control & pairs["is_control"] & ~pairs["used"]].tolist()
    pairs = pairs[has_control].reset_index(drop=True)
    for name in ("prompt", "concept"):
        _refuse(pairs["row"][pairs[name].isna()], f"without a {name}", "supply it or take the row out", unit, prior)
    pairs["arm"] = _arms(pairs, unit, prior)
    pairs["stem_id"] = pairs["control"].where(pairs["template"].isna(), "template " + pairs["template"].astype(str))
    pairs["domain"] = pairs["category"].fillna("published")
    wanted = ["row", "concept", "arm", "stem_id", "domain", "prompt", "control", "replies", "control_replies"]
    return pairs[wanted], defects | _defects(pairs)


def build(prior: sections.Prior) -> pd.DataFrame:
    """The prompts of a published table with the columns of PROMPTS: two rows a group, arms as in ARMS."""
    pairs, _ = read(prior)
    test = pairs.assign(text=pairs["prompt"], context_id=pairs["concept"])
    control = pairs.assign(text=pairs["control"], context_id="", arm="neutral")
    table = pd.concat([control, test], ignore_index=True).sort_values("row", kind="stable", ignore_index=True)
    table["group_id"] = "row " + table["row"].astype(str)
    table["prompt_id"] = table["group_id"] + "/" + table["arm"]
    table[["context", "stem"]] = [split(text) for text in table["text"]]
    labels = dict.fromkeys(["slot", "pronoun", "emotion", "intensity"], "unknown") | {"form": "published", "literal_senses": ""}
    return SCHEMA.validate(table.assign(**labels)[list(PROMPTS.columns)])


def completions(prior: sections.Prior) -> pd.DataFrame:
    """The completions that a published table holds, as lib/imported.py reads them: prompt_id, sample_index, completion."""
    pairs, _ = read(prior)
    rows = [
        (f"row {pair.row}/{arm}", index, text)
        for pair in pairs.itertuples()
        for arm, replies in (("neutral", pair.control_replies), (pair.arm, pair.replies))
        for index, text in enumerate(replies)
        if text is not None
    ]
    return pd.DataFrame(rows, columns=["prompt_id", "sample_index", "completion"])


def samples(made: pd.DataFrame) -> int:
    """How many completions every prompt of `completions` has: the most that a set may ask for."""
    return int(made.groupby("prompt_id").size().min()) if len(made) else 0


def split(prompt: str) -> tuple[str, str]:
    """The sentences before the last one, and the last one: what counts as context and as stem."""
    before, rest = [], prompt
    while (first := sentences.first_sentence(rest)) != rest:
        before.append(first)
        rest = rest[len(first) :].strip()
    return " ".join(before), rest


def report(defects: dict[str, list]) -> pd.DataFrame:
    """The defects as people read them: defect, count, where (the first rows)."""
    rows = [(name, len(places), tables.some(places, len(places))) for name, places in defects.items() if places]
    return pd.DataFrame(rows, columns=["defect", "count", "where"])


def _file(prior: sections.Prior) -> tuple[pd.DataFrame, str]:
    """The file as it is, indexed by line or row as people count them, and which of the two that is."""
    path = specs.ROOT / prior.path
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ParameterError(f"prior {prior.path}: no such file: {path.resolve()}")
    if suffix not in tables.READERS:
        raise ParameterError(f"prior {prior.path}: unknown suffix {suffix!r}{nearest(suffix, tables.READERS)}; "
                             f"give {', '.join(tables.READERS)}")  # fmt: skip
    unit, reader = tables.READERS[suffix]
    try:
        file = reader(path, _needed(prior))
    except Exception as error:  # every reader has its own
        raise ParameterError(f"prior {prior.path}: cannot be read: {' '.join(str(error).split())[:300]}") from None
    return file.set_axis([str(name) for name in file.columns], axis=1), unit


def _needed(prior: sections.Prior) -> tables.Needed:
    """The columns that the file must have, under its names; how columns of completions begin is no name."""
    usual = [(prior.columns[ours],) if ours in prior.columns else COLUMNS[ours] for ours in ("prompt", "concept")]
    return [*usual, *((name,) for ours, name in prior.columns.items() if ours not in _BEGINNINGS)]


def _under_our_names(file: pd.DataFrame, prior: sections.Prior) -> pd.DataFrame:
    """The columns of COLUMNS as text, None where a cell or a column is empty, and `row`, `replies`, `control_replies`."""
    cells = pd.DataFrame({"row": file.index}, dtype=object)
    for ours, usual in COLUMNS.items():
        if ours not in _BEGINNINGS:
            name = _column(ours, usual, list(file.columns), prior)
            cells[ours] = [None] * len(file) if name is None else [_one_line(tables.text(cell)) for cell in file[name]]
        else:
            begins = prior.columns.get(ours, usual[0])
            numbered = [name for name in file.columns if re.fullmatch(re.escape(begins) + r"\d+", name)]
            numbered.sort(key=lambda name, begins=begins: int(name.removeprefix(begins)))
            cells[_BEGINNINGS[ours]] = [
                [tables.text(cell) or None for cell in row] for row in file[numbered].to_numpy(dtype=object)
            ]
    cells["is_control"] = cells["is_control"].map(lambda cell: str(cell).casefold() in _YES)
    return cells.assign(used=False) if cells["control"].notna().any() else cells.drop(columns=["control", "control_replies"])


def _column(ours: str, usual: tuple[str, ...], there: list[str], prior: sections.Prior) -> str | None:
    """The file's name of a column; None if it is not there. ParameterError if one is asked for, or needed, and not there."""
    asked = (prior.columns[ours],) if ours in prior.columns else usual
    name = next((name for name in asked if name in there), None)
    by_control = any(name in there for key in ("control", "n_control") for name in (*COLUMNS[key], prior.columns.get(key)))
    if name is None and (ours in prior.columns or ours in ("prompt", "concept") or (ours == "n_control" and not by_control)):
        raise ParameterError(f"prior {prior.path}: no column {asked[0]!r} for {ours}{nearest(asked[0], there)}; name one in "
                             f"prior.columns\nthe file's columns: {', '.join(there[:20])}{' …' * (len(there) > 20)}")  # fmt: skip
    if name is not None and there.count(name) > 1:
        raise ParameterError(f"prior {prior.path}: two columns are called {name!r}; rename one")
    return name


def _with_controls(cells: pd.DataFrame, unit: str, prior: sections.Prior) -> pd.DataFrame:
    """`cells` of one list with control and control_replies, looked up by place; `used`: is the row a control of any."""
    given = cells["n_control"].map(lambda cell: None if str(cell).casefold() in _NOTHING else cell)
    whole = given.isna() | given.astype(str).str.fullmatch(r"\d+(\.0*)?")
    last = len(cells) - 1
    remedy = f"a control's place is counted from 0 (the first row below the header) to {last}"
    _refuse(cells["row"][~whole], f"with an n_control that is no whole number: {given[~whole].tolist()[:3]}", remedy, unit, prior)
    place = given.astype(float)
    beyond = place > last
    _refuse(cells["row"][beyond], f"with an n_control beyond the table: {given[beyond].tolist()[:3]}", remedy, unit, prior)
    of = [None if np.isnan(number) else int(number) for number in place]
    lost = pd.Series([number is not None and pd.isna(cells["prompt"].iloc[number]) for number in of])
    _refuse(cells["row"][lost], "whose control has no prompt", "supply it or take the row out", unit, prior)
    return cells.assign(
        control=[None if number is None else cells["prompt"].iloc[number] for number in of],
        control_replies=[[] if number is None else cells["replies"].iloc[number] for number in of],
        used=cells.index.isin([number for number in of if number is not None]),
        unmarked=[number is not None and cells["is_control"].any() and not cells["is_control"].iloc[number] for number in of],
    )


def _arms(pairs: pd.DataFrame, unit: str, prior: sections.Prior) -> list[str]:
    """The arm of each test, from its polarity or from its concept's valence."""
    polarity = pairs["polarity"].fillna("").str.casefold()
    strange = ~polarity.isin([*_NOTHING, "negative", "positive"])
    _refuse(pairs["row"][strange], f"with an unknown polarity: {polarity[strange].tolist()[:3]}",
            "give negative, positive, or nothing", unit, prior)  # fmt: skip
    if pairs["polarity"].notna().any():
        return polarity.where(polarity.isin(["negative", "positive"]), "concept").tolist()
    valence = vader.valences(pairs["concept"].tolist())
    return np.select([valence < -CHARGED, valence > CHARGED], ["negative", "positive"], "concept").tolist()


def _defects(pairs: pd.DataFrame) -> dict[str, list]:
    """What is counted and kept."""
    counts = [[sum(text is not None for text in replies) for replies in pairs[name]] for name in ("replies", "control_replies")]
    fullest = max((*counts[0], *counts[1]), default=0)
    uneven = [test != control for test, control in zip(*counts, strict=True)]
    fewer = [min(both) < fullest for both in zip(*counts, strict=True)]
    stems = [split(row.prompt)[1] != split(row.control)[1] for row in pairs.itertuples()]
    repeats = [row.row for row in pairs.itertuples() for text in row.replies if text and _mentions(text, row.concept)]
    wrong = {
        "tests that repeat another's prompt and concept": pairs.duplicated(["prompt", "concept"]),
        "pairs whose last sentences differ": stems,
        "controls that are not marked as such": pairs.get("unmarked", [False] * len(pairs)),
        "pairs whose test and control differ in number of completions": uneven,
        f"pairs with fewer than {fullest} completions of test or control": fewer,
    }
    found = {name: pairs["row"][np.asarray(mask, dtype=bool)].tolist() for name, mask in wrong.items()}
    return found | {"completions of a test that repeat its concept": repeats}


def _mentions(text: str, concept: str) -> bool:
    return re.search(rf"\b{re.escape(concept.casefold())}\b", text.casefold()) is not None


def _one_line(text: str | None) -> str | None:
    """`text` with single spaces; None where nothing is left."""
    return " ".join(text.split()) or None if text is not None else None


def _refuse(rows: pd.Series, fault: str, remedy: str, unit: str, prior: sections.Prior) -> None:
    if len(rows):
        units = unit + "s" * (len(rows) > 1)
        shown = tables.some(rows.tolist(), len(rows))
        raise ParameterError(f"prior {prior.path}: {len(rows):,} {units} {fault}\n{units} {shown}; {remedy}")


def main(set_name: str) -> int:
    """Write the completions that the set's published table holds to outputs/<set_name>/published.parquet; tell its defects."""
    try:
        parameters = params.load(set_name)
        told = params.from_cell("01_dataset", params.cell_values(parameters, set_name, "01_dataset"))
        if told.prior is None:
            raise ParameterError(f"params/{set_name}.yaml: dataset.prior: is not given; name the published table there")
        pairs, defects = read(told.prior)
        made = completions(told.prior)
    except ParameterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{len(pairs)} pairs: {pairs['arm'].value_counts().to_dict()}\n{report(defects).to_string(index=False)}")
    if len(made):
        rates = semantic_leakage.published(pairs)
        print(f"Semantic leak rate (SentenceBERT), by template:\n{rates.round(2).to_string(index=False)}")
    print(f"Written: {records.write_table(set_name, 'published', made)}, {len(made)} completions; in the set:")
    print(f"  models: - table: {{path: outputs/{set_name}/published.parquet}}\n  generation: samples: {samples(made)} or fewer")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
