"""Export a set's benchmark: tables with a dataset card, and tasks for lm-evaluation-harness and Inspect.

`python -m lib.cli.export embedded` writes outputs/embedded/export/ with data/, README.md (the Hugging Face
card, filled in from lib/data/README.md), lm_eval/ and inspect/. Besides their harness and vaderSentiment, the
tasks need nothing else: they hold the prompts, the settings, the rules that classify a reply (as the package
leakage_rules) and the scoring (lib/data/export/).
"""

import inspect
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
CHARGED = 0.2  # the tasks judge with VADER: its threshold of 0.05 on the compound score, on the human scale


def export(set_name: str) -> Path:
    """Write outputs/<set_name>/export/, built from the set's parameters.

    Only the curated sentences are exported, because this project cannot license text that others wrote. Each
    table has a column `part`.

    Returns:
        The folder.

    Raises:
        ParameterError: If the set does not exist or is invalid, or if it uses other sentences.
    """
    parameters = params.load(set_name)
    config = params.from_cell("01_dataset", params.cell_values(parameters, set_name, "01_dataset"))
    if config.published_prompts or config.mining:
        raise ParameterError(
            f"params/{set_name}.yaml: dataset: sentences of others are not exported; name a curated set"
        )
    if config.stems_file or config.contexts_file:
        raise ParameterError(
            f"params/{set_name}.yaml: dataset: sentences of your own are not exported, for the card "
            "describes the curated ones\n"
            f"once the set has run, its prompts are in outputs/{set_name}/prompts.parquet"
        )
    sentences = own_sentences.read(config)
    benchmark = curated_prompts.build(
        config.seed, config.stems, config.contexts_per_stem, config.first_groups, sentences
    )
    stems, contexts = sentences.stems, sentences.contexts
    chosen = {
        "stems": stems[stems["stem_id"].isin(benchmark["stem_id"])],
        "contexts": contexts[contexts["context_id"].isin(benchmark["context_id"])],
        "prompts": benchmark,
    }
    tables = {name: _with_part(table, config.part) for name, table in chosen.items()}
    folder = records.run_folder(set_name) / "export"
    for name, table in tables.items():
        records.write_table(set_name, f"export/data/{name}", table)
        records.write_text(folder / "data" / f"{name}.jsonl", json_lines(table))
    records.write_text(folder / "README.md", card(set_name, config, tables, CHARGED))
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
    """`table` with a column `part` after its id columns, so that held-out rows can be kept apart."""
    others = table.drop(columns="part", errors="ignore")
    others.insert(sum(name.endswith("_id") for name in others.columns[:3]), "part", part)
    return others


def json_lines(table: pd.DataFrame) -> str:
    """`table` as JSON Lines, one row per line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_dict("records"))


def task_files(settings: dict) -> dict[str, dict[str, str]]:
    """The files that belong to a single harness.

    Returns:
        Folder -> file -> text.
    """
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
    """The files that both tasks share: the scoring and, in a package, modules of lib/ that read replies."""
    paths = {f"{RULES}/{path.name}": path for path in map(Path, map(inspect.getfile, _RULE_MODULES))}
    paths["leakage_scoring.py"] = PARTS / "leakage_scoring.py"
    texts = {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
    texts = {
        name: re.sub(r"^from lib\.\w+", f"from {RULES}", source, flags=re.MULTILINE)
        for name, source in texts.items()
    }
    return texts | {
        f"{RULES}/__init__.py": '"""What counts of a reply, as in the project expression-leakage."""\n'
    }


def lm_eval_yaml(max_new_tokens: int) -> str:
    """The task file of lm-evaluation-harness.

    Each prompt is a document, decoding is greedy, and each quantity is a metric with its own aggregation.
    """
    metric_names = [f"{quantity}_{arm}" for arm in leakage.DIRECTIONS for quantity in leakage.QUANTITIES]
    metric_names += ["leak_placebo_as_negative", "towards_placebo_as_negative", "towards_placebo_as_positive"]
    metrics = "".join(
        f"  - metric: {name}\n    aggregation: !function utils.{name}\n    higher_is_better: false\n"
        for quantity in metric_names
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


def card(set_name: str, config: sections.Dataset, tables: dict[str, pd.DataFrame], threshold: float) -> str:
    """The dataset card: lib/data/README.md with its numbers, all computed from `tables`.

    Args:
        set_name: The parameter set.
        config: The values of its section dataset.
        tables: The exported tables stems, contexts and prompts.
        threshold: |valence| above which the tasks call a completion charged.
    """
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
        "seed": config.seed,
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


# fewer rows than this -> the size category of the Hub
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))


def main(arguments: list[str]) -> int:
    """Export the set named in the arguments, or `embedded` if none is named.

    Returns:
        The exit code of `lib.runtime.command_line.exit_code`.
    """
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
