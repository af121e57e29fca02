"""The claims board: C0 to C5 with their prespecified tests and results; `lib.claims.rules` decides.

The claims are those of the abstract of Köprü et al. (2025, arXiv 2508.01708). How each claim is tested, in
PRESPECIFIED, is a choice of this project, as are the margins in the parameter sets. Each claim but C1 is
decided by the mean valence shift towards the injected sentiment, in points of the human scale. This shift
does not depend on the threshold of a judge. The net excess is shown next to it. C1 is in
`lib.claims.judge_claims`, C3 in `lib.claims.mitigation`.
"""

from dataclasses import fields
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.analysis import leakage, usability
from lib.analysis.clustered import DesignEstimate
from lib.analysis.polarity import by_reference
from lib.analysis.scaling import LINE, meta_regression
from lib.claims import board, rules
from lib.claims.board import INCONCLUSIVE, SUPPORTED, Claim
from lib.claims.rules import Verdict
from lib.stats import inference
from lib.stats.inference import Estimate

PRESPECIFIED = {
    claim.name: claim
    for claim in (
        Claim("C0", "leakage exists", "above 0", "scaling.margin", "scale points"),
        Claim("C1", "the judge agrees with people", "not below −margin", "agreement.margin", "of r"),
        Claim(
            "C2",
            "leakage falls with model size",
            "below 0",
            "scaling.margin",
            "scale points per tenfold size",
        ),
        Claim(
            "C3",
            "prompting does not mitigate it",
            "every prompt keeps 1 − margin",
            "mitigation.margin",
            "of the leak",
        ),
        Claim("C4", "negative leaks more than positive", "above 0", "scaling.margin", "scale points"),
        Claim("C5", "mined text tells the same story", "same side of 0", "scaling.margin", "scale points"),
    )
}
ESTIMATE = [field.name for field in fields(DesignEstimate)]


class Case(NamedTuple):
    """A row of a claim before it is decided."""

    model: str
    measured: str
    estimates: list[Estimate]  # the first is shown; several are against several references
    net: Estimate | None  # of the net excess, shown next to it
    fault: str
    verdict: Verdict | None = None  # set in advance where nothing can be estimated
    unless: str = ""  # why a supported claim is still inconclusive

    @property
    def shown(self) -> Estimate | None:
        """The estimate on the row: the first one, None if there is none."""
        return self.estimates[0] if self.estimates else None

    @property
    def p(self) -> float:
        """The largest p of the estimates, all of which must hold."""
        return rules.largest_p([estimate.p for estimate in self.estimates])


def existence(pairs: pd.DataFrame, margin: float, confidence: float, faults: dict[str, str]) -> pd.DataFrame:
    """Test C0: the mean shift of both polarities over the neutral arm is above 0.

    Args:
        pairs: Unmitigated pairs of `leakage.pairs`.
        margin: The margin of the claim, in points of the human scale.
        confidence: Level of the intervals, between 0 and 1.
        faults: What is wrong with each model's completions (`usability.faults`).

    Returns:
        The rows of the board, one per model of `faults`.
    """
    charged = leakage.charged_pairs(pairs)
    cases = [
        Case(
            model,
            "mean shift",
            _known(leakage.mean_of(subset, leakage.PRIMARY, confidence)),
            leakage.mean_of(subset, "net", confidence),
            fault,
        )
        for model, fault in faults.items()
        for subset in [charged[charged["model"] == model]]
    ]
    return _directional(PRESPECIFIED["C0"], cases, 1, margin, confidence)


def leaks(pairs: pd.DataFrame, confidence: float) -> dict[str, bool]:
    """Return whether the interval of each model's mean shift lies above 0, from unmitigated `pairs`.

    A shift that does not exist cannot fall.
    """
    charged = leakage.charged_pairs(pairs)
    return {
        model: leakage.mean_of(subset, leakage.PRIMARY, confidence).ci_low > 0
        for model, subset in charged.groupby("model", sort=False)
    }


def polarity(
    estimates: pd.DataFrame, margin: float, confidence: float, faults: dict[str, str]
) -> pd.DataFrame:
    """Test C4: the negative arm shifts more than the positive arm, against every reference.

    The estimate is the shift of the negative arm minus that of the positive arm.

    Args:
        estimates: A table of `polarity.by_reference`; the row shows the first reference of each model.
        margin: The margin of the claim, in points of the human scale.
        confidence: Level of the intervals, between 0 and 1.
        faults: What is wrong with each model's completions (`usability.faults`).

    Returns:
        The rows of the board, one per model of `faults`.
    """
    cases = []
    for model, fault in faults.items():
        of_model = estimates[estimates["model"] == model]
        primary, net = (of_model[of_model["quantity"] == name] for name in (leakage.PRIMARY, "net"))
        net_estimate = next(iter(_of_model(net, model)), None)
        cases.append(
            Case(
                model, _against(primary), _of_model(primary, model), net_estimate, fault, _undecided(primary)
            )
        )
    return _directional(PRESPECIFIED["C4"], cases, 1, margin, confidence)


