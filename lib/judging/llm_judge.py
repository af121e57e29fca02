"""A judge that is a language model, asked by a rubric about pairs of completions, each pair in both orders.

A completion of any other arm is seen beside its partner (`lib.generation.pairing`): the neutral completion of
its group, mitigation and sample_index, or, where the neutral arm has fewer, another of the group. It is never
seen with its context or arm; one whose partner is missing is asked about alone, with the rubric's other
question; a missing one is not asked about. The valence of a completion is the mean over the questions in
which it was scored. A thought of the judge is set aside before its verdict is read. Replies are kept in a
journal as completions are (lib.generation.runner), under a key over everything that can change them, so none
is asked for twice; equal questions are one, wherever in the table they come up.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from lib.config.sections import Generation
from lib.config.specs import NO_MITIGATION, Judge, Model, ParameterError
from lib.generation import pairing, prompt_checks, runner
from lib.judging import rubrics
from lib.models import registry
from lib.nlp.text import VERSION as TEXT_VERSION
from lib.nlp.text import normalize
from lib.replies import outcomes
from lib.runtime import progress
from lib.storage import packages, records

_GROUP = ["group_id", "mitigation"]
PAIR_KEY = [*_GROUP, "sample_index"]
CUT_THINKING, CUT, SILENT = (
    "cut off while thinking",
    "cut off",
    "no verdict",
)  # why a reply is unscored, beside outcomes
_OF_THE_MODEL = (
    "system_prompt",
    "chat_template_kwargs",
    "thinking_tokens",
    "thought_markers",
)  # a fingerprint may lack them
BLOCK = 64  # questions side by side where a reply depends on what it is asked beside, see `_answered`
VERSION = 1  # of how texts are paired and scored: change it with anything that changes a valence


def version(judge: Judge) -> str:
    """The judge's name and the rubric's version, with a hash of all that its valences depend on.

    ParameterError if its template opens a thought that nothing is set aside for.
    """
    rubric, model = rubrics.read(judge.rubric), backend(judge)
    if model.tokenizer and (fault := prompt_checks.thought_fault([model.question("x")], model)):
        raise ParameterError(f"judge {judge.name}: {fault}")
    told = {name: getattr(judge, name) for name in ("temperature", "max_new_tokens", "seed")}
    told |= {name: getattr(judge.model, name) for name in _OF_THE_MODEL}
    read = {"code": VERSION, "outcomes": outcomes.VERSION, "text": TEXT_VERSION, "rubric": rubric.digest}
    depends_on = {"model": model.fingerprint, **read, **told}
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
    return f"{judge.name}-{rubric.version}-{digest[:8]}"


def backend(judge: Judge):
    """The model that is asked; its weights load at the first question."""
    return _backend(judge.model.model_dump_json())


@lru_cache(maxsize=1)
def _backend(spec: str):
    return registry.load(Model.model_validate_json(spec))


def valences(judge: Judge, texts: list[str]) -> np.ndarray:
    """Valence of each text asked about alone, shape (texts,), NaN where unscored."""
    return _mean_votes(_alone(texts), votes(ask_single(judge, texts)), range(len(texts))).to_numpy()


def ask_single(judge: Judge, texts: list[str], clusters=None, share: float = 0.0) -> pd.DataFrame:
    """Every question about single texts with its reply, see `ask`; what the journal `replies_alone` lacks is
    asked.

    A `share` of the questions is asked twice. `clusters`, one for each text, stand in place of stems.
    """
    return ask(judge, questions(_alone(texts, clusters), share, judge.seed), replies_alone(judge))


def replies_alone(judge: Judge) -> Path:
    """The journal, in the user's cache, of what was replied about single texts."""
    return packages.cache_folder() / f"replies-{judge.name}.jsonl"


def _alone(texts: list[str], clusters=None) -> pd.DataFrame:
    """`pairings` of texts that have no partner."""
    plain, stems = [normalize(text) for text in texts], "" if clusters is None else list(clusters)
    return pd.DataFrame({"row": range(len(texts)), "text": plain, "other": None, "stem_id": stems}).astype(
        object
    )


