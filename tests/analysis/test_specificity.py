"""Verdicts at thresholds of a fixed specificity, of equal false-positive rates, and over a curve."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import polarity, specificity
from lib.report import robustness_figures, robustness_reports
from tests.analysis.test_polarity import ARMS, LEANING, judgements

CONFIDENCE = 0.95


def neutral(valences, mitigation: str = "none") -> pd.DataFrame:
    valences = np.asarray(valences, dtype=float)
    arms = np.where(np.arange(len(valences)) % 2, "neutral", "placebo")
    return pd.DataFrame({"arm": arms, "valence": valences, "mitigation": mitigation})


def test_thresholds_by_hand():
    table = neutral(np.r_[-np.arange(1, 21), np.arange(1, 81)] / 20)  # 20 negative, 80 positive
    # 76 of 80 above 0 do not pass it, all below do not: 5 of 100 do
    assert specificity.symmetric(table, 95) == 3.75
    assert specificity.equal_rates(table, 90) == (0.75, 3.75)  # 5 of 100 lie beyond either
    assert specificity.equal_rates(neutral(np.ones(10)), 90) == (0.0, 1.0), "nothing is negative"


def test_only_unmitigated_neutral_arms_set_the_threshold():
    table = pd.concat(
        [
            neutral(np.arange(100) / 100),
            neutral(np.full(50, 4.0), "calm"),
            neutral([4.0] * 50).assign(arm="none"),
        ]
    )
    assert specificity.symmetric(table) == 0.94


@pytest.mark.parametrize(
    ("negative", "positive", "charged"), [(1.0, 1.0, [True, False, True]), (3.0, 1.0, [False, False, True])]
)
def test_each_polarity_has_its_own_threshold(negative, positive, charged):
    table = specificity.at_thresholds(pd.DataFrame({"valence": [-2.0, 0.5, 2.0, np.nan]}), negative, positive)
    assert table["charged"].tolist()[:3] == charged and pd.isna(table["charged"].iloc[3])


@pytest.mark.parametrize("seed", range(2))
def test_no_more_than_the_share_is_called_charged(seed):
    table = judgements(dict.fromkeys(ARMS, 0.8), seed=seed)
    rows = specificity.by_threshold(table, 0.5, CONFIDENCE).set_index(["rule", "quantity"])
    fixed, equal = rows.loc[(specificity.FIXED, "net")], rows.loc[(specificity.EQUAL, "net")]
    assert 4 < fixed["charged_negative"] + fixed["charged_positive"] <= 5
    assert max(equal["charged_negative"], equal["charged_positive"]) <= 2.5
    assert fixed["charged_positive"] > 4 * fixed["charged_negative"], (
        "one threshold for both does not make them equal"
    )


def test_the_rows_of_a_curve_and_its_words():
    table = specificity.by_threshold(LEANING, 0.5, CONFIDENCE)
    curve = table[(table["rule"] == specificity.CURVE) & (table["quantity"] == "net")]
    assert curve["positive"].tolist() == list(specificity.THRESHOLDS)
    own, same = (
        table[(table["rule"] == rule) & (table["positive"] == 0.5)]["estimate"].tolist()
        for rule in (specificity.OWN, specificity.CURVE)
    )
    assert own == same
    by_reference = polarity.by_reference(LEANING, CONFIDENCE).set_index(["reference", "quantity"])["estimate"]
    assert own[1] == pytest.approx(by_reference[polarity.POOLED, "net"])
    shown = robustness_reports.by_threshold(table, "STAMP")
    assert (
        len(shown) == 3 + len(specificity.THRESHOLDS)
        and shown.columns.name == "⚠ STAMP"
        and not shown.isna().any(axis=None)
    )
    said = robustness_reports.threshold_summary(table)
    assert (
        said.startswith("Net excess goes from ")
        and "specificity of 95 %" in said
        and "sign by all references: none" in said
    )
    axes = robustness_figures.by_threshold(table, "title", "STAMP: words.")
    assert "13 estimates" in axes.figure.get_label() and "fixed specificity" in axes.figure.get_label()


@pytest.mark.parametrize(
    "table",
    [
        LEANING.assign(stem_id="s"),
        LEANING.assign(valence=0.0, charged=False),
        LEANING[LEANING["arm"] != "positive"],
    ],
)
def test_bad_input_has_words_and_a_figure(table):
    rows = specificity.by_threshold(table, 0.5, CONFIDENCE)
    assert robustness_reports.threshold_summary(rows) and len(robustness_reports.by_threshold(rows))
    robustness_figures.by_threshold(rows, "title")
