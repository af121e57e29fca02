"""How often sound runs break the usability rule: `python -m tests.simulations.simulate_usability` (make
simulate)."""

import sys

import numpy as np
import pandas as pd

from lib.analysis import usability

ARMS = ("none", "neutral", "placebo", "negative", "positive")


def completions(
    missing: dict[str, list[int]], stems: int = 20, samples: int = 1, mitigation: str = "none"
) -> pd.DataFrame:
    """Completions of one group a stem; of each arm in `missing` those of the stems listed there are
    refused."""
    rows = [
        {
            "model": "m",
            "mitigation": mitigation,
            "stem_id": f"s{stem}",
            "group_id": f"g{stem}",
            "arm": arm,
            "sample_index": draw,
            "outcome": "refused" if stem in missing.get(arm, []) else "answered",
            "note": "No." * (stem in missing.get(arm, [])),
        }
        for stem in range(stems)
        for arm in ARMS
        for draw in range(samples)
    ]
    return pd.DataFrame(rows)


def broken(studies: int, stems: int = 60, seed: int = 0) -> int:
    """In how many studies arms are said to differ, of each of which one completion in twenty is missing by
    chance."""
    rng, count = np.random.default_rng(seed), 0
    for _ in range(studies):
        lost = {arm: np.flatnonzero(rng.random(stems) < 0.05).tolist() for arm in ARMS}
        checked = usability.check(completions(lost, stems), 0.95)
        count += checked["fault"].str.startswith("arms differ").any()
    return count


if __name__ == "__main__":
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"Arms differ in {100 * broken(studies) / studies:.1f} % of {studies} sound studies; 5 % may.")