def _undecided(own: pd.DataFrame) -> Verdict | None:
    """Return inconclusive where a reference has no estimate, or no interval while others have one, else None.

    The reason names these references.
    """
    without = {
        "estimate": own["estimate"].isna(),
        "interval": own["ci_low"].isna() & own["ci_low"].notna().any(),
    }
    for missing, affected in without.items():
        if affected.any():
            return Verdict(
                INCONCLUSIVE, f"no {missing} against {' and '.join(own.loc[affected, 'reference'])}"
            )
    return None


def _against(own: pd.DataFrame) -> str:
    """Return what C4 measures for a model: the reference shown and how many references decide."""
    names = own["reference"].tolist()
    others = f" (decided by {len(names)} references)" if len(names) > 1 else ""
    return f"negative − positive, against {names[0]}{others}" if names else "negative − positive"


def _of_model(estimates: pd.DataFrame, model: str) -> list[Estimate]:
    """Return the estimates of a model against its references; none if one of them cannot be estimated."""
    results: list[Estimate] = [
        DesignEstimate(**row)
        for row in estimates.loc[estimates["model"] == model, ESTIMATE].to_dict("records")
    ]
    return [] if any(np.isnan(result.estimate) for result in results) else results


def _known(estimate: Estimate) -> list[Estimate]:
    return [] if np.isnan(estimate.estimate) else [estimate]


def scaling(
    pairs: pd.DataFrame, min_sizes: int, margin: float, confidence: float, faults: dict[str, str]
) -> pd.DataFrame:
    """Test C2: the slope of the mean shift per tenfold parameters is below 0, with models as the sample.

    The slope is that of `lib.analysis.scaling.meta_regression`. With fewer than `min_sizes` sizes the slope
    only describes, and there is no verdict. If the shift is not certainly above 0 in a model of any size, it
    cannot be said to fall.

    Args:
        pairs: Unmitigated pairs of `leakage.pairs`.
        min_sizes: The smallest number of sizes of a family that allows a verdict.
        margin: The margin of the claim, in points of the human scale per tenfold size.
        confidence: Level of the intervals, between 0 and 1.
        faults: What is wrong with each model's completions (`usability.faults`).

    Returns:
        The rows of the board, one per family, tuning and mode; the clusters are sizes.
    """
    cases = []
    slopes, nets = (meta_regression(pairs, quantity, confidence) for quantity in (leakage.PRIMARY, "net"))
    lines = leakage.charged_pairs(pairs).groupby(LINE, sort=False)
    for row, net, (_, subset) in zip(slopes.to_dict("records"), nets.to_dict("records"), lines, strict=True):
        slope, net_slope = (
            Estimate(**{field.name: values[field.name] for field in fields(Estimate)})
            for values in (row, net)
        )
        too_few = Verdict(INCONCLUSIVE, f"needs at least {min_sizes} sizes of a family, has {row['sizes']}")
        not_fitted = Verdict(INCONCLUSIVE, row["message"]) if row["message"] else None
        unless = "falls, but the shift is surely above 0 at no size"
        leaking = any(leaks(subset.dropna(subset="parameters"), confidence).values())
        cases.append(
            Case(
                "{family} ({tuning}, {mode})".format_map(row),
                "slope of mean shift",
                _known(slope),
                net_slope,
                usability.joined(faults, subset["model"].unique()),
                too_few if row["sizes"] < min_sizes else not_fitted,
                "" if leaking else unless,
            )
        )
    table = _directional(PRESPECIFIED["C2"], cases, -1, margin, confidence)
    return table.assign(clusters=slopes["sizes"], cluster_unit="sizes")


def _directional(
    claim: Claim, cases: list[Case], claimed: int, margin: float, confidence: float
) -> pd.DataFrame:
    """Return rows of C0, C2 or C4; p_holm and p_equivalence are Holm-corrected over the cases."""
    p_holm = inference.holm([case.p for case in cases])
    p_inside = [
        rules.largest_p([inference.equivalence_p(estimate, margin) for estimate in case.estimates])
        for case in cases
    ]
    p_equivalence = inference.holm(p_inside)
    rows = []
    for case, p, equivalence in zip(cases, p_holm, p_equivalence, strict=True):
        verdict = case.verdict or rules.direction(case.estimates, claimed, margin, p, equivalence, confidence)
        if verdict.verdict == SUPPORTED and case.unless:
            verdict = Verdict(INCONCLUSIVE, case.unless)
        rows.append(
            _row(claim, case, verdict, margin, confidence, p=case.p, p_holm=p, p_equivalence=equivalence)
        )
    return board.table(rows)


def _row(claim: Claim, case: Case, verdict: Verdict, margin: float, confidence: float, **other) -> dict:
    return board.row(
        claim,
        case.model,
        case.measured,
        case.shown,
        verdict,
        margin,
        confidence,
        case.fault,
        case.net,
        **other,
    )


