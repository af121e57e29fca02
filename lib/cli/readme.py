"""Write the README's numbers from the reference run: `python -m lib.cli.readme` (make readme)."""

import re
import sys

import pandas as pd

from lib.analysis import leakage
from lib.claims.board import by_claim, digits, labels
from lib.claims.board import in_words as verdict_in_words
from lib.cli import confirm, confirmatory
from lib.config import params
from lib.nlp.text import in_markdown
from lib.report import forest, reports
from lib.runtime import command_line
from lib.runtime.errors import DataError
from lib.storage import records

SET, MINED_SET = "embedded", "commoncrawl"
PICTURE = "outputs/claims.svg"
QUESTIONS = {
    "C0": "Does sentiment leak?",
    "C1": "Does the judge agree with people?",
    "C2": "Do larger models leak less?",
    "C3": "Is it useless to ask the model not to leak?",
    "C3b": "Does changing the model do more than asking it?",
    "C4": "Does negative sentiment leak more than positive?",
    "C5": "Does text mined from the web tell the same?",
}
_SEED = 1  # for the pair that is drawn at random


def example(set_name: str) -> str:
    """Two pairs of a run: the strongest leak in a closed slot, and one drawn at random.

    The completions of each pair were drawn with the same noise.
    """
    judgements = leakage.unmitigated(records.read_models(set_name, "judgements", _names(set_name)))
    pairs = leakage.charged_pairs(leakage.pairs(judgements, matched=True)).dropna(subset="shift")
    pairs = pairs[pairs["partner"] == pairs["sample_index"]]
    closed = pairs[(pairs["slot"] == "closed") & ~pairs["repeats"]]
    furthest = closed.sort_values(["shift", "group_id", "sample_index"], ascending=[False, True, True]).iloc[
        0
    ]
    random_pair = (
        pairs.sort_values(["model", "group_id", "sample_index", "arm"]).sample(1, random_state=_SEED).iloc[0]
    )
    identical_rate = 100 * ((pairs["towards"] == 0) & (pairs["away"] == 0)).mean()
    return (
        f"The pair that the judge finds furthest apart ({furthest['shift']:+.1f} points of the human "
        "scale), of those in slots\n"
        f"where sentiment has no business, by `{furthest.model}`:\n\n{_pair(furthest, judgements)}\n\n"
        f"One of all {len(pairs):,} pairs, drawn at random, by `{random_pair.model}` "
        f"({identical_rate:.0f} % of pairs get the same verdict):\n\n"
        f"{_pair(random_pair, judgements)}"
    )


def _pair(leak: pd.Series, judgements: pd.DataFrame) -> str:
    """A charged completion, and the one with the same noise after a neutral context, as a quotation."""
    key = ["model", "group_id", "sample_index"]
    neutral = judgements[(judgements["arm"] == "neutral") & (judgements[key] == leak[key]).all(axis=1)].iloc[
        0
    ]
    texts = [map(in_markdown, (row.context, row.stem, row.completion)) for row in (leak, neutral)]
    return "\n>\n".join(f"> *{context}* {stem} **{completion}**" for context, stem, completion in texts)


def in_words(table: pd.DataFrame) -> str:
    """The board as one line per claim: the question, the verdict over all models, each row's result."""
    lines, table = [], table.assign(label=labels(table))
    for claim in by_claim(table).itertuples():
        results = dict.fromkeys(map(_found, table[table["claim"] == claim.claim].itertuples()))
        verdict = verdict_in_words(claim)
        lines.append(
            f"- **{QUESTIONS[claim.claim]}** {verdict[0].upper()}{verdict[1:]}: {'; '.join(results)}."
        )
    return "\n".join(lines)


def _found(row) -> str:
    """The result of one row, with its own verdict."""
    if pd.isna(row.estimate):
        return row.reason
    return f"{row.label} {reports.interval(row, digits(row.unit))} {row.unit} ({row.verdict})"


def board(set_name: str, mined_set: str) -> pd.DataFrame:
    """The claims board of a run, with C5 from the run on a mined benchmark."""
    curated, mined = reports.kept_board(set_name), reports.kept_board(mined_set)
    return pd.concat([curated[curated["claim"] != "C5"], mined[mined["claim"] == "C5"]], ignore_index=True)


def _names(set_name: str) -> list[str]:
    return [model.name for model in params.load(set_name).models]


def fill(text: str, marker: str, content: str) -> str:
    """Replace what stands between `<!-- marker -->` and `<!-- /marker -->` in `text` by `content`.

    Raises:
        ValueError: If the markers are missing.
    """
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    if not pattern.search(text):
        raise DataError(
            f"README.md: has no place marked {marker!r}; put <!-- {marker} --> and <!-- /{marker} --> "
            "around it"
        )
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def sources() -> tuple[str, ...]:
    """The sets whose numbers stand in README.md."""
    return SET, MINED_SET, confirmatory.name_of(SET)


def with_boards(text: str) -> tuple[str, str]:
    """Fill the boards of the finished runs into the text of README.md.

    Returns:
        The new text, and the forest plot of the boards as SVG.
    """
    claims = board(SET, MINED_SET)
    sections = {
        "claims": in_words(claims),
        "picture": forest.picture_of(claims, PICTURE),
        "headline": reports.claims_board(claims).to_markdown(index=False),
        "confirmatory": confirm.summary(SET),
    }
    for marker, content in sections.items():
        text = fill(text, marker, content)
    return text, forest.svg(claims, reports.banner(params.load(SET)))


def write() -> None:
    """Fill README.md and draw its forest plot.

    Raises:
        OSError: If the reference runs are missing.
        ValueError: If their tables are of an older version, or if README.md lacks a marker.
    """
    path = records.ROOT / "README.md"
    text, picture = with_boards(fill(path.read_text(encoding="utf-8"), "example", example(SET)))
    records.write_text(records.ROOT / PICTURE, picture)
    records.write_text(path, text)


if __name__ == "__main__":
    sys.exit(command_line.exit_code(write))
