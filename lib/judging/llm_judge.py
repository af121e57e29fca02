"""A judge that is a language model: a rubric asks it about pairs of completions, each pair in both orders.

A completion of a non-neutral arm is shown with its partner (`lib.generation.pairing`): the neutral completion
of the same group, mitigation and sample_index, or another one of the group where the neutral arm has fewer.
The judge never sees context or arm. A completion without a partner is asked about alone, with the rubric's
other question; a missing completion is not asked about.

The valence of a completion is the mean over the questions in which it was scored. A thought of the judge is
removed before its verdict is read.

Replies are kept in a journal as completions are (`lib.generation.runner`), under a key over everything that
can change them, so no reply is requested twice. Equal questions are one question, wherever they occur in the
table.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from lib.config.sections import Generation
from lib.config.specs import NO_MITIGATION, LLMJudge, Model, ParameterError
from lib.generation import pairing, prompt_checks, runner
from lib.judging import rubrics
from lib.models import registry
from lib.nlp.text import VERSION as TEXT_VERSION
from lib.nlp.text import normalize
from lib.replies import outcomes
from lib.runtime import progress
from lib.storage import caching, records

_GROUP = ["group_id", "mitigation"]
PAIR_KEY = [*_GROUP, "sample_index"]
# reasons why a reply is unscored, in addition to its outcome
CUT_THINKING, CUT, SILENT = "cut off while thinking", "cut off", "no verdict"
# settings of the model that its fingerprint may not contain
_OF_THE_MODEL = ("system_prompt", "chat_template_kwargs", "thinking_tokens", "thought_markers")
BLOCK = 64  # questions per block where a reply depends on its batch, see `_answered`
VERSION = 1  # of how texts are paired and scored: change it with any change that alters a valence


def version(judge: LLMJudge) -> str:
    """Return the judge's name and the rubric's version, with a hash of all that its valences depend on.

    Raises:
        ParameterError: If the model's template opens a thought and no tokens are set aside for it.
    """
    rubric, model = rubrics.read(judge.rubric), backend(judge)
    if model.tokenizer and (fault := prompt_checks.thought_fault([model.question("x")], model)):
        raise ParameterError(f"judge {judge.name}: {fault}")
    settings = {name: getattr(judge, name) for name in ("temperature", "max_new_tokens", "seed")}
    settings |= {name: getattr(judge.model, name) for name in _OF_THE_MODEL}
    versions = {"code": VERSION, "outcomes": outcomes.VERSION, "text": TEXT_VERSION, "rubric": rubric.digest}
    depends_on = {"model": model.fingerprint, **versions, **settings}
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
    return f"{judge.name}-{rubric.version}-{digest[:8]}"


def backend(judge: LLMJudge):
    """Return the model that is asked; its weights load at the first question."""
    return _backend(judge.model.model_dump_json())


@lru_cache(maxsize=1)
def _backend(spec: str):
    return registry.load(Model.model_validate_json(spec))


def valences(judge: LLMJudge, texts: list[str]) -> np.ndarray:
    """Return the valence of each text asked about alone, shape (texts,), NaN where unscored."""
    return _mean_votes(_alone(texts), votes(ask_single(judge, texts)), range(len(texts))).to_numpy()


def ask_single(judge: LLMJudge, texts: list[str], clusters=None, share: float = 0.0) -> pd.DataFrame:
    """Ask about each text alone and return every question with its reply, see `ask`.

    Only questions that the journal `replies_alone` does not hold are asked.

    Args:
        judge: A judge of kind llm.
        texts: The texts.
        clusters: One cluster per text, used in place of stem_id; None leaves stem_id empty.
        share: Share of the questions that is asked twice.
    """
    return ask(judge, questions(_alone(texts, clusters), share, judge.seed), replies_alone(judge))


def replies_alone(judge: LLMJudge) -> Path:
    """Return the journal, in the user's cache, of the replies about single texts."""
    return caching.cache_folder() / f"replies-{judge.name}.jsonl"


def _alone(texts: list[str], clusters=None) -> pd.DataFrame:
    """Return `pairings` of texts that have no partner."""
    plain, stems = [normalize(text) for text in texts], "" if clusters is None else list(clusters)
    return pd.DataFrame({"row": range(len(texts)), "text": plain, "other": None, "stem_id": stems}).astype(
        object
    )


