"""What consistency training reads: groups of prompts as tokens, the held-out stems, the batches of a step."""

import hashlib
import json
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import pandas as pd

from lib.config.specs import ParameterError

PLAIN_TOKENS = 48  # most tokens of an ordinary text
COLUMNS = ["group_id", "stem_id", "charged", "neutral", "continuation"]
_MOST_HELD_OUT = 16  # groups and texts of an evaluation, which is repeated
_STEMS, _PLAIN, _GROUP_ORDER, _PLAIN_ORDER = range(4)  # random streams of a seed


@dataclass(frozen=True)
class Group:
    """A neutral prompt and its charged ones, all followed by the same continuation.

    Attributes:
        stem_id: The stem that the prompts share.
        charged: Tokens of each charged prompt with the continuation.
        neutral: Tokens of the neutral prompt with the continuation.
        positions: How many tokens at the end are compared: the last one of the prompt and the continuation.
    """

    stem_id: str
    charged: tuple[list[int], ...]
    neutral: list[int]
    positions: int


@dataclass(frozen=True)
class Data:
    """Groups and ordinary texts, divided into those trained on and those held out.

    Attributes:
        train: Groups to train on.
        held_out: Groups of other stems.
        plain: Tokens of ordinary texts to train on.
        plain_held_out: Those of other texts.
        left_out: group_id of each group whose sides do not end in the same tokens.
    """

    train: list[Group]
    held_out: list[Group]
    plain: list[list[int]]
    plain_held_out: list[list[int]]
    left_out: list[str]


def digest(groups: pd.DataFrame, plain: list[str]) -> str:
    """Return a hash of the texts that an adapter is trained on."""
    content = [groups[COLUMNS].to_numpy().tolist(), plain]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def held_out_stems(groups: pd.DataFrame, share: float, seed: int) -> set[str]:
    """Draw the stems that no training step sees.

    Args:
        groups: A table with the column stem_id.
        share: Share of the stems; at least one is held out.
        seed: Seed of the draw.

    Raises:
        ParameterError: If no stem is left to train on.
    """
    stems = sorted(groups["stem_id"].unique())
    count = max(1, round(share * len(stems)))
    if count >= len(stems):
        raise ParameterError(
            f"consistency training: {len(stems)} stems, {count} of them held out, leave none to train on; "
            "give more stems or lower `held_out`"
        )
    return set(_rng(seed, _STEMS).permutation(stems)[:count].tolist())


def read(model, groups: pd.DataFrame, plain: list[str], share: float, seed: int) -> Data:
    """Tokenise what a model is trained on and divide it.

    Args:
        model: The backend, whose `token_ids` are used.
        groups: One row per group and charged arm, with COLUMNS.
        plain: Ordinary texts; each is cut to PLAIN_TOKENS.
        share: Share of the stems, and of the ordinary texts, that is held out. Of them at most 16 groups and
            16 texts are read.
        seed: Seed of the division.

    Raises:
        ParameterError: If nothing is left to train on or to hold out.
    """
    held_out, left_out = held_out_stems(groups, share, seed), []
    parts: dict[bool, list[Group]] = {True: [], False: []}
    for (group_id, *_), rows in groups.groupby(["group_id", "neutral", "continuation"], sort=False):
        group = _aligned(model, rows)
        if group is None:
            left_out.append(str(group_id))
        else:
            parts[group.stem_id in held_out].append(group)
    if not all(parts.values()):
        raise ParameterError(
            f"consistency training: {len(parts[False])} groups to train on and {len(parts[True])} held out "
            f"({len(left_out)} left out, whose continuation has other tokens after the charged prompt); give "
            "more groups"
        )
    rng = _rng(seed, _PLAIN)
    texts = [ids[:PLAIN_TOKENS] for ids in model.token_ids(plain)] if plain else []
    texts = [texts[index] for index in rng.permutation(len(texts))]
    cut = min(round(share * len(texts)), _MOST_HELD_OUT)
    chosen = rng.permutation(len(parts[True]))[:_MOST_HELD_OUT]
    return Data(
        parts[False],
        [parts[True][index] for index in sorted(chosen)],
        [ids for ids in texts[cut:] if ids],
        [ids for ids in texts[:cut] if ids],
        left_out,
    )


def _aligned(model, rows: pd.DataFrame) -> Group | None:
    """The group of these rows; None if the continuation has other tokens after one of the prompts.

    A tokenizer may join the end of a prompt and the beginning of the continuation to one token.
    """
    first = rows.iloc[0]
    prompts = [first["neutral"], *rows["charged"]]
    joint = model.token_ids([_joined(prompt, first["continuation"]) for prompt in prompts])
    counts = [
        len(ids) - _common(prompt, ids) for prompt, ids in zip(model.token_ids(prompts), joint, strict=True)
    ]
    count, (neutral, *charged) = counts[0], joint
    tail = neutral[len(neutral) - count :]
    same = all(ids[len(ids) - count :] == tail for ids in charged) and set(counts) == {count}
    if not same or count >= min(map(len, joint)):
        return None
    return Group(first["stem_id"], tuple(charged), neutral, count + 1)


def _joined(prompt: str, continuation: str) -> str:
    words = continuation.strip()
    return prompt + ("" if prompt[-1:].isspace() or not words else " ") + words


def _common(one: list[int], other: list[int]) -> int:
    """Number of tokens with which both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def batches(data: Data, steps: int, size: int, seed: int) -> list[tuple[list[Group], list[list[int]]]]:
    """The groups and ordinary texts of each step, `size` of each; all once before any comes again."""
    groups = _order(len(data.train), steps, size, _rng(seed, _GROUP_ORDER))
    plain = _order(len(data.plain), steps, size, _rng(seed, _PLAIN_ORDER))
    return [
        ([data.train[index] for index in chosen], [data.plain[index] for index in texts])
        for chosen, texts in zip(groups, plain, strict=True)
    ]


def _order(count: int, steps: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Indices below `count` for each step, at most `size`."""
    size = min(size, count)
    epochs = [rng.permutation(count) for _ in range(-(-steps * size // max(count, 1)))]
    return list(np.concatenate([*epochs, np.empty(0, int)])[: steps * size].reshape(steps, size))


def _rng(seed: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, stream])
