"""The prompts of a run: curated, mined from text, or published by others."""

import pandas as pd

from lib.config.sections import Dataset
from lib.dataset import curated_prompts, own_sentences, prompt_tables


def build(run: Dataset, sentences: curated_prompts.Sentences | None = None):
    """Build the prompts of a run.

    Args:
        run: The dataset section of a parameter set.
        sentences: The result of `own_sentences.read`, if it has been called already; None reads them.

    Returns:
        The prompts, with the columns of `curated_prompts.PROMPTS`, and the `mined.Benchmark` that they belong
        to, None if they are not mined.
    """
    if run.mining:
        from lib.mining import mined  # its libraries take seconds to load, and few runs mine

        benchmark = mined.build(run)
        return benchmark.prompts, benchmark
    if run.published_prompts:
        return prompt_tables.build(run.published_prompts), None
    sentences = sentences or own_sentences.read(run)
    return curated_prompts.build(
        run.seed, run.stems, run.contexts_per_stem, run.first_groups, sentences
    ), None


def mining_reading(felt: pd.DataFrame) -> str:
    """A sentence on how often people rate mined sentences as mined, from `felt` of `mined.Benchmark`."""
    summaries = []
    for scope, subset in felt[felt["domain"] == "all"].groupby("scope", sort=False):
        shares = [
            f"{row.role} {100 * row.share:.0f} % [{100 * row.ci_low:.0f}, {100 * row.ci_high:.0f}] "
            f"(n {row.n} in {row.documents} documents)"
            for row in subset.itertuples()
        ]
        summaries.append(f"{scope}: {', '.join(shares)}")
    return f"Share of mined sentences that people rate as they were mined; {'; '.join(summaries)}."
