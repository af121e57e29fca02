"""Exchange labels with other tools: plain CSV, and the JSON of Label Studio.

What is exported and imported again is equal.

`python -m lib.annotation.exchange export SET [FILE]` writes a new file. A .json file is for Label Studio: it
holds the texts to label and the labels that exist, and the labelling form is written next to it as .xml. A
.csv file is a table of the labels alone. FILE is outputs/SET/annotation/label_studio.json by default. No
existing file is replaced.

`python -m lib.annotation.exchange import SET FILE` reads such a file, or an export of Label Studio with the
format JSON, into outputs/SET/annotation/labels/, one file per annotator. Labels that exist already stay as
they are.

Only the final label of each annotator and item is exchanged. The history of changes stays in the files of the
annotators.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from lib.annotation import label_rows, labelling
from lib.annotation.label_studio import LABEL_CONFIG, from_label_studio, to_label_studio
from lib.annotation.labelling import COLUMNS, LABELS
from lib.config.specs import nearest
from lib.runtime import command_line
from lib.runtime.errors import DataError
from lib.storage import records, tables


def to_csv(labels: pd.DataFrame, path: Path) -> None:
    """Write labels as CSV, one row per label: annotator, item_id, LABELS, seconds, time."""
    records.write_text(path, labels[[name for name in COLUMNS if name != "complete"]].to_csv(index=False))


def from_csv(
    path: Path, annotators: dict[str, str] | None = None, items: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Read the labels of a CSV file in the form of `labelling.read_labels`.

    The columns `seconds`, `time` and `note` may be absent.

    Args:
        path: CSV file.
        annotators: As in `from_label_studio`.
        items: As in `from_label_studio`.

    Raises:
        ValueError: If the file or a line is invalid; the message names the line and the problem.
    """
    needed = ("annotator", "item_id", "charge", "intensity", "called_for")
    try:
        table = tables.READERS[".csv"][1](path, [(name,) for name in needed])
    except ValueError as error:
        raise DataError(f"{path.name}: {error}") from None
    if "annotation_id" in table:
        raise DataError(
            f"{path.name}: is a CSV that Label Studio exported, which leaves out who labelled; export with "
            "the format JSON"
        )
    missing = set(needed) - set(table.columns)
    if missing:
        raise DataError(f"{path.name}: no column {', '.join(sorted(missing))}; the header must name them")
    if repeated := sorted(set(table.columns[table.columns.duplicated()]) & set(COLUMNS)):
        raise DataError(f"{path.name}: two columns are called {repeated[0]!r}; rename one")
    rows = []
    for line, record in zip(table.index, table.to_dict("records"), strict=True):
        location = f"{path.name}, line {line}"
        rows.append(
            label_rows.row(
                location,
                record | {"annotator": (annotators or {}).get(record["annotator"], record["annotator"])},
            )
        )
        label_rows.check_item(location, rows[-1]["item_id"], items)
    return label_rows.table(rows, path)


def export_labels(set_name: str, path: Path | None, emails: dict[str, str], blank: bool) -> str:
    """Write the items and labels of a set to a new file.

    Args:
        set_name: Name of the parameter set.
        path: File to write, .json or .csv; None takes label_studio.json in the annotation folder.
        emails: Accounts in Label Studio (annotator → e-mail).
        blank: Whether the labels are left out.

    Returns:
        A message that says what was written.

    Raises:
        ValueError: If the file exists already, or its suffix is unknown.
    """
    folder = labelling.folder(set_name)
    items, labels = labelling.read_items(folder), labelling.read_labels(folder)
    labels = labels[:0] if blank else labels
    path = path or folder / "label_studio.json"
    form_files = [path.with_suffix(".xml")] if _kind(path) == ".json" else []
    for file in (path, *form_files):
        if file.exists():
            raise DataError(
                f"{file}: is there already, and may hold labels; move it away or name another file"
            )
    if _kind(path) == ".csv":
        to_csv(labels, path)
        return f"{len(labels):,} labels by {labels['annotator'].nunique()} annotators: {path}"
    to_label_studio(items, labels, path, emails)
    records.write_text(form_files[0], LABEL_CONFIG)
    instructions = (
        f"In Label Studio: make a project, paste {form_files[0].name} as its labelling interface, "
        "import the tasks."
    )
    return f"{len(items):,} tasks with {len(labels):,} labels: {path}\n{instructions}"


