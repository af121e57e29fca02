"""Lint of the curated benchmark, all its parts: `python -m lib.dataset.lint` prints its defects.

It checks lib/data, or the folder given as its argument, and exits with 1 if there is any finding.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pandera.errors

from lib.dataset import curated_prompts, positive_controls, relatedness, wording
from lib.dataset.wording import Finding
from lib.nlp import similarity, vader

FILES = {
    "stems": curated_prompts.STEMS,
    "contexts": curated_prompts.CONTEXTS,
    "exclusions": curated_prompts.EXCLUSIONS,
}
# largest gap between the mean strengths of negative and positive explicit contexts, in points of the human
# scale; this project's choice
STRENGTH_GAP = 0.3
SUFFIXES = {"negative": "neg", "positive": "pos", "neutral": "neu1", "neutral2": "neu2"}


def files(folder: Path) -> Iterator[Finding]:
    """Defects of the raw bytes: a byte-order mark, CRLF line ends, text that is not UTF-8."""
    for name in FILES:
        data = (folder / f"{name}.csv").read_bytes()
        if data.startswith(b"\xef\xbb\xbf"):
            yield Finding(
                "encoding",
                f"{name}.csv",
                repr(data[:3]),
                "starts with a byte-order mark",
                "save it as plain UTF-8",
            )
        if b"\r" in data:
            yield Finding(
                "encoding",
                f"{name}.csv",
                f"{data.count(13)} carriage returns",
                "has CRLF line ends",
                "save it with LF",
            )
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            yield Finding(
                "encoding",
                f"{name}.csv",
                repr(data[error.start : error.end]),
                "is not UTF-8",
                "save it as UTF-8",
            )


def schema(table: pd.DataFrame, name: str) -> Iterator[Finding]:
    """Cells and rows that the schema in lib/dataset/curated_prompts.py rejects."""
    try:
        FILES[name].validate(table, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        for case in errors.failure_cases.drop_duplicates(["column", "check", "index"]).itertuples():
            place = f"{name}.csv" if pd.isna(case.index) else table.iat[int(case.index), 0]
            yield Finding(
                "schema",
                f"{place}, {case.column}",
                str(case.failure_case),
                f"fails {case.check}",
                "see lib/dataset/curated_prompts.py",
            )


def ids(stems: pd.DataFrame, contexts: pd.DataFrame) -> Iterator[Finding]:
    """Ids that do not follow the naming scheme.

    m001-neg is the negative sentence of m001; stems of one domain share a prefix.
    """
    for row in contexts.itertuples():
        expected = f"{row.match_id}-{SUFFIXES.get(row.arm)}"
        if row.context_id != expected:
            yield Finding(
                "id", row.context_id, row.arm, f"is not {expected}", "let the id name match and arm"
            )
    prefixes = stems["stem_id"].str.extract(r"^([a-z]+)-\d\d$")[0].fillna("")
    usual = prefixes.groupby(stems["domain"]).agg(lambda column: column.mode()[0])
    for stem_id, domain, prefix in zip(stems["stem_id"], stems["domain"], prefixes, strict=True):
        if prefix != usual[domain] or (usual == prefix).sum() > 1:
            yield Finding(
                "id",
                stem_id,
                domain,
                f"is not {usual[domain]}- and two digits",
                "number the stems of a domain alike",
            )


def pairing(contexts: pd.DataFrame) -> Iterator[Finding]:
    """Matches that do not have exactly one sentence per arm, or that mix intensities, forms or parts."""
    for match_id, rows in contexts.groupby("match_id"):
        if sorted(rows["arm"]) != sorted(SUFFIXES):
            yield Finding(
                "pairing",
                match_id,
                ", ".join(rows["arm"]),
                "is not one of each arm",
                f"give {', '.join(SUFFIXES)}",
            )
        for column in [name for name in ("intensity", "form", "part") if name in rows]:
            if rows[column].nunique() > 1:
                yield Finding(
                    "pairing",
                    match_id,
                    ", ".join(rows[column]),
                    f"differs in {column}",
                    "give all four rows the same",
                )


def design(stems: pd.DataFrame, contexts: pd.DataFrame) -> Iterator[Finding]:
    """Cells of the design that hold more or fewer rows than the others.

    The cells are domain × slot for stems, and intensity × emotion by form and arm for contexts.
    """
    yield from _uneven(stems, ["domain", "slot"])
    for _, of_arm in contexts.groupby("arm"):
        for _, of_form in of_arm.groupby("form"):
            yield from _uneven(of_form, ["arm", "form", "intensity", "emotion"])


def _uneven(table: pd.DataFrame, columns: list[str]) -> Iterator[Finding]:
    levels = pd.MultiIndex.from_product([table[column].unique() for column in columns], names=columns)
    counts = table.groupby(columns).size().reindex(levels, fill_value=0)
    usual = counts.mode().max()
    for cell, count in counts[counts != usual].items():
        yield Finding(
            "design", " × ".join(cell), str(count), f"other cells hold {usual}", "give each cell as many"
        )


def strength(contexts: pd.DataFrame) -> Iterator[Finding]:
    """Contexts whose VADER valence contradicts the design.

    Explicit contexts of the wrong sign; polarities of unequal strength; strengths that do not rise with
    intensity.
    """
    charged = contexts[(contexts["form"] == "explicit") & contexts["arm"].isin(["negative", "positive"])]
    sign = charged["arm"].map({"negative": -1, "positive": 1}).astype(float)
    strengths = sign * vader.valences(
        [curated_prompts.tell(text, "They", "they") for text in charged["text"]]
    )
    for place, text, value in zip(charged["context_id"], charged["text"], strengths, strict=True):
        if value <= 0:
            yield Finding(
                "polarity",
                place,
                text,
                f"VADER: {value:+.2f} in its direction",
                "say the emotion in plain words",
            )
    means = strengths.groupby([charged["intensity"], charged["arm"]]).mean().unstack()
    means = means.reindex(index=curated_prompts.INTENSITIES, columns=["negative", "positive"])
    for intensity, gap in (means["negative"] - means["positive"]).items():
        if abs(gap) > STRENGTH_GAP:
            yield Finding(
                "strength",
                intensity,
                f"{gap:+.2f}",
                "negative and positive differ in strength",
                "match them better",
            )
    for arm in means:
        if not means[arm].dropna().is_monotonic_increasing:
            yield Finding(
                "intensity",
                arm,
                means[arm].round(2).to_list().__repr__(),
                "does not rise",
                "mild < plain < strong",
            )


def literal_senses(contexts: pd.DataFrame) -> Iterator[Finding]:
    """Charged idioms without marked literal words, marks on other sentences, and marked words not in it."""
    for row in contexts.itertuples():
        idiom = row.form == "idiomatic" and row.arm in ("negative", "positive")
        if idiom != bool(row.literal_senses):
            reason = (
                "an idiom without literal words" if idiom else "literal words of what is no charged idiom"
            )
            yield Finding(
                "literal senses",
                row.context_id,
                row.text,
                reason,
                "mark the literal words of charged idioms, only",
            )
        words = curated_prompts.tell(row.text, "They", "they").casefold()
        for word in filter(None, row.literal_senses.split(";")):
            if word.casefold() not in words:
                yield Finding(
                    "literal senses",
                    row.context_id,
                    row.text,
                    f"'{word}' is not in it",
                    "mark words that are there",
                )


def exclusions_known(
    stems: pd.DataFrame, contexts: pd.DataFrame, exclusions: pd.DataFrame
) -> Iterator[Finding]:
    """Exclusions that name an unknown match, stem or domain."""
    matches, scopes = set(contexts["match_id"]), {*stems["stem_id"], *stems["domain"]}
    for row in exclusions.itertuples():
        for value, known in ((row.match_id, matches), (row.scope, scopes)):
            if value not in known:
                yield Finding(
                    "exclusion",
                    f"{row.match_id}, {row.scope}",
                    value,
                    "names nothing there is",
                    "correct or delete it",
                )


def unrelatedness(
    stems: pd.DataFrame, contexts: pd.DataFrame, exclusions: pd.DataFrame, embed
) -> Iterator[Finding]:
    """Related pairs that may meet, and exclusions of single stems that are no longer justified.

    See lib/dataset/relatedness.py. `embed` maps texts to unit vectors.
    """
    related = relatedness.related(stems, contexts, embed)
    for row in relatedness.missing_exclusions(related, stems, exclusions).itertuples():
        yield Finding(
            "related",
            f"{row.scope}, {row.match_id}",
            row.reason,
            "may meet",
            "reword, or run python -m lib.dataset.relatedness",
        )
    reasons = set(zip(related["match_id"], related["scope"], strict=True))
    for row in exclusions[exclusions["scope"].isin(stems["stem_id"])].itertuples():
        if (row.match_id, row.scope) not in reasons:
            yield Finding(
                "exclusion",
                f"{row.scope}, {row.match_id}",
                row.reason,
                "is not so",
                "run python -m lib.dataset.relatedness",
            )


def _columns(of) -> list[str]:
    return [name for name in of if name not in ("kind", "part")]  # optional columns are ignored


def lint(
    stems: pd.DataFrame, contexts: pd.DataFrame, exclusions: pd.DataFrame, embed=similarity.embed
) -> pd.DataFrame:
    """All findings in the three tables.

    Args:
        stems: The stems, read but not validated.
        contexts: The contexts, read but not validated.
        exclusions: The exclusions, read but not validated.
        embed: Maps texts to unit vectors.

    Returns:
        One row per finding: check, place, value, reason, remedy.
    """
    tables = {"stems": stems, "contexts": contexts, "exclusions": exclusions}
    findings = [finding for name, table in tables.items() for finding in schema(table, name)]
    complete = all(_columns(table) == _columns(FILES[name].columns) for name, table in tables.items())
    # the checks below need all columns and known pronouns
    if not complete or not stems["pronoun"].isin(curated_prompts.PRONOUNS).all():
        return pd.DataFrame(findings, columns=Finding._fields)
    for table, key in ((stems, "stem_id"), (contexts, "context_id"), (exclusions, "match_id")):
        findings += wording.encoding(table, key)
    findings += [
        *ids(stems, contexts),
        *pairing(contexts),
        *design(stems, contexts),
        *exclusions_known(stems, contexts, exclusions),
    ]
    findings += [
        *wording.lengths(stems, contexts),
        *wording.duplicates(stems, contexts),
        *wording.residual_sentiment(stems, contexts),
    ]
    findings += [
        *wording.articles(stems["stem_id"], stems["stem"]),
        *wording.articles(contexts["context_id"], contexts["text"]),
    ]
    findings += [*wording.stem_agreement(stems), *wording.names(stems), *wording.template_agreement(contexts)]
    # the checks below render the templates
    if not any(finding.check == "placeholder" for finding in findings):
        findings += [
            *strength(contexts),
            *literal_senses(contexts),
            *unrelatedness(stems, contexts, exclusions, embed),
        ]
    return pd.DataFrame(findings, columns=Finding._fields)


def main(folder: Path = curated_prompts.DATA) -> int:
    """Print the findings, the number of rows checked and the time taken; return 1 if there is any finding."""
    start = time.perf_counter()
    findings = list(files(folder))
    if not findings:
        tables = {
            name: pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False) for name in FILES
        }
        findings = [Finding(**row) for row in lint(**tables).to_dict("records")]
        if (folder / positive_controls.FILE).exists():
            tables["positive controls"] = positive_controls.read(folder)
            findings += positive_controls.defects(
                tables["positive controls"], tables["stems"], tables["contexts"]
            )
        counts = ", ".join(f"{len(table)} {name}" for name, table in tables.items())
        print(f"looked at {counts} in {time.perf_counter() - start:.0f} s")
    for finding in findings:
        print(f"{finding.check}: {finding.place}: {finding.value}: {finding.reason}; {finding.remedy}")
    print(f"{len(findings)} findings" if findings else "no findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
