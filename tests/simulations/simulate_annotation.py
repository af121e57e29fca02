"""Shown, not assumed: intervals from few simulated labels and many simulated verdicts hold the truth as often
as they say.

Simulated studies of 24, 60 and 300 stems, each with a good, a poor and a biased simulated judge and two
simulated raters, go through plan, key, labels and estimates as a real study does. Truth is what the raters
would say of very many stems. (make simulate-annotation)
"""

import argparse
import sys
import time

import numpy as np
import pandas as pd

from lib.agreement import prediction_powered
from lib.analysis import leakage
from tests import simulated

RATERS = {"careful": 0.95, "hasty": 0.85}
SIZES = {24: 60, 60: 100, 300: 200}  # stems: pairs labelled
ARMS = ("negative", "positive")


def truth(stems: int = 150_000) -> pd.Series:
    """The mean of every quantity by arm if the simulated raters labelled everything; its own error is about
    0.2 points."""
    rng = np.random.default_rng(0)
    table = simulated.completions(stems, 1, rng)
    parts = []
    for name, right in RATERS.items():
        said = simulated.confused(table["seen"].to_numpy(), right, rng)
        strength = np.clip(table["strength"] + rng.integers(-1, 2, len(table)), 1, 3)
        charged = pd.array(said != 0, dtype="boolean")
        parts.append(
            leakage.pairs(table.assign(mitigation=name, valence=said * strength * 4 / 3, charged=charged))
        )
    pairs = leakage.charged_pairs(pd.concat(parts))
    return (
        pairs.groupby("arm")[list(leakage.QUANTITIES)]
        .mean()
        .stack()
        .rename_axis(["arm", "quantity"])
        .rename("truth")
    )


def studies(judge: str, stems: int, pairs: int, number: int, seed: int) -> pd.DataFrame:
    """The estimates of `number` simulated studies, each the model of one big table: all that is done is done
    model by model."""
    rng = np.random.default_rng([seed, stems, simulated.JUDGES.index(judge)])
    judgements, key, labels = simulated.study(judge, stems, pairs, RATERS, rng, models=number)
    joined = leakage.charged_pairs(prediction_powered.joined(judgements, key, labels))
    return prediction_powered.estimates(joined, ["model", "arm"], 0.95)


def coverage(judge: str, stems: int, pairs: int, number: int, true: pd.Series) -> pd.DataFrame:
    """Over `number` simulated studies, for each arm, quantity and source: coverage in %, bias, mean
    half-width and λ, and the share of studies without an interval, in %."""
    map_threads = min(number, 50)
    found = pd.concat(
        [studies(judge, stems, pairs, map_threads, seed) for seed in range(-(-number // map_threads))]
    )
    found = found.join(true, on=["arm", "quantity"])
    found["coverage"] = 100.0 * found["truth"].between(found["ci_low"], found["ci_high"]).where(
        found["ci_low"].notna()
    )
    found["bias"], found["half_width"] = (
        found["estimate"] - found["truth"],
        (found["ci_high"] - found["ci_low"]) / 2,
    )
    found["none"] = 100.0 * found["ci_low"].isna()
    parts = found.groupby(["source", "arm", "quantity"], sort=False)
    means = parts[["coverage", "bias", "half_width", "weight", "none"]].mean().reset_index()
    return means.assign(judge=judge, stems=stems, pairs=pairs)


def main() -> int:
    """Print the table; exit code 1 if people and judge together cover a net excess in fewer than 93 or more
    than 97 %."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--stems", type=int, nargs="*", default=list(SIZES))
    given = parser.parse_args()
    true, parts = truth(), []
    print("SIMULATED raters and judges; truth by arm:", true.round(2).to_dict(), flush=True)
    for stems in given.stems:
        for judge in simulated.JUDGES:
            started = time.monotonic()
            parts.append(coverage(judge, stems, SIZES[stems], given.studies, true))
            net = parts[-1][parts[-1]["quantity"] == "net"].drop(columns="quantity")
            seconds = f"{time.monotonic() - started:.0f} s"
            print(
                f"\nsimulated, {judge} judge, {stems} stems, "
                f"{seconds}\n{net.round(2).to_string(index=False)}",
                flush=True,
            )
    table = pd.concat(parts)
    combined = table[table["source"] == "people and judge"]
    wide = (
        combined.pivot(index=["stems", "judge", "arm"], columns="quantity", values="coverage")
        .astype(float)
        .round(1)
    )
    print(
        f"\nSIMULATED: coverage of 95 % intervals by people and judge together, {given.studies} studies a row"
    )
    print(wide.to_string())
    net = combined.loc[combined["quantity"] == "net", "coverage"]
    return int(not net.between(93, 97).all())


if __name__ == "__main__":
    sys.exit(main())