def import_labels(set_name: str, path: Path, names: dict[str, str]) -> str:
    """Add the labels of a file to those of a set.

    Args:
        set_name: Name of the parameter set.
        path: File to read, .json or .csv.
        names: Names in the file (name in the file → annotator).

    Returns:
        A message that says what was added.

    Raises:
        ValueError: If the file or a label is invalid; it is raised before anything is written.
    """
    folder = labelling.folder(set_name)
    items = labelling.read_items(folder)
    if not path.is_file():
        raise DataError(f"{path}: no such file; export it first, or check the path")
    labels = {".csv": from_csv, ".json": from_label_studio}[_kind(path)](path, names, items)
    for name in labels["annotator"].unique():
        try:
            labelling.check_name(name, simulated=True)
        except ValueError as error:
            raise DataError(f"{path.name}: {error}: --names {name}=nickname") from None
    unchanged = _there_already(labels, labelling.read_labels(folder))
    labelling.write_labels(folder, labels[~labels["annotator"].isin(unchanged)])
    counts = labels["annotator"].value_counts().sort_index()
    lines = [
        f"{name}, labels: {count:,}{', there already, just the same' * (name in unchanged)}"
        for name, count in counts.items()
    ]
    return (
        "\n".join(lines or ["no labels in it"])
        + f"\nLabels are in {folder / 'labels'}; run the set again to count them."
    )


def _there_already(labels: pd.DataFrame, present: pd.DataFrame) -> set[str]:
    """Return the annotators with equal labels in both tables; the other tool may have changed the times."""
    by_annotator = [
        {name: rows[["item_id", *LABELS]].reset_index(drop=True) for name, rows in table.groupby("annotator")}
        for table in (labels, present)
    ]
    return {
        name
        for name, rows in by_annotator[0].items()
        if name in by_annotator[1] and rows.equals(by_annotator[1][name])
    }


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".json"):
        raise DataError(
            f"{path}: unknown suffix {suffix!r}{nearest(suffix, ('.csv', '.json'))}; give .json (Label "
            "Studio) or .csv"
        )
    return suffix


def _pair(text: str) -> tuple[str, str]:
    """Split `a=b` into (a, b)."""
    left, equals, right = text.rpartition("=")
    if not (left and equals and right):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form one=other")
    return left, right


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and exchange; return the exit code of `lib.runtime.command_line`."""
    parser = command_line.new_parser("lib.annotation.exchange", __doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    export_parser = commands.add_parser(
        "export", help="write the texts to label, and the labels, for Label Studio (.json) or as .csv"
    )
    export_parser.add_argument("set_name")
    export_parser.add_argument("file", nargs="?", type=Path)
    export_parser.add_argument(
        "--emails",
        nargs="+",
        type=_pair,
        default=[],
        help="annotator=e-mail of their account in Label Studio",
    )
    export_parser.add_argument(
        "--blank", action="store_true", help="without the labels, so that nobody sees another's"
    )
    import_parser = commands.add_parser("import", help="read labels from Label Studio's JSON or from a .csv")
    import_parser.add_argument("set_name")
    import_parser.add_argument("file", type=Path)
    import_parser.add_argument(
        "--names", nargs="+", type=_pair, default=[], help="what the file calls a person=annotator"
    )
    args = parser.parse_args(arguments)
    return command_line.exit_code(lambda: print(_exchange(args)))


def _exchange(options: argparse.Namespace) -> str:
    if options.command == "export":
        return export_labels(options.set_name, options.file, dict(options.emails), options.blank)
    return import_labels(options.set_name, options.file, dict(options.names))


if __name__ == "__main__":
    sys.exit(main())
