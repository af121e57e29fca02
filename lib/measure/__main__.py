"""Identify a model, ask it as much as the time budget allows, judge its answers, and print a result card.

A model is a hub id, a folder, a .gguf file, a bundled model, or the URL of a server that speaks OpenAI's
protocol. --table measures completions made elsewhere; with an empty path it writes the prompts to fill in. A
second call with a larger budget continues the measurement.
"""

import argparse
import json
import sys
import time
from dataclasses import replace

from lib.analysis import power
from lib.cli import batch
from lib.config import specs
from lib.config.specs import BUNDLED_MODELS, ROOT, Model, ParameterError, Table
from lib.dataset import curated_prompts
from lib.generation import prompt_checks, runner
from lib.measure import answers, budget, identify, sets, tables
from lib.models import registry
from lib.report import card
from lib.runtime import command_line
from lib.runtime.command_line import exit_code, new_parser
from lib.runtime.cores import available_cores
from lib.storage import caching, records

JUDGES = ("learned", "vader")
_BUDGET = "10m"
SPOILT = 3.0  # % of the first answers; if more are missing, answers of a chat model are prefilled
_CALIBRATE = 120.0  # seconds for answers; with fewer, calibrating the machine costs more than it gains
_PAGES = 0.2  # share of the budget reserved for judging and pages, until they were timed on this machine


def measure(request: identify.Request, options: argparse.Namespace) -> None:
    """Run one measurement, from the command-line options to the printed card.

    Args:
        request: The model to measure, as the user named it.
        options: Parsed options of the command line, with judge and budget filled in.
    """
    start, budget_seconds = time.monotonic(), budget.seconds(options.budget)
    model, notes = identify.identify(request)
    name = model.name if options.set is None else options.set
    specs.check_set_name(name)
    previous = sets.earlier(name, model)
    if previous:  # identified as before, so that its stored answers count
        model = previous.models[0].model_copy(
            update={"mitigate": False, "dtype": request.dtype or previous.models[0].dtype}
        )
    print("\n".join([f"{model.name} ({model.id})", *(f"  {note}" for note in notes)]), flush=True)
    config, stopped = sets.values(model, options.judge), ""
    benchmark = answers.benchmark(config)
    if model.table:
        design = tables.design(registry.load(model), *benchmark, config["mitigations"])
    else:
        pages_seconds = _pages_seconds(options.judge, budget_seconds)
        model, design, stopped = _answer(
            name,
            model,
            config,
            benchmark,
            budget_seconds - pages_seconds,
            sets.design(previous) if previous else None,
        )
    path = sets.write(name, sets.values(model, options.judge, design))
    print(f"Written: {path.relative_to(ROOT)}. Judging and pages:", flush=True)
    judging_start = time.monotonic()
    batch.run(name, available_cores())
    _remember_pages(options.judge, time.monotonic() - judging_start)
    written = card.read(name)
    print("\n" + "\n".join(card.lines(written, stopped) if written else []))
    print(f"In all {command_line.format_duration(time.monotonic() - start)}.")


def _answer(
    name: str, model: Model, config: dict, benchmark: tuple, available: float, earlier: budget.Design | None
) -> tuple:
    """Ask the model for as many completions as `available` seconds allow.

    Returns:
        The Model as it was asked, the Design that is finished, and a note on what was left undone (or "").
    """
    table, ordered = benchmark
    backend = _ready(answers.parameters(config, name, model, 1, mitigate=False), table)
    started = time.monotonic()
    collector = answers.Answers(name, _in_its_form(name, backend, config, benchmark), table)
    print("  measuring how fast it answers", flush=True)
    full_run = answers.parameters(config, name, collector.model.spec, max(budget.SAMPLES), mitigate=True)
    pace, run = answers.pace(collector, full_run, ordered, available > _CALIBRATE)
    variances, source = _known(name)
    remaining, n_stems, count_missing = (
        available - (time.monotonic() - started),
        table["stem_id"].nunique(),
        collector.lacks(full_run, ordered),
    )
    design = budget.choose(
        variances,
        pace,
        remaining,
        n_stems,
        count_missing,
        len(config["mitigations"]),
        config["judging"]["margin"],
        earlier,
    )
    n_requested = count_missing(design.samples, bool(design.mitigation_samples))[: design.groups].sum()
    print(f"{budget.summary(design, n_requested * pace)} Variances are those of {source}.", flush=True)
    settings = {"batch_size": run.batch_size, "workers": run.workers}
    run = answers.parameters(
        config, name, collector.model.spec, design.samples, bool(design.mitigation_samples)
    ).model_copy(update=settings)
    _, finished = collector.ask(run, ordered[: design.groups], pace, started + available)
    stopped = ""
    if finished < design.groups:
        stopped = (
            f"at the budget, after {finished:,} of {design.groups:,} groups; a larger BUDGET goes on "
            "from there"
        )
    if earlier and finished < earlier.groups:
        return collector.model.spec, earlier, stopped  # all answers of the earlier design are stored
    if finished < 2:
        raise ParameterError(
            f"BUDGET: {available:.0f} s for answers were too few for two whole groups; what is made is "
            "kept: give a larger one"
        )
    return collector.model.spec, replace(design, groups=finished), stopped


