"""Complete a stem after a context and after its neutral partner, with the same noise in each draw.

The module also computes how the context changes the next token. Its functions take and return tables, and use
no widget; `page_rows` and `page_tokens` convert two of these tables to plain values for the page.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.config.specs import NO_MITIGATION, Judge
from lib.judging import judges
from lib.nlp import vader
from lib.nlp.text import normalize
from lib.replies import outcomes
from lib.runtime.errors import DataError

ARMS = ("context", "neutral")
# keys the noise; equal for every pair, so that a draw keeps its noise while the sentences change
GROUP = "lab"
MOST_DRAWS, MOST_CHARACTERS, HOTTEST = 20, 1000, 5.0
QUICK = 1.5  # seconds; if a draw takes less, the others are requested together
COLUMNS = ["sample_index", "arm", "completion", "outcome", "note", "valence"]
TOKEN_COLUMNS = ["token", "neutral", "context", "difference"]


@dataclass(frozen=True)
class Settings:
    """The settings that can be changed in the lab; `model` is a key of `choices.models`."""

    context: str
    neutral: str
    stem: str
    model: str
    temperature: float
    draws: int


def settings(values: dict) -> Settings:
    """Validate `values` as typed into the lab.

    Raises:
        ValueError: If a value cannot be used; the message is one line on the first such value.
    """
    names = {"context": "context", "neutral": "neutral partner", "stem": "stem"}
    texts = {name: normalize(str(values.get(name) or "")) for name in names}
    for name, text in texts.items():
        if not any(map(str.isalpha, text)):
            raise DataError(f"{names[name]} {text!r}: holds no letter; write a sentence")
        if len(text) > MOST_CHARACTERS:
            raise DataError(f"{names[name]}: {len(text)} characters; {MOST_CHARACTERS} at most, shorten it")
    temperature, draws = _number(values, "temperature"), _number(values, "draws")
    if not 0 <= temperature <= HOTTEST:
        raise DataError(
            f"temperature {temperature:g}: give a number from 0 (always the most probable token) to "
            f"{HOTTEST:g}"
        )
    if draws != int(draws) or not 1 <= draws <= MOST_DRAWS:
        raise DataError(f"draws {draws:g}: give a whole number from 1 to {MOST_DRAWS}")
    return Settings(**texts, model=str(values.get("model")), temperature=temperature, draws=int(draws))


def _number(values: dict, name: str) -> float:
    try:
        number = float(values[name])
    except (KeyError, TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise DataError(f"{name} {values.get(name)!r}: is no number; give one")
    return number


def requests(pair: Settings, model) -> pd.DataFrame:
    """Build the requests: one row per completion, two rows per draw.

    Args:
        pair: Settings of the lab.
        model: Backend that renders the prompts.

    Returns:
        The requests, with the columns that `model.reply` needs.
    """
    shared = {
        "group_id": GROUP,
        "stem_id": GROUP,
        "stem": pair.stem,
        "mitigation": NO_MITIGATION,
        "mitigation_text": "",
    }
    arms = [
        shared
        | {
            "prompt_id": f"{GROUP}/{arm}",
            "arm": arm,
            "context": text,
            "rendered": model.render(text, pair.stem, ""),
        }
        for arm, text in ((arm, getattr(pair, arm)) for arm in ARMS)
    ]
    return pd.DataFrame({"sample_index": range(pair.draws)}).merge(pd.DataFrame(arms), how="cross")


def complete(
    requested: pd.DataFrame, model, judge: Judge, sampled: dict, on_prompts: Callable | None = None
) -> Iterator[pd.DataFrame]:
    """Yield the completions of `requests` as they are finished.

    Draws are requested one by one. Once a draw is quick (QUICK), the rest is requested together.

    Args:
        requested: Table of `requests`.
        model: Backend that generates.
        judge: Judge of the completions.
        sampled: temperature, max_new_tokens and seed.
        on_prompts: See `HuggingFaceModel.reply`.

    Yields:
        Tables with COLUMNS. A missing completion has an outcome and no valence (see `lib.replies.outcomes`).
    """
    first, size, draws = 0, 1, requested["sample_index"].max() + 1
    while first < draws:
        started = time.monotonic()
        batch = requested[requested["sample_index"].between(first, first + size - 1)]
        options = {"on_prompts": on_prompts} if on_prompts and not first else {}
        replies = model.reply(batch, **sampled, **options)
        finished = settle(batch, replies, model, judge)
        first, size = first + size, draws if time.monotonic() - started < QUICK else 1
        yield finished


def settle(batch: pd.DataFrame, replies: list, model, judge: Judge) -> pd.DataFrame:
    """Judge replies, and return them as a table with COLUMNS."""
    markers, thinking = tuple(model.spec.thought_markers), model.opens_thought(batch["rendered"].iloc[0])
    outcomes_of_batch = [
        outcomes.settle(reply, row.context, row.stem, "", markers, thinking)
        for row, reply in zip(batch.itertuples(), replies, strict=True)
    ]
    table = batch.assign(
        completion=[each.completion for each in outcomes_of_batch],
        outcome=[each.outcome for each in outcomes_of_batch],
        note=[each.note for each in outcomes_of_batch],
    )
    return table.assign(valence=judges.valences(judge, table["completion"].tolist()))[COLUMNS]


def next_tokens(rendered: dict[str, str], prompts: list[str], logits, tokenizer) -> pd.DataFrame:
    """Compute how the context changes the probability of each next token.

    Args:
        rendered: Prompts by arm.
        prompts: Prompts in the order of the rows of `logits`.
        logits: Tensor of shape (prompts, vocabulary).
        tokenizer: Tokenizer of the model.

    Returns:
        One row per token of the vocabulary, with TOKEN_COLUMNS; the largest gain comes first. Probabilities
        are the model's own (temperature 1), in %.
    """
    probability = {
        arm: 100.0 * logits[prompts.index(prompt)].double().softmax(dim=-1).cpu().numpy()
        for arm, prompt in rendered.items()
    }
    size = min(len(tokenizer), len(probability["context"]))
    table = pd.DataFrame({arm: probability[arm][:size] for arm in ("neutral", "context")})
    table["difference"] = table["context"] - table["neutral"]
    table = table.sort_values("difference", ascending=False, kind="stable")
    return table.assign(token=table.index)[TOKEN_COLUMNS].reset_index(drop=True)


def most_changed(table: pd.DataFrame, tokenizer, count: int = 10) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Select the `count` tokens of `next_tokens` that gain most, and those that lose most.

    Tokens are decoded to text. Tokens that neither gain nor lose are left out.
    """
    gains = table.head(count)[lambda rows: rows["difference"] > 0]
    losses = table.tail(count)[::-1][lambda rows: rows["difference"] < 0]
    return tuple(
        subset.assign(token=[tokenizer.decode([token]) for token in subset["token"]])
        for subset in (gains, losses)
    )


