"""Labels to and from other tools: plain CSV, and the JSON of Label Studio. What is exported and imported
again is equal.

`python -m lib.annotation.exchange export SET [FILE]` writes the texts to label, with the labels that there
are, for Label Studio (.json, its labelling form beside it as .xml) or the labels alone as a table (.csv);
FILE is outputs/SET/annotation/label_studio.json unless given, and no file is replaced. `python -m
lib.annotation.exchange import SET FILE` reads such a file, or what Label Studio exports with the format JSON,
into outputs/SET/annotation/labels/, one file for each annotator; labels that are there already stay as they
are.

Exchanged is the label that counts of each annotator and item; the history of changes stays in the annotators'
own files.
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
from lib.storage import records, tables


def to_csv(labels: pd.DataFrame, path: Path) -> None:
    """One row a label: annotator, item_id, LABELS, seconds, time."""
    records.write_text(path, labels[[name for name in COLUMNS if name != "complete"]].to_csv(index=False))


def from_csv(
    path: Path, annotators: dict[str, str] | None = None, items: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The labels of a CSV as `labelling.read_labels` gives them; `seconds`, `time` and `note` may be absent.

    `annotators` and `items` as of `from_label_studio`. ValueError names the line and what is wrong with it.
    """
    needed = ("annotator", "item_id", "charge", "intensity", "called_for")
    try:
        table = tables.READERS[".csv"][1](path, [(name,) for name in needed])
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    if "annotation_id" in table:
        raise ValueError(
            f"{path.name}: is a CSV that Label Studio exported, which leaves out who labelled; export with "
            "the format JSON"
        )
    missing = set(needed) - set(table.columns)
    if missing:
        raise ValueError(f"{path.name}: no column {', '.join(sorted(missing))}; the header must name them")
    if repeated := sorted(set(table.columns[table.columns.duplicated()]) & set(COLUMNS)):
        raise ValueError(f"{path.name}: two columns are called {repeated[0]!r}; rename one")
    rows = []
    for line, record in zip(table.index, table.to_dict("records"), strict=True):
        place = f"{path.name}, line {line}"
        rows.append(
            label_rows.row(
                place,
                record | {"annotator": (annotators or {}).get(record["annotator"], record["annotator"])},
            )
        )
        label_rows.check_item(place, rows[-1]["item_id"], items)
    return label_rows.table(rows, path)


def export_labels(set_name: str, path: Path | None, emails: dict[str, str], blank: bool) -> str:
    """Write the items and labels of a set to a file that is not there yet; what was written, in words."""
    place = labelling.folder(set_name)
    items, labels = labelling.read_items(place), labelling.read_labels(place)
    labels = labels[:0] if blank else labels
    path = path or place / "label_studio.json"
    beside = [path.with_suffix(".xml")] if _kind(path) == ".json" else []
    for file in (path, *beside):
        if file.exists():
            raise ValueError(
                f"{file}: is there already, and may hold labels; move it away or name another file"
            )
    if _kind(path) == ".csv":
        to_csv(labels, path)
        return f"{len(labels):,} labels by {labels['annotator'].nunique()} annotators: {path}"
    to_label_studio(items, labels, path, emails)
    records.write_text(beside[0], LABEL_CONFIG)
    how = (
        f"In Label Studio: make a project, paste {beside[0].name} as its labelling interface, import the "
        "tasks."
    )
    return f"{len(items):,} tasks with {len(labels):,} labels: {path}\n{how}"


def import_labels(set_name: str, path: Path, names: dict[str, str]) -> str:
    """Add the labels of a file to those of a set; what was added, in words. ValueError before anything is
    written."""
    place = labelling.folder(set_name)
    items = labelling.read_items(place)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; export it first, or check the path")
    labels = {".csv": from_csv, ".json": from_label_studio}[_kind(path)](path, names, items)
    for name in labels["annotator"].unique():
        try:
            labelling.check_name(name, simulated=True)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}: --names {name}=nickname") from None
    before = _there_already(labels, labelling.read_labels(place))
    labelling.write_labels(place, labels[~labels["annotator"].isin(before)])
    counts = labels["annotator"].value_counts().sort_index()
    said = [
        f"{name}, labels: {count:,}{', there already, just the same' * (name in before)}"
        for name, count in counts.items()
    ]
    return (
        "\n".join(said or ["no labels in it"])
        + f"\nLabels are in {place / 'labels'}; run the set again to count them."
    )


def _there_already(labels: pd.DataFrame, present: pd.DataFrame) -> set[str]:
    """The annotators whose labels are the same in both; when they gave them, the other tool may have
    changed."""
    said = [
        {name: part[["item_id", *LABELS]].reset_index(drop=True) for name, part in table.groupby("annotator")}
        for table in (labels, present)
    ]
    return {name for name, part in said[0].items() if name in said[1] and part.equals(said[1][name])}


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".json"):
        raise ValueError(
            f"{path}: unknown suffix {suffix!r}{nearest(suffix, ('.csv', '.json'))}; give .json (Label "
            "Studio) or .csv"
        )
    return suffix


def _pair(text: str) -> tuple[str, str]:
    """`a=b` as (a, b)."""
    one, equals, other = text.rpartition("=")
    if not (one and equals and other):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form one=other")
    return one, other


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and exchange; returns the exit code of `lib.runtime.command_line`."""
    parser = command_line.new_parser("lib.annotation.exchange", __doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    out = commands.add_parser(
        "export", help="write the texts to label, and the labels, for Label Studio (.json) or as .csv"
    )
    out.add_argument("set_name")
    out.add_argument("file", nargs="?", type=Path)
    out.add_argument(
        "--emails",
        nargs="+",
        type=_pair,
        default=[],
        help="annotator=e-mail of their account in Label Studio",
    )
    out.add_argument("--blank", action="store_true", help="without the labels, so that nobody sees another's")
    back = commands.add_parser("import", help="read labels from Label Studio's JSON or from a .csv")
    back.add_argument("set_name")
    back.add_argument("file", type=Path)
    back.add_argument(
        "--names", nargs="+", type=_pair, default=[], help="what the file calls a person=annotator"
    )
    given = parser.parse_args(arguments)
    return command_line.exit_code(lambda: print(_exchange(given)))


def _exchange(given: argparse.Namespace) -> str:
    if given.command == "export":
        return export_labels(given.set_name, given.file, dict(given.emails), given.blank)
    return import_labels(given.set_name, given.file, dict(given.names))


if __name__ == "__main__":
    sys.exit(main())
