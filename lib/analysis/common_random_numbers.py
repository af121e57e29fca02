"""Common random numbers: how much the noise shared by the arms of a group narrows their difference.

The comparison is with independent draws and needs no further completions. The arms share their noise where
sample_index is equal; draws of two arms with different indices are independent given the group. The same
completions, re-matched, are therefore an experiment without shared noise.
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
    """Effect of the shared noise on each quantity, over the unmitigated charged arms.

    Args:
        judgements: Judgements of any number of models.
        confidence: Level of the interval, between 0 and 1.
        draws: Number of bootstrap resamples of stems.
        rng: Random generator of the bootstrap.

    Returns:
        One row per model and each of leakage.QUANTITIES. `shared` and `independent` are the estimates under
        the two matchings; they differ only for the leak rate, which is not a difference of means. `narrower`
        is the % by which sharing narrows the interval at one draw per prompt; `ci_low` and `ci_high` come
        from a bootstrap of stems. `narrower_as_run` is the same with all draws of the run: the variance that
        independent draws add is divided by their number. A negative value means wider. Fewer than 3 draws per
        prompt cannot be re-matched and give NaN. `samples` counts the draws that all three arms have;
        `n_stems` counts the stems with a scored pair in every draw of both matchings.
    """
    unmitigated = judgements[judgements["mitigation"] == NO_MITIGATION]
    return pd.DataFrame(
        {"model": model, "quantity": quantity, **_compare(subset, quantity, confidence, draws, rng)}
        for model, subset in unmitigated.groupby("model", sort=False)
        for quantity in leakage.QUANTITIES
    )


def _compare(
    judgements: pd.DataFrame, quantity: str, confidence: float, draws: int, rng: np.random.Generator
) -> dict:
    samples = int(judgements[judgements["arm"].isin(_ARMS)].groupby("arm")["sample_index"].max().min()) + 1
    judgements = judgements[judgements["sample_index"] < samples]
    # shifts that give neutral, negative and positive three different draws
    shifts = [shift for shift in range(1, samples) if 2 * shift % samples]
    if not shifts:
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
    independent = np.concatenate([_by_stem(judgements, quantity, shift) for shift in shifts])
    complete = np.isfinite(shared).all(axis=0) & np.isfinite(independent).all(axis=0)
    shared, independent = shared[:, complete], independent[:, complete]
    resamples = rng.integers(shared.shape[1], size=(draws, shared.shape[1]))
    bootstrap = [_narrower(shared[:, chosen], independent[:, chosen]) for chosen in resamples]
    ci_low, ci_high = inference.percentile_interval(np.array(bootstrap)[:, None], confidence)[:, 0]
    added_variance = (_variance(independent) - _variance(shared)) / samples
    variance_as_run = shared.mean(axis=0).var(ddof=1)
    return {
        "shared": shared.mean(),
        "independent": independent.mean(),
        "narrower": _narrower(shared, independent),
        "ci_low": ci_low,
        "ci_high": ci_high,
        "narrower_as_run": 100.0 * (1 - np.sqrt(variance_as_run / (variance_as_run + added_variance))),
        "n_stems": shared.shape[1],
        "samples": samples,
    }


def _by_stem(judgements: pd.DataFrame, quantity: str, shift: int) -> np.ndarray:
    """Mean of a quantity by draw and stem, shape (draws, stems), after re-matching.

    The draws of neutral are moved by `shift` and those of positive by twice as much.
    """
    offsets = judgements["arm"].map({"neutral": shift, "positive": 2 * shift}).fillna(0).astype(int)
    sample_index = (judgements["sample_index"] - offsets) % judgements["sample_index"].nunique()
    pairs = leakage.charged_pairs(leakage.pairs(judgements.assign(sample_index=sample_index), matched=True))
    by_stem = pairs.pivot_table(index="sample_index", columns="stem_id", values=quantity, aggfunc="mean")
    return by_stem.reindex(columns=judgements["stem_id"].unique()).to_numpy()


def _variance(by_stem: np.ndarray) -> float:
    """Variance of a mean over stems at one draw per prompt, times the number of stems; mean over draws."""
    return float(by_stem.var(axis=1, ddof=1).mean())


def _narrower(shared: np.ndarray, independent: np.ndarray) -> float:
    return 100.0 * (1 - np.sqrt(_variance(shared) / _variance(independent)))
