"""Leakage estimated by a mean, by a bootstrap and by a model, to show where the methods disagree.

The rows are pairs of `leakage.pairs`. The model of the towards excess is a binomial GEE of the single
completions; that of the valence shift is a linear mixed model of the mean of each group and arm. Both use the
same pairs as the mean. All three methods cluster by stem and take contexts as fixed, because a GEE has no
two-way clusters; the tables of estimates also cluster by match (`lib.analysis.clustered`).
"""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy import special, stats

from lib.analysis import clustered, leakage
from lib.stats import inference, resamples

METHODS = ("mean", "bootstrap", "model")
MODELS = {"towards": "GEE", "shift": "mixed model"}
SLOTS = ("closed", "open")
FAILED = "did not converge"
_FOUND = ["estimate", "ci_low", "ci_high", "se"]


def estimates(pairs: pd.DataFrame, confidence: float, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """Towards excess and valence shift of one model by each of METHODS.

    Args:
        pairs: Unmitigated pairs of one model (`leakage.pairs`).
        confidence: Level of the intervals, between 0 and 1.
        draws: Number of bootstrap resamples.
        rng: Random generator of the bootstrap.

    Returns:
        One row per quantity, arm, slot (all slots, each slot, and closed − open) and method. Columns:
        quantity, arm, slot, method, estimate, ci_low, ci_high, se, n (pairs), n_stems, said (why there is no
        interval). Where slots are not labelled there are only rows of all slots.
    """
    rows = []
    for quantity in MODELS:
        scored = leakage.charged_pairs(pairs).dropna(subset=quantity)
        for arm, of_arm in scored.groupby("arm", sort=False):
            for slot, subset, weights in _parts(of_arm):
                labels = {"quantity": quantity, "arm": arm, "slot": slot}
                counts = {"n": len(subset), "n_stems": subset["stem_id"].nunique()}
                by_method = {
                    "mean": _mean(subset, quantity, weights, confidence),
                    "bootstrap": _bootstrap(subset, quantity, weights, confidence, draws, rng),
                    "model": _model(subset, quantity, weights, confidence),
                }
                least, greatest = (leakage.SUPPORT if len(weights) == 1 else leakage.DIFFERENCE_SUPPORT)[
                    quantity
                ]
                for method in METHODS:
                    clipped = {
                        "ci_low": np.maximum(by_method[method]["ci_low"], least),
                        "ci_high": np.minimum(by_method[method]["ci_high"], greatest),
                    }
                    rows.append({**labels, "method": method, **by_method[method], **clipped, **counts})
    return pd.DataFrame(rows, columns=["quantity", "arm", "slot", "method", *_FOUND, "n", "n_stems", "said"])


def disagreements(answers: pd.DataFrame) -> pd.DataFrame:
    """Cases in which a method contradicts the mean, or gives no estimate.

    A method contradicts the mean where one of the two intervals excludes 0 and the other does not, or where
    its estimate differs from the mean by more than one clustered standard error.

    Args:
        answers: Table of `answers`.

    Returns:
        One row per case: quantity, arm, slot, method, disagreement.
    """
    key = ["quantity", "arm", "slot"]
    mean = answers[answers["method"] == "mean"]
    others = answers[answers["method"] != "mean"].merge(mean[[*key, *_FOUND]], on=key, suffixes=("", "_mean"))
    rows = [
        (*(getattr(row, name) for name in key), row.method, _disagreement(row)) for row in others.itertuples()
    ]
    return pd.DataFrame([row for row in rows if row[-1]], columns=[*key, "method", "disagreement"])


def _disagreement(row) -> str:
    # a mean without an interval cannot be contradicted
    if np.isnan(row.ci_low_mean) or row.said:
        return "" if np.isnan(row.ci_low_mean) else row.said
    sides = [
        bool(ci_low > 0) - bool(ci_high < 0)
        for ci_low, ci_high in ((row.ci_low, row.ci_high), (row.ci_low_mean, row.ci_high_mean))
    ]
    distance = abs(row.estimate - row.estimate_mean)
    reasons = ["only one interval excludes 0"] * (sides[0] != sides[1])
    if distance > max(row.se_mean, 1e-9):
        reasons.append(f"{distance:.2g} away, the standard error being {row.se_mean:.2g}")
    return ", ".join(reasons)


def _parts(part: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, dict[str, int]]]:
    """Name, rows with their `cell`, and the weight of each cell in the estimate."""
    yield "all", part.assign(cell="all"), {"all": 1}
    labelled = part.assign(cell=part["slot"])[part["slot"].isin(SLOTS)]
    if labelled["cell"].nunique() == 2:
        yield from ((slot, labelled[labelled["cell"] == slot], {slot: 1}) for slot in SLOTS)
        yield "closed − open", labelled, {"closed": 1, "open": -1}


def _nothing(reason: str) -> dict:
    return {**dict.fromkeys(_FOUND, np.nan), "said": reason}


def _mean(part: pd.DataFrame, quantity: str, weights: dict, confidence: float) -> dict:
    rows = part.drop(columns=["group_id", "match_id"], errors="ignore")
    if len(weights) == 1:
        result = inference.clustered_mean(part[quantity], part["stem_id"], confidence)
    else:
        result, _ = clustered.design_difference(
            rows, quantity, part["cell"] == next(iter(weights)), confidence
        )
    return {
        **{name: getattr(result, name) for name in _FOUND},
        "said": "" if result.ci_low == result.ci_low else "no interval",
    }