def of_completions(judge: LLMJudge, completions: pd.DataFrame, replies: Path) -> np.ndarray:
    """Return the valence of each completion, shape (completions,), NaN where it was never scored.

    Args:
        judge: A judge of kind llm.
        completions: One row per completion, with PAIR_KEY, arm, stem_id and completion.
        replies: The journal of the replies.
    """
    table = completions.reset_index(drop=True)
    seen = pairings(table)
    return _mean_votes(seen, votes(asked_of(judge, table, replies)), table.index).to_numpy()


def asked_of(judge: LLMJudge, completions: pd.DataFrame, replies: Path) -> pd.DataFrame:
    """Ask about the completions and return every question with its reply, see `ask`.

    Only questions that the journal `replies` does not hold are asked.
    """
    seen = pairings(completions.reset_index(drop=True))
    return ask(judge, questions(seen, judge.retest_fraction, judge.seed), replies)


def pairings(completions: pd.DataFrame) -> pd.DataFrame:
    """Pair each completion with each of its partners.

    Texts are as `normalize` returns them. Missing completions are left out.

    Args:
        completions: Completions of one model. An optional column partner names the neutral draw of each.

    Returns:
        One row per completion and partner: row (position in the table), text, other (the partner's text;
        None: alone), stem_id.
    """
    every = completions.rename_axis("row").reset_index()
    texts = [None if pd.isna(text) else normalize(text) for text in every["completion"]]
    every = every[every.columns.intersection(["row", "arm", "stem_id", *PAIR_KEY, "partner"])].assign(
        model="", text=pd.Series(texts, every.index, dtype=object)
    )
    neutral = pairing.references(every, "neutral")
    others = pairing.with_partner(every[every["arm"] != "neutral"], neutral, _GROUP)
    partners = pairing.align_partner(others, neutral, _GROUP, ["row", "text"]).add_suffix("_neutral")
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
    return pd.concat([subset.astype(object) for subset in (one, two, alone)], ignore_index=True)


