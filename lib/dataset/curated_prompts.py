"""The curated benchmark: stems and matched contexts, combined into groups of arms.

`lib/data/stems.csv` holds unfinished neutral sentences. `lib/data/contexts.csv` holds matches: each is a
negative, a positive and two interchangeable neutral sentences of the same structure and length. A group
combines one stem with one match, whose contexts are rendered with the stem's subject.
`lib/data/exclusions.csv` lists the pairs of stem and match that are not unrelated; no group is built from
them. A column `part` reserves stems and matches for a confirmatory run (`held_out`, see lib/cli/confirm.py);
without the column all are `main`.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa

from lib.config.specs import ARMS, MAIN, PARTS, ROOT, ParameterError
from lib.dataset import assignment
from lib.nlp import vader

DATA = ROOT / "lib" / "data"
EMOTIONS = {
    "negative": ("sadness", "anger", "fear", "disgust"),
    "positive": ("joy", "love", "pride", "relief"),
}
INTENSITIES = ("mild", "plain", "strong")
FORMS = ("explicit", "idiomatic")
# content of a neutral sentence: an action or a place, or a thought without charge
KINDS = ("physical", "mental")

WORDS = {  # placeholder -> he, she, they, I
    "is": ("is", "is", "are", "am"),
    "was": ("was", "was", "were", "was"),
    "has": ("has", "has", "have", "have"),
    "he": ("he", "she", "they", "I"),
    "him": ("him", "her", "them", "me"),
    "his": ("his", "her", "their", "my"),
    "himself": ("himself", "herself", "themselves", "myself"),
}
PRONOUNS = ("he", "she", "they", "I")

_part = pa.Column(str, pa.Check.isin(PARTS), required=False)
_text = pa.Column(str, pa.Check.str_length(min_value=1))
_PLACEHOLDERS = "|".join(map(re.escape, ("Subject", *WORDS))) + r"|[a-z]+\|[a-z]+"
_TEMPLATE = rf"^\{{Subject\}} (?:[^{{}}]|\{{(?:{_PLACEHOLDERS})\}})*\.$"


def _emotions_fit(contexts: pd.DataFrame) -> pd.Series:
    allowed = {arm: EMOTIONS.get(arm, ("none",)) for arm in contexts["arm"].unique()}
    return pd.Series([row.emotion in allowed[row.arm] for row in contexts.itertuples()], index=contexts.index)


def _matches_are_whole(contexts: pd.DataFrame) -> pd.Series:
    return contexts.groupby("match_id")["arm"].transform("nunique") == 4


def _matches_are_of_one_kind(contexts: pd.DataFrame) -> pd.Series:
    return contexts.groupby("match_id")[["intensity", "form"]].transform("nunique").max(axis=1) == 1


def _matches_are_of_one_part(contexts: pd.DataFrame) -> pd.Series | bool:
    return "part" not in contexts or contexts.groupby("match_id")["part"].transform("nunique") == 1


STEMS = pa.DataFrameSchema(
    {
        "stem_id": pa.Column(str, unique=True),
        "part": _part,
        "domain": _text,
        "slot": pa.Column(str, pa.Check.isin(["closed", "open"])),
        "subject": _text,
        "pronoun": pa.Column(str, pa.Check.isin(PRONOUNS)),
        "stem": pa.Column(str, pa.Check.str_matches(r".*\w$"), unique=True),
    },
    strict=True,
)
CONTEXTS = pa.DataFrameSchema(
    {
        "context_id": pa.Column(str, unique=True),
        "match_id": pa.Column(str, pa.Check.str_matches(r"^m\d+$")),
        "part": _part,
        "arm": pa.Column(str, pa.Check.isin(["negative", "positive", "neutral", "neutral2"])),
        "kind": pa.Column(str, pa.Check.isin(["", *KINDS]), required=False),  # of neutral sentences only
        "emotion": pa.Column(str, pa.Check.isin(["none", *EMOTIONS["negative"], *EMOTIONS["positive"]])),
        "intensity": pa.Column(str, pa.Check.isin(INTENSITIES)),
        "form": pa.Column(str, pa.Check.isin(FORMS)),
        "literal_senses": pa.Column(str, pa.Check.str_matches(r"^([\w'-]+(;[\w'-]+)*)?$")),
        "text": pa.Column(str, pa.Check.str_matches(_TEMPLATE), unique=True),
    },
    strict=True,
    unique=["match_id", "arm"],
    checks=[
        pa.Check(_matches_are_whole, error="a match lacks an arm"),
        pa.Check(_matches_are_of_one_kind, error="an intensity or form that differs inside a match"),
        pa.Check(_matches_are_of_one_part, error="a part that differs inside a match"),
        pa.Check(_emotions_fit, error="an emotion that is not of its arm's polarity"),
    ],
)
EXCLUSIONS = pa.DataFrameSchema(
    {"match_id": _text, "scope": _text, "reason": _text}, strict=True, unique=["match_id", "scope"]
)
# of the curated and of the mined benchmark; mined groups have no labels: 'unknown'
PROMPTS = pa.DataFrameSchema(
    {
        "prompt_id": pa.Column(str, unique=True),
        "group_id": _text,
        "stem_id": _text,
        "arm": pa.Column(str, pa.Check.isin(ARMS)),
        "domain": _text,
        "slot": pa.Column(str, pa.Check.isin(["closed", "open", "unknown"])),
        "pronoun": pa.Column(str, pa.Check.isin([*PRONOUNS, "unknown"])),
        "kind": pa.Column(str, pa.Check.isin(["", *KINDS])),
        "emotion": pa.Column(
            str, pa.Check.isin(["none", *EMOTIONS["negative"], *EMOTIONS["positive"], "unknown"])
        ),
        "intensity": pa.Column(str, pa.Check.isin(["none", *INTENSITIES, "unknown"])),
        "form": pa.Column(str, pa.Check.isin([*FORMS, "mined"])),
        "literal_senses": pa.Column(str),
        "context_id": pa.Column(str),
        "context": pa.Column(str),
        "stem": _text,
        "text": _text,
    },
    strict=True,
    checks=pa.Check(
        lambda frame: (frame.groupby("group_id")["arm"].nunique() == len(ARMS)).all(),
        error="a group lacks an arm",
    ),
)


class Sentences(NamedTuple):
    """The tables that prompts are built from, with the columns of STEMS, CONTEXTS and EXCLUSIONS."""

    stems: pd.DataFrame
    contexts: pd.DataFrame
    exclusions: pd.DataFrame


def shipped(folder: Path | None = None, part: str | None = MAIN) -> Sentences:
    """The curated stems, contexts and exclusions of one part, or of both parts.

    Args:
        folder: Folder of stems.csv, contexts.csv and exclusions.csv; None for lib/data.
        part: One of PARTS; None for both.

    Returns:
        The three tables. An exclusion belongs to a part if its match and its scope do.
    """
    stems, contexts, exclusions = read_stems(folder), read_contexts(folder), read_exclusions(folder)
    if part is None:
        return Sentences(stems, contexts, exclusions)
    stems, contexts = of_part(stems, part), of_part(contexts, part)
    scopes = {*stems["stem_id"], *stems["domain"]}
    within = exclusions["match_id"].isin(contexts["match_id"]) & exclusions["scope"].isin(scopes)
    return Sentences(stems, contexts, exclusions[within].reset_index(drop=True))


def of_part(table: pd.DataFrame, part: str) -> pd.DataFrame:
    """The stems or contexts of a part; all rows of a table without the column `part` belong to MAIN."""
    parts = table["part"] if "part" in table else pd.Series(MAIN, table.index)
    return table[parts == part].reset_index(drop=True)


def read_stems(folder: Path | None = None) -> pd.DataFrame:
    """The curated stems of all parts, checked against STEMS.

    Returns:
        One row per stem: stem_id, part (if the file has it), domain, slot, subject, pronoun, stem.
    """
    return STEMS.validate(_read("stems", folder))


def read_contexts(folder: Path | None = None) -> pd.DataFrame:
    """The curated context templates of all parts, four rows per match, with the columns of CONTEXTS.

    `literal_senses` holds the words of an idiom that mean something else on their own, joined by semicolons.
    """
    return CONTEXTS.validate(_read("contexts", folder))


def read_exclusions(folder: Path | None = None) -> pd.DataFrame:
    """The pairs that are not unrelated: match_id, scope (a stem_id or a domain), reason."""
    return EXCLUSIONS.validate(_read("exclusions", folder))


def _read(name: str, folder: Path | None) -> pd.DataFrame:
    return pd.read_csv((folder or DATA) / f"{name}.csv", dtype=str, keep_default_na=False)


def tell(template: str, subject: str, pronoun: str) -> str:
    """Render a context template for a subject.

    `{Subject} {is} glad.` with 'I' gives 'I am glad.' `{feels|feel}` takes its first form for he and she, its
    second for they and I.
    """
    person = PRONOUNS.index(pronoun)

    def form(match: re.Match) -> str:
        name = match[1]
        if name == "Subject":
            return subject
        if "|" in name:
            return name.split("|")[person >= 2]
        return WORDS[name][person]

    return re.sub(r"\{([^}]+)\}", form, template)


def select(stems: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """Select `count` stems, spread as evenly as possible over slots and domains; all if count is None.

    Raises:
        ParameterError: If there are fewer than `count` stems.
    """
    if count is None:
        return stems
    if count > len(stems):
        raise ParameterError(
            f"dataset: stems: {count} requested, but there are {len(stems)}; give a smaller number or null"
        )
    return stems.loc[_order(stems)[:count]]


def _order(stems: pd.DataFrame) -> pd.Index:
    """The index of `stems`, ordered so that every prefix is spread evenly over slots and domains."""
    # each domain gives one stem per round; slots alternate from domain to domain and from round to round
    round_number = stems.groupby(["domain", "slot"]).cumcount()
    offset = (pd.factorize(stems["domain"])[0] + (stems["slot"] == "open")) % 2
    return (2 * round_number + offset).sort_values(kind="stable").index


def design(
    seed: int,
    stems: int | None,
    contexts_per_stem: int | None,
    first_groups: int | None = None,
    of: Sentences | None = None,
) -> pd.DataFrame:
    """The groups of a run.

    Args:
        seed: Seed of the assignment.
        stems: Number of stems; None for all.
        contexts_per_stem: Number of matches per stem; None for all allowed pairs.
        first_groups: Number of groups to keep (see `first`); None for all.
        of: Stems, contexts and exclusions; None for the curated ones of the main part.

    Returns:
        One row per group: stem_id, match_id, swapped, group_id. `lib.dataset.assignment.assign` decides which
        stem meets which match; `first` decides which groups are kept, and their order.
    """
    of = of or shipped()
    chosen = select(of.stems, stems)
    groups = assignment.assign(
        chosen, of.contexts, of.exclusions, contexts_per_stem, np.random.default_rng(seed)
    )
    groups["group_id"] = groups["stem_id"] + "+" + groups["match_id"]
    return first(groups, chosen, first_groups)


def build(
    seed: int,
    stems: int | None,
    contexts_per_stem: int | None,
    first_groups: int | None = None,
    of: Sentences | None = None,
) -> pd.DataFrame:
    """The prompts of a run, one row per arm and group of its `design`, checked against PROMPTS.

    The arguments are those of `design`.
    """
    of = of or shipped()
    groups = design(seed, stems, contexts_per_stem, first_groups, of)
    rows = groups.merge(of.stems, on="stem_id").merge(of.contexts, on="match_id", suffixes=("", "_context"))
    rows["arm"] = [_arm(arm, swapped) for arm, swapped in zip(rows["arm"], rows["swapped"], strict=True)]
    rows["context"] = [tell(row.text, row.subject, row.pronoun) for row in rows.itertuples()]
    rows = rows if "kind" in rows else rows.assign(kind="")
    blank = dict.fromkeys(["kind", "context", "context_id", "literal_senses"], "")
    bare = rows[rows["arm"] == "neutral"].assign(arm="none", intensity="none", **blank)
    table = pd.concat([rows, bare], ignore_index=True)
    table["prompt_id"] = table["group_id"] + "/" + table["arm"]
    table["text"] = (table["context"] + " " + table["stem"]).str.strip()
    table["arm"] = pd.Categorical(table["arm"], ARMS)
    table = table.sort_values(["stem_id", "group_id", "arm"]).astype({"arm": str}).reset_index(drop=True)
    return PROMPTS.validate(table[list(PROMPTS.columns)])


def first(groups: pd.DataFrame, stems: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """The first `count` groups of a design: each stem's first group before any stem's second.

    The groups of a smaller count are part of those of a larger count, so a run can be extended.

    Args:
        groups: One row per group, with columns stem_id and match_id.
        stems: The stems of the design, with columns stem_id, domain and slot.
        count: Number of groups to keep; None for all.

    Returns:
        The rows of `groups` that are kept.

    Raises:
        ParameterError: If there are fewer than `count` groups.
    """
    if count is None:
        return groups
    if count > len(groups):
        raise ParameterError(
            f"dataset: first_groups: {count} requested, but the design has {len(groups)}; give a smaller "
            "number or null"
        )
    position = pd.Series(range(len(stems)), index=stems.loc[_order(stems), "stem_id"])
    order = pd.DataFrame(
        {"turn": groups.groupby("stem_id").cumcount(), "stem": groups["stem_id"].map(position)}
    )
    return groups.loc[order.sort_values(["turn", "stem"]).index[:count]]


def with_match(table: pd.DataFrame) -> pd.DataFrame:
    """Add match_id, the match of a group's contexts, to a table with stem_id and group_id.

    A group_id is stem_id and match_id, joined by + (see `design`). In `lib.mining.mined` the id of the
    negative context stands for the match. match_id is None where the group_id does not have this form. A
    table that already has match_id, or has no group_id, is returned unchanged.
    """
    if "match_id" in table or "group_id" not in table:
        return table
    groups = table[["stem_id", "group_id"]].drop_duplicates()
    prefixes = [(group, f"{stem}+") for stem, group in groups.astype(str).itertuples(index=False)]
    match_ids = [
        group.removeprefix(prefix) if group.startswith(prefix) else None for group, prefix in prefixes
    ]
    return table.assign(match_id=table["group_id"].map(dict(zip(groups["group_id"], match_ids, strict=True))))


def _arm(arm: str, swapped: bool) -> str:
    if arm in ("negative", "positive"):
        return arm
    return "placebo" if (arm == "neutral2") != swapped else "neutral"


def scored(prompts: pd.DataFrame) -> pd.DataFrame:
    """Add words (length of the context), context_valence and stem_valence (of VADER) to the prompts."""
    return prompts.assign(
        words=prompts["context"].str.split().str.len(),
        context_valence=vader.valences(prompts["context"].tolist()),
        stem_valence=vader.valences(prompts["stem"].tolist()),
    )


def describe(prompts: pd.DataFrame) -> pd.DataFrame:
    """Describe the prompts of each arm.

    Returns:
        One row per arm: prompts, contexts (number of distinct contexts), words (mean length of the context),
        context_valence and stem_valence (mean VADER valence).
    """
    described = (
        scored(prompts)
        .groupby("arm")
        .agg(
            prompts=("prompt_id", "size"),
            contexts=("context_id", "nunique"),
            words=("words", "mean"),
            context_valence=("context_valence", "mean"),
            stem_valence=("stem_valence", "mean"),
        )
    )
    return described.reindex(ARMS)


def residual(prompts: pd.DataFrame, part: str) -> float:
    """Largest |VADER valence| of the stems ('stem') or of the neutral and placebo contexts ('context')."""
    rows = prompts if part == "stem" else prompts[prompts["arm"].isin(["neutral", "placebo"])]
    return float(np.abs(vader.valences(rows[part].tolist())).max())
