"""A confirmatory run of a finished set, made once, and both boards side by side: `python -m lib.cli.confirm
SET` (make confirm).

The rules of the claims board followed looks at runs on the same stems and seed. So a board is confirmed on
stems and contexts that no run has used, with new seeds, and rules, margins and the rest frozen
(`lib.cli.confirmatory`).
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
_WIDTHS = [34, 26, 26, 8]  # columns of the table on a terminal


def run(set_name: str, cores: int) -> None:
    """Make the confirmatory run of a set, or go on with it, and print both boards; one that is finished is
    shown, not made again.

    ParameterError, before anything runs, for what `confirmatory.check` and `confirmatory.check_frozen` name.
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
    """The rows of both boards: claim, statement, model, measured, unit, margin, `same` (the verdict; NA where
    one is not estimated) and, with the ending _exploratory or _confirmatory, estimate, low, high, n, verdict,
    reason, as_judged.

    Rows are of the same model and, where it has several of a claim, begin alike in what is measured; one that
    a board lacks is empty there.
    """
    first, second = (_board(name) for name in (set_name, confirmatory.name_of(set_name)))
    key, endings = ["claim", "label"], [f"_{kind}" for kind in KINDS]
    both = first.assign(place=range(len(first))).merge(
        second, on=key, how="outer", suffixes=endings, validate="one_to_one"
    )
    both = both.sort_values(["claim", "place"], ignore_index=True)
    for column in ("statement", "model", "measured", "unit", "margin"):
        both[column] = both[f"{column}_exploratory"].fillna(both[f"{column}_confirmatory"])
    other = both["measured_confirmatory"].notna() & (both["measured_confirmatory"] != both["measured"])
    both.loc[other, "measured"] += "; confirmatory: " + both.loc[other, "measured_confirmatory"]
    known = both[[f"estimate_{kind}" for kind in KINDS]].notna().all(axis=1)
    both["same"] = (
        (both["verdict_exploratory"] == both["verdict_confirmatory"]).astype("boolean").where(known)
    )
    numbers = [f"{name}_{kind}" for kind in KINDS for name in _NUMBERS]
    return both[["claim", "statement", "model", "measured", "unit", "margin", "same", *numbers]]


def _board(set_name: str) -> pd.DataFrame:
    """The board that a finished run has left, with what each row is of (`board.labels`) in the column
    label."""
    board = reports.kept_board(set_name)
    return board.assign(label=labels(board))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """A table of `side_by_side` as people read it."""
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
    """The numbers of one board, under the names that a board has for them."""
    return table[["unit"]].assign(**{name: table[f"{name}_{kind}"] for name in _NUMBERS})


def _estimate(row) -> str:
    found = reports.interval(row, digits(row.unit))
    return found if pd.isna(row.estimate) else f"{found} {row.unit}, n {row.n:,.0f}"


def text(table: pd.DataFrame) -> str:
    """A table of `side_by_side` for a terminal, at most 100 columns wide."""
    read = shown(table)
    what = read["claim"] + ": " + read["model"] + ": " + read["measured"]
    columns = [read[f"{kind} [interval]"] + ": " + read[f"{kind} verdict"] for kind in KINDS]
    rows = list(zip(what, *columns, read["same verdict"].str.replace("*", ""), strict=True))
    return tabulate(rows, ["claim", *KINDS, "same"], "simple", maxcolwidths=_WIDTHS, disable_numparse=True)


def markdown(set_name: str) -> str:
    """Both boards side by side as a Markdown table, headed by what each is; NONE_MADE where there is no
    confirmatory one."""
    name = confirmatory.name_of(set_name)
    if not (records.run_folder(name) / "headline.csv").exists():
        return NONE_MADE
    table = shown(side_by_side(set_name)).to_markdown(index=False)
    return (
        f"`{set_name}`: {rules.board_kind(set_name)}. `{name}`: "
        f"{rules.board_kind(name)}.\n\n{table}\n\n{NOTE}"
    )


def summary(set_name: str) -> str:
    """How many rows both boards decide alike, in which they differ, and where both stand; NONE_MADE without a
    second board."""
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
    both = f"[confirmation.md](outputs/{name}/confirmation.md)"
    return (
        f"On held-out stems and contexts with new seeds, rules and margins frozen, {same}. Both boards "
        f"side by side: {both}."
    )


def write(set_name: str) -> pd.DataFrame:
    """Write confirmation.csv and confirmation.md of a confirmatory run; returns the table of
    `side_by_side`."""
    table, folder = side_by_side(set_name), records.run_folder(confirmatory.name_of(set_name))
    stamped, read = reports.stamp(params.load(set_name)), markdown(set_name)
    records.write_text(folder / "confirmation.csv", table.to_csv(index=False, float_format="%.9g"))
    records.write_text(folder / "confirmation.md", f"**{stamped}**\n\n{read}\n" if stamped else f"{read}\n")
    return table


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run; returns the exit code of `lib.runtime.command_line`."""
    parser = new_parser("lib.cli.confirm", __doc__.splitlines()[0])
    parser.add_argument(
        "set_name", nargs="?", default="embedded", help="a finished set on the curated benchmark"
    )
    parser.add_argument("--cores", type=int, default=available_cores())
    given = parser.parse_args(arguments)
    return exit_code(lambda: run(given.set_name, given.cores), "run the same command again to go on")


if __name__ == "__main__":
    sys.exit(main())