def questions(seen: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Return the distinct questions of `pairings`: first, second (None: alone), stem_id, sample_index.

    `pairings` lists a pair of different texts from both sides, so it is asked in both orders. Equal texts are
    one question. stem_id is the stem where the pair occurs first.

    Args:
        seen: The table of `pairings`; its text is the first text of the question.
        share: Share of the questions, chosen by a hash of question and `seed`, that is repeated with
            sample_index 1.
        seed: Seed of that choice.
    """
    once = seen.rename(columns={"text": "first", "other": "second"})[["first", "second", "stem_id"]]
    once = once.drop_duplicates(["first", "second"], ignore_index=True).assign(sample_index=0)
    repeated = [_draw(row.first, row.second, seed) < share for row in once.itertuples()]
    return pd.concat([once, once[repeated].assign(sample_index=1)], ignore_index=True)


def expected_questions(judge: LLMJudge, arms: pd.Series) -> int:
    """Return how many questions completions of these `arms` give on average if no two are equal.

    Each pair is asked in both orders; the retest fraction of the questions is asked again.
    """
    return round(2 * int((arms != "neutral").sum()) * (1 + judge.retest_fraction))


def _draw(first: str, second: str | None, seed: int) -> float:
    """Return a number from 0 to 1 that depends on question and seed alone, whatever else is asked."""
    digest = hashlib.sha256(json.dumps([seed, first, second]).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def ask(judge: LLMJudge, asked: pd.DataFrame, replies: Path) -> pd.DataFrame:
    """Ask the questions that the journal does not hold and read the verdicts.

    Args:
        judge: A judge of kind llm.
        asked: The table of `questions`.
        replies: The journal of the replies.

    Returns:
        The questions with reply (None where it is missing), outcome, note, ended, labels (a tuple, one label
        per text; None where unscored), valences likewise, and unscored: the reason why there is no verdict
        (None where scored), one of CUT_THINKING, CUT, SILENT, `outcomes.EMPTY`, or the outcome of a missing
        reply.
    """
    rubric, model = rubrics.read(judge.rubric), backend(judge)
    rendered = [model.question(rubrics.question(rubric, row.first, row.second)) for row in asked.itertuples()]
    # each question has its own noise
    noise = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in rendered]
    requested = asked.assign(rendered=rendered, group_id=noise, prompt_id=noise).astype({"rendered": object})
    # free questions: no context, stem or mitigation
    requested = requested.assign(
        mitigation=NO_MITIGATION, arm="", context=None, stem=None, mitigation_text=""
    )
    completed = _answered(requested, judge, model, replies)
    texts = [
        [text for text in pair if text is not None]
        for pair in zip(completed["first"], completed["second"], strict=True)
    ]
    # pandas may have turned None into NaN
    answers = [None if pd.isna(reply) else reply for reply in completed["completion"]]
    labels = [
        rubrics.verdict(rubric, reply, ended, about)
        for reply, ended, about in zip(answers, completed["ended"], texts, strict=True)
    ]
    scores = [
        None if verdict is None else tuple(rubric.labels[label] for label in verdict) for verdict in labels
    ]
    answered = zip(answers, completed["outcome"], completed["ended"], labels, strict=True)
    reasons = [
        None if verdict else _unscored(reply, outcome, ended) for reply, outcome, ended, verdict in answered
    ]
    columns = completed[["first", "second", "stem_id", "sample_index", "outcome", "note", "ended"]]
    objects = {"reply": answers, "labels": labels, "valences": scores, "unscored": reasons}
    return columns.assign(
        **{name: pd.Series(values, columns.index, dtype=object) for name, values in objects.items()}
    )


def _answered(requested: pd.DataFrame, judge: LLMJudge, model, replies: Path) -> pd.DataFrame:
    """Return `requested` with its replies, as `runner.generate` returns it.

    In half precision, rounding makes a reply depend on the other questions of its batch. There the questions
    are asked in blocks that depend on nothing but the questions, so that a run that was killed, or is
    repeated, gets the same replies.
    """
    config = _generation(judge)
    requested = runner.keyed(requested, config, model)
    if judge.model.server or judge.model.dtype == "float32":
        return runner.generate(requested, config, model, replies)
    distinct = runner.missing(requested, set())
    known = distinct["key"].isin(records.journal_keys(replies, among=distinct["key"]))
    with progress.bar(len(distinct), judge.name, "questions", int(known.sum())) as bar:
        for start in range(0, len(distinct), BLOCK):
            if not known.iloc[start : start + BLOCK].all():
                runner.generate(distinct.iloc[start : start + BLOCK], config, model, replies, bar=bar)
    return runner.generate(requested, config, model, replies)


def _unscored(reply: str | None, outcome: str, ended: bool) -> str:
    """Return the reason why a reply holds no verdict."""
    if outcome == outcomes.THOUGHT_UNFINISHED:
        return CUT_THINKING
    if outcome not in outcomes.USABLE:
        return outcome
    assert reply is not None
    if not any(letter.isalnum() for letter in reply):
        return outcomes.EMPTY
    return SILENT if ended else CUT


def _generation(judge: LLMJudge) -> Generation:
    """Return the judge's sampling settings in the form of a Generation section."""
    settings = {name: getattr(judge, name) for name in ("model", "temperature", "max_new_tokens", "seed")}
    return Generation(
        set_name="judging", is_mock=False, mitigations={}, samples=1, mitigation_samples=0, **settings
    )


def votes(asked: pd.DataFrame) -> pd.DataFrame:
    """Return one row per text of each question of `ask`.

    Returns:
        text, other, place (1 or 2), stem_id, sample_index, label and valence (missing where unscored).
    """
    first = asked.rename(columns={"first": "text", "second": "other"}).assign(place=1)
    second = (
        asked.dropna(subset="second").rename(columns={"first": "other", "second": "text"}).assign(place=2)
    )
    table = pd.concat([first, second], ignore_index=True)
    for column, plural in (("label", "labels"), ("valence", "valences")):
        pairs = zip(table[plural], table["place"], strict=True)
        table[column] = pd.Series(
            [values[place - 1] if values else None for values, place in pairs], table.index, dtype=object
        )
    columns = ["text", "other", "place", "stem_id", "sample_index", "label", "valence"]
    return table[columns].astype({"valence": float})


def _mean_votes(seen: pd.DataFrame, votes: pd.DataFrame, rows) -> pd.Series:
    """Return the mean valence of each of `rows` over the votes on its pairings.

    Repeated questions test the judge and do not count.
    """
    counted = seen.merge(votes[votes["sample_index"] == 0], on=["text", "other"])
    return counted.groupby("row")["valence"].mean().astype(float).reindex(rows)
