"""Judges: from the text of a completion to its valence, −4 (most negative) to +4 (most positive).

A judge is data (`specs.Judge`) with a version. Judges of every kind return an array of valences on the human
scale, NaN where there is no verdict.
"""

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from lib.config.specs import Judge
from lib.judging import verdicts
from lib.nlp import vader
from lib.nlp.text import normalize
from lib.runtime.errors import MissingPackageError

_DESCRIBED = [
    "prompt_id",
    "domain",
    "slot",
    "pronoun",
    "kind",
    "emotion",
    "intensity",
    "form",
    "literal_senses",
    "context",
    "stem",
]


def version(judge: Judge) -> str:
    """Return the judge's version: a name for everything but the text that a verdict depends on.

    Two versions are two judges.
    """
    return vader.VERSION if judge.kind == "vader" else _module(judge).version(judge)


def prepare(judge: Judge) -> None:
    """Fetch what a judge needs, or raise the error that explains what is wrong with it, before anything runs.

    No weights are loaded.
    """
    if judge.kind == "learned":
        _module(judge).fetch()
    version(judge)


def _module(judge: Judge) -> ModuleType:
    """Import and return the module of a judge's kind, with `version(judge)` and `valences(judge, texts)`."""
    try:
        if judge.kind == "learned":
            import lib.judging.learned

            return lib.judging.learned
        if judge.kind == "classifier":
            import lib.judging.classifier_judge

            return lib.judging.classifier_judge
        import lib.judging.llm_judge

        return lib.judging.llm_judge
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"judge {judge.name!r} of kind {judge.kind!r} needs {error.name}, which is not installed; "
            "install it, or choose another judge",
            name=error.name,
        ) from error


def valences(judge: Judge, texts: list[str]) -> np.ndarray:
    """Return the valence of each text, shape (texts,), NaN where the judge has no verdict.

    Each distinct text is judged once; the verdicts of every kind but vader are stored. Texts are judged as
    `normalize` returns them, so a verdict does not depend on the shape of an apostrophe.
    """
    plain = [normalize(text) if isinstance(text, str) else None for text in texts]
    codes, distinct = pd.factorize(np.array(plain, dtype=object))  # −1 where there is no text
    if judge.kind == "vader":  # faster than looking up stored verdicts
        values = vader.valences(distinct)
    else:
        values = verdicts.cached(
            version(judge), distinct, lambda texts: _module(judge).valences(judge, texts)
        )
    return np.append(values, np.nan)[codes]


def of_rated(judge: Judge, ratings: pd.DataFrame) -> np.ndarray:
    """Return the valence of each rated text, by a judge that was not trained on the text or its document.

    Args:
        judge: The judge; one of kind learned gives its held-out predictions for `human_ratings.read()`.
        ratings: Rows of `human_ratings.read()`, or of `own_ratings.read`, on which no judge was trained.

    Raises:
        ValueError: Of `llm_reliability.demand_scored`, if too many replies of a judge of kind llm hold no
            verdict.
    """
    if judge.kind == "learned" and not ("own" in ratings and ratings["own"].all()):
        return _module(judge).out_of_fold(judge, ratings)
    texts = ratings["text"].tolist()
    values = valences(judge, texts)
    if judge.kind == "llm" and np.isnan(values).any():
        from lib.judging import llm_judge, llm_reliability

        llm_reliability.demand_scored(
            llm_judge.ask_single(judge, texts), judge.name, llm_judge.replies_alone(judge)
        )
    return values


def judgements(
    completions: pd.DataFrame,
    prompts: pd.DataFrame,
    judge: Judge,
    charged_threshold: float,
    replies: Path | None = None,
) -> pd.DataFrame:
    """Return the completions with the description of their prompt and the verdicts of `judge`.

    A completion that is missing (`lib.replies.outcomes`) has neither valence nor charged nor repeats.

    Args:
        completions: Completions of `lib.generation.runner`.
        prompts: The prompts; their columns that describe a prompt are joined on prompt_id.
        judge: The judge. One of kind llm sees pairs of completions.
        charged_threshold: A completion is charged if its |valence| is above this value.
        replies: The journal in which the replies of a judge of kind llm are kept.

    Returns:
        The completions with the columns judge, valence, charged (missing where there is no valence) and
        repeats (see `repeats_charge`) added.
    """
    described = prompts[_DESCRIBED]
    table = completions.merge(described, on="prompt_id", how="left", validate="many_to_one")
    table["judge"] = version(judge)
    if judge.kind == "llm":
        table["valence"] = _module(judge).of_completions(judge, table, replies)
    else:
        table["valence"] = valences(judge, table["completion"].tolist())
    table["charged"] = charged(table["valence"], charged_threshold)
    about = zip(table["completion"], table["context"], table["literal_senses"], strict=True)
    table["repeats"] = pd.array(
        [None if pd.isna(texts[0]) else repeats_charge(*texts) for texts in about], "boolean"
    )
    return table


def charged(valence: pd.Series, charged_threshold: float) -> pd.Series:
    """Return whether each |valence| is above the threshold, missing where there is no valence."""
    return (valence.abs() > charged_threshold).astype("boolean").mask(valence.isna())


def repeats_charge(completion: str, context: str, literal_senses: str = "") -> bool:
    """Return whether a completion repeats a charged word of its context or one of the `literal_senses`.

    A word counts in its exact form, ignoring case.

    Args:
        completion: The completion.
        context: Its context; the words that VADER's lexicon scores are looked for.
        literal_senses: The words of an idiom that have a sense of their own ("blue"), joined by ';'.
    """
    charged_words = (_words(context) & vader.lexicon().keys()) | set(literal_senses.split(";"))
    return bool(charged_words & _words(completion))


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+(?:-[a-z]+)*", normalize(text).casefold()))
