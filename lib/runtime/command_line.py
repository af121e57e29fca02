"""Behaviour that all commands of the project share: help texts, user errors and interruption.

A user error and an interruption with Ctrl-C are each one short message; a bug shows its traceback.
"""

import argparse
import shutil
import sys
import traceback
from collections.abc import Callable

from lib.runtime import progress
from lib.runtime.errors import NO_MEMORY, REPORT, UserError, is_memory

WIDTH = 100  # maximum columns of a help text
USER_ERROR, BUG, INTERRUPTED = 1, 70, 130  # exit codes: 70 as in sysexits.h, 130 is 128 + SIGINT


class _Help(argparse.HelpFormatter):
    """A help text as wide as the terminal, but at most WIDTH columns."""

    def __init__(self, prog: str, **options):
        super().__init__(prog, **{"width": min(WIDTH, shutil.get_terminal_size().columns) - 2} | options)


class _Parser(argparse.ArgumentParser):
    """A parser with such a help text, as all of its subcommands have."""

    def __init__(self, **options):
        super().__init__(**{"formatter_class": _Help} | options)


def new_parser(program: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser for `python -m program`; its help is as wide as the terminal, but at most WIDTH columns."""
    return _Parser(prog=f"python -m {program}", description=description, epilog=epilog)


def exit_code(work: Callable[[], int | None], interrupted: str = "nothing that was there is lost") -> int:
    """Run a command and return its exit code.

    What a user can fix (UserError) or the operating system refuses (OSError, memory) is one message on
    standard error or, in a job of the batch, on the display of the batch. Any other error is a bug: its
    traceback is printed, and how to report it. Ctrl-C prints the message `interrupted` to standard error.

    Args:
        work: The command; it returns its exit code, or None for 0.
        interrupted: What to say about the state of the work after Ctrl-C.

    Returns:
        The exit code of `work`; USER_ERROR, BUG, or INTERRUPTED after Ctrl-C.
    """
    try:
        return work() or 0
    except (UserError, OSError) as error:
        _report(str(error))
        return USER_ERROR
    except KeyboardInterrupt:
        print(f"\ninterrupted; {interrupted}", file=sys.stderr, flush=True)
        return INTERRUPTED
    except Exception as error:
        if is_memory(type(error).__name__, str(error)):
            _report(f"{NO_MEMORY} ({type(error).__name__})")
            return USER_ERROR
        traceback.print_exc()
        _report(f"{type(error).__name__}: {error}\n{REPORT} the traceback")
        return BUG


def _report(message: str) -> None:
    if not progress.tell(error=message):
        print(f"error: {progress.printable(message)}", file=sys.stderr, flush=True)


def format_duration(seconds: float) -> str:
    """Format a duration in words: '40 seconds', '12 minutes', '3.5 hours'."""
    if seconds < 95:
        return f"{max(10 * round(seconds / 10), 10)} seconds"
    if seconds < 100 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"
