"""Tables, sentences and warnings on language models that judge a sample, for notebook 04e.

The sample and its estimates are those of `lib.agreement.llm_sample`.
"""

import pandas as pd
from IPython.display import Markdown

from lib.agreement import llm_sample
from lib.agreement.llm_sample import ONE_RATER, PAIRS, TEXTS, UNSCORED, VADER, Asked
from lib.config.sections import Agreement
from lib.judging import llm_reliability
from lib.report.reports import interval
from lib.runtime import progress

NONE = (
    "No language model is among the judges next to the run's own (`agreement.comparison_judges`), so none "
    "is asked here."
)
_NAMES = {"pearson": "r with the others", "kappa": "kappa with the others"}
_ROW = ["judge", "measure", "who"]
_FORMS = {UNSCORED: (1, False), llm_reliability.POSITION: (2, True)}  # digits, sign; (2, False) for the rest


def asked_about(
    asked: list[Asked], run: Agreement, sample: pd.DataFrame, completions: pd.DataFrame
) -> Markdown:
    """Describe the sample and how many questions each judge was asked.

    The time that they took is shown as a progress message and is not part of the text.
    """
    if not asked:
        return Markdown(NONE)
    counts = sample["domain"].value_counts(sort=False)
    pairs = int((completions["arm"] != "neutral").sum())
    paragraphs = [
        f"{len(sample):,} of the rated texts "
        f"({', '.join(f'{count} {domain}' for domain, count in counts.items())}), and the "
        f"{pairs:,} pairs of completions drawn for annotators, each in both orders; drawn with seed "
        f"{run.seed}."
    ]
    for entry in asked:
        model, repeats = (
            entry.judge.model,
            sum((table["sample_index"] == 1).sum() for table in (entry.texts, entry.pairs)),
        )
        paragraphs.append(
            f"**{entry.judge.name}**: model {model.name} in {model.dtype}, rubric {entry.judge.rubric}, "
            "temperature "
            f"{entry.judge.temperature:g}; {len(entry.texts):,} questions about texts and "
            f"{len(entry.pairs):,} about pairs, {repeats:,} "
            "of them a second time."
        )
        tell_seconds(entry)
    return Markdown("\n\n".join(paragraphs))


def tell_seconds(one: Asked) -> None:
    """Show the seconds a question took when questions were last asked on this machine."""
    for form in (TEXTS, PAIRS):
        known = llm_sample.seconds(one.judge, form)
        pace = (
            f"{known[1]:.2f} seconds a question, measured over {known[0]:,}"
            if known
            else "not asked on this machine"
        )
        progress.message(f"{one.judge.name}, {form}: {pace}")


def format_agreement(table: pd.DataFrame) -> pd.DataFrame | Markdown:
    """Format `llm_sample.agreement_with_people`: a column for each domain, then n."""
    if table.empty:
        return Markdown("")
    cells = [
        interval(row, 2, "−" in row.who).replace("not estimated", "undefined") for row in table.itertuples()
    ]
    named = table.assign(cell=cells, measure=table["measure"].map(_NAMES))
    order = named.sort_values(["judge", "measure"], ascending=[True, False], kind="stable")[
        _ROW
    ].drop_duplicates()
    wide = named.pivot(index=_ROW, columns="level", values="cell").loc[
        list(order.itertuples(index=False, name=None))
    ]
    counts = table.groupby(["judge", "level"])["n"].max().unstack().map("{:,}".format)
    counts.index = pd.MultiIndex.from_tuples(
        [(judge, "", "texts") for judge in counts.index], names=wide.index.names
    )
    return pd.concat([wide, counts])[list(dict.fromkeys(table["level"]))].rename_axis(columns=None)


def format_replies(table: pd.DataFrame) -> pd.DataFrame | Markdown:
    """Format a table of `llm_sample.replies`."""
    if table.empty:
        return Markdown("")
    joined = [interval(row, *_FORMS.get(row.quantity, (2, False))) for row in table.itertuples()]
    shown = table[["judge", "asked_about", "quantity"]].assign(**{"estimate [interval]": joined})
    clusters = ["documents" if about == TEXTS else "stems" for about in table["asked_about"]]
    counts = [
        f"{n:,} in {stems:,} {unit}"
        for n, stems, unit in zip(table["n"], table["n_stems"], clusters, strict=True)
    ]
    return shown.assign(n=counts).rename(columns={"asked_about": "asked about"})


