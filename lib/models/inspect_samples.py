"""Logs of Inspect: `.eval`, a zip archive of JSON, and `.json`, the same in one file.

Of a log of several epochs, the samples of each epoch follow those of the one before: with 2 samples a prompt,
sample 0 of epoch 2 has the sample_index 2.
"""

import json
from pathlib import Path

from lib.models.log_rows import PROMPT, TASK, Log, instruction_note, missing_note, refuse_other_task, table
from lib.replies import outcomes
from lib.runtime.errors import DataError
from lib.storage.archives import Archive
from lib.storage.tables import text

_START, _HEADER, _SAMPLES = "_journal/start.json", "header.json", "samples/"
_ATTACHMENT = "attachment://"
_CUT = ("max_tokens", "model_length")
_OUTCOMES = {"content_filter": outcomes.FILTERED, **dict.fromkeys(_CUT, outcomes.TRUNCATED)}


def read(path: Path) -> Log:
    """Read a log.

    Raises:
        DataError: If it is no log of Inspect, damaged, of another task, or larger than the limits of
            lib.storage.archives.
    """
    header, samples = (_of_archive if path.suffix.lower() == ".eval" else _of_json)(path)
    spec = header.get("eval")
    if not isinstance(spec, dict) or "task" not in spec:
        raise DataError("it is no log of Inspect: it names no eval.task; give the log as Inspect wrote it")
    if not str(spec["task"]).split("/")[-1].startswith(TASK):
        raise DataError(
            f"it is a log of the task {spec['task']!r}; give one of {TASK}, which make export writes"
        )
    refuse_other_task([sample["metadata"] for sample in samples], "metadata")
    per_epoch = 1 + max((int(sample["metadata"].get("sample_index", 0)) for sample in samples), default=0)
    common = {"model": str(spec.get("model", "")), "temperature": _temperature(header), "tool": _tool(spec)}
    rows = [_row(sample, per_epoch) | common for sample in samples]
    notes = _notes(header, samples, rows)
    return Log(table(rows, list(range(1, len(rows) + 1))), [*notes, *instruction_note(rows)])


def _of_archive(path: Path) -> tuple[dict, list[dict]]:
    """The header and the samples of a .eval file; an unfinished log has the header that it began with."""
    with Archive(path) as archive:
        names = archive.names()
        header = next((name for name in (_HEADER, _START) if name in names), None)
        if header is None:
            raise DataError(
                f"it is no log of Inspect: it has neither {_HEADER} nor {_START}; give another file"
            )
        head = archive.json(header)
        members = [name for name in names if name.startswith(_SAMPLES) and name.endswith(".json")]
        samples = [_sample(archive.json(name), name) for name in members]
    return (head if isinstance(head, dict) else {}), samples


def _of_json(path: Path) -> tuple[dict, list[dict]]:
    try:
        log = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"it is no JSON, or cut short ({error}); make or copy the file again") from None
    if not isinstance(log, dict):
        raise DataError("it is no log of Inspect, but another JSON file; give a log that Inspect wrote")
    samples = [_sample(sample, f"sample {n}") for n, sample in enumerate(log.pop("samples", None) or [], 1)]
    return log, samples


def _sample(sample, name: str) -> dict:
    """What counts of a sample; its events and messages are let go."""
    if not isinstance(sample, dict) or not {"id", "epoch", "metadata", "output"} <= sample.keys():
        raise DataError(f"its {name} is no sample of Inspect; give the log as Inspect wrote it")
    attachments = sample.get("attachments") or {}
    kept = {
        name: sample.get(name) for name in ("id", "epoch", "input", "metadata", "output", "scores", "error")
    }
    return {name: _resolved(value, attachments) for name, value in kept.items()}


def _resolved(value, attachments: dict):
    """`value` with the long texts that the log keeps apart, under their hash, put back."""
    if isinstance(value, dict):
        return {name: _resolved(each, attachments) for name, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, attachments) for each in value]
    if isinstance(value, str) and value.startswith(_ATTACHMENT):
        return attachments.get(value.removeprefix(_ATTACHMENT), value)
    return value


def _row(sample: dict, per_epoch: int) -> dict:
    output, prompt = sample["output"] or {}, sample["metadata"]
    choices = output.get("choices") or []
    reason = str(choices[0].get("stop_reason") or "") if choices else ""
    outcome = _OUTCOMES.get(reason, "")
    note = str(output.get("error") or reason) if outcome == outcomes.FILTERED else ""
    if not choices:
        error = sample["error"] or {}
        outcome, note = (
            outcomes.FAILED,
            str(error.get("message") or output.get("error") or "no reply is logged"),
        )
    return {
        **{name: text(prompt[name]) for name in PROMPT},
        "sample_index": (int(sample["epoch"]) - 1) * per_epoch + int(prompt.get("sample_index", 0)),
        "completion": text(output.get("completion") or _message(choices)),
        "outcome": outcome,
        "note": note,
        "finish_reason": reason,
        "task_outcome": _scored(sample["scores"] or {}),
        "sent": _sent(sample["input"]),
    }


def _message(choices: list) -> str:
    """The text of the first choice, without thoughts and what is no text."""
    content = (choices[0].get("message") or {}).get("content") if choices else ""
    if isinstance(content, list):
        return "\n".join(part.get("text") or "" for part in content if part.get("type") == "text")
    return content or ""


def _sent(question) -> str:
    """The input of a sample: its text, or its messages as JSON."""
    return str(text(question)) if isinstance(question, str) else json.dumps(question, ensure_ascii=False)


def _scored(scores: dict) -> str:
    """The outcome by the scorer of the task, which explains its score with it."""
    explanations = [str(score.get("explanation") or "") for score in scores.values()]
    return next((each for each in explanations if each in outcomes.OUTCOMES), "")


def _temperature(header: dict) -> float | None:
    configs = (header.get("plan", {}).get("config"), header["eval"].get("model_generate_config"))
    stated = (config["temperature"] for config in configs if config and config.get("temperature") is not None)
    sampled = (header["eval"].get("model_args") or {}).get("do_sample")
    return 0.0 if sampled is False else next((float(value) for value in stated), None)


def _tool(spec: dict) -> str:
    return f"inspect_ai {(spec.get('packages') or {}).get('inspect_ai', '')}".strip()


def _notes(header: dict, samples: list[dict], rows: list[dict]) -> list[str]:
    """What the log lacks: an end, samples, a temperature; and samples with errors."""
    status = header.get("status", "started")
    notes = [f"the run did not end: its status is {status!r}"] * (status != "success")
    dataset = header["eval"].get("dataset") or {}
    epochs = int((header["eval"].get("config") or {}).get("epochs") or 1)
    planned = [str(each) for each in dataset.get("sample_ids") or []]
    logged = {(str(sample["id"]), int(sample["epoch"])) for sample in samples}
    missing = [
        f"{each} of epoch {epoch}"
        for epoch in range(1, epochs + 1)
        for each in planned
        if (each, epoch) not in logged
    ]
    notes += missing_note(len(missing), len(planned) * epochs, missing)
    errors = [row for row, sample in zip(rows, samples, strict=True) if sample["error"]]
    kept = sum(row["outcome"] != outcomes.FAILED for row in errors)
    after = f"; {kept:,} of them came after the reply, which is kept" if kept else ""
    notes += [f"{len(errors):,} samples ended with an error{after}"] * bool(errors)
    return notes + ["no temperature is stated"] * (rows != [] and rows[0]["temperature"] is None)
