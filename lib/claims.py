"""The claims board: C0 to C5, each with what was measured, its interval and a verdict that may be "inconclusive".

The claims are those of the abstract of Köprü et al. (2025, arXiv 2508.01708); how each is tested is a choice of this project.
Verdicts are read from intervals alone: supported or contradicted where the whole interval says so, else inconclusive.
"""

import numpy as np
import pandas as pd

from lib import inference, leakage
from lib.inference import Estimate
from lib.params import NO_MITIGATION

CLAIMS = {
    "C0": "leakage exists",
    "C1": "the judge agrees with people",
    "C2": "leakage falls with model size",
    "C3": "prompting does not mitigate it",
    "C4": "negative leaks more than positive",
    "C5": "mined text tells the same story",
}
SUPPORTED, CONTRADICTED, INCONCLUSIVE, INVALID = "supported", "contradicted", "inconclusive", "invalid"
COLUMNS = ["claim", "statement", "model", "measured", "estimate", "low", "high", "n", "clusters", "cluster_unit",
           "verdict", "reason"]  # fmt: skip


def _row(claim: str, model: str, measured: str, found: Estimate | None, verdict: tuple[str, str], unit: str = "stems") -> dict:
    numbers = {"estimate": np.nan, "low": np.nan, "high": np.nan, "n": 0, "clusters": 0}
    if found is not None:
        numbers = {"estimate": found.estimate, "low": found.low, "high": found.high, "n": found.n, "clusters": found.n_stems}
    named = {"claim": claim, "statement": CLAIMS[claim], "model": model, "measured": measured}
    return {**named, **numbers, "cluster_unit": unit, "verdict": verdict[0], "reason": verdict[1]}


def _above_zero(found: Estimate) -> tuple[str, str]:
    if np.isnan(found.low):
        return INCONCLUSIVE, "no interval"
    if found.low > 0:
        return SUPPORTED, "whole interval above 0"
    if found.high <= 0:
        return CONTRADICTED, "whole interval at or below 0"
    return INCONCLUSIVE, "interval holds 0"


def existence(pairs: pd.DataFrame, confidence: float, valid: dict[str, bool]) -> pd.DataFrame:
    """C0 for each model: net excess of both polarities together over the neutral arm above 0. `valid`: placebo rule by model."""
    rows = []
    for model, part in leakage.charged_pairs(pairs).groupby("model", sort=False):
        found = inference.clustered_mean(part["net"], part["stem_id"], confidence)
        rows.append(_row("C0", model, "net excess, points", found, _unless_invalid(_above_zero(found), valid[model])))
    return pd.DataFrame(rows)


def polarity(pairs: pd.DataFrame, confidence: float, valid: dict[str, bool]) -> pd.DataFrame:
    """C4 for each model: net excess of the negative arm minus that of the positive arm, paired by group, above 0."""
    rows = []
    differences = leakage.polarity_difference(pairs)
    for model in pairs["model"].unique():
        part = differences[differences["model"] == model]
        found = inference.clustered_mean(part["difference"], part["stem_id"], confidence)
        verdict = _unless_invalid(_above_zero(found), valid[model])
        rows.append(_row("C4", model, "negative − positive, points", found, verdict))
    return pd.DataFrame(rows)


def _unless_invalid(verdict: tuple[str, str], valid: bool) -> tuple[str, str]:
    return verdict if valid else (INVALID, "placebo rule broken")


def judge_agreement(judge: str, difference: pd.DataFrame) -> pd.DataFrame:
    """C1: r(judge, other raters) − r(one rater, other raters) at or above 0 in every domain of `agreement.validity`.

    The row shows the domain where the judge is worst. Rated texts are not completions: agreement on leakage itself
    needs people's labels.
    """
    worst = difference.loc[difference["estimate"].idxmin()]
    found = Estimate(worst.estimate, worst.low, worst.high, int(worst.n), int(worst.n_documents), np.nan, np.nan, np.nan)
    if (difference["low"] >= 0).all():
        verdict = SUPPORTED, "as good as one rater in every domain"
    elif (difference["high"] < 0).any():
        verdict = CONTRADICTED, "below one rater in " + ", ".join(difference.loc[difference["high"] < 0, "domain"])
    else:
        verdict = INCONCLUSIVE, "interval holds 0"
    measured = f"r of judge − r of one rater, worst domain ({worst.domain})"
    return pd.DataFrame([_row("C1", f"judge {judge}", measured, found, verdict, "documents")])


