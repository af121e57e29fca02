"""Stems and contexts of the user, from CSV files in the format of lib/data/stems.csv and contexts.csv.

`dataset.stems_file` replaces the curated stems and `dataset.contexts_file` the curated contexts, so ids of
curated rows may be reused. The lint reads both files before a run. Findings that spoil the measurement stop
the run, with file and line (ERRORS); the others are warnings. Requirements on the curated set as a whole
(equal cells of the design, naming of ids) do not apply.

A file may mark rows as `held_out` in a column `part`, like the curated files; `dataset.part` says which part
a run takes.

A stem and a match that lib.dataset.relatedness finds related never meet, as in the curated set. Exclusions
judged by hand for a curated domain also apply to own stems of that domain with curated contexts. `python -m
lib.dataset.own_sentences SET` prints all findings.
"""

import sys
from collections.abc import Iterator

import pandas as pd
import pandera.errors

from lib.config import params, specs
from lib.config.sections import Dataset
from lib.config.specs import ParameterError, nearest
from lib.dataset import assignment, curated_prompts, halves, lint, relatedness, wording
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
LEAST = {"stems": 2, "contexts": 4}  # least rows: one stem gives no interval; a match has four contexts
SHOWN = 2  # number of errors that the message lists; the others are counted
_FORMS = {  # column: the remedy for a cell that the schema rejects
    "stem": "end it in a letter or digit, without space or mark",
    "match_id": "write m and a number, as m01",
    "literal_senses": "join the words by semicolons, without spaces",
    "text": "begin it with {Subject} and a space, end it with a full stop",
}


def files(run: Dataset) -> dict[str, str]:
    """The files that a set names, by table: 'stems' and 'contexts'."""
    named = {"stems": run.stems_file, "contexts": run.contexts_file}
    return {name: path for name, path in named.items() if path is not None}


def read(run: Dataset) -> curated_prompts.Sentences:
    """The sentences of a run: own ones where it names files, else curated ones, and the exclusions.

    Of the run's half, if it has one. A curated stem that is related to every match is left out.

    Args:
        run: The dataset section of a parameter set.

    Returns:
        Stems and contexts of the run's part, and the pairs that must not meet.

    Raises:
        ParameterError: If an own stem, or every stem, is related to every match, or for an error that `check`
            finds.
    """
    sentences = _whole(run)
    return halves.half(sentences, run.half) if run.half else sentences


def evaluated(prompts: pd.DataFrame, run: Dataset) -> pd.DataFrame:
    """The prompts of a run whose stem and match are both of the half `evaluated`.

    Args:
        prompts: The prompts.
        run: The dataset section of the parameter set.

    Raises:
        ParameterError: If there are none, or the run's sentences have no halves.
    """
    place = f"params/{run.set_name}.yaml: interventions"
    if run.mining or run.published_prompts:
        raise ParameterError(
            f"{place}: they are found on half of the sentences, and only curated or own sentences are "
            "halved; take dataset.mining or dataset.published_prompts out"
        )
    others = read(run.model_copy(update={"half": "evaluated"}))
    matches = curated_prompts.with_match(prompts)["match_id"]
    kept = prompts["stem_id"].isin(others.stems["stem_id"]) & matches.isin(others.contexts["match_id"])
    if not kept.any():
        raise ParameterError(
            f"{place}: none of its prompts is of the half that is evaluated; raise dataset.stems, or set "
            "dataset.half: evaluated"
        )
    return prompts[kept.to_numpy()].reset_index(drop=True)


def _whole(run: Dataset) -> curated_prompts.Sentences:
    """The sentences of both halves."""
    own, _ = check(run)
    curated = curated_prompts.shipped(part=run.part)
    if not own:
        return curated
    stems, contexts = own.get("stems", curated.stems), own.get("contexts", curated.contexts)
    by_hand = curated.exclusions
    by_hand = by_hand[by_hand["scope"].isin(stems["domain"]) & ("contexts" not in own)]
    related = relatedness.related(stems, contexts, similarity.embed)
    exclusions = (
        pd.concat([by_hand, relatedness.missing_exclusions(related, stems, by_hand)], ignore_index=True)
        if len(related)
        else by_hand
    )
    allowed = assignment.allowed(stems, sorted(contexts["match_id"].unique()), exclusions)
    unmatched = allowed.index[~allowed.any(axis=1)]
    if len(unmatched) and ("stems" in own or len(unmatched) == len(stems)):
        example = (
            exclusions.loc[exclusions["scope"] == unmatched[0], "reason"]
            .head(1)
            .str.split(";")
            .str[0]
            .tolist()
        )
        raise ParameterError(
            f"dataset: {len(unmatched)} of {len(stems)} stems are related to every match: {unmatched[0]} "
            f"({', '.join([*example, '…'])})\n"
            "reword it, or give contexts that share no word with it and speak of something else"
        )
    return curated_prompts.Sentences(
        stems[~stems["stem_id"].isin(unmatched)].reset_index(drop=True), contexts, exclusions
    )


