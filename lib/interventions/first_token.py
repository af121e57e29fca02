"""How much of the leak is left at the very next token: exact, and cheap enough to try many strengths."""

from contextlib import nullcontext

import numpy as np
import pandas as pd

from lib.generation import next_token, plans
from lib.interventions.base import Intervened
from lib.models.huggingface import HuggingFaceModel, map_threads

_PROMPTS = 16  # of a forward pass


def valences(model: HuggingFaceModel | Intervened, prompts: pd.DataFrame) -> np.ndarray:
    """Expected lexicon valence of the next token of each prompt (`lib.generation.next_token`).

    Args:
        model: The backend, with or without an intervention.
        prompts: One row per prompt, with its context and stem.

    Returns:
        Points of the human scale, shape (prompts,).
    """
    rendered = [model.render(row.context, row.stem, "") for row in prompts.itertuples()]
    of_token = next_token.token_valences(
        model.tokenizer, model.weights.get_output_embeddings().weight.shape[0]
    )
    parts = [rendered[start : start + _PROMPTS] for start in range(0, len(rendered), _PROMPTS)]

    def of_part(part: list[str]) -> list[float]:
        records = next_token.measures(range(len(part)), part, model.next_logits(part), of_token)
        return [record["expected_valence"] for record in records]

    with model.applied() if isinstance(model, Intervened) else nullcontext():
        results = map_threads(of_part, parts, plans.usual(model))
    return np.array([value for part in results for value in part])


def shift(values: np.ndarray, prompts: pd.DataFrame) -> float:
    """Mean shift of the charged prompts' next token in the direction of their context, points.

    Args:
        values: The valence of each prompt.
        prompts: One row per prompt: group_id and arm; every group has its neutral arm.
    """
    wide = prompts.assign(value=values).pivot(index="group_id", columns="arm", values="value")
    return float(((wide["positive"] - wide["negative"]) / 2).mean())
