"""Which matches each stem meets: a balanced incomplete design that keeps excluded pairs apart, or the full
crossing."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp

from lib.config.specs import ParameterError

TRIES = 20  # draws of a turn's matches before the exclusions are held to make it impossible


def allowed(stems: pd.DataFrame, match_ids: list[str], exclusions: pd.DataFrame) -> pd.DataFrame:
    """Whether a stem may meet a match: booleans, stem_id by match_id. An exclusion's scope is a stem_id or a
    domain."""
    named = [exclusions.merge(stems, left_on="scope", right_on=column) for column in ("stem_id", "domain")]
    excluded = pd.concat(named).drop_duplicates(["stem_id", "match_id"]).assign(excluded=True)
    wide = excluded.pivot(index="stem_id", columns="match_id", values="excluded")
    return wide.reindex(index=stems["stem_id"], columns=match_ids).isna()


def assign(
    stems: pd.DataFrame,
    contexts: pd.DataFrame,
    exclusions: pd.DataFrame,
    contexts_per_stem: int | None,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The groups of a run: stem_id, match_id, swapped. None for contexts_per_stem takes every pair that is
    not excluded.

    Otherwise, within a slot, matches are used equally often give or take one, and emotions, intensities and
    forms come as evenly as counts allow: in each turn, in the slot so far and in all so far. A stem meets no
    match twice, and rather another emotion, intensity and form than one it has met. `swapped` tells which of
    a match's two neutral sentences serves as placebo; it alternates, so neither is tied to an arm. Raises
    ParameterError where the exclusions leave too little.
    """
    match_ids = sorted(contexts["match_id"].unique())
    free = allowed(stems, match_ids, exclusions)
    if contexts_per_stem is None:
        pairs = np.argwhere(free.to_numpy())
    else:
        _check_enough(free, contexts_per_stem)
        pairs = _deal(
            stems["slot"].to_numpy(object), free.to_numpy(), _margins(contexts), contexts_per_stem, rng
        )
    table = pd.DataFrame({"stem_id": free.index[pairs[:, 0]], "match_id": free.columns[pairs[:, 1]]})
    table["swapped"] = (
        table.groupby("match_id").cumcount() + pd.factorize(table["match_id"], sort=True)[0]
    ) % 2 == 1
    return table


def _check_enough(free: pd.DataFrame, contexts_per_stem: int) -> None:
    most = free.sum(axis=1)
    if contexts_per_stem > most.min():
        raise ParameterError(
            f"dataset: contexts_per_stem: {contexts_per_stem} wished, but stem {most.idxmin()} may meet "
            f"{most.min()} of the "
            f"{free.shape[1]} matches (the others are excluded: related to it); lower it, or give null for "
            "all allowed pairs"
        )


def _margins(contexts: pd.DataFrame) -> np.ndarray:
    """What is to come evenly, shape (margins, matches), 1 where a match counts: each emotion, intensity and
    form, and the pairs of an emotion with an intensity or form and of intensity with form. Which emotions
    share a match is left as it is."""
    design = contexts.pivot(index="match_id", columns="arm", values="emotion")[["negative", "positive"]]
    design = design.join(contexts.groupby("match_id")[["intensity", "form"]].first()).sort_index()
    pairs = [list(names) for names in combinations(design, 2) if names != ("negative", "positive")]
    kinds = [design[name] for name in design] + [design[names].agg(" ".join, axis=1) for names in pairs]
    return np.vstack([pd.get_dummies(kind).to_numpy(float).T for kind in kinds])


def _deal(
    slots: np.ndarray, free: np.ndarray, margins: np.ndarray, turns: int, rng: np.random.Generator
) -> np.ndarray:
    """Pairs (stem, match) of row and column numbers of `free`: in each turn every stem of each slot meets one
    more match."""
    free, pairs = free.copy(), []
    used = {slot: np.zeros(free.shape[1]) for slot in np.unique(slots)}
    met = np.zeros((len(free), len(margins)))
    # to meet again what few matches have is the less wanted
    rarity = margins / margins.sum(axis=1, keepdims=True)
    for _ in range(turns):
        for slot in used:
            rows = np.flatnonzero(slots == slot)
            for _ in range(TRIES):
                drawn = _draw(margins, len(rows), used[slot], sum(used.values()), free[rows].sum(axis=0), rng)
                places = None if drawn is None else _seat(free[rows], met[rows] @ rarity, drawn, rng)
                if places is not None:
                    break
            else:
                raise ParameterError(
                    f"dataset: contexts_per_stem: {turns} wished, but the excluded pairs of stem and match "
                    "leave no "
                    "assignment that uses matches equally often; lower it, or give null for all allowed pairs"
                )
            used[slot] += drawn
            met[rows] += margins[:, places].T
            free[rows, places] = False
            pairs += zip(rows, places, strict=True)
    return np.array(pairs)


def _draw(
    margins: np.ndarray,
    count: int,
    in_slot: np.ndarray,
    in_all: np.ndarray,
    room: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray | None:
    """How often each match is used by the next `count` stems of a slot: the most even choice, chance deciding
    between equals.

    An integer programme. Hard: uses of a match within the slot differ by one at most, and no match is used by
    more stems than have `room` for it. As far as possible: each margin's count, in this turn, this slot and
    in all, is its share rounded. None where the hard ones cannot be met.
    """
    matches = margins.shape[1]
    rows = np.vstack([margins, np.eye(matches)])  # in all, a match is a margin too
    low, high = [], []
    for before in (np.zeros(matches), in_slot, in_all):
        share = rows.sum(axis=1) * (before.sum() + count) / matches
        low.append(np.floor(share + 1e-9) - rows @ before)
        high.append(np.ceil(share - 1e-9) - rows @ before)
    rows, low, high = np.vstack([rows] * 3), np.concatenate(low), np.concatenate(high)
    slack = np.eye(len(rows))
    whole = np.concatenate([np.ones(matches), np.zeros(2 * len(rows))])
    most = np.ceil((in_slot.sum() + count) / matches)
    least = np.floor((in_slot.sum() + count) / matches)
    found = milp(
        np.concatenate([rng.random(matches), np.full(2 * len(rows), 10.0 * matches)]),
        integrality=whole,
        constraints=[
            LinearConstraint(np.hstack([rows, slack, -slack]), low, high),
            LinearConstraint(whole[None], count, count),
        ],
        bounds=Bounds(
            np.concatenate([np.minimum(np.maximum(least - in_slot, 0), room), np.zeros(2 * len(rows))]),
            np.concatenate([np.minimum(most - in_slot, room), np.full(2 * len(rows), np.inf)]),
        ),
        options={"mip_rel_gap": 0},
    )
    return None if found.x is None else found.x[:matches].round().astype(int)


def _seat(
    free: np.ndarray, repetition: np.ndarray, drawn: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """The match of each stem, `drawn` saying how often each is given: the least repetition; None if
    exclusions forbid it."""
    seats = np.repeat(np.arange(len(drawn)), drawn)
    cost = np.where(free[:, seats], repetition[:, seats] + 1e-3 * rng.random((len(free), len(seats))), np.inf)
    try:
        return seats[linear_sum_assignment(cost)[1]]
    except ValueError:  # no finite cost
        return None
