"""Shown, not assumed: the exported tasks run in their own harnesses and report the numbers that this project
computes.

The bundled model is asked by lm-evaluation-harness and by Inspect, in three ways: the bare text and the chat
template, greedily, and the bare text sampled twice. The replies that a harness logged are then cut, judged
and summed up by lib/; every quantity and every clustered error must agree. Beside that stands how many of the
greedy completions are those of our own run at temperature
0. The exported folder must also load by `datasets`, and the logs of both harnesses must be read by
lib/models/evaluation_logs.py, every reply as it is. (make verify-export)
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from lib.analysis import leakage
from lib.cli import export
from lib.config import params, specs
from lib.generation import runner
from lib.judging import judges
from lib.models import bundled, evaluation_logs, registry
from lib.replies import outcomes
from lib.replies.reply import Reply
from lib.stats import inference

SET = "quick"  # few stems
TOKENS = 32
BARE, CHAT, SAMPLED = "bare, greedy", "chat, greedy", "bare, 2 samples, T 0.7"
TOLERANCE = 1e-9  # sums in another order


def lm_eval(folder: Path, way: str) -> tuple[pd.DataFrame, dict[str, float]]:
    """The replies (prompt_id, sample_index, reply, ended) and the numbers that lm-evaluation-harness
    reports."""
    task, output = export.TASK + "_chat" * (way == CHAT), folder / "lm_eval_output" / way
    command = [
        "lm_eval",
        "--model",
        "hf",
        "--model_args",
        f"pretrained={bundled.folder()},dtype=float32",
        "--device",
        "cpu",
        "--include_path",
        "lm_eval",
        "--tasks",
        task,
        "--batch_size",
        "16",
        "--log_samples",
        "--output_path",
        str(output),
    ]
    recipe = folder / "lm_eval" / f"{export.TASK}.yaml"
    as_exported = recipe.read_text()
    if way == CHAT:
        command += ["--apply_chat_template"]
    if way == SAMPLED:
        recipe.write_text(as_exported.replace("repeats: 1", "repeats: 2"))
        command += ["--gen_kwargs", "do_sample=True,temperature=0.7"]
    _run(command, folder)
    recipe.write_text(as_exported)
    results = json.loads(next(output.rglob("results_*.json")).read_text())["results"][task]
    rows = [
        json.loads(line) for line in next(output.rglob("samples_*.jsonl")).read_text().split("\n") if line
    ]
    replies = [
        (row["doc"]["prompt_id"], index, text, True)
        for row in rows
        for index, text in enumerate(row["resps"][0])
    ]
    numbers = {
        name.removesuffix(",every_sample"): value
        for name, value in results.items()
        if name.endswith("every_sample")
    }
    return _table(replies), {name: value for name, value in numbers.items() if not name.endswith("_stderr")}


def inspect(folder: Path, way: str) -> tuple[pd.DataFrame, dict[str, float]]:
    """The replies (prompt_id, sample_index, reply, ended) and the numbers that Inspect reports."""
    from inspect_ai.log import list_eval_logs, read_eval_log

    logs = folder / "inspect_logs" / way
    command = [
        "inspect",
        "eval",
        f"inspect/{export.TASK}.py",
        "--model",
        "hf/bundled",
        "-M",
        f"model_path={bundled.folder()}",
        "-M",
        f"do_sample={str(way == SAMPLED).lower()}",
        "--max-connections",
        "16",
        "--log-dir",
        str(logs),
        "--display",
        "none",
    ]
    if way != CHAT:
        command += ["-T", "instruction=", "-M", "chat_template='{{ messages[0].content }}'"]
    if way == SAMPLED:
        command += ["-T", "samples=2", "--temperature", "0.7"]
    _run(command, folder)
    log = read_eval_log(list_eval_logs(str(logs))[0])
    replies = [
        (
            row.metadata["prompt_id"],
            row.metadata["sample_index"],
            row.output.completion,
            row.output.stop_reason != "max_tokens",
        )
        for row in log.samples
    ]
    return _table(replies), {name: metric.value for name, metric in log.results.scores[0].metrics.items()}


def log_path(folder: Path, harness, way: str) -> Path:
    """The log that a harness wrote."""
    if harness is inspect:
        return next((folder / "inspect_logs" / way).glob("*.eval"))
    return next((folder / "lm_eval_output" / way).rglob("samples_*.jsonl"))


def imported(path: Path, replies: pd.DataFrame) -> int:
    """How many replies of a log are read by lib/ as they are, under their prompt and number."""
    key = ["prompt_id", "sample_index"]
    both = replies.merge(evaluation_logs.read(path).table, on=key, how="outer", validate="one_to_one")
    return int((both["reply"] == both["completion"]).sum())


def _run(command: list[str], folder: Path) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)  # the tasks must not need this project
    program = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    done = subprocess.run(
        program, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-3000:]}")


def _table(replies: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(replies, columns=["prompt_id", "sample_index", "reply", "ended"])


def scored_here(
    replies: pd.DataFrame, benchmark: pd.DataFrame, threshold: float
) -> tuple[pd.DataFrame, dict[str, float]]:
    """The same replies as completions of ours (prompt_id, sample_index, completion), and every quantity as
    lib/ computes it."""
    columns = ["prompt_id", "group_id", "stem_id", "arm", "context", "stem"]
    table = replies.merge(benchmark[columns], on="prompt_id", validate="many_to_one").assign(
        model="m", mitigation="none"
    )
    settled = [
        outcomes.settle(Reply(row.reply, 0, row.ended), row.context, row.stem) for row in table.itertuples()
    ]
    table["completion"] = [found.completion or "" for found in settled]
    completions = table.drop(columns=["reply", "ended", "context", "stem"])
    judged = judges.judgements(completions, benchmark, specs.VaderJudge(name="vader"), threshold)
    missing = np.array([found.completion is None for found in settled])
    judged[["valence", "charged"]] = judged[["valence", "charged"]].mask(missing)
    pairs = leakage.pairs(judged)
    numbers = {
        f"n_{outcome}": sum(found.outcome == outcome for found in settled) for outcome in outcomes.OUTCOMES
    }
    for (arm, direction), part in pairs.groupby(["arm", "direction"]):
        polarity = "negative" if direction < 0 else "positive"
        for quantity in leakage.QUANTITIES:
            found = inference.clustered_mean(part[quantity], part["stem_id"])
            name = f"{quantity}_{'placebo_as_' * (arm == 'placebo')}{polarity}"
            numbers |= {name: found.estimate, f"{name}_error": found.se}
    return completions, numbers


def own_run(benchmark: pd.DataFrame, mode: str, folder: Path) -> pd.DataFrame:
    """Our own greedy completions of the same prompts: prompt_id, completion."""
    values = params.cell_values(params.load("embedded"), "embedded", "02_generation", f"smollm2-135m-{mode}")
    greedy = {
        "samples": 1,
        "mitigations": {},
        "mitigation_samples": 0,
        "temperature": 0.0,
        "max_new_tokens": TOKENS,
    }
    told = params.from_cell(
        "02_generation",
        values | greedy | {"model": values["model"] | {"assistant_prefill": False, "require_word": False}},
    )
    model = registry.load(told.model)
    requested = runner.requests(benchmark, told, model)
    return runner.generate(requested, told, model, folder / f"{mode}.jsonl")[["prompt_id", "completion"]]


def compare(
    harness, way: str, folder: Path, benchmark: pd.DataFrame, threshold: float, own: dict[str, pd.DataFrame]
) -> dict:
    """One row of the table printed."""
    replies, reported = harness(folder, way)
    completions, here = scored_here(replies, benchmark, threshold)
    equal = sum(abs(value - here[name]) <= TOLERANCE for name, value in reported.items())
    row = {
        "harness": harness.__name__,
        "way": way,
        "replies": len(replies),
        "numbers": len(reported),
        "agree": equal,
        "imported": imported(log_path(folder, harness, way), replies),
    }
    row |= {name: f"{reported[name]:+.2f} / {here[name]:+.2f}" for name in ("net_negative", "net_positive")}
    if way in own:
        both = completions.merge(own[way], on="prompt_id", suffixes=("", "_own"), validate="one_to_one")
        row["as our own run"] = f"{(both['completion'] == both['completion_own']).sum()} of {len(both)}"
    print(row, flush=True)
    return row


def loaded(folder: Path) -> dict[str, pd.DataFrame]:
    """Each table of the exported folder, as `datasets` loads it by its card."""
    import datasets

    cache = str(folder / "datasets_cache")
    return {
        name: datasets.load_dataset(str(folder), name, split="train", cache_dir=cache).to_pandas()
        for name in datasets.get_dataset_config_names(str(folder))
    }


def main() -> int:
    """Print one line for each harness and way; exit code 1 if a number or a reply differs, or a table is
    not loaded as it was written."""
    made, threshold = export.export(SET), export.CHARGED
    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(made, Path(name) / "export"))
        tables = loaded(folder)
        whole = [
            name
            for name, table in tables.items()
            if table.equals(pd.read_parquet(made / "data" / f"{name}.parquet"))
        ]
        print(
            f"datasets.load_dataset: {len(whole)} of {len(tables)} tables as written ({', '.join(tables)})",
            flush=True,
        )
        benchmark = tables["prompts"]
        asked = benchmark[benchmark["arm"] != "none"]
        own = {BARE: own_run(asked, "completion", folder), CHAT: own_run(asked, "chat", folder)}
        rows = [
            compare(harness, way, folder, benchmark, threshold, own)
            for harness in (inspect, lm_eval)
            for way in (BARE, CHAT, SAMPLED)
        ]
    table = pd.DataFrame(rows)
    print(table.fillna("").to_string(index=False))
    print("net excess: points, as the harness reports it / as lib/ computes it from the same replies")
    return int(
        len(whole) < 3
        or (table["agree"] < table["numbers"]).any()
        or (table["imported"] < table["replies"]).any()
        or (table["numbers"] < 26 + len(outcomes.OUTCOMES)).any()
    )


if __name__ == "__main__":
    sys.exit(main())
