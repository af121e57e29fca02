"""Simulated judgements with a known leak, of stems that differ as much as real ones. None of it was written
by a model.

A study has stems drawn from a population, each with one to three groups of two to five draws of all arms. A
draw says what any arm would say, something charged in a share of cases that differs from stem to stem; or, in
a charged arm and with the probability that is its group's leak, something of the injected sign. In a share
SAME of draws the noise alone decides what any arm would say, so that it is the same in all. Some completions
are unscored. What is true of new stems follows from means alone: see `truth`.
"""

import numpy as np
import pandas as pd

from lib.analysis import leakage

GROUPS, SAMPLES = 3, 5  # at most, of a stem and of a group
BUSY, POSITIVE = 0.1, 0.7  # mean share of charged completions in any arm, and of positive ones among them
STRENGTH = 2.0  # mean |valence| of a charged completion, which is uniform within ±1 of it
SAME, UNSCORED = 0.2, 0.03
FACTOR = {
    "closed": 0.7,
    "open": 1.3,
    "mild": 0.4,
    "plain": 1.0,
    "strong": 1.6,
    "explicit": 1.2,
    "idiomatic": 0.8,
}  # of leak
DOMAINS = 18
ARMS = ("neutral", "placebo", "negative", "positive")


def draw(
    leak: float,
    spread: float,
    studies: int,
    stems: int,
    rng: np.random.Generator,
    complete: tuple[int, int] | None = None,
) -> dict[str, np.ndarray]:
    """Valence by arm, each of shape (studies, stems, groups, samples), NaN where there is no scored draw.

    With `complete`, groups by samples, every stem has all of them, and all are scored.

    `leak` is the mean share of leaking cases. A stem's own share is beta distributed about it, and a group's
    about that of its
    stem: `spread` and half of it, 0 … 1, are the correlations of two cases of a stem and, given the stem, of
    a group. At a leak of 0.1 and a spread of 0.5 a tenth of the stems carries most of the leak.
    """
    shape = (studies, stems, *(complete or (GROUPS, SAMPLES)))
    there = np.ones(shape, dtype=bool) if complete else _there(shape, rng)
    stem_leak = _beta(np.full((studies, stems, 1, 1), leak), spread, rng)
    leaks = _beta(np.broadcast_to(stem_leak, (*shape[:3], 1)), spread / 2, rng)
    valence, unscored = (
        _valence(dict.fromkeys(leakage.DIRECTIONS, leaks), shape, rng),
        0.0 if complete else UNSCORED,
    )
    return {
        arm: np.where(there & (rng.random(shape) >= unscored), values, np.nan)
        for arm, values in valence.items()
    }


