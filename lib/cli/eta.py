"""How long a run of the batch still takes: from what its jobs measure, and what earlier runs took on this
machine.

A job that was never measured here is estimated from COSTS, what jobs cost beside each other, at the speed of
those that were measured. Where nothing is known, as of a server before its first answers, the estimate says
so.
"""

import shutil
from dataclasses import dataclass

from lib.cli import jobs
from lib.cli.jobs import DONE, PREPARATION, RUNNING, WAITING, Job
from lib.config import draws, params
from lib.config.params import ParameterSet
from lib.config.specs import Judge
from lib.storage import records
from lib.storage.times import Times

# What a notebook costs at any size, and for each completion that it reads; 1 is what the bundled model takes
# to complete a text. Ratios of what a run of params/embedded.yaml took on two cores.
COSTS = {
    "01_dataset": (80.0, 0.0),
    "02_generation": (300.0, 1.0),
    "03_judging": (110.0, 0.01),
    "03b_leakage": (70.0, 0.01),
    "03c_robustness": (140.0, 0.05),
    "04_human_agreement": (800.0, 0.005),
    "05_scaling_analysis": (100.0, 0.0025),
    "06_prompting_mitigation_ablation": (60.0, 0.0015),
}
JUDGED = {"learned": 0.3}  # more for a completion in 03_judging, by the kind of judge
CHAT = 1.7  # a completion in chat mode, for its longer prompt and answer
BUNDLED = 106_203_456  # parameters of the bundled model outside its embeddings
_LEAST_SHARE = 0.05  # of a job that an earlier run began: less of it tells nothing of its time
SERIAL = (PREPARATION, "01_dataset", "02_generation")  # one at a time, with all cores


@dataclass(frozen=True)
class Estimate:
    """Seconds left of what can be told, and the labels of the jobs of which nothing can.

    `measured`: whether there is something to tell, by a job of this run if completions are still to be made.
    """

    left: float
    unknown: list[str]
    measured: bool


@dataclass(frozen=True)
class Work:
    """What a job has to do: `key` tells like jobs, `completions` how much of it."""

    key: str
    completions: float
    cost: float | None

    @property
    def size(self) -> float:
        """What the time of like jobs is proportional to."""
        return self.cost or max(self.completions, 1)

    def of_share(self, share: float) -> "Work":
        """A share of it."""
        return Work(self.key, self.completions * share, self.cost and self.cost * share)


class Estimator:
    """Estimates a run from its jobs; `facts` of it are told by its preparation (`batch.prepare`)."""

    def __init__(self, cores: int):
        self._cores, self._times, self._kept = cores, Times(), set()

    def estimate(self, found: jobs.Jobs, now: float) -> Estimate:
        """What is left of the jobs that are waiting or running."""
        works = {job.name: work(job, found.facts) for job in found.values()}
        measured = self._measured(found, works, now)
        gap = _gap(list(found.values()))
        lefts, unknown = {}, []
        for job in found.values():
            if job.state in (WAITING, RUNNING):
                left = self._left(job, works[job.name], measured, now)
                if left is None:
                    unknown.append(job.label)
                lefts[job.name] = (left or 0.0) + gap * (job.state == WAITING)
        total = sum(lefts[name] for name in lefts if found[name].notebook in SERIAL)
        for part in (
            ("03_judging", "03b_leakage", "03c_robustness"),
            ("04_human_agreement", "05_scaling_analysis", "06_prompting_mitigation_ablation"),
        ):
            total += _makespan([lefts[name] for name in lefts if found[name].notebook in part], self._cores)
        generating = [job for job in found.values() if job.notebook == "02_generation"]
        is_measured = any(job.name in measured for job in generating)
        is_planned = any(job.notebook != PREPARATION for job in found.values())
        is_measured |= is_planned and not any(job.state in (WAITING, RUNNING) for job in generating)
        return Estimate(total, unknown, is_measured and len(unknown) < len(lefts))

    def keep(self, found: jobs.Jobs) -> None:
        """Keep for later runs what the jobs took that are done."""
        for job in found.values():
            if job.state == DONE and job.name not in self._kept and _share(job) == 1:
                self._kept.add(job.name)
                about = work(job, found.facts)
                self._times.keep(about.key, about.size, job.elapsed(job.ended))

    def _measured(self, found: jobs.Jobs, works: dict, now: float) -> dict[str, tuple[Work, float]]:
        """Seconds of the jobs that are done, and of generation that is under way."""
        taken = {}
        for job in found.values():
            about = works[job.name].of_share(_share(job))
            if _share(job) < _LEAST_SHARE:
                continue
            if job.state == DONE:
                taken[job.name] = about, job.elapsed(now)
            elif job.state == RUNNING and job.notebook == "02_generation" and job.phase:
                left = job.phase.seconds_left(now)
                if left is not None:
                    taken[job.name] = about, job.elapsed(now) + left
        return taken

    def _left(self, job: Job, about: Work, measured: dict, now: float) -> float | None:
        """Seconds that a job still takes: by its own bar, or else what is expected of it less what has
        passed."""
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
        """Seconds of a whole job: as like ones of this run or of earlier ones, or else by its cost."""
        like = [
            (other, seconds)
            for name, (other, seconds) in measured.items()
            if other.key == about.key and name != job.name
        ]
        earlier = self._times.of(about.key)
        if like:
            return like[-1][1] * about.size / like[-1][0].size
        if earlier:
            return self._slower(measured) * earlier[1] * about.size / earlier[0]
        if about.cost is None:
            return None
        rate = self._second_per_cost(measured, generation=job.notebook == "02_generation")
        return None if rate is None else about.cost * rate

    def _slower(self, measured: dict) -> float:
        """How much longer the jobs of this run take than earlier ones did."""
        known = [(seconds, self._times.of(about.key), about.size) for about, seconds in measured.values()]
        known = [(seconds, earlier[1] * size / earlier[0]) for seconds, earlier, size in known if earlier]
        return sum(seconds for seconds, _ in known) / sum(expected for _, expected in known) if known else 1.0

    def _second_per_cost(self, measured: dict, generation: bool = False) -> float | None:
        """The machine's speed. An accelerator generates, but does nothing else, so its speed tells nothing of
        the rest."""
        apart = shutil.which("nvidia-smi") is not None
        chosen = [
            (about, seconds)
            for about, seconds in measured.values()
            if about.cost and (not apart or about.key.startswith("02_generation") == generation)
        ]
        return (
            sum(seconds for _, seconds in chosen) / sum(about.cost for about, _ in chosen) if chosen else None
        )


