"""What the noise shared by the arms of a group buys: how much narrower a difference of arms is than with
independent draws.

No further completion is needed. The arms share their noise where sample_index is equal; draws of two arms
with different indices are independent given the group. So the same completions, matched anew, are an
experiment without the sharing.
"""

import numpy as np
import pandas as pd

from lib.analysis import leakage
from lib.config.specs import NO_MITIGATION
from lib.stats import inference

_ARMS = ("neutral", *leakage.DIRECTIONS)


def variance_reduction(
    judgements: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """One row for each model and each of leakage.QUANTITIES, over the unmitigated charged arms.

    `shared` and `independent` are the estimates by the two matchings. They differ only for the leak rate,
    which is no difference of means. `narrower` is by how many % sharing narrows the interval at one draw a
    prompt, `low` and `high` are from a bootstrap of stems; `narrower_as_run` is the same with all the draws
    of the run: the variance that independent draws add is divided by their number. A negative value means
    wider. Fewer than 3 draws a prompt cannot be matched anew and give NaN. Draws count that all three arms
    have (`samples`), and stems with a scored pair in every draw of both matchings (`n_stems`).
    """
    plain = judgements[judgements["mitigation"] == NO_MITIGATION]
    return pd.DataFrame(
        {"model": model, "quantity": quantity, **_compare(part, quantity, confidence, draws, rng)}
        for model, part in plain.groupby("model", sort=False)
        for quantity in leakage.QUANTITIES
    )


def _compare(
    judgements: pd.DataFrame, quantity: str, confidence: float, draws: int, rng: np.random.Generator
) -> dict:
    samples = int(judgements[judgements["arm"].isin(_ARMS)].groupby("arm")["sample_index"].max().min()) + 1
    judgements = judgements[judgements["sample_index"] < samples]
    # neutral, negative, positive all differ
    rematched = [shift for shift in range(1, samples) if 2 * shift % samples]
    if not rematched:
        return {
            "shared": np.nan,
            "independent": np.nan,
            "narrower": np.nan,
            "ci_low": np.nan,
            "ci_high": np.nan,
            "narrower_as_run": np.nan,
            "n_stems": judgements["stem_id"].nunique(),
            "samples": samples,
        }
    shared = _by_stem(judgements, quantity, 0)
    independent = np.concatenate([_by_stem(judgements, quantity, shift) for shift in rematched])
    known = np.isfinite(shared).all(axis=0) & np.isfinite(independent).all(axis=0)
    shared, independent = shared[:, known], independent[:, known]
    stems = rng.integers(shared.shape[1], size=(draws, shared.shape[1]))
    redrawn = [_narrower(shared[:, chosen], independent[:, chosen]) for chosen in stems]
    low, high = inference.percentile_interval(np.array(redrawn)[:, None], confidence)[:, 0]
    added = (_variance(independent) - _variance(shared)) / samples
    as_run = shared.mean(axis=0).var(ddof=1)
    return {
        "shared": shared.mean(),
        "independent": independent.mean(),
        "narrower": _narrower(shared, independent),
        "ci_low": low,
        "ci_high": high,
        "narrower_as_run": 100.0 * (1 - np.sqrt(as_run / (as_run + added))),
        "n_stems": shared.shape[1],
        "samples": samples,
    }


def _by_stem(judgements: pd.DataFrame, quantity: str, shift: int) -> np.ndarray:
    """Mean of a quantity by draw and stem, neutral drawn `shift` places later and positive twice that; shape
    (draws, stems)."""
    places = judgements["arm"].map({"neutral": shift, "positive": 2 * shift}).fillna(0).astype(int)
    moved = (judgements["sample_index"] - places) % judgements["sample_index"].nunique()
    pairs = leakage.charged_pairs(leakage.pairs(judgements.assign(sample_index=moved), matched=True))
    by_stem = pairs.pivot_table(index="sample_index", columns="stem_id", values=quantity, aggfunc="mean")
    return by_stem.reindex(columns=judgements["stem_id"].unique()).to_numpy()


def _variance(by_stem: np.ndarray) -> float:
    """Variance of a mean over stems at one draw a prompt, times the number of stems; averaged over the
    draws."""
    return float(by_stem.var(axis=1, ddof=1).mean())


def _narrower(shared: np.ndarray, independent: np.ndarray) -> float:
    return 100.0 * (1 - np.sqrt(_variance(shared) / _variance(independent)))
