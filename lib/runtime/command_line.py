"""How a command of the project begins and ends: its help, a mistake of the user's in a line, Ctrl-C in
another."""

import argparse
import shutil
import sys
from collections.abc import Callable

from lib.runtime import progress

WIDTH = 100  # columns of a help text, at most
USER_ERROR, INTERRUPTED = 1, 130  # exit codes; 130 is 128 + SIGINT, as shells have it


class UserError(Exception):
    """Something the user can fix; the message says how."""


class _Parser(argparse.ArgumentParser):
    """One whose help, and that of its subcommands, is at most WIDTH columns wide."""

    def _get_formatter(self) -> argparse.HelpFormatter:
        return argparse.HelpFormatter(self.prog, width=min(WIDTH, shutil.get_terminal_size().columns) - 2)


def new_parser(program: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser of `python -m program`, whose help is as wide as the terminal, WIDTH columns at most."""
    return _Parser(prog=f"python -m {program}", description=description, epilog=epilog)


def exit_code(work: Callable[[], int | None], interrupted: str = "nothing that was there is lost") -> int:
    """Do the work of a command and return its exit code: what `work` returns, 0 for None.

    A mistake of the user's (UserError, ValueError, OSError, ImportError) is one message and USER_ERROR,
    Ctrl-C the message `interrupted` and INTERRUPTED; both go to standard error, or, in a job of the batch, to
    what shows the batch.
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
    """A time as people say it: '40 seconds', '12 minutes', '3.5 hours'."""
    if seconds < 95:
        return f"{max(10 * round(seconds / 10), 10)} seconds"
    if seconds < 100 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"
