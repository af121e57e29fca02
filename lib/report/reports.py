"""Formatting for notebooks: stamps, estimates with intervals, sentences and the table of claims."""

from collections.abc import Mapping

import pandas as pd
from IPython.display import Markdown, display

from lib.analysis.leakage import PRIMARY, QUANTITIES
from lib.analysis.usability import PLACEBO_BROKEN, PLACEBO_OPEN, allows_none, is_missing
from lib.annotation import labelling
from lib.claims import second_verdicts
from lib.claims.board import COLUMNS, VERDICTS, by_claim, digits, in_words, labels
from lib.claims.board import as_judged as mark_as_judged
from lib.claims.rules import EXPLORATORY
from lib.config import params
from lib.config.params import ParameterSet
from lib.config.sections import Notebook
from lib.config.specs import CHARGED_ARMS, NO_MITIGATION
from lib.report import figures
from lib.storage.records import read_table, run_folder

TOY = "TOY: no conclusion. A mock model wrote these completions."
INVALID = "INVALID: the placebo arm differs from the neutral arm, or there is none."
NOT_ESTIMATED = "not estimated"
NO_FAULTS: Mapping[str, str] = {}


def banner(parameters: Notebook | ParameterSet, faults: Mapping[str, str] = NO_FAULTS) -> str:
    """The warnings that every table and figure of a run must carry.

    Args:
        parameters: Parameters of a notebook or a parameter set.
        faults: Faults by model (`lib.analysis.usability`).

    Returns:
        The warnings and the note of the set in one line; "" for a sound run of a real model.
    """
    note = parameters.note if isinstance(parameters, ParameterSet) else params.note(parameters.set_name)
    invalid = PLACEBO_BROKEN in faults.values()
    unusable = [
        f"INCONCLUSIVE: {model}: {fault}."
        for model, fault in faults.items()
        if allows_none(fault) and fault != PLACEBO_BROKEN
    ]
    return " ".join(
        text
        for text, applies in (
            (TOY, parameters.is_mock),
            (INVALID, invalid),
            *((text, True) for text in unusable),
            (note, note),
        )
        if applies
    )


COUNTS = {
    "n": "pairs",
    "n_stems": "stems",
    "n_matches": "matches",
    "cluster_unit": "clustered by",
}  # as shown in tables


def setup_notebook(notebook: str, cell: dict) -> Notebook:
    """Check the parameters of a notebook, set how its tables and figures look and show its banner.

    Args:
        notebook: One of `lib.config.sections.NOTEBOOKS`.
        cell: The notebook's globals.

    Returns:
        The parameters, as `lib.config.params.from_cell` returns them.

    Raises:
        ParameterError: If a value is wrong or missing.
    """
    run = params.from_cell(notebook, cell)
    pd.set_option("display.max_colwidth", None, "display.max_rows", 200, "display.precision", 3)
    pd.set_option("display.html.use_mathjax", False)  # what a model wrote between two $ is no formula
    figures.style()
    warning = banner(run)
    display(prose(f"**⚠ {warning}**" if warning else ""))
    return run


def prose(text: str) -> Markdown:
    """Show a text, which may hold Markdown, as a paragraph of the page."""
    return Markdown(text)


def as_judged(board: pd.DataFrame, set_name: str) -> pd.DataFrame:
    """Mark verdicts that rest on the judge alone, because people have not labelled completions of the set."""
    return mark_as_judged(board, labelling.labelled_by_people(set_name))


def interval(row, digits: int = 1, sign: bool = True) -> str:
    """Format an estimate with its interval, such as '+3.1 [+1.0, +5.2]'.

    Args:
        row: Anything with estimate, ci_low and ci_high.
        digits: Number of decimals.
        sign: Whether positive numbers carry a plus sign.

    Returns:
        The text; 'not estimated' if there is no estimate.
    """
    if pd.isna(row.estimate):
        return NOT_ESTIMATED
    number_format = f"{'+' if sign else ''}.{digits}f"
    # machines differ in the last bits of a sum, which must not decide how a tie such as 6.25 is rounded
    estimate, ci_low, ci_high = (
        f"{round(bound, 9):{number_format}}" for bound in (row.estimate, row.ci_low, row.ci_high)
    )
    bounds = "no interval" if pd.isna(row.ci_low) else f"{ci_low}, {ci_high}"
    return f"{estimate} [{bounds}]".replace("-", "−").replace("inf", "∞")


