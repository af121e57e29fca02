"""Shown, not assumed: after 500 random mutations of parameter sets, tables, journals and replies of judges
nobody sees a traceback, and nothing that was sound is lost (make fuzz).

What is mutated is read as the commands read it. An error that is none of the project's own for its users, or
none of the operating system, counts as a failure: a command would print its traceback.
"""

import argparse
import collections
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from lib.config import params, specs
from lib.generation import runner
from lib.judging import llm_judge, rubrics
from lib.models import registry, server_replies
from lib.runtime.errors import UserError
from lib.storage import records, tables
from tests.proofs import mutations

RECORDS = 24  # of the journal
REPLY = "The first is gloomy, the second is not.\nVerdict: very negative | neutral"
CHOICE = {
    "index": 0,
    "finish_reason": "stop",
    "message": {"role": "assistant", "content": REPLY, "reasoning_content": "hm", "refusal": None},
}
_SHIPPED = specs.ROOT / "params"


def fails_clearly(work: Callable[[], object]) -> str:
    """Whether work is accepted or refused in words; any other error goes through."""
    try:
        work()
    except (UserError, OSError) as error:
        assert str(error).strip(), "an error without a word"
        return "refused"
    return "accepted"


def parameter_set(rng: random.Random, scratch: Path) -> str:
    """A shipped parameter set with another value, key or character."""
    path = rng.choice(sorted(_SHIPPED.glob("*.yaml")))
    if rng.random() < 0.7:
        text = yaml.safe_dump(mutations.of_values(yaml.safe_load(path.read_text()), rng))
    else:
        text = mutations.of_bytes(path.read_bytes(), rng).decode(errors="surrogateescape")
    root = scratch / "project"
    (root / "params").mkdir(parents=True, exist_ok=True)
    for other in _SHIPPED.glob("*.yaml"):
        (root / "params" / other.name).write_bytes(other.read_bytes())
    (root / "params" / "mine.yaml").write_text(text, errors="surrogateescape")
    before, specs.ROOT = specs.ROOT, root
    try:
        return fails_clearly(lambda: params.load("mine"))
    finally:
        specs.ROOT = before
        assert [each.name for each in root.iterdir()] == ["params"], "something was written"


def _sound_tables(scratch: Path) -> list[Path]:
    """One table in every format that is read."""
    rows = [
        {
            "prompt_id": f"p{n}",
            "sample_index": n % 2,
            "completion": f"an “answer” {n},\nwith a break",
            "x": n / 3,
        }
        for n in range(20)
    ]
    frame, folder = pd.DataFrame(rows), scratch / "tables"
    if not folder.exists():
        folder.mkdir()
        frame.to_parquet(folder / "t.parquet", index=False)
        frame.to_csv(folder / "t.csv", index=False)
        frame.to_csv(folder / "t.tsv", index=False, sep="\t")
        frame.to_json(folder / "t.jsonl", orient="records", lines=True)
        frame.to_excel(folder / "t.xlsx", index=False)
    return sorted(folder.iterdir())


def table(rng: random.Random, scratch: Path) -> str:
    """A table of one's own, or one of a run, with other bytes."""
    source = rng.choice(_sound_tables(scratch))
    path = scratch / f"mutated{source.suffix}"
    path.write_bytes(mutations.of_bytes(source.read_bytes(), rng))
    needed = [("prompt_id",), ("completion",)]
    outcome = fails_clearly(lambda: tables.read(str(path), needed, "models[0].table"))
    if source.suffix == ".parquet":
        root, before = scratch / "run", records.ROOT
        target = root / "outputs" / "mine" / "prompts.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        records.ROOT = root
        try:
            outcome = fails_clearly(lambda: records.read_table("mine", "prompts"))
        finally:
            records.ROOT = before
    return outcome


