"""C3b of the claims board: does an intervention leave less of the leak than every prompt, and what belongs?

An intervention counts if it does two things at once: it leaves less of the leak than each of the prompts
(so also than the best of them, whichever that is; asking twice is prompting too), and at least `least` of the
sentiment that belongs, measured on positive controls, survives. Both are one-sided tests at the same level;
the p of an intervention is the largest of them (intersection-union test, Berger 1982), Holm-corrected over
interventions and models.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from lib.analysis import clustered, leakage, usability
from lib.analysis.clustered import DesignEstimate
from lib.claims import board, claims
from lib.claims.board import Claim
from lib.claims.rules import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Verdict
from lib.config.specs import NO_MITIGATION
from lib.dataset import curated_prompts
from lib.stats import inference, simultaneous

LEAST_SURVIVAL = 0.8  # share of the sentiment that belongs which must survive; this project's choice
CLAIM = Claim(
    "C3b",
    "mitigation needs more than a prompt",
    "below every prompt, and enough survives",
    "mitigation.margin",
    "of the leak",
)
_CELL = ["stem_id", "group_id", "arm"]
COLUMNS = [
    "mitigation",
    "best_prompt",
    "estimate",
    "ci_low",
    "ci_high",
    "p_below",
    "p_survives",
    "p_above",
    "p_dies",
    "p",
    "se",
    "df",
    "n",
    "n_stems",
    "n_matches",
    "cluster_unit",
]


class Cells(NamedTuple):
    """Means of cells, one column per strategy, with their joint covariance."""

    names: list[str]
    means: simultaneous.Means
    counts: dict


def cells(pairs: pd.DataFrame) -> Cells | None:
    """The mean shift of every strategy on the cells that have a value under all; None if there are none.

    Args:
        pairs: Pairs of `leakage.pairs` of one model.
    """
    charged = leakage.charged_pairs(pairs)
    table = charged.pivot_table(index=_CELL, columns="mitigation", values=leakage.PRIMARY, aggfunc="mean")
    table = table.dropna()
    if table.empty or NO_MITIGATION not in table:
        return None
    groups = curated_prompts.with_match(table.reset_index()[["stem_id", "group_id"]])
    unit, clusters, sizes = clustered.clusters_of(groups)
    means = simultaneous.means(table.to_numpy(), *clusters)
    counts = {"n": len(table), "n_stems": sizes[0], "n_matches": sizes[1], "cluster_unit": unit}
    return Cells(list(table.columns), means, counts)


def of_judgements(
    judgements: pd.DataFrame,
    controls: pd.DataFrame,
    prompts: list[str],
    interventions: list[str],
    margin: float,
    shift_margin: float,
    confidence: float,
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Compare the strategies of several models and test C3b with LEAST_SURVIVAL, as notebook 06c does.

    Args:
        judgements: Judgements under every strategy (`strategies.joined`).
        controls: Judgements of the positive controls.
        prompts: As in `compare`.
        interventions: As in `compare`.
        margin: As in `claim`.
        shift_margin: The margin of the placebo rule, in points of the human scale.
        confidence: Level of the tests.

    Returns:
        The tables of `of_models`, and the rows of the board.
    """
    pairs, belonging = leakage.pairs(judgements), leakage.pairs(controls)
    plain = leakage.unmitigated(pairs)
    faults = usability.faults(leakage.unmitigated(judgements), plain, confidence, shift_margin)
    compared = of_models(pairs, belonging, prompts, interventions, LEAST_SURVIVAL, confidence)
    leaking = claims.leaks(plain, confidence)
    return compared, claim(compared, margin, LEAST_SURVIVAL, confidence, faults, leaking)


def of_models(
    pairs: pd.DataFrame,
    controls: pd.DataFrame,
    prompts: list[str],
    interventions: list[str],
    least: float,
    confidence: float,
) -> dict[str, pd.DataFrame]:
    """The table of `compare` of each model; arguments as there, pairs and controls of several models."""
    return {
        model: compare(
            subset, controls[controls["model"] == model], prompts, interventions, least, confidence
        )
        for model, subset in pairs.groupby("model", sort=False)
    }


