"""The leakage quantities: by hand, under exchange of arms, and against a known leak."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from lib.analysis import leakage
from lib.report import reports

QUANTITIES = list(leakage.QUANTITIES)
KEY = ["group_id", "arm", "direction"]


def judged(rows: list[tuple], model: str = "m", mitigation: str = "none") -> pd.DataFrame:
    """Judgements from rows of (group_id, sample_index, arm, valence), charged beyond 0.2; each group has its
    own stem."""
    table = pd.DataFrame(rows, columns=["group_id", "sample_index", "arm", "valence"])
    charged = (table["valence"].abs() > 0.2).astype("boolean").mask(table["valence"].isna())
    stems = table["group_id"].str[:2]
    return table.assign(
        model=model, mitigation=mitigation, stem_id=stems, slot="open", charged=charged, repeats=False
    )


TWO_GROUPS = judged(
    [
        ("g1", 0, "neutral", 0.0),
        ("g1", 0, "negative", -2.0),
        ("g1", 0, "positive", 0.0),
        ("g1", 0, "placebo", 0.1),
        ("g2", 0, "neutral", -1.0),
        ("g2", 0, "negative", -0.5),
        ("g2", 0, "positive", 3.0),
        ("g2", 0, "placebo", -1.0),
    ]
)


@pytest.mark.parametrize(
    ("group", "arm", "direction", "leak", "towards", "away", "shift"),
    [  # v: the valences of arm and reference times the direction
        ("g1", "negative", -1, 100, 100, 0, 2.0),  # v 2 and 0
        ("g1", "positive", +1, 50, 0, 0, 0.0),  # v 0 and 0
        ("g1", "placebo", -1, 0, 0, 0, -0.1),  # v -0.1 and 0, not charged
        ("g1", "placebo", +1, 100, 0, 0, 0.1),  # v 0.1 and 0, not charged
        ("g2", "negative", -1, 0, 0, 0, -0.5),  # v 0.5 and 1, both charged
        ("g2", "positive", +1, 100, 100, -100, 4.0),  # v 3 and -1: one towards, and one away less
        ("g2", "placebo", -1, 50, 0, 0, 0.0),  # v 1 and 1
        ("g2", "placebo", +1, 50, 0, 0, 0.0),  # v -1 and -1
    ],
)
def test_the_quantities_of_one_pair(group, arm, direction, leak, towards, away, shift):
    table = leakage.pairs(TWO_GROUPS).set_index(["group_id", "arm", "direction"])
    assert len(table) == 8
    assert table.loc[(group, arm, direction), QUANTITIES].tolist() == [
        leak,
        towards,
        away,
        towards - away,
        shift,
    ]


def test_the_summary_is_the_mean_over_pairs():
    charged = leakage.charged_pairs(leakage.pairs(TWO_GROUPS))
    found = leakage.summarise(charged, ["model"], 0.95).set_index("quantity")
    # leak (100 + 50 + 0 + 100)/4; towards (100 + 0 + 0 + 100)/4; away (0 + 0 + 0 - 100)/4; shift (2 + 0 - 0.5
    # + 4)/4
    assert found["estimate"].to_dict() == pytest.approx(
        {"leak": 62.5, "towards": 50, "away": -25, "net": 75, "shift": 1.375}
    )
    assert set(found["n"]) == {4}
    assert set(found["n_stems"]) == {2}


def test_a_completion_is_further_than_so_many_of_the_references_of_its_group():
    rows = judged(
        [
            ("g1", 0, "neutral", 0.0),
            ("g1", 1, "neutral", 2.0),
            ("g1", 2, "neutral", np.nan),
            ("g2", 0, "neutral", -9.0),
            ("g1", 0, "positive", 1.0),
            ("g1", 1, "positive", 2.0),
            ("g1", 2, "positive", 3.0),
            ("g1", 1, "negative", 0.0),
        ]
    )
    of_negative, table = (part.set_index("sample_index") for _, part in leakage.pairs(rows).groupby("arm"))
    assert of_negative["leak"].tolist() == [75]
    assert table["leak"].tolist() == [
        50,
        75,
        100,
    ]  # of 0 and 2: one below, one below and one equal, both below
    assert table["shift"].tolist()[:2] == [1, 0] and np.isnan(table.loc[2, "shift"])
    assert leakage.pairs(rows, matched=True).query("arm == 'positive'")["leak"].tolist()[:2] == [100, 50]


def test_against_another_reference_only_that_arm_is_the_reference():
    rows = judged([("g1", 0, "none", 1.0), ("g1", 0, "neutral", -3.0), ("g1", 0, "positive", 1.5)])
    table = leakage.pairs(rows, "none").set_index("arm")
    assert table.loc["positive", QUANTITIES].tolist() == [100, 0, 0, 0, 0.5]
    assert set(table.index) == {"positive"}
    assert "placebo" not in set(leakage.pairs(TWO_GROUPS, "placebo")["arm"])


@pytest.mark.parametrize("unscored", ["negative", "neutral"])
def test_a_pair_with_an_unscored_member_has_no_quantities_and_no_place_in_n(unscored):
    rows = TWO_GROUPS.copy()
    rows.loc[(rows["group_id"] == "g1") & (rows["arm"] == unscored), ["valence", "charged"]] = [np.nan, pd.NA]
    table = leakage.pairs(rows)
    assert len(table) == 8
    negative = table[table["arm"] == "negative"].set_index("group_id")
    assert negative.loc["g1", QUANTITIES].isna().all()
    assert negative.loc["g2", "shift"] == -0.5
    assert set(leakage.summarise(negative, ["arm"], 0.95)["n"]) == {1}


def swapped(rows: pd.DataFrame, first: str, second: str, **changes) -> pd.DataFrame:
    return rows.assign(arm=rows["arm"].replace({first: second, second: first}), **changes)


VALENCES = (-3, -1, -0.1, 0, 0.1, 2, np.nan)
ARMS = ["neutral", "placebo", "negative", "positive"]


@pytest.fixture(scope="module")
def every_group() -> pd.DataFrame:
    """A group for each of the 7⁴ ways in which its four arms can have VALENCES."""
    return judged(
        [
            (f"g{place}", 0, arm, value)
            for place, values in enumerate(product(VALENCES, repeat=len(ARMS)))
            for arm, value in zip(ARMS, values, strict=True)
        ]
    )


def test_renaming_negative_to_positive_on_a_mirrored_scale_changes_nothing(every_group):
    mirrored = swapped(every_group, "negative", "positive", valence=-every_group["valence"])
    first, second = leakage.pairs(every_group), leakage.pairs(mirrored)
    second = swapped(second, "negative", "positive", direction=-second["direction"])
    first, second = (
        table.set_index(["group_id", "arm", "direction"])[QUANTITIES].sort_index()
        for table in (first, second)
    )
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("arm", ["negative", "positive", "placebo"])
def test_exchanging_arm_and_reference_turns_the_sign_and_mirrors_the_leak_rate(every_group, arm):
    rows = every_group
    first, second = (leakage.pairs(table) for table in (rows, swapped(rows, arm, "neutral")))
    first, second = (
        table[table["arm"] == arm].sort_values(["group_id", "direction"]) for table in (first, second)
    )
    for column in ("towards", "away", "net", "shift"):
        np.testing.assert_array_equal(first[column], -second[column])
    np.testing.assert_array_equal(first["leak"] - 50, 50 - second["leak"])


@pytest.mark.parametrize("constant", [-3.0, 0.0, 3.0])
def test_a_judge_that_ignores_the_text_finds_no_leakage(constant):
    found = leakage.summarise(leakage.pairs(TWO_GROUPS.assign(valence=constant, charged=True)), ["arm"], 0.95)
    expected = found["quantity"].map(leakage.NULL_VALUE)
    assert (found["estimate"] == expected).all()
    assert ((found["ci_low"] < expected) & (expected < found["ci_high"])).all()


def test_verdict_shares_and_repetition_share_by_hand():
    rows = judged(
        [
            (f"g{place}", 0, "negative", valence)
            for place, valence in enumerate([-2.0, 2.0, 0.1, -2.0, np.nan])
        ]
    )
    shares = leakage.verdict_shares(rows, 0.95).set_index("verdict")
    assert shares["estimate"].to_dict() == {
        "negative": 50,
        "positive": 25,
    }  # 2 and 1 of 4; the fifth is unscored
    repeated = leakage.repetition_share(rows.assign(repeats=[True, False, False, False, False]), 0.95)
    assert (repeated["estimate"].item(), repeated["n"].item()) == pytest.approx((20, 5))


def test_unscored_completions_are_bounded_by_hand():
    rows = judged(
        [
            ("g1", 0, "neutral", 0.0),
            ("g1", 0, "negative", np.nan),
            ("g1", 0, "positive", 2.0),
            ("g2", 0, "neutral", np.nan),
            ("g2", 0, "negative", -2.0),
            ("g2", 0, "positive", -1.0),
            ("g3", 0, "neutral", 0.0),
            ("g3", 0, "negative", -2.0),
            ("g3", 0, "positive", 0.0),
        ]
    )
    found = leakage.unscored_bounds(rows, ["arm"], 0.95).set_index(["arm", "quantity", "unscored"])
    estimates = {key: found.loc[key, "estimate"] for key in found.index}
    # negative, g3 alone 100; none leaked (0 + (100 - 100) + 100)/3; all leaked (100 + 100 + 100)/3
    assert [
        estimates["negative", "net", case] for case in ("left out", "none leaked", "all leaked")
    ] == pytest.approx([100, 100 / 3, 100])
    # positive, g2: its own -1 is away, and an unscored reference counts as positive in the one case, as
    # neither in the other
    assert [
        estimates["positive", "towards", case] for case in ("left out", "none leaked", "all leaked")
    ] == pytest.approx([50, (100 - 100 + 0) / 3, (100 + 0 + 0) / 3])
    assert [estimates["positive", "net", case] for case in ("none leaked", "all leaked")] == pytest.approx(
        [(100 - 200 + 0) / 3, (100 - 100 + 0) / 3]
    )
    assert (
        found["n"].to_dict()["negative", "net", "left out"] == 1
        and found["n"].to_dict()["negative", "net", "all leaked"] == 3
    )


def test_the_bounds_are_shown_only_where_something_is_unscored():
    bounds = leakage.unscored_bounds(TWO_GROUPS, ["arm"], 0.95)
    assert reports.unscored(bounds, 0).data.startswith("Every completion has a valence")
    shown = reports.unscored(bounds, 1, "STAMP")
    assert list(shown) == [
        "arm",
        "quantity",
        "unscored",
        "estimate [interval]",
        "pairs",
        "stems",
        "naive / clustered error",
        "matches",
        "clustered by",
    ]
    assert shown.columns.name == "⚠ STAMP"


def test_a_table_of_quantities_tells_the_errors_ratio_from_least_to_greatest():
    found = leakage.summarise(leakage.charged_pairs(leakage.pairs(TWO_GROUPS)), ["arm"], 0.95)
    shown = reports.quantities(found, ["arm"]).set_index("arm")["naive / clustered error"]
    ratios = found[found["arm"] == "positive"]["naive_se_ratio"]
    assert shown["positive"] == f"{ratios.min():.2f} to {ratios.max():.2f}"
    alone = leakage.summarise(
        leakage.charged_pairs(leakage.pairs(TWO_GROUPS.assign(stem_id="s"))), ["arm"], 0.95
    )
    assert set(reports.quantities(alone, ["arm"])["naive / clustered error"]) == {"–"}


def test_bounds_hold_what_is_scored_and_are_it_where_all_is():
    """In each of the 7² groups that a reference and a charged arm can form."""
    every = list(product(VALENCES, repeat=2))
    rows = judged(
        [
            (f"g{place}", 0, arm, value)
            for place, (reference, charged) in enumerate(every)
            for arm, value in (("neutral", reference), ("negative", charged), ("positive", charged))
        ]
    )
    found = leakage.unscored_bounds(rows, ["group_id", "arm"], 0.95)
    wide = found.pivot(index=["group_id", "arm", "quantity"], columns="unscored", values="estimate")
    assert len(wide) == 2 * 2 * len(every) and (wide["none leaked"] <= wide["all leaked"]).all()
    scored = wide[wide["left out"].notna()]
    assert len(scored) == 2 * 2 * (len(VALENCES) - 1) ** 2
    assert (scored["none leaked"] == scored["all leaked"]).all()
    assert (scored["left out"] == scored["all leaked"]).all()


def test_one_stem_gives_estimates_without_intervals():
    table = leakage.pairs(TWO_GROUPS.assign(stem_id="s"))
    found = leakage.summarise(leakage.charged_pairs(table), ["model"], 0.95)
    assert found["estimate"].notna().all() and set(found["n_stems"]) == {1}
    assert found[["ci_low", "ci_high", "naive_se_ratio"]].isna().all(axis=None)


def test_polarity_difference_by_hand():
    found = leakage.polarity_difference(leakage.pairs(TWO_GROUPS)).set_index("group_id")["difference"]
    assert found.to_dict() == {"g1": 100 - 0, "g2": 0 - 200}


def test_without_an_arm_there_is_no_difference_of_polarities():
    assert (
        leakage.polarity_difference(leakage.pairs(TWO_GROUPS.query("arm != 'positive'")))["difference"]
        .isna()
        .all()
    )


def test_intervals_are_cut_at_the_limits_of_their_quantity_and_no_interval_stays_none():
    table = pd.DataFrame(
        {
            "quantity": ["shift", "leak", "net", "net"],
            "ci_low": [-12.4, -3, 5, np.nan],
            "ci_high": [4.1, 104, 300, np.nan],
        }
    )
    cut = leakage.within_limits(table)
    assert (
        cut[["ci_low", "ci_high"]].to_numpy()[:3].tolist() == [[-8, 4.1], [0, 100], [5, 200]]
        and cut.loc[3, ["ci_low", "ci_high"]].isna().all()
    )
    assert leakage.within_limits(table, leakage.DIFFERENCE_SUPPORT)[["ci_low", "ci_high"]].to_numpy()[
        :3
    ].tolist() == [[-12.4, 4.1], [-3, 100], [5, 300]]


def mitigated(rows: pd.DataFrame, samples: int, valence: float = 0.0) -> pd.DataFrame:
    kept = rows[(rows["sample_index"] < samples) & rows["arm"].isin(["neutral", "negative", "positive"])]
    return kept.assign(mitigation="calm", valence=valence, charged=abs(valence) > 0.2)


def test_only_prompts_asked_under_every_mitigation_are_shared():
    two_samples = pd.concat([TWO_GROUPS, TWO_GROUPS.assign(sample_index=1)])
    never_mitigated = TWO_GROUPS.assign(model="other")
    one_group = two_samples[two_samples["group_id"] == "g1"]
    rows = pd.concat([two_samples, mitigated(one_group, 1), never_mitigated])
    shared = leakage.shared_prompts(leakage.charged_pairs(leakage.pairs(rows)))
    assert shared.groupby(["model", "mitigation"]).size().to_dict() == {("m", "calm"): 2, ("m", "none"): 4}
    assert set(shared["group_id"]) == {"g1"}
