"""The leakage quantities: by hand, under exchange of arms, and against a known leak."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import leakage

QUANTITIES = list(leakage.QUANTITIES)


def judged(rows: list[tuple], model: str = "m", mitigation: str = "none") -> pd.DataFrame:
    """Judgements from rows of (group_id, sample_index, arm, valence), charged beyond 0.2; each group has its own stem."""
    table = pd.DataFrame(rows, columns=["group_id", "sample_index", "arm", "valence"])
    charged = (table["valence"].abs() > 0.2).astype("boolean").mask(table["valence"].isna())
    stems = table["group_id"].str[:2]
    return table.assign(model=model, mitigation=mitigation, stem_id=stems, slot="open", charged=charged, repeats=False)


TWO_GROUPS = judged(
    [("g1", 0, "neutral", 0.0), ("g1", 0, "negative", -2.0), ("g1", 0, "positive", 0.0), ("g1", 0, "placebo", 0.1),
     ("g2", 0, "neutral", -1.0), ("g2", 0, "negative", -0.5), ("g2", 0, "positive", 3.0), ("g2", 0, "placebo", -1.0)]
)  # fmt: skip


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
    assert table.loc[(group, arm, direction), QUANTITIES].tolist() == [leak, towards, away, towards - away, shift]


def test_the_summary_is_the_mean_over_pairs():
    charged = leakage.charged_pairs(leakage.pairs(TWO_GROUPS))
    found = leakage.summarise(charged, ["model"], 0.95).set_index("quantity")
    # leak (100 + 50 + 0 + 100)/4; towards (100 + 0 + 0 + 100)/4; away (0 + 0 + 0 - 100)/4; shift (2 + 0 - 0.5 + 4)/4
    assert found["estimate"].to_dict() == pytest.approx({"leak": 62.5, "towards": 50, "away": -25, "net": 75, "shift": 1.375})
    assert set(found["n"]) == {4}
    assert set(found["n_stems"]) == {2}


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


VALENCES = st.lists(st.lists(st.sampled_from([-3, -1, -0.1, 0, 0.1, 2, np.nan]), min_size=4, max_size=4), min_size=1, max_size=5)
ARMS = ["neutral", "placebo", "negative", "positive"]


def study(valences) -> pd.DataFrame:
    return judged(
        [(f"g{g}", 0, arm, value) for g, values in enumerate(valences) for arm, value in zip(ARMS, values, strict=True)]
    )


@settings(max_examples=50, deadline=None, derandomize=True)
@given(VALENCES)
def test_renaming_negative_to_positive_on_a_mirrored_scale_changes_nothing(valences):
    rows = study(valences)
    mirrored = swapped(rows, "negative", "positive", valence=-rows["valence"])
    first, second = leakage.pairs(rows), leakage.pairs(mirrored)
    for column in QUANTITIES:
        assert sorted(first[column].dropna()) == sorted(second[column].dropna())


@settings(max_examples=50, deadline=None, derandomize=True)
@given(VALENCES, st.sampled_from(["negative", "positive", "placebo"]))
def test_exchanging_arm_and_reference_turns_the_sign_and_mirrors_the_leak_rate(valences, arm):
    rows = study(valences)
    first, second = (leakage.pairs(table) for table in (rows, swapped(rows, arm, "neutral")))
    first, second = (table[table["arm"] == arm].sort_values(["group_id", "direction"]) for table in (first, second))
    for column in ("towards", "away", "net", "shift"):
        np.testing.assert_array_equal(first[column], -second[column])
    np.testing.assert_array_equal(first["leak"] - 50, 50 - second["leak"])


@pytest.mark.parametrize("constant", [-3.0, 0.0, 3.0])
def test_a_judge_that_ignores_the_text_finds_no_leakage(constant):
    found = leakage.summarise(leakage.pairs(TWO_GROUPS.assign(valence=constant, charged=True)), ["arm"], 0.95)
    expected = found["quantity"].map(leakage.NOTHING)
    assert (found["estimate"] == expected).all()
    assert ((found["low"] < expected) & (expected < found["high"])).all()


def test_verdict_shares_and_repetition_share_by_hand():
    rows = judged([(f"g{place}", 0, "negative", valence) for place, valence in enumerate([-2.0, 2.0, 0.1, -2.0, np.nan])])
    shares = leakage.verdict_shares(rows, 0.95).set_index("verdict")
    assert shares["estimate"].to_dict() == {"negative": 50, "positive": 25}  # 2 and 1 of 4; the fifth is unscored
    repeated = leakage.repetition_share(rows.assign(repeats=[True, False, False, False, False]), 0.95)
    assert (repeated["estimate"].item(), repeated["n"].item()) == pytest.approx((20, 5))


SKEW, SKEW_SHARES = np.array([0.5, 2.0]), [2 / 3, 1 / 3]  # mean 1: two thirds of the stems leak half the mean, a third twice


def simulated(truth: float, rng: np.random.Generator, studies: int = 200, stems: int = 40, samples: int = 4) -> pd.DataFrame:
    """Judgements of many studies, one a model, in which a charged arm says what was injected in a mean share `truth` of cases.

    Else it says what any arm says: something charged in a skewed share of cases, of a sign the stem leans to. If p is a stem's
    leak, b its plain share of the injected sign and a of the other, then towards is p + (1 − p)b − b, away (1 − p)a − a and
    net p(1 − b + a). In the opposite arm a and b change places, so the mean of net over both arms is p.
    """
    shape = (studies, stems, samples)
    leaks = truth * rng.choice(SKEW, (studies, stems, 1), p=SKEW_SHARES)
    busy, lean = rng.beta(1, 4, (studies, stems, 1)), rng.beta(0.5, 0.5, (studies, stems, 1))

    def plain():
        return np.where(rng.random(shape) < busy, np.where(rng.random(shape) < lean, 2.0, -2.0), 0.0)

    valences = {"neutral": plain(), "placebo": plain()}
    for arm, sign in leakage.DIRECTIONS.items():
        valences[arm] = np.where(rng.random(shape) < leaks, 2.0 * sign, plain())
    places = dict(zip(["model", "stem_id", "sample_index"], (axis.ravel() for axis in np.indices(shape)), strict=True))
    table = pd.concat([pd.DataFrame({**places, "arm": arm, "valence": value.ravel()}) for arm, value in valences.items()])
    charged = (table["valence"].abs() > 0.2).astype("boolean")
    return table.assign(mitigation="none", group_id=table["stem_id"], charged=charged, repeats=False)


@pytest.mark.parametrize("truth", [0, 10, 50])
def test_a_known_leak_is_held_by_as_many_intervals_as_promised(truth):
    table = leakage.charged_pairs(leakage.pairs(simulated(truth / 100, np.random.default_rng(truth))))
    found = leakage.summarise(table, ["model"], 0.95)
    net = found[found["quantity"] == "net"]
    assert len(net) == 200
    assert net["estimate"].mean() == pytest.approx(truth, abs=1)
    held = ((net["low"] <= truth) & (truth <= net["high"])).mean()
    assert 0.90 <= held <= 0.99


def test_the_placebo_rule_rarely_condemns_a_sound_study():
    valid = leakage.placebo_valid(leakage.pairs(simulated(0.3, np.random.default_rng(1))), 0.95)
    assert len(valid) == 200
    assert sum(valid.values()) >= 0.92 * 200


def test_the_placebo_rule_condemns_a_judge_that_scores_placebo_texts_higher():
    rows = simulated(0, np.random.default_rng(2), studies=10)
    higher = rows["valence"] + 0.5 * (rows["arm"] == "placebo")
    check = leakage.placebo_check(leakage.pairs(rows.assign(valence=higher, charged=higher.abs() > 0.2)), 0.95)
    passed = check.set_index(["quantity", "direction"])["passed"].to_dict()
    # +0.5 makes every uncharged placebo text positive, and leaves the negative ones, at -1.5, where they are
    assert passed == {("leak", "negative"): False, ("towards", "negative"): True, ("towards", "positive"): False}


def test_polarity_difference_by_hand():
    found = leakage.polarity_difference(leakage.pairs(TWO_GROUPS)).set_index("group_id")["difference"]
    assert found.to_dict() == {"g1": 100 - 0, "g2": 0 - 200}


def mitigated(rows: pd.DataFrame, samples: int, valence: float = 0.0) -> pd.DataFrame:
    kept = rows[(rows["sample_index"] < samples) & rows["arm"].isin(["neutral", "negative", "positive"])]
    return kept.assign(mitigation="calm", valence=valence, charged=abs(valence) > 0.2)


def test_mitigation_effects_by_hand():
    table = leakage.charged_pairs(leakage.pairs(pd.concat([TWO_GROUPS, mitigated(TWO_GROUPS, 1)])))
    found = leakage.mitigation_effects(table).set_index(["group_id", "arm"])["effect"]
    # under "calm" nothing is charged, so each effect is 0 less the bare net
    assert found.to_dict() == {("g1", "negative"): -100, ("g1", "positive"): 0, ("g2", "negative"): 0, ("g2", "positive"): -200}


def test_only_samples_asked_under_every_mitigation_are_shared():
    two_samples = pd.concat([TWO_GROUPS, TWO_GROUPS.assign(sample_index=1)])
    never_mitigated = TWO_GROUPS.assign(model="other")
    table = leakage.charged_pairs(leakage.pairs(pd.concat([two_samples, mitigated(two_samples, 1), never_mitigated])))
    shared = leakage.shared_samples(table)
    assert shared.groupby(["model", "mitigation"]).size().to_dict() == {("m", "calm"): 4, ("m", "none"): 4}
    assert set(shared["sample_index"]) == {0}