def _mock_run() -> tuple:
    values = params.cell_values(params.load("smoke"), "smoke", "02_generation", "mock-50")
    parameters = params.from_cell("02_generation", values | {"mitigations": {}, "samples": 1})
    prompts = pd.DataFrame(
        [
            {"prompt_id": f"g{n}-{arm}", "group_id": f"g{n}", "stem_id": f"s{n}", "arm": arm}
            | {"context": "He is heartbroken." if arm == "negative" else "He sat.", "stem": "The street is"}
            for n in range(RECORDS // 2)
            for arm in ("neutral", "negative")
        ]
    )
    model = registry.load(parameters.model)
    return runner.requests(prompts, parameters, model), parameters, model


def journal(rng: random.Random, scratch: Path) -> str:
    """The journal of a run with another record, line or byte: every completion is there at the end."""
    requested, parameters, model = _mock_run()
    path = scratch / "j.jsonl"
    path.unlink(missing_ok=True)
    runner.generate(requested, parameters, model, path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(mutations.of_journal(lines, rng))
    kept = [line for line in lines if line in path.read_bytes().splitlines(keepends=True)]

    def generate() -> None:
        replies = runner.generate(requested, parameters, model, path)
        made = runner.completions_table(replies, parameters, model)
        made.to_parquet(scratch / "made.parquet")
        runner.usability(made)

    outcome = fails_clearly(generate)
    after = path.read_bytes().splitlines(keepends=True)
    assert outcome == "accepted", "a journal that is damaged stops the run"
    assert all(line in after for line in kept), "a sound record is gone"
    return outcome


def reply(rng: random.Random, scratch: Path) -> str:
    """What a judge writes, or a server sends, in other words: a verdict on the scale, or none."""
    rubric = rubrics.read("valence")
    if rng.random() < 0.5:
        text = mutations.of_text(REPLY, rng)
        verdict = rubrics.verdict(rubric, text, rng.random() < 0.5, ["Misery Lane.", "Elm Street."])
        assert verdict is None or all(-4 <= rubric.labels[label] <= 4 for label in verdict)
        return "refused" if verdict is None else "accepted"
    choice = mutations.of_values(json.loads(json.dumps(CHOICE)), rng)
    usage = mutations.of_values(
        {"completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 0}}, rng
    )
    spec = specs.Model(name="m", id="a/b", family="f", tuning="instruct", mode="chat")
    row = pd.Series({"context": "He sat.", "stem": "The street is", "mitigation_text": ""})
    if not isinstance(choice, dict):
        return "refused"
    if server_replies.broken_off(choice):
        return "refused"
    made = server_replies.reply(choice, usage if isinstance(usage, dict) else {}, row, spec)
    json.dumps(made.text + made.note)
    llm_judge._unscored(made.text, made.outcome or "answered", made.ended)
    return "refused" if made.outcome else "accepted"


KINDS = {"parameter set": parameter_set, "table": table, "journal": journal, "reply": reply}


def fuzzed(kind: str, seed: str, scratch: Path) -> str:
    """One mutation: "accepted", "refused", or what went wrong."""
    try:
        return KINDS[kind](random.Random(f"{kind}.{seed}"), scratch)
    except Exception as error:
        return f"FAILED: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def main() -> int:
    """Print the counts of each kind and each failure with its seed; exit code 1 if there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts, started = collections.Counter(), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(options.mutations):
            kind = list(KINDS)[number % len(KINDS)]
            outcome = fuzzed(kind, f"{options.seed}.{number}", Path(scratch))
            counts[kind, outcome.partition(":")[0]] += 1
            if outcome.startswith("FAILED"):
                print(f"{kind} {options.seed}.{number}: {outcome}", flush=True)
    for kind in KINDS:
        print(f"{kind}: {', '.join(f'{n} {name}' for (of, name), n in sorted(counts.items()) if of == kind)}")
    failed = sum(n for (_, name), n in counts.items() if name == "FAILED")
    print(f"{options.mutations} mutations in {time.monotonic() - started:.0f} s; {failed} failed")
    return int(bool(failed))


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main())
