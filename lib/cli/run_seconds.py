"""Print where the time of a run went: seconds by notebook and by step (make bench-run)."""

import sys

from lib.runtime import command_line
from lib.storage import cell_seconds

STEPS = 15


def report(set_name: str) -> str:
    """Format the seconds of the pages, and of the longest steps, as two tables.

    Pages run side by side, so that their sum exceeds the time of the run.
    """
    cells = cell_seconds.read(set_name)
    total = cells["seconds"].sum()
    pages = cells.groupby("page")["seconds"].agg(seconds="sum", longest_step="max")
    pages["start"] = cells[cells["cell"] == cell_seconds.START].set_index("page")["seconds"]
    longest = cells.nlargest(STEPS, "seconds")
    longest = longest.assign(share=100 * longest["seconds"] / total)[["page", "seconds", "share", "code"]]
    return (
        f"{set_name}: {total:,.0f} s of notebooks (several run side by side)\n\n"
        f"{pages.sort_values('seconds', ascending=False).round(1).to_markdown()}\n\n"
        f"The {len(longest)} longest steps:\n\n{longest.round(1).to_markdown(index=False)}"
    )


def main() -> int:
    """Print the report of the set that is named."""
    return command_line.exit_code(lambda: print(report(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
