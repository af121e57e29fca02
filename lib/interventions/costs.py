"""What a strategy costs beside its effect: the model's grasp of ordinary text, seconds, memory.

What is measured is kept in a journal, so that a run that is interrupted goes on with the next strategy.
"""

import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.config import mitigation_texts
from lib.config.sections import Interventions
from lib.config.specs import ARMS, CHARGED_ARMS, NO_MITIGATION
from lib.generation import plans, runner
from lib.interventions import perplexity
from lib.interventions.base import Intervened, Intervention
from lib.interventions.found import Found
from lib.models.huggingface import HuggingFaceModel
from lib.runtime import memory, progress
from lib.storage.records import Journal

TIMED = 24  # prompts whose completions are timed
VERSION = "costs-2"  # change it with any change here or in perplexity.py that changes a number
_TAKEN = ["seconds", "memory"]
_MEASURED = ["nats", *_TAKEN]


def of_strategies(
    prompts: pd.DataFrame, run: Interventions, half: Found, interventions: dict[str, Intervention]
) -> pd.DataFrame:
    """Measure what each strategy costs.

    Args:
        prompts: Prompts, of which the first charged ones are timed.
        run: The parameters of notebook 06b.
        half: The untouched model, and the folder of the journal.
        interventions: By name.

    Returns:
        One row per mitigation prompt and intervention: mitigation, perplexity, perplexity_low,
        perplexity_high, passages (`perplexity.ratio`), seconds (of a completion, as a ratio to the same
        completions without a strategy just after), memory (MB more than there, at the peak; see
        `lib.runtime.memory`).
    """
    texts = perplexity.passages()
    timed = prompts[prompts["arm"].isin(CHARGED_ARMS)].head(TIMED).reset_index(drop=True)
    asked = {name: text for name, text in run.mitigations.items() if name not in run.controls}
    strategies = {NO_MITIGATION: "", **asked, **interventions}
    keys = {name: _key(half.model, strategy, run, timed) for name, strategy in strategies.items()}
    journal = half.folder / f"{half.model.spec.name}.costs.jsonl"
    with Journal(journal) as kept:
        done = kept.keys(_MEASURED)
    if missing := [name for name in strategies if keys[name] not in done]:
        _taken(run, half.model, timed)  # what is read at the first use counts for none
    for name in progress.track(missing, "costs", "strategies", initial=len(strategies) - len(missing)):
        record = {"key": keys[name], **_measure(half.model, name, strategies[name], texts, timed, run)}
        with Journal(journal) as kept:
            kept.append([record])
    measured = Journal(journal).read(_MEASURED).loc[list(keys.values())].set_axis(list(keys))
    nats = {name: texts.assign(nats=np.array(row, float)) for name, row in measured["nats"].items()}
    plain = nats.pop(NO_MITIGATION)
    rows = [
        {"mitigation": name, **perplexity.ratio(table, plain, run.confidence)} for name, table in nats.items()
    ]
    return pd.DataFrame(rows).join(measured[_TAKEN], on="mitigation")


def _key(model: HuggingFaceModel, strategy, run: Interventions, timed: pd.DataFrame) -> str:
    """A hash of everything that the numbers depend on but the machine."""
    told = strategy.identity if isinstance(strategy, Intervention) else mitigation_texts.texts(strategy)
    asked = [run.temperature, run.max_new_tokens, run.seed, *timed["prompt_id"]]
    depends_on = [VERSION, perplexity.SEED, model.fingerprint, told, asked]
    return hashlib.sha256(json.dumps(depends_on, default=str).encode()).hexdigest()


def _measure(
    model: HuggingFaceModel,
    name: str,
    strategy: Intervention | str | list[str],
    texts: pd.DataFrame,
    timed: pd.DataFrame,
    run: Interventions,
) -> dict:
    """The nats of each passage under a strategy (None: not measured), seconds and memory.

    The untouched model has neither seconds nor memory: a strategy's are compared with its own.
    """
    backend: HuggingFaceModel | Intervened = model
    if isinstance(strategy, Intervention):
        backend = changed = Intervened(model, strategy, name)
        with changed.applied():
            nats = perplexity.measure(changed, texts)["nats"]
    else:
        nats = perplexity.measure(model, texts, mitigation_texts.texts(strategy)[0])["nats"]
    measured = {"nats": [None if np.isnan(value) else value for value in nats], **dict.fromkeys(_TAKEN)}
    if strategy:
        text = "" if isinstance(strategy, Intervention) else strategy
        with_it, without = _taken(run, backend, timed, text), _taken(run, model, timed)
        measured["seconds"] = with_it.seconds / without.seconds
        measured["memory"] = with_it.memory - without.memory
    return measured


class Taken(NamedTuple):
    """What some completions took: seconds, and MB at the peak."""

    seconds: float
    memory: float


def _taken(
    run: Interventions,
    model: HuggingFaceModel | Intervened,
    prompts: pd.DataFrame,
    text: str | list[str] = "",
) -> Taken:
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
