"""Publish a finished run: records of Every Eval Ever, and a Hugging Face dataset of its completions.

`python -m lib.cli.publish embedded` writes outputs/embedded/published/ with every_eval_ever/ (a datastore
folder, data/…) and dataset/ (data/, claims.parquet and README.md, the card). Nothing is uploaded.
Sentences that others wrote are not published: of a run on them, only the aggregate records are written.
"""

import shutil
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet

from lib.analysis import leakage
from lib.config import params
from lib.config.specs import JUDGE_SCHEMA, ParameterError
from lib.report import completions_dataset, every_eval_ever, reports, results
from lib.runtime import command_line
from lib.storage import provenance, records

_OTHERS = {
    "mining": "the sentences are mined from text that others wrote",
    "published_prompts": "the prompts are those of a table that others published",
    "stems_file": "the stems are from a file of yours, whose licence this project does not know",
    "contexts_file": "the contexts are from a file of yours, whose licence this project does not know",
}
RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")


def publish(set_name: str, source: every_eval_ever.Source, created: int) -> tuple[Path, str]:
    """Write outputs/<set_name>/published/ anew.

    Args:
        set_name: The parameter set; its run must be finished.
        source: Who measured.
        created: Seconds since 1970, written into the records.

    Returns:
        The folder, and why texts are left out; "" if none are.

    Raises:
        ParameterError: If there is no such set, or if its run has no charged contexts.
        FileNotFoundError: If the run is not finished; the message names the notebook that is missing.
    """
    parameters = params.load(set_name)
    card = results.of_run(set_name)
    if card is None:
        raise ParameterError(
            f"params/{set_name}.yaml: no completion of the run follows a charged context, so that it has no "
            "leakage to publish; name another set"
        )
    withheld = next((reason for key, reason in _OTHERS.items() if parameters.dataset.get(key)), "")
    judge = JUDGE_SCHEMA.validate_python(parameters.judging["judge"])
    run = every_eval_ever.Run(card, parameters.generation, parameters.dataset, judge, source, created)
    judgements = {
        spec.name: records.read_table(set_name, f"judgements/{spec.name}") for spec in parameters.models
    }
    folder = records.run_folder(set_name) / provenance.PUBLISHED
    shutil.rmtree(folder, ignore_errors=True)
    for spec in parameters.models:
        bare = leakage.unmitigated(judgements[spec.name])
        files = every_eval_ever.records(run, spec, bare, with_samples=not withheld)
        for path, text in files.items():
            records.write_text(folder / "every_eval_ever" / path, text)
    if not withheld:
        _write_dataset(folder / "dataset", set_name, parameters, judgements)
    return folder, withheld


def _write_dataset(
    folder: Path, set_name: str, parameters: params.ParameterSet, judgements: dict[str, pd.DataFrame]
) -> None:
    tables = {
        spec.name: completions_dataset.table(spec, parameters, judgements[spec.name])
        for spec in parameters.models
    }
    claims = reports.board(set_name)
    for name, table in {f"data/{model}": rows for model, rows in tables.items()}.items():
        _write_parquet(folder / f"{name}.parquet", table)
    _write_parquet(folder / "claims.parquet", claims)
    records.write_text(folder / "README.md", completions_dataset.card(set_name, parameters, tables, claims))


def _write_parquet(path: Path, table: pd.DataFrame) -> None:
    with records.explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(completions_dataset.arrow(table), path)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and publish.

    Returns:
        The exit code of `lib.runtime.command_line.exit_code`.
    """
    parser = command_line.new_parser(
        "lib.cli.publish",
        "A finished run as records of Every Eval Ever and as a Hugging Face dataset; nothing is uploaded.",
    )
    parser.add_argument("set_name", metavar="SET", help="parameter set whose run is finished")
    parser.add_argument(
        "--organization", default=every_eval_ever.UNKNOWN, help="who measured (default: %(default)s)"
    )
    parser.add_argument(
        "--relationship",
        choices=RELATIONSHIPS,
        default="other",
        help="of who measured to the makers of the models (default: %(default)s)",
    )
    given = parser.parse_args(arguments)
    source = every_eval_ever.Source(given.organization, given.relationship)
    return command_line.exit_code(
        lambda: _report(*publish(given.set_name, source, int(time.time()))),
        "run the same command again to write all of it",
    )


def _report(folder: Path, withheld: str) -> None:
    print(f"Written: {folder}")
    if withheld:
        print(f"Without samples and without a dataset: {withheld}.")


if __name__ == "__main__":
    sys.exit(main())
