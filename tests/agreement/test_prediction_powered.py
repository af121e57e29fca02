"""People and judge put together: by hand, then what must hold whatever the judge is worth."""

import numpy as np
import pandas as pd
import pytest

from lib.agreement import prediction_powered
from lib.analysis import leakage
from lib.annotation import labelling
from lib.annotation.sampling_plan import PAIR
from lib.stats import inference
from tests import simulated
from tests.simulations import simulate_annotation


def labels_of(*rows) -> pd.DataFrame:
    """Complete labels from (annotator, item_id, charge, intensity, called_for)."""
    table = pd.DataFrame(rows, columns=["annotator", "item_id", "charge", "intensity", "called_for"])
    return labelling.typed(table.assign(note=None, seconds=1.0, time="", complete=True))


@pytest.fixture
def one_pair():
    """A key and judgements of one drawn pair, negative beside neutral."""
    row = {
        "model": "m",
        "group_id": "g",
        "arm": "negative",
        "sample_index": 0,
        "stem_id": "s",
        "kind": "leak",
        "sampled": True,
    }
    more = {
        "item_id": "i1",
        "item_id_reference": "i0",
        "probability": 0.5,
        "completion": "b",
        "completion_reference": "a",
    }
    key = pd.DataFrame([row | more])
    rows = [("negative", "b", -2.0, True), ("neutral", "a", 0.0, False)]
    judgements = pd.DataFrame(rows, columns=["arm", "completion", "valence", "charged"])
    fixed = {
        "model": "m",
        "group_id": "g",
        "sample_index": 0,
        "stem_id": "s",
        "mitigation": "none",
        "slot": "open",
        "stem": "It is",
    }
    return key, judgements.assign(**fixed)


def test_what_people_say_of_a_pair_by_hand(one_pair):
    key, _ = one_pair
    labels = labels_of(
        ("ann", "i1", "negative", 3, "no"),
        ("ann", "i0", "none", None, None),
        ("bob", "i1", "none", None, None),
        ("bob", "i0", "positive", 1, "yes"),
    )
    found = prediction_powered.human_pairs(key, labels).iloc[0]
    # ann: negative of strength 3 beside nothing; bob: nothing beside positive of strength 1, so further from
    # negative too
    assert found["net"] == pytest.approx((100 + 100) / 2)
    assert found["towards"] == pytest.approx((100 + 0) / 2)
    assert found["away"] == pytest.approx((0 - 100) / 2)
    assert found["leak"] == 100
    assert found["shift"] == pytest.approx((4 + 4 / 3) / 2)
    uncalled = prediction_powered.human_pairs(key, labels, uncalled_only=True).iloc[0]
    assert (uncalled["net"], uncalled["leak"]) == (50, 75), (
        "bob's charge is called for, so he sees no difference"
    )


def test_pairs_that_are_not_labelled_whole_are_missing(one_pair):
    key, judgements = one_pair
    half = labels_of(
        ("ann", "i1", "negative", 3, "no"),
        ("bob", "i1", "unclear", None, None),
        ("bob", "i0", "none", None, None),
    )
    assert prediction_powered.human_pairs(key, half).empty
    joined = prediction_powered.joined(judgements, key, half)
    assert joined["human"].isna().all()
    assert joined.set_index("quantity").loc["net", "judged"] == 100


def test_other_completions_than_those_drawn_are_an_error(one_pair):
    key, judgements = one_pair
    with pytest.raises(
        ValueError, match=r"1 of 1 completions are not those that were drawn \(first: m, g, negative, 0\)"
    ):
        prediction_powered.joined(judgements.assign(completion="c"), key, labels_of())


def made(seed=1, stems=30, a_stem=8, share=0.5) -> pd.DataFrame:
    """Pairs with people's values for all, of which `share` are shown; the judge sees half of what people
    see."""
    rng = np.random.default_rng(seed)
    stem = np.repeat(np.arange(stems), a_stem)
    judged = rng.choice([-100.0, 0, 100], len(stem))
    everything = 0.5 * judged + rng.normal(20, 30, len(stem)) + rng.normal(0, 10, stems)[stem]
    shown = rng.random(len(stem)) < share
    stratum = np.where(judged == 0, "quiet", "leak")
    return pd.DataFrame(
        {
            "stem_id": stem,
            "stratum": stratum,
            "judged": judged,
            "everything": everything,
            "human": np.where(shown, everything, np.nan),
        }
    )


