"""Which plan a run gets, and what its batches take under it.

What has to be measured is measured by `lib.generation.calibration`, imported where it is needed: torch takes
seconds to load.
"""

import pandas as pd

from lib.config.sections import Generation
from lib.generation.plans import LARGEST, TYPICAL_TOKENS, ThroughputPlan, largest_part, usual
from lib.runtime.cores import available_threads

MIN_TO_CALIBRATE = 300  # missing completions below which a calibration costs more than it saves
MAX_UNSAVED_SECONDS = 60  # seconds of work that is not yet saved: what a kill may cost
AGAIN = 240  # seconds after which a run measures again: other programs come and go
_SMALL_PART = 64  # completions that are not worth a worker of their own


def pace(model, missing: pd.DataFrame, parameters: Generation) -> ThroughputPlan:
    """Return the plan for generating the `missing` completions.

    What `parameters` leave open is measured, or guessed if few completions are missing. Only a model of the
    transformers library is measured; others get batches of a fixed size.
    """
    if not model.is_local:
        in_hand = 16 * model.spec.server.concurrency if model.spec.server else LARGEST
        return ThroughputPlan(parameters.batch_size or in_hand, 1, None)
    if is_settled(missing, parameters):
        workers = parameters.workers or usual(model).workers
        if not parameters.workers and len(missing) < available_threads() * _SMALL_PART:
            workers = 1
        size = parameters.batch_size or workers * largest_part(model)
        return ThroughputPlan(size, workers, max(1, available_threads() // workers))
    from lib.generation import calibration

    return calibration.measure(model, missing, parameters)


def is_settled(missing: pd.DataFrame, parameters: Generation) -> bool:
    """Whether nothing has to be measured: the parameters say all, or few completions are missing."""
    return len(missing) < MIN_TO_CALIBRATE or bool(parameters.batch_size and parameters.workers)


def again(plan: ThroughputPlan, model, missing: pd.DataFrame, parameters: Generation) -> ThroughputPlan:
    """Return the plan as it is measured now, for a run that has measured before."""
    if not plan.decode_seconds_per_token or is_settled(missing, parameters):
        return plan
    from lib.generation import calibration

    return calibration.measure(model, missing, parameters)


def saved_together(plan: ThroughputPlan, model, missing: pd.DataFrame, parameters: Generation) -> int:
    """Return how many completions are generated and saved in one call of the model.

    Under a measured plan they take about MAX_UNSAVED_SECONDS, prompts included.
    """
    seconds = expected(plan, model, missing, parameters)
    if not seconds:
        return plan.batch_size
    return max(parameters.batch_size or 1, int(len(missing) * MAX_UNSAVED_SECONDS / seconds))


def expected(pace: ThroughputPlan, model, batch: pd.DataFrame, parameters: Generation) -> float:
    """Return the seconds that a batch takes under a measured plan; 0 if the plan was not measured."""
    if not pace.decode_seconds_per_token:
        return 0.0
    from lib.generation import calibration

    tokens = min(TYPICAL_TOKENS, parameters.max_new_tokens)
    return pace.seconds(
        calibration.prompt_tokens(model, batch, len(batch)), len(batch), tokens, parameters.max_new_tokens
    )