def _bootstrap(part: pd.DataFrame, quantity: str, weights: dict, confidence: float, draws: int, rng) -> dict:
    """Percentile interval of a bootstrap of stems."""
    sums = part.pivot_table(
        index="stem_id", columns="cell", values=quantity, aggfunc=["sum", "count"], fill_value=0
    )
    if len(sums) < 2:
        return _nothing("too few stems")

    def estimate(times: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # a resample without any stem of a cell has no estimate
            return sum(
                weight * (times @ sums["sum", cell]) / (times @ sums["count", cell])
                for cell, weight in weights.items()
            )

    replicates = np.concatenate([estimate(times) for times in resamples.drawn(sums.index, draws, rng)])
    ci_low, ci_high = inference.percentile_interval(replicates[:, None], confidence)[:, 0]
    return {
        "estimate": estimate(np.ones((1, len(sums))))[0],
        "ci_low": ci_low,
        "ci_high": ci_high,
        "se": np.nanstd(replicates),
        "said": "",
    }


def _model(part: pd.DataFrame, quantity: str, weights: dict, confidence: float) -> dict:
    """Estimate of the model of `quantity`; its interval uses t with stems − 1 degrees of freedom."""
    stems = part["stem_id"].nunique()
    if stems < 2:
        return _nothing("too few stems")
    rows = _rows(part)
    cells = [f"{cell} {side}" for cell in weights for side in ("charged", "reference")]
    contrast = np.array([sign * weight for weight in weights.values() for sign in (1, -1)], dtype=float)
    design = (rows["cell"].to_numpy()[:, None] == np.array(cells)).astype(float)
    result = (_gee if quantity == "towards" else _mixed)(rows, design, contrast)
    if isinstance(result, str):
        return _nothing(result)
    estimate, se = result
    half_width = stats.t.ppf((1 + confidence) / 2, stems - 1) * se
    return {
        "estimate": estimate,
        "ci_low": estimate - half_width,
        "ci_high": estimate + half_width,
        "se": se,
        "said": "",
    }


def _rows(part: pd.DataFrame) -> pd.DataFrame:
    """Two rows per pair: the charged completion and its reference.

    Columns: stem_id, group_id, cell, valence (in the direction), hit. Where the arms have unequal numbers of
    draws the reference is a mean, and its hit a share; the binomial GEE accepts a share (quasi-likelihood,
    Papke & Wooldridge 1996).
    """
    rows = part[["stem_id", "group_id"]]
    valence = part["direction"] * part["valence"]
    hit = (part["charged"].astype(bool) & (valence > 0)).astype(float)
    charged = rows.assign(cell=part["cell"] + " charged", valence=valence, hit=hit)
    valence = part["direction"] * part["valence_reference"]
    reference = rows.assign(cell=part["cell"] + " reference", valence=valence, hit=part["towards_reference"])
    return pd.concat([charged, reference], ignore_index=True).sort_values("stem_id", kind="stable")


def _gee(rows: pd.DataFrame, design: np.ndarray, contrast: np.ndarray) -> tuple[float, float] | str:
    """Contrast of the probabilities of the cells, in points, and its standard error.

    This is the average marginal effect, by the delta method, of Liang & Zeger's (1986) GEE: binomial, logit,
    exchangeable within a stem, robust standard errors, one parameter for each cell.
    """
    if np.isin(design.T @ rows["hit"] / design.sum(axis=0), [0, 1]).any():
        return "no odds: none or all of a cell's completions are charged so"
    import statsmodels.api as sm  # half a second, which pages without models do not wait

    model = sm.GEE(
        rows["hit"],
        design,
        groups=rows["stem_id"],
        family=sm.families.Binomial(),
        cov_struct=sm.cov_struct.Exchangeable(),
    )
    fit = _converged(model.fit)
    if fit is None:
        return FAILED
    share = special.expit(fit.params.to_numpy())
    slope = 100 * contrast * share * (1 - share)
    return 100 * contrast @ share, np.sqrt(slope @ fit.cov_params().to_numpy() @ slope)


def _mixed(rows: pd.DataFrame, design: np.ndarray, contrast: np.ndarray) -> tuple[float, float] | str:
    """Contrast of the mean valence of the cells, and its standard error, by REML on group-by-cell means.

    The random intercepts are of the stem, and of the group where a stem has several. Means are used rather
    than completions, because a group's own response to its context is then part of the residual.
    """
    names = [f"cell{number}" for number in range(len(contrast))]
    frame = rows[["stem_id", "group_id", "cell", "valence"]].join(pd.DataFrame(design, rows.index, names))
    means = frame.groupby(["stem_id", "group_id", "cell"], sort=False).mean().reset_index()
    if means["valence"].nunique() == 1:
        return 0.0, 0.0
    several = means["group_id"].nunique() > means["stem_id"].nunique()
    import statsmodels.api as sm

    model = sm.MixedLM.from_formula(
        f"valence ~ 0 + {' + '.join(names)}",
        means,
        groups="stem_id",
        re_formula="1",
        vc_formula={"group": "0 + C(group_id)"} if several else None,
    )
    fit = _converged(lambda: model.fit(method="powell"))  # gradients fail where a variance is 0
    if fit is None:
        return FAILED
    covariance = fit.cov_params().loc[names, names].to_numpy()
    return contrast @ fit.fe_params.to_numpy(), np.sqrt(contrast @ covariance @ contrast)


def _converged(fit: Callable):
    """The fit, or None where it fails or reports that it did not converge.

    Warnings are ignored: statsmodels also warns of a variance of 0, which is a valid result.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = fit()
        except (np.linalg.LinAlgError, ValueError):
            return None
    return result if result.converged else None
