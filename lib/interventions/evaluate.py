"""What models write under interventions, on the half that they were not found on and on positive controls."""

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lib.config import mitigation_texts
from lib.config.sections import Interventions
from lib.config.specs import ARMS, CHARGED_ARMS
from lib.dataset import curated_prompts, positive_controls
from lib.generation import plans, runner, throughput
from lib.interventions import perplexity
from lib.interventions.base import Intervened, Intervention
from lib.interventions.found import Found
from lib.models.huggingface import HuggingFaceModel
from lib.runtime import memory, progress

TIMED = 24  # prompts whose completions are timed
_BLANK = {
    "slot": "open",
    "pronoun": "unknown",
    "emotion": "unknown",
    "intensity": "unknown",
    "form": "explicit",
    "literal_senses": "",
    "context_id": "",
}


def control_prompts() -> pd.DataFrame:
    """The prompts of the positive controls, with the columns of `curated_prompts.PROMPTS`.

    Their kind (feeling, verdict, …) is in the column domain.
    """
    prompts = positive_controls.prompts(positive_controls.read())
    table = prompts.assign(**{**_BLANK, "domain": prompts["kind"]}).assign(kind="")
    return table[list(curated_prompts.PROMPTS.columns)]


def completions(
    prompts: pd.DataFrame,
    run: Interventions,
    half: Found,
    interventions: dict[str, Intervention],
    bare: bool = False,
) -> pd.DataFrame:
    """What the model writes after charged prompts under each intervention.

    Args:
        prompts: The prompts.
        run: The parameters of notebook 06b.
        half: The untouched model, and the folder of the journals.
        interventions: By name.
        bare: Whether the prompts are also asked without anything, all arms of them, and under each mitigation
            prompt that is not a control.

    Returns:
        The table of `runner.completions_table`; mitigation is the intervention's name.
    """
    model = half.model
    journal = half.folder / f"{model.spec.name}{'.controls' * bare}.jsonl"
    charged = prompts[prompts["arm"].isin(CHARGED_ARMS)].reset_index(drop=True)
    plain = _settled(run, model, charged)
    tables = []
    if bare:
        asked = {name: text for name, text in run.mitigations.items() if name not in run.controls}
        both = plain.model_copy(update={"samples": 1, "mitigations": asked})
        requested = runner.requests(prompts, both, model)
        replies = runner.generate(requested, both, model, journal)
        tables.append(runner.completions_table(replies, both, model))
    for name, intervention in interventions.items():
        changed = intervention.prompts(model, charged)
        backend = Intervened(model, intervention, name)
        requested = runner.requests(changed, plain, backend).assign(mitigation=name)
        progress.message(f"under {name}: {len(requested):,} completions")
        replies = runner.generate(requested, plain, backend, journal)
        tables.append(runner.completions_table(replies, plain, model))
    return pd.concat(tables, ignore_index=True)


def _settled(run: Interventions, model: HuggingFaceModel, prompts: pd.DataFrame) -> Interventions:
    """The parameters with the draws of a mitigation, and a division that is measured once for all."""
    counts = run.mitigation_samples
    samples = {arm: counts.get(arm, 0) if isinstance(counts, dict) else counts for arm in ARMS}
    asked = run.model_copy(update={"samples": samples, "mitigations": {}})
    plan = throughput.pace(model, runner.requests(prompts, asked, model), asked)
    return asked.model_copy(update={"batch_size": plan.batch_size, "workers": plan.workers})


def costs(
    prompts: pd.DataFrame, run: Interventions, half: Found, interventions: dict[str, Intervention]
) -> pd.DataFrame:
    """What each strategy costs: perplexity of ordinary text, seconds of a completion, memory.

    Args:
        prompts: Prompts, of which the first charged ones are timed.
        run: The parameters of notebook 06b.
        half: The untouched model.
        interventions: By name.

    Returns:
        One row per mitigation prompt and intervention: mitigation, perplexity, perplexity_low,
        perplexity_high, passages (`perplexity.ratio`), seconds (of a completion, as a ratio to the same
        completions without a strategy just after), memory (MB at the peak of them, more than there; see
        `lib.runtime.memory`).
    """
    model, texts = half.model, perplexity.passages()
    plain = perplexity.measure(model, texts)
    timed = prompts[prompts["arm"].isin(CHARGED_ARMS)].head(TIMED).reset_index(drop=True)
    asked = {name: text for name, text in run.mitigations.items() if name not in run.controls}
    rows = []
    strategies = list({**asked, **interventions}.items())
    for name, strategy in progress.track(strategies, "costs", "strategies"):
        if isinstance(strategy, Intervention):
            changed = Intervened(model, strategy, name)
            with changed.applied():
                measured = perplexity.measure(changed, texts)
            with_it = _taken(run, changed, timed)
        else:
            measured = perplexity.measure(model, texts, mitigation_texts.texts(strategy)[0])
            with_it = _taken(run, model, timed, strategy)
        ratio = perplexity.ratio(measured, plain, run.confidence)
        without = _taken(run, model, timed)
        rows.append(
            {
                "mitigation": name,
                **ratio,
                "seconds": with_it.seconds / without.seconds,
                "memory": with_it.memory - without.memory,
            }
        )
    return pd.DataFrame(rows)


class Taken(NamedTuple):
    """What some completions took: seconds, and MB at the peak."""

    seconds: float
    memory: float


def _taken(run: Interventions, model: HuggingFaceModel | Intervened, prompts: pd.DataFrame, text="") -> Taken:
    """What the completions of these prompts take, under a mitigation prompt if `text` is one."""
    nothing = dict.fromkeys(ARMS, 0)
    asked = run.model_copy(
        update={
            "mitigations": {"timed": text} if text else {},
            "samples": nothing if text else nothing | dict.fromkeys(CHARGED_ARMS, 1),
            "mitigation_samples": 1,
        }
    )
    device = (model.model if isinstance(model, Intervened) else model).weights.device
    started = time.perf_counter()
    with memory.peak(device) as peak:
        if isinstance(model, Intervened):
            with tempfile.TemporaryDirectory() as folder:
                prompts = model.intervention.uncached(Path(folder)).prompts(model.model, prompts)
        requested = runner.requests(prompts, asked, model)
        model.reply(requested, run.sampled_at, run.max_new_tokens, run.seed, division=plans.usual(model))
    return Taken(time.perf_counter() - started, peak.mb)