def format_table(table: pd.DataFrame, digits: int = 1, sign: bool = True) -> pd.DataFrame:
    """Join estimate, ci_low and ci_high of `table` into one column, and round other numbers."""
    joined = [interval(row, digits, sign) for row in table.itertuples()]
    index = table.columns.get_loc("estimate")
    shown = table.drop(columns=["estimate", "ci_low", "ci_high"]).round(3)
    shown.insert(min(index, shown.shape[1]), "estimate [interval]", joined)
    return shown


def quantities(table: pd.DataFrame, by: list[str], banner: str = "") -> pd.DataFrame:
    """Format a table of `leakage.summarise`.

    Args:
        table: One row per quantity and level of `by`.
        by: Columns whose levels become rows.
        banner: Text of `reports.banner`; "" for none.

    Returns:
        One row per level of `by`, a column for each quantity, then n. `matches` is 0 where they are not
        known. `clustered by` says what the interval generalises to (`lib.analysis.clustered`). The last
        column is the ratio of naive to clustered standard errors, from the smallest to the largest of the
        quantities.
    """
    digits = {quantity: 2 if quantity == "shift" else 1 for quantity in QUANTITIES}
    cells = table.assign(
        cell=[interval(row, digits[row.quantity], row.quantity != "leak") for row in table.itertuples()],
        quantity=table["quantity"].map(QUANTITIES),
    )
    wide = cells.pivot(index=by, columns="quantity", values="cell").reindex(columns=list(QUANTITIES.values()))
    rows = table.groupby(by, sort=False, dropna=False)
    counts = rows[["n", "n_stems", "n_matches", "cluster_unit"]].max().rename(columns=COUNTS)
    counts["naive / clustered error"] = [_span(ratios) for _, ratios in rows["naive_se_ratio"]]
    return with_banner(wide.join(counts).reset_index(), banner)


def _span(ratios: pd.Series) -> str:
    return "–" if ratios.isna().all() else f"{ratios.min():.2f} to {ratios.max():.2f}"


def outcomes(shares: pd.DataFrame, banner: str = "") -> pd.DataFrame:
    """Format a table of `usability.outcome_shares`, with shares in %."""
    names = {name: f"{name}, %" for name in shares.columns if name != "completions"}
    return with_banner(shares.round(1).rename(columns=names).reset_index(), banner)


def usability_summary(checked: pd.DataFrame, fault: str) -> str:
    """Say what a model's rows of `usability.check` show and whether it breaks the usability rule."""
    shares = checked[~checked["test"].str.contains("−")]
    worst = shares.loc[shares["estimate"].idxmax()]
    missing = (
        f"At most {interval(worst, sign=False)} % of the completions of an arm are missing "
        f"({worst.test.split(', ')[1]}"
        f"{'' if worst.mitigation == NO_MITIGATION else f' under {worst.mitigation}'}, n of {worst.n:,} in "
        f"{worst.n_stems} "
        "stems)."
    )
    return (
        f"{missing} The usability rule is "
        f"{f'**broken: {fault}**: no verdict may rest on this model' if fault else 'passed'}."
    )


def placebo(checked: pd.DataFrame) -> pd.DataFrame:
    """Format a table of `placebo.check`."""
    shown = format_table(checked, 2).assign(quantity=checked["quantity"].map(QUANTITIES))
    return (
        shown.rename(
            columns={
                "n": "pairs",
                "n_stems": "stems",
                "naive_se_ratio": "naive / clustered error",
                "p_equivalence": "p (equivalence)",
            }
        )
        .astype(object)
        .fillna("–")
    )


