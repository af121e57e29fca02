"""How often C3's intervals hold the truth and its verdicts are false: `python -m
tests.simulations.simulate_mitigation` (make simulate)."""

import sys

import numpy as np
import pandas as pd
from tqdm import tqdm

from lib.claims import mitigation

MARGIN, CONFIDENCE = 0.25, 0.95


def study(
    retained: dict[str, float],
    stems: int,
    rng: np.random.Generator,
    noise: float = 1.5,
    draws: int = 1,
    same_noise: bool = False,
) -> pd.DataFrame:
    """Pairs of one simulated model whose stems leak one point on average (standard deviation 1), and each
    mitigation retains its share of it; unmitigated pairs have `draws` draws. Draws are skewed, as leakage is:
    mostly a little less, at times much more.
    """
    rows, leak = [], rng.gamma(1.0, 1.0, stems)
    for arm in ("negative", "positive"):
        still = _skewed(noise, stems, rng)
        for name, share in {"none": 1.0, **retained}.items():
            for draw in range(draws if name == "none" else 1):
                value = share * leak + (still if same_noise else _skewed(noise, stems, rng))
                rows.append(
                    pd.DataFrame(
                        {
                            "stem_id": np.arange(stems),
                            "arm": arm,
                            "mitigation": name,
                            "sample_index": draw,
                            "shift": value,
                        }
                    )
                )
    table = pd.concat(rows, ignore_index=True)
    table["stem_id"] = "s" + table["stem_id"].astype(str)
    return table.assign(model="m", group_id=table["stem_id"], net=20 * table["shift"])


def with_same_controls(table: pd.DataFrame, controls: list[str]) -> dict[str, list[str]]:
    """For each prompt of a table of pairs the same controls."""
    return {name: controls for name in table["mitigation"].unique() if name not in ("none", *controls)}


def _skewed(noise: float, count: int, rng: np.random.Generator) -> np.ndarray:
    return noise * (rng.gamma(1.0, 1.0, count) - 1)


def coverage(studies: int, stems: int, seed: int = 1, noise: float = 1.5) -> pd.DataFrame:
    """Three prompts and a control, in two kinds of study.

    In one no mitigation changes anything: how often every simultaneous interval holds the truth, and some
    prompt is falsely said to lower the leak. In the other the prompts retain just 1 − margin of it and the
    control all: how often a ratio's interval holds, and all prompts are falsely said to keep that much.
    """
    rng = np.random.default_rng([seed, stems])
    held, lowers, ratios, keeps = [], [], [], []
    nothing = dict.fromkeys(("a", "b", "c", "control"), 1.0)
    less = dict.fromkeys(("a", "b", "c"), 1 - MARGIN) | {"control": 1.0}
    for _ in tqdm(range(studies), desc=f"C3, {stems} stems", disable=studies < 500):
        found, verdicts = _decided(study(nothing, stems, rng, noise))
        held.append(((found["ci_low"] <= 0) & (found["ci_high"] >= 0)).all())
        lowers.append("contradicted" in verdicts)
        found, verdicts = _decided(study(less, stems, rng, noise))
        ratios += ((found["ratio_low"] <= 1 - MARGIN) & (found["ratio_high"] >= 1 - MARGIN)).tolist()
        keeps.append(verdicts == {"supported"})
    shares = {
        "all changes held, %": held,
        "false lowering, %": lowers,
        "ratio held, %": ratios,
        "false keeping, %": keeps,
    }
    return pd.DataFrame(
        [{"stems": stems, "studies": studies, **{name: 100 * np.mean(each) for name, each in shares.items()}}]
    )


def _decided(table: pd.DataFrame) -> tuple[pd.DataFrame, set[str]]:
    found = mitigation.effects(table, with_same_controls(table, ["control"]), MARGIN, CONFIDENCE)
    board = mitigation.claim(found, ["m"], MARGIN, CONFIDENCE, {"m": ""}, {"m": True})
    return found[(found["role"] == "prompt") & (found["against"] == "none")], set(board["verdict"])


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(pd.concat([coverage(count, stems) for stems in (24, 72, 324)]).round(1).to_string(index=False))
