"""Checks of a mined benchmark: accounting, gates that must hold, and human ratings of its sentences."""

from collections import Counter

import numpy as np
import pandas as pd

from lib.config.sections import Mining
from lib.corpora import wet
from lib.dataset import curated_prompts
from lib.mining import extract, neutrality
from lib.runtime.errors import DataError
from lib.stats import inference

CONFIDENCE = 0.95
# a sentence is neutral if its |mean rating| is below NEUTRAL, charged if it reaches CHARGED; own choice
NEUTRAL, CHARGED = 0.5, 1.0
# least share of the rated sentences chosen by the rules that people rate accordingly; own choice
LEAST = {"neutral": 0.65, "charged": 0.85}


def counts(read: Counter, mined: Counter) -> pd.DataFrame:
    """What became of all records, lines, sentences and candidates.

    Args:
        read: Counts of records, as `wet.counted` returns them.
        mined: Counts of pages, lines, sentences and candidates.

    Returns:
        One row per stage and outcome: stage, what, count, share (of the stage's total, its first row).
    """
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
    rows = [(stage, what, count) for stage, outcomes in stages.items() for what, count in outcomes.items()]
    table = pd.DataFrame(rows, columns=["stage", "what", "count"])
    return table.assign(
        share=table["count"] / table.groupby("stage")["count"].transform("first").clip(lower=1)
    )


def _starting(counted: Counter, *starts: str) -> dict[str, int]:
    selected = {key: count for key, count in counted.items() if key.startswith(starts)}
    return dict(sorted(selected.items(), key=lambda item: -item[1]))


def _sum(counted: Counter, *starts: str) -> int:
    return sum(_starting(counted, *starts).values())


def _of(counted: Counter, what: str, *more: str) -> dict[str, int]:
    return {f"{what}s": counted[f"{what}s"], **_starting(counted, f"{what}_", *more)}


def _unaccounted(read: Counter, mined: Counter) -> int:
    """Number of records, pages, lines, sentences and candidates that no counter covers."""
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
    table: pd.DataFrame, sources: pd.DataFrame, read: Counter, mined: Counter, config: Mining
) -> pd.DataFrame:
    """The gates that a mined benchmark must pass; the limits are this project's own.

    Args:
        table: The prompts.
        sources: Their sources, as in `mined.Benchmark`.
        read: Counts of records, as `wet.counted` returns them.
        mined: Counts of pages, lines, sentences and candidates.
        config: The mining section of a parameter set.

    Returns:
        One row per gate: gate, must_be (at least, at most), value, limit, passed.
    """
    by_id = sources.set_index("text_id")
    arms = table[table["arm"] != "none"]
    arms = arms.assign(
        words=arms["context"].str.split().str.len(),
        strength=arms["context_id"].map(by_id["predicted"]).abs(),
        url=arms["context_id"].map(by_id["url"]),
    )
    urls = pd.concat([arms["url"], table.loc[table["arm"] == "none", "stem_id"].map(by_id["url"])])
    pages = urls.groupby(table["group_id"]).nunique()
    bare = [*table["stem"].unique(), *arms.loc[arms["arm"].isin(["neutral", "placebo"]), "context"].unique()]
    charged_bare = sum(not extract.is_bare(text) for text in bare)
    uses = int(arms.groupby("context_id")["group_id"].nunique().max())
    rows = [
        ("groups", "at least", table["group_id"].nunique(), config.groups),
        ("records, lines, sentences and candidates unaccounted for", "at most", _unaccounted(read, mined), 0),
        *_balance(arms),
        ("stems and neutral contexts with a word of a lexicon", "at most", charged_bare, 0),
        ("groups that one context serves", "at most", uses, config.max_stems_per_match),
        ("groups whose sentences share a page", "at most", int((pages < len(curated_prompts.ARMS)).sum()), 0),
        *_rated_so(sources, config),
    ]
    result = pd.DataFrame(rows, columns=["gate", "must_be", "value", "limit"])
    value, limit = result["value"], result["limit"]
    return result.assign(passed=np.where(result["must_be"] == "at most", value <= limit, value >= limit))


