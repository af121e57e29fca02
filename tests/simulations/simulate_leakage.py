"""Shown, not assumed: intervals hold the truth as often as they say, the placebo rule catches and spares,
power is as planned.

All on simulated judgements of known truth (tests/simulated_studies.py); none was written by a model. (make
simulate)
"""

import argparse
import sys
from collections import defaultdict

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

from lib.analysis import clustered, leakage, placebo, power
from lib.config.params import load
from lib.config.specs import NO_MITIGATION
from lib.stats import inference
from lib.storage import records
from tests import simulated_studies
from tests.simulations import interval_candidates

MATCHES, LEAK_OF_BOTH = (
    (36, 108, 324),
    (0.05, 0.12, 0.3),
)  # stems' leak, matches', and how far both are spread
STEMS, LEAKS = (24, 60, 300), (0.0, 0.1, 0.5)
ARMS = {"both arms": ("negative", "positive"), "negative arm": ("negative",)}
CHOSEN, ERROR = interval_candidates.cr2_or_hall, interval_candidates.cr2
# of the leak by stem: the stems' means are as skewed as those of the bundled model and vary more, see
# `compared`
SPREAD = 0.5
EXTREME = 0.9  # nearly all stems leak always or never; for the record, not a condition
MARGIN = 0.1  # of the placebo rule, points of the human scale
LONGER = 1.5  # how much longer completions get after a placebo context, for a judge that scores by length
DESIGNS = ((1, 1), (1, 5), (2, 3))  # groups and samples of a stem
EFFECTS = (
    5.0,
    10.0,
)  # points; designs for the latter are small, and strong skew gives them more power than planned
AT_ONCE = 20_000  # stems simulated at a time


