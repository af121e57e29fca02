"""Estimate what a run will cost before it starts (make plan): completions, tokens, memory, minutes."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from lib.agreement import llm_sample
from lib.analysis import power
from lib.cli import eta
from lib.config import params, sections
from lib.corpora import human_ratings, own_ratings
from lib.dataset import curated_prompts
from lib.generation import plans, prompt_checks, runner
from lib.judging import llm_judge
from lib.mining import benchmarks
from lib.models import registry
from lib.runtime import progress
from lib.storage import records

if TYPE_CHECKING:
    from lib.models.huggingface import HuggingFaceModel

PACE = "seconds a completion"
INTERVENED = "completions of notebook 06b"
# number of prompts whose completions are generated, and discarded, to measure their length and speed
_PILOT = 64


def plan(set_name: str) -> pd.DataFrame:
    """Estimate the cost of each model of the set on this machine.

    Returns:
        One row per model. Columns: model; completions (requested); at hand; prompts (distinct); judge's
        questions (only where the judge is a language model: its questions about the completions, by
        `llm_judge.expected_questions`); prompt tokens (those actually processed, shared beginnings once);
        tokens (of the missing completions, from a pilot of them); batch; memory at most, GB; minutes; PACE;
        INTERVENED (completions of notebook 06b besides, only where a model has interventions; what it trains
        is not counted).
        NaN where nothing can be known without asking a server.
    """
    parameters = params.load(set_name)
    config = params.from_cell("01_dataset", params.cell_values(parameters, set_name, "01_dataset"))
    benchmark, _ = benchmarks.build(config)
    specs = progress.track(parameters.models, "measuring", "models")
    table = pd.DataFrame([_plan_one(set_name, parameters, spec.name, benchmark) for spec in specs])
    if parameters.intervened:
        table[INTERVENED] = table["model"].map(eta.intervened(set_name, parameters, benchmark)).fillna(0)
        table["minutes"] += table[INTERVENED] * table[PACE] / 60
    return table


def _plan_one(set_name: str, parameters: params.ParameterSet, name: str, benchmark: pd.DataFrame) -> dict:
    run = params.from_cell("02_generation", params.cell_values(parameters, set_name, "02_generation", name))
    model = registry.load(run.model)
    requested = runner.requests(benchmark, run, model)
    prompt_checks.check(requested, model, run.max_new_tokens)
    journal = records.run_folder(set_name) / "completions" / f"{name}.jsonl"
    missing = runner.missing(requested, records.journal_keys(journal, among=requested["key"]))
    row = {
        "model": name,
        "completions": len(requested),
        "at hand": len(requested) - len(missing),
        "prompts": requested["rendered"].nunique(),
    }
    judge = params.from_cell("03_judging", params.cell_values(parameters, set_name, "03_judging", name)).judge
    if judge.kind == "llm":
        row["judge's questions"] = llm_judge.expected_questions(judge, requested["arm"])
    if not model.is_local:
        return row | {"minutes": 0.0 if missing.empty else float("nan")}
    cost = _measured(model, requested if missing.empty else missing, run)
    return row | ({"minutes": 0.0, PACE: cost[PACE]} if missing.empty else cost)


@dataclass(frozen=True)
class Pilot:
    """What the pilot measured.

    Attributes:
        pace: The throughput plan.
        seconds: Seconds per completion.
        tokens: Tokens per completion.
        prompt_tokens: Prompt tokens of all missing completions.
        longest: Tokens of the longest prompt of the pilot.
    """

    pace: plans.ThroughputPlan
    seconds: float
    tokens: float
    prompt_tokens: int
    longest: int


def pilot(model: "HuggingFaceModel", missing: pd.DataFrame, run: sections.Generation) -> Pilot:
    """Measure the throughput on this machine, corrected by timing a few of the `missing` completions.

    These completions are discarded.
    """
    from lib.generation import calibration

    pace = calibration.measure(model, missing, run)
    distinct = missing["rendered"].drop_duplicates()
    chosen = distinct.sample(min(_PILOT, len(distinct)), random_state=run.seed)
    requests = runner.side_by_side(missing[missing["rendered"].isin(chosen)])
    started = time.monotonic()
    replies = model.reply(requests, run.sampled_at, run.max_new_tokens, run.seed, division=pace.division)
    took = time.monotonic() - started
    return corrected(
        model, pace, missing, run, requests.assign(tokens=[reply.tokens for reply in replies]), took
    )


def corrected(
    model: "HuggingFaceModel",
    pace: plans.ThroughputPlan,
    missing: pd.DataFrame,
    run: sections.Generation,
    asked: pd.DataFrame,
    took: float,
) -> Pilot:
    """Correct a throughput plan by the time that one batch of completions took.

    Args:
        model: The backend.
        pace: The throughput plan.
        missing: The requests whose cost is estimated.
        run: The values of notebook 02.
        asked: The completions of the batch, with the columns rendered and tokens.
        took: Seconds that the batch took.

    Returns:
        The Pilot of the plan.
    """
    from lib.generation import calibration

    tokens = asked["tokens"].mean()
    predicted = pace.seconds(
        calibration.prompt_tokens(model, asked, len(asked)), len(asked), tokens, int(asked["tokens"].max())
    )
    prompt_tokens = calibration.prompt_tokens(model, missing, pace.batch_size)
    seconds = pace.seconds(prompt_tokens, len(missing), tokens, run.most_tokens) * took / predicted
    longest = max(map(len, model.token_ids(asked["rendered"].tolist())))
    return Pilot(pace, seconds / len(missing), tokens, prompt_tokens, longest)


def _measured(model: "HuggingFaceModel", missing: pd.DataFrame, run: sections.Generation) -> dict:
    from lib.generation import memory

    measured = pilot(model, missing, run)
    pace = measured.pace
    working = memory.decoding_bytes(model, measured.longest + run.most_tokens, pace.batch_size, pace.workers)
    return {
        "prompt tokens": measured.prompt_tokens,
        "tokens": round(len(missing) * measured.tokens),
        "batch": f"{pace.batch_size} in {pace.workers} × {pace.threads} threads",
        "memory at most, GB": (model.weight_bytes + working) / 1e9,
        "minutes": measured.seconds * len(missing) / 60,
        PACE: measured.seconds,
    }


def rated_questions(set_name: str) -> int:
    """How many questions notebooks 04 and 04e ask of judges that are language models.

    The run's own judge is asked about all rated texts. Each comparison judge is asked about a sample of them
    and about the pairs drawn for annotators. The number assumes that no two texts are equal. Each judge
    counts once.
    """
    parameters = params.load(set_name)
    judging = params.from_cell("03_judging", params.cell_values(parameters, set_name, "03_judging"))
    agreement = params.from_cell(
        "04_human_agreement", params.cell_values(parameters, set_name, "04_human_agreement")
    )
    to_fit = [] if judging.charged_threshold else [judging.judge]
    judges = {judge.model_dump_json() for judge in (agreement.judge, *to_fit) if judge.kind == "llm"}
    own, _ = own_ratings.read(agreement.ratings if judges else None)
    n_on_all = len(judges) * (human_ratings.read()["text"].nunique() + len(own)) if judges else 0
    return n_on_all + sum(llm_sample.expected_questions(agreement, judge) for judge in agreement.on_a_sample)


def effort(set_name: str, effect: float, planned: pd.DataFrame) -> pd.DataFrame | None:
    """Estimate what it takes to distinguish an effect from 0 at 80 % power.

    The variances are those of a finished run: of this set, or else of its `variance_source`.

    Args:
        set_name: The parameter set.
        effect: Net excess, in points.
        planned: The table of `plan`.

    Returns:
        None if there is no finished run. Otherwise one row per model, contrast and samples per prompt.
        Columns: model, contrast, samples, stems, completions (unmitigated, all arms), tokens, minutes (at the
        pace that `plan` measured, if it did), and floor, points.
    """
    config = params.from_cell("01_dataset", params.cell_values(params.load(set_name), set_name, "01_dataset"))
    source = next((name for name in (set_name, config.variance_source) if power.finished(name)), None)
    if source is None:
        return None
    table = power.needed(power.earlier(source), config.contexts_per_stem or 1, (effect,)).drop(
        columns="effect, points"
    )
    table = table.melt(id_vars=["model", "contrast", "floor, points"], var_name="samples", value_name="stems")
    table["samples"] = table["samples"].str.split().str[0].astype(int)
    table["completions"] = (
        table["stems"] * (config.contexts_per_stem or 1) * len(curated_prompts.ARMS) * table["samples"]
    )
    completions = records.read_models(
        source, "completions", table["model"].unique().tolist(), True, columns=["model", "tokens"]
    )
    lengths = completions.groupby("model")["tokens"].mean()
    table["tokens"] = (table["completions"] * table["model"].map(lengths)).round().astype("Int64")
    pace = planned.set_index("model").reindex(columns=[PACE])[PACE]
    table["minutes"] = table["completions"].astype(float) * table["model"].map(pace).astype(float) / 60
    table["floor, points"] = table.pop("floor, points")
    return table.sort_values(["model", "contrast", "samples"], kind="stable").reset_index(drop=True)


def format_table(value) -> str:
    """Format one cell of the plan."""
    if pd.isna(value):
        return "–"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
