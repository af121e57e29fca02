"""Whether a mined benchmark is as it should be: where everything went, gates that must hold, what people say
of its sentences."""

from collections import Counter

import numpy as np
import pandas as pd

from lib.config.sections import Mining
from lib.corpora import wet
from lib.dataset import curated_prompts
from lib.mining import extract, neutrality
from lib.stats import inference

CONFIDENCE = 0.95
NEUTRAL, CHARGED = (
    0.5,
    1.0,
)  # people find neutral what has a mean rating below the one, charged what reaches the other; ours
LEAST = {
    "neutral": 0.65,
    "charged": 0.85,
}  # shares of all rated sentences that the rules choose which people rate so; ours


def counts(read: Counter, mined: Counter) -> pd.DataFrame:
    """Where records, lines, sentences and candidates went: stage, what, count, share (of the stage's total,
    its first row)."""
    stages = {
        "records": {"records": read["records"], "kept": read["kept"], **wet.dropped(read)},
        "lines": _of(mined, "line"),
        "sentences": _of(mined, "sentence", "role_"),
        "candidates": {
            "candidates": _sum(mined, "role_"),
            "used": mined["used"],
            **_starting(mined, "dropped_"),
        },
    }
    rows = [(stage, what, count) for stage, part in stages.items() for what, count in part.items()]
    table = pd.DataFrame(rows, columns=["stage", "what", "count"])
    return table.assign(
        share=table["count"] / table.groupby("stage")["count"].transform("first").clip(lower=1)
    )


def _starting(counted: Counter, *starts: str) -> dict[str, int]:
    found = {key: count for key, count in counted.items() if key.startswith(starts)}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _sum(counted: Counter, *starts: str) -> int:
    return sum(_starting(counted, *starts).values())


def _of(counted: Counter, what: str, *more: str) -> dict[str, int]:
    return {f"{what}s": counted[f"{what}s"], **_starting(counted, f"{what}_", *more)}


def _unaccounted(read: Counter, mined: Counter) -> int:
    """Records, pages, lines, sentences and candidates that no counter tells of."""
    return sum(
        abs(gap)
        for gap in (
            read["records"] - read["kept"] - sum(wet.dropped(read).values()),
            read["kept"] - mined["pages"],
            mined["lines"] - _sum(mined, "line_"),
            mined["sentences"] - _sum(mined, "sentence_", "role_"),
            _sum(mined, "role_") - mined["used"] - _sum(mined, "dropped_"),
        )
    )


def gates(
    table: pd.DataFrame, sources: pd.DataFrame, read: Counter, mined: Counter, told: Mining
) -> pd.DataFrame:
    """One row a gate: gate, must_be (at least, at most), value, limit, passed. Limits are ours."""
    by_id = sources.set_index("text_id")
    arms = table[table["arm"] != "none"]
    arms = arms.assign(
        words=arms["context"].str.split().str.len(),
        strength=arms["context_id"].map(by_id["predicted"]).abs(),
        url=arms["context_id"].map(by_id["url"]),
    )
    words, strength = arms.groupby("arm")["words"].mean(), arms.groupby("arm")["strength"].mean()
    own = pd.concat([arms["url"], table.loc[table["arm"] == "none", "stem_id"].map(by_id["url"])])
    pages = own.groupby(table["group_id"]).nunique()
    rules = (
        felt(sources, told)
        .query("scope == 'all that the rules choose' and domain == 'all'")
        .set_index("role")["share"]
    )
    bare = [*table["stem"].unique(), *arms.loc[arms["arm"].isin(["neutral", "placebo"]), "context"].unique()]
    between = abs(strength["negative"] - strength["positive"])
    rows = [
        ("groups", "at least", table["group_id"].nunique(), told.groups),
        ("records, lines, sentences and candidates unaccounted for", "at most", _unaccounted(read, mined), 0),
        (
            "words between the means of negative and positive contexts",
            "at most",
            abs(words["negative"] - words["positive"]),
            0.3,
        ),
        ("words between the means of charged and neutral contexts", "at most", np.ptp(words.to_numpy()), 1.0),
        ("points between the strengths of negative and positive contexts", "at most", between, 0.1),
        (
            "stems and neutral contexts with a word of a lexicon",
            "at most",
            sum(not extract.is_bare(text) for text in bare),
            0,
        ),
        (
            "groups that one context serves",
            "at most",
            int(arms.groupby("context_id")["group_id"].nunique().max()),
            told.max_stems_per_match,
        ),
        ("groups whose sentences share a page", "at most", int((pages < len(curated_prompts.ARMS)).sum()), 0),
        (
            "share of rated sentences mined as neutral that people rate so",
            "at least",
            rules["neutral"],
            LEAST["neutral"],
        ),
        (
            "share of rated sentences mined as negative that people rate so",
            "at least",
            rules["negative"],
            LEAST["charged"],
        ),
        (
            "share of rated sentences mined as positive that people rate so",
            "at least",
            rules["positive"],
            LEAST["charged"],
        ),
    ]
    table = pd.DataFrame(rows, columns=["gate", "must_be", "value", "limit"])
    value, limit = table["value"], table["limit"]
    return table.assign(passed=np.where(table["must_be"] == "at most", value <= limit, value >= limit))


