"""A set's benchmark for use elsewhere: tables with a dataset card, a task for lm-evaluation-harness, a task
for Inspect.

`python -m lib.cli.export embedded` writes outputs/embedded/export/ with data/ and README.md (the Hugging Face
card, lib/data/README.md filled in), lm_eval/ and inspect/. The tasks hold all they need beside their harness
and vaderSentiment: prompts, settings, the rules for what counts of a reply as the package leakage_rules, and
the scoring (lib/data/export/).
"""

import json
import re
import sys
from pathlib import Path
from string import Template

import pandas as pd
import yaml
from tabulate import tabulate

from lib.analysis import leakage
from lib.config import params, sections
from lib.config.specs import ParameterError
from lib.dataset import curated_prompts, own_sentences
from lib.models.base import INSTRUCTION
from lib.nlp import sentences, text
from lib.replies import openings, outcomes, refusals
from lib.runtime import command_line
from lib.storage import records

PARTS = curated_prompts.DATA / "export"
TASK = "expression_leakage"
RULES = "leakage_rules"
_RULE_MODULES = (outcomes, openings, refusals, sentences, text)
CHARGED = 0.2  # the tasks judge by VADER: its own 0.05 on the compound score, stretched to the human scale


def export(set_name: str) -> Path:
    """Write outputs/<set_name>/export/, built from the set's parameters; returns it. ParameterError if the
    set is not to be had.

    The curated sentences alone are exported: text that others wrote is not ours to license. Each table has a
    column `part`.
    """
    parameters = params.load(set_name)
    told = params.from_cell("01_dataset", params.cell_values(parameters, set_name, "01_dataset"))
    if told.published_prompts or told.mining:
        raise ParameterError(
            f"params/{set_name}.yaml: dataset: sentences of others are not exported; name a curated set"
        )
    if told.stems_file or told.contexts_file:
        raise ParameterError(
            f"params/{set_name}.yaml: dataset: sentences of your own are not exported, for the card "
            "describes the curated ones\n"
            f"once the set has run, its prompts are in outputs/{set_name}/prompts.parquet"
        )
    sentences = own_sentences.read(told)
    benchmark = curated_prompts.build(
        told.seed, told.stems, told.contexts_per_stem, told.first_groups, sentences
    )
    stems, contexts = sentences.stems, sentences.contexts
    chosen = {
        "stems": stems[stems["stem_id"].isin(benchmark["stem_id"])],
        "contexts": contexts[contexts["context_id"].isin(benchmark["context_id"])],
        "prompts": benchmark,
    }
    tables = {name: _with_part(table, told.part) for name, table in chosen.items()}
    folder = records.run_folder(set_name) / "export"
    for name, table in tables.items():
        records.write_table(set_name, f"export/data/{name}", table)
        records.write_text(folder / "data" / f"{name}.jsonl", json_lines(table))
    records.write_text(folder / "README.md", card(set_name, told, tables, CHARGED))
    settings = {
        "charged_threshold": CHARGED,
        "max_new_tokens": parameters.generation["max_new_tokens"],
        "instruction": INSTRUCTION,
    }
    for name, files in task_files(settings).items():
        shared = {
            "prompts.jsonl": json_lines(tables["prompts"]),
            "settings.json": json.dumps(settings, indent=2) + "\n",
        }
        for file, content in (files | _scoring() | shared).items():
            records.write_text(folder / name / file, content)
    return folder


def _with_part(table: pd.DataFrame, part: str) -> pd.DataFrame:
    """`table` with its part, so that what is held out can be kept apart: behind the columns that say what a
    row is."""
    others = table.drop(columns="part", errors="ignore")
    others.insert(sum(name.endswith("_id") for name in others.columns[:3]), "part", part)
    return others


def json_lines(table: pd.DataFrame) -> str:
    """`table` as JSON Lines, one row a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_dict("records"))


def task_files(settings: dict) -> dict[str, dict[str, str]]:
    """Folder -> file -> text of what is each harness's own."""
    return {
        "lm_eval": {
            f"{TASK}.yaml": lm_eval_yaml(settings["max_new_tokens"]),
            f"{TASK}_chat.yaml": yaml.safe_dump(
                {
                    "include": f"{TASK}.yaml",
                    "task": f"{TASK}_chat",
                    "doc_to_text": settings["instruction"] + " {{text}}",
                }
            ),
            "utils.py": (PARTS / "lm_eval_utils.py").read_text(encoding="utf-8"),
        },
        "inspect": {f"{TASK}.py": (PARTS / "inspect_task.py").read_text(encoding="utf-8")},
    }