def check(run: Dataset) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Read the own files of a set and check them.

    Args:
        run: The dataset section of a parameter set.

    Returns:
        The own tables by name ('stems', 'contexts'), with the rows of the set's part, and the lint's warnings
        for all parts (columns: file, and those of Finding).

    Raises:
        ParameterError: If a file cannot be read, the lint finds an error (ERRORS), or a file, own or curated,
            holds too few rows of the set's part. The message has at most three lines.
    """
    tables = {name: _table(name, path) for name, path in files(run).items()}
    table = findings(run, tables)
    errors = table[table["check"].isin(ERRORS)]
    if len(errors):
        lines = [line(row) for row in errors.head(SHOWN).itertuples()]
        if len(errors) > SHOWN:
            lines.append(
                f"and {len(errors) - SHOWN} more; python -m lib.dataset.own_sentences {run.set_name} "
                "prints them all"
            )
        raise ParameterError("\n".join(lines))
    return _of_part(run, tables), table


def _of_part(run: Dataset, tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The rows of the run's part in own tables; ParameterError if they or the curated tables hold too few."""
    if run.mining or run.published_prompts:
        return tables
    curated = curated_prompts.shipped(part=run.part)._asdict()
    selected = {
        name: curated_prompts.of_part(tables[name], run.part) if name in tables else curated[name]
        for name in SCHEMAS
    }
    for name, table in selected.items():
        if len(table) < LEAST[name]:
            file = files(run).get(name, f"lib/data/{name}.csv")
            raise ParameterError(
                f"dataset.part: {run.part!r}: {file} holds {len(table)} such {name}, of the {LEAST[name]} "
                "needed at least\n"
                f"mark rows of it with {run.part} in a column part, or set dataset.part otherwise "
                f"({', '.join(specs.PARTS)})"
            )
    return {name: selected[name] for name in tables}


