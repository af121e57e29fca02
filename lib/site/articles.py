"""The pages that are no notebooks: landing page, one page a run, models beside each other, guide."""

import html
import re
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd

from lib.claims import rules
from lib.claims.board import by_claim, in_words
from lib.cli import readme
from lib.config.specs import NO_MITIGATION, ROOT
from lib.report import forest, reports
from lib.site import pages, runs, tables
from lib.site.runs import Run

GUIDE = {
    "notebooks": "notebooks/README.md",
    "parameters": "params/README.md",
    "sentences": "lib/data/OWN_SENTENCES.md",
    "judge": "lib/data/LEARNED_JUDGE.md",
    "contributing": "CONTRIBUTING.md",
    "changes": "CHANGELOG.md",
}
REPOSITORY = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)")


def landing(of_runs: list[Run]) -> str:
    """The landing page: the phenomenon in two pairs, the claims in plain words, and where to go."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    opening = text.partition("\n\n")[2].partition("<!-- example -->")[0].strip()
    return "\n\n".join(
        [
            "# Expression leakage",
            links_as_text(opening, {}),
            _section(text, "example"),
            "## What became of the claims",
            _section(text, "picture").replace(readme.PICTURE, "claims.svg"),
            brief(readme.board(readme.SET, readme.MINED_SET)),
            "Each verdict says how its model, judge and benchmark limit it: [models beside each other]"
            "(compare.md), and the board of each run with its notebooks:",
            "\n".join(f"- [{run.title}](runs/{run.name}/index.md)" for run in of_runs),
            "## Where to go",
            _cards(of_runs),
            _toctree(
                [
                    *(f"{run.name} <runs/{run.name}/index>" for run in of_runs),
                    "Models <compare>",
                    "Guide <guide/index>",
                ]
            ),
        ]
    )


def brief(board: pd.DataFrame) -> str:
    """One line per claim: the question, the verdict over all rows, and the range of the estimates."""
    lines = []
    for claim in by_claim(board).itertuples():
        rows = board[board["claim"] == claim.claim]
        known, verdict = rows.dropna(subset="estimate").sort_values("estimate"), in_words(claim)
        ends = (
            dict.fromkeys(_numbers(row, "") for row in known.iloc[[0, -1]].itertuples()) if len(known) else {}
        )
        measured = f": {' to '.join(ends)} {known['unit'].iloc[0]}" if ends else ""
        missing = dict.fromkeys(rows.loc[rows["estimate"].isna(), "reason"])
        lines.append(
            f"- **{readme.QUESTIONS[claim.claim]}** {verdict[0].upper()}{verdict[1:]} ({claim.counts})"
            f"{measured}{''.join(f'; {reason}' for reason in missing)}."
        )
    return "\n".join(lines)


def _section(text: str, marker: str) -> str:
    """What stands between two markers of README.md."""
    match = re.search(rf"<!-- {marker} -->\n(.*?)\n<!-- /{marker} -->", text, re.DOTALL)
    return match[1] if match else ""


def _cards(of_runs: list[Run]) -> str:
    explored = next((run for run in of_runs if has_pairs(run)), None)
    cards = [
        ("Read an analysis", f"runs/{of_runs[0].name}/index", "One page a notebook, code folded."),
        ("Models beside each other", "compare", "Every model and both judges, with intervals."),
        ("Run it yourself", "guide/notebooks", "Two commands on a laptop; what each notebook does."),
        ("Measure your own model", "guide/parameters", "Models, budgets, judges, sentences of your own."),
    ]
    blocks = [
        f":::{{grid-item-card}} {title}\n:link: {link}\n:link-type: doc\n\n{text}\n:::"
        for title, link, text in cards
    ]
    if explored:
        blocks.insert(
            1,
            ":::{grid-item-card} Read completions\n"
            f":link: explorer/{explored.name}.html\n:link-type: url\n\n"
            "Neutral and charged side by side, filtered, at random.\n:::",
        )
    return "::::{grid} 1 2 2 2\n:gutter: 3\n\n" + "\n".join(blocks) + "\n::::"


def _toctree(entries: list[str]) -> str:
    return "```{toctree}\n:hidden:\n\n" + "\n".join(entries) + "\n```"


def has_pairs(run: Run) -> bool:
    """Whether the explorer can show the completions of a run."""
    return (run.folder / "pairs.json.gz").exists()


def of_run(run: Run) -> str:
    """The page of a run: its board in plain words, as a figure and as a table, and its notebooks."""
    board, kind = runs.board(run), rules.board_kind(run.name)
    entries = [f"{run.label(page)} <{pages.name(page)}>" for page in run.pages]
    explorer = (
        f"[Read the completions](../../explorer/{run.name}.html): neutral and charged side by side."
        if has_pairs(run)
        else "The completions themselves are not in the repository; "
        f"`make explore SET={run.name}` shows them after `make reproduce SET={run.name}`."
    )
    return "\n\n".join(
        [
            f"# {run.title}",
            f"Parameter set `{run.name}`. The board is {kind}.",
            readme.in_words(board),
            forest.picture_of(board, "claims.svg"),
            explorer,
            "## The notebooks of this run",
            _listed(run)
            or "The notebooks show text that others wrote and are not in the repository; "
            f"`make reproduce SET={run.name}` makes them, and `make site` then shows them.",
            "## The board",
            _table(reports.claims_board(board)),
            *([_toctree(entries)] if entries else []),
        ]
    )


def _listed(run: Run) -> str:
    """The notebooks of a run as a list; those of several models share a line."""
    lines: dict[str, list[str]] = {}
    for page in run.pages:
        notebook, _, model = run.label(page).partition(", ")
        lines.setdefault(notebook, []).append(f"[{model or notebook}]({pages.name(page)}.ipynb)")
    return "\n".join(
        f"- {links[0]}" if links[0].startswith(f"[{notebook}]") else f"- {notebook}: {' · '.join(links)}"
        for notebook, links in lines.items()
    )


def _table(table: pd.DataFrame) -> str:
    """A table as HTML, aligned and folded like those of notebooks."""
    cells = table.map(lambda cell: html.escape(str(cell)).replace("**differs**", "<b>differs</b>"))
    return tables.rewrite(cells.to_html(index=False, escape=False, border=0)).replace("\n", " ")


def comparison(of_runs: list[Run]) -> str:
    """The page that sets models and judges beside each other; each number leads to the pairs behind it."""
    rows = pd.concat(
        [
            runs.board(run).query("claim == 'C0'").assign(run=run.name, explored=has_pairs(run))
            for run in of_runs
        ]
    )
    table = pd.DataFrame(
        {
            "run": [f"<a href='runs/{name}/index.html'>{name}</a>" for name in rows["run"]],
            "model": rows["model"].map(html.escape),
            "mean shift by the run's judge": [_linked(row, _numbers(row, "")) for row in rows.itertuples()],
            "by VADER": [_linked(row, _numbers(row, "_vader")) for row in rows.itertuples()],
            "n": [f"{row.n:,} in {row.clusters:,} {row.cluster_unit}" for row in rows.itertuples()],
            "sentiment leaks": [html.escape(in_words(row)) for row in rows.itertuples()],
        }
    )
    body = tables.rewrite(table.to_html(index=False, escape=False, border=0)).replace("\n", " ")
    return "\n\n".join(
        [
            "# Models beside each other",
            "How far completions move towards the sentiment of an unrelated context, in points of the human "
            "scale (−4 … +4), with 95 % intervals clustered by stem and context. Runs differ in their "
            "prompts and draws: rows of one run can be compared, rows of different runs only with care "
            '(`make compare SETS="…"` compares models on the prompts that they share). A linked number '
            "leads to the pairs behind it.",
            body,
        ]
    )


def _numbers(row, suffix: str) -> str:
    names = ("estimate", "ci_low", "ci_high")
    numbers = pd.Series({name: getattr(row, name + suffix) for name in names})
    return "not estimated" if pd.isna(numbers["estimate"]) else reports.interval(numbers, 2)


def _linked(row, text: str) -> str:
    if not row.explored:
        return html.escape(text)
    query = urlencode({"model": row.model, "mitigation": NO_MITIGATION})
    return f"<a href='explorer/{row.run}.html#{html.escape(query)}'>{html.escape(text)}</a>"


def guide() -> dict[str, str]:
    """The documents of the repository as pages: name of the page → Markdown, with an index."""
    available = {name: ROOT / path for name, path in GUIDE.items() if (ROOT / path).exists()}
    targets = {path.resolve(): f"{name}.md" for name, path in available.items()}
    documents = {
        name: links_as_text(path.read_text(encoding="utf-8"), targets, path.parent)
        for name, path in available.items()
    }
    titles = [
        f"- [{re.sub('^# ', '', text)[: text.find(chr(10)) - 2]}]({name}.md)"
        for name, text in documents.items()
    ]
    documents["index"] = "# Guide\n\n" + "\n".join(titles) + "\n\n" + _toctree(list(documents))
    return documents


def links_as_text(text: str, targets: dict[Path, str], folder: Path = ROOT) -> str:
    """Turn links to files of the repository into their text, unless the file is a page of the site."""

    def replace(match: re.Match) -> str:
        page = targets.get((folder / match[2]).resolve())
        return f"[{match[1]}]({page}{match[3] or ''})" if page else match[1]

    return REPOSITORY.sub(replace, text)