def agreement(judge: str, difference: pd.DataFrame, on_leakage: pd.DataFrame) -> pd.DataFrame:
    """C1: `judge_agreement` on rated texts and `judge_agreement_on_leakage` on completions, a row each."""
    rows = [judge_agreement(judge, difference), judge_agreement_on_leakage(judge, on_leakage)]
    return pd.concat(rows, ignore_index=True)


def judge_agreement_on_leakage(judge: str, agreement: pd.DataFrame) -> pd.DataFrame:
    """C1 on completions: kappa of the judge with an annotator − kappa of two annotators, at or above 0; polarity, weighted.

    `agreement` is a table of `human_agreement.agreement`, of people alone, without rows if nobody has labelled anything.
    """
    of_kappa = agreement[(agreement["question"] == "polarity") & (agreement["measure"] == "kappa")]
    row = of_kappa[of_kappa["weighted"].astype(bool) & (of_kappa["who"] == "judge − annotators")]
    measured = "kappa of judge − kappa of annotators, on completions"
    if row.empty or np.isnan(row["estimate"].iloc[0]):
        said = "nobody has labelled completions yet" if row.empty else "needs two annotators whose labels are not all equal"
        return pd.DataFrame([_row("C1", f"judge {judge}", measured, None, (INCONCLUSIVE, said))])
    found = row.iloc[0]
    found = Estimate(found.estimate, found.low, found.high, int(found.n), int(found.n_stems), np.nan, np.nan, np.nan)
    if found.low >= 0:
        verdict = SUPPORTED, "agrees with people as they do with each other"
    else:
        verdict = (CONTRADICTED, "below people") if found.high < 0 else (INCONCLUSIVE, "interval holds 0")
    return pd.DataFrame([_row("C1", f"judge {judge}", measured, found, verdict)])


def scaling(pairs: pd.DataFrame, minimum_sizes: int, confidence: float, valid: dict[str, bool]) -> pd.DataFrame:
    """C2 for each family, tuning and mode: slope of net excess per tenfold parameters below 0.

    No line is fitted through fewer than `minimum_sizes` sizes; a model of unknown size does not count.
    """
    rows = []
    for (family, tuning, mode), part in leakage.charged_pairs(pairs).groupby(["family", "tuning", "mode"], sort=False):
        sizes = part["parameters"].nunique()
        if sizes < minimum_sizes:
            found, verdict = None, (INCONCLUSIVE, f"needs at least {minimum_sizes} sizes of a family, has {sizes}")
        else:
            part = part.dropna(subset="parameters")
            found = inference.clustered_slope(
                part["net"], np.log10(part["parameters"].astype(float)), part["stem_id"], confidence
            )
            verdict = _unless_invalid(_below_zero(found), all(valid[model] for model in part["model"].unique()))
        rows.append(_row("C2", f"{family} ({tuning}, {mode})", "slope per tenfold size, points", found, verdict))
    return pd.DataFrame(rows)


def _below_zero(found: Estimate) -> tuple[str, str]:
    if np.isnan(found.low):
        return INCONCLUSIVE, "no interval"
    if found.high < 0:
        return SUPPORTED, "whole interval below 0"
    if found.low >= 0:
        return CONTRADICTED, "whole interval at or above 0"
    return INCONCLUSIVE, "interval holds 0"


def mined(pairs: pd.DataFrame, curated: pd.DataFrame, confidence: float, valid: dict, curated_valid: dict) -> pd.DataFrame:
    """C5 for each model asked with both benchmarks: the same sign of net excess and the same rank of the polarities.

    `pairs` are those of the mined benchmark, `curated` those of the other, without rows if it was not run. The estimate is the
    net excess of the mined less that of the curated. A sign or rank counts only where its whole interval lies on one side of 0;
    the claim is contradicted where the benchmarks are sure of opposite ones, and supported where they are sure of the same.
    """
    measured = "mined − curated net excess, points"
    shared = [name for name in pairs["model"].unique() if name in set(curated["model"])]
    if not shared:
        verdict = INCONCLUSIVE, "no run on a mined benchmark beside one on the curated"
        return pd.DataFrame([_row("C5", "every model", measured, None, verdict)])
    rows = []
    for model in shared:
        (net, rank), (other_net, other_rank) = (_story(table[table["model"] == model], confidence) for table in (pairs, curated))
        verdict = _unless_invalid(_same_story((net, other_net), (rank, other_rank)), valid[model] and curated_valid[model])
        rows.append(_row("C5", model, measured, inference.difference(net, other_net, confidence), verdict))
    return pd.DataFrame(rows)


