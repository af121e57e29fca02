"""The claims board: what each verdict takes, and that too little evidence is called inconclusive."""

import numpy as np
import pandas as pd
import pytest

from lib import board, inference, power
from lib.board import COLUMNS, CONTRADICTED, INCONCLUSIVE, INVALID, SUPPORTED
from lib.claims import (
    PREREGISTERED,
    agreement,
    existence,
    judge_agreement,
    mined,
    mitigation,
    mitigation_effects,
    polarity,
    scaling,
)
from lib.usability import PLACEBO_BROKEN

SOUND, BROKEN, UNUSABLE = {"m": ""}, {"m": PLACEBO_BROKEN}, {"m": "38 % of completions are unusable"}
SURE, UNSURE = [18, 20, 22], [10, 20, 30]  # errors 2/sqrt(3) and 10/sqrt(3), t(0.975; 2) = 4.303: 20 ± 4.97 and 20 ± 24.8
ANY = 1e3  # a margin that holds no verdict back


def pairs(negative: list[float], positive: list[float], model: str = "m", parameters: float = 1e9) -> pd.DataFrame:
    """One pair for each stem and arm with the given net excess, and one of the placebo arm that should never count."""
    nets = {"negative": negative, "positive": positive, "placebo": [999.0] * len(negative)}
    rows = [(arm, f"s{place}", net) for arm, values in nets.items() for place, net in enumerate(values)]
    table = pd.DataFrame(rows, columns=["arm", "stem_id", "net"])
    spec = {"model": model, "family": "f", "tuning": "base", "mode": "completion", "parameters": parameters}
    return table.assign(**spec, group_id=table["stem_id"], sample_index=0)


@pytest.mark.parametrize(
    ("nets", "faults", "verdict"),
    [
        (SURE, SOUND, SUPPORTED),
        ([-18, -20, -22], SOUND, CONTRADICTED),
        (UNSURE, SOUND, INCONCLUSIVE),
        ([0, 0, 0], SOUND, INCONCLUSIVE),
        ([20], SOUND, INCONCLUSIVE),  # one stem, no interval
        (SURE, BROKEN, INVALID),
        (SURE, UNUSABLE, INCONCLUSIVE),
    ],
)
def test_existence_and_polarity_take_a_whole_interval_on_one_side_of_zero(nets, faults, verdict):
    c0 = existence(pairs(nets, nets), ANY, 0.95, faults).iloc[0]
    # stems differ widely, negative − positive does not: it is `nets` again
    shifted = pairs([50 * place + net for place, net in enumerate(nets)], [50 * place for place in range(len(nets))])
    c4 = polarity(shifted, ANY, 0.95, faults)
    for claim, row in (("C0", c0), ("C4", c4.iloc[0])):
        assert list(row.index) == COLUMNS
        assert (row["claim"], row["model"], row["verdict"], row["clusters"]) == (claim, "m", verdict, len(nets))
        assert row["estimate"] == pytest.approx(np.mean(nets))
    assert c0["n"] == 2 * len(nets)


@pytest.mark.parametrize(("margin", "verdict"), [(6.6, SUPPORTED), (6.5, INCONCLUSIVE)])
def test_a_run_that_could_not_have_seen_the_margin_proves_nothing(margin, verdict):
    row = existence(pairs(SURE, SURE), margin, 0.95, SOUND).iloc[0]
    assert row["verdict"] == verdict
    # 2/sqrt(3) times the mean of 5.65 errors that a t test with 2 degrees of freedom tells from 0 four times of five
    assert row["detectable"] == pytest.approx(6.528, abs=0.001)
    assert row["margin"] == margin
    if verdict == INCONCLUSIVE:
        assert row["reason"] == "could only have seen 6.5 points, the margin is 6.5"


def test_the_minimum_detectable_effect_is_seen_four_times_of_five():
    rng, spread, stems = np.random.default_rng(1), 10.0, 12
    known = power.Components(spread**2, 0.0, 0.0, stems, stems, stems)
    effect = power.minimum_detectable_effect(known, stems)
    studies = rng.normal(effect, spread, (4000, stems))
    reached = np.abs(studies.mean(axis=1)) / (studies.std(axis=1, ddof=1) / np.sqrt(stems)) > 2.201  # t(0.975; 11)
    assert reached.mean() == pytest.approx(0.8, abs=0.03)
    of_each = [power.detectable_effect(inference.clustered_mean(study, range(stems))) for study in studies[:400]]
    assert np.sqrt(np.mean(np.square(of_each))) == pytest.approx(effect, rel=0.03)
    assert power.detectable_effect(inference.clustered_mean(studies[0], range(stems)), 0.99) > of_each[0]
    assert np.isnan(power.detectable_effect(inference.clustered_mean([1.0], ["s"])))


