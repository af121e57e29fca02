"""Multiverse analysis: how many of all plausible analyses give the same sign as the main one.

An analysis is a choice of judge, threshold, reference and quantity, and of temperature where the judgements
have several (multiverse analysis, Steegen et al. 2016; shown as a specification curve, Simonsohn et al.
2020). All analyses rest on the same completions. The share that agrees shows how much depends on the choices;
it is not a test.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from lib.analysis import leakage, polarity, specificity
from lib.analysis.leakage import unmitigated
from lib.config.specs import NO_MITIGATION
from lib.stats import inference
from lib.stats.inference import Estimate

CHOICES = ("judge", "threshold", "reference", "quantity", "temperature")
OWN, FIXED = "own", f"{specificity.SPECIFICITY:g} % uncharged"
THRESHOLDS = {OWN: None, "0.2": 0.2, "0.4": 0.4, "1.0": 1.0, FIXED: None}  # points of the human scale
ANY = "any"  # threshold of a quantity that has none
PRIMARY = {"threshold": ANY, "reference": polarity.POOLED, "quantity": "shift"}
CANCELLED = ("shift", "net")  # the reference cancels in the mean of these quantities over both polarities
SIDES = {1: "above", 0: "open", -1: "below"}
NO_INTERVAL = "no interval"
_CELL = ["stem_id", "group_id", "arm"]


def of_leakage(judged: list[pd.DataFrame], confidence: float) -> pd.DataFrame:
    """Run every analysis of C0 and of C4.

    C0 is the leakage of both polarities together, above its value without leakage; C4 is the leakage of the
    negative polarity minus that of the positive one. Both are in the unit of the quantity. Where the
    reference cancels in C0 (CANCELLED), it is not one of the choices, and such an analysis counts once.

    Args:
        judged: Judgements of the same completions by each judge, that of the run first. Only rows without a
            mitigation are used.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        One row per claim, model and combination of CHOICES: claim, model, mitigation, CHOICES; the fields of
        Estimate; side, one of SIDES or NO_INTERVAL; main, whether it is the analysis of PRIMARY by the first
        judge at the first temperature.
    """
    rows = []
    for choices, pairs in _analyses([unmitigated(judgements) for judgements in judged]):
        quantity = choices["quantity"]
        leak = pairs.assign(leak=pairs[quantity] - leakage.NULL_VALUE[quantity])
        least, greatest = (limit - leakage.NULL_VALUE[quantity] for limit in leakage.SUPPORT[quantity])
        difference = leakage.polarity_difference(pairs, quantity)
        estimates = {
            "C4": polarity.design_mean(
                difference, "difference", confidence, leakage.DIFFERENCE_SUPPORT[quantity]
            )
        }
        if choices["reference"] == PRIMARY["reference"] or quantity not in CANCELLED:
            mean = polarity.design_mean(leak, "leak", confidence, (least, greatest))
            estimates = {"C0": mean, **estimates}
        rows += [_row(claim, NO_MITIGATION, choices, estimate) for claim, estimate in estimates.items()]
    return _marked(rows)


def of_mitigation(
    judged: list[pd.DataFrame], confidence: float, controls: Sequence[str] = ()
) -> pd.DataFrame:
    """Run every analysis of C3: the change under each mitigation, in % of the leak without one.

    Only groups and arms count that have a value both with and without the mitigation, each as the mean over
    its draws. There is no interval where it is not certain that anything leaks without a mitigation. A
    reference that was not asked under a mitigation is the unmitigated one on both sides, and it cancels in
    the change of a difference (CANCELLED): the first such reference counts, the others do not.

    Args:
        judged: Judgements of the same completions by each judge, that of the run first.
        confidence: Level of the intervals, between 0 and 1.
        controls: Mitigations that are left out.

    Returns:
        One row per model, mitigation and combination of CHOICES, with the columns of `of_leakage`.
    """
    arms_asked = _asked(judged)
    rows, seen = [], set()
    for choices, pairs in _analyses(judged):
        leak = pairs.assign(leak=pairs[choices["quantity"]] - leakage.NULL_VALUE[choices["quantity"]])
        means = leak.groupby([*_CELL, "mitigation"], sort=False)["leak"].mean().unstack("mitigation")
        described = pairs.drop_duplicates(_CELL).set_index(_CELL)
        for mitigation in means.columns.difference([NO_MITIGATION, *controls], sort=False):
            if choices["quantity"] in CANCELLED and _is_borrowed(
                choices["reference"], arms_asked[choices["model"], mitigation]
            ):
                analysis = mitigation, *(level for name, level in choices.items() if name != "reference")
                if analysis in seen:
                    continue
                seen.add(analysis)
            cells = described.assign(
                bare=means.get(NO_MITIGATION, np.nan), mitigated=means[mitigation]
            ).reset_index()
            rows.append(_row("C3", mitigation, choices, _relative_change(cells, confidence)))
    return _marked(rows)


def _asked(judged: list[pd.DataFrame]) -> dict[tuple[str, str], set[str]]:
    """Return the arms that each model was asked under each mitigation."""
    return judged[0].groupby(["model", "mitigation"])["arm"].agg(set).to_dict()


def _is_borrowed(reference: str, asked: set[str]) -> bool:
    """Return whether no completion of the reference is of the mitigation (`pairing.references`)."""
    return not asked & set(polarity.REFERENCES.get(reference, polarity.REFERENCES[polarity.POOLED]))


def _analyses(judged: list[pd.DataFrame]) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Yield the choices of each analysis, with the model, and its charged pairs."""
    for judgements in judged:
        by = [name for name in ("model", "temperature") if name in judgements]
        for levels, table in judgements.groupby(by, sort=False):
            shared_choices = {
                "temperature": ANY,
                **dict(zip(by, levels, strict=True)),
                "judge": table["judge"].iloc[0],
            }
            for threshold, charged in _thresholds(table):
                for reference, pairs in polarity.pairs_by_reference(charged).items():
                    quantities = ("shift", "leak", "net") if threshold == OWN else ("net",)
                    for quantity in quantities if len(pairs) else ():
                        limit = threshold if quantity == "net" else ANY
                        yield (
                            {
                                **shared_choices,
                                "threshold": limit,
                                "reference": reference,
                                "quantity": quantity,
                            },
                            pairs,
                        )


