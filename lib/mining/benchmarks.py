"""The prompts of a run: curated, mined from text, or published by others."""

import pandas as pd

from lib.config.sections import Dataset
from lib.dataset import curated_prompts, own_sentences, prompt_tables
from lib.storage import records


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


def write_origin(set_name: str, benchmark) -> None:
    """Write the tables on the origin of mined prompts, which notebook 01b reads; nothing for other prompts.

    Args:
        set_name: The parameter set.
        benchmark: The `mined.Benchmark` that `build` returned, or None.
    """
    if benchmark is None:
        return
    records.write_table(set_name, "sources", benchmark.sources)
    for name, table in (
        ("counts", benchmark.counts),
        ("gates", benchmark.gates),
        ("ratings", benchmark.felt),
    ):
        records.write_table(set_name, f"mining/{name}", table)


def summary(run: Dataset, prompts: pd.DataFrame, sentences: curated_prompts.Sentences, file: str) -> str:
    """How many prompts there are, where their sentences are from and what is wrong with them, as Markdown."""
    size = (
        f"{len(prompts)} prompts: {prompts['stem_id'].nunique()} stems in {prompts['domain'].nunique()} "
        f"domains, {prompts['group_id'].nunique()} groups of {prompts['arm'].nunique()} arms. "
        f"Written: `{file}`."
    )
    own, warnings = own_sentences.check(run)
    parts = [size]
    if own:
        parts.append(own_sentences.summary(run, sentences, warnings))
        parts += [warnings.to_markdown(index=False)] if len(warnings) else []
    if run.published_prompts:
        defects = prompt_tables.report(prompt_tables.read(run.published_prompts)[1])
        parts += ["What is wrong with the published table:", defects.to_markdown(index=False)]
    return "\n\n".join(parts)


def mining_summary(felt: pd.DataFrame) -> str:
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
