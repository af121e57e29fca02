"""What a run will cost, told before it is paid for (make plan): completions, tokens, memory, minutes."""

import time
from dataclasses import dataclass

import pandas as pd

from lib.agreement import llm_sample
from lib.analysis import power
from lib.config import params, sections
from lib.corpora import human_ratings, own_ratings
from lib.dataset import curated_prompts
from lib.generation import prompt_checks, runner, throughput
from lib.judging import llm_judge
from lib.mining import benchmarks
from lib.models import registry
from lib.models.base import Backend
from lib.runtime import progress
from lib.storage import records

PACE = "seconds a completion"
# prompts whose completions are made, and thrown away, to see how long they are and how fast they come
_PILOT = 64


def plan(set_name: str) -> pd.DataFrame:
    """One row for each model of the set: what is owed, at hand and missing, tokens, memory, and minutes on
    this machine.

    prompt tokens are those really read, shared beginnings once; tokens are those of the missing completions,
    from a pilot of them. NaN where nothing can be known without asking a server. Where the judge is a
    language model, also the questions that it is asked about the completions, as
    `llm_judge.expected_questions` has it.
    """
    parameters = params.load(set_name)
    told = params.from_cell("01_dataset", params.cell_values(parameters, set_name, "01_dataset"))
    benchmark, _ = benchmarks.build(told)
    specs = progress.track(parameters.models, "measuring", "models")
    return pd.DataFrame([_plan_one(set_name, parameters, spec.name, benchmark) for spec in specs])


def _plan_one(set_name: str, parameters: params.ParameterSet, name: str, benchmark: pd.DataFrame) -> dict:
    run = params.from_cell("02_generation", params.cell_values(parameters, set_name, "02_generation", name))
    model = registry.load(run.model)
    requested = runner.requests(benchmark, run, model)
    prompt_checks.check(requested, model, run.max_new_tokens)
    missing = runner.missing(
        requested, records.journal_keys(records.run_folder(set_name) / "completions" / f"{name}.jsonl")
    )
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
    """What was measured: the way to ask, and seconds and tokens of a completion."""

    pace: throughput.ThroughputPlan
    seconds: float
    tokens: float
    prompt_tokens: int
    longest: int  # tokens of the longest prompt seen


def pilot(model: Backend, missing: pd.DataFrame, run: sections.Generation) -> Pilot:
    """The pace on this machine, corrected by the real time of a few of the `missing` completions, which are
    thrown away."""
    pace = throughput.measure(model, missing, run)
    model.workers, model.threads = pace.workers, pace.threads
    distinct = missing["rendered"].drop_duplicates()
    chosen = distinct.sample(min(_PILOT, len(distinct)), random_state=run.seed)
    asked = runner.side_by_side(missing[missing["rendered"].isin(chosen)])
    started = time.monotonic()
    replies = model.reply(asked, run.sampled_at, run.max_new_tokens, run.seed)
    took = time.monotonic() - started
    return corrected(
        model, pace, missing, run, asked.assign(tokens=[reply.tokens for reply in replies]), took
    )


def corrected(
    model,
    pace: throughput.ThroughputPlan,
    missing: pd.DataFrame,
    run: sections.Generation,
    asked: pd.DataFrame,
    took: float,
):
    """The Pilot of a pace, if the completions `asked` (rendered, tokens), decoded as one batch, `took` so
    many seconds."""
    tokens, steps = asked["tokens"].mean(), asked["tokens"].max()
    predicted = (
        throughput.prompt_tokens(model, asked, len(asked)) * pace.prefill_seconds_per_token
        + steps * pace.per_step
    )
    predicted += len(asked) * tokens * pace.decode_seconds_per_token
    read = throughput.prompt_tokens(model, missing, pace.batch_size)
    seconds = pace.seconds(read, len(missing), tokens, run.most_tokens) * took / predicted
    longest = max(map(len, model.token_ids(asked["rendered"].tolist())))
    return Pilot(pace, seconds / len(missing), tokens, read, longest)


def _measured(model: Backend, missing: pd.DataFrame, run: sections.Generation) -> dict:
    found = pilot(model, missing, run)
    working = found.pace.batch_size * throughput.row_bytes(model, found.longest + run.most_tokens)
    return {
        "prompt tokens": found.prompt_tokens,
        "tokens": round(len(missing) * found.tokens),
        "batch": f"{found.pace.batch_size} in {found.pace.workers} × {found.pace.threads} threads",
        "memory at most, GB": (model.weight_bytes + working) / 1e9,
        "minutes": found.seconds * len(missing) / 60,
        PACE: found.seconds,
    }


def rated_questions(set_name: str) -> int:
    """How many questions notebook 04 puts to judges that are language models: about all rated texts to the
    run's own, about a sample of them and the pairs drawn for annotators to one beside it, if no two texts are
    equal. Each judge counts once.
    """
    parameters = params.load(set_name)
    judging, agreement = (
        params.from_cell(notebook, params.cell_values(parameters, set_name, notebook))
        for notebook in ("03_judging", "04_human_agreement")
    )
    to_fit = [] if judging.charged_threshold else [judging.judge]
    asked = {judge.model_dump_json() for judge in (agreement.judge, *to_fit) if judge.kind == "llm"}
    own, _ = own_ratings.read(agreement.ratings if asked else None)
    of_all = len(asked) * (human_ratings.read()["text"].nunique() + len(own)) if asked else 0
    return of_all + sum(llm_sample.expected_questions(agreement, judge) for judge in agreement.on_a_sample)


def effort(set_name: str, effect: float, planned: pd.DataFrame) -> pd.DataFrame | None:
    """What it takes to tell `effect` (points of net excess) from 0 at 80 % power, by model, contrast and
    samples a prompt.

    Variances are those of a finished run: of this set, or else of its `variance_source`; None if there is
    neither.
    Columns: model, contrast, samples, stems, completions (unmitigated, all arms), tokens, minutes at the pace
    that `plan` measured, if it did.
    """
    told = params.from_cell("01_dataset", params.cell_values(params.load(set_name), set_name, "01_dataset"))
    source = next((name for name in (set_name, told.variance_source) if power.finished(name)), None)
    if source is None:
        return None
    table = power.needed(power.earlier(source), told.contexts_per_stem or 1, (effect,)).drop(
        columns="effect, points"
    )
    table = table.melt(id_vars=["model", "contrast", "floor, points"], var_name="samples", value_name="stems")
    table["samples"] = table["samples"].str.split().str[0].astype(int)
    table["completions"] = (
        table["stems"] * (told.contexts_per_stem or 1) * len(curated_prompts.ARMS) * table["samples"]
    )
    written = records.read_models(source, "completions", table["model"].unique().tolist(), any_version=True)
    lengths = written.groupby("model")["tokens"].mean()
    table["tokens"] = (table["completions"] * table["model"].map(lengths)).round().astype("Int64")
    pace = planned.set_index("model").reindex(columns=[PACE])[PACE]
    table["minutes"] = table["completions"].astype(float) * table["model"].map(pace).astype(float) / 60
    table["floor, points"] = table.pop("floor, points")
    return table.sort_values(["model", "contrast", "samples"], kind="stable").reset_index(drop=True)


def format_table(value) -> str:
    """A cell of the plan as people read it."""
    if pd.isna(value):
        return "–"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
