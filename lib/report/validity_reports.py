"""Tables, sentences and warnings on judges against the rated texts, for notebooks 04 and 04c."""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from lib.agreement import rated_agreement, rated_threshold
from lib.config.specs import Judge
from lib.report import reports
from lib.report.reports import interval

SIGNED = ("bias", rated_agreement.DIFFERENCE)
NOT_KNOWN = "not known"  # a measure that needs single ratings where only means are known
# Hutto & Gilbert (2014, table 4): VADER's correlation with the human mean
PUBLISHED_OF_VADER = {
    "tweets": 0.881,
    "Amazon reviews": 0.565,
    "movie reviews": 0.451,
    "NYT editorials": 0.492,
}
_ROW = ["judge", "question", "measure"]


def by_level(table: pd.DataFrame) -> pd.DataFrame:
    """Format a long table of validity.

    Returns:
        One row per judge, question and measure, a column for each level, then n. "undefined" means that the
        measure does not exist there, for example because all verdicts are equal.
    """
    texts = table.groupby("level", observed=True)["n"].max().map("{:,}".format)
    return pd.concat(
        [_wide(table, [_cell(row) for row in table.itertuples()]), texts.to_frame(("", "", "texts")).T]
    )


def with_counts(table: pd.DataFrame) -> pd.DataFrame:
    """As `by_level`, for measures that each have their own n, which stands in the cell."""
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


def equivalent_raters_summary(validity: pd.DataFrame) -> str:
    """Say how each judge compares with one person, and how many raters it is worth, by domain.

    Each judge has a sentence on either.
    """
    sentences = []
    for judge, rows in validity[validity["by"] == "domain"].groupby("judge", sort=False):
        difference, equivalent_raters = (
            rows[rows["measure"] == measure] for measure in ("judge − one rater", "worth")
        )
        worst, best = (
            difference.loc[index_of()]
            for index_of in (difference["estimate"].idxmin, difference["estimate"].idxmax)
        )
        listed = ", ".join(
            f"{interval(row, 2, sign=False)} in {row.level}" for row in equivalent_raters.itertuples()
        )
        sentences.append(
            f"Against the other raters, **{judge}** lies {interval(worst, 2)} from one person in "
            f"{worst.level} and "
            f"{interval(best, 2)} in {best.level} (n = {worst.n:,} and {best.n:,} texts). Raters it is "
            f"worth: {listed}."
        )
    return " ".join(sentences)


