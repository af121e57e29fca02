"""The claims board by VADER, a second judge: `lib.claims.claims` on the same completions, judged again.

The threshold of VADER is fitted to the human ratings like that of any judge
(`lib.agreement.rated_threshold`), once, and cached in the user's cache folder. No model is asked anything.
Where the run's own judge is VADER there is no second judge, and the functions that return rows of the board
return None.
"""

import json

import numpy as np
import pandas as pd
from filelock import FileLock

from lib.agreement import human_agreement, rated_agreement, rated_threshold
from lib.analysis import leakage, usability
from lib.claims import beyond_prompting, claims, judge_claims
from lib.claims.mitigation import claim as mitigation_claim
from lib.claims.mitigation import effects as mitigation_effects
from lib.config.specs import Judge, VaderJudge
from lib.corpora import human_ratings
from lib.judging import judges
from lib.nlp import vader
from lib.storage import caching, records

JUDGE = VaderJudge(name="vader")


def threshold() -> float:
    """Return `rated_threshold.threshold` of VADER, cached under the versions that it depends on."""
    path = caching.cache_folder() / f"{rated_threshold.VERSION}-{vader.VERSION}-{human_ratings.PACKAGE}.json"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            records.write_text(path, json.dumps(rated_threshold.threshold(JUDGE)))
        with caching.undamaged(path):
            return float(json.loads(path.read_text(encoding="utf-8")))


def judged_again(judgements: pd.DataFrame) -> pd.DataFrame | None:
    """Return `judgements` with judge, valence and charged by VADER.

    Returns None where VADER already gave them, or where there are no judgements.
    """
    if (judgements["judge"] == vader.VERSION).all():
        return None
    valence = pd.Series(judges.valences(JUDGE, judgements["completion"].tolist()), judgements.index)
    return judgements.assign(
        judge=vader.VERSION, valence=valence, charged=judges.charged(valence, threshold())
    )


def with_second(judgements: pd.DataFrame) -> list[pd.DataFrame]:
    """Return `judgements`, and the same completions by the second judge if there is one."""
    again = judged_again(judgements)
    return [judgements] if again is None else [judgements, again]


def scaling(
    judgements: pd.DataFrame, curated: pd.DataFrame, min_sizes: int, margin: float, confidence: float
) -> pd.DataFrame | None:
    """Test C0, C2, C4 and C5 on unmitigated judgements, as notebook 05 combines them.

    Args:
        judgements: Unmitigated judgements by the run's own judge.
        curated: Judgements of the curated benchmark, without rows where it was not run.
        min_sizes: The smallest number of sizes of a family that allows a verdict on C2.
        margin: The margin of the claims and of the placebo rule, in points of the human scale.
        confidence: Level of the intervals, between 0 and 1.
    """
    again = judged_again(judgements)
    if again is None:
        return None
    curated_again = judged_again(curated)
    mined = claims.benchmark(again, confidence, margin)
    curated_benchmark = claims.benchmark(
        curated if curated_again is None else curated_again, confidence, margin
    )
    rows = [
        claims.existence(mined.pairs, margin, confidence, mined.faults),
        claims.scaling(mined.pairs, min_sizes, margin, confidence, mined.faults),
        claims.polarity(mined.polarity, margin, confidence, mined.faults),
        claims.mined(mined, curated_benchmark, margin, confidence),
    ]
    return pd.concat(rows, ignore_index=True)


def mitigation(
    judgements: pd.DataFrame,
    model_names: list[str],
    controls: dict[str, list[str]],
    margin: float,
    confidence: float,
    shift_margin: float,
) -> pd.DataFrame | None:
    """Test C3, as notebook 06 does.

    Args:
        judgements: Judgements by the run's own judge, unmitigated and mitigated.
        model_names: The models of the run.
        controls: For each prompt, the controls that it is compared with.
        margin: The margin of C3, a share of the leak.
        confidence: Level of the intervals, between 0 and 1.
        shift_margin: The margin of the placebo rule, in points of the human scale.
    """
    again = judged_again(judgements)
    if again is None:
        return None
    pairs = leakage.pairs(again)
    unmitigated = leakage.unmitigated(pairs)
    faults = usability.faults(again, unmitigated, confidence, shift_margin)
    effects = mitigation_effects(pairs, controls, margin, confidence)
    return mitigation_claim(
        effects, model_names, margin, confidence, faults, claims.leaks(unmitigated, confidence)
    )


def interventions(
    judgements: pd.DataFrame, controls: pd.DataFrame, *strategies_and_margins
) -> pd.DataFrame | None:
    """Test C3b; arguments as of `beyond_prompting.of_judgements`, judged by the run's own judge."""
    again, controls_again = judged_again(judgements), judged_again(controls)
    if again is None or controls_again is None:
        return None
    return beyond_prompting.of_judgements(again, controls_again, *strategies_and_margins)[1]


def agreement_with_people(
    judge: Judge,
    tables: list[pd.DataFrame],
    on_completions: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    margin: float,
    confidence: float,
    draws: int,
    seed: int,
) -> pd.DataFrame | None:
    """Test C1 for VADER itself, on rated texts and on completions.

    Args:
        judge: The run's own judge.
        tables: Tables of rated texts; on each, VADER is compared with one rater.
        on_completions: `(key, labels, judgements)` as `human_agreement.rated` takes them.
        margin: The margin of the claim, of r or kappa.
        confidence: Level of the intervals, between 0 and 1.
        draws: Number of bootstrap resamples.
        seed: Seed of the random numbers.
    """
    if judge.kind == JUDGE.kind:
        return None
    differences = [
        rated_agreement.against_one_rater(table, JUDGE, confidence, draws, np.random.default_rng(seed))
        for table in tables
    ]
    on_labels = _on_labels(
        *on_completions, confidence=confidence, draws=draws, rng=np.random.default_rng(seed)
    )
    return judge_claims.agreement(
        JUDGE.name, pd.concat(differences, ignore_index=True), on_labels, margin, confidence
    )


def _on_labels(
    key, labels, judgements, confidence: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Return `human_agreement.agreement` on polarity, weighted, by VADER; no rows without labels."""
    empty = pd.DataFrame(
        columns=["question", "weighted", "who", "measure", "estimate", "ci_low", "ci_high", "n", "n_stems"]
    )
    if labels.empty:
        return empty
    again = judged_again(judgements)
    rows = human_agreement.rated(key, labels, judgements if again is None else again, "polarity")
    return human_agreement.agreement(rows, "polarity", confidence, draws, rng, True) if len(rows) else empty
