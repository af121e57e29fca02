"""A mock model for tests and the smoke set: no weights, a known leak rate."""

import json
from typing import ClassVar

import numpy as np
import pandas as pd

from lib.config import mitigation_texts
from lib.config.specs import Model
from lib.models.base import Backend, no_progress
from lib.nlp import vader
from lib.replies.reply import Reply


class MockModel(Backend):
    """A mock model that draws a stock phrase and adopts the mood of its context at a known rate.

    `mock:leak-30` adopts it in 30 % of draws. Its number of parameters is invented: the less it leaks, the
    larger it claims to be.
    """

    CHARGED = 0.1  # rate of charged phrases that are independent of the context
    PHRASES: ClassVar = {
        "plain": (
            "the one by the door.",
            "oak and pine.",
            "Elm Street.",
            "half past nine.",
            "14.",
            "one of the usual ones.",
        ),
        "negative": ("a sad and gloomy thing.", "Misery Lane.", "a terrible disaster."),
        "positive": ("a wonderful, happy thing.", "Joy Street.", "a great success."),
    }

    def __init__(self, spec: Model):
        self.spec = spec
        percent = int(spec.id.rsplit("-", 1)[1])
        self.leak = percent / 100
        self.parameters = 10 ** (8 - percent // 10)
        self.fingerprint = json.dumps({"mock": spec.id, "phrases": self.PHRASES, "charged": self.CHARGED})

    def render(self, context: str, stem: str, mitigation: str) -> str:
        """Render the plain text of the prompt."""
        return mitigation_texts.placed(mitigation, context, stem).plain

    def reply(
        self, requests: pd.DataFrame, temperature: float, max_new_tokens: int, seed: int, progress=no_progress
    ) -> list[Reply]:
        """One Reply per row of `requests`, the same for the same seed, group_id, sample_index and mood."""
        moods = np.sign(vader.valences(requests["context"].tolist()))
        keys = zip(requests["group_id"], requests["sample_index"], moods, strict=True)
        texts = [self._phrase(group, index, mood, seed) for group, index, mood in keys]
        progress(len(texts))
        return [Reply(text, len(text.split()), ended=True) for text in texts]

    def _phrase(self, group_id: str, sample_index: int, mood: float, seed: int) -> str:
        rng = np.random.default_rng([seed, sample_index, *group_id.encode()])
        leaks, charged, side = rng.random(3)
        if mood and leaks < self.leak:
            polarity = "negative" if mood < 0 else "positive"
        elif charged < self.CHARGED:
            polarity = "negative" if side < 0.5 else "positive"
        else:
            polarity = "plain"
        return str(rng.choice(self.PHRASES[polarity]))
