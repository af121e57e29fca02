"""Models of several finished sets side by side, on the prompts that they share: `python -m
lib.measure.compare SET SET …`."""

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
MISSING = "\ufdd0"  # stands for no completion: a code point that is no character
_PROMPT = ["prompt_id", "context", "stem"]  # what must be the same


def shared(set_names: list[str]) -> tuple[pd.DataFrame, int]:
    """Unmitigated judgements of every model of the sets, of the groups all of whose prompts every model was
    asked; and how many groups are left out.

    The column model is the model's name, headed by the set's where two sets use one name. ParameterError for
    a set that is not finished, sets judged by different judges or thresholds, and sets without a prompt in
    common.
    """
    tables = {name: _judgements(name) for name in set_names}
    names = pd.concat([table[["model"]].drop_duplicates().assign(set=name) for name, table in tables.items()])
    twice = set(names.loc[names["model"].duplicated(keep=False), "model"])
    for name, table in tables.items():
        table["model"] = [f"{name}/{model}" if model in twice else model for model in table["model"]]
    table = pd.concat(tables.values(), ignore_index=True)
    if len(judged := table.groupby("judged", sort=False)["set"].unique()) > 1:
        said = "; ".join(f"{judge}: {', '.join(sets)}" for judge, sets in judged.items())
        raise ParameterError(
            f"SETS: judged by different judges ({said})\nmeasure one of them again with the other's JUDGE"
        )
    asked = (
        table.groupby([*_PROMPT, "group_id"], sort=False)["model"].nunique().rename("models").reset_index()
    )
    common = asked["models"] == table["model"].nunique()
    whole = common.groupby(asked["group_id"]).all()
    groups = whole.index[whole & (asked.groupby("group_id")["prompt_id"].nunique() > 1)]
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
    """A row for each model: set, model, completions, the quantities SHOWN as estimate, low and high, n,
    n_stems, cluster_unit, fault; `shift_margin` of the placebo rule."""
    pairs = leakage.pairs(judgements)
    found = leakage.summarise(leakage.charged_pairs(pairs), ["model"], confidence)
    faults = usability.faults(judgements, pairs, confidence, shift_margin)
    rows = (
        judgements.groupby("model", sort=False)
        .agg(set=("set", "first"), completions=("completion", "size"))
        .reset_index()
    )
    return rows.merge(found[found["quantity"].isin(SHOWN)]).assign(
        fault=lambda table: table["model"].map(faults)
    )


def identical(judgements: pd.DataFrame) -> list[tuple[str, str]]:
    """Every two models whose completions are the same, prompt by prompt and draw by draw, what is missing
    included."""
    texts = judgements.assign(
        text=judgements["completion"].astype(object).where(judgements["completion"].notna(), MISSING)
    )
    wide = texts.pivot(index=["prompt_id", "sample_index"], columns="model", values="text")
    asked = [model for model in wide if (wide[model].dropna() != MISSING).any()]
    return [(one, other) for one, other in combinations(asked, 2) if wide[one].equals(wide[other])]


def format_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table of `summary` as people read it: a row for each model."""
    cells = table.assign(
        cell=[reports.interval(row, sign=row.quantity != "leak") for row in table.itertuples()]
    )
    wide = cells.pivot(index="model", columns="quantity", values="cell")[list(SHOWN)].rename(
        columns=leakage.QUANTITIES
    )
    net = table[table["quantity"] == "net"].set_index("model")[
        ["set", "completions", "n", "n_stems", "fault"]
    ]
    shown = net.join(wide).rename(columns={"n": "pairs", "n_stems": "stems"})
    return shown[["set", *wide.columns, "completions", "pairs", "stems", "fault"]].reset_index()


def write(set_names: list[str]) -> list[str]:
    """Compare, write outputs/comparisons/<sets>.md, .csv and .svg, and return the lines to print."""
    judgements, left_out = shared(set_names)
    confidence, margin = (_agreed(set_names, "judging", key) for key in ("confidence", "margin"))
    found = summary(judgements, confidence, _agreed(set_names, "scaling", "margin"))
    between = comparisons.models(leakage.pairs(judgements), margin, confidence)
    table, paired = format_table(found), comparison_reports.family(between)
    toys = [name for name in set_names if params.load(name).is_mock]
    stamp = f"TOY: no conclusion. Canned models wrote the completions of {', '.join(toys)}." if toys else ""
    head = (
        f"{judgements['group_id'].nunique():,} groups that all {len(table)} models were asked, "
        f"{left_out:,} others left out; "
        f"{100 * confidence:g} % intervals clustered by {found['cluster_unit'].iloc[0]}"
    )
    reading = comparison_reports.models_reading(between, margin, confidence)
    same = "; ".join(f"{one} and {other} wrote the same completions" for one, other in identical(judgements))
    reading = f"{reading} {same}." if same else reading
    path = ROOT / "outputs" / "comparisons" / "+".join(set_names)
    body = [
        f"# {' and '.join(set_names)}",
        stamp,
        f"{head}.",
        table.to_markdown(index=False),
        reading,
        paired.to_markdown(index=False),
        f"![Net excess of each model]({path.name}.svg)",
    ]
    records.write_text(path.with_name(f"{path.name}.md"), "\n\n".join(filter(None, body)) + "\n")
    records.write_text(path.with_name(f"{path.name}.csv"), found.to_csv(index=False, float_format="%.9g"))
    records.write_text(path.with_name(f"{path.name}.svg"), _picture(found, margin, stamp))
    lines = [_line(row) for row in found[found["quantity"] == "net"].itertuples()]
    return [
        *([stamp] if stamp else []),
        f"{head}:",
        *lines,
        reading,
        f"Written: {_shown(path)}.md, .csv, .svg",
    ]


def _agreed(set_names: list[str], section: str, key: str) -> float:
    """The value of `section`.`key`, which must be the same in all sets."""
    values = {name: getattr(params.load(name), section)[key] for name in set_names}
    if len(set(values.values())) > 1:
        said = ", ".join(f"{value:g} in {name}" for name, value in values.items())
        raise ParameterError(f"SETS: {section}.{key} differs ({said}); make it the same and run them again")
    return values[set_names[0]]


def _line(row) -> str:
    estimate = f"{reports.interval(row)} points".replace("not estimated points", "not estimated")
    said = f"  {row.model}: net excess {estimate}, n {row.n:,} pairs in {row.n_stems:,} stems"
    return f"{said}; {'no verdict: ' * usability.allows_none(row.fault)}{row.fault}" if row.fault else said


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _picture(found: pd.DataFrame, margin: float, stamp: str) -> str:
    """The net excess of each model as the text of an SVG file."""
    figures.style()
    file = io.StringIO()
    net = found[found["quantity"] == "net"]
    with plt.rc_context({"svg.hashsalt": "expression-leakage", "svg.fonttype": "path"}):
        axes = figures.intervals(
            net, "model", None, 0, "net excess, points", "Net excess on shared prompts", stamp, margin=margin
        )
        axes.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(axes.figure)
    return file.getvalue()


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and compare; returns the exit code of `lib.runtime.command_line`."""
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
