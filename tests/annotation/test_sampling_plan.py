"""The sampling plan: who is drawn how often, what annotators get to see, and how many pairs a width takes."""

import json

import numpy as np
import pandas as pd
import pytest

from lib.analysis import leakage
from lib.annotation import labelling, sampling_plan
from lib.annotation.sampling_plan import PAIR, STRATUM
from lib.storage import records
from tests import simulated


@pytest.fixture(scope="module")
def judgements() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return simulated.judged(simulated.completions(40, 3, rng, models=2), "good", rng)


@pytest.fixture(scope="module")
def frame(judgements) -> pd.DataFrame:
    return sampling_plan.frame(judgements, simulated.second_opinion(judgements, np.random.default_rng(2)))


def made(*rows) -> pd.DataFrame:
    """Judgements of one stem from (arm, sample_index, completion, valence)."""
    table = pd.DataFrame(rows, columns=["arm", "sample_index", "completion", "valence"])
    fixed = {"model": "m", "mitigation": "none", "group_id": "g", "stem_id": "s", "stem": "It is"}
    return table.assign(
        **fixed, charged=(table["valence"].abs() > 0.2).astype("boolean").mask(table["valence"].isna())
    )


def test_kinds_by_hand():
    table = made(
        ("neutral", 0, "a", 0.0),
        ("negative", 0, "b", -2.0),
        ("positive", 0, "c", 0.0),
        ("placebo", 0, "d", 3.0),
        ("neutral", 1, "e", np.nan),
        ("negative", 1, "f", 0.0),
        ("positive", 1, None, np.nan),
    )
    second = [0, -1, 0, -1, 0, 0, 0]  # differs on the placebo completion
    kinds = sampling_plan.frame(table, second).set_index(["arm", "sample_index"])["kind"].to_dict()
    # no verdict on e: disputed; no text: not in the frame
    assert kinds == {
        ("negative", 0): "leak",
        ("positive", 0): "quiet",
        ("placebo", 0): "disputed",
        ("negative", 1): "disputed",
    }


def test_the_second_opinion_is_the_sign_of_afinn():
    assert sampling_plan.second_opinion(["a terrible day", "12 Oak Street", "a wonderful cook"]).tolist() == [
        -1,
        0,
        1,
    ]


def test_mitigated_completions_are_not_drawn(judgements, frame):
    more = pd.concat([judgements, judgements.assign(mitigation="other")], ignore_index=True)
    assert len(sampling_plan.frame(more, np.zeros(len(more)))) == len(frame)


def test_allocation_by_hand():
    # N × spread 1000, 1000, 2000: 40 pairs go 10, 10, 20
    population, spread = pd.Series([100, 50, 100]), pd.Series([10.0, 20.0, 20.0])
    assert sampling_plan.allocate(population, spread, 40).tolist() == [10, 10, 20]
    # a stratum of 7 gives at most 7, each gives at least 5, and the rest goes to the third
    assert sampling_plan.allocate(pd.Series([7, 100, 100]), pd.Series([900.0, 0.1, 50.0]), 40).tolist() == [
        7,
        5,
        28,
    ]
    assert sampling_plan.allocate(pd.Series([3, 4]), pd.Series([1.0, 1.0]), 100).tolist() == [3, 4]


@pytest.mark.parametrize("pairs", [60, 101, 200, 720])
def test_allocation_spends_what_it_is_given(frame, pairs):
    population = frame.groupby(STRATUM).size()
    spread = pd.Series([sampling_plan.SPREAD[kind] for *_, kind in population.index], population.index)
    sizes = sampling_plan.allocate(population, spread, pairs)
    lowest = population.clip(upper=sampling_plan.FEWEST)
    assert sizes.sum() == max(pairs, lowest.sum())
    assert sizes.between(lowest, population).all()