def judged_summary(judgements: pd.DataFrame, threshold: float, is_fitted: bool, file: str) -> str:
    """How many completions were judged by whom, how many lack a valence and why, and where they were saved.

    Args:
        judgements: A table of `judges.judgements` of one model.
        threshold: |valence| beyond which a completion is charged, points.
        is_fitted: Whether the threshold was fitted to human ratings.
        file: Name of the file that holds them.
    """
    missing, unscored = is_missing(judgements).sum(), judgements["valence"].isna().sum()
    fitted = ", as fitted to human ratings" if is_fitted else ""
    return (
        f"{len(judgements):,} completions of **{judgements['model'].iloc[0]}** judged by "
        f"{judgements['judge'].iloc[0]}; {missing:,} missing, {unscored - missing:,} left open by the judge. "
        f"Charged is a valence beyond ±{threshold:g} points{fitted}. Saved as `judgements/{file}`."
    )


def arms_summary(by_arm: pd.DataFrame) -> str:
    """The shift and the net excess of both charged arms in a table of `leakage.summarise`, with n."""
    rows = by_arm.set_index(["quantity", "arm"])
    shown = [(quantity, arm) for quantity in (PRIMARY, "net") for arm in CHARGED_ARMS]
    if not all(key in rows.index for key in shown):
        return "No charged arm is paired with its neutral partner, so no leak can be measured."
    shifts, nets = (
        [interval(rows.loc[(quantity, arm)], digits) for arm in CHARGED_ARMS]
        for quantity, digits in ((PRIMARY, 2), ("net", 1))
    )
    counts = rows.loc[shown]
    least, ratio = counts[["n", "n_stems"]].min(), counts["naive_se_ratio"]
    return (
        f"Towards the injected sentiment, valence shifts by {shifts[0]} points of the human scale after "
        f"negative contexts and by {shifts[1]} after positive ones; the net excess is {nets[0]} and "
        f"{nets[1]} percentage points (at least {least['n']:,} pairs in {least['n_stems']:,} stems each). "
        f"Naive standard errors would be {ratio.min():.2f} to {ratio.max():.2f} times as large."
    )


def rules_summary(fault: str) -> str:
    """Say what a fault of `usability.faults` means for the verdicts."""
    if fault == PLACEBO_BROKEN:
        return "The placebo rule is **broken, or there is no placebo arm**: no quantity below may be trusted."
    if fault == PLACEBO_OPEN:
        return "The placebo rule is **not shown**: this run is too small to tell. Verdicts stand and say so."
    return (
        f"**No verdict is possible: {fault}**."
        if fault
        else "The placebo rule is kept, and enough completions are usable."
    )


def existence_summary(both: pd.DataFrame, fault: str, banner: str) -> str:
    """Answer C0 for notebook 03b.

    Args:
        both: `leakage.summarise` of both polarities together, indexed by quantity.
        fault: The fault of the model (`usability.faults`); "" for none.
        banner: Text of `reports.banner`; "" for none.
    """
    shift, net = both.loc["shift"], both.loc["net"]
    side = "lies above 0" if shift.ci_low > 0 else "does not lie above 0"
    counted = f"n {shift.n:,} pairs in {shift.n_stems:,} stems"
    return (
        f"The interval of the mean shift over both polarities, {interval(shift, 2)} scale points, {side}; "
        "the net excess is "
        f"{interval(net)} points ({counted}). {rules_summary(fault)} {banner}"
    )


def unscored(bounds: pd.DataFrame, count: int, banner: str = "") -> Markdown | pd.DataFrame:
    """Format a table of `leakage.unscored_bounds`; a sentence if every completion has a valence."""
    if not count:
        return Markdown(
            "Every completion has a valence, so no quantity depends on what is missing or left open by the "
            "judge."
        )
    return with_banner(_with_ratio(format_table(bounds)).rename(columns=COUNTS), banner)