def _ready(run, table):
    """Return the backend with its prompts checked and its weights loaded; no budget counts this time."""
    backend = registry.load(run.model)
    prompt_checks.check(
        runner.requests(table.head(len(curated_prompts.ARMS)), run, backend), backend, run.max_new_tokens
    )
    if backend.is_local:
        _ = backend.weights
    return backend


def _in_its_form(name: str, backend, config: dict, benchmark: tuple):
    """Return the backend; answers are prefilled if a chat model otherwise says too little to judge."""
    spec = backend.spec
    if spec.mode != "chat" or spec.server or spec.assistant_prefill or spec.thinking_tokens:
        return backend
    run, ordered = answers.parameters(config, name, spec, 1, mitigate=False), benchmark[1][: answers.TRIAL]
    completions, _ = answers.Answers(name, backend, benchmark[0]).ask(run, ordered)
    missing_percent = answers.unusable(completions)
    if missing_percent <= SPOILT:
        return backend
    print(
        f"  {missing_percent:.0f} % of its first {len(completions)} answers hold nothing new: "
        "answers are begun with the sentence (assistant_prefill) and must hold a word (require_word)",
        flush=True,
    )
    prefilled = registry.load(spec.model_copy(update={"assistant_prefill": True, "require_word": True}))
    prefilled.weights = backend.weights
    return prefilled


def _known(name: str) -> tuple[power.Components, str]:
    """Return the variances of a pair's net excess and their source: this set, or else the reference run."""
    for source in (name, card.REFERENCE):
        source_card = card.read(source)
        if source_card and source_card["variances"]:
            return power.Components(**source_card["variances"]), source
    raise FileNotFoundError(
        f"outputs/{card.REFERENCE}/card.json is missing: it is part of the project; run `git checkout` on it"
    )


def _pages_file():
    return caching.cache_folder() / "pages.json"


def _pages_known() -> dict[str, float]:
    """Read how many seconds judging and pages took last time here, by judge; {} if unreadable."""
    try:
        stored = json.loads(_pages_file().read_text())
        return {judge: float(seconds) for judge, seconds in stored.items() if float(seconds) > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _pages_seconds(judge: str, whole: float) -> float:
    """Return the seconds to reserve for judging and pages: the last time here, or else a share."""
    seconds = _pages_known().get(judge, _PAGES * whole)
    if seconds > whole / 2:
        last = command_line.format_duration(seconds)
        print(
            f"  judging and pages took {last} last time, which exceed half of the budget: all may take longer"
        )
    return min(seconds, whole / 2)


def _remember_pages(judge: str, seconds: float) -> None:
    records.write_text(_pages_file(), json.dumps(_pages_known() | {judge: round(seconds, 1)}))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    bundled = f"bundled models: {', '.join(BUNDLED_MODELS)}; sizes and licences: params/README.md"
    arg_parser = new_parser("lib.measure", __doc__, bundled)
    arg_parser.add_argument(
        "model", nargs="?", help="hub id, folder, .gguf file, bundled model, or URL of a server"
    )
    arg_parser.add_argument(
        "--table",
        help="file of completions made elsewhere (CSV, JSONL, parquet, xlsx); '' writes an empty one",
    )
    arg_parser.add_argument(
        "--name", help="what the server calls the model; of a table, whose completions these are"
    )
    arg_parser.add_argument(
        "--mode", choices=identify.MODES, help="how the model is asked, if it is not as found out"
    )
    arg_parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16", "auto"), help="number format of the weights"
    )
    arg_parser.add_argument("--judge", choices=JUDGES, help=f"who judges (default {JUDGES[0]})")
    arg_parser.add_argument("--budget", help=f"time at hand: 90s, 10m, 1h30m (default {_BUDGET})")
    arg_parser.add_argument("--set", help="name of the parameter set, if not the model's")
    arg_parser.add_argument("--api-key-env", help="environment variable that holds the server's key")
    arg_parser.add_argument("--groups", type=int, help="groups of an empty table (default: each stem once)")
    arg_parser.add_argument("--samples", type=int, help="answers a prompt of an empty table (default 1)")
    return arg_parser


