"""Tables and sentences on human labels for notebooks 04 and 04d: progress, agreement and estimates.

For a run without labels, the functions say so and explain how to collect them.
"""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from lib.agreement import charged_threshold, human_agreement, prediction_powered
from lib.analysis import leakage
from lib.annotation import labelling, sampling_plan
from lib.report import reports

NOT_MEASURED = "**Agreement on leakage itself has not been measured yet**"
NULL_VALUE = (
    "There is nothing to label: no pair has two completions that are not missing. Notebook 02 tells "
    "what is missing, and why."
)
NOBODY = f"{NOT_MEASURED}: nobody has labelled completions of this run."


def people(labels: pd.DataFrame) -> pd.DataFrame:
    """Drop the labels of simulated raters, because no result rests on them."""
    return labels[~labels["annotator"].str.startswith(labelling.SIMULATED)].reset_index(drop=True)


def how_to(key: pd.DataFrame, set_name: str) -> Markdown:
    """Say where the items to label are and what two annotators would do."""
    if key.empty:
        return Markdown(NULL_VALUE)
    texts, pairs = len(sampling_plan.items(key)), int(key["sampled"].sum())
    hours = texts * sampling_plan.SECONDS / 3600
    return Markdown(
        f"Drawn: {pairs:,} pairs of {len(key):,}, which are {texts:,} distinct texts. Two people (or more) "
        "each open "
        f"`notebooks/04b_annotation.ipynb`, set `set_name` to `{set_name}`, run it, give a name, and "
        f"label: about {hours:.1f} "
        f"hours each at {sampling_plan.SECONDS:g} seconds a text (assumed), in blocks of about "
        f"{sampling_plan.BLOCK} pairs, "
        f"after any of which one may stop. Their files are "
        f"`outputs/{set_name}/annotation/labels/<name>.jsonl`; then run the set again, and notebook "
        "04d shows what they see."
    )


def progress(labels: pd.DataFrame, key: pd.DataFrame) -> pd.DataFrame | Markdown:
    """Summarise the labels of each annotator.

    Args:
        labels: Labels of all annotators.
        key: The annotation key of the run.

    Returns:
        One row per annotator: done, begun, unclear and charged (numbers of texts), seconds (median per text),
        texts (how many there are to label) and counts (whether a result rests on these labels). A sentence if
        there are no labels.
    """
    if labels.empty:
        return Markdown(NOBODY)
    charged = labels["charge"].isin(["negative", "positive"])
    table = labels.assign(unclear=labels["charge"] == "unclear", charged=charged, begun=~labels["complete"])
    by_annotator = table.groupby("annotator").agg(
        done=("complete", "sum"),
        begun=("begun", "sum"),
        unclear=("unclear", "sum"),
        charged=("charged", "sum"),
        seconds=("seconds", "median"),
    )
    simulated = by_annotator.index.str.startswith(labelling.SIMULATED)
    return by_annotator.assign(
        texts=len(sampling_plan.items(key)), counts=np.where(simulated, "no: simulated", "yes")
    ).reset_index()


