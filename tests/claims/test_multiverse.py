"""Every analysis beside the main one: which there are, what they are counted as, and that a known leak is
found by all."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import polarity, specificity
from lib.claims import multiverse
from lib.report import robustness_figures, robustness_reports
from tests.analysis.test_polarity import ARMS, LEANING, judgements

CONFIDENCE = 0.95
LEAKS = judgements({"none": 0.0, "neutral": 0.0, "placebo": 0.0, "negative": -1.2, "positive": 1.2})
SECOND = LEAKS.assign(judge="second", valence=LEAKS["valence"] / 2, charged=LEAKS["valence"].abs() / 2 > 0.2)


def mitigated(factor: float, name: str = "calm") -> pd.DataFrame:
    """What a prompt leaves of LEAKS, other noise."""
    arms = judgements(
        {"neutral": 0.0, "negative": -1.2 * factor, "positive": 1.2 * factor}, samples=1, seed=9
    )
    return arms.assign(mitigation=name)


def test_which_analyses_there_are():
    table = multiverse.of_leakage([LEAKS, SECOND], CONFIDENCE)
    for claim in ("C0", "C4"):
        rows = table[table["claim"] == claim]
        counts = rows.groupby(["judge", "quantity"]).size().to_dict()
        # 4 references, which cancel in C0 but for its leak rate; only net excess knows a threshold, of which
        # the first judge's own is none of the others, and the second's is 0.2
        each = 1 if claim == "C0" else 4
        assert counts == {
            ("simulated", "shift"): each,
            ("simulated", "leak"): 4,
            ("simulated", "net"): 5 * each,
            ("second", "shift"): each,
            ("second", "leak"): 4,
            ("second", "net"): 4 * each,
        }
        assert not rows.duplicated(["model", *multiverse.CHOICES]).any()
        main = rows[rows["main"]]
        assert main[["judge", "reference", "quantity", "threshold"]].to_numpy().tolist() == [
            ["simulated", polarity.POOLED, "shift", multiverse.ANY]
        ]


def test_each_analysis_is_what_it_says():
    rows = multiverse.of_leakage([LEANING], CONFIDENCE).set_index(
        ["claim", "threshold", "reference", "quantity"]
    )
    direct = polarity.by_reference(specificity.at_thresholds(LEANING, 0.4, 0.4), CONFIDENCE).set_index(
        ["reference", "quantity"]
    )
    for reference in polarity.REFERENCES:
        assert (
            rows.loc[("C4", "0.4", reference, "net"), "estimate"]
            == direct.loc[(reference, "net"), "estimate"]
        )
        assert (
            rows.loc[("C4", multiverse.ANY, reference, "shift"), "estimate"]
            == direct.loc[(reference, "shift"), "estimate"]
        )


def test_a_strong_leak_is_found_by_every_analysis():
    agreed = multiverse.agreement(multiverse.of_leakage([LEAKS, SECOND], CONFIDENCE)).set_index("claim")
    assert agreed.loc["C0", ["side", "analyses", "agree", "share"]].tolist() == ["above", 19, 19, 100.0]


def test_a_leaning_reference_disagrees_and_is_counted():
    agreed = multiverse.agreement(multiverse.of_leakage([LEANING], CONFIDENCE)).set_index("claim").loc["C4"]
    assert (
        agreed["side"] == "open"
        and agreed["above"] >= 3
        and agreed["agree"] == agreed["open"] < agreed["analyses"]
    )
    assert agreed[["above", "open", "below", "no_interval"]].sum() == agreed["analyses"]


@pytest.mark.parametrize(("factor", "side"), [(0.0, "below"), (1.0, "open"), (2.0, "above")])
def test_the_change_under_a_mitigation(factor, side):
    table = multiverse.of_mitigation([pd.concat([LEAKS, mitigated(factor)], ignore_index=True)], CONFIDENCE)
    main = table[table["main"]].iloc[0]
    assert (main["claim"], main["mitigation"], main["side"]) == ("C3", "calm", side)
    assert main["ci_low"] < 100 * (factor - 1) < main["ci_high"]
    assert set(table["reference"]) == set(polarity.REFERENCES), (
        "an arm not asked under a mitigation has its bare draws"
    )


def only_charged(factor: float, name: str = "calm") -> pd.DataFrame:
    """As `mitigated`, of which the neutral arm was not asked."""
    return mitigated(factor, name).query("arm != 'neutral'")


def test_references_that_were_not_asked_under_a_mitigation_count_once():
    table = multiverse.of_mitigation([pd.concat([LEAKS, only_charged(0.5)], ignore_index=True)], CONFIDENCE)
    counts = table.groupby(["quantity", "threshold"])["reference"].agg(list).to_dict()
    assert counts["shift", multiverse.ANY] == [polarity.POOLED] and counts["net", "0.2"] == [polarity.POOLED]
    assert counts["leak", multiverse.ANY] == list(polarity.REFERENCES), (
        "no difference of means: references do not cancel"
    )
    assert table["main"].sum() == 1
    own = multiverse.of_mitigation([pd.concat([LEAKS, mitigated(0.5)], ignore_index=True)], CONFIDENCE)
    asked = own[own["quantity"] == "shift"]["reference"].tolist()
    assert asked == [polarity.POOLED, "neutral", "placebo"], (
        "placebo and none were not asked: one of them counts"
    )


def test_what_counts_once_is_the_same_but_for_the_reference():
    judged = pd.concat([LEAKS, only_charged(0.5)], ignore_index=True)
    changes = []
    for choices, pairs in multiverse._analyses([judged]):
        if choices["quantity"] == "shift":
            means = (
                pairs.groupby(["stem_id", "group_id", "arm", "mitigation"])["shift"]
                .mean()
                .unstack("mitigation")
            )
            cells = means.rename(columns={"none": "bare", "calm": "mitigated"}).reset_index()
            changes.append(multiverse._relative_change(cells, CONFIDENCE).estimate)
    assert len(changes) == len(polarity.REFERENCES) and np.ptp(changes) < 1e-9


def test_controls_are_no_analyses_of_the_claim():
    judged = [pd.concat([LEAKS, mitigated(0.5), mitigated(1.0, "spelling")], ignore_index=True)]
    assert set(multiverse.of_mitigation(judged, CONFIDENCE, ["spelling"])["mitigation"]) == {"calm"}
    assert set(multiverse.of_mitigation(judged, CONFIDENCE)["mitigation"]) == {"calm", "spelling"}


def test_every_prompt_has_a_panel_that_says_how_many_analyses_lie_where():
    names = ["calm", "focus", "still", "plain"]
    judged = pd.concat([LEAKS, *(only_charged(0.5, name) for name in names)], ignore_index=True)
    table = multiverse.of_mitigation([judged, judged.assign(judge="second")], CONFIDENCE)
    axes = robustness_figures.specification_curve(table, "title", "")
    headed = [each for each in axes if each.get_title(loc="left")]
    assert [each.get_title(loc="left").split("\n")[0] for each in headed] == names, (
        "three abreast, then the fourth"
    )
    for name, each in zip(names, headed, strict=True):
        rows = table[table["mitigation"] == name]
        counts = f"{(rows['side'] == 'below').sum()} below, {(rows['side'] == 'open').sum()} open, 0 above 0"
        assert each.get_title(loc="left").endswith(f"{len(rows)} analyses:\n{counts}")
        assert f"C3, m, {name}: {len(rows)} analyses" in axes[0].figure.get_label()


def test_a_ratio_is_that_of_the_means_and_its_error_that_of_the_delta_method():
    cells = pd.DataFrame({"stem_id": range(200), "bare": np.random.default_rng(1).normal(2, 1, 200)})
    cells["mitigated"] = 0.5 * cells["bare"] + np.random.default_rng(2).normal(0, 0.5, 200)
    change = multiverse._relative_change(cells, CONFIDENCE)
    a, b = cells["mitigated"], cells["bare"]
    ratio, covariance = a.mean() / b.mean(), np.cov(a, b) / len(a)
    variance = (covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]) / b.mean() ** 2
    assert change.estimate == pytest.approx(100 * (ratio - 1))
    assert change.se == pytest.approx(100 * np.sqrt(variance), rel=1e-6)


def test_what_does_not_leak_cannot_be_mitigated():
    still = judgements(dict.fromkeys(ARMS, 0.0), seed=4)
    table = multiverse.of_mitigation([pd.concat([still, mitigated(1.0)], ignore_index=True)], CONFIDENCE)
    assert (table["side"] == multiverse.NO_INTERVAL).mean() > 0.8
    assert "which has no interval" in robustness_reports.multiverse_summary(table)


def test_temperatures_and_models_are_told_apart():
    both = pd.concat(
        [
            LEAKS.assign(temperature=0.7),
            LEAKS.assign(temperature=1.0),
            LEAKS.assign(model="n", temperature=0.7),
        ]
    )
    table = multiverse.of_leakage([both], CONFIDENCE)
    assert table.groupby("model").size().to_dict() == {"m": 2 * 38, "n": 38}
    assert table[table["main"]].groupby(["model", "claim"])["temperature"].agg(list).tolist() == [[0.7]] * 4


@pytest.mark.parametrize(
    "table",
    [
        LEANING.assign(stem_id="s"),
        LEANING.assign(valence=0.0, charged=False),
        LEANING[LEANING["arm"] != "positive"],
        LEANING[LEANING["arm"] != "neutral"],
    ],
)
def test_bad_input_has_words_and_a_figure(table):
    rows = multiverse.of_leakage([table], CONFIDENCE)
    assert robustness_reports.multiverse_summary(rows)
    robustness_figures.specification_curve(rows, "title", "STAMP: words.")
    assert multiverse.of_mitigation([table], CONFIDENCE).empty


def test_a_figure_says_how_many_analyses_lie_where():
    axes = robustness_figures.specification_curve(
        multiverse.of_leakage([LEAKS, SECOND], CONFIDENCE), "title", ""
    )
    words = axes[0].figure.get_label()
    assert "C0: 19 analyses, intervals 19 above 0" in words and "C4: 52 analyses" in words
    assert (
        "no analyses"
        in robustness_figures.specification_curve(multiverse.of_mitigation([LEAKS], CONFIDENCE), "t")[
            0
        ].figure.get_label()
    )
