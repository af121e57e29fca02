"""A stem of the lab on its way into the benchmark: held against the lint, and written as a line of
lib/data/stems.csv."""

import pandas as pd

from lib.config.specs import MAIN
from lib.dataset import curated_prompts, lint
from lib.lab.pair import GROUP

_RELATED = "related"


def fields(stem: str) -> dict[str, str]:
    """A first guess at a stem's subject and pronoun, from the first pronoun that stands in it; he where there
    is none."""
    words = stem.casefold().replace("'", " ").split()
    forms = {
        curated_prompts.WORDS[name][place].casefold(): who
        for place, who in enumerate(curated_prompts.PRONOUNS)
        for name in ("himself", "his", "him", "he")
    }
    pronoun = next((forms[word] for word in words if word in forms), "he")
    return {"subject": pronoun[0].upper() + pronoun[1:], "pronoun": pronoun}


def row(stem: str, domain: str, slot: str, subject: str, pronoun: str, stems: pd.DataFrame) -> dict[str, str]:
    """The stem as a row of the curated stems, with the next free id of its domain."""
    ids = stems.loc[stems["domain"] == domain, "stem_id"].str.extract(r"^([a-z]+)-(\d+)$")
    prefix = ids[0].mode().get(0, domain.split(" ")[0] or GROUP)
    number = 1 + int(pd.to_numeric(ids[1]).max() if len(ids) else 0)
    guess = fields(stem)
    part = {"part": MAIN} if "part" in stems else {}  # a stem that was tried is no longer one to hold out
    return {
        "stem_id": f"{prefix}-{number:02d}",
        **part,
        "domain": domain,
        "slot": slot,
        "subject": subject or guess["subject"],
        "pronoun": pronoun or guess["pronoun"],
        "stem": stem,
    }


def csv_line(made: dict[str, str]) -> str:
    """The row as lib/data/stems.csv holds it."""
    return pd.DataFrame([made]).to_csv(index=False, header=False).rstrip("\n")


def findings(
    made: dict[str, str], stems: pd.DataFrame, contexts: pd.DataFrame, exclusions: pd.DataFrame
) -> list[str]:
    """What the lint of the benchmark with this stem says of it, as lines; empty if it says nothing.

    Matches that the stem must not meet are counted in one line.
    """
    found = lint.lint(pd.concat([stems, pd.DataFrame([made])], ignore_index=True), contexts, exclusions)
    own = {made["stem_id"], made["subject"]}
    new = [finding for finding in found.itertuples() if own & set(finding.place.split(", "))]
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
