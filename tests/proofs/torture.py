"""Shown, not assumed: whatever goes wrong during a run, called again it ends with the tables of an
undisturbed run (make torture).

A small mock set runs in a copy of the project. Then, again and again, it is put back to what it was without a
random page, and runs disturbed at random moments, several times in a row, or with a damaged file. Then the
ordinary command is called until it ends well; a file is deleted only where an error says so. No fault may
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


def happened(project: Project, fault: Fault, seed: str) -> tuple[dict, list[Call]]:
    """Let a fault happen, at another moment where nothing was there to go wrong.

    Returns:
        A row of the table; failures says what is wrong, and is empty if nothing is.
    """
    when, said, calls = "", "", []
    for number in range(_TRIES):
        rng = random.Random(f"{seed}.{number}")
        try:
            if not fault.is_alone and project.is_finished():
                project.restore_any(rng)
            when, said, calls = fault.happen(project, rng)
            break
        except RuntimeError as error:
            project.left_over(0)
            said = f"did not happen: {error}"
    said = said.replace(str(project.folder.parent), "…")
    failures = [] if calls else [said]
    failures += [f"unclear: {call.said[-2000:]}" for call in calls if not call.is_clear]
    return {"fault": fault.kind, "moment": when, "what happened": said, "failures": failures}, calls


def recovered(project: Project, fault: Fault, calls: list[Call]) -> dict:
    """Call the ordinary command until it ends well, and compare; a file is deleted where an error says so."""
    deleted, failures = 0, []
    while not calls or (calls[-1].code and len(calls) < MAX_CALLS):
        for name in DELETE.findall(calls[-1].said) if calls else []:
            path = project.folder / name
            deleted += path.exists()
            path.unlink(missing_ok=True)
        calls.append(fault.again(project))
        failures += [] if calls[-1].is_clear else [f"unclear: {calls[-1].said[-2000:]}"]
    if calls[-1].code:
        failures.append(f"still fails: {calls[-1].fate}")
    wrong = fault.differences(project)
    failures += [f"differs: {', '.join(wrong)}"] if wrong else []
    if left := project.left_over():
        failures.append(f"{left} processes left over")
    ended = f"{len(calls)} calls" + f", {deleted} files deleted as told" * bool(deleted)
    return {"ended by": ended, "identical": "no" if wrong else "yes", "failures": failures}


def tortured(project: Project, numbers: list[int], seed: int, together: int) -> list[dict]:
    """Let the faults happen, several in a run where they can follow one another; return the rows.

    Printed are a line for each fault, and one for each run at its end.
    """
    rows, pending, calls = [], [], []
    for place, number in enumerate(numbers):
        fault, following = FAULTS[number], [FAULTS[other] for other in numbers[place + 1 : place + 2]]
        row, said = happened(project, fault, f"{seed}.{number}")
        calls = said or calls
        pending.append(row)
        print(" · ".join(str(value) for value in list(row.values())[:3]), flush=True)
        if following and not (fault.is_alone or following[0].is_alone or len(pending) == together):
            continue
        result = recovered(project, fault, calls[-MAX_CALLS + 1 :])
        for each in pending:
            each |= {"run": len({row["run"] for row in rows} | {0}), "ended by": result["ended by"]}
            each |= {"identical": result["identical"], "failures": each["failures"] + result["failures"]}
        print(
            f"  {len(pending)} faults, ended by {result['ended by']}; identical: {result['identical']}",
            flush=True,
        )
        for failure in dict.fromkeys(text for each in pending for text in each["failures"]):
            print(f"  FAILED: {failure}", flush=True)
        rows, pending, calls = rows + pending, [], []
    return rows


def main() -> int:
    """Print a line for each fault, then a table and counts; exit code 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the damage")
    parser.add_argument("--together", type=int, default=4, help="at most so many faults in one run")
    parser.add_argument("--only", default="", help="faults whose kind has this regular expression")
    parser.add_argument(
        "--folder", type=Path, help="keep the copy and the undisturbed run here, for later calls"
    )
    options = parser.parse_args()
    chosen = [number for number in in_rounds() if re.search(options.only, FAULTS[number].kind)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        project = torture_project.make((options.folder or Path(scratch)).resolve())
        print(
            f"undisturbed: {len(project.hashes)} tables, pages and boards, {len(project.begun)} notebooks, "
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
        rows = tortured(project, chosen, options.seed, options.together)
    return summary(rows, time.monotonic() - started)


def in_rounds() -> list[int]:
    """The numbers of the faults: one of each kind, then a second one of each; those alone at the end."""
    kinds = [fault.kind for fault in FAULTS]
    rounds = [(fault.is_alone, kinds[:number].count(fault.kind)) for number, fault in enumerate(FAULTS)]
    return sorted(range(len(kinds)), key=lambda number: (*rounds[number], number))


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