def agreement(
    key: pd.DataFrame,
    labels: pd.DataFrame,
    judgements: pd.DataFrame,
    confidence: float,
    draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Compute `human_agreement.agreement` for every question that was answered, weighted and unweighted.

    Returns:
        Columns question, weighted, who, measure, estimate, ci_low, ci_high, n, n_stems and defined; no rows
        if there are no labels.
    """
    tables = []
    for question in human_agreement.QUESTIONS:
        table = human_agreement.rated(key, labels, judgements, question)
        for weighted in (True, False) if len(table) else ():
            tables.append(human_agreement.agreement(table, question, confidence, draws, rng, weighted))
    columns = [
        "question",
        "weighted",
        "who",
        "measure",
        "estimate",
        "ci_low",
        "ci_high",
        "n",
        "n_stems",
        "defined",
    ]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def format_agreement(table: pd.DataFrame) -> pd.DataFrame | Markdown:
    """Format a table of `agreement`, with a column for each measure.

    "undefined" means that all labels are equal or that there is only one annotator. An empty table gives a
    sentence instead.
    """
    if table.empty:
        return Markdown(
            f"{NOT_MEASURED}: nobody has said of completions of this run whether they are charged. So "
            "there is nothing to "
            "compare the judge with but the ratings above."
        )
    cells = [
        reports.interval(row, 2, "−" in row.who).replace("not estimated", "undefined")
        for row in table.itertuples()
    ]
    index = ["question", "weighted", "who", "n"]
    wide = table.assign(cell=cells).pivot(index=index, columns="measure", values="cell")[
        list(human_agreement.MEASURES)
    ]
    keep = ~(wide == "undefined").all(axis=1) | (wide.index.get_level_values("who") == human_agreement.WHO[0])
    return wide[keep].reset_index().rename_axis(columns=None)


def refitted(
    key: pd.DataFrame,
    labels: pd.DataFrame,
    judgements: pd.DataFrame,
    confidence: float,
    draws: int,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame | Markdown]:
    """Apply thresholds that are cross-fitted to the labels.

    Returns:
        The judgements under the fitted thresholds, and a table of kappa before and after the fit
        (`charged_threshold.worth`). If no threshold can be fitted, the judgements unchanged and a sentence
        with the reason.
    """
    if labels.empty:
        return judgements, Markdown(f"{NOBODY} So the threshold stays as it is.")
    rows = charged_threshold.table(key, labels, judgements)
    try:
        thresholds = charged_threshold.cross_fit(rows, judgements["stem_id"], rng)
    except ValueError as error:
        return judgements, Markdown(f"The threshold stays as it is: {error}.")
    kappa_gain = reports.format_table(charged_threshold.worth(rows, thresholds, confidence, draws, rng), 2)
    span = f"{thresholds.min():.2f} to {thresholds.max():.2f}"
    kappa_gain["threshold"] = [
        "of this run",
        f"{span} ({thresholds.nunique()} values in {charged_threshold.FOLDS} folds)",
        "",
    ]
    return charged_threshold.refit(judgements, thresholds), kappa_gain.rename(
        columns={"estimate [interval]": "kappa [interval]"}
    )


def quantities(
    judgements: pd.DataFrame, key: pd.DataFrame, labels: pd.DataFrame, confidence: float
) -> pd.DataFrame:
    """Estimate every leakage quantity for each model and arm, by each of `prediction_powered.SOURCES`.

    The sources are people and judge together, people alone and the judge alone.

    Returns:
        Rows of `prediction_powered.estimates` by model, arm and direction, with `uncalled`: whether charge
        counts only where the sentence does not call for it.
    """
    by = ["model", "arm", "direction"]
    tables = []
    for uncalled in (False, True):
        joined = prediction_powered.joined(judgements, key, labels, uncalled)
        tables.append(prediction_powered.estimates(joined, by, confidence).assign(uncalled=uncalled))
    return pd.concat(tables, ignore_index=True)


def format_quantities(table: pd.DataFrame, banner: str = "") -> pd.DataFrame | Markdown:
    """Format the net excess and the leak rate of a table of `quantities`, with a column for each source.

    A sentence instead, if no pair has labels on both completions.
    """
    if not table["labelled"].any():
        return Markdown(
            f"{NOT_MEASURED}: nobody has labelled both completions of a pair. So every quantity is the "
            "judge's alone."
        )
    shown = table[table["quantity"].isin(["leak", "net"])]
    cells = [reports.interval(row, sign=row.quantity != "leak") for row in shown.itertuples()]
    wide = shown.assign(cell=cells, quantity=shown["quantity"].map(leakage.QUANTITIES)).pivot(
        index=["uncalled", "quantity", "model", "arm", "direction", "labelled", "n", "n_stems"],
        columns="source",
        values="cell",
    )[list(prediction_powered.SOURCES)]
    return wide.reset_index().rename_axis(columns=f"⚠ {banner}" if banner else None)