def blank(options: argparse.Namespace) -> None:
    """Write an empty table of the prompts to fill in.

    Args:
        options: Parsed options of the command line; missing `groups` and `samples` are filled in.

    Raises:
        ParameterError: If `groups` or `samples` is out of range.
    """
    model = Model(
        name="blank",
        id="blank",
        family="blank",
        tuning="instruct",
        mode="chat",
        table=Table(path="blank.csv"),
    )
    table, ordered = answers.benchmark(sets.values(model, options.judge))
    options.groups, options.samples = options.groups or table["stem_id"].nunique(), options.samples or 1
    if not (2 <= options.groups <= len(ordered) and options.samples >= 1):
        raise ParameterError(
            f"GROUPS={options.groups}, SAMPLES={options.samples}: give 2 to {len(ordered)} groups, 1 sample "
            "or more"
        )
    paths = tables.write_blank(table, ordered, options.groups, options.samples, options.mode or "chat")
    print(
        f"Written: {' and '.join(str(path.relative_to(ROOT)) for path in paths)}, "
        f"{options.groups * 5 * options.samples:,} prompts.\n"
        "Send each prompt as it stands, write the answer into completion, then: make measure "
        f"TABLE=outputs/{paths[0].name} "
        "NAME=<model>"
    )


def _check_options(options: argparse.Namespace) -> None:
    """Raise ParameterError for an option that has no effect on what is measured."""
    kind = "an empty table" if options.table == "" else "a table" if options.table else _kind(options.model)
    allowed = {
        "an empty table": ("mode", "groups", "samples"),
        "a table": ("name", "mode", "judge", "set"),
        "a mock model": ("judge", "budget", "set"),
        "a server": ("name", "mode", "judge", "budget", "set", "api_key_env"),
        "a model that runs here": ("mode", "dtype", "judge", "budget", "set"),
    }[kind]
    for option in ("name", "mode", "dtype", "judge", "budget", "set", "api_key_env", "groups", "samples"):
        if getattr(options, option) is not None and option not in allowed:
            raise ParameterError(
                f"{option.upper()}={getattr(options, option)} has no effect on {kind}; take it out"
            )


def _kind(model: str) -> str:
    if model.startswith("mock:"):
        return "a mock model"
    return "a server" if identify.is_url(model) else "a model that runs here"


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and measure; return the exit code of `lib.runtime.command_line`."""
    args = parser().parse_args(arguments)
    return exit_code(lambda: _measure_or_blank(args), "what is finished is kept: the same command goes on")


def _measure_or_blank(options: argparse.Namespace) -> None:
    if bool(options.model) == bool(options.table) and not (options.table == "" and not options.model):
        raise ParameterError(
            "what is to be measured? give MODEL=… (hub id, folder, .gguf file, server URL, or a bundled "
            "model as "
            f"{BUNDLED_MODELS[0]}) or TABLE=…, one of them; `make measure TABLE=` writes a table of "
            "prompts to fill in"
        )
    _check_options(options)
    options.judge, options.budget = options.judge or JUDGES[0], options.budget or _BUDGET
    if options.table == "":
        blank(options)
    else:
        fields = ("model", "table", "name", "mode", "dtype", "api_key_env")
        measure(identify.Request(**{field: getattr(options, field) or None for field in fields}), options)


if __name__ == "__main__":
    sys.exit(main())
