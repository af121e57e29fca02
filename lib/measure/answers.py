"""Asking a model within a time: a short trial tells its pace, and whole groups are finished in order."""

import time

import numpy as np
import pandas as pd

from lib.analysis import usability
from lib.cli import planning
from lib.config.sections import Generation
from lib.config.specs import CHARGED_ARMS, NO_MITIGATION, Model
from lib.dataset import curated_prompts
from lib.generation import next_token, runner, throughput
from lib.measure import budget
from lib.runtime import progress
from lib.storage import records

TRIAL = 16  # groups that are asked first, and kept


def benchmark(told: dict) -> tuple[pd.DataFrame, list[str]]:
    """All prompts that a measurement may ask, and their groups in the order in which it asks them."""
    of = (told["dataset"]["seed"], told["dataset"]["stems"], told["dataset"]["contexts_per_stem"])
    groups = curated_prompts.design(*of)
    ordered = curated_prompts.design(*of, first_groups=len(groups))["group_id"].tolist()
    return curated_prompts.build(*of), ordered


def parameters(told: dict, set_name: str, model: Model, samples: int, mitigate: bool) -> Generation:
    """What notebook 02 will be told, for so many samples."""
    given = {**told["generation"], "samples": samples, "mitigation_samples": dict.fromkeys(CHARGED_ARMS, 1)}
    mitigations = told["mitigations"] if mitigate else {}
    return Generation(
        set_name=set_name, is_mock=told["is_mock"], model=model, mitigations=mitigations, **given
    )


class Answers:
    """The completions of one model for one set, kept in the journals that notebook 02 reads."""

    def __init__(self, set_name: str, model, table: pd.DataFrame):
        folder = records.run_folder(set_name)
        records.check_writable(folder)
        self.model, self.table = model, table
        self._completions = folder / "completions" / f"{model.spec.name}.jsonl"
        self._next_token = folder / "next_token" / f"{model.spec.name}.jsonl"

    def missing(self, run: Generation) -> pd.DataFrame:
        """The completions of all groups that are not at hand."""
        return runner.missing(
            runner.requests(self.table, run, self.model), records.journal_keys(self._completions)
        )

    def lacks(self, run: Generation, ordered: list[str]) -> budget.Lacks:
        """How many of the completions of `run` each group still needs, as `budget.choose` asks for it."""
        missing = self.missing(run)

        def of(samples: int, mitigated: bool) -> np.ndarray:
            wanted = (missing["sample_index"] < samples) & (
                mitigated | (missing["mitigation"] == NO_MITIGATION)
            )
            return missing[wanted].groupby("group_id").size().reindex(ordered, fill_value=0).to_numpy()

        return of

    def requested(self, run: Generation, groups: list[str]) -> pd.DataFrame:
        """The requests of `groups`."""
        return runner.requests(self.table[self.table["group_id"].isin(groups)], run, self.model)

    def ask(
        self, run: Generation, groups: list[str], seconds=0.0, deadline=np.inf
    ) -> tuple[pd.DataFrame, int]:
        """The completions of `groups` made by `deadline` (`time.monotonic`), and how many groups are whole,
        from the first on.

        `seconds` a completion is what is expected at first. Groups are asked in rounds, as large as a batch
        and the time left allow.
        """
        requested = self.requested(run, groups)
        missing = runner.missing(requested, records.journal_keys(self._completions))
        lacks = missing.groupby("group_id").size().reindex(groups, fill_value=0)
        recorder = next_token.recorder(
            self.table[self.table["group_id"].isin(groups)], self.model, self._next_token
        )
        made, done = [], 0
        with progress.bar(
            len(requested), run.model.name, "completions", len(requested) - int(lacks.sum())
        ) as bar:
            while done < len(groups):
                size = _round(
                    lacks.iloc[done:],
                    run.batch_size or throughput.LARGEST,
                    seconds,
                    deadline - time.monotonic(),
                )
                if not size:
                    break
                part, started = groups[done : done + size], time.monotonic()
                rows = requested[requested["group_id"].isin(part)]
                made.append(runner.generate(rows, run, self.model, self._completions, recorder, bar))
                if count := lacks[part].sum():
                    seconds = (time.monotonic() - started) / count
                done += size
        return pd.concat(made) if made else requested.iloc[:0], done


def _round(lacks: pd.Series, batch: int, seconds: float, left: float) -> int:
    """How many groups, of which each `lacks` so many completions, are asked next: a batch, or what fits into
    the time left."""
    in_time = max(left, 0.0) / seconds if seconds else np.inf
    fits = int((lacks.cumsum() <= min(batch, in_time)).sum())
    return fits or int(batch < lacks.iloc[0] <= in_time)  # a batch may be smaller than a group


def pace(answers: Answers, run: Generation, ordered: list[str], calibrate: bool) -> tuple[float, Generation]:
    """Seconds a completion takes, and `run` with the batch and division of cores that suit it.

    The first groups that are not at hand are asked, and kept. Before them, a model that runs here is
    calibrated where there is time to `calibrate`, as it is for `make plan`.
    """
    missing = answers.missing(run)
    if missing.empty:
        return 0.0, run
    model, local = answers.model, calibrate and answers.model.is_local
    if local:
        found = throughput.measure(model, missing.drop_duplicates("rendered"), run)
        run = run.model_copy(update={"batch_size": found.batch_size, "workers": found.workers})
    lacking = set(missing["group_id"])
    trial = [group for group in ordered if group in lacking][:TRIAL]
    bare = run.model_copy(update={"samples": 1, "mitigations": {}})
    lacks_bare = set(missing["key"]) & set(answers.requested(bare, trial)["key"])
    of = bare if lacks_bare else run
    asked = missing[missing["key"].isin(answers.requested(of, trial)["key"])]
    started = time.monotonic()
    made, _ = answers.ask(of, trial)
    took = time.monotonic() - started
    if local:
        rows = made[made["key"].isin(asked["key"])]
        planned = planning.corrected(model, found, missing, run, rows, took).seconds
        # large batches are slower than planned, and faster than the small trial
        return (planned + took / len(asked)) / 2, run
    return took / len(asked), run


def unusable(made: pd.DataFrame) -> float:
    """Share of completions that are missing, %."""
    return 100.0 * float(usability.is_missing(made).mean())
