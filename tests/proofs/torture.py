"""Shown, not assumed: whatever goes wrong during a run, called again it ends with the tables of an
undisturbed run (make torture).

A small mock set runs in a copy of the project. Then it runs once for each fault, put back to what it was
without a random page: it is disturbed at a random moment of that page, or a file that it reads is damaged.
The ordinary command is called until it ends well; a file is deleted only where an error says so. No fault may
show a traceback, leave a process behind or change a byte of a table, a page or the board. Root is needed to
mount file systems and to set up a memory cgroup; what cannot be set up fails.
"""

import argparse
import collections
import random
import re
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from tests.proofs import torture_damage, torture_faults, torture_parts, torture_project
from tests.proofs.torture_faults import Fault
from tests.proofs.torture_project import DELETE, MAX_CALLS, Call, Project

FAULTS = [*torture_faults.FAULTS, *torture_damage.DAMAGE, *torture_parts.PARTS]
_TRIES = 3  # at other moments, where nothing was there to go wrong
_WIDTH = 70  # of what an error says, in the table


def tortured(project: Project, fault: Fault, seed: str) -> dict:
    """Let a fault happen and go on until the run has ended well.

    Returns:
        A row of the table; failures says what is wrong, and is empty if nothing is.
    """
    started = time.monotonic()
    for number in range(_TRIES):
        try:
            when, happened, calls = fault.happen(project, random.Random(f"{seed}.{number}"))
            break
        except RuntimeError as error:
            project.left_over(0)
            when, happened, calls = "", f"did not happen: {error}", []
    failures = [] if calls else ["did not happen"]
    deleted = recover(project, fault, calls) if calls else 0
    if calls and calls[-1].code:
        failures.append(f"still fails: {calls[-1].fate}")
    failures += [f"unclear: {call.said[-2000:]}" for call in calls if not call.is_clear]
    wrong = fault.differences(project) if calls else []
    failures += [f"differs: {', '.join(wrong)}"] if wrong else []
    if left := project.left_over():
        failures.append(f"{left} processes left over")
    mended = f"{len(calls)} calls" + f", {deleted} files deleted as told" * bool(deleted)
    return {
        "fault": fault.kind,
        "moment": when,
        "what happened": happened.replace(str(project.folder.parent), "…"),
        "ended by": mended,
        "identical": "yes" if calls and not wrong else "no",
        "s": round(time.monotonic() - started),
        "failures": failures,
    }


def recover(project: Project, fault: Fault, calls: list[Call]) -> int:
    """Call the ordinary command until it ends well; return how many files its errors told to delete."""
    deleted = 0
    while calls[-1].code and len(calls) < MAX_CALLS:
        for name in DELETE.findall(calls[-1].said):
            path = project.folder / name
            deleted += path.exists()
            path.unlink(missing_ok=True)
        calls.append(fault.again(project))
    return deleted


def main() -> int:
    """Print a line for each fault, then a table and counts; exit code 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the damage")
    parser.add_argument("--only", default="", help="faults whose kind has this regular expression")
    parser.add_argument(
        "--folder", type=Path, help="keep the copy and the undisturbed run here, for later calls"
    )
    options = parser.parse_args()
    chosen = [number for number in in_rounds() if re.search(options.only, FAULTS[number].kind)]
    rows, started = [], time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        project = torture_project.make((options.folder or Path(scratch)).resolve())
        print(
            f"undisturbed: {len(project.hashes)} tables, pages and boards, {len(project.begun)} notebooks, "
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
        for number in chosen:
            row = tortured(project, FAULTS[number], f"{options.seed}.{number}")
            rows.append(row)
            print(" · ".join(str(value) for value in list(row.values())[:-1]), flush=True)
            for failure in row["failures"]:
                print(f"  FAILED: {failure}", flush=True)
    return summary(rows, time.monotonic() - started)


def in_rounds() -> list[int]:
    """The numbers of the faults: first one of each kind, then a second one of each, and so on."""
    kinds = [fault.kind for fault in FAULTS]
    return sorted(range(len(kinds)), key=lambda number: (kinds[:number].count(kinds[number]), number))


def summary(rows: list[dict], seconds: float) -> int:
    """Print the table and the counts; return the exit code."""
    cells = [{name: str(value)[:_WIDTH] for name, value in row.items() if name != "failures"} for row in rows]
    print(f"\n{tabulate(cells, headers='keys', tablefmt='simple', disable_numparse=True)}\n")
    kinds = collections.Counter(row["fault"] for row in rows)
    failed = [row for row in rows if row["failures"]]
    identical = sum(row["identical"] == "yes" for row in rows)
    print(
        f"{len(rows)} faults of {len(kinds)} kinds in {seconds:.0f} s; {identical} ended with the tables, "
        f"pages and boards of the undisturbed run, byte for byte; {len(failed)} failed"
    )
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