def findings(run: Dataset, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """All findings of the lint in own tables.

    Args:
        run: The dataset section of a parameter set.
        tables: The own tables by name, each indexed by line.

    Returns:
        One row per finding: file, and the columns of Finding; errors first.
    """
    rows = [(path, *finding) for name, path in files(run).items() for finding in _CHECKS[name](tables[name])]
    table = pd.DataFrame(rows, columns=["file", *Finding._fields])
    return table.sort_values(
        "check", key=lambda checks: ~checks.isin(ERRORS), kind="stable", ignore_index=True
    )


def line(row) -> str:
    """One row of `findings` as a line of text."""
    return f"{row.file} {row.place}: {row.value}: {row.reason}; {row.remedy}"


def summary(run: Dataset, sentences: curated_prompts.Sentences, warnings: pd.DataFrame) -> str:
    """Where the stems and contexts come from, how many there are, and how many warnings the lint has."""
    paths = files(run)
    phrases = [
        f"{len(table)} {name}, {'from `' + paths[name] + '`' if name in paths else 'curated'}"
        for name, table in zip(SCHEMAS, sentences, strict=False)
    ]
    for index, name in enumerate(SCHEMAS):
        own = _table(name, paths[name]) if name in paths else ()
        if n_other_part := len(own) and len(own) - len(curated_prompts.of_part(own, run.part)):
            phrases[index] += f" ({n_other_part} more are not of the part {run.part} and left out)"
    count = f"{len(warnings)} warning{'s' * (len(warnings) != 1)}"
    if "stems" not in paths and (
        n_left_out := len(curated_prompts.shipped(part=run.part).stems) - len(sentences.stems)
    ):
        phrases[0] += f" ({n_left_out} more are related to every match and left out)"
    return (
        f"Own sentences: {'; '.join(phrases)}. The lint found no error and has "
        f"{count}{', below' * (len(warnings) > 0)}."
    )


def _table(name: str, path: str) -> pd.DataFrame:
    """A file as text with the columns of its schema, indexed by line; ParameterError if that fails."""
    location, known, file = f"dataset.{name}_file: {path}", list(SCHEMAS[name].columns), specs.ROOT / path
    required = [column for column in known if SCHEMAS[name].columns[column].required]
    if not file.is_file():
        raise ParameterError(
            f"{location}: no such file: {file.resolve()}; paths are relative to the project's folder"
        )
    if file.suffix.lower() not in (".csv", ".tsv"):
        raise ParameterError(
            f"{location}: {file.suffix!r} is neither .csv nor .tsv; save the table as CSV (in Excel: 'CSV "
            "UTF-8')"
        )
    try:
        table = delimited.read(file, [(column,) for column in required])
    except (ValueError, OSError) as error:
        raise ParameterError(f"{location}: cannot be read: {error}") from None
    table.columns = [str(column).strip() for column in table.columns]
    table = table.loc[:, [bool(column) or table[""].ne("").any(axis=None) for column in table.columns]]
    if missing := [column for column in required if column not in table]:
        raise ParameterError(
            f"{location}: no column {missing[0]!r}{nearest(missing[0], table.columns)}; its columns must be "
            f"{', '.join(required)}"
        )
    if unexpected := [column for column in table.columns if column not in known]:
        raise ParameterError(
            f"{location}: unknown column {unexpected[0]!r}; take it out (known: {', '.join(known)})"
        )
    if duplicated := table.columns[table.columns.duplicated()].tolist():
        raise ParameterError(f"{location}: two columns are called {duplicated[0]!r}; take one out")
    if len(table) < LEAST[name]:
        raise ParameterError(
            f"{location}: holds {len(table)} of the {LEAST[name]} {name} that it needs at least; add some"
        )
    return table[[column for column in known if column in table]].astype(str)


def _stems(table: pd.DataFrame) -> Iterator[Finding]:
    """Findings in own stems."""
    labelled = table.assign(stem_id=_labels(table["stem_id"]))
    yield from wording.encoding(labelled, "stem_id")
    rejected = list(_cells("stems", table))
    yield from rejected
    for number, stem_id in table["stem_id"].items():
        if stem_id in set(table["domain"]):
            yield Finding(
                "schema",
                f"line {number} ({stem_id})",
                stem_id,
                "is also a domain's name",
                "call the stem otherwise",
            )
    if rejected:  # the checks below need valid tables
        return
    no_contexts = curated_prompts.read_contexts().iloc[:0]
    yield from wording.residual_sentiment(labelled, no_contexts)
    yield from wording.stem_agreement(labelled)
    yield from wording.duplicates(labelled, no_contexts)
    yield from (finding._replace(check="name") for finding in wording.names(labelled))
    yield from wording.articles(labelled["stem_id"], labelled["stem"])
    yield from wording.lengths(labelled, no_contexts)


def _contexts(table: pd.DataFrame) -> Iterator[Finding]:
    """Findings in own contexts."""
    lines = table.groupby("match_id")["match_id"].transform(
        lambda match: f"lines {', '.join(map(str, match.index))} ({match.iloc[0]})"
    )
    labelled = table.assign(context_id=_labels(table["context_id"]), match_id=lines)
    yield from wording.encoding(labelled[[name for name in labelled if name != "match_id"]], "context_id")
    agreement = list(wording.template_agreement(labelled))
    misplaced = {finding.place for finding in agreement if finding.check == "placeholder"}
    yield from agreement
    rejected = [
        finding
        for finding in _cells("contexts", table)
        if finding.place.removesuffix(", text") not in misplaced
    ]
    yield from rejected
    if rejected or misplaced:
        return
    yield from lint.pairing(labelled)
    yield from _emotions(labelled)
    no_stems = curated_prompts.read_stems().iloc[:0]
    yield from wording.residual_sentiment(no_stems, labelled)
    yield from lint.strength(labelled)
    yield from lint.literal_senses(labelled)
    yield from wording.duplicates(no_stems, labelled)
    yield from wording.articles(labelled["context_id"], labelled["text"])
    yield from wording.lengths(no_stems, labelled)


_CHECKS = {"stems": _stems, "contexts": _contexts}


def _labels(ids: pd.Series) -> list[str]:
    """Labels of rows: line number and id."""
    return [f"line {number} ({name})" for number, name in ids.items()]


def _cells(name: str, table: pd.DataFrame) -> Iterator[Finding]:
    """Cells that the schema rejects, each with what the schema allows."""
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
    """Emotions that do not belong to their arm's polarity."""
    for row in contexts.itertuples():
        allowed = curated_prompts.EMOTIONS.get(row.arm, ("none",))
        if row.emotion not in allowed:
            yield Finding(
                "emotion",
                row.context_id,
                row.emotion,
                f"is no emotion of a {row.arm} context",
                f"give {' or '.join(allowed)}",
            )


def main(set_name: str) -> int:
    """Print all findings of the lint in the files that a set names; return 1 if any of them stops a run."""
    return command_line.exit_code(lambda: _lint(set_name))


def _lint(set_name: str) -> int:
    run = params.dataset(set_name)
    table = findings(run, {name: _table(name, path) for name, path in files(run).items()})
    errors = table["check"].isin(ERRORS)
    for row, is_error in zip(table.itertuples(), errors, strict=True):
        print(f"{'error' if is_error else 'warning'}: {line(row)}")
    print(
        f"{', '.join(files(run).values()) or 'no file of your own'}: {errors.sum()} errors, "
        f"{(~errors).sum()} warnings"
    )
    return int(errors.any())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "embedded"))
