"""The published prompt table that a set names: its completions and its leak rate (`python -m
lib.cli.publish_prompts SET`)."""

import sys

from lib.analysis import semantic_leakage
from lib.config import params
from lib.config.specs import ParameterError
from lib.dataset import prompt_tables
from lib.runtime import command_line
from lib.storage import records


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and publish; returns the exit code of `lib.runtime.command_line`."""
    parser = command_line.new_parser(
        "lib.cli.publish_prompts",
        "Completions and semantic leak rate of the published table that a set names.",
    )
    parser.add_argument("set_name", help="parameter set with dataset.published_prompts")
    set_name = parser.parse_args(arguments).set_name
    return command_line.exit_code(lambda: _publish(set_name))


def _publish(set_name: str) -> None:
    """Write the completions that the set's published table holds to outputs/<set_name>/published.parquet;
    tell its defects."""
    parameters = params.load(set_name)
    told = params.from_cell("01_dataset", params.cell_values(parameters, set_name, "01_dataset"))
    if told.published_prompts is None:
        raise ParameterError(
            f"params/{set_name}.yaml: dataset.published_prompts: is not given; name the published table there"
        )
    pairs, defects = prompt_tables.read(told.published_prompts)
    made = prompt_tables.completions(told.published_prompts)
    print(
        f"{len(pairs)} pairs: "
        f"{pairs['arm'].value_counts().to_dict()}\n{prompt_tables.report(defects).to_string(index=False)}"
    )
    if len(made):
        rates = semantic_leakage.published(pairs)
        print(f"Semantic leak rate (SentenceBERT), by template:\n{rates.round(2).to_string(index=False)}")
    print(
        f"Written: {records.write_table(set_name, 'published', made)}, {len(made)} completions; in the set:"
    )
    samples = prompt_tables.samples(made)
    print(
        f"  models: - table: {{path: outputs/{set_name}/published.parquet}}\n  generation: samples: "
        f"{samples} or fewer"
    )


if __name__ == "__main__":
    sys.exit(main())
