"""Negative minus positive leakage against each reference: by algebra, by hand, and what turns its sign."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import leakage, polarity
from lib.report import robustness_reports

CONFIDENCE = 0.95
ARMS = ("none", "neutral", "placebo", "negative", "positive")


def judgements(
    means: dict[str, float], stems: int = 60, samples: int = 2, spread: float = 1.0, seed: int = 0
) -> pd.DataFrame:
    """Valences of every arm around its mean; charged beyond 0.5."""
    rng = np.random.default_rng(seed)
    table = pd.MultiIndex.from_product(
        [range(stems), means, range(samples)], names=["stem", "arm", "sample_index"]
    ).to_frame(index=False)
    table["valence"] = (table["arm"].map(means) + rng.normal(0, spread, len(table))).clip(-4, 4)
    table["charged"] = (table["valence"].abs() > 0.5).astype("boolean")
    names = "s" + table["stem"].astype(str)
    return table.assign(
        model="m",
        mitigation="none",
        stem_id=names,
        group_id=names + "+m1",
        slot="open",
        repeats=False,
        judge="simulated",
    )


LEANING = judgements({"none": 0.9, "neutral": 0.0, "placebo": 0.1, "negative": -0.6, "positive": 0.6})


def test_d_is_twice_the_balance_of_the_reference_less_those_of_the_charged_arms():
    balance = polarity.balance(LEANING, CONFIDENCE).set_index(["quantity", "arm"])["estimate"]
    estimates = polarity.by_reference(LEANING, CONFIDENCE).set_index(["quantity", "reference"])["estimate"]
    for quantity, measure in (("net", "verdicts"), ("shift", "valence")):
        b = balance[measure]
        for reference in polarity.REFERENCES:
            assert estimates[quantity, reference] == pytest.approx(
                2 * b[reference] - b["negative"] - b["positive"]
            )


def test_the_same_as_leakage_says_against_a_single_reference():
    estimates = polarity.by_reference(LEANING, CONFIDENCE).set_index(["quantity", "reference"])
    for reference in ("neutral", "placebo", "none"):
        pairs = leakage.charged_pairs(leakage.pairs(LEANING, reference))
        by_arm = leakage.summarise(pairs, ["arm"], CONFIDENCE).set_index(["quantity", "arm"])["estimate"]
        for quantity in polarity.QUANTITIES:
            difference = by_arm[quantity, "negative"] - by_arm[quantity, "positive"]
            assert estimates.loc[(quantity, reference), "estimate"] == pytest.approx(difference)


def test_the_pooled_reference_is_narrower_than_either_of_its_arms():
    errors = (
        polarity.by_reference(LEANING, CONFIDENCE).query("quantity == 'shift'").set_index("reference")["se"]
    )
    assert errors[polarity.POOLED] < errors[["neutral", "placebo"]].min()


def test_a_reference_of_which_one_arm_is_unscored_is_the_other_arm():
    unscored = LEANING.assign(valence=LEANING["valence"].mask(LEANING["arm"] == "placebo"))
    estimates = (
        polarity.by_reference(unscored, CONFIDENCE).query("quantity == 'shift'").set_index("reference")
    )
    assert estimates.loc[polarity.POOLED, "estimate"] == pytest.approx(estimates.loc["neutral", "estimate"])
    assert estimates.loc["placebo", "n"] == 0 and np.isnan(estimates.loc["placebo", "estimate"])


def test_kinds_of_neutral_contexts_are_further_references_whichever_arm_holds_them():
    swapped = LEANING["stem"] % 2 == 1
    kind = np.where((LEANING["arm"] == "placebo") ^ swapped, "mental", "physical")
    table = LEANING.assign(kind=np.where(LEANING["arm"].isin(["neutral", "placebo"]), kind, ""))
    pairs = polarity.pairs_by_reference(table)
    assert list(pairs) == [*polarity.REFERENCES, "neutral, mental", "neutral, physical"]
    mental = table[table["kind"] == "mental"].set_index(["group_id", "sample_index"])["valence"]
    of_kind = pairs["neutral, mental"].query("arm == 'positive'").set_index(["group_id", "sample_index"])
    assert of_kind["shift"].to_dict() == pytest.approx((of_kind["valence"] - mental).to_dict())
    balance = polarity.balance(table, CONFIDENCE).query("quantity == 'valence'").set_index("arm")["estimate"]
    assert balance["neutral, mental"] == pytest.approx(mental.mean())


def test_neutral_contexts_without_a_kind_are_no_reference_of_their_own():
    table = LEANING.assign(kind="")
    assert list(polarity.pairs_by_reference(table)) == list(polarity.REFERENCES)
    assert set(polarity.balance(table, CONFIDENCE)["arm"]) <= {"negative", "positive", *polarity.REFERENCES}


def estimates(*intervals: tuple[str, float, float, float]) -> pd.DataFrame:
    rows = [
        {
            "model": "m",
            "quantity": "shift",
            "reference": name,
            "estimate": (low + high) / 2,
            "ci_low": low,
            "ci_high": high,
            "p": p,
        }
        for name, low, high, p in intervals
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("intervals", "sign", "p", "reason"),
    [
        (
            [("neutral", 1, 3, 0.01), ("none", 2, 4, 0.001)],
            1,
            0.01,
            "whole interval above 0 against every reference",
        ),
        (
            [("neutral", -3, -1, 0.01), ("none", -4, -2, 0.03)],
            -1,
            0.03,
            "whole interval below 0 against every reference",
        ),
        (
            [("neutral", 1, 3, 0.01), ("none", -1, 4, 0.2)],
            0,
            0.2,
            "above 0 against neutral; interval includes 0 against none",
        ),
        (
            [("neutral", 1, 3, 0.01), ("none", -3, -1, 0.01)],
            0,
            1.0,
            "above 0 against neutral; below 0 against none",
        ),
        (
            [("neutral", -3, 1, 0.3), ("none", -1, 3, 0.3)],
            0,
            1.0,
            "interval includes 0 against neutral, none",
        ),
        (
            [("neutral", 1, 3, 0.01), ("none", *3 * [np.nan])],
            0,
            np.nan,
            "no interval against none; above 0 against neutral",
        ),
    ],
)
def test_the_sign_is_that_on_which_all_references_agree(intervals, sign, p, reason):
    row = polarity.decided(estimates(*intervals)).iloc[0]
    assert (row["sign"], row["reason"]) == (sign, reason)
    assert row["p"] == pytest.approx(p, nan_ok=True)


def test_a_reference_that_leans_decides_alone_and_is_overruled():
    table = polarity.by_reference(LEANING, CONFIDENCE)
    shift = table[table["quantity"] == "shift"].set_index("reference")
    assert (
        shift.loc["none", "ci_low"] > 0
        and shift.loc["neutral", "ci_low"] < 0 < shift.loc["neutral", "ci_high"]
    )
    assert (polarity.decided(table)["sign"] == 0).all()


def test_the_sign_turns_where_a_judge_that_hears_one_polarity_louder_is_undone():
    mirrored = judgements({"none": 0.0, "neutral": 0.0, "placebo": 0.0, "negative": -1.5, "positive": 1.5})
    valence = {arm: mirrored.loc[mirrored["arm"] == arm, "valence"].to_numpy() for arm in ARMS}
    for arm, original in (
        ("positive", "negative"),
        ("placebo", "neutral"),
    ):  # so that D is 0 against both neutral arms
        mirrored.loc[mirrored["arm"] == arm, "valence"] = -valence[original]
    louder = mirrored.assign(
        valence=mirrored["valence"].where(mirrored["valence"] > 0, 1.5 * mirrored["valence"]), charged=True
    )
    row = (
        polarity.tipping(louder, CONFIDENCE)
        .query("quantity == 'shift' and reference == 'neutral and placebo'")
        .iloc[0]
    )
    assert row.tips == pytest.approx(1.5) and row.open_from < 1.5 < row.open_to
    undone = louder["valence"].where(louder["valence"] < 0, row.open_to * louder["valence"])
    table = polarity.by_reference(louder.assign(valence=undone), CONFIDENCE).set_index(
        ["quantity", "reference"]
    )
    bounds = table.loc[("shift", polarity.POOLED), ["ci_low", "ci_high"]].abs()
    assert bounds.min() == pytest.approx(0, abs=0.01), "where the interval ends at 0"


def test_no_ratio_in_reach_is_named():
    rows = polarity.tipping(LEANING.assign(valence=LEANING["valence"].clip(upper=0)), CONFIDENCE)
    assert rows["tips"].isna().all()
    assert "no ratio from 0.25 to 4" in robustness_reports._ratio(rows.assign(open_from=np.nan).iloc[0])


def one_stem() -> pd.DataFrame:
    return LEANING.assign(stem_id="s")


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(one_stem(), id="one stem"),
        pytest.param(LEANING.assign(valence=0.0, charged=False), id="all ties"),
        pytest.param(LEANING[LEANING["arm"] != "placebo"], id="no placebo arm"),
        pytest.param(LEANING[LEANING["arm"] != "positive"], id="no positive arm"),
        pytest.param(LEANING[LEANING["arm"] != "none"], id="no bare stem"),
    ],
)
def test_what_cannot_be_told_has_no_sign_and_is_still_said(table):
    by_reference, balance, tipping = (
        of(table, CONFIDENCE) for of in (polarity.by_reference, polarity.balance, polarity.tipping)
    )
    assert (polarity.decided(by_reference)["sign"] == 0).all()
    assert len(by_reference) == 2 * len(polarity.REFERENCES)
    assert "sign: none" in robustness_reports.decided_summary(by_reference, balance, tipping)
    shown = robustness_reports.by_reference(by_reference, balance, tipping, "STAMP")
    assert shown["arm or reference"].tolist() == ["negative", "positive", *polarity.REFERENCES]
    assert shown.columns.name == "⚠ STAMP" and not shown.isna().any(axis=None)
