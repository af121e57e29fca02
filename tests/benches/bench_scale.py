"""Seconds and memory of each step at the size of a large study (make bench-scale).

The study has so many prompts of the benchmark, completions a prompt, and models. No model is run: a mock
model and random verdicts stand for them, so a step costs what this project's own code costs. Each step runs
in a process of its own, whose seconds, CPU seconds and greatest memory are printed; `imports` is what every
step has in memory before it begins. Exit code 1 if a step at the full size misses a limit; time is that of
the CPU, which other work on the machine does not lengthen.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

FULL = {"prompts": 100_000, "samples": 10, "models": 8, "records": 10_000_000}
MEMORY_GB, JOURNAL_SECONDS, ANALYSES_SECONDS, CORES = 1.5, 30, 600, 2
MITIGATIONS = {"calm": ["calm"], "control": []}  # the controls of each prompt
CONFIDENCE, MARGIN, SHIFT_MARGIN = 0.95, 5.0, 0.1
PHRASES = ("the one by the door", "a sad and gloomy thing", "a wonderful morning", "half past nine", "oak")
KEY = "{:064x}"  # of a record of the journal, by its number
PER_MODEL = ("judge", "leakage")  # of the analyses: those that notebooks make for each model


def prompts(size: int) -> pd.DataFrame:
    """About `size` prompts of the benchmark: five arms of each group."""
    from lib.dataset import curated_prompts

    n_stems = curated_prompts.build(seed=1, stems=None, contexts_per_stem=1)["stem_id"].nunique()
    groups = max(1, size // 5)
    stems = min(groups, n_stems)
    return curated_prompts.build(seed=1, stems=stems, contexts_per_stem=round(groups / stems))


def completions(table: pd.DataFrame, samples: int, number: int) -> pd.DataFrame:
    """Completions of one model, all texts different; the mitigated ones as one draw of three arms."""
    rng = np.random.default_rng(number)
    named = table[["prompt_id", "group_id", "stem_id", "arm"]]
    asked = named[named["arm"].isin(["negative", "positive", "neutral"])]
    parts = [named.loc[named.index.repeat(samples)].assign(mitigation="none", wording=0)]
    parts += [asked.assign(mitigation=name, wording=1) for name in MITIGATIONS]
    made = pd.concat(parts, ignore_index=True)
    made["sample_index"] = made.groupby(["prompt_id", "mitigation"], sort=False).cumcount()
    phrases = np.array(PHRASES, dtype=object)[rng.integers(len(PHRASES), size=len(made))]
    made["completion"] = phrases + ", number " + np.arange(len(made)).astype(str).astype(object) + "."
    made.insert(0, "model", f"mock-{number}")
    described = {"family": "mock", "tuning": "base", "mode": "completion"}
    made = made.assign(outcome="answered", note="", tokens=9, ended=True, **described)
    return made.assign(parameters=pd.array([10 ** (6 + number // 2)] * len(made), "Int64"))


def verdicts(table: pd.DataFrame, described: pd.DataFrame, number: int) -> pd.DataFrame:
    """Judgements with random valences that lean towards the arm."""
    rng = np.random.default_rng(1000 + number)
    lean = table["arm"].map({"negative": -0.2, "positive": 0.2}).fillna(0.0)
    valence = (lean + rng.normal(0, 1, len(table))).clip(-4, 4).round(6)
    judged = table.merge(described, on="prompt_id")
    charged = pd.array(valence.abs() > 1, "boolean")
    repeats = pd.array(rng.random(len(table)) < 0.1, "boolean")
    return judged.assign(judge="vader", valence=valence, charged=charged, repeats=repeats)


def prepare(folder: Path, size: argparse.Namespace) -> None:
    """Write the prompts, and the tables of each model."""
    from lib.judging import judges

    table = prompts(size.prompts)
    table.to_parquet(folder / "prompts.parquet", index=False)
    for number in range(size.models):
        made = completions(table, size.samples, number)
        made.to_parquet(folder / f"completions-{number}.parquet", index=False)
        judged = verdicts(made, table[judges._DESCRIBED], number)
        judged.to_parquet(folder / f"judgements-{number}.parquet", index=False)


def journal(folder: Path, size: argparse.Namespace) -> Path:
    """Write the journal of the largest run, once; its records are those of completions."""
    path = folder / "large.jsonl"
    if not path.exists():
        fixed = {"completion": "on a shelf by the window.", "outcome": "answered", "note": "", "tokens": 6}
        rest = json.dumps(fixed | {"ended": True})[1:]
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f'{{"key": "{KEY.format(number)}", {rest}\n' for number in range(size.records))
    return path


def open_journal(folder: Path, size: argparse.Namespace) -> None:
    """Open the journal, and find which records it holds of those that a run asks for."""
    from lib.generation.runner import SETTLED
    from lib.storage.records import Journal

    asked = min(size.records, size.prompts * size.samples)
    with Journal(folder / "large.jsonl") as opened:
        assert len(opened.keys(SETTLED, among=map(KEY.format, range(asked)))) == asked


def generate(folder: Path, size: argparse.Namespace) -> None:
    """Make the completions of one model and save them (notebook 02)."""
    from lib.config import params
    from lib.generation import runner
    from lib.models import registry

    values = params.cell_values(params.load("smoke"), "smoke", "02_generation")
    values |= {"samples": size.samples, "mitigation_samples": 1, "mitigations": {"calm": "Keep calm."}}
    parameters = params.from_cell("02_generation", values)
    model, table = registry.load(parameters.model), pd.read_parquet(folder / "prompts.parquet")
    requested = runner.requests(table, parameters, model)
    replies = runner.generate(requested, parameters, model, folder / "generated.jsonl")
    runner.completions_table(replies, parameters, model).to_parquet(folder / "generated.parquet")


def judge(folder: Path, size: argparse.Namespace) -> None:
    """Judge one model's completions and test its usability (notebook 03)."""
    from lib.analysis import leakage, placebo, usability
    from lib.config.specs import VaderJudge
    from lib.judging import judges

    table, made = (pd.read_parquet(folder / f"{name}.parquet") for name in ("prompts", "completions-0"))
    judged = judges.judgements(made, table, VaderJudge(name="vader"), 0.2)
    judged.to_parquet(folder / "judged.parquet", index=False)
    usability.outcome_shares(judged)
    unmitigated = leakage.unmitigated(judged)
    pairs = leakage.pairs(unmitigated)
    usability.check(unmitigated, CONFIDENCE)
    usability.faults(unmitigated, pairs, CONFIDENCE, SHIFT_MARGIN)
    placebo.check(pairs, SHIFT_MARGIN, CONFIDENCE)
    leakage.verdict_shares(unmitigated, CONFIDENCE)