def marked(text: str) -> list[tuple[str, float]]:
    """Split `text` into pieces, each with its valence in VADER's lexicon (−4 … +4; 0 if it has none)."""
    lexicon = vader.lexicon()
    pieces: list[tuple[str, float]] = []
    for token in re.findall(r"\s+|\S+", text):
        token_valence = lexicon.get(normalize(token).casefold())
        segments = [token] if token_valence else re.findall(r"\w+(?:['’-]\w+)*|\W+", token)
        for segment in segments:
            valence = float(lexicon.get(normalize(segment).casefold(), 0.0))
            if pieces and not pieces[-1][1] and not valence:
                pieces[-1] = (pieces[-1][0] + segment, 0.0)
            else:
                pieces.append((segment, valence))
    return pieces


def page_rows(table: pd.DataFrame) -> list[dict]:
    """Return the completions for the page, one entry per draw.

    An entry has the number of the draw and, for each arm, pieces, text, outcome, note and valence.
    """
    lines: dict[int, dict] = {}
    for row in table.itertuples():
        text = row.completion if isinstance(row.completion, str) else None
        lines.setdefault(row.sample_index, {"draw": int(row.sample_index) + 1})[row.arm] = {
            "pieces": marked(text) if text else [],
            "text": text,
            "outcome": row.outcome,
            "note": row.note,
            "valence": None if pd.isna(row.valence) else round(float(row.valence), 2),
        }
    return list(lines.values())


def page_tokens(table: pd.DataFrame, tokenizer) -> dict[str, list[dict]]:
    """Return the tokens that gain most and those that lose most, for the page.

    A token that begins a word has its lexicon valence; all others have 0.
    """
    changes = {}
    for name, subset in zip(("gains", "losses"), most_changed(table, tokenizer), strict=True):
        valences = [
            sum(valence for _, valence in marked(token)) if token[:1] == " " else 0.0
            for token in subset["token"]
        ]
        changes[name] = subset.round(3).assign(valence=valences).to_dict("records")
    return changes
