"""Consistency training: an adapter under which a charged, unrelated context changes nothing.

After a charged context the model is trained to give the distributions of the next token that the untouched
model gives after the neutral context of the same group: bias-augmented consistency training (Chua et al.,
2024, arXiv 2403.05518; Irpan et al., 2025, arXiv 2510.27062), here on whole distributions instead of sampled
answers. The adapter is of low rank (LoRA, Hu et al., ICLR 2022). A retention term holds the distributions
after neutral prompts and within ordinary texts where they were.

An adapter is a folder as peft writes it, with ours beside: KEY (what it was trained on and how) and LOSS.
"""

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lib.config.specs import ParameterError
from lib.interventions import adapters, consistency_data, consistency_loss
from lib.interventions.consistency_data import Data, Group
from lib.models.huggingface import HuggingFaceModel
from lib.runtime import progress
from lib.storage import caching, records

VERSION = "consistency-1"  # change it with any change that alters a trained weight
KEY, LOSS = adapters.KEY, "loss.csv"


@dataclass(frozen=True)
class Recipe:
    """How an adapter is trained.

    Attributes:
        rank: Rank of the change of each matrix.
        alpha: The change counts alpha / rank.
        targets: Modules that are changed, as peft names them.
        steps: Most training steps.
        batch: Groups, and ordinary texts, of a step.
        rate: Peak learning rate; a tenth of the steps to warm up, then a cosine to 0.
        retain: Weight of the retention term.
        held_out: Share of the stems, and of the ordinary texts, that no step sees.
        every: Steps between two evaluations of what is held out.
        patience: Evaluations without improvement after which the training stops.
        seed: Seed of the adapter's first weights, the division and the order.
    """

    rank: int = 8
    alpha: int = 16
    targets: str = "all-linear"
    steps: int = 60
    batch: int = 4
    rate: float = 1e-3
    retain: float = 1.0
    held_out: float = 0.2
    every: int = 15
    patience: int = 3
    seed: int = 1


def train(
    model: HuggingFaceModel, groups: pd.DataFrame, plain: list[str], recipe: Recipe, folder: Path
) -> pd.DataFrame:
    """Train an adapter, or read how it was trained where the folder holds it already.

    Args:
        model: The untouched model; it is left as it was.
        groups: One row per group and charged arm: group_id, stem_id, charged and neutral (rendered prompts),
            continuation (what the untouched model wrote after the neutral prompt; may be empty).
        plain: Ordinary texts, with and without sentiment.
        recipe: How it is trained.
        folder: Where the adapter is written. An adapter that was trained here on something else is replaced.

    Returns:
        step (0: before training), part, loss (mean Kullback-Leibler divergence of a token from the untouched
        model, nats), seconds since the start. Parts: `train` (charged against neutral) and `retain` of each
        step's batch; `held_out` and `held_out_retain`, the same of what no step sees, at each evaluation. The
        weights kept are those with the lowest held_out + retain · held_out_retain.

    Raises:
        ParameterError: If there is too little to train on, the model's layers cannot be adapted, the folder
            holds something else, or a loss is not finite.
    """
    key = {
        "version": VERSION,
        "recipe": asdict(recipe),
        "model": model.fingerprint,
        "data": consistency_data.digest(groups, plain),
    }
    records.check_writable(folder.parent)
    with caching.locked(folder, f"trains {folder.name}"):
        if adapters.is_free(folder) or not key.items() <= adapters.facts(folder).items():
            _train(model, groups, plain, recipe, folder, key)
    return pd.read_csv(folder / LOSS)


def _train(
    model: HuggingFaceModel, groups, plain: list[str], recipe: Recipe, folder: Path, key: dict
) -> None:
    """Train an adapter and write its folder."""
    adapters.check_targets(model, _config(recipe))
    data = consistency_data.read(model, groups, plain, recipe.held_out, recipe.seed)
    if data.left_out:
        progress.message(
            f"{model.spec.name}: {len(data.left_out)} of {groups['group_id'].nunique()} groups are left "
            "out: the continuation has other tokens after the charged prompt",
            sys.stderr,
        )
    with adapters.injected(model.weights, _config(recipe), recipe.seed) as student:
        fit = _Fit(model, student, data, recipe)
        fit.run()
    facts = {
        "base": model.spec.id,
        "groups": len(data.train),
        "held_out_groups": len(data.held_out),
        "left_out_groups": data.left_out,
        "plain_texts": len(data.plain),
        "best_step": fit.best_step,
    }
    with adapters.written(folder, _config(recipe), model.spec.id, fit.best, key | facts) as tmp_path:
        pd.DataFrame(fit.rows).to_csv(tmp_path / LOSS, index=False)


