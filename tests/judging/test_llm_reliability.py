"""What the replies of a judge that is asked tell of it: how steady it is, why some are unscored, when the
report is blocked."""

import json

import numpy as np
import pandas as pd
import pytest

from lib.config import specs
from lib.judging import judges, llm_judge, llm_reliability
from lib.replies.reply import Reply
from lib.report import judge_reliability
from lib.storage import records
from tests.asked_judge import GROUP, judge, many, rates, says, table
from tests.judging.test_rubrics import MALFORMED


def test_500_malformed_replies_are_unscored_kept_and_counted(mock_judge, tmp_path):
    stems = many(len(MALFORMED) // 4 + 1)
    replies = iter(MALFORMED * 2)
    mock_judge(lambda *_: next(replies))
    journal = tmp_path / "j.jsonl"
    assert np.isnan(llm_judge.of_completions(judge(), stems, journal)).all()
    kept = [json.loads(line) for line in journal.read_bytes().splitlines()]
    replies = [record["completion"] for record in kept if record["outcome"] != "empty"]
    assert set(replies) == {reply.strip() for reply in MALFORMED if any(map(str.isalnum, reply))}
    assert {record["completion"] for record in kept if record["outcome"] == "empty"} == {None}
    asked = llm_judge.asked_of(judge(), stems, journal)
    assert asked["labels"].isna().all()
    with pytest.raises(
        ValueError, match=rf"{len(asked):,} of {len(asked):,} replies \(100.0%\) hold no verdict"
    ):
        llm_reliability.demand_scored(asked, "asked", journal)


def test_a_judge_that_favours_the_first_place_is_found_out(mock_judge, tmp_path):
    mock_judge(lambda *_: says("positive", "neutral"))
    asked = llm_judge.asked_of(judge(), many(5), tmp_path / "j.jsonl")
    found = llm_reliability.reliability(asked, 0.95, 50, np.random.default_rng(1)).set_index("quantity")
    bias = found.loc["position bias"]
    # every text: 2 first, 0 second. 5 stems × 2 pairs × 2 texts
    assert (bias["estimate"], bias["n"], bias["n_stems"]) == (2, 20, 5)
    # five stems that agree: up to 1 - 0.025^(1/5) = 52.2 % of all might lie at -8 or 8
    assert found.loc["both orders, same label", "estimate"] == 0
    assert (bias["ci_low"], bias["ci_high"]) == pytest.approx((2 - 0.522 * 10, 2 + 0.522 * 6), abs=0.01)
    np.testing.assert_array_equal(
        llm_judge.of_completions(judge(), many(5), tmp_path / "j.jsonl"), np.ones(15)
    )


def test_a_fair_judge_has_no_position_bias(mock_judge, tmp_path):
    mock_judge(lambda texts, _: says(*("negative" if "negative" in text else "neutral" for text in texts)))
    asked = llm_judge.asked_of(judge(), many(5), tmp_path / "j.jsonl")
    bias, orders = (
        row
        for _, row in llm_reliability.reliability(asked, 0.95, 50, np.random.default_rng(1))
        .iloc[:2]
        .iterrows()
    )
    assert (bias["quantity"], bias["estimate"], bias["n"]) == ("position bias", 0, 20)
    assert (orders["quantity"], orders["estimate"], orders["n"]) == ("both orders, same label", 1, 20)


def test_biases_of_either_sign_cancel_but_are_not_hidden(mock_judge, tmp_path):
    # in half of the stems the first text gets 2 points more, in half the second
    mock_judge(
        lambda texts, _: says(
            *(("positive", "neutral") if int(texts[0].split()[1]) % 2 else ("neutral", "positive"))
        )
    )
    asked = llm_judge.asked_of(judge(), many(6), tmp_path / "j.jsonl")
    found = llm_reliability.reliability(asked, 0.95, 50, np.random.default_rng(1)).set_index("quantity")[
        "estimate"
    ]
    assert (found["position bias"], found["both orders, same label"]) == (0, 0)


def test_test_retest_by_hand(mock_judge, tmp_path):
    # Asked again, the text of stem 0 flips from negative to positive in both replies where it stands; the
    # rest stay.
    def say(texts, sample_index):
        mood = {"negative": "negative", "positive": "positive", "neutral": "neutral"}
        flips = {"negative 0": "positive"} if sample_index else {}
        return says(*(flips.get(text, mood[text.split()[0]]) for text in texts))

    mock_judge(say)
    asked = llm_judge.asked_of(judge(retest_fraction=1.0), many(3), tmp_path / "j.jsonl")
    assert asked["sample_index"].value_counts().to_dict() == {0: 12, 1: 12}
    found = llm_reliability.reliability(asked, 0.95, 200, np.random.default_rng(1)).set_index("quantity")
    # 3 stems × 2 pairs × 2 orders × 2 texts = 24, of which 2 flip: 22/24
    same, r = found.loc["test–retest, same label"], found.loc["test–retest, Pearson's r"]
    assert (same["n"], r["n"]) == (24, 24)
    assert same["estimate"] == pytest.approx(22 / 24)
    # first: −2 six times, 2 six times, 0 twelve times: mean 0, Σx² = 48. again: −2 four times, 2 eight times:
    # mean 1/3, Σy² − n·mean² = 48 − 24/9; Σxy = 4·4 + 6·4 − 2·4 = 32; r = 32 / √(48 · (48 − 24/9))
    assert r["estimate"] == pytest.approx(32 / np.sqrt(48 * (48 - 24 / 9)))
    assert r["ci_low"] < r["estimate"] <= r["ci_high"] <= 1


UNSCORED = {  # the reply to a pair, why it is unscored, what to do if many are
    "thought": (
        Reply("", 9, False, "thought_unfinished", "the thought took every token"),
        "cut off while thinking",
        "raise the thinking_tokens of the judge's model, or switch its thinking off, as with "
        "chat_template_kwargs: "
        "{enable_thinking: false}",
    ),
    "cut": (Reply(says("neutral", "neutral"), 256, False), "cut off", "raise the judge's max_new_tokens"),
    "none": (
        Reply("They are both fine.", 5, True),
        "no verdict",
        "ask a more capable model, or make the rubric plainer",
    ),
    "filter": (
        Reply("", 0, False, "filtered", "400: not here"),
        "filtered",
        "a model whose server does not filter",
    ),
    "refusal": (
        Reply("", 5, True, "refused", "I cannot."),
        "refused",
        "let the rubric say that the texts are only to be rated",
    ),
    "empty": (Reply(" ...\n", 2, True), "empty", "ask a more capable model"),
    "failed": (Reply("", 5, True, "failed", "it called a tool"), "failed", "put right what stopped it"),
}


@pytest.mark.parametrize("case", UNSCORED)
def test_each_way_to_be_unscored_has_a_name_and_a_remedy(mock_judge, tmp_path, case):
    reply, why, remedy = UNSCORED[case]
    mock_judge(lambda *_: reply)
    journal = tmp_path / "j.jsonl"
    assert np.isnan(llm_judge.of_completions(judge(), GROUP, journal)).all()
    asked = llm_judge.asked_of(judge(), GROUP, journal)
    assert asked["unscored"].tolist() == [why] * 6
    assert asked["labels"].isna().all() and asked["valences"].isna().all()
    with pytest.raises(ValueError, match=r"6 of 6 replies \(100.0%\) hold no verdict") as caught:
        llm_reliability.demand_scored(asked, "asked", journal)
    lines = str(caught.value).splitlines()
    assert f"hold no verdict: 6 {why}; at most 2% may" in lines[0]
    assert repr(reply.note or reply.text.strip()) in lines[1]
    assert remedy in lines[2]


def test_the_reading_counts_the_unscored_by_reason(mock_judge, tmp_path):
    def say(texts, _):
        if set(texts) == {"positive 0", "neutral 0"}:
            return UNSCORED["thought"][0]
        return UNSCORED["cut"][0] if texts == ["negative 1", "neutral 1"] else rates(texts)

    mock_judge(say)
    told = judge_reliability.summary(
        judge(), many(60), tmp_path / "j.jsonl", 0.95, 50, np.random.default_rng(1)
    )
    assert "240 replies of asked, 3 unscored (1.2%): 2 cut off while thinking, 1 cut off." in told
    asked = llm_judge.asked_of(judge(), many(60), tmp_path / "j.jsonl")
    assert llm_reliability.reasons(asked) == "2 cut off while thinking, 1 cut off"
    assert asked["unscored"].isna().sum() == asked["labels"].notna().sum() == 237


def test_the_remedy_is_that_of_the_commonest_reason(mock_judge, tmp_path):
    def say(texts, _):
        return UNSCORED["cut" if "neutral 0" in texts else "thought" if "neutral 1" in texts else "filter"][0]

    mock_judge(say)
    more = pd.concat([many(2), table(("s1", "none", "14."))])
    asked = llm_judge.asked_of(judge(), more, tmp_path / "j.jsonl")
    with pytest.raises(ValueError, match="6 cut off while thinking, 4 cut off; at most") as caught:
        llm_reliability.demand_scored(asked, "asked", tmp_path / "j.jsonl")
    assert "thinking_tokens" in str(caught.value)
    assert "max_new_tokens" not in str(caught.value)


def test_more_than_two_per_cent_unscored_blocks(tmp_path):
    replies = {"reply": "Verdict: none", "note": "", "unscored": ["cut off", "no verdict"] + [None] * 98}
    asked = pd.DataFrame(replies)
    llm_reliability.demand_scored(asked, "asked", tmp_path / "j.jsonl")  # 2 of 100 may
    asked.loc[2, "unscored"] = "no verdict"
    with pytest.raises(
        ValueError, match=r"3 of 100 replies \(3.0%\) hold no verdict: 2 no verdict, 1 cut off; at"
    ) as caught:
        llm_reliability.demand_scored(asked, "asked", tmp_path / "j.jsonl")
    for part in ("judge asked", str(tmp_path / "j.jsonl"), "Verdict: none", "a more capable model"):
        assert part in str(caught.value)


def test_the_reading_of_notebook_03(mock_judge, tmp_path):
    mock_judge(rates)
    journal = records.replies_path("some", "model", "asked")
    assert journal.relative_to(specs.ROOT).as_posix() == "outputs/some/replies/model--asked.jsonl"
    told = judge_reliability.summary(
        judge(retest_fraction=1.0), many(4), tmp_path / "j.jsonl", 0.95, 50, np.random.default_rng(1)
    )
    assert "32 replies of asked, 0 unscored (0.0%)" in told  # 4 stems × 2 pairs × 2 orders, each twice
    assert "**position bias**: +0.00 [−4.82, +4.82], n 16 in 4 stems" in told
    assert "**both orders, same label**: 1.00 [0.40, 1.00], n 16 in 4 stems" in told
    assert "**test–retest, same label**: 1.00 [0.40, 1.00], n 32 in 4 stems" in told
    assert "Pearson's r**: not estimated" in told  # all neutral
    vader = specs.VaderJudge(name="vader")
    assert judge_reliability.summary(vader, many(1), tmp_path, 0.95, 50, None).startswith(
        "Does not apply: vader"
    )


def test_too_many_unscored_ratings_block_the_validity_card_and_keep_the_replies(
    mock_judge, tmp_path, monkeypatch
):
    monkeypatch.setenv("EXPRESSION_LEAKAGE_CACHE", str(tmp_path))
    ratings = pd.DataFrame({"text": [f"text {number}" for number in range(100)]})
    mock_judge(lambda texts, _: "?" if texts[0] in ("text 3", "text 5") else says("neutral"))
    assert np.isnan(judges.of_rated(judge(), ratings)).sum() == 2  # 2 of 100 may
    model = mock_judge(lambda texts, _: "I would rather not say.")
    worse = ratings.replace({"text": {"text 7": "text 700"}})
    with pytest.raises(ValueError, match=r"judge asked: 3 of 100 replies \(3.0%\) hold no verdict") as caught:
        judges.of_rated(judge(), worse)
    assert len(model.asked) == 1
    assert str(tmp_path / "replies-asked.jsonl") in str(caught.value)
    assert "I would rather not say." in (tmp_path / "replies-asked.jsonl").read_text()
