"""Stems and contexts of the user's own, from CSV files of the form of lib/data/stems.csv and
lib/data/contexts.csv.

`dataset.stems_file` takes the place of the curated stems, `dataset.contexts_file` that of the curated
contexts; so ids may be those of curated rows. The lint reads both before a run. What spoils the measurement
stops it, with file and line (ERRORS); what may be right is a warning. What is asked of the curated set as a
whole (equal cells of the design, names of ids) is not asked.

A file may set rows apart as `held_out` in a column `part`, as the curated ones do: `dataset.part` says which
part a run takes.

A stem and a match that lib.dataset.relatedness finds related never meet, as in the curated set. What was
judged by hand for a curated domain holds for own stems of that domain with curated contexts. `python -m
lib.dataset.own_sentences SET` prints all findings.
"""

import sys
from collections.abc import Iterator

import pandas as pd
import pandera.errors

from lib.config import params, specs
from lib.config.sections import Dataset
from lib.config.specs import ParameterError, nearest
from lib.dataset import assignment, curated_prompts, lint, relatedness, wording
from lib.dataset.wording import Finding
from lib.nlp import similarity
from lib.runtime import command_line
from lib.storage import delimited

ERRORS = (
    "encoding",
    "schema",
    "placeholder",
    "pairing",
    "emotion",
    "sentiment",
    "polarity",
    "literal senses",
    "duplicate",
    "pronoun",
    "ending",
)
SCHEMAS = {"stems": curated_prompts.STEMS, "contexts": curated_prompts.CONTEXTS}
LEAST = {"stems": 2, "contexts": 4}  # one stem has no interval; a match has four contexts
SHOWN = 2  # errors that stop a run are shown up to this many
_FORMS = {  # of a column: what the schema asks of its cells
    "stem": "end it in a letter or digit, without space or mark",
    "match_id": "write m and a number, as m01",
    "literal_senses": "join the words by semicolons, without spaces",
    "text": "begin it with {Subject} and a space, end it with a full stop",
}


def files(run: Dataset) -> dict[str, str]:
    """'stems' and 'contexts' -> the file that the set names for it."""
    named = {"stems": run.stems_file, "contexts": run.contexts_file}
    return {name: path for name, path in named.items() if path is not None}


def read(run: Dataset) -> curated_prompts.Sentences:
    """The sentences of a run: own ones where it names files, else curated ones, and the pairs that must not
    meet.

    A curated stem that is related to every own match is left out; an own one raises ParameterError, as does
    what `check` finds.
    """
    own, _ = check(run)
    curated = curated_prompts.shipped(part=run.part)
    if not own:
        return curated
    stems, contexts = own.get("stems", curated.stems), own.get("contexts", curated.contexts)
    by_hand = curated.exclusions
    by_hand = by_hand[by_hand["scope"].isin(stems["domain"]) & ("contexts" not in own)]
    found = relatedness.related(stems, contexts, similarity.embed)
    exclusions = (
        pd.concat([by_hand, relatedness.missing_exclusions(found, stems, by_hand)], ignore_index=True)
        if len(found)
        else by_hand
    )
    allowed = assignment.allowed(stems, sorted(contexts["match_id"].unique()), exclusions)
    alone = allowed.index[~allowed.any(axis=1)]
    if len(alone) and ("stems" in own or len(alone) == len(stems)):
        example = (
            exclusions.loc[exclusions["scope"] == alone[0], "reason"].head(1).str.split(";").str[0].tolist()
        )
        raise ParameterError(
            f"dataset: {len(alone)} of {len(stems)} stems are related to every match: {alone[0]} "
            f"({', '.join([*example, '…'])})\n"
            "reword it, or give contexts that share no word with it and speak of something else"
        )
    return curated_prompts.Sentences(
        stems[~stems["stem_id"].isin(alone)].reset_index(drop=True), contexts, exclusions
    )


def check(run: Dataset) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """The own tables of a set by name, of its part, and the lint's warnings of all parts (columns: file, and
    those of Finding).

    ParameterError, on three lines at most, for a file that cannot be read, for what ERRORS names, and for
    files, own or curated, that hold too little of the set's part.
    """
    tables = {name: _table(name, path) for name, path in files(run).items()}
    found = findings(run, tables)
    errors = found[found["check"].isin(ERRORS)]
    if len(errors):
        shown = [line(row) for row in errors.head(SHOWN).itertuples()]
        if len(errors) > SHOWN:
            shown.append(
                f"and {len(errors) - SHOWN} more; python -m lib.dataset.own_sentences {run.set_name} "
                "prints them all"
            )
        raise ParameterError("\n".join(shown))
    return _of_part(run, tables), found


