"""Next-token shift: a leakage quantity without sampling noise, compared with the sampled quantities."""

import numpy as np
import pandas as pd

from lib.analysis import clustered, leakage
from lib.generation.next_token import MEASURES
from lib.stats import inference, resamples

QUANTITIES = ("towards", "away", "net", "shift")
_COMPARED = ("net", "shift")


def shifts(table: pd.DataFrame, reference: str = "neutral") -> pd.DataFrame:
    """Each charged or placebo prompt minus the reference prompt of its group.

    Quantities are named and signed like the sampled ones of `lib.analysis.leakage`. A placebo prompt appears
    once for each direction.

    Args:
        table: One row per prompt: model, group_id, arm and MEASURES.
        reference: Arm of the reference prompts.

    Returns:
        The rows of charged and placebo prompts with direction, towards, away, net (all three in points of
        probability mass) and shift (points of the human scale).
    """
    base = table.loc[table["arm"] == reference, ["model", "group_id", *MEASURES]]
    injected = pd.concat(
        table[table["arm"].isin({arm, "placebo"} - {reference})].assign(direction=sign)
        for arm, sign in leakage.DIRECTIONS.items()
    )
    both = injected.merge(base, on=["model", "group_id"], suffixes=("", "_reference"), validate="many_to_one")
    change = {name: both[name] - both[f"{name}_reference"] for name in MEASURES}
    up = both["direction"] > 0
    both["towards"] = change["positive_mass"].where(up, change["negative_mass"])
    both["away"] = change["negative_mass"].where(up, change["positive_mass"])
    both["net"] = both["towards"] - both["away"]
    both["shift"] = both["direction"] * change["expected_valence"]
    return both


def summarise(shifts: pd.DataFrame, by: list[str], confidence: float) -> pd.DataFrame:
    """Mean towards, away, net and shift within each combination of the columns `by`.

    Returns:
        One row per combination and quantity, with the fields of `clustered.DesignEstimate`.
    """
    tables = [
        clustered.design_means(shifts, name, by, confidence).assign(quantity=name) for name in QUANTITIES
    ]
    return leakage.within_limits(pd.concat(tables, ignore_index=True))


def compare_sampled(
    shifts: pd.DataFrame, pairs: pd.DataFrame, by: list[str], confidence: float
) -> pd.DataFrame:
    """Net and shift of the charged arms, exact and sampled, within each combination of the columns `by`.

    Args:
        shifts: Table of `shifts`.
        pairs: Table of `leakage.pairs`.
        by: Columns to group by.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        One row per combination and quantity: the columns of `summarise`, the sampled ones with the suffix
        `_sampled`, and same_sign (whether the signs agree).
    """
    exact = summarise(leakage.charged_pairs(shifts), by, confidence)
    sampled = leakage.summarise(leakage.charged_pairs(pairs), by, confidence)
    both = exact.merge(sampled, on=[*by, "quantity"], suffixes=("", "_sampled"))
    both = both[both["quantity"].isin(_COMPARED)]
    return both.assign(same_sign=np.sign(both["estimate"]) == np.sign(both["estimate_sampled"]))


def rank_correlation(
    shifts: pd.DataFrame, pairs: pd.DataFrame, confidence: float, draws: int, rng
) -> pd.DataFrame:
    """Spearman's correlation over charged prompts of the exact quantity with the mean of its draws.

    Noise of the draws lowers the correlation.

    Args:
        shifts: Table of `shifts`.
        pairs: Table of `leakage.pairs`.
        confidence: Level of the interval, between 0 and 1.
        draws: Number of bootstrap resamples of whole stems.
        rng: Random generator of the bootstrap.

    Returns:
        One row each for net and shift: quantity, rho, ci_low, ci_high (percentile bootstrap), prompts,
        n_stems.
    """
    if shifts.empty:
        return pd.DataFrame(columns=["quantity", "rho", "ci_low", "ci_high", "prompts", "n_stems"])
    key = ["group_id", "stem_id", "arm"]
    means = leakage.charged_pairs(pairs).groupby(key, as_index=False)[list(_COMPARED)].mean()
    both = (
        leakage.charged_pairs(shifts)[[*key, *_COMPARED]]
        .merge(means, on=key, suffixes=("", "_sampled"))
        .dropna()
    )

    def rho(frame: pd.DataFrame) -> np.ndarray:
        return np.array([frame[name].corr(frame[f"{name}_sampled"], method="spearman") for name in _COMPARED])

    ci_low, ci_high = inference.percentile_interval(
        resamples.cluster_bootstrap(both, rho, "stem_id", draws, rng), confidence
    )
    columns = {"quantity": _COMPARED, "rho": rho(both), "ci_low": ci_low, "ci_high": ci_high}
    return pd.DataFrame({**columns, "prompts": len(both), "n_stems": both["stem_id"].nunique()})


def precision(
    shifts: pd.DataFrame, pairs: pd.DataFrame, draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Estimates in units of their standard error, exact and sampled, with the forward passes that each took.

    A higher value means a narrower interval relative to the estimate.

    Args:
        shifts: Table of `shifts`.
        pairs: Table of `leakage.pairs`.
        draws: Number of random thinnings.
        rng: Random generator of the thinnings.

    Returns:
        One row for each of net and shift and each way: `exact` (one pass per prompt), `sampled` (one pass per
        token), and `sampled, as many passes`: the median over random thinnings of the run to as many stems,
        with one draw each, as the exact passes pay for. Columns: quantity, way, passes, stems, in errors (the
        estimate in standard errors).
    """
    if shifts.empty:
        return pd.DataFrame(columns=["quantity", "way", "passes", "stems", "in errors"])
    exact, sampled = leakage.charged_pairs(shifts), leakage.charged_pairs(pairs)
    passes = 3 * exact["group_id"].nunique()  # negative, positive and neutral
    passes_per_triple = 3 * sampled["tokens"].mean()
    stems = max(2, round(passes / passes_per_triple))
    rows = []
    for quantity in _COMPARED:
        by_draw = sampled.pivot_table(
            index="stem_id", columns="sample_index", values=quantity, aggfunc="mean"
        ).to_numpy()
        thinned = [_in_errors(_one_draw_each(by_draw, stems, rng)) for _ in range(draws)]
        methods = {
            "exact": (
                passes,
                exact["stem_id"].nunique(),
                _in_errors(exact.groupby("stem_id")[quantity].mean()),
            ),
            "sampled": (
                round(by_draw.size * passes_per_triple),
                len(by_draw),
                _in_errors(np.nanmean(by_draw, axis=1)),
            ),
            "sampled, as many passes": (
                round(stems * passes_per_triple),
                stems,
                float(np.nanmedian(thinned)),
            ),
        }
        rows += [
            dict(
                zip(
                    ("quantity", "way", "passes", "stems", "in errors"),
                    (quantity, method, *values),
                    strict=True,
                )
            )
            for method, values in methods.items()
        ]
    return pd.DataFrame(rows)


def _one_draw_each(by_draw: np.ndarray, stems: int, rng: np.random.Generator) -> np.ndarray:
    chosen = rng.choice(len(by_draw), size=min(stems, len(by_draw)), replace=False)
    return by_draw[chosen, rng.integers(by_draw.shape[1], size=len(chosen))]


def _in_errors(by_stem) -> float:
    """A mean over stems divided by its standard error; NaN where the stems do not differ."""
    values = np.asarray(by_stem, dtype=float)
    se = values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() / se) if se else np.nan