class Benchmark(NamedTuple):
    """The input of C5 from one benchmark.

    Attributes:
        pairs: Unmitigated pairs of `leakage.pairs`.
        polarity: The table that decides C4 (`polarity.by_reference`).
        faults: What is wrong with each model's completions (`usability.faults`).
    """

    pairs: pd.DataFrame
    polarity: pd.DataFrame
    faults: dict[str, str]


def benchmark(judgements: pd.DataFrame, confidence: float, margin: float) -> Benchmark:
    """Return the input of C5 from unmitigated judgements; `margin` is that of the placebo rule."""
    pairs = leakage.pairs(judgements)
    faults = usability.faults(judgements, pairs, confidence, margin)
    return Benchmark(pairs, by_reference(judgements, confidence), faults)


def mined(mined: Benchmark, curated: Benchmark, margin: float, confidence: float) -> pd.DataFrame:
    """Test C5: mined text gives the same sign and size of the shift, and the same rank of the polarities.

    The rank must be the same against every reference.

    Args:
        mined: The mined benchmark.
        curated: The curated benchmark, without rows where it was not run.
        margin: The margin of the claim, in points of the human scale.
        confidence: Level of the intervals, between 0 and 1.

    Returns:
        The rows of the board, three per model that was asked with both benchmarks: sign, size and rank. One
        inconclusive row if there is no such model.
    """
    claim = PRESPECIFIED["C5"]
    shared = [name for name in mined.faults if name in set(curated.pairs["model"])]
    if not shared:
        no_verdict = Verdict(INCONCLUSIVE, "no run on a mined benchmark beside one on the curated")
        return board.table(
            [
                board.row(
                    claim, "every model", "shift, mined beside curated", None, no_verdict, margin, confidence
                )
            ]
        )
    faults = {name: mined.faults[name] or curated.faults[name] for name in shared}
    shifts, nets = (
        {
            name: (_mean(mined, name, quantity, confidence), _mean(curated, name, quantity, confidence))
            for name in shared
        }
        for quantity in (leakage.PRIMARY, "net")
    )
    sign = {name: ([first], [second]) for name, (first, second) in shifts.items()}
    rank = {
        name: tuple(_of_model(_primary(source.polarity), name) for source in (mined, curated))
        for name in shared
    }
    rows = _sides(
        "sign: mean shift",
        sign,
        {name: estimates[0] for name, estimates in nets.items()},
        faults,
        margin,
        confidence,
    )
    rows += _sizes(shifts, nets, faults, margin, confidence)
    return board.table(rows + _sides("rank: negative − positive", rank, {}, faults, margin, confidence))


def _primary(estimates: pd.DataFrame) -> pd.DataFrame:
    return estimates[estimates["quantity"] == leakage.PRIMARY]


def _mean(benchmark: Benchmark, model: str, quantity: str, confidence: float) -> Estimate:
    charged = leakage.charged_pairs(benchmark.pairs)
    return leakage.mean_of(charged[charged["model"] == model], quantity, confidence)


def _sides(
    part: str,
    estimates: dict[str, tuple],
    nets: dict[str, Estimate],
    faults: dict[str, str],
    margin: float,
    confidence: float,
) -> list[dict]:
    """Return the rows of sign or rank; they show the mined estimate and name the curated one in words."""
    p = {
        name: rules.largest_p([estimate.p for estimate in (*first, *second)])
        for name, (first, second) in estimates.items()
    }
    corrected = inference.holm(list(p.values()))
    rows = []
    for (name, (first, second)), p_holm in zip(estimates.items(), corrected, strict=True):
        curated_text = f" (curated {second[0].estimate:+.2f})".replace("-", "−") if second else ""
        case = Case(name, f"{part}, mined{curated_text}", first, nets.get(name), faults[name])
        verdict = rules.same_side(first, second, p_holm, confidence)
        rows.append(_row(PRESPECIFIED["C5"], case, verdict, margin, confidence, p=p[name], p_holm=p_holm))
    return rows


def _sizes(
    shifts: dict[str, tuple[Estimate, Estimate]],
    nets: dict[str, tuple[Estimate, Estimate]],
    faults: dict[str, str],
    margin: float,
    confidence: float,
) -> list[dict]:
    """Return the rows of size: mined minus curated mean shift."""
    differences = {name: inference.difference(*pair, confidence) for name, pair in shifts.items()}
    p_inside = inference.holm(
        [inference.equivalence_p(difference, margin) for difference in differences.values()]
    )
    p_beyond = inference.holm([rules.beyond_p(difference, margin) for difference in differences.values()])
    rows = []
    for (name, difference), p_in, p_out in zip(differences.items(), p_inside, p_beyond, strict=True):
        net = inference.difference(*nets[name], confidence)
        case = Case(name, "size: mined − curated mean shift", _known(difference), net, faults[name])
        verdict = rules.within(difference, margin, p_in, p_out, confidence)
        rows.append(
            _row(
                PRESPECIFIED["C5"],
                case,
                verdict,
                margin,
                confidence,
                p_holm=p_out,
                p_equivalence=p_in,
                p=rules.beyond_p(difference, margin),
                test="inside ± margin",
            )
        )
    return rows
