"""The claims board: C0 to C5, each with its pre-registered test, what was measured, and a verdict that may be "inconclusive".

The claims are those of the abstract of Köprü et al. (2025, arXiv 2508.01708). How each is tested, in PREREGISTERED, is a choice
of this project, as are the margins in the parameter sets; `lib.board` holds back the verdicts for which the evidence is too thin.
"""

import numpy as np
import pandas as pd

from lib import board, inference, leakage, power
from lib.board import CONTRADICTED, HOLDS_ZERO, INCONCLUSIVE, SUPPORTED, Claim
from lib.inference import Estimate
from lib.scaling import LINE, meta_regression
from lib.specs import NO_MITIGATION

# Fixed before any run, and ours. A test takes the whole interval; C3 is an equivalence test within ± margin, by prompt. C5 takes
# intervals of net excess, and of negative − positive, that lie on the same side of 0 in both benchmarks.
PREREGISTERED = {
    claim.name: claim
    for claim in (
        Claim("C0", "leakage exists", "above 0", "scaling.margin", "points"),
        Claim("C1", "the judge agrees with people", "at or above 0", "agreement.margin", "of r"),
        Claim("C2", "leakage falls with model size", "below 0", "scaling.margin", "points per tenfold size"),
        Claim("C3", "prompting does not mitigate it", "every prompt within ± margin", "mitigation.margin", "points"),
        Claim("C4", "negative leaks more than positive", "above 0", "scaling.margin", "points"),
        Claim("C5", "mined text tells the same story", "sign and rank as curated", "scaling.margin", "points"),
    )
}


def _side(found: Estimate, wished: int) -> tuple[str, str]:
    """The verdict of a claim that `found` lies above (`wished` 1) or below (−1) 0."""
    if np.isnan(found.low):
        return INCONCLUSIVE, "no interval"
    side = inference.side_of_zero(found)
    if side == 0:
        return INCONCLUSIVE, HOLDS_ZERO
    return (SUPPORTED if side == wished else CONTRADICTED), f"whole interval {'above' if side > 0 else 'below'} 0"


def leaks(pairs: pd.DataFrame, confidence: float) -> dict[str, bool]:
    """Whether the interval of each model's net excess lies above 0, of unmitigated `pairs`: what falls has to be there."""
    found = inference.clustered_means(leakage.charged_pairs(pairs), "net", ["model"], confidence)
    return dict(zip(found["model"], (found["low"] > 0).tolist(), strict=True))


def existence(pairs: pd.DataFrame, margin: float, confidence: float, faults: dict[str, str]) -> pd.DataFrame:
    """C0 for each model: net excess of both polarities together over the neutral arm above 0.

    `faults`: those of `lib.usability`, by model.
    """
    rows = []
    for model, part in leakage.charged_pairs(pairs).groupby("model", sort=False):
        found = inference.clustered_mean(part["net"], part["stem_id"], confidence)
        told = "net excess", found, _side(found, 1), margin, confidence, faults[model]
        rows.append(board.row(PREREGISTERED["C0"], model, *told))
    return board.settled(rows, confidence)


def polarity(pairs: pd.DataFrame, margin: float, confidence: float, faults: dict[str, str]) -> pd.DataFrame:
    """C4 for each model: net excess of the negative arm minus that of the positive arm, paired by group, above 0."""
    rows = []
    differences = leakage.polarity_difference(pairs)
    for model in pairs["model"].unique():
        part = differences[differences["model"] == model]
        found = inference.clustered_mean(part["difference"], part["stem_id"], confidence)
        told = "negative − positive", found, _side(found, 1), margin, confidence, faults[model]
        rows.append(board.row(PREREGISTERED["C4"], model, *told))
    return board.settled(rows, confidence)


