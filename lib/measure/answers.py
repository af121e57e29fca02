"""Asking a model within a time: a short trial tells its pace, and whole groups are finished in order."""

import time

import numpy as np
import pandas as pd

from lib import calibration, generation, next_token, planning, prompts, records, transformer, usability
from lib.sections import Generation
from lib.specs import Model

TRIAL = 16  # groups that are asked first, and kept
NEVER = np.inf  # a deadline
_ROUND = 30.0  # seconds of work after which groups are whole again


def benchmark(told: dict) -> tuple[pd.DataFrame, list[str]]:
    """All prompts that a measurement may ask, and their groups in the order in which it asks them."""
    of = (told["dataset"]["seed"], told["dataset"]["stems"], told["dataset"]["groups_per_stem"])
    groups = prompts.design(*of)
    ordered = prompts.design(*of, first_groups=len(groups))["group_id"].tolist()
    return prompts.build(*of), ordered


def parameters(told: dict, set_name: str, model: Model, samples: int, mitigate: bool) -> Generation:
    """What notebook 02 will be told, for so many samples."""
    given = {**told["generation"], "samples": samples, "mitigation_samples": 1}
    mitigations = told["mitigations"] if mitigate else {}
    return Generation(set_name=set_name, toy=told["toy"], model=model, mitigations=mitigations, **given)


class Answers:
    """The completions of one model for one set, kept in the journals that notebook 02 reads."""

    def __init__(self, set_name: str, model, table: pd.DataFrame):
        folder = records.run_folder(set_name)
        records.check_writable(folder)
        self.model, self.table = model, table
        self._completions = folder / "completions" / f"{model.spec.name}.jsonl"
        self._next_token = folder / "next_token" / f"{model.spec.name}.jsonl"

    def missing(self, run: Generation) -> tuple[pd.DataFrame, int]:
        """The completions of all groups that are not at hand, and how many are."""
        owed = generation.requests(self.table, run, self.model)
        lacking = generation.missing(owed, records.journal_keys(self._completions))
        return lacking, owed["key"].nunique() - len(lacking)

    def ask(self, run: Generation, groups: list[str], round_size: int, deadline: float) -> tuple[pd.DataFrame, int]:
        """The completions of `groups` made by `deadline` (`time.monotonic`), and how many groups, in order, are whole."""
        rows = self.table[self.table["group_id"].isin(groups)]
        place = pd.Series(range(len(groups)), index=groups)
        owed = generation.requests(rows, run, self.model)
        owed["round"] = owed["group_id"].map(place) // round_size
        recorder = next_token.recorder(rows, self.model, self._next_token)
        made = generation.generate(owed, run, self.model, self._completions, recorder, deadline)
        whole = made.groupby("group_id").size().reindex(groups, fill_value=0) == owed.groupby("group_id").size().reindex(groups)
        return made, int(np.argmin(whole.to_numpy())) if not whole.all() else len(groups)


def pace(answers: Answers, run: Generation, ordered: list[str]) -> tuple[float, int, Generation]:
    """Seconds a completion takes, completions of `run` at hand, and `run` with the batch and division of cores that suit it.

    A model that runs here is timed as `make plan` times it; of others the first groups that are not at hand are asked, and kept.
    """
    missing, at_hand = answers.missing(run)
    if missing.empty:
        return 0.0, at_hand, run
    if isinstance(answers.model, transformer.Transformer):
        found = planning.pilot(answers.model, missing, run)
        update = {"batch_size": found.pace.batch_size, "workers": found.pace.workers}
        return found.seconds, at_hand, run.model_copy(update=update)
    lacking = set(missing["group_id"])
    trial = [group for group in ordered if group in lacking][:TRIAL]
    alone = run.model_copy(update={"samples": 1, "mitigations": {}})
    before, started = answers.missing(run)[1], time.monotonic()
    answers.ask(alone if len(missing) > len(trial) else run, trial, TRIAL, NEVER)
    took, at_hand = time.monotonic() - started, answers.missing(run)[1]
    return took / max(1, at_hand - before), at_hand, run


def round_size(run: Generation, seconds: float, per_group: int) -> int:
    """Groups that are asked together: at least a batch, at most what `_ROUND` seconds hold."""
    in_time = int(_ROUND / (seconds * per_group)) if seconds else calibration.LARGEST
    return max(1, min(in_time, (run.batch_size or calibration.LARGEST) // per_group or 1))


def unusable(made: pd.DataFrame) -> float:
    """Share of completions that are missing, %."""
    return 100.0 * float(usability.is_missing(made).mean())