def test_the_estimate_by_hand():
    # one stratum, labelled y 10 and 30 where f is 0 and 20; f over all has the mean 15: with λ = 1, 20 + (15
    # − 10) = 25
    table = pd.DataFrame(
        {
            "stem_id": list("abcd"),
            "stratum": "x",
            "judged": [0.0, 20, 10, 30],
            "human": [10.0, 30, np.nan, np.nan],
        }
    )
    sums = prediction_powered._sums(table)
    a, b = prediction_powered._stratified(**{name: part.sum(axis=0) for name, part in sums.items()})
    assert (a, b) == (20, 5)
    # two strata of 3 and 1 pairs: (3 × 20 + 1 × 8)/4
    more = pd.concat([table.head(3), table.tail(1).assign(stratum="y", human=8.0)])
    sums = prediction_powered._sums(more)
    a, b = prediction_powered._stratified(**{name: part.sum(axis=0) for name, part in sums.items()})
    assert a == pytest.approx(17)
    assert b == pytest.approx(0.75 * (10 - 10) + 0.25 * (30 - 30))


def test_labelling_everything_gives_the_clustered_mean_of_the_labels():
    table = made()
    table["human"] = table["everything"]
    found = prediction_powered.estimate(table, 0.95).set_index("source")
    plain = inference.clustered_mean(table["everything"], table["stem_id"], 0.95)
    for source in ("people and judge", "people alone"):
        assert found.loc[source, "estimate"] == pytest.approx(plain.estimate)
        assert found.loc[source, "se"] == pytest.approx(plain.se, rel=0.02)


def test_a_judge_that_says_what_people_say_makes_the_labels_superfluous():
    table = made(share=0.2)
    perfect = table.assign(judged=table["everything"])
    found = prediction_powered.estimate(perfect, 0.95).set_index("source")
    assert found.loc["people and judge", "weight"] == pytest.approx(1, abs=1e-6)
    assert found.loc["people and judge", "estimate"] == pytest.approx(table["everything"].mean())
    assert found.loc["people and judge", "se"] < 0.5 * found.loc["people alone", "se"]


def test_a_judge_that_always_says_the_same_changes_nothing():
    found = prediction_powered.estimate(made().assign(judged=7.0), 0.95).set_index("source")
    assert found.loc["people and judge", "weight"] == 0
    assert found.loc["people and judge", "estimate"] == found.loc["people alone", "estimate"]
    assert found.loc["people and judge", "se"] == found.loc["people alone", "se"]


def test_repeating_pairs_inside_stems_narrows_nothing():
    table = made()
    once, thrice = (
        prediction_powered.estimate(part, 0.95).iloc[0] for part in (table, pd.concat([table] * 3))
    )
    assert thrice["estimate"] == pytest.approx(once["estimate"])
    assert thrice["se"] == pytest.approx(once["se"])


def test_a_judge_without_a_verdict_is_made_up_for_by_people():
    table = made()
    no_progress = table.assign(judged=table["judged"].where(np.arange(len(table)) % 3 > 0))
    found = prediction_powered.estimate(no_progress, 0.95).set_index("source")
    assert (
        found.loc["people and judge", "ci_low"]
        < table["everything"].mean()
        < found.loc["people and judge", "ci_high"]
    )
    assert found.loc["judge alone", "n"] == table.shape[0] - no_progress["judged"].isna().sum()
    nothing = prediction_powered.estimate(table.assign(judged=np.nan), 0.95).set_index("source")
    assert nothing.loc["people and judge", "estimate"] == pytest.approx(
        nothing.loc["people alone", "estimate"]
    )