def bounds_summary(bounds: pd.DataFrame, judgements: pd.DataFrame) -> str:
    """Say how far the net excess of each model could lie from the value shown.

    `bounds` is a table of `leakage.unscored_bounds` by model.
    """
    net = bounds[bounds["quantity"] == "net"].set_index(["model", "unscored"])
    n_unscored = judgements["valence"].isna().groupby(judgements["model"], sort=False).sum()
    clauses = []
    for model, count in n_unscored.items():
        shown, none, every = (
            net.loc[(model, case), "estimate"] for case in ("left out", "none leaked", "all leaked")
        )
        as_shown = NOT_ESTIMATED if pd.isna(shown) else f"{shown:+.1f} points as shown"
        moved = f"{as_shown}, {none:+.1f} had none of them leaked, {every:+.1f} had all".replace("-", "−")
        clauses.append(
            f"{model}: {count:,} completions without a valence" + (f", net excess {moved}" if count else "")
        )
    return "; ".join(clauses) + "."


def _with_ratio(shown: pd.DataFrame) -> pd.DataFrame:
    """Drop the columns of a table of Estimates that its intervals already convey."""
    return shown.drop(columns=["se", "p", "df", "skew"]).rename(
        columns={"naive_se_ratio": "naive / clustered error"}
    )


def with_banner(table: pd.DataFrame, banner: str) -> pd.DataFrame:
    """Show the banner in the header of a table."""
    return table.rename_axis(columns=f"⚠ {banner}" if banner else None)


def stacked(tables: dict[str, pd.DataFrame], fault: str) -> pd.DataFrame:
    """Join tables of `leakage.summarise` into one long table.

    Returns:
        The rows of all tables, with the columns table (the name) and fault (of `lib.analysis.usability`).
    """
    return pd.concat([table.assign(table=name) for name, table in tables.items()], ignore_index=True).assign(
        fault=fault
    )