def agreement(judge: str, difference: pd.DataFrame, on_leakage: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """C1: `judge_agreement` on rated texts and `judge_agreement_on_leakage` on completions, a row each."""
    rows = [judge_agreement(judge, difference, margin, confidence),
            judge_agreement_on_leakage(judge, on_leakage, margin, confidence)]  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def judge_agreement(judge: str, difference: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """C1: r(judge, other raters) − r(one rater, other raters) at or above 0 in every domain of `agreement.validity`.

    The row shows the domain where the judge is worst, and the minimum detectable effect of the least sure; p is Holm-corrected
    over the domains, as a single one contradicts the claim. Rated texts are not completions: agreement on leakage itself
    needs people's labels.
    """
    table = difference.reset_index(drop=True)
    found = [
        board.from_interval(row.estimate, row.low, row.high, int(row.n), int(row.n_documents), confidence)
        for row in table.itertuples()
    ]
    corrected = inference.holm([domain.p for domain in found])
    worst, below = int(table["estimate"].argmin()), (table["high"] < 0) & (corrected < 1 - confidence)
    if (table["low"] >= 0).all():
        verdict = SUPPORTED, "as good as one rater in every domain"
    elif below.any():
        verdict = CONTRADICTED, "below one rater in " + ", ".join(table.loc[below, "domain"])
    else:
        verdict = INCONCLUSIVE, HOLDS_ZERO
    measured = f"r of judge − r of one rater, worst domain ({table['domain'][worst]})"
    told = measured, found[worst], verdict, margin, confidence
    other = {"p_holm": corrected[worst], "cluster_unit": "documents",
             "detectable": np.max([power.detectable_effect(domain, confidence) for domain in found])}  # fmt: skip
    return board.settled([board.row(PREREGISTERED["C1"], f"judge {judge}", *told, **other)], confidence)


def judge_agreement_on_leakage(judge: str, agreement: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """C1 on completions: kappa of the judge with an annotator − kappa of two annotators, at or above 0; polarity, weighted.

    `agreement` is a table of `human_agreement.agreement`, of people alone, without rows if nobody has labelled anything.
    """
    of_kappa = agreement[(agreement["question"] == "polarity") & (agreement["measure"] == "kappa")]
    row = of_kappa[of_kappa["weighted"].astype(bool) & (of_kappa["who"] == "judge − annotators")]
    found = None
    if row.empty or np.isnan(row["estimate"].iloc[0]):
        said = "nobody has labelled completions yet" if row.empty else "needs two annotators whose labels are not all equal"
        verdict = INCONCLUSIVE, said
    else:
        shown = row.iloc[0]
        found = board.from_interval(shown.estimate, shown.low, shown.high, int(shown.n), int(shown.n_stems), confidence)
        verdict = INCONCLUSIVE, HOLDS_ZERO
        if found.low >= 0:
            verdict = SUPPORTED, "agrees with people as they do with each other"
        elif found.high < 0:
            verdict = CONTRADICTED, "below people"
    told = "kappa of judge − kappa of annotators, on completions", found, verdict, margin, confidence
    return board.settled([board.row(PREREGISTERED["C1"], f"judge {judge}", *told, unit="of kappa")], confidence)


def scaling(pairs: pd.DataFrame, min_sizes: int, margin: float, confidence: float, faults: dict[str, str]) -> pd.DataFrame:
    """C2 for each family, tuning and mode: slope of the mean valence shift per tenfold parameters below 0, models as the sample.

    The slope of `lib.scaling.meta_regression`; with fewer than `min_sizes` sizes it is a description, and there is no verdict.
    What is not surely there in a model of any size cannot be said to fall.
    """
    rows, charged = [], leakage.charged_pairs(pairs)
    slopes = meta_regression(pairs, "shift", confidence)
    for (_, row), (_, part) in zip(slopes.iterrows(), charged.groupby(LINE, sort=False), strict=True):
        found, verdict = None if np.isnan(row["estimate"]) else _estimate(row), (INCONCLUSIVE, row["message"])
        if row["sizes"] < min_sizes:
            verdict = INCONCLUSIVE, f"needs at least {min_sizes} sizes of a family, has {row['sizes']}"
        elif found is not None:
            verdict = _side(found, -1)
            if verdict[0] == SUPPORTED and not any(leaks(part.dropna(subset="parameters"), confidence).values()):
                verdict = INCONCLUSIVE, "falls, but net excess is surely above 0 at no size"
        fault = "; ".join(f"{model}: {faults[model]}" for model in part["model"].unique() if faults[model])
        told = "slope of the mean valence shift", found, verdict, margin, confidence, fault
        other = {"unit": "scale points per tenfold size", "clusters": row["sizes"], "cluster_unit": "sizes"}
        rows.append(board.row(PREREGISTERED["C2"], "{family} ({tuning}, {mode})".format_map(row), *told, **other))
    return board.settled(rows, confidence)


def mined(
    pairs: pd.DataFrame,
    curated: pd.DataFrame,
    margin: float,
    confidence: float,
    faults: dict[str, str],
    curated_faults: dict[str, str],
) -> pd.DataFrame:
    """C5 for each model asked with both benchmarks: the same sign of net excess and the same rank of the polarities.

    `pairs` are those of the mined benchmark, `curated` those of the other, without rows if it was not run. The estimate, and
    with it the minimum detectable effect, is the net excess of the mined less that of the curated. A sign or rank counts only
    where its whole interval lies on one side of 0; the claim is contradicted where the benchmarks are sure of opposite ones, and
    supported where they are sure of the same. p is the largest of the tests that the verdict takes together.
    """
    measured, claim = "mined − curated net excess", PREREGISTERED["C5"]
    shared = [name for name in pairs["model"].unique() if name in set(curated["model"])]
    if not shared:
        verdict = INCONCLUSIVE, "no run on a mined benchmark beside one on the curated"
        return board.settled([board.row(claim, "every model", measured, None, verdict, margin, confidence)], confidence)
    rows = []
    for model in shared:
        (net, rank), (other_net, other_rank) = (_story(table[table["model"] == model], confidence) for table in (pairs, curated))
        verdict, p = _same_story({"sign": (net, other_net), "rank": (rank, other_rank)})
        told = inference.difference(net, other_net, confidence), verdict, margin, confidence
        rows.append(board.row(claim, model, measured, *told, faults[model] or curated_faults[model], p=p))
    return board.settled(rows, confidence)


def _story(pairs: pd.DataFrame, confidence: float) -> tuple[Estimate, Estimate]:
    """Net excess of both polarities together, and of the negative less that of the positive."""
    charged, differences = leakage.charged_pairs(pairs), leakage.polarity_difference(pairs)
    return (inference.clustered_mean(charged["net"], charged["stem_id"], confidence),
            inference.clustered_mean(differences["difference"], differences["stem_id"], confidence))  # fmt: skip


def _same_story(told: dict[str, tuple[Estimate, Estimate]]) -> tuple[tuple[str, str], float]:
    """The verdict on what mined and curated each tell, and its p; twice that of an opposite, of which there may be two."""
    agree = {name: np.prod([inference.side_of_zero(found) for found in both]) for name, both in told.items()}
    p = {name: max(found.p for found in both) for name, both in told.items()}
    opposite = [name for name in told if agree[name] < 0]
    undecided = [name for name in told if agree[name] == 0]
    if opposite:
        return (CONTRADICTED, "opposite " + " and ".join(opposite)), min(1.0, len(told) * min(p[name] for name in opposite))
    if undecided:
        same = "".join(f"same {name}, " for name in told if name not in undecided)
        return (INCONCLUSIVE, f"{same}{' and '.join(undecided)} not sure in both"), max(p.values())
    return (SUPPORTED, "same sign, and the same polarity leaks more"), max(p.values())


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


def mitigation(
    effects: pd.DataFrame,
    model_names: list[str],
    control: str | None,
    margin: float,
    confidence: float,
    faults: dict[str, str],
    leaking: dict[str, bool],
) -> pd.DataFrame:
    """C3 for each model: contradicted if a prompt lowers net excess beyond the margin, supported if all are equivalent to none.

    `faults` and `leaking`, by model: those of `lib.usability`, and `leaks`. Where nothing surely leaks, nothing is left to
    mitigate.

    The row shows the strongest lowering, and the minimum detectable effect of the least sure prompt, as equivalence takes them
    all. p is the largest of the equivalence tests, of a contradiction that of the change. `control`, a prompt that asks nothing
    about mood, takes no part in the verdict.
    """
    rows, claim, measured = [], PREREGISTERED["C3"], "change of net excess"
    for model in model_names:
        part = effects[(effects["model"] == model) & (effects["mitigation"] != control)]
        if part["estimate"].isna().all():
            said = "not asked with a mitigation beside the control" if part.empty else "no pair of completions can be judged"
            fault = "" if part.empty else faults[model]
            rows.append(board.row(claim, model, measured, None, (INCONCLUSIVE, said), margin, confidence, fault))
            continue
        strongest = part.loc[part["estimate"].astype(float).idxmin()]
        other = {"p": part["p_equivalence"].max()}
        if part["mitigates"].any():
            surest = part[part["mitigates"]].nsmallest(1, "p_holm").iloc[0]
            other = {"p": surest["p"], "p_holm": surest["p_holm"]}
        other["detectable"] = np.max([power.detectable_effect(_estimate(row), confidence) for _, row in part.iterrows()])
        verdict = _mitigates(part)
        if verdict[0] == SUPPORTED and not leaking[model]:
            verdict = INCONCLUSIVE, "every prompt equivalent to none, but nothing surely leaks without"
        told = _estimate(strongest), verdict, margin, confidence, faults[model]
        rows.append(board.row(claim, model, f"{measured} by {strongest.mitigation}", *told, **other))
    return board.settled(rows, confidence)


def _mitigates(part: pd.DataFrame) -> tuple[str, str]:
    if part["mitigates"].any():
        return CONTRADICTED, "lowered beyond the margin by " + ", ".join(part.loc[part["mitigates"], "mitigation"])
    if part["equivalent"].all():
        return SUPPORTED, "every prompt equivalent to none"
    return INCONCLUSIVE, "neither beyond the margin nor equivalent"


def unmitigated(table: pd.DataFrame) -> pd.DataFrame:
    """The rows, of judgements or pairs, without a mitigation."""
    return table[table["mitigation"] == NO_MITIGATION]
