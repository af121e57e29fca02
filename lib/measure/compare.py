"""Compare models of several finished sets on shared prompts: `python -m lib.measure.compare SET SET …`."""

import io
import sys
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from lib.analysis import comparisons, leakage, power, usability
from lib.config import params
from lib.config.specs import ROOT, ParameterError
from lib.report import comparison_reports, figures, reports
from lib.runtime.command_line import exit_code, new_parser
from lib.storage import records

SHOWN = ("net", "towards", "away", "leak")
MISSING = "\ufdd0"  # stands for a missing completion: a code point that is not a character
_PROMPT = ["prompt_id", "context", "stem"]  # columns that must be equal


def shared(set_names: list[str]) -> tuple[pd.DataFrame, int]:
    """Collect the unmitigated judgements of all models on the groups that they share.

    A group is shared if every model was asked all of its prompts.

    Args:
        set_names: Names of finished parameter sets.

    Returns:
        The judgements, and the number of groups that are left out. The column model holds the model's name,
        prefixed with the name of the set where two sets use one name.

    Raises:
        ParameterError: If a set is not finished, if the sets were judged by different judges or thresholds,
            or if they have no group of prompts in common.
    """
    tables = {name: _judgements(name) for name in set_names}
    names = pd.concat([table[["model"]].drop_duplicates().assign(set=name) for name, table in tables.items()])
    ambiguous = set(names.loc[names["model"].duplicated(keep=False), "model"])
    for name, table in tables.items():
        table["model"] = [f"{name}/{model}" if model in ambiguous else model for model in table["model"]]
    table = pd.concat(tables.values(), ignore_index=True)
    if len(judged := table.groupby("judged", sort=False)["set"].unique()) > 1:
        details = "; ".join(f"{judge}: {', '.join(sets)}" for judge, sets in judged.items())
        raise ParameterError(
            f"SETS: judged by different judges ({details})\nmeasure one of them again with the other's JUDGE"
        )
    prompts = (
        table.groupby([*_PROMPT, "group_id"], sort=False)["model"].nunique().rename("models").reset_index()
    )
    common = prompts["models"] == table["model"].nunique()
    complete = common.groupby(prompts["group_id"]).all()
    groups = complete.index[complete & (prompts.groupby("group_id")["prompt_id"].nunique() > 1)]
    if len(groups) == 0:
        raise ParameterError(
            f"SETS: {', '.join(set_names)} share no group of prompts: give sets on the same benchmark and "
            "seed"
        )
    return table[table["group_id"].isin(groups)], table["group_id"].nunique() - len(groups)


def _judgements(set_name: str) -> pd.DataFrame:
    names = [model.name for model in params.load(set_name).models]
    if not power.finished(set_name):
        raise ParameterError(
            f"SETS: {set_name} is not finished: outputs/{set_name}/manifest.json is missing; run "
            f"make reproduce SET={set_name}"
        )
    table = leakage.unmitigated(records.read_models(set_name, "judgements", names)).assign(set=set_name)
    threshold = params.load(set_name).judging.get("charged_threshold")
    return table.assign(judged=table["judge"] + (f", charged beyond {threshold:g}" if threshold else ""))


def summary(judgements: pd.DataFrame, confidence: float, shift_margin: float) -> pd.DataFrame:
    """Estimate the quantities SHOWN for each model.

    Args:
        judgements: Unmitigated judgements (`shared`).
        confidence: Level of the intervals, between 0 and 1.
        shift_margin: Margin of the placebo rule, in points of the human scale.

    Returns:
        One row per model and quantity: model, set, completions, quantity, estimate, ci_low, ci_high, n,
        n_stems, cluster_unit and fault, among others.
    """
    pairs = leakage.pairs(judgements)
    estimates = leakage.summarise(leakage.charged_pairs(pairs), ["model"], confidence)
    faults = usability.faults(judgements, pairs, confidence, shift_margin)
    rows = (
        judgements.groupby("model", sort=False)
        .agg(set=("set", "first"), completions=("completion", "size"))
        .reset_index()
    )
    return rows.merge(estimates[estimates["quantity"].isin(SHOWN)]).assign(
        fault=lambda table: table["model"].map(faults)
    )


def identical(judgements: pd.DataFrame) -> list[tuple[str, str]]:
    """Find the pairs of models whose completions are equal in every prompt and draw.

    Missing completions count: they must be missing in both. Models without any completion are not compared.
    """
    texts = judgements.assign(
        text=judgements["completion"].astype(object).where(judgements["completion"].notna(), MISSING)
    )
    wide = texts.pivot(index=["prompt_id", "sample_index"], columns="model", values="text")
    answered = [model for model in wide if (wide[model].dropna() != MISSING).any()]
    return [(one, other) for one, other in combinations(answered, 2) if wide[one].equals(wide[other])]


