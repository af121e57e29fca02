"""Which prompts a run is about: the curated ones, those mined from text, or those that others published."""

import pandas as pd

from lib import own_sentences, prior_work, prompts
from lib.sections import Dataset


def build(run: Dataset, sentences: prompts.Sentences | None = None):
    """The prompts of a run (columns of `prompts.PROMPTS`), and the `mined.Benchmark` they are part of, None if not mined.

    `sentences` saves reading them again where `own_sentences.read` has.
    """
    if run.mining:
        from lib import mined  # its libraries take seconds to load, and few runs mine

        found = mined.build(run)
        return found.prompts, found
    if run.prior:
        return prior_work.build(run.prior), None
    sentences = sentences or own_sentences.read(run)
    return prompts.build(run.seed, run.stems, run.groups_per_stem, run.first_groups, sentences), None


def mining_reading(felt: pd.DataFrame) -> str:
    """How often people rate the mined sentences as they were mined, from the column `felt` of `mined.Benchmark`."""
    said = []
    for scope, part in felt[felt["domain"] == "all"].groupby("scope", sort=False):
        shares = [
            f"{row.role} {100 * row.share:.0f} % [{100 * row.low:.0f}, {100 * row.high:.0f}] "
            f"(n {row.n} in {row.documents} documents)"
            for row in part.itertuples()
        ]
        said.append(f"{scope}: {', '.join(shares)}")
    return f"Share of mined sentences that people rate as they were mined; {'; '.join(said)}."