@pytest.mark.parametrize(
    "kept", [[], [0], [0, 1, 2, 3, 4, 5, 6, 7]], ids=["no label", "one label", "labels of one stem"]
)
def test_too_few_labels_give_no_estimate_but_the_judges(kept):
    table = made()
    few = table.assign(human=table["everything"].where(table.index.isin(kept)))
    found = prediction_powered.estimate(few, 0.95).set_index("source")
    assert (
        found.loc[["people and judge", "people alone"], ["estimate", "ci_low", "ci_high"]]
        .isna()
        .all(axis=None)
    )
    assert found.loc["judge alone", "ci_low"] < found.loc["judge alone", "ci_high"]
    assert set(found["labelled"]) == {len(kept)}


def test_labels_that_are_all_equal_give_no_interval_unless_nothing_is_left_to_label():
    table = made(share=0.2)
    some = prediction_powered.estimate(
        table.assign(human=table["human"].where(table["human"].isna(), 0.0)), 0.95
    )
    some = some.set_index("source").loc[["people and judge", "people alone"]]
    assert (some["estimate"] == 0).all() and some[["ci_low", "ci_high", "p"]].isna().all(axis=None)
    every = prediction_powered.estimate(table.assign(human=0.0), 0.95).set_index("source")
    assert every.loc["people alone", ["estimate", "ci_low", "ci_high"]].tolist() == [0, 0, 0]


def test_strata_drawn_more_often_do_not_bend_the_mean():
    """Leaking pairs labelled four times as often: the mean of the labels is far off, the estimate is not."""
    means, naive = [], []
    for seed in range(60):
        table = made(seed)
        shown = np.random.default_rng(seed).random(len(table)) < np.where(table["judged"] > 0, 0.8, 0.2)
        stratum = np.where(table["judged"] > 0, "leak", "quiet")
        table = table.assign(human=table["everything"].where(shown), stratum=stratum)
        means.append(
            prediction_powered.combine(table, 0.95, alone=True)[0].estimate - table["everything"].mean()
        )
        naive.append(table["human"].mean() - table["everything"].mean())
    assert abs(np.mean(means)) < 3 * np.std(means) / np.sqrt(60)
    assert np.mean(naive) > 10


@pytest.mark.parametrize("judge", ["poor", "biased"])
def test_intervals_of_simulated_studies_hold_the_truth(judge):
    """The quick version of `python -m tests.simulations.simulate_annotation`: of 60 studies, 95 % may show as
    87 to 100 %."""
    found = simulate_annotation.coverage(judge, 40, 80, 60, simulate_annotation.truth(stems=40_000))
    net = found[found["quantity"] == "net"].set_index(["source", "arm"])
    for arm in simulate_annotation.ARMS:
        assert net.loc[("people and judge", arm), "coverage"] >= 87
        assert (
            net.loc[("people and judge", arm), "half_width"]
            < 1.05 * net.loc[("people alone", arm), "half_width"]
        )
    if judge == "biased":
        assert net.loc["judge alone", "coverage"].min() < 90, "the judge alone does not hold it"


def test_estimates_have_a_row_for_every_quantity_and_source():
    judgements, key, labels = simulated.study("good", 30, 120, {"ann": 0.9}, np.random.default_rng(3))
    joined = prediction_powered.joined(judgements, key, labels)
    found = prediction_powered.estimates(joined, ["model", "arm", "direction"], 0.95)
    assert len(found) == 4 * len(leakage.QUANTITIES) * 3
    pairs, by = leakage.pairs(judgements, matched=True), ["arm", "direction"]
    judged = pd.concat(
        inference.clustered_means(pairs, name, by, 0.95, limits=limits).assign(quantity=name)
        for name, limits in leakage.SUPPORT.items()
    )
    alone = found[found["source"] == "judge alone"].merge(
        judged, on=["arm", "direction", "quantity"], suffixes=("", "_known")
    )
    np.testing.assert_allclose(
        alone[["estimate", "ci_low", "ci_high"]], alone[["estimate_known", "ci_low_known", "ci_high_known"]]
    )
    assert found.loc[found["source"] == "people and judge", "weight"].between(0, 1).all()
    assert set(PAIR) <= set(joined)