def test_an_unusable_row_says_so_whatever_else_could_be_said_of_it():
    for nets in (SURE, UNSURE, [20]):
        row = existence(pairs(nets, nets), 1.0, 0.95, UNUSABLE).iloc[0]
        assert (row["verdict"], row["reason"]) == (INCONCLUSIVE, "38 % of completions are unusable")


def test_a_verdict_must_survive_holm_over_the_models_of_its_claim():
    weak = [15.5, 20, 24.5]  # error 2.6, t = 7.7, p = 0.016
    alone = existence(pairs(weak, weak), ANY, 0.95, SOUND).iloc[0]
    assert (alone["verdict"], alone["p_holm"]) == (SUPPORTED, alone["p"])
    names = [f"m{place}" for place in range(4)]
    several = pd.concat([pairs(weak, weak, model) for model in names])
    table = existence(several, ANY, 0.95, dict.fromkeys(names, ""))
    assert table["p_holm"].tolist() == pytest.approx([4 * alone["p"]] * 4)
    assert table["verdict"].tolist() == [INCONCLUSIVE] * 4
    assert table["reason"][0] == f"not after Holm's correction (p = {4 * alone['p']:.3f})"


def test_every_claim_is_registered_with_its_test_margin_and_unit():
    assert list(PREREGISTERED) == ["C0", "C1", "C2", "C3", "C4", "C5"]
    for claim in PREREGISTERED.values():
        assert claim.margin in ("agreement.margin", "scaling.margin", "mitigation.margin")
        assert claim.test
        assert claim.unit


def test_the_error_behind_a_bootstrap_interval_is_half_of_it_in_quantiles_of_t():
    found = board.from_interval(-0.10, -0.12, -0.08, 100, 11, 0.95)
    assert found.error == pytest.approx(0.02 / 2.2281, rel=1e-4)  # t(0.975; 10)
    assert found.p < 1e-5
    assert np.isnan(board.from_interval(-0.10, np.nan, np.nan, 100, 11, 0.95).error)


@pytest.mark.parametrize(
    ("tweets", "films", "verdict", "worst"),
    [  # low, estimate, high in each domain
        ((0.0, 0.10, 0.2), (0.1, 0.2, 0.3), SUPPORTED, "tweets"),
        ((-0.1, 0.05, 0.2), (0.1, 0.2, 0.3), INCONCLUSIVE, "tweets"),
        ((0.1, 0.2, 0.3), (-0.3, -0.2, -0.1), CONTRADICTED, "films"),
    ],
)
def test_the_judge_must_be_as_good_as_one_rater_in_every_domain(tweets, films, verdict, worst):
    difference = pd.DataFrame([tweets, films], columns=["low", "estimate", "high"])
    difference = difference.assign(domain=["tweets", "films"], n=[9, 8], n_documents=[700, 600])
    row = judge_agreement("vader", difference, 0.3, 0.95).iloc[0]
    assert list(row.index) == COLUMNS
    assert (row["claim"], row["verdict"], row["cluster_unit"]) == ("C1", verdict, "documents")
    assert worst in row["measured"]
    assert (row["n"], row["clusters"]) == ((9, 700) if worst == "tweets" else (8, 600))
    assert row["p_holm"] >= row["p"]
    held_back = judge_agreement("vader", difference, 0.1, 0.95).iloc[0]
    assert held_back["verdict"] == INCONCLUSIVE
    half = 0.15 if verdict == INCONCLUSIVE else 0.10  # of the widest interval; 2.8 errors are seen, 1.96 make the half
    assert held_back["detectable"] == pytest.approx(half * 2.8 / 1.96, rel=0.01)


def test_agreement_is_a_row_on_texts_and_one_on_completions():
    difference = pd.DataFrame({"low": [0.1], "estimate": [0.12], "high": [0.14], "domain": "tweets", "n": 9, "n_documents": 700})
    columns = ["question", "weighted", "who", "measure", "estimate", "low", "high", "n", "n_stems"]
    kappa = pd.DataFrame([("polarity", True, "judge − annotators", "kappa", -0.2, -0.22, -0.18, 90, 60)], columns=columns)
    rows = agreement("vader", difference, kappa.iloc[:0], 0.05, 0.95)
    assert rows[["verdict", "reason"]].values.tolist() == [
        [SUPPORTED, "as good as one rater in every domain"],
        [INCONCLUSIVE, "nobody has labelled completions yet"],
    ]
    labelled = agreement("vader", difference, kappa, 0.05, 0.95).iloc[1]
    assert (labelled["verdict"], labelled["reason"], labelled["unit"]) == (CONTRADICTED, "below people", "of kappa")


SIZES = tuple(10.0 ** np.arange(7, 12))  # five
SPREAD = [-2, -1, 0, 1, 2]  # of the stems about their model's mean: errors of sqrt(2.5 / 5) = 0.71


