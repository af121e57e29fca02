"""The claims board: C0 to C5, each with its prespecified test and what was measured; `lib.claims.rules`
decides.

The claims are those of the abstract of Köprü et al. (2025, arXiv 2508.01708). How each is tested, in
PRESPECIFIED, is a choice of this project, as are the margins in the parameter sets. Each is decided by the
mean valence shift towards the injected sentiment, in points of the human scale, which no threshold of a judge
touches; the net excess stands beside it. C1 is in `lib.claims.judge_claims`, C3 in `lib.claims.mitigation`.
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
    estimates: list[Estimate]  # the first is shown; several are of several references
    net: Estimate | None  # of the net excess, shown beside it
    fault: str
    verdict: Verdict | None = None  # given beforehand, where nothing can be estimated
    unless: str = ""  # why a supported claim is inconclusive nevertheless

    @property
    def shown(self) -> Estimate | None:
        return self.estimates[0] if self.estimates else None

    @property
    def p(self) -> float:
        return rules.largest_p([found.p for found in self.estimates])


def existence(pairs: pd.DataFrame, margin: float, confidence: float, faults: dict[str, str]) -> pd.DataFrame:
    """C0 for each model of `faults` (`usability.faults`): mean shift of both polarities over the neutral arm
    above 0."""
    charged = leakage.charged_pairs(pairs)
    cases = [
        Case(
            model,
            "mean shift",
            _known(leakage.mean_of(part, leakage.PRIMARY, confidence)),
            leakage.mean_of(part, "net", confidence),
            fault,
        )
        for model, fault in faults.items()
        for part in [charged[charged["model"] == model]]
    ]
    return _directional(PRESPECIFIED["C0"], cases, 1, margin, confidence)


def leaks(pairs: pd.DataFrame, confidence: float) -> dict[str, bool]:
    """Whether the interval of each model's mean shift lies above 0, of unmitigated `pairs`: what falls has to
    be there."""
    charged = leakage.charged_pairs(pairs)
    return {
        model: leakage.mean_of(part, leakage.PRIMARY, confidence).ci_low > 0
        for model, part in charged.groupby("model", sort=False)
    }


def polarity(
    estimates: pd.DataFrame, margin: float, confidence: float, faults: dict[str, str]
) -> pd.DataFrame:
    """C4 for each model of `faults`: the shift of the negative arm less that of the positive arm above 0
    against every reference.

    `estimates`: a table of `polarity.by_reference`; the first reference of a model is the one shown.
    """
    cases = []
    for model, fault in faults.items():
        of_model = estimates[estimates["model"] == model]
        own, net = (of_model[of_model["quantity"] == name] for name in (leakage.PRIMARY, "net"))
        beside = next(iter(_of_model(net, model)), None)
        cases.append(Case(model, _against(own), _of_model(own, model), beside, fault, _undecided(own)))
    return _directional(PRESPECIFIED["C4"], cases, 1, margin, confidence)


def _undecided(own: pd.DataFrame) -> Verdict | None:
    """Inconclusive, naming the references against which there is no estimate, or no interval as against
    others; else None."""
    without = {
        "estimate": own["estimate"].isna(),
        "interval": own["ci_low"].isna() & own["ci_low"].notna().any(),
    }
    for lacking, of in without.items():
        if of.any():
            return Verdict(INCONCLUSIVE, f"no {lacking} against {' and '.join(own.loc[of, 'reference'])}")
    return None


def _against(own: pd.DataFrame) -> str:
    """What C4 measures of a model: against which reference the row shows it, and how many references decide
    it."""
    names = own["reference"].tolist()
    others = f" (decided by {len(names)} references)" if len(names) > 1 else ""
    return f"negative − positive, against {names[0]}{others}" if names else "negative − positive"


def _of_model(estimates: pd.DataFrame, model: str) -> list[Estimate]:
    """The estimates of a model against the references that it was asked with; none if one of them could not
    be estimated."""
    found = [
        DesignEstimate(**row)
        for row in estimates.loc[estimates["model"] == model, ESTIMATE].to_dict("records")
    ]
    return [] if any(np.isnan(one.estimate) for one in found) else found


def _known(found: Estimate) -> list[Estimate]:
    return [] if np.isnan(found.estimate) else [found]


def scaling(
    pairs: pd.DataFrame, min_sizes: int, margin: float, confidence: float, faults: dict[str, str]
) -> pd.DataFrame:
    """C2 for each family, tuning and mode: slope of the mean shift per tenfold parameters below 0, models as
    the sample.

    The slope of `lib.analysis.scaling.meta_regression`; with fewer than `min_sizes` sizes it is a
    description, and there is no verdict. What is not surely there in a model of any size cannot be said to
    fall.
    """
    cases = []
    slopes, nets = (meta_regression(pairs, quantity, confidence) for quantity in (leakage.PRIMARY, "net"))
    lines = leakage.charged_pairs(pairs).groupby(LINE, sort=False)
    for row, net, (_, part) in zip(slopes.to_dict("records"), nets.to_dict("records"), lines, strict=True):
        slope, beside = (
            Estimate(**{field.name: of[field.name] for field in fields(Estimate)}) for of in (row, net)
        )
        few = Verdict(INCONCLUSIVE, f"needs at least {min_sizes} sizes of a family, has {row['sizes']}")
        none = Verdict(INCONCLUSIVE, row["message"]) if row["message"] else None
        unless = "falls, but the shift is surely above 0 at no size"
        leaking = any(leaks(part.dropna(subset="parameters"), confidence).values())
        cases.append(
            Case(
                "{family} ({tuning}, {mode})".format_map(row),
                "slope of mean shift",
                _known(slope),
                beside,
                usability.joined(faults, part["model"].unique()),
                few if row["sizes"] < min_sizes else none,
                "" if leaking else unless,
            )
        )
    table = _directional(PRESPECIFIED["C2"], cases, -1, margin, confidence)
    return table.assign(clusters=slopes["sizes"], cluster_unit="sizes")


def _directional(
    claim: Claim, cases: list[Case], claimed: int, margin: float, confidence: float
) -> pd.DataFrame:
    """The rows of C0, C2 or C4 by `rules.direction`; p and p_equivalence are Holm-corrected over the
    cases."""
    p_holm = inference.holm([case.p for case in cases])
    inside = [
        rules.largest_p([inference.equivalence_p(found, margin) for found in case.estimates])
        for case in cases
    ]
    p_equivalence = inference.holm(inside)
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
    """What C5 compares: unmitigated pairs, what C4 is decided by (`polarity.by_reference`), and
    `usability.faults`."""

    pairs: pd.DataFrame
    polarity: pd.DataFrame
    faults: dict[str, str]


def benchmark(judgements: pd.DataFrame, confidence: float, margin: float) -> Benchmark:
    """What C5 compares, of unmitigated judgements; `margin` of the placebo rule."""
    pairs = leakage.pairs(judgements)
    faults = usability.faults(judgements, pairs, confidence, margin)
    return Benchmark(pairs, by_reference(judgements, confidence), faults)


def mined(mined: Benchmark, curated: Benchmark, margin: float, confidence: float) -> pd.DataFrame:
    """C5 for each model asked with both benchmarks, three rows: the same sign of the shift, the same size,
    the same rank of the polarities against every reference. `curated` has no rows where it was not run."""
    claim = PRESPECIFIED["C5"]
    shared = [name for name in mined.faults if name in set(curated.pairs["model"])]
    if not shared:
        nothing = Verdict(INCONCLUSIVE, "no run on a mined benchmark beside one on the curated")
        return board.table(
            [
                board.row(
                    claim, "every model", "shift, mined beside curated", None, nothing, margin, confidence
                )
            ]
        )
    faults = {name: mined.faults[name] or curated.faults[name] for name in shared}
    shifts, nets = (
        {name: [_mean(of, name, quantity, confidence) for of in (mined, curated)] for name in shared}
        for quantity in (leakage.PRIMARY, "net")
    )
    sign = {name: ([first], [second]) for name, (first, second) in shifts.items()}
    rank = {name: tuple(_of_model(_primary(of.polarity), name) for of in (mined, curated)) for name in shared}
    rows = _sides(
        "sign: mean shift", sign, {name: both[0] for name, both in nets.items()}, faults, margin, confidence
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
    found: dict[str, tuple],
    nets: dict[str, Estimate],
    faults: dict[str, str],
    margin: float,
    confidence: float,
) -> list[dict]:
    """Rows of sign or rank: the mined estimate is shown, the curated stands in words."""
    p = {
        name: rules.largest_p([one.p for one in (*first, *second)]) for name, (first, second) in found.items()
    }
    corrected = inference.holm(list(p.values()))
    rows = []
    for (name, (first, second)), p_holm in zip(found.items(), corrected, strict=True):
        beside = f" (curated {second[0].estimate:+.2f})".replace("-", "−") if second else ""
        case = Case(name, f"{part}, mined{beside}", first, nets.get(name), faults[name])
        verdict = rules.same_side(first, second, p_holm, confidence)
        rows.append(_row(PRESPECIFIED["C5"], case, verdict, margin, confidence, p=p[name], p_holm=p_holm))
    return rows


def _sizes(
    shifts: dict[str, list], nets: dict[str, list], faults: dict[str, str], margin: float, confidence: float
) -> list[dict]:
    """Rows of size: mined less curated mean shift."""
    differences = {name: inference.difference(*both, confidence) for name, both in shifts.items()}
    inside = inference.holm([inference.equivalence_p(found, margin) for found in differences.values()])
    beyond = inference.holm([rules.beyond_p(found, margin) for found in differences.values()])
    rows = []
    for (name, found), p_in, p_out in zip(differences.items(), inside, beyond, strict=True):
        net = inference.difference(*nets[name], confidence)
        case = Case(name, "size: mined − curated mean shift", _known(found), net, faults[name])
        verdict = rules.within(found, margin, p_in, p_out, confidence)
        rows.append(
            _row(
                PRESPECIFIED["C5"],
                case,
                verdict,
                margin,
                confidence,
                p_holm=p_out,
                p_equivalence=p_in,
                p=rules.beyond_p(found, margin),
                test="inside ± margin",
            )
        )
    return rows
