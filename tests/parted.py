"""The shipped sentences with some of them held out, for tests."""

from pathlib import Path

import pandas as pd

from lib.config.specs import HELD_OUT, MAIN
from lib.dataset import curated_prompts

EVERY = 3  # each third stem of a domain and slot, and each third match


def write(folder: Path) -> curated_prompts.Sentences:
    """Write the main sentences to the CSV files of `folder`, each third stem and match of them held out;
    returns them all."""
    stems, contexts, exclusions = curated_prompts.shipped()
    turn = stems.groupby(["domain", "slot"]).cumcount()
    numbers = pd.Series(pd.factorize(contexts["match_id"])[0])
    tables = curated_prompts.Sentences(
        _with_part(stems, 1, turn % EVERY == 0), _with_part(contexts, 2, numbers % EVERY == 0), exclusions
    )
    for name, table in tables._asdict().items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return tables


def _with_part(table: pd.DataFrame, place: int, held_out: pd.Series) -> pd.DataFrame:
    others = table.drop(columns="part", errors="ignore")
    others.insert(place, "part", held_out.map({True: HELD_OUT, False: MAIN}))
    return others
