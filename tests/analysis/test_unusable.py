"""A model none of whose completions, or none of an arm, can be judged: every table is made, nothing is
estimated, none is 0."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.analysis import leakage, polarity, semantic_leakage, usability
from lib.annotation import sampling_plan
from lib.claims import claims, mitigation
from lib.claims.board import INCONCLUSIVE
from lib.report import annotation_reports, card, reports, results
from tests import simulated

ARMS = ("none", "neutral", "placebo", "negative", "positive")
MITIGATIONS = ("none", "calm")


def judged(lost: tuple[str, ...]) -> pd.DataFrame:
    """Judgements of 12 stems, all completions of the arms `lost` refused, unmitigated and under a
    mitigation."""
    rng = np.random.default_rng(1)
    plain = simulated.judged(simulated.completions(12, 1, rng, models=1), "good", rng)
    table = pd.concat([plain.assign(mitigation=name) for name in MITIGATIONS], ignore_index=True)
    refused = table["arm"].isin(lost)
    about = {
        "slot": "closed",
        "family": "f",
        "tuning": "instruct",
        "mode": "chat",
        "parameters": np.nan,
        "context": "A feeling.",
    }
    return table.assign(
        **about,
        outcome=np.where(refused, "refused", "answered"),
        completion=table["completion"].astype(object).where(~refused, None),
        valence=table["valence"].mask(refused),
        charged=table["charged"].astype("boolean").mask(refused),
        repeats=pd.Series(False, table.index, dtype="boolean").mask(refused),
    )


@pytest.fixture(params=[ARMS, ("negative",), ("neutral",)], ids=["all", "negative", "neutral"])
def lost(request):
    return request.param


def test_every_claim_is_inconclusive_with_the_reason(lost):
    table = judged(lost)
    plain = leakage.unmitigated(table)
    pairs, (model,) = leakage.pairs(plain), plain["model"].unique()
    faults = usability.faults(plain, pairs, 0.95, 0.1)
    assert faults[model] in [f"100 % of completions are unusable (arm {arm})" for arm in lost]
    effects = mitigation.effects(leakage.pairs(table), {"calm": []}, 0.25, 0.95)
    board = pd.concat(
        [
            claims.existence(pairs, 0.1, 0.95, faults),
            claims.polarity(polarity.by_reference(plain, 0.95), 0.1, 0.95, faults),
            claims.scaling(pairs, 3, 0.1, 0.95, faults),
            mitigation.claim(effects, [model], 0.25, 0.95, faults, claims.leaks(pairs, 0.95)),
        ]
    )
    assert (board["verdict"] == INCONCLUSIVE).all() and board["reason"].str.contains(
        faults[model], regex=False
    ).all()
    if lost != ("negative",):
        assert board["estimate"].isna().all()


def test_a_card_tells_what_is_missing_and_estimates_nothing(lost):
    plain = leakage.unmitigated(judged(lost))
    spec = SimpleNamespace(name="m", id="m", mode="chat")
    leaks = {"verdict": INCONCLUSIVE, "reason": "100 % of completions are unusable"}
    told = results._of_model(spec, plain, leakage.pairs(plain), leaks, 0.95)
    share = 100 * len(lost) / plain["arm"].nunique() if lost != ARMS else 100
    assert told["missing"]["all"] == pytest.approx(share, abs=1e-4) and told["missing"]["in_worst_arm"] == 100
    assert told["missing"]["outcomes"] == {"refused": int((plain["outcome"] == "refused").sum())}
    rows = {(row["arm"], row["quantity"]): row for row in told["quantities"]}
    net = rows["negative", "net"]
    assert (net["estimate"], net["ci_low"], net["n"]) == (None, None, 0)
    assert (rows["both", "net"]["estimate"] is None) == (lost != ("negative",))
    whole = {
        "models": [told],
        "set": "m",
        "title": "m",
        "is_mock": False,
        "temperature": 0.7,
        "seed": 1,
        "confidence": 0.95,
        "benchmark": "curated",
        "judge": {"name": "j", "version": "j-1", "agreement": AGREEMENT},
    }
    shown = "\n".join(card.lines(whole))
    assert f"{told['missing']['outcomes']['refused']:,} refused" in shown and "nan" not in shown
    assert "  negative   not estimated, n 0" in shown and "not estimated" in card.markdown(whole)
    if lost != ("negative",):
        assert "net excess   not estimated, n 0 pairs" in shown and "none lies further" not in shown


AGREEMENT = [{"domain": "tweets", "judge": 0.8, "one_rater": 0.9}]


def test_there_is_nothing_to_label_and_every_table_of_labels_is_made(lost):
    table = leakage.unmitigated(judged(lost))
    frame = sampling_plan.frame(table, np.zeros(len(table)))
    key = sampling_plan.draw(frame, 20, 1)
    labels = pd.DataFrame(
        columns=["annotator", "item_id", "charge", "intensity", "called_for", "complete", "seconds"]
    )
    labels = labels.astype({"annotator": str, "item_id": str, "charge": str, "complete": bool})
    found = annotation_reports.quantities(table, key, labels, 0.95)
    assert "judge's alone" in annotation_reports.format_quantities(found).data
    if lost == ("negative",):
        assert set(key["arm"]) == {"positive", "placebo"} and key["sampled"].any()
    else:
        assert (
            key.empty
            and found.empty
            and annotation_reports.how_to(key, "m").data == annotation_reports.NULL_VALUE
        )


def test_sentences_say_that_nothing_is_estimated():
    table = leakage.unmitigated(judged(ARMS))
    bounds = leakage.unscored_bounds(table, ["model"], 0.95)
    said = reports.bounds_summary(bounds, table)
    assert "net excess not estimated, " in said and "nan" not in said
    rates = pd.DataFrame(
        {"arm": ["negative"], "pairs": ["all"], "estimate": [np.nan], "ci_low": [np.nan], "ci_high": [np.nan]}
    )
    assert "not estimated" in semantic_leakage.summary(rates, np.full(3, np.nan))
