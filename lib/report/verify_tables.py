"""Verify the tables of a run: prompts, completions and judgements are made again and compared row by row."""

import pandas as pd

from lib.agreement import rated_threshold
from lib.config import params
from lib.config.sections import Generation
from lib.dataset import own_sentences
from lib.generation import next_token, runner
from lib.judging import judges
from lib.mining import benchmarks
from lib.models import registry
from lib.report.differences import Check, Difference, of_tables, skipped
from lib.runtime.errors import UserError
from lib.storage import records

ROW = ["prompt_id", "mitigation", "sample_index"]
_PROMPTS, _REQUESTED, _JOURNAL, _NEXT, _JUDGED = (
    "prompts against the parameters",
    "completions against what the parameters request",
    "completions against the journal of replies",
    "next-token values against their journal",
    "judgements against the completions",
)
NO_TABLES = "the tables are not in the repository; `make reproduce` makes them"


class _Unrendered:
    """Stands for a model that cannot be found: what was requested is known, its keys are not."""

    fingerprint = ""

    def render(self, context: str, stem: str, mitigation: object) -> str:
        return ""


def checks(set_name: str) -> list[Check]:
    """Make the prompts, completions' rows and judgements of a run again, and compare.

    Where the run has no tables, every check says so.
    """
    names = [model.name for model in params.load(set_name).models]
    if not (records.run_folder(set_name) / "judgements").exists():
        return [skipped(what, NO_TABLES) for what in (_PROMPTS, _REQUESTED, _JOURNAL, _NEXT, _JUDGED)]
    prompts = _read(set_name, "prompts")
    if isinstance(prompts, Difference):
        return [Check(_PROMPTS, 0, "rows", (prompts,))]
    return [
        _prompts(set_name, prompts),
        *(check for name in names for check in of_model(set_name, name, prompts)),
    ]


def of_model(set_name: str, name: str, prompts: pd.DataFrame) -> list[Check]:
    """Compare the completions, next-token values and judgements of one model; see `checks`."""
    completions = _read(set_name, f"completions/{name}")
    if isinstance(completions, Difference):
        return [Check(f"{_REQUESTED}, {name}", 0, "rows", (completions,))]
    found = _completions(set_name, name, prompts, completions)
    return [*found, _judgements(set_name, name, prompts, completions)]


def _read(set_name: str, table: str) -> pd.DataFrame | Difference:
    """A table of the run, or the difference that it cannot be read."""
    try:
        return records.read_table(set_name, table)
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        return Difference(_file(set_name, table), "", said, "a table", _remedy(set_name))


def _file(set_name: str, table: str) -> str:
    return f"outputs/{set_name}/{table}.parquet"


def _remedy(set_name: str) -> str:
    return f"restore it, or remove it and make reproduce SET={set_name}"


def _prompts(set_name: str, stored: pd.DataFrame) -> Check:
    run = params.dataset(set_name)
    if run.mining:
        return skipped(_PROMPTS, "they are mined: to read the corpus again takes as long as the run")
    made, _ = benchmarks.build(run, own_sentences.read(run))
    differences = of_tables(_file(set_name, "prompts"), stored, made, ["prompt_id"], _remedy(set_name))
    return Check(_PROMPTS, len(stored), "rows", tuple(differences))


def _completions(set_name: str, name: str, prompts: pd.DataFrame, stored: pd.DataFrame) -> list[Check]:
    """Compare the rows with what is requested, and their texts with the journal of replies."""
    values = params.cell_values(params.load(set_name), set_name, "02_generation", name)
    run = params.from_cell("02_generation", values)
    file, what = _file(set_name, f"completions/{name}"), f"{_REQUESTED}, {name}"
    model, reason = _model(run)
    requested = runner.requests(prompts, run, model or _Unrendered())
    rows = requested[runner.COMPLETION_COLUMNS]
    differences = of_tables(file, stored, rows, ROW, _remedy(set_name))
    found = [Check(what, len(stored), "rows", tuple(differences))]
    if model is None:
        return [*found, *(skipped(f"{kind}, {name}", reason) for kind in (_JOURNAL, _NEXT))]
    return [*found, _replies(set_name, name, stored, requested), _next_tokens(set_name, name, prompts, model)]


def _model(run: Generation):
    """The backend, without its weights, or why there is none."""
    try:
        return registry.load(run.model), ""
    except (UserError, OSError) as error:
        return None, f"the model is not found on this machine ({str(error).splitlines()[0]})"


def _replies(set_name: str, name: str, stored: pd.DataFrame, requested: pd.DataFrame) -> Check:
    what, table = f"{_JOURNAL}, {name}", f"completions/{name}"
    path = records.run_folder(set_name) / f"{table}.jsonl"
    if not path.exists():
        return skipped(what, f"outputs/{set_name}/{table}.jsonl is missing")
    kept = records.Journal(path).read(runner.SETTLED)
    missing = ~requested["key"].isin(kept.index)
    known = requested[~missing]
    made = known[ROW].assign(**{name: kept.loc[known["key"], name].to_numpy() for name in runner.SETTLED})
    rows = stored.merge(known[ROW], on=ROW)
    differences = of_tables(_file(set_name, table), rows, made, ROW, _remedy(set_name))
    reason = f"the journal has no reply to {missing.sum():,} requests" if missing.any() else ""
    return Check(what, len(known), "rows", tuple(differences), reason)


def _next_tokens(set_name: str, name: str, prompts: pd.DataFrame, model) -> Check:
    what, table = f"{_NEXT}, {name}", f"next_token/{name}"
    stored = _read(set_name, table)
    if isinstance(stored, Difference):
        return Check(what, 0, "rows", (stored,))
    path = records.run_folder(set_name) / f"{table}.jsonl"
    if model.is_local and not path.exists():
        return skipped(what, f"outputs/{set_name}/{table}.jsonl is missing")
    made = next_token.recorded(prompts, model, path)
    differences = of_tables(_file(set_name, table), stored, made, ["prompt_id"], _remedy(set_name))
    return Check(what, len(made), "rows", tuple(differences))


def _judgements(set_name: str, name: str, prompts: pd.DataFrame, completions: pd.DataFrame) -> Check:
    what, table = f"{_JUDGED}, {name}", f"judgements/{name}"
    stored = _read(set_name, table)
    if isinstance(stored, Difference):
        return Check(what, 0, "rows", (stored,))
    values = params.cell_values(params.load(set_name), set_name, "03_judging", name)
    run = params.from_cell("03_judging", values)
    replies = records.replies_path(set_name, name, run.judge.name)
    if run.judge.kind == "llm" and not replies.exists():
        return skipped(what, "the journal of the judge's replies is missing, and it is not asked again")
    try:
        threshold = run.charged_threshold or rated_threshold.threshold(run.judge)
        made = judges.judgements(completions, prompts, run.judge, threshold, replies)
    except (UserError, OSError) as error:
        return skipped(what, str(error).splitlines()[0])
    differences = of_tables(_file(set_name, table), stored, made, ROW, _remedy(set_name))
    return Check(what, len(stored), "rows", tuple(differences))
