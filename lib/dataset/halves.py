"""Two halves of the benchmark that share no domain, stem or match: one to find on, one to evaluate on.

An intervention that is found on sentences (trained on them, fitted to them, or chosen by how well it does on
them) has to be evaluated on others. The half `found` is for the former, `evaluated` for the latter. The split
is a rule, without chance: it stays the same for the same sentences.
"""

from typing import Literal, get_args

import pandas as pd

from lib.config.specs import ParameterError, nearest
from lib.dataset.curated_prompts import Sentences

Half = Literal["found", "evaluated"]
HALVES: tuple[Half, ...] = get_args(Half)


def half(sentences: Sentences, which: Half) -> Sentences:
    """Half of the sentences: stems of every other domain, and every other match.

    Domains are taken in turns, in the order of their names; a stem belongs to the half of its domain. Matches
    are taken in turns too, ordered by intensity, form and number (m99 before m100). So within each intensity
    and form, and in all, the numbers of matches of the halves differ by at most one. `found` has the first
    turn.

    Args:
        sentences: Stems, contexts and exclusions, for example those of a part (`curated_prompts.shipped`).
            Which half a domain or match belongs to depends on all that are given, so split a part, and
            restrict the half afterwards.
        which: One of HALVES.

    Returns:
        The rows of the half, in their order. Stems and contexts of both halves are those of `sentences`. An
        exclusion is kept if its match and its scope (a stem or a domain) are of the half; one between the
        halves is in neither, for its pair cannot meet.

    Raises:
        ParameterError: If `which` is not one of HALVES, or its half has no stem or no match.
    """
    if which not in HALVES:
        raise ParameterError(
            f"dataset: half: {which!r} is no half{nearest(which, HALVES)}; give {' or '.join(HALVES)}"
        )
    turn = HALVES.index(which)
    stems, contexts, exclusions = sentences
    domains = sorted(stems["domain"].unique())[turn :: len(HALVES)]
    stems = stems[stems["domain"].isin(domains)]
    contexts = contexts[contexts["match_id"].isin(_ordered_matches(contexts)[turn :: len(HALVES)])]
    is_within = exclusions["match_id"].isin(contexts["match_id"]) & exclusions["scope"].isin(
        {*stems["stem_id"], *domains}
    )
    if stems.empty or contexts.empty:
        raise ParameterError(
            f"dataset: half: {which!r} would have {len(domains)} of the domains and "
            f"{contexts['match_id'].nunique()} of the matches; give sentences with at least two of each"
        )
    return Sentences(*(table.reset_index(drop=True) for table in (stems, contexts, exclusions[is_within])))


def _ordered_matches(contexts: pd.DataFrame) -> list[str]:
    """The ids of the matches, ordered by intensity, form and number."""
    matches = contexts.drop_duplicates("match_id")
    number = matches["match_id"].str.removeprefix("m").astype(int)
    return matches.assign(number=number).sort_values(["intensity", "form", "number"])["match_id"].tolist()
