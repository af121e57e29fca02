"""C1 of the claims board: the judge agrees with people, on rated texts and on labelled completions."""

import numpy as np
import pandas as pd

from lib.analysis import power
from lib.claims import board, rules
from lib.claims.board import INCONCLUSIVE
from lib.claims.claims import PRESPECIFIED
from lib.claims.rules import Verdict

CLAIM = PRESPECIFIED["C1"]


def agreement(
    judge: str, difference: pd.DataFrame, on_leakage: pd.DataFrame, margin: float, confidence: float
) -> pd.DataFrame:
    """Test C1, a row each on rated texts and on completions.

    Args:
        judge: Name of the judge.
        difference: The table for `judge_agreement`.
        on_leakage: The table for `judge_agreement_on_leakage`.
        margin: The margin of the claim, of r or kappa.
        confidence: Level of the intervals, between 0 and 1.
    """
    rows = [
        judge_agreement(judge, difference, margin, confidence),
        judge_agreement_on_leakage(judge, on_leakage, margin, confidence),
    ]
    return pd.concat(rows, ignore_index=True)


def judge_agreement(judge: str, difference: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """Test C1 on rated texts: r(judge, other raters) − r(one rater, other raters) is not below −`margin`.

    This must hold in every domain. The row shows the domain in which the judge is worst, and the minimum
    detectable effect of the least certain domain. Rated texts are not completions: agreement on leakage
    itself needs labels by people.

    Args:
        judge: Name of the judge.
        difference: One row per domain: domain, estimate, ci_low, ci_high, n, n_documents, with the measure
            DIFFERENCE of `rated_agreement.validity` or `rated_agreement.against_one_rater`.
        margin: The margin of the claim, of r.
        confidence: Level of the intervals, between 0 and 1.
    """
    domains = {
        row.domain: board.from_interval(
            row.estimate, row.ci_low, row.ci_high, int(row.n), int(row.n_documents), confidence
        )
        for row in difference.itertuples()
    }
    verdict, p, p_holm = rules.no_worse(domains, margin, confidence)
    worst = min(domains, key=lambda name: domains[name].estimate)
    least_sure = np.max([power.detectable_effect(estimate, confidence) for estimate in domains.values()])
    measured = f"rated texts: r of judge − r of one rater, worst domain ({worst})"
    other = {"p": p, "p_holm": p_holm, "cluster_unit": "documents", "detectable": least_sure}
    return board.table(
        [board.row(CLAIM, f"judge {judge}", measured, domains[worst], verdict, margin, confidence, **other)]
    )


def judge_agreement_on_leakage(
    judge: str, agreement: pd.DataFrame, margin: float, confidence: float
) -> pd.DataFrame:
    """Test C1 on completions: kappa(judge, annotator) − kappa(two annotators) is not below −`margin`.

    Kappa is that of polarity, weighted.

    Args:
        judge: Name of the judge.
        agreement: A table of `human_agreement.agreement`, with people as the only annotators; without rows if
            no completions are labelled.
        margin: The margin of the claim, of kappa.
        confidence: Level of the intervals, between 0 and 1.
    """
    of_kappa = agreement[(agreement["question"] == "polarity") & (agreement["measure"] == "kappa")]
    differences = of_kappa[of_kappa["weighted"].astype(bool) & (of_kappa["who"] == "judge − annotators")]
    estimate, p, p_holm = None, np.nan, np.nan
    if differences.empty or np.isnan(differences["estimate"].iloc[0]):
        message = (
            "nobody has labelled completions yet"
            if differences.empty
            else "needs two annotators whose labels are not all equal"
        )
        verdict = Verdict(INCONCLUSIVE, message)
    else:
        result = differences.iloc[0]
        estimate = board.from_interval(
            result.estimate, result.ci_low, result.ci_high, int(result.n), int(result.n_stems), confidence
        )
        verdict, p, p_holm = rules.no_worse({"completions": estimate}, margin, confidence)
    row = board.row(
        claim=CLAIM,
        model=f"judge {judge}",
        measured="completions: kappa of judge − kappa of annotators",
        estimate=estimate,
        verdict=verdict,
        margin=margin,
        confidence=confidence,
        unit="of kappa",
        p=p,
        p_holm=p_holm,
    )
    return board.table([row])
