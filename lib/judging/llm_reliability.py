"""Reliability of a language model as a judge: position bias, test–retest, and replies without a verdict."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from lib.judging import llm_judge
from lib.replies import outcomes
from lib.runtime.errors import DataError
from lib.stats import inference, resamples

MOST_UNSCORED = 0.02  # share of a judge's replies; above it nothing may be reported

_REMEDIES = {  # for the commonest reason why replies are unscored
    llm_judge.CUT_THINKING: "raise the thinking_tokens of the judge's model, or switch its thinking off, as "
    "with "
    "chat_template_kwargs: {enable_thinking: false}",
    llm_judge.CUT: "raise the judge's max_new_tokens",
    llm_judge.SILENT: "ask a more capable model, or make the rubric plainer",
    outcomes.EMPTY: "ask a more capable model, or one in its own chat template",
    outcomes.FILTERED: "ask a model whose server does not filter, or have the filter taken off",
    outcomes.REFUSED: "ask another model, or let the rubric say that the texts are only to be rated",
    outcomes.FAILED: "put right what stopped it",
}
POSITION, ORDERS = "position bias", "both orders, same label"
AGREEMENT, PEARSON = "test–retest, same label", "test–retest, Pearson's r"
RETESTS = (AGREEMENT, PEARSON)


def reasons(asked: pd.DataFrame) -> str:
    """Count why replies of `llm_judge.ask` are unscored, commonest first: "3 cut off, 1 filtered"."""
    return ", ".join(f"{count:,} {reason}" for reason, count in asked["unscored"].value_counts().items())


def demand_scored(asked: pd.DataFrame, judge_name: str, replies: Path, most: float = MOST_UNSCORED) -> None:
    """Check that at most the share `most` of the replies holds no verdict.

    A missing verdict is not a chance event: the remaining verdicts would be a selection.

    Args:
        asked: The table of `llm_judge.ask`.
        judge_name: Name of the judge, for the message.
        replies: The journal of the replies, for the message.
        most: Largest share of unscored replies, between 0 and 1.

    Raises:
        ValueError: If more replies are unscored; the message gives the remedy for the commonest reason.
    """
    unscored = asked[asked["unscored"].notna()]
    if len(unscored) <= most * len(asked):
        return
    commonest = unscored["unscored"].value_counts().index[0]
    example = unscored[unscored["unscored"] == commonest].iloc[0]
    raise DataError(
        f"judge {judge_name}: {len(unscored):,} of {len(asked):,} replies "
        f"({len(unscored) / len(asked):.1%}) hold no verdict: "
        f"{reasons(asked)}; at most {most:.0%} may, so nothing is reported\n"
        f"the raw replies are in {replies}; one that is {commonest!r} begins "
        f"{(example['reply'] or example['note'])[:80]!r}\n"
        f"{_REMEDIES[commonest]}; then run again"
    )


def reliability(asked: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """Estimate POSITION, ORDERS, AGREEMENT and PEARSON from the replies of a judge.

    POSITION is the mean valence of a text as the first less as the second of the same pair, in points of the
    human scale. ORDERS is how often it has the same valence in both places, because biases of either sign may
    cancel. AGREEMENT and PEARSON compare the two replies to a question that was asked twice, text by text:
    how often the label is the same, and the correlation of the valences (interval: bootstrap of stems). The
    stem of a pair is the one where it occurs first.

    Args:
        asked: The table of `llm_judge.ask`.
        confidence: Level of the intervals, between 0 and 1.
        draws: Number of bootstrap resamples.
        rng: Random generator of the bootstrap.

    Returns:
        One row per quantity: quantity, estimate, ci_low, ci_high, n, n_stems.
    """
    scored = llm_judge.votes(asked).dropna(subset="valence")
    bias, again = position_pairs(scored), retest_pairs(scored)
    favoured = inference.clustered_mean(
        bias["first"] - bias["second"], bias["stem_id"], confidence, limits=(-8, 8)
    )
    alike = inference.clustered_share(
        (bias["first"] == bias["second"]).astype(float), bias["stem_id"], confidence, 1.0
    )
    agreed = inference.clustered_share(again["same"], again["stem_id"], confidence, 1.0)
    rows = [
        {"quantity": POSITION, **asdict(favoured)},
        {"quantity": ORDERS, **asdict(alike)},
        {"quantity": AGREEMENT, **asdict(agreed)},
        {"quantity": PEARSON, **_correlation(again, confidence, draws, rng)},
    ]
    return pd.DataFrame(rows)[["quantity", "estimate", "ci_low", "ci_high", "n", "n_stems"]]


def position_pairs(votes: pd.DataFrame) -> pd.DataFrame:
    """Return the texts scored in both places of a pair: stem_id, first, second (valences)."""
    paired = votes[(votes["sample_index"] == 0) & votes["other"].notna()]
    first, second = (
        paired[paired["place"] == place][["text", "other", "stem_id", "valence"]] for place in (1, 2)
    )
    both = first.merge(second.drop(columns="stem_id"), on=["text", "other"], suffixes=("_first", "_second"))
    return both.rename(columns=lambda name: name.removeprefix("valence_"))[["stem_id", "first", "second"]]


def retest_pairs(votes: pd.DataFrame) -> pd.DataFrame:
    """Return the texts scored in both replies to a question.

    Returns:
        stem_id, valence, again (valences), same (1.0 where the labels are equal).
    """
    once, again = (votes[votes["sample_index"] == index] for index in (0, 1))
    both = once.merge(again, on=["text", "other", "place"], suffixes=("", "_again"))
    same = (both["label"] == both["label_again"]).astype(float)
    return pd.DataFrame(
        {"stem_id": both["stem_id"], "valence": both["valence"], "again": both["valence_again"], "same": same}
    )


def _correlation(again: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator) -> dict:
    def pearson(part: pd.DataFrame) -> np.ndarray:
        varied = len(part) > 1 and part["valence"].std() > 0 and part["again"].std() > 0
        return np.array([part["valence"].corr(part["again"]) if varied else np.nan])

    estimate = {
        "n": len(again),
        "n_stems": again["stem_id"].nunique(),
        "estimate": pearson(again)[0],
        "ci_low": np.nan,
        "ci_high": np.nan,
    }
    if not np.isnan(estimate["estimate"]) and estimate["n_stems"] > 1:
        replicates = resamples.cluster_bootstrap(again, pearson, "stem_id", draws, rng)
        estimate["ci_low"], estimate["ci_high"] = inference.percentile_interval(replicates, confidence)[:, 0]
    return estimate