def _thresholds(judgements: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield `judgements` charged beyond each of THRESHOLDS; those that repeat an earlier one are left out."""
    different: list[pd.Series] = []
    for name, level in {**THRESHOLDS, FIXED: specificity.symmetric(judgements)}.items():
        if level is not None and np.isnan(level):
            continue
        charged = judgements if level is None else specificity.at_thresholds(judgements, level, level)
        verdicts = charged["charged"].astype("boolean")
        if not any(verdicts.equals(other) for other in different):
            different.append(verdicts)
            yield name, charged


def _relative_change(cells: pd.DataFrame, confidence: float) -> Estimate:
    """Estimate the change from bare to mitigated, % of bare, as a linearized ratio (Cochran 1977, ch. 6)."""
    table = cells.dropna(subset=["bare", "mitigated"])
    leak = polarity.design_mean(table, "bare", confidence)
    if not leak.ci_low > 0:
        return Estimate(np.nan, np.nan, np.nan, leak.n, leak.n_stems, np.nan, np.nan, np.nan)
    ratio = table["mitigated"].mean() / leak.estimate
    residual = table["mitigated"] - ratio * table["bare"]
    return polarity.design_mean(
        table.assign(change=100 * (ratio - 1 + residual / leak.estimate)), "change", confidence
    )


def _row(claim: str, mitigation: str, choices: dict, estimate: Estimate) -> dict:
    side = NO_INTERVAL if np.isnan(estimate.ci_low) else SIDES[inference.side_of_zero(estimate)]
    return {"claim": claim, "mitigation": mitigation, **choices, **asdict(estimate), "side": side}


def _marked(rows: list[dict]) -> pd.DataFrame:
    if not rows:
        return pd.DataFrame(
            columns=["claim", "model", "mitigation", *CHOICES, *Estimate.__dataclass_fields__, "side", "main"]
        )
    table = pd.DataFrame(rows)
    first = {name: table.groupby("model")[name].transform("first") for name in ("judge", "temperature")}
    main = np.logical_and.reduce([table[name] == level for name, level in {**first, **PRIMARY}.items()])
    leading = ["claim", "model", "mitigation", *CHOICES]
    return table[[*leading, *table.columns.drop(leading)]].assign(main=main)


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Count the analyses that come to the same side as the main one.

    Returns:
        One row per claim, model and mitigation: side (of the main analysis), analyses, agree, share (%), and
        how many analyses come to each side: above, open, below, no_interval.
    """
    rows = []
    for levels, analyses in table.groupby(["claim", "model", "mitigation"], sort=False):
        main = next(iter(analyses.loc[analyses["main"], "side"]), NO_INTERVAL)
        keys = dict(zip(("claim", "model", "mitigation"), levels, strict=True))
        agree = int((analyses["side"] == main).sum())
        counts = {
            side.replace(" ", "_"): int((analyses["side"] == side).sum())
            for side in (*SIDES.values(), NO_INTERVAL)
        }
        share = 100.0 * agree / len(analyses)
        rows.append(
            {**keys, "side": main, "analyses": len(analyses), "agree": agree, "share": share, **counts}
        )
    return pd.DataFrame(rows)
