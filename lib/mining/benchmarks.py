"""Which prompts a run is about: the curated ones, those mined from text, or those that others published."""

import pandas as pd

from lib.config.sections import Dataset
from lib.dataset import curated_prompts, own_sentences, prompt_tables


def build(run: Dataset, sentences: curated_prompts.Sentences | None = None):
    """The prompts of a run (columns of `curated_prompts.PROMPTS`), and the `mined.Benchmark` they are part
    of, None if not mined.

    `sentences` saves reading them again where `own_sentences.read` has.
    """
    if run.mining:
        from lib.mining import mined  # its libraries take seconds to load, and few runs mine

        found = mined.build(run)
        return found.prompts, found
    if run.published_prompts:
        return prompt_tables.build(run.published_prompts), None
    sentences = sentences or own_sentences.read(run)
    return curated_prompts.build(
        run.seed, run.stems, run.contexts_per_stem, run.first_groups, sentences
    ), None


def mining_reading(felt: pd.DataFrame) -> str:
    """How often people rate the mined sentences as they were mined, from the column `felt` of
    `mined.Benchmark`."""
    said = []
    for scope, part in felt[felt["domain"] == "all"].groupby("scope", sort=False):
        shares = [
            f"{row.role} {100 * row.share:.0f} % [{100 * row.ci_low:.0f}, {100 * row.ci_high:.0f}] "
            f"(n {row.n} in {row.documents} documents)"
            for row in part.itertuples()
        ]
        said.append(f"{scope}: {', '.join(shares)}")
    return f"Share of mined sentences that people rate as they were mined; {'; '.join(said)}."
