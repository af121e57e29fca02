"""Means for other stems and other contexts: which clusters, the two-way error, strata, and what has no
interval."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from lib.analysis import clustered
from lib.dataset import curated_prompts
from lib.stats import inference
from tests import simulated_studies
from tests.stats.test_inference import dense_cr2


def values_of(seed: int, matches: int = 36, groups: int = 3, samples: int = 2) -> pd.DataFrame:
    """A simulated design with values that differ by stem, match, strata and sample."""
    rng = np.random.default_rng(seed)
    table = simulated_studies.design(matches, groups, rng)
    of_stem, of_match = rng.normal(0, 2, 3 * matches), rng.normal(0, 2, matches)
    mean = (
        of_stem[table["stem_id"]]
        + of_match[table["match_id"]]
        + table["intensity"].map({"mild": 0, "plain": 2, "strong": 4})
    )
    table = table.assign(mean=mean).loc[table.index.repeat(samples)].reset_index(drop=True)
    return table.assign(value=table.pop("mean") + rng.normal(0, 2, len(table)))


BARE = ["stem_id", "match_id", "value"]
MET = {
    "a match each": ([("a", 1), ("b", 2), ("c", 3)], clustered.BY_STEM, (3, 3)),
    "matches shared": ([("a", 1), ("b", 1), ("c", 2), ("d", 2)], clustered.BY_MATCH, (4, 2)),
    "stems shared": ([("a", 1), ("a", 2), ("b", 3), ("b", 4)], clustered.BY_STEM, (2, 4)),
    "both shared": ([("a", 1), ("a", 2), ("b", 2), ("c", 1)], clustered.BY_BOTH, (3, 2)),
    "one match": ([("a", 1), ("b", 1), ("c", 1)], clustered.BY_STEM, (3, 1)),
    "one stem": ([("a", 1), ("a", 2), ("a", 3)], clustered.BY_STEM, (1, 3)),
    "a match not told": ([("a", 1), ("b", 1), ("c", None)], clustered.BY_STEM, (3, 0)),
}


@pytest.mark.parametrize("case", MET)
def test_what_is_nested_is_told_from_the_rows(case):
    met, unit, counts = MET[case]
    table = pd.DataFrame(met * 2, columns=["stem_id", "match_id"]).assign(value=np.arange(2.0 * len(met)))
    found = clustered.design_mean(table, "value")
    assert (found.cluster_unit, (found.n_stems, found.n_matches)) == (unit, counts)
    expected = {clustered.BY_STEM: "stem_id", clustered.BY_MATCH: "match_id"}
    if unit in expected:
        alone = inference.clustered_mean(table["value"], table[expected[unit]])
        np.testing.assert_allclose(
            [found.ci_low, found.ci_high, found.se], [alone.ci_low, alone.ci_high, alone.se]
        )


def test_columns_that_share_a_design_have_the_estimates_that_each_has_alone():
    table = values_of(3).assign(other=lambda rows: rows["value"] ** 2, gaps=lambda rows: rows["value"])
    table.loc[table.index % 7 == 0, "gaps"] = np.nan
    table.loc[table["slot"] == table["slot"].iloc[0], "other"] = 4.0
    limits = {"value": None, "gaps": (-9.0, 9.0), "other": (0.0, 400.0)}
    found = clustered.design_means_of(table, limits, ["slot"], 0.9)
    for value, of_value in limits.items():
        for row in found[value].itertuples():
            alone = clustered.design_mean(table[table["slot"] == row.slot], value, 0.9, of_value)
            expected = [row.slot, *asdict(alone).values()]
            assert pd.Series(row[1:]).equals(pd.Series(expected))


def test_a_kept_design_serves_the_same_rows_alone(monkeypatch):
    table = values_of(3)
    same, categories = table.assign(value=table["value"] ** 2), clustered.compact(table)
    others = {
        "stems": table.assign(stem_id=table["stem_id"] // 2),
        "strata": table.assign(intensity=table["intensity"].iloc[::-1].to_numpy()),
        "no strata": table[BARE],
        "order": table.iloc[::-1],
        "fewer": table.iloc[1:],
    }
    every = [table, same, categories, *others.values()]
    clustered._kept_design.cache_clear()
    kept = [clustered.design_mean(each, "value") for each in every]
    assert clustered._kept_design.cache_info().misses == 1 + len(others)
    monkeypatch.setattr(clustered, "KEPT_ROWS", -1)
    assert kept == [clustered.design_mean(each, "value") for each in every]


def test_rows_without_a_value_do_not_make_a_design_cross():
    table = pd.DataFrame(
        {"stem_id": list("aabbc"), "match_id": [1, 2, 1, 2, 2], "value": [1, np.nan, 2, np.nan, 4.0]}
    )
    assert clustered.design_mean(table, "value").cluster_unit == clustered.BY_MATCH
    assert (
        clustered.design_mean(table.assign(value=1.0 * table["match_id"]), "value").cluster_unit
        == clustered.BY_BOTH
    )


def test_the_match_is_read_from_the_group():
    table = pd.DataFrame({"stem_id": ["a+b", "c", "neg"], "group_id": ["a+b+m01", "c+neg-1", "other"]})
    assert curated_prompts.with_match(table)["match_id"].tolist()[:2] == ["m01", "neg-1"]
    assert curated_prompts.with_match(table)["match_id"].isna().tolist() == [False, False, True]
    assert curated_prompts.with_match(table.drop(columns="group_id")).equals(table.drop(columns="group_id"))
    with_column = table.assign(match_id="x")
    assert curated_prompts.with_match(with_column) is with_column


def test_the_match_of_every_built_prompt_is_that_of_its_design():
    groups = curated_prompts.design(0, 24, 2)
    built = curated_prompts.with_match(curated_prompts.build(0, 24, 2))
    expected = groups.set_index("group_id")["match_id"]
    assert (built["match_id"] == built["group_id"].map(expected)).all()


@pytest.mark.parametrize(
    ("values", "variance"),
    [
        # mean 3, residuals -3 0 0 3; stems: sums -3 and 3, 18/16 over 1 - 1/2; matches the same; cells: 18/16
        # over 1 - 1/4
        ((0, 3, 3, 6), 2.25 + 2.25 - 1.5),
        # mean 4, residuals -4 -2 0 6; stems: 72/16 over 1/2 = 9; matches: 32/16 over 1/2 = 4; cells: 56/16
        # over 3/4; less than 9
        ((0, 2, 4, 10), 9),
    ],
)
def test_the_two_way_error_by_hand(values, variance):
    table = pd.DataFrame({"stem_id": list("aabb"), "match_id": [1, 2, 1, 2], "value": values})
    found = clustered.design_mean(table, "value")
    naive = np.std(values, ddof=1) / 2
    assert (found.se, found.df, found.n) == (pytest.approx(np.sqrt(variance)), pytest.approx(1), 4)
    assert found.naive_se_ratio == pytest.approx(naive / found.se)


@pytest.mark.parametrize("strata", [False, True])
def test_the_error_is_that_of_dense_matrices_for_stems_matches_and_cells(strata):
    table = values_of(1)
    bare = table[[*BARE, "intensity"] if strata else BARE]
    found = clustered.design_mean(bare, "value")
    ones, values = np.ones((len(table), 1)), table["value"].to_numpy()
    dummies = pd.get_dummies(table["intensity"], drop_first=True).astype(float)
    design = np.hstack([dummies - dummies.mean(), ones]) if strata else ones
    cells = table["stem_id"] * 1000 + table["match_id"]
    parts = [
        dense_cr2(values, design, codes.to_numpy()) for codes in (table["stem_id"], table["match_id"], cells)
    ]
    stem, match, cell = ((contributions**2).sum() for contributions, _ in parts)
    assert stem + match - cell > max(stem, match)
    assert found.se == pytest.approx(np.sqrt(stem + match - cell))
    assert found.df == pytest.approx(min(freedom for _, freedom in parts[:2]))
    third = [(contributions**3).sum() for contributions, _ in parts]
    assert found.skew == pytest.approx((third[0] + third[1] - third[2]) / found.se**3)


def test_in_large_samples_it_is_statsmodels_two_way_error():
    table = values_of(2, matches=324)
    groups = {"groups": table[["stem_id", "match_id"]].to_numpy()}
    found = clustered.design_mean(table[BARE], "value")
    fit = sm.OLS(table["value"], np.ones(len(table))).fit(cov_type="cluster", cov_kwds=groups)
    assert (found.estimate, found.se) == pytest.approx((fit.params.iloc[0], fit.bse.iloc[0]), rel=2e-3)
    levels = ["slot", "intensity", "form"]
    dummies = pd.get_dummies(table[levels], drop_first=True).astype(float)
    for step in ("intensity_plain", "intensity_strong"):
        dummies[f"{step} idiomatic"] = dummies["form_idiomatic"] * dummies[step]
    fit = sm.OLS(table["value"], sm.add_constant(dummies - dummies.mean())).fit(
        cov_type="cluster", cov_kwds=groups
    )
    found = clustered.design_mean(table[[*BARE, *levels]], "value")
    assert (found.estimate, found.se) == pytest.approx((fit.params["const"], fit.bse["const"]), rel=2e-2)


def test_a_variance_that_would_be_too_small_is_that_of_the_larger_one_way():
    # in every row and column of a crossing the values cancel: neither stems nor matches differ, cells do
    signs = np.where((np.arange(8)[:, None] + np.arange(8)) % 2, 1.0, -1.0) + np.diag(np.arange(8)) / 100
    stem, match = np.indices(signs.shape)
    table = pd.DataFrame({"stem_id": stem.ravel(), "match_id": match.ravel(), "value": signs.ravel()})
    found = clustered.design_mean(table, "value")
    alone = [inference.clustered_mean(table["value"], table[name]).se for name in ("stem_id", "match_id")]
    assert found.cluster_unit == clustered.BY_BOTH
    assert found.se == pytest.approx(max(alone))


def test_strata_leave_the_mean_and_take_what_they_explain_out_of_the_error():
    table = values_of(3)
    uneven = table[np.random.default_rng(0).random(len(table)) < 0.6]
    for rows in (table, uneven):
        with_strata, without = (
            clustered.design_mean(rows, "value"),
            clustered.design_mean(rows[BARE], "value"),
        )
        assert with_strata.estimate == pytest.approx(rows["value"].mean()) == without.estimate
        assert with_strata.se < 0.95 * without.se
        assert with_strata.df < without.df


def test_in_a_balanced_design_the_mean_is_that_of_its_strata():
    table = values_of(3)
    strata = table.groupby(["intensity", "form"])["value"]
    assert strata.size().nunique() == 1
    assert clustered.design_mean(table, "value").estimate == pytest.approx(strata.mean().mean())


@pytest.mark.parametrize(
    ("matches", "coefficients"), [(9, 0), (18, 1), (20, 2), (36, 3), (108, 9), (324, 6 + 3 + 17)]
)
def test_as_many_strata_are_used_as_leave_ten_clusters_each(matches, coefficients):
    """Intensity has 2 coefficients, slot 1, form 1, form by intensity 2, emotion 3, domain 17."""
    rows = simulated_studies.design(matches, 1, np.random.default_rng(1))
    design = clustered._strata(rows, matches)
    assert design.shape[1] - 1 == coefficients <= matches / clustered.CLUSTERS_EACH
    np.testing.assert_allclose(design.T @ design, np.diag([1.0] * coefficients + [len(rows)]), atol=1e-9)


def test_strata_that_do_not_vary_or_are_told_already_cost_nothing():
    rows = simulated_studies.design(60, 1, np.random.default_rng(1)).assign(
        intensity="strong", emotion=np.nan
    )
    rows["form"] = rows["slot"]
    assert clustered._strata(rows, 60).shape[1] - 1 == 1


def test_strata_that_explain_every_value_are_not_a_proof():
    table = values_of(4).assign(
        value=lambda rows: rows["intensity"].map({"mild": 0.0, "plain": 1.0, "strong": 2.0})
    )
    found, bare = clustered.design_mean(table, "value"), clustered.design_mean(table[BARE], "value")
    assert (found.ci_low, found.ci_high) == pytest.approx((bare.ci_low, bare.ci_high))
    assert found.se > 0


@pytest.mark.parametrize("values", [[], [np.nan] * 4, [5.0] * 4])
def test_nothing_and_values_that_all_agree_have_no_interval_without_limits(values):
    table = (
        pd.DataFrame({"stem_id": list("aabb"), "match_id": [1, 2, 1, 2]})
        .head(len(values))
        .assign(value=values)
    )
    found = clustered.design_mean(table.astype({"value": float}), "value")
    assert np.isnan([found.ci_low, found.ci_high]).all()
    assert found.n == int(np.isfinite(values).sum())
    if found.n:
        assert clustered.design_mean(table, "value", limits=(0, 10)).ci_low > 0


def test_each_level_has_its_own_rows_and_clusters():
    table = values_of(5).assign(group_id="unused")
    found = clustered.design_means(table, "value", ["slot"], 0.9, (-99, 99)).set_index("slot")
    alone = clustered.design_mean(table[table["slot"] == "open"], "value", 0.9, (-99, 99))
    assert (found.loc["open", "ci_low"], found.loc["open", "cluster_unit"]) == (
        alone.ci_low,
        alone.cluster_unit,
    )
    assert clustered.design_means(table.head(0), "value", ["slot"]).columns.tolist()[-2:] == [
        "n_matches",
        "cluster_unit",
    ]


def test_a_share_stays_on_its_scale():
    table = values_of(6)
    rare = table.assign(value=100.0 * (table["value"].rank() > len(table) - 2))
    mean, share = clustered.design_mean(rare, "value"), clustered.design_share(rare, "value")
    assert mean.ci_low < 0 < share.ci_low < share.estimate == mean.estimate < share.ci_high
    assert clustered.design_shares(rare, "value", ["form"])["ci_low"].ge(0).all()


def test_sides_that_share_matches_are_compared_across_them_and_others_as_independent():
    table = values_of(7, groups=1, samples=1)
    bare = table[BARE]
    for column, level in (("slot", "open"), ("form", "idiomatic")):
        found, apart = clustered.design_difference(bare, "value", table[column] == level)
        means = table.groupby(column)["value"].mean()
        assert found.estimate == pytest.approx(means[level] - means.drop(level).item())
        assert (apart, found.cluster_unit) == (column == "form", clustered.BY_MATCH)
        fit = sm.OLS(table["value"], sm.add_constant((table[column] == level).astype(float)))
        fit = fit.fit(cov_type="cluster", cov_kwds={"groups": table["match_id"].to_numpy()})
        assert found.se == pytest.approx(fit.bse.iloc[1], rel=0.06)
    as_given, apart = clustered.design_difference(
        bare.drop(columns="match_id"), "value", table["slot"] == "open"
    )
    assert (apart, as_given.cluster_unit, as_given.n_matches) == (True, clustered.BY_STEM, 0)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_difference_of_too_little_has_no_estimate(rows):
    table = values_of(8).head(rows)
    found, _ = clustered.design_difference(table, "value", table["slot"] == "open")
    assert np.isnan([found.estimate, found.ci_low, found.se]).all()
