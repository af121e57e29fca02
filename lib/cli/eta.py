"""Estimate how long a run of the batch still takes.

The estimate uses what the jobs measure and how long earlier runs took on this machine. A job that was never
measured here is estimated from COSTS, the relative costs of jobs, at the speed of the jobs that were
measured. Where nothing is known, for example about a server before its first answers, the estimate says so.
"""

import shutil
from dataclasses import dataclass

import pandas as pd

from lib.cli import jobs
from lib.cli.jobs import DONE, PREPARATION, RUNNING, WAITING, Job
from lib.config import draws, params
from lib.config.params import ParameterSet
from lib.config.specs import JUDGE_SCHEMA
from lib.dataset import own_sentences, positive_controls
from lib.storage import records
from lib.storage.times import Times

# Fixed cost of a notebook, and cost per completion that it reads. The unit is the time that the bundled model
# takes for one completion. Ratios of the times of a run of params/embedded.yaml on two cores.
COSTS = {
    "01_dataset": (80.0, 0.0),
    "01b_mining": (60.0, 0.0),
    "01c_power": (80.0, 0.0),
    "02_generation": (300.0, 1.0),
    "03_judging": (110.0, 0.01),
    "03b_leakage": (70.0, 0.01),
    "03c_robustness": (140.0, 0.05),
    "04_human_agreement": (700.0, 0.005),
    "04c_calibration": (200.0, 0.0),
    "04d_labels": (150.0, 0.005),
    "05_scaling_analysis": (70.0, 0.0015),
    "05b_sizes": (60.0, 0.001),
    "06_prompting_mitigation_ablation": (60.0, 0.0015),
    "06b_interventions": (1500.0, 1.0),  # and what is trained
    "06c_mitigation_compared": (60.0, 0.001),
}
JUDGED = {"learned": 0.3}  # additional cost per completion in 03_judging, by kind of judge
CHAT = 1.7  # relative cost of a completion in chat mode: its prompt and answer are longer
BUNDLED = 106_203_456  # parameters of the bundled model outside its embeddings
_LEAST_SHARE = 0.05  # a smaller share of a resumed job says nothing about its time
SERIAL = (PREPARATION, "01_dataset", "02_generation", "06b_interventions")  # one at a time, with all cores


@dataclass(frozen=True)
class Estimate:
    """The remaining time of a run.

    Attributes:
        left: Seconds left of the jobs that can be estimated.
        unknown: Labels of the jobs that cannot be estimated.
        measured: Whether there is anything to report. While completions are still to be generated, this
            requires a measurement by a generation job of this run.
    """

    left: float
    unknown: list[str]
    measured: bool


@dataclass(frozen=True)
class Work:
    """What a job has to do.

    Attributes:
        key: The same for jobs of the same kind.
        completions: Number of completions.
        cost: Expected time in the unit of COSTS; None if unknown.
    """

    key: str
    completions: float
    cost: float | None

    @property
    def size(self) -> float:
        """The quantity to which the time of similar jobs is proportional."""
        return self.cost or max(self.completions, 1)

    def of_share(self, share: float) -> "Work":
        """A share of this work."""
        return Work(self.key, self.completions * share, self.cost and self.cost * share)


