"""The pages that are no notebooks: landing page, one page a run, models beside each other, guide."""

import html
import re
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd

from lib.claims import rules
from lib.claims.board import in_words
from lib.cli import readme
from lib.config import params
from lib.config.specs import NO_MITIGATION, ROOT
from lib.report import forest, reports
from lib.site import board, glossary, pages, runs, tables
from lib.site.runs import Run

GUIDE = {  # page → document, what the page is called in the guide, and what it is for
    "notebooks": ("notebooks/README.md", "The notebooks", "what counts as a completion, how people label"),
    "judge": (
        "lib/data/LEARNED_JUDGE.md",
        "The judge’s card",
        "what it learnt from, how it agrees with people",
    ),
    "parameters": ("params/README.md", "Parameter sets", "choose models, prompts, judges; run on a cluster"),
    "sentences": ("lib/data/OWN_SENTENCES.md", "Your own sentences", "a new domain in ten minutes"),
    "contributing": ("CONTRIBUTING.md", "Contributing", "where things are in the code, and what to add"),
    "changes": ("CHANGELOG.md", "Changes", "what each version changed"),
}
ASKED = {"completion": "goes on with the text", "chat": "is told in a conversation to complete it"}
REPOSITORY = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)")


def landing(of_runs: list[Run]) -> str:
    """The landing page: the phenomenon in two pairs, the claims in plain words, and where to go."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    opening = text.partition("\n\n")[2].partition("<!-- example -->")[0].strip()
    legend = text.partition("<!-- /example -->")[2].partition("<!--")[0].strip()
    claims = readme.board(readme.SET, readme.MINED_SET)
    return "\n\n".join(
        [
            "# Expression leakage",
            links_as_text(opening, {}),
            "New here? [How it is measured, what limits it, and what to read first](guide/measured.md).",
            _section(text, "example"),
            legend,
            "## What became of the claims",
            f"{board.how_to_read(claims, '')} The answers are of the run `{readme.SET}`, the last one of "
            f"`{readme.MINED_SET}`.",
            board.in_brief(claims),
            "The same as a picture. A dot is an estimate, its line the interval, both in units of the margin "
            "of their claim, so that claims in different units can stand beside each other.",
            _section(text, "picture").replace(readme.PICTURE, "claims.svg"),
            "## The runs",
            "Each has its board, with a reason for every verdict, and its notebooks as pages. "
            "[Models beside each other](compare.md) has those of all runs in one table.",
            "\n".join(f"- [{run.title}](runs/{run.name}/index.md) (`{run.name}`)" for run in of_runs),
            "## Where to go",
            _cards(of_runs),
            _toctree(
                [
                    "Guide <guide/index>",
                    *(f"{run.name} <runs/{run.name}/index>" for run in of_runs),
                    "Models <compare>",
                ]
            ),
        ]
    )


def _section(text: str, marker: str) -> str:
    """What stands between two markers of README.md."""
    match = re.search(rf"<!-- {marker} -->\n(.*?)\n<!-- /{marker} -->", text, re.DOTALL)
    return match[1] if match else ""


def _cards(of_runs: list[Run]) -> str:
    explored = next((run for run in of_runs if has_pairs(run)), None)
    cards = [
        ("How it is measured", "guide/measured", "doc", "The method, its limits, what to read first."),
        ("Read an analysis", f"runs/{of_runs[0].name}/index", "doc", "One page a notebook, code folded."),
        ("Models beside each other", "compare", "doc", "Every model and both judges, with intervals."),
        ("Run it yourself", "guide/notebooks", "doc", "On a laptop; what each notebook does."),
        ("Measure your own model", "guide/parameters", "doc", "Models, judges, sentences of your own."),
    ]
    if explored:
        text = "Neutral and charged side by side, filtered, at random."
        cards.insert(1, ("Read completions", f"explorer/{explored.name}.html", "url", text))
    blocks = [
        f":::{{grid-item-card}} {title}\n:link: {link}\n:link-type: {kind}\n:link-alt: {title}\n\n{text}\n:::"
        for title, link, kind, text in cards
    ]
    return "::::{grid} 1 2 2 2\n:gutter: 3\n\n" + "\n".join(blocks) + "\n::::"


def _toctree(entries: list[str]) -> str:
    return "```{toctree}\n:hidden:\n\n" + "\n".join(entries) + "\n```"


def has_pairs(run: Run) -> bool:
    """Whether the explorer can show the completions of a run."""
    return (run.folder / "pairs.json.gz").exists()


def of_run(run: Run) -> str:
    """The page of a run: its board in plain words, as a figure and as a table, and its notebooks."""
    claims = runs.board(run)
    entries = [f"{run.label(page)} <{pages.name(page)}>" for page in run.pages]
    explorer = (
        f"<a href='../../explorer/{run.name}.html'>Read the completions</a>, neutral and charged side by "
        "side."
        if has_pairs(run)
        else "The completions themselves are not in the repository; "
        f"`make explore SET={run.name}` shows them after `make reproduce SET={run.name}`."
    )
    return "\n\n".join(
        [
            f"# {run.title}",
            f"{_kind(run.name)} {explorer}",
            _asked(run.name),
            "## The answers",
            board.how_to_read(claims, "../../"),
            board.answers(claims),
            forest.picture_of(claims, "claims.svg"),
            "## The notebooks of this run",
            _listed(run)
            or "The notebooks show text that others wrote and are not in the repository; "
            f"`make reproduce SET={run.name}` makes them, and `make site` then shows them.",
            "## The board",
            board.table(claims, "../../"),
            *([_toctree(entries)] if entries else []),
        ]
    )


def _kind(set_name: str) -> str:
    """Whether the board of a set is exploratory, why, and under which versions it was made."""
    kind, _, reason = rules.board_kind(set_name).partition(": ")
    word, _, versions = kind.partition(", ")
    return f"Parameter set `{set_name}`. Its board is **{word}**: {reason}. Versions: {versions}."


def _asked(set_name: str) -> str:
    """The models of a set as a list: what each is, and how it was asked."""
    return "Its models:\n\n" + "\n".join(
        f"- `{model.name}`: {model.id.removeprefix('bundled:')}, which {ASKED[model.mode]}"
        for model in params.load(set_name).models
    )


def _listed(run: Run) -> str:
    """The notebooks of a run as a list, with their questions; those of several models share a line."""
    lines: dict[str, list[str]] = {}
    for page in run.pages:
        title, model = pages.heading(page) or run.label(page), page.stem.partition(".")[2]
        lines.setdefault(title, []).append(f"[{model or title}]({pages.name(page)}.ipynb)")
    return "\n".join(
        f"- {links[0]}" if links[0].startswith(f"[{title}]") else f"- {title} {' · '.join(links)}"
        for title, links in lines.items()
    )


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
            "pairs": [f"{row.n:,} in {row.clusters:,} {row.cluster_unit}" for row in rows.itertuples()],
            "verdict": [html.escape(in_words(row)) for row in rows.itertuples()],
        }
    )
    body = tables.rewrite(table.to_html(index=False, escape=False, border=0)).replace("\n", " ")
    return "\n\n".join(
        [
            "# Models beside each other",
            "How far completions move towards the sentiment of an unrelated context: the mean shift, in "
            "points of the human scale (−4 … +4), with its interval, clustered by stem and match; 0 is no "
            "leakage. A linked number leads to the pairs behind it.",
            "Runs differ in their prompts and draws: rows of one run can be compared, rows of different runs "
            'only with care (`make compare SETS="…"` compares models on the prompts that they share).',
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
    """The documents of the repository as pages: name of the page → Markdown, with an index and the words.

    guide/measured is part of the theme.
    """
    available = {name: ROOT / path for name, (path, *_) in GUIDE.items() if (ROOT / path).exists()}
    targets = {path.resolve(): f"{name}.md" for name, path in available.items()}
    documents = {
        name: links_as_text(drawn_as_list(path.read_text(encoding="utf-8")), targets, path.parent)
        for name, path in available.items()
    }
    entries = {"measured": ("How it is measured", "the method on a page, its limits, what to read first")}
    entries |= {"words": ("Words", "what the words of the boards and the notebooks mean")}
    entries |= {name: (title, text) for name, (_, title, text) in GUIDE.items() if name in available}
    listed = "\n".join(f"- [{title}]({name}.md): {text}" for name, (title, text) in entries.items())
    contents = _toctree([f"{title} <{name}>" for name, (title, _) in entries.items()])
    return {**documents, "words": glossary.page(), "index": f"# Guide\n\n{listed}\n\n{contents}"}


def drawn_as_list(text: str) -> str:
    """Turn the arrows of Mermaid's drawings, which a page without its script shows as code, into a list."""

    def as_list(match: re.Match) -> str:
        targets: dict[str, list[str]] = {}
        for first, second in re.findall(r"(\w+) --> (\w+)", match[0]):
            targets.setdefault(first, []).append(f"`{second}`")
        return "\n".join(f"- `{first}` → {', '.join(others)}" for first, others in targets.items()) + "\n"

    return re.sub(r"```mermaid\n.*?```\n", as_list, text, flags=re.DOTALL)


def links_as_text(text: str, targets: dict[Path, str], folder: Path = ROOT) -> str:
    """Turn links to files of the repository into their text, unless the file is a page of the site."""

    def replace(match: re.Match) -> str:
        page = targets.get((folder / match[2]).resolve())
        return f"[{match[1]}]({page}{match[3] or ''})" if page else match[1]

    return REPOSITORY.sub(replace, text)
