"""The claims board: what each claim measures, that its verdict is that of the rules, and what overrules
it."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis import power
from lib.analysis.polarity import QUANTITIES, of_references
from lib.analysis.usability import PLACEBO_BROKEN, PLACEBO_OPEN
from lib.claims import board, claims
from lib.claims.board import COLUMNS, CONTRADICTED, INCONCLUSIVE, INVALID, SUPPORTED
from lib.claims.claims import PRESPECIFIED, Benchmark, existence, mined, polarity, scaling
from lib.claims.judge_claims import agreement, judge_agreement
from lib.stats import inference

SOUND, BROKEN, UNUSABLE = {"m": ""}, {"m": PLACEBO_BROKEN}, {"m": "38 % of completions are unusable"}
SURE, UNSURE = (
    [1.8, 2.0, 2.2],
    [1.0, 2.0, 3.0],
)  # errors .2/sqrt(3) and 1/sqrt(3), t(0.975; 2) = 4.303: 2 ± 0.497 and 2 ± 2.48
NEGATIVE, TIES = [-1.8, -2.0, -2.2], [0.0] * 3
MANY_TIES, TINY = [0.0] * 400, np.tile([-0.2, 0.2], 200).tolist()
MARGIN = 0.1


def against_neutral(table: pd.DataFrame) -> pd.DataFrame:
    """What C4 is decided by where the neutral arm is the only reference."""
    return of_references({"neutral": table}, table["model"].unique(), QUANTITIES, 0.95)


def pairs(
    negative: list[float], positive: list[float], model: str = "m", parameters: float = 1e9
) -> pd.DataFrame:
    """One pair for each stem and arm with the given shift, and one of the placebo arm that should never
    count; the net excess is ten times the shift."""
    shifts = {"negative": negative, "positive": positive, "placebo": [7.0] * len(negative)}
    rows = [(arm, f"s{place}", shift) for arm, values in shifts.items() for place, shift in enumerate(values)]
    table = pd.DataFrame(rows, columns=["arm", "stem_id", "shift"])
    spec = {"model": model, "family": "f", "tuning": "base", "mode": "completion", "parameters": parameters}
    return table.assign(**spec, net=10 * table["shift"], group_id=table["stem_id"], sample_index=0)


EACH_WAY = [
    (SURE, SOUND, SUPPORTED, "whole interval above 0, at least 0.1"),
    (NEGATIVE, SOUND, CONTRADICTED, "whole interval below 0, at least 0.1"),
    (TINY, SOUND, CONTRADICTED, "negligible: inside ±0.1"),
    (UNSURE, SOUND, INCONCLUSIVE, "interval holds 0"),
    (TIES, SOUND, INCONCLUSIVE, "interval holds 0"),
    (MANY_TIES, SOUND, INCONCLUSIVE, "interval holds 0"),  # all stems agree: no error to test equivalence by
    ([2.0], SOUND, INCONCLUSIVE, "no interval"),  # one stem
    (SURE, BROKEN, INVALID, PLACEBO_BROKEN),
    (SURE, {"m": PLACEBO_OPEN}, SUPPORTED, f"whole interval above 0, at least 0.1; {PLACEBO_OPEN}"),
    (SURE, UNUSABLE, INCONCLUSIVE, "38 % of completions are unusable"),
    (UNSURE, UNUSABLE, INCONCLUSIVE, "38 % of completions are unusable"),
    ([2.0], UNUSABLE, INCONCLUSIVE, "38 % of completions are unusable"),
]


@pytest.mark.parametrize(("shifts", "faults", "verdict", "reason"), EACH_WAY)
def test_existence_and_polarity_decide_each_way(shifts, faults, verdict, reason):
    c0 = existence(pairs(shifts, shifts), MARGIN, 0.95, faults).iloc[0]
    # stems differ widely, negative − positive does not: it is `shifts` again
    positive = [0.01 * place for place in range(len(shifts))]
    shifted = pairs([place + shift for place, shift in zip(positive, shifts, strict=True)], positive)
    c4 = polarity(against_neutral(shifted), MARGIN, 0.95, faults).iloc[0]
    for claim, row in (("C0", c0), ("C4", c4)):
        assert list(row.index) == COLUMNS
        assert (row["claim"], row["model"], row["verdict"], row["reason"]) == (claim, "m", verdict, reason)
        assert row["estimate"] == pytest.approx(np.mean(shifts), abs=1e-9) and row["clusters"] == len(shifts)
    assert c0["n"] == 2 * len(shifts) and c0["net"] == pytest.approx(10 * np.mean(shifts))


def test_the_minimum_detectable_effect_is_shown_and_decides_nothing():
    row = existence(pairs(SURE, SURE), MARGIN, 0.95, SOUND).iloc[0]
    # .2/sqrt(3) times the mean of 5.65 errors that a t test with 2 degrees of freedom tells from 0 four times
    # of five
    assert row["detectable"] == pytest.approx(0.6528, abs=0.0001) and row["detectable"] > row["margin"]
    assert row["verdict"] == SUPPORTED


def test_the_minimum_detectable_effect_is_seen_four_times_of_five():
    rng, spread, stems = np.random.default_rng(1), 10.0, 12
    known = power.Components(spread**2, 0.0, 0.0, stems, stems, stems)
    effect = power.minimum_detectable_effect(known, stems)
    studies = rng.normal(effect, spread, (4000, stems))
    # t(0.975; 11)
    reached = np.abs(studies.mean(axis=1)) / (studies.std(axis=1, ddof=1) / np.sqrt(stems)) > 2.201
    assert reached.mean() == pytest.approx(0.8, abs=0.03)
    of_each = [
        power.detectable_effect(inference.clustered_mean(study, range(stems))) for study in studies[:400]
    ]
    assert np.sqrt(np.mean(np.square(of_each))) == pytest.approx(effect, rel=0.03)
    assert power.detectable_effect(inference.clustered_mean(studies[0], range(stems)), 0.99) > of_each[0]
    assert np.isnan(power.detectable_effect(inference.clustered_mean([1.0], ["s"])))


def test_a_verdict_must_survive_holm_over_the_models_of_its_claim():
    weak = [1.55, 2.0, 2.45]  # error 0.26, t = 7.7, p = 0.016
    alone = existence(pairs(weak, weak), MARGIN, 0.95, SOUND).iloc[0]
    assert (alone["verdict"], alone["p_holm"]) == (SUPPORTED, alone["p"])
    names = [f"m{place}" for place in range(4)]
    several = pd.concat([pairs(weak, weak, model) for model in names])
    table = existence(several, MARGIN, 0.95, dict.fromkeys(names, ""))
    assert table["p_holm"].tolist() == pytest.approx([4 * alone["p"]] * 4)
    assert table["verdict"].tolist() == [INCONCLUSIVE] * 4
    assert table["reason"][0] == f"not after Holm's correction (p = {4 * alone['p']:.3f})"


def test_a_missing_arm_leaves_no_estimate():
    only_placebo = pairs(SURE, SURE).query("arm == 'placebo'")
    for table in (only_placebo, pairs(SURE, SURE).query("arm != 'negative'")):
        row = polarity(against_neutral(table), MARGIN, 0.95, SOUND).iloc[0]
        assert (row["verdict"], row["n"]) == (INCONCLUSIVE, 0) and np.isnan(row["estimate"])
        assert row["reason"] in ("no estimate against neutral", "no interval")
    row = existence(only_placebo, MARGIN, 0.95, SOUND).iloc[0]
    assert (row["verdict"], row["reason"]) == (INCONCLUSIVE, "no interval")


def references(**found: tuple[list[float], list[float]]) -> pd.DataFrame:
    """Estimates of negative − positive against several references."""
    return pd.concat(
        [against_neutral(pairs(*shifts)).assign(reference=name) for name, shifts in found.items()]
    )


@pytest.mark.parametrize(
    ("estimates", "verdict"),
    [
        (references(pooled=(SURE, TIES), neutral=(SURE, TIES), none=(SURE, TIES)), SUPPORTED),
        (references(pooled=(NEGATIVE, TIES), none=(NEGATIVE, TIES)), CONTRADICTED),
        (references(pooled=(TINY, MANY_TIES), none=(TINY, MANY_TIES)), CONTRADICTED),
        (references(pooled=(SURE, TIES), none=(NEGATIVE, TIES)), INCONCLUSIVE),
        (references(pooled=(SURE, TIES), none=(UNSURE, TIES)), INCONCLUSIVE),
        (references(pooled=(SURE, TIES), none=([np.nan] * 3, TIES)), INCONCLUSIVE),
    ],
)
def test_which_polarity_leaks_more_is_decided_only_where_every_reference_agrees(estimates, verdict):
    row = polarity(estimates, MARGIN, 0.95, SOUND).iloc[0]
    assert row["verdict"] == verdict
    if not np.isnan(row["estimate"]):
        assert row["estimate"] == estimates["estimate"].iloc[0], "the first reference is shown"
        assert row["p"] == estimates["p"].max() and row["measured"].startswith(
            "negative − positive, against pooled (decided by "
        )


def test_a_reference_without_an_interval_is_named_unless_all_lack_one():
    """Of a few own contexts that alone have a kind, for example."""
    table = references(pooled=(SURE, TIES), few=(SURE, TIES))
    open_bounds = {name: table[name].where(table["reference"] != "few") for name in ("ci_low", "ci_high")}
    assert polarity(table.assign(**open_bounds), MARGIN, 0.95, SOUND)["reason"].tolist() == [
        "no interval against few"
    ]
    none = table.assign(ci_low=np.nan, ci_high=np.nan)
    assert polarity(none, MARGIN, 0.95, SOUND)["reason"].tolist() == ["no interval"]


def test_every_claim_is_prespecified_with_its_test_margin_and_unit():
    assert list(PRESPECIFIED) == ["C0", "C1", "C2", "C3", "C4", "C5"]
    for claim in PRESPECIFIED.values():
        assert claim.margin in ("agreement.margin", "scaling.margin", "mitigation.margin")
        assert claim.test
        assert claim.unit


def test_the_error_behind_a_bootstrap_interval_is_half_of_it_in_quantiles_of_t():
    found = board.from_interval(-0.10, -0.12, -0.08, 100, 11, 0.95)
    assert found.se == pytest.approx(0.02 / 2.2281, rel=1e-4)  # t(0.975; 10)
    assert found.p < 1e-5
    assert np.isnan(board.from_interval(-0.10, np.nan, np.nan, 100, 11, 0.95).se)


@pytest.mark.parametrize(
    ("tweets", "films", "verdict", "worst"),
    [  # low, estimate, high in each domain
        ((-0.04, 0.0, 0.04), (0.1, 0.2, 0.3), SUPPORTED, "tweets"),
        ((-0.06, 0.05, 0.16), (0.1, 0.2, 0.3), INCONCLUSIVE, "tweets"),
        ((0.1, 0.2, 0.3), (-0.3, -0.2, -0.1), CONTRADICTED, "films"),
    ],
)
def test_the_judge_must_be_no_worse_than_one_rater_in_every_domain(tweets, films, verdict, worst):
    difference = pd.DataFrame([tweets, films], columns=["ci_low", "estimate", "ci_high"])
    difference = difference.assign(domain=["tweets", "films"], n=[9, 8], n_documents=[700, 600])
    row = judge_agreement("vader", difference, 0.05, 0.95).iloc[0]
    assert list(row.index) == COLUMNS
    assert (row["claim"], row["verdict"], row["cluster_unit"]) == ("C1", verdict, "documents")
    assert worst in row["measured"]
    assert (row["n"], row["clusters"]) == ((9, 700) if worst == "tweets" else (8, 600))
    assert row["p_holm"] >= row["p"]
    # of the widest interval; 2.8 errors are seen, 1.96 make the half
    half = 0.11 if verdict == INCONCLUSIVE else 0.10
    assert row["detectable"] == pytest.approx(half * 2.8 / 1.96, rel=0.01)


def test_agreement_is_a_row_on_texts_and_one_on_completions():
    difference = pd.DataFrame(
        {
            "ci_low": [0.1],
            "estimate": [0.12],
            "ci_high": [0.14],
            "domain": "tweets",
            "n": 9,
            "n_documents": 700,
        }
    )
    columns = ["question", "weighted", "who", "measure", "estimate", "ci_low", "ci_high", "n", "n_stems"]
    kappa = pd.DataFrame(
        [("polarity", True, "judge − annotators", "kappa", -0.2, -0.22, -0.18, 90, 60)], columns=columns
    )
    rows = agreement("vader", difference, kappa.iloc[:0], 0.05, 0.95)
    assert rows[["verdict", "reason"]].values.tolist() == [
        [SUPPORTED, "no worse by 0.05 or more"],
        [INCONCLUSIVE, "nobody has labelled completions yet"],
    ]
    labelled = agreement("vader", difference, kappa, 0.05, 0.95).iloc[1]
    assert (labelled["verdict"], labelled["reason"]) == (
        CONTRADICTED,
        "worse by more than 0.05 in completions",
    )
    assert labelled["unit"] == "of kappa"


SIZES = tuple(10.0 ** np.arange(7, 12))  # five
FALLING, RISING, SCATTERED, LEVEL = [0, -1, -2.1, -2.9, -4], [0, 1, 2.1, 2.9, 4], [0, -3, 2, -4, 1], [0.0] * 5


def family(
    means: list[float], sizes=SIZES, start: float = 5, spread: float = 0.2, stems: int = 60
) -> pd.DataFrame:
    """A family with a shift of `start` plus one of `means` at each of `sizes`; stems scatter about it by
    `spread`."""
    rng = np.random.default_rng(1)
    shifts = [
        start + mean + spread * rng.permutation(np.linspace(-1, 1, stems)) for mean in means[: len(sizes)]
    ]
    models = zip(shifts, sizes, strict=True)
    return pd.concat([pairs(shift, shift, f"m{step}", size) for step, (shift, size) in enumerate(models)])


ALL_SOUND = {f"m{step}": "" for step in range(len(SIZES))}


@pytest.mark.parametrize(
    ("means", "faults", "verdict"),
    [
        (FALLING, ALL_SOUND, SUPPORTED),
        (RISING, ALL_SOUND, CONTRADICTED),
        (LEVEL, ALL_SOUND, CONTRADICTED),  # negligible
        (SCATTERED, ALL_SOUND, INCONCLUSIVE),
        (FALLING, ALL_SOUND | {"m1": PLACEBO_BROKEN}, INVALID),
        (FALLING, ALL_SOUND | {"m1": PLACEBO_OPEN}, SUPPORTED),
        (FALLING, ALL_SOUND | UNUSABLE | {"m2": "12 % of completions are unusable"}, INCONCLUSIVE),
    ],
)
def test_leakage_falls_with_size_where_the_slope_over_models_is_below_zero(means, faults, verdict):
    row = scaling(family(means), 5, MARGIN, 0.95, faults).iloc[0]
    slope = np.polyfit(range(5), means, 1)[0]
    assert (row["claim"], row["model"], row["verdict"]) == ("C2", "f (base, completion)", verdict)
    assert row["estimate"] == pytest.approx(slope, abs=0.05) and row["net"] == pytest.approx(
        10 * slope, abs=0.5
    )
    assert (row["n"], row["clusters"], row["cluster_unit"]) == (600, 5, "sizes")
    assert (PLACEBO_OPEN in row["reason"]) == (PLACEBO_OPEN in faults.values())


def test_however_sure_each_model_is_scattered_models_settle_nothing():
    rows = [
        scaling(family(SCATTERED, stems=stems), 5, MARGIN, 0.95, ALL_SOUND).iloc[0] for stems in (60, 600)
    ]
    assert [row["verdict"] for row in rows] == [INCONCLUSIVE, INCONCLUSIVE]
    widths = [row["ci_high"] - row["ci_low"] for row in rows]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)


def test_what_is_nowhere_surely_above_zero_does_not_fall():
    row = scaling(family(FALLING, start=-0.5), 5, MARGIN, 0.95, ALL_SOUND).iloc[0]
    assert (row["verdict"], row["reason"]) == (
        INCONCLUSIVE,
        "falls, but the shift is surely above 0 at no size",
    )
    assert row["ci_high"] < 0


@pytest.mark.parametrize(("sizes", "shown"), [(1, False), (2, False), (3, True), (4, True)])
def test_few_sizes_give_no_verdict_and_three_a_slope(sizes, shown):
    row = scaling(family(FALLING, SIZES[:sizes]), 5, MARGIN, 0.95, ALL_SOUND).iloc[0]
    assert (row["verdict"], row["reason"]) == (
        INCONCLUSIVE,
        f"needs at least 5 sizes of a family, has {sizes}",
    )
    assert row[["estimate", "ci_low", "ci_high"]].notna().all() == shown


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (family(FALLING).assign(parameters=np.nan), "needs at least 5 sizes of a family, has 0"),
        (
            family(FALLING, spread=0),
            "no standard error of m0, m1, m2, m3, m4: no scored pair, one stem, or stems that all agree",
        ),
    ],
    ids=["unknown sizes", "all ties"],
)
def test_what_allows_no_slope_is_said(table, reason):
    row = scaling(table, 5, MARGIN, 0.95, ALL_SOUND).iloc[0]
    assert (row["verdict"], row["reason"]) == (INCONCLUSIVE, reason)
    assert row[["estimate", "ci_low", "ci_high"]].isna().all()


def test_different_tunings_are_different_families():
    both = pd.concat([family(FALLING), family(RISING).assign(tuning="instruct")])
    assert scaling(both, 5, MARGIN, 0.95, ALL_SOUND)["verdict"].tolist() == [SUPPORTED, CONTRADICTED]


def benchmark(negative: list[float], positive: list[float], faults=SOUND, model: str = "m") -> Benchmark:
    table = pairs(negative, positive, model)
    return Benchmark(table, against_neutral(table), faults)


def test_without_a_curated_run_beside_it_nothing_is_said_of_a_mined_benchmark():
    for curated in (benchmark([], [], {}), benchmark(SURE, SURE, {"another": ""}, model="another")):
        table = mined(benchmark(SURE, SURE), curated, MARGIN, 0.95)
        assert table[["claim", "verdict", "n"]].values.tolist() == [["C5", INCONCLUSIVE, 0]]


LESS, SAME, MORE = (
    ([0.5, 0.6, 0.7], [1.8, 2.0, 2.2]),
    ([0.49, 0.6, 0.71], [1.8, 2.0, 2.2]),
    ([2.7, 3.0, 3.3], [4.2, 4.5, 4.9]),
)
NEGATIVE_MORE, OPPOSITE = ([1.8, 2.0, 2.2], [0.5, 0.6, 0.7]), ([-4.2, -4.5, -4.9], [-2.7, -3.0, -3.3])


@pytest.mark.parametrize(
    ("mined_shifts", "curated_shifts", "faults", "verdicts"),
    [  # sign, size, rank
        (LESS, MORE, SOUND, [SUPPORTED, CONTRADICTED, SUPPORTED]),
        (LESS, SAME, SOUND, [SUPPORTED, INCONCLUSIVE, SUPPORTED]),
        (LESS, NEGATIVE_MORE, SOUND, [SUPPORTED, INCONCLUSIVE, CONTRADICTED]),
        (LESS, OPPOSITE, SOUND, [CONTRADICTED, CONTRADICTED, SUPPORTED]),
        (LESS, (UNSURE, SURE), SOUND, [SUPPORTED, INCONCLUSIVE, INCONCLUSIVE]),
        ((TINY, TINY), (TINY, TINY), SOUND, [INCONCLUSIVE, SUPPORTED, INCONCLUSIVE]),
        (LESS, MORE, BROKEN, [INVALID] * 3),
        (LESS, MORE, UNUSABLE, [INCONCLUSIVE] * 3),
        (LESS, ([2.0], [2.0]), SOUND, [INCONCLUSIVE] * 3),
    ],
)
def test_the_mined_benchmark_must_agree_in_sign_size_and_rank(mined_shifts, curated_shifts, faults, verdicts):
    table = mined(benchmark(*mined_shifts), benchmark(*curated_shifts, faults), MARGIN, 0.95)
    assert list(table) == COLUMNS and set(table["claim"]) == {"C5"}
    assert table["verdict"].tolist() == verdicts
    sign, size, rank = (row for _, row in table.iterrows())
    assert sign["estimate"] == pytest.approx(np.mean(mined_shifts), abs=1e-9)
    assert size["estimate"] == pytest.approx(np.mean(mined_shifts) - np.mean(curated_shifts), abs=1e-9)
    if not np.isnan(rank["estimate"]):
        assert rank["estimate"] == pytest.approx(
            np.mean(mined_shifts[0]) - np.mean(mined_shifts[1]), abs=1e-9
        )


def test_the_verdict_on_a_claim_over_its_models_and_rows():
    several = pd.concat([pairs(SURE, SURE, "a"), pairs(NEGATIVE, NEGATIVE, "b"), pairs(UNSURE, UNSURE, "c")])
    faults = dict.fromkeys("abc", "")
    table = pd.concat(
        [
            existence(several, MARGIN, 0.95, faults),
            existence(several, MARGIN, 0.95, {"a": ""}).assign(claim="C4"),
            mined(benchmark(*LESS), benchmark(*MORE), MARGIN, 0.95),
        ]
    )
    found = board.by_claim(table).set_index("claim")
    assert found["verdict"].to_dict() == {"C0": "mixed", "C4": SUPPORTED, "C5": CONTRADICTED}
    assert found["counts"].to_dict()["C0"] == "1 supported, 1 contradicted, 1 inconclusive"
    assert found["models"].to_dict() == {"C0": 3, "C4": 1, "C5": 1}


def test_verdicts_are_as_judged_until_people_have_labelled():
    table = pd.concat(
        [existence(pairs(shifts, shifts), MARGIN, 0.95, SOUND) for shifts in (SURE, NEGATIVE, UNSURE)]
    )
    on_people = table.iloc[:1].assign(claim="C1")
    marked = board.as_judged(pd.concat([table, on_people]), labelled=False)
    said = [board.in_words(row) for row in marked.itertuples()]
    assert said == ["supported, as judged", "contradicted, as judged", INCONCLUSIVE, SUPPORTED]
    assert [board.in_words(row) for row in board.as_judged(table, labelled=True).itertuples()] == table[
        "verdict"
    ].tolist()
    assert board.in_words(next(board.by_claim(marked.iloc[:1]).itertuples())) == "supported, as judged"


def test_rows_are_labelled_by_what_is_measured_where_a_claim_has_several_of_a_model():
    table = mined(benchmark(*LESS), benchmark(*MORE), MARGIN, 0.95)
    assert board.labels(table)[1] == "m, size"
    assert board.labels(existence(pairs(SURE, SURE), MARGIN, 0.95, SOUND)) == ["m"]
    assert claims.leaks(pairs(SURE, SURE), 0.95) == {"m": True}
