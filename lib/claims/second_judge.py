"""Every claim of the board once more, by VADER: the same functions of `lib.claims.claims`, applied to the
same completions judged again.

Its threshold is fitted to the human ratings like any judge's (`lib.agreement.rated_threshold`), once, and
kept in the user's cache. Nothing is asked of a model. Where the run's own judge is VADER there is no second
judge, and each function gives None.
"""

import json

import numpy as np
import pandas as pd
from filelock import FileLock

from lib.agreement import human_agreement, rated_agreement, rated_threshold
from lib.analysis import leakage, usability
from lib.claims import claims, judge_claims
from lib.claims.mitigation import claim as mitigation_claim
from lib.claims.mitigation import effects as mitigation_effects
from lib.config.specs import Judge
from lib.corpora import human_ratings
from lib.judging import judges
from lib.nlp import vader
from lib.storage import packages, records

JUDGE = Judge(name="vader", kind="vader")


def threshold() -> float:
    """`rated_threshold.threshold` of VADER, kept in the user's cache under what it depends on."""
    path = packages.cache_folder() / f"{rated_threshold.VERSION}-{vader.VERSION}-{human_ratings.PACKAGE}.json"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            records.write_text(path, json.dumps(rated_threshold.threshold(JUDGE)))
        return float(json.loads(path.read_text(encoding="utf-8")))


def judged_again(judgements: pd.DataFrame) -> pd.DataFrame | None:
    """`judgements` with judge, valence and charged as VADER has them; None where VADER gave them already, or
    there are none."""
    if (judgements["judge"] == vader.VERSION).all():
        return None
    valence = pd.Series(judges.valences(JUDGE, judgements["completion"].tolist()), judgements.index)
    return judgements.assign(
        judge=vader.VERSION, valence=valence, charged=judges.charged(valence, threshold())
    )


def with_second(judgements: pd.DataFrame) -> list[pd.DataFrame]:
    """`judgements`, and the same by the second judge if there is one."""
    again = judged_again(judgements)
    return [judgements] if again is None else [judgements, again]


def scaling(
    judgements: pd.DataFrame, curated: pd.DataFrame, min_sizes: int, margin: float, confidence: float
) -> pd.DataFrame | None:
    """C0, C2, C4 and C5 of unmitigated judgements, as notebook 05 puts them together; `curated` as for
    `claims.mined`."""
    again = judged_again(judgements)
    if again is None:
        return None
    of_curated = judged_again(curated)
    mined = claims.benchmark(again, confidence, margin)
    beside = claims.benchmark(curated if of_curated is None else of_curated, confidence, margin)
    rows = [
        claims.existence(mined.pairs, margin, confidence, mined.faults),
        claims.scaling(mined.pairs, min_sizes, margin, confidence, mined.faults),
        claims.polarity(mined.polarity, margin, confidence, mined.faults),
        claims.mined(mined, beside, margin, confidence),
    ]
    return pd.concat(rows, ignore_index=True)


def mitigation(
    judgements: pd.DataFrame,
    model_names: list[str],
    controls: list[str],
    margin: float,
    confidence: float,
    shift_margin: float,
) -> pd.DataFrame | None:
    """C3, as notebook 06 has it."""
    again = judged_again(judgements)
    if again is None:
        return None
    pairs = leakage.pairs(again)
    plain = leakage.unmitigated(pairs)
    faults = usability.faults(again, plain, confidence, shift_margin)
    found = mitigation_effects(pairs, controls, margin, confidence)
    return mitigation_claim(found, model_names, margin, confidence, faults, claims.leaks(plain, confidence))


def agreement_with_people(
    judge: Judge,
    tables: list[pd.DataFrame],
    on_completions: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    margin: float,
    confidence: float,
    draws: int,
    seed: int,
) -> pd.DataFrame | None:
    """C1 of VADER itself: against one rater on `tables` of rated texts, and on completions, by `(key, labels,
    judgements)` as `human_agreement.rated` takes them. `judge` is the run's own."""
    if judge.kind == JUDGE.kind:
        return None
    found = [
        rated_agreement.against_one_rater(table, JUDGE, confidence, draws, np.random.default_rng(seed))
        for table in tables
    ]
    agreed = _on_labels(*on_completions, confidence, draws, np.random.default_rng(seed))
    return judge_claims.agreement(JUDGE.name, pd.concat(found, ignore_index=True), agreed, margin, confidence)


def _on_labels(
    key, labels, judgements, confidence: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """`human_agreement.agreement` on polarity, weighted, by VADER; no rows where nobody has labelled
    anything."""
    nothing = pd.DataFrame(
        columns=["question", "weighted", "who", "measure", "estimate", "ci_low", "ci_high", "n", "n_stems"]
    )
    if labels.empty:
        return nothing
    again = judged_again(judgements)
    rows = human_agreement.rated(key, labels, judgements if again is None else again, "polarity")
    return human_agreement.agreement(rows, "polarity", confidence, draws, rng, True) if len(rows) else nothing
