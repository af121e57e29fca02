"""What notebook 04 says of judges beside the rated texts: tables, readings, and what is wrong with a judge,
in red."""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from lib.agreement import rated_agreement, rated_threshold
from lib.config.specs import Judge
from lib.report import reports
from lib.report.reports import interval

SIGNED = ("bias", rated_agreement.DIFFERENCE)
NOT_KNOWN = "not known"  # what takes single ratings, where only means are
# Hutto & Gilbert (2014, table 4): VADER's correlation with the human mean
PUBLISHED_OF_VADER = {
    "tweets": 0.881,
    "Amazon reviews": 0.565,
    "movie reviews": 0.451,
    "NYT editorials": 0.492,
}
_ROW = ["judge", "question", "measure"]


def by_level(table: pd.DataFrame) -> pd.DataFrame:
    """A long table of validity as people read it: a row for each judge, question and measure, a column for
    each level, then n.

    "undefined": the measure does not exist there, as where all verdicts are equal.
    """
    texts = table.groupby("level", observed=True)["n"].max().map("{:,}".format)
    return pd.concat(
        [_wide(table, [_cell(row) for row in table.itertuples()]), texts.to_frame(("", "", "texts")).T]
    )


def with_counts(table: pd.DataFrame) -> pd.DataFrame:
    """As `by_level`, of measures that each have an n of their own, which stands in the cell."""
    return _wide(table, [f"{_cell(row)}, n = {row.n:,}" for row in table.itertuples()])


def _wide(table: pd.DataFrame, cells: list[str]) -> pd.DataFrame:
    wide = table.assign(cell=cells).pivot(index=_ROW, columns="level", values="cell")
    wide = wide.apply(
        lambda row: row.fillna(NOT_KNOWN if row.name[-1] in rated_agreement.OF_RATERS else "–"), axis=1
    )
    rows = dict.fromkeys(table[_ROW].itertuples(index=False, name=None))
    return wide.loc[list(rows), list(dict.fromkeys(table["level"]))]


def _cell(row) -> str:
    digits = 0 if row.measure.endswith("%") else 2
    return interval(row, digits, row.measure in SIGNED).replace("not estimated", "undefined")


def worth_reading(validity: pd.DataFrame) -> str:
    """How each judge stands to one person, and how many it is worth, by domain, a sentence each."""
    said = []
    for judge, own in validity[validity["by"] == "domain"].groupby("judge", sort=False):
        difference, worth = (own[own["measure"] == measure] for measure in ("judge − one rater", "worth"))
        worst, best = (
            difference.loc[place()]
            for place in (difference["estimate"].idxmin, difference["estimate"].idxmax)
        )
        worths = ", ".join(f"{interval(row, 2, sign=False)} in {row.level}" for row in worth.itertuples())
        said.append(
            f"Against the other raters, **{judge}** lies {interval(worst, 2)} from one person in "
            f"{worst.level} and "
            f"{interval(best, 2)} in {best.level} (n = {worst.n:,} and {best.n:,} texts). Raters it is "
            f"worth: {worths}."
        )
    return " ".join(said)