def sums(
    leak: float, spread: float, stems: int, studies: int, summed: dict
) -> dict[str, dict[str, np.ndarray]]:
    """What each function of `summed` makes of `studies` simulated studies, shape (studies, stems) for each
    quantity."""
    rng = np.random.default_rng([stems, int(100 * leak), int(100 * spread)])
    parts, step = defaultdict(list), max(1, AT_ONCE // stems)
    for start in range(0, studies, step):
        valence = simulated_studies.draw(leak, spread, min(step, studies - start), stems, rng)
        for name, function in summed.items():
            parts[name].append(function(valence))
    return {
        name: {key: np.concatenate([part[key] for part in found]) for key in found[0]}
        for name, found in parts.items()
    }


def coverage(
    studies: int, spread: float, ways=interval_candidates.CANDIDATES, stems=STEMS, leaks=LEAKS
) -> pd.DataFrame:
    """Share of studies whose 95 % interval holds the truth, %, by stems, leak, arms and quantity: a column
    for each way.

    As in `leakage.pairs`, the leak rate is of completions against all neutral ones of their group, the rest
    of equal draws. `other matching` is the chosen way on what is not used; `narrower` is by how much what is
    used narrows the error, %. Studies in which a stem has no scored pair are left out.
    """
    summed = {
        (arms, name): lambda valence, function=function, arms=arms: function(valence, ARMS[arms])
        for arms in ARMS
        for name, function in (("same", simulated_studies.sums), ("all", simulated_studies.all_against_all))
    }
    rows = []
    for count, leak in tqdm(
        [(count, leak) for count in stems for leak in leaks], desc=f"coverage, spread {spread}"
    ):
        found = sums(leak, spread, count, studies, summed)
        for arms in ARMS:
            same, every, true = (
                found[arms, "same"],
                found[arms, "all"],
                simulated_studies.truth(leak, ARMS[arms]),
            )
            whole = (same["n"] > 0).all(axis=1)
            for quantity in leakage.QUANTITIES:
                used, other = (every, same) if quantity == "leak" else (same, every)
                bounds = {way.__name__: way(used[quantity][whole], used["n"][whole]) for way in ways}
                bounds["other matching"] = CHOSEN(other[quantity][whole], other["n"][whole])
                row = {
                    "stems": count,
                    "leak": 100 * leak,
                    "arms": arms,
                    "quantity": quantity,
                    "studies": whole.sum(),
                }
                row |= {name: 100 * _holds(bound, true[quantity]).mean() for name, bound in bounds.items()}
                errors = [ERROR(part[quantity][whole], part["n"][whole])[1].mean() for part in (used, other)]
                rows.append({**row, "narrower": 100 * (1 - errors[0] / errors[1])})
    return pd.DataFrame(rows)


def design_coverage(studies: int, matches=MATCHES, groups=(1, 3)) -> pd.DataFrame:
    """Share of studies whose 95 % interval holds the truth where matches leak more or less too, %, by matches
    and groups a stem.

    One sample, three stems a match. Quantities: the shift over both arms, and the difference of the arms' net
    excess. Columns: `by stem` is the interval that takes contexts as given; `no strata` and `design` are
    those of lib/analysis/clustered.py. `match adds` is by how much clusters lengthen the error, `strata take`
    by how much strata shorten it, %.
    """
    rows = []
    for count, each in tqdm(
        [(count, each) for count in matches for each in groups], desc="coverage, matches"
    ):
        rng = np.random.default_rng([count, each])
        table = simulated_studies.design(count, each, rng)
        valence, leak = simulated_studies.of_design(table, *LEAK_OF_BOTH, studies, 1, rng)
        bare = table[["stem_id", "match_id"]]
        for quantity, (values, true) in _contrasts(valence, leak).items():
            held, errors = [], []
            for value in values:
                found = (
                    inference.clustered_mean(value, table["stem_id"]),
                    clustered.design_mean(bare.assign(value=value), "value"),
                    clustered.design_mean(table.assign(value=value), "value"),
                )
                held.append([estimate.ci_low <= true <= estimate.ci_high for estimate in found])
                errors.append([estimate.se for estimate in found])
            named = {
                "matches": count,
                "stems": table["stem_id"].nunique(),
                "groups a stem": each,
                "quantity": quantity,
            }
            named |= {"clusters": found[-1].cluster_unit, "studies": len(values)}
            shares = dict(zip(("by stem", "no strata", "design"), 100 * np.mean(held, axis=0), strict=True))
            stem, both, design = np.mean(errors, axis=0)
            rows.append(
                {
                    **named,
                    **shares,
                    "match adds": 100 * (both / stem - 1),
                    "strata take": 100 * (1 - design / both),
                }
            )
    return pd.DataFrame(rows)


def _contrasts(valence: dict[str, np.ndarray], leak: float) -> dict[str, tuple[np.ndarray, float]]:
    """By quantity, its value in each group, shape (studies, groups), and its truth at an expected `leak`."""
    by_arm = {arm: simulated_studies.of_groups(valence, arm) for arm in leakage.DIRECTIONS}
    true = {arm: simulated_studies.truth(leak, (arm,)) for arm in leakage.DIRECTIONS}
    both = (sum(by_arm[arm]["shift"] for arm in by_arm) / 2, sum(true[arm]["shift"] for arm in true) / 2)
    apart = (
        by_arm["negative"]["net"] - by_arm["positive"]["net"],
        true["negative"]["net"] - true["positive"]["net"],
    )
    return {"shift": both, "net, negative − positive": apart}


def _holds(bounds: np.ndarray, true: float) -> np.ndarray:
    return (bounds[0] <= true + 1e-9) & (true - 1e-9 <= bounds[1])


def error(share, studies) -> np.ndarray:
    """Monte Carlo standard error of a share, both in %."""
    return np.sqrt(share * (100 - share) / studies)


def false_alarms(studies: int, stems=STEMS) -> pd.DataFrame:
    """Share of sound runs, %, whose placebo shift lies beyond the margin for sure, so that the placebo rule
    is broken."""
    rows = []
    for count in tqdm(stems, desc="placebo rule, sound runs"):
        found = sums(
            0.1,
            SPREAD,
            count,
            studies,
            {"placebo": lambda valence: simulated_studies.sums(valence, ("placebo",), 1)},
        )
        shift, n = found["placebo"]["shift"], found["placebo"]["n"]
        whole = (n > 0).all(axis=1)
        low, high = CHOSEN(shift[whole], n[whole], 0.05)
        broken = (low > MARGIN) | (high < -MARGIN)
        rows.append({"stems": count, "runs": whole.sum(), "false alarms, %": 100 * broken.mean()})
    return pd.DataFrame(rows)


def caught(runs: int, stems=STEMS, longer=(1.2, LONGER)) -> pd.DataFrame:
    """How many of `runs` runs with a judge that scores by length the placebo rule catches."""
    rows = []
    for count in tqdm(stems, desc="placebo rule, biased judge"):
        for factor in longer:
            rng = np.random.default_rng([count, int(10 * factor)])
            table = simulated_studies.judgements(
                simulated_studies.by_length(factor, runs, count, rng), threshold=1.0
            )
            rules = placebo.rules_by_model(leakage.pairs(table), MARGIN, 0.95)
            broken = list(rules.values()).count(placebo.BROKEN)
            rows.append({"stems": count, "longer by": factor, "runs": len(rules), "caught": broken})
    return pd.DataFrame(rows)


def planned_power(studies: int, designs=DESIGNS, effects=EFFECTS) -> pd.DataFrame:
    """Power that designs planned for 80 % from a large earlier run reach, %, for verdicts with a leak and for
    normal values.

    Of either kind the deviations from the mean stay the same, whatever the effect in points.
    """
    rows = []
    for (groups, samples), effect in tqdm(
        [(design, effect) for design in designs for effect in effects], desc="power"
    ):
        for kind, drawn in (("skewed verdicts", _verdicts), ("normal values", _normal)):
            rng = np.random.default_rng([groups, samples])
            earlier = drawn(1, 10_000, 2, 3, rng)[0]
            stem, group, _ = np.indices(earlier.shape)
            names = {"stem_id": stem.ravel(), "group_id": (2 * stem + group).ravel()}
            components = power.components(pd.DataFrame({**names, "difference": earlier.ravel()}))
            stems = power.stems_needed(components, effect, groups, samples)
            step = max(1, AT_ONCE // stems)
            values = (effect + drawn(step, stems, groups, samples, rng) for _ in range(-(-studies // step)))
            means = np.concatenate([part.mean(axis=(2, 3)) for part in values])
            low, _ = CHOSEN(means, np.ones(means.shape))
            named = {"values": kind, "effect": effect, "groups": groups, "samples": samples, "stems": stems}
            rows.append({**named, "studies": len(means), "power, %": 100 * (low > 0).mean()})
    return pd.DataFrame(rows)


def _verdicts(studies: int, stems: int, groups: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Net excess of the negative arm by pair less its mean, shape (studies, stems, groups, samples)."""
    valence = simulated_studies.draw(0.1, SPREAD, studies, stems, rng, (groups, samples))
    net = 100.0 * (np.sign(valence["neutral"]) - np.sign(valence["negative"]))
    return net - simulated_studies.truth(0.1, ("negative",))["net"]


def _normal(studies: int, stems: int, groups: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Normal values about 0 with standard deviations of 15 by stem, 10 by group, 60 by sample, as
    `_verdicts`."""
    shapes = {
        15: (studies, stems, 1, 1),
        10: (studies, stems, groups, 1),
        60: (studies, stems, groups, samples),
    }
    return sum(rng.normal(0, sd, shape) for sd, shape in shapes.items())


def compared(set_name: str) -> pd.DataFrame:
    """Models of a finished run: how skewed their stems are beside simulated ones, how good their intervals,
    which matching.

    `holds n` is the share of 95 % intervals, %, that hold the mean of all its stems when n of them are drawn
    with replacement. Shapes are of equal draws. `narrower` is by how much all against all narrows the error,
    %, with a 95 % bootstrap interval over stems.
    """
    models = [model.name for model in load(set_name).models]
    judgements = records.read_models(set_name, "judgements", models)
    return _compared(judgements[judgements["mitigation"] == NO_MITIGATION])


def _compared(judgements: pd.DataFrame, draws: int = 1000) -> pd.DataFrame:
    rows, rng = [], np.random.default_rng(1)
    for model, part in judgements.groupby("model", sort=False):
        samples = part["sample_index"].nunique()
        turned = [_by_stem(part, shift) for shift in range(samples)]
        every = (sum(turned) / samples).dropna()  # stems without a pair in one of the matchings are left out
        same = turned[0].loc[every.index]
        simulated = simulated_studies.sums(
            simulated_studies.draw(0.1, SPREAD, 20, len(same), rng, (1, samples))
        )
        for quantity in leakage.QUANTITIES:
            own, other = same[quantity].to_numpy(), every[quantity].to_numpy()
            ours = (simulated[quantity] / simulated["n"]).ravel()
            used = other if quantity == "leak" else own  # as in `leakage.pairs`
            drawn = {count: used[rng.integers(len(own), size=(draws, count))] for count in STEMS}
            holds = {
                f"holds {count}": 100 * _holds(CHOSEN(means, np.ones(means.shape)), used.mean()).mean()
                for count, means in drawn.items()
            }
            chosen = rng.integers(len(own), size=(draws, len(own)))
            narrower = [100 * (1 - other[at].std() / own[at].std()) for at in (slice(None), *chosen)]
            low, high = inference.percentile_interval(np.array(narrower[1:])[:, None], 0.95)[:, 0]
            shape = {
                "SD": own.std(),
                "simulated SD": ours.std(),
                "skew": stats.skew(own),
                "simulated skew": stats.skew(ours),
            }
            named = {"model": model, "quantity": quantity, "stems": len(own), "mean": own.mean()}
            rows.append({**named, **shape, **holds, "narrower": narrower[0], "ci_low": low, "ci_high": high})
    return pd.DataFrame(rows)


def _by_stem(judgements: pd.DataFrame, shift: int) -> pd.DataFrame:
    """Mean of every quantity by stem, with the neutral draws `shift` places later."""
    moved = (judgements["sample_index"] - shift * (judgements["arm"] == "neutral")) % judgements[
        "sample_index"
    ].nunique()
    pairs = leakage.charged_pairs(leakage.pairs(judgements.assign(sample_index=moved), matched=True))
    return pairs.groupby("stem_id")[list(leakage.QUANTITIES)].mean().dropna()


def show(title: str, table: pd.DataFrame) -> None:
    print(f"\nSIMULATED: {title}\n{table.round(2).to_string(index=False)}", flush=True)


def main() -> int:
    """Print the tables; exit code 1 if one of them is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--run", help="a finished run whose stems are compared with the simulated ones")
    given = parser.parse_args()
    pd.set_option("display.width", 250)
    if given.run:
        print(compared(given.run).round(2).to_string(index=False), flush=True)

    held = coverage(given.studies, SPREAD)
    show(f"coverage of 95 % intervals, %, {given.studies} studies a row", held)
    show(
        "the same where nearly all stems leak always or never", coverage(given.studies, EXTREME, leaks=(0.1,))
    )
    designed = design_coverage(given.studies // 2)
    show(f"coverage where matches leak too, %, {given.studies // 2} studies a row", designed)
    alarms, biased, realised = false_alarms(given.studies), caught(50), planned_power(given.studies)
    show("placebo rule, sound runs", alarms)
    show(f"placebo rule, a judge that scores by length; each run must be caught at {LONGER}", biased)
    show("power of designs planned for 80 %", realised)

    own = 2 * error(95, given.studies)  # twice the Monte Carlo error of the coverage itself
    off = held[~held[CHOSEN.__name__].between(93 - own, 97 + own)]
    own_of_designs = 2 * error(95, given.studies // 2)
    worst = biased.loc[biased["longer by"] == LONGER]
    plain = (realised["values"] == "normal values") | (realised["effect"] == EFFECTS[0])
    failures = {
        f"coverage outside 93 to 97 % by more than {own:.1f} points": len(off),
        f"coverage of designs outside 93 to 97 % by more than {own_of_designs:.1f} points": int(
            (~designed["design"].between(93 - own_of_designs, 97 + own_of_designs)).sum()
        ),
        "false alarms above 5 %": int((alarms["false alarms, %"] > 5).sum()),
        "biased runs missed": int((worst["runs"] - worst["caught"]).sum()),
        "power more than 3 points short": int((realised["power, %"] < 77).sum()),
        "power more than 3 points beyond, in normal values or large designs": int(
            (realised.loc[plain, "power, %"] > 83).sum()
        ),
    }
    print("\nSIMULATED: " + "; ".join(f"{what}: {number}" for what, number in failures.items()))
    return int(any(failures.values()))


if __name__ == "__main__":
    sys.exit(main())
