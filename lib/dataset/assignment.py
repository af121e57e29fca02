"""The assignment of matches to stems: a balanced incomplete design with exclusions, or the full crossing.

A match is a set of four contexts (see lib/dataset/curated_prompts.py). A stem that meets a match forms a
group with it.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, milp

from lib.config.specs import ParameterError

TRIES = 20  # random draws of a round's matches before the exclusions are taken to make the design impossible


def allowed(stems: pd.DataFrame, match_ids: list[str], exclusions: pd.DataFrame) -> pd.DataFrame:
    """Which pairs of stem and match are allowed.

    Args:
        stems: One row per stem, with columns stem_id and domain.
        match_ids: The matches.
        exclusions: Pairs that must not meet: match_id and scope, where a scope is a stem_id or a domain.

    Returns:
        Booleans, stem_id by match_id: True where the stem may meet the match.
    """
    by_scope = [exclusions.merge(stems, left_on="scope", right_on=column) for column in ("stem_id", "domain")]
    excluded = pd.concat(by_scope).drop_duplicates(["stem_id", "match_id"]).assign(excluded=True)
    wide = excluded.pivot(index="stem_id", columns="match_id", values="excluded")
    return wide.reindex(index=stems["stem_id"], columns=match_ids).isna()


def assign(
    stems: pd.DataFrame,
    contexts: pd.DataFrame,
    exclusions: pd.DataFrame,
    contexts_per_stem: int | None,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Assign matches to the stems of a run.

    With contexts_per_stem given, matches are used equally often within a slot, up to a difference of one.
    Emotions, intensities and forms occur as evenly as the counts allow: in each round, in the slot so far and
    over all slots so far. A stem meets no match twice, and preferably an emotion, intensity and form that it
    has not met.

    Args:
        stems: The stems of the run, with columns stem_id, domain and slot.
        contexts: Four rows per match, with columns match_id, arm, emotion, intensity and form.
        exclusions: Pairs that must not meet (see `allowed`).
        contexts_per_stem: Matches per stem; None for every pair that is not excluded.
        rng: Source of randomness.

    Returns:
        One row per group: stem_id, match_id, swapped. `swapped` says which of the match's two neutral
        sentences serves as placebo. It alternates, so neither sentence is tied to an arm.

    Raises:
        ParameterError: If the exclusions leave too few pairs.
    """
    match_ids = sorted(contexts["match_id"].unique())
    is_allowed = allowed(stems, match_ids, exclusions)
    if contexts_per_stem is None:
        pairs = np.argwhere(is_allowed.to_numpy())
    else:
        _check_enough(is_allowed, contexts_per_stem)
        pairs = _deal(
            stems["slot"].to_numpy(object), is_allowed.to_numpy(), _margins(contexts), contexts_per_stem, rng
        )
    table = pd.DataFrame(
        {"stem_id": is_allowed.index[pairs[:, 0]], "match_id": is_allowed.columns[pairs[:, 1]]}
    )
    table["swapped"] = (
        table.groupby("match_id").cumcount() + pd.factorize(table["match_id"], sort=True)[0]
    ) % 2 == 1
    return table


def _check_enough(free: pd.DataFrame, contexts_per_stem: int) -> None:
    n_allowed = free.sum(axis=1)
    if contexts_per_stem > n_allowed.min():
        raise ParameterError(
            f"dataset: contexts_per_stem: {contexts_per_stem} requested, but stem {n_allowed.idxmin()} may "
            f"meet {n_allowed.min()} of the "
            f"{free.shape[1]} matches (the others are excluded: related to it); lower it, or give null for "
            "all allowed pairs"
        )


def _margins(contexts: pd.DataFrame) -> np.ndarray:
    """Indicators of the levels to balance, shape (margins, matches).

    A level is an emotion, an intensity, a form, or a pair of levels: emotion with intensity, emotion with
    form, intensity with form. Which emotions share a match is fixed and not balanced.
    """
    design = contexts.pivot(index="match_id", columns="arm", values="emotion")[["negative", "positive"]]
    design = design.join(contexts.groupby("match_id")[["intensity", "form"]].first()).sort_index()
    pairs = [list(names) for names in combinations(design, 2) if names != ("negative", "positive")]
    factors = [design[name] for name in design] + [design[names].agg(" ".join, axis=1) for names in pairs]
    return np.vstack([pd.get_dummies(factor).to_numpy(float).T for factor in factors])


