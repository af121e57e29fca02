"""What people read: sentences and cells with computed numbers, by hand."""

import numpy as np
import pandas as pd

from lib import board, reports

NET = pd.DataFrame(
    [("net", "joy", 5.0, -1.0, 11.0, 24), ("net", "fear", -2.0, -4.0, -0.5, 30), ("net", "love", 9.0, 2.0, 16.0, 24),
     ("towards", "joy", 99.0, 98.0, 100.0, 24)],
    columns=["quantity", "emotion", "estimate", "low", "high", "n"],
)  # fmt: skip
ROW = {**dict.fromkeys(board.COLUMNS, ""), "claim": "C0", "statement": "leakage exists", "model": "m", "measured": "net excess",
       "test": "above 0", "unit": "points", "margin": 5.0, "detectable": 3.26, "estimate": 9.0, "low": 2.0, "high": 16.0,
       "n": 1944, "clusters": 324, "cluster_unit": "stems", "verdict": "supported",
       "reason": "whole interval above 0"}  # fmt: skip


def test_the_range_of_a_table_in_a_sentence():
    assert reports.range_reading(NET, ["emotion"]) == (
        "Net excess from −2.0 [−4.0, −0.5] points (fear) to +9.0 [+2.0, +16.0] points (love), with 24 to 30 pairs each; the "
        "whole interval lies above 0 in 1 of 3."
    )
    assert reports.range_reading(NET.assign(estimate=np.nan), ["emotion"]) == "No net excess could be estimated."


def test_a_row_of_the_board_holds_what_a_verdict_rests_on():
    unknown = {"estimate": np.nan, "low": np.nan, "high": np.nan, "detectable": np.nan, "n": 0, "verdict": "inconclusive"}
    table = pd.DataFrame([ROW, {**ROW, **unknown, "claim": "C1", "unit": "of r", "margin": 0.05}])
    assert reports.headline(table).values.tolist() == [
        ["C0 leakage exists", "m", "net excess: above 0", "+9.0 [+2.0, +16.0]", "1,944 in 324 stems", "3.3 / 5.0 points",
         "supported: whole interval above 0"],
        ["C1 leakage exists", "m", "net excess: above 0", "not estimated", "–", "– / 0.05 of r",
         "inconclusive: whole interval above 0"],
    ]  # fmt: skip
    assert reports.verdicts_reading(pd.concat([table, pd.DataFrame([{**ROW, "detectable": 5.1}])])) == (
        "Of 3 rows: 2 supported, 1 inconclusive; in 1 the minimum detectable effect exceeds the margin."
    )