def analyse_leakage(folder: Path, size: argparse.Namespace) -> None:
    """Compute the quantities and comparisons of one model (notebook 03b)."""
    from lib.analysis import comparisons, leakage, usability

    unmitigated = leakage.unmitigated(pd.read_parquet(folder / "judgements-0.parquet"))
    pairs = leakage.pairs(unmitigated)
    charged = leakage.charged_pairs(pairs)
    usability.faults(unmitigated, pairs, CONFIDENCE, SHIFT_MARGIN)
    leakage.unscored_bounds(unmitigated, ["arm"], CONFIDENCE)
    for by in (["arm"], ["slot", "arm"], ["arm", "emotion"], ["arm", "intensity"], ["form", "arm"], []):
        leakage.summarise(charged, ["model", *by], CONFIDENCE)
    comparisons.factors(pairs, MARGIN, CONFIDENCE)
    comparisons.dose_response(pairs, MARGIN, CONFIDENCE)


def _all_models(folder: Path, size: argparse.Namespace) -> pd.DataFrame:
    paths = [folder / f"judgements-{number}.parquet" for number in range(size.models)]
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


def analyse_sizes(folder: Path, size: argparse.Namespace) -> None:
    """Compare all models, and decide C0, C2 and C4 (notebook 05)."""
    from lib.analysis import comparisons, leakage, scaling
    from lib.claims import claims

    judgements = leakage.unmitigated(_all_models(folder, size))
    benchmark = claims.benchmark(judgements, CONFIDENCE, SHIFT_MARGIN)
    pairs, faults = benchmark.pairs, benchmark.faults
    claims.existence(pairs, SHIFT_MARGIN, CONFIDENCE, faults)
    by = ["model", "family", "tuning", "mode", "parameters", "arm"]
    leakage.summarise(leakage.charged_pairs(pairs), by, CONFIDENCE)
    scaling.by_size(pairs, CONFIDENCE, by=[])
    scaling.fitted(pairs, "shift", CONFIDENCE)
    for quantity in scaling.QUANTITIES:
        scaling.meta_regression(pairs, quantity, CONFIDENCE)
    claims.scaling(pairs, 5, SHIFT_MARGIN, CONFIDENCE, faults)
    claims.polarity(benchmark.polarity, SHIFT_MARGIN, CONFIDENCE, faults)
    comparisons.models(pairs, SHIFT_MARGIN, CONFIDENCE, "shift")


