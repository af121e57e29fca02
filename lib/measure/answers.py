"""Ask a model for completions within a time limit.

A short trial measures the model's speed. After it, whole groups are finished in order.
"""

import time

import numpy as np
import pandas as pd

from lib.analysis import usability
from lib.cli import planning
from lib.config.sections import Generation
from lib.config.specs import CHARGED_ARMS, NO_MITIGATION, Model
from lib.dataset import curated_prompts
from lib.generation import next_token, plans, runner
from lib.measure import budget
from lib.runtime import progress
from lib.storage import records

TRIAL = 16  # groups that are asked first; their answers are kept


def benchmark(config: dict) -> tuple[pd.DataFrame, list[str]]:
    """Build all prompts that a measurement may ask.

    Args:
        config: Values of the parameter set (`sets.values`).

    Returns:
        The prompts (`curated_prompts.build`), and the group_ids in the order in which they are asked.
    """
    design_args = (
        config["dataset"]["seed"],
        config["dataset"]["stems"],
        config["dataset"]["contexts_per_stem"],
    )
    groups = curated_prompts.design(*design_args)
    ordered = curated_prompts.design(*design_args, first_groups=len(groups))["group_id"].tolist()
    return curated_prompts.build(*design_args), ordered


def parameters(config: dict, set_name: str, model: Model, samples: int, mitigate: bool) -> Generation:
    """Build the parameters of notebook 02 for a number of samples.

    Args:
        config: Values of the parameter set (`sets.values`).
        set_name: Name of the parameter set.
        model: Model that is asked.
        samples: Completions per prompt.
        mitigate: Whether the mitigations of the set are included.
    """
    values = {
        **config["generation"],
        "samples": samples,
        "mitigation_samples": dict.fromkeys(CHARGED_ARMS, 1),
    }
    mitigations = config["mitigations"] if mitigate else {}
    return Generation(
        set_name=set_name, is_mock=config["is_mock"], model=model, mitigations=mitigations, **values
    )


class Answers:
    """The completions of one model for one set, stored in the journals that notebook 02 reads."""

    def __init__(self, set_name: str, model, table: pd.DataFrame):
        folder = records.run_folder(set_name)
        records.check_writable(folder)
        self.model, self.table = model, table
        self._completions = folder / "completions" / f"{model.spec.name}.jsonl"
        self._next_token = folder / "next_token" / f"{model.spec.name}.jsonl"

    def missing(self, run: Generation) -> pd.DataFrame:
        """Return the requests of all groups whose completions are not stored yet."""
        requested = runner.requests(self.table, run, self.model)
        return runner.missing(requested, records.journal_keys(self._completions, among=requested["key"]))

    def lacks(self, run: Generation, ordered: list[str]) -> budget.Lacks:
        """Return a function that counts the completions of `run` that each group still needs.

        It is the `lacks` argument of `budget.choose`. Its array has the order of `ordered`.
        """
        missing = self.missing(run)

        def of(samples: int, mitigated: bool) -> np.ndarray:
            counted = (missing["sample_index"] < samples) & (
                mitigated | (missing["mitigation"] == NO_MITIGATION)
            )
            return missing[counted].groupby("group_id").size().reindex(ordered, fill_value=0).to_numpy()

        return of

    def requested(self, run: Generation, groups: list[str]) -> pd.DataFrame:
        """Return the requests of `groups`."""
        return runner.requests(self.table[self.table["group_id"].isin(groups)], run, self.model)

    def ask(
        self, run: Generation, groups: list[str], seconds=0.0, deadline=np.inf
    ) -> tuple[pd.DataFrame, int]:
        """Generate the missing completions of `groups`, in rounds, until `deadline`.

        A round is as large as a batch and the time left allow.

        Args:
            run: Parameters of the generation.
            groups: The group_ids, in the order in which they are asked.
            seconds: Expected seconds per completion in the first round; 0 if unknown.
            deadline: Time of `time.monotonic` at which the asking ends.

        Returns:
            The completions of the groups that were asked, and how many groups are complete, counted from the
            first.
        """
        requested = self.requested(run, groups)
        missing = runner.missing(requested, records.journal_keys(self._completions, among=requested["key"]))
        n_missing = missing.groupby("group_id").size().reindex(groups, fill_value=0)
        recorder = next_token.recorder(
            self.table[self.table["group_id"].isin(groups)], self.model, self._next_token
        )
        batches, n_done = [], 0
        with progress.bar(
            len(requested), run.model.name, "completions", len(requested) - int(n_missing.sum())
        ) as bar:
            while n_done < len(groups):
                size = _round(
                    n_missing.iloc[n_done:],
                    run.batch_size or plans.LARGEST,
                    seconds,
                    deadline - time.monotonic(),
                )
                if not size:
                    break
                subset, started = groups[n_done : n_done + size], time.monotonic()
                rows = requested[requested["group_id"].isin(subset)]
                batches.append(runner.generate(rows, run, self.model, self._completions, recorder, bar))
                if count := n_missing[subset].sum():
                    seconds = (time.monotonic() - started) / count
                n_done += size
        return pd.concat(batches) if batches else requested.iloc[:0], n_done


def _round(lacks: pd.Series, batch: int, seconds: float, left: float) -> int:
    """Return how many groups come next (`lacks`: completions each): a batch, or what fits the time left."""
    in_time = max(left, 0.0) / seconds if seconds else np.inf
    fits = int((lacks.cumsum() <= min(batch, in_time)).sum())
    return fits or int(batch < lacks.iloc[0] <= in_time)  # a batch may be smaller than a group


def pace(answers: Answers, run: Generation, ordered: list[str], calibrate: bool) -> tuple[float, Generation]:
    """Measure the seconds per completion, and choose the batch size and the division of cores.

    The first groups with missing completions are asked as a trial, and their answers are kept. A local model
    is calibrated before the trial, as for `make plan`, if there is time for it.

    Args:
        answers: Completions of the model so far.
        run: Parameters of the generation.
        ordered: The group_ids, in the order in which they are asked.
        calibrate: Whether there is time to calibrate.

    Returns:
        Seconds per completion (0 if none is missing), and `run` with the batch size and workers that suit it.
    """
    missing = answers.missing(run)
    if missing.empty:
        return 0.0, run
    model, is_calibrated = answers.model, calibrate and answers.model.is_local
    if is_calibrated:
        from lib.generation import calibration

        plan = calibration.measure(model, missing.drop_duplicates("rendered"), run)
        run = run.model_copy(update={"batch_size": plan.batch_size, "workers": plan.workers})
    incomplete = set(missing["group_id"])
    trial = [group for group in ordered if group in incomplete][:TRIAL]
    unmitigated = run.model_copy(update={"samples": 1, "mitigations": {}})
    missing_unmitigated = set(missing["key"]) & set(answers.requested(unmitigated, trial)["key"])
    trial_run = unmitigated if missing_unmitigated else run
    requests = missing[missing["key"].isin(answers.requested(trial_run, trial)["key"])]
    started = time.monotonic()
    completions, _ = answers.ask(trial_run, trial)
    elapsed = time.monotonic() - started
    if is_calibrated:
        rows = completions[completions["key"].isin(requests["key"])]
        planned = planning.corrected(model, plan, missing, run, rows, elapsed).seconds
        # large batches are slower than planned, and faster than the small trial
        return (planned + elapsed / len(requests)) / 2, run
    return elapsed / len(requests), run


def unusable(completions: pd.DataFrame) -> float:
    """Return the share of completions that are missing, in %."""
    return 100.0 * float(usability.is_missing(completions).mean())
