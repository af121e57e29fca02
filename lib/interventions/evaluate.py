"""What models write under interventions, on the half that they were not found on and on positive controls."""

import pandas as pd

from lib.config.sections import Interventions
from lib.config.specs import ARMS, CHARGED_ARMS
from lib.dataset import curated_prompts, positive_controls
from lib.generation import runner, throughput
from lib.interventions.base import Intervened, Intervention
from lib.interventions.found import Found
from lib.models.huggingface import HuggingFaceModel
from lib.runtime import progress
from lib.storage.records import Journal

PHASES = ("under interventions", "positive controls")  # names of the work, for its progress
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
    # the model, what it is asked, and the parameters
    work: list[tuple[HuggingFaceModel | Intervened, pd.DataFrame, Interventions]] = []
    if bare:
        asked = {name: text for name, text in run.mitigations.items() if name not in run.controls}
        both = plain.model_copy(update={"samples": 1, "mitigations": asked})
        work.append((model, runner.requests(prompts, both, model), both))
    for name, intervention in interventions.items():
        changed, intervened = intervention.prompts(model, charged), Intervened(model, intervention, name)
        requested = runner.requests(changed, plain, intervened).assign(mitigation=name)
        work.append((intervened, requested, plain))
    with Journal(journal) as kept:
        keys = kept.keys(runner.SETTLED)
    total = sum(len(requested) for _, requested, _ in work)
    done = sum(int(requested["key"].isin(keys).sum()) for _, requested, _ in work)
    tables = []
    with progress.bar(total, PHASES[bare], "completions", done) as bar:
        for backend, requested, parameters in work:
            replies = runner.generate(requested, parameters, backend, journal, bar=bar)
            tables.append(runner.completions_table(replies, parameters, model))
    return pd.concat(tables, ignore_index=True)


def _settled(run: Interventions, model: HuggingFaceModel, prompts: pd.DataFrame) -> Interventions:
    """The parameters with the draws of a mitigation, and a division that is measured once for all."""
    counts = run.mitigation_samples
    samples = {arm: counts.get(arm, 0) if isinstance(counts, dict) else counts for arm in ARMS}
    asked = run.model_copy(update={"samples": samples, "mitigations": {}})
    plan = throughput.pace(model, runner.requests(prompts, asked, model), asked)
    return asked.model_copy(update={"batch_size": plan.batch_size, "workers": plan.workers})