def family(means: list[float], sizes=SIZES, start: float = 50) -> pd.DataFrame:
    """A family with a net excess of `start` plus one of `means` at each of `sizes`, and a valence shift of a tenth of it."""
    rng = np.random.default_rng(1)
    nets = [start + mean + rng.permutation(SPREAD) for mean in means[: len(sizes)]]
    table = pd.concat([pairs(net, net, f"m{step}", size) for step, (net, size) in enumerate(zip(nets, sizes, strict=True))])
    return table.assign(shift=table["net"] / 10)


ALL_SOUND = {f"m{step}": "" for step in range(len(SIZES))}
FALLING, RISING, SCATTERED = [0, -10, -21, -29, -40], [0, 10, 21, 29, 40], [0, -30, 20, -40, 10]


@pytest.mark.parametrize(
    ("means", "faults", "verdict"),
    [
        (FALLING, ALL_SOUND, SUPPORTED),
        (RISING, ALL_SOUND, CONTRADICTED),
        (SCATTERED, ALL_SOUND, INCONCLUSIVE),
        (FALLING, ALL_SOUND | {"m1": PLACEBO_BROKEN}, INVALID),
        (FALLING, ALL_SOUND | UNUSABLE | {"m2": "12 % of completions are unusable"}, INCONCLUSIVE),
    ],
)
def test_leakage_falls_with_size_where_the_slope_over_models_is_below_zero(means, faults, verdict):
    row = scaling(family(means), 5, ANY, 0.95, faults).iloc[0]
    assert (row["claim"], row["model"], row["verdict"]) == ("C2", "f (base, completion)", verdict)
    assert row["estimate"] == pytest.approx(np.polyfit(range(5), means, 1)[0] / 10, abs=0.3)
    assert (row["n"], row["clusters"], row["cluster_unit"]) == (50, 5, "sizes")


def test_however_sure_each_model_is_scattered_models_settle_nothing():
    few = scaling(family(SCATTERED), 5, ANY, 0.95, ALL_SOUND).iloc[0]
    copies = [family(SCATTERED).assign(stem_id=lambda table, copy=copy: table["stem_id"] + f"-{copy}") for copy in range(40)]
    many = scaling(pd.concat(copies), 5, ANY, 0.95, ALL_SOUND).iloc[0]
    assert many["verdict"] == INCONCLUSIVE
    assert many["high"] - many["low"] == pytest.approx(few["high"] - few["low"], rel=0.05)


def test_what_is_nowhere_surely_above_zero_does_not_fall():
    row = scaling(family(FALLING, start=-5), 5, ANY, 0.95, ALL_SOUND).iloc[0]
    assert (row["verdict"], row["reason"]) == (INCONCLUSIVE, "falls, but net excess is surely above 0 at no size")
    assert row["high"] < 0


@pytest.mark.parametrize(("sizes", "shown"), [(1, False), (2, False), (3, True), (4, True)])
def test_few_sizes_give_no_verdict_and_three_a_slope(sizes, shown):
    row = scaling(family(FALLING, SIZES[:sizes]), 5, ANY, 0.95, ALL_SOUND).iloc[0]
    assert (row["verdict"], row["reason"]) == (INCONCLUSIVE, f"needs at least 5 sizes of a family, has {sizes}")
    assert row[["estimate", "low", "high"]].notna().all() == shown


def test_different_tunings_are_different_families():
    both = pd.concat([family(FALLING), family(RISING).assign(tuning="instruct")])
    assert scaling(both, 5, ANY, 0.95, ALL_SOUND)["verdict"].tolist() == [SUPPORTED, CONTRADICTED]


def test_a_family_of_unknown_sizes_has_a_row_that_says_so():
    row = scaling(family(FALLING).assign(parameters=np.nan), 5, ANY, 0.95, ALL_SOUND).iloc[0]
    assert (row["verdict"], row["reason"]) == (INCONCLUSIVE, "needs at least 5 sizes of a family, has 0")


def test_without_a_curated_run_beside_it_nothing_is_said_of_a_mined_benchmark():
    for curated in (pairs([], []), pairs(SURE, SURE, model="another")):
        board = mined(pairs(SURE, SURE), curated, ANY, 0.95, SOUND, {"another": ""})
        assert board[["claim", "verdict", "n"]].values.tolist() == [["C5", INCONCLUSIVE, 0]]


LESS, MORE, NEGATIVE_MORE = ([5, 6, 7], [18, 20, 22]), ([27, 30, 33], [42, 45, 49]), ([18, 20, 22], [5, 6, 7])


