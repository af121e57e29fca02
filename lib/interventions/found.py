"""What interventions are found on: the half of the benchmark that the run does not evaluate.

Directions, heads, the best layer and adapters all come from the prompts of this half, and from nothing else
of the benchmark. Positive controls are not looked at either, nor are the passages by which costs are
measured: a layer's harm is seen by eight others.
"""

import hashlib
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from lib.config import params
from lib.config.interventions import Ablate
from lib.config.sections import Dataset, Generation, Interventions
from lib.dataset import curated_prompts, own_sentences
from lib.interventions import first_token, modules, perplexity, states
from lib.interventions.base import Intervened
from lib.interventions.steering import Ablation
from lib.models import registry
from lib.models.huggingface import HuggingFaceModel
from lib.runtime import progress
from lib.storage import records

STRENGTHS = (0.5, 1.0, 2.0)  # tried at every third layer
GROUPS = 24  # of the half, on which strengths are tried; all serve for directions
MOST_PERPLEXITY = 1.1  # ratio beyond which a layer is not chosen, this project's choice
SWEEP = ["layer", "strength", "shift", "retained", "perplexity"]
ARMS = ("neutral", "negative", "positive")


def of_run(run: Interventions) -> "Found":
    """The model of a run on the half that the run does not evaluate; its files lie in the run's folder."""
    folder = records.run_folder(run.set_name) / "interventions"
    return Found(registry.load(run.model), params.dataset(run.set_name), run, folder)


class Found:
    """A model on the half that interventions are found on.

    Args:
        model: The backend.
        dataset: The dataset section of the parameter set.
        parameters: The generation section.
        folder: Where journals and adapters are kept.
    """

    def __init__(self, model: HuggingFaceModel, dataset: Dataset, parameters: Generation, folder: Path):
        self.model, self.dataset, self.parameters, self.folder = model, dataset, parameters, folder
        sentences = own_sentences.read(dataset.model_copy(update={"half": "found"}))
        prompts = curated_prompts.build(dataset.seed, None, 1, None, sentences)
        self.prompts = prompts[prompts["arm"].isin(ARMS)].reset_index(drop=True)

    @cached_property
    def states(self) -> states.States:
        """The states at the ends of the prompts."""
        return states.read(self.model, self.rendered(self.prompts))

    @cached_property
    def directions(self) -> torch.Tensor:
        """The direction of sentiment of each layer (layers + 1, width)."""
        return states.direction(self.states.hidden, self.prompts)

    @cached_property
    def heads(self) -> pd.DataFrame:
        """How much of the direction each head carries; see `states.carried`."""
        return states.carried(self.states, self.prompts, modules.joins(self.model.weights))

    @cached_property
    def sweep(self) -> pd.DataFrame:
        """What an ablation at one layer does, at every third layer and each of STRENGTHS.

        Returns:
            One row per layer and strength: layer, strength, shift (of the next token, points), retained
            (share of that without an intervention), perplexity (ratio on the passages).
        """
        groups = self.prompts["group_id"].drop_duplicates().head(GROUPS)
        prompts = self.prompts[self.prompts["group_id"].isin(groups) & (self.prompts["arm"] != "neutral")]
        texts = perplexity.passages_to_choose_by()
        bare = first_token.shift(first_token.valences(self.model, prompts), prompts)
        plain = perplexity.measure(self.model, texts)
        layers = range(1, len(self.directions), 3)
        rows = []
        for layer in progress.track(list(layers), "strengths", "layers"):
            for strength in STRENGTHS:
                changed = Intervened(self.model, self.ablation([layer], strength), f"layer {layer}")
                left = first_token.shift(first_token.valences(changed, prompts), prompts)
                with changed.applied():
                    cost = perplexity.ratio(perplexity.measure(changed, texts), plain, 0.95)["perplexity"]
                rows.append((layer, strength, left, left / bare, cost))
        return pd.DataFrame(rows, columns=SWEEP)

    def tried(self, specs: dict) -> pd.DataFrame:
        """The table of `sweep`, empty if no intervention of `specs` asks for the best layer."""
        needs = any(isinstance(spec, Ablate) and spec.layers == "best" for spec in specs.values())
        return self.sweep if needs else pd.DataFrame(columns=SWEEP)

    def best_layer(self, strength: float) -> int:
        """The layer where an ablation leaves least of the shift, among those that leave perplexity alone.

        A layer counts if the perplexity of passages rises by less than MOST_PERPLEXITY; if none does, the
        one with the least perplexity is taken. The strength of the sweep nearest to `strength` decides.
        """
        nearest = min(STRENGTHS, key=lambda tried: abs(tried - strength))
        tried = self.sweep[self.sweep["strength"] == nearest]
        harmless = tried[tried["perplexity"] < MOST_PERPLEXITY]
        if harmless.empty:
            return int(tried.loc[tried["perplexity"].idxmin(), "layer"])
        return int(harmless.loc[harmless["shift"].abs().idxmin(), "layer"])

    def ablation(self, layers: list[int], strength: float) -> Ablation:
        """An ablation of the direction of sentiment at these layers, counted from 1."""
        # rounded, so that the last bits of another machine's sums change nothing
        units = torch.round(states.units(self.directions), decimals=5)
        neutral = torch.tensor(self.prompts["arm"].eq("neutral").tolist())
        means = (self.states.hidden[neutral].double() * units).sum(dim=-1).mean(dim=0)
        chosen = {layer: (units[layer], round(float(means[layer]), 4)) for layer in layers}
        return Ablation(f"ablation-1 {self.digest} {layers} {strength:g}", chosen, strength)

    @cached_property
    def digest(self) -> str:
        """A hash of the prompts of the half, for identities."""
        text = "\n".join(self.rendered(self.prompts))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def rendered(self, prompts: pd.DataFrame) -> list[str]:
        """The prompts as the model sees them."""
        return [self.model.render(row.context, row.stem, "") for row in prompts.itertuples()]
