"""What notebook 04 says of a language model that was asked about a sample (`lib.agreement.llm_sample`):
tables, sentences, faults."""

import pandas as pd
from IPython.display import Markdown

from lib.agreement import llm_sample
from lib.agreement.llm_sample import ONE_RATER, PAIRS, TEXTS, UNSCORED, VADER, Asked
from lib.config.sections import Agreement
from lib.judging import llm_reliability
from lib.report.reports import interval
from lib.runtime import progress

NONE = (
    "No language model is among the judges beside the run's own (`agreement.comparison_judges`), so none "
    "is asked here."
)
_NAMES = {"pearson": "r with the others", "kappa": "kappa with the others"}
_ROW = ["judge", "measure", "who"]
_FORMS = {UNSCORED: (1, False), llm_reliability.POSITION: (2, True)}  # digits, sign; of the rest (2, False)


def asked_about(
    asked: list[Asked], run: Agreement, sample: pd.DataFrame, completions: pd.DataFrame
) -> Markdown:
    """What the sample is, and how many questions each judge was asked; how long they took is told, but is no
    part of a page."""
    if not asked:
        return Markdown(NONE)
    counts = sample["domain"].value_counts(sort=False)
    pairs = int((completions["arm"] != "neutral").sum())
    said = [
        f"{len(sample):,} of the rated texts "
        f"({', '.join(f'{count} {domain}' for domain, count in counts.items())}), and the "
        f"{pairs:,} pairs of completions drawn for annotators, each in both orders; drawn with seed "
        f"{run.seed}."
    ]
    for one in asked:
        model, again = (
            one.judge.model,
            sum((table["sample_index"] == 1).sum() for table in (one.texts, one.pairs)),
        )
        said.append(
            f"**{one.judge.name}**: model {model.name} in {model.dtype}, rubric {one.judge.rubric}, "
            "temperature "
            f"{one.judge.temperature:g}; {len(one.texts):,} questions about texts and {len(one.pairs):,} "
            f"about pairs, {again:,} "
            "of them a second time."
        )
        tell_seconds(one)
    return Markdown("\n\n".join(said))


def tell_seconds(one: Asked) -> None:
    """Seconds a question, as measured when questions were last asked on this machine."""
    for form in (TEXTS, PAIRS):
        known = llm_sample.seconds(one.judge, form)
        pace = (
            f"{known[1]:.2f} seconds a question, measured over {known[0]:,}"
            if known
            else "not asked on this machine"
        )
        progress.message(f"{one.judge.name}, {form}: {pace}")


def agreement_shown(table: pd.DataFrame) -> pd.DataFrame | Markdown:
    """`llm_sample.agreement_with_people` as people read it: a column for each domain; then n."""
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


def replies_shown(table: pd.DataFrame) -> pd.DataFrame | Markdown:
    """`llm_sample.replies` as people read it."""
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


def reading(asked: list[Asked], table: pd.DataFrame, replies: pd.DataFrame, judge: str) -> Markdown:
    """For each judge that was asked: how it stands to people beside the others, how steady it is, and what is
    wrong, in red."""
    said = []
    for one in asked:
        own = table[(table["judge"] == one.judge.name) & (table["level"] == "all texts")]
        steady = replies[replies["judge"] == one.judge.name]
        said += [
            _agreement(own, one.judge.name, judge),
            _steadiness(one, steady),
            _faults_shown(one, table, replies),
        ]
    return Markdown("\n\n".join(part for part in said if part))


def _agreement(own: pd.DataFrame, name: str, judge: str) -> str:
    if own.empty:
        return f"**{name}** left so many texts unscored that its agreement with people cannot be told."
    given = {(row.who, row.measure): row for row in own.itertuples()}
    whose = dict.fromkeys([name, judge, VADER.name, ONE_RATER])
    parts = [
        ", ".join(f"{who} {interval(given[who, measure], 2, sign=False)}" for who in whose)
        for measure in _NAMES
    ]
    return (
        f"Over all {own['n'].iloc[0]:,} texts that **{name}** scored, Pearson's r with the other raters: "
        f"{parts[0]}; kappa of "
        f"verdicts with their majority: {parts[1]}."
    )


def _steadiness(one: Asked, steady: pd.DataFrame) -> str:
    rows = {(row.asked_about, row.quantity): row for row in steady.itertuples()}
    bias, orders = rows[PAIRS, llm_reliability.POSITION], rows[PAIRS, llm_reliability.ORDERS]
    twice = [rows[form, llm_reliability.AGREEMENT] for form in (TEXTS, PAIRS)]
    again = " and ".join(f"{interval(row, 2, False)} (n = {row.n:,}, {row.asked_about})" for row in twice)
    trivial = (
        "" if one.judge.temperature else " (asked at temperature 0, which tells nothing of how steady it is)"
    )
    return (
        f"A text gets {interval(bias, 2)} points more as the first of a pair than as the second (n = "
        f"{bias.n:,}), and the same "
        f"label in both places at a rate of {interval(orders, 2, False)}. Asked twice, the same label "
        "comes at a rate of "
        f"{again}{trivial}."
    )


def faults(one: Asked, table: pd.DataFrame, replies: pd.DataFrame) -> list[str]:
    """What makes the judge poor: below VADER on the same texts, no better than chance, moved by the place in
    a pair, unscored replies; each with its figures. An interval decides, for what is unscored the share that
    stops a run."""
    name = one.judge.name
    own, replied = table[table["judge"] == name], replies[replies["judge"] == name]
    found = ["it scored too few texts to be compared"] if own.empty else []
    found += (
        ["it was trained on these very texts, so its agreement with them proves nothing"]
        if one.judge.trained_on_ratings
        else []
    )
    below = own[(own["who"] == f"{name} − {VADER.name}") & (own["ci_high"] < 0)]
    if len(below):
        found.append(f"worse than VADER on the same texts: {_places(below)}")
    chance = own[(own["who"] == name) & ~(own["ci_low"] > 0)]
    if len(chance):
        found.append(f"no better than chance: {_places(chance)}")
    bias = replied[
        (replied["quantity"] == llm_reliability.POSITION)
        & ((replied["ci_low"] > 0) | (replied["ci_high"] < 0))
    ]
    found += [
        f"position bias: {interval(row, 2)} points for the first of a pair (n = {row.n:,})"
        for row in bias.itertuples()
    ]
    least = 100 * llm_reliability.MOST_UNSCORED
    for row in replied[(replied["quantity"] == UNSCORED) & (replied["estimate"] > least)].itertuples():
        why = llm_reliability.reasons(one.texts if row.asked_about == TEXTS else one.pairs)
        found.append(
            f"{interval(row, 1, False)} % of the replies about {row.asked_about} hold no verdict (n = "
            f"{row.n:,}: {why})"
        )
    return found


def _places(rows: pd.DataFrame) -> str:
    return "; ".join(
        f"{row.level} ({_NAMES[row.measure]} {interval(row, 2)}, n = {row.n:,})" for row in rows.itertuples()
    )


def _faults_shown(one: Asked, table: pd.DataFrame, replies: pd.DataFrame) -> str:
    wrong = faults(one, table, replies)
    if not wrong:
        return (
            f"**{one.judge.name}**: not shown to be worse than VADER, at chance, biased by position, or "
            "often unscored."
        )
    listed = "; ".join(wrong)
    return f'<span style="color: #c00000">**⚠ {one.judge.name} is a poor judge here: {listed}.**</span>'