def texts(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Describe each domain of rated texts.

    Returns:
        One row per domain: texts and documents (numbers), raters (median per text) and mean (rating).
    """
    table = pd.concat([each[["domain", "text", "document", "n_raters", "mean"]] for each in tables])
    summary = table.groupby("domain", sort=False).agg(
        texts=("text", "size"),
        documents=("document", "nunique"),
        raters=("n_raters", "median"),
        mean=("mean", "mean"),
    )
    raters = [NOT_KNOWN if np.isnan(count) else f"{count:g}" for count in summary["raters"].astype(float)]
    return summary.assign(raters=raters).round(2)


def ceiling_summary(validity: pd.DataFrame) -> str:
    """Say how reliable the human mean is by domain, and how near each judge comes to the highest possible r.

    Each judge has a sentence.
    """
    rows = validity[validity["by"] == "domain"]
    first = rows[rows["judge"] == rows["judge"].iloc[0]].set_index(["level", "measure"])
    levels = list(dict.fromkeys(rows.loc[rows["measure"] == "ceiling of r", "level"]))
    listed = [
        f"{level} {interval(first.loc[(level, 'reliability')], 3, sign=False)} and "
        f"{interval(first.loc[(level, 'ceiling of r')], 3, sign=False)} (n = "
        f"{first.loc[(level, 'reliability'), 'n']:,} texts)"
        for level in levels
    ]
    text = (
        "Reliability of the human mean, ICC(1,k), and its root, the highest r with that mean that a judge "
        "can be expected to "
        f"have: {'; '.join(listed)}."
    )
    for judge, pearson in rows[rows["measure"] == "pearson"].groupby("judge", sort=False):
        r = pearson.set_index("level")["estimate"]
        near = (
            f"{r[level]:.2f} of {first.loc[(level, 'ceiling of r'), 'estimate']:.2f} in {level}"
            for level in levels
        )
        text += f" **{judge}** has {', '.join(near)}."
    unknown = [level for level in dict.fromkeys(rows["level"]) if level not in levels]
    return text + "".join(f" In {level} the ceiling is {NOT_KNOWN}, for only means are." for level in unknown)


def error_summary(validity: pd.DataFrame) -> str:
    """Say what each judge's error is on the shortest and on the longest texts, one sentence each."""
    sentences = []
    for judge, errors in validity[(validity["by"] == "words") & (validity["measure"] == "error")].groupby(
        "judge", sort=False
    ):
        short, long = errors.iloc[0], errors.iloc[-1]
        sentences.append(
            f"**{judge}** errs by {interval(short, 2, sign=False)} points on texts of {short.level} (n = "
            f"{short.n:,}), by "
            f"{interval(long, 2, sign=False)} on those of {long.level} (n = {long.n:,})."
        )
    return " ".join(sentences)


def thresholds(verdicts: dict[str, pd.DataFrame], judges: list[Judge], rated: int) -> pd.DataFrame:
    """The threshold of each judge, and the range of the thresholds that are fitted to all folds but one.

    Args:
        verdicts: Verdicts of each judge, by name, with the column threshold.
        judges: The judges.
        rated: Number of rated texts; the threshold of a judge is fitted to all of them.
    """
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


def recall_summary(validity: pd.DataFrame) -> str:
    """Say how much each judge finds of what people find negative and positive, over all texts.

    Each judge has a sentence.
    """
    charged = validity[
        (validity["by"] == "all") & (validity["measure"] == "recall, %") & (validity["question"] != "none")
    ]
    sentences = []
    for judge, recalls in charged.groupby("judge", sort=False):
        described = (
            f"{interval(row, 0, sign=False)} % of the {row.question} texts (n = {row.n:,})"
            for row in recalls.itertuples()
        )
        sentences.append(f"**{judge}** finds {' and '.join(described)}.")
    return " ".join(sentences)


def calibration(verdicts: dict[str, pd.DataFrame], confidence: float) -> pd.DataFrame:
    """Compute `rated_threshold.calibration` of each judge by domain, by length and over all texts.

    Returns:
        Columns of `rated_threshold.calibration`, judge, by and level.
    """
    curves = [
        rated_threshold.calibration(subset, confidence).assign(judge=name, by=by, level=level)
        for name, table in verdicts.items()
        for by, level, subset in rated_agreement.parts(table)
    ]
    return pd.concat(curves, ignore_index=True)


def calibration_by_level(curves: pd.DataFrame) -> pd.DataFrame:
    """Format people's mean rating by valence of the judge (`calibration`), with a column for each level."""
    rising = pd.concat(
        [curve.sort_values("bin", kind="stable") for _, curve in curves.groupby("judge", sort=False)]
    )
    bins = [_signed(valence, "g") for valence in rising["bin"] + 0]  # no −0
    shown = with_counts(rising.assign(question="people's mean where it says", measure=bins))
    return shown[list(dict.fromkeys(curves["level"]))]


def calibration_summary(curves: pd.DataFrame) -> str:
    """Say what people's mean rating is at each valence by each judge, over all texts.

    Each judge has a sentence.
    """
    sentences = []
    for judge, curve in curves[curves["by"] == "all"].groupby("judge", sort=False):
        means = (
            f"{_signed(row.estimate, '+.2f')} where it says {_signed(row.bin + 0, 'g')} (n = {row.n:,})"
            for row in curve.itertuples()
        )
        sentences.append(f"**{judge}**: {', '.join(means)}.")
    return f"People's mean rating. {' '.join(sentences)}"


def _signed(number: float, form: str) -> str:
    return f"{number:{form}}".replace("-", "−")


def compare_published(validity: pd.DataFrame, judges: list[Judge]) -> pd.DataFrame | Markdown:
    """Compare VADER's correlations with those that its authors published.

    A sentence instead, if VADER is not among the judges.
    """
    names = [judge.name for judge in judges if judge.kind == "vader"]
    if not names:
        return Markdown(
            "VADER is not among the judges here, and of the others nothing is published on these texts."
        )
    pearson = validity[
        (validity["by"] == "domain") & (validity["measure"] == "pearson") & (validity["judge"] == names[0])
    ]
    return reports.compare_published(pearson, "level", PUBLISHED_OF_VADER)


def faults(validity: pd.DataFrame, judges: list[Judge]) -> list[str]:
    """List what forbids trust in a judge: chance agreement, or training on the texts of the test.

    Agreement is no better than chance in a part of the texts if the interval of Pearson's r or of a kappa is
    not above 0, or if it is undefined.
    """
    doubtful = validity[validity["measure"].isin(["pearson", "kappa"]) & ~(validity["ci_low"] > 0)]
    warnings = []
    for judge in judges:
        rows = doubtful[doubtful["judge"] == judge.name].itertuples()
        places = "; ".join(f"{row.level} ({row.measure}, {row.question})" for row in rows)
        if places:
            warnings.append(f"{judge.name} is no better than chance: {places}")
        if judge.trained_on_ratings:
            warnings.append(
                f"{judge.name} was trained on these very texts, so its agreement with them proves nothing"
            )
    return warnings


def warn(faults: list[str]) -> Markdown:
    """Show the faults in red, one paragraph each; a plain sentence if there are none."""
    if not faults:
        return Markdown(
            "Every judge is better than chance in every part, and none was trained on the texts it is "
            "tested on."
        )
    return Markdown("\n\n".join(f'<span style="color: #c00000">**⚠ {fault}.**</span>' for fault in faults))