def test_the_draw_is_the_same_for_the_same_seed_and_another_for_another(frame):
    one, again, other = (sampling_plan.draw(frame, 100, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    assert (one["sampled"] != other["sampled"]).any()
    assert set(one["item_id"].dropna()).isdisjoint(other["item_id"].dropna())


def test_probabilities_are_how_often_things_are_drawn(frame):
    draws = [sampling_plan.draw(frame, 80, seed) for seed in range(60)]
    pairs = np.mean([key["sampled"] for key in draws], axis=0)
    by_stratum = draws[0].assign(drawn=pairs).groupby(STRATUM)[["drawn", "probability"]].mean()
    np.testing.assert_allclose(by_stratum["drawn"], by_stratum["probability"])
    # a reference is drawn with any of its three pairs: summed over what was drawn, 1 / probability counts the
    # completions
    counted = [
        (1 / sampling_plan.completions(key).query("arm == 'neutral'")["probability"]).sum() for key in draws
    ]
    expected = len(frame[["model", "group_id", "sample_index"]].drop_duplicates())
    assert np.mean(counted) == pytest.approx(expected, abs=4 * np.std(counted) / np.sqrt(60))


def test_probability_of_a_shared_reference_by_hand():
    rows = [
        ("m", "g", arm, 0, "s", probability, f"i-{arm}", "i-n")
        for arm, probability in (("negative", 0.5), ("positive", 0.2))
    ]
    key = pd.DataFrame(rows, columns=[*PAIR, "stem_id", "probability", "item_id", "item_id_reference"])
    found = sampling_plan.completions(key).set_index("arm")["probability"]
    assert found.to_dict() == pytest.approx({"negative": 0.5, "neutral": 1 - 0.5 * 0.8, "positive": 0.2})


def test_where_the_neutral_arm_has_fewer_draws_each_of_its_completions_is_one(judgements):
    fewer = judgements[judgements["arm"].isin(leakage.DIRECTIONS) | (judgements["sample_index"] == 0)]
    frame = sampling_plan.frame(fewer, np.zeros(len(fewer)))
    assert frame["sample_index"].max() > 0 and (frame["partner"] == 0).all()
    assert len(frame) == fewer["arm"].ne("neutral").sum()
    found = sampling_plan.completions(sampling_plan.draw(frame, len(frame), 1))
    assert len(found) == len(fewer) and not found.duplicated(sampling_plan.COMPLETION).any()
    assert found["probability"].eq(1).all()


def test_items_are_distinct_texts_and_tell_nothing_else(frame):
    same = frame.assign(completion_reference="the same")
    key = sampling_plan.draw(same, 100, 1)
    items = sampling_plan.items(key)
    assert list(items) == ["item_id", "block", "stem", "completion"]
    assert items["item_id"].is_unique
    stems = key.loc[key["sampled"], "stem_id"].nunique()
    assert (items["completion"] == "the same").sum() == stems, "one text after one stem is labelled once"
    arms = key.merge(items, on="item_id").sort_values("item_id")["arm"]
    assert arms.ne(arms.shift()).mean() > 0.5, "their order tells no arm"


def test_every_block_holds_its_share_of_every_stratum(frame):
    drawn = sampling_plan.draw(frame, 200, 1).query("sampled")
    blocks = drawn["block"].nunique()
    assert blocks == 10
    counts = drawn.groupby([*STRATUM, "block"]).size().unstack(fill_value=0)
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 1


def test_a_plan_that_people_have_begun_is_kept(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ROOT", tmp_path)
    first = sampling_plan.save("set", sampling_plan.draw(frame, 120, 1))
    second = sampling_plan.save("set", sampling_plan.draw(frame, 120, 2))
    assert not first["sampled"].equals(second["sampled"]), "nobody has begun: drawn anew"
    place = labelling.folder("set")
    texts = (place / "items.jsonl").read_text()
    assert {tuple(json.loads(line)) for line in texts.splitlines()} == {
        ("item_id", "block", "stem", "completion")
    }
    assert not list(place.rglob("*key*")), "the key lies apart"
    labelling.Session(place, "ann").answer("charge", "none")
    kept = sampling_plan.save("set", sampling_plan.draw(frame, 150, 3))
    assert kept["sampled"].sum() == 120
    assert kept["item_id"].dropna().tolist() == second["item_id"].dropna().tolist()
    assert (place / "items.jsonl").read_text() == texts
    records.table_path("set", "annotation_key").unlink()
    with pytest.raises(FileNotFoundError, match=r"key to the labels .* is missing"):
        sampling_plan.save("set", sampling_plan.draw(frame, 150, 3))


def test_half_widths_by_hand():
    # one arm, one stratum of 100 pairs in 2 stems of equal judged means: nothing between stems; 60/sqrt(25) ×
    # sqrt(1 − 25/100)
    table = pd.DataFrame(
        {"model": "m", "arm": "negative", "kind": "leak", "stem_id": ["a", "b"] * 50, "net": 100.0}
    )
    found = sampling_plan.half_widths(table, 25, 0.95).iloc[0]
    assert found["pairs"] == 25
    assert found["stems_alone"] == 0
    assert found["half_width"] == pytest.approx(12.706 * 60 / 5 * np.sqrt(0.75), rel=1e-3)


def test_more_pairs_narrow_the_interval(frame):
    widths = [
        sampling_plan.half_widths(frame, pairs, 0.95)["half_width"].max()
        for pairs in (60, 120, 240, len(frame))
    ]
    assert widths == sorted(widths, reverse=True)
    effort = sampling_plan.effort(frame, [60, 120], 1, 0.95, seconds=36)
    assert effort["hours"].tolist() == pytest.approx((effort["texts"] / 100).tolist())
    assert effort["agreement_half_width"].is_monotonic_decreasing


def test_of_no_pairs_none_are_drawn():
    none = sampling_plan.frame(made(("neutral", 0, None, np.nan), ("negative", 0, None, np.nan)))
    key = sampling_plan.draw(none, 10, 1)
    assert key.empty and {*sampling_plan.PAIR, "kind", "sampled", "block", "probability", "item_id"} <= {*key}
    assert sampling_plan.items(key).empty and sampling_plan.strata(key).empty
    assert sampling_plan.effort(none, [50, 100], 1, 0.95).empty
