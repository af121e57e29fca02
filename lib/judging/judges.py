"""Judges: from the text of a completion to its valence on the human scale, −4 (most negative) to +4 (most
positive).

A judge is data (`specs.Judge`) with a version; of whatever kind, it gives an array of valences, NaN where it
has no verdict.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from lib.config.specs import Judge
from lib.judging import verdicts
from lib.nlp import vader
from lib.nlp.text import normalize

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
    """What a verdict depends on beside the text, as a name: another version, another judge."""
    return vader.VERSION if judge.kind == "vader" else _module(judge).version(judge)


def prepare(judge: Judge) -> None:
    """Fetch what a judge needs, or say what is wrong with it, before anything runs; no weights are loaded."""
    if judge.kind == "learned":
        _module(judge).fetch()
    version(judge)


def _module(judge: Judge):
    """The module of a judge's kind, with `version(judge)` and `valences(judge, texts)`; imported when it is
    asked."""
    try:
        if judge.kind == "learned":
            import lib.judging.learned as module
        elif judge.kind == "classifier":
            import lib.judging.classifier_judge as module
        else:
            import lib.judging.llm_judge as module
        return module
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"judge {judge.name!r} of kind {judge.kind!r} needs {error.name}, which is not installed; "
            "install it, or choose another judge",
            name=error.name,
        ) from error


def valences(judge: Judge, texts: list[str]) -> np.ndarray:
    """Valence of each text, shape (texts,), NaN where the judge has no verdict; each distinct text is judged
    once, for good.

    A text is judged as `normalize` leaves it, so that no verdict hangs on the shape of an apostrophe.
    """
    plain = [normalize(text) if isinstance(text, str) else None for text in texts]
    places, distinct = pd.factorize(np.array(plain, dtype=object))  # −1 where there is no text
    if judge.kind == "vader":  # faster than looking up what it said before
        given = vader.valences(distinct)
    else:
        given = verdicts.kept(version(judge), distinct, lambda texts: _module(judge).valences(judge, texts))
    return np.append(given, np.nan)[places]


def of_rated(judge: Judge, ratings: pd.DataFrame) -> np.ndarray:
    """Valence of each text of `human_ratings.read()`, by a judge that did not learn from the text or its
    document; or of `own_ratings.read`, from which no judge has learnt.

    ValueError of `llm_reliability.demand_scored` where too many replies of a judge that is asked hold no
    verdict.
    """
    if judge.kind == "learned" and not ("own" in ratings and ratings["own"].all()):
        return _module(judge).out_of_fold(judge, ratings)
    texts = ratings["text"].tolist()
    given = valences(judge, texts)
    if judge.kind == "llm" and np.isnan(given).any():
        from lib.judging import llm_judge, llm_reliability

        llm_reliability.demand_scored(
            llm_judge.ask_single(judge, texts), judge.name, llm_judge.replies_alone(judge)
        )
    return given


def judgements(
    completions: pd.DataFrame,
    prompts: pd.DataFrame,
    judge: Judge,
    charged_threshold: float,
    replies: Path | None = None,
) -> pd.DataFrame:
    """The completions with what describes their prompt and with the columns judge, valence, charged, repeats.

    A judge of kind llm sees pairs of completions, and its replies are kept in the journal `replies`.
    charged: |valence| above `charged_threshold`, missing where there is no valence. repeats: see
    `repeats_charge`. A completion that is missing (`lib.replies.outcomes`) has neither valence nor the
    others.
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
        [None if pd.isna(told[0]) else repeats_charge(*told) for told in about], "boolean"
    )
    return table


def charged(valence: pd.Series, charged_threshold: float) -> pd.Series:
    """Whether each |valence| is above the threshold, missing where there is no valence."""
    return (valence.abs() > charged_threshold).astype("boolean").mask(valence.isna())


def repeats_charge(completion: str, context: str, literal_senses: str = "") -> bool:
    """Whether a completion holds a word of its context that VADER's lexicon scores, or one of its
    `literal_senses`.

    The latter are the words of an idiom that have a sense of their own ("blue"), joined by ';'. Exact form,
    case ignored.
    """
    telling = (_words(context) & vader.lexicon().keys()) | set(literal_senses.split(";"))
    return bool(telling & _words(completion))


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+(?:-[a-z]+)*", normalize(text).casefold()))