def of_completions(judge: Judge, completions: pd.DataFrame, replies: Path) -> np.ndarray:
    """Valence of each completion of a table with PAIR_KEY, arm, stem_id and completion, NaN where it was
    never scored."""
    table = completions.reset_index(drop=True)
    seen = pairings(table)
    return _mean_votes(seen, votes(asked_of(judge, table, replies)), table.index).to_numpy()


def asked_of(judge: Judge, completions: pd.DataFrame, replies: Path) -> pd.DataFrame:
    """Every question about the completions with its reply, see `ask`; what the journal `replies` lacks is
    asked."""
    seen = pairings(completions.reset_index(drop=True))
    return ask(judge, questions(seen, judge.retest_fraction, judge.seed), replies)


def pairings(completions: pd.DataFrame) -> pd.DataFrame:
    """Each completion beside each of its partners: row (its place in the table), text, other (None: alone),
    stem_id.

    `completions` are those of one model; the column partner, where they have it, names the neutral draw of
    each. Texts are as `normalize` leaves them. Missing completions are not seen.
    """
    every = completions.rename_axis("row").reset_index()
    texts = [None if pd.isna(text) else normalize(text) for text in every["completion"]]
    every = every[every.columns.intersection(["row", "arm", "stem_id", *PAIR_KEY, "partner"])].assign(
        model="", text=pd.Series(texts, every.index, dtype=object)
    )
    neutral = pairing.references(every, "neutral")
    others = pairing.with_partner(every[every["arm"] != "neutral"], neutral, _GROUP)
    partners = pairing.beside_partner(others, neutral, _GROUP, ["row", "text"]).add_suffix("_neutral")
    pairs, table = others.join(partners).dropna(subset=["text", "text_neutral"]), every.dropna(subset="text")
    one = pairs[["row", "text", "text_neutral", "stem_id"]].set_axis(
        ["row", "text", "other", "stem_id"], axis=1
    )
    two = pairs[["row_neutral", "text_neutral", "text", "stem_id"]].set_axis(
        ["row", "text", "other", "stem_id"], axis=1
    )
    alone = table.loc[~table["row"].isin([*one["row"], *two["row"]]), ["row", "text", "stem_id"]].assign(
        other=None
    )
    return pd.concat([part.astype(object) for part in (one, two, alone)], ignore_index=True)


