"""The board of a run for readers: answers in plain words, in brief or row by row, and the table."""

import html

import pandas as pd

from lib.claims.board import by_claim, digits, in_words, labels
from lib.cli import readme
from lib.report import reports
from lib.site import glossary, tables

SAYS = {  # what an estimate of each claim says, and how it is to be read
    "C0": "How far completions move towards the feeling of the context (0 is no leakage)",
    "C1": "Agreement with people, the judge’s less one person’s (0 is as good as a person)",
    "C2": "How the leak changes from a model to one ten times as large (below 0, larger models leak less)",
    "C3": "How the leak changes when the model is asked, as a share of it (0 is none, −1 all of it gone)",
    "C3b": "Leak of the changed model less that under the best prompt, as a share of it (below 0, less)",
    "C4": "Shift after negative contexts less that after positive ones (above 0, negative leaks more)",
    "C5": "The same quantities on sentences from the web",
}


def how_to_read(board: pd.DataFrame, to_root: str) -> str:
    """Two sentences before a board, and a third where it rests on a judge that nobody has checked.

    Args:
        board: The claims board.
        to_root: The way from the page to the first page of the site, such as "../../".
    """
    judged = (
        " *As judged*: nobody has labelled completions yet, so these verdicts hold as far as the judge does."
        if board["as_judged"].any()
        else ""
    )
    return (
        "An estimate stands before its interval, in brackets, which holds the values that fit the data. The "
        "verdict follows from rules that were written down: *inconclusive* means that the data do not "
        f"decide, not that the answer is no.{judged} More: [how it is measured]({to_root}guide/measured.md), "
        f"[words]({to_root}guide/words.md)."
    )


def in_brief(board: pd.DataFrame) -> str:
    """One line per claim: the question, the verdict over all rows, and the range of the estimates."""
    lines = []
    for claim in by_claim(board).itertuples():
        rows = board[board["claim"] == claim.claim]
        known = rows.dropna(subset="estimate")
        # without the name of a prompt
        kinds = known["measured"].map(lambda measured: measured.rpartition(": ")[2])
        ranges = [
            f"{kind}: {_range(part)}" if kinds.nunique() > 1 else _range(part)
            for kind, part in known.groupby(kinds, sort=False)
        ]
        missing = dict.fromkeys(rows.loc[rows["estimate"].isna(), "reason"])
        found = [f"{SAYS[claim.claim]}: {'; '.join(ranges)}"] if ranges else []
        lines.append(" ".join([_answer(claim), *(f"{_first_capital(each)}." for each in [*found, *missing])]))
    return "\n".join(lines)


def answers(board: pd.DataFrame) -> str:
    """A list: each question with its verdict, and below it every row with its estimate and its reason."""
    lines, labelled = [], board.assign(label=labels(board))
    for claim in by_claim(board).itertuples():
        rows = labelled[labelled["claim"] == claim.claim]
        lines.append(f"{_answer(claim)} {SAYS[claim.claim]}:")
        for row in rows.itertuples():
            label = {"C5": row.measured, "C3b": f"{row.label}, {row.measured}"}.get(claim.claim, row.label)
            found = "not estimated" if pd.isna(row.estimate) else f"{_numbers(row)}, {row.verdict}"
            lines.append(f"  - {label}: {found} ({row.reason})")
    return "\n".join(lines)


def _answer(claim) -> str:
    counts = f" ({claim.counts})" if "," in claim.counts else ""
    return f"- **{readme.QUESTIONS[claim.claim]}** {_first_capital(in_words(claim))}{counts}."


def _first_capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _range(rows: pd.DataFrame) -> str:
    ends = rows.sort_values("estimate").iloc[[0, -1]]
    return " to ".join(
        dict.fromkeys(reports.interval(row, digits(row["unit"])) for _, row in ends.iterrows())
    ) + (f" {rows['unit'].iloc[0]}")


def _numbers(row) -> str:
    return f"{reports.interval(row, digits(row.unit))} {row.unit}"


def table(board: pd.DataFrame, to_root: str) -> str:
    """The board as HTML, whose heads lead to what their words mean.

    Args:
        board: The claims board.
        to_root: As in `how_to_read`.
    """
    shown = reports.claims_board(board)
    cells = shown.map(lambda cell: html.escape(str(cell)).replace("**differs**", "<b>differs</b>"))
    cells.columns = [glossary.linked(name, to_root) for name in shown]
    return tables.rewrite(cells.to_html(index=False, escape=False, border=0)).replace("\n", " ")