def facts(parameters: ParameterSet, found: dict) -> dict:
    """What estimates depend on, of a set and its models as loaded, by name."""
    judge = Judge.model_validate(parameters.judging["judge"])
    models = {
        spec.name: {
            "id": spec.id,
            "mode": spec.mode,
            "remote": spec.server is not None,
            "parameters": 0 if spec.table or spec.id.startswith("canned:") else found[spec.name].parameters,
        }
        for spec in parameters.models
    }
    sample = any(
        Judge.model_validate(other).kind == "llm"
        for other in parameters.agreement.get("comparison_judges", [])
    )
    return {"models": models, "judge": judge.kind, "sample": sample}


def completions(set_name: str, parameters: ParameterSet) -> dict:
    """How many completions of each model the prompts of a set ask for; as facts."""
    arms, counts = records.read_table(set_name, "prompts")["arm"], {}
    for spec in parameters.models:
        counts[spec.name] = draws.count(
            arms, params.cell_values(parameters, set_name, "02_generation", spec.name)
        )
    return {"completions": counts}


def work(job: Job, facts: dict) -> Work:
    """What a job has to do, by the facts of its run: completions and parameters by model, ids, modes, the
    judge's kind."""
    completions = facts.get("completions", {})
    count = completions.get(job.model, 0) if job.model else sum(completions.values())
    key, fixed_and_each = job.notebook, COSTS.get(job.notebook)
    if fixed_and_each is None or not (count or job.notebook == "01_dataset"):
        return Work(key, count, None)
    fixed, each = fixed_and_each
    if job.notebook == "02_generation":
        about = facts.get("models", {}).get(job.model, {})
        key = f"{key} {about.get('id')} {about.get('mode')}"
        if about.get("remote"):
            return Work(key, count, None)
        each *= (about.get("parameters") or 0) / BUNDLED * (CHAT if about.get("mode") == "chat" else 1.0)
    elif job.notebook in ("03_judging", "04_human_agreement"):
        key = f"{key} {facts.get('judge')}"
        sample = facts.get("sample") and job.notebook == "04_human_agreement"
        key += " and a sample" if sample else ""
        if facts.get("judge") in ("llm", "classifier") or sample:
            return Work(key, count, None)
        each += JUDGED.get(facts.get("judge"), 0.0) * (job.notebook == "03_judging")
    return Work(key, count, fixed + each * count)


def _share(job: Job) -> float:
    """The share of a job that this run does: not all where an earlier one was interrupted, and no generation
    where every completion was there."""
    shares = [1 - phase.initial / phase.total for phase in job.phases.values() if phase.total]
    return min(shares, default=float(job.notebook != "02_generation"))


def _gap(found: list[Job]) -> float:
    """Seconds from the end of a job to the beginning of the next: what starting one takes."""
    begun, ended = (
        sorted(job.begun for job in found if job.begun),
        sorted(job.ended for job in found if job.ended),
    )
    gaps = [min((start - end for end in ended if end <= start), default=None) for start in begun]
    gaps = sorted(gap for gap in gaps if gap is not None)
    return gaps[len(gaps) // 2] if gaps else 0.0


def _makespan(seconds: list[float], cores: int) -> float:
    """How long jobs take if each core takes the next when it is free, the longest first."""
    busy = [0.0] * max(1, cores)
    for one in sorted(seconds, reverse=True):
        busy[busy.index(min(busy))] += one
    return max(busy)