def compare(
    pairs: pd.DataFrame,
    controls: pd.DataFrame,
    prompts: list[str],
    interventions: list[str],
    least: float,
    confidence: float,
) -> pd.DataFrame:
    """Compare each intervention with every prompt, and what survives under it with `least`.

    Args:
        pairs: Pairs of `leakage.pairs` of one model, under every strategy.
        controls: The same of the positive controls.
        prompts: Names of the ways of asking that are no controls.
        interventions: Names of the interventions that are no ways of asking.
        least: Share of the sentiment that belongs which must survive.
        confidence: Level of the interval.

    Returns:
        One row per intervention, with COLUMNS: best_prompt (that with the smallest mean shift),
        estimate, ci_low, ci_high (of the shift under the intervention less that under the best prompt, as a
        share of the shift without either; its own interval), p_below (largest p over the prompts that the
        intervention is below), p_survives (that more than `least` survives), p_above (that it is above
        some prompt, Bonferroni-corrected over them), p_dies (that less than `least` survives), p (the larger
        of p_below and p_survives), and the counts of `cells`. Empty where nothing can be compared.
    """
    leak, belongs = cells(pairs), cells(controls)
    prompts = [name for name in prompts if leak and name in leak.names]
    rows = []
    for name in interventions:
        if not leak or not belongs or not prompts or name not in leak.names or name not in belongs.names:
            continue
        below = _differences(leak, prompts, name)
        survives = _survival(belongs, name, least)
        p_below, p_survives = _p(below).max(), _p(survives)[0]
        best = min(prompts, key=lambda prompt: leak.means.estimates[leak.names.index(prompt)])
        change = _differences(leak, [name], best)
        bare = leak.means.estimates[leak.names.index(NO_MITIGATION)] or np.nan  # no share of nothing
        reach = special.stdtrit(leak.means.df, (1 + confidence) / 2) * change.errors[0]
        bounds = np.sort([(change.estimates[0] + sign * reach) / bare for sign in (-1, 1)])
        rows.append(
            {
                "mitigation": name,
                "best_prompt": best,
                "estimate": change.estimates[0] / bare,
                "ci_low": bounds[0],
                "ci_high": bounds[1],
                "se": change.errors[0] / abs(bare),
                "df": leak.means.df,
                "p_below": p_below,
                "p_survives": p_survives,
                "p_above": min(1.0, len(prompts) * (1 - _p(below)).min()),
                "p_dies": 1 - p_survives,
                "p": max(p_below, p_survives),
                **leak.counts,
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _differences(of: Cells, names: list[str], other: str) -> simultaneous.Means:
    """Each of the strategies less the other one."""
    weights = [[(column == name) - float(column == other) for column in of.names] for name in names]
    return of.means.contrasts(np.array(weights, float))


def _survival(of: Cells, name: str, least: float) -> simultaneous.Means:
    """What is left under a strategy less `least` of what there is without it."""
    weights = [(column == name) - least * (column == NO_MITIGATION) for column in of.names]
    return of.means.contrasts(np.array([weights], float))


def _p(contrasts: simultaneous.Means) -> np.ndarray:
    """One-sided p that each contrast is above 0; 1 where it has no error."""
    return np.nan_to_num(simultaneous.above_zero_p(contrasts), nan=1.0)


def claim(
    compared: dict[str, pd.DataFrame],
    margin: float,
    least: float,
    confidence: float,
    faults: dict[str, str],
    leaking: dict[str, bool],
) -> pd.DataFrame:
    """Test C3b for each model.

    Args:
        compared: The table of `compare` of each model.
        margin: The margin of C3, a share of the leak: the scale on which the estimate is shown; it decides
            nothing here.
        least: Share that must survive.
        confidence: Level of the tests.
        faults: What is wrong with each model's completions (`usability.faults`).
        leaking: Whether each model leaks without a strategy (`claims.leaks`).

    Returns:
        The rows of the board, one per model: that of the intervention with the smallest p, the first by name
        of several.
    """
    leaky = [table for model, table in compared.items() if leaking.get(model) and len(table)]
    every = pd.concat(leaky)["p"].to_numpy() if leaky else np.array([])
    holm = dict(zip(every, inference.holm(every), strict=True))
    rows = []
    for model, table in compared.items():
        if table.empty:
            nothing = Verdict(INCONCLUSIVE, "no intervention and prompt were asked of the same prompts")
            rows.append(board.row(CLAIM, model, "best intervention", None, nothing, margin, confidence))
            continue
        best = table.sort_values(["p", "mitigation"]).iloc[0]
        p_holm = holm.get(best["p"], np.nan)
        verdict = decide(table, p_holm, bool(leaking.get(model)), least, confidence)
        rows.append(
            board.row(
                CLAIM,
                model,
                f"{best['mitigation']} less {best['best_prompt']}, the best prompt",
                _estimate(best),
                verdict,
                margin,
                confidence,
                faults.get(model, ""),
                p=best["p"],
                p_holm=p_holm,
            )
        )
    return board.table(rows)


def decide(table: pd.DataFrame, p_holm: float, leaks: bool, least: float, confidence: float) -> Verdict:
    """Decide C3b for a model.

    Args:
        table: The table of `compare`.
        p_holm: The smallest p of the model's interventions, Holm-corrected over interventions and models.
        leaks: Whether the model leaks without a strategy.
        least: Share that must survive.
        confidence: Level of the tests.
    """
    if not leaks:
        return Verdict(INCONCLUSIVE, "nothing surely leaks without it")
    level, share = 1 - confidence, f"{100 * least:g} %"
    if p_holm < level:
        names = ", ".join(table.loc[table["p"] < level, "mitigation"])
        return Verdict(SUPPORTED, f"less is left than under every prompt, and {share} survives: {names}")
    fails = (table["p_above"] < level) | (table["p_dies"] < level)
    if fails.all():
        return Verdict(
            CONTRADICTED, f"every intervention leaves more than some prompt, or less than {share} survives"
        )
    return Verdict(INCONCLUSIVE, f"none surely leaves less than every prompt while {share} survives")


def _estimate(row: pd.Series) -> DesignEstimate:
    return DesignEstimate(
        estimate=row["estimate"],
        ci_low=row["ci_low"],
        ci_high=row["ci_high"],
        n=int(row["n"]),
        n_stems=int(row["n_stems"]),
        se=row["se"],
        naive_se_ratio=np.nan,
        p=row["p"],
        df=row["df"],
        n_matches=int(row["n_matches"]),
        cluster_unit=row["cluster_unit"],
    )