def texts(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Each domain of rated texts: how many texts and documents, raters a text (median), and the mean
    rating."""
    table = pd.concat([each[["domain", "text", "document", "n_raters", "mean"]] for each in tables])
    found = table.groupby("domain", sort=False).agg(
        texts=("text", "size"),
        documents=("document", "nunique"),
        raters=("n_raters", "median"),
        mean=("mean", "mean"),
    )
    raters = [NOT_KNOWN if np.isnan(count) else f"{count:g}" for count in found["raters"].astype(float)]
    return found.assign(raters=raters).round(2)


def ceiling_reading(validity: pd.DataFrame) -> str:
    """How reliable the human mean is by domain, the highest r that leaves room for, and how near each judge
    comes, a sentence each."""
    rows = validity[validity["by"] == "domain"]
    first = rows[rows["judge"] == rows["judge"].iloc[0]].set_index(["level", "measure"])
    of = list(dict.fromkeys(rows.loc[rows["measure"] == "ceiling of r", "level"]))
    said = [
        f"{level} {interval(first.loc[(level, 'reliability')], 3, sign=False)} and "
        f"{interval(first.loc[(level, 'ceiling of r')], 3, sign=False)} (n = "
        f"{first.loc[(level, 'reliability'), 'n']:,} texts)"
        for level in of
    ]
    text = (
        "Reliability of the human mean, ICC(1,k), and its root, the highest r with that mean that a judge "
        "can be expected to "
        f"have: {'; '.join(said)}."
    )
    for judge, own in rows[rows["measure"] == "pearson"].groupby("judge", sort=False):
        r = own.set_index("level")["estimate"]
        near = (
            f"{r[level]:.2f} of {first.loc[(level, 'ceiling of r'), 'estimate']:.2f} in {level}"
            for level in of
        )
        text += f" **{judge}** has {', '.join(near)}."
    unknown = [level for level in dict.fromkeys(rows["level"]) if level not in of]
    return text + "".join(f" In {level} the ceiling is {NOT_KNOWN}, for only means are." for level in unknown)


def error_reading(validity: pd.DataFrame) -> str:
    """Each judge's error on the shortest and on the longest texts, a sentence each."""
    said = []
    for judge, own in validity[(validity["by"] == "words") & (validity["measure"] == "error")].groupby(
        "judge", sort=False
    ):
        short, long = own.iloc[0], own.iloc[-1]
        said.append(
            f"**{judge}** errs by {interval(short, 2, sign=False)} points on texts of {short.level} (n = "
            f"{short.n:,}), by "
            f"{interval(long, 2, sign=False)} on those of {long.level} (n = {long.n:,})."
        )
    return " ".join(said)


def thresholds(verdicts: dict[str, pd.DataFrame], judges: list[Judge], rated: int) -> pd.DataFrame:
    """The threshold of each judge: fitted to all of the `rated` texts, and the range of those fitted to all
    folds but one."""
    rows = [
        {
            "judge": judge.name,
            "threshold, points": rated_threshold.threshold(judge),
            "lowest of the folds": folds.min(),
            "highest of the folds": folds.max(),
            "texts": len(folds),
            "unscored": rated - len(folds),
        }
        for judge, folds in ((judge, verdicts[judge.name]["threshold"]) for judge in judges)
    ]
    return pd.DataFrame(rows).round(3)


def recall_reading(validity: pd.DataFrame) -> str:
    """What each judge finds of what people find negative and positive, over all texts, a sentence each."""
    charged = validity[
        (validity["by"] == "all") & (validity["measure"] == "recall, %") & (validity["question"] != "none")
    ]
    said = []
    for judge, own in charged.groupby("judge", sort=False):
        found = (
            f"{interval(row, 0, sign=False)} % of the {row.question} texts (n = {row.n:,})"
            for row in own.itertuples()
        )
        said.append(f"**{judge}** finds {' and '.join(found)}.")
    return " ".join(said)


def calibration(verdicts: dict[str, pd.DataFrame], confidence: float) -> pd.DataFrame:
    """`rated_threshold.calibration` of each judge by domain, by length and over all texts: its columns,
    judge, by and level."""
    curves = [
        rated_threshold.calibration(part, confidence).assign(judge=name, by=by, level=level)
        for name, table in verdicts.items()
        for by, level, part in rated_agreement.parts(table)
    ]
    return pd.concat(curves, ignore_index=True)


def calibration_by_level(curves: pd.DataFrame) -> pd.DataFrame:
    """A table of `calibration` as people read it: people's mean rating where a judge says so much, a column
    for each level."""
    rising = pd.concat(
        [own.sort_values("bin", kind="stable") for _, own in curves.groupby("judge", sort=False)]
    )
    said = [_signed(place, "g") for place in rising["bin"] + 0]  # no −0
    shown = with_counts(rising.assign(question="people's mean where it says", measure=said))
    return shown[list(dict.fromkeys(curves["level"]))]


def calibration_reading(curves: pd.DataFrame) -> str:
    """What people felt on average where each judge said so much, over all texts, a sentence each."""
    said = []
    for judge, curve in curves[curves["by"] == "all"].groupby("judge", sort=False):
        felt = (
            f"{_signed(row.estimate, '+.2f')} where it says {_signed(row.bin + 0, 'g')} (n = {row.n:,})"
            for row in curve.itertuples()
        )
        said.append(f"**{judge}**: {', '.join(felt)}.")
    return f"People's mean rating. {' '.join(said)}"


def _signed(number: float, form: str) -> str:
    return f"{number:{form}}".replace("-", "−")


def beside_published(validity: pd.DataFrame, judges: list[Judge]) -> pd.DataFrame | Markdown:
    """VADER's correlations beside those its authors published; a sentence where VADER is none of the
    judges."""
    names = [judge.name for judge in judges if judge.kind == "vader"]
    if not names:
        return Markdown(
            "VADER is not among the judges here, and of the others nothing is published on these texts."
        )
    pearson = validity[
        (validity["by"] == "domain") & (validity["measure"] == "pearson") & (validity["judge"] == names[0])
    ]
    return reports.beside(pearson, "level", PUBLISHED_OF_VADER)


def faults(validity: pd.DataFrame, judges: list[Judge]) -> list[str]:
    """What forbids trust in a judge: agreement no better than chance in some part, or training on the texts
    it is tested on.

    Chance: the interval of Pearson's r or of a kappa is not above 0, or neither is defined.
    """
    doubtful = validity[validity["measure"].isin(["pearson", "kappa"]) & ~(validity["ci_low"] > 0)]
    found = []
    for judge in judges:
        rows = doubtful[doubtful["judge"] == judge.name].itertuples()
        places = "; ".join(f"{row.level} ({row.measure}, {row.question})" for row in rows)
        if places:
            found.append(f"{judge.name} is no better than chance: {places}")
        if judge.trained_on_ratings:
            found.append(
                f"{judge.name} was trained on these very texts, so its agreement with them proves nothing"
            )
    return found


def alarm(faults: list[str]) -> Markdown:
    """The faults in red, a paragraph each; a plain sentence where there are none."""
    if not faults:
        return Markdown(
            "Every judge is better than chance in every part, and none was trained on the texts it is "
            "tested on."
        )
    return Markdown("\n\n".join(f'<span style="color: #c00000">**⚠ {fault}.**</span>' for fault in faults))