def questions(seen: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """The distinct questions, the sighted text first: first, second (None: alone), stem_id, sample_index.

    A pair of different texts is sighted from both sides, so it is asked in both orders; equal texts are one
    question. stem_id is the stem where the pair comes first. A `share` of the questions, drawn by a hash of
    question and `seed`, is there again with sample_index 1.
    """
    once = seen.rename(columns={"text": "first", "other": "second"})[["first", "second", "stem_id"]]
    once = once.drop_duplicates(["first", "second"], ignore_index=True).assign(sample_index=0)
    drawn = [_draw(row.first, row.second, seed) < share for row in once.itertuples()]
    return pd.concat([once, once[drawn].assign(sample_index=1)], ignore_index=True)


def expected_questions(judge: Judge, arms: pd.Series) -> int:
    """How many questions completions of these arms give on average if no two are equal: each pair in both
    orders, and again."""
    return round(2 * int((arms != "neutral").sum()) * (1 + judge.retest_fraction))


def _draw(first: str, second: str | None, seed: int) -> float:
    """A number from 0 to 1 that depends on the question and the seed alone, so a growing table keeps its
    draws."""
    digest = hashlib.sha256(json.dumps([seed, first, second]).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def ask(judge: Judge, asked: pd.DataFrame, replies: Path) -> pd.DataFrame:
    """The questions with reply (None where it is missing), outcome, note, ended, labels (a tuple, one label a
    text; None where unscored), valences likewise, and unscored, which says why (None where scored): one of
    CUT_THINKING, CUT, SILENT, or the outcome of a missing reply."""
    rubric, model = rubrics.read(judge.rubric), backend(judge)
    rendered = [model.question(rubrics.question(rubric, row.first, row.second)) for row in asked.itertuples()]
    # each question draws its own
    noise = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in rendered]
    requested = asked.assign(rendered=rendered, group_id=noise, prompt_id=noise).astype({"rendered": object})
    # free questions
    requested = requested.assign(
        mitigation=NO_MITIGATION, arm="", context=None, stem=None, mitigation_text=""
    )
    paid = _answered(requested, judge, model, replies)
    texts = [
        [text for text in pair if text is not None]
        for pair in zip(paid["first"], paid["second"], strict=True)
    ]
    given = [None if pd.isna(reply) else reply for reply in paid["completion"]]  # pandas may have made it NaN
    told = zip(given, paid["ended"], texts, strict=True)
    labels = [rubrics.verdict(rubric, reply, ended, about) for reply, ended, about in told]
    worth = [given and tuple(rubric.labels[label] for label in given) for given in labels]
    told = zip(given, paid["outcome"], paid["ended"], labels, strict=True)
    reasons = [None if verdict else _unscored(*reply) for *reply, verdict in told]
    kept = paid[["first", "second", "stem_id", "sample_index", "outcome", "note", "ended"]]
    objects = {"reply": given, "labels": labels, "valences": worth, "unscored": reasons}
    return kept.assign(
        **{name: pd.Series(values, kept.index, dtype=object) for name, values in objects.items()}
    )


def _answered(requested: pd.DataFrame, judge: Judge, model, replies: Path) -> pd.DataFrame:
    """`requested` with its replies, as `runner.generate` has it.

    In half precision, rounding lets a reply depend on the questions that are read beside it. There the
    questions are asked in blocks that depend on nothing but the questions, so that a run that was killed, or
    is made again, gets the same replies.
    """
    told = _told(judge)
    requested = runner.keyed(requested, told, model)
    if judge.model.server or judge.model.dtype == "float32":
        return runner.generate(requested, told, model, replies)
    distinct = runner.missing(requested, set())
    known = distinct["key"].isin(records.journal_keys(replies))
    with progress.bar(len(distinct), judge.name, "questions", int(known.sum())) as bar:
        for start in range(0, len(distinct), BLOCK):
            if not known.iloc[start : start + BLOCK].all():
                runner.generate(distinct.iloc[start : start + BLOCK], told, model, replies, bar=bar)
    return runner.generate(requested, told, model, replies)


def _unscored(reply: str | None, outcome: str, ended: bool) -> str:
    """Why there is no verdict."""
    if outcome == outcomes.THOUGHT_UNFINISHED:
        return CUT_THINKING
    if outcome not in outcomes.USABLE:
        return outcome
    if not any(letter.isalnum() for letter in reply):
        return outcomes.EMPTY
    return SILENT if ended else CUT


def _told(judge: Judge) -> Generation:
    """The judge's sampling values as the generation of completions takes them."""
    told = {name: getattr(judge, name) for name in ("model", "temperature", "max_new_tokens", "seed")}
    return Generation(
        set_name="judging", is_mock=False, mitigations={}, samples=1, mitigation_samples=0, **told
    )


def votes(asked: pd.DataFrame) -> pd.DataFrame:
    """A row for each text of each question: text, other, place (1 or 2), stem_id, sample_index, label and
    valence, missing where unscored."""
    first = asked.rename(columns={"first": "text", "second": "other"}).assign(place=1)
    second = (
        asked.dropna(subset="second").rename(columns={"first": "other", "second": "text"}).assign(place=2)
    )
    table = pd.concat([first, second], ignore_index=True)
    for column, given in (("label", "labels"), ("valence", "valences")):
        pairs = zip(table[given], table["place"], strict=True)
        table[column] = pd.Series(
            [said[place - 1] if said else None for said, place in pairs], table.index, dtype=object
        )
    columns = ["text", "other", "place", "stem_id", "sample_index", "label", "valence"]
    return table[columns].astype({"valence": float})


def _mean_votes(seen: pd.DataFrame, given: pd.DataFrame, rows) -> pd.Series:
    """Mean valence of each of `rows` over the votes of its sightings; repeated questions test the judge and
    do not count."""
    counted = seen.merge(given[given["sample_index"] == 0], on=["text", "other"])
    return counted.groupby("row")["valence"].mean().astype(float).reindex(rows)
