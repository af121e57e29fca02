"""What people read: sentences and cells with computed numbers, by hand."""

import numpy as np
import pandas as pd

from lib.analysis import placebo, usability
from lib.claims import board
from lib.claims.rules import EXPLORATORY
from lib.report import reports

NET = pd.DataFrame(
    [
        ("net", "joy", 5.0, -1.0, 11.0, 24),
        ("net", "fear", -2.0, -4.0, -0.5, 30),
        ("net", "love", 9.0, 2.0, 16.0, 24),
        ("towards", "joy", 99.0, 98.0, 100.0, 24),
    ],
    columns=["quantity", "emotion", "estimate", "ci_low", "ci_high", "n"],
)
ROW = {
    **dict.fromkeys(board.COLUMNS, ""),
    "claim": "C0",
    "statement": "leakage exists",
    "model": "m",
    "measured": "mean shift",
    "test": "above 0",
    "unit": "scale points",
    "margin": 0.1,
    "detectable": 0.126,
    "estimate": 0.9,
    "ci_low": 0.2,
    "ci_high": 1.6,
    "n": 1944,
    "clusters": 324,
    "cluster_unit": "stems",
    "verdict": "supported",
    "net": 9.5,
    "net_low": 3.0,
    "net_high": 16.0,
    "as_judged": True,
    "reason": "whole interval above 0",
}


def test_the_range_of_a_table_in_a_sentence():
    assert reports.range_summary(NET, ["emotion"]) == (
        "Net excess from −2.0 [−4.0, −0.5] points (fear) to +9.0 [+2.0, +16.0] points (love), with 24 to 30 "
        "pairs each; the "
        "whole interval lies above 0 in 1 of 3."
    )
    assert (
        reports.range_summary(NET.assign(estimate=np.nan), ["emotion"]) == "No net excess could be estimated."
    )


def test_a_row_of_the_board_holds_what_a_verdict_rests_on():
    unknown = {
        "estimate": np.nan,
        "ci_low": np.nan,
        "ci_high": np.nan,
        "detectable": np.nan,
        "n": 0,
        "verdict": "inconclusive",
        "net": np.nan,
    }
    table = pd.DataFrame([ROW, {**ROW, **unknown, "claim": "C1", "unit": "of r", "margin": 0.05}])
    assert reports.claims_board(table).values.tolist() == [
        [
            "C0 leakage exists",
            "m",
            "mean shift: above 0",
            "+0.90 [+0.20, +1.60]",
            "1,944 in 324 stems",
            "0.13 / 0.10 scale points",
            "+9.5 [+3.0, +16.0]",
            "supported, as judged: whole interval above 0",
        ],
        [
            "C1 leakage exists",
            "m",
            "mean shift: above 0",
            "not estimated",
            "–",
            "– / 0.05 of r",
            "–",
            "inconclusive: whole interval above 0",
        ],
    ]
    assert reports.verdicts_summary(table) == f"Of 2 rows: 1 supported, 1 inconclusive ({EXPLORATORY})."
    assert reports.claims_table(table).values.tolist() == [
        ["C0 leakage exists", "supported, as judged", "1 supported"],
        ["C1 leakage exists", "inconclusive", "1 inconclusive"],
    ]
    assert reports.rows_summary(table) == (
        "m: +0.90 [+0.20, +1.60] scale points, supported, as judged (whole interval above 0). "
        "m: not estimated, inconclusive (whole interval above 0)."
    )


def test_what_the_placebo_rule_comes_to_in_a_sentence():
    assert "are usable" in reports.rules_summary("") and "not shown" in reports.rules_summary(
        usability.PLACEBO_OPEN
    )
    assert "broken" in reports.rules_summary(usability.PLACEBO_BROKEN)
    assert reports.rules_summary("38 % of completions are unusable") == (
        "**No verdict is possible: 38 % of completions are unusable**."
    )
    rows = [
        ("shift", 0.1, 0.03, -0.02, 0.08, 90, 30, 10, "matches", 0.9, 0.004, "kept"),
        ("net", np.nan, 1.0, -2.0, 4.0, 90, 30, 10, "matches", 0.9, np.nan, "shown alone"),
    ]
    checked = pd.DataFrame(rows, columns=placebo.COLUMNS)
    assert reports.placebo(checked)["estimate [interval]"].tolist() == [
        "+0.03 [−0.02, +0.08]",
        "+1.00 [−2.00, +4.00]",
    ]