class Estimator:
    """Estimates a run from its jobs and from the facts that its preparation (`reproduce.prepare`) records."""

    def __init__(self, cores: int):
        self._cores, self._times = cores, Times()
        self._kept: set[str] = set()

    def estimate(self, current: jobs.Jobs, now: float) -> Estimate:
        """Estimate what is left of the jobs that are waiting or running."""
        works = {job.name: work(job, current.facts) for job in current.values()}
        measured = self._measured(current, works, now)
        gap = _gap(list(current.values()))
        lefts, unknown = {}, []
        for job in current.values():
            if job.state in (WAITING, RUNNING):
                left = self._left(job, works[job.name], measured, now)
                if left is None:
                    unknown.append(job.label)
                lefts[job.name] = (left or 0.0) + gap * (job.state == WAITING)
        total = sum(lefts[name] for name in lefts if current[name].notebook in SERIAL)
        for stage in (
            ("01b_mining", "01c_power", "03_judging", "03b_leakage", "03c_robustness"),
            ("04_human_agreement", "05_scaling_analysis", "05b_sizes", "06_prompting_mitigation_ablation"),
            ("04c_calibration", "04d_labels", "04e_llm_judge", "06c_mitigation_compared"),
        ):
            total += _makespan(
                [lefts[name] for name in lefts if current[name].notebook in stage], self._cores
            )
        generating = [job for job in current.values() if job.notebook == "02_generation"]
        is_measured = any(job.name in measured for job in generating)
        is_planned = any(job.notebook != PREPARATION for job in current.values())
        is_measured |= is_planned and not any(job.state in (WAITING, RUNNING) for job in generating)
        return Estimate(total, unknown, is_measured and len(unknown) < len(lefts))

    def keep(self, current: jobs.Jobs) -> None:
        """Save the times of finished jobs for later runs."""
        for job in current.values():
            if job.state == DONE and job.name not in self._kept and _share(job) == 1:
                self._kept.add(job.name)
                job_work = work(job, current.facts)
                self._times.keep(job_work.key, job_work.size, job.elapsed(job.ended))

    def _measured(self, current: jobs.Jobs, works: dict, now: float) -> dict[str, tuple[Work, float]]:
        """Work and seconds of each job that is done, and of generation that is under way."""
        measured = {}
        for job in current.values():
            job_work = works[job.name].of_share(_share(job))
            if _share(job) < _LEAST_SHARE:
                continue
            if job.state == DONE:
                measured[job.name] = job_work, job.elapsed(now)
            elif job.state == RUNNING and job.notebook == "02_generation" and job.phase:
                left = job.phase.seconds_left(now)
                if left is not None:
                    measured[job.name] = job_work, job.elapsed(now) + left
        return measured

    def _left(self, job: Job, about: Work, measured: dict, now: float) -> float | None:
        """Seconds that a job still takes: by its own bar, or else the expected seconds less those passed."""
        expected = self._expected(job, about, measured)
        if job.state == WAITING:
            return expected
        phase = job.phase
        left = phase.seconds_left(now) if phase else None
        if job.notebook == "02_generation":
            return left if left is not None else expected and max(expected - job.elapsed(now), 0.0)
        if expected is None:
            return left
        return max(expected - job.elapsed(now), left or 0.0, 0.1 * job.elapsed(now) if left is None else 0.0)

    def _expected(self, job: Job, about: Work, measured: dict) -> float | None:
        """Seconds of a whole job: from similar jobs of this run or earlier ones, or else from its cost."""
        similar = [
            (other, seconds)
            for name, (other, seconds) in measured.items()
            if other.key == about.key and name != job.name
        ]
        earlier = self._times.of(about.key)
        if similar:
            return similar[-1][1] * about.size / similar[-1][0].size
        if earlier:
            return self._slower(measured) * earlier[1] * about.size / earlier[0]
        if about.cost is None:
            return None
        rate = self._second_per_cost(measured, generation=job.notebook == "02_generation")
        return None if rate is None else about.cost * rate

    def _slower(self, measured: dict) -> float:
        """Ratio of the seconds of this run's jobs to those expected from earlier runs."""
        known = [
            (seconds, earlier[1] * job_work.size / earlier[0])
            for job_work, seconds in measured.values()
            if (earlier := self._times.of(job_work.key))
        ]
        return sum(seconds for seconds, _ in known) / sum(expected for _, expected in known) if known else 1.0

    def _second_per_cost(self, measured: dict, generation: bool = False) -> float | None:
        """Seconds per unit of cost on this machine."""
        # an accelerator generates and does nothing else, so its speed says nothing about other jobs
        has_accelerator = shutil.which("nvidia-smi") is not None
        chosen = [
            (job_work, seconds)
            for job_work, seconds in measured.values()
            if job_work.cost
            and (not has_accelerator or job_work.key.startswith("02_generation") == generation)
        ]
        return (
            sum(seconds for _, seconds in chosen) / sum(job_work.cost for job_work, _ in chosen)
            if chosen
            else None
        )


