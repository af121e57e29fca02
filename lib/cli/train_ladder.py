"""Train the models of the ladder and print how well each size learned.

`python -m lib.cli.train_ladder`; with `--augmented`, the augmented family too.
"""

import sys
from collections.abc import Sequence

from lib.config.specs import LADDERS
from lib.report import ladder_reports
from lib.runtime import command_line


def main(arguments: list[str]) -> int:
    """Train the models that are not yet trained.

    Args:
        arguments: Arguments of the command line.

    Returns:
        The exit code of `lib.runtime.command_line.exit_code`.
    """
    parser = command_line.new_parser("lib.cli.train_ladder", __doc__.splitlines()[0])
    parser.add_argument("--augmented", action="store_true", help=f"train {LADDERS[1]} too, and compare")
    families = LADDERS if parser.parse_args(arguments).augmented else LADDERS[:1]
    return command_line.exit_code(
        lambda: _train(families), "what is trained is kept: the same command goes on"
    )


def _train(families: Sequence[str]) -> None:
    table = ladder_reports.of_families(families)
    print(
        f"{ladder_reports.format_table(table).to_string(index=False)}\n{ladder_reports.summary(table, 0.95)}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