def format_table(table: pd.DataFrame) -> pd.DataFrame:
    """Format a table of `summary` for display, with one row per model."""
    cells = table.assign(
        cell=[reports.interval(row, sign=row.quantity != "leak") for row in table.itertuples()]
    )
    wide = cells.pivot(index="model", columns="quantity", values="cell")[list(SHOWN)].rename(
        columns=leakage.QUANTITIES
    )
    net = table[table["quantity"] == "net"].set_index("model")[
        ["set", "completions", "n", "n_stems", "fault"]
    ]
    joined = net.join(wide).rename(columns={"n": "pairs", "n_stems": "stems"})
    return joined[["set", *wide.columns, "completions", "pairs", "stems", "fault"]].reset_index()


def write(set_names: list[str]) -> list[str]:
    """Compare sets, and write outputs/comparisons/<sets>.md, .csv and .svg.

    Returns:
        The lines to print.
    """
    judgements, left_out = shared(set_names)
    confidence, margin = (_agreed(set_names, "judging", key) for key in ("confidence", "margin"))
    estimates = summary(judgements, confidence, _agreed(set_names, "scaling", "margin"))
    differences = comparisons.models(leakage.pairs(judgements), margin, confidence)
    table, paired = format_table(estimates), comparison_reports.family(differences)
    mock_sets = [name for name in set_names if params.load(name).is_mock]
    banner = (
        f"TOY: no conclusion. Mock models wrote the completions of {', '.join(mock_sets)}."
        if mock_sets
        else ""
    )
    head = (
        f"{judgements['group_id'].nunique():,} groups that all {len(table)} models were asked, "
        f"{left_out:,} others left out; "
        f"{100 * confidence:g} % intervals clustered by {estimates['cluster_unit'].iloc[0]}"
    )
    summary_text = comparison_reports.models_summary(differences, margin, confidence)
    identical_text = "; ".join(
        f"{one} and {other} wrote the same completions" for one, other in identical(judgements)
    )
    summary_text = f"{summary_text} {identical_text}." if identical_text else summary_text
    path = ROOT / "outputs" / "comparisons" / "+".join(set_names)
    body = [
        f"# {' and '.join(set_names)}",
        banner,
        f"{head}.",
        table.to_markdown(index=False),
        summary_text,
        paired.to_markdown(index=False),
        f"![Net excess of each model]({path.name}.svg)",
    ]
    records.write_text(path.with_name(f"{path.name}.md"), "\n\n".join(filter(None, body)) + "\n")
    records.write_text(path.with_name(f"{path.name}.csv"), estimates.to_csv(index=False, float_format="%.9g"))
    records.write_text(path.with_name(f"{path.name}.svg"), _picture(estimates, margin, banner))
    lines = [_line(row) for row in estimates[estimates["quantity"] == "net"].itertuples()]
    return [
        *([banner] if banner else []),
        f"{head}:",
        *lines,
        summary_text,
        f"Written: {_shown(path)}.md, .csv, .svg",
    ]


def _agreed(set_names: list[str], section: str, key: str) -> float:
    """Return the value of `section`.`key`, which must be equal in all sets."""
    values = {name: getattr(params.load(name), section)[key] for name in set_names}
    if len(set(values.values())) > 1:
        details = ", ".join(f"{value:g} in {name}" for name, value in values.items())
        raise ParameterError(
            f"SETS: {section}.{key} differs ({details}); make it the same and run them again"
        )
    return values[set_names[0]]


def _line(row) -> str:
    estimate = f"{reports.interval(row)} points".replace("not estimated points", "not estimated")
    line = f"  {row.model}: net excess {estimate}, n {row.n:,} pairs in {row.n_stems:,} stems"
    return f"{line}; {'no verdict: ' * usability.allows_none(row.fault)}{row.fault}" if row.fault else line


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _picture(table: pd.DataFrame, margin: float, stamp: str) -> str:
    """Draw the net excess of each model, and return the text of the SVG file."""
    figures.style()
    file = io.StringIO()
    net = table[table["quantity"] == "net"]
    with plt.rc_context({"svg.hashsalt": "expression-leakage", "svg.fonttype": "path"}):
        axes = figures.intervals(
            net, "model", None, 0, "net excess, points", "Net excess on shared prompts", stamp, margin=margin
        )
        figure = axes.figure.get_figure(root=True)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return file.getvalue()


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and compare; return the exit code of `lib.runtime.command_line`."""
    parser = new_parser("lib.measure.compare", __doc__)
    parser.add_argument("sets", nargs="+", help="names of finished parameter sets, two or more")
    names = list(dict.fromkeys(parser.parse_args(arguments).sets))
    return exit_code(lambda: _compare(names))


def _compare(names: list[str]) -> None:
    if len(names) < 2:
        raise ParameterError(
            f'SETS: {names[0]!r} alone: name two sets or more, for example SETS="{names[0]} embedded"'
        )
    print("\n".join(write(names)))


if __name__ == "__main__":
    sys.exit(main())
