"""C3: what a prompt retains of the leak, with intervals that hold for all prompts at once, and what each
verdict takes."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from lib.analysis.usability import PLACEBO_BROKEN
from lib.claims import mitigation
from lib.claims.board import COLUMNS, CONTRADICTED, INCONCLUSIVE, INVALID, SUPPORTED
from lib.config.specs import ParameterError
from lib.report import mitigation_reports
from lib.stats import simultaneous
from tests.simulations.simulate_mitigation import coverage, study, with_same_controls

SOUND = {"m": ""}
QUIET = 0.15  # standard deviation of a draw


def effects(table: pd.DataFrame, controls=("control",), margin: float = 0.25) -> pd.DataFrame:
    """The effects of a study in which every prompt has the same controls."""
    return mitigation.effects(table, with_same_controls(table, list(controls)), margin, 0.95)


def decided(
    retained: dict[str, float],
    controls=("control",),
    faults=SOUND,
    stems: int = 60,
    noise: float = QUIET,
    leaks=True,
    **how,
):
    """C3 of one simulated model whose prompts retain such shares of a leak of 1 point."""
    table = study(retained, stems, np.random.default_rng(1), noise=noise, **how)
    found = effects(table, controls)
    board = mitigation.claim(found, ["m"], 0.25, 0.95, faults, {"m": leaks})
    return board.set_index(board["measured"].str.split(":").str[0])


@pytest.mark.parametrize(
    ("retained", "faults", "verdicts"),
    [
        ({"calm": 1.0, "focus": 1.0, "control": 1.0}, SOUND, [SUPPORTED, SUPPORTED]),
        ({"calm": 1.0, "focus": 0.4, "control": 1.0}, SOUND, [SUPPORTED, CONTRADICTED]),
        (
            {"calm": 1.0, "focus": 1.4, "control": 1.0},
            SOUND,
            [SUPPORTED, SUPPORTED],
        ),  # raising the leak keeps it
        (
            {"calm": 0.4, "focus": 0.4, "control": 0.4},
            SOUND,
            [INCONCLUSIVE, INCONCLUSIVE],
        ),  # so does any sentence
        ({"calm": 1.0, "focus": 0.4}, SOUND, [INCONCLUSIVE, INCONCLUSIVE]),  # no control was asked
        ({"calm": 1.0, "control": 1.0}, {"m": PLACEBO_BROKEN}, [INVALID]),
        ({"calm": 1.0, "control": 1.0}, {"m": "38 % of completions are unusable"}, [INCONCLUSIVE]),
        ({"control": 1.0}, SOUND, [INCONCLUSIVE]),
        ({}, SOUND, [INCONCLUSIVE]),
    ],
)
def test_each_prompt_lowers_the_leak_or_keeps_it_or_neither(retained, faults, verdicts):
    board = decided(retained, faults=faults)
    assert list(board) == COLUMNS and board["verdict"].tolist() == verdicts
    assert np.isnan(board["estimate"].iloc[0]) == (not set(retained) - {"control"})
    for name in set(board.index) & set(retained):
        assert board.loc[name, "ci_low"] < retained[name] - 1 < board.loc[name, "ci_high"]


@pytest.mark.parametrize(
    ("retained", "reason"),
    [
        (0.4, "lowers the leak, by at least 25 %"),
        (0.74, "lowers the leak"),
        (0.9, "lowers the leak, but keeps at least 75 % of the leak"),
        (1.0, "keeps at least 75 % of the leak"),
    ],
)
def test_the_reason_says_how_much(retained, reason):
    (said,) = decided({"calm": retained, "control": 1.0})["reason"]
    assert said.partition(" (one-sided")[0] == reason and ("bound" in said) == ("keeps" in said)


@pytest.mark.parametrize("margin", [0.05, 0.15, 0.25, 0.4])
def test_the_bound_of_what_is_kept_is_where_its_test_turns(margin):
    """At every margin the test finds more than 1 − margin retained exactly if the bound lies above it."""
    table = study({"calm": 0.9, "focus": 0.75, "control": 1.0}, 40, np.random.default_rng(6), noise=0.6)
    found = effects(table, margin=margin)
    assert ((found["p_keeps"] < 0.05) == (found["kept"] > 1 - margin)).all()
    at_bound = [
        effects(table, margin=1 - row.kept)["p_keeps"][place] for place, row in enumerate(found.itertuples())
    ]
    assert at_bound == pytest.approx([0.05] * len(found))


def test_a_noisy_run_or_one_that_does_not_leak_says_neither():
    said = decided({"calm": 0.8, "control": 1.0}, noise=3.0)["reason"].iloc[0]
    assert said == "neither surely lower nor sure to keep 75 % of the leak"
    assert (
        decided({"calm": 1.0, "control": 1.0}, leaks=False)["reason"].iloc[0]
        == "nothing surely leaks without it"
    )
    assert decided({"calm": 1.0, "control": 1.0}, stems=1)["verdict"].iloc[0] == INCONCLUSIVE


def test_a_prompt_that_changes_nothing_at_all_keeps_the_leak():
    row = decided({"calm": 1.0, "control": 1.0}, same_noise=True, noise=1.0).iloc[0]
    assert (row["estimate"], row["verdict"]) == (pytest.approx(0), SUPPORTED)


def test_all_prompts_are_shown_and_several_controls_count_as_their_mean():
    table = study(
        {"calm": 1.0, "focus": 0.5, "one": 0.9, "two": 1.1}, 40, np.random.default_rng(2), noise=QUIET
    )
    found = effects(table, ["one", "two"])
    assert found[["mitigation", "role", "against"]].values.tolist() == [
        ["calm", "prompt", "none"],
        ["calm", "prompt", "controls"],
        ["focus", "prompt", "none"],
        ["focus", "prompt", "controls"],
        ["one", "control", "none"],
        ["two", "control", "none"],
    ]
    means = table[table["arm"] != "placebo"].groupby("mitigation")["shift"].mean()
    controls = (means["one"] + means["two"]) / 2
    assert found["estimate"][3] == pytest.approx(means["focus"] - controls)
    assert found["ratio"][3] == pytest.approx(means["focus"] / controls) and (found["n"] == 80).all()
    shown = mitigation_reports.effects(found)
    assert shown["mitigation"].tolist() == ["calm", "focus", "one", "two"]
    assert shown["change [simultaneous interval], against controls"].tolist()[2:] == ["–", "–"]
    assert "controls" not in shown, "all prompts have the same"
    assert mitigation_reports.effects_summary(found).count(" retains ") == 2


def test_each_prompt_is_compared_with_the_mean_of_its_own_controls():
    retained = {"calm": 1.0, "focus": 0.5, "alone": 0.7, "one": 0.9, "two": 1.1, "three": 0.6, "spare": 1.0}
    table = study(retained, 40, np.random.default_rng(2), noise=QUIET)
    own = {"calm": ["one", "two"], "focus": ["three"], "alone": []}
    found = mitigation.effects(table, own, 0.25, 0.95)
    against = found[found["against"] == mitigation.CONTROLS].set_index("mitigation")
    assert against["controls"].to_dict() == {"calm": "one, two", "focus": "three"}
    assert found.loc[found["role"] == "control", "mitigation"].tolist() == ["one", "two", "three", "spare"]
    assert (found.loc[found["against"] == mitigation.NONE, "controls"] == "").all()
    means = table[table["arm"] != "placebo"].groupby("mitigation")["shift"].mean()
    assert against["baseline"].to_dict() == pytest.approx(
        {"calm": (means["one"] + means["two"]) / 2, "focus": means["three"]}
    )
    assert against.loc["focus", "estimate"] == pytest.approx(means["focus"] - means["three"])
    board = mitigation.claim(found, ["m"], 0.25, 0.95, SOUND, {"m": True})
    assert board["reason"][2].startswith("no control was asked")
    shown = mitigation_reports.effects(found)
    assert shown["controls"].tolist() == ["one, two", "three", *["–"] * 5]


def test_a_control_that_a_model_has_no_value_under_is_left_out_and_the_table_names_the_others():
    table = study({"calm": 0.8, "one": 0.9, "two": 1.1}, 40, np.random.default_rng(2), noise=QUIET)
    table.loc[table["mitigation"] == "two", "shift"] = np.nan
    found = mitigation.effects(table, {"calm": ["one", "two"]}, 0.25, 0.95)
    assert found["controls"].tolist() == ["", "one", "", ""] and found["n"].tolist() == [80, 80, 80, 0]
    means = table.groupby("mitigation")["shift"].mean()
    assert found["baseline"][1] == pytest.approx(means["one"])


def test_the_same_controls_for_all_prompts_give_what_the_mean_of_all_controls_gave():
    """The numbers of the version that compared every prompt with the mean of all controls."""
    retained = {"calm": 0.9, "focus": 0.5, "one": 0.9, "two": 1.1, "three": 1.0}
    table = study(retained, 40, np.random.default_rng(5), noise=0.6)
    found = effects(table, ["one", "two", "three"])
    found = found[found["against"] == mitigation.CONTROLS].set_index("mitigation")
    before = {
        "baseline": [0.799702147115, 0.799702147115],
        "estimate": [-0.116251999977, -0.48445275202],
        "ci_low": [-0.270020924577, -0.66701389243],
        "ci_high": [0.0375169246218, -0.301891611611],
        "se": [0.0658699605409, 0.0782036757194],
        "p": [0.164188358116, 9.999900001e-06],
        "ratio": [0.854630876762, 0.394208514047],
        "ratio_low": [0.651034980909, 0.185230425243],
        "ratio_high": [1.05010379605, 0.573441110675],
        "p_keeps": [0.108402735704, 0.999954346949],
        "kept": [0.712068207302, 0.250292953913],
    }
    for column, values in before.items():
        assert found[column].tolist() == pytest.approx(values, rel=1e-9), column


def in_wordings(shift: dict[int, float], stems: int = 90) -> pd.DataFrame:
    """Pairs of a study whose stems are asked in wordings by turns; each wording adds its `shift` to what
    "calm" leaves."""
    table = study({"calm": 0.8, "control": 1.0}, stems, np.random.default_rng(4), noise=QUIET)
    turn = table["stem_id"].str[1:].astype(int) % len(shift) + 1
    asked = table["mitigation"] != "none"
    table["wording"] = turn.where(asked & (table["mitigation"] == "calm"), asked.astype(int))
    return table.assign(
        shift=table["shift"] + table["wording"].map(shift).where(table["mitigation"] == "calm", 0.0)
    )


def test_each_wording_has_its_own_change_and_the_prompt_has_their_mean():
    table = in_wordings({1: 0.0, 2: -0.5, 3: 0.5})
    found = mitigation.by_wording(table, ["control"], 0.95)
    assert found[["mitigation", "wording", "n", "n_stems"]].values.tolist() == [
        ["calm", k, 60, 30] for k in (1, 2, 3)
    ]
    for row in found.itertuples():
        cells = table[
            (table["arm"] != "placebo") & (table["stem_id"].str[1:].astype(int) % 3 + 1 == row.wording)
        ]
        means = cells.groupby("mitigation")["shift"].mean()
        assert (row.baseline, row.estimate) == (
            pytest.approx(means["none"]),
            pytest.approx(means["calm"] - means["none"]),
        )
        assert row.ci_low < row.estimate < row.ci_high
    pooled = effects(table).iloc[0]
    assert pooled["estimate"] == pytest.approx(found["estimate"].mean())


def test_the_spread_between_wordings_is_what_their_errors_do_not_explain():
    apart = mitigation.spread(
        mitigation.by_wording(in_wordings({1: 0.0, 2: -0.5, 3: 0.5}), ["control"], 0.95)
    ).iloc[0]
    assert apart["wordings"] == 3 and apart["greatest"] - apart["least"] == pytest.approx(1.0, abs=0.3)
    assert apart["deviation"] == pytest.approx(0.5, abs=0.15)
    alike = mitigation.spread(
        mitigation.by_wording(in_wordings({1: 0.0, 2: 0.0, 3: 0.0}), ["control"], 0.95)
    ).iloc[0]
    assert alike["deviation"] < 0.1


def test_wordings_are_shown_with_words_or_said_to_be_none():
    found = mitigation.by_wording(in_wordings({1: 0.0, 2: -0.5, 3: 0.5}), ["control"], 0.95)
    assert mitigation_reports.by_wording(found)["wording"].tolist() == [1, 2, 3]
    assert "over its 3 wordings" in mitigation_reports.spread_summary(mitigation.spread(found))
    single = mitigation.by_wording(in_wordings({1: 0.0}), ["control"], 0.95)
    assert single.empty and mitigation_reports.by_wording(single).empty
    assert (single["mitigation"] + ", wording " + single["wording"].astype(str)).empty, (
        "as the figure's rows are named"
    )
    assert (
        mitigation_reports.spread_summary(mitigation.spread(single))
        == "No prompt of this set was asked in several wordings."
    )
    with pytest.raises(ParameterError, match=r"no column wording.*run notebooks 02"):
        mitigation.by_wording(study({"calm": 1.0}, 4, np.random.default_rng(1)), [], 0.95)


def test_a_wording_without_an_error_leaves_the_spread_unknown():
    found = mitigation.by_wording(in_wordings({1: 0.0, 2: 0.5}, stems=2), ["control"], 0.95)
    assert found["ci_low"].isna().all()
    assert "not known" in mitigation_reports.spread_summary(mitigation.spread(found))


def test_the_texts_are_listed_in_all_wordings_with_what_they_are_compared_with():
    texts = {
        "calm": ["Be calm.", "Stay calm."],
        "apart": "{system} Be calm.",
        "control": "Write.",
        "long": "Write it in a single line.",
    }
    listed = mitigation_reports.texts(texts, ["control", "long"])
    assert listed.values.tolist() == [
        ["calm", 1, "Be calm.", "asks for less leakage", "none, control, long"],
        ["calm", 2, "Stay calm.", "asks for less leakage", "none, control, long"],
        [
            "apart",
            1,
            "{system} Be calm.",
            "asks for less leakage",
            "none, control, long (none stands where it does)",
        ],
        ["control", 1, "Write.", "control", "none"],
        ["long", 1, "Write it in a single line.", "control", "none"],
    ]
    assert mitigation_reports.texts({"calm": "Be calm."}, [])["compared with"].tolist() == ["none"]


@pytest.mark.parametrize(("each", "unit", "count"), [(1, "stems", 60), (3, "matches", 20)])
def test_the_board_tells_what_c3_is_clustered_by(each, unit, count):
    """Every match is met by `each` stems, and every stem meets one."""
    table = study({"calm": 1.0, "control": 1.0}, 60, np.random.default_rng(1), noise=QUIET)
    table["group_id"] = table["stem_id"] + "+m" + (table["stem_id"].str[1:].astype(int) // each).astype(str)
    found = effects(table)
    assert (found["cluster_unit"] == unit).all() and (found["n_stems"] == 60).all()
    board = mitigation.claim(found, ["m"], 0.25, 0.95, SOUND, {"m": True}, found)
    assert (board["clusters"][0], board["cluster_unit"][0]) == (count, unit)


def test_cells_without_a_value_are_counted_and_all_draws_without_a_mitigation_are_the_baseline():
    table = study({"calm": 1.0, "control": 1.0}, 10, np.random.default_rng(2), noise=QUIET, draws=3)
    lost = (table["mitigation"] == "calm") & (table["stem_id"] == "s0") & (table["arm"] == "negative")
    table.loc[lost, "shift"] = np.nan
    first = effects(table).iloc[0]
    assert (first["n"], first["left_out"], first["n_stems"]) == (19, 1, 10)
    bare = table[
        (table["mitigation"] == "none") & ~((table["stem_id"] == "s0") & (table["arm"] == "negative"))
    ]
    assert first["baseline"] == pytest.approx(bare["shift"].mean()) and len(bare) == 3 * 19


def test_a_prompt_none_of_whose_completions_can_be_judged_has_a_row_without_numbers():
    table = study({"calm": 1.0, "focus": 1.0, "control": 1.0}, 30, np.random.default_rng(2), noise=QUIET)
    table.loc[table["mitigation"] == "focus", "shift"] = np.nan
    found = effects(table)
    board = mitigation.claim(found, ["m"], 0.25, 0.95, SOUND, {"m": True})
    assert board["verdict"].tolist() == [SUPPORTED, INCONCLUSIVE]
    assert board["reason"][1] == "no pair of completions can be judged" and np.isnan(board["estimate"][1])


def test_p_is_corrected_over_the_models_that_leak():
    names = ["a", "b", "c"]
    tables = [
        study({"calm": 0.75, "control": 1.0}, 25, np.random.default_rng(3), noise=0.9).assign(model=name)
        for name in names
    ]
    alone = effects(tables[0])
    together = effects(pd.concat(tables))
    single = mitigation.claim(alone, ["a"], 0.25, 0.95, {"a": ""}, {"a": True})
    several = mitigation.claim(
        together, names, 0.25, 0.95, dict.fromkeys(names, ""), dict.fromkeys(names, True)
    )
    assert several["p_holm"].tolist() == pytest.approx([min(1, 3 * single["p_holm"][0])] * 3)
    two = mitigation.claim(
        together, names, 0.25, 0.95, dict.fromkeys(names, ""), {"a": True, "b": True, "c": False}
    )
    assert two["p_holm"].tolist()[:2] == pytest.approx([min(1, 2 * single["p_holm"][0])] * 2)
    assert two["reason"][2] == "nothing surely leaks without it"


def test_a_prompt_that_keeps_the_leak_is_corrected_whatever_the_other_prompts_of_its_model_do():
    """Model a's own p, of its worst prompt, is 0.95: twice that is cut at 1, and its factor would be 1.05 in
    place of 2."""
    fields = {
        "role": "prompt",
        "baseline": 0.2,
        "estimate": 0.0,
        "ci_low": -0.05,
        "ci_high": 0.05,
        "se": 0.02,
        "df": 50.0,
        "p": 0.9,
        "ratio": 1.0,
        "ratio_low": 0.7,
        "ratio_high": 1.3,
        "kept": 0.76,
        "n": 600,
        "n_stems": 300,
        "n_matches": 170,
        "cluster_unit": "matches",
    }

    def board(of_other: float) -> pd.DataFrame:
        told = [("a", "calm", 0.04), ("a", "focus", 0.95), ("b", "calm", of_other), ("b", "focus", of_other)]
        rows = [
            fields | {"model": model, "mitigation": name, "against": against, "p_keeps": p}
            for model, name, p in told
            for against in (mitigation.NONE, mitigation.CONTROLS)
        ]
        leaking = {"a": True, "b": True}
        return mitigation.claim(pd.DataFrame(rows), ["a", "b"], 0.25, 0.95, {"a": "", "b": ""}, leaking)

    assert board(0.9)["verdict"].tolist() == [INCONCLUSIVE] * 4  # 2 × 0.04
    found = board(0.01)  # b keeps at 2 × 0.01, and what is left is a family of one
    assert found["verdict"].tolist() == [SUPPORTED, INCONCLUSIVE, SUPPORTED, SUPPORTED]
    assert found["p_holm"].tolist()[::2] == pytest.approx([0.04, 0.02])


def test_intervals_hold_for_all_prompts_at_once_and_ratios_for_each(monkeypatch):
    monkeypatch.setattr(simultaneous, "greatest", partial(simultaneous.greatest, draws=10_000))
    row = coverage(studies=40, stems=40).iloc[0]
    assert row["all changes held, %"] == pytest.approx(95, abs=7)
    assert row["ratio held, %"] >= 93
    assert row["false lowering, %"] <= 8
    assert row["false keeping, %"] <= 8