@pytest.mark.parametrize(
    ("mined_nets", "curated_nets", "faults", "verdict", "reason"),
    [
        (LESS, MORE, SOUND, SUPPORTED, "same sign, and the same polarity leaks more"),
        (LESS, NEGATIVE_MORE, SOUND, CONTRADICTED, "opposite rank"),
        (LESS, ([-42, -45, -49], [-27, -30, -33]), SOUND, CONTRADICTED, "opposite sign"),  # both rank positive above negative
        (LESS, (UNSURE, SURE), SOUND, INCONCLUSIVE, "same sign, rank not sure in both"),
        (LESS, MORE, BROKEN, INVALID, "placebo rule broken"),
        (LESS, MORE, UNUSABLE, INCONCLUSIVE, "38 % of completions are unusable"),
    ],
)
def test_the_mined_benchmark_must_agree_in_sign_and_rank(mined_nets, curated_nets, faults, verdict, reason):
    told = pairs(*mined_nets), pairs(*curated_nets)
    row = mined(*told, ANY, 0.95, SOUND, faults).iloc[0]
    assert list(row.index) == COLUMNS
    assert (row["claim"], row["verdict"], row["reason"]) == ("C5", verdict, reason)
    assert row["estimate"] == pytest.approx(np.mean(mined_nets) - np.mean(curated_nets))
    assert (row["n"], row["clusters"]) == (12, 6)
    if verdict == SUPPORTED:
        assert mined(*told, 1.0, 0.95, SOUND, faults)["reason"][0].startswith("could only have seen")


def effects(asked: dict[str, list[float]], margin: float = 5) -> pd.DataFrame:
    """The effects table from the changes of net excess of each stem under each mitigation."""
    rows = [("m", name, f"s{place}", change) for name, changes in asked.items() for place, change in enumerate(changes)]
    return mitigation_effects(pd.DataFrame(rows, columns=["model", "mitigation", "stem_id", "effect"]), margin, 0.95)


NOTHING, LOWERS, WIDE = [-0.5, 0, 0.5], [-38, -40, -42], [-30, 0, 30]


@pytest.mark.parametrize(("margin", "mitigates"), [(30, True), (36, False)])
def test_mitigating_takes_the_whole_interval_beyond_the_margin(margin, mitigates):
    table = effects({"calm": LOWERS, "plain": NOTHING}, margin).set_index("mitigation")  # -40 ± 4.97 and 0 ± 1.24
    assert table["mitigates"].to_dict() == {"calm": mitigates, "plain": False}
    assert table["equivalent"].to_dict() == {"calm": False, "plain": True}
    assert table["p_holm"].to_dict() == pytest.approx({"calm": 2 * table.loc["calm", "p"], "plain": 1})


@pytest.mark.parametrize(
    ("asked", "faults", "verdict"),
    [
        ({"calm": NOTHING, "focus": NOTHING}, SOUND, SUPPORTED),
        ({"calm": NOTHING, "focus": LOWERS}, SOUND, CONTRADICTED),
        ({"calm": NOTHING, "focus": WIDE}, SOUND, INCONCLUSIVE),
        ({"calm": NOTHING, "focus": [38, 40, 42]}, SOUND, INCONCLUSIVE),  # it raises leakage: neither
        ({"calm": NOTHING, "control": LOWERS}, SOUND, SUPPORTED),  # the control takes no part
        ({"control": LOWERS}, SOUND, INCONCLUSIVE),
        ({}, SOUND, INCONCLUSIVE),
        ({"calm": LOWERS}, BROKEN, INVALID),
        ({"calm": LOWERS}, UNUSABLE, INCONCLUSIVE),
    ],
)
def test_prompting_mitigates_or_is_equivalent_to_nothing_or_neither(asked, faults, verdict):
    row = mitigation(effects(asked), ["m"], "control", ANY, 0.95, faults, {"m": True}).iloc[0]
    assert (row["claim"], row["model"], row["verdict"]) == ("C3", "m", verdict)
    assert np.isnan(row["estimate"]) == (not set(asked) - {"control"})


def test_where_nothing_leaks_there_is_nothing_to_mitigate():
    row = mitigation(effects({"calm": NOTHING}), ["m"], None, ANY, 0.95, SOUND, {"m": False}).iloc[0]
    assert (row["verdict"], row["reason"]) == (
        INCONCLUSIVE,
        "every prompt equivalent to none, but nothing surely leaks without",
    )


def test_the_board_shows_the_strongest_lowering_and_who_was_not_asked():
    board = mitigation(effects({"calm": NOTHING, "focus": LOWERS}), ["m", "unasked"], None, 5.0, 0.95, SOUND, SOUND)
    assert board["measured"][0] == "change of net excess by focus"
    assert board["reason"][0] == "could only have seen 6.5 points, the margin is 5.0"
    assert board["estimate"][0] == pytest.approx(-40)
    assert board["reason"][1] == "not asked with a mitigation beside the control"
