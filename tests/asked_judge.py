"""A judge that is asked, with a mock model in the place of a language model: functions of the two texts."""

import re
from types import SimpleNamespace

import pandas as pd

from lib.config import specs
from lib.judging import rubrics
from lib.models.base import Backend
from lib.replies.reply import Reply

WORTH = rubrics.read("valence").labels
SPEC = {"name": "m", "id": "nobody/asked", "family": "f", "tuning": "instruct", "mode": "chat"}
CHARGED, PLAIN, GLAD = "Misery Lane.", "Elm Street.", "Joy Street."


def judge(**changes) -> specs.Judge:
    return specs.JUDGE_SCHEMA.validate_python(
        {"name": "asked", "kind": "llm", "model": SPEC, "retest_fraction": 0.0} | changes
    )


class MockJudge(Backend):
    """A stand-in that is asked: `say(texts, sample_index)` is its reply, `asked` what it was asked."""

    parameters, fingerprint = None, "mock"

    def __init__(self, say):
        self.say, self.asked, self.dies_after = say, [], None
        self.spec = SimpleNamespace(server=None)

    def question(self, text: str) -> str:
        return text

    def reply(self, requests, temperature, max_new_tokens, seed, progress):
        assert requests["context"].isna().all(), "a judge must not see contexts"
        if self.dies_after is not None and len(self.asked) + len(requests) > self.dies_after:
            raise KeyboardInterrupt
        self.asked += zip(requests["rendered"], requests["sample_index"], strict=True)
        told = [self.say(texts_of(row.rendered), row.sample_index) for row in requests.itertuples()]
        return [reply if isinstance(reply, Reply) else Reply(reply, 5, True) for reply in told]


def texts_of(question: str) -> list[str]:
    """The texts that a question of the shipped rubric is about."""
    return re.findall(r"^Text(?: [12])?: (.*)$", question, re.MULTILINE)


def says(*labels: str) -> str:
    return f"Some words about them.\nVerdict: {' | '.join(labels)}"


def rates(texts: list[str], sample_index: int = 0) -> str:
    """A sound judge of the texts used here, whatever their place."""
    known = {CHARGED: "very negative", GLAD: "positive"}
    return says(*(known.get(text, "neutral") for text in texts))


def table(*rows: tuple) -> pd.DataFrame:
    """Completions: stem and group, arm, completion."""
    made = pd.DataFrame(rows, columns=["stem_id", "arm", "completion"])
    return made.assign(
        group_id=made["stem_id"], mitigation="none", sample_index=0, prompt_id=made["stem_id"] + made["arm"]
    )


GROUP = table(
    ("s", "none", "14."), ("s", "neutral", PLAIN), ("s", "negative", CHARGED), ("s", "positive", GLAD)
)


def many(stems: int) -> pd.DataFrame:
    """Groups whose texts all differ."""
    arms = ("neutral", "negative", "positive")
    return table(*((f"s{stem}", arm, f"{arm} {stem}") for stem in range(stems) for arm in arms))