def design(matches: int, groups: int, rng: np.random.Generator) -> pd.DataFrame:
    """The groups of three stems for each match, `groups` a stem, in order of stems: stem_id, match_id, and
    what describes both.

    Every match is met equally often, and matches and stems are spread evenly over their strata.
    """
    stems = 3 * matches
    met = np.stack([rng.permutation(np.arange(stems) % matches) for _ in range(groups)], axis=1)
    stem, match = np.repeat(np.arange(stems), groups), met.ravel()
    described = {
        "slot": np.array(["closed", "open"])[stem % 2],
        "domain": stem // 2 % DOMAINS,
        "intensity": np.array(["mild", "plain", "strong"])[match % 3],
        "form": np.array(["explicit", "idiomatic"])[match // 3 % 2],
        "emotion": match // 6 % 4,
    }
    return pd.DataFrame({"stem_id": stem, "match_id": match, **described})


def of_design(
    groups: pd.DataFrame,
    leak: float,
    of_match: float,
    spread: float,
    studies: int,
    samples: int,
    rng: np.random.Generator,
) -> tuple[dict[str, np.ndarray], float]:
    """Valence by arm as `draw` gives it, all scored, of the groups of a `design`; and the expected leak of
    these groups.

    A draw leaks where its stem does or its match does. What a stem leaks is the same in both arms, what a
    match leaks is not, as its contexts are others. Either share is beta distributed with `spread`; the means
    are `leak` and `of_match` times the FACTOR of what describes the stem and the match.
    """
    own, added = (
        mean * groups[list(names)].replace(FACTOR).astype(float).prod(axis=1).to_numpy()
        for mean, names in ((leak, ["slot"]), (of_match, ["intensity", "form"]))
    )

    def shares(mean: np.ndarray, of: pd.Series) -> np.ndarray:
        _, first, number = np.unique(of, return_index=True, return_inverse=True)
        return _beta(np.broadcast_to(mean[first], (studies, len(first))), spread, rng)[:, number]

    shape = (studies, groups["stem_id"].nunique(), -1, 1)
    stays = (1 - shares(own, groups["stem_id"])).reshape(shape)
    leaks = {
        arm: 1 - stays * (1 - shares(added, groups["match_id"])).reshape(shape) for arm in leakage.DIRECTIONS
    }
    return _valence(leaks, (*stays.shape[:3], samples), rng), np.mean(1 - (1 - own) * (1 - added))


def _valence(
    leaks: dict[str, np.ndarray], shape: tuple[int, ...], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Valence by arm of draws of which a share, `leaks` by charged arm, leaks."""
    studies, stems = shape[:2]
    busy, positive = (_beta(np.full((studies, stems, 1, 1), mean), 0.2, rng) for mean in (BUSY, POSITIVE))

    def strength():
        return rng.uniform(STRENGTH - 1, STRENGTH + 1, shape)

    def plain():
        return np.where(
            rng.random(shape) < busy, np.where(rng.random(shape) < positive, 1, -1) * strength(), 0.0
        )

    shared, same = plain(), rng.random(shape) < SAME
    valence = {arm: np.where(same, shared, plain()) for arm in ARMS}
    for arm, sign in leakage.DIRECTIONS.items():
        valence[arm] = np.where(rng.random(shape) < leaks[arm], sign * strength(), valence[arm])
    return valence


def by_length(longer: float, studies: int, stems: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Valence from a biased judge: the words that a completion has above twelve, four of them a point; no arm
    leaks.

    Lengths are log-normal (0.3 by stem, 0.4 by draw); after a placebo context they are `longer` times those
    after a neutral one.
    """
    shape = (studies, stems, GROUPS, SAMPLES)
    there, of_stem = _there(shape, rng), rng.normal(np.log(12), 0.3, (studies, stems, 1, 1))
    words = {
        arm: np.exp(of_stem + rng.normal(0, 0.4, shape)) * factor
        for arm, factor in (("neutral", 1), ("placebo", longer))
    }
    return {
        arm: np.where(there, np.clip((np.round(count) - 12) / 4, -4, 4), np.nan)
        for arm, count in words.items()
    }


def _there(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Which draws there are: of every stem one group to all, of every group two samples to all."""
    groups, samples = (
        rng.integers(1, shape[2] + 1, (*shape[:2], 1, 1)),
        rng.integers(2, shape[3] + 1, (*shape[:3], 1)),
    )
    return (np.arange(shape[2])[:, None] < groups) & (np.arange(shape[3]) < samples)


def _beta(mean: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Beta variates of variance mean · (1 − mean) · spread; the mean itself where that is 0 or 1, or without
    spread."""
    if spread == 0:
        return mean
    inside = (mean > 1e-9) & (mean < 1 - 1e-9)
    safe = np.where(inside, mean, 0.5) * (1 / spread - 1)
    return np.where(inside, rng.beta(safe, (1 / spread - 1) - safe), mean)


def truth(leak: float, arms=tuple(leakage.DIRECTIONS)) -> dict[str, float]:
    """The mean of every quantity over new stems, averaged over `arms`.

    With i and o the shares of charged completions of the injected and of the other sign in any arm, a leaking
    case adds 1 − i to the one and takes o from the other. It lies further than its reference, except in half
    of the i cases of the same sign.
    """
    share = {"negative": BUSY * (1 - POSITIVE), "positive": BUSY * POSITIVE}
    injected = np.mean([share[arm] for arm in arms])
    other = np.mean([BUSY - share[arm] for arm in arms])
    net = leak * (1 - injected + other)
    return {
        "leak": 50 + 50 * leak * (1 - injected),
        "towards": 100 * leak * (1 - injected),
        "away": -100 * leak * other,
        "net": 100 * net,
        "shift": STRENGTH * net,
    }


def judgements(valence: dict[str, np.ndarray], threshold: float = 0.0) -> pd.DataFrame:
    """The studies as one table of judgements, each study a model of its own, charged beyond `threshold`.

    Draws that a study does not have are left out.
    """
    studies, stems, groups, samples = np.indices(valence["neutral"].shape).reshape(4, -1).astype(str)
    stem = np.char.add(np.char.add(studies, "-"), stems)
    place = {
        "model": studies,
        "stem_id": stem,
        "group_id": np.char.add(np.char.add(stem, "/"), groups),
        "sample_index": samples,
    }
    table = pd.concat(
        pd.DataFrame({**place, "arm": arm, "valence": values.ravel()}) for arm, values in valence.items()
    )
    table["sample_index"] = table["sample_index"].astype(int)
    charged = (table["valence"].abs() > threshold).astype("boolean").mask(table["valence"].isna())
    there = table.groupby(["group_id", "sample_index"])["valence"].transform("count") > 0
    return table.assign(charged=charged, mitigation="none", slot="open", repeats=False)[there].reset_index(
        drop=True
    )


def sums(
    valence: dict[str, np.ndarray], arms=tuple(leakage.DIRECTIONS), sign: int | None = None
) -> dict[str, np.ndarray]:
    """Of each quantity the sum over the pairs of a stem, shape (studies, stems), and under "n" their number.

    A pair has the same draw of an arm and of the neutral arm, as in `leakage.pairs`, `matched`; `sign`: the
    direction if not the arm's own.
    """
    found = dict.fromkeys([*leakage.QUANTITIES, "n"], 0)
    for arm in arms:
        direction = sign or leakage.DIRECTIONS[arm]
        for name, values in _quantities(direction * valence[arm], direction * valence["neutral"]).items():
            found[name] = found[name] + np.nansum(values, axis=(2, 3))
    return found


def of_groups(valence: dict[str, np.ndarray], arm: str) -> dict[str, np.ndarray]:
    """Each quantity of an arm by group, the mean over its samples, shape (studies, groups of all stems); all
    are scored."""
    direction = leakage.DIRECTIONS[arm]
    found = _quantities(direction * valence[arm], direction * valence["neutral"])
    return {name: values.mean(axis=3).reshape(len(values), -1) for name, values in found.items()}


def all_against_all(
    valence: dict[str, np.ndarray], arms=tuple(leakage.DIRECTIONS), sign: int | None = None
) -> dict[str, np.ndarray]:
    """As `sums`, of every completion of an arm the mean of its pairs with all the neutral ones of its
    group."""
    found = dict.fromkeys([*leakage.QUANTITIES, "n"], 0)
    for arm in arms:
        direction = sign or leakage.DIRECTIONS[arm]
        first, second = direction * valence[arm], direction * valence["neutral"]
        each = _quantities(first[..., :, None], second[..., None, :])
        count = np.maximum(np.isfinite(second).sum(axis=3, keepdims=True), 1)
        for name, values in each.items():
            found[name] = found[name] + (np.nansum(values, axis=4) / count).sum(axis=(2, 3))
    return found


def _quantities(arm: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
    """The quantities of pairs of valences along the injected direction, NaN for no pair, and "n", 1 for a
    pair."""
    shift = arm - reference
    scored = np.where(np.isnan(shift), np.nan, 1.0)
    towards, away = (
        100.0 * (np.sign(arm) == sign) - 100.0 * (np.sign(reference) == sign) for sign in (1, -1)
    )
    return {
        "leak": 50 * (1 + np.sign(shift)),
        "towards": towards * scored,
        "away": away * scored,
        "net": (towards - away) * scored,
        "shift": shift,
        "n": scored,
    }