def _scoring() -> dict[str, str]:
    """The files that both tasks share: the scoring, and the modules of lib/ that read a reply, as a package
    of their own."""
    shared = {f"{RULES}/{Path(module.__file__).name}": Path(module.__file__) for module in _RULE_MODULES}
    shared["leakage_scoring.py"] = PARTS / "leakage_scoring.py"
    texts = {name: path.read_text(encoding="utf-8") for name, path in shared.items()}
    texts = {
        name: re.sub(r"^from lib\.\w+", f"from {RULES}", source, flags=re.MULTILINE)
        for name, source in texts.items()
    }
    return texts | {
        f"{RULES}/__init__.py": '"""What counts of a reply, as in the project expression-leakage."""\n'
    }


def lm_eval_yaml(max_new_tokens: int) -> str:
    """The task of lm-evaluation-harness: one document a prompt, greedy, each quantity a metric with an
    aggregation of its own."""
    named = [f"{quantity}_{arm}" for arm in leakage.DIRECTIONS for quantity in leakage.QUANTITIES]
    named += ["leak_placebo_as_negative", "towards_placebo_as_negative", "towards_placebo_as_positive"]
    metrics = "".join(
        f"  - metric: {name}\n    aggregation: !function utils.{name}\n    higher_is_better: false\n"
        for quantity in named
        for name in (quantity, f"{quantity}_error")
    )
    metrics += "".join(
        f"  - metric: n_{outcome}\n    aggregation: !function utils.n_{outcome}\n"
        f"    higher_is_better: {'true' if outcome == outcomes.ANSWERED else 'false'}\n"
        for outcome in outcomes.OUTCOMES
    )
    return f"""\
task: {TASK}
custom_dataset: !function utils.documents
test_split: test
output_type: generate_until
doc_to_text: "{{{{text}}}}"
doc_to_target: ""
generation_kwargs:
  until: []
  do_sample: false
  max_gen_toks: {max_new_tokens}
repeats: 1  # samples a prompt; with more than one, sample: --gen_kwargs do_sample=True,temperature=0.7
filter_list:
  - name: every_sample
    filter:
      - function: custom
        filter_fn: !function utils.every_sample
process_results: !function utils.process_results
metric_list:
{metrics}metadata:
  version: 1.0
"""


def card(set_name: str, told: sections.Dataset, tables: dict[str, pd.DataFrame], threshold: float) -> str:
    """The dataset card: lib/data/README.md with its numbers, all computed from `tables`."""
    stems, contexts, benchmark = tables["stems"], tables["contexts"], tables["prompts"]
    slots = stems["slot"].value_counts()
    matches = contexts.drop_duplicates("match_id")
    labels = [
        f"by {name}: "
        + ", ".join(f"{label} {count}" for label, count in matches[name].value_counts().items())
        for name in ("form", "intensity")
        if name in matches
    ]
    emotions = contexts[contexts["emotion"] != "none"].groupby(["arm", "emotion"], sort=False).size()
    arms = (
        curated_prompts.describe(benchmark)
        .round(2)
        .reset_index()[["arm", "prompts", "words", "context_valence"]]
    )
    values = {
        "set_name": set_name,
        "size_category": next(name for most, name in _SIZES if len(benchmark) < most),
        "stems": len(stems),
        "domains": stems["domain"].nunique(),
        "closed": slots.get("closed", 0),
        "open": slots.get("open", 0),
        "contexts": len(contexts),
        "matches": contexts["match_id"].nunique(),
        "prompts": len(benchmark),
        "groups": benchmark["group_id"].nunique(),
        "arms": ", ".join(f"`{arm}`" for arm in arms["arm"]),
        "columns": ", ".join(f"`{name}`" for name in benchmark.columns),
        "seed": told.seed,
        "arm_table": tabulate(
            arms, ["arm", "prompts", "words", "valence"], "pipe", showindex=False, floatfmt=".2f"
        ),
        "stem_residual": f"{curated_prompts.residual(benchmark, 'stem'):.2f}",
        "context_residual": f"{curated_prompts.residual(benchmark, 'context'):.2f}",
        "emotions": ", ".join(f"{emotion} {count} ({arm})" for (arm, emotion), count in emotions.items()),
        "labels": "; ".join(labels),
        "threshold": f"|{threshold:g}|",
    }
    return Template((curated_prompts.DATA / "README.md").read_text(encoding="utf-8")).substitute(values)


# fewer rows than this -> what the Hub calls it
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))


def main(arguments: list[str]) -> int:
    """Export the set named in the arguments, `embedded` if none is; returns the exit code of
    `lib.runtime.command_line`."""
    if len(arguments) > 1:
        print(
            f"usage: python -m lib.cli.export [SET]; one set at a time, got {len(arguments)}", file=sys.stderr
        )
        return 2
    set_name = arguments[0] if arguments else "embedded"
    return command_line.exit_code(
        lambda: print(f"Written: {export(set_name)}"), "run the same command again to write all of it"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
