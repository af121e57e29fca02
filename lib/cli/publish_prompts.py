"""Write the completions of the published prompt table that a set names, and print its leak rate.

The command is `python -m lib.cli.publish_prompts SET`.
"""

import sys

from lib.analysis import semantic_leakage
from lib.config import params
from lib.config.specs import ParameterError
from lib.dataset import prompt_tables
from lib.runtime import command_line
from lib.storage import records


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and publish.

    Returns:
        The exit code of `lib.runtime.command_line.exit_code`.
    """
    parser = command_line.new_parser(
        "lib.cli.publish_prompts",
        "Completions and semantic leak rate of the published table that a set names.",
    )
    parser.add_argument("set_name", help="parameter set with dataset.published_prompts")
    set_name = parser.parse_args(arguments).set_name
    return command_line.exit_code(lambda: _publish(set_name))


def _publish(set_name: str) -> None:
    """Write the published completions to outputs/<set_name>/published.parquet; print the defects."""
    parameters = params.load(set_name)
    config = params.from_cell("01_dataset", params.cell_values(parameters, set_name, "01_dataset"))
    if config.published_prompts is None:
        raise ParameterError(
            f"params/{set_name}.yaml: dataset.published_prompts: is not given; name the published table there"
        )
    pairs, defects = prompt_tables.read(config.published_prompts)
    completions = prompt_tables.completions(config.published_prompts)
    print(
        f"{len(pairs)} pairs: "
        f"{pairs['arm'].value_counts().to_dict()}\n{prompt_tables.report(defects).to_string(index=False)}"
    )
    if len(completions):
        rates = semantic_leakage.published(pairs)
        print(f"Semantic leak rate (SentenceBERT), by template:\n{rates.round(2).to_string(index=False)}")
    print(
        f"Written: {records.write_table(set_name, 'published', completions)}, "
        f"{len(completions)} completions; in the set:"
    )
    samples = prompt_tables.samples(completions)
    print(
        f"  models: - table: {{path: outputs/{set_name}/published.parquet}}\n  generation: samples: "
        f"{samples} or fewer"
    )


if __name__ == "__main__":
    sys.exit(main())
