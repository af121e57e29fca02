"""Write the replies of logs as a table, which `make measure TABLE=` and the key `table` of a model take.

`python -m lib.cli.import_logs LOG … TABLE` reads samples_*.jsonl of lm-evaluation-harness and .eval or .json
logs of Inspect, of the tasks that `make export` writes. Both also take a log itself; the table can be read
before that, holds what the log says of each reply (lib.models.log_rows.COLUMNS), and joins several logs.
"""

import sys
from pathlib import Path

import pandas as pd

from lib.config import params
from lib.config.specs import ParameterError, nearest
from lib.dataset import curated_prompts, own_sentences
from lib.models import evaluation_logs
from lib.runtime import command_line
from lib.runtime.errors import DataError
from lib.storage import records
from lib.storage.headers import some

SUFFIXES = (".csv", ".jsonl", ".parquet")


def import_logs(paths: list[Path], target: Path, set_name: str | None) -> list[str]:
    """Write the replies of logs to a table.

    Args:
        paths: The logs, of one model.
        target: The table; its suffix, one of SUFFIXES, gives the format.
        set_name: The parameter set that was exported, whose prompts those of the logs are compared with; None
            compares nothing.

    Returns:
        What is to be known of the logs and of the table, line by line.

    Raises:
        DataError: If a log cannot be read, is of another task or benchmark, or if they are of several models.
        ParameterError: If `target` exists or has another suffix, or if a log does not exist.
    """
    _check_target(target)
    logs = {path: _read(path) for path in paths}
    notes = [f"{path.name}: {note}" for path, log in logs.items() for note in log.notes]
    table = evaluation_logs.joined([log.table for log in logs.values()])
    if set_name:
        _compare(table, set_name)
    _write(table, target)
    arms = ", ".join(f"{count:,} {arm}" for arm, count in table["arm"].value_counts(sort=False).items())
    prompts = f"{len(table):,} replies to {table['prompt_id'].nunique():,} prompts ({arms})"
    return [*notes, f"Written: {target}: {prompts} of {table['model'].iloc[0] or 'an unknown model'}"]


def _check_target(target: Path) -> None:
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise ParameterError(
            f"TABLE {target}: unknown suffix {suffix!r}{nearest(suffix, SUFFIXES)}; give "
            f"{', '.join(SUFFIXES)}"
        )
    if target.exists():
        raise ParameterError(f"TABLE {target}: is there already; move it away, or name another file")


def _read(path: Path) -> evaluation_logs.Log:
    if not path.is_file():
        raise ParameterError(f"LOG {path}: no such file: {path.resolve()}")
    if not evaluation_logs.is_log(path):
        raise DataError(
            f"LOG {path}: no log of lm-evaluation-harness (samples_*.jsonl) or Inspect (.eval, .json); a "
            "table of completions needs no import: make measure TABLE=… reads it"
        )
    try:
        return evaluation_logs.read(path)
    except DataError as error:
        raise DataError(f"LOG {path}: {error}") from None


def _compare(table: pd.DataFrame, set_name: str) -> None:
    """Check that the prompts are those of a set, sentence by sentence."""
    config = params.dataset(set_name)
    benchmark = curated_prompts.build(
        config.seed, config.stems, config.contexts_per_stem, config.first_groups, own_sentences.read(config)
    )
    unknown = table.loc[~table["prompt_id"].isin(benchmark["prompt_id"]), "prompt_id"].unique()
    if len(unknown):
        raise DataError(
            f"{len(unknown):,} of {table['prompt_id'].nunique():,} prompts are not in the set {set_name!r}: "
            f"{some(unknown, len(unknown))}; name the set that was exported with --set"
        )
    evaluation_logs.refuse_other_sentences(table, benchmark)


def _write(table: pd.DataFrame, target: Path) -> None:
    if target.suffix.lower() == ".parquet":
        with records.explained(target):
            table.to_parquet(target, index=False)
        return
    text = (
        table.to_csv(index=False)
        if target.suffix.lower() == ".csv"
        else table.to_json(orient="records", lines=True, force_ascii=False)
    )
    records.write_text(target, text)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and import.

    Returns:
        The exit code of `lib.runtime.command_line.exit_code`.
    """
    parser = command_line.new_parser(
        "lib.cli.import_logs",
        "Replies in logs of lm-evaluation-harness and Inspect, written as a table for make measure TABLE=.",
    )
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="samples_*.jsonl, .eval or .json")
    parser.add_argument("table", type=Path, metavar="TABLE", help=f"file to write: {', '.join(SUFFIXES)}")
    parser.add_argument("--set", dest="set_name", help="compare the prompts with those of this exported set")
    given = parser.parse_args(arguments)
    return command_line.exit_code(
        lambda: print("\n".join(import_logs(given.logs, given.table, given.set_name))), "no table is written"
    )


if __name__ == "__main__":
    sys.exit(main())
