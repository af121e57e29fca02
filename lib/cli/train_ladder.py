"""Train the models of the ladder and print how well each size learned: `python -m lib.cli.train_ladder`."""

import sys

from lib.report import ladder_reports
from lib.runtime import command_line


def main() -> int:
    """Train the models that are not yet trained.

    Returns:
        The exit code of `lib.runtime.command_line.exit_code`.
    """
    return command_line.exit_code(_train, "what is trained is kept: the same command goes on")


def _train() -> None:
    table = ladder_reports.trained("ladder")
    print(
        f"{ladder_reports.format_table(table).to_string(index=False)}\n{ladder_reports.summary(table, 0.95)}"
    )


if __name__ == "__main__":
    sys.exit(main())
