"""Measure one's own model: find out what it is, ask it as much as the time allows, judge, and tell the result on a card.

A model is a hub id, a folder, a .gguf file, a bundled model, or the URL of a server that speaks OpenAI's protocol; --table takes
completions made elsewhere, and without a path writes the prompts to fill in. Called again with a larger budget it goes on.
"""

import argparse
import json
import sys
import time
from dataclasses import replace

from lib import batch, generation, learned_judge, models, packages, power, prompts, records, templates, terminal, transformer
from lib.cores import available_cores
from lib.measure import answers, budget, card, identify, sets, tables
from lib.specs import ROOT, Model, ParameterError

JUDGES = ("learned", "vader")
SPOILT = 3.0  # % of the first answers that may be missing before a chat model is asked in another form
_CALIBRATE = 120.0  # seconds for answers below which calibrating the machine costs more than it gains
_PAGES = 0.2  # share of the budget kept for judging and pages, until they have been timed on this machine
_BLANK_GROUPS = 324  # each stem once


def measure(request: identify.Request, given: argparse.Namespace) -> None:
    """One measurement, from what was given on the command line to the card."""
    started, whole = time.monotonic(), budget.seconds(given.budget)
    model, notes = identify.identify(request)
    name = given.set or model.name
    before = sets.earlier(name, model)
    if before:  # as it was found out then, so that its answers count
        model = before.models[0].model_copy(update={"mitigate": False, "dtype": request.dtype or before.models[0].dtype})
    print("\n".join([f"{model.name} ({model.id})", *(f"  {note}" for note in notes)]), flush=True)
    told, stopped = sets.values(model, given.judge), ""
    benchmark = answers.benchmark(told)
    if model.table:
        design = tables.design(models.load(model), *benchmark, told["mitigations"])
    else:
        pages = _pages_seconds(given.judge, whole)
        model, design, stopped = _answer(name, model, told, benchmark, whole - pages, before and sets.design(before))
    path = sets.write(name, sets.values(model, given.judge, design))
    to_fit = given.judge == "learned" and not learned_judge.is_fitted()
    beyond = " The judge is fitted once on this machine, which takes minutes beyond the budget." if to_fit else ""
    print(f"Written: {path.relative_to(ROOT)}. Judging and pages:{beyond}", flush=True)
    judged = time.monotonic()
    batch.run(name, available_cores())
    if not to_fit:
        _remember_pages(given.judge, time.monotonic() - judged)
    print("\n" + "\n".join(card.lines(card.read(name), stopped)))
    print(f"In all {terminal.spell(time.monotonic() - started)}.")


def _answer(name: str, model: Model, told: dict, benchmark: tuple, available: float, earlier: budget.Design | None) -> tuple:
    """Ask the model for as much as `available` seconds allow; returns the model as it was asked, the design that is finished, and
    what was left undone, in words."""
    table, ordered = benchmark
    backend = _ready(answers.parameters(told, name, model, 1, mitigate=False), table)
    started = time.monotonic()
    asked = answers.Answers(name, _in_its_form(name, backend, told, benchmark), table)
    print("  measuring how fast it answers", flush=True)
    most = answers.parameters(told, name, asked.model.spec, max(budget.SAMPLES), mitigate=True)
    pace, at_hand, run = answers.pace(asked, most, ordered, available > _CALIBRATE)
    known, source = _known(name)
    left = available - (time.monotonic() - started)
    full = (table["stem_id"].nunique(), len(ordered))
    design = budget.choose(known, pace, left, full, len(told["mitigations"]), at_hand, earlier)
    design = budget.sized(design, known, full[0])
    owed = max(0, design.completions - at_hand)
    print(f"{budget.summary(design, owed * pace)} Variances are those of {source}.", flush=True)
    kept = {"batch_size": run.batch_size, "workers": run.workers}
    run = answers.parameters(told, name, asked.model.spec, design.samples, bool(design.mitigation_samples)).model_copy(
        update=kept
    )
    _, finished = asked.ask(run, ordered[: design.groups], pace, started + available)
    if finished < 2:
        raise ParameterError(
            f"BUDGET: {available:.0f} s for answers were too few for two whole groups; what is made is kept: call "
            "again with a larger BUDGET"
        )
    stopped = f"at the budget, after {finished:,} of {design.groups:,} groups; a larger BUDGET goes on from there"
    return asked.model.spec, replace(design, groups=finished), stopped if finished < design.groups else ""


def _ready(run, table):
    """The backend of a model, its prompts checked and its weights loaded, which no budget counts."""
    backend = models.load(run.model)
    templates.check(generation.requests(table.head(len(prompts.ARMS)), run, backend), backend, run.max_new_tokens)
    if isinstance(backend, transformer.Transformer):
        _ = backend.weights
    return backend


