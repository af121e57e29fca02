"""The forest plot of the claims board: strips by hand, a picture that is the same each time, words that hold
every row."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.claims import board
from lib.claims.board import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from lib.report import forest


def row(
    claim: str, model: str, estimate: float, low: float, high: float, verdict: str, margin=5.0, unit="points"
) -> dict:
    named = {
        "claim": claim,
        "statement": f"statement of {claim}",
        "model": model,
        "measured": "net excess",
        "test": "above 0",
    }
    numbers = {
        "unit": unit,
        "margin": margin,
        "detectable": 3.0,
        "estimate": estimate,
        "ci_low": low,
        "ci_high": high,
    }
    counts = {
        "n": 20,
        "clusters": 10,
        "cluster_unit": "stems",
        "p": 0.01,
        "p_holm": 0.02,
        "p_equivalence": 0.5,
    }
    beside = {"net": 4.0, "net_low": 1.0, "net_high": 7.0}
    return {
        **named,
        **numbers,
        **counts,
        **beside,
        "verdict": verdict,
        "reason": "r",
        "fault": "",
        "as_judged": False,
    }


TABLE = pd.DataFrame(
    [
        row("C0", "a", 10.0, 5.0, 15.0, SUPPORTED),
        row("C0", "b", -40.0, -60.0, -30.0, CONTRADICTED),
        row("C1", "judge", -0.02, -0.10, 0.06, INCONCLUSIVE, 0.05, "of r"),
        row("C2", "f", np.nan, np.nan, np.nan, INCONCLUSIVE),
    ]
)[board.COLUMNS]


@pytest.mark.parametrize(
    ("low", "estimate", "high", "strip"),
    [  # in margins; 2.5 characters a margin, 0 in the middle
        (1.6, 2.0, 2.4, "        ┊ │ ┊ ─●─    "),
        (-0.4, 0.0, 0.4, "        ┊─●─┊        "),
        (-2.0, -1.2, 0.4, "     ──●──┼─┊        "),
        (2.0, 3.2, 9.0, "        ┊ │ ┊  ───●─▸"),
        (-9.0, -8.0, -7.0, "◂       ┊ │ ┊        "),
        (np.nan, 1.0, np.nan, "        ┊ │ ●        "),
        (np.nan, np.nan, np.nan, ""),
    ],
)
def test_strips_by_hand(low, estimate, high, strip):
    assert forest.strip(SimpleNamespace(ci_low=low, estimate=estimate, ci_high=high)) == strip
    assert len(strip) in (0, len(forest.RULER))


def test_a_row_is_drawn_in_its_own_margins():
    scaled = forest.in_margins(TABLE)
    assert scaled[["ci_low", "estimate", "ci_high"]].iloc[0].tolist() == [1, 2, 3]
    assert scaled[["ci_low", "estimate", "ci_high"]].iloc[2].tolist() == pytest.approx([-2, -0.4, 1.2])
    axes = forest.board(TABLE)
    assert axes.get_xlim()[0] < -forest.REACH < forest.REACH < axes.get_xlim()[1]
    drawn = np.concatenate([line.get_xdata() for line in axes.get_lines()])
    assert np.nanmin(drawn) == -forest.REACH, "what lies further out is cut"
    words = [text.get_text() for text in axes.texts]
    assert "+10.0 [+5.0, +15.0] · supported" in words
    assert "not estimated · inconclusive" in words
    assert "margin 0.05 of r" in words
    plt.close(axes.figure)


def test_a_row_whose_completions_are_unusable_says_so_in_picture_and_words():
    table = TABLE.assign(fault=["38 % of completions are unusable", "", "", ""], verdict=INCONCLUSIVE)
    axes = forest.board(table)
    said = "inconclusive: 38 % of completions are unusable"
    assert [text.get_text() for text in axes.texts].count("38 % of completions are unusable") == 1
    assert forest.alt(table).count(said) == 1
    plt.close(axes.figure)


def test_the_picture_is_the_same_each_time_and_readable_on_a_dark_page():
    picture = forest.svg(TABLE)
    assert picture == forest.svg(TABLE)
    assert picture != forest.svg(TABLE.assign(estimate=TABLE["estimate"] + 1))
    assert "<dc:date>" not in picture
    assert "fill: #ffffff" in picture, "an opaque light ground"


def test_verdicts_differ_in_more_than_colour():
    looks = list(forest.VERDICT_STYLE.values())
    assert len({(marker, filled) for _, marker, filled in looks}) == len(looks)


def test_the_words_hold_every_row_and_the_stamp():
    said = forest.alt(TABLE)
    assert "C0 statement of C0, a: +10.0 (+5.0, +15.0), supported" in said
    assert said.count(";") == len(TABLE) - 1
    assert "[" not in said
    axes = forest.board(TABLE, banner="TOY: no conclusion")
    assert axes.figure.get_label().startswith("TOY What became of the claims (exploratory, benchmark ")
    assert "TOY" in [text.get_text() for text in axes.figure.texts]
    plt.close(axes.figure)