def samples(judgements: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Draw `count` random unmitigated completions of each arm, or as many as the smallest arm has.

    Returns:
        Columns arm, context, stem, completion, outcome, valence and charged.
    """
    arms = judgements[judgements["mitigation"] == NO_MITIGATION].groupby("arm", sort=False)
    drawn = arms.sample(min(count, arms.size().min()), random_state=seed)
    return drawn[["arm", "context", "stem", "completion", "outcome", "valence", "charged"]].reset_index(
        drop=True
    )


def compare_published(table: pd.DataFrame, key: str, published: dict[str, float]) -> pd.DataFrame:
    """Compare estimates with published values.

    Returns:
        The estimates with the columns published and agrees, which says whether the published value lies
        inside the interval of the estimate.
    """
    shown = table[[key, "estimate", "ci_low", "ci_high", "n"]].assign(published=table[key].map(published))
    shown["agrees"] = shown["published"].between(shown["ci_low"], shown["ci_high"])
    return format_table(shown, digits=3, sign=False)


def exact_and_sampled(table: pd.DataFrame, banner: str = "") -> pd.DataFrame:
    """Format a table of `next_token_shift.compare_sampled`."""
    sampled = table[["estimate_sampled", "ci_low_sampled", "ci_high_sampled"]].rename(
        columns=lambda name: name.removesuffix("_sampled")
    )
    shown = table[["slot", "arm", "quantity"]].copy()
    shown["next token [interval]"] = [interval(row, 2) for row in table.itertuples()]
    shown["sampled [interval]"] = [interval(row, 2) for row in sampled.itertuples()]
    shown = shown.assign(pairs=table["n"], stems=table["n_stems"], same_sign=table["same_sign"])
    shown["naive / clustered error"] = [
        _span(ratios) for _, ratios in table[["naive_se_ratio", "naive_se_ratio_sampled"]].iterrows()
    ]
    return with_banner(shown.reset_index(drop=True), banner)


def precision(table: pd.DataFrame, banner: str = "") -> pd.DataFrame:
    """Format a table of `next_token_shift.precision`, with a column for each quantity.

    Values are distances from 0 in standard errors.
    """
    wide = table.pivot(index=["way", "passes", "stems"], columns="quantity", values="in errors")
    return with_banner(wide.astype(float).round(2).reset_index(), banner)


def variance_reduction(table: pd.DataFrame, banner: str = "") -> pd.DataFrame:
    """Format a table of `common_random_numbers.variance_reduction`."""
    shown = table[["quantity", "shared", "independent"]].round(2)
    bounds = table.rename(columns={"narrower": "estimate"})
    shown["narrower at one draw, % [interval]"] = [interval(row) for row in bounds.itertuples()]
    shown["narrower in this run, %"] = table["narrower_as_run"].round(1)
    return with_banner(shown.assign(draws=table["samples"], stems=table["n_stems"]), banner)


def next_token_summary(beside: pd.DataFrame, ranks: pd.DataFrame, precision: pd.DataFrame) -> str:
    """Say whether exact and sampled quantities agree in sign and rank, and what a forward pass buys."""
    if beside.empty:
        return "This backend shows no probabilities: there is no next-token shift to compare."
    rho = " and ".join(
        f"{row.rho:.2f} [{row.ci_low:.2f}, {row.ci_high:.2f}] for {row.quantity}"
        for row in ranks.itertuples()
    )
    size = precision[precision["quantity"] == "shift"].set_index("way")
    return (
        f"The sign is the same in {beside['same_sign'].sum()} of {len(beside)} cells. Over "
        f"{ranks['prompts'].iloc[0]} charged "
        f"prompts the rank correlation is {rho}. The shift is {size['in errors']['exact']:.1f} standard "
        "errors from 0 after "
        f"{size['passes']['exact']:,} forward passes; the sampled one {size['in errors']['sampled']:.1f} "
        "after "
        f"{size['passes']['sampled']:,}, and {size['in errors']['sampled, as many passes']:.1f} (median) "
        "after as many as the "
        "exact one took."
    )


def variance_reduction_summary(table: pd.DataFrame) -> str:
    """Say what the shared noise did to each interval, one clause for each quantity."""
    if table["narrower"].isna().all():
        return (
            "Fewer than 3 draws a prompt: what the shared noise does to the intervals cannot be told "
            "from this run."
        )
    clauses = [
        f"{row.quantity} {row.narrower:.0f} % [{row.ci_low:.0f}, {row.ci_high:.0f}] "
        f"({row.narrower_as_run:.0f} % "
        "with the "
        f"{row.samples} draws of this run)"
        for row in table.itertuples()
    ]
    return "Sharing the noise narrows the interval, at one draw a prompt, of " + ", of ".join(clauses) + "."


def range_summary(table: pd.DataFrame, names: list[str]) -> str:
    """Say what the lowest and highest net excess are, and how many intervals lie above 0.

    Args:
        table: A table of estimates, such as one of `leakage.summarise`.
        names: Columns that identify a row.
    """
    net = table[table["quantity"] == "net"] if "quantity" in table else table
    net = net.dropna(subset="estimate")
    if net.empty:
        return "No net excess could be estimated."
    lowest, highest = (
        net.iloc[index]
        for index in (net["estimate"].to_numpy().argmin(), net["estimate"].to_numpy().argmax())
    )
    ends = [
        f"{interval(row)} points ({', '.join(str(row[name]) for name in names)})" for row in (lowest, highest)
    ]
    pairs = " to ".join(f"{count:,}" for count in dict.fromkeys((net["n"].min(), net["n"].max())))
    return (
        f"Net excess from {ends[0]} to {ends[1]}, with {pairs} pairs each; the whole interval lies above 0 "
        "in "
        f"{(net['ci_low'] > 0).sum()} of {len(net)}."
    )


def board(set_name: str) -> pd.DataFrame:
    """Read the claims of a run from the tables of its notebooks, in the order C0 to C5."""
    parts = ["agreement", "scaling", "mitigation"]
    parts += ["interventions"] if params.load(set_name).intervened else []
    tables = [read_table(set_name, f"claims/{part}") for part in parts]
    table = pd.concat([part for part in tables if len(part)], ignore_index=True)[
        [*COLUMNS, *second_verdicts.COLUMNS]
    ]
    return table.sort_values("claim", kind="stable").reset_index(drop=True)


def kept_board(set_name: str) -> pd.DataFrame:
    """Read the board that a finished run has left in headline.csv.

    The columns benchmark and rules hold their versions when the board was made.
    """
    texts = dict.fromkeys(("model", "benchmark", "rules", "fault"), str)
    table = pd.read_csv(run_folder(set_name) / "headline.csv", dtype=texts)
    return table.fillna({"fault": ""}).astype({"as_judged": bool})


def claims_table(claims: pd.DataFrame) -> pd.DataFrame:
    """The verdict on each claim over its models, from a board.

    It is shown before the rows of the board.
    """
    summary = by_claim(claims)
    verdicts = [in_words(row) for row in summary.itertuples()]
    return pd.DataFrame(
        {
            "claim": summary["claim"] + " " + summary["statement"],
            "verdict": verdicts,
            "models": summary["counts"],
        }
    )


def claims_board(claims: pd.DataFrame) -> pd.DataFrame:
    """Format the rows of a board.

    The minimum detectable effect (MDE) is the smallest effect that the run would have distinguished from 0
    four times out of five. It decides nothing.

    Returns:
        Claim, model, what was measured and its test, estimate, n, MDE / margin, the net excess, and the
        verdict with its reason. If any row has a second judge, also what `lib.claims.second_verdicts` adds.
    """
    rows = list(claims.itertuples())
    second = (
        {f"by {second_verdicts.NAME}": [_by_second(row) for row in rows]}
        if second_verdicts.known(claims).any()
        else {}
    )
    return pd.DataFrame(
        {
            "claim": claims["claim"] + " " + claims["statement"],
            "model": claims["model"],
            "measured: test": claims["measured"] + ": " + claims["test"],
            "estimate [interval]": estimates(claims),
            "n": [f"{row.n:,} in {row.clusters:,} {row.cluster_unit}" if row.n else "–" for row in rows],
            "MDE / margin": [_detectable(row) for row in rows],
            "net excess, points": [_net(row) for row in rows],
            "verdict": [f"{in_words(row)}: {row.reason}" for row in rows],
            **second,
        }
    )


def _net(row) -> str:
    numbers = pd.Series([row.net, row.net_low, row.net_high], ["estimate", "ci_low", "ci_high"])
    return "–" if pd.isna(row.net) else interval(numbers)


def _by_second(row) -> str:
    """The second judge's verdict and estimate, and what it measured if that differs (prompt, domain)."""
    if pd.isna(row.verdict_vader):
        return "–"
    if pd.isna(row.estimate) and pd.isna(row.estimate_vader):
        return NOT_ESTIMATED
    numbers = {name: getattr(row, f"{name}_vader") for name in ("estimate", "ci_low", "ci_high")}
    verdict = "same" if row.verdict_vader == row.verdict else f"**differs**: {row.verdict_vader}"
    other = f" ({row.measured_vader})" if row.measured_vader != row.measured else ""
    return f"{verdict}, {interval(pd.Series(numbers), digits(row.unit))}{other}"


def verdicts_summary(claims: pd.DataFrame, kind: str = EXPLORATORY) -> str:
    """Count the rows of a board by verdict, and say what kind of board it is (`rules.board_kind`)."""
    counts = claims["verdict"].value_counts()
    counted = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if verdict in counts)
    return f"Of {len(claims)} rows: {counted} ({kind})."


def rows_summary(claims: pd.DataFrame) -> str:
    """Describe the rows of a board, one sentence each."""
    sentences = []
    for row, label, estimate in zip(claims.itertuples(), labels(claims), estimates(claims), strict=True):
        sentences.append(
            f"{label}: {estimate}{'' if pd.isna(row.estimate) else f' {row.unit}'}, {in_words(row)} "
            f"({row.reason})."
        )
    return " ".join(sentences)


def estimates(claims: pd.DataFrame) -> list[str]:
    """Format the estimate of each row of a board with its interval, in the unit of the row."""
    return [interval(row, digits(row.unit)) for row in claims.itertuples()]


def _detectable(row) -> str:
    form = f".{digits(row.unit)}f"
    return (
        f"{'–' if pd.isna(row.detectable) else f'{row.detectable:{form}}'} / {row.margin:{form}} {row.unit}"
    )