def analyse_mitigations(folder: Path, size: argparse.Namespace) -> None:
    """Estimate the effects of mitigations on all models, in every analysis (notebook 06)."""
    from lib.analysis import leakage, usability
    from lib.claims import claims, mitigation, multiverse

    judgements, prompts_of = _all_models(folder, size), {"calm": ["control"]}
    pairs = leakage.pairs(judgements)
    plain = leakage.unmitigated(pairs)
    faults = usability.faults(judgements, plain, CONFIDENCE, SHIFT_MARGIN)
    shared = leakage.shared_prompts(leakage.charged_pairs(pairs))
    leakage.summarise(shared, ["model", "mitigation"], CONFIDENCE)
    effects = mitigation.effects(pairs, prompts_of, 0.25, CONFIDENCE)
    mitigation.by_wording(pairs, ["control"], CONFIDENCE)
    mitigation.effects(pairs, prompts_of, 0.25, CONFIDENCE, by=("model", "arm"))
    net = mitigation.effects(pairs, prompts_of, 0.25, CONFIDENCE, quantity="net")
    multiverse.of_mitigation([judgements], CONFIDENCE, ["control"])
    leaking = claims.leaks(plain, CONFIDENCE)
    names = list(judgements["model"].unique())
    mitigation.claim(effects, names, 0.25, CONFIDENCE, faults, leaking, net)


def nothing(folder: Path, size: argparse.Namespace) -> None:
    """Import what the others import."""
    from lib.claims import claims, mitigation, multiverse  # noqa: F401
    from lib.generation import runner  # noqa: F401
    from lib.models import registry  # noqa: F401


STEPS: dict[str, Callable] = {
    "imports": nothing,
    "prepare": prepare,
    "write journal": journal,
    "open journal": open_journal,
    "generate": generate,
    "judge": judge,
    "leakage": analyse_leakage,
    "sizes": analyse_sizes,
    "mitigations": analyse_mitigations,
}


def measured(step: str, folder: Path, size: argparse.Namespace) -> dict:
    """Seconds, CPU seconds and greatest memory in GB of a step in a process of its own."""
    command = [sys.executable, "-m", "tests.benches.bench_scale", "--in", str(folder), "--only", step]
    command += [word for name in FULL for word in (f"--{name}", str(getattr(size, name)))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{step}: exit code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def _run(step: str, folder: Path, size: argparse.Namespace) -> None:
    started = time.perf_counter()
    STEPS[step](folder, size)
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {"seconds": time.perf_counter() - started, "cpu": used.ru_utime + used.ru_stime}
    print(json.dumps(figures | {"memory_gb": used.ru_maxrss * 1024 / 1e9}))


def missed(table: pd.DataFrame, size: argparse.Namespace) -> list[str]:
    """The limits that a run at the full size misses; none at a smaller size."""
    if any(getattr(size, name) < full for name, full in FULL.items()):
        return []
    seconds, memory = table["cpu"], table["memory_gb"]
    analyses = [name for name in ("judge", "leakage", "sizes", "mitigations") if name in table.index]
    total = sum(seconds[name] * (size.models if name in PER_MODEL else 1) for name in analyses) / CORES
    faults = [f"{name}: {memory[name]:.1f} GB" for name in table.index if memory[name] > MEMORY_GB]
    if seconds.get("open journal", 0) > JOURNAL_SECONDS:
        faults.append(f"open journal: {seconds['open journal']:.0f} s")
    return faults + ([f"analyses: {total:.0f} s"] if total > ANALYSES_SECONDS else [])


def main() -> int:
    """Print a row a step, and which limits are missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, full in FULL.items():
        parser.add_argument(f"--{name}", type=int, default=full)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--in", dest="folder", type=Path, help="where tables lie; kept, for further steps")
    parser.add_argument("--only", choices=STEPS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        _run(given.only, given.folder, given)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = {}
        for step in given.steps:
            rows[step] = measured(step, folder, given)
            print(f"{step:14}" + "".join(f"{name} {value:8.2f}  " for name, value in rows[step].items()))
    faults = missed(pd.DataFrame(rows).T, given)
    print("\n".join(f"missed: {fault}" for fault in faults))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
