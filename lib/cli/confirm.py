"""Run the confirmatory set of a finished set, once, and print both claims boards side by side.

The command is `python -m lib.cli.confirm SET` (make confirm).

The rules of the claims board were written after runs on the same stems and seed had been seen. A board is
therefore confirmed on stems and contexts that no run has used and with new seeds, while rules, margins and
all other values are frozen (`lib.cli.confirmatory`).
"""

import sys

import pandas as pd
from tabulate import tabulate

from lib.analysis import power
from lib.claims import rules
from lib.claims.board import INCONCLUSIVE, ON_PEOPLE, digits, in_words, labels
from lib.cli import confirmatory, reproduce
from lib.config import params
from lib.report import reports
from lib.runtime.command_line import exit_code, new_parser
from lib.runtime.cores import available_cores
from lib.storage import records

KINDS = ("exploratory", "confirmatory")
NONE_MADE = "No confirmatory run of this board has been made (`make confirm`)."
NOTE = (
    "*Same verdict* is told where both are estimated. What is measured on rated texts (C1) rests on no "
    "stem, context or seed: it "
    "is one measurement, shown twice."
)
_NUMBERS = ("estimate", "ci_low", "ci_high", "n", "verdict", "reason", "as_judged")
_WIDTHS = [34, 26, 26, 8]  # column widths of the table on a terminal


def run(set_name: str, cores: int) -> None:
    """Make the confirmatory run of a set, or resume it, and print both boards.

    A finished confirmatory run is printed and not made again.

    Raises:
        ParameterError: Before anything runs, for the reasons of `confirmatory.check` and
            `confirmatory.check_frozen`.
    """
    confirmatory.check(set_name)
    name, is_new = confirmatory.prepared(set_name)
    print(f"params/{name}.yaml {'written' if is_new else 'is there'}: {rules.board_kind(name)}.", flush=True)
    if power.finished(name):
        print(
            f"{name} was run already: a confirmatory run is made once, and this is what it found.\n",
            flush=True,
        )
    else:
        reproduce.run(name, cores)
    table = write(set_name)
    print(
        f"\n{text(table)}\n\n{NOTE.replace('*', '')}\nWritten: "
        f"{records.run_folder(name) / 'confirmation.md'}",
        flush=True,
    )


def side_by_side(set_name: str) -> pd.DataFrame:
    """Join the rows of both boards.

    Rows are joined by claim and model and, where a claim has several rows of a model, by the first words of
    what is measured. Where one board lacks a row, its columns are empty.

    Returns:
        The columns claim, statement, model, measured, unit, margin and `same` (whether the verdicts are
        equal; NA where one is not estimated); then, each with the suffix _exploratory and _confirmatory,
        estimate, ci_low, ci_high, n, verdict, reason and as_judged.
    """
    first, second = (_board(name) for name in (set_name, confirmatory.name_of(set_name)))
    key, suffixes = ["claim", "label"], [f"_{kind}" for kind in KINDS]
    merged = first.assign(place=range(len(first))).merge(
        second, on=key, how="outer", suffixes=suffixes, validate="one_to_one"
    )
    merged = merged.sort_values(["claim", "place"], ignore_index=True)
    for column in ("statement", "model", "measured", "unit", "margin"):
        merged[column] = merged[f"{column}_exploratory"].fillna(merged[f"{column}_confirmatory"])
    differs = merged["measured_confirmatory"].notna() & (
        merged["measured_confirmatory"] != merged["measured"]
    )
    merged.loc[differs, "measured"] += "; confirmatory: " + merged.loc[differs, "measured_confirmatory"]
    both_estimated = merged[[f"estimate_{kind}" for kind in KINDS]].notna().all(axis=1)
    merged["same"] = (
        (merged["verdict_exploratory"] == merged["verdict_confirmatory"])
        .astype("boolean")
        .where(both_estimated)
    )
    numbers = [f"{name}_{kind}" for kind in KINDS for name in _NUMBERS]
    return merged[["claim", "statement", "model", "measured", "unit", "margin", "same", *numbers]]


