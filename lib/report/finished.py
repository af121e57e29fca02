"""What a finished run shows of its claims board: headline.csv, headline.md and claims.svg."""

from lib.claims import benchmark, rules
from lib.config import params
from lib.report import forest, reports
from lib.storage import records


def texts(set_name: str) -> dict[str, str]:
    """Make the text of each file from the tables of the run.

    Returns:
        The text by file name: headline.csv, with the versions of the benchmark and the rules on each row,
        headline.md and claims.svg.
    """
    parameters, board, kind = params.load(set_name), reports.board(set_name), rules.board_kind(set_name)
    # the notebooks ran under the current code, so this benchmark and these rules decided the verdicts
    versioned = board.assign(benchmark=benchmark.of_set(parameters), rules=rules.RULES_VERSION)
    return {"headline.csv": versioned.to_csv(index=False, float_format="%.9g")} | shown(
        board, reports.banner(parameters), kind
    )


def shown(board, banner: str, kind: str) -> dict[str, str]:
    """Make headline.md and claims.svg of a board.

    Args:
        board: A claims board, as `reports.board` or `reports.kept_board` gives it.
        banner: Text of `reports.banner`; "" for none.
        kind: The kind of the board (`rules.board_kind`).
    """
    table = forest.markdown(board, "claims.svg", kind)
    return {
        "headline.md": f"**{banner}**\n\n{table}\n" if banner else f"{table}\n",
        "claims.svg": forest.svg(board, banner, kind),
    }


def write(set_name: str) -> None:
    """Write the three files of `texts` into the run folder."""
    for name, text in texts(set_name).items():
        records.write_text(records.run_folder(set_name) / name, text)
