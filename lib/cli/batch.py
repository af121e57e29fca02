"""Run a whole parameter set, or one notebook of it, from the command line.

`python -m lib.cli.batch run embedded` checks the set, passes the notebooks to Snakemake and prints the claims
board. `python -m lib.cli.batch plan embedded` prints what that would cost. The Snakefile calls
`python -m lib.cli.batch notebook NAME VALUES.yaml EXECUTED.ipynb` for each notebook run.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from tabulate import tabulate

from lib.config import params
from lib.runtime import command_line, progress
from lib.runtime.cores import available_cores


def run(set_name: str, cores: int, profile: str = "") -> None:
    """Run a parameter set, as `reproduce.run`, which takes a second to import."""
    from lib.cli import reproduce

    reproduce.run(set_name, cores, profile)


def prepare(set_name: str) -> None:
    """Fetch and find what a run needs, as `reproduce.prepare`."""
    from lib.cli import reproduce

    reproduce.prepare(set_name)


def notebook(name: str, values: Path, executed: Path) -> None:
    """Execute one notebook, as `execution.notebook`, which takes a second to import."""
    from lib.cli import execution

    execution.notebook(name, values, executed)


def shard(values: Path, number: int, count: int) -> None:
    """Generate one part of a model's completions; notebook 02 gathers the parts.

    Args:
        values: YAML file with the values of notebook 02.
        number: The part, from 1.
        count: Number of parts.
    """
    from lib.cli import execution
    from lib.generation import shards

    run = params.from_cell("02_generation", execution.read_values("02_generation", values))
    name = f"02_generation.{run.model.name}.{number}-of-{count}"
    progress.begin(name)
    started = time.monotonic()
    completions = shards.generate(run, number, count)
    if not progress.tell(end=time.monotonic() - started):
        print(f"{name}: {completions:,} completions", flush=True)


def plan(set_name: str, effect: float) -> None:
    """Print what a run of the set costs on this machine, and what it takes to detect an effect.

    The cost is given in completions, tokens, memory and minutes.

    Args:
        set_name: The parameter set.
        effect: Net excess, in points, that a study should detect.
    """
    from lib.cli import planning

    print(f"{set_name}: measuring, up to half a minute a model; nothing is kept of it", flush=True)
    table = planning.plan(set_name)
    text = tabulate(
        table.drop(columns=["model", planning.PACE], errors="ignore")
        .astype(object)
        .T.map(planning.format_table),
        headers=list(table["model"]),
        tablefmt="simple",
        disable_numparse=True,
    )
    unknown = (
        "" if table["minutes"].notna().all() else "; what is answered elsewhere takes as long as it takes"
    )
    print(
        f"{text}\ngeneration: {table['minutes'].sum():.1f} minutes, ±25 %, on this machine as busy as "
        f"now{unknown}"
    )
    if questions := planning.rated_questions(set_name):
        print(
            f"judging: beside the judge's questions about completions, {questions:,} about rated texts and "
            "the pairs drawn for "
            "annotators, unless asked before; "
            "how long they take is not measured"
        )
    print(f"\n{_effort(planning.effort(set_name, effect, table), effect)}")


def _effort(table, effect: float) -> str:
    """Format the table of `planning.effort`: what it takes to detect `effect`."""
    from lib.cli import planning

    goal = f"to tell a net excess of {effect:g} points from 0 (power 0.8, two-sided level 0.05)"
    if table is None:
        return (
            f"{goal}: no finished run of this set, or of the one named in dataset.variance_source, tells "
            "how much stems differ"
        )
    cells = tabulate(
        table.map(planning.format_table),
        headers="keys",
        showindex=False,
        tablefmt="simple",
        disable_numparse=True,
    )
    return f"{goal}, by samples a prompt; completions are those of one model without mitigations:\n{cells}"


def finish(set_name: str) -> None:
    """Write the card, headline.csv, headline.md, claims.svg and, last, manifest.json.

    The manifest marks the run as complete.
    """
    from lib.report import card, finished, manifest

    card.write(set_name)
    finished.write(set_name)
    manifest.write(set_name)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run the command.

    Returns:
        The exit code of `lib.runtime.command_line.exit_code`.
    """
    parser = command_line.new_parser("lib.cli.batch", __doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", help="run a parameter set")
    run_parser.add_argument("set_name", nargs="?", default="embedded")
    run_parser.add_argument("--cores", type=int, default=available_cores())
    run_parser.add_argument(
        "--profile", default="", help="folder of params/profiles: where jobs are executed"
    )
    notebook_parser = commands.add_parser("notebook", help="execute one notebook")
    notebook_parser.add_argument("name")
    notebook_parser.add_argument("values", type=Path)
    notebook_parser.add_argument("executed", type=Path)
    shard_parser = commands.add_parser("shard", help="generate one part of a model's completions")
    shard_parser.add_argument("values", type=Path)
    shard_parser.add_argument("number", type=int)
    shard_parser.add_argument("count", type=int)
    plan_parser = commands.add_parser("plan", help="tell what a run would cost")
    plan_parser.add_argument("set_name", nargs="?", default="embedded")
    plan_parser.add_argument(
        "--effect", type=float, default=5.0, help="net excess, points, that a study should see"
    )
    prepare_parser = commands.add_parser("prepare", help="fetch and find what a run needs")
    prepare_parser.add_argument("set_name")
    finish_parser = commands.add_parser("finish", help="write the claims board and the manifest of a run")
    finish_parser.add_argument("set_name")
    options = vars(parser.parse_args(arguments))
    functions: dict[str, Callable[..., None]] = {
        "run": run,
        "prepare": prepare,
        "notebook": notebook,
        "shard": shard,
        "plan": plan,
        "finish": finish,
    }
    command = functions[options.pop("command")]
    return command_line.exit_code(lambda: command(**options), "run the same command again to go on")


if __name__ == "__main__":
    sys.exit(main())