def facts(parameters: ParameterSet, loaded: dict) -> dict:
    """What estimates depend on: facts about a set and its models.

    Args:
        parameters: The parameter set.
        loaded: The loaded models, by name.

    Returns:
        models (by name: id, mode, remote, parameters) and judge (its kind).
    """
    judge = JUDGE_SCHEMA.validate_python(parameters.judging["judge"])
    models = {
        spec.name: {
            "id": spec.id,
            "mode": spec.mode,
            "remote": spec.server is not None,
            "parameters": 0 if spec.table or spec.id.startswith("mock:") else loaded[spec.name].parameters,
        }
        for spec in parameters.models
    }
    return {"models": models, "judge": judge.kind}


def completions(set_name: str, parameters: ParameterSet) -> dict:
    """How many completions of each model the prompts of a set request, as a fact.

    Returns:
        completions: the numbers by model; intervened: those of notebook 06b.
    """
    prompts, counts = records.read_table(set_name, "prompts"), {}
    for spec in parameters.models:
        counts[spec.name] = draws.count(
            prompts["arm"], params.cell_values(parameters, set_name, "02_generation", spec.name)
        )
    return {"completions": counts, "intervened": intervened(set_name, parameters, prompts)}


def intervened(set_name: str, parameters: ParameterSet, prompts: pd.DataFrame) -> dict[str, int]:
    """How many completions notebook 06b asks of each model that has interventions."""
    if not parameters.intervened:
        return {}
    evaluated = own_sentences.evaluated(prompts, params.dataset(set_name))["arm"]
    controls = positive_controls.prompts(positive_controls.read())["arm"]
    return {
        spec.name: draws.count_intervened(
            evaluated, controls, params.cell_values(parameters, set_name, "06b_interventions", spec.name)
        )
        for spec in parameters.intervened
    }


def work(job: Job, facts: dict) -> Work:
    """What a job has to do, according to the facts of its run.

    Args:
        job: The job.
        facts: Completions and parameters by model, ids, modes and the judge's kind (`facts`, `completions`).
    """
    completions = facts.get("intervened" if job.notebook == "06b_interventions" else "completions", {})
    count = completions.get(job.model, 0) if job.model else sum(completions.values())
    key, costs = job.notebook, COSTS.get(job.notebook)
    if costs is None or not (count or job.notebook.startswith("01")):
        return Work(key, count, None)
    fixed, per_completion = costs
    if job.notebook in ("02_generation", "06b_interventions"):
        model_facts = facts.get("models", {}).get(job.model, {})
        key = f"{key} {model_facts.get('id')} {model_facts.get('mode')}"
        if model_facts.get("remote"):
            return Work(key, count, None)
        per_completion *= (
            (model_facts.get("parameters") or 0)
            / BUNDLED
            * (CHAT if model_facts.get("mode") == "chat" else 1.0)
        )
    elif job.notebook in ("03_judging", "04_human_agreement", "04c_calibration"):
        key = f"{key} {facts.get('judge')}"
        if facts.get("judge") in ("llm", "classifier"):
            return Work(key, count, None)
        per_completion += JUDGED.get(facts.get("judge", ""), 0.0) * (job.notebook == "03_judging")
    return Work(key, count, fixed + per_completion * count)


def _share(job: Job) -> float:
    """The share of a job that this run does: below 1 after an interrupted run, 0 if all was generated."""
    shares = [1 - phase.initial / phase.total for phase in job.phases.values() if phase.total]
    return min(shares, default=float(job.notebook != "02_generation"))


def _gap(job_list: list[Job]) -> float:
    """Median seconds from the end of a job to the beginning of the next: what starting a job takes."""
    begun, ended = (
        sorted(job.begun for job in job_list if job.begun),
        sorted(job.ended for job in job_list if job.ended),
    )
    waits = [min((start - end for end in ended if end <= start), default=None) for start in begun]
    gaps = sorted(wait for wait in waits if wait is not None)
    return gaps[len(gaps) // 2] if gaps else 0.0


def _makespan(seconds: list[float], cores: int) -> float:
    """Seconds that jobs take if each core takes the next one when it is free, the longest first."""
    busy = [0.0] * max(1, cores)
    for one in sorted(seconds, reverse=True):
        busy[busy.index(min(busy))] += one
    return max(busy)
