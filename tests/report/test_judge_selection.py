"""What notebook 04c says of how the judge was chosen, and what told feelings a judge hears."""

import pandas as pd
import pytest

from lib.agreement import face_validity
from lib.config.specs import LearnedJudge, VaderJudge
from lib.judging import judges
from lib.report import judge_selection
from lib.report.judge_selection import CEILING, CHOSEN, DOCUMENTS, DOMAIN, NULL_VALUE

LEARNED, VADER = LearnedJudge(name="learned"), VaderJudge(name="vader")
SAID = [  # judge, way, r in tweets and in reviews
    (CEILING, NULL_VALUE, 0.8, 0.8),
    ("VADER", NULL_VALUE, 0.7, 0.4),
    ("ridge", DOCUMENTS, 0.6, 0.5),
    (CHOSEN, DOCUMENTS, 0.8, 0.6),
    ("ridge", DOMAIN, 0.5, 0.5),
    (CHOSEN, DOMAIN, 0.6, 0.6),
]


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        (judge, 10, way, domain, r, r - 0.1, r + 0.1, 1000, 900, "learned-1")
        for judge, way, *both in SAID
        for domain, r in zip(("tweets", "reviews"), both, strict=True)
    ]
    return pd.DataFrame(rows, columns=judge_selection.COLUMNS)


def test_who_is_best_where_and_whether_the_aim_is_met(table):
    said = judge_selection.summary(table, VADER)
    assert f"On unseen documents, *{CHOSEN}* has the highest r of the candidates in tweets, reviews." in said
    # unseen domain: 0.6 < VADER's 0.7 in tweets, 0.6 > 0.5 in reviews
    assert (
        f"On an unseen domain, *{CHOSEN}* has the highest r of the candidates in reviews; *VADER* in tweets."
        in said
    )
    assert f"is missed in reviews by *{CHOSEN}*." in said  # 0.8 = 0.8 in tweets, 0.6 < 0.8 in reviews


def test_another_version_is_named(table, monkeypatch):
    for version, said in (
        ("learned-1", "It is the judge in use, learned-1."),
        ("learned-2", "**It is not the judge in use**"),
    ):
        monkeypatch.setattr(judges, "version", lambda judge, version=version: version)
        assert said in judge_selection.summary(table, LEARNED)


def test_the_table_has_a_row_for_each_judge_and_way(table):
    shown = judge_selection.format_table(table)
    assert shown.loc[(CHOSEN, 10, DOMAIN), "reviews"] == "0.60 [0.50, 0.70]"
    assert len(shown) == len(SAID) + 1 and shown.iloc[-1].tolist() == ["1,000", "1,000"]


def test_the_kept_selection_is_whole():
    kept = judge_selection.read()
    assert kept.columns.tolist() == judge_selection.COLUMNS and not kept.isna().any(axis=None)
    assert not kept.duplicated(["judge", "tested_on", "domain"]).any()
    assert {CEILING, CHOSEN} < set(kept["judge"]) and {DOCUMENTS, DOMAIN} < set(kept["tested_on"])
    assert kept["estimate"].between(kept["ci_low"], kept["ci_high"]).all()
    assert judge_selection.summary(kept, VADER)


def test_vader_hears_what_is_told_plainly_and_misses_idioms():
    told = face_validity.scores([VADER])
    heard = face_validity.by_feeling(told).loc["vader"]
    assert heard["matches"].sum() == len(told) == 173
    assert (
        heard.loc[("explicit", "strong"), "in order, %"]
        > 90
        > heard.loc[("idiomatic", "strong"), "in order, %"]
    )
    assert "**vader** puts" in face_validity.summary(told)


def test_order_and_sign_by_hand():
    columns = ["judge", "form", "intensity", "match_id", "negative", "neutral", "neutral2", "positive"]
    rows = [("j", "explicit", "strong", "a", -2, 0, 1, 2), ("j", "explicit", "strong", "b", 1, 0, 2, 3)]
    cell = face_validity.by_feeling(pd.DataFrame(rows, columns=columns)).iloc[0]
    assert cell.tolist() == [-0.5, 2.5, 0.75, 50, 50, 2]
