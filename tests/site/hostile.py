"""Ten thousand made-up pairs, some with hostile texts, for the proof of the explorer. No model wrote them."""

import numpy as np
import pandas as pd

from lib.report import pairs

N_PAIRS = 10_000
ALERT = "<script>alert(1)</script>"
HOSTILE = (
    ALERT,
    "</script><img src=x onerror=alert(1)>",
    "a wonderful " + "terrible day " * 770,
    "w" * 10_000,
    "مرحبا بالعالم، هذا يوم رائع",
    "\u202eoverridden and never popped",
    "\x1b[31mred, they say\x1b[0m\x07",
    "👩‍👩‍👧‍👦 so happy 😀 :( and ‘awful’",
    "line one\nline two\r\n\tand three",
    "Z̷̢̛͙̈́a̷l̴g̵o̶ is great",
    "constructor __proto__ hasOwnProperty toString",
    "&lt;b&gt;bold?&lt;/b&gt; &amp; \\u003cscript>",
)
WORDS = ("a", "lovely", "terrible", "street", "cat", "was", "near", "river", "happy", "sad", "of", "awful")
EMOTIONS = {"negative": ("anger", "fear", "sadness"), "positive": ("joy", "pride"), "neutral": ("none",)}


def judgements(rng: np.random.Generator, groups: int = N_PAIRS // 20) -> pd.DataFrame:
    """Judgements of two models, 20 pairs a group, with texts and valences picked at random."""
    levels = [("model-a", "model-b"), ("none", "ignore"), range(groups), EMOTIONS, range(4)]
    names = ["model", "mitigation", "group", "arm", "sample_index"]
    rows = pd.MultiIndex.from_product(levels, names=names).to_frame(index=False)
    rows = rows[(rows["mitigation"] == "none") | (rows["sample_index"] == 0)].reset_index(drop=True)
    n, number = len(rows), rows["group"].astype(str)
    texts = [" ".join(rng.choice(WORDS, 12)) + f", number {i}." for i in range(n)]
    hostile = rng.random(n) < 0.1
    bad = pd.Series([f"{text} {i}" for i, text in enumerate(rng.choice(HOSTILE, n))], dtype=object)
    completion = pd.Series(texts, dtype=object).mask(hostile, bad)
    missing = rng.random(n) < 0.03
    valence = pd.Series(rng.normal(0, 1.5, n).clip(-4, 4)).mask(missing)
    return rows.drop(columns="group").assign(
        group_id="stem-" + number + "+m1",
        stem_id="stem-" + number,
        domain="domain " + (rows["group"] % 7).astype(str),
        slot=np.where(rows["group"] % 2, "open", "closed"),
        form="explicit",
        intensity=np.where(rows["group"] % 3, "strong", "weak"),
        emotion=[EMOTIONS[arm][i % len(EMOTIONS[arm])] for i, arm in enumerate(rows["arm"])],
        context=rows["arm"] + " context " + number + ", a furious one.",
        stem="The stem " + number + " was",
        completion=completion.mask(missing, None),
        outcome=np.where(missing, rng.choice(["refused", "thought_unfinished"], n), "answered"),
        note=np.where(missing, f"a note {ALERT}", ""),
        valence=valence,
        charged=(valence.abs() > 0.2).astype("boolean").mask(missing),
        repeats=False,
        judge="made-up-1",
    )


def made_up() -> dict:
    """Data of N_PAIRS pairs, as `pairs.to_json` returns those of a run."""
    table = pairs.table(judgements(np.random.default_rng(1)))
    assert len(table) == N_PAIRS
    about = {"version": pairs.VERSION, "set": "made-up", "title": f"Made up {ALERT}", "confidence": 0.95}
    judge = {"name": "made-up", "version": "made-up-1"}
    more = {"mock": "MADE UP: no model wrote this.", "judge": judge, "t": pairs.quantiles(0.95)}
    return {**about, **more, "no_mitigation": "none", **pairs.columnar(table)}