def demand(gates: pd.DataFrame) -> None:
    """ValueError, naming every gate that did not hold, with its value and limit."""
    failed = [
        f"{row.gate}: {row.value:.3g}, must be {row.must_be} {row.limit:g}"
        for row in gates[~gates["passed"]].itertuples()
    ]
    if failed:
        remedy = "give more text, ask for fewer groups, or change thresholds"
        raise ValueError(f"the mined benchmark fails {'; '.join(failed)}\n{remedy}")


def felt(sources: pd.DataFrame, told: Mining) -> pd.DataFrame:
    """How often people rate a sentence as it was mined: scope, role, domain, share, low, high, n, documents.

    Scope 'in the benchmark': its stems and contexts whose whole sentence is a rated text. 'all that the rules
    choose': every rated text that passes the rules of `lib.mining.extract` and the thresholds, each predicted
    by a model that did not see its document, whether or not it is whole and stands alone
    (`lib.mining.standalone`): how a sentence is felt is asked here, not how it is worded.
    Neutral: |mean| < NEUTRAL; charged: mean of the right sign and |mean| ≥ CHARGED. Intervals are clustered
    by document.
    """
    texts = neutrality.learnt()[1]
    signed = texts["predicted"] * np.where(texts["role"] == "negative", -1, 1)
    bare = texts["role"].isin(["stem", "neutral"])
    charged = (signed >= told.min_predicted_rating) & (texts["valence"].abs() >= told.min_abs_vader)
    right = np.where(bare, signed <= told.max_predicted_rating, charged)
    texts = texts[right & texts["role"].isin(extract.ROLES)]
    own = sources[["role"]].join(neutrality.felt(sources["sentence"])).dropna(subset="mean")
    both = pd.concat(
        [own.assign(scope="in the benchmark"), texts.assign(scope="all that the rules choose")],
        ignore_index=True,
    )
    both["role"] = both["role"].replace("stem", "neutral")
    mean, sign = both["mean"], np.where(both["role"] == "negative", -1, 1)
    both["agrees"] = np.where(both["role"] == "neutral", mean.abs() < NEUTRAL, mean * sign >= CHARGED).astype(
        float
    )
    both = pd.concat([both.assign(domain="all"), both], ignore_index=True)
    table = inference.clustered_shares(
        both, "agrees", ["scope", "role", "domain"], CONFIDENCE, "document", 1.0
    )
    table = table.rename(columns={"estimate": "share", "n_stems": "documents"})
    return table[["scope", "role", "domain", "share", "ci_low", "ci_high", "n", "documents"]].sort_values(
        ["scope", "role", "domain"]
    )
