"""Figures: the words that stand for them, how they are shown in a notebook, and that nothing is told by
colour alone."""

import base64
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from lib.analysis import scaling
from lib.dataset import curated_prompts
from lib.report import figures, size_figures

TABLE = pd.DataFrame(
    [
        ("a", "negative", 1.0, -2.0, 4.0, 20),
        ("a", "positive", 9.0, 8.0, 10.0, 30),
        ("b-c", "negative", -3.0, -4.0, -2.0, 20),
    ],
    columns=["row", "arm", "estimate", "ci_low", "ci_high", "n"],
)
VALENCES = {"neutral": 0.0, "placebo": 0.5, "negative": -2.0, "positive": 3.0}


@pytest.fixture
def axes():
    figures.style()
    yield figures.intervals(
        TABLE, "row", "arm", 0, "net excess, points", "Net excess", "TOY: none", margin=2.0
    )
    plt.close("all")


def test_the_words_tell_the_ends_of_the_table():
    said = figures.alt_text(TABLE, ["row", "arm"], "net excess, points")
    assert said == (
        "Net excess, points: 3 estimates, from −3.0 (interval −4.0 to −2.0) for b-c, negative to 9.0 "
        "(interval 8.0 to 10.0) "
        "for a, positive. n = 20 to 30 each."
    )
    assert figures.alt_text(TABLE.head(1), ["row"], "net excess").startswith("Net excess: 1 estimate, ")
    assert figures.alt_text(TABLE.assign(estimate=np.nan), [], "net excess") == "No estimate of net excess."
    assert "−3.0 (no interval) for b-c to" in figures.alt_text(
        TABLE.assign(ci_low=np.nan), ["row"], "net excess"
    )


def test_every_interval_is_drawn_and_series_differ_in_marker(axes):
    bars = axes.containers
    assert [len(bar.lines[2][0].get_segments()) for bar in bars] == [2, 1]
    assert {bar.lines[0].get_marker() for bar in bars} == {"o", "s"}
    ends = bars[0].lines[2][0].get_segments()
    assert [segment[:, 0].tolist() for segment in ends] == [[-2, 4], [-4, -2]]
    assert len({figures.marker(number) for number in range(8)}) == 8


def test_a_figure_is_shown_as_an_image_with_its_words(axes):
    form = r'<img alt="([^"]+)" width="(\d+)" style="max-width: 100%" src="data:image/png;base64,([^"]+)">'
    found = re.fullmatch(form, axes.figure._repr_html_())
    assert found[1].startswith("TOY Net excess. Net excess, points: 3 estimates, from −3.0")
    assert found[1].endswith("Shaded: within 2 of 0.")
    assert 550 < int(found[2]) < 650, "narrow enough for half a page, and for a phone"
    assert base64.b64decode(found[3]).startswith(b"\x89PNG")
    assert axes.figure._repr_html_() == axes.figure._repr_html_()


def test_without_estimates_the_title_says_so():
    empty = figures.intervals(
        TABLE.iloc[:0].astype(object), "row", "arm", 0, "net excess, points", "Net excess"
    )
    assert empty.get_title(loc="left") == "Net excess: no estimates"
    one_stem = figures.intervals(
        TABLE.assign(ci_low=np.nan, ci_high=np.nan), "row", None, 0, "net excess, points", "Net excess"
    )
    assert "(no interval)" in one_stem.figure.get_label()
    plt.close("all")


def test_the_ground_is_white_whatever_is_around_it(axes):
    assert axes.figure.get_facecolor() == axes.get_facecolor() == (1, 1, 1, 1)


def test_a_notebook_shows_it_so(axes, monkeypatch):
    shell = InteractiveShell.instance()
    monkeypatch.setattr(shell, "enable_matplotlib", lambda backend: None)
    monkeypatch.setattr(figures, "get_ipython", lambda: shell)
    figures.style()
    shown, _ = shell.display_formatter.format(axes.figure)
    InteractiveShell.clear_instance()
    assert set(shown) == {"text/html", "text/plain"}
    assert shown["text/plain"] == axes.figure.get_label()
    assert shown["text/html"] == axes.figure._repr_html_()


def test_figures_by_size_name_sizes_and_tell_the_lines_apart():
    sizes = pd.DataFrame(
        [
            (model, family, "base", "completion", size, "negative", "open", shift, shift - 1, shift + 1, 9)
            for model, size, shift in (("small", 4e5, 3.0), ("large", 1.3e9, 1.0))
            for family in ("f", "g")
        ],
        columns=[
            "model",
            "family",
            "tuning",
            "mode",
            "parameters",
            "arm",
            "slot",
            "estimate",
            "ci_low",
            "ci_high",
            "n",
        ],
    )
    axes = size_figures.panels(sizes, "shift", "By size")[0, 0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.4M", "1.3B"]
    assert {bar.lines[0].get_marker() for bar in axes.containers} == {"o", "s"}
    words = "from 1.00 (interval 0.00 to 2.00) for f (base, completion), negative, open slots, large to 3.00"
    assert words in axes.figure.get_label()
    published = size_figures.published(scaling.published(), "Published")
    assert "46 published rates, from 60.7 to 83.0 %" in published[0, 0].figure.get_label()
    (legend,) = published[0, 0].figure.legends
    assert len({(handle.get_marker(), handle.get_color()) for handle in legend.legend_handles}) == 6
    nothing = size_figures.panels(sizes.assign(parameters=np.nan), "shift", "By size")[0]
    assert nothing.get_title(loc="left") == "By size: no model whose size is known"
    plt.close("all")


def bars(axes) -> list[float]:
    """The centres of the bars of a histogram that are not empty."""
    return [bar.get_x() + bar.get_width() / 2 for bar in axes.patches if bar.get_height()]


def test_the_contexts_are_drawn_as_the_table_scores_them():
    prompts = curated_prompts.build(seed=1, stems=8, contexts_per_stem=1)
    scored = curated_prompts.scored(prompts).assign(context_valence=lambda table: table["arm"].map(VALENCES))
    panels = figures.context_valence(scored, "Valence")
    assert [bars(axes) for axes in panels] == [[pytest.approx(value)] for value in VALENCES.values()]
    assert "mean 0.00 neutral, 0.50 placebo, −2.00 negative, 3.00 positive" in panels[0].figure.get_label()
    assert bars(figures.lengths(scored.assign(words=7), "Words")[0]) == [pytest.approx(7)]
    plt.close("all")
