"""Power: variance components by hand and from known truths, and a stated power that simulated studies
reach."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lib.analysis import clustered, power
from lib.analysis.power import Components
from lib.config import params
from lib.stats import inference
from lib.storage import records
from tests.simulations.interval_candidates import cr2_or_hall

# deviations of groups from their stem ±2, of samples from their group ±1
BY_HAND = pd.DataFrame(
    [
        (stem, f"{stem}{group}", at + group + extra)
        for stem, at in (("A", 0), ("B", 10))
        for group in (0, 4)
        for extra in (0, 2)
    ],
    columns=["stem_id", "group_id", "difference"],
)
TRUTH = Components(stem=400.0, group=100.0, sample=3600.0, n_stems=0, n_groups=0, n=0)
spread = st.floats(1, 1e4)


def study(
    rng, stems: int, groups: int, samples: int, truth: Components = TRUTH, effect: float = 0.0
) -> np.ndarray:
    """Differences of one study, shape (stems, groups, samples)."""
    return (
        effect
        + rng.normal(0, np.sqrt(truth.stem), (stems, 1, 1))
        + rng.normal(0, np.sqrt(truth.group), (stems, groups, 1))
        + rng.normal(0, np.sqrt(truth.sample), (stems, groups, samples))
    )


def table(values: np.ndarray) -> pd.DataFrame:
    """Such differences as a long table."""
    stem, group, _ = np.indices(values.shape)
    long = pd.DataFrame(
        {"stem_id": stem.ravel(), "group": group.ravel(), "difference": values.ravel()}
    ).astype({"stem_id": str})
    return long.assign(group_id=long["stem_id"] + "+" + long.pop("group").astype(str))


def test_components_by_hand():
    # mean squares: samples 8 / 4 = 2, groups 32 / 2 = 16, stems 200 / 1; so 2, (16 − 2) / 2 = 7, (200 − 2 − 2
    # · 7) / 4 = 46
    assert power.components(BY_HAND) == Components(
        stem=46.0, group=7.0, sample=2.0, n_stems=2, n_groups=4, n=8
    )


def test_unequal_numbers_and_missing_values_do_not_bend_the_components():
    rng = np.random.default_rng(1)
    truth = Components(stem=900.0, group=900.0, sample=1600.0, n_stems=0, n_groups=0, n=0)
    whole = table(study(rng, 3000, 3, 4, truth))
    kept = whole[rng.random(len(whole)) < 0.5]
    with_missing = whole.assign(difference=whole["difference"].where(whole.index.isin(kept.index)))
    found = power.components(kept)
    assert found == power.components(with_missing)
    assert [found.stem, found.group, found.sample] == pytest.approx(
        [truth.stem, truth.group, truth.sample], rel=0.1
    )


def test_what_cannot_be_told_apart_counts_where_it_costs_most():
    values = study(np.random.default_rng(2), 2000, 1, 2)
    one_group = power.components(table(values))
    assert one_group.group == 0
    assert one_group.stem == pytest.approx(TRUTH.stem + TRUTH.group, rel=0.3)
    one_sample = power.components(table(values[:, :, :1]))
    assert (one_sample.group, one_sample.sample) == (0, 0)
    assert one_sample.stem == pytest.approx(TRUTH.stem + TRUTH.group + TRUTH.sample, rel=0.1)


def test_the_predicted_error_of_a_design_is_the_clustered_error_of_its_run():
    run = table(study(np.random.default_rng(3), 60, 2, 5))
    predicted = power.deviation(power.components(run), 2, 5) / np.sqrt(60)
    assert predicted == pytest.approx(inference.clustered_mean(run["difference"], run["stem_id"]).se)


def test_many_stems_need_the_effect_of_the_normal_approximation():
    found = Components(0.0, 0.0, 100.0**2, 2, 2, 2)
    expected = (stats.norm.isf(0.025) + stats.norm.isf(0.2)) * 100 / np.sqrt(10_000)
    assert power.minimum_detectable_effect(found, stems=10_000) == pytest.approx(expected, rel=1e-3)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    stem=spread,
    group=spread,
    sample=spread,
    stems=st.integers(2, 500),
    groups=st.integers(1, 4),
    samples=st.integers(1, 20),
)
def test_designs_are_ordered_as_they_should_be(stem, group, sample, stems, groups, samples):
    found = Components(stem, group, sample, 2, 2, 2)
    effect = power.minimum_detectable_effect(found, stems, groups, samples)
    assert power_of(found, effect, stems, groups, samples) == pytest.approx(0.8, abs=1e-6)
    assert power.minimum_detectable_effect(found, stems + 1, groups, samples) < effect
    assert power.minimum_detectable_effect(found, stems, groups + 1, samples) < effect
    assert power.minimum_detectable_effect(found, stems, groups, np.inf) < effect
    assert power.minimum_detectable_effect(found, stems, groups, samples, power=0.9) > effect
    tenfold = Components(100 * stem, 100 * group, 100 * sample, 2, 2, 2)
    assert power.minimum_detectable_effect(tenfold, stems, groups, samples) == pytest.approx(10 * effect)
    assert power.stems_needed(found, effect * (1 + 1e-9), groups, samples) == stems


def power_of(found: Components, effect: float, stems: int, groups: int = 1, samples: int = 1) -> float:
    """Power of a two-sided t test at 5 % with its clusters, by the noncentral t distribution."""
    clusters = min(stems, found.n_matches) if found.match else stems
    shift = effect / power.standard_error(found, stems, groups, samples)
    return stats.nct.sf(stats.t.isf(0.025, clusters - 1), clusters - 1, shift)


def told_from_zero(means: np.ndarray) -> float:
    """The share of studies, from the means of their stems, whose interval lies above 0."""
    return np.mean(cr2_or_hall(means, np.ones(means.shape))[0] > 0)


@pytest.mark.parametrize(("stems", "groups", "samples"), [(24, 1, 5), (60, 2, 3), (108, 1, 1)])
def test_simulated_studies_reach_the_stated_power(stems, groups, samples):
    rng = np.random.default_rng(4)
    effect = power.minimum_detectable_effect(TRUTH, stems, groups, samples)
    means = np.array(
        [study(rng, stems, groups, samples, effect=effect).mean(axis=(1, 2)) for _ in range(4000)]
    )
    assert told_from_zero(means) == pytest.approx(0.8, abs=0.03)


def verdicts(rng, studies: int, stems: int, samples: int) -> np.ndarray:
    """Differences of verdicts, −100, 0 or 100, whose rates differ from stem to stem; shape (studies, stems,
    samples).

    Their mean is 6 points.
    """
    shape = (studies, stems, samples)
    arm = rng.random(shape) < rng.beta(1.5, 6, (studies, stems, 1))
    return 100.0 * arm - 100.0 * (rng.random(shape) < 0.14)


def test_the_whole_way_from_an_earlier_run_of_verdicts_to_realised_power():
    rng = np.random.default_rng(5)
    earlier = verdicts(rng, 1, 4000, 5)[0]
    for stems, samples in ((60, 5), (100, 2)):
        stated = power_of(power.components(table(earlier[:, None])), 6.0, stems, samples=samples)
        means = verdicts(rng, 4000, stems, samples).mean(axis=2)
        assert told_from_zero(means) == pytest.approx(stated, abs=0.03)
        assert 0.25 < stated < 0.99


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power.components(BY_HAND[BY_HAND["stem_id"] == "A"]), "at least two stems"),
        (lambda: power.components(BY_HAND.assign(difference=np.nan)), "at least two stems"),
        (lambda: power.minimum_detectable_effect(TRUTH, stems=1), "at least 2"),
        (lambda: power.stems_needed(TRUTH, effect=0.001), "effect: 0.001: needs more than 10,000,000 stems"),
    ],
)
def test_what_cannot_be_told_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_spread_needs_two_stems():
    nothing = Components(0.0, 0.0, 0.0, 2, 2, 2)
    assert power.stems_needed(nothing, 1.0) == 2
    assert power.minimum_detectable_effect(nothing, 2) == 0


def by_match(
    seed: int, stems: int, matches: int, groups: int, samples: int, sd: dict[str, float]
) -> pd.DataFrame:
    """Differences whose parts have the standard deviations `sd`; every stem meets `groups` matches."""
    rng = np.random.default_rng(seed)
    stem = np.repeat(np.arange(stems), groups)
    match = np.stack([rng.permutation(np.arange(stems) % matches) for _ in range(groups)], axis=1).ravel()
    of_group = rng.normal(0, sd["stem"], stems)[stem] + rng.normal(0, sd["match"], matches)[match]
    of_group = of_group + rng.normal(0, sd["group"], len(stem))
    names = pd.DataFrame({"stem_id": stem.astype(str), "match_id": match}).assign(of_group=of_group)
    names["group_id"] = names["stem_id"] + "+" + names["match_id"].astype(str)
    rows = names.loc[names.index.repeat(samples)].reset_index(drop=True)
    return rows.assign(difference=rows.pop("of_group") + rng.normal(0, sd["sample"], len(rows)))


SD = {"stem": 20.0, "match": 15.0, "group": 10.0, "sample": 30.0}


@pytest.mark.parametrize("kept", [1.0, 0.6])
def test_stems_matches_groups_and_samples_are_told_apart_where_they_cross(kept):
    table = by_match(1, 3000, 300, 3, 3, SD)
    found = power.components_by_match(table[np.random.default_rng(1).random(len(table)) < kept])
    truth = [SD[name] ** 2 for name in ("stem", "match", "group", "sample")]
    assert [found.stem, found.match, found.group, found.sample] == pytest.approx(truth, rel=0.25)
    assert found.n_matches == 300
    as_given = power.components(table)
    assert as_given.match == as_given.n_matches == 0
    assert as_given.group == pytest.approx(SD["match"] ** 2 + SD["group"] ** 2, rel=0.15), (
        "contexts as given: part of the groups"
    )


def test_stems_nested_in_matches_by_hand():
    # matches 1 (stems a b) and 2 (c d), a sample each: values 0 2 10 16; means 1 and 13, mean 7
    table = pd.DataFrame({"stem_id": list("abcd"), "match_id": [1, 1, 2, 2], "difference": [0.0, 2, 10, 16]})
    found = power.components_by_match(table.assign(group_id=table["stem_id"]))
    # mean squares: stems (1 + 1 + 9 + 9) / 2 = 10, matches 2 (36 + 36) = 144; (144 - 10) / 2 = 67
    assert (found.match, found.stem, found.group, found.sample) == pytest.approx((67, 10, 0, 0))


@pytest.mark.parametrize("matches", [[1, 2, 3, 4], [1, 1, 1, 1], [1, 1, 2, None]])
def test_matches_that_cannot_be_told_apart_count_as_given(matches):
    table = pd.DataFrame({"stem_id": list("abcd"), "match_id": matches, "difference": [0.0, 2, 10, 16]})
    found = power.components_by_match(table.assign(group_id=table["stem_id"]))
    assert found == power.components(table.assign(group_id=table["stem_id"]))
    assert power.floor(found) == 0


@pytest.mark.parametrize("groups", [1, 3])
def test_the_predicted_error_of_a_design_is_that_of_its_interval(groups):
    run = by_match(3, 324, 108, groups, 2, SD)
    predicted = power.standard_error(power.components_by_match(run), 324, groups, 2)
    assert predicted == pytest.approx(clustered.design_mean(run, "difference").se, rel=0.05)


WITH_MATCHES = Components(400.0, 100.0, 3600.0, 2, 2, 2, match=225.0, n_matches=108)


def test_matches_set_a_floor_that_stems_do_not_reach_below():
    least = power.floor(WITH_MATCHES)
    assert least == pytest.approx((stats.norm.isf(0.025) + stats.norm.isf(0.2)) * 15 / np.sqrt(108), rel=0.02)
    effects = [
        power.minimum_detectable_effect(WITH_MATCHES, stems, 1, np.inf) for stems in (10, 108, 1000, 10**6)
    ]
    assert effects == sorted(effects, reverse=True) and effects[-1] == pytest.approx(least, rel=1e-3)
    assert power.floor(WITH_MATCHES, 4 * 108) == pytest.approx(least / 2, rel=0.02)
    with pytest.raises(ValueError, match=r"108 matches show 4\.1 points at the least; write more"):
        power.stems_needed(WITH_MATCHES, 3.9)
    stems = power.stems_needed(WITH_MATCHES, 6.0)
    assert stems > power.stems_needed(TRUTH, 6.0)
    assert power_of(WITH_MATCHES, 6.0, stems) >= 0.8 > power_of(WITH_MATCHES, 6.0, stems - 1)


def test_fewer_groups_than_matches_meet_as_many_matches_as_groups():
    assert power.standard_error(WITH_MATCHES, 20) == pytest.approx(np.sqrt((400 + 100 + 3600 + 225) / 20))
    with pytest.raises(ValueError, match="matches: 1: a t test needs at least 2"):
        power.minimum_detectable_effect(WITH_MATCHES, 20, matches=1)


def test_tables_name_what_no_number_of_stems_reaches():
    run = by_match(4, 324, 108, 1, 2, SD).assign(model="m", contrast="negative")
    needed = power.needed(run, 1, (3.0, 30.0))
    assert needed["5 a prompt"].isna().tolist() == [True, False]
    floors = power.floors(run)
    assert needed["floor, points"].iloc[0] == pytest.approx(floors["108 matches"].item())
    assert "Only more contexts lower that." in power.floors_summary(floors)
    assert "no floor is known" in power.floors_summary(
        floors.assign(**{f"{count} matches": 0.0 for count in power.MATCHES})
    )
    detectable = power.detectable(run, 324, 1, np.random.default_rng(1), draws=20).set_index("samples")
    assert (detectable["estimate"] > needed["floor, points"].iloc[0]).all()
    assert (detectable["ci_low"] < detectable["estimate"]).all() and (
        detectable["estimate"] < detectable["ci_high"]
    ).all()


@pytest.fixture
def earlier(tmp_path, monkeypatch) -> pd.DataFrame:
    """The differences of a run of four stems whose verdicts can be read off."""
    monkeypatch.setattr(records, "ROOT", tmp_path)
    valence = {
        "neutral": [0, 0, 0, 0],
        "negative": [-2, -2, 0, 2],
        "positive": [3, 0, 3, 0],
        "placebo": [0, 0, 0, 0],
    }
    rows = [
        ("m", "none", f"s{stem}+m1", f"s{stem}", 0, arm, float(values[stem]))
        for arm, values in valence.items()
        for stem in range(4)
    ]
    judged = pd.DataFrame(
        rows, columns=["model", "mitigation", "group_id", "stem_id", "sample_index", "arm", "valence"]
    )
    judged["charged"] = (judged["valence"].abs() > 0.2).astype("boolean")
    mitigated = judged.assign(mitigation="asked", valence=4.0, charged=True)
    (tmp_path / "outputs" / "before" / "judgements").mkdir(parents=True)
    pd.concat([judged, mitigated]).to_parquet(
        tmp_path / "outputs" / "before" / "judgements" / "mock-50.parquet"
    )
    (tmp_path / "outputs" / "before" / "manifest.json").write_text("{}")
    smoke = params.load("smoke")
    only = smoke.model_copy(update={"models": [model for model in smoke.models if model.name == "mock-50"]})
    monkeypatch.setattr(params, "load", lambda set_name: only)
    return power.earlier("before")


def test_an_earlier_run_gives_the_net_excess_of_its_unmitigated_pairs(earlier):
    by_contrast = {name: part["difference"].tolist() for name, part in earlier.groupby("contrast")}
    assert by_contrast == {
        "negative": [100, 100, 0, -100],
        "positive": [100, 0, 100, 0],
        "negative − positive": [0, 100, -100, -100],
    }


def test_the_tables_of_the_notebook(earlier):
    found = power.components(earlier[earlier["contrast"] == "negative"])
    spreads = power.spreads(earlier).set_index("contrast").loc["negative"]
    assert spreads["SD of stems"] == pytest.approx(np.sqrt(found.stem))
    assert (spreads["stems"], spreads["matches"], spreads["SD of matches"]) == (4, 0, 0), (
        "one match tells nothing of others"
    )
    detectable = power.detectable(earlier, 50, 1, np.random.default_rng(1)).set_index(["contrast", "samples"])
    assert set(detectable.index.get_level_values("contrast")) == set(power.CONTRASTS)
    row = detectable.loc[("negative", 5)]
    assert row["estimate"] == pytest.approx(power.minimum_detectable_effect(found, 50, 1, 5))
    assert row["ci_low"] <= row["estimate"] <= row["ci_high"]
    needed = power.needed(earlier, 1).set_index(["contrast", "effect, points"])
    assert needed.loc[("negative", 10.0), "5 a prompt"] == power.stems_needed(found, 10.0, 1, 5)


def test_a_run_of_one_stem_teaches_nothing(earlier):
    alone = earlier[earlier["stem_id"] == "s0"]
    tables = (
        power.spreads(alone),
        power.needed(alone, 1),
        power.detectable(alone, 50, 1, np.random.default_rng(1)),
    )
    for table, whole in zip(tables, (power.spreads(earlier), power.needed(earlier, 1), None), strict=True):
        assert table.empty
        assert whole is None or list(table) == list(whole)
    assert "fewer than two stems" in power.summary(tables[2], "before")


def test_only_a_finished_run_is_analysed(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ROOT", tmp_path)
    (tmp_path / "outputs" / "before").mkdir(parents=True)
    assert not power.finished("before")
    assert power.earlier("before") is None
    (tmp_path / "outputs" / "before" / "manifest.json").write_text("{}")
    assert power.finished("before")
