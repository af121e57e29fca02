"""Prepare a stem of the lab for the benchmark: check it with the lint, format it for lib/data/stems.csv."""

import pandas as pd

from lib.config.specs import MAIN
from lib.dataset import curated_prompts, lint
from lib.lab.pair import GROUP

_RELATED = "related"


def fields(stem: str) -> dict[str, str]:
    """Guess a stem's subject and pronoun from the first pronoun in it; "he" if it has none."""
    words = stem.casefold().replace("'", " ").split()
    forms = {
        curated_prompts.WORDS[name][index].casefold(): candidate
        for index, candidate in enumerate(curated_prompts.PRONOUNS)
        for name in ("himself", "his", "him", "he")
    }
    pronoun = next((forms[word] for word in words if word in forms), "he")
    return {"subject": pronoun[0].upper() + pronoun[1:], "pronoun": pronoun}


def row(stem: str, domain: str, slot: str, subject: str, pronoun: str, stems: pd.DataFrame) -> dict[str, str]:
    """Return the stem as a row of the curated stems, with the next free id of its domain."""
    ids = stems.loc[stems["domain"] == domain, "stem_id"].str.extract(r"^([a-z]+)-(\d+)$")
    prefix = ids[0].mode().get(0, domain.split(" ")[0] or GROUP)
    number = 1 + int(pd.to_numeric(ids[1]).max() if len(ids) else 0)
    guess = fields(stem)
    part_column = {"part": MAIN} if "part" in stems else {}  # a stem that was tried can no longer be held out
    return {
        "stem_id": f"{prefix}-{number:02d}",
        **part_column,
        "domain": domain,
        "slot": slot,
        "subject": subject or guess["subject"],
        "pronoun": pronoun or guess["pronoun"],
        "stem": stem,
    }


def csv_line(row: dict[str, str]) -> str:
    """Return the row as a line of lib/data/stems.csv."""
    return pd.DataFrame([row]).to_csv(index=False, header=False).rstrip("\n")


def findings(
    row: dict[str, str], stems: pd.DataFrame, contexts: pd.DataFrame, exclusions: pd.DataFrame
) -> list[str]:
    """Return what the lint of the benchmark with this stem reports on the stem.

    Args:
        row: The stem as a row (`row`).
        stems: The curated stems.
        contexts: The curated contexts.
        exclusions: The curated exclusions.

    Returns:
        One line per finding; empty if there is none. The context sets (match_id) that the stem must not be
        combined with are counted in one line.
    """
    all_findings = lint.lint(pd.concat([stems, pd.DataFrame([row])], ignore_index=True), contexts, exclusions)
    own = {row["stem_id"], row["subject"]}
    new = [finding for finding in all_findings.itertuples() if own & set(finding.place.split(", "))]
    lines = [
        f"{each.check}: {each.value}: {each.reason}; {each.remedy}" for each in new if each.check != _RELATED
    ]
    related = {each.place for each in new if each.check == _RELATED}
    if related:
        total = contexts["match_id"].nunique()
        lines.append(
            f"related: {len(related)} of {total} matches speak of the same; `python -m "
            "lib.dataset.relatedness` excludes them"
        )
    return lines
