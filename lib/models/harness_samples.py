"""Samples of lm-evaluation-harness: `samples_<task>_<time>.jsonl`, which --log_samples writes.

A line is a document with all its replies (`repeats`). The harness logs no finish reason, so that a reply
counts as truncated only where its text shows it; model and version stand in `results_<time>.json` beside it.
"""

import json
import re
from pathlib import Path

from lib.models.log_rows import PROMPT, TASK, Log, instruction_note, missing_note, refuse_other_task, table
from lib.runtime.errors import DataError
from lib.storage import tables

FIELDS = {"doc", "arguments", "resps"}  # of a line
NO_REASON = "no finish reason is logged by lm-evaluation-harness"
_NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")


def read(path: Path) -> Log:
    """Read a file of samples.

    Args:
        path: The file; results_<time>.json is looked for in its folder.

    Raises:
        DataError: If a line is no JSON or no sample, or if the samples are of another task.
    """
    lines = tables.READERS[".jsonl"][1](path, ()).to_dict("index")
    broken = [number for number, line in lines.items() if not isinstance(line["resps"], list)]
    if broken:
        raise DataError(
            f"{len(broken):,} lines hold no resps (line {tables.some(broken, len(broken))}), as samples of "
            "lm-evaluation-harness do; give the file as --log_samples wrote it"
        )
    refuse_other_task([line["doc"] for line in lines.values()], "doc")
    results, notes = _results(path)
    filters = {line.get("filter") for line in lines.values()}
    first = min(filters, key=str)  # every filter is given the same replies
    rows, numbers = [], []
    for number, line in lines.items():
        if line.get("filter") == first:
            replies = _rows(line, results)
            rows += replies
            numbers += [number] * len(replies)
    notes += [f"samples of {len(filters)} filters hold the same replies; those of {first!r} count"] * (
        len(filters) > 1
    )
    expected = int(results["n-samples"].get("effective", 0))
    asked = len({row["prompt_id"] for row in rows})
    unstated = [f"{sum(row['temperature'] is None for row in rows):,} replies have no temperature stated"]
    notes += missing_note(expected - asked, expected, [])
    notes += unstated * any(row["temperature"] is None for row in rows)
    return Log(table(rows, numbers), [*notes, *instruction_note(rows), NO_REASON])


def _rows(line: dict, results: dict) -> list[dict]:
    """The replies to one document."""
    prompt = {name: tables.text(line["doc"][name]) for name in PROMPT}
    sent, settings = _request(line["arguments"])
    replies = [
        reply for request in line["resps"] for reply in (request if isinstance(request, list) else [request])
    ]
    scored = _scored(line, len(replies))
    return [
        prompt
        | {
            "sample_index": index,
            "completion": tables.text(reply),
            "task_outcome": outcome,
            "sent": sent,
            "model": results["model"],
            "temperature": _temperature(settings),
            "tool": results["tool"],
        }
        for index, (reply, outcome) in enumerate(zip(replies, scored, strict=True))
    ]


def _request(arguments) -> tuple[str, dict]:
    """The text that was sent, and the generation settings."""
    first: dict = next(iter(arguments.values()), {}) if isinstance(arguments, dict) else {}
    values = list(first.values()) if isinstance(first, dict) else []
    sent = values[0] if values else ""
    settings = values[1] if len(values) > 1 and isinstance(values[1], dict) else {}
    return str(tables.text(sent)) if isinstance(sent, str) else json.dumps(sent, ensure_ascii=False), settings


def _temperature(settings: dict) -> float | None:
    """The temperature; 0 for greedy decoding, None where the settings leave it to the model."""
    if settings.get("do_sample") is False:
        return 0.0
    value = settings.get("temperature")
    return None if value is None else float(value)


def _scored(line: dict, count: int) -> list[str]:
    """The outcome of each reply by the task's own scoring, which it logs under every metric."""
    names = line.get("metrics")
    judged = line.get(names[0]) if isinstance(names, list) and names else None
    if not isinstance(judged, list) or len(judged) != count:
        return [""] * count
    return [str(each.get("outcome") or "") if isinstance(each, dict) else "" for each in judged]


def _results(path: Path) -> tuple[dict, list[str]]:
    """What results_<time>.json says of the run: model, tool, n-samples of the task; and notes."""
    nothing: dict = {"model": "", "tool": "lm-eval", "n-samples": {}}
    name = _NAME.fullmatch(path.name)
    beside = path.with_name(f"results_{name['time']}.json") if name else None
    if name is None or beside is None or not beside.is_file():
        wanted = beside.name if beside else "results_<time>.json"
        return nothing, [f"the model is not known: there is no {wanted} beside the file"]
    if not name["task"].startswith(TASK):
        raise DataError(f"task {name['task']!r} in its name is not {TASK}; give the samples of that task")
    try:
        results = json.loads(beside.read_text(encoding="utf-8"))
        return {
            "model": str(results["model_name"]),
            "tool": f"lm-eval {results.get('lm_eval_version', '')}".strip(),
            "n-samples": results.get("n-samples", {}).get(name["task"], {}),
        }, []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return nothing, [f"the model is not known: {beside.name} beside the file is damaged ({error!r})"]