def summary(asked: list[Asked], table: pd.DataFrame, replies: pd.DataFrame, judge: str) -> Markdown:
    """Summarise each judge that was asked: agreement with people, reliability and, in red, warnings.

    Agreement stands next to that of the run's judge, of VADER and of one rater.
    """
    paragraphs = []
    for entry in asked:
        agreement = table[(table["judge"] == entry.judge.name) & (table["level"] == "all texts")]
        reliability = replies[replies["judge"] == entry.judge.name]
        paragraphs += [
            _agreement(agreement, entry.judge.name, judge),
            _steadiness(entry, reliability),
            _format_faults(entry, table, replies),
        ]
    return Markdown("\n\n".join(paragraph for paragraph in paragraphs if paragraph))


def _agreement(own: pd.DataFrame, name: str, judge: str) -> str:
    if own.empty:
        return f"**{name}** left so many texts unscored that its agreement with people cannot be told."
    estimates = {(row.who, row.measure): row for row in own.itertuples()}
    raters = dict.fromkeys([name, judge, VADER.name, ONE_RATER])
    listed = [
        ", ".join(f"{who} {interval(estimates[who, measure], 2, sign=False)}" for who in raters)
        for measure in _NAMES
    ]
    return (
        f"Over all {own['n'].iloc[0]:,} texts that **{name}** scored, Pearson's r with the other raters: "
        f"{listed[0]}; kappa of "
        f"verdicts with their majority: {listed[1]}."
    )


def _steadiness(one: Asked, steady: pd.DataFrame) -> str:
    rows = {(row.asked_about, row.quantity): row for row in steady.itertuples()}
    bias, orders = rows[PAIRS, llm_reliability.POSITION], rows[PAIRS, llm_reliability.ORDERS]
    retest_rows = [rows[form, llm_reliability.AGREEMENT] for form in (TEXTS, PAIRS)]
    retests = " and ".join(
        f"{interval(row, 2, False)} (n = {row.n:,}, {row.asked_about})" for row in retest_rows
    )
    caveat = (
        "" if one.judge.temperature else " (asked at temperature 0, which tells nothing of how steady it is)"
    )
    return (
        f"A text gets {interval(bias, 2)} points more as the first of a pair than as the second (n = "
        f"{bias.n:,}), and the same "
        f"label in both places at a rate of {interval(orders, 2, False)}. Asked twice, the same label "
        "comes at a rate of "
        f"{retests}{caveat}."
    )


def faults(one: Asked, table: pd.DataFrame, replies: pd.DataFrame) -> list[str]:
    """List what makes the judge poor, each item with its numbers.

    An item is too few scored texts, training on these texts, agreement below VADER's on the same texts or no
    better than chance, position bias within a pair, or unscored replies. The interval decides; for unscored
    replies, the share that stops a run decides.
    """
    name = one.judge.name
    agreement, reliability = table[table["judge"] == name], replies[replies["judge"] == name]
    warnings = ["it scored too few texts to be compared"] if agreement.empty else []
    warnings += (
        ["it was trained on these very texts, so its agreement with them proves nothing"]
        if one.judge.trained_on_ratings
        else []
    )
    below = agreement[(agreement["who"] == f"{name} − {VADER.name}") & (agreement["ci_high"] < 0)]
    if len(below):
        warnings.append(f"worse than VADER on the same texts: {_places(below)}")
    chance = agreement[(agreement["who"] == name) & ~(agreement["ci_low"] > 0)]
    if len(chance):
        warnings.append(f"no better than chance: {_places(chance)}")
    bias = reliability[
        (reliability["quantity"] == llm_reliability.POSITION)
        & ((reliability["ci_low"] > 0) | (reliability["ci_high"] < 0))
    ]
    warnings += [
        f"position bias: {interval(row, 2)} points for the first of a pair (n = {row.n:,})"
        for row in bias.itertuples()
    ]
    limit = 100 * llm_reliability.MOST_UNSCORED
    for row in reliability[
        (reliability["quantity"] == UNSCORED) & (reliability["estimate"] > limit)
    ].itertuples():
        why = llm_reliability.reasons(one.texts if row.asked_about == TEXTS else one.pairs)
        warnings.append(
            f"{interval(row, 1, False)} % of the replies about {row.asked_about} hold no verdict (n = "
            f"{row.n:,}: {why})"
        )
    return warnings


def _places(rows: pd.DataFrame) -> str:
    return "; ".join(
        f"{row.level} ({_NAMES[row.measure]} {interval(row, 2)}, n = {row.n:,})" for row in rows.itertuples()
    )


def _format_faults(one: Asked, table: pd.DataFrame, replies: pd.DataFrame) -> str:
    warnings = faults(one, table, replies)
    if not warnings:
        return (
            f"**{one.judge.name}**: not shown to be worse than VADER, at chance, biased by position, or "
            "often unscored."
        )
    listed = "; ".join(warnings)
    return f'<span style="color: #c00000">**⚠ {one.judge.name} is a poor judge here: {listed}.**</span>'