def _in_its_form(name: str, backend, told: dict, benchmark: tuple):
    """The backend, asked with begun answers if it is a chat model that else says too little to judge."""
    spec = backend.spec
    if spec.mode != "chat" or spec.server or spec.begin_answer or spec.thinking_tokens:
        return backend
    run, ordered = answers.parameters(told, name, spec, 1, mitigate=False), benchmark[1][: answers.TRIAL]
    made, _ = answers.Answers(name, backend, benchmark[0]).ask(run, ordered)
    lost = answers.unusable(made)
    if lost <= SPOILT:
        return backend
    print(
        f"  {lost:.0f} % of its first {len(made)} answers hold nothing new: answers are begun with the sentence (begin_answer) "
        "and must hold a word (require_word)",
        flush=True,
    )
    begun = models.load(spec.model_copy(update={"begin_answer": True, "require_word": True}))
    begun.weights = backend.weights
    return begun


def _known(name: str) -> tuple[power.Components, str]:
    """Variances of a pair's net excess, and the set that they were estimated in: this one, or else the reference run."""
    for source in (name, card.REFERENCE):
        found = card.read(source)
        if found and found["variances"]:
            return power.Components(**found["variances"]), source
    raise FileNotFoundError(f"outputs/{card.REFERENCE}/card.json is missing: it is part of the project; run `git checkout` on it")


def _pages_file():
    return packages.cache_folder() / "pages.json"


def _pages_seconds(judge: str, whole: float) -> float:
    """Seconds of the budget to keep for judging and pages: the most that they took on this machine, else a share."""
    path = _pages_file()
    known = json.loads(path.read_text()) if path.is_file() else {}
    return min(known.get(judge, _PAGES * whole), whole / 2)


def _remember_pages(judge: str, seconds: float) -> None:
    path = _pages_file()
    known = json.loads(path.read_text()) if path.is_file() else {}
    records.write_text(path, json.dumps(known | {judge: round(max(seconds, known.get(judge, 0.0)), 1)}))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m lib.measure", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument("model", nargs="?", help="hub id, folder, .gguf file, bundled model, or URL of a server")
    made.add_argument("--table", help="file of completions made elsewhere (CSV, JSONL, parquet, xlsx); '' writes an empty one")
    made.add_argument("--name", help="what the server calls the model; of a table, whose completions these are")
    made.add_argument("--mode", choices=identify.MODES, help="how the model is asked, if it is not as found out")
    made.add_argument("--dtype", choices=("float32", "bfloat16", "float16", "auto"), help="number format of the weights")
    made.add_argument("--judge", choices=JUDGES, default=JUDGES[0])
    made.add_argument("--budget", default="10m", help="time at hand: 90s, 10m, 1h30m (default 10m)")
    made.add_argument("--set", help="name of the parameter set, if not the model's")
    made.add_argument("--key-variable", help="environment variable that holds the server's key")
    made.add_argument("--groups", type=int, default=_BLANK_GROUPS, help=f"groups of an empty table (default {_BLANK_GROUPS})")
    made.add_argument("--samples", type=int, default=1, help="answers a prompt of an empty table (default 1)")
    return made


def blank(given: argparse.Namespace) -> None:
    """Write the prompts to fill in."""
    model = Model(name="blank", id="blank", family="blank", tuning="instruct", mode="chat", table={"path": "blank.csv"})
    table, ordered = answers.benchmark(sets.values(model, given.judge))
    if not (2 <= given.groups <= len(ordered) and given.samples >= 1):
        raise ParameterError(f"GROUPS={given.groups}, SAMPLES={given.samples}: give 2 to {len(ordered)} groups, 1 sample or more")
    paths = tables.write_blank(table, ordered, given.groups, given.samples, given.mode or "chat")
    print(
        f"Written: {' and '.join(str(path.relative_to(ROOT)) for path in paths)}, {given.groups * 5 * given.samples:,} prompts.\n"
        f"Send each prompt as it stands, write the answer into completion, then: make measure TABLE=outputs/{paths[0].name} "
        "NAME=<model>"
    )


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and measure; a mistake of the user's ends in a short message and exit code 1."""
    given = parser().parse_args(arguments)
    try:
        if given.table == "" and not given.model:
            blank(given)
        elif bool(given.model) == bool(given.table):
            raise ParameterError(
                "what is to be measured? give MODEL=… (hub id, folder, .gguf file or server URL) or TABLE=…, one of "
                "them; `make measure TABLE=` writes a table of prompts to fill in"
            )
        else:
            fields = ("model", "table", "name", "mode", "dtype", "key_variable")
            measure(identify.Request(**{field: getattr(given, field) or None for field in fields}), given)
    except (batch.Failed, ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stdout, flush=True)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what is finished is kept: the same command goes on", flush=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