def _of_part(run: Dataset, tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Own tables, of the run's part alone; ParameterError where they, or the curated ones beside them, hold
    too little of it."""
    if run.mining or run.published_prompts:
        return tables
    curated = curated_prompts.shipped(part=run.part)._asdict()
    taken = {
        name: curated_prompts.of_part(tables[name], run.part) if name in tables else curated[name]
        for name in SCHEMAS
    }
    for name, table in taken.items():
        if len(table) < LEAST[name]:
            file = files(run).get(name, f"lib/data/{name}.csv")
            raise ParameterError(
                f"dataset.part: {run.part!r}: {file} holds {len(table)} such {name}, of the {LEAST[name]} "
                "needed at least\n"
                f"mark rows of it with {run.part} in a column part, or set dataset.part otherwise "
                f"({', '.join(specs.PARTS)})"
            )
    return {name: taken[name] for name in tables}


def findings(run: Dataset, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """All that the lint finds in own tables indexed by line, as rows: file, and the columns of Finding;
    errors first."""
    found = [(path, *each) for name, path in files(run).items() for each in _CHECKS[name](tables[name])]
    table = pd.DataFrame(found, columns=["file", *Finding._fields])
    return table.sort_values(
        "check", key=lambda checks: ~checks.isin(ERRORS), kind="stable", ignore_index=True
    )


def line(row) -> str:
    """A row of `findings` as people read it."""
    return f"{row.file} {row.place}: {row.value}: {row.reason}; {row.remedy}"


def summary(run: Dataset, sentences: curated_prompts.Sentences, warnings: pd.DataFrame) -> str:
    """Where the stems and contexts are from, how many there are, and of how much the lint warns."""
    of = files(run)
    said = [
        f"{len(table)} {name}, {'from `' + of[name] + '`' if name in of else 'curated'}"
        for name, table in zip(SCHEMAS, sentences, strict=False)
    ]
    for place, name in enumerate(SCHEMAS):
        own = _table(name, of[name]) if name in of else ()
        if apart := len(own) and len(own) - len(curated_prompts.of_part(own, run.part)):
            said[place] += f" ({apart} more are not of the part {run.part} and left out)"
    count = f"{len(warnings)} warning{'s' * (len(warnings) != 1)}"
    if "stems" not in of and (
        left_out := len(curated_prompts.shipped(part=run.part).stems) - len(sentences.stems)
    ):
        said[0] += f" ({left_out} more are related to every match and left out)"
    return (
        f"Own sentences: {'; '.join(said)}. The lint found no error and has "
        f"{count}{', below' * (len(warnings) > 0)}."
    )


def _table(name: str, path: str) -> pd.DataFrame:
    """A file as a table of text with the columns of its schema, indexed by line; ParameterError if it is no
    such file."""
    place, known, file = f"dataset.{name}_file: {path}", list(SCHEMAS[name].columns), specs.ROOT / path
    needed = [column for column in known if SCHEMAS[name].columns[column].required]
    if not file.is_file():
        raise ParameterError(
            f"{place}: no such file: {file.resolve()}; paths are relative to the project's folder"
        )
    if file.suffix.lower() not in (".csv", ".tsv"):
        raise ParameterError(
            f"{place}: {file.suffix!r} is neither .csv nor .tsv; save the table as CSV (in Excel: 'CSV "
            "UTF-8')"
        )
    try:
        table = delimited.read(file, [(column,) for column in needed])
    except (ValueError, OSError) as error:
        raise ParameterError(f"{place}: cannot be read: {error}") from None
    table.columns = [str(column).strip() for column in table.columns]
    table = table.loc[:, [bool(column) or table[""].ne("").any(axis=None) for column in table.columns]]
    if missing := [column for column in needed if column not in table]:
        raise ParameterError(
            f"{place}: no column {missing[0]!r}{nearest(missing[0], table.columns)}; its columns must be "
            f"{', '.join(needed)}"
        )
    if strange := [column for column in table.columns if column not in known]:
        raise ParameterError(
            f"{place}: unknown column {strange[0]!r}; take it out (known: {', '.join(known)})"
        )
    if twice := table.columns[table.columns.duplicated()].tolist():
        raise ParameterError(f"{place}: two columns are called {twice[0]!r}; take one out")
    if len(table) < LEAST[name]:
        raise ParameterError(
            f"{place}: holds {len(table)} of the {LEAST[name]} {name} that it needs at least; add some"
        )
    return table[[column for column in known if column in table]].astype(str)


def _stems(table: pd.DataFrame) -> Iterator[Finding]:
    """What is found in own stems."""
    labelled = table.assign(stem_id=_labels(table["stem_id"]))
    yield from wording.encoding(labelled, "stem_id")
    refused = list(_cells("stems", table))
    yield from refused
    for number, stem_id in table["stem_id"].items():
        if stem_id in set(table["domain"]):
            yield Finding(
                "schema",
                f"line {number} ({stem_id})",
                stem_id,
                "is also a domain's name",
                "call the stem otherwise",
            )
    if refused:  # what follows reads whole tables
        return
    none = curated_prompts.read_contexts().iloc[:0]
    yield from wording.residual_sentiment(labelled, none)
    yield from wording.stem_agreement(labelled)
    yield from wording.duplicates(labelled, none)
    yield from (found._replace(check="name") for found in wording.names(labelled))
    yield from wording.articles(labelled["stem_id"], labelled["stem"])
    yield from wording.lengths(labelled, none)


def _contexts(table: pd.DataFrame) -> Iterator[Finding]:
    """What is found in own contexts."""
    lines = table.groupby("match_id")["match_id"].transform(
        lambda match: f"lines {', '.join(map(str, match.index))} ({match.iloc[0]})"
    )
    labelled = table.assign(context_id=_labels(table["context_id"]), match_id=lines)
    yield from wording.encoding(labelled[[name for name in labelled if name != "match_id"]], "context_id")
    agreement = list(wording.template_agreement(labelled))
    misplaced = {found.place for found in agreement if found.check == "placeholder"}
    yield from agreement
    refused = [
        found for found in _cells("contexts", table) if found.place.removesuffix(", text") not in misplaced
    ]
    yield from refused
    if refused or misplaced:
        return
    yield from lint.pairing(labelled)
    yield from _emotions(labelled)
    none = curated_prompts.read_stems().iloc[:0]
    yield from wording.residual_sentiment(none, labelled)
    yield from lint.strength(labelled)
    yield from lint.literal_senses(labelled)
    yield from wording.duplicates(none, labelled)
    yield from wording.articles(labelled["context_id"], labelled["text"])
    yield from wording.lengths(none, labelled)


_CHECKS = {"stems": _stems, "contexts": _contexts}


def _labels(ids: pd.Series) -> list[str]:
    """How a row is named: its line, and its id."""
    return [f"line {number} ({name})" for number, name in ids.items()]


def _cells(name: str, table: pd.DataFrame) -> Iterator[Finding]:
    """Cells that the schema refuses, with what it allows."""
    try:
        SCHEMAS[name].validate(table, lazy=True)
        return
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    cases = (
        cases[cases["schema_context"] == "Column"]
        .drop_duplicates(["column", "index"])
        .sort_values("index", kind="stable")
    )
    for case in cases.itertuples():
        column, value, number = SCHEMAS[name].columns[case.column], str(case.failure_case), int(case.index)
        place = f"line {number} ({table.iloc[:, 0].loc[number]}), {case.column}"
        allowed = column.checks[0].statistics.get("allowed_values") if column.checks else None
        if case.check == "field_uniqueness":
            others = [str(other) for other in table.index[table[case.column] == value] if other != number]
            if number > int(others[0]):
                yield Finding(
                    "schema",
                    place,
                    repr(value),
                    f"stands in line {others[0]} too",
                    "let each row have its own",
                )
        elif allowed:
            remedy = nearest(value, allowed).removeprefix("; ") or "give one of them"
            known = ", ".join(one or "''" for one in allowed)
            yield Finding("schema", place, repr(value), f"is not one of {known}", remedy)
        elif not value:
            yield Finding("schema", place, repr(value), "is empty", "fill it in")
        else:
            yield Finding(
                "schema", place, repr(value), "has not the form that is asked for", _FORMS[case.column]
            )


def _emotions(contexts: pd.DataFrame) -> Iterator[Finding]:
    """Emotions that are not of their arm's polarity."""
    for row in contexts.itertuples():
        fitting = curated_prompts.EMOTIONS.get(row.arm, ("none",))
        if row.emotion not in fitting:
            yield Finding(
                "emotion",
                row.context_id,
                row.emotion,
                f"is no emotion of a {row.arm} context",
                f"give {' or '.join(fitting)}",
            )


def main(set_name: str) -> int:
    """Print all that the lint finds in the files that a set names; 1 if any of it stops a run."""
    return command_line.exit_code(lambda: _lint(set_name))


def _lint(set_name: str) -> int:
    run = params.dataset(set_name)
    found = findings(run, {name: _table(name, path) for name, path in files(run).items()})
    errors = found["check"].isin(ERRORS)
    for row, wrong in zip(found.itertuples(), errors, strict=True):
        print(f"{'error' if wrong else 'warning'}: {line(row)}")
    print(
        f"{', '.join(files(run).values()) or 'no file of your own'}: {errors.sum()} errors, "
        f"{(~errors).sum()} warnings"
    )
    return int(errors.any())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "embedded"))
