"""C1 of the claims board: the judge agrees with people, on texts that they rated and on completions that they
labelled."""

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
    """C1: `judge_agreement` on rated texts and `judge_agreement_on_leakage` on completions, a row each."""
    rows = [
        judge_agreement(judge, difference, margin, confidence),
        judge_agreement_on_leakage(judge, on_leakage, margin, confidence),
    ]
    return pd.concat(rows, ignore_index=True)


def judge_agreement(judge: str, difference: pd.DataFrame, margin: float, confidence: float) -> pd.DataFrame:
    """C1: r(judge, other raters) − r(one rater, other raters) not below −`margin` in any domain of
    `rated_agreement.validity`.

    The row shows the domain where the judge is worst, and the minimum detectable effect of the least sure.
    Rated texts are not
    completions: agreement on leakage itself needs people's labels.
    """
    domains = {
        row.domain: board.from_interval(
            row.estimate, row.ci_low, row.ci_high, int(row.n), int(row.n_documents), confidence
        )
        for row in difference.itertuples()
    }
    verdict, p, p_holm = rules.no_worse(domains, margin, confidence)
    worst = min(domains, key=lambda name: domains[name].estimate)
    least_sure = np.max([power.detectable_effect(found, confidence) for found in domains.values()])
    measured = f"rated texts: r of judge − r of one rater, worst domain ({worst})"
    other = {"p": p, "p_holm": p_holm, "cluster_unit": "documents", "detectable": least_sure}
    return board.table(
        [board.row(CLAIM, f"judge {judge}", measured, domains[worst], verdict, margin, confidence, **other)]
    )


def judge_agreement_on_leakage(
    judge: str, agreement: pd.DataFrame, margin: float, confidence: float
) -> pd.DataFrame:
    """C1 on completions: kappa of the judge with an annotator − kappa of two annotators, not below −`margin`;
    polarity, weighted.

    `agreement` is a table of `human_agreement.agreement`, of people alone, without rows if nobody has
    labelled anything.
    """
    of_kappa = agreement[(agreement["question"] == "polarity") & (agreement["measure"] == "kappa")]
    row = of_kappa[of_kappa["weighted"].astype(bool) & (of_kappa["who"] == "judge − annotators")]
    found, other = None, {}
    if row.empty or np.isnan(row["estimate"].iloc[0]):
        message = (
            "nobody has labelled completions yet"
            if row.empty
            else "needs two annotators whose labels are not all equal"
        )
        verdict = Verdict(INCONCLUSIVE, message)
    else:
        shown = row.iloc[0]
        found = board.from_interval(
            shown.estimate, shown.ci_low, shown.ci_high, int(shown.n), int(shown.n_stems), confidence
        )
        verdict, p, p_holm = rules.no_worse({"completions": found}, margin, confidence)
        other = {"p": p, "p_holm": p_holm}
    measured = "completions: kappa of judge − kappa of annotators"
    named = CLAIM, f"judge {judge}", measured
    return board.table([board.row(*named, found, verdict, margin, confidence, unit="of kappa", **other)])