def _board(set_name: str) -> pd.DataFrame:
    """The board of a finished run, with the label of each row (`board.labels`) in the column label."""
    board = reports.kept_board(set_name)
    return board.assign(label=labels(board))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format a table of `side_by_side` for readers."""
    columns = {
        "claim": table["claim"] + " " + table["statement"],
        "model": table["model"],
        "measured": table["measured"],
    }
    for kind in KINDS:
        rows = list(_of(table, kind).itertuples())
        columns[f"{kind} [interval]"] = [_estimate(row) for row in rows]
        columns[f"{kind} verdict"] = [
            "–" if pd.isna(row.verdict) else f"{in_words(row)}: {row.reason}" for row in rows
        ]
    columns["same verdict"] = table["same"].map({True: "yes", False: "**no**"}).astype(object).fillna("–")
    return pd.DataFrame(columns)


def _of(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The numbers of one board, under the board's own column names."""
    return table[["unit"]].assign(**{name: table[f"{name}_{kind}"] for name in _NUMBERS})


def _estimate(row) -> str:
    interval = reports.interval(row, digits(row.unit))
    return interval if pd.isna(row.estimate) else f"{interval} {row.unit}, n {row.n:,.0f}"


def text(table: pd.DataFrame) -> str:
    """Format a table of `side_by_side` for a terminal, at most 100 columns wide."""
    formatted = shown(table)
    row_labels = formatted["claim"] + ": " + formatted["model"] + ": " + formatted["measured"]
    columns = [formatted[f"{kind} [interval]"] + ": " + formatted[f"{kind} verdict"] for kind in KINDS]
    rows = list(zip(row_labels, *columns, formatted["same verdict"].str.replace("*", ""), strict=True))
    return tabulate(rows, ["claim", *KINDS, "same"], "simple", maxcolwidths=_WIDTHS, disable_numparse=True)


def markdown(set_name: str) -> str:
    """Format both boards side by side as a Markdown table, headed by the kind of each board.

    Returns NONE_MADE if there is no confirmatory board.
    """
    name = confirmatory.name_of(set_name)
    if not (records.run_folder(name) / "headline.csv").exists():
        return NONE_MADE
    table = shown(side_by_side(set_name)).to_markdown(index=False)
    return (
        f"`{set_name}`: {rules.board_kind(set_name)}. `{name}`: "
        f"{rules.board_kind(name)}.\n\n{table}\n\n{NOTE}"
    )


def summary(set_name: str) -> str:
    """Summarize how many rows both boards decide alike, where they differ, and where both boards are.

    Returns NONE_MADE if there is no confirmatory board.
    """
    name = confirmatory.name_of(set_name)
    if not (records.run_folder(name) / "headline.csv").exists():
        return NONE_MADE
    table = side_by_side(set_name)
    table = table[table["same"].notna() & (table["claim"] != ON_PEOPLE)]
    others = [
        f"{row.claim} {row.model}, {row.measured.partition(':')[0]}: {row.verdict_exploratory}, then "
        f"{row.verdict_confirmatory}"
        for row in table[~table["same"].astype(bool)].itertuples()
    ]
    differ = f"; it differs in {'; '.join(others)}" if others else ""
    alike, open_ = table["same"].astype(bool), table["verdict_exploratory"] == INCONCLUSIVE
    counts = f"{(alike & ~open_).sum()} are decided alike and {(alike & open_).sum()} inconclusive both times"
    same = f"of {len(table)} rows about the model {counts}{differ}"
    link = f"[confirmation.md](outputs/{name}/confirmation.md)"
    return (
        f"On held-out stems and contexts with new seeds, rules and margins frozen, {same}. Both boards "
        f"side by side: {link}."
    )


def texts(set_name: str) -> dict[str, str]:
    """Make the texts of confirmation.csv and confirmation.md, by file name, from both boards of a set."""
    banner, body = reports.banner(params.load(set_name)), markdown(set_name)
    return {
        "confirmation.csv": side_by_side(set_name).to_csv(index=False, float_format="%.9g"),
        "confirmation.md": f"**{banner}**\n\n{body}\n" if banner else f"{body}\n",
    }


def write(set_name: str) -> pd.DataFrame:
    """Write confirmation.csv and confirmation.md of a confirmatory run.

    Returns:
        The table of `side_by_side`.
    """
    folder = records.run_folder(confirmatory.name_of(set_name))
    for name, content in texts(set_name).items():
        records.write_text(folder / name, content)
    return side_by_side(set_name)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and make the confirmatory run.

    Returns:
        The exit code of `lib.runtime.command_line.exit_code`.
    """
    parser = new_parser("lib.cli.confirm", __doc__.splitlines()[0])
    parser.add_argument(
        "set_name", nargs="?", default="embedded", help="a finished set on the curated benchmark"
    )
    parser.add_argument("--cores", type=int, default=available_cores())
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options.set_name, options.cores), "run the same command again to go on")


if __name__ == "__main__":
    sys.exit(main())