def _deal(
    slots: np.ndarray, free: np.ndarray, margins: np.ndarray, turns: int, rng: np.random.Generator
) -> np.ndarray:
    """Pairs (stem, match) as row and column numbers of `free`; each round gives every stem one match."""
    free = free.copy()
    pairs: list[tuple[int, int]] = []
    uses = {slot: np.zeros(free.shape[1]) for slot in np.unique(slots)}
    exposure = np.zeros((len(free), len(margins)))
    # a level that few matches have costs more to repeat
    rarity = margins / margins.sum(axis=1, keepdims=True)
    for _ in range(turns):
        for slot in uses:
            rows = np.flatnonzero(slots == slot)
            for _ in range(TRIES):
                in_all = sum(uses.values(), start=np.zeros(free.shape[1]))
                drawn = _draw(margins, len(rows), uses[slot], in_all, free[rows].sum(axis=0), rng)
                columns = None if drawn is None else _seat(free[rows], exposure[rows] @ rarity, drawn, rng)
                if drawn is not None and columns is not None:
                    break
            else:
                raise ParameterError(
                    f"dataset: contexts_per_stem: {turns} requested, but the excluded pairs of stem and "
                    "match leave no "
                    "assignment that uses matches equally often; lower it, or give null for all allowed pairs"
                )
            uses[slot] += drawn
            exposure[rows] += margins[:, columns].T
            free[rows, columns] = False
            pairs += zip(rows, columns, strict=True)
    return np.array(pairs)


def _draw(
    margins: np.ndarray,
    count: int,
    in_slot: np.ndarray,
    in_all: np.ndarray,
    room: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray | None:
    """How often the next `count` stems of a slot use each match: the most even choice, ties random.

    An integer program. Hard constraints: uses of a match within the slot differ by at most one, and no match
    is used by more stems than it has `room` for. Soft constraints: each margin's count in this round, in this
    slot and over all slots is its rounded share. None if the hard constraints cannot be met.
    """
    n_matches = margins.shape[1]
    rows = np.vstack([margins, np.eye(n_matches)])  # over all slots, each match is balanced too
    lower, upper = [], []
    for previous in (np.zeros(n_matches), in_slot, in_all):
        target = rows.sum(axis=1) * (previous.sum() + count) / n_matches
        lower.append(np.floor(target + 1e-9) - rows @ previous)
        upper.append(np.ceil(target - 1e-9) - rows @ previous)
    rows = np.vstack([rows] * 3)
    slack = np.eye(len(rows))
    is_use = np.concatenate([np.ones(n_matches), np.zeros(2 * len(rows))])
    max_uses = np.ceil((in_slot.sum() + count) / n_matches)
    min_uses = np.floor((in_slot.sum() + count) / n_matches)
    solution = milp(
        np.concatenate([rng.random(n_matches), np.full(2 * len(rows), 10.0 * n_matches)]),
        integrality=is_use,
        constraints=[
            LinearConstraint(np.hstack([rows, slack, -slack]), np.concatenate(lower), np.concatenate(upper)),
            LinearConstraint(is_use[None], count, count),
        ],
        bounds=Bounds(
            np.concatenate([np.minimum(np.maximum(min_uses - in_slot, 0), room), np.zeros(2 * len(rows))]),
            np.concatenate([np.minimum(max_uses - in_slot, room), np.full(2 * len(rows), np.inf)]),
        ),
        options={"mip_rel_gap": 0},
    )
    return None if solution.x is None else solution.x[:n_matches].round().astype(int)


def _seat(
    free: np.ndarray, repetition: np.ndarray, drawn: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """The match of each stem, with the least repetition, each used `drawn` times; None if impossible."""
    copies = np.repeat(np.arange(len(drawn)), drawn)
    cost = np.where(
        free[:, copies], repetition[:, copies] + 1e-3 * rng.random((len(free), len(copies))), np.inf
    )
    try:
        return copies[linear_sum_assignment(cost)[1]]
    except ValueError:  # no finite cost
        return None
