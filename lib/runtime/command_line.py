"""Behaviour that all commands of the project share: help texts, user errors and interruption.

A user error and an interruption with Ctrl-C are each one short message, without a traceback.
"""

import argparse
import shutil
import sys
from collections.abc import Callable

from lib.runtime import progress

WIDTH = 100  # maximum columns of a help text
USER_ERROR, INTERRUPTED = 1, 130  # exit codes; 130 is 128 + SIGINT, as in shells


class UserError(Exception):
    """Something the user can fix; the message says how."""


class _Parser(argparse.ArgumentParser):
    """A parser whose help, and that of its subcommands, is at most WIDTH columns wide."""

    def _get_formatter(self) -> argparse.HelpFormatter:
        return argparse.HelpFormatter(self.prog, width=min(WIDTH, shutil.get_terminal_size().columns) - 2)


def new_parser(program: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser for `python -m program`; its help is as wide as the terminal, but at most WIDTH columns."""
    return _Parser(prog=f"python -m {program}", description=description, epilog=epilog)


def exit_code(work: Callable[[], int | None], interrupted: str = "nothing that was there is lost") -> int:
    """Run a command and return its exit code.

    A user error (UserError, ValueError, OSError, ImportError) is printed as one message to standard error or,
    in a job of the batch, recorded for the display of the batch. Ctrl-C prints the message `interrupted` to
    standard error.

    Args:
        work: The command; it returns its exit code, or None for 0.
        interrupted: What to say about the state of the work after Ctrl-C.

    Returns:
        The exit code of `work`; USER_ERROR after a user error, INTERRUPTED after Ctrl-C.
    """
    try:
        return work() or 0
    except (UserError, ValueError, OSError, ImportError) as error:
        if not progress.tell(error=str(error)):
            print(f"error: {error}", file=sys.stderr, flush=True)
        return USER_ERROR
    except KeyboardInterrupt:
        print(f"\ninterrupted; {interrupted}", file=sys.stderr, flush=True)
        return INTERRUPTED


def format_duration(seconds: float) -> str:
    """Format a duration in words: '40 seconds', '12 minutes', '3.5 hours'."""
    if seconds < 95:
        return f"{max(10 * round(seconds / 10), 10)} seconds"
    if seconds < 100 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"