def _balance(arms: pd.DataFrame) -> list[tuple]:
    """The gates on how far contexts of the arms may differ in length and strength."""
    words, strength = arms.groupby("arm")["words"].mean(), arms.groupby("arm")["strength"].mean()
    between_charged = abs(words["negative"] - words["positive"])
    strength_gap = abs(strength["negative"] - strength["positive"])
    return [
        ("words between the means of negative and positive contexts", "at most", between_charged, 0.3),
        ("words between the means of charged and neutral contexts", "at most", np.ptp(words.to_numpy()), 1.0),
        ("points between the strengths of negative and positive contexts", "at most", strength_gap, 0.1),
    ]


def _rated_so(sources: pd.DataFrame, config: Mining) -> list[tuple]:
    """The gates on the shares of rated sentences that people rate as they are mined."""
    shares = (
        felt(sources, config)
        .query("scope == 'all that the rules choose' and domain == 'all'")
        .set_index("role")["share"]
    )
    limits = {"neutral": LEAST["neutral"], "negative": LEAST["charged"], "positive": LEAST["charged"]}
    return [
        (f"share of rated sentences mined as {role} that people rate so", "at least", shares[role], limit)
        for role, limit in limits.items()
    ]


def demand(gates: pd.DataFrame) -> None:
    """Check that all gates hold.

    Raises:
        ValueError: If any gate fails; the message names each with its value and limit.
    """
    failed = [
        f"{row.gate}: {row.value:.3g}, must be {row.must_be} {row.limit:g}"
        for row in gates[~gates["passed"]].itertuples()
    ]
    if failed:
        remedy = "give more text, ask for fewer groups, or change thresholds"
        raise DataError(f"the mined benchmark fails {'; '.join(failed)}\n{remedy}")


def felt(sources: pd.DataFrame, config: Mining) -> pd.DataFrame:
    """How often people rate a sentence as it was mined.

    There are two scopes. 'in the benchmark' covers its stems and contexts whose whole sentence is a rated
    text. 'all that the rules choose' covers every rated text that passes the rules of `lib.mining.extract`
    and the thresholds, each predicted by a model that did not see its document. Here a text need not be whole
    and stand alone (`lib.mining.standalone`), because the question is how a sentence is rated, not how it is
    worded.

    A neutral sentence agrees if |mean| < NEUTRAL, a charged one if its mean has the right sign and |mean| ≥
    CHARGED. Intervals are clustered by document.

    Args:
        sources: The sources, as in `mined.Benchmark`.
        config: The mining section of a parameter set.

    Returns:
        One row per scope, role and domain ('all' and each domain): scope, role, domain, share, ci_low,
        ci_high, n, documents.
    """
    texts = neutrality.learnt()[1]
    signed = texts["predicted"] * np.where(texts["role"] == "negative", -1, 1)
    bare = texts["role"].isin(["stem", "neutral"])
    charged = (signed >= config.min_predicted_rating) & (texts["valence"].abs() >= config.min_abs_vader)
    passed = np.where(bare, signed <= config.max_predicted_rating, charged)
    texts = texts[passed & texts["role"].isin(extract.ROLES)]
    in_benchmark = sources[["role"]].join(neutrality.felt(sources["sentence"])).dropna(subset="mean")
    combined = pd.concat(
        [in_benchmark.assign(scope="in the benchmark"), texts.assign(scope="all that the rules choose")],
        ignore_index=True,
    )
    combined["role"] = combined["role"].replace("stem", "neutral")
    mean, sign = combined["mean"], np.where(combined["role"] == "negative", -1, 1)
    combined["agrees"] = np.where(
        combined["role"] == "neutral", mean.abs() < NEUTRAL, mean * sign >= CHARGED
    ).astype(float)
    combined = pd.concat([combined.assign(domain="all"), combined], ignore_index=True)
    table = inference.clustered_shares(
        combined, "agrees", ["scope", "role", "domain"], CONFIDENCE, "document", 1.0
    )
    table = table.rename(columns={"estimate": "share", "n_stems": "documents"})
    return table[["scope", "role", "domain", "share", "ci_low", "ci_high", "n", "documents"]].sort_values(
        ["scope", "role", "domain"]
    )