@contextmanager
def adapted(model: HuggingFaceModel, folder: Path):
    """Let `model` answer with the adapter of a folder; afterwards it answers as before, bit by bit.

    `model.weights` stays the same object; only its linear layers are replaced. The fingerprint of the model
    includes the adapter meanwhile, so that nothing stored of one is taken for the other.

    Args:
        model: The untouched model.
        folder: An adapter of `train`, or any LoRA adapter of peft for this model.

    Raises:
        ParameterError: Before any weights load, if the folder holds no adapter, or that of another model.
    """
    config = adapters.check(model, folder)
    before = model.fingerprint
    with adapters.injected(model.weights, config) as student:
        adapters.load(student, folder)
        model.fingerprint = json.dumps({"model": before, "adapter": adapters.identity(folder)})
        try:
            yield model
        finally:
            model.fingerprint = before


def _config(recipe: Recipe):
    from peft import LoraConfig

    return LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, target_modules=recipe.targets, task_type="CAUSAL_LM"
    )


class _Fit:
    """One training: its table so far, and the best weights.

    Attributes:
        rows: Rows of the table that `train` returns.
        best: The adapter's weights at the best evaluation, by name.
        best_step: Its step.
    """

    def __init__(self, model: HuggingFaceModel, student, data: Data, recipe: Recipe):
        self._model, self._student, self._data, self._recipe = model, student, data, recipe
        self._started, self._lowest = time.monotonic(), np.inf
        self.rows: list[dict] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_step = 0

    def run(self) -> None:
        """Train until the steps are done or the held-out loss has stopped falling."""
        from transformers import get_cosine_schedule_with_warmup

        recipe, waited = self._recipe, 0
        weights = [weight for weight in self._student.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=recipe.rate)
        schedule = get_cosine_schedule_with_warmup(optimizer, -(-recipe.steps // 10), recipe.steps)
        steps = consistency_data.batches(self._data, recipe.steps, recipe.batch, recipe.seed)
        phase = f"{self._model.spec.name}: consistency training"
        with progress.bar(recipe.steps, phase, "steps") as bar:
            self._evaluate(0)
            for step, (groups, plain) in enumerate(steps, start=1):
                self._step(step, groups, plain).backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                bar.step(1)
                if step % recipe.every == 0 or step == recipe.steps:
                    waited = 0 if self._evaluate(step) else waited + 1
                if waited >= recipe.patience:
                    bar.update(recipe.steps - step)
                    break

    def _step(self, step: int, groups: list[Group], plain: list[list[int]]) -> torch.Tensor:
        """The loss of a step's batch."""
        consistency, retention = (part.mean() for part in self._divergences(groups, plain))
        self._record(step, train=consistency.item(), retain=retention.item())
        return consistency + self._recipe.retain * retention

    def _divergences(self, groups: list[Group], plain: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        return consistency_loss.divergences(self._model, self._student, groups, plain)

    def _evaluate(self, step: int) -> bool:
        """Whether the held-out loss is the lowest so far; its weights are then kept."""
        data, size, parts = self._data, self._recipe.batch, []
        with torch.no_grad():
            for start in range(0, max(len(data.held_out), len(data.plain_held_out)), size):
                part = slice(start, start + size)
                losses = self._divergences(data.held_out[part], data.plain_held_out[part])
                parts.append([loss.cpu() for loss in losses])
        consistency, retention = (torch.cat(part).mean().item() for part in zip(*parts, strict=True))
        self._record(step, held_out=consistency, held_out_retain=retention)
        loss = consistency + self._recipe.retain * retention
        if loss >= self._lowest:
            return False
        self._lowest, self.best_step, self.best = loss, step, adapters.weights_of(self._student)
        return True

    def _record(self, step: int, **losses: float) -> None:
        seconds = round(time.monotonic() - self._started, 3)
        for part, loss in losses.items():
            if not np.isfinite(loss):
                raise ParameterError(
                    f"model {self._model.spec.name}: consistency training: the loss of part {part!r} is not "
                    f"finite ({loss}) at step {step}, rate {self._recipe.rate}; lower `rate`"
                    + (", or set dtype to 'float32'" if step == 0 else "")
                )
            self.rows.append({"step": step, "part": part, "loss": loss, "seconds": seconds})
