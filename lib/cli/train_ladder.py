"""Train the models of the ladder and print how well each size learnt: `python -m lib.cli.train_ladder`."""

import sys

from lib.report import ladder_reports
from lib.runtime import command_line


def main() -> int:
    """Train what is not yet trained; returns the exit code of `lib.runtime.command_line`."""
    return command_line.exit_code(_train, "what is trained is kept: the same command goes on")


def _train() -> None:
    table = ladder_reports.trained("ladder")
    print(f"{ladder_reports.shown(table).to_string(index=False)}\n{ladder_reports.reading(table, 0.95)}")


if __name__ == "__main__":
    sys.exit(main())