def _story(pairs: pd.DataFrame, confidence: float) -> tuple[Estimate, Estimate]:
    """Net excess of both polarities together, and of the negative less that of the positive."""
    charged, differences = leakage.charged_pairs(pairs), leakage.polarity_difference(pairs)
    return (inference.clustered_mean(charged["net"], charged["stem_id"], confidence),
            inference.clustered_mean(differences["difference"], differences["stem_id"], confidence))  # fmt: skip


def _same_story(nets: tuple[Estimate, Estimate], ranks: tuple[Estimate, Estimate]) -> tuple[str, str]:
    told = {"sign": [inference.side_of_zero(found) for found in nets], "rank": [inference.side_of_zero(found) for found in ranks]}
    opposite = [name for name, (mined, curated) in told.items() if mined * curated < 0]
    undecided = [name for name, (mined, curated) in told.items() if mined * curated == 0]
    if opposite:
        return CONTRADICTED, "opposite " + " and ".join(opposite)
    if undecided:
        same = "".join(f"same {name}, " for name in told if name not in undecided)
        return INCONCLUSIVE, f"{same}{' and '.join(undecided)} not sure in both"
    return SUPPORTED, "same sign, and the same polarity leaks more"


def mitigation_effects(effects: pd.DataFrame, margin: float, confidence: float, by=("model", "mitigation")) -> pd.DataFrame:
    """The paired change of net excess within each level of `by`, from a table of `leakage.mitigation_effects`.

    Adds to Estimate's columns p_holm (the family is the whole table), p_equivalence (two one-sided tests against ±`margin`),
    equivalent, and mitigates: the whole interval lies below −`margin` and the Holm-corrected p is significant.
    """
    if effects.empty:
        return pd.DataFrame(columns=[*by, *_ESTIMATE, "p_holm", "p_equivalence", "equivalent", "mitigates"])
    table = inference.clustered_means(effects, "effect", list(by), confidence)
    table["p_holm"] = inference.holm(table["p"])
    table["p_equivalence"] = [inference.equivalence_p(_estimate(row), margin) for _, row in table.iterrows()]
    table["equivalent"] = table["p_equivalence"] < 1 - confidence
    table["mitigates"] = (table["high"] < -margin) & (table["p_holm"] < 1 - confidence)
    return table


_ESTIMATE = list(Estimate.__dataclass_fields__)


def _estimate(row: pd.Series) -> Estimate:
    return Estimate(**row[_ESTIMATE].to_dict())


def mitigation(effects: pd.DataFrame, model_names: list[str], control: str | None, valid: dict[str, bool]) -> pd.DataFrame:
    """C3 for each model: contradicted if a prompt lowers net excess beyond the margin, supported if all are equivalent to none.

    The row shows the strongest lowering. `control`, a prompt that asks nothing about mood, takes no part in the verdict.
    """
    rows = []
    for model in model_names:
        part = effects[(effects["model"] == model) & (effects["mitigation"] != control)]
        if part.empty:
            verdict = INCONCLUSIVE, "not asked with a mitigation beside the control"
            rows.append(_row("C3", model, "change of net excess, points", None, verdict))
            continue
        strongest = part.loc[part["estimate"].astype(float).idxmin()]
        measured = f"change of net excess by {strongest.mitigation}, points"
        rows.append(_row("C3", model, measured, _estimate(strongest), _unless_invalid(_mitigates(part), valid[model])))
    return pd.DataFrame(rows)


def _mitigates(part: pd.DataFrame) -> tuple[str, str]:
    if part["mitigates"].any():
        return CONTRADICTED, "lowered beyond the margin by " + ", ".join(part.loc[part["mitigates"], "mitigation"])
    if part["equivalent"].all():
        return SUPPORTED, "every prompt equivalent to none"
    return INCONCLUSIVE, "neither beyond the margin nor equivalent"


def unmitigated(table: pd.DataFrame) -> pd.DataFrame:
    """The rows, of judgements or pairs, without a mitigation."""
    return table[table["mitigation"] == NO_MITIGATION]
