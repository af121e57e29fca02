"""Adapters as interventions: one that is trained on the half to find on, or a folder of your own."""

from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from lib.config.interventions import Consistency
from lib.config.specs import ARMS
from lib.generation import runner
from lib.interventions import adapters, consistency, perplexity
from lib.interventions.base import Intervention
from lib.interventions.consistency import Recipe
from lib.models.huggingface import HuggingFaceModel
from lib.storage import caching

TEXTS = 160  # ordinary texts that the adapter is held to; the passages of `perplexity` are others


class Adapted(Intervention):
    """A model with an adapter.

    Args:
        model: The backend.
        folder: The adapter's folder, as peft writes it.

    Raises:
        ParameterError: If the adapter is of another model, or not in the format safetensors.
    """

    def __init__(self, model: HuggingFaceModel, folder: Path):
        adapters.check(model, folder)
        super().__init__(f"adapter-1 {caching.sha256(folder / adapters.WEIGHTS)}")
        self.folder = folder

    @contextmanager
    def applied(self, model: HuggingFaceModel):
        """Put the adapter into the model; see `Intervention.applied`."""
        with consistency.adapted(model, self.folder):
            yield


def trained(name: str, spec: Consistency, found) -> Adapted:
    """The adapter of consistency training, trained unless the folder of the run holds it.

    Args:
        name: The intervention's name.
        spec: How it is trained.
        found: The `found.Found` of the model.
    """
    folder = folder_of(name, found)
    recipe = Recipe(
        rank=spec.rank, steps=spec.steps, rate=spec.rate, retain=spec.retain, seed=found.parameters.seed
    )
    consistency.train(found.model, groups(found), list(perplexity.other_texts(TEXTS)), recipe, folder)
    return Adapted(found.model, folder)


def folder_of(name: str, found) -> Path:
    """The folder of an adapter that is trained in this run."""
    return found.folder / "adapters" / found.model.spec.name / name


def losses(specs: dict, found) -> pd.DataFrame:
    """The losses of the adapters that are trained in this run; may be empty.

    Returns:
        The tables of `consistency.train`, with the columns intervention and kept (whether the adapter has the
        weights of this step).
    """
    tables = []
    for name, spec in specs.items():
        if isinstance(spec, Consistency):
            folder = folder_of(name, found)
            table = pd.read_csv(folder / consistency.LOSS)
            kept = table["step"] == adapters.facts(folder)["best_step"]
            tables.append(table.assign(intervention=name, kept=kept))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["intervention", "part"])


def groups(found) -> pd.DataFrame:
    """The prompts of a `found.Found` that an adapter is trained on, with what the model wrote after them.

    Returns:
        One row per group and charged arm: group_id, stem_id, charged and neutral (rendered prompts),
        continuation (of the untouched model after the neutral prompt; "" where there was no answer).
    """
    parameters = found.parameters.model_copy(
        update={"mitigations": {}, "samples": {arm: int(arm == "neutral") for arm in ARMS}}
    )
    requested = runner.requests(found.prompts, parameters, found.model)
    journal = found.folder / f"{found.model.spec.name}.found.jsonl"
    neutral = runner.generate(requested, parameters, found.model, journal).set_index("group_id")
    charged = found.prompts[found.prompts["arm"] != "neutral"].reset_index(drop=True)
    partner = neutral.loc[charged["group_id"]]
    return pd.DataFrame(
        {
            "group_id": charged["group_id"],
            "stem_id": charged["stem_id"],
            "charged": found.rendered(charged),
            "neutral": partner["rendered"].to_numpy(),
            "continuation": partner["completion"].fillna("").to_numpy(),
        }
    )
